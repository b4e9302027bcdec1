/* See generate.h. Everything that a run of generate() needs is allocated at its start; a step allocates nothing. */
#include "trainer/generate/generate.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "trainer/generate/logits.h"
#include "trainer/nn/kv_cache.h"

/* Rows and prompts of a pass over prompts: bounds its memory; no bit depends on it. Scores of so many texts come from a
 * device in one copy. */
enum { READ_AT_ONCE = 4096, PROMPTS_AT_ONCE = 64, SCORES_AT_ONCE = 32 };

struct Generator {
    const Model *model;
    Kernels k; /* the backend's, with products of which no bit depends on the number of rows */
    Tape tape;
    BatchRoom room;
    Batch placed; /* the pass's batch, where kernels read it */
    Logits logits;
    float *scores; /* [SCORES_AT_ONCE, vocab] of the host; NULL: kernels work in the host's memory */
};

/* One call of generate(). */
typedef struct Run {
    Generator *g;
    const GenerationConfig *config;
    KvCache *cache;
    GeneratedText *texts;
    int64_t *most, first;   /* most [texts]: tokens in all */
    int num_texts, answers; /* answers: to one prompt */
    TokenReady *token;
    void *context;
    int *live, num_live;                    /* texts that go on, ascending */
    int32_t *ids, *positions, *cu, *sample; /* of a pass */
} Run;

Status generator_new(const Model *model, const Kernels *k, Stream *stream, Generator **out)
{
    Status st = OK;
    Generator *g = calloc(1, sizeof *g);
    if (!g) RAISE(MEMORY, "out of memory");
    g->model = model;
    g->k = *k;
    if (k->linear_forward_alone) g->k.linear_forward = k->linear_forward_alone;
    TRY(logits_open(model->vocab_size, &g->logits));
    TRY(tape_open(&g->tape, &g->k, stream, NULL));
    if (stream_is_device(stream)) {
        size_t bytes = SCORES_AT_ONCE * (size_t)model->vocab_size * sizeof *g->scores;
        if (!(g->scores = stream_allocate_host(stream, bytes)))
            RAISE(MEMORY, "out of memory: scores of %lld tokens", (long long)model->vocab_size);
    }
    *out = g;
    return OK;
done:
    generator_free(g);
    return st;
}

void generator_free(Generator *g)
{
    if (!g) return;
    batch_room_free(&g->room);
    if (g->tape.k) {
        stream_release_host(g->tape.stream, g->scores);
        tape_close(&g->tape);
    }
    logits_close(&g->logits);
    free(g);
}

/* ---- lengths ----------------------------------------------------------------------------------------------------- */

/* Tokens of a text in all (transformers: _prepare_generated_length), not yet held to what the model can read. */
static int64_t wanted_length(const GenerationConfig *c, int64_t prompt)
{
    if (c->max_new_tokens >= 0) return prompt + c->max_new_tokens;
    return c->max_length >= 0 ? c->max_length : prompt + 20;
}

static Status begin_text(Run *r, const Prompt *prompt, int64_t number, Arena *arena, GeneratedText *text, int64_t *most)
{
    Status st = OK;
    const Model *m = r->g->model;
    int32_t bos = (int32_t)r->config->bos_token_id;
    int64_t given = prompt->count ? prompt->count : 1, positions = model_most_positions(m);
    const int32_t *ids = prompt->count ? prompt->ids : &bos;
    if (!prompt->count && bos < 0)
        RAISE(USAGE,
              "text %lld is empty, and the model names no bos_token_id to begin with; write a text, or give "
              "--bos_token_id",
              (long long)number + 1);
    for (int64_t i = 0; i < given; i++)
        if (ids[i] < 0 || ids[i] >= m->vocab_size)
            RAISE(FORMAT, "text %lld: token id %d is beyond the model's %lld; is the tokenizer the model's own?",
                  (long long)number + 1, (int)ids[i], (long long)m->vocab_size);
    *most = wanted_length(r->config, given);
    if (given >= positions)
        RAISE(USAGE, "text %lld has %lld tokens; the model reads %lld, which leaves no room for an answer: shorten it",
              (long long)number + 1, (long long)given, (long long)positions);
    if (given >= *most)
        RAISE(USAGE, "text %lld has %lld tokens, and max_length is %lld with them; raise it, or set max_new_tokens",
              (long long)number + 1, (long long)given, (long long)*most);
    text->finish = *most > positions ? FINISH_POSITIONS : FINISH_LENGTH;
    if (*most > positions) *most = positions;
    TRY_NEW(arena, text->ids, *most);
    memcpy(text->ids, ids, (size_t)given * sizeof *ids);
    text->prompt = text->count = given;
done:
    return st;
}

