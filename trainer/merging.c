/* Adapters into the weights of their model, written as a model, and read back to see that it is the same one. */
#include "trainer/merging.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/philox.h"
#include "trainer/checkpoint/checkpoint.h"
#include "trainer/models/adapter.h"
#include "trainer/tokenizer/tokenizer.h"
#include "trainer/trainer.h"

enum { PROBE = 32 /* tokens */, MOST_FILES = 16, FILE_LIMIT = 512 << 20 };

/* A model that is open, and what it made of the probe. */
typedef struct Opened {
    Arena *arena;
    LoraSet *adapters;
    const char *dir;
    Model *model;
    float *weights, *logits; /* logits [PROBE, vocab_size] */
} Opened;

static void close_model(Opened *o, Machine *m)
{
    stream_release(m->stream, o->weights);
    model_free(o->model);
    free(o->logits);
    arena_free(o->arena);
    *o = (Opened){0};
}

static Status open_model(Opened *o, Machine *m, const char *dir, const char *const *adapters, int count)
{
    Status st = OK;
    cJSON *config;
    TRY(arena_new(&o->arena));
    TRY(adapters_resolve(dir, adapters, count, o->arena, &o->adapters, &o->dir));
    TRY(model_config_read(o->dir, &config));
    TRY(model_new_adapted(config, arena_printf(o->arena, "%s/config.json", o->dir), o->adapters, &o->model));
    o->model->threads = stream_threads(m->host);
    TRY(model_place(o->model, m->k, m->stream, o->dir, 0, &o->weights));
done:
    return st;
}

/* Logits of made-up tokens, the same for every model with this vocabulary. */
static Status probe(Opened *o, Machine *m)
{
    Status st = OK;
    Tape tape = {0};
    const Model *model = o->model;
    int64_t rows = model_most_positions(model) < PROBE ? model_most_positions(model) : PROBE;
    int32_t ids[PROBE], positions[PROBE], cu_seqlens[2] = {0, (int32_t)rows}, sample[1] = {0};
    for (int32_t i = 0; i < rows; i++) {
        ids[i] = (int32_t)(philox4x32(7, 0, (uint32_t)i, 0, 0, 0).v[0] % (uint64_t)model->vocab_size);
        positions[i] = i;
    }
    Batch batch = {.num_seqs = 1, .max_seqlen = (int32_t)rows, .padded_width = (int32_t)rows, .rows = rows, .ids = ids,
                   .position_ids = positions, .cu_seqlens = cu_seqlens, .sample = sample};
    o->logits = calloc((size_t)(PROBE * model->vocab_size), sizeof *o->logits);
    if (!o->logits) RAISE(MEMORY, "out of memory: logits");
    TRY(tape_open(&tape, m->k, m->stream, &o->model->params));
    tape_begin(&tape, TAPE_EVAL, &batch, 0);
    Tensor *hidden = model_forward(&tape, model, &batch);
    Tensor *logits = op_linear(&tape, hidden, &model->head->value, NULL, OUT_IN, ACT_NONE);
    TRY(tape_status(&tape));
    stream_sync(m->stream);
    memcpy(o->logits, logits->data, tensor_bytes(logits));
done:
    tape_close(&tape);
    return st;
}

static Status file_dtype(const MergeRequest *r, Dtype *out)
{
    static const struct { const char *name; Dtype dtype; } table[] = {
        {"auto", DTYPE_COUNT}, {"float32", DTYPE_F32}, {"bfloat16", DTYPE_BF16}, {"float16", DTYPE_F16}};
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (strcmp(r->dtype, table[i].name) == 0) {
            *out = table[i].dtype;
            return OK;
        }
    return status_raise(STATUS_USAGE, "--dtype must be auto, float32, bfloat16 or float16, and is `%s`", r->dtype);
}

/* What the model's own file has is what is written, unless a dtype was asked for. */
static Status list_tensors(Opened *o, Dtype dtype, NamedTensor **out, size_t *count)
{
    Status st = OK;
    const Parameters *ps = &o->model->params;
    TRY_NEW(o->arena, *out, ps->count + 1);
    for (size_t i = 0; i < ps->count; i++) {
        const Parameter *p = ps->list[i];
        if (p->spec.adapter) continue;
        NamedTensor *t = &(*out)[(*count)++];
        *t = (NamedTensor){.name = p->spec.name, .ndim = p->spec.ndim, .data = p->value.data, .dtype = p->value.dtype,
                           .file_dtype = dtype};
        for (int d = 0; d < p->spec.ndim; d++) t->shape[d] = p->spec.shape[d];
    }
done:
    return st;
}

/* The dtype of the model's largest tensor, before anything is merged. */
static Dtype own_dtype(const Model *m)
{
    const Parameter *largest = m->head;
    for (size_t i = 0; i < m->params.count; i++) {
        const Parameter *p = m->params.list[i];
        if (p->frozen && p->spec.ndim > 1 && (!largest->frozen || p->count > largest->count)) largest = p;
    }
    return largest->value.dtype;
}

