/* Attention against the textbook in double: masks, grouped heads, soft caps, dropout, odd sizes, views of one array of
 * q, k and v. */
#include "tests/kernels/kernel_test.h"

#include "kernels/philox.h"

typedef struct Case {
    const char *name;
    int32_t heads, kv_heads, dim;
    bool causal;
    int32_t window;
    float softcap, p;
    const int32_t *len_q, *len_k; /* ending with -1; len_k NULL: the same */
    bool aligned;                 /* rows at multiples of 16 bytes: a device's tensor cores take bf16 and f16 */
} Case;

static const int32_t ragged[] = {1, 13, 0, 33, 2, 130, -1}, lone[] = {97, -1}, few[] = {1, 3, 2, 5, -1},
                     many[] = {70, 3, 50, 130, -1};
static const int32_t short_k[] = {9, 3, 60, 0, -1}, long_q[] = {70, 5, 130, 4, -1}, four[] = {4, -1};
static const int32_t edges[] = {1, 15, 16, 17, 63, 64, 65, 130, -1}, few_edges[] = {17, 64, 130, -1},
                     two[] = {130, 65, -1}, past[] = {1, 17, 32, 33, 129, -1}, under[] = {63, 31, -1},
                     behind_q[] = {68, -1}, behind_k[] = {130, -1}; /* of tiles and fragments */

static const Case cases[] = {
    {"causal", 3, 3, 24, true, 0, 0, 0, ragged, NULL, false},
    {"bidirectional", 2, 2, 13, false, 0, 0, 0, ragged, NULL, false},
    {"grouped", 6, 2, 16, true, 0, 0, 0, ragged, NULL, false},
    {"one kv head, dim 1", 3, 1, 1, false, 0, 0, 0, ragged, NULL, false},
    {"dim 64", 1, 1, 64, true, 0, 0, 0, lone, NULL, false},
    {"dim 130", 1, 1, 130, true, 0, 0, 0.1f, lone, NULL, false},
    {"window", 2, 1, 20, true, 5, 0, 0, ragged, NULL, false},
    {"wide window, not causal", 1, 1, 8, false, 60, 0, 0, ragged, NULL, false},
    {"softcap", 2, 2, 12, true, 0, 3.5f, 0, ragged, NULL, false},
    {"dropout", 2, 2, 24, true, 0, 0, 0.3f, ragged, NULL, false},
    {"everything", 4, 2, 24, true, 40, 2, 0.2f, ragged, NULL, false},
    {"cached keys", 4, 2, 24, true, 0, 0, 0, few, many, false},
    {"cached keys, window, cap, dropout", 4, 2, 25, true, 20, 2, 0.2f, few, many, false},
    {"cached keys of one dim", 2, 2, 3, false, 0, 0, 0.1f, few, many, false},
    {"cross, more queries than keys, not causal", 2, 2, 12, false, 0, 0, 0.1f, long_q, short_k, false},
    {"queries that see nothing", 2, 1, 12, true, 0, 0, 0, long_q, short_k, false},
    {"no sequence", 2, 1, 12, true, 0, 0, 0, four + 1, NULL, false},
    {"aligned, causal, grouped", 2, 1, 64, true, 0, 0, 0, edges, NULL, true},
    {"aligned, bidirectional, dim 128", 1, 1, 128, false, 0, 0, 0, few_edges, NULL, true},
    {"aligned, causal, dim 128", 2, 2, 128, true, 0, 0, 0, past, NULL, true},
    {"aligned, window", 2, 2, 64, true, 20, 0, 0, two, NULL, true},
    {"aligned, wide window, not causal, dim 80", 2, 2, 80, false, 60, 0, 0, two, NULL, true},
    {"aligned, dropout", 2, 1, 64, true, 0, 0, 0.3f, past, NULL, true},
    {"aligned, everything", 4, 2, 48, true, 40, 2, 0.2f, past, NULL, true},
    {"aligned, everything, dim 128", 2, 1, 128, false, 40, 2, 0.2f, few_edges, NULL, true},
    {"aligned, cached keys", 4, 2, 64, true, 0, 0, 0, few, many, true},
    {"aligned, cached keys, window, cap, dropout", 4, 2, 64, true, 20, 2, 0.2f, few, many, true},
    {"aligned, cross, dim 8", 2, 2, 8, false, 0, 0, 0.1f, long_q, short_k, true},
    {"aligned, queries that see nothing", 2, 1, 64, true, 0, 0, 0, long_q, short_k, true},
    /* A tile all of which is seen but for one key: at a sequence's end, at the diagonal, at the window's. */
    {"aligned, one key less", 1, 1, 64, false, 0, 0, 0, under, NULL, true},
    {"aligned, the diagonal beside a tile", 1, 1, 64, true, 0, 0, 0, behind_q, behind_k, true},
    {"aligned, the window beside a tile", 1, 1, 64, false, 29, 0, 0, behind_q, behind_k, true},
    {"aligned, no sequence", 2, 1, 64, true, 0, 0, 0, four + 1, NULL, true},
};

