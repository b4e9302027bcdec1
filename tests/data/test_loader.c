/* The loader's steps: what, in which order, with which sums; its errors; its end. */
#include "trainer/data/loader.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

enum { N = 22, LENGTH = 3 };

/* Example i holds 100 i, 100 i + 1, 100 i + 2. */
static Dataset *numbers(void)
{
    int32_t ids[N * LENGTH];
    Dataset *d;
    for (int i = 0; i < N * LENGTH; i++) ids[i] = i / LENGTH * 100 + i % LENGTH;
    assert_int_equal(dataset_from_ids(ids, N, LENGTH, &d), OK);
    return d;
}

typedef struct Counting {
    _Atomic int calls;
    int fail_at; /* the call that fails; -1: none */
} Counting;

static Status collate(void *context, const Dataset *d, const int64_t *index, const int32_t *ordinal, int count,
                      Arena *arena, Batch *out)
{
    Status st = OK;
    Counting *c = context;
    int32_t *ids, *cu_seqlens, *sample;
    if (atomic_fetch_add(&c->calls, 1) == c->fail_at) RAISE(FORMAT, "example %lld is not right", (long long)index[0]);
    TRY_NEW(arena, ids, (int64_t)count * LENGTH);
    TRY_NEW(arena, cu_seqlens, count + 1);
    TRY_NEW(arena, sample, count);
    for (int b = 0; b < count; b++) {
        const Span span = dataset_get(d, 0, index[b]);
        memcpy(ids + (size_t)b * LENGTH, span.data, (size_t)span.length * sizeof *ids);
        cu_seqlens[b + 1] = cu_seqlens[b] + (int32_t)span.length;
        sample[b] = ordinal[b];
    }
    out->num_seqs = count;
    out->rows = cu_seqlens[count];
    out->padded_width = count ? LENGTH + 1 : 0;
    out->ids = ids;
    out->cu_seqlens = cu_seqlens;
    out->sample = sample;
    out->targets = 2 * count;
    out->hf_targets = 3 * count;
done:
    return st;
}

static Sampler *sampler(SamplerConfig c)
{
    Sampler *s;
    assert_int_equal(sampler_new(&c, &s), OK);
    return s;
}

static void steps_are_the_sampler_s_updates(void **state)
{
    (void)state;
    const SamplerConfig c = {.n = N, .batch = 4, .accumulation = 2, .world = 2, .even_batches = true, .seed = 42};
    Dataset *d = numbers();
    for (int rank = 0; rank < 2; rank++) {
        Counting counting = {.fail_at = -1};
        Sampler *s = sampler(c), *same = sampler(c);
        Loader *l;
        const Step *step;
        const LoaderConfig config = {.dataset = d, .sampler = s, .rank = rank, .first_update = 1, .last_update = 7,
                                     .collate = collate, .context = &counting};
        assert_int_equal(loader_new(&config, &l), OK);
        for (int64_t u = 1; u < 7; u++) {
            UpdatePlan p;
            int64_t sequences = 0;
            assert_int_equal(loader_next(l, &step), OK);
            assert_non_null(step);
            assert_int_equal(sampler_update(same, u, rank, &p), OK);
            assert_int_equal(step->update, u);
            assert_int_equal(step->epoch, u / 2);
            assert_int_equal(step->count, p.count);
            assert_int_equal(step->samples, p.samples);
            for (int m = 0; m < p.count; m++) {
                const Batch *b = &step->micro[m];
                assert_int_equal(b->num_seqs, p.micro[m].count);
                sequences += b->num_seqs;
                for (int k = 0; k < b->num_seqs; k++) {
                    assert_int_equal(b->ids[LENGTH * k + 1], 100 * p.micro[m].index[k] + 1);
                    assert_int_equal(b->sample[k], p.micro[m].ordinal[k]);
                }
            }
            assert_int_equal(step->sequences, sequences);
            assert_int_equal(step->rows, sequences * LENGTH);
            assert_int_equal(step->padded_tokens, sequences * (LENGTH + 1));
            assert_int_equal(step->targets, sequences * 2);
            assert_int_equal(step->hf_targets, sequences * 3);
        }
        assert_int_equal(loader_next(l, &step), OK);
        assert_null(step);
        assert_int_equal(loader_next(l, &step), OK); /* and stays at the end */
        assert_null(step);
        loader_free(l);
        sampler_free(s);
        sampler_free(same);
    }
    dataset_free(d);
}

static void evaluation_s_batches_are_every_example_in_order(void **state)
{
    (void)state;
    Dataset *d = numbers();
    int seen[N] = {0};
    for (int rank = 0; rank < 3; rank++) {
        Counting counting = {.fail_at = -1};
        const EvalPlan plan = {.n = N, .batch = 4, .world = 3, .rank = rank};
        const LoaderConfig config = {.dataset = d, .evaluation = &plan, .rank = rank, .collate = collate,
                                     .context = &counting};
        Loader *l;
        const Step *step;
        int64_t number = rank;
        assert_int_equal(loader_new(&config, &l), OK);
        while (loader_next(l, &step) == OK && step) {
            assert_int_equal(step->update, number);
            assert_int_equal(step->count, 1);
            assert_int_equal(step->samples, number == 5 ? 2 : 4);
            for (int k = 0; k < step->micro[0].num_seqs; k++) {
                assert_int_equal(step->micro[0].ids[LENGTH * k], 100 * (number * 4 + k));
                seen[number * 4 + k]++;
            }
            number += 3;
        }
        loader_free(l);
    }
    for (int i = 0; i < N; i++) assert_int_equal(seen[i], 1);
    dataset_free(d);
}

