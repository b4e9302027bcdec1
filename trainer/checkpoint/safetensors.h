/* Tensors in files of the safetensors format, and in model directories made of them.
 *
 * A file is: u64 length of the header, the header (JSON: name -> dtype, shape, place), the data, all little-endian.
 * Every header is treated as hostile: what does not describe exactly the bytes of the file is STATUS_FORMAT, never a
 * crash. Reading is by pread and thread-safe; nothing is mapped unless tensor_map asks. */
#ifndef HONE_CHECKPOINT_SAFETENSORS_H
#define HONE_CHECKPOINT_SAFETENSORS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/dtype.h"
#include "trainer/base/status.h"

enum {
    TENSOR_DIMS = 8,
    SAFETENSORS_HEADER_LIMIT = 100 * 1000 * 1000, /* bytes, as the reference's reader */
};

typedef struct Safetensors Safetensors;

typedef struct TensorInfo {
    const char *name;
    const char *type; /* as the file calls it: "F32", "F8_E4M3" */
    Dtype dtype;      /* DTYPE_COUNT where hone has no such type (U16, F8_E4M3, …): listed, but cannot be read */
    int ndim;
    int64_t shape[TENSOR_DIMS];
    int64_t numel;
    uint64_t begin, end; /* bytes from the start of the file's data */
    const Safetensors *file;
} TensorInfo;

/* Opens one file and checks its header; close with safetensors_close (NULL is fine). Infos live until then. */
Status safetensors_open(const char *path, Safetensors **out);
void safetensors_close(Safetensors *s);
const char *safetensors_path(const Safetensors *s);
uint64_t safetensors_file_bytes(const Safetensors *s);
size_t safetensors_count(const Safetensors *s);
const TensorInfo *safetensors_at(const Safetensors *s, size_t i);           /* in the order of the data */
const TensorInfo *safetensors_find(const Safetensors *s, const char *name); /* NULL: not there */
/* The value of a key of __metadata__, NULL when absent; and the pairs in the file's order, false beyond the last. */
const char *safetensors_metadata(const Safetensors *s, const char *key);
bool safetensors_metadata_at(const Safetensors *s, size_t i, const char **key, const char **value);

/* Elements [first, first + count) of a tensor into `out`, converted to `as`: among F32, BF16, F16 and F64 (to nearest
 * even); any other pair of types must be equal. Thread-safe. */
Status tensor_read(const TensorInfo *t, int64_t first, int64_t count, Dtype as, void *out);
/* The tensor's bytes in a read-only map of its file, made at the first call and kept until the file is closed; *data is
 * NULL for an empty tensor. The address is as aligned as the file happens to have it. */
Status tensor_map(const TensorInfo *t, const void **data);
/* "[2, 3]" into text, for messages; returns text. */
char *shape_text(const int64_t *shape, int ndim, char text[static 192]);

/* ---- a model: one file, or shards with an index ---- */
typedef struct TensorStore TensorStore;

/* path: a .safetensors file, or a directory with model.safetensors, or else with model.safetensors.index.json and its
 * shards (the index must name exactly the tensors that the shards hold). A directory without: STATUS_MISSING. */
Status tensor_store_open(const char *path, TensorStore **out);
/* The same for any base name: base "adapter_model" opens adapter_model.safetensors. */
Status tensor_store_open_named(const char *dir, const char *base, TensorStore **out);
void tensor_store_close(TensorStore *store); /* NULL is fine */
size_t tensor_store_files(const TensorStore *store);
const Safetensors *tensor_store_file(const TensorStore *store, size_t i);
size_t tensor_store_count(const TensorStore *store);
const TensorInfo *tensor_store_at(const TensorStore *store, size_t i); /* file by file, in the order of the data */
const TensorInfo *tensor_store_find(const TensorStore *store, const char *name); /* NULL: not there */

/* ---- conversion ---- */
/* n elements from x to y, among F32, BF16, F16, F64 (nearest even; NaN stays NaN) or between equal types. No overlap.
 */
bool convertible(Dtype to, Dtype from);
void convert_elements(Dtype to, void *y, Dtype from, const void *x, int64_t n);

#endif
