/* The generator against torch's own numbers (trainer_semantics, 2.1; torch 2.15). */
#include "trainer/data/random.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void words_are_the_reference_s(void **state)
{
    (void)state;
    static const uint32_t expected[] = {1608637542u, 3421126067u, 4083286876u, 787846414u, 3143890026u};
    Mt19937 g;
    mt19937_seed(&g, 42);
    for (int i = 0; i < 5; i++) assert_int_equal(mt19937_u32(&g), expected[i]);
    mt19937_seed(&g, 42);
    assert_true(mt19937_u64(&g) == ((uint64_t)1608637542u << 32 | 3421126067u));
}

static void only_the_low_word_of_the_seed_counts(void **state)
{
    (void)state;
    Mt19937 a, b;
    mt19937_seed(&a, 7);
    mt19937_seed(&b, 7 + (UINT64_C(5) << 32));
    for (int i = 0; i < 2000; i++) assert_int_equal(mt19937_u32(&a), mt19937_u32(&b)); /* over three regenerations */
}

static void uniforms_are_the_reference_s(void **state)
{
    (void)state;
    static const double expected[] = {.8822692632675171, .9150039553642273, .38286375999450684, .9593056440353394};
    Mt19937 g;
    mt19937_seed(&g, 42);
    for (int i = 0; i < 4; i++) assert_true((double)mt19937_uniform(&g) == expected[i]);
    mt19937_seed(&g, 42);
    assert_true(mt19937_uniform64(&g) == 0.05815448596142969);
    assert_true(mt19937_uniform64(&g) == 0.06291016742457756);
}

static void normals_are_the_reference_s(void **state)
{
    (void)state;
    static const double many[] = {1.9269152879714966, 1.4872840642929077, 0.9007171988487244, -2.1055209636688232};
    static const double few[] = {0.33669036626815796, 0.12880940735340118, 0.23446236550807953};
    /* torch.manual_seed(42); torch.randn(19): the last 16 are drawn again */
    static const double odd[] = {1.9269152879714966, 1.4872840642929077, 0.9007171988487244, 0.439589262008667,
                                 -0.7581311464309692, 1.078317642211914, 0.8008005619049072, 1.680620551109314,
                                 0.3558599054813385, -0.6866229772567749, -0.4933563470840454, 1.334737777709961,
                                 -0.2316243201494217, 0.041759490966796875, -0.2515752911567688, 0.859858512878418,
                                 -0.3097267746925354, -0.3957104980945587, 0.8034093379974365};
    float x[19];
    Mt19937 g;
    mt19937_seed(&g, 42);
    mt19937_normal(&g, x, 16, 0, 1);
    for (int i = 0; i < 4; i++) assert_true(fabs((double)x[i] - many[i]) < 3e-7);
    mt19937_seed(&g, 42);
    mt19937_normal(&g, x, 3, 0, 1);
    for (int i = 0; i < 3; i++) assert_true(fabs((double)x[i] - few[i]) < 2e-8);
    mt19937_seed(&g, 42);
    mt19937_normal(&g, x, 19, 0, 1);
    for (int i = 0; i < 19; i++) assert_true(fabs((double)x[i] - odd[i]) < 3e-7);
    mt19937_seed(&g, 42);
    mt19937_normal(&g, x, 16, 10, 2);
    for (int i = 0; i < 4; i++) assert_true(fabs((double)x[i] - (10 + 2 * many[i])) < 2e-6);
}

/* n = 3 in two draws: the second of a pair waits in the generator. */
static void a_pair_s_second_normal_survives_the_call(void **state)
{
    (void)state;
    float whole[3], parts[3];
    Mt19937 g;
    mt19937_seed(&g, 42);
    mt19937_normal(&g, whole, 3, 0, 1);
    mt19937_seed(&g, 42);
    mt19937_normal(&g, parts, 1, 0, 1);
    mt19937_normal(&g, parts + 1, 2, 0, 1);
    for (int i = 0; i < 3; i++) assert_true(whole[i] == parts[i]);
}

static void permutations_are_the_reference_s(void **state)
{
    (void)state;
    static const struct {
        uint64_t seed;
        int skip, n, order[16];
    } cases[] = {
        {42, 0, 10, {2, 6, 1, 8, 4, 5, 0, 9, 3, 7}},  {43, 0, 10, {8, 4, 9, 0, 5, 1, 6, 7, 2, 3}},
        {44, 0, 10, {2, 6, 3, 8, 7, 9, 1, 4, 5, 0}},  {0, 0, 10, {4, 1, 7, 5, 3, 9, 0, 8, 6, 2}},
        {1234, 0, 16, {15, 7, 2, 0, 12, 8, 5, 13, 3, 11, 1, 4, 14, 9, 6, 10}},
        {42, 1, 6, {4, 5, 0, 1, 2, 3}},
    };
    for (size_t c = 0; c < sizeof cases / sizeof cases[0]; c++) {
        int64_t order[16];
        Mt19937 g;
        mt19937_seed(&g, cases[c].seed);
        if (cases[c].skip) mt19937_u64(&g);
        mt19937_permutation(&g, order, cases[c].n);
        for (int i = 0; i < cases[c].n; i++) assert_int_equal(order[i], cases[c].order[i]);
    }
}

static void a_permutation_of_nothing_writes_nothing(void **state)
{
    (void)state;
    int64_t order[1] = {77};
    Mt19937 g;
    mt19937_seed(&g, 1);
    mt19937_permutation(&g, order, 0);
    assert_int_equal(order[0], 77);
    mt19937_permutation(&g, order, 1);
    assert_int_equal(order[0], 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_are_the_reference_s),
        cmocka_unit_test(only_the_low_word_of_the_seed_counts),
        cmocka_unit_test(uniforms_are_the_reference_s),
        cmocka_unit_test(normals_are_the_reference_s),
        cmocka_unit_test(a_pair_s_second_normal_survives_the_call),
        cmocka_unit_test(permutations_are_the_reference_s),
        cmocka_unit_test(a_permutation_of_nothing_writes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