enum { MOST_SEQUENCES = 8 };

/* A case laid out: k's, v's and q's rows are parts of one array where lengths are the same. */
typedef struct Laid {
    const Case *c;
    AttentionShape shape;
    Dropout dropout;
    int32_t cu_q[MOST_SEQUENCES + 1], cu_k[MOST_SEQUENCES + 1], sample[MOST_SEQUENCES];
    int64_t rows_q, rows_k;
} Laid;

static void lay_out(Laid *l, const Case *c)
{
    const int32_t *len_k = c->len_k ? c->len_k : c->len_q;
    *l = (Laid){.c = c};
    int n = 0;
    for (; c->len_q[n] >= 0; n++) {
        l->cu_q[n + 1] = l->cu_q[n] + c->len_q[n], l->cu_k[n + 1] = l->cu_k[n] + len_k[n];
        if (c->len_q[n] > l->shape.max_seqlen_q) l->shape.max_seqlen_q = c->len_q[n];
        if (len_k[n] > l->shape.max_seqlen_k) l->shape.max_seqlen_k = len_k[n];
        l->sample[n] = 11 * n + 3;
    }
    l->rows_q = l->cu_q[n], l->rows_k = l->cu_k[n];
    l->shape.cu_seqlens_q = l->cu_q, l->shape.cu_seqlens_k = l->cu_k, l->shape.num_seqs = n;
    l->shape.heads = c->heads, l->shape.kv_heads = c->kv_heads, l->shape.head_dim = c->dim;
    /* Odd strides: no alignment. */
    l->shape.q_stride = l->shape.k_stride = l->shape.v_stride =
        (c->heads + 2 * c->kv_heads) * c->dim + (c->aligned ? 8 : 1);
    l->shape.out_stride = c->heads * c->dim + (c->aligned ? 8 : 2);
    l->shape.scale = 1 / sqrtf((float)c->dim), l->shape.causal = c->causal;
    l->shape.window = c->window, l->shape.softcap = c->softcap;
    l->dropout = (Dropout){
        .p = c->p, .seed = 77, .update = 5, .op = 9, .cu_seqlens = l->cu_q, .sample = l->sample, .num_seqs = n};
}

static int64_t input_size(const Laid *l) { return (l->rows_q > l->rows_k ? l->rows_q : l->rows_k) * l->shape.q_stride; }
static int64_t output_size(const Laid *l) { return l->rows_q * l->shape.out_stride; }
static int64_t k_at(const Laid *l) { return (int64_t)l->c->heads * l->c->dim; }
static int64_t v_at(const Laid *l) { return (int64_t)(l->c->heads + l->c->kv_heads) * l->c->dim; }

static double kept(const Laid *l, int32_t sequence, int32_t head, int64_t i, int64_t j)
{
    if (l->c->p == 0) return 1;
    Philox w = philox4x32(77, PHILOX_DROPOUT | 5 << 8, (uint32_t)j / 4, (uint32_t)i, 9u | (uint32_t)head << 16,
                          (uint32_t)l->sample[sequence]);
    return w.v[j % 4] >= dropout_threshold(l->c->p) ? 1 / (1 - (double)l->c->p) : 0;
}

/* One query: out [dim] and lse; with dout also adds to din (the gradient of the array of q, k and v). p, dp: len_k
 * spare numbers. */
