/* y = act(x) and its gradient, element by element. Cut into blocks for the pool; elements do not see each other.
 * Floor: forward 2*n elements moved, backward 3*n. */
#include "kernels/cpu/act.h"
#include "kernels/cpu/families.h"

enum { BLOCK = 1 << 14 };

typedef struct Span {
    Dtype dtype;
    void *y;
    const void *dy, *x; /* dy NULL: forward */
    int64_t n;
    Activation act;
} Span;

VEC_FN void forward(Dtype d, Activation act, void *y, const void *x, int64_t i, int64_t n)
{
    for (; i < n; i += VF) put(d, y, i, act_value(act, at(d, x, i, n - i)), n - i);
}

VEC_FN void backward(Dtype d, Activation act, const Span *s, int64_t i, int64_t n)
{
    void *dx = s->y;
    const void *dy = s->dy, *x = s->x;
    for (; i < n; i += VF) {
        vf y;
        vf slope = act_slope(act, at(d, x, i, n - i), &y);
        put(d, dx, i, at(d, dy, i, n - i) * slope, n - i);
    }
}

void VARIANT(activation_span)(float *y, const float *pre, int64_t n, Activation act)
{
#define LOOP(constant) forward(DTYPE_F32, constant, y, pre, 0, n)
    switch (act) { ACT_CASES(LOOP) }
#undef LOOP
}

#define LOOP(constant) forward(d, constant, s->y, s->x, from, to)
VEC_FN void forward_span(Dtype d, const Span *s, int64_t from, int64_t to)
{
    switch (s->act) { ACT_CASES(LOOP) }
}
#undef LOOP

#define LOOP(constant) backward(d, constant, s, from, to)
VEC_FN void backward_span(Dtype d, const Span *s, int64_t from, int64_t to)
{
    switch (s->act) { ACT_CASES(LOOP) }
}
#undef LOOP

static void block(void *context, int64_t task, int thread)
{
    (void)thread;
    const Span *s = context;
    int64_t from = task * BLOCK, to = s->n - from < BLOCK ? s->n : from + BLOCK;
#define OF_DTYPE(d)                         \
    if (s->dy) backward_span(d, s, from, to); \
    else forward_span(d, s, from, to)
    switch (s->dtype) { DTYPE_CASES(OF_DTYPE) }
#undef OF_DTYPE
}

static void activation_forward(Stream *s, Dtype dtype, void *y, const void *pre, int64_t n, Activation act)
{
    Span span = {.dtype = dtype, .y = y, .x = pre, .n = n, .act = act};
    threads_run(stream_threads(s), (n + BLOCK - 1) / BLOCK, block, &span);
}

static void activation_backward(Stream *s, Dtype dtype, void *dpre, const void *dy, const void *pre, int64_t n,
                                Activation act)
{
    Span span = {.dtype = dtype, .y = dpre, .dy = dy, .x = pre, .n = n, .act = act};
    threads_run(stream_threads(s), (n + BLOCK - 1) / BLOCK, block, &span);
}

void VARIANT(activation_install)(Kernels *k)
{
    k->activation_forward = activation_forward;
    k->activation_backward = activation_backward;
}
