/* kernels/cpu/convert.c against definitions: the value of every 16-bit number, and the nearest of them (even at a tie)
 * for many floats. */
#include "tests/kernels/kernel_test.h"

/* The value of a number with `mantissa` bits after `exponent` bits and a sign. */
static double value_of(uint16_t h, int exponent, int mantissa)
{
    int bias = (1 << (exponent - 1)) - 1, e = h >> mantissa & ((1 << exponent) - 1), m = h & ((1 << mantissa) - 1);
    double sign = h & 0x8000 ? -1 : 1;
    if (e == (1 << exponent) - 1) return m ? (double)NAN : sign * (double)INFINITY;
    return sign * (e ? ldexp((1 << mantissa) + m, e - bias - mantissa) : ldexp(m, 1 - bias - mantissa));
}

static double f16_value(uint16_t h) { return value_of(h, 5, 10); }
static double bf16_value(uint16_t h) { return value_of(h, 8, 7); }

typedef struct Format { Dtype dtype; double (*value)(uint16_t h); uint16_t infinity; double overflow; } Format;
static const Format formats[] = {{DTYPE_F16, f16_value, 0x7C00, 65520.0}, {DTYPE_BF16, bf16_value, 0x7F80, 0x1.ffp127}};

/* By bisection over the ordered magnitudes, then to even. */
static uint16_t nearest(const Format *f, float x)
{
    double magnitude = fabs((double)x);
    uint16_t sign = signbit(x) ? 0x8000 : 0, low = 0, high = f->infinity;
    if (magnitude >= f->overflow) return sign | f->infinity; /* at half a step beyond the largest */
    while (high - low > 1) {
        uint16_t middle = (uint16_t)((low + high) / 2);
        if (f->value(middle) <= magnitude) low = middle;
        else high = middle;
    }
    if (high == f->infinity) return sign | low;
    double down = magnitude - f->value(low), up = f->value(high) - magnitude;
    return sign | (down < up || (down == up && !(low & 1)) ? low : high);
}

static void every_16_bit_number_widens_to_its_value_and_back(void **state)
{
    (void)state;
    static uint16_t all[65536], back[65536];
    static float wide[65536];
    for (int i = 0; i < 65536; i++) all[i] = (uint16_t)i;
    const Kernels *k;
    Stream *s = stream_new_cpu(2);
    for (EACH_ISA(k))
        for (size_t f = 0; f < COUNT(formats); f++) {
            k->convert(s, DTYPE_F32, wide, formats[f].dtype, all, 65536);
            k->convert(s, formats[f].dtype, back, DTYPE_F32, wide, 65536);
            for (int i = 0; i < 65536; i++) {
                double want = formats[f].value((uint16_t)i);
                if (isnan(want)) assert_true(isnan(wide[i]) && isnan(formats[f].value(back[i])));
                else assert_true(wide[i] == want && !signbit(wide[i]) == !signbit(want) && back[i] == i);
            }
        }
    stream_free(s);
}

static void narrowing_is_to_the_nearest_and_even_at_a_tie(void **state)
{
    (void)state;
    enum { N = 200001 };
    float *x = malloc(N * sizeof *x);
    uint16_t *y = malloc(N * sizeof *y);
    uint64_t seed = 5;
    for (int i = 0; i < N; i++) { /* any bits; near f16's range; exact ties of both formats */
        uint32_t u = (uint32_t)next_random(&seed);
        if (i % 4 == 1) u = (u & 0x8FFFFFFF) | 0x30000000;
        if (i % 4 == 2) u = (u & 0xFFFFE000) | 0x1000;
        if (i % 4 == 3) u = (u & 0xFFFF0000) | 0x8000;
        memcpy(x + i, &u, sizeof u);
    }
    const float edges[] = {65504,      65519.99f,  65520,     65536,        0x1p-24f,        0x1p-25f,
                           0x1.8p-25f, 0x1.8p-24f, 0x1p-14f,  0x1.ffcp-15f, 0x1.fffffep127f, 0,
                           -0.0f,      INFINITY,   -INFINITY, 0x1p-149f,    -0x1p-126f};
    memcpy(x, edges, sizeof edges);
    const Kernels *k;
    Stream *s = stream_new_cpu(2);
    for (EACH_ISA(k))
        for (size_t f = 0; f < COUNT(formats); f++) {
            k->convert(s, formats[f].dtype, y, DTYPE_F32, x, N);
            for (int i = 0; i < N; i++) {
                if (isnan(x[i])) assert_true(isnan(formats[f].value(y[i])));
                else if (y[i] != nearest(&formats[f], x[i]))
                    fail_msg("%s %s: %a gives %04x, not %04x", k->name, dtype_name(formats[f].dtype), (double)x[i],
                             y[i], nearest(&formats[f], x[i]));
            }
        }
    stream_free(s);
    free(x), free(y);
}

static void between_16_bit_formats_and_odd_sizes(void **state)
{
    (void)state;
    const int64_t sizes[] = {0, 1, 7, 13, 1025, 40001};
    const Kernels *k;
    for (EACH_ISA(k)) {
        Stream *s = stream_new_cpu(3);
        for (size_t i = 0; i < COUNT(sizes); i++) {
            int64_t n = sizes[i];
            uint16_t *a = malloc((size_t)n * 2 + 1), *b = malloc((size_t)n * 2 + 1);
            float *x = numbers(n, 3), *y = rubbish(n);
            k->convert(s, DTYPE_BF16, a, DTYPE_F32, x, n);
            k->convert(s, DTYPE_F16, b, DTYPE_BF16, a, n);
            for (int64_t j = 0; j < n; j++) assert_int_equal(b[j], nearest(&formats[0], (float)bf16_value(a[j])));
            k->convert(s, DTYPE_BF16, a, DTYPE_F16, b, n);
            for (int64_t j = 0; j < n; j++) assert_int_equal(a[j], nearest(&formats[1], (float)f16_value(b[j])));
            k->convert(s, DTYPE_F32, y, DTYPE_F32, x, n);
            assert_same_bits("same type", y, x, n);
            free(a), free(b), free(x), free(y);
        }
        stream_free(s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_16_bit_number_widens_to_its_value_and_back),
        cmocka_unit_test(narrowing_is_to_the_nearest_and_even_at_a_tie),
        cmocka_unit_test(between_16_bit_formats_and_odd_sizes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