static double reference_query(const Laid *l, int32_t sequence, int32_t head, int64_t i, const double *in, double *out,
                              const double *dout, double *din, double *p, double *dp)
{
    const AttentionShape *s = &l->shape;
    int64_t len_k = l->cu_k[sequence + 1] - l->cu_k[sequence],
            own = i + len_k - (l->cu_q[sequence + 1] - l->cu_q[sequence]), dim = s->head_dim;
    int64_t kv = head / (s->heads / s->kv_heads), stride = s->q_stride;
    int64_t q = (l->cu_q[sequence] + i) * stride + head * dim, k = l->cu_k[sequence] * stride + k_at(l) + kv * dim;
    int64_t v = l->cu_k[sequence] * stride + v_at(l) + kv * dim;
    double most = -INFINITY, sum = 0, dot = 0;
    for (int64_t j = 0; j < len_k; j++) {
        bool seen = (!s->causal || j <= own) && (s->window <= 0 || j > own - s->window);
        double x = 0;
        for (int64_t d = 0; d < dim; d++) x += in[q + d] * in[k + j * stride + d];
        x *= (double)s->scale;
        if (s->softcap > 0) x = s->softcap * tanh(x / s->softcap);
        p[j] = seen ? x : -INFINITY;
        if (p[j] > most) most = p[j];
    }
    for (int64_t j = 0; j < len_k && most > -INFINITY; j++) sum += exp(p[j] - most);
    double lse = most + log(sum);
    for (int64_t d = 0; d < dim; d++) out[d] = 0;
    if (sum == 0) return lse;
    for (int64_t j = 0; j < len_k; j++)
        for (int64_t d = 0; d < dim; d++)
            out[d] += exp(p[j] - lse) * kept(l, sequence, head, i, j) * in[v + j * stride + d];
    if (!dout) return lse;
    for (int64_t j = 0; j < len_k; j++) {
        dp[j] = 0;
        for (int64_t d = 0; d < dim; d++) dp[j] += dout[d] * in[v + j * stride + d] * kept(l, sequence, head, i, j);
        dot += dp[j] * exp(p[j] - lse);
    }
    for (int64_t j = 0; j < len_k; j++) {
        double x = exp(p[j] - lse), ds = x * (dp[j] - dot) * (double)s->scale,
               t = s->softcap > 0 && x > 0 ? p[j] / s->softcap : 0;
        ds *= 1 - t * t;
        for (int64_t d = 0; d < dim; d++) {
            din[v + j * stride + d] += x * kept(l, sequence, head, i, j) * dout[d];
            din[q + d] += ds * in[k + j * stride + d];
            din[k + j * stride + d] += ds * in[q + d];
        }
    }
    return lse;
}

/* out with 0 in the gaps between rows; dout, din may be NULL. */
static void reference(const Laid *l, const double *in, double *out, double *lse, const double *dout, double *din)
{
    double *p = zeros(2 * (l->shape.max_seqlen_k + 1)), *dp = p + l->shape.max_seqlen_k + 1;
    for (int32_t n = 0; n < l->shape.num_seqs; n++)
        for (int32_t head = 0; head < l->shape.heads; head++)
            for (int64_t i = 0; i < l->cu_q[n + 1] - l->cu_q[n]; i++) {
                int64_t row = l->cu_q[n] + i, at = row * l->shape.out_stride + head * l->shape.head_dim;
                lse[head * l->rows_q + row] =
                    reference_query(l, n, head, i, in, out + at, dout ? dout + at : NULL, din, p, dp);
            }
    free(p);
}

static double *widened(const float *x, int64_t n)
{
    double *y = calloc((size_t)n + 1, sizeof *y);
    for (int64_t i = 0; i < n; i++) y[i] = x[i];
    return y;
}

/* On a device each kernel takes its time, and one source serves all dtypes: aligned rows, which tensor cores take, are
 * bf16's and f16's; the others f32's. Elsewhere, and in f16, the comparison with the textbook is enough, of every third
 * case where f32 has shown the arithmetic. */
static bool is_passed_over(const Case *c, bool by_the_textbook)
{
#if defined HONE_TEST_CUDA || defined HONE_TEST_LOW
    if (on_device_dtype() == DTYPE_F32) return c->aligned;
    if (!by_the_textbook) return on_device_dtype() == DTYPE_F16 || !c->aligned;
    return !c->aligned && (c - cases) % 3 != (on_device_dtype() == DTYPE_F16);
#else
    return (void)c, (void)by_the_textbook, false;
#endif
}

