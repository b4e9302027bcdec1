/* Scores are f32, as the reference's; sums of probabilities are made in double and rounded to f32 where the reference
 * compares f32. Greedy search takes the first of equal maxima, as torch.argmax. Candidates are kept in the order of
 * ids, so a draw does not depend on how they were found. */
#include "trainer/generate/logits.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/philox.h"

Status logits_open(int64_t vocab, Logits *out)
{
    size_t n = (size_t)vocab;
    *out = (Logits){.vocab = vocab};
    out->scores = malloc((n + 1) * sizeof *out->scores);
    out->candidates = malloc((n + 1) * sizeof *out->candidates);
    out->seen = calloc(n + 1, sizeof *out->seen);
    out->heap = malloc((n + 1) * sizeof *out->heap);
    if (out->scores && out->candidates && out->seen && out->heap) return OK;
    logits_close(out);
    return status_raise(STATUS_MEMORY, "out of memory: scores of %lld tokens", (long long)vocab);
}

void logits_close(Logits *l)
{
    free(l->scores);
    free(l->candidates);
    free(l->seen);
    free(l->heap);
    *l = (Logits){0};
}

/* ---- processors -------------------------------------------------------------------------------------------------- */

static void repetition_penalty(Logits *l, float penalty, const int32_t *ids, int64_t length)
{
    if (++l->stamp == 0) memset(l->seen, 0, (size_t)l->vocab * sizeof *l->seen), l->stamp = 1;
    for (int64_t i = 0; i < length; i++) {
        if (ids[i] >= l->vocab || l->seen[ids[i]] == l->stamp) continue;
        l->seen[ids[i]] = l->stamp;
        float *score = &l->scores[ids[i]];
        *score = *score < 0 ? *score * penalty : *score / penalty;
    }
}

/* Tokens that would complete n tokens in a row which the text has already. */
static void no_repeat_ngrams(Logits *l, int64_t n, const int32_t *ids, int64_t length)
{
    if (length < n) return;
    const int32_t *last = ids + length - (n - 1);
    for (int64_t i = 0; i + n <= length; i++)
        if (memcmp(ids + i, last, (size_t)(n - 1) * sizeof *ids) == 0 && ids[i + n - 1] < l->vocab)
            l->scores[ids[i + n - 1]] = -INFINITY;
}

void logits_process(Logits *l, const GenerationConfig *c, const int32_t *ids, int64_t length, int64_t prompt)
{
    if (c->repetition_penalty != 1) repetition_penalty(l, (float)c->repetition_penalty, ids, length);
    if (c->no_repeat_ngram_size > 0) no_repeat_ngrams(l, c->no_repeat_ngram_size, ids, length);
    int64_t least = c->min_new_tokens >= 0 ? prompt + c->min_new_tokens : c->min_length;
    for (int i = 0; i < c->eos_count && length < least; i++)
        if (c->eos_token_id[i] < l->vocab) l->scores[c->eos_token_id[i]] = -INFINITY;
}

/* ---- warpers ----------------------------------------------------------------------------------------------------- */

static void sift_down(float *heap, int64_t n, float x)
{
    int64_t i = 0;
    for (int64_t child; (child = 2 * i + 1) < n; i = child) {
        if (child + 1 < n && heap[child + 1] < heap[child]) child++;
        if (heap[child] >= x) break;
        heap[i] = heap[child];
    }
    heap[i] = x;
}

