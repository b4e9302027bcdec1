/* The promise of bits. full_determinism: one sha256 of the weights, and the same losses and norms, for every split of
 * the same updates over ranks, accumulation, batches and threads, on each instruction set; and adding in another order
 * shows. Otherwise: the same run twice.
 *
 * The program starts itself under mpirun; each of these processes does many runs and prints a line for each. */
#include "tests/trainer/ragged_run.h"

#include <mpi.h>

#include "kernels/kernels.h"

enum { UPDATE = 24 /* samples */, LINES = 256, OUTPUT_BYTES = 1 << 17 };

/* ---- in the ranks ---- */

static const char *dir; /* their output_dir */

static void print_run(const char *name, const RunResult *r)
{
    if (r->st) fprintf(stderr, "%s: %s\n", name, status_message());
    if (group_check_equal(world, "the weights", group_hash(r->weights, sizeof r->weights)))
        fprintf(stderr, "%s: %s\n", name, status_message());
    if (world->rank) return;
    printf("%s: %s", name, r->st ? "failed" : r->weights);
    for (int i = 0; i < r->logged; i++) printf(" %a %a", r->loss[i], r->norm[i]);
    printf("\n");
    fflush(stdout);
}

typedef struct Case {
    const char *isa;
    int hidden, batch, threads;
} Case;

static void run_case(const Case *c)
{
    char name[128], options[1024];
    setenv("HONE_ISA", c->isa, 1);
    snprintf(name, sizeof name, "%s %d", c->isa, c->hidden); /* what must have one hash */
    /* 4 and 7 blocks of parameters: some of six ranks own nothing, or all own something */
    snprintf(options, sizeof options,
             "--config_overrides n_embd=%d,n_layer=2,n_head=4,vocab_size=1777,n_positions=136 --full_determinism "
             "--max_steps 2 "
             "--per_device_train_batch_size %d --gradient_accumulation_steps %d --num_threads %d --learning_rate 1e-2 "
             "--weight_decay 0.1",
             c->hidden, c->batch, UPDATE / world->size / c->batch, c->threads);
    ragged_count = UPDATE; /* the second update is another epoch, in another order */
    ragged_length = length_1_to_130;
    RunResult r = ragged_run(wrap(world, true, 0), dir, options);
    print_run(name, &r);
}

static const char *const SETS[] = {"base", "avx2", "avx512"};

/* All of it on the best set, some of it on the others. */
static void run_splits(void)
{
    unsigned isa = isa_detect();
    int best = isa & ISA_AVX512 ? 2 : isa & ISA_AVX2 ? 1 : 0;
    for (int hidden = 64; hidden <= 96; hidden += 32) {
        for (int batch = 1; batch <= 4; batch *= 2)
            for (int threads = 1; threads <= 2; threads++)
                if (hidden == 64 || (batch == 2) == (threads == 1))
                    run_case(&(Case){SETS[best], hidden, batch, threads});
        for (int set = 0; set < best; set++)
            run_case(&(Case){SETS[set], hidden, 2, 1 + (world->size + hidden / 32) % 2});
    }
}

static void run_one(void) { run_case(&(Case){"", 64, 2, 1}); }

/* Ranks of two threads; an epoch's last update leaves one of them without a sample. */
static void run_normal(void)
{
    static const char *const normalizations[] = {"tokens", "hf"};
    unsetenv("HONE_ISA");
    for (int i = 0; i < 2; i++) {
        char options[1024];
        snprintf(options, sizeof options,
                 "--config_overrides n_embd=96,n_layer=2,n_head=4,vocab_size=1777,n_positions=136 --max_steps 3 "
                 "--per_device_train_batch_size 4 "
                 "--gradient_accumulation_steps 2 --num_threads 2 --accelerator_config {\"even_batches\":false} "
                 "--loss_normalization %s",
                 normalizations[i]);
        ragged_count = 16 + 4; /* of two ranks: an update of 2 x 2 x 4, then rank 0 alone */
        ragged_length = length_1_to_130;
        RunResult r = ragged_run(wrap(world, true, 0), dir, options);
        print_run(normalizations[i], &r);
    }
}

/* Nothing to predict at all. */
static void run_no_targets(void)
{
    for (int full = 0; full < 2; full++) {
        char options[1024];
        snprintf(options, sizeof options,
                 "--config_overrides n_embd=64,n_layer=1,n_head=4,vocab_size=777,n_positions=136 --max_steps 2 "
                 "--per_device_train_batch_size 2 "
                 "--num_threads 1 %s",
                 full ? "--full_determinism" : "");
        ragged_count = 12;
        ragged_length = length_1;
        RunResult r = ragged_run(wrap(world, true, 0), dir, options);
        print_run("no targets", &r);
    }
}

static int child(const char *what, const char *directory)
{
    open_world();
    dir = directory;
    if (!strcmp(what, "splits")) run_splits();
    gradients_test_order(!strcmp(what, "defect"));
    if (!strcmp(what, "defect") || !strcmp(what, "one")) run_one();
    if (!strcmp(what, "normal")) run_normal();
    if (!strcmp(what, "no_targets")) run_no_targets();
    int initialized; /* after whole runs: by ranks only */
    MPI_Initialized(&initialized);
    if (initialized != (world->size > 1)) printf("MPI: failed\n");
    return close_world(0);
}

