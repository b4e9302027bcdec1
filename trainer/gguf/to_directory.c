/* A model directory from a GGUF file. The weights are float32 where the file's are quantized: a block's scale times a
 * small integer needs more bits than bfloat16 has, and so transformers' from_pretrained(gguf_file=...) makes float32 of
 * them too; --dtype bfloat16 halves the size. Files of F16 and BF16 keep these, and norms and biases, which they hold
 * as F32, follow where that loses nothing. */
#include <stdlib.h>
#include <string.h>

#include "trainer/base/file.h"
#include "trainer/checkpoint/safetensors_write.h"
#include "trainer/gguf/config.h"
#include "trainer/gguf/convert.h"
#include "trainer/gguf/layout.h"
#include "trainer/gguf/tokenizer.h"

typedef struct Item {
    const Parameter *parameter;
    const GgufTensor *tensor;
    GgufChange change;
    Dtype dtype; /* as it is written */
    int64_t rows, cols; /* as the file has them */
} Item;

typedef struct Conversion {
    Arena *arena;
    Gguf *g;
    const ModelGguf *names;
    const ModelType *type;
    cJSON *config;
    Model *model;
    Item *items;
    size_t count;
    Threads *threads;
    unsigned char *blocks;
    float *x, *y; /* a part of a tensor, as the file has it and as the model does */
} Conversion;

/* ---- which tensor becomes which parameter ---- */
static bool fits(const Item *item)
{
    const GgufTensor *t = item->tensor;
    const ParameterSpec *s = &item->parameter->spec;
    if (t->ndim != s->ndim) return false;
    for (int i = 0; i < t->ndim; i++)
        if (t->shape[i] != s->shape[item->change == GGUF_TRANSPOSED ? t->ndim - 1 - i : i]) return false;
    return true;
}

static void name_problem(Text *problems, const Item *item, const char *name)
{
    char want[192], have[192];
    if (!item->tensor) {
        text_printf(problems, "\n  missing: %s %s", name,
                    shape_text(item->parameter->spec.shape, item->parameter->spec.ndim, want));
    } else if (!fits(item)) {
        text_printf(problems, "\n  wrong shape: %s is %s, for %s %s", name,
                    shape_text(item->tensor->shape, item->tensor->ndim, have), item->parameter->spec.name,
                    shape_text(item->parameter->spec.shape, item->parameter->spec.ndim, want));
    } else if (!item->tensor->type->dequantize) {
        text_printf(problems, "\n  wrong type: %s is %s; hone reads " GGUF_READABLE, name, item->tensor->type->name);
    }
}

static Status match(Conversion *c)
{
    Status st = OK;
    Text problems = {0};
    char name[128], shape[192];
    bool *used;
    const Parameters *ps = &c->model->params;
    TRY_NEW(c->arena, c->items, ps->count);
    TRY_NEW(c->arena, used, gguf_tensor_count(c->g));
    for (; c->count < ps->count; c->count++) {
        Item *item = &c->items[c->count];
        item->parameter = ps->list[c->count];
        if (!model_gguf_tensor(c->names, item->parameter->spec.name, name, sizeof name, &item->change))
            RAISE(BUG, "%s has no name in GGUF files", item->parameter->spec.name);
        item->tensor = gguf_tensor_find(c->g, name);
        name_problem(&problems, item, name);
        if (!item->tensor) continue;
        used[item->tensor - gguf_tensor_at(c->g, 0)] = true;
        item->cols = item->tensor->ndim > 1 ? item->tensor->shape[item->tensor->ndim - 1] : 1;
        item->rows = item->tensor->numel / item->cols;
    }
    for (size_t i = 0; i < gguf_tensor_count(c->g); i++) {
        const GgufTensor *t = gguf_tensor_at(c->g, i);
        if (!used[i] && !gguf_is_extra(t->name))
            text_printf(&problems, "\n  unexpected: %s %s", t->name, shape_text(t->shape, t->ndim, shape));
    }
    if (problems.failed) RAISE(MEMORY, "out of memory");
    if (problems.size)
        RAISE(FORMAT, "%s: the tensors are not those of %s:%.4000s", gguf_path(c->g), c->type->name, problems.data);
done:
    text_free(&problems);
    return st;
}

