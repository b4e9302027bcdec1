/* RMS norm against the definition in double. */
#include "tests/kernels/kernel_test.h"

typedef struct Case { int64_t rows, hidden; float offset; bool accumulate_dx, accumulate_params; } Case;

static const Case cases[] = {
    {0, 13, 0, false, false}, {1, 1, 0, false, false}, {5, 13, 1, true, false},  {13, 33, 0, false, true},
    {33, 130, 1, true, true}, {70, 96, 0, false, false}, {65, 1, 1, true, true}, {130, 300, 0, false, true},
};

typedef struct Data { float *x, *dy, *weight, *dx, *dweight; } Data; /* dx, dweight: what is there to add to */
typedef struct Results { float *y, *rstd, *dx, *dweight; } Results;
typedef struct Want { double *y, *rstd, *dx, *dweight; } Want;

static const float eps = 1e-5f;

static Data data_of(const Case *c)
{
    int64_t n = c->rows * c->hidden;
    return (Data){numbers(n, 1), numbers(n, 2), numbers(c->hidden, 3), numbers(n, 5), numbers(c->hidden, 6)};
}

static void data_free(Data d) { free(d.x), free(d.dy), free(d.weight), free(d.dx), free(d.dweight); }

static Want reference(const Case *c, const Data *d)
{
    int64_t n = c->hidden;
    Want w = {zeros(c->rows * n), zeros(c->rows), zeros(c->rows * n), zeros(n)};
    for (int64_t i = 0; i < n && c->accumulate_params; i++) w.dweight[i] = d->dweight[i];
    for (int64_t r = 0; r < c->rows; r++) {
        const float *x = d->x + r * n, *dy = d->dy + r * n;
        double squares = 0, gx_sum = 0;
        for (int64_t i = 0; i < n; i++) squares += (double)x[i] * x[i] / (double)n;
        double rstd = w.rstd[r] = 1 / sqrt(squares + eps);
        for (int64_t i = 0; i < n; i++) {
            double weight = (double)d->weight[i] + c->offset;
            w.y[r * n + i] = x[i] * rstd * weight;
            w.dweight[i] += dy[i] * x[i] * rstd, gx_sum += dy[i] * weight * x[i] * rstd;
        }
        for (int64_t i = 0; i < n; i++)
            w.dx[r * n + i] = rstd * (dy[i] * ((double)d->weight[i] + c->offset) - x[i] * rstd * gx_sum / (double)n) +
                              (c->accumulate_dx ? d->dx[r * n + i] : 0);
    }
    return w;
}

static Results run(const Kernels *k, int threads, const Case *c, const Data *d)
{
    int64_t n = c->rows * c->hidden;
    Results r = {rubbish(n), rubbish(c->rows), c->accumulate_dx ? copy_of(d->dx, n) : rubbish(n),
                 c->accumulate_params ? copy_of(d->dweight, c->hidden) : rubbish(c->hidden)};
    Stream *s = stream_new_cpu(threads);
    k->rms_norm_forward(s, DTYPE_F32, r.y, r.rstd, d->x, d->weight, c->rows, c->hidden, eps, c->offset);
    k->rms_norm_backward(s, DTYPE_F32, r.dx, r.dweight, d->dy, d->x, r.rstd, d->weight, c->rows, c->hidden, c->offset,
                         c->accumulate_dx, c->accumulate_params);
    stream_free(s);
    return r;
}

static void results_free(Results r) { free(r.y), free(r.rstd), free(r.dx), free(r.dweight); }

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
            assert_close("y", one.y, w.y, n, 1e-6);
            assert_close_f32("rstd", one.rstd, w.rstd, c->rows, 1e-6);
            assert_close("dx", one.dx, w.dx, n, 3e-6);
            assert_close_f32("dweight", one.dweight, w.dweight, c->hidden, 3e-6);
            for (int threads = 2; threads <= 3; threads++) {
                Results more = run(k, threads, c, &d);
                assert_same_bits("y", more.y, one.y, n);
                assert_same_bits("dx", more.dx, one.dx, n);
                assert_same_bits("dweight", more.dweight, one.dweight, c->hidden);
                results_free(more);
            }
            results_free(one);
        }
        data_free(d);
        free(w.y), free(w.rstd), free(w.dx), free(w.dweight);
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
        k->rms_norm_forward(s, DTYPE_F32, x, NULL, x, d.weight, c.rows, c.hidden, eps, c.offset);
        k->rms_norm_backward(s, DTYPE_F32, dy, d.dweight, dy, d.x, r.rstd, d.weight, c.rows, c.hidden, c.offset, false,
                             false);
        assert_same_bits("y in place", x, r.y, n);
        assert_same_bits("dx in place", dy, r.dx, n);
        stream_free(s);
        free(x), free(dy), results_free(r);
    }
    data_free(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equals_the_definition_and_no_thread_changes_a_bit),
        cmocka_unit_test(rows_alone_have_the_same_bits),
        cmocka_unit_test(works_in_place_and_without_statistics),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
