/* The activations of kernels.h on one vector, and their slopes. `act` is a constant where they are called (ACT_CASES),
 * so that the switch is gone and each activation has a loop of its own.
 *   gelu       x Phi(x) (Hendrycks and Gimpel 2016)
 *   gelu_tanh  x/2 (1 + tanh u) = x sigmoid(2u), u = sqrt(2/pi) (x + 0.044715 x^3): one exponential,
 *              no cancellation for x << 0 */
#ifndef HONE_KERNELS_CPU_ACT_H
#define HONE_KERNELS_CPU_ACT_H

#include "kernels/kernels.h"
#include "kernels/cpu/typed.h"

#define ACT_2_SQRT_2_PI 1.5957691216057308f /* 2 sqrt(2/pi) */
#define ACT_SQRT_HALF 0.70710678118654752f
#define ACT_1_SQRT_2PI 0.39894228040143268f

VEC_FN vf act_value(Activation act, vf x)
{
    switch (act) {
    case ACT_NONE: break;
    case ACT_GELU: return x * 0.5f * (1.0f + vf_erf(x * ACT_SQRT_HALF));
    case ACT_GELU_TANH: return x / (1.0f + vf_exp(x * -ACT_2_SQRT_2_PI * vf_fma(x * x, vf_set(0.044715f), vf_set(1))));
    case ACT_RELU: return vf_max(vf_zero(), x); /* NaN stays */
    case ACT_SILU: return x / (1.0f + vf_exp(-x));
    case ACT_TANH: return vf_tanh(x);
    }
    return x;
}

/* *y = act(x); returns act'(x). */
VEC_FN vf act_slope(Activation act, vf x, vf *y)
{
    vf s;
    switch (act) {
    case ACT_NONE: break;
    case ACT_GELU:
        s = 0.5f + 0.5f * vf_erf(x * ACT_SQRT_HALF);
        *y = x * s;
        return vf_fma(x * ACT_1_SQRT_2PI, vf_exp_negative(x * x * -0.5f), s);
    case ACT_GELU_TANH:
        s = vf_sigmoid(x * ACT_2_SQRT_2_PI * vf_fma(x * x, vf_set(0.044715f), vf_set(1)));
        *y = x * s;
        return vf_fma(*y * (1.0f - s), ACT_2_SQRT_2_PI * vf_fma(x * x, vf_set(3 * 0.044715f), vf_set(1)), s);
    case ACT_RELU:
        *y = vf_max(vf_zero(), x);
        return vf_where(x > 0.0f, vf_set(1));
    case ACT_SILU:
        s = vf_sigmoid(x);
        *y = x * s;
        return vf_fma(*y, 1.0f - s, s);
    case ACT_TANH:
        *y = vf_tanh(x);
        return vf_fma(-*y, *y, vf_set(1));
    }
    *y = x;
    return vf_set(1);
}

/* switch (act) { ACT_CASES(LOOP) }: LOOP(constant) for the one that it is. */
#define ACT_CASES(LOOP)                       \
    case ACT_NONE: LOOP(ACT_NONE); break;     \
    case ACT_GELU: LOOP(ACT_GELU); break;     \
    case ACT_GELU_TANH: LOOP(ACT_GELU_TANH); break; \
    case ACT_RELU: LOOP(ACT_RELU); break;     \
    case ACT_SILU: LOOP(ACT_SILU); break;     \
    case ACT_TANH: LOOP(ACT_TANH); break;

#endif
