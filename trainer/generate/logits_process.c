/* The processors of every strategy, in f32 as the reference's. Ids beyond the vocabulary have no score to change. */
#include <float.h>
#include <math.h>
#include <string.h>

#include "trainer/generate/logits.h"

/* A sequence of one token is always completed. Several that end in the same token add up before the score is touched,
 * as the reference's do. */
static void add_biases(Logits *l, const BiasList *biases, const IdList *spared, const TextSoFar *text)
{
    for (int32_t i = 0; i < biases->count; i++) {
        const IdList *s = &biases->items[i].sequence;
        int64_t before = s->count - 1, last = s->ids[before];
        bool applies = last < l->vocab && before <= text->length &&
                       !memcmp(text->ids + text->length - before, s->ids, (size_t)before * sizeof *s->ids);
        for (int32_t e = 0; spared && !before && e < spared->count; e++) applies &= spared->ids[e] != last;
        if (applies) l->heap[last] += biases->items[i].bias;
    }
}

static void bias(Logits *l, const BiasList *biases, const IdList *spared, const TextSoFar *text)
{
    if (!biases->count) return;
    memset(l->heap, 0, (size_t)l->vocab * sizeof *l->heap);
    add_biases(l, biases, spared, text);
    for (int64_t i = 0; i < l->vocab; i++) l->scores[i] += l->heap[i];
}

static void penalize(Logits *l, float penalty, const int32_t *ids, int64_t count)
{
    if (++l->stamp == 0) memset(l->seen, 0, (size_t)l->vocab * sizeof *l->seen), l->stamp = 1;
    for (int64_t i = 0; i < count; i++) {
        if (ids[i] >= l->vocab || l->seen[ids[i]] == l->stamp) continue;
        l->seen[ids[i]] = l->stamp;
        float *score = &l->scores[ids[i]];
        *score = *score < 0 ? *score * penalty : *score / penalty;
    }
}

/* Tokens that would complete n tokens in a row which the first `known` of the text have already. */
static void no_repeat(Logits *l, int64_t n, int64_t known, const TextSoFar *text)
{
    if (n <= 0 || text->length < n - 1) return;
    const int32_t *ids = text->ids, *last = ids + text->length - (n - 1);
    for (int64_t i = 0; i + n <= known; i++)
        if (memcmp(ids + i, last, (size_t)(n - 1) * sizeof *ids) == 0 && ids[i + n - 1] < l->vocab)
            l->scores[ids[i + n - 1]] = -INFINITY;
}

static void set_all(Logits *l, const IdList *list, float score)
{
    for (int32_t i = 0; i < list->count; i++)
        if (list->ids[i] < l->vocab) l->scores[list->ids[i]] = score;
}

static void force(Logits *l, const IdList *list)
{
    for (int64_t i = 0; i < l->vocab; i++) l->scores[i] = -INFINITY;
    set_all(l, list, 0);
}

static void remove_invalid(Logits *l)
{
    for (int64_t i = 0; i < l->vocab; i++) {
        float x = l->scores[i];
        l->scores[i] = isnan(x) ? 0 : x > FLT_MAX ? FLT_MAX : x < -FLT_MAX ? -FLT_MAX : x;
    }
}

static void decay(Logits *l, const GenerationConfig *c, const TextSoFar *text)
{
    int64_t after = text->length - (c->decay_start + text->prompt);
    if (c->decay_start < 0 || after <= 0) return;
    float factor = (float)(pow(c->decay_factor, (double)after) - 1);
    for (int32_t i = 0; i < c->eos_token_id.count; i++) {
        int32_t id = c->eos_token_id.ids[i];
        if (id < l->vocab && isfinite(l->scores[id])) l->scores[id] += fabsf(l->scores[id]) * factor;
    }
}

void logits_process(Logits *l, const GenerationConfig *c, const TextSoFar *text)
{
    bias(l, &c->sequence_bias, NULL, text);
    if (c->encoder_repetition_penalty != 1)
        penalize(l, (float)(1 / c->encoder_repetition_penalty), text->ids, text->prompt);
    if (c->repetition_penalty != 1) penalize(l, (float)c->repetition_penalty, text->ids, text->length);
    if (text->length >= c->no_repeat_ngram_size) no_repeat(l, c->no_repeat_ngram_size, text->length, text);
    no_repeat(l, c->encoder_no_repeat_ngram_size, text->prompt, text);
    bias(l, &c->bad_words_ids, &c->eos_token_id, text);
    int64_t least = c->min_new_tokens >= 0 ? text->prompt + c->min_new_tokens : c->min_length;
    if (text->length < least) set_all(l, &c->eos_token_id, -INFINITY);
    if (c->forced_bos_token_id >= 0 && text->length == 1)
        force(l, &(IdList){(int32_t[]){(int32_t)c->forced_bos_token_id}, 1});
    if (c->forced_eos_token_id.count && text->length == text->most - 1) force(l, &c->forced_eos_token_id);
    if (c->remove_invalid_values) remove_invalid(l);
    decay(l, c, text);
    set_all(l, &c->suppress_tokens, -INFINITY);
    if (text->length == text->prompt + (text->prompt <= 1 && c->forced_bos_token_id >= 0))
        set_all(l, &c->begin_suppress_tokens, -INFINITY);
}
