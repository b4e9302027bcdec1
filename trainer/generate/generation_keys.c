/* The table of fields (transformers 5.23: generation/configuration_utils.py), and of those that hone lacks. */
#include <stddef.h>
#include <string.h>

#include "trainer/generate/generation_internal.h"

#define MOST 1e15
#define IN(field) offsetof(GenerationConfig, field)
static const GenerationKey keys[] = {
    {"max_new_tokens", GENERATION_INT, IN(max_new_tokens), -1, 1, MOST, false,
     "tokens to generate at most (256, of a chat 1024, unless max_length is set)"},
    {"max_length", GENERATION_INT, IN(max_length), -1, 1, MOST, false, "the same, the prompt's tokens counted"},
    {"min_new_tokens", GENERATION_INT, IN(min_new_tokens), -1, 0, MOST, false, "no end before so many"},
    {"min_length", GENERATION_INT, IN(min_length), -1, 0, MOST, false, "the same, the prompt's tokens counted"},
    {"max_time", GENERATION_REAL, IN(max_time), -1, 0, MOST, true, "seconds after which the texts end where they are"},
    {"stop_strings", GENERATION_STRINGS, IN(stop_strings), 0, 0, 0, false,
     "a text, or [\"text\", ...] as JSON: where one appears, an answer ends"},
    {"do_sample", GENERATION_BOOL, IN(do_sample), 0, 0, 1, false, "draw tokens (true); false: the likeliest each time"},
    {"temperature", GENERATION_REAL, IN(temperature), 1, 0, MOST, false,
     "scores are divided by it before drawing (0.7)"},
    {"top_h", GENERATION_REAL, IN(top_h), -1, 0, 1, true, "draw from the likeliest that make up this share of the "
                                                          "entropy of the 100 likeliest"},
    {"top_k", GENERATION_INT, IN(top_k), 0, 0, MOST, false, "draw from the k likeliest (50; 0: from all)"},
    {"top_p", GENERATION_REAL, IN(top_p), 1, 0, 1, false, "draw from the likeliest that make up p together (1)"},
    {"min_p", GENERATION_REAL, IN(min_p), 0, 0, 1, false, "draw from those as likely as min_p times the likeliest (0)"},
    {"typical_p", GENERATION_REAL, IN(typical_p), 1, 0, 1, true,
     "draw from those nearest to the expected information that make up p together (1)"},
    {"epsilon_cutoff", GENERATION_REAL, IN(epsilon_cutoff), 0, 0, 1, false, "draw from those at least so likely (0)"},
    {"eta_cutoff", GENERATION_REAL, IN(eta_cutoff), 0, 0, 1, false,
     "the same, and from less likely ones where the entropy is high (0)"},
    {"repetition_penalty", GENERATION_REAL, IN(repetition_penalty), 1, 0, MOST, true,
     "above 1: tokens that are there already are less likely (1)"},
    {"encoder_repetition_penalty", GENERATION_REAL, IN(encoder_repetition_penalty), 1, 0, MOST, true,
     "above 1: the prompt's tokens are likelier (1)"},
    {"no_repeat_ngram_size", GENERATION_INT, IN(no_repeat_ngram_size), 0, 0, MOST, false,
     "no n tokens in a row occur twice (0: they may)"},
    {"encoder_no_repeat_ngram_size", GENERATION_INT, IN(encoder_no_repeat_ngram_size), 0, 0, MOST, false,
     "no n tokens in a row of the prompt occur in the answer (0: they may)"},
    {"bad_words_ids", GENERATION_SEQUENCES, IN(bad_words_ids), 0, 0, INT32_MAX, false,
     "[[ID, ...], ...]: these are never generated"},
    {"sequence_bias", GENERATION_BIASES, IN(sequence_bias), 0, 0, INT32_MAX, false,
     "[[[ID, ...], X], ...]: X is added to the score of these"},
    {"suppress_tokens", GENERATION_IDS, IN(suppress_tokens), 0, 0, INT32_MAX, false, "these are never generated"},
    {"begin_suppress_tokens", GENERATION_IDS, IN(begin_suppress_tokens), 0, 0, INT32_MAX, false,
     "no answer begins with these"},
    {"forced_bos_token_id", GENERATION_INT, IN(forced_bos_token_id), -1, 0, INT32_MAX, false,
     "what follows a prompt of one token"},
    {"forced_eos_token_id", GENERATION_IDS, IN(forced_eos_token_id), 0, 0, INT32_MAX, false,
     "what a text ends with that becomes as long as it may"},
    {"exponential_decay_length_penalty", GENERATION_DECAY, IN(decay_start), -1, 0, MOST, false,
     "[START, X]: the end becomes likelier by X with each token after START"},
    {"remove_invalid_values", GENERATION_BOOL, IN(remove_invalid_values), 0, 0, 1, false,
     "scores that are no numbers count as 0 (false: they are an error)"},
    {"num_return_sequences", GENERATION_INT, IN(num_return_sequences), 1, 1, 100000, false, "answers to each text (1)"},
    {"eos_token_id", GENERATION_IDS, IN(eos_token_id), 0, 0, INT32_MAX, false, "these end a text (the model's)"},
    {"bos_token_id", GENERATION_INT, IN(bos_token_id), -1, 0, INT32_MAX, false,
     "what an empty text begins with (the model's)"},
    {"pad_token_id", GENERATION_INT, IN(pad_token_id), -1, -1, INT32_MAX, false, "accepted; nothing is padded here"},
    {"seed", GENERATION_INT, IN(seed), 42, -MOST, MOST, false,
     "of the draws (42): the same seed gives the same answers"},
};
enum { KEYS = sizeof keys / sizeof *keys };

static const GenerationRefused refused[] = {
    {"num_beams", "1", "there is no beam search; greedy search is do_sample false"},
    {"num_beam_groups", "1", "there is no beam search"},
    {"penalty_alpha", "0", "there is no contrastive search"},
    {"diversity_penalty", "0", "there is no beam search"},
    {"force_words_ids", NULL, "leave it out"},
    {"constraints", NULL, "leave it out"},
    {"guidance_scale", "1", "leave it out"},
    {"watermarking_config", NULL, "leave it out"},
    {"token_healing", "false", "leave it out"},
    {"dola_layers", NULL, "leave it out"},
    {"use_mtp", "false", "leave it out"},
};
enum { REFUSED = sizeof refused / sizeof *refused };

const GenerationKey *generation_keys(int *count)
{
    *count = KEYS;
    return keys;
}

const GenerationRefused *generation_refused_all(int *count)
{
    *count = REFUSED;
    return refused;
}

const char *const *generation_refused(int *count)
{
    static const char *names[REFUSED]; /* every caller writes the same */
    for (int i = 0; i < REFUSED; i++) names[i] = refused[i].name;
    *count = REFUSED;
    return names;
}

const GenerationKey *generation_key_find(const char *name)
{
    for (int i = 0; i < KEYS; i++)
        if (strcmp(keys[i].name, name) == 0) return &keys[i];
    return NULL;
}

const GenerationRefused *generation_refused_find(const char *name)
{
    for (int i = 0; i < REFUSED; i++)
        if (strcmp(refused[i].name, name) == 0) return &refused[i];
    return NULL;
}

const char *generation_type_name(GenerationType type)
{
    static const char *const names[] = {"N",    "X",    "true|false",    "ID|[ID, ...]",
                                        "JSON", "JSON", "TEXT|[\"...\"]", "[N, X]"};
    return names[type];
}
