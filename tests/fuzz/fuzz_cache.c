/* links: data */
/* Any bytes as a token cache's file, and any numbers in one whose magic, size and hash are right, are refused or give a
 * dataset that can be read to its last element and whose sizes and ranges hold. The first byte: bit 0, as it is; else
 * number of columns, then the header from `count` on without what of the columns is not used, then the rest. */
#include <stddef.h>
#include <xxhash.h>

#include "tests/fuzz/fuzz.h"
#include "trainer/data/cache_file.h"

enum { FROM = offsetof(CacheHeader, count), SKIPPED = offsetof(CacheHeader, notes) };

static void read_column(const Dataset *d, int column)
{
    const int64_t longest = dataset_longest(d, column);
    int32_t least, most;
    dataset_range(d, column, &least, &most);
    for (int64_t i = 0; i < dataset_count(d); i++) {
        const Span s = dataset_get(d, column, i);
        FUZZ_CHECK(s.length >= 0 && s.length <= longest && s.length == dataset_length(d, column, i));
        for (int64_t k = 0; k < s.length; k++) FUZZ_CHECK(least <= s.data[k] && s.data[k] <= most);
    }
}

static void try_file(const void *data, size_t size)
{
    Dataset *d;
    const char *path = fuzz_file(".tokens", data, size);
    const Status st = cache_file_open(path, NULL, &d);
    FUZZ_CHECK((st == OK) == (d != NULL) && (st == OK || *status_message()));
    if (!d) return;
    const CacheHeader *h = data;
    FUZZ_CHECK(size >= sizeof *h && h->columns >= 1 && h->columns <= CACHE_COLUMNS);
    for (uint32_t c = 0; c < h->columns; c++) read_column(d, (int)c);
    FUZZ_CHECK(dataset_column(d, h->column[0].name) == 0 && dataset_column(d, "no such column") == -1);
    dataset_free(d);
}

static void take(void *to, size_t most, const uint8_t **data, size_t *size)
{
    const size_t n = *size < most ? *size : most;
    if (n) memcpy(to, *data, n);
    *data += n;
    *size -= n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!size || *data & 1) {
        try_file(data + !!size, size - !!size);
        return 0;
    }
    const size_t columns = *data++ / 2 % (CACHE_COLUMNS + 1);
    char *file = calloc(1, CACHE_HEADER + size);
    FUZZ_CHECK(file);
    CacheHeader *h = (CacheHeader *)file;
    size--;
    take(file + FROM, SKIPPED - FROM, &data, &size);
    take(h->column, columns * sizeof h->column[0], &data, &size);
    const size_t bytes = CACHE_HEADER + size;
    take(file + CACHE_HEADER, size, &data, &size);
    memcpy(h->magic, "HONETOK", 8);
    h->version = CACHE_VERSION;
    h->columns = (uint32_t)columns;
    h->file_bytes = bytes;
    XXH3_state_t *state = XXH3_createState();
    XXH3_128bits_reset(state);
    XXH3_128bits_update(state, file + CACHE_HEADER, bytes - CACHE_HEADER);
    XXH3_128bits_update(state, h->key, CACHE_HEADER - offsetof(CacheHeader, key));
    const XXH128_hash_t hash = XXH3_128bits_digest(state);
    XXH3_freeState(state);
    h->hash[0] = hash.low64;
    h->hash[1] = hash.high64;
    try_file(file, bytes);
    free(file);
    return 0;
}
