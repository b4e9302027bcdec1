/* How to generate: the fields of transformers' GenerationConfig, with its precedence: the call's arguments, then the
 * model's generation_config.json, then the defaults of what is run, then the library's.
 *
 *     generation_settings_read(dir, tokenizer, &model)          what the model says, a JSON object
 *     call = cJSON_CreateObject(); generation_settings_put(call, "top_k", "40")
 *     generation_config_resolve(call, model, where, DEFAULTS_PIPELINE, arena, &config)
 *
 * A field that would change the result and that hone does not have is refused by name, unless the call sets it to what
 * changes nothing. What is neither honoured nor refused changes no result here: sizes and kinds of caches, assistants,
 * what is returned beside the tokens, and what belongs to beams alone. */
#ifndef HONE_GENERATE_GENERATION_CONFIG_H
#define HONE_GENERATE_GENERATION_CONFIG_H

#include "trainer/base/arena.h"
#include "trainer/base/json.h"
#include "trainer/tokenizer/tokenizer.h"

typedef struct IdList {
    int32_t *ids, count;
} IdList;
/* What is added to the score of the last of `ids` where the text ends with those before it. */
typedef struct SequenceBias {
    IdList sequence;
    float bias;
} SequenceBias;
typedef struct BiasList {
    SequenceBias *items;
    int32_t count;
} BiasList;
typedef struct StringList {
    const char **strings; /* UTF-8, not empty */
    int32_t count;
} StringList;

/* Lists are in the arena of the resolving. */
typedef struct GenerationConfig {
    /* -1: not set. max_new_tokens wins over max_length, which counts the prompt; min_new_tokens over min_length
     * likewise. */
    int64_t max_new_tokens, max_length, min_new_tokens, min_length;
    bool do_sample;
    double temperature;
    int64_t top_k;       /* 0: off */
    double top_p, min_p; /* 1 and 0: off */
    double top_h;        /* -1: off */
    double typical_p, epsilon_cutoff, eta_cutoff; /* 1, 0, 0: off */
    double repetition_penalty, encoder_repetition_penalty; /* 1: off */
    int64_t no_repeat_ngram_size, encoder_no_repeat_ngram_size; /* 0: off */
    IdList suppress_tokens, begin_suppress_tokens;
    BiasList bad_words_ids; /* -inf each */
    BiasList sequence_bias;
    int64_t forced_bos_token_id; /* -1: none */
    IdList forced_eos_token_id;
    bool remove_invalid_values;
    int64_t decay_start; /* new tokens before exponential_decay_length_penalty begins; -1: off */
    double decay_factor;
    StringList stop_strings;
    double max_time; /* seconds; -1: any */
    int64_t num_return_sequences;
    int64_t bos_token_id; /* what an empty prompt begins with; -1: none */
    int64_t pad_token_id; /* nothing is padded here: read so that it may be given */
    int64_t seed;
    IdList eos_token_id;
} GenerationConfig;

typedef enum GenerationType {
    GENERATION_INT,
    GENERATION_REAL,
    GENERATION_BOOL,
    GENERATION_IDS,       /* an id or a list of them */
    GENERATION_SEQUENCES, /* lists of ids, never to be generated */
    GENERATION_BIASES,    /* [[ids], bias], … */
    GENERATION_STRINGS,   /* a string or a list of them */
    GENERATION_DECAY      /* [start, factor] */
} GenerationType;
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
const char *generation_type_name(GenerationType type); /* "ID|[ID, ...]", for help */

/* Puts an argument of the call, as text ("0.9", "true", "[1, 2]", "null"): by the key's type. STATUS_USAGE: unknown, or
 * not of its type. */
Status generation_settings_put(cJSON *settings, const char *name, const char *text);
/* The model's: generation_config.json of the directory, without it the fields of the same names in config.json; token
 * ids that are missing from config.json, else the tokenizer. */
Status generation_settings_read(const char *dir, const Tokenizer *tokenizer, cJSON **out);

/* The pipeline's are those of text-generation in transformers: sampling at temperature 0.7, and max_new_tokens 256
 * unless a length is set; a chat's answer has 1024. */
typedef enum GenerationDefaults { DEFAULTS_LIBRARY, DEFAULTS_PIPELINE, DEFAULTS_CHAT } GenerationDefaults;
/* call and model may be NULL. `where` names the model's in messages. */
Status generation_config_resolve(const cJSON *call, const cJSON *model, const char *where, GenerationDefaults defaults,
                                 Arena *arena, GenerationConfig *out);

#endif
