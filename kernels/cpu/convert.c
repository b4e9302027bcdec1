/* Among f32, bf16, f16: to nearest even; NaN stays NaN, f16's denormals are kept. Everything goes by way of f32, which
 * holds both others (typed.h).
 * Floor: n elements read and n written. */
#include <assert.h>

#include "kernels/cpu/families.h"
#include "kernels/cpu/typed.h"

enum { BLOCK = 1 << 15 }; /* elements of a task */

void VARIANT(convert_narrow)(Dtype to, uint16_t *y, const float *x, int64_t n)
{
    if (to == DTYPE_F16) narrow_span(DTYPE_F16, y, x, n);
    else narrow_span(DTYPE_BF16, y, x, n);
}

typedef struct Conversion {
    Dtype to, from;
    char *y;
    const char *x;
    int64_t n;
} Conversion;

VEC_FN void convert_span(Dtype to, Dtype from, const Conversion *c, int64_t i, int64_t end)
{
    if (to == from) memcpy(typed_at(to, c->y, i), typed_at(to, c->x, i), (size_t)(end - i) * (to == DTYPE_F32 ? 4 : 2));
    else
        for (; i < end; i += VF) put(to, c->y, i, at(from, c->x, i, end - i), end - i);
}

#define FROM(d) convert_span(to, d, c, i, end)
VEC_FN void convert_to(Dtype to, const Conversion *c, int64_t i, int64_t end)
{
    switch (c->from) { DTYPE_CASES(FROM) }
}
#undef FROM

static void convert_block(void *context, int64_t task, int thread)
{
    (void)thread;
    const Conversion *c = context;
    int64_t end = (task + 1) * BLOCK < c->n ? (task + 1) * BLOCK : c->n;
#define TO(d) convert_to(d, c, task * BLOCK, end)
    switch (c->to) { DTYPE_CASES(TO) }
#undef TO
}

static void convert(Stream *s, Dtype to, void *y, Dtype from, const void *x, int64_t n)
{
    assert(to <= DTYPE_F16 && from <= DTYPE_F16);
    Conversion c = {.to = to, .from = from, .y = y, .x = x, .n = n};
    threads_run(stream_threads(s), (n + BLOCK - 1) / BLOCK, convert_block, &c);
}

void VARIANT(convert_install)(Kernels *k) { k->convert = convert; }
