/* Writing safetensors: the header is computed from the list of tensors, then their data is appended in the file's
 * order, block by block, and hashed on the way. Nothing is buffered beyond one block; the caller syncs by finishing. */
#ifndef HONE_CHECKPOINT_SAFETENSORS_WRITE_H
#define HONE_CHECKPOINT_SAFETENSORS_WRITE_H

#include <stddef.h>
#include <stdint.h>

#include "kernels/dtype.h"
#include "trainer/base/arena.h"
#include "trainer/base/status.h"
#include "trainer/checkpoint/safetensors.h"

typedef struct TensorSpec {
    const char *name;
    Dtype dtype; /* in the file */
    int ndim;
    int64_t shape[TENSOR_DIMS];
} TensorSpec;

typedef struct MetadataPair {
    const char *key, *value;
} MetadataPair;

typedef struct SafetensorsWriter SafetensorsWriter;

/* Creates the file and writes its header: tensors by element size, largest first, then by name, as the reference does;
 * __metadata__ is {"format": "pt"} and `pairs`. The specs are copied. Free with safetensors_writer_free. */
Status safetensors_create(const char *path, const TensorSpec *specs, size_t count, const MetadataPair *pairs,
                          size_t pair_count, SafetensorsWriter **out);
/* Index in `specs` of the i-th tensor of the file: data must be added in this order. */
size_t safetensors_writer_order(const SafetensorsWriter *w, size_t i);
/* The next n elements of the tensor that is due, from memory of type `from`; goes on to the next tensor when it is
 * full. More than the tensor has left is STATUS_BUG. */
Status safetensors_write(SafetensorsWriter *w, Dtype from, const void *data, int64_t n);
/* All tensors must be full. Syncs and closes; gives the file's size and XXH3-64. */
Status safetensors_finish(SafetensorsWriter *w, uint64_t *size, uint64_t *hash);
void safetensors_writer_free(SafetensorsWriter *w); /* NULL is fine; unfinished: the file stays as it is */

/* Which tensor goes into which file, as huggingface_hub splits: in the given order, a new file when the next tensor
 * would pass max_bytes, a larger tensor alone in its file. */
typedef struct ShardPlan {
    size_t files;
    char **names;     /* "model.safetensors", or "model-00001-of-00002.safetensors" … */
    size_t *file_of;  /* [count] */
    char *index_name; /* NULL with one file */
    uint64_t total_bytes;
    int64_t total_parameters;
} ShardPlan;
/* All in arena. base: "model". max_bytes 0: the default, 50 GB. */
Status shard_plan(Arena *arena, const char *base, const TensorSpec *specs, size_t count, uint64_t max_bytes,
                  ShardPlan *out);
/* The text of the index file, in arena. */
Status shard_index(Arena *arena, const ShardPlan *plan, const TensorSpec *specs, size_t count, char **text,
                   size_t *size);
/* "50GB", "200MB", "1.5GiB", "1000": bytes; KB, MB, GB are decimal. STATUS_USAGE when it is none of these. */
Status size_parse(const char *text, uint64_t *out);

#endif
