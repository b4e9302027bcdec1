/* Which products of bf16 there are (gemm.h): decided once, by the CPU and HONE_BF16 alone. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/gemm.h"

static Bf16Products chosen;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void choose(void)
{
    const char *wanted = getenv("HONE_BF16");
    bool widened = wanted && strcmp(wanted, "widened") == 0;
    chosen = !widened && gemm_has_bf16() ? BF16_LIBRARY : BF16_WIDENED;
}

Bf16Products gemm_bf16(void)
{
    pthread_once(&once, choose);
    return chosen;
}

void gemm_set_bf16(Bf16Products how)
{
    pthread_once(&once, choose);
    chosen = how == BF16_LIBRARY && gemm_has_bf16() ? BF16_LIBRARY : BF16_WIDENED;
}

bool gemm_bf16_allowed(const char *wanted, char why[ISA_WHY_BYTES])
{
    if (!wanted || !*wanted || strcmp(wanted, "widened") == 0) return true;
    if (strcmp(wanted, "library") != 0)
        snprintf(why, ISA_WHY_BYTES, "HONE_BF16 is `%.50s`; it may be widened or library, or unset", wanted);
    else if (!gemm_has_bf16())
        snprintf(why, ISA_WHY_BYTES,
            "HONE_BF16 is library, but %s has no products of bfloat16 for this CPU%s; unset it",
                 gemm_library(), getenv("HONE_ISA") ? " as HONE_ISA narrows it" : "");
    else return true;
    return false;
}