static void an_error_comes_after_the_steps_before_it_and_stays(void **state)
{
    (void)state;
    Dataset *d = numbers();
    Counting counting = {.fail_at = 3};
    Sampler *s = sampler((SamplerConfig){
        .n = N, .batch = 4, .accumulation = 1, .world = 1, .strategy = SAMPLER_SEQUENTIAL});
    const LoaderConfig config = {.dataset = d, .sampler = s, .last_update = 5, .collate = collate,
                                 .context = &counting};
    Loader *l;
    const Step *step;
    assert_int_equal(loader_new(&config, &l), OK);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(loader_next(l, &step), OK);
        assert_int_equal(step->update, i);
    }
    for (int i = 0; i < 2; i++) {
        status_raise(STATUS_BUG, "something else");
        assert_int_equal(loader_next(l, &step), STATUS_FORMAT);
        assert_string_equal(status_message(), "example 12 is not right");
        assert_null(step);
    }
    loader_free(l);
    sampler_free(s);
    dataset_free(d);
}

static void pause_ms(long ms)
{
    struct timespec t = {0, ms * 1000000};
    nanosleep(&t, NULL);
}

static void it_is_two_steps_ahead_and_then_sleeps(void **state)
{
    (void)state;
    Dataset *d = numbers();
    Counting counting = {.fail_at = -1};
    Sampler *s = sampler((SamplerConfig){.n = N, .batch = 4, .accumulation = 1, .world = 1});
    const LoaderConfig config = {.dataset = d, .sampler = s, .last_update = 100, .collate = collate,
                                 .context = &counting};
    Loader *l;
    const Step *step;
    assert_int_equal(loader_new(&config, &l), OK);
    for (int given = 0; given < 5; given++) {
        if (given) assert_int_equal(loader_next(l, &step), OK);
        const int ahead = given ? given + 2 : 3;
        for (int i = 0; i < 500 && atomic_load(&counting.calls) < ahead; i++) pause_ms(2);
        pause_ms(5);
        assert_int_equal(atomic_load(&counting.calls), ahead);
    }
    loader_free(l); /* while it sleeps */
    sampler_free(s);
    dataset_free(d);
}

/* The slots' memory comes round again: the same addresses every three steps. */
static void nothing_is_allocated_once_it_runs(void **state)
{
    (void)state;
    Dataset *d = numbers();
    Counting counting = {.fail_at = -1};
    Sampler *s = sampler((SamplerConfig){.n = 20, .batch = 2, .accumulation = 2, .world = 1});
    const LoaderConfig config = {.dataset = d, .sampler = s, .last_update = 60, .collate = collate,
                                 .context = &counting};
    const int32_t *ids[3] = {0};
    Loader *l;
    const Step *step;
    assert_int_equal(loader_new(&config, &l), OK);
    for (int u = 0; u < 60; u++) {
        assert_int_equal(loader_next(l, &step), OK);
        if (u >= 6) assert_ptr_equal(step->micro[1].ids, ids[u % 3]);
        ids[u % 3] = step->micro[1].ids;
    }
    loader_free(l);
    sampler_free(s);
    dataset_free(d);
}

static void it_may_be_freed_at_any_time(void **state)
{
    (void)state;
    Dataset *d = numbers();
    for (int i = 0; i < 60; i++) {
        Counting counting = {.fail_at = i % 7 == 0 ? 2 : -1};
        Sampler *s = sampler((SamplerConfig){.n = N, .batch = 4, .accumulation = 1, .world = 1});
        const LoaderConfig config = {.dataset = d, .sampler = s, .last_update = i % 5, .collate = collate,
                                     .context = &counting};
        Loader *l;
        const Step *step;
        assert_int_equal(loader_new(&config, &l), OK);
        for (int k = 0; k < i % 3; k++) (void)loader_next(l, &step);
        loader_free(l);
        sampler_free(s);
    }
    loader_free(NULL);
    dataset_free(d);
}

static void a_rank_without_examples_gets_empty_batches(void **state)
{
    (void)state;
    Dataset *d = numbers();
    Counting counting = {.fail_at = -1};
    Sampler *s = sampler((SamplerConfig){.n = 5, .batch = 4, .accumulation = 1, .world = 3});
    const LoaderConfig config = {.dataset = d, .sampler = s, .rank = 2, .last_update = 1, .collate = collate,
                                 .context = &counting};
    Loader *l;
    const Step *step;
    assert_int_equal(loader_new(&config, &l), OK);
    assert_int_equal(loader_next(l, &step), OK);
    assert_int_equal(step->count, 1);
    assert_int_equal(step->micro[0].num_seqs, 0);
    assert_int_equal(step->targets, 0);
    loader_free(l);
    sampler_free(s);
    dataset_free(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(steps_are_the_sampler_s_updates),
        cmocka_unit_test(evaluation_s_batches_are_every_example_in_order),
        cmocka_unit_test(an_error_comes_after_the_steps_before_it_and_stays),
        cmocka_unit_test(it_is_two_steps_ahead_and_then_sleeps),
        cmocka_unit_test(nothing_is_allocated_once_it_runs),
        cmocka_unit_test(it_may_be_freed_at_any_time),
        cmocka_unit_test(a_rank_without_examples_gets_empty_batches),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
