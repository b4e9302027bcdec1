/* Files of the format GGUF (ggml's docs/gguf.md), versions 2 and 3, little-endian.
 *
 * A file is: magic, version, counts; keys with typed values; names, shapes, types and places of tensors; the tensors.
 * Every number of it is treated as hostile: what does not describe bytes of the file is STATUS_FORMAT, never a crash.
 * Keys and the list of tensors are copied into memory, tensors are read by pread. */
#ifndef HONE_GGUF_GGUF_H
#define HONE_GGUF_GGUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/dtype.h"
#include "trainer/base/status.h"

enum {
    GGUF_DIMS = 4,
    GGUF_BLOCK = 256,                       /* elements; every type's block divides it */
    GGUF_HEADER_LIMIT = 1024 * 1024 * 1024, /* bytes before the tensors */
};

/* ---- types of tensors ---- */
typedef struct GgufType {
    int id; /* in the file */
    const char *name;
    int elements, bytes; /* of a block */
    Dtype dtype;         /* of what is no block: F32, F16, BF16; DTYPE_COUNT: quantized */
    /* n elements, whole blocks; bit for bit what the Python package gguf makes of them. NULL: hone cannot read it. */
    void (*dequantize)(float *y, const unsigned char *x, int64_t n);
    /* NULL: hone cannot write it. */
    void (*quantize)(unsigned char *y, const float *x, int64_t n);
} GgufType;

const GgufType *gguf_type_by_id(uint32_t id); /* NULL: unknown */
const GgufType *gguf_type_by_name(const char *name);
#define GGUF_READABLE "F32, F16, BF16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q4_K, Q5_K, Q6_K"

/* ---- reading ---- */
typedef enum GgufValueType {
    GGUF_U8, GGUF_I8, GGUF_U16, GGUF_I16, GGUF_U32, GGUF_I32, GGUF_F32, GGUF_BOOL, GGUF_STRING, GGUF_ARRAY,
    GGUF_U64, GGUF_I64, GGUF_F64, GGUF_VALUE_TYPES
} GgufValueType;

typedef struct GgufString {
    const char *data; /* NUL-terminated; may hold NULs */
    size_t size;
} GgufString;

typedef struct GgufValue {
    const char *key;
    GgufValueType type, element; /* element: an array's */
    uint64_t count;              /* an array's */
    union {
        uint64_t bits; /* a number's, as they are in the file */
        GgufString text;
        const GgufString *texts; /* an array's */
        const unsigned char *numbers;
    };
} GgufValue;

typedef struct GgufTensor {
    const char *name;
    const GgufType *type;
    int ndim;
    int64_t shape[GGUF_DIMS]; /* slowest first, as PyTorch has it; the file has it the other way round */
    int64_t numel;
    uint64_t offset, bytes; /* in the file */
} GgufTensor;

typedef struct Gguf Gguf;

Status gguf_open(const char *path, Gguf **out);
void gguf_close(Gguf *g); /* NULL is fine */
const char *gguf_path(const Gguf *g);
size_t gguf_value_count(const Gguf *g);
const GgufValue *gguf_value_at(const Gguf *g, size_t i);
const GgufValue *gguf_find(const Gguf *g, const char *key); /* NULL: not there */
size_t gguf_tensor_count(const Gguf *g);
const GgufTensor *gguf_tensor_at(const Gguf *g, size_t i);
const GgufTensor *gguf_tensor_find(const Gguf *g, const char *name); /* NULL: not there */
/* Elements [first, first + count), both multiples of the type's block, as they are; into `blocks`. Thread-safe. */
Status gguf_read_blocks(const Gguf *g, const GgufTensor *t, int64_t first, int64_t count, unsigned char *blocks);

/* A key's value of a kind: any width of integer will do. A value of another kind is an error that names the key, an
 * absent one is the fallback, or an error in the forms without. Texts are UTF-8 without NUL. */
Status gguf_text(const Gguf *g, const char *key, const char **out);
Status gguf_text_or(const Gguf *g, const char *key, const char *fallback, const char **out);
Status gguf_int(const Gguf *g, const char *key, int64_t *out);
Status gguf_int_or(const Gguf *g, const char *key, int64_t fallback, int64_t *out);
/* The shortest decimal that is the file's f32. */
Status gguf_real(const Gguf *g, const char *key, double *out);
Status gguf_real_or(const Gguf *g, const char *key, double fallback, double *out);
Status gguf_bool_or(const Gguf *g, const char *key, bool fallback, bool *out);
/* Arrays; NULL when the key is absent. */
Status gguf_texts(const Gguf *g, const char *key, const GgufString **out, size_t *count);
Status gguf_int_array(const Gguf *g, const char *key, const GgufValue **out); /* of 8 to 64 bits */
Status gguf_real_array(const Gguf *g, const char *key, const GgufValue **out); /* F32 */
int64_t gguf_int_item(const GgufValue *array, size_t i);
float gguf_real_item(const GgufValue *array, size_t i);
/* The double with the fewest decimals that is x in f32: 9.99999975e-06 is 1e-05. */
double gguf_shortest(float x);

#endif
