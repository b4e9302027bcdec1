/* What the tests of this room share: a directory for each test, a store in it, and what lies there. */
#ifndef HONE_TESTS_TOY_STORE_H
#define HONE_TESTS_TOY_STORE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tests/checkpoint/support/toy_run.h"
#include "trainer/base/log.h"

static char root[64];
static Arena *arena;

static inline int set_up(void **state)
{
    (void)state;
    log_set(LOG_ERROR, 0);
    return scratch_dir(root) && arena_new(&arena) == OK ? 0 : -1;
}

static inline int tear_down(void **state)
{
    (void)state;
    file_hook(NULL, NULL);
    arena_free(arena);
    return dir_remove(root) == OK ? 0 : -1;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
#define assert_ok(call)                                                                                                \
    do {                                                                                                               \
        if ((call) != OK) fail_msg("%s: %s", #call, status_message());                                                 \
    } while (0)

static inline const char *in_root(const char *name) { return path_join(arena, root, name); }
static inline bool has(const char *name) { return path_exists(in_root(name)); }

static inline CheckpointStore *open_store(int64_t limit)
{
    CheckpointStore *store;
    CheckpointOptions o = {.output_dir = root, .save_total_limit = limit, .lock_wait_s = -1};
    assert_ok(checkpoint_store_open(&o, &store));
    return store;
}

/* Names in root, without the lock, joined by spaces. */
static inline const char *listing(void)
{
    char **names;
    size_t n;
    const char *text = "";
    assert_ok(dir_list(root, arena, &names, &n));
    for (size_t i = 0; i < n; i++)
        if (strcmp(names[i], ".hone.lock") != 0) text = arena_printf(arena, "%s%s%s", text, *text ? " " : "", names[i]);
    return text;
}

#endif
