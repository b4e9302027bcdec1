/* Weights from a model directory into the parameters, by name. Large tensors are read in parts by all threads of the
 * model's pool: the first touch of fresh memory costs more than the reading. */
#include <stdatomic.h>
#include <string.h>

#include "trainer/models/adapter.h"
#include "trainer/models/frozen.h"

static bool ends_with(const char *name, const char *end)
{
    size_t n = strlen(name), e = strlen(end);
    return n >= e && strcmp(name + n - e, end) == 0;
}

static bool is_ignored(const Model *m, const char *name)
{
    for (const char *const *end = m->type->ignored; end && *end; end++)
        if (ends_with(name, *end)) return true;
    return false;
}

/* By a name, or by that name without the type's prefix. */
static const TensorInfo *find_name(const Model *m, const TensorStore *store, const char *name)
{
    const TensorInfo *info = tensor_store_find(store, name);
    size_t n = m->type->prefix ? strlen(m->type->prefix) : 0;
    return !info && n && strncmp(name, m->type->prefix, n) == 0 ? tensor_store_find(store, name + n) : info;
}

const TensorInfo *model_tensor(const Model *m, const TensorStore *store, const Parameter *p)
{
    const TensorInfo *info = find_name(m, store, p->spec.name);
    return !info && p->spec.source ? find_name(m, store, p->spec.source) : info;
}

static bool same_shape(const TensorInfo *info, const Parameter *p)
{
    if (info->ndim != p->spec.ndim) return false;
    for (int i = 0; i < info->ndim; i++)
        if (info->shape[i] != p->spec.shape[i]) return false;
    return true;
}

static bool is_float(const TensorInfo *info)
{
    return info->dtype == DTYPE_F32 || info->dtype == DTYPE_BF16 || info->dtype == DTYPE_F16 ||
           info->dtype == DTYPE_F64;
}

/* The parameter that a tensor of the file belongs to; NULL: none. */
static const Parameter *owner_of(const Model *m, const TensorStore *store, const TensorInfo *info)
{
    for (size_t i = 0; i < m->params.count; i++)
        if (model_tensor(m, store, m->params.list[i]) == info) return m->params.list[i];
    return NULL;
}

/* A head that is tied is saved by some writers all the same: fine when it is a copy, which the names of old files
 * cannot tell. */
static bool is_tied_head(const Model *m, const TensorInfo *info)
{
    return strcmp(info->name, "lm_head.weight") == 0 && !parameter_find(&m->params, "lm_head.weight");
}

static Status list_problems(const Model *m, const TensorStore *store, const char *path)
{
    Status st = OK;
    Text text = {0};
    char want[192], have[192];
    for (size_t i = 0; i < m->params.count; i++) {
        const Parameter *p = m->params.list[i];
        const TensorInfo *info = model_tensor(m, store, p);
        if (p->spec.adapter) continue;
        if (!info)
            text_printf(&text, "\n  missing: %s %s", p->spec.name, shape_text(p->spec.shape, p->spec.ndim, want));
        else if (!same_shape(info, p))
            text_printf(&text, "\n  wrong shape: %s is %s, the config says %s", info->name,
                        shape_text(info->shape, info->ndim, have), shape_text(p->spec.shape, p->spec.ndim, want));
        else if (!is_float(info))
            text_printf(&text, "\n  wrong type: %s is %s; F32, BF16, F16 and F64 can be read", info->name, info->type);
    }
    for (size_t i = 0; i < tensor_store_count(store); i++) {
        const TensorInfo *info = tensor_store_at(store, i);
        if (!is_ignored(m, info->name) && !is_tied_head(m, info) && !owner_of(m, store, info))
            text_printf(&text, "\n  unexpected: %s %s", info->name, shape_text(info->shape, info->ndim, have));
    }
    if (text.size) RAISE(FORMAT, "%s: the weights do not fit the config (%s):%s", path, m->type->name, text.data);
done:
    text_free(&text);
    return st;
}

Status model_store_open(const Model *m, const char *path, TensorStore **out)
{
    Status st = OK;
    TRY(tensor_store_open(path, out));
    TRY(list_problems(m, *out, path));
    return OK;
done:
    tensor_store_close(*out);
    *out = NULL;
    return st;
}

enum { PART = 1 << 21 }; /* elements: 8 MB of f32, whole huge pages */

typedef struct Load {
    const Model *model;
    const TensorStore *store;
    atomic_bool failed;
} Load;

static int64_t parts_of(const Parameter *p) { return p->spec.adapter ? 0 : (p->count + PART - 1) / PART; }

static Status read_part(const Load *l, int64_t part)
{
    const Parameters *ps = &l->model->params;
    for (size_t i = 0; i < ps->num_trained; i++) {
        const Parameter *p = ps->trained[i];
        int64_t first = part * PART;
        if (part < parts_of(p)) {
            int64_t count = p->count - first < PART ? p->count - first : PART;
            return tensor_read(model_tensor(l->model, l->store, p), first, count, DTYPE_F32,
                               ps->weights + p->offset + first);
        }
        part -= parts_of(p);
    }
    return OK;
}

static void read_task(void *context, int64_t part, int thread)
{
    Load *l = context;
    (void)thread;
    if (!l->failed && read_part(l, part)) l->failed = true;
}

static Status read_parts(const Model *m, const TensorStore *store)
{
    Status st = OK;
    Load load = {.model = m, .store = store};
    int64_t parts = 0;
    for (size_t i = 0; i < m->params.num_trained; i++) parts += parts_of(m->params.trained[i]);
    if (m->threads) threads_run(m->threads, parts, read_task, &load);
    if (m->threads && !load.failed) return OK;
    for (int64_t i = 0; i < parts; i++)
        TRY(read_part(&load, i)); /* alone; or again, so that the error is this thread's */
done:
    return st;
}

/* An adapter of a file, or a new one. */
static Status begin_adapters(Model *m)
{
    Status st = OK;
    const LoraSet *set = m->params.adapters;
    for (int i = 0; set && i < set->count; i++) {
        if (set->configs[i].dir) TRY(adapter_load(m, i, set->configs[i].dir));
        else adapter_draw(m, i, set->seed);
    }
done:
    return st;
}

Status model_load(Model *m, const char *path)
{
    Status st = OK;
    TensorStore *store = NULL;
    TRY(model_store_open(m, path, &store));
    TRY(read_parts(m, store));
    TRY(begin_adapters(m));
done:
    tensor_store_close(store);
    return st;
}