/* ---- the tests ---- */

static char temporary[] = "/tmp/hone-determinism-XXXXXX";

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

typedef struct Lines {
    char *line[LINES]; /* "name: hash numbers" */
    int count;
    char text[OUTPUT_BYTES];
} Lines;

/* Adds what the ranks print. */
static void run_ranks(int ranks, const char *environment, const char *what, Lines *lines)
{
    char self[512] = "", command[2048], mpi[128] = "", *rest = NULL;
    static size_t used;
    if (!lines->count) used = 0;
    assert_true(readlink("/proc/self/exe", self, sizeof self - 1) > 0);
    if (ranks > 1) snprintf(mpi, sizeof mpi, "mpirun --oversubscribe --timeout 200 -np %d", ranks);
    snprintf(command, sizeof command,
             "OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 %s %s %s child %s %s/out", environment, mpi,
             self, what, temporary);
    FILE *f = popen(command, "r");
    assert_non_null(f);
    char *text = lines->text + used;
    size_t got = fread(text, 1, sizeof lines->text - used - 1, f);
    text[got] = '\0';
    used += got + 1;
    assert_int_equal(pclose(f), 0);
    for (char *line = strtok_r(text, "\n", &rest); line && lines->count < LINES; line = strtok_r(NULL, "\n", &rest))
        lines->line[lines->count++] = line;
}

static size_t name_bytes(const char *line) { return (size_t)(strchr(line, ':') - line); }

/* Lines of one name are one line. Returns how many names there are. */
static int assert_one_hash_a_name(const Lines *lines)
{
    int names = 0;
    for (int i = 0; i < lines->count; i++) {
        int first = 0;
        size_t bytes = name_bytes(lines->line[i]) + 1;
        assert_null(strstr(lines->line[i], "failed"));
        while (strncmp(lines->line[first], lines->line[i], bytes)) first++;
        names += first == i;
        if (strcmp(lines->line[first], lines->line[i]))
            fail_msg("lines %d and %d differ:\n%s\n%s", first, i, lines->line[first], lines->line[i]);
    }
    return names;
}

static void full_determinism_is_one_hash_for_every_split(void **state)
{
    (void)state;
    static Lines lines;
    static const int ranks[] = {1, 2, 3, 6};
    for (int i = 0; i < 4; i++) run_ranks(ranks[i], "", "splits", &lines);
    unsigned isa = isa_detect();
    int sets = 1 + !!(isa & ISA_AVX2) + !!(isa & ISA_AVX512);
    assert_int_equal(lines.count, 4 * (6 + 3 + 2 * (sets - 1)));
    assert_int_equal(assert_one_hash_a_name(&lines), 2 * sets);
}

/* Else the test above would pass whatever is added in which order. */
static void adding_in_another_order_is_noticed(void **state)
{
    (void)state;
    static Lines lines;
    run_ranks(1, "", "defect", &lines);
    run_ranks(2, "", "defect", &lines);
    assert_int_equal(lines.count, 2);
    assert_string_not_equal(lines.line[0], lines.line[1]);
}

/* By messages as by shared memory. */
static void ranks_without_shared_memory_give_the_same(void **state)
{
    (void)state;
    static Lines lines;
    run_ranks(1, "", "one", &lines);
    run_ranks(3, "HONE_SHM=0", "one", &lines);
    assert_int_equal(lines.count, 2);
    assert_int_equal(assert_one_hash_a_name(&lines), 1);
}

static void the_same_run_gives_the_same_bits(void **state)
{
    (void)state;
    static Lines lines;
    run_ranks(2, "", "normal", &lines);
    run_ranks(2, "", "normal", &lines);
    assert_int_equal(lines.count, 4);
    assert_int_equal(assert_one_hash_a_name(&lines), 2);
}

static void an_update_without_targets_moves_nothing(void **state)
{
    (void)state;
    static Lines lines;
    run_ranks(1, "", "no_targets", &lines);
    run_ranks(2, "", "no_targets", &lines);
    assert_int_equal(lines.count, 4);
    assert_int_equal(assert_one_hash_a_name(&lines), 1);
    assert_non_null(strstr(lines.line[0], " 0x0p+0 0x0p+0 0x0p+0 0x0p+0"));
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(full_determinism_is_one_hash_for_every_split),
        cmocka_unit_test(adding_in_another_order_is_noticed),
        cmocka_unit_test(ranks_without_shared_memory_give_the_same),
        cmocka_unit_test(the_same_run_gives_the_same_bits),
        cmocka_unit_test(an_update_without_targets_moves_nothing),
    };
    if (argc == 4 && !strcmp(argv[1], "child")) return child(argv[2], argv[3]);
    return cmocka_run_group_tests(tests, setup, teardown) ? 1 : 0;
}
