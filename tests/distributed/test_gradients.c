/* runs: alone */
/* The reducer against sums made here in the order it promises, to the bit; alone, by shared memory and by messages. */
#include "tests/distributed/mpi_test.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "trainer/distributed/gradients.h"
#include "trainer/distributed/gradients_internal.h"

enum { BLOCK = KERNEL_BLOCK };

static Stream *stream;
static ProcessGroup *shared, *messages; /* the world as it is, and without shared memory */

/* A number that rounds when it is added: index i of the gradient numbered `granule`. */
static float value(int64_t granule, int64_t i)
{
    uint64_t x = (uint64_t)(granule * INT64_C(1000003) + i + 1) * UINT64_C(0x9e3779b97f4a7c15);
    x ^= x >> 29;
    x *= UINT64_C(0xbf58476d1ce4e5b9);
    return (float)((double)(x >> 40) / (1 << 20) - 7.3) * (x & 1 ? 1.0f : 1e-3f);
}

static Gradients *make(ProcessGroup *pg, int64_t n, int zero_stage, bool full_determinism, int64_t bucket_bytes)
{
    Gradients *g;
    const GradientsOptions options = {
        .bucket_bytes = bucket_bytes, .zero_stage = zero_stage, .full_determinism = full_determinism};
    assert_int_equal(gradients_new(pg, stream, n, &options, &g), OK);
    return g;
}

/* What backward does: ranges in ragged pieces, ascending but for every third pair; those of `silent` are never
 * reported. */
static void backward(Gradients *g, int64_t n, int64_t granule, bool add, bool silent)
{
    float *data = gradients_data(g);
    for (int64_t at = 0, step = 40000, i = 0; at < n; at += step, i++) {
        int64_t end = at + step < n ? at + step : n;
        for (int64_t k = at; k < end; k++) data[k] = (add ? data[k] : 0) + value(granule, k);
        if (silent && i % 2) continue;
        gradients_ready(g, (at + end) / 2, end);
        gradients_ready(g, at, (at + end) / 2);
    }
}

/* The double sum of squares in the promised order. */
static double norm_of(const float *x, int64_t n)
{
    double sum = 0;
    for (int64_t block = 0; block < n; block += BLOCK) {
        double lane[16] = {0};
        for (int64_t i = block; i < n && i < block + BLOCK; i++) lane[(i - block) % 16] += (double)x[i] * (double)x[i];
        for (int half = 8; half; half /= 2)
            for (int l = 0; l < half; l++) lane[l] += lane[l + half];
        sum += lane[0];
    }
    return sum;
}

static void assert_reduced(Gradients *g, const float *expected, double norm_squared, int64_t n)
{
    int count;
    const Range *owned = gradients_owned(g, &count);
    for (int i = 0; i < count; i++)
        assert_memory_equal(gradients_reduced(g) + owned[i].begin, expected + owned[i].begin,
                            (size_t)(owned[i].end - owned[i].begin) * sizeof(float));
    double norm = norm_of(expected, n);
    assert_memory_equal(&norm, &norm_squared, sizeof norm);
}

/* Sizes: a part of a block, a block, odd ends, several buckets. */
static const int64_t SIZES[] = {1, 1000, BLOCK, 3 * BLOCK + 17, 20 * BLOCK - 1};
enum { SIZES_COUNT = sizeof SIZES / sizeof *SIZES };

/* Two updates of two micro-steps; the first only accumulates. */
static void check_sums(ProcessGroup *pg, int64_t n, int zero_stage)
{
    Gradients *g = make(pg, n, zero_stage, false, 4 * BLOCK * 4);
    float *expected = malloc((size_t)n * sizeof *expected);
    for (int update = 0; update < 2; update++) {
        double norm;
        for (int micro = 0; micro < 2; micro++) {
            assert_int_equal(gradients_begin(g, micro == 1, true), OK);
            backward(g, n, update * 100 + micro * 10 + pg->rank, micro > 0, update == 1);
            assert_int_equal(gradients_end(g), OK);
        }
        assert_int_equal(gradients_finish(g, &norm), OK);
        for (int64_t i = 0; i < n; i++) {
            float sum = 0;
            for (int r = 0; r < pg->size; r++) {
                float theirs = value(update * 100 + r, i) + value(update * 100 + 10 + r, i);
                sum = r ? sum + theirs : theirs;
            }
            expected[i] = sum;
        }
        assert_reduced(g, expected, norm, n);
    }
    free(expected);
    gradients_free(g);
}