typedef struct Results {
    float *out, *lse, *din;
} Results;

static Results run(const Kernels *k, int threads, const Laid *l, const float *in, const float *dout)
{
    Results r = {calloc((size_t)output_size(l) + 1, 4), calloc((size_t)(l->shape.heads * l->rows_q) + 1, 4),
                 calloc((size_t)input_size(l) + 1, 4)};
    Stream *s = stream_new_cpu(threads);
    const float *kk = in + k_at(l), *v = in + v_at(l);
    k->attention_forward(s, DTYPE_F32, r.out, r.lse, in, kk, v, &l->shape, &l->dropout);
    k->attention_backward(s, DTYPE_F32, r.din, r.din + k_at(l), r.din + v_at(l), dout, in, kk, v, r.out, r.lse,
                          &l->shape, &l->dropout);
    stream_sync(s);
    assert_false(stream_failed(s));
    stream_free(s);
    return r;
}

/* Tensor cores: probabilities, and gradients of scores, are rounded to dtype before they are multiplied. Variation 3 of
 * a device, whose arrays are not aligned, does not take them. */
static bool on_tensor_cores(const Laid *l) { return l->c->aligned && dtype_unit() > 0; }

static void assert_is_the_textbook(const Laid *l, const Results *r, const double *out, const double *lse,
                                   const double *din)
{
    double roundings = on_tensor_cores(l) ? 1 : 0;
    /* The backward takes `out` as it was rounded, which is in each gradient. */
    assert_close_rounded(l->c->name, r->out, out, output_size(l), l->c->dim > 100 ? 4e-6 : 2e-6, roundings);
    assert_close_rounded(l->c->name, r->din, din, input_size(l), 2e-5, dtype_unit() > 0 ? 4 : 0);
    for (int64_t i = 0; i < l->shape.heads * l->rows_q; i++)
        if (isinf(lse[i]) ? (double)r->lse[i] != lse[i] : !(fabs(r->lse[i] - lse[i]) < 1e-5))
            fail_msg("%s: lse %g, not %g", l->c->name, (double)r->lse[i], lse[i]);
}

static void results_free(Results r) { free(r.out), free(r.lse), free(r.din); }

static void equals_the_textbook_and_no_thread_changes_a_bit(void **state)
{
    (void)state;
    const Kernels *k;
    for (size_t n = 0; n < COUNT(cases); n++) {
        Laid l;
        if (is_passed_over(&cases[n], true)) continue;
        lay_out(&l, &cases[n]);
        int64_t inputs = input_size(&l), outputs = output_size(&l), lses = l.shape.heads * l.rows_q;
        float *in = numbers(inputs, n), *dout = numbers(outputs, n + 100);
        for (int64_t i = 0; i < inputs; i++) in[i] *= 2.5f;
        rounded(in, inputs);
        double *in_wide = widened(in, inputs), *dout_wide = widened(dout, outputs), *out = zeros(outputs),
               *lse = zeros(lses);
        double *din = zeros(inputs);
        reference(&l, in_wide, out, lse, dout_wide, din);
        for (EACH_ISA(k)) {
            Results one = run(k, 1, &l, in, dout);
            assert_is_the_textbook(&l, &one, out, lse, din);
            for (int threads = 2; threads <= 3; threads++) {
                Results more = run(k, threads, &l, in, dout);
                if (on_tensor_cores(&l) && threads == 3) {
                    assert_is_the_textbook(&l, &more, out, lse, din);
                    results_free(more);
                    break;
                }
                assert_same_bits(cases[n].name, more.out, one.out, outputs);
                assert_same_bits(cases[n].name, more.lse, one.lse, lses);
                assert_same_bits(cases[n].name, more.din, one.din, inputs);
                results_free(more);
            }
            results_free(one);
        }
        free(in), free(dout), free(in_wide), free(dout_wide), free(out), free(lse), free(din);
    }
}

/* <gradient, u> == (f(x + hu) - f(x - hu)) / 2h in double, f = <reference's out, dout>: the reference's own backward is
 * not taken on trust. */
