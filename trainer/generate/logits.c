/* The choice. Greedy search takes the first of equal maxima, as torch.argmax. */
#include "trainer/generate/logits.h"

#include <math.h>
#include <stdlib.h>

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

int32_t logits_draw(Logits *l, double u)
{
    double left = u * logits_weigh(l);
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

/* A sum that is no number tells of them without a branch for each: x * 0 is 0 or NaN. */
static bool all_finite(const Logits *l)
{
    float sum[16] = {0};
    int64_t i = 0;
    for (; i + 16 <= l->vocab; i += 16)
        for (int j = 0; j < 16; j++) sum[j] += l->scores[i + j] * 0;
    for (; i < l->vocab; i++) sum[0] += l->scores[i] * 0;
    for (int j = 1; j < 16; j++) sum[0] += sum[j];
    return sum[0] == 0;
}

Status logits_choose(Logits *l, const GenerationConfig *c, const TextSoFar *text, int64_t number, int32_t *out)
{
    Status st = OK;
    if (!c->remove_invalid_values && !all_finite(l)) {
        int64_t i = 0;
        while (isfinite(l->scores[i])) i++;
        RAISE(NUMERIC, "the model's scores are not finite (token %lld): are its weights NaN or infinite?",
              (long long)i);
    }
    logits_process(l, c, text);
    int32_t best = likeliest(l);
    if (!(l->scores[best] > -INFINITY))
        RAISE(NUMERIC,
              "no token is allowed after %lld: raise no_repeat_ngram_size, lower the minimum length, or forbid less",
              (long long)text->length);
    if (!c->do_sample) {
        *out = best;
        return OK;
    }
    logits_warp(l, c);
    if (!l->count || logits_largest(l) == INFINITY)
        RAISE(NUMERIC,
              "temperature %g and repetition_penalty %g leave no finite scores: bring them nearer to 1, or set "
              "do_sample to false",
              c->temperature, c->repetition_penalty);
    *out = logits_draw(l, logits_uniform(c->seed, number, text->length));
done:
    return st;
}
