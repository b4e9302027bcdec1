/* What the reader's files share: an opened file, and tensors found by name. */
#ifndef HONE_CHECKPOINT_SAFETENSORS_INTERNAL_H
#define HONE_CHECKPOINT_SAFETENSORS_INTERNAL_H

#include <pthread.h>

#include "trainer/base/arena.h"
#include "trainer/base/file.h"
#include "trainer/checkpoint/safetensors.h"
#include "trainer/checkpoint/safetensors_write.h"

/* Open addressing, at most half full; tensors are borrowed. */
typedef struct NameTable {
    const TensorInfo **slots;
    size_t mask;
} NameTable;

Status name_table_new(Arena *arena, size_t count, NameTable *out);
bool name_table_add(NameTable *table, const TensorInfo *t); /* false: the name is there already */
const TensorInfo *name_table_find(const NameTable *table, const char *name);

struct Safetensors {
    Arena *arena;
    File *file;
    const char *path;
    uint64_t data_at, data_bytes; /* of the file */
    TensorInfo *tensors;          /* by place */
    size_t count;
    const char **pairs; /* key, value, key, value, … */
    size_t pair_count;
    NameTable names;
    pthread_mutex_t map_lock;
    const void *map;
    size_t map_bytes;
};

const char *safetensors_type_name(Dtype d); /* "F32" */
int64_t spec_numel(const TensorSpec *spec);
/* order[i]: index in specs of the i-th tensor of a file; in arena. A name that is there twice: STATUS_BUG. */
Status tensor_file_order(Arena *arena, const TensorSpec *specs, size_t count, size_t **order);

#endif
