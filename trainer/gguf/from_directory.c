/* A GGUF file from a model directory. Matrices are of the type asked for, norms and biases F32, as llama.cpp has them;
 * a matrix whose rows are no whole blocks of Q8_0 is F16. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "trainer/base/file.h"
#include "trainer/gguf/config.h"
#include "trainer/gguf/convert.h"
#include "trainer/gguf/layout.h"
#include "trainer/gguf/tokenizer.h"
#include "trainer/models/frozen.h"

typedef struct Item {
    const TensorInfo *info;
    const GgufType *type;
    GgufChange change;
    char name[96];      /* there */
    int64_t rows, cols; /* here */
} Item;

typedef struct Conversion {
    Arena *arena;
    const char *dir, *where; /* where: config.json */
    const ModelGguf *names;
    cJSON *config;
    Model *model;
    TensorStore *store;
    GgufWriter *w;
    GgufExtras extras;
    Item *items;
    size_t count;
    const GgufType *type; /* of matrices */
    int64_t head_dim;
    float *x, *y;
} Conversion;

/* Numbers of general.file_type. */
static const struct {
    const char *option, *type, *dtype;
    int file_type;
} outtypes[] = {{"f32", "F32", "float32", 0}, {"f16", "F16", "float16", 1}, {"bf16", "BF16", "bfloat16", 32},
                {"q8_0", "Q8_0", "Q8_0", 7}};
enum { OUTTYPES = sizeof outtypes / sizeof *outtypes };

/* The directory's own where none is asked for. */
static Status choose_type(Conversion *c, const char *option, int *out)
{
    Status st = OK;
    const TensorInfo *embedding = model_tensor(c->model, c->store, c->model->params.list[0]);
    for (*out = 0; *out < OUTTYPES; ++*out)
        if (option ? strcmp(option, outtypes[*out].option) == 0
                   : strcmp(dtype_name(embedding->dtype), outtypes[*out].dtype) == 0)
            break;
    if (*out == OUTTYPES && option)
        RAISE(USAGE, "--outtype is %.40s; it can be f32, f16, bf16 or q8_0", option);
    if (*out == OUTTYPES) *out = 0;
    c->type = gguf_type_by_name(outtypes[*out].type);
done:
    return st;
}

static const GgufType *type_of(const Conversion *c, const Item *item)
{
    bool vector = item->info->ndim < 2 || strcmp(item->name, "position_embd.weight") == 0;
    int64_t row = item->change == GGUF_TRANSPOSED ? item->rows : item->cols;
    return vector ? gguf_type_by_name("F32") : row % c->type->elements ? gguf_type_by_name("F16") : c->type;
}

static Status plan(Conversion *c)
{
    Status st = OK;
    const Parameters *ps = &c->model->params;
    int64_t most = 1;
    TRY_NEW(c->arena, c->items, ps->count);
    for (; c->count < ps->count; c->count++) {
        Item *item = &c->items[c->count];
        const Parameter *p = ps->list[c->count];
        item->info = model_tensor(c->model, c->store, p);
        if (!model_gguf_tensor(c->names, p->spec.name, item->name, sizeof item->name, &item->change))
            RAISE(UNSUPPORTED, "%s: GGUF has no place for %s; it holds language models", c->dir, p->spec.name);
        item->cols = p->spec.ndim > 1 ? p->spec.shape[p->spec.ndim - 1] : 1;
        item->rows = p->count / item->cols;
        item->type = type_of(c, item);
        int64_t n = part_rows(item->rows, item->cols, item->change, c->head_dim) * item->cols;
        if (n > most) most = n;
    }
    TRY_NEW(c->arena, c->x, most);
    TRY_NEW(c->arena, c->y, most);
done:
    return st;
}

static Status declare_tensors(Conversion *c)
{
    Status st = OK;
    for (int i = 0; i < c->extras.count; i++)
        TRY(gguf_declare(c->w, c->extras.items[i].name, gguf_type_by_name("F32"), 1, &c->extras.items[i].count));
    for (size_t i = 0; i < c->count; i++) {
        const Item *item = &c->items[i];
        int64_t shape[GGUF_DIMS];
        for (int k = 0; k < item->info->ndim && k < GGUF_DIMS; k++)
            shape[k] = item->info->shape[item->change == GGUF_TRANSPOSED ? item->info->ndim - 1 - k : k];
        TRY(gguf_declare(c->w, item->name, item->type, item->info->ndim, shape));
    }
done:
    return st;
}

/* What F16 has no number for would become infinite. */
static Status check_range(const Conversion *c, const Item *item, const float *x, int64_t n)
{
    if (item->type->dtype != DTYPE_F16) return OK;
    for (int64_t i = 0; i < n; i++)
        if (fabsf(x[i]) >= 65520 && isfinite(x[i]))
            return status_raise(STATUS_NUMERIC, "%s: %s holds %g, which F16 cannot; --outtype bf16 or f32 can", c->dir,
                                item->info->name, (double)x[i]);
    return OK;
}