static void gradient_equals_finite_differences(void **state)
{
    (void)state;
    const Kernels *k;
    for (size_t n = 0; n < COUNT(cases); n++) {
        Laid l;
        if (is_passed_over(&cases[n], false)) continue;
        lay_out(&l, &cases[n]);
        if (l.rows_q > 200 && cases[n].dim > 24) continue;
        int64_t inputs = input_size(&l), outputs = output_size(&l);
        float *in = numbers(inputs, n), *dout = numbers(outputs, n + 100), *u = numbers(inputs, n + 200);
        double *x = zeros(inputs), *out = zeros(outputs), *lse = zeros(l.shape.heads * l.rows_q), want = 0, h = 1e-5;
        for (int sign = -1; sign <= 1; sign += 2) {
            for (int64_t i = 0; i < inputs; i++) x[i] = in[i] + sign * h * u[i];
            reference(&l, x, out, lse, NULL, NULL);
            for (int64_t i = 0; i < outputs; i++)
                want += i % l.shape.out_stride < l.c->heads * l.c->dim ? sign * out[i] * dout[i] / (2 * h) : 0;
        }
        for (EACH_ISA(k)) {
            Results r = run(k, 2, &l, in, dout);
            double got = 0, size = 1;
            for (int64_t i = 0; i < inputs; i++) got += (double)r.din[i] * u[i], size += fabs((double)r.din[i] * u[i]);
            if (!(fabs(got - want) < (2e-6 + dtype_unit() / 4) * size))
                fail_msg("%s, %s: %.9g, not %.9g", cases[n].name, k->name, got, want);
            results_free(r);
        }
        free(in), free(dout), free(u), free(x), free(out), free(lse);
    }
}

static void a_sequence_alone_has_the_same_bits(void **state)
{
    (void)state;
    const Kernels *k;
    for (size_t n = 0; n < COUNT(cases); n++) {
        Laid l;
        if (is_passed_over(&cases[n], false)) continue;
        lay_out(&l, &cases[n]);
        int64_t inputs = input_size(&l);
        float *in = numbers(inputs, n), *dout = numbers(output_size(&l), n + 100);
        for (EACH_ISA(k)) {
            Results all = run(k, 2, &l, in, dout);
            for (int32_t i = 0; i < l.shape.num_seqs && !l.c->len_k; i++) {
                Laid a = l;
                a.cu_q[0] = a.cu_k[0] = 0, a.cu_q[1] = a.cu_k[1] = l.cu_q[i + 1] - l.cu_q[i], a.sample[0] = l.sample[i];
                a.rows_q = a.rows_k = a.cu_q[1];
                a.shape.cu_seqlens_q = a.cu_q, a.shape.cu_seqlens_k = a.cu_k, a.shape.num_seqs = 1;
                a.shape.max_seqlen_q = a.shape.max_seqlen_k = a.cu_q[1];
                a.dropout.cu_seqlens = a.cu_q, a.dropout.sample = a.sample, a.dropout.num_seqs = 1;
                int64_t at_in = l.cu_q[i] * l.shape.q_stride, at_out = l.cu_q[i] * l.shape.out_stride;
                Results one = run(k, 1, &a, in + at_in, dout + at_out);
                assert_same_bits(l.c->name, one.out, all.out + at_out, output_size(&a));
                assert_same_bits(l.c->name, one.din, all.din + at_in, input_size(&a));
                results_free(one);
            }
            results_free(all);
        }
        free(in), free(dout);
    }
}

static void infinity_and_nan_stay_in_their_row(void **state)
{
    (void)state;
    const Kernels *k;
    for (size_t n = 0; n < COUNT(cases); n++) {
        Laid l;
        if (is_passed_over(&cases[n], false)) continue;
        lay_out(&l, &cases[n]);
        if (cases[n].len_q != ragged && cases[n].len_q != edges) continue;
        for (EACH_ISA(k)) {
            float *in = numbers(input_size(&l), 1), *dout = numbers(output_size(&l), 2);
            in[(l.cu_q[5] + 7) * l.shape.q_stride] = NAN; /* a query of head 0 */
            Results r = run(k, 1, &l, in, dout);
            for (int64_t row = 0; row < l.rows_q; row++)
                assert_int_equal(isnan(r.out[row * l.shape.out_stride]), row == l.cu_q[5] + 7);
            results_free(r);
            free(in), free(dout);
        }
    }
}

