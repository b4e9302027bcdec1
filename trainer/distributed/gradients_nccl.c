/* Buckets by NCCL, a GPU a rank, in a queue of their own beside the one that computes. Marks order the two, and nobody
 * waits: a bucket begins behind the kernels that were queued when it was complete, the optimizer behind the last
 * bucket, the next forward behind the weights.
 *
 * zero_stage 1: reduce-scatter into the owner's part and all-gather of weights, 0: all-reduce; sums as a ring makes
 * them, which repeat on the same machines. Parts of one size, of all buckets but the last, are one call; else a group
 * of reductions to their owners moves the same bytes. full_determinism: each owner receives the others' gradients of
 * its part, and a kernel adds them in rank order to what it has. The norm's partial sums are the owner's, 0 at all
 * others, so that adding them over ranks is exact, and all ranks have the same; a number of each rank's own goes with
 * them, by which all know whether every rank's losses are finite. */
#include "trainer/distributed/collectives.h"
#include "trainer/distributed/gradients_internal.h"

static int64_t size_of(Range r) { return r.end - r.begin; }

Status nccl_allocate(Gradients *g)
{
    DeviceArrays *d = &g->device;
    if (!g->full_determinism) return OK;
    size_t bytes = (size_t)g->plan.ranks * (size_t)g->plan.most_elements * sizeof(float);
    d->received = stream_allocate(d->stream, bytes + 1);
    return d->received ? OK : status_raise(STATUS_MEMORY, "out of memory: %zu MB on the device", bytes >> 20);
}

/* Of the last update, once: the host has waited for it since, or its times are lost. */
void nccl_times(Gradients *g)
{
    DeviceArrays *d = &g->device;
    const DeviceRanks *r = d->group->d;
    CollectiveState state;
    int last = g->plan.buckets - 1;
    collective_look(&state); /* marks that move soon are counted first */
    if (!d->is_timed || last < 0 || !r->mark_is_reached(d->end[last]) || !r->mark_is_reached(d->backward)) return;
    if (d->has_gathered && !r->mark_is_reached(d->gather_end)) return;
    double busy = 0, late = r->mark_seconds(d->backward, d->end[last]);
    for (int k = 0; k <= last; k++) busy += r->mark_seconds(d->begin[k], d->end[k]);
    if (late < 0) late = 0;
    if (late > busy) late = busy;
    pthread_mutex_lock(&g->lock);
    g->busy_s += busy;
    g->waited_s += late;
    if (d->has_gathered) g->exposed_s += r->mark_seconds(d->gather_begin, d->gather_end);
    pthread_mutex_unlock(&g->lock);
    d->is_timed = d->has_gathered = false;
}

Status nccl_begin(Gradients *g)
{
    Status st = OK;
    DeviceArrays *d = &g->device;
    unsigned char mine = g->has_granule;
    nccl_times(g);
    TRY(device_group_check(d->group));
    if (g->full_determinism) {
        TRY(group_all_gather(g->comm, &mine, g->contributes, 1));
        device_group_before_compute(d->group, d->order); /* the micro-step before may still be sent */
    }
done:
    return st;
}

/* Every bucket but the last, and that where its blocks can be shared out evenly. */
static bool is_even(const Gradients *g, int bucket)
{
    int64_t each = size_of(plan_part(&g->plan, bucket, 0));
    for (int r = 1; r < g->plan.ranks; r++)
        if (size_of(plan_part(&g->plan, bucket, r)) != each) return false;
    return true;
}

static void reduce_bucket(Gradients *g, int bucket)
{
    const DeviceArrays *d = &g->device;
    const DeviceRanks *r = d->group->d;
    DeviceComm *c = d->group->comm;
    Range b = g->plan.bucket[bucket];
    if (g->gathers_sums) {
        r->all_reduce(c, d->data + b.begin, size_of(b));
        return;
    }
    if (is_even(g, bucket)) {
        r->reduce_scatter(c, d->data + b.begin, size_of(plan_part(&g->plan, bucket, 0)));
        return;
    }
    r->comm_group(c);
    for (int owner = 0; owner < g->plan.ranks; owner++) {
        Range part = plan_part(&g->plan, bucket, owner);
        if (size_of(part)) r->reduce(c, d->data + part.begin, size_of(part), owner);
    }
    r->comm_group_end(c);
}

static void gather_parts(Gradients *g, int bucket, float *array)
{
    const DeviceRanks *r = g->device.group->d;
    DeviceComm *c = g->device.group->comm;
    if (is_even(g, bucket)) {
        r->all_gather(c, array + g->plan.bucket[bucket].begin, size_of(plan_part(&g->plan, bucket, 0)));
        return;
    }
    r->comm_group(c);
    for (int owner = 0; owner < g->plan.ranks; owner++) {
        Range part = plan_part(&g->plan, bucket, owner);
        if (size_of(part)) r->broadcast(c, array + part.begin, size_of(part), owner);
    }
    r->comm_group_end(c);
}

