/* Rows of a table, and their gradient. The backward adds to a row in the order of the tokens that share it, without
 * atomics: tokens are sorted by (id, place), keys being unique so that the order is one; the first of each run then
 * adds up its run.
 * Floor: forward 2*rows*width elements (3 when it adds), in bytes of the dtype; backward rows*width of them read, and
 * twice the f32 rows of the table that occur, besides the zeros of all others when it does not add. The sort moves some
 * 16*rows bytes a pass, about 15 passes at 32768 rows. */
#include "kernels/cuda/families.h"
#include "kernels/cuda/pack.cuh"

enum { MOST_THREADS = 256, SORT_THREADS = 1024, AHEAD = 8 };
static constexpr int64_t SORT_BLOCK = 2 * SORT_THREADS;

template <typename T, typename W, bool ALIGNED>
static __global__ void __launch_bounds__(MOST_THREADS)
    gather(T *y, const W *table, const int32_t *ids, int64_t width, bool accumulate)
{
    constexpr int N = PACK<T> > PACK<W> ? PACK<T> : PACK<W>;
    const W *from = table + ids[blockIdx.x] * width;
    y += blockIdx.x * width;
    for (int64_t i = threadIdx.x * N; i < width; i += blockDim.x * N) {
        int64_t left = ALIGNED ? N : width - i;
        Pack<N> v = load<ALIGNED, N>(from + i, left);
        store<ALIGNED>(y + i, accumulate ? load<ALIGNED, N>(y + i, left) + v : v, left);
    }
}

static void embedding_forward(Stream *s, Dtype dtype, Dtype wdtype, void *y, const void *table, const int32_t *ids,
                              int64_t rows, int64_t width, bool accumulate)
{
    with_dtype(dtype, [&](auto zero) {
        with_dtype(wdtype, [&](auto other) {
            typedef decltype(zero) T;
            typedef decltype(other) W;
            bool aligned = rows_of_packs<T>(width, {y, table}) && rows_of_packs<W>(width, {});
            launch(aligned ? gather<T, W, true> : gather<T, W, false>, cuda_blocks(rows, 1),
                   pack_threads<T>(width, MOST_THREADS), 0, s, (T *)y, (const W *)table, ids, width, accumulate);
        });
    });
}

/* ---- bitonic sort (Batcher 1968) of `total` keys, a power of two ------------------------------ */
static __global__ void make_keys(uint64_t *keys, const int32_t *ids, int64_t rows, int64_t padding,
                                 int64_t total)
{
    int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (i < total) keys[i] = i < rows && ids[i] != padding ? (uint64_t)ids[i] << 32 | (uint64_t)i : ~0ull;
}

/* Pair number `pair` of those `distance` apart: in runs of `run` keys that go up and down in turn. */
static __device__ __forceinline__ void compare(uint64_t *keys, int64_t pair, int64_t distance, int64_t run,
                                               int64_t first)
{
    int64_t low = pair / distance * 2 * distance + pair % distance, high = low + distance;
    bool up = ((first + low) & run) == 0;
    uint64_t a = keys[low], b = keys[high];
    if ((a > b) == up) keys[low] = b, keys[high] = a;
}

/* Within SORT_BLOCK keys: whole stages of runs from `run` to `last`, each from `distance` down; later stages from run
 * / 2. */
static __global__ void __launch_bounds__(SORT_THREADS)
    sort_block(uint64_t *keys, int64_t total, int64_t run, int64_t last, int64_t distance)
{
    SHARED(uint64_t, part, [SORT_BLOCK]);
    int64_t first = (int64_t)blockIdx.x * SORT_BLOCK, count = total < SORT_BLOCK ? total : SORT_BLOCK;
    for (int64_t i = threadIdx.x; i < count; i += SORT_THREADS) part[i] = keys[first + i];
    for (; run <= last; run *= 2, distance = run / 2)
        for (; distance > 0; distance /= 2) {
            __syncthreads();
            for (int64_t pair = threadIdx.x; pair < count / 2; pair += SORT_THREADS)
                compare(part, pair, distance, run, first);
        }
    __syncthreads();
    for (int64_t i = threadIdx.x; i < count; i += SORT_THREADS) keys[first + i] = part[i];
}

