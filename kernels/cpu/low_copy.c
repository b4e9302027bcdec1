/* Copies of f32 weights in bf16 or f16, to nearest or by chance (rounding.h). */
#include <assert.h>

#include "kernels/cpu/families.h"
#include "kernels/rounding.h"

enum { BLOCK = 1 << 15 }; /* elements of a task */

static void by_chance(const LowCopy *low, uint16_t *y, const float *w, int64_t i, int64_t n)
{
    uint16_t (*rounded)(float, uint32_t) = low->dtype == DTYPE_F16 ? f16_by_chance : bf16_by_chance;
    for (int64_t j = 0; j < n; j += 4) {
        Philox bits = rounding_bits(low->seed, low->update, (uint64_t)(low->first + i + j) / 4);
        for (int64_t l = 0; l < 4 && j + l < n; l++) y[j + l] = rounded(w[j + l], bits.v[l]);
    }
}

void VARIANT(low_copy_span)(const LowCopy *low, const float *w, int64_t i, int64_t n)
{
    uint16_t *y = (uint16_t *)low->data + i;
    assert(low->first % 4 == 0 && i % 4 == 0);
    if (low->rounding == ROUND_STOCHASTIC) by_chance(low, y, w + i, i, n);
    else VARIANT(convert_narrow)(low->dtype, y, w + i, n);
}

typedef struct Pass { const LowCopy *low; const float *w; int64_t n; } Pass;

static void block(void *context, int64_t task, int thread)
{
    (void)thread;
    const Pass *p = context;
    int64_t i = task * BLOCK;
    VARIANT(low_copy_span)(p->low, p->w, i, p->n - i < BLOCK ? p->n - i : BLOCK);
}

static void low_copy(Stream *s, const LowCopy *low, const float *w, int64_t n)
{
    Pass p = {low, w, n};
    threads_run(stream_threads(s), (n + BLOCK - 1) / BLOCK, block, &p);
}

void VARIANT(low_copy_install)(Kernels *k) { k->low_copy = low_copy; }
