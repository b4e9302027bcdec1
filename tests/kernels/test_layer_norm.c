/* Layer norm against the definition in double. */
#include "tests/kernels/kernel_test.h"

typedef struct Case { int64_t rows, hidden; bool bias, accumulate_dx, accumulate_params; } Case;

static const Case cases[] = {
    {0, 13, true, false, false},  {1, 1, true, false, false},    {5, 13, true, true, false},
    {13, 33, false, false, true}, {33, 130, true, true, true},   {70, 96, true, false, false},
    {65, 1, false, true, true},   {130, 300, true, false, true},
};

typedef struct Data { float *x, *dy, *weight, *bias, *dx, *dweight, *dbias; } Data; /* dx …: what is there to add to */
typedef struct Results { float *y, *mean, *rstd, *dx, *dweight, *dbias; } Results;
typedef struct Want { double *y, *mean, *rstd, *dx, *dweight, *dbias; } Want;

static const float eps = 1e-5f;

static Data data_of(const Case *c)
{
    int64_t n = c->rows * c->hidden;
    Data d = {numbers(n, 1), numbers(n, 2),         numbers(c->hidden, 3), numbers(c->hidden, 4),
              numbers(n, 5), numbers(c->hidden, 6), numbers(c->hidden, 7)};
    for (int64_t i = 0; i < n; i++) d.x[i] += 3;
    rounded(d.x, n);
    return d;
}

static void data_free(Data d)
{
    free(d.x), free(d.dy), free(d.weight), free(d.bias), free(d.dx), free(d.dweight), free(d.dbias);
}

static Want reference(const Case *c, const Data *d)
{
    int64_t n = c->hidden;
    Want w = {zeros(c->rows * n), zeros(c->rows), zeros(c->rows), zeros(c->rows * n), zeros(n), zeros(n)};
    for (int64_t i = 0; i < n && c->accumulate_params; i++) w.dweight[i] = d->dweight[i], w.dbias[i] = d->dbias[i];
    for (int64_t r = 0; r < c->rows; r++) {
        const float *x = d->x + r * n, *dy = d->dy + r * n;
        double mean = 0, variance = 0, g_sum = 0, gx_sum = 0;
        for (int64_t i = 0; i < n; i++) mean += x[i] / (double)n;
        for (int64_t i = 0; i < n; i++) variance += (x[i] - mean) * (x[i] - mean) / (double)n;
        double rstd = 1 / sqrt(variance + eps);
        for (int64_t i = 0; i < n; i++) {
            double xhat = (x[i] - mean) * rstd, g = dy[i] * d->weight[i];
            w.y[r * n + i] = xhat * d->weight[i] + (c->bias ? d->bias[i] : 0);
            w.dweight[i] += dy[i] * xhat, w.dbias[i] += dy[i], g_sum += g, gx_sum += g * xhat;
        }
        for (int64_t i = 0; i < n; i++) {
            double xhat = (x[i] - mean) * rstd;
            w.dx[r * n + i] = rstd * (dy[i] * d->weight[i] - g_sum / (double)n - xhat * gx_sum / (double)n) +
                              (c->accumulate_dx ? d->dx[r * n + i] : 0);
        }
        w.mean[r] = mean, w.rstd[r] = rstd;
    }
    return w;
}

static Results run(const Kernels *k, int threads, const Case *c, const Data *d)
{
    int64_t n = c->rows * c->hidden;
    Results r = {rubbish(n), rubbish(c->rows), rubbish(c->rows), c->accumulate_dx ? copy_of(d->dx, n) : rubbish(n),
                 c->accumulate_params ? copy_of(d->dweight, c->hidden) : rubbish(c->hidden),
                 c->accumulate_params ? copy_of(d->dbias, c->hidden) : rubbish(c->hidden)};
    Stream *s = stream_new_cpu(threads);
    k->layer_norm_forward(s, DTYPE_F32, r.y, r.mean, r.rstd, d->x, d->weight, c->bias ? d->bias : NULL, c->rows,
                          c->hidden, eps);
    k->layer_norm_backward(s, DTYPE_F32, r.dx, r.dweight, c->bias ? r.dbias : NULL, d->dy, d->x, r.mean, r.rstd,
                           d->weight, c->rows, c->hidden, c->accumulate_dx, c->accumulate_params);
    stream_free(s);
    return r;
}

static void results_free(Results r)
{
    free(r.y), free(r.mean), free(r.rstd), free(r.dx), free(r.dweight), free(r.dbias);
}

