/* Checkpoints of the run, and the finished model (product.md: What it writes). */
#include <stdlib.h>
#include <string.h>

#include "trainer/adapters.h"
#include "trainer/base/log.h"
#include "trainer/saving.h"

enum { TOKENIZER_LIMIT = 512 << 20, MOST_FILES = 24 };

static Status model_tensors(Trainer *tr, Arena *arena, NamedTensor **out)
{
    Status st = OK;
    Parameters *ps = &tr->model->params;
    TRY_NEW(arena, *out, ps->num_trained + 1);
    for (size_t i = 0; i < ps->num_trained; i++) {
        Parameter *p = ps->trained[i];
        NamedTensor *t = &(*out)[i];
        const char *name = tr->adapters ? adapter_tensor_name(arena, tr->model, p) : p->spec.name;
        TRY_MEMORY(name);
        *t = (NamedTensor){.name = name,
                           .ndim = p->spec.ndim,
                           .data = mirror_weights(tr) + p->offset,
                           .dtype = DTYPE_F32,
                           .file_dtype = DTYPE_F32};
        for (int d = 0; d < p->spec.ndim; d++) t->shape[d] = p->spec.shape[d];
    }
done:
    return st;
}

Status optimizer_piece(Trainer *tr, Arena *arena, OptimizerPiece *out)
{
    Status st = OK;
    Parameters *ps = &tr->model->params;
    int num_owned, num_states = optimizer_num_states(tr->optimizer);
    const Range *owned = gradients_owned(tr->gradients, &num_owned);
    FlatParameter *parameters;
    FlatRange *ranges;
    FlatState *states;
    TRY_NEW(arena, parameters, ps->num_trained);
    TRY_NEW(arena, ranges, num_owned + 1);
    TRY_NEW(arena, states, num_states + 1);
    for (size_t i = 0; i < ps->num_trained; i++) {
        const Parameter *p = ps->trained[i];
        parameters[i] = (FlatParameter){.name = p->spec.name, .ndim = p->spec.ndim, .offset = p->offset,
                                        .numel = p->count};
        for (int d = 0; d < p->spec.ndim; d++) parameters[i].shape[d] = p->spec.shape[d];
    }
    for (int i = 0; i < num_owned; i++)
        ranges[i] = (FlatRange){owned[i].begin, owned[i].end, optimizer_at(tr->optimizer, i)};
    for (int i = 0; i < num_states; i++)
        states[i] = (FlatState){optimizer_state_name(tr->optimizer, i), mirror_state(tr, i)};
    *out = (OptimizerPiece){parameters, ps->num_trained, ranges, (size_t)num_owned, states, (size_t)num_states};
done:
    return st;
}

/* The small files of a checkpoint or of the finished model. */
typedef struct Files {
    SmallFile list[MOST_FILES];
    size_t count;
    Text texts[MOST_FILES]; /* whose memory some of them are */
    size_t num_texts;
    Arena *arena;
} Files;

static void files_free(Files *f)
{
    for (size_t i = 0; i < f->num_texts; i++) text_free(&f->texts[i]);
    arena_free(f->arena);
}

static Text *files_text(Files *f) { return &f->texts[f->num_texts++]; }

static void files_add(Files *f, const char *name, const Text *text)
{
    f->list[f->count++] = (SmallFile){name, text->data, text->size};
}

static void files_add_json(Files *f, const char *name, cJSON *json, int indent)
{
    Text *text = files_text(f);
    if (json) json_add(text, json, indent, true);
    text_add(text, "\n", 1);
    cJSON_Delete(json);
    files_add(f, name, text);
}

/* Of a model that has none: its config's token ids, as transformers does (GenerationConfig.from_model_config). */
static cJSON *generation_json(const Trainer *tr)
{
    static const char *const names[] = {"bos_token_id", "eos_token_id", "pad_token_id"};
    cJSON *config = model_config_out(tr->model), *o = cJSON_CreateObject();
    cJSON_AddItemToObject(o, "_from_model_config", cJSON_CreateBool(true));
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        cJSON *id = cJSON_DetachItemFromObject(config, names[i]);
        if (id && !cJSON_IsNull(id)) cJSON_AddItemToObject(o, names[i], id);
        else cJSON_Delete(id);
    }
    cJSON_Delete(config);
    return o;
}