static cJSON *config_out(const Model *m, Dtype dtype)
{
    cJSON *config = model_config_out(m);
    if (!config) return NULL;
    cJSON_DeleteItemFromObjectCaseSensitive(config, "dtype");
    cJSON_AddItemToObject(config, "dtype", cJSON_CreateString(dtype_name(dtype)));
    if (m->untied) {
        cJSON_DeleteItemFromObjectCaseSensitive(config, "tie_word_embeddings");
        cJSON_AddItemToObject(config, "tie_word_embeddings", cJSON_CreateBool(false));
    }
    return config;
}

static Status add_copy(Opened *o, const char *dir, const char *name, SmallFile *files, size_t *count)
{
    Status st = OK;
    char *path = path_join(o->arena, dir, name), *content;
    size_t size;
    TRY_MEMORY(path);
    if (!path_exists(path)) return OK;
    TRY(file_read_all(path, o->arena, FILE_LIMIT, &content, &size));
    files[(*count)++] = (SmallFile){name, content, size};
done:
    return st;
}

/* The tokenizer of the first adapter where it has one: an adapter for conversations may bring its template. */
static Status add_tokenizer(Opened *o, SmallFile *files, size_t *count)
{
    Status st = OK;
    Tokenizer *tokenizer = NULL;
    const char *dir = o->adapters->configs[0].dir;
    char *own = path_join(o->arena, dir, "tokenizer.json");
    TRY_MEMORY(own);
    if (!path_exists(own)) dir = o->dir;
    TRY(tokenizer_load(dir, &tokenizer));
    for (const char *const *name = tokenizer_files(tokenizer); *name && *count < MOST_FILES; name++)
        TRY(add_copy(o, dir, arena_strdup(o->arena, *name), files, count));
done:
    tokenizer_free(tokenizer);
    return st;
}

static Status write_model(const MergeRequest *r, Opened *o, CheckpointStore *store, Dtype dtype)
{
    Status st = OK;
    NamedTensor *tensors;
    size_t num_tensors = 0, num_files = 0;
    SmallFile files[MOST_FILES];
    Text text = {0};
    cJSON *config = config_out(o->model, dtype);
    if (!config) RAISE(MEMORY, "out of memory");
    json_add(&text, config, 2, true);
    text_add(&text, "\n", 1);
    if (text.failed) RAISE(MEMORY, "out of memory");
    files[num_files++] = (SmallFile){"config.json", text.data, text.size};
    TRY(add_copy(o, o->dir, "generation_config.json", files, &num_files));
    TRY(add_tokenizer(o, files, &num_files));
    TRY(list_tensors(o, dtype, &tensors, &num_tensors));
    TRY(checkpoint_save_model(store, "model", tensors, num_tensors, files, num_files));
done:
    cJSON_Delete(config);
    text_free(&text);
    (void)r;
    return st;
}

static Status compare(const Opened *before, const Opened *after, MergeResult *out)
{
    int64_t n = PROBE * before->model->vocab_size;
    for (int64_t i = 0; i < n; i++) {
        double a = before->logits[i], b = after->logits[i];
        out->largest = fmax(out->largest, fabs(a));
        if (!(fabs(a - b) <= out->difference)) out->difference = fabs(a - b);
    }
    if (isfinite(out->difference) && isfinite(out->largest)) return OK;
    return status_raise(STATUS_NUMERIC, "the logits are not finite: the model or an adapter holds NaN or infinity");
}

static Status open_output(const MergeRequest *r, CheckpointStore **store)
{
    Status st = OK;
    CheckpointOptions options = {.output_dir = r->output};
    TRY(checkpoint_store_open(&options, store));
    if (!r->overwrite && checkpoint_dir_in_use(*store))
        RAISE(USAGE, "%s is not empty; give another --output, or --overwrite", r->output);
done:
    return st;
}

Status merge_run(const MergeRequest *r, MergeResult *out)
{
    Status st = OK;
    Machine machine = {0};
    Opened before = {0}, after = {0};
    CheckpointStore *store = NULL;
    Dtype dtype = DTYPE_COUNT;
    *out = (MergeResult){0};
    TRY(file_dtype(r, &dtype));
    TRY(group_open(&machine.group));
    TRY(machine_start(DEVICE_CHOICE_CPU, r->num_threads, &machine));
    TRY(open_model(&before, &machine, r->model, r->adapters, r->num_adapters));
    if (!before.adapters) RAISE(USAGE, "%s is a model, and no --adapter is given: nothing is to be merged", r->model);
    TRY(open_output(r, &store));
    TRY(probe(&before, &machine));
    if (dtype == DTYPE_COUNT) dtype = own_dtype(before.model);
    TRY(adapters_merge(before.model, machine.k, machine.stream));
    TRY(write_model(r, &before, store, dtype));
    TRY(open_model(&after, &machine, r->output, NULL, 0));
    TRY(probe(&after, &machine));
    TRY(compare(&before, &after, out));
    for (size_t i = 0; i < before.adapters->num_modules; i++) out->layers += before.adapters->modules[i].count > 0;
    out->parameters = after.model->params.elements;
done:
    close_model(&before, &machine);
    close_model(&after, &machine);
    checkpoint_store_close(store);
    machine_close(&machine);
    return st;
}