static int ascending(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

/* The k-th largest score: the top of a heap of the k largest so far. */
static float kth_largest(Logits *l, int64_t k)
{
    memcpy(l->heap, l->scores, (size_t)k * sizeof *l->heap);
    qsort(l->heap, (size_t)k, sizeof *l->heap, ascending);
    for (int64_t i = k; i < l->vocab; i++)
        if (l->scores[i] > l->heap[0]) sift_down(l->heap, k, l->scores[i]);
    return l->heap[0];
}

static float largest(const Logits *l)
{
    float most = -INFINITY;
    for (int64_t i = 0; i < l->count; i++) most = l->candidates[i].score > most ? l->candidates[i].score : most;
    return most;
}

/* The softmax's denominator; weights are exp(score - largest). */
static double weigh(Logits *l)
{
    double sum = 0, most = (double)largest(l);
    for (int64_t i = 0; i < l->count; i++)
        sum += l->candidates[i].weight = exp((double)l->candidates[i].score - most);
    return sum;
}

static int by_score(const void *a, const void *b)
{
    const Candidate *x = a, *y = b;
    return x->score != y->score ? (x->score > y->score) - (x->score < y->score) : (x->id > y->id) - (x->id < y->id);
}

static int by_id(const void *a, const void *b)
{
    const Candidate *x = a, *y = b;
    return (x->id > y->id) - (x->id < y->id);
}

/* Removes the least likely as long as they make up no more than 1 - p together; one stays. */
static void top_p(Logits *l, float rest)
{
    double sum = weigh(l), cumulative = 0;
    int64_t removed = 0;
    qsort(l->candidates, (size_t)l->count, sizeof *l->candidates, by_score);
    for (; removed < l->count - 1; removed++) {
        cumulative += (double)(float)(l->candidates[removed].weight / sum);
        if (!((float)cumulative <= rest)) break;
    }
    l->count -= removed;
    memmove(l->candidates, l->candidates + removed, (size_t)l->count * sizeof *l->candidates);
    qsort(l->candidates, (size_t)l->count, sizeof *l->candidates, by_id);
}

static void min_p(Logits *l, float p)
{
    double sum = weigh(l);
    float least = p * (float)(1 / sum);
    int64_t kept = 0;
    for (int64_t i = 0; i < l->count; i++)
        if ((float)(l->candidates[i].weight / sum) >= least) l->candidates[kept++] = l->candidates[i];
    l->count = kept;
}

void logits_warp(Logits *l, const GenerationConfig *c)
{
    float temperature = (float)c->temperature, least = -INFINITY;
    if (c->temperature != 1)
        for (int64_t i = 0; i < l->vocab; i++) l->scores[i] /= temperature;
    if (c->top_k > 0 && c->top_k < l->vocab) least = kth_largest(l, c->top_k);
    l->count = 0;
    for (int64_t i = 0; i < l->vocab; i++)
        if (l->scores[i] >= least && l->scores[i] > -INFINITY)
            l->candidates[l->count++] = (Candidate){.id = (int32_t)i, .score = l->scores[i]};
    if (c->top_p < 1 && l->count) top_p(l, (float)(1 - c->top_p));
    if (c->min_p > 0 && l->count) min_p(l, (float)c->min_p);
}

/* ---- the choice -------------------------------------------------------------------------------------------------- */

int32_t logits_draw(Logits *l, double u)
{
    double left = u * weigh(l);
    for (int64_t i = 0; i < l->count - 1; i++) {
        left -= l->candidates[i].weight;
        if (left < 0) return l->candidates[i].id;
    }
    return l->candidates[l->count - 1].id;
}

double logits_uniform(int64_t seed, int64_t number, int64_t position)
{
    uint64_t s = (uint64_t)seed, n = (uint64_t)number;
    Philox r = philox4x32((uint32_t)s, PHILOX_SAMPLE, (uint32_t)n, (uint32_t)(n >> 32), (uint32_t)position,
                          (uint32_t)(s >> 32));
    return (double)(((uint64_t)r.v[0] << 32 | r.v[1]) >> 11) * 0x1p-53;
}

static int32_t likeliest(const Logits *l)
{
    int64_t best = 0;
    for (int64_t i = 1; i < l->vocab; i++)
        if (l->scores[i] > l->scores[best]) best = i;
    return (int32_t)best;
}

Status logits_choose(Logits *l, const GenerationConfig *c, const int32_t *ids, int64_t length, int64_t prompt,
                     int64_t number, int32_t *out)
{
    Status st = OK;
    float most = -INFINITY;
    for (int64_t i = 0; i < l->vocab; i++) {
        if (!isfinite(l->scores[i]))
            RAISE(NUMERIC, "the model's scores are not finite (token %lld): are its weights NaN or infinite?",
                  (long long)i);
    }
    logits_process(l, c, ids, length, prompt);
    for (int64_t i = 0; i < l->vocab; i++) most = l->scores[i] > most ? l->scores[i] : most;
    if (most == -INFINITY)
        RAISE(NUMERIC, "no token is allowed after %lld: raise no_repeat_ngram_size, or lower the minimum length",
              (long long)length);
    if (!c->do_sample) {
        *out = likeliest(l);
        return OK;
    }
    logits_warp(l, c);
    if (!l->count || largest(l) == INFINITY)
        RAISE(NUMERIC,
              "temperature %g and repetition_penalty %g leave no finite scores: bring them nearer to 1, or set "
              "do_sample to false",
              c->temperature, c->repetition_penalty);
    *out = logits_draw(l, logits_uniform(c->seed, number, length));
done:
    return st;
}
