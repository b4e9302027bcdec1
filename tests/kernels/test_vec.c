/* kernels/vec.h with SSE2 (base). The other sets: test_vec_avx2.c, test_vec_avx512.c. */
int vec_tests(void);

#include "tests/kernels/vec_cases.h"

int main(void) { return vec_tests(); }