/* config.json and generation_config.json. */
static Status add_config_files(Trainer *tr, Files *f)
{
    Status st = OK;
    const char *dir = tr->model_dir;
    files_add_json(f, "config.json", model_config_out(tr->model), 2);
    char *generation = dir ? path_join(f->arena, dir, "generation_config.json") : NULL;
    if (generation && path_exists(generation)) {
        SmallFile *file = &f->list[f->count++];
        char *content;
        TRY(file_read_all(generation, f->arena, 1 << 20, &content, &file->size));
        *file = (SmallFile){"generation_config.json", content, file->size};
    } else {
        files_add_json(f, "generation_config.json", generation_json(tr), 2);
    }
done:
    return st;
}

/* What makes the directory a model, or an adapter: configs and the tokenizer. */
static Status add_model_files(Trainer *tr, Files *f)
{
    Status st = OK;
    const char *const *tokens = tokenizer_files(tr->tokenizer);
    if (tr->adapters)
        files_add_json(f, "adapter_config.json",
                       adapter_config_out(tr->model, 0, tr->model_dir, tr->adapter.task_type), 2);
    else TRY(add_config_files(tr, f));
    for (; *tokens && f->count < MOST_FILES; tokens++) {
        char *path = path_join(f->arena, tr->tokenizer_dir, *tokens), *content;
        size_t size;
        TRY_MEMORY(path);
        TRY(file_read_all(path, f->arena, TOKENIZER_LIMIT, &content, &size));
        f->list[f->count++] = (SmallFile){*tokens, content, size};
    }
    for (const char *const *name = tr->task->files; name && *name; name++) {
        size_t i = 0;
        while (i < f->count && strcmp(f->list[i].name, *name) != 0) i++;
        SmallFile file = i < f->count ? f->list[i] : (SmallFile){.name = *name};
        const char *content = file.data;
        TRY(tr->task->file(&tr->context, *name, f->arena, &content, &file.size));
        file.data = content;
        if (!content || (i == f->count && f->count == MOST_FILES)) continue;
        f->list[i] = file;
        if (i == f->count) f->count++;
    }
done:
    return st;
}

static cJSON *scheduler_json(const Trainer *tr)
{
    cJSON *o = cJSON_CreateObject();
    cJSON_AddItemToObject(o, "base_lr", json_new_real(tr->args->learning_rate));
    cJSON_AddItemToObject(o, "last_epoch", json_new_int(tr->global_step - tr->precision.overflows));
    cJSON_AddItemToObject(o, "last_lr", json_new_real(tr->last_rate));
    cJSON_AddItemToObject(o, "lr_scheduler_type", cJSON_CreateString(tr->args->lr_scheduler_type));
    cJSON_AddItemToObject(o, "max_steps", json_new_int(tr->max_steps));
    return o;
}

/* Numbers have no stream (architecture.md, 5): what they are made from is all there is to keep. */
static cJSON *rng_json(const Trainer *tr)
{
    cJSON *o = cJSON_CreateObject();
    cJSON_AddItemToObject(o, "data_seed", json_new_int(tr->args->data_seed));
    cJSON_AddItemToObject(o, "generator",
                          cJSON_CreateString("philox4x32-10 by (seed, purpose, update, sample, op, element)"));
    cJSON_AddItemToObject(o, "seed", json_new_int(tr->args->seed));
    cJSON_AddItemToObject(o, "update", json_new_int(tr->global_step));
    return o;
}

