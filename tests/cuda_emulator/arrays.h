/* What tests share that hold arrays on the device: those of any dtype, known numbers, and what was launched. Include it
 * in one file of a program. */
#ifndef TESTS_CUDA_EMULATOR_ARRAYS_H
#define TESTS_CUDA_EMULATOR_ARRAYS_H

#include <cmath>
#include <csetjmp>
#include <cstdarg>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include <unistd.h>

extern "C" {
#include <cmocka.h>
}

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include "kernels/cuda/cuda.h"
#include "tests/cuda_emulator/cublas.h"

typedef std::vector<float> Floats;

static char log_path[] = "/tmp/hone_arrays_XXXXXX";
static const Kernels *k;
static Stream *s;

static float bf16(float x) { return __bfloat162float(__float2bfloat16_rn(x)); }
static float f16(float x) { return __half2float(__float2half_rn(x)); }
static float as(Dtype d, float x) { return d == DTYPE_BF16 ? bf16(x) : d == DTYPE_F16 ? f16(x) : x; }

[[maybe_unused]] static Floats numbers(Dtype d, int64_t n, uint32_t seed)
{
    Floats x((size_t)n);
    for (float &v : x) seed = seed * 1664525u + 1013904223u, v = as(d, (float)(seed >> 8) * 0x1p-23f - 1);
    return x;
}

/* An array on the device, `skip` elements beyond an address that is aligned to 256 bytes. */
class Array
{
    Dtype d;
    int64_t n;
    char *memory;
    size_t offset;

  public:
    Array(Dtype dtype, int64_t count, int skip = 0)
        : d(dtype), n(count), memory(static_cast<char *>(stream_allocate(s, (size_t)(count + skip) * dtype_bytes(d)))),
          offset((size_t)skip * dtype_bytes(d))
    {
        assert_non_null(memory);
    }
    Array(Dtype dtype, const Floats &x, int skip = 0) : Array(dtype, (int64_t)x.size(), skip)
    {
        std::vector<char> raw(x.size() * dtype_bytes(d));
        for (size_t i = 0; i < x.size(); i++) {
            if (d == DTYPE_F32) memcpy(&raw[i * 4], &x[i], 4);
            __nv_bfloat16 b = __float2bfloat16_rn(x[i]);
            __half h = __float2half_rn(x[i]);
            if (d == DTYPE_BF16) memcpy(&raw[i * 2], &b, 2);
            if (d == DTYPE_F16) memcpy(&raw[i * 2], &h, 2);
        }
        k->copy(s, at(), raw.data(), raw.size());
        stream_sync(s);
    }
    Array(const Array &) = delete;
    ~Array() { stream_release(s, memory); }
    void *at() const { return memory + offset; }
    float *floats() const { return reinterpret_cast<float *>(at()); }
    Floats values() const
    {
        std::vector<char> raw((size_t)n * dtype_bytes(d));
        Floats x((size_t)n);
        k->copy(s, raw.data(), at(), raw.size());
        stream_sync(s);
        for (size_t i = 0; i < x.size(); i++) {
            __nv_bfloat16 b;
            __half h;
            if (d == DTYPE_F32) memcpy(&x[i], &raw[i * 4], 4);
            if (d == DTYPE_BF16) memcpy(&b, &raw[i * 2], 2), x[i] = __bfloat162float(b);
            if (d == DTYPE_F16) memcpy(&h, &raw[i * 2], 2), x[i] = __half2float(h);
        }
        return x;
    }
};

/* What has been launched since the last call, a line each. */
static std::string launched()
{
    std::string text;
    char part[4096];
    stream_sync(s);
    FILE *f = fopen(log_path, "r+");
    assert_non_null(f);
    for (size_t n; (n = fread(part, 1, sizeof part, f)) > 0;) text.append(part, n);
    assert_int_equal(ftruncate(fileno(f), 0), 0);
    fclose(f);
    return text;
}

/* Launches among them: the log also has what the host asks of the runtime. */
[[maybe_unused]] static int launches(const std::string &text)
{
    int n = 0;
    for (size_t i = 0; (i = text.find(" stream ", i)) != std::string::npos; i++) n++;
    return n;
}

[[maybe_unused]] static void assert_launched(int count, const std::vector<const char *> &what)
{
    std::string text = launched();
    for (const char *w : what)
        if (text.find(w) == std::string::npos) fail_msg("no %s in:\n%s", w, text.c_str());
    if (launches(text) != count) fail_msg("%d launches, not %d:\n%s", launches(text), count, text.c_str());
}

[[maybe_unused]] static void assert_close(const char *what, const Floats &x, const std::vector<double> &want,
                                          double tolerance)
{
    assert_int_equal(x.size(), want.size());
    for (size_t i = 0; i < want.size(); i++)
        if (!(std::fabs((double)x[i] - want[i]) <= tolerance * (1 + std::fabs(want[i]))))
            fail_msg("%s: element %zu of %zu is %.9g, not %.9g", what, i, want.size(), (double)x[i], want[i]);
}

[[maybe_unused]] static double unit(Dtype d) { return d == DTYPE_BF16 ? 0x1p-8 : d == DTYPE_F16 ? 0x1p-11 : 0; }

static int begin(void **)
{
    char message[200];
    int f = mkstemp(log_path);
    if (f < 0) return -1;
    close(f);
    setenv("HONE_EMU_LOG", log_path, 1);
    k = kernels_cuda();
    s = stream_new_cuda(0, message);
    return s ? 0 : -1;
}

static int end(void **)
{
    stream_free(s);
    unlink(log_path);
    return emu::cublas_objects() != 0;
}

#endif
