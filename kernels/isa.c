/* Which instruction set runs: what the CPU and the system offer (gcc's cpuid helper also asks XGETBV whether the
 * registers are saved), narrowed by HONE_ISA for tests and comparisons. */
#include <cpuid.h>
#include <immintrin.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/gemm.h"
#include "kernels/kernels.h"

const Kernels *kernels_table_base(void);
const Kernels *kernels_table_avx2(void);
const Kernels *kernels_table_avx512(void);

/* What clang 14 has no name for in __builtin_cpu_supports. */
static bool has_f16c(void)
{
    unsigned a, b, c, d;
    return __get_cpuid(1, &a, &b, &c, &d) && c & bit_F16C;
}

unsigned isa_of_cpu(void)
{
    unsigned isa = ISA_BASE;
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && has_f16c()) isa |= ISA_AVX2;
    if (isa & ISA_AVX2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl"))
        isa |= ISA_AVX512;
    return isa;
}

bool isa_has_bf16(void)
{
    unsigned a, b, c, d;
    return __get_cpuid_count(7, 1, &a, &b, &c, &d) && a & 1u << 5;
}

/* XCR0: what the system saves of a program's registers. 17 and 18 are AMX's. */
__attribute__((target("xsave"))) static uint64_t saved_registers(void)
{
    unsigned a, b, c, d;
    return __get_cpuid(1, &a, &b, &c, &d) && c & bit_OSXSAVE ? (uint64_t)_xgetbv(0) : 0;
}

bool isa_has_amx(void)
{
    unsigned a, b, c, d;
    bool there = __get_cpuid_count(7, 0, &a, &b, &c, &d) && d & 1u << 22 && d & 1u << 24;
    return there && (saved_registers() >> 17 & 3) == 3;
}

unsigned isa_detect(void)
{
    unsigned isa = isa_of_cpu();
    const char *narrow = getenv("HONE_ISA");
    if (narrow && !strcmp(narrow, "base")) isa &= ISA_BASE;
    if (narrow && !strcmp(narrow, "avx2")) isa &= ISA_BASE | ISA_AVX2;
    return isa;
}

bool isa_allowed(const char *wanted, unsigned has, char why[ISA_WHY_BYTES])
{
    static const unsigned all[] = {ISA_BASE, ISA_AVX2, ISA_AVX512};
    if (!wanted || !*wanted) return true;
    for (int i = 0; i < 3; i++) {
        if (strcmp(wanted, isa_name(all[i])) != 0) continue;
        if (has & all[i]) return true;
        snprintf(why, ISA_WHY_BYTES, "HONE_ISA is %s, which this CPU lacks; it has %s%s; choose one, or unset HONE_ISA",
                 wanted, isa_name(ISA_BASE), has & ISA_AVX2 ? " and avx2" : " alone");
        return false;
    }
    snprintf(why, ISA_WHY_BYTES, "HONE_ISA is `%.50s`; it may be base, avx2 or avx512, or unset", wanted);
    return false;
}

const char *isa_name(unsigned isa)
{
    return isa & ISA_AVX512 ? "avx512" : isa & ISA_AVX2 ? "avx2" : "base";
}

const Kernels *kernels_cpu(unsigned isa)
{
    return isa & ISA_AVX512 ? kernels_table_avx512() : isa & ISA_AVX2 ? kernels_table_avx2() : kernels_table_base();
}
