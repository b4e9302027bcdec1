/* Opening a GGUF file: keys and tensors into an arena, by a cursor over the file that never passes its end. */
#include <inttypes.h>
#include <string.h>

#include "trainer/base/arena.h"
#include "trainer/base/file.h"
#include "trainer/gguf/gguf.h"
#include "trainer/tokenizer/string_map.h"
#include "trainer/tokenizer/unicode.h"

enum { BUFFER = 1 << 18, LEAST_KEY = 8 + 4 + 1, LEAST_TENSOR = 8 + 4 + 4 + 8, MOST_ALIGNMENT = 1 << 20 };

struct Gguf {
    Arena *arena;
    File *file;
    const char *path;
    uint64_t size, data; /* of the file; where tensors begin */
    GgufValue *values;
    GgufTensor *tensors;
    size_t num_values, num_tensors;
    StringMap value_names, tensor_names;
    /* while it is opened: */
    unsigned char *buffer;
    uint64_t at, buffer_at;
    size_t buffered;
};

static const unsigned char value_bytes[GGUF_VALUE_TYPES] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};

const char *gguf_path(const Gguf *g) { return g->path; }
size_t gguf_value_count(const Gguf *g) { return g->num_values; }
const GgufValue *gguf_value_at(const Gguf *g, size_t i) { return &g->values[i]; }
size_t gguf_tensor_count(const Gguf *g) { return g->num_tensors; }
const GgufTensor *gguf_tensor_at(const Gguf *g, size_t i) { return &g->tensors[i]; }

const GgufValue *gguf_find(const Gguf *g, const char *key)
{
    int32_t i = string_map_find(&g->value_names, key, strlen(key));
    return i < 0 ? NULL : &g->values[i];
}

const GgufTensor *gguf_tensor_find(const Gguf *g, const char *name)
{
    int32_t i = string_map_find(&g->tensor_names, name, strlen(name));
    return i < 0 ? NULL : &g->tensors[i];
}

/* n bytes that are about to be read must be there. */
static Status need(const Gguf *g, uint64_t n, const char *what)
{
    if (n <= g->size - g->at) return OK;
    return status_raise(STATUS_FORMAT,
                        "%s: %s at byte %" PRIu64 " needs %" PRIu64 " bytes and the file ends at %" PRIu64
                        "; it is cut off or damaged: get it again", g->path, what, g->at, n, g->size);
}

static Status take(Gguf *g, void *out, size_t n, const char *what)
{
    Status st = OK;
    unsigned char *to = out;
    TRY(need(g, n, what));
    while (n) {
        if (g->at < g->buffer_at || g->at >= g->buffer_at + g->buffered) {
            uint64_t left = g->size - g->at;
            g->buffer_at = g->at, g->buffered = 0;
            TRY(file_read_at(g->file, g->buffer, left < BUFFER ? (size_t)left : BUFFER, g->at));
            g->buffered = left < BUFFER ? (size_t)left : BUFFER;
        }
        size_t skip = (size_t)(g->at - g->buffer_at), have = g->buffered - skip, now = n < have ? n : have;
        memcpy(to, g->buffer + skip, now);
        to += now, g->at += now, n -= now;
    }
    if (g->at > GGUF_HEADER_LIMIT)
        RAISE(UNSUPPORTED, "%s: more than %d MB before the tensors; is it a GGUF file of a language model?", g->path,
              GGUF_HEADER_LIMIT >> 20);
done:
    return st;
}

static Status take_u32(Gguf *g, uint32_t *out, const char *what) { return take(g, out, sizeof *out, what); }
static Status take_u64(Gguf *g, uint64_t *out, const char *what) { return take(g, out, sizeof *out, what); }

static Status take_string(Gguf *g, GgufString *out, const char *what)
{
    Status st = OK;
    uint64_t size;
    char *data;
    TRY(take_u64(g, &size, what));
    TRY(need(g, size, what));
    if (size > GGUF_HEADER_LIMIT) RAISE(FORMAT, "%s: %s of %" PRIu64 " bytes", g->path, what, size);
    data = arena_alloc(g->arena, (size_t)size + 1);
    TRY_MEMORY(data);
    TRY(take(g, data, (size_t)size, what));
    *out = (GgufString){data, (size_t)size};
done:
    return st;
}

/* A name of a key or tensor: UTF-8 without NUL, not there before. */
static Status take_name(Gguf *g, StringMap *names, size_t index, const char *what, const char **out)
{
    Status st = OK;
    GgufString name = {0};
    bool is_new;
    TRY(take_string(g, &name, what));
    if (!name.size || name.size > 65535 || memchr(name.data, 0, name.size) ||
        utf8_valid_bytes(name.data, name.size) != name.size)
        RAISE(FORMAT, "%s: %s %zu is empty, too long or no UTF-8", g->path, what, index);
    string_map_put(names, name.data, name.size, (int32_t)index, &is_new);
    if (!is_new) RAISE(FORMAT, "%s: %s `%.100s` is there twice", g->path, what, name.data);
    *out = name.data;
done:
    return st;
}

