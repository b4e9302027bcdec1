/* See write.h. */
#include "trainer/gguf/write.h"

#include <string.h>

#include "trainer/base/file.h"
#include "trainer/base/json.h"

enum { ALIGNMENT = 32, PART = 1 << 18 }; /* PART: elements that are quantized at a time */

typedef struct Declared {
    const char *name;
    const GgufType *type;
    int ndim;
    int64_t shape[GGUF_DIMS], numel;
    uint64_t offset;
} Declared;

struct GgufWriter {
    Arena *arena;
    const char *path, *partial;
    File *file;
    Text keys;
    uint64_t num_keys;
    Declared *tensors;
    size_t count, capacity, due; /* due: the tensor that is being written */
    int64_t done;                /* elements of it */
    uint64_t data_bytes;
    unsigned char *blocks;
    bool finished;
};

static void add(Text *t, const void *data, size_t size) { text_add(t, data, size); }
static void add_u32(Text *t, uint32_t v) { add(t, &v, sizeof v); }
static void add_u64(Text *t, uint64_t v) { add(t, &v, sizeof v); }

static void add_string(Text *t, const char *data, size_t size)
{
    add_u64(t, size);
    add(t, data, size);
}

static void add_key(GgufWriter *w, const char *key, GgufValueType type)
{
    add_string(&w->keys, key, strlen(key));
    add_u32(&w->keys, type);
    w->num_keys++;
}

static void add_array(GgufWriter *w, const char *key, GgufValueType element, size_t count)
{
    add_key(w, key, GGUF_ARRAY);
    add_u32(&w->keys, element);
    add_u64(&w->keys, count);
}

void gguf_put_int(GgufWriter *w, const char *key, int64_t value)
{
    add_key(w, key, GGUF_U32);
    add_u32(&w->keys, (uint32_t)value);
}

void gguf_put_real(GgufWriter *w, const char *key, double value)
{
    float f = (float)value;
    add_key(w, key, GGUF_F32);
    add(&w->keys, &f, sizeof f);
}

void gguf_put_bool(GgufWriter *w, const char *key, bool value)
{
    unsigned char byte = value;
    add_key(w, key, GGUF_BOOL);
    add(&w->keys, &byte, 1);
}

void gguf_put_text(GgufWriter *w, const char *key, const char *value)
{
    add_key(w, key, GGUF_STRING);
    add_string(&w->keys, value, strlen(value));
}

void gguf_put_texts(GgufWriter *w, const char *key, const GgufString *values, size_t count)
{
    add_array(w, key, GGUF_STRING, count);
    for (size_t i = 0; i < count; i++) add_string(&w->keys, values[i].data, values[i].size);
}

void gguf_put_ints(GgufWriter *w, const char *key, const int32_t *values, size_t count)
{
    add_array(w, key, GGUF_I32, count);
    add(&w->keys, values, count * sizeof *values);
}

void gguf_put_reals(GgufWriter *w, const char *key, const float *values, size_t count)
{
    add_array(w, key, GGUF_F32, count);
    add(&w->keys, values, count * sizeof *values);
}

Status gguf_writer_new(const char *path, GgufWriter **out)
{
    Status st = OK;
    Arena *arena = NULL;
    GgufWriter *w;
    TRY(arena_new(&arena));
    TRY_NEW(arena, w, 1);
    w->arena = arena;
    w->path = arena_strdup(arena, path);
    w->partial = arena_printf(arena, "%s.partial", path);
    w->blocks = arena_alloc(arena, PART * sizeof(float));
    TRY_MEMORY(w->path);
    TRY_MEMORY(w->partial);
    TRY_MEMORY(w->blocks);
    *out = w;
    return OK;
done:
    arena_free(arena);
    return st;
}

void gguf_writer_free(GgufWriter *w)
{
    if (!w) return;
    bool unfinished = w->file && !w->finished;
    file_close(w->file);
    if (unfinished) file_remove(w->partial);
    text_free(&w->keys);
    arena_free(w->arena);
}

