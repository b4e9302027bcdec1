/* Element types of tensors and files, one header for C and CUDA. */
#ifndef HONE_KERNELS_DTYPE_H
#define HONE_KERNELS_DTYPE_H

#include <stddef.h>
#include <stdint.h>

typedef enum Dtype {
    DTYPE_F32, DTYPE_BF16, DTYPE_F16, DTYPE_F64, DTYPE_I64, DTYPE_I32, DTYPE_I16, DTYPE_I8, DTYPE_U8, DTYPE_BOOL,
    DTYPE_COUNT
} Dtype;

static inline size_t dtype_bytes(Dtype d)
{
    static const unsigned char bytes[DTYPE_COUNT] = {4, 2, 2, 8, 8, 4, 2, 1, 1, 1};
    return bytes[d];
}

/* "float32", as config.json says; the safetensors names ("F32") are checkpoint/'s. */
static inline const char *dtype_name(Dtype d)
{
    static const char *const names[DTYPE_COUNT] = {"float32", "bfloat16", "float16", "float64", "int64",
                                                   "int32",   "int16",    "int8",    "uint8",   "bool"};
    return names[d];
}

#endif