static Status take_array(Gguf *g, GgufValue *v)
{
    Status st = OK;
    uint32_t type;
    GgufString *texts;
    unsigned char *numbers;
    TRY(take_u32(g, &type, "an array"));
    TRY(take_u64(g, &v->count, "an array"));
    if (type >= GGUF_VALUE_TYPES || type == GGUF_ARRAY)
        RAISE(UNSUPPORTED, "%s: key %.100s is an array of type %u; arrays of numbers and of strings can be read",
              g->path, v->key, type);
    v->element = (GgufValueType)type;
    uint64_t least = type == GGUF_STRING ? 8 : value_bytes[type];
    if (v->count > (g->size - g->at) / least)
        RAISE(FORMAT, "%s: key %.100s is an array of %" PRIu64 " items, more than the file has bytes for", g->path,
              v->key, v->count);
    if (type == GGUF_STRING) {
        TRY_NEW(g->arena, texts, v->count + 1);
        for (uint64_t i = 0; i < v->count; i++) TRY(take_string(g, &texts[i], v->key));
        v->texts = texts;
    } else {
        numbers = arena_alloc(g->arena, (size_t)(v->count * least) + 1);
        TRY_MEMORY(numbers);
        TRY(take(g, numbers, (size_t)(v->count * least), v->key));
        v->numbers = numbers;
    }
done:
    return st;
}

static Status take_value(Gguf *g, size_t index)
{
    Status st = OK;
    GgufValue *v = &g->values[index];
    uint32_t type;
    TRY(take_name(g, &g->value_names, index, "key", &v->key));
    TRY(take_u32(g, &type, v->key));
    if (type >= GGUF_VALUE_TYPES) RAISE(FORMAT, "%s: key %.100s has the unknown type %u", g->path, v->key, type);
    v->type = (GgufValueType)type;
    if (type == GGUF_STRING) TRY(take_string(g, &v->text, v->key));
    else if (type == GGUF_ARRAY) TRY(take_array(g, v));
    else TRY(take(g, &v->bits, value_bytes[type], v->key)); /* little-endian, the rest is 0 */
done:
    return st;
}

static Status take_shape(Gguf *g, GgufTensor *t)
{
    Status st = OK;
    uint32_t dims;
    uint64_t shape[GGUF_DIMS], numel = 1;
    TRY(take_u32(g, &dims, "a tensor"));
    if (dims > GGUF_DIMS)
        RAISE(FORMAT, "%s: tensor %.100s has %u dimensions; there are at most %d", g->path, t->name, dims, GGUF_DIMS);
    t->ndim = (int)dims;
    for (uint32_t i = 0; i < dims; i++) {
        TRY(take_u64(g, &shape[i], "a tensor"));
        if (!shape[i] || shape[i] > INT64_MAX / 8 / numel)
            RAISE(FORMAT, "%s: tensor %.100s has a dimension of %" PRIu64, g->path, t->name, shape[i]);
        numel *= shape[i];
        t->shape[dims - 1 - i] = (int64_t)shape[i];
    }
    t->numel = (int64_t)numel;
done:
    return st;
}

static Status take_tensor(Gguf *g, size_t index)
{
    Status st = OK;
    GgufTensor *t = &g->tensors[index];
    uint32_t type;
    TRY(take_name(g, &g->tensor_names, index, "tensor", &t->name));
    TRY(take_shape(g, t));
    TRY(take_u32(g, &type, "a tensor"));
    TRY(take_u64(g, &t->offset, "a tensor"));
    t->type = gguf_type_by_id(type);
    if (!t->type)
        RAISE(UNSUPPORTED, "%s: tensor %.100s has type %u, which hone does not know; it reads " GGUF_READABLE, g->path,
              t->name, type);
    if ((t->ndim ? t->shape[t->ndim - 1] : 1) % t->type->elements)
        RAISE(FORMAT, "%s: tensor %.100s is %s, and its rows of %lld are no multiple of %d", g->path, t->name,
              t->type->name, (long long)t->shape[t->ndim - 1], t->type->elements);
    /* no overflow: numel is below 2^60, and no type has more than 8 bytes an element */
    t->bytes = (uint64_t)(t->numel / t->type->elements) * (uint64_t)t->type->bytes;
done:
    return st;
}

