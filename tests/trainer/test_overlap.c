/* runs: alone */
/* Communication hides behind backward in a whole run: two ranks whose n buckets each take d longer. A step then takes
 * the larger of backward and n d, not their sum, and the log says what was hidden. Times are compared with those of the
 * same process a moment before, the best of some tries: other programs make a step longer, but none makes one shorter
 * that waits for each bucket, which takes the work and all communication always. (A bucket costs more than d: ranks and
 * their reducers share the cores; the log has what it was.) Where other programs want the cores many times over, only
 * the log is judged.
 *
 * The program starts itself under mpirun. */
#include "tests/trainer/ragged_run.h"

enum { TRIES = 3, STEPS = 4 };

typedef struct Times {
    double step, hidden, exposed;
    int buckets;
} Times; /* seconds of one step */

/* The median step and its communication; d: of each bucket, sent as a message. */
static Times run(const char *dir, double d)
{
    char options[1024];
    snprintf(options, sizeof options,
             "--config_overrides n_embd=192,n_layer=4,n_head=4,vocab_size=320,n_positions=256 --max_steps %d "
             "--per_device_train_batch_size 1 "
             "--num_threads 1",
             STEPS);
    ragged_count = 2 * STEPS;
    ragged_length = length_256;
    RunResult r = ragged_run(wrap(world, false, d), dir, options);
    if (r.st) {
        fprintf(stderr, "%s\n", status_message());
        group_abort(world, 1);
    }
    Times t = {.step = r.step_ms / 1e3, .buckets = r.buckets};
    for (int i = 1; i < r.logged; i++)
        t.hidden += r.hidden_s[i] / (r.logged - 1), t.exposed += r.exposed_s[i] / (r.logged - 1);
    return t;
}

static int child(const char *dir)
{
    open_world();
    Times base = run(dir, 0);
    double step = base.step, work = base.step - base.exposed;
    group_broadcast(world, &work, sizeof work, 0);
    double d = 0.5 * work / base.buckets; /* less than backward, which is two thirds of the work */
    Times hidden = run(dir, d), limit = run(dir, 4 * d);
    if (!world->rank)
        printf("%d buckets, delays %.4f; step %.4f exposed %.4f; step %.4f hidden %.4f exposed %.4f; "
               "step %.4f hidden %.4f exposed %.4f\n",
               base.buckets, d * base.buckets, step, base.exposed, hidden.step, hidden.hidden, hidden.exposed,
               limit.step, limit.hidden, limit.exposed);
    return close_world(0);
}

/* ---- the tests ---- */

static char temporary[] = "/tmp/hone-overlap-XXXXXX";

static int setup(void **state)
{
    (void)state;
    return !mkdtemp(temporary);
}

static int teardown(void **state)
{
    (void)state;
    return dir_remove(temporary) != OK;
}

/* By how much a step is shorter than the work of one without delays and its own communication, one after the other. */
static double saved(const Times *base, const Times *t)
{
    return base->step - base->exposed + t->hidden + t->exposed - t->step;
}

static void communication_hides_behind_the_backward_of_a_run(void **state)
{
    (void)state;
    char self[512] = "", command[2048];
    double delays;
    Times base, less, more; /* without delays; with fewer than backward takes; with more */
    int buckets;
    bool fills = false, hides = false, overlaps = false;
    assert_true(readlink("/proc/self/exe", self, sizeof self - 1) > 0);
    snprintf(command, sizeof command,
             "OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 mpirun --oversubscribe --timeout 100 -np 2 %s "
             "child %s/out",
             self, temporary);
    for (int i = 0; i < TRIES && !(fills && hides && overlaps); i++) {
        char line[512];
        FILE *f = popen(command, "r");
        assert_non_null(f);
        assert_non_null(fgets(line, sizeof line, f));
        assert_int_equal(pclose(f), 0);
        print_message("%s", line);
        assert_int_equal(sscanf(line,
                                "%d buckets, delays %lf; step %lf exposed %lf; step %lf hidden %lf exposed %lf; "
                                "step %lf hidden %lf exposed %lf",
                                &buckets, &delays, &base.step, &base.exposed, &less.step, &less.hidden, &less.exposed,
                                &more.step, &more.hidden, &more.exposed),
                         10);
        assert_true(buckets >= 12);
        assert_true(less.hidden + less.exposed > 0.95 * delays); /* all of it is told */
        fills |= less.hidden > 0.25 * (base.step - base.exposed);
        hides |= saved(&base, &less) > 0.3 * base.step;
        overlaps |= saved(&base, &more) > 0.3 * base.step;
    }
    if (!fills) fail_msg("in none of %d tries did communication fill much of backward", TRIES);
    if (hides && overlaps) return;
    double load = 0;
    getloadavg(&load, 1);
    if (load <= 1.5 * (double)sysconf(_SC_NPROCESSORS_ONLN))
        fail_msg("in none of %d tries was a step shorter than the sum", TRIES);
    print_message("load %.1f: too much to tell a step's time; what was hidden is told by the log alone\n", load);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(communication_hides_behind_the_backward_of_a_run)};
    if (argc == 3 && !strcmp(argv[1], "child")) return child(argv[2]);
    return cmocka_run_group_tests(tests, setup, teardown) ? 1 : 0;
}
