/* Frozen weights (architecture.md, 2): views of their file where the kernels can read it as it is, copies in the file's
 * dtype elsewhere. */
#include "trainer/models/frozen.h"

#include <stdlib.h>

typedef struct FrozenWeights {
    TensorStore *store; /* whose maps are read */
    Stream *stream;     /* whose memory `owned` is */
    void **owned;
    size_t num_owned;
    Dtype as; /* DTYPE_COUNT: each tensor's own */
    uint64_t hash;
} FrozenWeights;

static Dtype kept_dtype(const FrozenWeights *f, const TensorInfo *info)
{
    if (f->as != DTYPE_COUNT) return f->as;
    return info->dtype == DTYPE_F64 ? DTYPE_F32 : info->dtype;
}

enum { SAMPLE = 64 }; /* numbers of each tensor */

/* FNV-1a over the first and the last numbers. */
static Status add_to_hash(FrozenWeights *f, const TensorInfo *info)
{
    Status st = OK;
    float sample[2 * SAMPLE] = {0};
    int64_t n = info->numel < SAMPLE ? info->numel : SAMPLE;
    TRY(tensor_read(info, 0, n, DTYPE_F32, sample));
    TRY(tensor_read(info, info->numel - n, n, DTYPE_F32, sample + SAMPLE));
    for (size_t i = 0; i < sizeof sample; i++)
        f->hash = (f->hash ^ ((const unsigned char *)sample)[i]) * 0x100000001b3u;
done:
    return st;
}

static Status own(FrozenWeights *f, size_t bytes, void **out)
{
    *out = stream_allocate(f->stream, bytes + 64);
    if (!*out)
        return status_raise(STATUS_MEMORY, "out of memory: %zu MB of frozen weights%s", bytes >> 20,
                            stream_memory_failure(f->stream));
    f->owned[f->num_owned++] = *out;
    return OK;
}

/* Into memory of its own; on a device through the host's. */
static Status copy_matrix(FrozenWeights *f, const Kernels *k, const TensorInfo *info, Dtype dtype, void **out)
{
    Status st = OK;
    size_t bytes = (size_t)info->numel * dtype_bytes(dtype);
    void *host = NULL;
    TRY(own(f, bytes, out));
    if (!stream_is_device(f->stream)) {
        TRY(tensor_read(info, 0, info->numel, dtype, *out));
        return OK;
    }
    host = malloc(bytes + 1);
    if (!host) RAISE(MEMORY, "out of memory: %zu MB for weights that are read", bytes >> 20);
    TRY(tensor_read(info, 0, info->numel, dtype, host));
    k->copy(f->stream, *out, host, bytes);
    stream_sync(f->stream);
done:
    free(host);
    return st;
}

static Status place_matrix(FrozenWeights *f, const Kernels *k, const TensorInfo *info, Parameter *p)
{
    Status st = OK;
    Dtype dtype = kept_dtype(f, info);
    const void *map = NULL;
    p->value.dtype = dtype;
    if (!stream_is_device(f->stream) && dtype == info->dtype) TRY(tensor_map(info, &map));
    if (map && (uintptr_t)map % dtype_bytes(dtype) == 0) p->value.data = (void *)(uintptr_t)map; /* only read */
    else TRY(copy_matrix(f, k, info, dtype, &p->value.data));
done:
    return st;
}

static Status place_vectors(FrozenWeights *f, const Kernels *k, Model *m)
{
    Status st = OK;
    Parameters *ps = &m->params;
    size_t bytes = (size_t)ps->vectors_count * sizeof(float);
    void *vectors;
    float *host = calloc(1, bytes + 1); /* zero: the gaps stay so */
    if (!host) RAISE(MEMORY, "out of memory: weights that are read");
    for (size_t i = 0; i < ps->count; i++) {
        const Parameter *p = ps->list[i];
        if (p->frozen && p->spec.ndim < 2)
            TRY(tensor_read(model_tensor(m, f->store, p), 0, p->count, DTYPE_F32, host + p->offset));
    }
    TRY(own(f, bytes, &vectors));
    k->copy(f->stream, vectors, host, bytes);
    stream_sync(f->stream);
    parameters_view_vectors(ps, vectors);
done:
    free(host);
    return st;
}

Status model_freeze(Model *m, const Kernels *k, Stream *s, const char *path, Dtype as)
{
    Status st = OK;
    Parameters *ps = &m->params;
    FrozenWeights *f;
    if (ps->num_trained == ps->count) return OK;
    if (!path) RAISE(USAGE, "an adapter needs a model to be trained beside: set model_name_or_path");
    TRY_NEW(m->arena, f, 1);
    *f = (FrozenWeights){.stream = s, .as = as, .hash = 0xcbf29ce484222325u};
    TRY_NEW(m->arena, f->owned, 2 * ps->count + 1); /* merging takes one more each */
    m->frozen = f;
    TRY(model_store_open(m, path, &f->store));
    for (size_t i = 0; i < ps->count; i++) {
        Parameter *p = ps->list[i];
        const TensorInfo *info = p->frozen ? model_tensor(m, f->store, p) : NULL;
        if (info) TRY(add_to_hash(f, info));
        if (info && p->spec.ndim > 1) TRY(place_matrix(f, k, info, p));
    }
    TRY(place_vectors(f, k, m));
    if (stream_failed(s)) RAISE(MEMORY, "frozen weights to the device: %s", stream_message(s));
done:
    return st;
}

Status model_frozen_memory(Model *m, size_t bytes, void **out) { return own(m->frozen, bytes, out); }

uint64_t model_frozen_hash(const Model *m) { return m->frozen ? m->frozen->hash : 0; }

void model_thaw(Model *m)
{
    FrozenWeights *f = m->frozen;
    for (size_t i = 0; f && i < f->num_owned; i++) stream_release(f->stream, f->owned[i]);
    if (f) tensor_store_close(f->store);
    m->frozen = NULL;
}