/* ---- passes ------------------------------------------------------------------------------------------------------ */

/* The scores after the last row of each sequence of the batch. [num_seqs, vocab] on the tape; NULL: the tape has
 * failed. */
static const float *last_scores(Tape *t, const Model *m, Tensor *hidden, const Batch *batch)
{
    if (!hidden) return NULL;
    Tensor *last = hidden;
    if (batch->rows != batch->num_seqs) {
        last = tape_new(t, hidden->dtype, batch->num_seqs, hidden->cols);
        for (int i = 0; last && i < batch->num_seqs; i++)
            t->k->copy(t->stream, (float *)last->data + i * hidden->cols,
                       (const float *)hidden->data + (batch->cu_seqlens[i + 1] - 1) * hidden->cols,
                       (size_t)hidden->cols * sizeof(float));
    }
    Tensor *scores = last ? op_linear(t, last, &m->head->value, NULL, OUT_IN, ACT_NONE) : NULL;
    return scores ? scores->data : NULL;
}

/* Reads what texts[which[i]] have beyond the cache. *scores [count, vocab]: where kernels work, queued. */
static Status read_tokens(Run *r, const int *which, int count, const float **scores)
{
    Status st = OK;
    Tape *t = &r->g->tape;
    Batch b = {
        .num_seqs = count, .ids = r->ids, .position_ids = r->positions, .cu_seqlens = r->cu, .sample = r->sample};
    for (int i = 0; i < count; i++) {
        const GeneratedText *text = &r->texts[which[i]];
        int64_t from = kv_cache_length(r->cache, which[i]), n = text->count - from;
        r->cu[i] = (int32_t)b.rows;
        for (int64_t j = 0; j < n; j++)
            r->ids[b.rows + j] = text->ids[from + j], r->positions[b.rows + j] = (int32_t)(from + j);
        b.rows += n;
        if (n > b.max_seqlen) b.max_seqlen = b.padded_width = (int32_t)n;
    }
    r->cu[count] = (int32_t)b.rows;
    TRY(batch_place(&r->g->room, t->k, t->stream, &b, &r->g->placed));
    TRY(kv_cache_begin(r->cache, which, &b, &r->g->placed));
    tape_begin(t, TAPE_EVAL, &r->g->placed, 0);
    t->cache = r->cache;
    *scores = last_scores(t, r->g->model, model_forward(t, r->g->model, &r->g->placed), &b);
    TRY(tape_status(t));
    kv_cache_advance(r->cache);
done:
    return st;
}

/* The scores of text `i` of `count` in the host's memory; asked for in ascending order. */
static Status fetch_scores(Run *r, const float *scores, int i, int count, const float **out)
{
    Tape *t = &r->g->tape;
    int64_t vocab = r->g->model->vocab_size;
    int first = i / SCORES_AT_ONCE * SCORES_AT_ONCE;
    *out = r->g->scores ? r->g->scores + (i - first) * vocab : scores + i * vocab;
    if (i > first || (i && !r->g->scores)) return OK;
    if (r->g->scores) {
        int64_t rows = count - first < SCORES_AT_ONCE ? count - first : SCORES_AT_ONCE;
        t->k->copy(t->stream, r->g->scores, scores + first * vocab, (size_t)(rows * vocab) * sizeof *scores);
    }
    stream_sync(t->stream);
    return tape_status(t);
}

static bool ends(const GenerationConfig *c, int32_t id)
{
    for (int i = 0; i < c->eos_count; i++)
        if (c->eos_token_id[i] == id) return true;
    return false;
}

