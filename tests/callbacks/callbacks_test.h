/* What these tests share: a directory of their own, whole files, entries. */
#ifndef HONE_TESTS_CALLBACKS_TEST_H
#define HONE_TESTS_CALLBACKS_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "trainer/base/file.h"
#include "trainer/callbacks/state.h"

#define assert_ok(call)                                                                           \
    do {                                                                                          \
        Status assert_ok_status = (call);                                                         \
        if (assert_ok_status != OK) fail_msg("%s: %s", status_name(assert_ok_status), status_message()); \
    } while (0)

static Arena *arena;
static char dir[64];

static inline int open_dir(void **state)
{
    (void)state;
    strcpy(dir, "/tmp/hone-callbacks-XXXXXX");
    return arena_new(&arena) == OK && mkdtemp(dir) ? 0 : -1;
}

static inline int close_dir(void **state)
{
    (void)state;
    arena_free(arena);
    return dir_remove(dir) == OK ? 0 : -1;
}

static inline const char *in_dir(const char *name) { return arena_printf(arena, "%s/%s", dir, name); }

static inline const char *content(const char *path)
{
    char *text;
    assert_ok(file_read_all(path, arena, (size_t)1 << 24, &text, NULL));
    return text;
}

static inline void put(const char *path, const char *text) { assert_ok(file_replace(path, text, strlen(text))); }

static inline LogEntry training(double loss, double rate, int64_t step)
{
    LogEntry e = {0};
    logentry_add_real(&e, "loss", loss);
    logentry_add_real(&e, "learning_rate", rate);
    logentry_add_int(&e, "step", step);
    return e;
}

#endif