static void sums_are_added_in_rank_order_by_shared_memory(void **state)
{
    (void)state;
    for (int i = 0; i < SIZES_COUNT; i++) check_sums(shared, SIZES[i], 1);
}

static void sums_are_added_in_rank_order_by_messages(void **state)
{
    (void)state;
    for (int i = 0; i < SIZES_COUNT; i++) check_sums(messages, SIZES[i], 1);
}

static void zero_stage_0_gives_everybody_all_sums(void **state)
{
    (void)state;
    int count;
    Gradients *g = make(shared, 5 * BLOCK, 0, false, 0);
    const Range *owned = gradients_owned(g, &count);
    assert_int_equal(count, 1);
    assert_int_equal(owned->begin, 0);
    assert_int_equal(owned->end, 5 * BLOCK);
    gradients_free(g);
    for (int i = 0; i < SIZES_COUNT; i++) {
        check_sums(shared, SIZES[i], 0);
        check_sums(messages, SIZES[i], 0);
    }
}

static void each_element_has_one_owner_and_blocks_are_whole(void **state)
{
    (void)state;
    for (int ranks = 1; ranks <= 7; ranks++)
        for (int64_t n = 0; n < 90 * BLOCK; n += 7 * BLOCK + 12345) {
            Plan p;
            assert_int_equal(plan_new(n, ranks, 5 * BLOCK * 4, &p), OK);
            int64_t least = INT64_MAX, most = 0, all = 0;
            unsigned char *owner = calloc((size_t)p.blocks + 1, 1);
            for (int r = 0; r < ranks; r++) {
                int64_t elements = 0, before = -1;
                for (int i = 0; i < p.owned_count[r]; i++) {
                    Range range = p.owned[r][i];
                    assert_true(range.begin > before && range.begin < range.end && range.begin % BLOCK == 0);
                    assert_true(range.end % BLOCK == 0 || range.end == n);
                    for (int64_t b = range.begin; b < range.end; b += BLOCK) assert_int_equal(owner[b / BLOCK]++, 0);
                    elements += range.end - range.begin;
                    before = range.end;
                }
                least = elements < least ? elements : least;
                most = elements > most ? elements : most;
                all += elements;
            }
            assert_int_equal(all, n);
            assert_true(most - least <= 2 * BLOCK); /* even shares */
            for (int k = 0; k < p.buckets; k++) {
                assert_true(p.bucket[k].end - p.bucket[k].begin <= 5 * BLOCK);
                assert_int_equal(plan_bucket_of(&p, p.bucket[k].begin), k);
                assert_int_equal(plan_bucket_of(&p, p.bucket[k].end - 1), k);
            }
            free(owner);
            plan_free(&p);
        }
}

/* granules gradients of one update, folded left to right; -0.0 at every 97th place in all of them. */
static float granule_value(int64_t granule, int64_t i) { return i % 97 ? value(granule, i) : -0.0f; }

static void run_granules(Gradients *g, ProcessGroup *pg, int64_t n, int64_t granules, double *norm)
{
    int64_t micro_steps = (granules + pg->size - 1) / pg->size;
    for (int64_t m = 0; m < micro_steps; m++) {
        int64_t granule = m * pg->size + pg->rank;
        assert_int_equal(gradients_begin(g, m == micro_steps - 1, granule < granules), OK);
        if (granule < granules) {
            for (int64_t i = 0; i < n; i++) gradients_data(g)[i] = granule_value(granule, i);
            gradients_ready(g, 0, n);
        }
        assert_int_equal(gradients_end(g), OK);
    }
    assert_int_equal(gradients_finish(g, norm), OK);
}

static void check_determinism(ProcessGroup *pg, int64_t n, int64_t granules, int zero_stage)
{
    Gradients *g = make(pg, n, zero_stage, true, 3 * BLOCK * 4);
    float *expected = malloc((size_t)n * sizeof *expected);
    for (int64_t i = 0; i < n; i++) {
        expected[i] = granule_value(0, i);
        for (int64_t k = 1; k < granules; k++) expected[i] += granule_value(k, i);
    }
    assert_true(signbit(expected[0]));
    for (int update = 0; update < 2; update++) {
        double norm;
        run_granules(g, pg, n, granules, &norm);
        assert_reduced(g, expected, norm, n);
    }
    free(expected);
    gradients_free(g);
}

static void full_determinism_is_one_left_fold_for_every_number_of_ranks(void **state)
{
    (void)state;
    static const int64_t granules[] = {1, 6, 7};
    for (int i = 0; i < 3; i++)
        for (int zero_stage = 0; zero_stage < 2; zero_stage++) {
            check_determinism(shared, 4 * BLOCK + 33, granules[i], zero_stage);
            check_determinism(messages, 4 * BLOCK + 33, granules[i], zero_stage);
        }
}

