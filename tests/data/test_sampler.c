/* Step counts, order and splitting against the reference's (trainer_semantics, 1, 2, 3, 10). */
#include "trainer/data/sampler.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static SamplerConfig config(int64_t n, int batch, int accumulation, int world)
{
    return (SamplerConfig){.n = n, .batch = batch, .accumulation = accumulation, .world = world, .even_batches = true,
                           .seed = 42};
}

static Sampler *made(const SamplerConfig *c)
{
    Sampler *s = NULL;
    assert_int_equal(sampler_new(c, &s), OK);
    return s;
}

static void assert_micro(const UpdatePlan *p, int i, int count, const int *index, const int *ordinal)
{
    assert_true(i < p->count);
    assert_int_equal(p->micro[i].count, count);
    for (int b = 0; b < count; b++) {
        assert_int_equal(p->micro[i].index[b], index[b]);
        assert_int_equal(p->micro[i].ordinal[b], ordinal[b]);
    }
}

static void step_counts_are_the_reference_s(void **state)
{
    (void)state;
    SamplerConfig c = config(22, 4, 2, 1);
    int64_t epochs;
    assert_int_equal(sampler_micro_per_epoch(&c), 6);
    assert_int_equal(sampler_updates_per_epoch(&c), 3);
    assert_int_equal(sampler_total_updates(&c, 1.5, -1, &epochs), 5);
    assert_int_equal(epochs, 2);
    assert_int_equal(sampler_total_updates(&c, 3, 7, &epochs), 7); /* max_steps wins */
    assert_int_equal(epochs, 3);
    c.drop_last = true;
    assert_int_equal(sampler_micro_per_epoch(&c), 5);
    c = config(22, 4, 1, 2);
    assert_int_equal(sampler_micro_per_epoch(&c), 3);
    c = config(22, 4, 2, 2);
    c.drop_last = true;
    assert_int_equal(sampler_micro_per_epoch(&c), 2);
    assert_int_equal(sampler_updates_per_epoch(&c), 1);
    c = config(3, 4, 8, 1);
    assert_int_equal(sampler_updates_per_epoch(&c), 1);
}

static void epochs_after_updates_are_the_reference_s(void **state)
{
    (void)state;
    SamplerConfig c = config(6, 2, 2, 1); /* L = 3, U = 2: the second update has one micro-batch */
    assert_true(sampler_epoch_after(&c, 0) == 0);
    assert_true(sampler_epoch_after(&c, 1) == 2.0 / 3.0);
    assert_true(sampler_epoch_after(&c, 2) == 1);
    assert_true(sampler_epoch_after(&c, 3) == 1.6666666666666665);
    assert_true(sampler_ends_epoch(&c, 2) && sampler_ends_epoch(&c, 4));
    assert_true(!sampler_ends_epoch(&c, 0) && !sampler_ends_epoch(&c, 3));
}

/* n = 22, B = 4: accelerate's split over two ranks, the last round completed from the start. */
static void two_ranks_share_out_batches_as_the_reference_does(void **state)
{
    (void)state;
    static const int expected[2][3][4] = {{{6, 3, 18, 17}, {8, 16, 20, 7}, {14, 15, 9, 10}},
                                          {{4, 11, 2, 21}, {12, 13, 5, 1}, {0, 19, 6, 3}}};
    SamplerConfig c = config(22, 4, 1, 2);
    Sampler *s = made(&c);
    for (int rank = 0; rank < 2; rank++)
        for (int64_t u = 0; u < 3; u++) {
            const int ordinals[4] = {4 * rank, 4 * rank + 1, 4 * rank + 2, 4 * rank + 3};
            UpdatePlan p;
            assert_int_equal(sampler_update(s, u, rank, &p), OK);
            assert_int_equal(p.count, 1);
            assert_int_equal(p.samples, 8);
            assert_int_equal(p.update, u);
            assert_int_equal(p.epoch, 0);
            assert_micro(&p, 0, 4, expected[rank][u], ordinals);
        }
    sampler_free(s);
}