static Status add_run_files(Trainer *tr, Files *f)
{
    Status st = OK;
    Text *state = files_text(f);
    TRY(state_to_text(&tr->state, state));
    files_add(f, "trainer_state.json", state);
    files_add_json(f, "scheduler.json", scheduler_json(tr), 2);
    files_add_json(f, "rng_state.json", rng_json(tr), 2);
    files_add_json(f, "training_args.json", arguments_to_json(tr->args), 2);
done:
    return st;
}

/* A text that memory ran out for is no file. */
static Status files_check(const Files *f)
{
    for (size_t i = 0; i < f->num_texts; i++)
        if (f->texts[i].failed) return status_raise(STATUS_MEMORY, "out of memory for the small files of a save");
    return OK;
}

/* Rank 0's part of the request. */
static Status add_files(Trainer *tr, Files *files, SaveRequest *request)
{
    Status st = OK;
    NamedTensor *tensors;
    TRY(model_tensors(tr, files->arena, &tensors));
    TRY(add_model_files(tr, files));
    TRY(add_run_files(tr, files));
    TRY(files_check(files));
    request->tensors = tensors;
    request->tensor_count = tr->model->params.num_trained;
    request->base = adapters_file(tr);
    request->files = files->list;
    request->file_count = files->count;
done:
    return st;
}

/* A better one that was never saved protects nothing. */
int64_t best_saved_step(const Trainer *tr)
{
    const char *number = strrchr(tr->state.best_model_checkpoint, '-');
    return tr->args->metric_for_best_model && number ? strtoll(number + 1, NULL, 10) : -1;
}

/* The checkpoint that is about to be is the best of those saved. */
static void mark_best(Trainer *tr)
{
    TrainerState *s = &tr->state;
    if (tr->args->metric_for_best_model && s->best_global_step > 0 && s->best_global_step == tr->global_step)
        snprintf(s->best_model_checkpoint, sizeof s->best_model_checkpoint, "%s/checkpoint-%lld", tr->args->output_dir,
                 (long long)tr->global_step);
}

/* What cannot be prepared fails the save, as what cannot be written does, not the run. */
Status trainer_save(Trainer *tr)
{
    Status st = OK;
    Files files = {0};
    Notes notes;
    SaveRequest request = {.step = tr->global_step, .save_only_model = tr->args->save_only_model && !tr->stopping};
    mark_best(tr);
    request.best_step = best_saved_step(tr);
    notes_take(tr, &notes);
    request.optimizer_metadata = notes.pairs;
    request.optimizer_metadata_count = notes.count;
    heartbeat_report(tr->heartbeat, tr->global_step, "save");
    if (mirror_is_apart(tr)) {
        st = checkpoint_wait(tr->store); /* what fails there is told there */
        if (st == STATUS_COMM || st == STATUS_BUG) goto done;
    }
    st = arena_new(&files.arena);
    if (!st) st = mirror_take(tr);
    if (!st) st = optimizer_piece(tr, files.arena, &request.optimizer);
    if (!st && tr->machine.group->rank == 0) st = add_files(tr, &files, &request);
    request.prepared = st;
    TRY(checkpoint_save_begin(tr->store, &request));
    log_debug("checkpoint-%lld is being written", (long long)tr->global_step);
done:
    files_free(&files);
    return st;
}

Status trainer_save_final(Trainer *tr)
{
    Status st = OK;
    Files files = {0};
    NamedTensor *tensors = NULL;
    TRY(arena_new(&files.arena));
    TRY(mirror_take(tr));
    TRY(model_tensors(tr, files.arena, &tensors));
    if (tr->machine.group->rank == 0) {
        Text *state = files_text(&files);
        TRY(add_model_files(tr, &files));
        TRY(state_to_text(&tr->state, state));
        files_add(&files, "trainer_state.json", state);
        files_add_json(&files, "training_args.json", arguments_to_json(tr->args), 2);
        TRY(files_check(&files));
    }
    TRY(trainer_shared(tr, checkpoint_save_model(tr->store, adapters_file(tr), tensors,
                                                 tr->model->params.num_trained, files.list, files.count)));
done:
    files_free(&files);
    return st;
}
