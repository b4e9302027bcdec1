/* One call of a kernel with arrays of the host (on_device.h): says which arrays there are, places them on the device,
 * asks where each lies, and brings outputs back when it goes out of scope. */
#ifndef TESTS_CUDA_EMULATOR_ON_DEVICE_CALL_H
#define TESTS_CUDA_EMULATOR_ON_DEVICE_CALL_H

#include <cstdint>
#include <vector>

#include "kernels/cuda/cuda.h"
#include "tests/cuda_emulator/on_device.h"

#ifdef HONE_ON_CPU
const Kernels *kernels_below();
#define kernels_cuda kernels_below
#endif

class Call
{
    /* Ranges that overlap on the host become one on the device; ranges that only touch do not. */
    struct Range {
        uintptr_t begin, end;
        bool out, floats; /* floats: of the call's dtype */
        size_t element; /* of one that is not in dtype, bytes */
        char *memory, *device;
    };
    Stream *s;
    Dtype given, used;
    int variation;
    std::vector<Range> ranges;

    void add(const void *p, int64_t bytes, bool out, bool floats, size_t element = 4);
    bool is_converted(const Range &r) const { return r.floats && given != used; }
    size_t device_bytes(const Range &r) const;
    size_t offset_of(const Range &r) const;
    char *find(uintptr_t host) const;

  public:
    /* `dtype` is what the test says. */
    explicit Call(Stream *stream, Dtype dtype = DTYPE_F32);
    ~Call();
    Call(const Call &) = delete;
    Call &operator=(const Call &) = delete;

    Dtype dtype() const { return used; } /* for the kernel */

    /* n elements in dtype; bytes of anything else. NULL is fine. */
    void in(const void *p, int64_t n) { add(p, n * (int64_t)dtype_bytes(given), false, true); }
    void out(void *p, int64_t n) { add(p, n * (int64_t)dtype_bytes(given), true, true); }
    /* A weight of a dtype of its own: beside f32 arrays f32 stands for the dtype at work; else it is what it says. */
    Dtype dtype_of(Dtype weight) const { return weight == given ? used : weight; }
    void weight_in(const void *p, Dtype weight, int64_t n)
    {
        if (weight == given) in(p, n);
        else add(p, n * (int64_t)dtype_bytes(weight), false, false, dtype_bytes(weight));
    }
    void raw_in(const void *p, int64_t bytes) { add(p, bytes, false, false); }
    void raw_out(void *p, int64_t bytes) { add(p, bytes, true, false); }
    void raw_in(const double *p, int64_t bytes) { add(p, bytes, false, false, sizeof *p); }
    void raw_out(double *p, int64_t bytes) { add(p, bytes, true, false, sizeof *p); }

    void place();
    template <typename T> T *at(T *host) const
    {
        return host ? reinterpret_cast<T *>(find(reinterpret_cast<uintptr_t>(host))) : nullptr;
    }

    /* The arrays of a Dropout (NULL is fine), and a copy that points to them on the device. */
    void dropout_in(const Dropout *d);
    const Dropout *dropout_at(const Dropout *d, Dropout *copy) const;
};

#define ON_DEVICE(entry) k->entry = kernels_cuda()->entry ? entry : nullptr

/* The entries of on_device_NAME.cpp. */
void on_device_elementwise(Kernels *k);
void on_device_rows(Kernels *k);
void on_device_attention(Kernels *k);
void on_device_products(Kernels *k);
void on_device_optimizers(Kernels *k);

#endif