static void one_rank_s_last_batch_stays_short(void **state)
{
    (void)state;
    static const int first[] = {2, 6, 1, 8}, second[] = {4, 5, 0, 9}, third[] = {3, 7};
    static const int zero[] = {0, 1, 2, 3}, four[] = {4, 5, 6, 7};
    SamplerConfig c = config(10, 4, 2, 1);
    Sampler *s = made(&c);
    UpdatePlan p;
    assert_int_equal(sampler_update(s, 0, 0, &p), OK);
    assert_int_equal(p.count, 2);
    assert_int_equal(p.samples, 8);
    assert_micro(&p, 0, 4, first, zero);
    assert_micro(&p, 1, 4, second, four);
    assert_int_equal(sampler_update(s, 1, 0, &p), OK);
    assert_int_equal(p.count, 1); /* L mod G */
    assert_int_equal(p.samples, 2);
    assert_micro(&p, 0, 2, third, zero);
    sampler_free(s);
}

static void a_later_epoch_has_its_own_order_and_any_update_can_be_asked_for(void **state)
{
    (void)state;
    static const int epoch1[] = {8, 4, 9, 0}, epoch2[] = {2, 6, 3, 8}, zero[] = {0, 1, 2, 3};
    SamplerConfig c = config(10, 4, 1, 1);
    Sampler *s = made(&c);
    UpdatePlan p;
    assert_int_equal(sampler_update(s, 6, 0, &p), OK); /* resumed there */
    assert_int_equal(p.epoch, 2);
    assert_micro(&p, 0, 4, epoch2, zero);
    assert_int_equal(sampler_update(s, 3, 0, &p), OK);
    assert_micro(&p, 0, 4, epoch1, zero);
    sampler_free(s);

    c.skip = 2; /* ignore_data_skip at update 5 = epoch 1's third: the epoch begins again */
    s = made(&c);
    assert_int_equal(sampler_update(s, 5, 0, &p), OK);
    assert_int_equal(p.update, 5);
    assert_int_equal(p.epoch, 1);
    assert_micro(&p, 0, 4, epoch1, zero);
    assert_true(sampler_epoch_after(&c, 6) == 1 + 1.0 / 3.0);
    assert_true(sampler_ends_epoch(&c, 8));
    assert_int_equal(sampler_update(s, 1, 0, &p), STATUS_BUG);
    sampler_free(s);
}

static void fewer_examples_than_a_round_go_round_and_round(void **state)
{
    (void)state;
    static const int order[3] = {0, 1, 2};
    SamplerConfig c = config(3, 4, 1, 3);
    c.strategy = SAMPLER_SEQUENTIAL;
    Sampler *s = made(&c);
    assert_int_equal(sampler_micro_per_epoch(&c), 1);
    for (int rank = 0; rank < 3; rank++) {
        UpdatePlan p;
        assert_int_equal(sampler_update(s, 0, rank, &p), OK);
        assert_int_equal(p.samples, 12);
        assert_int_equal(p.micro[0].count, 4);
        for (int b = 0; b < 4; b++) assert_int_equal(p.micro[0].index[b], order[(rank * 4 + b) % 3]);
    }
    sampler_free(s);
}

static void without_even_batches_a_rank_may_have_less_or_nothing(void **state)
{
    (void)state;
    SamplerConfig c = config(9, 4, 1, 4);
    c.even_batches = false;
    c.strategy = SAMPLER_SEQUENTIAL;
    Sampler *s = made(&c);
    static const int counts[] = {4, 4, 1, 0};
    for (int rank = 0; rank < 4; rank++) {
        UpdatePlan p;
        assert_int_equal(sampler_update(s, 0, rank, &p), OK);
        assert_int_equal(p.count, 1);
        assert_int_equal(p.samples, 9);
        assert_int_equal(p.micro[0].count, counts[rank]);
    }
    sampler_free(s);
}

static void drop_last_throws_an_incomplete_round_away(void **state)
{
    (void)state;
    SamplerConfig c = config(22, 4, 2, 2);
    c.drop_last = true;
    Sampler *s = made(&c);
    UpdatePlan p;
    assert_int_equal(sampler_update(s, 0, 1, &p), OK);
    assert_int_equal(p.count, 2);
    assert_int_equal(p.samples, 16);
    assert_int_equal(sampler_update(s, 1, 1, &p), OK);
    assert_int_equal(p.epoch, 1);
    sampler_free(s);
}

