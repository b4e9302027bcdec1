/* linear_forward_alone, y = act(x W + bias) for generation: no bit of a row depends on the rows beside it, and few rows
 * are fast. Each sum has an order that in, out and the layout fix:
 *   - OUT_IN: a warp has OUTS outputs; its lanes take the inputs by eights, in turn, and their sums are added in order.
 *   - IN_OUT: eight lanes have 64 outputs, eight each, and 32 such groups take the inputs of a slice in turn; the
 *     groups' sums are added in order, then those of the slices. There are slices because a narrow layer has too few
 *     outputs to keep a device's memory busy: each is a block of its own, whose sums go through scratch. With many rows
 *     a block goes over the slices itself: the same sums.
 *
 * Floor: in*out weights read for each ROWS rows, which share them in registers; with many rows 2*rows*in*out FLOPs of
 * f32 (no tensor cores: prompts are read at that rate). */
#include "kernels/cuda/act.cuh"
#include "kernels/cuda/product.cuh"
#include "kernels/cuda/rows.cuh"

enum {
    ROWS = 8,
    EIGHT = 8,
    WARPS = 4,
    OUTS = 2,
    GROUPS = 32,
    WIDTH = 64,   /* outputs of a block of in_out */
    APART = 33,   /* floats between the sums of two results: lanes that add them up meet in no bank */
    BLOCKS = 264, /* that keep the memory busy: two for each multiprocessor of an H100. A constant, so that bits do
                     not depend on the device */
    SLICE = 128   /* inputs at least */
};

struct Few {
    void *y, *pre;
    const void *x, *weight, *bias;
    int64_t rows, in, out, ldy, ldw; /* as in Alone */
    int64_t slice;                   /* inputs of a slice */
    unsigned slices;
    Activation act;
};

template <typename T> static __device__ __forceinline__ void finish(const Few &f, int64_t row, int64_t o, float sum)
{
    int64_t at = row * f.ldy + o;
    if (f.bias) sum += widened(static_cast<const T *>(f.bias)[o]);
    if (f.pre) narrow(static_cast<T *>(f.pre) + at, sum);
    narrow(static_cast<T *>(f.y) + at, act_value(f.act, sum));
}

/* ---- OUT_IN ------------------------------ */

/* A block's outputs and its R rows: which, from its number; blocks of the same outputs follow each other, so that the
 * weights are in the cache for all but the first. */
template <int R> struct Part {
    int64_t outputs, row; /* first */
    int rows;
    __device__ Part(const Few &f, unsigned number)
    {
        unsigned groups = (unsigned)((f.rows + R - 1) / R);
        outputs = number / groups, row = (int64_t)(number % groups) * R;
        rows = f.rows - row < R ? (int)(f.rows - row) : R;
    }
};

template <typename T, int R, bool ALIGNED> static __global__ void __launch_bounds__(WARPS * 32) out_in(Few f)
{
    SHARED(float, sums, [WARPS][OUTS * R][APART]);
    const T *weight = static_cast<const T *>(f.weight), *x = static_cast<const T *>(f.x);
    int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    Part<R> part(f, blockIdx.x);
    int64_t first = (part.outputs * WARPS + warp) * OUTS;
    float sum[OUTS][R] = {};
#pragma unroll(ALIGNED &&R == 1 ? 4 : 1) /* several rows have loads enough in flight */
    for (int64_t i = lane * EIGHT; i < f.in; i += 32 * EIGHT) {
        Pack<EIGHT> w[OUTS], a;
        for (int o = 0; o < OUTS; o++)
            w[o] = load<ALIGNED, EIGHT>(weight + (first + o) * f.ldw + i, first + o < f.out ? f.in - i : 0);
#pragma unroll
        for (int r = 0; r < R; r++) {
            if (r >= part.rows) break;
            a = load<ALIGNED, EIGHT>(x + (part.row + r) * f.in + i, f.in - i);
            for (int o = 0; o < OUTS; o++)
                for (int j = 0; j < EIGHT; j++) sum[o][r] = fmaf(a.v[j], w[o].v[j], sum[o][r]);
        }
    }
    for (int o = 0; o < OUTS; o++)
        for (int r = 0; r < R; r++) sums[warp][o * R + r][lane] = sum[o][r];
    __syncwarp();
    int64_t o = first + lane / R, r = lane % R;
    if (lane >= OUTS * R || o >= f.out || r >= part.rows) return;
    float total = sums[warp][lane][0];
    for (int l = 1; l < 32; l++) total += sums[warp][lane][l];
    finish<T>(f, part.row + r, o, total);
}

/* ---- IN_OUT ------------------------------ */

