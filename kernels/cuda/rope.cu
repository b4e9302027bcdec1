/* Rotary positions (Su et al. 2021, 3.4.2), half-split as in Llama: (x[i], x[i + half]) turns by positions[row] *
 * frequency[i].
 * Floor: 2*rows*heads*rotary_dim elements moved. */
#include "kernels/cuda/families.h"
#include "kernels/cuda/rows.cuh"

enum { MOST_THREADS = 256 };

template <bool ALIGNED>
static __global__ void __launch_bounds__(MOST_THREADS)
    rotate(float *x, const float *cosines, const float *sines, const int32_t *positions, int32_t heads,
           int32_t head_dim, int32_t turns, int64_t stride, bool inverse)
{
    int32_t quads = (turns + 3) / 4;
    const float *c = cosines + (int64_t)positions[blockIdx.x] * turns,
                *s = sines + (int64_t)positions[blockIdx.x] * turns;
    x += blockIdx.x * stride;
    for (int32_t q = threadIdx.x; q < heads * quads; q += blockDim.x) {
        int32_t head = q / quads, i = (q - head * quads) * 4, left = turns - i;
        float *at = x + (int64_t)head * head_dim + i;
        float4 x0 = load4<ALIGNED>(at, left), x1 = load4<ALIGNED>(at + turns, left), cs = load4<ALIGNED>(c + i, left),
               sn = load4<ALIGNED>(s + i, left);
        if (inverse) sn = sn * -1.0f;
        store4<ALIGNED>(at, fma4(x0, cs, x1 * sn * -1.0f), left);
        store4<ALIGNED>(at + turns, fma4(x1, cs, x0 * sn), left);
    }
}

static void rope(Stream *s, Dtype, void *x, const float *cos, const float *sin, const int32_t *positions, int64_t rows,
                 int32_t heads, int32_t head_dim, int32_t rotary_dim, int64_t stride, bool inverse)
{
    int32_t turns = rotary_dim / 2;
    bool aligned = rows_are_aligned(turns, {x, cos, sin}) && head_dim % 4 == 0 && stride % 4 == 0;
    if (turns)
        launch(aligned ? rotate<true> : rotate<false>, cuda_blocks(rows, 1),
               row_threads((int64_t)heads * ((turns + 3) / 4) * 4, MOST_THREADS), 0, s, (float *)x, cos, sin, positions,
               heads, head_dim, turns, stride, inverse);
}

void cuda_rope_install(Kernels *k) { k->rope = rope; }
