/* The layout of a token cache's file, its writer and its reader. Little-endian, as the machines that hone runs on.
 *
 *   CacheHeader, padded with zeros to CACHE_HEADER bytes
 *   int32 data: example by example, in each the columns one after the other
 *   unless all columns have a fixed length: padding to 8, then u64 offsets[count * columns + 1] in elements of the data
 *
 * The hash is XXH3-128 of all bytes after the header, then of the header from `key` on. */
#ifndef HONE_DATA_CACHE_FILE_H
#define HONE_DATA_CACHE_FILE_H

#include <stdint.h>

#include "trainer/data/token_cache.h"

enum { CACHE_HEADER = 4096, CACHE_VERSION = 1, CACHE_COLUMNS = 32, CACHE_NAME = 32 };

typedef struct CacheColumnInfo {
    char name[CACHE_NAME];
    int64_t length;  /* -1: ragged */
    int64_t longest;
    int32_t least, most;
    int64_t spare;
} CacheColumnInfo;

typedef struct CacheHeader {
    char magic[8];
    uint32_t version, columns;
    uint64_t hash[2];
    uint64_t key[2];
    uint64_t stamp; /* the maker's run, or a number that no other file of this key has */
    int64_t count;
    int64_t stride; /* elements an example; 0: ragged */
    uint64_t data_bytes, file_bytes;
    CacheNotes notes;
    CacheColumnInfo column[CACHE_COLUMNS];
} CacheHeader;

_Static_assert(sizeof(CacheHeader) <= CACHE_HEADER, "the header must fit");

/* Makes the file under `path`: header, what `make` adds, offsets; synced. On failure the file is removed. *from_cache
 * is whether writing the file, not the maker, was what failed. */
Status cache_file_write(const CacheRequest *request, const char *path, bool *from_cache);
/* Maps and checks it: STATUS_FORMAT says what is wrong with the file. `key` NULL: not compared. */
Status cache_file_open(const char *path, const uint64_t key[2], Dataset **out);
uint64_t dataset_stamp(const Dataset *d);
void dataset_set_cached(Dataset *d, bool cached);

#endif
