/* A preprocessed split: ragged int32 columns in a memory-mapped file of the token cache (architecture.md, 10).
 *
 * Example i of column c is data_c[offsets_c[i] .. offsets_c[i + 1]). An open dataset is read-only and thread-safe. */
#ifndef HONE_DATA_DATASET_H
#define HONE_DATA_DATASET_H

#include <stdbool.h>
#include <stdint.h>

#include "trainer/base/status.h"

typedef struct Dataset Dataset;

typedef struct Span {
    const int32_t *data; /* into the map: borrowed until dataset_free */
    int64_t length;
} Span;

int64_t dataset_count(const Dataset *d);
/* The column of that name ("input_ids", "labels", …), -1 if there is none. */
int dataset_column(const Dataset *d, const char *name);
Span dataset_get(const Dataset *d, int column, int64_t i); /* 0 <= i < count */
int64_t dataset_length(const Dataset *d, int column, int64_t i);
int64_t dataset_longest(const Dataset *d, int column); /* of all its examples; 0 if none */
int64_t dataset_fixed_length(const Dataset *d, int column); /* of each of its examples; -1: they differ */
/* The smallest and the largest value in a column, for checks against a vocabulary's size; 0, 0 if it has none. */
void dataset_range(const Dataset *d, int column, int32_t *least, int32_t *most);
/* Keeps the first n examples (max_train_samples); n < 0 or beyond the end keeps all. */
void dataset_select(Dataset *d, int64_t n);
/* Of the files and settings that it was made from, and of how many examples are kept: equal where the examples are. */
uint64_t dataset_fingerprint(const Dataset *d);
bool dataset_was_cached(const Dataset *d); /* found, not made, by dataset_open_… */
void dataset_free(Dataset *d);             /* NULL is fine */

/* A dataset in memory, for tests and made-up data: count examples of `length` ids each, copied; column "input_ids". */
Status dataset_from_ids(const int32_t *ids, int64_t count, int64_t length, Dataset **out);
/* Likewise, example i of lengths[i] >= 0 ids, which lie in `ids` one after the other. */
Status dataset_from_lists(const int32_t *ids, int64_t count, const int64_t *lengths, Dataset **out);

#endif
