/* Weights and tables of another dtype than what is computed in: every pair of them gives what the same numbers give in
 * the other dtype. The numbers are such that every dtype has them, so what differs is the order of sums at most. */
#include "tests/kernels/kernel_test.h"

/* Sizes with an edge everywhere; one that the products take in parts of k, one for the few rows of generation. */
typedef struct Shape { int64_t rows, in, out; } Shape;
static const Shape shapes[] = {{5, 33, 70}, {70, 24, 40}, {0, 3, 5}, {3, 5, 1}, {12, 1100, 24}};

enum { LABELS = 70 };

/* Multiples of 1/64 in [-1, 1]. */
static float *simple(int64_t n, uint64_t seed)
{
    float *x = malloc((size_t)n * sizeof *x + 1);
    assert_non_null(x);
    for (int64_t i = 0; i < n; i++) x[i] = (float)((int)(next_random(&seed) >> 40) % 65) / 64;
    return x;
}

static void *converted(Dtype to, Dtype from, const void *x, int64_t n)
{
    void *y = malloc((size_t)n * dtype_bytes(to) + (n == 0)); /* exactly that size */
    assert_non_null(y);
    Stream *s = stream_new_cpu(1);
    const Kernels *k;
    for (EACH_ISA(k)) k->convert(s, to, y, from, x, n); /* the same bits from each */
    stream_sync(s);
    stream_free(s);
    return y;
}

static void *in_dtype(Dtype dtype, const float *x, int64_t n) { return converted(dtype, DTYPE_F32, x, n); }
static float *in_f32(Dtype dtype, const void *x, int64_t n) { return converted(DTYPE_F32, dtype, x, n); }

static double unit(Dtype dtype) { return dtype == DTYPE_BF16 ? 0x1p-8 : dtype == DTYPE_F16 ? 0x1p-11 : 0; }

/* Both rounded once from sums that differ in their last bits. */
static void assert_near(const char *what, Dtype dtype, Dtype wdtype, const void *have, const void *want, int64_t n,
                        double tolerance)
{
    float *x = in_f32(dtype, have, n), *y = in_f32(dtype, want, n);
    for (int64_t i = 0; i < n; i++)
        if (!(fabs(x[i] - y[i]) <= tolerance * (1 + fabs(y[i])) + 2 * unit(dtype) * fabs(y[i])))
            fail_msg("%s, %s by %s: element %lld of %lld is %.9g, not %.9g", what, dtype_name(dtype),
                     dtype_name(wdtype), (long long)i, (long long)n, (double)x[i], (double)y[i]);
    free(x), free(y);
}

/* What a call reads, and room for what it writes. */
typedef struct Place {
    const Kernels *k;
    Stream *s;
    Dtype d, w;
    Shape h;
    void *x, *dy, *weight, *same, *bias; /* weight in w, same in d */
    void *y[2], *pre[2];
    float *loss[2];
    int64_t wide; /* elements of y, pre */
} Place;

static Place place_new(const Kernels *k, Stream *s, Dtype d, Dtype w, Shape h)
{
    int64_t wide = h.rows * (h.in > h.out ? h.in : h.out);
    float *x = simple(h.rows * h.in, 1), *dy = simple(h.rows * h.out, 2), *weight = simple(h.in * h.out, 3),
          *bias = simple(h.out, 4), *before = simple(wide, 5);
    Place p = {.k = k, .s = s, .d = d, .w = w, .h = h, .wide = wide};
    p.x = in_dtype(d, x, h.rows * h.in), p.dy = in_dtype(d, dy, h.rows * h.out);
    p.weight = in_dtype(w, weight, h.in * h.out), p.same = in_dtype(d, weight, h.in * h.out);
    p.bias = in_dtype(d, bias, h.out);
    for (int i = 0; i < 2; i++)
        p.y[i] = in_dtype(d, before, wide), p.pre[i] = in_dtype(d, before, wide), p.loss[i] = rubbish(h.rows);
    free(x), free(dy), free(weight), free(bias), free(before);
    return p;
}

static void place_free(Place *p)
{
    free(p->x), free(p->dy), free(p->weight), free(p->same), free(p->bias);
    for (int i = 0; i < 2; i++) free(p->y[i]), free(p->pre[i]), free(p->loss[i]);
}

static void check_linear(Place *p, WeightLayout layout, Activation act)
{
    const Shape *h = &p->h;
    int64_t n = h->rows * h->out;
    double tolerance = 1e-6 * (double)(h->in + h->out);
    for (int i = 0; i < 2; i++)
        p->k->linear_forward(p->s, p->d, i ? p->d : p->w, p->y[i], p->pre[i], p->x, i ? p->same : p->weight, p->bias,
                             h->rows, h->in, h->out, layout, act);
    assert_near("pre", p->d, p->w, p->pre[0], p->pre[1], n, tolerance);
    assert_near("y", p->d, p->w, p->y[0], p->y[1], n, 2 * tolerance + 2 * unit(p->d));
    for (int i = 0; i < 2 && p->k->linear_forward_alone; i++)
        p->k->linear_forward_alone(p->s, p->d, i ? p->d : p->w, p->y[i], NULL, p->x, i ? p->same : p->weight, p->bias,
                                   h->rows, h->in, h->out, layout, ACT_RELU);
    assert_near("alone", p->d, p->w, p->y[0], p->y[1], n, tolerance);
    for (int add = 0; add < 2; add++) {
        for (int i = 0; i < 2; i++)
            p->k->linear_backward_input(p->s, p->d, i ? p->d : p->w, p->y[i], p->dy, i ? p->same : p->weight, h->rows,
                                        h->in, h->out, layout, add);
        assert_near("dx", p->d, p->w, p->y[0], p->y[1], h->rows * h->in, (1 + add) * (tolerance + 4 * unit(p->d)));
    }
}

