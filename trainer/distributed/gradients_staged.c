/* Ranks that share a GPU, or have no NCCL: each complete bucket is copied to the host's array, where the thread
 * exchanges and adds it up as ranks on CPUs do (gradients_exchange.c), and what this rank needs of the sum is copied
 * back. The way there and the way back are queues of their own, so neither waits for the other or for what computes. */
#include "trainer/distributed/gradients_internal.h"
#include "trainer/distributed/group_internal.h"

static Status array_new(Gradients *g, SharedMemory *array, bool goes_round)
{
    size_t bytes = (size_t)g->plan.blocks * KERNEL_BLOCK * sizeof(float);
    Status st = goes_round ? group_share(g->comm, bytes, array) : memory_private(g->comm, bytes, array);
    if (!st && g->device.group->d->pin(array->of[g->comm->rank], bytes))
        g->device.pinned[g->device.num_pinned++] = array->of[g->comm->rank];
    return st;
}

Status staged_allocate(Gradients *g)
{
    Status st = OK;
    char why[DEVICE_WHY_BYTES] = "";
    if (!(g->device.back = g->device.group->d->beside(g->device.stream, why))) RAISE(MEMORY, "%s", why);
    TRY(array_new(g, &g->data, true));
    TRY(array_new(g, &g->weights, !g->gathers_sums));
    if (g->full_determinism) TRY(array_new(g, &g->total, true));
    g->reduced = g->full_determinism ? &g->total : &g->data;
done:
    return st;
}

void staged_free(Gradients *g)
{
    if (g->device.back) stream_sync(g->device.back), stream_free(g->device.back);
    for (int i = 0; i < g->device.num_pinned; i++) g->device.group->d->unpin(g->device.pinned[i]);
}

static void copy(Gradients *g, Stream *queue, float *to, const float *from, Range range)
{
    if (range.end > range.begin)
        g->device.k->copy(queue, to + range.begin, from + range.begin,
                          (size_t)(range.end - range.begin) * sizeof(float));
}

void staged_bucket(Gradients *g, int bucket)
{
    DeviceArrays *d = &g->device;
    device_group_after_compute(d->group, d->order);
    copy(g, d->group->queue, g->data.of[g->comm->rank], d->data, g->plan.bucket[bucket]);
    d->group->d->mark_set(d->end[bucket], d->group->queue);
    pthread_mutex_lock(&g->lock);
    g->on_host = bucket + 1;
    pthread_cond_signal(&g->work);
    pthread_mutex_unlock(&g->lock);
}

Status staged_wait(Gradients *g, int bucket)
{
    DeviceGroup *group = g->device.group;
    group->d->mark_wait(g->device.end[bucket], group->queue);
    return device_group_check(group);
}

void staged_take_back(Gradients *g, Range range)
{
    copy(g, g->device.back, gradients_reduced(g), g->reduced->of[g->comm->rank], range);
}

/* All is back but for the last copies, which `back` still has. The norm is the device's, so that its bits are those of
 * ranks that have no need of the host. */
Status staged_finish(Gradients *g)
{
    Status st = OK;
    DeviceArrays *d = &g->device;
    size_t bytes = (size_t)g->plan.blocks * sizeof(double);
    d->group->d->mark_set(d->order, d->stream); /* a total without granules is made there */
    d->group->d->mark_order(d->order, d->back);
    for (int i = 0; i < g->plan.owned_count[g->comm->rank]; i++) {
        Range own = g->plan.owned[g->comm->rank][i];
        d->k->sum_squares(d->back, d->partials + own.begin / KERNEL_BLOCK, gradients_reduced(g) + own.begin,
                          own.end - own.begin);
    }
    d->k->copy(d->back, g->partials, d->partials, bytes);
    stream_sync(d->back);
    if (stream_failed(d->back)) RAISE(MEMORY, "%s", stream_message(d->back));
    TRY(gather_partials(g));
    d->k->copy(d->stream, d->partials, g->partials, bytes);
done:
    return st;
}

Status staged_gather_weights(Gradients *g)
{
    Status st = OK;
    DeviceArrays *d = &g->device;
    int self = g->comm->rank;
    device_group_after_compute(d->group, d->order);
    for (int i = 0; i < g->plan.owned_count[self]; i++)
        copy(g, d->group->queue, g->weights.of[self], d->weights, g->plan.owned[self][i]);
    stream_sync(d->group->queue);
    TRY(device_group_check(d->group));
    TRY(exchange_weights(g));
    for (int r = 0; r < g->plan.ranks; r++)
        for (int i = 0; r != self && i < g->plan.owned_count[r]; i++)
            copy(g, d->stream, d->weights, g->weights.of[self], g->plan.owned[r][i]);
done:
    return st;
}