static void lengths_are_grouped_as_the_reference_does(void **state)
{
    (void)state;
    /* transformers' get_length_grouped_indices, manual_seed(42), one random_() before each epoch; unit 2 */
    static const int expected[2][40] = {
        {24, 9, 20, 5, 25, 36, 6, 4, 30, 26, 11, 35, 33, 31, 3, 27, 14, 17, 13, 39, 22, 7, 18, 16, 29, 12, 34, 19, 15,
         28, 37, 1, 38, 23, 10, 8, 21, 32, 2, 0},
        {11, 37, 9, 7, 31, 38, 25, 28, 39, 26, 24, 20, 18, 3, 14, 1, 23, 21, 19, 13, 35, 33, 5, 27, 12, 8, 6, 32, 4, 15,
         22, 29, 16, 10, 36, 34, 30, 17, 2, 0}};
    int64_t lengths[40];
    for (int i = 0; i < 40; i++) lengths[i] = i * 7 % 13 + 1;
    SamplerConfig c = config(40, 1, 2, 1);
    c.strategy = SAMPLER_GROUP_BY_LENGTH;
    c.lengths = lengths;
    Sampler *s = made(&c);
    for (int u = 0; u < 40; u++) {
        UpdatePlan p;
        assert_int_equal(sampler_update(s, u, 0, &p), OK);
        for (int m = 0; m < 2; m++)
            assert_int_equal(p.micro[m].index[0], expected[u / 20][u % 20 * 2 + m]);
    }
    sampler_free(s);
}

/* All splits of updates of 6 samples: ordinal o of update u is the same example everywhere, and nobody has it twice. */
static void granular_updates_are_the_same_samples_for_every_split(void **state)
{
    (void)state;
    static const int splits[][3] = {{6, 1, 1}, {1, 6, 1}, {1, 1, 6}, {3, 2, 1}, {1, 3, 2}, {2, 1, 3},
                                    {3, 1, 2}, {1, 2, 3}};
    enum { N = 24, SAMPLES = 6 };
    for (size_t k = 0; k < sizeof splits / sizeof splits[0]; k++) {
        SamplerConfig plain = config(N, SAMPLES, 1, 1), c = config(N, splits[k][0], splits[k][1], splits[k][2]);
        c.granular = true;
        Sampler *s = made(&c), *whole = made(&plain);
        for (int64_t u = 0; u < 2 * N / SAMPLES; u++) {
            int seen[SAMPLES] = {0};
            for (int rank = 0; rank < c.world; rank++) {
                UpdatePlan p, all;
                assert_int_equal(sampler_update(s, u, rank, &p), OK);
                assert_int_equal(sampler_update(whole, u, 0, &all), OK);
                assert_int_equal(p.count, SAMPLES / c.world);
                assert_int_equal(p.samples, SAMPLES);
                for (int i = 0; i < p.count; i++) {
                    assert_int_equal(p.micro[i].count, 1);
                    int ordinal = p.micro[i].ordinal[0];
                    assert_int_equal(ordinal, i * c.world + rank);
                    assert_int_equal(p.micro[i].index[0], all.micro[0].index[ordinal]);
                    seen[ordinal]++;
                }
            }
            for (int o = 0; o < SAMPLES; o++) assert_int_equal(seen[o], 1);
        }
        sampler_free(s);
        sampler_free(whole);
    }
}

static void granular_refuses_updates_that_would_differ(void **state)
{
    (void)state;
    SamplerConfig c = config(22, 4, 2, 1);
    Sampler *s;
    assert_int_equal(sampler_check_granular(&c), STATUS_USAGE);
    assert_non_null(strstr(status_message(), "22"));
    assert_non_null(strstr(status_message(), "max_train_samples: 16"));
    c.granular = true;
    assert_int_equal(sampler_new(&c, &s), STATUS_USAGE);
    c.n = 5;
    assert_int_equal(sampler_check_granular(&c), STATUS_USAGE);
    assert_non_null(strstr(status_message(), "fewer than one update of 8"));
    c.n = 16;
    assert_int_equal(sampler_check_granular(&c), OK);
}

