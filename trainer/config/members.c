/* What stands inside the mappings and the k=v lists: which members there are depends on another key's value. */
#include <math.h>
#include <string.h>

#include "trainer/config/settings.h"

/* Members that each schedule reads (transformers' get_scheduler). */
typedef struct Members {
    const char *name, *members, *needed;
} Members;

static const Members schedules[] = {
    {"linear", "", NULL},
    {"constant", "", NULL},
    {"constant_with_warmup", "", NULL},
    {"cosine", "num_cycles", NULL},
    {"cosine_with_restarts", "num_cycles", NULL},
    {"polynomial", "lr_end,power", NULL},
    {"inverse_sqrt", "timescale", NULL},
    {"cosine_with_min_lr", "num_cycles,min_lr,min_lr_rate", NULL},
    {"cosine_warmup_with_min_lr", "num_cycles,min_lr,min_lr_rate,warmup_lr_rate", NULL},
    {"warmup_stable_decay", "num_decay_steps,num_stable_steps,warmup_type,decay_type,min_lr_ratio,num_cycles",
     "num_decay_steps"},
};

static const Members *schedule(const char *name)
{
    for (size_t i = 0; i < sizeof schedules / sizeof *schedules; i++)
        if (strcmp(schedules[i].name, name) == 0) return &schedules[i];
    return NULL;
}

static void check_shape(Settings *s, const cJSON *item)
{
    bool fine =
        cJSON_IsString(item) && choice_find("linear,cosine,1-sqrt", item->valuestring, strlen(item->valuestring)) >= 0;
    if (!fine)
        settings_problem(s, "lr_scheduler_kwargs", "member `%s` must be one of linear,cosine,1-sqrt", item->string);
}

static void check_schedule(Settings *s)
{
    const char *key = "lr_scheduler_kwargs";
    const TrainingArguments *a = s->out;
    const cJSON *kwargs = a->lr_scheduler_kwargs;
    const Members *m = schedule(a->lr_scheduler_type);
    int floors = 0;
    if (!m) return;
    for (const cJSON *c = kwargs ? kwargs->child : NULL; c; c = c->next) {
        if (cJSON_IsNull(c)) continue;
        if (choice_find(m->members, c->string, strlen(c->string)) < 0 || !*c->string) {
            settings_problem(s, key, "member `%s`: lr_scheduler_type %s has %s%s", c->string, m->name,
                             *m->members ? "only " : "none", m->members);
            continue;
        }
        bool steps = strstr(c->string, "_steps") || strcmp(c->string, "timescale") == 0;
        floors += strcmp(c->string, "min_lr") == 0 || strcmp(c->string, "min_lr_rate") == 0;
        if (strstr(c->string, "_type")) check_shape(s, c);
        else if (!cJSON_IsNumber(c) || !(c->valuedouble >= 0) || isinf(c->valuedouble))
            settings_problem(s, key, "member `%s` must be a number of at least 0", c->string);
        else if (strcmp(c->string, "timescale") == 0 && c->valuedouble == 0)
            settings_problem(s, key, "member `timescale` must be above 0");
        else if (steps && c->valuedouble != trunc(c->valuedouble))
            settings_problem(s, key, "member `%s` must be a whole number", c->string);
    }
    const cJSON *end = kwargs ? cJSON_GetObjectItemCaseSensitive(kwargs, "lr_end") : NULL;
    double lr_end = cJSON_IsNumber(end) ? end->valuedouble : 1e-7;
    if (strcmp(m->name, "polynomial") == 0 && !(a->learning_rate > lr_end))
        settings_problem(s, "learning_rate", "must be above lr_end (%g) with lr_scheduler_type: polynomial", lr_end);
    if (strstr(m->members, "min_lr_rate") && floors != 1)
        settings_problem(s, key, "needs exactly one of min_lr and min_lr_rate with %s", m->name);
    const cJSON *needed = m->needed && kwargs ? cJSON_GetObjectItemCaseSensitive(kwargs, m->needed) : NULL;
    if (m->needed && (!needed || cJSON_IsNull(needed)))
        settings_problem(s, key, "needs the member %s with %s", m->needed, m->name);
}

