/* The reducer's calls: what backward and the loop say to it. The work is in gradients_exchange.c. */
#include "trainer/distributed/gradients.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "trainer/distributed/collectives.h"
#include "trainer/distributed/gradients_internal.h"
#include "trainer/distributed/group_internal.h"

static const int64_t DEFAULT_BUCKET_BYTES = INT64_C(25) << 20;
static bool defect;

void gradients_test_order(bool on) { defect = on; }

static Status allocate_tables(Gradients *g)
{
    const Plan *p = &g->plan;
    size_t ranks = (size_t)p->ranks, blocks = (size_t)p->blocks;
    g->left = calloc((size_t)p->buckets + 1, sizeof *g->left);
    g->partials = calloc(blocks + 1, sizeof *g->partials);
    g->all_partials = calloc(ranks * (size_t)p->most_blocks + 1, sizeof *g->all_partials);
    g->sources = calloc(ranks + 1, sizeof *g->sources);
    g->contributes = malloc(ranks);
    g->sizes = calloc(4 * ranks, sizeof *g->sizes);
    if (ranks > 1 && !g->shares) g->received = malloc(ranks * (size_t)p->most_elements * sizeof(float) + 1);
    if (!g->left || !g->partials || !g->all_partials || !g->sources || !g->contributes || !g->sizes ||
        (ranks > 1 && !g->shares && !g->received))
        return status_raise(STATUS_MEMORY, "no memory for gradient buckets of %d ranks", p->ranks);
    memset(g->contributes, 1, ranks);
    return OK;
}

/* Weights are shared only where they go round. */
static Status allocate_arrays(Gradients *g)
{
    Status st = OK;
    size_t bytes = (size_t)g->plan.blocks * KERNEL_BLOCK * sizeof(float);
    TRY(group_share(g->comm, bytes, &g->data));
    if (g->gathers_sums)
        TRY(memory_private(g->comm, bytes, &g->weights));
    else
        TRY(group_share(g->comm, bytes, &g->weights));
    if (g->full_determinism) TRY(group_share(g->comm, bytes, &g->total)); /* only the own parts are ever touched */
    g->reduced = g->full_determinism ? &g->total : &g->data;
done:
    return st;
}

Status gradients_new(ProcessGroup *pg, Stream *stream, int64_t n, const GradientsOptions *options, Gradients **out)
{
    Status st = OK;
    int64_t cap = options->bucket_bytes > 0 ? options->bucket_bytes : DEFAULT_BUCKET_BYTES;
    Gradients *g = calloc(1, sizeof *g);

    *out = NULL;
    if (!g) RAISE(MEMORY, "no memory for the gradients");
    pthread_mutex_init(&g->lock, NULL);
    pthread_cond_init(&g->work, NULL);
    pthread_cond_init(&g->done, NULL);
    if (n < 0 || n > INT64_MAX / 8) RAISE(BUG, "%" PRId64 " parameters", n);
    g->full_determinism = options->full_determinism;
    g->gathers_sums = options->zero_stage == 0;
    g->everything = (Range){0, n};
    g->total_is_empty = true;
    g->defect = defect;
    g->threads = stream ? stream_threads(stream) : NULL;
    TRY(group_duplicate(pg, &g->comm));
    g->shares = group_can_share(g->comm);
    TRY(plan_new(n, pg->size, cap, &g->plan));
    TRY(allocate_tables(g));
    if (stream && stream_is_device(stream)) TRY(device_allocate(g, options, stream));
    else TRY(allocate_arrays(g));
    if (pg->size > 1 && !device_is_direct(g)) TRY(exchange_start(g));
    *out = g;
    g = NULL;
done:
    gradients_free(g);
    return st;
}

/* Where the thread hangs in a call (another rank has failed) its memory is left to it: the process is about to end. */
void gradients_free(Gradients *g)
{
    if (!g || !exchange_stop(g)) return;
    device_free(g);
    shared_memory_free(&g->data);
    shared_memory_free(&g->weights);
    shared_memory_free(&g->total);
    group_close(g->comm);
    plan_free(&g->plan);
    pthread_cond_destroy(&g->work);
    pthread_cond_destroy(&g->done);
    pthread_mutex_destroy(&g->lock);
    free(g->left);
    free(g->partials);
    free(g->all_partials);
    free(g->sources);
    free(g->contributes);
    free(g->sizes);
    free(g->received);
    free(g);
}

float *gradients_data(Gradients *g) { return g->device.k ? g->device.data : g->data.of[g->comm->rank]; }
float *gradients_weights(Gradients *g) { return g->device.k ? g->device.weights : g->weights.of[g->comm->rank]; }