/* x [rows, width] at another stride, rubbish between. */
static float *spread(const float *x, int64_t rows, int64_t width, int64_t stride)
{
    float *y = rubbish(rows * stride);
    for (int64_t i = 0; i < rows * width; i++) y[i / width * stride + i % width] = x[i];
    return y;
}

static void assert_near_rows(const char *what, const float *x, int64_t stride, const float *y, int64_t rows,
                             int64_t width)
{
    for (int64_t i = 0; i < rows * width; i++) {
        double have = x[i / width * stride + i % width], slack = (1e-5 + 4 * dtype_unit()) * (1 + fabs(y[i]));
        if (!(fabs(have - y[i]) <= slack)) fail_msg("%s: element %lld is %g, not %g", what, (long long)i, have, y[i]);
    }
}

/* The same as with dense rows where q, k and v have a stride each; sequences of one query and of many. */
static void each_array_has_its_own_stride(void **state)
{
    enum { ROWS_Q = 72, ROWS_K = 116, HEADS = 4, KV = 2, DIM = 12, Q = HEADS * DIM, K = KV * DIM };
    static const int32_t cu_q[] = {0, 1, ROWS_Q}, cu_k[] = {0, 9, ROWS_K};
    AttentionShape dense = {.cu_seqlens_q = cu_q, .cu_seqlens_k = cu_k, .num_seqs = 2, .max_seqlen_q = 71,
                            .max_seqlen_k = 107, .heads = HEADS, .kv_heads = KV, .head_dim = DIM, .q_stride = Q,
                            .k_stride = K, .v_stride = K, .out_stride = Q, .scale = 0.3f, .causal = true};
    AttentionShape apart = dense;
    apart.q_stride = Q + 3, apart.k_stride = K + 5, apart.v_stride = K + 13, apart.out_stride = Q + 2;
    const Kernels *k;
    (void)state;
    Stream *s = stream_new_cpu(2);
    for (EACH_ISA(k)) {
        float *q = numbers(ROWS_Q * Q, 1), *key = numbers(ROWS_K * K, 2), *v = numbers(ROWS_K * K, 3),
              *dout = numbers(ROWS_Q * Q, 4), *out = rubbish(ROWS_Q * Q), *lse = rubbish(HEADS * ROWS_Q),
              *dq = rubbish(ROWS_Q * Q), *dk = rubbish(ROWS_K * K), *dv = rubbish(ROWS_K * K);
        k->attention_forward(s, DTYPE_F32, out, lse, q, key, v, &dense, NULL);
        k->attention_backward(s, DTYPE_F32, dq, dk, dv, dout, q, key, v, out, lse, &dense, NULL);
        float *q2 = spread(q, ROWS_Q, Q, apart.q_stride), *key2 = spread(key, ROWS_K, K, apart.k_stride),
              *v2 = spread(v, ROWS_K, K, apart.v_stride), *dout2 = spread(dout, ROWS_Q, Q, apart.out_stride),
              *out2 = rubbish(ROWS_Q * apart.out_stride), *dq2 = rubbish(ROWS_Q * apart.q_stride),
              *dk2 = rubbish(ROWS_K * apart.k_stride), *dv2 = rubbish(ROWS_K * apart.v_stride);
        k->attention_forward(s, DTYPE_F32, out2, lse, q2, key2, v2, &apart, NULL);
        assert_near_rows("out", out2, apart.out_stride, out, ROWS_Q, Q);
        k->attention_backward(s, DTYPE_F32, dq2, dk2, dv2, dout2, q2, key2, v2, out2, lse, &apart, NULL);
        assert_near_rows("dq", dq2, apart.q_stride, dq, ROWS_Q, Q);
        assert_near_rows("dk", dk2, apart.k_stride, dk, ROWS_K, K);
        assert_near_rows("dv", dv2, apart.v_stride, dv, ROWS_K, K);
        free(q), free(key), free(v), free(dout), free(out), free(lse), free(dq), free(dk), free(dv);
        free(q2), free(key2), free(v2), free(dout2), free(out2), free(dq2), free(dk2), free(dv2);
    }
    stream_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_array_has_its_own_stride),
        cmocka_unit_test(equals_the_textbook_and_no_thread_changes_a_bit),
        cmocka_unit_test(gradient_equals_finite_differences),
        cmocka_unit_test(a_sequence_alone_has_the_same_bits),
        cmocka_unit_test(infinity_and_nan_stay_in_their_row),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