static uint64_t aligned(uint64_t n) { return (n + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT; }

Status gguf_declare(GgufWriter *w, const char *name, const GgufType *type, int ndim, const int64_t *shape)
{
    Status st = OK;
    Declared d = {.type = type, .ndim = ndim, .numel = 1, .offset = w->data_bytes};
    if (strlen(name) >= 64)
        RAISE(UNSUPPORTED, "%s: tensor %.100s: names in GGUF files have up to 63 bytes", w->path, name);
    if (ndim > GGUF_DIMS || !type->quantize || (ndim ? shape[ndim - 1] : 1) % type->elements)
        RAISE(BUG, "gguf_declare: %s as %s", name, type->name);
    d.name = arena_strdup(w->arena, name);
    TRY_MEMORY(d.name);
    for (int i = 0; i < ndim; i++) d.shape[i] = shape[i], d.numel *= shape[i];
    w->tensors = arena_grow(w->arena, w->tensors, &w->capacity, w->count + 1, sizeof *w->tensors);
    TRY_MEMORY(w->tensors);
    w->tensors[w->count++] = d;
    w->data_bytes += aligned((uint64_t)(d.numel / type->elements) * (uint64_t)type->bytes);
done:
    return st;
}

Status gguf_begin(GgufWriter *w)
{
    static const char zeros[ALIGNMENT];
    Status st = OK;
    Text head = {0};
    add(&head, "GGUF", 4);
    add_u32(&head, 3);
    add_u64(&head, w->count);
    add_u64(&head, w->num_keys);
    add(&head, w->keys.data ? w->keys.data : "", w->keys.size);
    for (size_t i = 0; i < w->count; i++) {
        const Declared *d = &w->tensors[i];
        add_string(&head, d->name, strlen(d->name));
        add_u32(&head, (uint32_t)d->ndim);
        for (int k = d->ndim; k--;) add_u64(&head, (uint64_t)d->shape[k]);
        add_u32(&head, (uint32_t)d->type->id);
        add_u64(&head, d->offset);
    }
    add(&head, zeros, (size_t)(aligned(head.size) - head.size));
    if (head.failed || w->keys.failed) RAISE(MEMORY, "out of memory: the keys of %s", w->path);
    TRY(file_create(w->partial, &w->file));
    TRY(file_write(w->file, head.data, head.size));
done:
    text_free(&head);
    return st;
}

static Status end_tensor(GgufWriter *w)
{
    static const char zeros[ALIGNMENT];
    const Declared *d = &w->tensors[w->due];
    uint64_t bytes = (uint64_t)(d->numel / d->type->elements) * (uint64_t)d->type->bytes;
    w->due++, w->done = 0;
    return file_write(w->file, zeros, (size_t)(aligned(bytes) - bytes));
}

Status gguf_write(GgufWriter *w, const float *x, int64_t n)
{
    Status st = OK;
    const Declared *d = &w->tensors[w->due];
    if (w->due >= w->count || n > d->numel - w->done || n % d->type->elements)
        RAISE(BUG, "gguf_write: %lld elements beyond the end of a tensor", (long long)n);
    for (int64_t at = 0; at < n; at += PART) {
        int64_t now = n - at < PART ? n - at : PART;
        d->type->quantize(w->blocks, x + at, now);
        TRY(file_write(w->file, w->blocks, (size_t)(now / d->type->elements * d->type->bytes)));
    }
    w->done += n;
    if (w->done == d->numel) TRY(end_tensor(w));
done:
    return st;
}

Status gguf_finish(GgufWriter *w, uint64_t *size)
{
    Status st = OK;
    if (w->due != w->count) RAISE(BUG, "gguf_finish: %zu of %zu tensors", w->due, w->count);
    TRY(file_sync(w->file));
    *size = file_bytes(w->file);
    File *file = w->file;
    w->file = NULL;
    if ((st = file_close(file)) != OK || (st = file_rename(w->partial, w->path)) != OK) {
        file_remove(w->partial);
        goto done;
    }
    const char *slash = strrchr(w->path, '/');
    const char *dir = slash ? arena_strndup(w->arena, w->path, (size_t)(slash - w->path) + (slash == w->path)) : ".";
    TRY_MEMORY(dir);
    TRY(dir_sync(dir));
    w->finished = true;
done:
    return st;
}
