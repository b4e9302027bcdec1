/* kernels/cpu/cross_entropy.c: the fused end of a model and its unfused twin against the formulas in double. */
#include "tests/kernels/kernel_test.h"

typedef struct Case {
    int64_t rows, hidden, vocab;
    float scale, smoothing, softcap, z_loss;
    bool accumulate;
    int ignored; /* percent */
} Case;

static const Case cases[] = {
    {0, 8, 5, 1, 0, 0, 0, false, 0},
    {1, 1, 1, 1, 0, 0, 0, false, 0},
    {3, 4, 2, 1, 0, 0, 0, true, 100},
    {3, 4, 2, 1, 0, 0, 0, false, 100},
    {13, 33, 257, 0.125f, 0, 0, 0, false, 20},
    {33, 13, 63, 0.5f, 0.1f, 0, 0, true, 0},
    {300, 16, 97, 0.01f, 0, 0, 0, false, 1},
    {700, 9, 33, 2, 0.1f, 0, 1e-2f, true, 15},
    {40, 24, 4099, 0.25f, 0.05f, 3, 0, false, 10},
    {270, 12, 50, 1, 0.2f, 2, 1e-3f, false, 5},
};

typedef struct Problem {
    Case c;
    float *x, *w, *before;
    int32_t *labels;
    double *loss, *dx, *dw, *logits, *dlogits;
} Problem;

static Problem problem_new(const Case *c, double spread)
{
    Problem p = {.c = *c, .x = numbers(c->rows * c->hidden, 1), .w = numbers(c->vocab * c->hidden, 2),
                 .before = numbers(c->vocab * c->hidden, 3), .labels = malloc((size_t)c->rows * 4 + 1),
                 .loss = zeros(c->rows), .dx = zeros(c->rows * c->hidden), .dw = zeros(c->vocab * c->hidden),
                 .logits = zeros(c->rows * c->vocab), .dlogits = zeros(c->rows * c->vocab)};
    uint64_t seed = 7;
    for (int64_t i = 0; i < c->rows; i++) {
        p.labels[i] = (int32_t)(next_random(&seed) % (uint64_t)c->vocab);
        if ((int)(next_random(&seed) % 100) < c->ignored) p.labels[i] = -100;
    }
    for (int64_t i = 0; i < c->rows * c->hidden; i++) p.x[i] *= (float)spread;
    rounded(p.x, c->rows * c->hidden);
    return p;
}

static void problem_free(Problem *p)
{
    free(p->x), free(p->w), free(p->before), free(p->labels), free(p->loss), free(p->dx), free(p->dw), free(p->logits),
        free(p->dlogits);
}

/* One row: the loss of raw logits `a` and its gradient, both scaled as the contract says. */
static double row_reference(const Case *c, const double *a, int32_t label, double *da)
{
    int64_t n = c->vocab;
    double *z = zeros(n), max = -INFINITY, sum = 0, mean = 0, e = c->smoothing;
    for (int64_t j = 0; j < n; j++) {
        z[j] = c->softcap != 0 ? c->softcap * tanh(a[j] / c->softcap) : a[j];
        max = fmax(max, z[j]), mean += z[j] / (double)n;
    }
    for (int64_t j = 0; j < n; j++) sum += exp(z[j] - max);
    double lse = max + log(sum);
    for (int64_t j = 0; j < n; j++) {
        double dz = exp(z[j] - lse) * (1 + 2 * c->z_loss * lse) - (j == label ? 1 - e : 0) - e / (double)n;
        da[j] = c->scale * dz * (c->softcap != 0 ? 1 - z[j] * z[j] / c->softcap / c->softcap : 1);
    }
    double loss = (1 - e) * (lse - z[label]) + e * (lse - mean) + c->z_loss * lse * lse;
    free(z);
    return loss;
}