/* ---- reading a part ---- */
typedef struct Unpacking {
    const GgufType *type;
    const unsigned char *blocks;
    float *x;
    int64_t count;
} Unpacking;

enum { TASK = 1 << 16 }; /* elements, a multiple of every block */

static void unpack(void *context, int64_t task, int thread)
{
    const Unpacking *u = context;
    int64_t first = task * TASK, n = u->count - first < TASK ? u->count - first : TASK;
    (void)thread;
    u->type->dequantize(u->x + first, u->blocks + first / u->type->elements * u->type->bytes, n);
}

static int64_t head_dim(const Conversion *c)
{
    const cJSON *d = cJSON_GetObjectItemCaseSensitive(c->config, "head_dim");
    return cJSON_IsNumber(d) ? (int64_t)d->valuedouble : 1;
}

/* Rows as the model has them, at *out. */
static Status read_part(Conversion *c, const Item *item, int64_t first, int64_t rows, const float **out)
{
    Status st = OK;
    const GgufTensor *t = item->tensor;
    int64_t n = rows * item->cols;
    Unpacking u = {t->type, c->blocks, c->x, n};
    TRY(gguf_read_blocks(c->g, t, first * item->cols, n, c->blocks));
    if (c->threads) threads_run(c->threads, (n + TASK - 1) / TASK, unpack, &u);
    else t->type->dequantize(c->x, c->blocks, n);
    *out = c->x;
    if (item->change == GGUF_TRANSPOSED) {
        transpose(c->y, c->x, rows, item->cols);
        *out = c->y;
    } else if (item->change == GGUF_PAIRED_Q || item->change == GGUF_PAIRED_KV) {
        heads_from_gguf(c->y, c->x, rows, head_dim(c), item->cols);
        *out = c->y;
    } else if (item->change == GGUF_PLUS_ONE) {
        add_to_all(c->x, n, -1);
    }
done:
    return st;
}

static int64_t rows_of(const Conversion *c, const Item *item)
{
    return part_rows(item->rows, item->cols, item->change, head_dim(c));
}

static Status take_buffers(Conversion *c)
{
    Status st = OK;
    int64_t most = 0;
    uint64_t most_bytes = 0;
    for (size_t i = 0; i < c->count; i++) {
        const Item *item = &c->items[i];
        const GgufType *type = item->tensor->type;
        int64_t n = rows_of(c, item) * item->cols;
        uint64_t bytes = (uint64_t)(n / type->elements) * (uint64_t)type->bytes;
        if (n > most) most = n;
        if (bytes > most_bytes) most_bytes = bytes;
    }
    TRY_NEW(c->arena, c->x, most);
    TRY_NEW(c->arena, c->y, most);
    TRY_MEMORY(c->blocks = arena_alloc(c->arena, most_bytes));
done:
    return st;
}

/* ---- dtypes ---- */
static Dtype dtype_called(const char *name)
{
    Dtype d = DTYPE_F32;
    while (d <= DTYPE_F16 && strcmp(dtype_name(d), name)) d++;
    return d <= DTYPE_F16 ? d : DTYPE_COUNT;
}

/* Whether a tensor of the file is in dtype d, number by number. */
static Status is_exact(Conversion *c, const Item *item, Dtype d, bool *out)
{
    enum { N = 4096 };
    Status st = OK;
    uint16_t low[N];
    float back[N];
    const float *x;
    *out = true;
    for (int64_t row = 0, rows; row < item->rows && *out; row += rows) {
        rows = rows_of(c, item) < item->rows - row ? rows_of(c, item) : item->rows - row;
        TRY(read_part(c, item, row, rows, &x));
        for (int64_t i = 0, n; i < rows * item->cols && *out; i += n) {
            n = rows * item->cols - i < N ? rows * item->cols - i : N;
            convert_elements(d, low, DTYPE_F32, x + i, n);
            convert_elements(DTYPE_F32, back, d, low, n);
            *out = memcmp(back, x + i, (size_t)n * sizeof *x) == 0;
        }
    }
done:
    return st;
}