/* total[r] of thread i < WIDTH = the sum of a slice's inputs for output first + i. */
template <typename T, int R, bool ALIGNED>
static __device__ __forceinline__ void sum_slice(float (&total)[R], const Few &f, const Part<R> &part, int64_t slice,
                                                 float (&sums)[GROUPS][WIDTH])
{
    const T *weight = static_cast<const T *>(f.weight), *x = static_cast<const T *>(f.x) + part.row * f.in;
    int group = threadIdx.x / (WIDTH / EIGHT), place = threadIdx.x % (WIDTH / EIGHT) * EIGHT;
    int64_t o = part.outputs * WIDTH + place, end = (slice + 1) * f.slice < f.in ? (slice + 1) * f.slice : f.in;
    float sum[R][EIGHT] = {};
#pragma unroll(ALIGNED &&R == 1 ? 2 : 1) /* several rows have loads enough in flight */
    for (int64_t i = slice * f.slice + group; i < end; i += GROUPS) {
        Pack<EIGHT> w = load<ALIGNED, EIGHT>(weight + i * f.ldw + o, f.out - o);
#pragma unroll
        for (int r = 0; r < R; r++) {
            if (r >= part.rows) break;
            float a = widened(x[r * f.in + i]);
            for (int j = 0; j < EIGHT; j++) sum[r][j] = fmaf(a, w.v[j], sum[r][j]);
        }
    }
#pragma unroll
    for (int r = 0; r < R; r++) {
        if (r >= part.rows) break;
        for (int j = 0; j < EIGHT; j++) sums[group][place + j] = sum[r][j];
        __syncthreads();
        if (threadIdx.x < WIDTH) {
            total[r] = sums[0][threadIdx.x];
            for (int g = 1; g < GROUPS; g++) total[r] += sums[g][threadIdx.x];
        }
        __syncthreads(); /* before the next row */
    }
}

/* partial NULL: a block goes over all slices; else it takes one and leaves its sums in partial [slices, rows, out]. */
template <typename T, int R, bool ALIGNED>
static __global__ void __launch_bounds__(GROUPS *WIDTH / EIGHT) in_out(Few f, float *partial)
{
    SHARED(float, sums, [GROUPS][WIDTH]);
    unsigned slice = partial ? blockIdx.x % f.slices : 0, last = partial ? slice + 1 : f.slices;
    Part<R> part(f, partial ? blockIdx.x / f.slices : blockIdx.x);
    int64_t o = part.outputs * WIDTH + threadIdx.x;
    float total[R] = {}, all[R] = {};
    for (unsigned i = slice; i < last; i++) {
        sum_slice<T, R, ALIGNED>(total, f, part, i, sums);
        for (int r = 0; r < R; r++) all[r] = i > slice ? all[r] + total[r] : total[r];
    }
    if (threadIdx.x >= WIDTH || o >= f.out) return;
#pragma unroll
    for (int r = 0; r < R; r++) {
        if (r >= part.rows) break;
        if (partial)
            partial[(slice * f.rows + part.row + r) * f.out + o] = all[r];
        else
            finish<T>(f, part.row + r, o, all[r]);
    }
}

template <typename T> static __global__ void __launch_bounds__(256) add_slices(Few f, const float *partial)
{
    int64_t n = f.rows * f.out, i = (int64_t)blockIdx.x * 256 + threadIdx.x;
    if (i >= n) return;
    float total = partial[i];
    for (unsigned s = 1; s < f.slices; s++) total += partial[s * n + i];
    finish<T>(f, i / f.out, i % f.out, total);
}

/* ---- which ------------------------------ */

template <typename T, int R> static void run(Stream *s, const Few &f, WeightLayout layout)
{
    int64_t groups = (f.rows + R - 1) / R, parts = (f.out + WIDTH - 1) / WIDTH * groups;
    bool wide_rows = f.ldw % EIGHT == 0 && cuda_is_aligned(f.weight);
    if (layout == OUT_IN) {
        auto *kernel = wide_rows && cuda_is_aligned(f.x) ? out_in<T, R, true> : out_in<T, R, false>;
        launch(kernel, cuda_blocks((f.out + OUTS - 1) / OUTS, WARPS) * groups, WARPS * 32, 0, s, f);
        return;
    }
    auto *kernel = wide_rows ? in_out<T, R, true> : in_out<T, R, false>;
    bool apart = f.slices > 1 && groups == 1;
    float *partial = nullptr;
    if (apart) partial = (float *)stream_scratch_cuda(s, 0, (size_t)(f.slices * f.rows * f.out) * sizeof *partial);
    if (stream_has_failed(s)) return;
    launch(kernel, (unsigned)(apart ? parts * f.slices : parts), GROUPS * WIDTH / EIGHT, 0, s, f, partial);
    if (apart) launch(add_slices<T>, cuda_blocks(f.rows * f.out, 256), 256, 0, s, f, (const float *)partial);
}

template <typename T> static void run_typed(Stream *s, const Few &f, WeightLayout layout)
{
    if (f.rows == 1)
        run<T, 1>(s, f, layout);
    else
        run<T, ROWS>(s, f, layout);
}

/* Slices of IN_OUT for one row, by in and out alone. */
static void slice(Few *f)
{
    int64_t blocks = (f->out + WIDTH - 1) / WIDTH, wanted = (BLOCKS + blocks - 1) / blocks,
            most = (f->in + SLICE - 1) / SLICE, slices = wanted < most ? wanted : most;
    f->slice = ((f->in + slices - 1) / slices + GROUPS - 1) / GROUPS * GROUPS;
    f->slices = (unsigned)((f->in + f->slice - 1) / f->slice);
}

void linear_alone(Stream *s, const Alone &a)
{
    Few f = {a.y, a.pre == a.y ? nullptr : a.pre, a.x, a.weight, a.bias, a.rows, a.in, a.out, a.ldy, a.ldw,
             a.in, 1, a.act};
    if (a.layout == IN_OUT) slice(&f);
    with_dtype(a.dtype, [&](auto zero) { run_typed<decltype(zero)>(s, f, a.layout); });
}
