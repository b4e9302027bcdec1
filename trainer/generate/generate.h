/* Texts from a causal language model: all prompts of a batch are read at once, laid end to end without padding, then
 * each step reads one token of every text that goes on, with the keys and values of what was read before. A text that
 * ends leaves the batch.
 *
 *     generator_new(model, k, stream, &g)
 *     generate(g, &config, prompts, count, first, NULL, NULL, arena, &texts)
 *
 * A text's tokens depend on the model, its prompt, the config and its number alone: not on what else is in the batch,
 * nor on threads. */
#ifndef HONE_GENERATE_GENERATE_H
#define HONE_GENERATE_GENERATE_H

#include "trainer/generate/generation_config.h"
#include "trainer/models/model.h"

typedef struct Generator Generator;

/* All borrowed; the model's weights are bound. */
Status generator_new(const Model *model, const Kernels *k, Stream *stream, Generator **out);
void generator_free(Generator *g); /* NULL is fine */

typedef struct Prompt {
    const int32_t *ids;
    int64_t count; /* 0: the text begins with bos_token_id */
} Prompt;

typedef enum Finish {
    FINISH_EOS,
    FINISH_LENGTH,    /* as many tokens as were asked for */
    FINISH_POSITIONS, /* as many as the model can read: fewer than were asked for */
    FINISH_CALLER     /* the callback said so */
} Finish;

typedef struct GeneratedText {
    int32_t *ids;          /* prompt and new tokens, the one that ended it included; in arena */
    int64_t prompt, count; /* tokens given; tokens in all */
    Finish finish;
} GeneratedText;

/* Told each new token at once; text: index of the answer (below). false: this text ends here. */
typedef bool TokenReady(void *context, int text, int32_t id);

/* texts [count * num_return_sequences]: the answers to prompts[0], then those to prompts[1], …. first: the number of
 * prompts[0] in the whole call, which may have several batches; token may be NULL. A prompt that leaves no room is an
 * error that tells its number. */
Status generate(Generator *g, const GenerationConfig *config, const Prompt *prompts, int count, int64_t first,
                TokenReady *token, void *context, Arena *arena, GeneratedText **texts);

#endif
