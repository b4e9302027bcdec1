/* Maps a cache file, checks every number in it before it is used, and answers from the map. */
#include "trainer/data/dataset.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "trainer/base/file.h"
#include "trainer/data/cache_file.h"

struct Dataset {
    const void *map;
    size_t map_bytes;
    const CacheHeader *header;
    const int32_t *data;
    const uint64_t *offsets;      /* NULL: fixed lengths */
    int64_t start[CACHE_COLUMNS]; /* of a column in an example of fixed length */
    int64_t count;                /* after dataset_select */
    bool cached;
    void *owned; /* dataset_from_ids */
};

static Status not_right(const char *path, const char *what)
{
    return status_raise(STATUS_FORMAT, "%s: %s", path, what);
}

static Status check_header(const char *path, const CacheHeader *h, size_t size, const uint64_t key[2])
{
    if (memcmp(h->magic, "HONETOK", 8) != 0) return not_right(path, "not a token cache");
    if (h->version != CACHE_VERSION) return not_right(path, "a token cache of another version");
    if (key && (h->key[0] != key[0] || h->key[1] != key[1])) return not_right(path, "made from something else");
    if (h->file_bytes != size) return not_right(path, "cut short");
    if (h->columns < 1 || h->columns > CACHE_COLUMNS || h->count < 0 || h->stride < 0)
        return not_right(path, "impossible counts");
    if (h->data_bytes > size - CACHE_HEADER || h->data_bytes % sizeof(int32_t))
        return not_right(path, "impossible sizes");
    for (uint32_t c = 0; c < h->columns; c++) {
        const CacheColumnInfo *info = &h->column[c];
        if (!memchr(info->name, 0, CACHE_NAME) || info->length < -1 || info->longest < 0)
            return not_right(path, "impossible columns");
        if (info->length > h->stride && h->stride) return not_right(path, "impossible columns");
    }
    return OK;
}

static Status check_hash(const char *path, const CacheHeader *h, size_t size)
{
    XXH3_state_t *state = XXH3_createState();
    if (!state) return status_raise(STATUS_MEMORY, "%s: out of memory", path);
    const char *bytes = (const char *)h;
    XXH3_128bits_reset(state);
    XXH3_128bits_update(state, bytes + CACHE_HEADER, size - CACHE_HEADER);
    XXH3_128bits_update(state, h->key, CACHE_HEADER - offsetof(CacheHeader, key));
    const XXH128_hash_t hash = XXH3_128bits_digest(state);
    XXH3_freeState(state);
    const bool same = hash.low64 == h->hash[0] && hash.high64 == h->hash[1];
    return same ? OK : not_right(path, "damaged: its hash differs");
}

/* Columns of fixed length: the data is count examples of stride elements. */
static Status check_fixed(Dataset *d, const char *path)
{
    const CacheHeader *h = d->header;
    int64_t stride = 0;
    for (uint32_t c = 0; c < h->columns; c++) {
        const CacheColumnInfo *info = &h->column[c];
        if (info->length < 0 || info->length > h->stride - stride || info->longest != (h->count ? info->length : 0))
            return not_right(path, "impossible columns");
        d->start[c] = stride;
        stride += info->length;
    }
    const uint64_t elements = h->data_bytes / sizeof(int32_t);
    if (stride != h->stride || elements / (uint64_t)stride != (uint64_t)h->count || elements % (uint64_t)stride ||
        h->file_bytes != CACHE_HEADER + h->data_bytes)
        return not_right(path, "impossible sizes");
    return OK;
}

/* Ragged: the offsets must rise, end at the data's end, and respect each column's own numbers. */
static Status check_ragged(Dataset *d, const char *path)
{
    const CacheHeader *h = d->header;
    const uint64_t at = (CACHE_HEADER + h->data_bytes + 7) / 8 * 8;
    if (at > d->map_bytes || (uint64_t)h->count > (d->map_bytes - at) / 8 / h->columns ||
        d->map_bytes - at != ((uint64_t)h->count * h->columns + 1) * 8)
        return not_right(path, "impossible sizes");
    d->offsets = (const uint64_t *)((const char *)d->map + at);
    const int64_t lists = h->count * h->columns;
    if (d->offsets[0] != 0 || d->offsets[lists] != h->data_bytes / sizeof(int32_t))
        return not_right(path, "impossible offsets");
    for (int64_t i = 0; i < lists; i++) {
        const CacheColumnInfo *info = &h->column[i % h->columns];
        const uint64_t length = d->offsets[i + 1] - d->offsets[i];
        if (d->offsets[i + 1] < d->offsets[i] || length > (uint64_t)info->longest ||
            (info->length >= 0 && length != (uint64_t)info->length))
            return not_right(path, "impossible offsets");
    }
    return OK;
}

static bool in_range(const CacheColumnInfo *info, const int32_t *x, int64_t n)
{
    const int32_t least = info->least, most = info->most;
    int outside = 0;
    for (int64_t i = 0; i < n; i++) outside |= (x[i] < least) | (x[i] > most);
    return !outside;
}

/* An id is trusted to be below the vocabulary's size because dataset_range says so, not because somebody looks
 * again. */
static Status check_ranges(const Dataset *d, const char *path)
{
    const CacheHeader *h = d->header;
    const int64_t lists = h->columns == 1 ? 1 : h->count * h->columns;
    for (int64_t i = 0; i < lists; i++) {
        const int c = (int)(i % h->columns);
        const Span s = h->columns == 1 ? (Span){d->data, (int64_t)(h->data_bytes / sizeof(int32_t))}
                                       : dataset_get(d, c, i / h->columns);
        if (!in_range(&h->column[c], s.data, s.length))
            return not_right(path, "a value outside the range that it tells");
    }
    return OK;
}

