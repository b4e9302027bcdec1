/* How to generate: the fields of transformers' GenerationConfig, with its precedence: the call's arguments, then the
 * model's generation_config.json, then the pipeline's defaults, then the library's.
 *
 *     generation_settings_read(dir, tokenizer, &model)          what the model says, a JSON object
 *     call = cJSON_CreateObject(); generation_settings_put(call, "top_k", "40")
 *     generation_config_resolve(call, model, where, true, &config)
 *
 * A field that would change the result and that hone does not have is refused by name, unless the call sets it to what
 * changes nothing. */
#ifndef HONE_GENERATE_GENERATION_CONFIG_H
#define HONE_GENERATE_GENERATION_CONFIG_H

#include "trainer/base/json.h"
#include "trainer/tokenizer/tokenizer.h"

enum { GENERATION_EOS_MOST = 16 };

typedef struct GenerationConfig {
    /* -1: not set. max_new_tokens wins over max_length, which counts the prompt; min_new_tokens over min_length
     * likewise. */
    int64_t max_new_tokens, max_length, min_new_tokens, min_length;
    bool do_sample;
    double temperature;
    int64_t top_k;       /* 0: off */
    double top_p, min_p; /* 1 and 0: off */
    double repetition_penalty;
    int64_t no_repeat_ngram_size; /* 0: off */
    int64_t num_return_sequences;
    int64_t bos_token_id; /* what an empty prompt begins with; -1: none */
    int64_t pad_token_id; /* nothing is padded here: read so that it may be given */
    int64_t seed;
    int32_t eos_count, eos_token_id[GENERATION_EOS_MOST];
} GenerationConfig;

typedef enum GenerationType { GENERATION_INT, GENERATION_REAL, GENERATION_BOOL, GENERATION_IDS } GenerationType;
typedef struct GenerationKey {
    const char *name;
    GenerationType type;
    size_t offset;      /* in GenerationConfig */
    double off;         /* the value that does nothing: what null in the call means */
    double least, most; /* of a number */
    bool above;         /* not `least` itself */
    const char *help;
} GenerationKey;
/* Every field that there is: options of commands are made from it. */
const GenerationKey *generation_keys(int *count);
/* Names of fields that hone lacks, to be accepted as options with a value that changes nothing. */
const char *const *generation_refused(int *count);

/* Puts an argument of the call, as text ("0.9", "true", "[1, 2]", "null"): by the key's type. STATUS_USAGE: unknown, or
 * not of its type. */
Status generation_settings_put(cJSON *settings, const char *name, const char *text);
/* The model's: generation_config.json of the directory, without it the fields of the same names in config.json; token
 * ids that are missing from config.json, else the tokenizer. */
Status generation_settings_read(const char *dir, const Tokenizer *tokenizer, cJSON **out);
/* call and model may be NULL. `where` names the model's in messages. pipeline: with the defaults of the text-generation
 * pipeline (max_new_tokens 256 unless a length is set, sampling at temperature 0.7). */
Status generation_config_resolve(const cJSON *call, const cJSON *model, const char *where, bool pipeline,
                                 GenerationConfig *out);

#endif
