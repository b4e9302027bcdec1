/* Texts from a causal language model: all prompts of a batch are read at once, laid end to end without padding, then
 * each step reads one token of every text that goes on, with the keys and values of what was read before. A text that
 * ends leaves the batch.
 *
 *     generator_new(model, k, stream, tokenizer, &g)
 *     generate(g, &config, prompts, count, first, NULL, arena, &texts)
 *
 * A text's tokens depend on the model, its prompt, the config and its number alone: not on what else is in the batch,
 * nor on threads (max_time and hooks aside, which end texts sooner). */
#ifndef HONE_GENERATE_GENERATE_H
#define HONE_GENERATE_GENERATE_H

#include "trainer/generate/generation_config.h"
#include "trainer/models/model.h"

typedef struct Generator Generator;

/* All borrowed; the model's weights are bound. tokenizer: for stop strings; NULL where there are none. */
Status generator_new(const Model *model, const Kernels *k, Stream *stream, const Tokenizer *tokenizer, Generator **out);
void generator_free(Generator *g); /* NULL is fine */

typedef struct Prompt {
    const int32_t *ids;
    int64_t count; /* 0: the text begins with bos_token_id */
} Prompt;

typedef enum Finish {
    FINISH_EOS,
    FINISH_STOP,      /* a stop string: the last token completes it */
    FINISH_LENGTH,    /* as many tokens as were asked for */
    FINISH_POSITIONS, /* as many as the model can read: fewer than were asked for */
    FINISH_TIME,      /* max_time is over */
    FINISH_CALLER     /* a hook said so */
} Finish;

typedef struct GeneratedText {
    int32_t *ids;          /* prompt and new tokens, the one that ended it included; in arena */
    int64_t prompt, count; /* tokens given; tokens in all */
    Finish finish;
} GeneratedText;

/* What a caller may do while texts are made: the thread that called generate() calls these. text: index of the answer
 * (below). Either may be NULL. */
typedef struct GenerateHooks {
    /* Told each new token at once. false: this text ends here; the others go on. */
    bool (*token)(void *context, int text, int32_t id);
    /* Asked before each pass over the model, and while a long prompt is read every 512 tokens. true: all texts end as
     * they are, maybe without a new token. */
    bool (*stop)(void *context);
    void *context;
} GenerateHooks;

/* texts [count * num_return_sequences]: the answers to prompts[0], then those to prompts[1], …. first: the number of
 * prompts[0] in the whole call, which may have several batches; hooks may be NULL. A prompt that leaves no room is an
 * error that tells its number. */
Status generate(Generator *g, const GenerationConfig *config, const Prompt *prompts, int count, int64_t first,
                const GenerateHooks *hooks, Arena *arena, GeneratedText **texts);

/* A conversation: prompts that grow, answered one after another. What a prompt begins with as the tokens that were read
 * last time do (the answer's among them) is not read again. An answer is that of generate() for the same prompt. */
typedef struct Conversation Conversation;
Status conversation_new(Generator *g, Conversation **out); /* g is borrowed */
void conversation_free(Conversation *c);                   /* NULL is fine; before its generator */
/* One answer (num_return_sequences is not looked at), as if the prompt were number `number` of a call. The memory for
 * keys and values grows with the conversation. After an error the next answer reads its whole prompt. */
Status conversation_answer(Conversation *c, const GenerationConfig *config, const Prompt *prompt, int64_t number,
                           const GenerateHooks *hooks, Arena *arena, GeneratedText **text);
int64_t conversation_kept(const Conversation *c); /* tokens of the last prompt that were not read again */

#endif
