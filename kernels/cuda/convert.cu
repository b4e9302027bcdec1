/* Among f32, bf16, f16: to nearest even, by way of f32, which holds both others. NaN stays NaN.
 * Floor: n elements read and n written, each in bytes of its dtype. */
#include <type_traits>

#include "kernels/cuda/convert.cuh"
#include "kernels/cuda/families.h"
#include "kernels/cuda/pack.cuh"

enum { THREADS = 256, EACH = 8 };

template <typename To, typename From, bool ALIGNED>
static __global__ void __launch_bounds__(THREADS) convert_elements(To *y, const From *x, int64_t n)
{
    int64_t step = (int64_t)gridDim.x * THREADS * EACH;
    for (int64_t i = ((int64_t)blockIdx.x * THREADS + threadIdx.x) * EACH; i < n; i += step)
        store<ALIGNED>(y + i, load<ALIGNED, EACH>(x + i, n - i), n - i);
}

/* The same for rows at strides: blocks of columns, then rows. */
template <typename To, typename From, bool ALIGNED>
static __global__ void __launch_bounds__(THREADS)
    convert_rows(To *y, int64_t ldy, const From *x, int64_t ldx, int64_t cols, unsigned blocks)
{
    int64_t row = blockIdx.x / blocks, i = ((int64_t)(blockIdx.x % blocks) * THREADS + threadIdx.x) * EACH;
    if (i < cols) store<ALIGNED>(y + row * ldy + i, load<ALIGNED, EACH>(x + row * ldx + i, cols - i), cols - i);
}

void cuda_convert_rows(Stream *s, Dtype to, void *y, int64_t ldy, Dtype from, const void *x, int64_t ldx, int64_t rows,
                       int64_t cols)
{
    if (!rows || !cols) return;
    bool aligned = cuda_is_aligned(y) && cuda_is_aligned(x) && ldy % EACH == 0 && ldx % EACH == 0;
    unsigned blocks = cuda_blocks(cols, THREADS * EACH);
    with_dtype(to, [&](auto zero_to) {
        with_dtype(from, [&](auto zero_from) {
            typedef decltype(zero_to) To;
            typedef decltype(zero_from) From;
            if constexpr (!std::is_same<To, From>::value)
                launch(aligned ? convert_rows<To, From, true> : convert_rows<To, From, false>,
                       (unsigned)(rows * blocks), THREADS, 0, s, (To *)y, ldy, (const From *)x, ldx, cols, blocks);
        });
    });
}

static void convert(Stream *s, Dtype to, void *y, Dtype from, const void *x, int64_t n)
{
    if (to == from) {
        if (n)
            cuda_ok(s, cudaMemcpyAsync(y, x, (size_t)n * dtype_bytes(to), cudaMemcpyDeviceToDevice, cuda_queue(s)),
                    "copy");
        return;
    }
    bool aligned = cuda_is_aligned(y) && cuda_is_aligned(x);
    with_dtype(to, [&](auto zero_to) {
        with_dtype(from, [&](auto zero_from) {
            typedef decltype(zero_to) To;
            typedef decltype(zero_from) From;
            if constexpr (!std::is_same<To, From>::value)
                launch(aligned ? convert_elements<To, From, true> : convert_elements<To, From, false>,
                       cuda_blocks(n, THREADS * EACH), THREADS, 0, s, (To *)y, (const From *)x, n);
        });
    });
}

void cuda_convert_install(Kernels *k) { k->convert = convert; }