float *gradients_reduced(Gradients *g)
{
    if (g->device.k) return g->full_determinism ? g->device.total : g->device.data;
    return g->reduced->of[g->comm->rank];
}

void gradients_zero(Gradients *g, int64_t begin, int64_t end)
{
    if (g->device.k) {
        device_zero(g, g->device.data + begin, end - begin);
        return;
    }
    memset(gradients_data(g) + begin, 0, (size_t)(end - begin) * sizeof(float));
}

/* Until all that was asked for is done; meanwhile the thread may use the pool. */
static Status wait_for_exchange(Gradients *g)
{
    Status st = OK;
    double begin = clock_seconds();
    pthread_mutex_lock(&g->lock);
    g->main_waits = true;
    while (g->asked != g->answered) pthread_cond_wait(&g->done, &g->lock);
    g->main_waits = false;
    g->waited_s += clock_seconds() - begin;
    if (g->error) st = status_raise(g->error, "%s", g->message);
    pthread_mutex_unlock(&g->lock);
    return st;
}

Status gradients_begin(Gradients *g, bool last, bool has_granule)
{
    Status st = OK;
    bool sends = g->plan.ranks > 1 && (last || g->full_determinism);
    if (g->has_thread) TRY(wait_for_exchange(g));

    pthread_mutex_lock(&g->lock);
    if (!g->in_update) g->total_is_empty = true;
    g->in_update = true;
    g->last = last;
    g->has_granule = has_granule || !g->full_determinism;
    if (sends) {
        for (int k = 0; k < g->plan.buckets; k++) g->left[k] = g->plan.bucket[k].end - g->plan.bucket[k].begin;
        g->started = g->on_host = g->device.handed_on = 0;
    }
    if (sends && g->has_thread) {
        g->asked++;
        pthread_cond_signal(&g->work);
    }
    pthread_mutex_unlock(&g->lock);
    if (sends && device_is_direct(g)) TRY(nccl_begin(g));
done:
    return st;
}

/* The lock is held for a moment only by either side. */
void gradients_ready(Gradients *g, int64_t begin, int64_t end)
{
    if (g->plan.ranks == 1 || !(g->last || g->full_determinism) || begin >= end) return;
    bool complete = false;
    pthread_mutex_lock(&g->lock);
    for (int k = plan_bucket_of(&g->plan, begin); k < g->plan.buckets && g->plan.bucket[k].begin < end; k++) {
        Range b = g->plan.bucket[k];
        g->left[k] -= (end < b.end ? end : b.end) - (begin > b.begin ? begin : b.begin);
        complete |= g->left[k] <= 0;
    }
    if (complete) pthread_cond_signal(&g->work);
    pthread_mutex_unlock(&g->lock);
    if (complete && g->device.group) device_hand_on(g);
}

Status gradients_end(Gradients *g)
{
    if (g->plan.ranks == 1) {
        if (g->full_determinism) g->device.k ? device_add_up(g) : exchange_alone(g);
        return OK;
    }
    if (!(g->last || g->full_determinism)) return OK;
    pthread_mutex_lock(&g->lock);
    g->early = g->device.group ? g->device.handed_on : g->started;
    memset(g->left, 0, (size_t)g->plan.buckets * sizeof *g->left);
    pthread_cond_signal(&g->work);
    pthread_mutex_unlock(&g->lock);
    if (device_is_direct(g)) nccl_end(g);
    else if (device_is_staged(g)) device_hand_on(g);
    return OK;
}

/* Copies a rank's block sums between their places and `packed`. */
static void pack_partials(Gradients *g, int rank, double *packed, bool unpack)
{
    for (int i = 0; i < g->plan.owned_count[rank]; i++) {
        Range range = g->plan.owned[rank][i];
        for (int64_t at = range.begin; at < range.end; at += KERNEL_BLOCK, packed++) {
            double *partial = &g->partials[at / KERNEL_BLOCK];
            *(unpack ? partial : packed) = *(unpack ? packed : partial);
        }
    }
}

Status gather_partials(Gradients *g)
{
    Status st = OK;
    int64_t each = g->plan.most_blocks;
    double *mine = g->all_partials + g->comm->rank * each;
    pack_partials(g, g->comm->rank, mine, false);
    TRY(group_all_gather(g->comm, mine, g->all_partials, (size_t)each * sizeof *mine));
    for (int r = 0; r < g->plan.ranks; r++) pack_partials(g, r, g->all_partials + r * each, true);
done:
    return st;
}