/* Vocabulary: out. */
static void check_loss(Place *p, bool gradient)
{
    const Shape *h = &p->h;
    int32_t labels[LABELS];
    assert_true(h->rows <= LABELS);
    for (int64_t i = 0; i < h->rows; i++) labels[i] = i % 3 == 1 ? -100 : (int32_t)(i * 7 % h->out);
    for (int i = 0; i < 2; i++)
        p->k->linear_cross_entropy(p->s, p->d, i ? p->d : p->w, p->loss[i], gradient ? p->y[i] : NULL, NULL, p->x,
                                   i ? p->same : p->weight, labels, h->rows, h->in, h->out, 1, 0.1f, 0, 0, false);
    assert_near("loss", DTYPE_F32, p->w, p->loss[0], p->loss[1], h->rows, 1e-5 * (1 + sqrt((double)h->in)));
    if (gradient)
        assert_near("dx of the loss", p->d, p->w, p->y[0], p->y[1], h->rows * h->in,
                    1e-5 * (1 + sqrt((double)h->in)) + 3 * unit(p->d));
}

/* The weight is a table of `in` rows. */
static void check_embedding(Place *p)
{
    const Shape *h = &p->h;
    int32_t ids[LABELS];
    for (int64_t i = 0; i < h->rows; i++) ids[i] = (int32_t)(i * 5 % h->in);
    for (int add = 0; add < 2; add++) {
        for (int i = 0; i < 2; i++)
            p->k->embedding_forward(p->s, p->d, i ? p->d : p->w, p->y[i], i ? p->same : p->weight, ids, h->rows, h->out,
                                    add);
        float *x = in_f32(p->d, p->y[0], h->rows * h->out), *y = in_f32(p->d, p->y[1], h->rows * h->out);
        assert_same_bits("rows of a table", x, y, h->rows * h->out);
        free(x), free(y);
    }
}

static void every_pair_gives_what_one_dtype_gives(void **state)
{
    const Kernels *k;
    (void)state;
    for (int threads = 1; threads <= 3; threads += 2) {
        Stream *s = stream_new_cpu(threads);
        for (EACH_ISA(k))
            for (size_t i = 0; i < COUNT(shapes); i++)
                for (Dtype d = DTYPE_F32; d <= DTYPE_F16; d++)
                    for (Dtype w = DTYPE_F32; w <= DTYPE_F16; w++) {
                        if (d == DTYPE_F16 && HONE_TEST_WITHOUT_F16) continue;
                        Place p = place_new(k, s, d, w, shapes[i]);
                        check_linear(&p, OUT_IN, i % 2 ? ACT_NONE : ACT_GELU_TANH);
                        check_linear(&p, IN_OUT, i % 2 ? ACT_SILU : ACT_NONE);
                        check_loss(&p, true), check_loss(&p, false);
                        check_embedding(&p);
                        assert_false(stream_failed(s));
                        place_free(&p);
                    }
        stream_free(s);
    }
}

static void generation_gives_a_row_its_bits_alone(void **state)
{
    const Kernels *k;
    (void)state;
    Stream *s = stream_new_cpu(2);
    for (EACH_ISA(k)) {
        for (Dtype d = DTYPE_F32; d <= DTYPE_BF16; d++) {
            Place p = place_new(k, s, d, d == DTYPE_F32 ? DTYPE_BF16 : DTYPE_F32, shapes[4]);
            const Shape *h = &p.h;
            size_t x_row = (size_t)h->in * dtype_bytes(d), y_row = (size_t)h->out * dtype_bytes(d);
            k->linear_forward_alone(s, d, p.w, p.y[0], NULL, p.x, p.weight, p.bias, h->rows, h->in, h->out, OUT_IN,
                                    ACT_NONE);
            for (int64_t r = 0; r < h->rows; r += 3) {
                k->linear_forward_alone(s, d, p.w, p.y[1], NULL, (char *)p.x + (size_t)r * x_row, p.weight, p.bias, 1,
                                        h->in, h->out, OUT_IN, ACT_NONE);
                assert_memory_equal(p.y[1], (char *)p.y[0] + (size_t)r * y_row, y_row);
            }
            place_free(&p);
        }
    }
    stream_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_pair_gives_what_one_dtype_gives),
        cmocka_unit_test(generation_gives_a_row_its_bits_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
