/* The warpers of sampling. Scores are f32, as the reference's; sums of probabilities are made in double and rounded to
 * f32 where the reference compares f32. Candidates are kept in the order of ids, so a draw does not depend on how they
 * were found. Each leaves one at least. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "trainer/generate/logits.h"

enum { TOP_H_MOST = 100 }; /* the reference looks at no more */

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

float logits_largest(const Logits *l)
{
    float most = -INFINITY;
    for (int64_t i = 0; i < l->count; i++) most = l->candidates[i].score > most ? l->candidates[i].score : most;
    return most;
}

double logits_weigh(Logits *l)
{
    double sum = 0, most = (double)logits_largest(l);
    for (int64_t i = 0; i < l->count; i++)
        sum += l->candidates[i].weight = exp((double)l->candidates[i].score - most);
    return sum;
}

static int by_score(const void *a, const void *b)
{
    const Candidate *x = a, *y = b;
    return x->score != y->score ? (x->score > y->score) - (x->score < y->score) : (x->id > y->id) - (x->id < y->id);
}

static int likeliest_first(const void *a, const void *b)
{
    const Candidate *x = a, *y = b;
    return x->score != y->score ? (x->score < y->score) - (x->score > y->score) : (x->id > y->id) - (x->id < y->id);
}

static int by_id(const void *a, const void *b)
{
    const Candidate *x = a, *y = b;
    return (x->id > y->id) - (x->id < y->id);
}

static void sort(Logits *l, int (*order)(const void *, const void *))
{
    qsort(l->candidates, (size_t)l->count, sizeof *l->candidates, order);
}

/* Removes the least likely as long as they make up no more than 1 - p together; one stays. */
static void top_p(Logits *l, float rest)
{
    double sum = logits_weigh(l), cumulative = 0;
    int64_t removed = 0;
    sort(l, by_score);
    for (; removed < l->count - 1; removed++) {
        cumulative += (double)(float)(l->candidates[removed].weight / sum);
        if (!((float)cumulative <= rest)) break;
    }
    l->count -= removed;
    memmove(l->candidates, l->candidates + removed, (size_t)l->count * sizeof *l->candidates);
    sort(l, by_id);
}

/* Keeps those whose probability is `least` or more, and the likeliest in any case. */
static void cut(Logits *l, double sum, float least)
{
    float most = logits_largest(l);
    int64_t kept = 0;
    for (int64_t i = 0; i < l->count; i++)
        if ((float)(l->candidates[i].weight / sum) >= least || l->candidates[i].score >= most)
            l->candidates[kept++] = l->candidates[i];
    l->count = kept;
}

static double entropy_of(const Logits *l, double sum)
{
    double entropy = 0;
    for (int64_t i = 0; i < l->count; i++) {
        double p = l->candidates[i].weight / sum;
        if (p > 0) entropy -= p * log(p);
    }
    return entropy;
}

static int by_weight(const void *a, const void *b)
{
    const Candidate *x = a, *y = b;
    return x->weight != y->weight ? (x->weight > y->weight) - (x->weight < y->weight) : by_id(a, b);
}

/* Those whose information is nearest to the expected one (Meister et al. 2022): `weight` is the distance, in whose
 * order their probabilities are added up. */
static void typical(Logits *l, float mass)
{
    double sum = logits_weigh(l), entropy = entropy_of(l, sum), most = (double)logits_largest(l), cumulative = 0;
    int64_t last = 0, kept = 0;
    for (int64_t i = 0; i < l->count; i++) {
        float normalized = (float)((double)l->candidates[i].score - most - log(sum));
        l->candidates[i].weight = (double)fabsf(-normalized - (float)entropy);
    }
    sort(l, by_weight);
    for (; last < l->count - 1; last++) {
        cumulative += exp((double)l->candidates[last].score - most) / sum;
        if (!((float)cumulative < mass)) break;
    }
    while (kept < l->count && l->candidates[kept].weight <= l->candidates[last].weight) kept++;
    l->count = kept;
    sort(l, by_id);
}

/* The likeliest, as long as their part of the entropy is no more than h of the whole (of the 100 likeliest). Of equal
 * ones at the end those with the lower ids. */
static void top_h(Logits *l, float h)
{
    sort(l, likeliest_first);
    if (l->count > TOP_H_MOST) l->count = TOP_H_MOST;
    double sum = logits_weigh(l), so_far = 0;
    float most = (float)entropy_of(l, sum) * h;
    int64_t kept = 0;
    for (; kept < l->count; kept++) {
        double p = l->candidates[kept].weight / sum;
        so_far -= p > 0 ? p * log(p) : 0;
        if (kept && !((float)so_far <= most)) break;
    }
    l->count = kept;
    sort(l, by_id);
}

static void eta(Logits *l, double epsilon)
{
    double sum = logits_weigh(l), bound = sqrt(epsilon) * exp(-entropy_of(l, sum));
    cut(l, sum, (float)(bound < epsilon ? bound : epsilon));
}

/* The k likeliest, with all that equal the last; k <= 0: all. */
static void first_candidates(Logits *l, int64_t k)
{
    float least = k > 0 && k < l->vocab ? kth_largest(l, k) : -INFINITY;
    l->count = 0;
    for (int64_t i = 0; i < l->vocab; i++)
        if (l->scores[i] >= least && l->scores[i] > -INFINITY)
            l->candidates[l->count++] = (Candidate){.id = (int32_t)i, .score = l->scores[i]};
}

/* top_h comes before top_k. */
static void top_h_then_k(Logits *l, const GenerationConfig *c)
{
    first_candidates(l, TOP_H_MOST);
    if (!l->count) return;
    top_h(l, (float)c->top_h);
    if (c->top_k <= 0 || c->top_k >= l->count) return;
    sort(l, likeliest_first);
    float least = l->candidates[c->top_k - 1].score;
    int64_t kept = 0;
    for (int64_t i = 0; i < l->count; i++)
        if (l->candidates[i].score >= least) l->candidates[kept++] = l->candidates[i];
    l->count = kept;
    sort(l, by_id);
}

void logits_warp(Logits *l, const GenerationConfig *c)
{
    float temperature = (float)c->temperature;
    if (c->temperature != 1)
        for (int64_t i = 0; i < l->vocab; i++) l->scores[i] /= temperature;
    if (c->top_h >= 0) top_h_then_k(l, c);
    else first_candidates(l, c->top_k);
    if (!l->count || logits_largest(l) == INFINITY) return;
    if (c->top_p < 1) top_p(l, (float)(1 - c->top_p));
    if (c->min_p > 0) {
        double sum = logits_weigh(l);
        cut(l, sum, (float)c->min_p * (float)(1 / sum));
    }
    if (c->typical_p < 1) typical(l, (float)c->typical_p);
    if (c->epsilon_cutoff > 0 && c->epsilon_cutoff < 1) cut(l, logits_weigh(l), (float)c->epsilon_cutoff);
    if (c->eta_cutoff > 0 && c->eta_cutoff < 1) eta(l, c->eta_cutoff);
}
