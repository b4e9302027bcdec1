/* y = act(gate) * up (Shazeer 2020) and its gradient, element by element. Cut into blocks for the pool. */
#include <assert.h>

#include "kernels/cpu/act.h"
#include "kernels/cpu/families.h"

enum { BLOCK = 1 << 14 };

typedef struct Span {
    float *y, *dgate, *dup;
    const float *dy, *gate, *up; /* dy NULL: forward */
    int64_t n;
    Activation act;
} Span;

VEC_FN void forward(Activation act, const Span *s, int64_t from, int64_t to)
{
    for (int64_t i = from; i < to; i += VF)
        vf_put(s->y + i, act_value(act, vf_get(s->gate + i, to - i)) * vf_get(s->up + i, to - i), to - i);
}

VEC_FN void backward(Activation act, const Span *s, int64_t from, int64_t to)
{
    for (int64_t i = from; i < to; i += VF) {
        vf value, dy = vf_get(s->dy + i, to - i), up = vf_get(s->up + i, to - i);
        vf slope = act_slope(act, vf_get(s->gate + i, to - i), &value);
        vf_put(s->dgate + i, dy * up * slope, to - i); /* may be gate; dup may be up: all is read */
        vf_put(s->dup + i, dy * value, to - i);
    }
}

static void forward_block(void *context, int64_t task, int thread)
{
    (void)thread;
    const Span *s = context;
    int64_t from = task * BLOCK, to = s->n - from < BLOCK ? s->n : from + BLOCK;
#define LOOP(constant) forward(constant, s, from, to)
    switch (s->act) { ACT_CASES(LOOP) }
#undef LOOP
}

static void backward_block(void *context, int64_t task, int thread)
{
    (void)thread;
    const Span *s = context;
    int64_t from = task * BLOCK, to = s->n - from < BLOCK ? s->n : from + BLOCK;
#define LOOP(constant) backward(constant, s, from, to)
    switch (s->act) { ACT_CASES(LOOP) }
#undef LOOP
}

static void gated_forward(Stream *s, Dtype dtype, void *y, const void *gate, const void *up, int64_t n, Activation act)
{
    assert(dtype == DTYPE_F32), (void)dtype;
    Span span = {.y = y, .gate = gate, .up = up, .n = n, .act = act};
    threads_run(stream_threads(s), (n + BLOCK - 1) / BLOCK, forward_block, &span);
}

static void gated_backward(Stream *s, Dtype dtype, void *dgate, void *dup, const void *dy, const void *gate,
                           const void *up, int64_t n, Activation act)
{
    assert(dtype == DTYPE_F32), (void)dtype;
    Span span = {.dgate = dgate, .dup = dup, .dy = dy, .gate = gate, .up = up, .n = n, .act = act};
    threads_run(stream_threads(s), (n + BLOCK - 1) / BLOCK, backward_block, &span);
}

void VARIANT(gated_install)(Kernels *k)
{
    k->gated_forward = gated_forward;
    k->gated_backward = gated_backward;
}
