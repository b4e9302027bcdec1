/* The writer: header first, then each tensor's elements in the file's order, converted and hashed block by block.
 * The header's bytes are those of the reference's writer (safetensors 0.8), so equal tensors make equal files. */
#include "trainer/checkpoint/safetensors_write.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "kernels/kernels.h"
#include "trainer/base/file.h"
#include "trainer/base/json.h"
#include "trainer/checkpoint/safetensors_internal.h"

enum { BLOCK_BYTES = KERNEL_BLOCK * 4 };

struct SafetensorsWriter {
    Arena *arena;
    File *file;
    const char *path;
    size_t count, due; /* due: place of the tensor that is being filled */
    int64_t filled;    /* of it */
    const TensorSpec *specs;
    size_t *order;
    XXH3_state_t *hash;
    unsigned char *block;
};

typedef struct Key {
    const TensorSpec *spec;
    size_t index;
} Key;

static int by_file_order(const void *a, const void *b)
{
    const TensorSpec *x = ((const Key *)a)->spec, *y = ((const Key *)b)->spec;
    size_t xb = dtype_bytes(x->dtype), yb = dtype_bytes(y->dtype);
    /* The reference sorts by its list of dtypes, which goes by size and, within one size, has its own order. */
    static const unsigned char rank[DTYPE_COUNT] = {
        [DTYPE_BOOL] = 0, [DTYPE_U8] = 1,  [DTYPE_I8] = 2,  [DTYPE_I16] = 3, [DTYPE_F16] = 4,
        [DTYPE_BF16] = 5, [DTYPE_I32] = 6, [DTYPE_F32] = 7, [DTYPE_F64] = 8, [DTYPE_I64] = 9};
    if (xb != yb) return xb > yb ? -1 : 1;
    if (x->dtype != y->dtype) return rank[x->dtype] > rank[y->dtype] ? -1 : 1;
    return strcmp(x->name, y->name);
}

Status tensor_file_order(Arena *arena, const TensorSpec *specs, size_t count, size_t **order)
{
    Status st = OK;
    Key *keys;
    TRY_NEW(arena, keys, count);
    TRY_NEW(arena, *order, count);
    for (size_t i = 0; i < count; i++) keys[i] = (Key){&specs[i], i};
    if (count) qsort(keys, count, sizeof *keys, by_file_order);
    for (size_t i = 0; i < count; i++) {
        (*order)[i] = keys[i].index;
        if (i && strcmp(keys[i].spec->name, keys[i - 1].spec->name) == 0)
            RAISE(BUG, "tensor %s would be written twice", keys[i].spec->name);
    }
done:
    return st;
}

static Status copy_specs(SafetensorsWriter *w, const TensorSpec *specs)
{
    Status st = OK;
    TensorSpec *copy;
    TRY_NEW(w->arena, copy, w->count);
    for (size_t i = 0; i < w->count; i++) {
        copy[i] = specs[i];
        copy[i].name = arena_strdup(w->arena, specs[i].name);
        TRY_MEMORY(copy[i].name);
        if (!safetensors_type_name(copy[i].dtype) || copy[i].ndim < 0 || copy[i].ndim > TENSOR_DIMS)
            RAISE(BUG, "%s: tensor %s has no dtype or shape that a file can hold", w->path, specs[i].name);
    }
    w->specs = copy;
    TRY(tensor_file_order(w->arena, w->specs, w->count, &w->order));
done:
    return st;
}

static void add_string(Text *t, const char *s) { json_add_string(t, s, strlen(s)); }

static void header_text(const SafetensorsWriter *w, const MetadataPair *pairs, size_t pair_count, Text *t)
{
    uint64_t at = 0;
    text_printf(t, "{\"__metadata__\":{\"format\":\"pt\"");
    for (size_t i = 0; i < pair_count; i++) {
        text_add(t, ",", 1);
        add_string(t, pairs[i].key);
        text_add(t, ":", 1);
        add_string(t, pairs[i].value);
    }
    text_add(t, "}", 1);
    for (size_t i = 0; i < w->count; i++) {
        const TensorSpec *spec = &w->specs[w->order[i]];
        uint64_t end = at + (uint64_t)spec_numel(spec) * dtype_bytes(spec->dtype);
        text_add(t, ",", 1);
        add_string(t, spec->name);
        text_printf(t, ":{\"dtype\":\"%s\",\"shape\":[", safetensors_type_name(spec->dtype));
        for (int d = 0; d < spec->ndim; d++) text_printf(t, "%s%" PRId64, d ? "," : "", spec->shape[d]);
        text_printf(t, "],\"data_offsets\":[%" PRIu64 ",%" PRIu64 "]}", at, end);
        at = end;
    }
    text_add(t, "}", 1);
    while (t->size % 8 && !t->failed) text_add(t, " ", 1);
}

