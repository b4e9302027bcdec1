/* Attention forward of one query against many keys (generation with cached keys; the last few queries of a sequence):
 * in blocks its lanes would be empty. Here head_dim lies in lanes for the products and the keys do for the softmax, in
 * two passes over the scores. Reads keys and values once: memory is the limit. */
#include "kernels/cpu/attention.h"

enum { AT_ONCE = 4 };

/* The sums of four vectors, each in the order of its lanes mod 4 first. */
VEC_FN void four_sums(vf a[4], float sums[4])
{
    float v[VF];
    vf_transpose_fours(a);
    vf_store(v, (a[0] + a[1]) + (a[2] + a[3]));
#pragma GCC unroll 4
    for (int half = VF / 2; half >= 4; half /= 2)
#pragma GCC unroll 8
        for (int i = 0; i < half; i++) v[i] += v[i + half];
    memcpy(sums, v, 4 * sizeof *sums);
}

/* scores[j] = q k_j for j of [from, to); q is scaled. */
VEC_FN void row_scores(Dtype type, const Head *h, const float *q, int64_t from, int64_t to, float *scores)
{
    for (int64_t j = from; j < to; j += AT_ONCE) {
        const void *k[AT_ONCE];
        for (int64_t r = 0; r < AT_ONCE; r++) k[r] = typed_at(type, h->k, at_most(j + r, to - 1) * h->k_stride);
        vf sum[AT_ONCE] = {{0}};
        for (int64_t d = 0; d < h->dim; d += VF) {
            vf x = vf_get(q + d, h->dim - d);
            for (int64_t r = 0; r < AT_ONCE; r++) sum[r] = vf_fma(x, at(type, k[r], d, h->dim - d), sum[r]);
        }
        float sums[AT_ONCE];
        four_sums(sum, sums);
        for (int64_t r = 0; r < AT_ONCE && j + r < to; r++) scores[j + r] = sums[r];
    }
}

/* Scores become probabilities after dropout, not yet divided by their sum (before dropout), which is returned; *most:
 * the largest score. */
static float row_softmax(const Head *h, uint32_t position, int64_t from, int64_t to, float *scores, float *most)
{
    vf largest = vf_set(-INFINITY), sum = vf_zero();
    for (int64_t j = from; j < to; j += VF) {
        vf x = vf_get(scores + j, to - j);
        if (h->softcap > 0) vf_put(scores + j, x = vf_tanh(x) * h->softcap, to - j);
        largest = vf_max(largest, vf_select(vi_lanes() < (int32_t)at_most(to - j, VF), x, vf_set(-INFINITY)));
    }
    *most = vf_largest(largest);
    for (int64_t j = from / 4 * 4; j < to; j += 4 * VF) { /* a quad of dropout's columns may begin before `from` */
        vu words[4] = {{0}};
        if (h->drop) vu_philox_row(h->key0, h->key1, (uint32_t)(j / 4), position, h->op, h->sample, words);
        for (int64_t w = 0, i = j; w < 4 && i < to; w++, i += VF) {
            vi column = vi_lanes() + (int32_t)(i - from);
            vf x = vf_exp_negative(vf_get(scores + i, to - i) - *most);
            x = vf_where((column >= 0) & (column < (int32_t)(to - from)), x);
            sum += x;
            vf_put(scores + i, h->drop ? vf_keep(x, words[w], h->threshold) : x, to - i);
        }
    }
    return vf_sum(sum);
}

/* out = factor * sum of scores[j] v_j: TILE_VECTORS vectors of head_dim at a time, even and odd keys apart. */
VEC_FN void row_output(Dtype type, const Head *h, const float *scores, int64_t from, int64_t to, float factor, void
    *out)
{
    for (int64_t d = 0; d < h->dim; d += TILE_VECTORS * VF) {
        vf even[TILE_VECTORS] = {{0}}, odd[TILE_VECTORS] = {{0}};
        for (int64_t j = from; j < to; j++) {
            const void *v = typed_at(type, h->v, j * h->v_stride);
            vf p = vf_set(scores[j]), *sum = j & 1 ? odd : even;
            for (int64_t i = 0, left = h->dim - d; i < TILE_VECTORS && left > 0; i++, left -= VF)
                sum[i] = vf_fma(p, at(type, v, d + i * VF, left), sum[i]);
        }
        for (int64_t i = 0, left = h->dim - d; i < TILE_VECTORS && left > 0; i++, left -= VF)
            put(type, out, d + i * VF, (even[i] + odd[i]) * factor, left);
    }
}

VEC_FN void row(Dtype type, const Head *h, int64_t i, void *out, float *lse, float *work)
{
    float *q = work, *scores = work + up(h->dim, VF), most = -INFINITY, sum = 0;
    int64_t own = i + h->offset, from = h->window ? at_least(0, own - h->window + 1) : 0;
    int64_t to = h->causal ? at_most(h->len_k, own + 1) : h->len_k;
    float scale = h->softcap > 0 ? h->scale / h->softcap : h->scale;
    for (int64_t d = 0; d < h->dim; d += VF)
        vf_put(q + d, at(type, h->q, i * h->q_stride + d, h->dim - d) * scale, h->dim - d);
    if (from < to) {
        row_scores(type, h, q, from, to, scores);
        sum = row_softmax(h, (uint32_t)i, from, to, scores, &most);
    }
    row_output(type, h, scores, from, to, sum == 0 ? 0 : h->keep_scale / sum, out);
    if (lse) *lse = most + logf(sum);
}

void VARIANT(attention_row)(const Head *h, int64_t i, void *out, float *lse, float *work)
{
#define LOOP(d) row(d, h, i, out, lse, work)
    switch (h->dtype) { DTYPE_CASES(LOOP) }
#undef LOOP
}
