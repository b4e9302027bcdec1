/* Frequencies in the same f32 steps as the reference's, so that angles at far positions are the same. */
#include "trainer/nn/rope.h"

#include <math.h>
#include <stdlib.h>

#include "trainer/nn/kv_cache.h"

static void plain(double theta, int dim, float *inverse)
{
    for (int i = 0; i < dim / 2; i++) inverse[i] = 1.0f / (float)pow((float)theta, (float)(2 * i) / (float)dim);
}

/* The dimension that turns so many times over the original length (Peng et al. 2023, 3.2). */
static double dimension_of(const RopeSpec *s, double rotations)
{
    return s->dim * log(s->original_max_positions / (rotations * 2 * M_PI)) / (2 * log(s->theta));
}

static double yarn_scale(double factor, double mscale)
{
    return factor <= 1 ? 1 : 0.1 * mscale * log(factor) + 1;
}

static void yarn(const RopeSpec *s, float *inverse, float *scale)
{
    double low = dimension_of(s, s->beta_fast), high = dimension_of(s, s->beta_slow);
    if (!s->no_truncation) low = floor(low), high = ceil(high);
    low = fmax(low, 0), high = fmin(high, s->dim - 1);
    if (low == high) high += 0.001;
    for (int i = 0; i < s->dim / 2; i++) {
        float frequency = (float)pow((float)s->theta, (float)(2 * i) / (float)s->dim);
        float ramp = ((float)i - (float)low) / (float)(high - low);
        float kept = 1 - (ramp < 0 ? 0 : ramp > 1 ? 1 : ramp);
        inverse[i] = 1 / ((float)s->factor * frequency) * (1 - kept) + 1 / frequency * kept;
    }
    if (s->attention_factor > 0) *scale = (float)s->attention_factor;
    else if (s->mscale > 0 && s->mscale_all_dim > 0)
        *scale = (float)(yarn_scale(s->factor, s->mscale) / yarn_scale(s->factor, s->mscale_all_dim));
    else *scale = (float)yarn_scale(s->factor, 1);
}

static void longrope(const RopeSpec *s, int64_t length, float *inverse, float *scale)
{
    const float *factors = (double)length > s->original_max_positions ? s->long_factor : s->short_factor;
    for (int i = 0; i < s->dim / 2; i++)
        inverse[i] = 1 / (factors[i] * (float)pow((float)s->theta, (float)(2 * i) / (float)s->dim));
    if (s->attention_factor > 0) *scale = (float)s->attention_factor;
    else if (s->factor > 1) *scale = (float)sqrt(1 + log(s->factor) / log(s->original_max_positions));
}

static void llama3(const RopeSpec *s, float *inverse)
{
    double length = s->original_max_positions;
    float low = (float)s->low_freq_factor, high = (float)s->high_freq_factor, factor = (float)s->factor;
    plain(s->theta, s->dim, inverse);
    for (int i = 0; i < s->dim / 2; i++) {
        float wave = (float)(2 * M_PI) / inverse[i];
        if (wave > (float)(length / s->low_freq_factor)) {
            inverse[i] /= factor;
        } else if (wave >= (float)(length / s->high_freq_factor)) {
            float smooth = ((float)length / wave - low) / (high - low);
            inverse[i] = (1 - smooth) * inverse[i] / factor + smooth * inverse[i];
        }
    }
}

/* theta grows with the text (NTK). transformers keeps the largest text's for later, shorter ones; here each batch has
 * its own, so that a result depends on the batch alone. */
static double dynamic_theta(const RopeSpec *s, int64_t length)
{
    double most = (double)s->max_positions, now = (double)length > most ? (double)length : most;
    return s->theta * pow(s->factor * now / most - (s->factor - 1), (double)s->dim / (s->dim - 2));
}

void rope_frequencies(const RopeSpec *s, int64_t length, float *inverse, float *scale)
{
    *scale = 1;
    switch (s->type) {
    case ROPE_DEFAULT:
    case ROPE_LINEAR:
        plain(s->theta, s->dim, inverse);
        for (int i = 0; s->type == ROPE_LINEAR && i < s->dim / 2; i++) inverse[i] /= (float)s->factor;
        break;
    case ROPE_DYNAMIC: plain(dynamic_theta(s, length), s->dim, inverse); break;
    case ROPE_YARN: yarn(s, inverse, scale); break;
    case ROPE_LONGROPE: longrope(s, length, inverse, scale); break;
    case ROPE_LLAMA3: llama3(s, inverse); break;
    }
}

/* A length that stands for all that have the same frequencies. */
static int64_t kind_of_length(const RopeSpec *s, int64_t length)
{
    if (s->type == ROPE_DYNAMIC) return length > s->max_positions ? length : 0;
    if (s->type == ROPE_LONGROPE) return (double)length > s->original_max_positions;
    return 0;
}

static bool make(Rope *r, Tape *t, int64_t length)
{
    const RopeSpec *s = &r->spec;
    int64_t half = s->dim / 2, positions = 64;
    float scale;
    while (positions < length) positions *= 2;
    size_t count = (size_t)(positions * half), bytes = count * sizeof(float);
    float *host = malloc(2 * bytes + (size_t)half * sizeof(float) + 1), *inverse = host + 2 * count;
    stream_sync(t->stream); /* what is queued may use the old ones */
    rope_free(r);
    *r = (Rope){.spec = r->spec, .stream = t->stream};
    r->cos = stream_allocate(t->stream, bytes), r->sin = stream_allocate(t->stream, bytes);
    if (host && r->cos && r->sin) {
        rope_frequencies(s, length, inverse, &scale);
        for (int64_t i = 0; i < positions * half; i++) {
            float angle = (float)(i / half) * inverse[i % half];
            host[i] = (float)cos(angle) * scale, host[count + (size_t)i] = (float)sin(angle) * scale;
        }
        t->k->copy(t->stream, r->cos, host, bytes);
        t->k->copy(t->stream, r->sin, host + count, bytes);
        stream_sync(t->stream);
        r->positions = positions, r->made_for = kind_of_length(s, length);
    }
    free(host);
    return r->positions > 0;
}

Tensor *rope(Tape *t, Rope *r, Tensor *x, int32_t heads, int32_t head_dim)
{
    if (t->error || !x) return NULL;
    int64_t length = t->cache ? kv_cache_longest(t->cache) : t->batch->max_seqlen;
    if (t->stream != r->stream || length > r->positions || kind_of_length(&r->spec, length) != r->made_for)
        if (!make(r, t, length)) {
            tape_fail(t, "rope", "out of memory: tables of %lld positions", (long long)length);
            t->error = STATUS_MEMORY;
            return NULL;
        }
    return op_rope(t, x, r->cos, r->sin, heads, head_dim, r->spec.dim);
}

void rope_free(Rope *r)
{
    if (!r->stream) return;
    stream_release(r->stream, r->cos);
    stream_release(r->stream, r->sin);
    r->stream = NULL, r->cos = r->sin = NULL, r->positions = 0;
}