static void another_order_gives_other_bits(void **state)
{
    (void)state;
    enum { N = 2 * BLOCK };
    double right, wrong;
    Gradients *g = make(shared, N, 1, true, 0);
    run_granules(g, shared, N, 12, &right);
    gradients_free(g);
    gradients_test_order(true);
    g = make(shared, N, 1, true, 0);
    gradients_test_order(false);
    run_granules(g, shared, N, 12, &wrong);
    assert_true((right != wrong) == (shared->size > 1));
    gradients_free(g);
}

static void an_update_without_granules_is_zero(void **state)
{
    (void)state;
    enum { N = BLOCK + 5 };
    double norm;
    Gradients *g = make(shared, N, 1, true, 0);
    run_granules(g, shared, N, 3, &norm);
    assert_true(norm > 0);
    assert_int_equal(gradients_begin(g, true, false), OK);
    assert_int_equal(gradients_end(g), OK);
    assert_int_equal(gradients_finish(g, &norm), OK);
    assert_true(norm == 0);
    gradients_free(g);
}

static void check_weights(ProcessGroup *pg, int64_t n)
{
    int count;
    Gradients *g = make(pg, n, 1, false, 2 * BLOCK * 4);
    float *w = gradients_weights(g);
    for (int64_t i = 0; i < n; i++) w[i] = -1;
    for (int step = 1; step < 4; step++) {
        const Range *owned = gradients_owned(g, &count);
        for (int k = 0; k < count; k++)
            for (int64_t i = owned[k].begin; i < owned[k].end; i++) w[i] = (float)step + value(3, i);
        assert_int_equal(gradients_gather_weights(g), OK);
        for (int64_t i = 0; i < n; i++)
            if (w[i] != (float)step + value(3, i)) fail_msg("weight %ld of step %d is %g", (long)i, step, (double)w[i]);
    }
    gradients_free(g);
}

static void updated_weights_become_everybodys(void **state)
{
    (void)state;
    for (int i = 0; i < SIZES_COUNT; i++) {
        check_weights(shared, SIZES[i]);
        check_weights(messages, SIZES[i]);
    }
}

static void what_nothing_wrote_is_zeroed_by_the_caller(void **state)
{
    (void)state;
    enum { N = 2 * BLOCK };
    double norm;
    Gradients *g = make(shared, N, 1, false, 0);
    for (int64_t i = 0; i < N; i++) gradients_data(g)[i] = 1;
    assert_int_equal(gradients_begin(g, true, true), OK);
    gradients_ready(g, 0, BLOCK);
    gradients_zero(g, BLOCK, N);
    assert_int_equal(gradients_end(g), OK);
    assert_int_equal(gradients_finish(g, &norm), OK);
    assert_true(norm == (double)BLOCK * shared->size * shared->size);
    gradients_free(g);
}

static void nothing_to_train_is_fine(void **state)
{
    (void)state;
    double norm;
    int count;
    Gradients *g = make(shared, 0, 1, false, 0);
    assert_int_equal(gradients_begin(g, true, true), OK);
    assert_int_equal(gradients_end(g), OK);
    assert_int_equal(gradients_finish(g, &norm), OK);
    assert_true(norm == 0);
    gradients_owned(g, &count);
    assert_int_equal(count, 0);
    assert_int_equal(gradients_gather_weights(g), OK);
    gradients_free(g);
}

/* A step whose backward sleeps (the cores may be busy) before it reports each of `buckets` buckets. All in seconds. */
typedef struct Step {
    double backward, whole, hidden, exposed;
    int early, buckets;
} Step;

static Step slow_step(ProcessGroup *slow, int buckets, double sleep)
{
    Step s;
    Gradients *g = make(slow, (int64_t)buckets * BLOCK, 1, false, BLOCK * 4);
    assert_int_equal(group_barrier(world), OK);
    gradients_times(g, &s.hidden, &s.exposed);
    double begin = clock_seconds();
    assert_int_equal(gradients_begin(g, true, true), OK);
    for (int k = 0; k < buckets; k++) {
        sleep_s(sleep);
        gradients_ready(g, (int64_t)k * BLOCK, (int64_t)(k + 1) * BLOCK);
    }
    s.backward = clock_seconds() - begin;
    assert_int_equal(gradients_end(g), OK);
    assert_int_equal(gradients_finish(g, NULL), OK);
    s.whole = clock_seconds() - begin;
    gradients_counts(g, &s.early, &s.buckets);
    gradients_times(g, &s.hidden, &s.exposed);
    gradients_free(g);
    return s;
}