static Status check_optim_args(Settings *s)
{
    Status st = OK;
    const TrainingArguments *a = s->out;
    if (!a->optim_args || !*a->optim_args || !a->optim) goto done;
    if (strcmp(a->optim, "sgd") != 0) {
        settings_problem(s, "optim_args",
                         "has no effect with optim: %s; adam_beta1, adam_beta2, adam_epsilon and weight_decay are keys",
                         a->optim);
        goto done;
    }
    char *list = arena_strdup(s->arena, a->optim_args), *rest, *pair;
    TRY_MEMORY(list);
    for (pair = strtok_r(list, ",", &rest); pair; pair = strtok_r(NULL, ",", &rest)) {
        pair += strspn(pair, " ");
        pair[strcspn(pair, " ")] = '\0';
        char *equals = strchr(pair, '=');
        double value;
        if (equals) *equals = '\0';
        bool nesterov = strcmp(pair, "nesterov") == 0;
        if (!equals || choice_find("momentum,dampening,weight_decay,nesterov", pair, strlen(pair)) < 0)
            settings_problem(s, "optim_args",
                             "must be k=v,k=v with momentum, dampening, weight_decay, nesterov; `%s` is none", pair);
        else if (nesterov ? strcasecmp(equals + 1, "true") != 0 && strcasecmp(equals + 1, "false") != 0
                          : !read_real(equals + 1, &value) || value < 0)
            settings_problem(s, "optim_args", "`%s` must be %s, and is `%s`", pair,
                             nesterov ? "true or false" : "a number of at least 0", equals + 1);
    }
    if (arguments_optim_arg(a, "nesterov", 0) != 0 &&
        (arguments_optim_arg(a, "momentum", 0) <= 0 || arguments_optim_arg(a, "dampening", 0) != 0))
        settings_problem(s, "optim_args", "nesterov needs momentum above 0 and dampening 0");
done:
    return st;
}

static void check_accelerator(Settings *s)
{
    const char *key = "accelerator_config", *later = "is not honoured by this version of hone:";
    const cJSON *config = s->out->accelerator_config;
    s->out->even_batches = true;
    for (const cJSON *c = config ? config->child : NULL; c; c = c->next) {
        const char *name = c->string;
        if (cJSON_IsNull(c)) continue;
        if (strcmp(name, "gradient_accumulation_kwargs") == 0) {
            const cJSON *steps = cJSON_GetObjectItemCaseSensitive(c, "num_steps");
            if (steps &&
                (!cJSON_IsNumber(steps) ||
                 (steps->valuedouble != 1 && steps->valuedouble != (double)s->out->gradient_accumulation_steps)))
                settings_problem(s, key,
                                 "member `gradient_accumulation_kwargs.num_steps` contradicts "
                                 "gradient_accumulation_steps; remove it");
            continue;
        }
        if (choice_find(
                "even_batches,split_batches,dispatch_batches,use_seedable_sampler,non_blocking,use_configured_state",
                name, strlen(name)) < 0)
            settings_problem(s, key, "has no member `%s`", name);
        else if (!cJSON_IsBool(c)) settings_problem(s, key, "member `%s` must be true or false", name);
        else if (strcmp(name, "even_batches") == 0) s->out->even_batches = cJSON_IsTrue(c);
        else if (strcmp(name, "split_batches") == 0 && cJSON_IsTrue(c))
            settings_problem(
                s, key, "member `split_batches` %s give the batch of one rank in per_device_train_batch_size", later);
        else if (strcmp(name, "use_seedable_sampler") == 0 && !cJSON_IsTrue(c))
            settings_problem(
                s, key, "member `use_seedable_sampler` %s only true; the order depends on seed and epoch alone", later);
    }
}

static void check_recomputation(Settings *s)
{
    const char *key = "activation_checkpointing_kwargs";
    const cJSON *kwargs = s->out->activation_checkpointing_kwargs;
    s->out->checkpoint_every_n_layers = 1;
    for (const cJSON *c = kwargs ? kwargs->child : NULL; c; c = c->next) {
        const char *name = c->string;
        if (cJSON_IsNull(c)) continue;
        if (strcmp(name, "every_n_layers") == 0) {
            bool fine = cJSON_IsNumber(c) && c->valuedouble >= 1 && c->valuedouble <= 1e6 &&
                        c->valuedouble == trunc(c->valuedouble);
            if (fine) s->out->checkpoint_every_n_layers = (int64_t)c->valuedouble;
            else settings_problem(s, key, "member `every_n_layers` must be an integer of at least 1");
        } else if (strcmp(name, "offload") == 0) {
            if (!cJSON_IsFalse(c))
                settings_problem(s, key, "member `offload` is not honoured by this version of hone: remove it");
        } else if (choice_find("use_reentrant,preserve_rng_state,determinism_check,debug,context_fn", name,
                               strlen(name)) < 0) {
            settings_problem(s, key, "has no member `%s`", name);
        }
    }
}

static Status check_overrides(Settings *s)
{
    Status st = OK;
    const char *text = s->out->config_overrides;
    if (!text || !*text) goto done;
    char *list = arena_strdup(s->arena, text), *rest, *pair;
    TRY_MEMORY(list);
    for (pair = strtok_r(list, ",", &rest); pair; pair = strtok_r(NULL, ",", &rest))
        if (!strchr(pair, '=') || *pair == '=')
            settings_problem(s, "config_overrides", "must be k=v,k=v, and `%s` is not", pair);
done:
    return st;
}

Status settings_check_members(Settings *s)
{
    Status st = OK;
    check_schedule(s);
    check_accelerator(s);
    check_recomputation(s);
    TRY(check_optim_args(s));
    TRY(check_overrides(s));
done:
    return st;
}
