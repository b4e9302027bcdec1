/* One rank whose arrays lie on a device: nothing goes round, so adding up and norms are the stream's kernels. */
#include "trainer/distributed/gradients_internal.h"

static Status array_new(DeviceArrays *d, size_t bytes, float **out)
{
    *out = stream_allocate(d->stream, bytes);
    if (!*out) return status_raise(STATUS_MEMORY, "out of memory: %zu MB on the device", bytes >> 20);
    d->k->fill_zero(d->stream, *out, bytes);
    return OK;
}

Status device_allocate(Gradients *g, const Kernels *k, Stream *stream)
{
    Status st = OK;
    size_t bytes = (size_t)g->plan.blocks * KERNEL_BLOCK * sizeof(float);
    if (g->comm->size > 1) RAISE(UNSUPPORTED, "gradients of several ranks on devices are not in this version");
    if (!k) RAISE(BUG, "gradients on a device need its kernels");
    g->device.k = k;
    g->device.stream = stream;
    TRY(array_new(&g->device, bytes, &g->device.data));
    TRY(array_new(&g->device, bytes, &g->device.weights));
    if (g->full_determinism) TRY(array_new(&g->device, bytes, &g->device.total));
    g->device.partials = stream_allocate(stream, (size_t)g->plan.blocks * sizeof(double) + 1);
    if (!g->device.partials) RAISE(MEMORY, "out of memory: the norm's partial sums");
done:
    return st;
}

void device_free(Gradients *g)
{
    if (!g->device.k) return;
    stream_release(g->device.stream, g->device.data);
    stream_release(g->device.stream, g->device.weights);
    stream_release(g->device.stream, g->device.total);
    stream_release(g->device.stream, g->device.partials);
    g->device = (DeviceArrays){0};
}

void device_zero(Gradients *g, float *at, int64_t n)
{
    g->device.k->fill_zero(g->device.stream, at, (size_t)n * sizeof(float));
}

void device_add_up(Gradients *g)
{
    const DeviceArrays *d = &g->device;
    if (!g->has_granule) return;
    if (g->total_is_empty) d->k->copy(d->stream, d->total, d->data, (size_t)g->plan.n * sizeof(float));
    else d->k->add(d->stream, DTYPE_F32, d->total, d->data, g->plan.n);
    g->total_is_empty = false;
}

void device_square_sums(Gradients *g)
{
    g->device.k->sum_squares(g->device.stream, g->device.partials, gradients_reduced(g), g->plan.n);
}

Status device_read_partials(Gradients *g)
{
    const DeviceArrays *d = &g->device;
    d->k->copy(d->stream, g->partials, d->partials, (size_t)g->plan.blocks * sizeof(double));
    stream_sync(d->stream);
    return stream_failed(d->stream) ? status_raise(STATUS_MEMORY, "%s", stream_message(d->stream)) : OK;
}