static Status put(SafetensorsWriter *w, const void *data, size_t size)
{
    XXH3_64bits_update(w->hash, data, size);
    return file_write(w->file, data, size);
}

static Status write_header(SafetensorsWriter *w, const MetadataPair *pairs, size_t pair_count)
{
    Status st = OK;
    Text t = {0};
    unsigned char length[8];
    header_text(w, pairs, pair_count, &t);
    if (t.failed) RAISE(MEMORY, "%s: out of memory", w->path);
    if (t.size > SAFETENSORS_HEADER_LIMIT) RAISE(UNSUPPORTED, "%s: a header of %zu bytes is too long", w->path, t.size);
    for (int i = 0; i < 8; i++) length[i] = (unsigned char)((uint64_t)t.size >> 8 * i);
    TRY(put(w, length, 8));
    TRY(put(w, t.data, t.size));
done:
    text_free(&t);
    return st;
}

static void skip_empty(SafetensorsWriter *w)
{
    while (w->due < w->count && w->filled == spec_numel(&w->specs[w->order[w->due]])) {
        w->due++;
        w->filled = 0;
    }
}

Status safetensors_create(const char *path, const TensorSpec *specs, size_t count, const MetadataPair *pairs,
                          size_t pair_count, SafetensorsWriter **out)
{
    Status st = OK;
    SafetensorsWriter *w = calloc(1, sizeof *w);
    *out = NULL;
    if (!w) RAISE(MEMORY, "%s: out of memory", path);
    TRY(arena_new(&w->arena));
    w->path = arena_strdup(w->arena, path);
    TRY_MEMORY(w->path);
    w->hash = XXH3_createState();
    w->block = malloc(BLOCK_BYTES);
    if (!w->hash || !w->block) RAISE(MEMORY, "%s: out of memory", path);
    XXH3_64bits_reset(w->hash);
    w->count = count;
    TRY(copy_specs(w, specs));
    TRY(file_create(path, &w->file));
    TRY(write_header(w, pairs, pair_count));
    skip_empty(w);
    *out = w;
    w = NULL;
done:
    safetensors_writer_free(w);
    return st;
}

size_t safetensors_writer_order(const SafetensorsWriter *w, size_t i) { return w->order[i]; }

Status safetensors_write(SafetensorsWriter *w, Dtype from, const void *data, int64_t n)
{
    Status st = OK;
    if (n == 0) return OK;
    if (w->due == w->count) RAISE(BUG, "%s: %" PRId64 " elements after the last tensor", w->path, n);
    const TensorSpec *spec = &w->specs[w->order[w->due]];
    size_t from_bytes = dtype_bytes(from), to_bytes = dtype_bytes(spec->dtype);
    if (n < 0 || n > spec_numel(spec) - w->filled)
        RAISE(BUG, "%s: tensor %s: %" PRId64 " elements after %" PRId64 " are too many", w->path, spec->name, n,
              w->filled);
    if (!convertible(spec->dtype, from))
        RAISE(BUG, "%s: tensor %s: %s cannot be written as %s", w->path, spec->name, dtype_name(from),
              dtype_name(spec->dtype));
    int64_t step = (int64_t)(BLOCK_BYTES / to_bytes);
    for (int64_t i = 0; i < n; i += step) {
        int64_t m = n - i < step ? n - i : step;
        const void *bytes = (const char *)data + (size_t)i * from_bytes;
        if (spec->dtype != from) {
            convert_elements(spec->dtype, w->block, from, bytes, m);
            bytes = w->block;
        }
        TRY(put(w, bytes, (size_t)m * to_bytes));
    }
    w->filled += n;
    skip_empty(w);
done:
    return st;
}

Status safetensors_finish(SafetensorsWriter *w, uint64_t *size, uint64_t *hash)
{
    Status st = OK;
    if (w->due != w->count) RAISE(BUG, "%s: %zu tensors were not written", w->path, w->count - w->due);
    TRY(file_sync(w->file));
    if (size) *size = file_bytes(w->file);
    if (hash) *hash = XXH3_64bits_digest(w->hash);
    File *f = w->file;
    w->file = NULL;
    TRY(file_close(f));
done:
    return st;
}

void safetensors_writer_free(SafetensorsWriter *w)
{
    if (!w) return;
    file_close(w->file);
    XXH3_freeState(w->hash);
    free(w->block);
    arena_free(w->arena);
    free(w);
}