static void reference(Problem *p)
{
    const Case *c = &p->c;
    for (int64_t j = 0; c->accumulate && j < c->vocab * c->hidden; j++) p->dw[j] = p->before[j];
    for (int64_t r = 0; r < c->rows; r++) {
        double *a = p->logits + r * c->vocab, *da = p->dlogits + r * c->vocab;
        for (int64_t j = 0; j < c->vocab; j++)
            for (int64_t i = 0; i < c->hidden; i++) a[j] += (double)p->x[r * c->hidden + i] * p->w[j * c->hidden + i];
        if (p->labels[r] == -100) continue;
        p->loss[r] = row_reference(c, a, p->labels[r], da);
        for (int64_t j = 0; j < c->vocab; j++)
            for (int64_t i = 0; i < c->hidden; i++) {
                p->dx[r * c->hidden + i] += da[j] * p->w[j * c->hidden + i];
                p->dw[j * c->hidden + i] += da[j] * p->x[r * c->hidden + i];
            }
    }
}

static void run(const Kernels *k, Stream *s, const Problem *p, float *loss, float *dx, float *dw)
{
    const Case *c = &p->c;
    k->linear_cross_entropy(s, DTYPE_F32, DTYPE_F32, loss, dx, dw, p->x, p->w, p->labels, c->rows, c->hidden, c->vocab,
                            c->scale, c->smoothing, c->softcap, c->z_loss, c->accumulate);
    assert_false(stream_failed(s));
}

/* What the rounding of the logits' gradients to the dtype at work can do to a sum of `terms` of these, times numbers of
 * at most 1: those of a row add up to 2 * scale at most, but for the z-loss. */
static double of_rounding(const Case *c, int64_t terms)
{
    return dtype_unit() * 2 * c->scale * (1 + c->z_loss * 20) + dtype_smallest() / 2 * (double)terms;
}

static void fused_equals_the_formulas(void **state)
{
    Stream **streams = *state;
    const Kernels *k;
    for (size_t i = 0; i < COUNT(cases); i++) {
        const Case *c = &cases[i];
        Problem p = problem_new(c, 1);
        int64_t nx = c->rows * c->hidden, nw = c->vocab * c->hidden;
        reference(&p);
        for (EACH_ISA(k)) {
            float *first_dx = NULL, *first_dw = NULL;
            for (int t = 0; t < 3; t++) {
                float *loss = rubbish(c->rows), *dx = rubbish(nx),
                      *dw = c->accumulate ? copy_of(p.before, nw) : rubbish(nw);
                float *only_loss = rubbish(c->rows), *frozen_dx = rubbish(nx);
                run(k, streams[t], &p, loss, dx, dw);
                run(k, streams[t], &p, only_loss, NULL, NULL);
                run(k, streams[t], &p, only_loss, frozen_dx, NULL);
                assert_close_f32("loss", loss, p.loss, c->rows, 2e-6);
                assert_close("dx", dx, p.dx, nx, 3e-6 + of_rounding(c, c->vocab));
                double repeats = sqrt((double)c->rows);
                assert_close_f32("dW", dw, p.dw, nw, 3e-6 * (1 + repeats) + repeats * of_rounding(c, c->rows));
                assert_same_bits("loss alone", only_loss, loss, c->rows);
                assert_same_bits("frozen weight", frozen_dx, dx, nx);
                if (!t) first_dx = copy_of(dx, nx), first_dw = copy_of(dw, nw);
                assert_same_bits("threads: dx", dx, first_dx, nx);
                assert_same_bits("threads: dW", dw, first_dw, nw);
                free(loss), free(dx), free(dw), free(only_loss), free(frozen_dx);
            }
            free(first_dx), free(first_dw);
        }
        problem_free(&p);
    }
}

static void unfused_equals_the_formulas_in_place_and_apart(void **state)
{
    Stream **streams = *state;
    const Kernels *k;
    for (size_t i = 0; i < COUNT(cases); i++) {
        Case c = cases[i];
        Problem p = problem_new(&c, 1);
        reference(&p);
        int64_t n = c.rows * c.vocab;
        float *logits = rubbish(n);
        for (int64_t j = 0; j < n; j++) logits[j] = (float)p.logits[j];
        for (EACH_ISA(k))
            for (int t = 0; t < 3; t++) {
                float *loss = rubbish(c.rows), *alone = rubbish(c.rows), *d = rubbish(n),
                      *in_place = copy_of(logits, n);
                k->cross_entropy(streams[t], loss, d, logits, p.labels, c.rows, c.vocab, c.scale, c.smoothing,
                                 c.softcap, c.z_loss);
                k->cross_entropy(streams[t], loss, in_place, in_place, p.labels, c.rows, c.vocab, c.scale, c.smoothing,
                                 c.softcap, c.z_loss);
                k->cross_entropy(streams[t], alone, NULL, logits, p.labels, c.rows, c.vocab, c.scale, c.smoothing,
                                 c.softcap, c.z_loss);
                assert_close_f32("loss", loss, p.loss, c.rows, 2e-6);
                assert_close_f32("dlogits", d, p.dlogits, n, 1e-6);
                assert_same_bits("in place", in_place, d, n);
                assert_same_bits("loss alone", alone, loss, c.rows);
                free(loss), free(alone), free(d), free(in_place);
            }
        free(logits);
        problem_free(&p);
    }
}