enum { TRIES = 5 }; /* other programs make a step longer; none makes one shorter that waits for each bucket */

static bool everybody(bool mine)
{
    int64_t fails = !mine;
    assert_int_equal(group_max_i64(world, &fails, 1), OK);
    return !fails;
}

/* Eight buckets that each take d longer, and a backward that takes 1.5 times as long in all: what comes after it is
 * what is left, not 8 d. */
static void check_overlap(bool shares)
{
    enum { BUCKETS = 8 };
    const double d = 0.03;
    Step s = {0};
    bool hides = world->size == 1;
    ProcessGroup *slow = wrap(world, shares, d);
    for (int i = 0; i < TRIES && !hides; i++) {
        s = slow_step(slow, BUCKETS, 1.5 * d);
        assert_int_equal(s.buckets, BUCKETS);
        assert_true(s.hidden + s.exposed >= 0.99 * BUCKETS * d);
        hides = everybody(s.early >= BUCKETS - 3 && s.whole - s.backward < 0.5 * BUCKETS * d &&
                          s.hidden > 0.5 * BUCKETS * d && s.exposed < 0.5 * BUCKETS * d);
    }
    if (!hides)
        fail_msg("backward %.3f s, step %.3f s, buckets %.3f s, %.3f hidden, %.3f exposed, %d early", s.backward,
                 s.whole, BUCKETS * d, s.hidden, s.exposed, s.early);
    wrapper_close(slow);
}

static void communication_hides_behind_backward(void **state)
{
    (void)state;
    check_overlap(true);
    check_overlap(false);
}

/* The other way round: with slow buckets a step takes their time, not theirs and backward's. */
static void slow_buckets_are_the_limit_and_not_the_sum(void **state)
{
    (void)state;
    enum { BUCKETS = 5 };
    const double d = 0.1;
    Step s = {0};
    bool is_limit = world->size == 1;
    ProcessGroup *slow = wrap(world, true, d);
    for (int i = 0; i < TRIES && !is_limit; i++) {
        s = slow_step(slow, BUCKETS, 0.7 * d);
        assert_true(s.whole >= BUCKETS * d);
        is_limit = everybody(s.whole < BUCKETS * d + 0.6 * s.backward);
    }
    if (!is_limit) fail_msg("backward %.3f s, step %.3f s, buckets %.3f s", s.backward, s.whole, BUCKETS * d);
    wrapper_close(slow);
}

static Status broken_barrier(ProcessGroup *pg)
{
    (void)pg;
    return status_raise(STATUS_COMM, "the cable is cut");
}

static void a_failed_exchange_is_told_by_finish(void **state)
{
    (void)state;
    if (!group_can_share(world)) return;
    double norm;
    ProcessGroup *broken = wrap(world, true, 0);
    Gradients *g = make(broken, 5 * BLOCK, 1, false, 0);
    GroupOps ops = *g->comm->ops;
    ops.barrier = broken_barrier;
    g->comm->ops = &ops;
    assert_int_equal(gradients_begin(g, true, true), OK);
    assert_int_equal(gradients_end(g), OK);
    assert_int_equal(gradients_finish(g, &norm), STATUS_COMM);
    assert_string_equal(status_message(), "the cable is cut");
    gradients_free(g);
    wrapper_close(broken);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sums_are_added_in_rank_order_by_shared_memory),
        cmocka_unit_test(sums_are_added_in_rank_order_by_messages),
        cmocka_unit_test(zero_stage_0_gives_everybody_all_sums),
        cmocka_unit_test(each_element_has_one_owner_and_blocks_are_whole),
        cmocka_unit_test(full_determinism_is_one_left_fold_for_every_number_of_ranks),
        cmocka_unit_test(another_order_gives_other_bits),
        cmocka_unit_test(an_update_without_granules_is_zero),
        cmocka_unit_test(updated_weights_become_everybodys),
        cmocka_unit_test(what_nothing_wrote_is_zeroed_by_the_caller),
        cmocka_unit_test(nothing_to_train_is_fine),
        cmocka_unit_test(communication_hides_behind_backward),
        cmocka_unit_test(slow_buckets_are_the_limit_and_not_the_sum),
        cmocka_unit_test(a_failed_exchange_is_told_by_finish),
    };
    open_world();
    stream = stream_new_cpu(2);
    shared = wrap(world, true, 0);
    messages = wrap(world, false, 0);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    wrapper_close(shared);
    wrapper_close(messages);
    stream_free(stream);
    return close_world(failed);
}
