/* kernels/vec.h with AVX2; nothing to do on a CPU without it. */
#include "kernels/kernels.h"

int vec_tests(void);

int main(void) { return isa_detect() & ISA_AVX2 ? vec_tests() : 0; }

#pragma GCC target("avx2,fma,f16c")
#include "tests/kernels/vec_cases.h"
