/* Room in an arena: what is reserved comes from one block, and a reset keeps the largest. */
#include "trainer/base/arena.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void what_is_reserved_is_one_block(void **state)
{
    (void)state;
    Arena *a;
    enum { SIZE = 5 << 20 };
    assert_int_equal(arena_new(&a), OK);
    assert_int_equal(arena_reserve(a, SIZE), OK);
    for (int round = 0; round < 3; round++) {
        arena_fail_at(1); /* no block is asked for */
        unsigned char *first = arena_alloc(a, SIZE / 2), *then = arena_alloc(a, SIZE / 2);
        assert_non_null(first);
        assert_ptr_equal(then, first + SIZE / 2);
        for (int i = 0; i < SIZE; i++) assert_int_equal(first[i], 0);
        memset(first, 1, SIZE);
        assert_int_equal(arena_reserve(a, 1 << 20), STATUS_MEMORY);
        arena_fail_at(0);
        assert_int_equal(arena_bytes(a), SIZE);
        arena_reset(a);
        assert_int_equal(arena_reserve(a, SIZE), OK);
    }
    assert_int_equal(arena_reserve(a, SIZE_MAX - 5), STATUS_MEMORY);
    arena_free(a);
}

static void a_reset_keeps_the_largest_block(void **state)
{
    (void)state;
    Arena *a;
    assert_int_equal(arena_new(&a), OK);
    assert_non_null(arena_alloc(a, 100));
    assert_non_null(arena_alloc(a, 3 << 20));
    for (int i = 0; i < 9; i++) assert_non_null(arena_alloc(a, 100000));
    arena_reset(a);
    arena_fail_at(1);
    assert_non_null(arena_alloc(a, 3 << 20));
    arena_fail_at(0);
    arena_free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(what_is_reserved_is_one_block),
                                       cmocka_unit_test(a_reset_keeps_the_largest_block)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