static __global__ void __launch_bounds__(MOST_THREADS)
    sort_pass(uint64_t *keys, int64_t total, int64_t run, int64_t distance)
{
    int64_t pair = (int64_t)blockIdx.x * MOST_THREADS + threadIdx.x;
    if (pair < total / 2) compare(keys, pair, distance, run, 0);
}

static void sort(Stream *s, uint64_t *keys, int64_t total)
{
    unsigned blocks = cuda_blocks(total, SORT_BLOCK);
    launch(sort_block, blocks, SORT_THREADS, 0, s, keys, total, (int64_t)2, total < SORT_BLOCK ? total : SORT_BLOCK,
           (int64_t)1);
    for (int64_t run = 2 * SORT_BLOCK; run <= total; run *= 2) {
        for (int64_t distance = run / 2; distance >= SORT_BLOCK; distance /= 2)
            launch(sort_pass, cuda_blocks(total / 2, MOST_THREADS), MOST_THREADS, 0, s, keys, total, run, distance);
        launch(sort_block, blocks, SORT_THREADS, 0, s, keys, total, run, run, SORT_BLOCK / 2);
    }
}

/* A block for each sorted place; the first of a run adds the rows of the run to the table's, AHEAD of them being read
 * at once. */
template <typename T, bool ALIGNED>
static __global__ void __launch_bounds__(MOST_THREADS)
    scatter(float *dtable, const T *dy, const uint64_t *keys, int64_t rows, int64_t width)
{
    constexpr int N = PACK<T>;
    int64_t place = blockIdx.x;
    uint32_t id = (uint32_t)(keys[place] >> 32);
    if (id == UINT32_MAX) return; /* padding: they are the last */
    if (place && (uint32_t)(keys[place - 1] >> 32) == id) return;
    float *to = dtable + id * width;
    for (int64_t i = threadIdx.x * N; i < width; i += blockDim.x * N) {
        int64_t left = ALIGNED ? N : width - i;
        Pack<N> sum = load<ALIGNED, N>(to + i, left);
        for (int64_t p = place; p < rows && (uint32_t)(keys[p] >> 32) == id; p += AHEAD) {
            Pack<N> v[AHEAD];
            int count = 0;
#pragma unroll
            for (int a = 0; a < AHEAD; a++) {
                v[a] = zero_pack<N>();
                if (p + a >= rows || (uint32_t)(keys[p + a] >> 32) != id) continue;
                v[a] = load<ALIGNED, N>(dy + (int64_t)(uint32_t)keys[p + a] * width + i, left);
                count = a + 1;
            }
#pragma unroll
            for (int a = 0; a < AHEAD; a++)
                if (a < count) sum = sum + v[a];
        }
        store<ALIGNED>(to + i, sum, left);
    }
}

static void embedding_backward(Stream *s, Dtype dtype, float *dtable, const void *dy, const int32_t *ids, int64_t rows,
                               int64_t width, int64_t vocab, int64_t padding, bool accumulate)
{
    size_t bytes = (size_t)(vocab * width) * sizeof *dtable;
    if (!accumulate && bytes) cuda_ok(s, cudaMemsetAsync(dtable, 0, bytes, cuda_queue(s)), "zero");
    if (!rows || !width) return;
    int64_t total = 2;
    while (total < rows) total *= 2;
    uint64_t *keys = (uint64_t *)s->backend->scratch(s, 0, 0, (size_t)total * sizeof *keys);
    launch(make_keys, cuda_blocks(total, MOST_THREADS), MOST_THREADS, 0, s, keys, ids, rows, padding, total);
    sort(s, keys, total);
    with_dtype(dtype, [&](auto zero) {
        typedef decltype(zero) T;
        bool aligned = rows_of_packs<T>(width, {dtable, dy});
        launch(aligned ? scatter<T, true> : scatter<T, false>, cuda_blocks(rows, 1),
               pack_threads<T>(width, MOST_THREADS), 0, s, dtable, (const T *)dy, (const uint64_t *)keys, rows, width);
    });
}

void cuda_embedding_install(Kernels *k)
{
    k->embedding_forward = embedding_forward;
    k->embedding_backward = embedding_backward;
}