static Status write_tensor(Conversion *c, const Item *item)
{
    Status st = OK;
    int64_t most = part_rows(item->rows, item->cols, item->change, c->head_dim);
    for (int64_t row = 0, rows; row < item->rows; row += rows) {
        rows = most < item->rows - row ? most : item->rows - row;
        const float *out = c->x;
        TRY(tensor_read(item->info, row * item->cols, rows * item->cols, DTYPE_F32, c->x));
        TRY(check_range(c, item, c->x, rows * item->cols));
        if (item->change == GGUF_PLUS_ONE) add_to_all(c->x, rows * item->cols, 1);
        if (item->change == GGUF_TRANSPOSED) transpose(c->y, c->x, rows, item->cols), out = c->y;
        if (item->change == GGUF_PAIRED_Q || item->change == GGUF_PAIRED_KV)
            heads_to_gguf(c->y, c->x, rows, c->head_dim, item->cols), out = c->y;
        TRY(gguf_write(c->w, out, rows * item->cols));
    }
done:
    return st;
}

static void put_general(Conversion *c, int outtype)
{
    const char *slash = strrchr(c->dir, '/');
    gguf_put_text(c->w, "general.architecture", c->names->architecture);
    gguf_put_text(c->w, "general.type", "model");
    gguf_put_text(c->w, "general.name", slash ? slash + 1 : c->dir);
    gguf_put_text(c->w, "hone.model_type", c->model->type->name); /* of several with one architecture */
    gguf_put_int(c->w, "general.file_type", outtypes[outtype].file_type);
    gguf_put_int(c->w, "general.quantization_version", 2);
}

static Status put_keys(Conversion *c, const GgufOptions *options, int outtype)
{
    Status st = OK;
    int64_t hidden, heads;
    put_general(c, outtype);
    TRY(gguf_config_write(c->config, c->where, c->names, c->arena, c->w, &c->extras));
    c->head_dim = 1;
    if (c->names->rotary) {
        TRY(json_int(c->config, c->where, "hidden_size", &hidden));
        TRY(json_int(c->config, c->where, "num_attention_heads", &heads));
        TRY(json_int_or(c->config, c->where, "head_dim", hidden / heads, &c->head_dim));
    }
    TRY(gguf_tokenizer_write(c->dir, c->config, options->pre, c->model->vocab_size, c->arena, c->w));
done:
    return st;
}

static Status open_model(Conversion *c)
{
    Status st = OK;
    const char *type;
    TRY_MEMORY(c->where = path_join(c->arena, c->dir, "config.json"));
    TRY(model_config_read(c->dir, &c->config));
    TRY(json_string(c->config, c->where, "model_type", &type));
    cJSON *copy = cJSON_Duplicate(c->config, true);
    if (!copy) RAISE(MEMORY, "out of memory");
    TRY(model_new(copy, c->where, &c->model)); /* refuses what hone lacks, with the list */
    c->names = model_gguf(type);
    if (!c->names) {
        const char *list = model_gguf_list(c->arena);
        TRY_MEMORY(list);
        RAISE(UNSUPPORTED, "%s: hone knows no GGUF architecture for model_type %s; it has: %s", c->where, type, list);
    }
    TRY(model_store_open(c->model, c->dir, &c->store));
done:
    return st;
}

Status gguf_from_directory(const char *dir, const char *path, const GgufOptions *options, Arena *arena,
                           GgufReport *report)
{
    Status st = OK;
    Conversion c = {0};
    int outtype;
    *report = (GgufReport){.types = ""};
    TRY(arena_new(&c.arena));
    size_t length = strlen(dir);
    while (length > 1 && dir[length - 1] == '/') length--;
    TRY_MEMORY(c.dir = arena_strndup(c.arena, dir, length));
    if (path_is_dir(path)) RAISE(USAGE, "%s is a directory; a model directory is converted to a file", path);
    if (path_exists(path) && !options->overwrite) RAISE(USAGE, "%s exists; give another name, or --overwrite", path);
    TRY(open_model(&c));
    TRY(choose_type(&c, options->outtype, &outtype));
    TRY(gguf_writer_new(path, &c.w));
    TRY(put_keys(&c, options, outtype));
    TRY(plan(&c));
    TRY(declare_tensors(&c));
    TRY(gguf_begin(c.w));
    for (int i = 0; i < c.extras.count; i++)
        TRY(gguf_write(c.w, c.extras.items[i].data, c.extras.items[i].count));
    for (size_t i = 0; i < c.count; i++) TRY(write_tensor(&c, &c.items[i]));
    TRY(gguf_finish(c.w, &report->bytes));
    report->model_type = c.model->type->name;
    report->dtype = outtypes[outtype].type;
    report->tensors = c.count + (size_t)c.extras.count;
    report->parameters = c.model->params.elements;
    TRY_MEMORY(report->types = arena_strdup(arena, outtypes[outtype].type));
done:
    gguf_writer_free(c.w);
    tensor_store_close(c.store);
    model_free(c.model);
    cJSON_Delete(c.config);
    arena_free(c.arena);
    return st;
}
