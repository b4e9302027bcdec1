/* The token cache: a preprocessed split is one file, made once by one process and mapped by all (architecture.md, 10).
 *
 * The file is named by a hash of what it was made from. Whoever finds it, complete and with the right hash, takes it.
 * Whoever does not, makes a lock file beside it (O_EXCL), whose content a thread changes twice a second, and then the
 * file: written under another name, synced, renamed. The others wait for the file; a maker whose lock file stands still
 * for 5 s, or that is gone from this host, is replaced. Two makers at once do double work and no harm. */
#ifndef HONE_DATA_TOKEN_CACHE_H
#define HONE_DATA_TOKEN_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "trainer/base/status.h"
#include "trainer/data/dataset.h"

typedef struct CacheWriter CacheWriter;

typedef struct CacheColumn {
    const char *name; /* below 32 bytes */
    int64_t length;   /* of every example; -1: each its own */
} CacheColumn;

typedef Status CacheMakeFn(void *context, CacheWriter *writer);

typedef struct CacheRequest {
    const char *dir;  /* NULL: no cache, a file of this process alone */
    uint64_t key[2];  /* of everything that the content depends on */
    bool overwrite;   /* make it anew once, even where a right one lies */
    uint64_t run;     /* a number that the processes of one run share: of them, one makes it anew; 0: each for itself */
    const CacheColumn *columns;
    int num_columns;  /* 1..32 */
    CacheMakeFn *make;
    void *context;
} CacheRequest;

/* What the maker tells of itself, kept in the file. */
typedef struct CacheNotes {
    int64_t rows, tokens, source_bytes;
} CacheNotes;

/* A directory that cannot be written is said in one line, and a file of this process alone is made instead. */
Status token_cache_open(const CacheRequest *request, Dataset **out);
const CacheNotes *dataset_notes(const Dataset *d);

/* For the maker: adds `count` examples. Where all columns have a fixed length, data holds them example by example; else
 * count is 1, lengths[c] is column c's, and data holds the columns one after the other. */
Status cache_writer_add(CacheWriter *w, const int32_t *data, int64_t count, const int64_t *lengths);
CacheNotes *cache_writer_notes(CacheWriter *w);

/* $HONE_CACHE, $XDG_CACHE_HOME/hone or ~/.cache/hone into `out`; false if there is no home. */
bool token_cache_default_dir(char *out, size_t size);

#endif
