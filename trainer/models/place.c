/* A model's weights where a stream's kernels work. Files are read into the host's memory: where that is not it, into a
 * copy that lives no longer than the reading. */
#include <stdlib.h>

#include "trainer/models/model.h"

static Status load(Model *m, const char *path, uint64_t seed)
{
    if (path) return model_load(m, path);
    model_draw(m, seed);
    return OK;
}

static Status load_over(Model *m, const Kernels *k, Stream *s, const char *path, uint64_t seed, float *weights)
{
    Status st = OK;
    size_t bytes = (size_t)m->params.flat_count * sizeof(float);
    float *host = calloc(1, bytes + 1); /* zero: the gaps between parameters stay so */
    if (!host) RAISE(MEMORY, "out of memory: %zu MB for weights that are read", bytes >> 20);
    parameters_view(&m->params, host, NULL);
    TRY(load(m, path, seed));
    k->copy(s, weights, host, bytes);
    stream_sync(s);
    if (stream_failed(s)) RAISE(MEMORY, "weights to the device: %s", stream_message(s));
    parameters_view(&m->params, weights, NULL);
done:
    free(host);
    return st;
}

Status model_place(Model *m, const Kernels *k, Stream *s, const char *path, uint64_t seed, float **out)
{
    Status st = OK;
    size_t bytes = (size_t)m->params.flat_count * sizeof(float);
    float *weights = stream_allocate(s, bytes + 64);
    if (!weights) RAISE(MEMORY, "out of memory: %zu MB of weights%s", bytes >> 20, stream_memory_failure(s));
    TRY(model_freeze(m, k, s, path, DTYPE_COUNT));
    if (stream_is_device(s)) {
        TRY(load_over(m, k, s, path, seed, weights));
    } else {
        parameters_bind(&m->params, weights, NULL);
        TRY(load(m, path, seed));
    }
    *out = weights;
    return OK;
done:
    stream_release(s, weights);
    return st;
}
