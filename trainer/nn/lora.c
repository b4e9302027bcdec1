/* Declaring adapters; the products are autograd's (op_lora_down, op_lora_up). */
#include "trainer/nn/lora.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "trainer/base/json.h"
#include "trainer/nn/lora_match.h"

Status lora_set_init(LoraSet *set, Arena *arena, const LoraConfig *configs, int count)
{
    Status st = OK;
    *set = (LoraSet){.configs = configs, .count = count, .arena = arena};
    TRY_NEW(arena, set->layers, count + 1);
    TRY_NEW(arena, set->used, count + 1);
    TRY_NEW(arena, set->saved, count + 1);
    for (int i = 0; i < count; i++) {
        TRY_NEW(arena, set->used[i], configs[i].targets.count + 1);
        TRY_NEW(arena, set->saved[i], configs[i].modules_to_save.count + 1);
    }
done:
    return st;
}

bool lora_saves(const LoraSet *set, const char *module)
{
    bool saves = false;
    for (int i = 0; set && i < set->count; i++)
        if (lora_config_saves(&set->configs[i], module, set->saved[i])) saves = true;
    return saves;
}

static Parameter *declare(Parameters *ps, const char *module, const char *part, int adapter, int64_t rows, int64_t cols,
                          Init init)
{
    char name[512];
    snprintf(name, sizeof name, "%s.%s.%s.weight", module, part, ps->adapters->configs[adapter].name);
    return parameter_declare(ps, (ParameterSpec){.name = name, .ndim = 2, .shape = {rows, cols}, .init = init,
                                                 .decay = true, .trains = true, .adapter = adapter + 1});
}

/* One adapter of one layer. A begins as torch's Linear does (kaiming_uniform_ with a = sqrt(5)), B as zero. */
static Lora lora_new(Parameters *ps, int i, const char *module, int64_t in, int64_t out, Status *st)
{
    const LoraConfig *c = &ps->adapters->configs[i];
    int64_t r = (int64_t)lora_value(c->ranks, c->num_ranks, (double)c->r, module, st);
    double alpha = lora_value(c->alphas, c->num_alphas, c->alpha, module, st);
    Init a = c->gaussian ? (Init){INIT_NORMAL, 1 / (float)r, 0} : (Init){INIT_UNIFORM, 1 / sqrtf((float)in), 0};
    Init b = c->random_b ? (Init){INIT_UNIFORM, 1 / sqrtf((float)r), 0} : (Init){INIT_ZERO, 0, 0};
    return (Lora){.a = declare(ps, module, "lora_A", i, r, in, a),
                  .b = declare(ps, module, "lora_B", i, out, r, b),
                  .scale = (float)(alpha / (c->rank_stabilized ? sqrt((double)r) : (double)r)),
                  .dropout = (float)c->dropout};
}

static Status remember(LoraSet *set, LoraModule module)
{
    Status st = OK;
    LoraModule *list = arena_grow(set->arena, set->modules, &set->capacity, set->num_modules + 1, sizeof *list);
    TRY_MEMORY(list);
    module.name = arena_strdup(set->arena, module.name);
    TRY_MEMORY(module.name);
    set->modules = list;
    set->modules[set->num_modules++] = module;
done:
    return st;
}

static Status declare_all(Parameters *ps, LoraModule *m)
{
    Status st = OK;
    LoraSet *set = ps->adapters;
    const int64_t *shape = m->weight->spec.shape;
    int64_t in = shape[m->layout == OUT_IN], out = shape[m->layout == IN_OUT];
    Lora *list;
    TRY_NEW(ps->arena, list, set->count);
    m->loras = list;
    for (int i = 0; i < set->count; i++) {
        bool targeted = lora_targets(&set->configs[i], set->usual, m->name, set->used[i], &st);
        TRY(st);
        if (!targeted) continue;
        list[m->count++] = lora_new(ps, i, m->name, in, out, &st);
        set->layers[i]++;
        TRY(st);
    }
done:
    return st;
}

void lora_declare(Parameters *ps, const char *module, Parameter *weight, WeightLayout layout, const Lora **loras,
                  int *count)
{
    LoraSet *set = ps->adapters;
    LoraModule m = {.name = module, .weight = weight, .layout = layout};
    *loras = NULL, *count = 0;
    if (!set || set->error || !weight) return;
    set->error = declare_all(ps, &m);
    if (!set->error) set->error = remember(set, m);
    *loras = m.loras, *count = m.count;
}

void lora_refuse(Parameters *ps, const char *module, const char *why)
{
    LoraSet *set = ps->adapters;
    for (int i = 0; set && i < set->count && !set->error; i++) {
        LoraConfig c = set->configs[i];
        if (c.all_linear || !lora_targets(&c, set->usual, module, set->used[i], &set->error)) continue;
        set->refused = arena_strdup(set->arena, module);
        set->why_refused = why;
    }
}

/* The last parts of the modules' names, each once. */
static void list_modules(const LoraSet *set, Text *out)
{
    for (size_t i = 0; i < set->num_modules; i++) {
        const char *dot = strrchr(set->modules[i].name, '.'), *name = dot ? dot + 1 : set->modules[i].name;
        bool seen = false;
        for (size_t j = 0; j < i && !seen; j++) seen = lora_ends(set->modules[j].name, name);
        if (!seen) text_printf(out, " %s", name);
    }
}

static Status check_one(const LoraSet *set, int i, const char *where, const char *list)
{
    Status st = OK;
    const LoraConfig *c = &set->configs[i];
    for (int t = 0; t < c->targets.count; t++)
        if (!set->used[i][t] && !c->lenient)
            RAISE(USAGE, "%s: the target module `%s` of the adapter is not one of this model; its linear layers are:%s",
                  where, c->targets.items[t], list);
    for (int s = 0; s < c->modules_to_save.count; s++)
        if (!set->saved[i][s])
            RAISE(USAGE, "%s: `%s`, to be trained whole beside the adapter, is not a module of this model; its linear "
                         "layers are:%s; there are embeddings, norms and the head (lm_head) too", where,
                  c->modules_to_save.items[s], list);
    if (!set->layers[i] && c->target_pattern)
        RAISE(USAGE, "%s: the target pattern `%s` of the adapter fits no module; the model's linear layers are:%s (as "
                     "in %s)", where, c->target_pattern, list, set->num_modules ? set->modules[0].name : "");
    if (!set->layers[i])
        RAISE(USAGE, "%s: the adapter is for none of the model's layers: look at what it excludes and at its layers; "
                     "linear layers are:%s", where, list);
done:
    return st;
}

Status lora_check(const LoraSet *set, const char *where)
{
    Status st = OK;
    Text list = {0};
    if (!set) return OK;
    if (set->error) return status_prefix(set->error, "%s", where);
    if (set->refused) RAISE(UNSUPPORTED, "%s: no adapter can be at %s: %s", where, set->refused, set->why_refused);
    list_modules(set, &list);
    if (list.failed) RAISE(MEMORY, "%s: out of memory", where);
    for (int i = 0; i < set->count; i++) TRY(check_one(set, i, where, list.data ? list.data : " none"));
done:
    text_free(&list);
    return st;
}
