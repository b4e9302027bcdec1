/* Where the tests of ops run: one line of `backends` for each backend, dtype and number of threads, with its tolerance.
 * A backend that this machine lacks, or whose kernels do not take the dtype (Kernels.dtypes), is passed over. Memory
 * goes through the entry, so that a device's need not be the host's. A test that is linked with CUDA's kernels on the
 * emulator (HONE_TEST_CUDA) runs on its lines alone. Include it after cmocka.h. */
#ifndef HONE_TESTS_AUTOGRAD_BACKENDS_H
#define HONE_TESTS_AUTOGRAD_BACKENDS_H

#include <math.h>
#include <stdlib.h>
#include <string.h>

#ifdef HONE_TEST_CUDA
#include "tests/autograd/device_memory.h"
#endif
#include "kernels/kernels.h"
#include "trainer/checkpoint/safetensors.h"

typedef struct Backend {
    const char *name;
    const Kernels *(*kernels)(int which); /* NULL: not on this machine */
    Stream *(*stream)(int threads);
    void *(*take)(size_t bytes);
    void (*give)(void *memory);
    void *(*put)(void *device, const void *host, size_t bytes);
    void *(*get)(void *host, const void *device, size_t bytes);
    int which, threads;
    Dtype dtype;
    double tolerance; /* of the largest value of a tensor */
} Backend;

static inline const Kernels *cpu_kernels(int isa)
{
#ifdef HONE_TEST_CUDA
    return (void)isa, NULL;
#else
    return isa_detect() & (unsigned)isa ? kernels_cpu((unsigned)isa) : NULL;
#endif
}

static inline void *cpu_take(size_t bytes) /* exactly that much, so that the sanitizer sees a step beyond */
{
    void *memory = malloc(bytes ? bytes : 1);
    assert_non_null(memory);
    memset(memory, 0xff, bytes); /* NaN: what nobody wrote shows */
    return memory;
}

#ifdef HONE_TEST_CUDA
static inline const Kernels *device_kernels(int which) { return (void)which, kernels_cuda(); }
#endif

#define DEVICE device_kernels, device_stream, device_take, device_give, device_copy, device_copy
#define CPU cpu_kernels, stream_new_cpu, cpu_take, free, memcpy, memcpy
static const Backend backends[] = {
    {"cpu/base, 1 thread", CPU, ISA_BASE, 1, DTYPE_F32, 3e-6},
    {"cpu/base, 2 threads", CPU, ISA_BASE, 2, DTYPE_F32, 3e-6},
    {"cpu/avx2, 1 thread", CPU, ISA_AVX2, 1, DTYPE_F32, 3e-6},
    {"cpu/avx2, 2 threads", CPU, ISA_AVX2, 2, DTYPE_F32, 3e-6},
    {"cpu/avx512, 1 thread", CPU, ISA_AVX512, 1, DTYPE_F32, 3e-6},
    {"cpu/avx512, 2 threads", CPU, ISA_AVX512, 2, DTYPE_F32, 3e-6},
    {"cpu/avx512 in bf16", CPU, ISA_AVX512, 2, DTYPE_BF16, 2e-2},
#ifdef HONE_TEST_CUDA
    {"cuda:0", DEVICE, 0, 1, DTYPE_F32, 3e-6},
    /* inputs are rounded, and outputs, and what lies between: measured 9e-3 and 2e-3 */
    {"cuda:0 in bf16", DEVICE, 0, 1, DTYPE_BF16, 2e-2},
    {"cuda:0 in f16", DEVICE, 0, 1, DTYPE_F16, 3e-3},
#endif
};
#undef CPU
#undef DEVICE

/* The kernels of entry i where it can run here, else NULL. */
static inline const Kernels *backend_kernels(size_t i)
{
    const Kernels *k = backends[i].kernels(backends[i].which);
    return k && k->dtypes >> backends[i].dtype & 1 ? k : NULL;
}
#define EACH_BACKEND(i) (size_t i = 0; i < sizeof backends / sizeof *backends; i++) if (backend_kernels(i))

/* A copy of n host floats on the device, as `dtype`; and back. */
static inline void *backend_floats(const Backend *b, Dtype dtype, const float *host, int64_t n)
{
    size_t bytes = (size_t)n * dtype_bytes(dtype);
    void *device = b->take(bytes), *converted = malloc(bytes + 1);
    assert_non_null(converted);
    convert_elements(dtype, converted, DTYPE_F32, host, n);
    b->put(device, converted, bytes);
    free(converted);
    return device;
}

static inline float *backend_host(const Backend *b, Dtype dtype, const void *device, int64_t n) /* free() it */
{
    size_t bytes = (size_t)n * dtype_bytes(dtype);
    void *raw = malloc(bytes + 1);
    float *host = malloc((size_t)n * sizeof *host + 1);
    assert_non_null(raw);
    assert_non_null(host);
    b->get(raw, device, bytes);
    convert_elements(DTYPE_F32, host, dtype, raw, n);
    free(raw);
    return host;
}

/* The largest difference as a share of the largest value (at least floor); NaN where one is NaN. */
static inline double worst_share(const float *have, const float *want, int64_t n, double factor, double floor)
{
    double largest = floor, worst = 0;
    for (int64_t i = 0; i < n; i++) {
        largest = fmax(largest, fabs(factor * (double)want[i]));
        double difference = fabs((double)have[i] - factor * (double)want[i]);
        if (!(difference <= worst)) worst = difference;
        if (isnan(difference)) return NAN;
    }
    return worst / largest;
}

#endif
