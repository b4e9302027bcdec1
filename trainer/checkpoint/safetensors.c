/* Opening a safetensors file: its header is read, parsed, and checked against the file's size until every byte of the
 * data belongs to exactly one tensor. What the checks let through can be read without further thought. Source: the
 * format's README and the reference's reader (safetensors 0.8, tensor.rs: validate). */
#include "trainer/checkpoint/safetensors.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "trainer/base/arena.h"
#include "trainer/base/file.h"
#include "trainer/base/json.h"
#include "trainer/checkpoint/safetensors_internal.h"

/* Element types that a file may name; those with a Dtype can be read. F4 and F6 elements are smaller than a byte. */
static const struct {
    const char *name;
    unsigned bits;
    Dtype dtype;
} types[] = {
    {"F32", 32, DTYPE_F32},          {"BF16", 16, DTYPE_BF16},    {"F16", 16, DTYPE_F16},
    {"F64", 64, DTYPE_F64},          {"I64", 64, DTYPE_I64},      {"I32", 32, DTYPE_I32},
    {"I16", 16, DTYPE_I16},          {"I8", 8, DTYPE_I8},         {"U8", 8, DTYPE_U8},
    {"BOOL", 8, DTYPE_BOOL},         {"U16", 16, DTYPE_COUNT},    {"U32", 32, DTYPE_COUNT},
    {"U64", 64, DTYPE_COUNT},        {"C64", 64, DTYPE_COUNT},    {"F8_E4M3", 8, DTYPE_COUNT},
    {"F8_E5M2", 8, DTYPE_COUNT},     {"F8_E8M0", 8, DTYPE_COUNT}, {"F8_E4M3FNUZ", 8, DTYPE_COUNT},
    {"F8_E5M2FNUZ", 8, DTYPE_COUNT}, {"F6_E2M3", 6, DTYPE_COUNT}, {"F6_E3M2", 6, DTYPE_COUNT},
    {"F4", 4, DTYPE_COUNT},
};

const char *safetensors_type_name(Dtype d)
{
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (types[i].dtype == d) return types[i].name;
    return NULL;
}

char *shape_text(const int64_t *shape, int ndim, char text[static 192])
{
    size_t at = (size_t)snprintf(text, 192, "[");
    for (int i = 0; i < ndim; i++) at += (size_t)snprintf(text + at, 192 - at, "%s%" PRId64, i ? ", " : "", shape[i]);
    snprintf(text + at, 192 - at, "]");
    return text;
}

/* A name as messages show it: cut short, for a hostile header has long ones. */
#define SHOWN 200

static Status find_type(const Safetensors *s, const cJSON *entry, TensorInfo *t, unsigned *bits)
{
    const char *type;
    Status st = json_string(entry, t->name, "dtype", &type);
    if (st != OK) return status_prefix(STATUS_FORMAT, "%s", s->path);
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        if (strcmp(types[i].name, type) != 0) continue;
        t->type = types[i].name;
        t->dtype = types[i].dtype;
        *bits = types[i].bits;
        return OK;
    }
    return status_raise(STATUS_FORMAT, "%s: tensor %.*s has the unknown dtype \"%.40s\"; is the file newer than hone?",
                        s->path, SHOWN, t->name, type);
}

/* A non-negative integral number below 2^53. */
static bool whole(const cJSON *item, uint64_t *out)
{
    if (!cJSON_IsNumber(item) || !(item->valuedouble >= 0 && item->valuedouble < 9007199254740992.0)) return false;
    *out = (uint64_t)item->valuedouble;
    return (double)*out == item->valuedouble;
}

static Status read_shape(const Safetensors *s, const cJSON *entry, TensorInfo *t)
{
    const cJSON *shape = cJSON_GetObjectItemCaseSensitive(entry, "shape"), *item;
    uint64_t size, product = 1;
    bool has_zero = false;
    if (!cJSON_IsArray(shape))
        return status_raise(STATUS_FORMAT, "%s: tensor %.*s has no shape", s->path, SHOWN, t->name);
    cJSON_ArrayForEach(item, shape)
    {
        if (t->ndim == TENSOR_DIMS)
            return status_raise(STATUS_UNSUPPORTED, "%s: tensor %.*s has more than %d dimensions", s->path, SHOWN,
                                t->name, TENSOR_DIMS);
        if (!whole(item, &size))
            return status_raise(STATUS_FORMAT, "%s: tensor %.*s: dimension %d is not a size", s->path, SHOWN, t->name,
                                t->ndim);
        t->shape[t->ndim++] = (int64_t)size;
        has_zero |= size == 0;
        if (size && product > (UINT64_C(1) << 60) / size)
            return status_raise(STATUS_FORMAT, "%s: tensor %.*s: its shape has more elements than a file can hold",
                                s->path, SHOWN, t->name);
        if (size) product *= size;
    }
    t->numel = has_zero ? 0 : (int64_t)product;
    return OK;
}

