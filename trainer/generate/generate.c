/* See generate.h: which tokens are taken, and when texts end. Everything that a run needs is allocated at its start; a
 * step allocates nothing. */
#include "trainer/generate/generate.h"

#include <math.h>
#include <string.h>

#include "trainer/base/clock.h"
#include "trainer/generate/generator.h"

/* One call of generate(). */
typedef struct Run {
    Generator *g;
    const GenerationConfig *config;
    const GenerateHooks *hooks;
    KvCache *cache;
    StopStrings *stop; /* NULL: none */
    PassRoom room;
    GeneratedText *texts;
    int64_t *most, first;   /* most [texts]: tokens in all */
    int num_texts, answers; /* answers: to one prompt */
    int *live, num_live;    /* texts that go on, ascending */
    double deadline;        /* 0: none */
} Run;

/* ---- lengths ----------------------------------------------------------------------------------------------------- */

/* Tokens of a text in all (transformers: _prepare_generated_length), not yet held to what the model can read. */
static int64_t wanted_length(const GenerationConfig *c, int64_t prompt)
{
    if (c->max_new_tokens >= 0) return prompt + c->max_new_tokens;
    return c->max_length >= 0 ? c->max_length : prompt + 20;
}

int64_t generate_length(const Generator *g, const GenerationConfig *config, int64_t given, Finish *why)
{
    int64_t wanted = wanted_length(config, given), positions = model_most_positions(g->model);
    *why = wanted > positions ? FINISH_POSITIONS : FINISH_LENGTH;
    return wanted > positions ? positions : wanted;
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
    *most = generate_length(r->g, r->config, given, &text->finish);
    if (given >= positions)
        RAISE(USAGE, "text %lld has %lld tokens; the model reads %lld, which leaves no room for an answer: shorten it",
              (long long)number + 1, (long long)given, (long long)positions);
    if (given >= *most)
        RAISE(USAGE, "text %lld has %lld tokens, and max_length is %lld with them; raise it, or set max_new_tokens",
              (long long)number + 1, (long long)given, (long long)*most);
    TRY_NEW(arena, text->ids, *most);
    memcpy(text->ids, ids, (size_t)given * sizeof *ids);
    text->prompt = text->count = given;
done:
    return st;
}

/* ---- tokens ------------------------------------------------------------------------------------------------------ */

static bool told_to_stop(const Run *r) { return r->hooks && r->hooks->stop && r->hooks->stop(r->hooks->context); }

static bool ends(const GenerationConfig *c, int32_t id)
{
    for (int i = 0; i < c->eos_token_id.count; i++)
        if (c->eos_token_id.ids[i] == id) return true;
    return false;
}

/* The next token of a text; it stays among the live ones unless it ends. */
static Status take_token(Run *r, int which, const float *scores)
{
    Status st = OK;
    GeneratedText *text = &r->texts[which];
    Logits *l = &r->g->logits;
    int32_t id;
    bool stopped = false;
    float cap = r->g->model->logit_softcap;
    memcpy(l->scores, scores, (size_t)l->vocab * sizeof *scores);
    for (int64_t i = 0; cap > 0 && i < l->vocab; i++) l->scores[i] = cap * tanhf(l->scores[i] / cap);
    TRY(logits_choose(l, r->config,
                      &(TextSoFar){text->ids, text->count, text->prompt, wanted_length(r->config, text->prompt)},
                      r->first * r->answers + which, &id));
    text->ids[text->count++] = id;
    bool goes_on = !r->hooks || !r->hooks->token || r->hooks->token(r->hooks->context, which, id);
    if (r->stop) TRY(stop_strings_found(r->stop, text->ids, text->count, &stopped));
    if (ends(r->config, id)) text->finish = FINISH_EOS;
    else if (stopped) text->finish = FINISH_STOP;
    else if (!goes_on) text->finish = FINISH_CALLER;
    else if (r->deadline > 0 && clock_seconds() > r->deadline) text->finish = FINISH_TIME;
    else if (text->count < r->most[which]) r->live[r->num_live++] = which;
done:
    return st;
}

static void end_all(Run *r, const int *which, int count)
{
    for (int i = 0; i < count; i++) r->texts[which[i]].finish = FINISH_CALLER;
}

/* What a prompt has beyond what one pass reads. Ends before its last token; false in *on: told to stop. */
static Status read_beginning(Run *r, int which, int64_t at_once, bool *on)
{
    Status st = OK;
    const float *scores;
    const GeneratedText *text = &r->texts[which];
    for (*on = !told_to_stop(r); *on && text->count - kv_cache_length(r->cache, which) > at_once;
         *on = !told_to_stop(r)) {
        TRY(generator_read(r->g, r->cache, &r->room, r->texts, &which, 1, at_once, &scores));
        stream_sync(r->g->tape.stream);
    }
done:
    return st;
}

