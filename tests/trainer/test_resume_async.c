/* runs: alone */
/* links: trainer checkpoint */
/* Saving does not stop a run: with a disk of 10 MB/s steps go on at their pace while a checkpoint is written, nobody
 * waits for the disk, and what is written is the moment of the save, to the bit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <time.h>

#include <cmocka.h>

#include "tests/trainer/tiny_run.h"
#include "trainer/base/clock.h"
#include "trainer/base/log.h"

enum { SAVED = 40, STEPS = 20000, AT_LEAST = 5 };

static char root[64];

static int slow_disk(void *context, const FileCall *call, size_t *size)
{
    (void)context;
    (void)size;
    if (call->op == FILE_WRITE) nanosleep(&(struct timespec){.tv_nsec = (long)call->size * 100}, NULL);
    return 0;
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *seconds, int count)
{
    qsort(seconds, (size_t)count, sizeof *seconds, ascending);
    return seconds[count / 2];
}

static double step(Trainer *tr)
{
    const Step *data;
    double loss, begun = clock_seconds();
    assert_int_equal(loader_next(tr->loader, &data), OK);
    assert_int_equal(trainer_update(tr, data, &loss), OK);
    return clock_seconds() - begun;
}

/* Trains up to SAVED, saves, and with `slow` trains on while that is written. */
static void run(const char *name, bool slow)
{
    static double before[SAVED], during[STEPS];
    static const char *const options[] = {"--max_steps", "20000", "--save_strategy", "no", "--report_to", "none",
                                          "--log_level", "error", NULL};
    char out[96];
    Arena *arena;
    TrainingArguments args;
    Trainer tr;
    int count = 0;
    snprintf(out, sizeof out, "%s/%s", root, name);
    assert_int_equal(arena_new(&arena), OK);
    assert_int_equal(tiny_arguments(out, TINY_MODEL "128,n_layer=2,n_head=4", options, arena, &args), OK);
    trainer_init(&tr, &args, arena);
    assert_int_equal(trainer_open(&tr, true), OK);
    assert_int_equal(trainer_open_training(&tr), OK);
    for (int i = 0; i < SAVED; i++) before[i] = step(&tr);
    if (slow) file_hook(slow_disk, NULL);
    assert_int_equal(trainer_save(&tr), OK);
    while (slow && checkpoint_pending(tr.store) && count < STEPS) during[count++] = step(&tr);
    CheckpointStats stats = checkpoint_stats(tr.store);
    assert_int_equal(checkpoint_wait(tr.store), OK);
    file_hook(NULL, NULL);
    assert_int_equal(checkpoint_saved_step(tr.store), SAVED);
    if (slow) {
        double usual = median(before, SAVED), meanwhile = median(during, count);
        print_message("%d steps while it was written: %.2f ms each, %.2f ms before; %.1f MB copied aside\n", count,
                      1e3 * meanwhile, 1e3 * usual, (double)stats.copied_peak / 1e6);
        assert_true(count > AT_LEAST);
        assert_true(stats.guard_wait_s == 0);
        assert_true(stats.copied_peak > 0);
        assert_true(meanwhile < 3 * usual);
    }
    trainer_close(&tr);
    arena_free(arena);
}

static void *content(Arena *arena, const char *name, const char *file, size_t *size)
{
    char path[160], *text;
    snprintf(path, sizeof path, "%s/%s/checkpoint-%d/%s", root, name, SAVED, file);
    if (file_read_all(path, arena, 1 << 28, &text, size) != OK) fail_msg("%s", status_message());
    return text;
}

static void steps_go_on_at_their_pace_while_a_slow_disk_writes_the_moment_of_the_save(void **state)
{
    (void)state;
    static const char *const files[] = {"model.safetensors", "optimizer.safetensors"};
    Arena *arena;
    log_set(LOG_ERROR, 0);
    assert_int_equal(arena_new(&arena), OK);
    run("quick", false);
    run("slow", true);
    for (int i = 0; i < 2; i++) {
        size_t n, m;
        void *want = content(arena, "quick", files[i], &n), *have = content(arena, "slow", files[i], &m);
        if (n != m || memcmp(want, have, n) != 0) fail_msg("%s is not that of the moment of the save", files[i]);
    }
    arena_free(arena);
}

static int set_up(void **state)
{
    (void)state;
    assert_true(tiny_directory(root));
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    return dir_remove(root) != OK;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(steps_go_on_at_their_pace_while_a_slow_disk_writes_the_moment_of_the_save)};
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
