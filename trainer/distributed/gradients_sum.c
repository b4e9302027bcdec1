/* Adding the ranks' gradients in a given order, and their square sums on the way: one pass over memory, a tile that
 * stays in the first cache at a time. Compiled for the base instruction set: memory is the limit, not arithmetic. */
#include <string.h>

#include "trainer/distributed/gradients_internal.h"

enum { TILE = 1024, LANES = 16 };

/* Element i of a block goes to lane i % LANES: the order depends on nothing else. */
static void add_squares(double *restrict lane, const float *restrict x, int64_t n)
{
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int l = 0; l < LANES; l++) lane[l] += (double)x[i + l] * (double)x[i + l];
    for (int l = 0; i + l < n; l++) lane[l] += (double)x[i + l] * (double)x[i + l];
}

static double sum_lanes(double *lane)
{
    for (int half = LANES / 2; half; half /= 2)
        for (int l = 0; l < half; l++) lane[l] += lane[l + half];
    return lane[0];
}

static void add(float *restrict to, const float *restrict from, int64_t n)
{
    for (int64_t i = 0; i < n; i++) to[i] += from[i];
}

static void fold_block(const Fold *f, int64_t begin, int64_t end)
{
    float tile[TILE];
    double lane[LANES] = {0};
    for (int64_t at = begin; at < end; at += TILE) {
        int64_t n = end - at < TILE ? end - at : TILE;
        if (f->count == 1 && (!f->into || f->into == f->source[0])) {
            add_squares(lane, f->source[0] + at, n);
            continue;
        }
        memcpy(tile, f->source[0] + at, (size_t)n * sizeof *tile);
        for (int s = 1; s < f->count; s++) add(tile, f->source[s] + at, n);
        add_squares(lane, tile, n);
        memcpy(f->into + at, tile, (size_t)n * sizeof *tile);
    }
    f->partials[begin / KERNEL_BLOCK] = sum_lanes(lane);
}

typedef struct Blocks { /* one task a block */
    const Fold *fold;
    float *to;
    const float *from;
    Range range;
} Blocks;

static void run_block(void *context, int64_t task, int thread)
{
    const Blocks *b = context;
    (void)thread;
    int64_t begin = b->range.begin + task * KERNEL_BLOCK, end = begin + KERNEL_BLOCK;
    if (end > b->range.end) end = b->range.end;
    if (b->fold)
        fold_block(b->fold, begin, end);
    else
        memcpy(b->to + begin, b->from + begin, (size_t)(end - begin) * sizeof(float));
}

static void run_blocks(Blocks *b, Threads *threads)
{
    int64_t tasks = (b->range.end - b->range.begin + KERNEL_BLOCK - 1) / KERNEL_BLOCK;
    if (threads && tasks > 1) {
        threads_run(threads, tasks, run_block, b);
        return;
    }
    for (int64_t i = 0; i < tasks; i++) run_block(b, i, 0);
}

void fold_run(const Fold *fold, Range range, Threads *threads)
{
    run_blocks(&(Blocks){.fold = fold, .range = range}, threads);
}

void copy_run(float *to, const float *from, Range range, Threads *threads)
{
    run_blocks(&(Blocks){.to = to, .from = from, .range = range}, threads);
}
