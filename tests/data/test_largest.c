/* The largest micro-batches of a run: what a walk over all its batches finds, and bounds where there is no time. */
#include "trainer/data/largest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { N = 61, LONGEST = 40 };

static Arena *arena;

static int setup(void **state)
{
    (void)state;
    return arena_new(&arena) != OK;
}

static int teardown(void **state)
{
    (void)state;
    arena_free(arena);
    return 0;
}

static Dataset *ragged(void)
{
    static int32_t ids[N * LONGEST];
    int64_t lengths[N];
    Dataset *d;
    for (int i = 0; i < N; i++) lengths[i] = i % 7 ? (i * 31 + 5) % 13 : (i * 17 + 3) % LONGEST;
    assert_int_equal(dataset_from_lists(ids, N, lengths, &d), OK);
    return d;
}

static int64_t rows_of(const Dataset *d, const int64_t *index, int count, int64_t *longest)
{
    int64_t rows = 0;
    *longest = 0;
    for (int i = 0; i < count; i++) {
        int64_t n = dataset_length(d, 0, index[i]);
        rows += n;
        if (n > *longest) *longest = n;
    }
    return rows;
}

static void assert_is(const Dataset *d, const MicroBatch *m, int64_t rows, int64_t longest)
{
    int64_t l, r = rows_of(d, m->index, m->count, &l);
    assert_int_equal(m->rows, r);
    assert_int_equal(m->longest, l);
    assert_int_equal(m->rows, rows);
    assert_int_equal(m->longest, longest);
}

/* Among the micro-batches of a rank's updates, found by looking at each. */
static void look(const SamplerConfig *c, const Dataset *d, int rank, int64_t first, int64_t last, int64_t *rows,
                 int64_t *longest)
{
    Sampler *s;
    UpdatePlan plan;
    *rows = *longest = 0;
    assert_int_equal(sampler_new(c, &s), OK);
    for (int64_t u = first; u < last; u++) {
        assert_int_equal(sampler_update(s, u, rank, &plan), OK);
        for (int i = 0; i < plan.count; i++) {
            int64_t l, r = rows_of(d, plan.micro[i].index, plan.micro[i].count, &l);
            if (r > *rows) *rows = r;
            if (l > *longest) *longest = l;
        }
    }
    sampler_free(s);
}

static void a_run_s_largest_are_those_of_all_its_batches(void **state)
{
    (void)state;
    Dataset *d = ragged();
    for (int variant = 0; variant < 8; variant++) {
        bool granular = variant == 7;
        SamplerConfig c = {.n = granular ? 48 : N, .batch = 1 + variant % 4, .accumulation = 1 + variant / 4,
                           .world = 1 + variant % 3, .even_batches = variant % 2, .drop_last = variant == 5,
                           .seed = (uint64_t)variant,
                           .strategy = variant % 3 == 1 ? SAMPLER_SEQUENTIAL : SAMPLER_RANDOM, .granular = granular};
        int64_t updates = 3 * sampler_updates_per_epoch(&c) - 1;
        for (int rank = 0; rank < c.world; rank++)
            for (int64_t first = 0; first < updates; first += updates / 2 + 1) {
                Largest l;
                int64_t rows, longest;
                LargestQuery q = {.dataset = d, .limit_s = 100};
                look(&c, d, rank, first, updates, &rows, &longest);
                assert_int_equal(largest_in_training(&q, &c, rank, first, updates, arena, &l), OK);
                assert_true(l.exact && !l.uniform);
                assert_is(d, &l.most, rows, l.most.longest);
                assert_is(d, &l.long_one, l.long_one.rows, longest);
                assert_true(l.most.count <= sampler_most_in_micro(&c));
                assert_int_equal(largest_is_one(&l), l.most.longest == longest);
            }
    }
    dataset_free(d);
}

