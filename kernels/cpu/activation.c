/* y = act(x) and its gradient, element by element. Cut into blocks for the pool; elements do not see each other. */
#include <assert.h>

#include "kernels/cpu/act.h"
#include "kernels/cpu/families.h"

enum { BLOCK = 1 << 14 };

typedef struct Span {
    float *y;
    const float *dy, *x; /* dy NULL: forward */
    int64_t n;
    Activation act;
} Span;

VEC_FN void forward(Activation act, float *y, const float *x, int64_t n)
{
    for (int64_t i = 0; i < n; i += VF) vf_put(y + i, act_value(act, vf_get(x + i, n - i)), n - i);
}

VEC_FN void backward(Activation act, float *dx, const float *dy, const float *x, int64_t n)
{
    for (int64_t i = 0; i < n; i += VF) {
        vf y;
        vf slope = act_slope(act, vf_get(x + i, n - i), &y);
        vf_put(dx + i, vf_get(dy + i, n - i) * slope, n - i);
    }
}

void VARIANT(activation_span)(float *y, const float *pre, int64_t n, Activation act)
{
#define LOOP(constant) forward(constant, y, pre, n)
    switch (act) { ACT_CASES(LOOP) }
#undef LOOP
}

static void backward_span(float *dx, const float *dy, const float *x, int64_t n, Activation act)
{
#define LOOP(constant) backward(constant, dx, dy, x, n)
    switch (act) { ACT_CASES(LOOP) }
#undef LOOP
}

static void block(void *context, int64_t task, int thread)
{
    (void)thread;
    const Span *s = context;
    int64_t at = task * BLOCK, n = s->n - at < BLOCK ? s->n - at : BLOCK;
    if (s->dy) backward_span(s->y + at, s->dy + at, s->x + at, n, s->act);
    else VARIANT(activation_span)(s->y + at, s->x + at, n, s->act);
}

static void activation_forward(Stream *s, Dtype dtype, void *y, const void *pre, int64_t n, Activation act)
{
    assert(dtype == DTYPE_F32), (void)dtype;
    Span span = {.y = y, .x = pre, .n = n, .act = act};
    threads_run(stream_threads(s), (n + BLOCK - 1) / BLOCK, block, &span);
}

static void activation_backward(Stream *s, Dtype dtype, void *dpre, const void *dy, const void *pre, int64_t n,
                                Activation act)
{
    assert(dtype == DTYPE_F32), (void)dtype;
    Span span = {.y = dpre, .dy = dy, .x = pre, .n = n, .act = act};
    threads_run(stream_threads(s), (n + BLOCK - 1) / BLOCK, block, &span);
}

void VARIANT(activation_install)(Kernels *k)
{
    k->activation_forward = activation_forward;
    k->activation_backward = activation_backward;
}
