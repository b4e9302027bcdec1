/* The activations of kernels.h on one number, and their slopes, as kernels/cpu/act.h has them:
 *   gelu       x Phi(x) (Hendrycks and Gimpel 2016)
 *   gelu_tanh  x/2 (1 + tanh u) = x sigmoid(2u), u = sqrt(2/pi) (x + 0.044715 x^3): one exponential, no cancellation */
#ifndef HONE_KERNELS_CUDA_ACT_CUH
#define HONE_KERNELS_CUDA_ACT_CUH

#include "kernels/cuda/pack.cuh"

#define ACT_2_SQRT_2_PI 1.5957691216057308f /* 2 sqrt(2/pi) */
#define ACT_SQRT_HALF 0.70710678118654752f
#define ACT_1_SQRT_2PI 0.39894228040143268f

__device__ __forceinline__ float sigmoid(float x) { return 1.0f / (1.0f + expf(-x)); }

/* The branch is the same for all threads. */
__device__ __forceinline__ float act_value(Activation act, float x)
{
    switch (act) {
    case ACT_GELU:
        return x * 0.5f * (1.0f + erff(x * ACT_SQRT_HALF));
    case ACT_GELU_TANH:
        return x / (1.0f + expf(x * -ACT_2_SQRT_2_PI * fmaf(x * x, 0.044715f, 1)));
    case ACT_RELU:
        return x < 0 ? 0 : x; /* NaN stays */
    case ACT_SILU:
        return x / (1.0f + expf(-x));
    case ACT_TANH:
        return tanhf(x);
    default:
        return x;
    }
}

/* *y = act(x); returns act'(x). */
__device__ __forceinline__ float act_slope(Activation act, float x, float *y)
{
    float s;
    switch (act) {
    case ACT_GELU:
        s = 0.5f + 0.5f * erff(x * ACT_SQRT_HALF);
        *y = x * s;
        return fmaf(x * ACT_1_SQRT_2PI, expf(x * x * -0.5f), s);
    case ACT_GELU_TANH:
        s = sigmoid(x * ACT_2_SQRT_2_PI * fmaf(x * x, 0.044715f, 1));
        *y = x * s;
        return fmaf(*y * (1.0f - s), ACT_2_SQRT_2_PI * fmaf(x * x, 3 * 0.044715f, 1), s);
    case ACT_RELU:
        *y = x < 0 ? 0 : x;
        return x > 0 ? 1 : 0;
    case ACT_SILU:
        s = sigmoid(x);
        *y = x * s;
        return fmaf(*y, 1.0f - s, s);
    case ACT_TANH:
        *y = tanhf(x);
        return fmaf(-*y, *y, 1);
    default:
        *y = x;
        return 1;
    }
}

template <int N> __device__ __forceinline__ Pack<N> act_values(Activation act, Pack<N> x)
{
#pragma unroll
    for (int i = 0; i < N; i++) x.v[i] = act_value(act, x.v[i]);
    return x;
}

template <int N> __device__ __forceinline__ Pack<N> act_slopes(Activation act, Pack<N> x, Pack<N> *y)
{
#pragma unroll
    for (int i = 0; i < N; i++) x.v[i] = act_slope(act, x.v[i], &y->v[i]);
    return x;
}

#endif
