/* Among f32, bf16, f16: to nearest even, by way of f32, which holds both others. NaN stays NaN.
 * Floor: n elements read and n written. */
#include "kernels/cuda/families.h"

enum { THREADS = 256, EACH = 4 };

static __device__ __forceinline__ float widened(float x) { return x; }
static __device__ __forceinline__ float widened(__nv_bfloat16 x) { return __bfloat162float(x); }
static __device__ __forceinline__ float widened(__half x) { return __half2float(x); }
static __device__ __forceinline__ void narrow(float *y, float x) { *y = x; }
static __device__ __forceinline__ void narrow(__nv_bfloat16 *y, float x) { *y = __float2bfloat16_rn(x); }
static __device__ __forceinline__ void narrow(__half *y, float x) { *y = __float2half_rn(x); }

template <typename T> struct alignas(4 * sizeof(T)) Four {
    T v[EACH];
};

template <typename To, typename From, bool ALIGNED>
static __global__ void __launch_bounds__(THREADS) convert_elements(To *y, const From *x, int64_t n)
{
    int64_t step = (int64_t)gridDim.x * THREADS * EACH;
    for (int64_t i = ((int64_t)blockIdx.x * THREADS + threadIdx.x) * EACH; i < n; i += step) {
        if (ALIGNED && n - i >= EACH) {
            Four<From> from = *reinterpret_cast<const Four<From> *>(x + i);
            Four<To> to;
            for (int j = 0; j < EACH; j++) narrow(&to.v[j], widened(from.v[j]));
            *reinterpret_cast<Four<To> *>(y + i) = to;
        } else {
            for (int64_t j = i; j < n && j < i + EACH; j++) narrow(&y[j], widened(x[j]));
        }
    }
}

template <typename To, typename From> static void convert_types(Stream *s, void *y, const void *x, int64_t n)
{
    auto *kernel =
        cuda_is_aligned(y) && cuda_is_aligned(x) ? convert_elements<To, From, true> : convert_elements<To, From, false>;
    launch(kernel, cuda_blocks(n, THREADS * EACH), THREADS, 0, s, (To *)y, (const From *)x, n);
}

template <typename To> static void convert_to(Stream *s, void *y, Dtype from, const void *x, int64_t n)
{
    if (from == DTYPE_F32)
        convert_types<To, float>(s, y, x, n);
    else if (from == DTYPE_BF16)
        convert_types<To, __nv_bfloat16>(s, y, x, n);
    else
        convert_types<To, __half>(s, y, x, n);
}

static void convert(Stream *s, Dtype to, void *y, Dtype from, const void *x, int64_t n)
{
    if (to == from)
        cuda_ok(s, cudaMemcpyAsync(y, x, (size_t)n * dtype_bytes(to), cudaMemcpyDeviceToDevice, cuda_queue(s)), "copy");
    else if (to == DTYPE_F32)
        convert_to<float>(s, y, from, x, n);
    else if (to == DTYPE_BF16)
        convert_to<__nv_bfloat16>(s, y, from, x, n);
    else
        convert_to<__half>(s, y, from, x, n);
}

void cuda_convert_install(Kernels *k) { k->convert = convert; }
