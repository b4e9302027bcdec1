/* y = act(gate) * up (Shazeer 2020) and its gradient, element by element. Cut into blocks for the pool.
 * Floor: forward 3*n elements moved, backward 5*n. */
#include "kernels/cpu/act.h"
#include "kernels/cpu/families.h"

enum { BLOCK = 1 << 14 };

typedef struct Span {
    Dtype dtype;
    void *y, *dgate, *dup;
    const void *dy, *gate, *up; /* dy NULL: forward */
    int64_t n;
    Activation act;
} Span;

VEC_FN void forward(Dtype d, Activation act, const Span *s, int64_t i, int64_t n)
{
    void *y = s->y;
    const void *gate = s->gate, *up = s->up;
    for (; i < n; i += VF) put(d, y, i, act_value(act, at(d, gate, i, n - i)) * at(d, up, i, n - i), n - i);
}

VEC_FN void backward(Dtype d, Activation act, const Span *s, int64_t i, int64_t n)
{
    for (; i < n; i += VF) {
        vf value, dy = at(d, s->dy, i, n - i), up = at(d, s->up, i, n - i);
        vf slope = act_slope(act, at(d, s->gate, i, n - i), &value);
        put(d, s->dgate, i, dy * up * slope, n - i); /* may be gate; dup may be up: all is read */
        put(d, s->dup, i, dy * value, n - i);
    }
}

#define LOOP(constant) forward(d, constant, s, from, to)
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

static void gated_forward(Stream *s, Dtype dtype, void *y, const void *gate, const void *up, int64_t n, Activation act)
{
    Span span = {.dtype = dtype, .y = y, .gate = gate, .up = up, .n = n, .act = act};
    threads_run(stream_threads(s), (n + BLOCK - 1) / BLOCK, block, &span);
}

static void gated_backward(Stream *s, Dtype dtype, void *dgate, void *dup, const void *dy, const void *gate,
                           const void *up, int64_t n, Activation act)
{
    Span span = {.dtype = dtype, .dgate = dgate, .dup = dup, .dy = dy, .gate = gate, .up = up, .n = n, .act = act};
    threads_run(stream_threads(s), (n + BLOCK - 1) / BLOCK, block, &span);
}

void VARIANT(gated_install)(Kernels *k)
{
    k->gated_forward = gated_forward;
    k->gated_backward = gated_backward;
}