static void equals_the_definition_and_no_thread_changes_a_bit(void **state)
{
    (void)state;
    const Kernels *k;
    for (size_t i = 0; i < COUNT(cases); i++) {
        const Case *c = &cases[i];
        int64_t n = c->rows * c->hidden;
        Data d = data_of(c);
        Want w = reference(c, &d);
        for (EACH_ISA(k)) {
            Results one = run(k, 1, c, &d);
            assert_close("y", one.y, w.y, n, 3e-6);
            assert_close_f32("mean", one.mean, w.mean, c->rows, 1e-6);
            assert_close_f32("rstd", one.rstd, w.rstd, c->rows, 1e-5);
            assert_close("dx", one.dx, w.dx, n, 5e-6);
            assert_close_f32("dweight", one.dweight, w.dweight, c->hidden, 5e-6);
            if (c->bias) assert_close_f32("dbias", one.dbias, w.dbias, c->hidden, 2e-6);
            for (int threads = 2; threads <= 3; threads++) {
                Results more = run(k, threads, c, &d);
                assert_same_bits("y", more.y, one.y, n);
                assert_same_bits("dx", more.dx, one.dx, n);
                assert_same_bits("dweight", more.dweight, one.dweight, c->hidden);
                if (c->bias) assert_same_bits("dbias", more.dbias, one.dbias, c->hidden);
                results_free(more);
            }
            results_free(one);
        }
        data_free(d);
        free(w.y), free(w.mean), free(w.rstd), free(w.dx), free(w.dweight), free(w.dbias);
    }
}

static void rows_alone_have_the_same_bits(void **state)
{
    (void)state;
    const Kernels *k;
    Case c = cases[5], part = c;
    Data d = data_of(&c), tail = d;
    part.rows = 7;
    tail.x += 60 * c.hidden, tail.dy += 60 * c.hidden;
    for (EACH_ISA(k)) {
        Results all = run(k, 2, &c, &d), some = run(k, 1, &part, &tail);
        assert_same_bits("y", some.y, all.y + 60 * c.hidden, 7 * c.hidden);
        assert_same_bits("dx", some.dx, all.dx + 60 * c.hidden, 7 * c.hidden);
        results_free(all), results_free(some);
    }
    data_free(d);
}

static void works_in_place_and_without_statistics(void **state)
{
    (void)state;
    const Kernels *k;
    Case c = cases[5];
    int64_t n = c.rows * c.hidden;
    Data d = data_of(&c);
    for (EACH_ISA(k)) {
        Results r = run(k, 1, &c, &d);
        float *x = copy_of(d.x, n), *dy = copy_of(d.dy, n);
        Stream *s = stream_new_cpu(2);
        k->layer_norm_forward(s, DTYPE_F32, x, NULL, NULL, x, d.weight, d.bias, c.rows, c.hidden, eps);
        k->layer_norm_backward(s, DTYPE_F32, dy, d.dweight, NULL, dy, d.x, r.mean, r.rstd, d.weight, c.rows, c.hidden,
                               false, false);
        assert_same_bits("y in place", x, r.y, n);
        assert_same_bits("dx in place", dy, r.dx, n);
        stream_free(s);
        free(x), free(dy), results_free(r);
    }
    data_free(d);
}

static void a_mean_far_from_zero_costs_no_accuracy(void **state)
{
    (void)state;
    const Kernels *k;
    enum { N = 768 };
    for (EACH_ISA(k)) {
        float *x = numbers(N, 1), one[N], y[N], mean, rstd;
        for (int i = 0; i < N; i++) x[i] = 4096 + roundf(x[i] * 64), one[i] = 1;
        rounded(x, N);
        Stream *s = stream_new_cpu(1);
        k->layer_norm_forward(s, DTYPE_F32, y, &mean, &rstd, x, one, NULL, 1, N, 0);
        double m = 0, v = 0;
        for (int i = 0; i < N; i++) m += x[i] / (double)N;
        for (int i = 0; i < N; i++) v += (x[i] - m) * (x[i] - m) / N;
        for (int i = 0; i < N; i++) assert_true(fabs(y[i] - (x[i] - m) / sqrt(v)) < 3e-5 + rounding(y[i]));
        stream_free(s);
        free(x);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equals_the_definition_and_no_thread_changes_a_bit),
        cmocka_unit_test(rows_alone_have_the_same_bits),
        cmocka_unit_test(works_in_place_and_without_statistics),
        cmocka_unit_test(a_mean_far_from_zero_costs_no_accuracy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