/* Where the tensors' data begins, and whether each lies in the file. */
static Status place_tensors(Gguf *g)
{
    Status st = OK;
    int64_t alignment;
    TRY(gguf_int_or(g, "general.alignment", 32, &alignment));
    if (alignment < 1 || alignment > MOST_ALIGNMENT || (alignment & (alignment - 1)))
        RAISE(FORMAT, "%s: general.alignment is %lld; it must be a power of two", g->path, (long long)alignment);
    g->data = (g->at + (uint64_t)alignment - 1) & ~((uint64_t)alignment - 1);
    for (size_t i = 0; i < g->num_tensors; i++) {
        GgufTensor *t = &g->tensors[i];
        uint64_t room = g->size > g->data ? g->size - g->data : 0;
        if (t->offset % (uint64_t)alignment)
            RAISE(FORMAT, "%s: tensor %.100s is at %" PRIu64 ", no multiple of %lld", g->path, t->name, t->offset,
                  (long long)alignment);
        if (t->offset > room || t->bytes > room - t->offset)
            RAISE(FORMAT, "%s: tensor %.100s of %" PRIu64 " bytes ends beyond the file, which has %" PRIu64
                  " bytes; it is cut off or damaged: get it again", g->path, t->name, t->bytes, g->size);
        t->offset += g->data;
    }
done:
    return st;
}

static Status check_count(const Gguf *g, uint64_t count, uint64_t least, const char *what)
{
    if (count <= (g->size - g->at) / least && count < INT32_MAX) return OK;
    return status_raise(STATUS_FORMAT, "%s: %" PRIu64 " %s, more than the file has bytes for; it is damaged", g->path,
                        count, what);
}

static Status take_start(Gguf *g, uint64_t *tensors, uint64_t *values)
{
    Status st = OK;
    char magic[4] = {0};
    uint32_t version;
    if (g->size < 4) RAISE(FORMAT, "%s: no GGUF file: it has %" PRIu64 " bytes", g->path, g->size);
    TRY(take(g, magic, sizeof magic, "the beginning"));
    if (memcmp(magic, "GGUF", 4)) RAISE(FORMAT, "%s: no GGUF file: it does not begin with GGUF", g->path);
    TRY(take_u32(g, &version, "the beginning"));
    if (version == 0x02000000 || version == 0x03000000)
        RAISE(UNSUPPORTED, "%s: a big-endian GGUF file; hone reads little-endian ones", g->path);
    if (version != 2 && version != 3)
        RAISE(UNSUPPORTED, "%s: GGUF of version %u; hone reads 2 and 3: convert the model anew", g->path, version);
    TRY(take_u64(g, tensors, "the beginning"));
    TRY(take_u64(g, values, "the beginning"));
done:
    return st;
}

static Status read_all(Gguf *g)
{
    Status st = OK;
    uint64_t tensors, values;
    g->buffer = arena_alloc(g->arena, BUFFER);
    TRY_MEMORY(g->buffer);
    TRY(take_start(g, &tensors, &values));
    TRY(check_count(g, values, LEAST_KEY, "keys"));
    TRY(check_count(g, tensors, LEAST_TENSOR, "tensors"));
    TRY_NEW(g->arena, g->values, values + 1);
    TRY(string_map_new(g->arena, (size_t)values + 1, &g->value_names));
    for (; g->num_values < values; g->num_values++) TRY(take_value(g, g->num_values));
    TRY(check_count(g, tensors, LEAST_TENSOR, "tensors"));
    TRY_NEW(g->arena, g->tensors, tensors + 1);
    TRY(string_map_new(g->arena, (size_t)tensors + 1, &g->tensor_names));
    for (; g->num_tensors < tensors; g->num_tensors++) TRY(take_tensor(g, g->num_tensors));
    TRY(place_tensors(g));
done:
    return st;
}

Status gguf_open(const char *path, Gguf **out)
{
    Status st = OK;
    Arena *arena = NULL;
    Gguf *g = NULL;
    *out = NULL;
    TRY(arena_new(&arena));
    TRY_NEW(arena, g, 1);
    g->arena = arena;
    g->path = arena_strdup(arena, path);
    TRY_MEMORY(g->path);
    TRY(file_open(path, &g->file));
    g->size = file_bytes(g->file);
    TRY(read_all(g));
    *out = g;
    return OK;
done:
    if (g) file_close(g->file);
    arena_free(arena);
    return st;
}

void gguf_close(Gguf *g)
{
    if (!g) return;
    file_close(g->file);
    arena_free(g->arena);
}

Status gguf_read_blocks(const Gguf *g, const GgufTensor *t, int64_t first, int64_t count, unsigned char *blocks)
{
    int64_t n = t->type->elements;
    if (first < 0 || count < 0 || first % n || count % n || count > t->numel || first > t->numel - count)
        return status_raise(STATUS_BUG, "gguf_read_blocks: %lld elements of %s from %lld", (long long)count, t->name,
                            (long long)first);
    uint64_t bytes = (uint64_t)t->type->bytes;
    return file_read_at(g->file, blocks, (size_t)((uint64_t)(count / n) * bytes),
                        t->offset + (uint64_t)(first / n) * bytes);
}