Status cache_file_open(const char *path, const uint64_t key[2], Dataset **out)
{
    Status st = OK;
    Dataset *d = calloc(1, sizeof *d);

    *out = NULL;
    if (!d) RAISE(MEMORY, "%s: out of memory", path);
    TRY(file_map(path, &d->map, &d->map_bytes));
    if (d->map_bytes < CACHE_HEADER) TRY(not_right(path, "cut short"));
    d->header = d->map;
    TRY(check_header(path, d->header, d->map_bytes, key));
    TRY(check_hash(path, d->header, d->map_bytes));
    TRY(d->header->stride ? check_fixed(d, path) : check_ragged(d, path));
    d->data = (const int32_t *)((const char *)d->map + CACHE_HEADER);
    TRY(check_ranges(d, path));
    d->count = d->header->count;
    d->cached = true;
    *out = d;
    d = NULL;
done:
    dataset_free(d);
    return st;
}

void dataset_free(Dataset *d)
{
    if (!d) return;
    file_unmap(d->map, d->map_bytes);
    free(d->owned);
    free(d);
}

int64_t dataset_count(const Dataset *d)
{
    return d->count;
}

int dataset_column(const Dataset *d, const char *name)
{
    for (uint32_t c = 0; c < d->header->columns; c++)
        if (strcmp(d->header->column[c].name, name) == 0) return (int)c;
    return -1;
}

Span dataset_get(const Dataset *d, int column, int64_t i)
{
    if (!d->offsets)
        return (Span){.data = d->data + i * d->header->stride + d->start[column],
                      .length = d->header->column[column].length};
    const uint64_t *at = &d->offsets[i * d->header->columns + column];
    return (Span){.data = d->data + at[0], .length = (int64_t)(at[1] - at[0])};
}

int64_t dataset_length(const Dataset *d, int column, int64_t i)
{
    return dataset_get(d, column, i).length;
}

int64_t dataset_longest(const Dataset *d, int column)
{
    return d->header->column[column].longest;
}

int64_t dataset_fixed_length(const Dataset *d, int column)
{
    return d->header->column[column].length;
}

void dataset_range(const Dataset *d, int column, int32_t *least, int32_t *most)
{
    *least = d->header->column[column].least;
    *most = d->header->column[column].most;
}

void dataset_select(Dataset *d, int64_t n)
{
    if (n >= 0 && n < d->count) d->count = n;
}

uint64_t dataset_fingerprint(const Dataset *d)
{
    const uint64_t what[] = {d->header->key[0], d->header->key[1], (uint64_t)d->count};
    return XXH3_64bits(what, sizeof what);
}

bool dataset_was_cached(const Dataset *d)
{
    return d->cached;
}

void dataset_set_cached(Dataset *d, bool cached)
{
    d->cached = cached;
}

uint64_t dataset_stamp(const Dataset *d)
{
    return d->header->stamp;
}

const CacheNotes *dataset_notes(const Dataset *d)
{
    return &d->header->notes;
}

/* One column; lengths NULL: each has `length`. Data and offsets lie behind the header. */
static Status from_memory(const int32_t *ids, int64_t count, int64_t length, const int64_t *lengths, Dataset **out)
{
    Status st = OK;
    int64_t elements = lengths ? 0 : count * length, longest = lengths || !count ? 0 : length;
    Dataset *d = calloc(1, sizeof *d);
    CacheHeader *h = NULL;

    *out = NULL;
    for (int64_t i = 0; lengths && i < count; i++) {
        elements += lengths[i];
        if (lengths[i] > longest) longest = lengths[i];
    }
    const size_t bytes = ((size_t)elements * sizeof *ids + 7) / 8 * 8;
    if (d) d->owned = h = calloc(1, CACHE_HEADER + bytes + ((size_t)count + 1) * sizeof *d->offsets);
    if (!h) RAISE(MEMORY, "no memory for %" PRId64 " ids", elements);
    int32_t *data = (int32_t *)((char *)h + CACHE_HEADER);
    uint64_t *offsets = (uint64_t *)((char *)data + bytes);
    if (elements) memcpy(data, ids, (size_t)elements * sizeof *ids);
    for (int64_t i = 0; lengths && i < count; i++) offsets[i + 1] = offsets[i] + (uint64_t)lengths[i];
    h->columns = 1;
    h->count = count;
    h->stride = lengths ? 0 : length;
    CacheColumnInfo *info = &h->column[0];
    *info = (CacheColumnInfo){.name = "input_ids", .length = lengths ? -1 : length, .longest = longest,
                              .least = elements ? ids[0] : 0, .most = elements ? ids[0] : 0};
    for (int64_t i = 0; i < elements; i++) {
        if (ids[i] < info->least) info->least = ids[i];
        if (ids[i] > info->most) info->most = ids[i];
    }
    d->header = h;
    d->data = data;
    d->offsets = lengths ? offsets : NULL;
    d->count = count;
    *out = d;
    d = NULL;
done:
    dataset_free(d);
    return st;
}

Status dataset_from_ids(const int32_t *ids, int64_t count, int64_t length, Dataset **out)
{
    *out = NULL;
    if (count < 0 || length < 1) return status_raise(STATUS_BUG, "a dataset of %" PRId64 " x %" PRId64, count, length);
    return from_memory(ids, count, length, NULL, out);
}

Status dataset_from_lists(const int32_t *ids, int64_t count, const int64_t *lengths, Dataset **out)
{
    return from_memory(ids, count, 0, lengths, out);
}