/* What the file's weights are in, vectors and what else is F32 aside. */
static Dtype files_dtype(const Conversion *c)
{
    Dtype d = DTYPE_COUNT;
    for (size_t i = 0; i < c->count; i++) {
        Dtype own = c->items[i].tensor->type->dtype;
        if (own == DTYPE_F32) continue;
        if (own == DTYPE_COUNT || (d != DTYPE_COUNT && d != own)) return DTYPE_F32; /* quantized, or of two kinds */
        d = own;
    }
    return d == DTYPE_COUNT ? DTYPE_F32 : d;
}

static Status choose_dtypes(Conversion *c, const char *name, Dtype *out)
{
    Status st = OK;
    bool exact;
    *out = name ? dtype_called(name) : files_dtype(c);
    if (*out == DTYPE_COUNT) RAISE(USAGE, "--dtype is %.40s; it can be float32, bfloat16 or float16", name);
    for (size_t i = 0; i < c->count; i++) {
        Item *item = &c->items[i];
        item->dtype = *out;
        if (name || *out == DTYPE_F32 || item->tensor->type->dtype == *out) continue;
        TRY(is_exact(c, item, *out, &exact));
        if (!exact) item->dtype = DTYPE_F32;
    }
done:
    return st;
}

/* ---- writing ---- */
static Status write_tensor(Conversion *c, const Item *item, SafetensorsWriter *w)
{
    Status st = OK;
    const float *x;
    for (int64_t row = 0, rows; row < item->rows; row += rows) {
        rows = rows_of(c, item) < item->rows - row ? rows_of(c, item) : item->rows - row;
        TRY(read_part(c, item, row, rows, &x));
        TRY(safetensors_write(w, DTYPE_F32, x, rows * item->cols));
    }
done:
    return st;
}

static Status write_file(Conversion *c, const TensorSpec *specs, const ShardPlan *plan, size_t file, const char *dir,
                         uint64_t *bytes)
{
    Status st = OK;
    SafetensorsWriter *w = NULL;
    TensorSpec *own;
    size_t *which, count = 0;
    uint64_t size, hash;
    const char *path = path_join(c->arena, dir, plan->names[file]);
    TRY_MEMORY(path);
    TRY_NEW(c->arena, own, c->count);
    TRY_NEW(c->arena, which, c->count);
    for (size_t i = 0; i < c->count; i++)
        if (plan->file_of[i] == file) own[count] = specs[i], which[count++] = i;
    TRY(safetensors_create(path, own, count, NULL, 0, &w));
    for (size_t i = 0; i < count; i++)
        TRY(write_tensor(c, &c->items[which[safetensors_writer_order(w, i)]], w));
    TRY(safetensors_finish(w, &size, &hash));
    *bytes += size;
done:
    safetensors_writer_free(w);
    return st;
}

static Status write_weights(Conversion *c, const char *dir, GgufReport *report)
{
    Status st = OK;
    TensorSpec *specs;
    ShardPlan plan;
    char *text;
    size_t size;
    TRY_NEW(c->arena, specs, c->count);
    for (size_t i = 0; i < c->count; i++) {
        const ParameterSpec *s = &c->items[i].parameter->spec;
        specs[i] = (TensorSpec){.name = s->name, .dtype = c->items[i].dtype, .ndim = s->ndim};
        memcpy(specs[i].shape, s->shape, sizeof s->shape);
        report->parameters += c->items[i].parameter->count;
    }
    TRY(shard_plan(c->arena, "model", specs, c->count, 0, &plan));
    for (size_t f = 0; f < plan.files; f++) TRY(write_file(c, specs, &plan, f, dir, &report->bytes));
    if (plan.index_name) {
        const char *path = path_join(c->arena, dir, plan.index_name);
        TRY_MEMORY(path);
        TRY(shard_index(c->arena, &plan, specs, c->count, &text, &size));
        TRY(file_replace(path, text, size));
    }
    report->tensors = c->count;
done:
    return st;
}

