/* Packing as TRL's pack_dataset packs: its documentation's examples, ties, and what holds of every plan. (Whole data
 * sets are compared in test_preprocess_sft.c.) And numpy's order of a shuffle. */
#include "trainer/data/pack.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "trainer/data/numpy_random.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

/* "0:0+4 | 2:0+3 3:0+1": pieces of rows, source:begin+length. */
static void assert_plan(PackStrategy strategy, const int64_t *lengths, int64_t count, int64_t seq_length,
                        const char *want)
{
    Arena *arena;
    PackPlan plan;
    char text[1024] = "";
    assert_int_equal(arena_new(&arena), 0);
    assert_int_equal(pack_plan(strategy, lengths, count, seq_length, arena, &plan), 0);
    for (int64_t r = 0, i = 0; r < plan.count; r++)
        for (; i < plan.ends[r]; i++)
            snprintf(text + strlen(text), sizeof text - strlen(text), "%s%d:%d+%d",
                     !i ? "" : r && i == plan.ends[r - 1] ? " | " : " ", (int)plan.pieces[i].source,
                     (int)plan.pieces[i].begin, (int)plan.pieces[i].length);
    assert_string_equal(text, want);
    arena_free(arena);
}

static void the_documented_examples(void **state)
{
    (void)state;
    static const int64_t lengths[] = {5, 2, 3, 1};
    assert_plan(PACK_BFD, lengths, 4, 4, "0:0+4 | 2:0+3 3:0+1 | 1:0+2");
    assert_plan(PACK_BFD_SPLIT, lengths, 4, 4, "0:0+4 | 2:0+3 0:4+1 | 1:0+2 3:0+1");
    assert_plan(PACK_WRAPPED, lengths, 4, 4, "0:0+4 | 0:4+1 1:0+2 2:0+1 | 2:1+2 3:0+1");
}

static void ties_go_to_the_first(void **state)
{
    (void)state;
    static const int64_t lengths[] = {3, 3, 2, 2, 2, 1, 1};
    assert_plan(PACK_BFD, lengths, 7, 5, "0:0+3 2:0+2 | 1:0+3 3:0+2 | 4:0+2 5:0+1 6:0+1");
}

static void nothing_and_edges(void **state)
{
    (void)state;
    static const int64_t zeros[] = {0, 0}, full[] = {4, 4, 8}, ones[] = {1, 0, 1};
    for (int s = PACK_BFD; s <= PACK_WRAPPED; s++) {
        assert_plan((PackStrategy)s, zeros, 0, 4, "");
        assert_plan((PackStrategy)s, zeros, 2, 4, "");
        assert_plan((PackStrategy)s, ones, 3, 1, "0:0+1 | 2:0+1");
    }
    assert_plan(PACK_BFD, full, 3, 4, "0:0+4 | 1:0+4 | 2:0+4");
    assert_plan(PACK_BFD_SPLIT, full, 3, 4, "0:0+4 | 1:0+4 | 2:0+4 | 2:4+4");
    assert_plan(PACK_WRAPPED, full, 3, 4, "0:0+4 | 1:0+4 | 2:0+4 | 2:4+4");
}

/* Every token once (but for what bfd cuts off), no row too long, and no two rows that would fit in one. */
static void check_plan(PackStrategy strategy, const int64_t *lengths, int64_t count, int64_t seq_length)
{
    Arena *arena;
    PackPlan plan;
    int64_t *seen = calloc((size_t)count, sizeof *seen), least = seq_length + 1, second = seq_length + 1;
    assert_int_equal(arena_new(&arena), 0);
    assert_int_equal(pack_plan(strategy, lengths, count, seq_length, arena, &plan), 0);
    for (int64_t r = 0, i = 0; r < plan.count; r++) {
        int64_t filled = 0;
        assert_true(plan.ends[r] > i);
        for (; i < plan.ends[r]; i++) {
            const PackPiece *p = &plan.pieces[i];
            assert_true(p->length > 0 && p->begin >= 0 && p->begin + p->length <= lengths[p->source]);
            seen[p->source] += p->length;
            filled += p->length;
        }
        assert_true(filled <= seq_length);
        if (filled < least) second = least, least = filled;
        else if (filled < second) second = filled;
    }
    for (int64_t s = 0; s < count; s++)
        assert_int_equal(seen[s], strategy == PACK_BFD && lengths[s] > seq_length ? seq_length : lengths[s]);
    if (strategy != PACK_WRAPPED && plan.count > 1) assert_true(least + second > seq_length);
    free(seen);
    arena_free(arena);
}

static void every_token_is_in_one_row(void **state)
{
    (void)state;
    int64_t lengths[300];
    uint32_t x = 1;
    for (int64_t seq_length = 1; seq_length < 200; seq_length += seq_length < 20 ? 1 : 37) {
        for (size_t i = 0; i < COUNT(lengths); i++) lengths[i] = (x = x * 1664525u + 1013904223u) >> 16 & 63;
        for (int s = PACK_BFD; s <= PACK_WRAPPED; s++) check_plan((PackStrategy)s, lengths, COUNT(lengths), seq_length);
    }
}

/* numpy.random.default_rng(seed).permutation(n), numpy 2.4.6. */
static void a_shuffle_is_numpys(void **state)
{
    (void)state;
    static const struct { uint64_t seed; int64_t first[10]; } cases[] = {
        {42, {5, 6, 0, 7, 3, 2, 4, 9, 1, 8}}, {0, {4, 6, 2, 7, 3, 5, 9, 0, 8, 1}},
        {(uint64_t)1 << 63, {2, 6, 1, 0, 9, 4, 5, 7, 8, 3}},
    };
    int64_t got[10];
    for (size_t i = 0; i < COUNT(cases); i++) {
        numpy_permutation(cases[i].seed, got, 10);
        for (int j = 0; j < 10; j++) assert_int_equal(got[j], cases[i].first[j]);
    }
    int64_t *many = malloc(50000 * sizeof *many);
    numpy_permutation(7, many, 50000);
    assert_int_equal(many[0], 23564);
    assert_int_equal(many[49999], 19083);
    free(many);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_documented_examples), cmocka_unit_test(ties_go_to_the_first),
        cmocka_unit_test(nothing_and_edges),       cmocka_unit_test(every_token_is_in_one_row),
        cmocka_unit_test(a_shuffle_is_numpys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