static Status read_place(const Safetensors *s, const cJSON *entry, TensorInfo *t, unsigned bits)
{
    const cJSON *place = cJSON_GetObjectItemCaseSensitive(entry, "data_offsets");
    const cJSON *first = cJSON_IsArray(place) ? place->child : NULL, *second = first ? first->next : NULL;
    char shape[192];
    if (!second || second->next || !whole(first, &t->begin) || !whole(second, &t->end) || t->begin > t->end)
        return status_raise(STATUS_FORMAT, "%s: tensor %.*s: data_offsets must be two offsets, begin <= end", s->path,
                            SHOWN, t->name);
    if (t->end > s->data_bytes)
        return status_raise(STATUS_FORMAT,
                            "%s: tensor %.*s ends at byte %" PRIu64 " of %" PRIu64
                            " bytes of data; the file was cut short, get it again",
                            s->path, SHOWN, t->name, t->end, s->data_bytes);
    uint64_t want_bits = (uint64_t)t->numel * bits; /* numel <= 2^60 and bits <= 64 may wrap: so compare with care */
    if (t->numel > INT64_MAX / 64 || want_bits % 8 || want_bits / 8 != t->end - t->begin)
        return status_raise(STATUS_FORMAT,
                            "%s: tensor %.*s: %s %s does not fill the %" PRIu64 " bytes of its data_offsets", s->path,
                            SHOWN, t->name, t->type, shape_text(t->shape, t->ndim, shape), t->end - t->begin);
    return OK;
}

static Status read_entry(Safetensors *s, const cJSON *entry, TensorInfo *t)
{
    Status st = OK;
    unsigned bits = 0;
    t->file = s;
    t->name = arena_strdup(s->arena, entry->string);
    TRY_MEMORY(t->name);
    if (!cJSON_IsObject(entry)) RAISE(FORMAT, "%s: tensor %.*s is not an object", s->path, SHOWN, t->name);
    TRY(find_type(s, entry, t, &bits));
    TRY(read_shape(s, entry, t));
    TRY(read_place(s, entry, t, bits));
done:
    return st;
}

static Status read_metadata(Safetensors *s, const cJSON *object)
{
    Status st = OK;
    const cJSON *item;
    if (!cJSON_IsObject(object)) RAISE(FORMAT, "%s: __metadata__ is not an object", s->path);
    cJSON_ArrayForEach(item, object) s->pair_count++;
    TRY_NEW(s->arena, s->pairs, 2 * s->pair_count);
    size_t i = 0;
    cJSON_ArrayForEach(item, object)
    {
        if (!cJSON_IsString(item))
            RAISE(FORMAT, "%s: __metadata__: \"%.*s\" is not a string", s->path, SHOWN, item->string);
        s->pairs[i] = arena_strdup(s->arena, item->string);
        TRY_MEMORY(s->pairs[i]);
        s->pairs[i + 1] = arena_strdup(s->arena, item->valuestring);
        TRY_MEMORY(s->pairs[i + 1]);
        i += 2;
    }
done:
    return st;
}

static int by_place(const void *a, const void *b)
{
    const TensorInfo *x = a, *y = b;
    if (x->begin != y->begin) return x->begin < y->begin ? -1 : 1;
    if (x->end != y->end) return x->end < y->end ? -1 : 1;
    return strcmp(x->name, y->name);
}

/* Sorted by place, each tensor must begin where the one before ended, and the last must end with the file. */
static Status check_cover(const Safetensors *s)
{
    uint64_t at = 0;
    for (size_t i = 0; i < s->count; i++) {
        const TensorInfo *t = &s->tensors[i];
        if (t->begin != at)
            return status_raise(STATUS_FORMAT,
                                "%s: tensor %.*s begins at byte %" PRIu64 " of the data, %s byte %" PRIu64, s->path,
                                SHOWN, t->name, t->begin,
                                t->begin < at ? "inside the tensor before it that ends at" : "leaving a hole from", at);
        at = t->end;
    }
    if (at != s->data_bytes)
        return status_raise(STATUS_FORMAT,
                            "%s: its tensors need %" PRIu64 " bytes of data, and it has %" PRIu64 "; get it again",
                            s->path, at, s->data_bytes);
    return OK;
}

Status name_table_new(Arena *arena, size_t count, NameTable *out)
{
    Status st = OK;
    out->mask = 15;
    while (out->mask < 2 * count) out->mask = out->mask * 2 + 1;
    TRY_NEW(arena, out->slots, out->mask + 1);
done:
    return st;
}

static const TensorInfo **slot_of(const NameTable *table, const char *name)
{
    size_t i = XXH3_64bits(name, strlen(name)) & table->mask;
    while (table->slots[i] && strcmp(table->slots[i]->name, name) != 0) i = (i + 1) & table->mask;
    return &table->slots[i];
}