/* Reads prompts[0 … count-1] to their ends, and takes the first token of each answer: one prompt in parts, several in
 * one pass. The other answers to a prompt go on from a copy. */
static Status begin_answers(Run *r, const int *prompts, int count)
{
    Status st = OK;
    const float *scores, *mine;
    bool on = true, parts = !r->g->rotations_move;
    int64_t at_once = r->hooks && r->hooks->stop ? READ_BETWEEN_STOPS : READ_AT_ONCE;
    if (count == 1 && parts) TRY(read_beginning(r, prompts[0], at_once, &on));
    else on = !told_to_stop(r);
    if (on) TRY(generator_read(r->g, r->cache, &r->room, r->texts, prompts, count, INT64_MAX, &scores));
    for (int i = 0; i < count; i++) {
        if (on) TRY(generator_fetch(r->g, scores, i, count, &mine));
        for (int a = 0; a < r->answers; a++) {
            int which = prompts[i] + a;
            if (!on) {
                end_all(r, &which, 1);
                continue;
            }
            if (a) kv_cache_copy(r->cache, prompts[i], which);
            TRY(take_token(r, which, mine));
        }
    }
done:
    return st;
}

static Status read_prompts(Run *r)
{
    Status st = OK;
    for (int begin = 0, end; begin < r->num_texts; begin = end) {
        int64_t rows = 0;
        int count = 0, prompts[PROMPTS_AT_ONCE];
        for (end = begin; end < r->num_texts && count < PROMPTS_AT_ONCE; end += r->answers) {
            rows += r->texts[end].count;
            if (count && rows > READ_AT_ONCE) break;
            prompts[count++] = end;
        }
        TRY(begin_answers(r, prompts, count));
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
        if (told_to_stop(r)) {
            end_all(r, r->live, count);
            break;
        }
        TRY(generator_read(r->g, r->cache, &r->room, r->texts, r->live, count, INT64_MAX, &scores));
        r->num_live = 0;
        for (int i = 0; i < count; i++) {
            TRY(generator_fetch(r->g, scores, i, count, &mine));
            TRY(take_token(r, r->live[i], mine)); /* writes at i or before */
        }
    }
done:
    return st;
}

/* ---- runs -------------------------------------------------------------------------------------------------------- */

static Status allocate(Run *r, KvCache *cache, Arena *arena)
{
    Status st = OK;
    int64_t rows = 0, longest = 0;
    for (int i = 0; i < r->num_texts; i++) {
        rows += r->texts[i].count;
        longest = r->most[i] > longest ? r->most[i] : longest;
    }
    TRY_NEW(arena, r->live, r->num_texts + 1);
    TRY(pass_room_new(arena, rows, r->num_texts, &r->room));
    r->cache = cache;
    if (!cache)
        TRY(kv_cache_new(&r->g->k, r->g->tape.stream, (int)r->g->model->num_layers, r->num_texts, longest,
                         r->g->model->kv_width, &r->cache));
    if (r->config->stop_strings.count) {
        if (!r->g->tokenizer) RAISE(BUG, "stop strings without a tokenizer");
        TRY(stop_strings_new(r->g->tokenizer, &r->config->stop_strings, &r->stop));
    }
done:
    return st;
}

Status generate_over(Generator *g, const GenerationConfig *config, const Prompt *prompts, int count, int64_t first,
                     const GenerateHooks *hooks, KvCache *cache, Arena *arena, GeneratedText **texts)
{
    Status st = OK;
    Run r = {.g = g, .config = config, .first = first, .hooks = hooks};
    r.answers = cache ? 1 : (int)config->num_return_sequences;
    r.deadline = config->max_time > 0 ? clock_seconds() + config->max_time : 0;
    r.num_texts = count * r.answers;
    TRY_NEW(arena, r.texts, r.num_texts + 1);
    TRY_NEW(arena, r.most, r.num_texts + 1);
    for (int i = 0; i < r.num_texts; i++)
        TRY(begin_text(&r, &prompts[i / r.answers], first + i / r.answers, arena, &r.texts[i], &r.most[i]));
    TRY(allocate(&r, cache, arena));
    TRY(run_to_the_end(&r));
    *texts = r.texts;
done:
    if (!cache) kv_cache_free(r.cache);
    stop_strings_free(r.stop);
    return st;
}

Status generate(Generator *g, const GenerationConfig *config, const Prompt *prompts, int count, int64_t first,
                const GenerateHooks *hooks, Arena *arena, GeneratedText **texts)
{
    return generate_over(g, config, prompts, count, first, hooks, NULL, arena, texts);
}
