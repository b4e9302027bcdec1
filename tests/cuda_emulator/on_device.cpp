/* on_device.h, on_device_call.h */
#include "tests/cuda_emulator/on_device.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>

#ifndef HONE_ON_CPU
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#endif

#include "tests/cuda_emulator/on_device_call.h"
#ifdef HONE_EMULATED
#include "tests/cuda_emulator/emulator.h"
#endif

static std::map<Stream *, int> variations;
static Dtype at_work = DTYPE_F32;

extern "C" void on_device_set_dtype(Dtype dtype) { at_work = dtype; }
extern "C" Dtype on_device_dtype(void) { return at_work; }

/* ---- conversion: by others than the kernels that are tested ------------------------------ */
#ifdef HONE_ON_CPU
/* From the definition of the formats: `digits` bits behind the point, exponents from `least` on. */
struct Format {
    int digits, bias;
    explicit Format(Dtype d) : digits(d == DTYPE_BF16 ? 7 : 10), bias(d == DTYPE_BF16 ? 127 : 15) {}
};

static double power(int e) /* 2^e: ldexp takes most of a test's time */
{
    uint64_t bits = (uint64_t)(e + 1023) << 52;
    double x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static float widened(Dtype dtype, uint16_t bits)
{
    Format f(dtype);
    int exponent = (bits & 0x7FFF) >> f.digits, fraction = bits & ((1 << f.digits) - 1);
    double sign = bits & 0x8000 ? -1 : 1;
    if (exponent == 2 * f.bias + 1) return fraction ? NAN : (float)(sign * INFINITY);
    int whole = exponent ? fraction + (1 << f.digits) : fraction;
    return (float)(sign * whole * power((exponent ? exponent : 1) - f.bias - f.digits));
}

static uint16_t narrowed(Dtype dtype, float x)
{
    Format f(dtype);
    uint16_t sign = std::signbit(x) ? 0x8000 : 0, infinite = (uint16_t)((2 * f.bias + 1) << f.digits);
    if (std::isnan(x)) return (uint16_t)(sign | infinite | 1 << (f.digits - 1));
    if (x == 0) return sign;
    int e = std::max(std::ilogb(x), 1 - f.bias);
    if (std::isinf(x) || e > f.bias) return (uint16_t)(sign | infinite);
    int whole = (int)std::nearbyint(std::fabs(x) * power(f.digits - e)); /* even at a tie */
    return (uint16_t)(sign | (((e + f.bias - 1) << f.digits) + whole)); /* a carry is the next exponent */
}
#else /* CUDA's own, which the kernels of convert.cu do not see here */
static float widened(Dtype dtype, uint16_t bits)
{
    if (dtype == DTYPE_BF16) return __bfloat162float(__ushort_as_bfloat16(bits));
    return __half2float(__ushort_as_half(bits));
}

static uint16_t narrowed(Dtype dtype, float x)
{
    if (dtype == DTYPE_BF16) return __bfloat16_as_ushort(__float2bfloat16_rn(x));
    return __half_as_ushort(__float2half_rn(x));
}
#endif

static void narrow(Dtype dtype, void *y, const float *x, int64_t n)
{
    for (int64_t i = 0; i < n; i++) static_cast<uint16_t *>(y)[i] = narrowed(dtype, x[i]);
}

static void widen(float *y, Dtype dtype, const void *x, int64_t n)
{
    for (int64_t i = 0; i < n; i++) y[i] = widened(dtype, static_cast<const uint16_t *>(x)[i]);
}

extern "C" void on_device_round(float *x, int64_t n)
{
    uint32_t room;
    for (int64_t i = 0; at_work != DTYPE_F32 && i < n; i++)
        narrow(at_work, &room, x + i, 1), widen(x + i, at_work, &room, 1);
}

/* ---- one call ------------------------------ */
static void vary(int variation)
{
#ifdef HONE_EMULATED
    static uint64_t calls;
    static const char *const fixed = getenv("HONE_EMU_SEED");
    if (!fixed) emu::set_seed(variation == 1 && calls++ % 2 ? 0 : (++calls * 3 + (uint64_t)variation) % 1009);
#else
    (void)variation;
#endif
}

[[noreturn]] static void fail(const char *what)
{
    fprintf(stderr, "on_device: %s\n", what);
    abort();
}

Call::Call(Stream *stream, Dtype dtype)
    : s(stream), given(dtype), used(dtype == DTYPE_F32 ? at_work : dtype),
      variation(variations.count(stream) ? variations[stream] : 1)
{
    vary(variation);
}

void Call::add(const void *p, int64_t bytes, bool out, bool floats, size_t element)
{
    uintptr_t begin = reinterpret_cast<uintptr_t>(p);
    if (p) ranges.push_back({begin, begin + (uintptr_t)(bytes > 0 ? bytes : 0), out, floats, element, nullptr,
        nullptr});
}

size_t Call::device_bytes(const Range &r) const
{
    return is_converted(r) ? (r.end - r.begin) / dtype_bytes(given) * dtype_bytes(used) : r.end - r.begin;
}

/* From an address that is aligned to 16 bytes: none where the host's array is, but in variation 3 one element. */
size_t Call::offset_of(const Range &r) const
{
    size_t more = variation == 3;
    if (!r.floats) return (r.begin + r.element * more) % 16;
    return (r.begin % 16 / dtype_bytes(given) + more) * dtype_bytes(used) % 16;
}

void Call::place()
{
    std::vector<Range> merged;
    std::sort(ranges.begin(), ranges.end(),
              [](const Range &a, const Range &b) { return a.begin != b.begin ? a.begin < b.begin : a.end < b.end; });
    for (const Range &r : ranges) {
        if (merged.empty() || (r.begin >= merged.back().end && r.begin != merged.back().begin)) {
            merged.push_back(r);
            continue;
        }
        Range &last = merged.back();
        if (last.begin == last.end) last.floats = r.floats;
        if (r.floats != last.floats && r.begin != r.end) fail("an array of dtype overlaps one that is not");
        last.end = std::max(last.end, r.end), last.out = last.out || r.out;
        last.element = std::max(last.element, r.element);
    }
    ranges = merged;
    for (Range &r : ranges) {
        size_t bytes = device_bytes(r), offset = offset_of(r);
        std::vector<char> converted;
        const void *from = reinterpret_cast<void *>(r.begin);
        if (is_converted(r)) {
            converted.resize(bytes + 1);
            narrow(used, converted.data(), static_cast<const float *>(from), (int64_t)(bytes / dtype_bytes(used)));
            from = converted.data();
        }
        r.memory = static_cast<char *>(stream_allocate(s, bytes + offset));
        if (!r.memory) fail("no device memory");
        r.device = r.memory + offset;
        kernels_cuda()->copy(s, r.device, from, bytes);
        if (is_converted(r)) stream_sync(s);
    }
}

char *Call::find(uintptr_t p) const
{
    for (const Range &r : ranges)
        if (p >= r.begin && (p < r.end || p == r.begin))
            return r.device + (is_converted(r) ? (p - r.begin) / dtype_bytes(given) * dtype_bytes(used) : p - r.begin);
    fail("an array that was not placed");
}

Call::~Call()
{
    for (Range &r : ranges) {
        if (!r.out) continue;
        size_t bytes = device_bytes(r);
        if (!is_converted(r)) {
            kernels_cuda()->copy(s, reinterpret_cast<void *>(r.begin), r.device, bytes);
            continue;
        }
        std::vector<char> raw(bytes + 1);
        kernels_cuda()->copy(s, raw.data(), r.device, bytes);
        stream_sync(s);
        widen(reinterpret_cast<float *>(r.begin), used, raw.data(), (int64_t)(bytes / dtype_bytes(used)));
    }
    stream_sync(s);
    for (Range &r : ranges) stream_release(s, r.memory);
}

void Call::dropout_in(const Dropout *d)
{
    if (d) raw_in(d->cu_seqlens, (d->num_seqs + 1) * 4), raw_in(d->sample, d->num_seqs * 4);
}

const Dropout *Call::dropout_at(const Dropout *d, Dropout *copy) const
{
    if (!d) return nullptr;
    *copy = *d;
    copy->cu_seqlens = at(d->cu_seqlens), copy->sample = at(d->sample);
    return copy;
}

/* ---- table and streams ------------------------------ */
static const Kernels *fill(Kernels *k, const char *name)
{
    k->name = name, k->dtypes = kernels_cuda()->dtypes;
    on_device_elementwise(k), on_device_rows(k), on_device_attention(k), on_device_products(k);
    on_device_optimizers(k);
    return k;
}

#ifdef HONE_ON_CPU
static const Kernels *below;
const Kernels *kernels_below() { return below; }

extern "C" const Kernels *kernels_on_cpu(unsigned isa)
{
    static Kernels k;
    below = kernels_cpu(isa);
    return fill(&k, below->name);
}

extern "C" Stream *stream_new_on_device(int variation)
{
    Stream *s = stream_new_cpu(variation);
    variations[s] = variation;
    return s;
}
#else
extern "C" const Kernels *kernels_on_device(void)
{
    static Kernels k;
    return fill(&k, "cuda:0");
}

extern "C" Stream *stream_new_on_device(int variation)
{
    char message[200];
    Stream *s = stream_new_cuda(0, message);
    if (!s) fail(message);
    variations[s] = variation;
    return s;
}
#endif