static void wrong_configs_are_errors_that_name_the_numbers(void **state)
{
    (void)state;
    SamplerConfig c = config(0, 4, 1, 1);
    assert_int_equal(sampler_check(&c), STATUS_USAGE);
    c = config(10, 0, 1, 1);
    assert_int_equal(sampler_check(&c), STATUS_USAGE);
    assert_non_null(strstr(status_message(), "per_device_train_batch_size 0"));
    c = config(7, 4, 1, 2);
    c.drop_last = true;
    assert_int_equal(sampler_check(&c), STATUS_USAGE);
    assert_non_null(strstr(status_message(), "dataloader_drop_last"));
    c = config(7, 1 << 20, 1 << 10, 4);
    assert_int_equal(sampler_check(&c), STATUS_USAGE);
}

static void sizes_hold_for_every_update(void **state)
{
    (void)state;
    for (int n = 1; n < 30; n++)
        for (int k = 0; k < 54; k++) {
            SamplerConfig c = config(n, 1 + k % 3, 1 + k / 3 % 3, 1 + k / 9 % 3);
            c.even_batches = k < 27;
            Sampler *s = made(&c);
            int64_t epoch_micro = 0, seen = 0;
            for (int64_t u = 0; u < sampler_updates_per_epoch(&c); u++)
                for (int rank = 0; rank < c.world; rank++) {
                    UpdatePlan p;
                    assert_int_equal(sampler_update(s, u, rank, &p), OK);
                    assert_true(p.samples <= sampler_most_in_update(&c) && p.samples > 0);
                    if (rank == 0) epoch_micro += p.count;
                    for (int i = 0; i < p.count; i++) {
                        assert_true(p.micro[i].count <= sampler_most_in_micro(&c));
                        for (int b = 0; b < p.micro[i].count; b++) assert_true(p.micro[i].ordinal[b] < p.samples);
                        seen += p.micro[i].count;
                    }
                }
            assert_int_equal(epoch_micro, sampler_micro_per_epoch(&c));
            assert_int_equal(seen, c.world > 1 && c.even_batches ? epoch_micro * c.world * c.batch : n);
            sampler_free(s);
        }
}

static void evaluation_counts_every_example_once_whatever_the_ranks(void **state)
{
    (void)state;
    for (int n = 0; n < 23; n++)
        for (int world = 1; world < 5; world++) {
            int seen[23] = {0};
            int64_t batches = 0;
            for (int rank = 0; rank < world; rank++) {
                EvalPlan p = {.n = n, .batch = 4, .world = world, .rank = rank};
                for (int64_t j = 0; j < eval_plan_rank_batches(&p); j++, batches++) {
                    int64_t number, first;
                    int count;
                    eval_plan_batch(&p, j, &number, &first, &count);
                    assert_int_equal(number % world, rank);
                    assert_int_equal(first, number * 4);
                    for (int b = 0; b < count; b++) seen[first + b]++;
                }
                assert_int_equal(eval_plan_batches(&p), (n + 3) / 4);
            }
            assert_int_equal(batches, (n + 3) / 4);
            for (int i = 0; i < n; i++) assert_int_equal(seen[i], 1);
        }
    EvalPlan dropping = {.n = 10, .batch = 4, .world = 1, .drop_last = true};
    assert_int_equal(eval_plan_rank_batches(&dropping), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(step_counts_are_the_reference_s),
        cmocka_unit_test(epochs_after_updates_are_the_reference_s),
        cmocka_unit_test(two_ranks_share_out_batches_as_the_reference_does),
        cmocka_unit_test(one_rank_s_last_batch_stays_short),
        cmocka_unit_test(a_later_epoch_has_its_own_order_and_any_update_can_be_asked_for),
        cmocka_unit_test(fewer_examples_than_a_round_go_round_and_round),
        cmocka_unit_test(without_even_batches_a_rank_may_have_less_or_nothing),
        cmocka_unit_test(drop_last_throws_an_incomplete_round_away),
        cmocka_unit_test(lengths_are_grouped_as_the_reference_does),
        cmocka_unit_test(granular_updates_are_the_same_samples_for_every_split),
        cmocka_unit_test(granular_refuses_updates_that_would_differ),
        cmocka_unit_test(wrong_configs_are_errors_that_name_the_numbers),
        cmocka_unit_test(sizes_hold_for_every_update),
        cmocka_unit_test(evaluation_counts_every_example_once_whatever_the_ranks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
