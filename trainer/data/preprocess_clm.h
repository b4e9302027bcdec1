/* Causal language modelling's preprocessing, as the example script run_clm does it: rows are tokenized, the ids of
 * every 1,000 rows are laid end to end and cut in blocks of block_size, and what remains of each 1,000 is dropped.
 *
 * The blocks come from the token cache, or are made there by one process a file system, on all its threads; the result
 * does not depend on their number. The text column is "text", or else the first one. */
#ifndef HONE_DATA_PREPROCESS_CLM_H
#define HONE_DATA_PREPROCESS_CLM_H

#include <stdbool.h>
#include <stdint.h>

#include "trainer/base/status.h"
#include "trainer/data/dataset.h"
#include "trainer/data/split_rows.h"
#include "trainer/tokenizer/tokenizer.h"

typedef struct ClmSource {
    const char *name;         /* of the split, for messages: "train" */
    const char *const *paths; /* all of one format (readers.h) */
    int num_paths;
    bool keep_linebreaks; /* of text */
    SplitPart part;
    int percent; /* 1..99, of SPLIT_HEAD and SPLIT_TAIL */
    const Tokenizer *tokenizer;
    const char *tokenizer_dir; /* its tokenizer.json and tokenizer_config.json are part of the key; NULL: no cache */
    int64_t block_size;        /* the caller has applied the default min(1024, model_max_length) */
    int workers;               /* preprocessing_num_workers: the rows are cut in so many shards first; 0 and 1: not */
    const char *cache_dir;     /* NULL: $HONE_CACHE, $XDG_CACHE_HOME/hone or ~/.cache/hone */
    bool overwrite_cache;
    uint64_t run; /* CacheRequest's */
    int threads; /* to tokenize with; 0: one a core of this process */
} ClmSource;

/* One column, "input_ids"; every example has block_size ids. No block at all is an error. Logs one line. */
Status dataset_open_clm(const ClmSource *source, Dataset **out);

#endif
