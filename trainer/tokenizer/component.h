/* The parts of a tokenizer.json and the lists of what hone knows: a new part is one file with its type and one line
 * here.
 *
 * Every type begins with ComponentType: its name in the file and how it is read. Data lives in the tokenizer's arena;
 * what cannot is given back by unload. All functions but load take const data and may run in several threads. */
#ifndef HONE_TOKENIZER_COMPONENT_H
#define HONE_TOKENIZER_COMPONENT_H

#include "trainer/base/json.h"
#include "trainer/tokenizer/work.h"

typedef struct ComponentType {
    const char *name; /* "type" in the file */
    /* json: the component's object; where: its place in the file, for messages. */
    Status (*load)(const cJSON *json, const char *where, Arena *arena, void **data);
    void (*unload)(void *data); /* may be NULL */
} ComponentType;

typedef struct NormalizerType {
    ComponentType head;
    /* Rewrites every piece without an id. */
    Status (*run)(const void *data, Work *w);
} NormalizerType;

typedef struct PreTokenizerType {
    ComponentType head;
    Status (*run)(const void *data, Work *w); /* splits every piece without an id */
} PreTokenizerType;

typedef struct ModelType {
    ComponentType head;
    Status (*tokenize)(const void *data, Work *w);                                  /* pieces into tokens */
    int32_t (*find)(const void *data, const char *token, size_t size);              /* -1: none */
    const char *(*token)(const void *data, int32_t id, size_t *size);               /* NUL-terminated; NULL: none */
    int32_t (*count)(const void *data);                                             /* tokens */
    int32_t (*id_limit)(const void *data);                                          /* all ids are below */
    int32_t (*own_text)(const void *data); /* the id whose tokens are, to post-processors, the text they stand for;
                                            * -1: none. NULL: none */
} ModelType;

struct Encoding;
struct Segment;

typedef struct PostProcessorType {
    ComponentType head;
    /* Mends the offsets of one sequence; spaces: of each of its tokens' texts, white space at its start and end.
     * `lead`: how many tokens a post-processor before this one has put before the first. NULL: nothing to mend. */
    void (*trim)(const void *data, const Span *spaces, int64_t lead, struct Encoding *tokens);
    /* Appends the segments (of one sequence or of two) to out with what belongs around them. NULL: one after the
     * other. */
    Status (*join)(const void *data, const struct Segment *segments, int count, unsigned flags, struct Encoding *out);
    int64_t (*added)(const void *data, bool pair);       /* how many tokens join adds */
    int64_t (*lead)(const void *data, int sequence);     /* how many it puts before a sequence's first for trim */
    /* Which sequences are there, in order of their first appearance, with how often; NULL: each once. */
    int (*order)(const void *data, bool pair, int sequences[2], int uses[2]);
} PostProcessorType;

/* Tokens on their way back to text: `count` texts, the i-th being bytes [ends[i-1], ends[i]) of text. */
typedef struct DecodeWork {
    Text text;
    size_t *ends;
    size_t count, capacity;
} DecodeWork;

/* A decoder that changes tokens writes new ones: text, then the end of a token; then they take the old ones' place
 * (what next holds afterwards is to be freed). */
static inline void decode_text(DecodeWork *next, const char *text, size_t size)
{
    if (size) text_add(&next->text, text, size);
}
Status decode_token_end(DecodeWork *next);
/* The i-th token that begins at *start, which moves on to the next. */
static inline const char *decode_token(const DecodeWork *w, size_t i, size_t *start, size_t *size)
{
    const char *token = w->text.data ? w->text.data + *start : "";
    *size = w->ends[i] - *start;
    *start = w->ends[i];
    return token;
}
void decode_replace(DecodeWork *w, DecodeWork *next);
void decode_work_free(DecodeWork *w);

typedef struct DecoderType {
    ComponentType head;
    Status (*run)(const void *data, DecodeWork *w);
} DecoderType;

/* Sorted. A "Sequence" is no component: its members are put into the list one after the other. */
#define NORMALIZERS(X)                                                                                                 \
    X(bert) X(lowercase) X(nfc) X(nfd) X(nfkc) X(nfkd) X(precompiled) X(prepend) X(replace) X(strip) X(strip_accents)
#define PRE_TOKENIZERS(X)                                                                                              \
    X(bert_pre_tokenizer) X(byte_level) X(digits) X(metaspace) X(punctuation) X(split) X(whitespace)                   \
    X(whitespace_split)
#define TOKENIZER_MODELS(X) X(bpe) X(unigram) X(wordpiece)
#define POST_PROCESSORS(X) X(bert_processing) X(byte_level) X(roberta_processing) X(template_processing)
#define DECODERS(X) X(byte_fallback) X(byte_level) X(fuse) X(metaspace) X(replace) X(strip) X(wordpiece)

#define AS_NORMALIZER(name) extern const NormalizerType normalizer_##name;
#define AS_PRE_TOKENIZER(name) extern const PreTokenizerType pre_tokenizer_##name;
#define AS_TOKENIZER_MODEL(name) extern const ModelType tokenizer_model_##name;
#define AS_POST_PROCESSOR(name) extern const PostProcessorType post_processor_##name;
#define AS_DECODER(name) extern const DecoderType decoder_##name;
NORMALIZERS(AS_NORMALIZER)
PRE_TOKENIZERS(AS_PRE_TOKENIZER)
TOKENIZER_MODELS(AS_TOKENIZER_MODEL)
POST_PROCESSORS(AS_POST_PROCESSOR)
DECODERS(AS_DECODER)

/* What may stand at one place of the file. */
typedef struct ComponentKind {
    const char *name;    /* "pre-tokenizer" */
    const char *key;     /* "pre_tokenizer" */
    const char *members; /* the key of a Sequence's list; NULL: no sequences */
    const ComponentType *const *types; /* ends with NULL */
} ComponentKind;

extern const ComponentKind kind_normalizer, kind_pre_tokenizer, kind_model, kind_post_processor, kind_decoder;

typedef struct Component {
    const ComponentType *type;
    void *data;
} Component;

typedef struct ComponentList {
    Component *items;
    size_t count, capacity;
} ComponentList;

/* Reads root[kind->key] (absent or null: none) with its Sequences laid flat; unknown types are refused by name with
 * the list of what there is. What was loaded before an error stays in the list, for components_unload. */
Status components_load(const ComponentKind *kind, const cJSON *root, const char *file, Arena *arena,
                       ComponentList *list);
void components_unload(ComponentList *list);

#endif
