/* Arrays on a device. Of one rank nothing goes round: adding up and norms are the stream's kernels. Of several, buckets
 * are handed on in their order, as backward completes them, to NCCL or to the host's arrays. */
#include <stdlib.h>

#include "trainer/distributed/gradients_internal.h"

static Status array_new(DeviceArrays *d, size_t bytes, float **out)
{
    *out = stream_allocate(d->stream, bytes);
    if (!*out)
        return status_raise(STATUS_MEMORY, "out of memory: %zu MB of weights or gradients%s", bytes >> 20,
                            stream_memory_failure(d->stream));
    d->k->fill_zero(d->stream, *out, bytes);
    return OK;
}

/* Around the work on each bucket. */
static Status marks_new(Gradients *g)
{
    DeviceArrays *d = &g->device;
    const DeviceRanks *r = d->group->d;
    DeviceMark **own[] = {&d->order, &d->backward, &d->norm_end, &d->gather_begin, &d->gather_end};
    size_t count = (size_t)g->plan.buckets;
    bool good = (d->begin = calloc(count + 1, sizeof *d->begin)) && (d->end = calloc(count + 1, sizeof *d->end));
    for (size_t i = 0; i < sizeof own / sizeof *own; i++) good = good && (*own[i] = r->mark_new());
    for (size_t k = 0; k < count; k++) good = good && (d->begin[k] = r->mark_new()) && (d->end[k] = r->mark_new());
    return good ? OK : status_raise(STATUS_MEMORY, "no memory for the marks of %zu buckets", count);
}

static void marks_free(Gradients *g, const DeviceRanks *r)
{
    DeviceArrays *d = &g->device;
    DeviceMark *own[] = {d->order, d->backward, d->norm_end, d->gather_begin, d->gather_end};
    for (size_t i = 0; i < sizeof own / sizeof *own; i++) r->mark_free(own[i]);
    for (int k = 0; d->begin && d->end && k < g->plan.buckets; k++) {
        r->mark_free(d->begin[k]);
        r->mark_free(d->end[k]);
    }
    free(d->begin);
    free(d->end);
}

Status device_allocate(Gradients *g, const GradientsOptions *options, Stream *stream)
{
    Status st = OK;
    DeviceArrays *d = &g->device;
    size_t bytes = (size_t)g->plan.blocks * KERNEL_BLOCK * sizeof(float);
    if (!options->k) RAISE(BUG, "gradients on a device need its kernels");
    d->k = options->k;
    d->stream = stream;
    TRY(array_new(d, bytes, &d->data));
    TRY(array_new(d, bytes, &d->weights));
    if (g->full_determinism) TRY(array_new(d, bytes, &d->total));
    d->partials = stream_allocate(stream, ((size_t)g->plan.blocks + 1) * sizeof(double));
    if (!d->partials) RAISE(MEMORY, "out of memory: the norm's partial sums");
    d->k->fill_zero(stream, d->partials + g->plan.blocks, sizeof(double));
    if (g->plan.ranks == 1) goto done;
    TRY(device_group_open(g->comm, stream, options->timeout_s, &d->group));
    TRY(marks_new(g));
    TRY(d->group->comm ? nccl_allocate(g) : staged_allocate(g));
done:
    return st;
}

void device_free(Gradients *g)
{
    DeviceArrays *d = &g->device;
    if (!d->k) return;
    if (d->group) {
        if (!device_group_check(d->group)) stream_sync(d->group->queue); /* it may use the arrays */
        if (!d->group->comm) staged_free(g);
        const DeviceRanks *r = d->group->d;
        device_group_close(d->group); /* which looks at marks */
        marks_free(g, r);
    }
    stream_release(d->stream, d->data);
    stream_release(d->stream, d->weights);
    stream_release(d->stream, d->total);
    stream_release(d->stream, d->received);
    stream_release(d->stream, d->partials);
    *d = (DeviceArrays){0};
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

void device_hand_on(Gradients *g)
{
    DeviceArrays *d = &g->device;
    while (d->handed_on < g->plan.buckets && g->left[d->handed_on] <= 0) {
        int k = d->handed_on++;
        if (d->group->comm) nccl_bucket(g, k);
        else staged_bucket(g, k);
    }
}