/* An update without a single granule: its gradient is zero. */
static void clear_total(Gradients *g)
{
    int count;
    const Range *owned = gradients_owned(g, &count);
    if (g->device.k) {
        device_zero(g, g->device.total, g->plan.n);
        return;
    }
    for (int i = 0; i < count; i++)
        memset(gradients_reduced(g) + owned[i].begin, 0, (size_t)(owned[i].end - owned[i].begin) * sizeof(float));
    memset(g->partials, 0, (size_t)g->plan.blocks * sizeof *g->partials);
}

Status gradients_finish(Gradients *g, double *norm_squared)
{
    Status st = OK;
    double sum = 0;
    if (device_is_staged(g)) stream_sync(g->device.stream); /* backward itself is no time of waiting */
    if (g->has_thread) TRY(wait_for_exchange(g));
    if (device_is_direct(g)) TRY(nccl_finish(g));
    if (g->full_determinism && g->total_is_empty) clear_total(g);
    if (g->device.k) {
        if (device_is_staged(g)) TRY(staged_finish(g));
        else if (!g->device.group) device_square_sums(g);
        if (norm_squared) TRY(device_read_partials(g));
    } else if (g->has_thread) {
        double begin = clock_seconds();
        TRY(gather_partials(g));
        g->exposed_s += clock_seconds() - begin;
    } else if (!g->full_determinism) {
        const float *source = gradients_data(g);
        fold_run(&(Fold){NULL, &source, 1, g->partials}, g->everything, g->threads);
    }
    for (int64_t b = 0; b < g->plan.blocks; b++) sum += g->partials[b];
    if (norm_squared) *norm_squared = sum;
    g->in_update = false;
done:
    return st;
}

bool gradients_wait(const Gradients *g) { return g->plan.ranks > 1 && !device_is_direct(g); }
double *gradients_companion(Gradients *g) { return device_is_direct(g) ? g->device.partials + g->plan.blocks : NULL; }
Status gradients_check(Gradients *g) { return device_is_direct(g) ? device_group_check(g->device.group) : OK; }

const double *gradients_partials(const Gradients *g, int64_t *blocks)
{
    *blocks = g->plan.blocks;
    return g->device.k ? g->device.partials : g->partials;
}

const Range *gradients_owned_by(const Gradients *g, int rank, int *count)
{
    bool all = g->gathers_sums || g->plan.ranks == 1;
    *count = all ? g->plan.n > 0 : g->plan.owned_count[rank];
    return all ? &g->everything : g->plan.owned[rank];
}

const Range *gradients_owned(const Gradients *g, int *count) { return gradients_owned_by(g, g->comm->rank, count); }

/* Each rank takes what the others own. The second barrier: nobody changes weights that others still copy. */
static Status copy_weights(Gradients *g)
{
    Status st = OK;
    int self = g->comm->rank;
    TRY(group_barrier(g->comm));
    for (int r = 0; r < g->plan.ranks; r++)
        for (int i = 0; r != self && i < g->plan.owned_count[r]; i++)
            copy_run(g->weights.of[self], g->weights.of[r], g->plan.owned[r][i], g->threads);
    TRY(group_barrier(g->comm));
done:
    return st;
}

static Status send_weights(Gradients *g)
{
    Status st = OK;
    for (int k = 0; k < g->plan.buckets && !st; k++) st = gather_bucket(g, k, &g->weights);
    return st;
}

Status exchange_weights(Gradients *g)
{
    collective_begin("all-gather of weights", 0, 0, NULL);
    Status st = g->shares ? copy_weights(g) : send_weights(g);
    collective_end();
    return st;
}

Status gradients_gather_weights(Gradients *g)
{
    if (g->plan.ranks == 1 || g->gathers_sums) return OK;
    if (device_is_direct(g)) return nccl_gather_weights(g);
    double begin = clock_seconds();
    Status st = device_is_staged(g) ? staged_gather_weights(g) : exchange_weights(g);
    g->exposed_s += clock_seconds() - begin;
    return st;
}

void gradients_times(Gradients *g, double *hidden, double *exposed)
{
    if (device_is_direct(g)) nccl_times(g);
    pthread_mutex_lock(&g->lock);
    *hidden = g->busy_s > g->waited_s ? g->busy_s - g->waited_s : 0;
    *exposed = g->waited_s + g->exposed_s;
    g->busy_s = g->waited_s = g->exposed_s = 0;
    pthread_mutex_unlock(&g->lock);
}

void gradients_counts(const Gradients *g, int *started_early, int *buckets)
{
    *started_early = g->early;
    *buckets = g->plan.buckets;
}