static void without_time_it_is_the_longest_examples_together(void **state)
{
    (void)state;
    Dataset *d = ragged();
    SamplerConfig c = {.n = N, .batch = 5, .accumulation = 2, .world = 2, .even_batches = true, .seed = 3};
    LargestQuery q = {.dataset = d, .limit_s = -1};
    Largest l;
    int64_t lengths[N], sum = 0, rows, longest;
    for (int i = 0; i < N; i++) lengths[i] = dataset_length(d, 0, i);
    for (int k = 0; k < 5; k++) {
        int best = 0;
        for (int i = 1; i < N; i++)
            if (lengths[i] > lengths[best]) best = i;
        sum += lengths[best];
        lengths[best] = -1;
    }
    assert_int_equal(largest_in_training(&q, &c, 1, 0, 20, arena, &l), OK);
    assert_false(l.exact);
    assert_is(d, &l.most, sum, dataset_longest(d, 0));
    assert_true(largest_is_one(&l));
    look(&c, d, 1, 0, 20, &rows, &longest);
    assert_true(rows <= sum && longest <= l.most.longest);
    dataset_free(d);
}

static void examples_that_are_alike_are_not_looked_at(void **state)
{
    (void)state;
    static const int32_t ids[6 * 4];
    Dataset *d;
    SamplerConfig c = {.n = 6, .batch = 4, .accumulation = 1, .world = 1, .even_batches = true};
    EvalPlan plan = {.n = 6, .batch = 8, .world = 1};
    Largest l;
    assert_int_equal(dataset_from_ids(ids, 6, 4, &d), OK);
    LargestQuery q = {.dataset = d, .limit_s = -1};
    assert_int_equal(largest_in_training(&q, &c, 0, 0, INT64_MAX, arena, &l), OK);
    assert_true(l.uniform && l.exact && largest_is_one(&l));
    assert_is(d, &l.most, 16, 4);
    assert_int_equal(largest_in_evaluation(&q, &plan, arena, &l), OK);
    assert_true(l.uniform);
    assert_is(d, &l.most, 24, 4);
    dataset_free(d);
}

static int64_t twice(void *context, const Dataset *d, int64_t index)
{
    ++*(int *)context;
    return 2 * dataset_length(d, 0, index);
}

static void an_evaluation_s_largest_and_a_task_s_own_lengths(void **state)
{
    (void)state;
    Dataset *d = ragged();
    int calls = 0;
    LargestQuery q = {.dataset = d, .rows = twice, .context = &calls};
    for (int rank = 0; rank < 3; rank++) {
        EvalPlan plan = {.n = N, .batch = 4, .world = 3, .rank = rank};
        int64_t rows = 0, longest = 0, index[4], number, first;
        Largest l;
        for (int64_t j = 0; j < eval_plan_rank_batches(&plan); j++) {
            int count;
            int64_t one;
            eval_plan_batch(&plan, j, &number, &first, &count);
            for (int b = 0; b < count; b++) index[b] = first + b;
            int64_t r = rows_of(d, index, count, &one);
            rows = r > rows ? r : rows, longest = one > longest ? one : longest;
        }
        assert_int_equal(largest_in_evaluation(&q, &plan, arena, &l), OK);
        assert_true(l.exact && !l.uniform);
        assert_int_equal(l.most.rows, 2 * rows);
        assert_int_equal(l.long_one.longest, 2 * longest);
    }
    assert_true(calls >= N);
    dataset_free(d);
}

static void which_update_begins_with_a_full_micro_batch(void **state)
{
    (void)state;
    for (int variant = 0; variant < 12; variant++) {
        bool granular = variant > 9;
        SamplerConfig c = {.n = granular ? 24 : 11 + variant, .batch = 1 + variant % 4, .accumulation = 1 + variant % 2,
                           .world = 1 + variant % 3, .even_batches = variant % 2, .granular = granular};
        Sampler *s;
        UpdatePlan plan;
        if (granular) c.batch = 2, c.accumulation = 2;
        assert_int_equal(sampler_new(&c, &s), OK);
        for (int64_t u = 0; u < 2 * sampler_updates_per_epoch(&c); u++)
            for (int rank = 0; rank < c.world; rank++) {
                assert_int_equal(sampler_update(s, u, rank, &plan), OK);
                assert_int_equal(sampler_begins_full(&c, u, rank),
                                 plan.micro[0].count == sampler_most_in_micro(&c));
            }
        sampler_free(s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_run_s_largest_are_those_of_all_its_batches),
        cmocka_unit_test(without_time_it_is_the_longest_examples_together),
        cmocka_unit_test(examples_that_are_alike_are_not_looked_at),
        cmocka_unit_test(an_evaluation_s_largest_and_a_task_s_own_lengths),
        cmocka_unit_test(which_update_begins_with_a_full_micro_batch),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