/* The next token of a text; it stays among the live ones unless it ends. */
static Status take_token(Run *r, int which, const float *scores)
{
    Status st = OK;
    GeneratedText *text = &r->texts[which];
    Logits *l = &r->g->logits;
    int32_t id;
    float cap = r->g->model->logit_softcap;
    memcpy(l->scores, scores, (size_t)l->vocab * sizeof *scores);
    for (int64_t i = 0; cap > 0 && i < l->vocab; i++) l->scores[i] = cap * tanhf(l->scores[i] / cap);
    TRY(logits_choose(l, r->config, text->ids, text->count, text->prompt, r->first * r->answers + which, &id));
    text->ids[text->count++] = id;
    bool goes_on = !r->token || r->token(r->context, which, id);
    if (ends(r->config, id))
        text->finish = FINISH_EOS;
    else if (!goes_on)
        text->finish = FINISH_CALLER;
    else if (text->count < r->most[which])
        r->live[r->num_live++] = which;
done:
    return st;
}

/* Every prompt is read once; the other answers to it go on from a copy. */
static Status read_prompts(Run *r)
{
    Status st = OK;
    for (int begin = 0, end; begin < r->num_texts; begin = end) {
        int64_t rows = 0;
        const float *scores, *mine;
        int count = 0, prompts[PROMPTS_AT_ONCE];
        for (end = begin; end < r->num_texts && count < PROMPTS_AT_ONCE; end += r->answers) {
            rows += r->texts[end].count;
            if (count && rows > READ_AT_ONCE) break;
            prompts[count++] = end;
        }
        TRY(read_tokens(r, prompts, count, &scores));
        for (int i = 0; i < count; i++) {
            TRY(fetch_scores(r, scores, i, count, &mine));
            for (int a = 0; a < r->answers; a++) {
                if (a) kv_cache_copy(r->cache, prompts[i], prompts[i] + a);
                TRY(take_token(r, prompts[i] + a, mine));
            }
        }
    }
done:
    return st;
}

static Status run_to_the_end(Run *r)
{
    Status st = OK;
    TRY(read_prompts(r));
    while (r->num_live) {
        const float *scores, *mine;
        int count = r->num_live;
        TRY(read_tokens(r, r->live, count, &scores));
        r->num_live = 0;
        for (int i = 0; i < count; i++) {
            TRY(fetch_scores(r, scores, i, count, &mine));
            TRY(take_token(r, r->live[i], mine)); /* writes at i or before */
        }
    }
done:
    return st;
}

static Status allocate(Run *r, Arena *arena)
{
    Status st = OK;
    int64_t rows = 0, longest = 0;
    for (int i = 0; i < r->num_texts; i++) {
        rows += r->texts[i].count;
        longest = r->most[i] > longest ? r->most[i] : longest;
    }
    TRY_NEW(arena, r->live, r->num_texts + 1);
    TRY_NEW(arena, r->ids, rows + 1);
    TRY_NEW(arena, r->positions, rows + 1);
    TRY_NEW(arena, r->cu, r->num_texts + 1);
    TRY_NEW(arena, r->sample, r->num_texts + 1);
    TRY(kv_cache_new(&r->g->k, r->g->tape.stream, (int)r->g->model->num_layers, r->num_texts, longest,
                     r->g->model->kv_width, &r->cache));
done:
    return st;
}

Status generate(Generator *g, const GenerationConfig *config, const Prompt *prompts, int count, int64_t first,
                TokenReady *token, void *context, Arena *arena, GeneratedText **texts)
{
    Status st = OK;
    Run r = {.g = g,
             .config = config,
             .first = first,
             .answers = (int)config->num_return_sequences,
             .token = token,
             .context = context};
    r.num_texts = count * r.answers;
    TRY_NEW(arena, r.texts, r.num_texts + 1);
    TRY_NEW(arena, r.most, r.num_texts + 1);
    for (int i = 0; i < r.num_texts; i++)
        TRY(begin_text(&r, &prompts[i / r.answers], first + i / r.answers, arena, &r.texts[i], &r.most[i]));
    TRY(allocate(&r, arena));
    TRY(run_to_the_end(&r));
    *texts = r.texts;
done:
    g->tape.cache = NULL;
    kv_cache_free(r.cache);
    return st;
}
