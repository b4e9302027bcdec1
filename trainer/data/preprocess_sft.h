/* Supervised fine-tuning's preprocessing: a split's rows, rendered, tokenized, labelled, cut or packed, as TRL's
 * SFTTrainer prepares its data set (trl 1.16), from the token cache or made there on all threads.
 *
 * Packing goes by groups of 1,000 rows, as the reference's map does. */
#ifndef HONE_DATA_PREPROCESS_SFT_H
#define HONE_DATA_PREPROCESS_SFT_H

#include "trainer/data/dataset.h"
#include "trainer/data/pack.h"
#include "trainer/data/split_rows.h"
#include "trainer/template/chat_template.h"
#include "trainer/tokenizer/tokenizer.h"

typedef struct SftSource {
    const char *name;         /* of the split, for messages: "train" */
    const char *const *paths; /* .json, .jsonl or .csv */
    int num_paths;
    SplitPart part;
    int percent;
    const Tokenizer *tokenizer;
    const char *tokenizer_dir; /* its files are part of the key; NULL: no cache */
    const ChatTemplate *template; /* NULL: the model has none; conversations are then an error, `no_template` */
    const char *no_template;
    const cJSON *special_tokens;
    const char *const *template_paths; /* files of a template that is not the tokenizer's, for the key */
    int num_template_paths;
    const char *eos_token; /* NULL: the tokenizer names none */
    const char *text_field;
    int completion_only; /* 1, 0; -1: where there are prompts */
    bool assistant_only;
    int64_t max_length; /* -1: nothing is cut; packing needs it */
    bool keep_end, packing, shuffle;
    PackStrategy strategy;
    uint64_t seed; /* of shuffling */
    const char *cache_dir;
    bool overwrite_cache;
    uint64_t run;
    int threads;
} SftSource;

/* Columns input_ids, labels, seq_lengths (sft_examples.h). No example at all is an error. Logs one line. */
Status dataset_open_sft(const SftSource *source, Dataset **out);

#endif
