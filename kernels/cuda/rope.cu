/* Rotary positions (Su et al. 2021, 3.4.2), half-split as in Llama: (x[i], x[i + half]) turns by positions[row] *
 * frequency[i].
 * Floor: 2*rows*heads*rotary_dim elements moved, in bytes of the dtype. */
#include "kernels/cuda/families.h"
#include "kernels/cuda/pack.cuh"

enum { MOST_THREADS = 256 };

template <typename T, bool ALIGNED>
static __global__ void __launch_bounds__(MOST_THREADS)
    rotate(T *x, const float *cosines, const float *sines, const int32_t *positions, int32_t heads, int32_t head_dim,
           int32_t turns, int64_t stride, bool inverse)
{
    constexpr int N = PACK<T>;
    int32_t packs = (turns + N - 1) / N;
    const float *c = cosines + (int64_t)positions[blockIdx.x] * turns,
                *s = sines + (int64_t)positions[blockIdx.x] * turns;
    x += blockIdx.x * stride;
    for (int32_t q = threadIdx.x; q < heads * packs; q += blockDim.x) {
        int32_t head = q / packs, i = (q - head * packs) * N, left = ALIGNED ? N : turns - i;
        T *at = x + (int64_t)head * head_dim + i;
        Pack<N> x0 = load<ALIGNED, N>(at, left), x1 = load<ALIGNED, N>(at + turns, left),
                cs = load<ALIGNED, N>(c + i, left), sn = load<ALIGNED, N>(s + i, left);
        if (inverse) sn = sn * -1.0f;
        store<ALIGNED>(at, fma_pack(x0, cs, x1 * sn * -1.0f), left);
        store<ALIGNED>(at + turns, fma_pack(x1, cs, x0 * sn), left);
    }
}

static void rope(Stream *s, Dtype dtype, void *x, const float *cos, const float *sin, const int32_t *positions,
                 int64_t rows, int32_t heads, int32_t head_dim, int32_t rotary_dim, int64_t stride, bool inverse)
{
    int32_t turns = rotary_dim / 2;
    if (!turns) return;
    with_dtype(dtype, [&](auto zero) {
        typedef decltype(zero) T;
        bool aligned = rows_of_packs<T>(turns, {x, cos, sin}) && head_dim % PACK<T> == 0 && stride % PACK<T> == 0;
        unsigned threads = pack_threads<T>((int64_t)heads * ((turns + PACK<T> - 1) / PACK<T>)*PACK<T>, MOST_THREADS);
        launch(aligned ? rotate<T, true> : rotate<T, false>, cuda_blocks(rows, 1), threads, 0, s, (T *)x, cos, sin,
               positions, heads, head_dim, turns, stride, inverse);
    });
}

void cuda_rope_install(Kernels *k) { k->rope = rope; }
