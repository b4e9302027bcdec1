/* Writes a token cache's file in one pass, front to back, hashing on the way; the header last, at the front. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <xxhash.h>

#include "trainer/base/file.h"
#include "trainer/data/cache_file.h"

enum { WRITE_BUFFER = 1 << 20 };

struct CacheWriter {
    CacheHeader header;
    File *file;
    char *buffer; /* [WRITE_BUFFER] */
    size_t buffered;
    XXH3_state_t *hash;
    uint64_t elements;
    uint64_t *offsets; /* of ragged data */
    size_t offset_count, offset_capacity;
    bool failed; /* the file could not be written */
};

static Status flush(CacheWriter *w)
{
    if (!w->buffered) return OK;
    XXH3_128bits_update(w->hash, w->buffer, w->buffered);
    const Status st = file_write(w->file, w->buffer, w->buffered);
    w->buffered = 0;
    w->failed = st != OK;
    return st;
}

static Status put(CacheWriter *w, const void *data, size_t size)
{
    Status st = OK;
    const char *from = data;
    while (size) {
        const size_t room = WRITE_BUFFER - w->buffered, part = size < room ? size : room;
        memcpy(w->buffer + w->buffered, from, part);
        w->buffered += part;
        from += part;
        size -= part;
        if (w->buffered == WRITE_BUFFER) TRY(flush(w));
    }
done:
    return st;
}

static void note_range(CacheColumnInfo *info, const int32_t *data, int64_t length)
{
    if (length && !info->longest) info->least = info->most = data[0];
    if (length > info->longest) info->longest = length;
    for (int64_t i = 0; i < length; i++) {
        if (data[i] < info->least) info->least = data[i];
        if (data[i] > info->most) info->most = data[i];
    }
}

static Status add_offset(CacheWriter *w)
{
    if (w->offset_count == w->offset_capacity) {
        const size_t capacity = w->offset_capacity ? w->offset_capacity * 2 : 4096;
        uint64_t *grown = realloc(w->offsets, capacity * sizeof *grown);
        if (!grown) return status_raise(STATUS_MEMORY, "no memory for the offsets of %zu examples", capacity);
        w->offsets = grown;
        w->offset_capacity = capacity;
    }
    w->offsets[w->offset_count++] = w->elements;
    return OK;
}

Status cache_writer_add(CacheWriter *w, const int32_t *data, int64_t count, const int64_t *lengths)
{
    Status st = OK;
    CacheHeader *h = &w->header;
    const int32_t *from = data;
    if (!h->stride && count != 1) RAISE(BUG, "%" PRId64 " ragged examples at once", count);
    for (int64_t i = 0; i < count; i++)
        for (uint32_t c = 0; c < h->columns; c++) {
            const int64_t length = h->stride ? h->column[c].length : lengths[c];
            if (h->column[c].length >= 0 && length != h->column[c].length)
                RAISE(BUG, "column %s: length %" PRId64 " where each has %" PRId64, h->column[c].name, length,
                      h->column[c].length);
            note_range(&h->column[c], from, length);
            from += length;
            w->elements += (uint64_t)length;
            if (!h->stride) TRY(add_offset(w));
        }
    h->count += count;
    TRY(put(w, data, (size_t)(from - data) * sizeof *data));
done:
    return st;
}

CacheNotes *cache_writer_notes(CacheWriter *w)
{
    return &w->header.notes;
}

static void begin_header(CacheHeader *h, const CacheRequest *request)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    memcpy(h->magic, "HONETOK", 8);
    h->version = CACHE_VERSION;
    h->columns = (uint32_t)request->num_columns;
    h->key[0] = request->key[0];
    h->key[1] = request->key[1];
    h->stamp = request->run ? request->run
                            : ((uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec) ^ (uint64_t)getpid() << 40;
    bool fixed = true;
    for (int c = 0; c < request->num_columns; c++) {
        h->column[c].length = request->columns[c].length;
        memcpy(h->column[c].name, request->columns[c].name, strlen(request->columns[c].name));
        fixed = fixed && request->columns[c].length > 0;
        h->stride += request->columns[c].length;
    }
    if (!fixed) h->stride = 0;
}

/* Offsets, then the header with the hash. */
static Status finish(CacheWriter *w)
{
    Status st = OK;
    char page[CACHE_HEADER] = {0};
    CacheHeader *h = &w->header;

    h->data_bytes = w->elements * sizeof(int32_t);
    h->file_bytes = CACHE_HEADER + h->data_bytes;
    if (!h->stride) {
        const uint64_t zero = 0;
        const size_t padding = (size_t)(-h->file_bytes & 7);
        TRY(put(w, &zero, padding));
        TRY(put(w, &zero, sizeof zero));
        TRY(put(w, w->offsets, w->offset_count * sizeof *w->offsets));
        h->file_bytes += padding + (w->offset_count + 1) * sizeof zero;
    }
    TRY(flush(w));
    memcpy(page, h, sizeof *h);
    XXH3_128bits_update(w->hash, page + offsetof(CacheHeader, key), CACHE_HEADER - offsetof(CacheHeader, key));
    const XXH128_hash_t hash = XXH3_128bits_digest(w->hash);
    h->hash[0] = hash.low64;
    h->hash[1] = hash.high64;
    memcpy(page, h, sizeof *h);
    st = file_write_at(w->file, page, sizeof page, 0);
    if (st == OK) st = file_sync(w->file);
    if (st == OK) {
        st = file_close(w->file);
        w->file = NULL;
    }
    w->failed = st != OK;
done:
    return st;
}

Status cache_file_write(const CacheRequest *request, const char *path, bool *from_cache)
{
    Status st = OK;
    CacheWriter *w = calloc(1, sizeof *w);
    const char page[CACHE_HEADER] = {0};
    bool made = false;

    *from_cache = false;
    if (w) w->buffer = malloc(WRITE_BUFFER);
    if (w) w->hash = XXH3_createState();
    if (!w || !w->buffer || !w->hash) RAISE(MEMORY, "%s: out of memory", path);
    XXH3_128bits_reset(w->hash);
    begin_header(&w->header, request);
    w->failed = true;
    TRY(file_create(path, &w->file));
    made = true;
    TRY(file_write(w->file, page, sizeof page)); /* zeros: nobody takes this for a cache */
    w->failed = false;
    TRY(request->make(request->context, w));
    TRY(finish(w));
done:
    if (w) {
        *from_cache = st != OK && w->failed;
        char *message = st != OK ? strdup(status_message()) : NULL; /* survives the clean-up */
        file_close(w->file);
        if (st != OK && made) file_remove(path);
        if (message) status_raise(st, "%s", message);
        free(message);
        if (w->hash) XXH3_freeState(w->hash);
        free(w->buffer);
        free(w->offsets);
        free(w);
    }
    return st;
}