static void send_parts(Gradients *g, int bucket)
{
    const DeviceArrays *d = &g->device;
    const DeviceRanks *r = d->group->d;
    DeviceComm *c = d->group->comm;
    int self = g->comm->rank;
    int64_t mine = size_of(plan_part(&g->plan, bucket, self));
    r->comm_group(c);
    for (int other = 0; other < g->plan.ranks; other++) {
        Range part = plan_part(&g->plan, bucket, other);
        if (other == self) continue;
        if (g->contributes[self] && size_of(part)) r->send(c, d->data + part.begin, size_of(part), other);
        if (g->contributes[other] && mine)
            r->receive(c, d->received + (int64_t)other * g->plan.most_elements, mine, other);
    }
    r->comm_group_end(c);
}

/* In rank order, behind what there is of the update. */
static void add_up(Gradients *g, int bucket)
{
    const DeviceArrays *d = &g->device;
    int count = 0, ranks = g->plan.ranks;
    Range part = plan_part(&g->plan, bucket, g->comm->rank);
    if (!size_of(part)) return;
    if (!g->total_is_empty) g->sources[count++] = d->total + part.begin;
    for (int i = 0; i < ranks; i++) {
        int rank = g->defect ? ranks - 1 - i : i;
        if (!g->contributes[rank]) continue;
        g->sources[count++] = rank == g->comm->rank ? d->data + part.begin
                                                    : d->received + (int64_t)rank * g->plan.most_elements;
    }
    if (count) d->group->d->fold(d->group->queue, d->total + part.begin, g->sources, count, size_of(part));
}

static const char *name_of(const Gradients *g)
{
    return g->full_determinism ? "exchange" : g->gathers_sums ? "all-reduce" : "reduce-scatter";
}

void nccl_bucket(Gradients *g, int bucket)
{
    DeviceArrays *d = &g->device;
    const DeviceRanks *r = d->group->d;
    Stream *queue = d->group->queue;
    Range part = plan_part(&g->plan, bucket, g->comm->rank);
    device_group_after_compute(d->group, d->order);
    if (!bucket && g->last) d->k->fill_zero(queue, d->partials, (size_t)g->plan.blocks * sizeof(double));
    r->mark_set(d->begin[bucket], queue);
    if (g->full_determinism) {
        send_parts(g, bucket);
        add_up(g, bucket);
    } else {
        reduce_bucket(g, bucket);
    }
    if (g->last) {
        if (!(g->full_determinism && g->total_is_empty && !any_contributes(g)))
            d->k->sum_squares(queue, d->partials + part.begin / KERNEL_BLOCK, gradients_reduced(g) + part.begin,
                              size_of(part));
        if (g->full_determinism && g->gathers_sums) gather_parts(g, bucket, d->total);
    }
    r->mark_set(d->end[bucket], queue);
    collective_begin(name_of(g), bucket, g->plan.buckets, d->end[bucket]); /* the mark stands for it from here on */
}

void nccl_end(Gradients *g)
{
    g->device.group->d->mark_set(g->device.backward, g->device.stream);
    device_hand_on(g);
    g->total_is_empty = g->total_is_empty && !any_contributes(g);
}

Status nccl_finish(Gradients *g)
{
    DeviceArrays *d = &g->device;
    device_group_after_compute(d->group, d->order); /* gradients_companion() is written there */
    d->group->d->all_reduce_f64(d->group->comm, d->partials, g->plan.blocks + 1);
    d->group->d->mark_set(d->norm_end, d->group->queue);
    collective_begin("all-reduce of the norm", 0, 0, d->norm_end);
    device_group_before_compute(d->group, d->order);
    d->is_timed = true;
    return device_group_check(d->group);
}

Status nccl_gather_weights(Gradients *g)
{
    Status st = OK;
    DeviceArrays *d = &g->device;
    const DeviceRanks *r = d->group->d;
    TRY(device_group_check(d->group));
    device_group_after_compute(d->group, d->order);
    r->mark_set(d->gather_begin, d->group->queue);
    for (int k = 0; k < g->plan.buckets; k++) gather_parts(g, k, d->weights);
    r->mark_set(d->gather_end, d->group->queue);
    collective_begin("all-gather of weights", 0, 0, d->gather_end);
    device_group_before_compute(d->group, d->order);
    d->has_gathered = true;
    TRY(device_group_check(d->group));
done:
    return st;
}