bool name_table_add(NameTable *table, const TensorInfo *t)
{
    const TensorInfo **slot = slot_of(table, t->name);
    if (*slot) return false;
    *slot = t;
    return true;
}

const TensorInfo *name_table_find(const NameTable *table, const char *name) { return *slot_of(table, name); }

static Status build(Safetensors *s, const cJSON *header)
{
    Status st = OK;
    const cJSON *entry;
    size_t entries = 0;
    if (!cJSON_IsObject(header)) RAISE(FORMAT, "%s: its header is not a JSON object", s->path);
    cJSON_ArrayForEach(entry, header) entries++;
    TRY_NEW(s->arena, s->tensors, entries);
    cJSON_ArrayForEach(entry, header)
    {
        if (strcmp(entry->string, "__metadata__") == 0)
            TRY(read_metadata(s, entry));
        else
            TRY(read_entry(s, entry, &s->tensors[s->count++]));
    }
    if (s->count) qsort(s->tensors, s->count, sizeof *s->tensors, by_place);
    TRY(check_cover(s));
    TRY(name_table_new(s->arena, s->count, &s->names));
    for (size_t i = 0; i < s->count; i++)
        if (!name_table_add(&s->names, &s->tensors[i]))
            RAISE(FORMAT, "%s: tensor %.*s is there twice", s->path, SHOWN, s->tensors[i].name);
done:
    return st;
}

static Status read_header(Safetensors *s)
{
    Status st = OK;
    unsigned char length[8];
    uint64_t bytes = file_bytes(s->file), size = 0;
    char *text = NULL;
    cJSON *header = NULL;
    if (bytes < 8) RAISE(FORMAT, "%s: %" PRIu64 " bytes are too few for a safetensors file", s->path, bytes);
    TRY(file_read_at(s->file, length, 8, 0));
    for (int i = 7; i >= 0; i--) size = size << 8 | length[i];
    if (size > SAFETENSORS_HEADER_LIMIT)
        RAISE(FORMAT, "%s: a header of %" PRIu64 " bytes is more than the %d allowed; not a safetensors file?", s->path,
              size, SAFETENSORS_HEADER_LIMIT);
    if (size > bytes - 8)
        RAISE(FORMAT, "%s: a header of %" PRIu64 " bytes in a file of %" PRIu64 "; it was cut short, get it again",
              s->path, size, bytes);
    text = malloc(size + 1);
    if (!text) RAISE(MEMORY, "%s: out of memory", s->path);
    TRY(file_read_at(s->file, text, size, 8));
    if (size == 0 || text[0] != '{')
        RAISE(FORMAT, "%s: its header does not begin with {; not a safetensors file?", s->path);
    s->data_at = 8 + size;
    s->data_bytes = bytes - s->data_at;
    TRY(json_parse(text, size, s->path, &header));
    TRY(build(s, header));
done:
    cJSON_Delete(header);
    free(text);
    return st;
}

Status safetensors_open(const char *path, Safetensors **out)
{
    Status st = OK;
    Safetensors *s = calloc(1, sizeof *s);
    *out = NULL;
    if (!s) RAISE(MEMORY, "%s: out of memory", path);
    pthread_mutex_init(&s->map_lock, NULL);
    TRY(arena_new(&s->arena));
    s->path = arena_strdup(s->arena, path);
    TRY_MEMORY(s->path);
    TRY(file_open(path, &s->file));
    TRY(read_header(s));
    *out = s;
    s = NULL;
done:
    safetensors_close(s);
    return st;
}

void safetensors_close(Safetensors *s)
{
    if (!s) return;
    file_unmap(s->map, s->map_bytes);
    file_close(s->file);
    arena_free(s->arena);
    pthread_mutex_destroy(&s->map_lock);
    free(s);
}

const char *safetensors_path(const Safetensors *s) { return s->path; }
uint64_t safetensors_file_bytes(const Safetensors *s) { return s->data_at + s->data_bytes; }
size_t safetensors_count(const Safetensors *s) { return s->count; }
const TensorInfo *safetensors_at(const Safetensors *s, size_t i) { return &s->tensors[i]; }
const TensorInfo *safetensors_find(const Safetensors *s, const char *name) { return name_table_find(&s->names, name); }

bool safetensors_metadata_at(const Safetensors *s, size_t i, const char **key, const char **value)
{
    if (i >= s->pair_count) return false;
    *key = s->pairs[2 * i];
    *value = s->pairs[2 * i + 1];
    return true;
}

const char *safetensors_metadata(const Safetensors *s, const char *key)
{
    for (size_t i = 0; i < s->pair_count; i++)
        if (strcmp(s->pairs[2 * i], key) == 0) return s->pairs[2 * i + 1];
    return NULL;
}