/* What full determinism needs: where the ignored rows lie does not matter to the others. */
static void ignored_rows_change_no_bit_of_the_others(void **state)
{
    Stream **streams = *state;
    const Kernels *k;
    Case c = {20, 24, 211, 0.5f, 0, 0, 0, false, 0};
    Problem p = problem_new(&c, 1), q = problem_new(&(Case){40, 24, 211, 0.5f, 0, 0, 0, false, 100}, 1);
    for (int64_t r = 0; r < 20; r++) { /* every other row of q is one of p */
        memcpy(q.x + (2 * r + 1) * 24, p.x + r * 24, 24 * sizeof *p.x);
        q.labels[2 * r + 1] = p.labels[r];
    }
    for (EACH_ISA(k)) {
        float loss[20], dx[20 * 24], loss2[40], dx2[40 * 24], *dw = rubbish(211 * 24), *dw2 = rubbish(211 * 24);
        run(k, streams[1], &p, loss, dx, dw);
        run(k, streams[1], &q, loss2, dx2, dw2);
        assert_same_bits("dW", dw, dw2, 211 * 24);
        for (int64_t r = 0; r < 20; r++) {
            assert_same_bits("loss", loss + r, loss2 + 2 * r + 1, 1);
            assert_same_bits("dx", dx + r * 24, dx2 + (2 * r + 1) * 24, 24);
            assert_true(loss2[2 * r] == 0);
            for (int j = 0; j < 24; j++) assert_true(dx2[2 * r * 24 + j] == 0);
        }
        free(dw), free(dw2);
    }
    problem_free(&p), problem_free(&q);
}

static void huge_logits_stay_finite_and_nan_is_not_hidden(void **state)
{
    Stream **streams = *state;
    const Kernels *k;
    for (EACH_ISA(k)) {
        float logits[2][70] = {{0}}, d[2][70], loss[2];
        int32_t labels[2] = {3, 69};
        for (int j = 0; j < 70; j++) logits[0][j] = j == 3 ? 3e38f : -3e38f, logits[1][j] = j == 5 ? 1e4f : -1e4f;
        k->cross_entropy(streams[0], loss, d[0], logits[0], labels, 2, 70, 1, 0, 0, 0);
        assert_true(loss[0] == 0 && loss[1] == 2e4f && d[1][5] == 1 && d[1][69] == -1);
        for (int at = 0; at < 70; at++) { /* wherever it stands */
            logits[1][at] = NAN;
            k->cross_entropy(streams[0], loss, d[0], logits[0], labels, 2, 70, 1, 0, 0, 0);
            assert_true(loss[0] == 0 && isnan(loss[1]) && isnan(d[1][0]) && isnan(d[1][69]));
            logits[1][at] = -1e4f;
        }
    }
}

static int streams_open(void **state)
{
    static Stream *streams[3];
    for (int t = 0; t < 3; t++) streams[t] = stream_new_cpu(t + 1);
    *state = streams;
    return 0;
}

static int streams_close(void **state)
{
    for (int t = 0; t < 3; t++) stream_free(((Stream **)*state)[t]);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fused_equals_the_formulas),
        cmocka_unit_test(unfused_equals_the_formulas_in_place_and_apart),
        cmocka_unit_test(ignored_rows_change_no_bit_of_the_others),
        cmocka_unit_test(huge_logits_stay_finite_and_nan_is_not_hidden),
    };
    return cmocka_run_group_tests(tests, streams_open, streams_close);
}