/* "Q4_1 210, F32 61" */
static Status list_types(const Conversion *c, Arena *arena, const char **out)
{
    Status st = OK;
    *out = "";
    for (uint32_t id = 0; id < 64; id++) {
        const GgufType *type = gguf_type_by_id(id);
        size_t n = 0;
        for (size_t i = 0; type && i < gguf_tensor_count(c->g); i++) n += gguf_tensor_at(c->g, i)->type == type;
        if (!n) continue;
        *out = arena_printf(arena, "%s%s%s %zu", *out, **out ? ", " : "", type->name, n);
        TRY_MEMORY(*out);
    }
done:
    return st;
}

static Status fill(Conversion *c, const GgufOptions *options, const char *dir, GgufReport *report)
{
    Status st = OK;
    Dtype dtype;
    const GgufTensor *embedding = gguf_tensor_find(c->g, "token_embd.weight");
    const char *path = path_join(c->arena, dir, "config.json");
    TRY_MEMORY(path);
    TRY(match(c));
    TRY(take_buffers(c));
    TRY(choose_dtypes(c, options->dtype, &dtype));
    report->dtype = dtype_name(dtype);
    TRY(json_put(c->config, "dtype", cJSON_CreateString(report->dtype)));
    TRY(dir_make(dir));
    TRY(json_write_file(path, c->config, 2, true));
    TRY(gguf_tokenizer_read(c->g, c->names, options->pre, embedding->shape[0], dir));
    TRY(write_weights(c, dir, report));
done:
    return st;
}

/* The directory appears whole, or not at all. */
static Status put_in_place(const char *partial, const char *dir, bool overwrite, Arena *arena)
{
    Status st = OK;
    const char *slash = strrchr(dir, '/'), *parent = ".";
    if (slash) TRY_MEMORY(parent = arena_strndup(arena, dir, (size_t)(slash - dir) + (slash == dir)));
    TRY(dir_sync(partial));
    if (overwrite) TRY(dir_remove(dir));
    TRY(file_rename(partial, dir));
    TRY(dir_sync(parent));
done:
    return st;
}

static Status check_target(const char *dir, bool overwrite, Arena *arena)
{
    Status st = OK;
    char **names;
    size_t count;
    if (!path_exists(dir)) return OK;
    if (!path_is_dir(dir)) RAISE(USAGE, "%s is a file; a GGUF file is converted to a directory", dir);
    TRY(dir_list(dir, arena, &names, &count));
    if (count && !overwrite)
        RAISE(USAGE, "%s exists and is not empty; give another name, or --overwrite", dir);
done:
    return st;
}

Status gguf_to_directory(const char *path, const char *dir, const GgufOptions *options, Arena *arena,
                         GgufReport *report)
{
    Status st = OK;
    Conversion c = {.threads = options->threads};
    const char *partial = NULL;
    *report = (GgufReport){0};
    TRY(arena_new(&c.arena));
    size_t length = strlen(dir);
    while (length > 1 && dir[length - 1] == '/') length--;
    TRY_MEMORY(dir = arena_strndup(c.arena, dir, length));
    TRY(check_target(dir, options->overwrite, c.arena));
    TRY(gguf_open(path, &c.g));
    TRY(gguf_model_of(c.g, c.arena, &c.names, &c.type));
    TRY(gguf_config_read(c.g, c.arena, c.names, c.type, &c.config));
    cJSON *copy = cJSON_Duplicate(c.config, true);
    if (!copy) RAISE(MEMORY, "out of memory");
    TRY(model_new(copy, path, &c.model));
    report->model_type = c.type->name;
    TRY(list_types(&c, arena, &report->types));
    TRY_MEMORY(partial = arena_printf(c.arena, "%s.partial", dir));
    TRY(dir_remove(partial)); /* of a conversion that was killed */
    TRY(fill(&c, options, partial, report));
    TRY(put_in_place(partial, dir, options->overwrite, c.arena));
    partial = NULL;
done:
    if (partial) {
        const char *message = arena_strdup(arena, status_message()); /* removing may have one of its own */
        dir_remove(partial);
        if (st && message) status_raise(st, "%s", message);
    }
    model_free(c.model);
    cJSON_Delete(c.config);
    gguf_close(c.g);
    arena_free(c.arena);
    return st;
}
