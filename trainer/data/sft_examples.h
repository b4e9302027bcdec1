/* Examples of supervised fine-tuning on their way into the token cache: three columns, input_ids, labels and
 * seq_lengths (how many of the ids are of each text that lies in the example; one number unless it is packed). */
#ifndef HONE_DATA_SFT_EXAMPLES_H
#define HONE_DATA_SFT_EXAMPLES_H

#include "trainer/data/pack.h"
#include "trainer/data/tokenize_rows.h"
#include "trainer/data/token_cache.h"

typedef struct SftExample {
    int64_t at;     /* in the list's data: ids, labels, lengths */
    int64_t tokens, pieces;
} SftExample;

typedef struct SftExamples {
    IdList data;
    SftExample *items;
    int64_t count, capacity;
} SftExamples;

enum { SFT_COLUMNS = 3 };
extern const CacheColumn sft_cache_columns[SFT_COLUMNS];

/* ids and labels, of one text. */
Status sft_examples_add(SftExamples *list, const int32_t *ids, const int32_t *labels, int64_t tokens);
/* Packs the examples [first, first + count) of `from`, which are of one text each, to the end of `to`. */
Status sft_examples_pack(const SftExamples *from, int64_t first, int64_t count, PackStrategy strategy,
                         int64_t seq_length, SftExamples *to);
/* datasets.Dataset.shuffle. */
Status sft_examples_shuffle(SftExamples *list, uint64_t seed);
Status sft_examples_write(const SftExamples *list, CacheWriter *writer);
void sft_examples_clear(SftExamples *list); /* keeps the memory */
void sft_examples_free(SftExamples *list);

#endif
