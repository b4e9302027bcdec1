/* kernels/vec.h with AVX512; nothing to do on a CPU without it. */
#include "kernels/kernels.h"

int vec_tests(void);

int main(void) { return isa_detect() & ISA_AVX512 ? vec_tests() : 0; }

#pragma GCC target("avx512f,avx512dq,avx512bw,avx512vl,avx2,fma,f16c")
#include "tests/kernels/vec_cases.h"
