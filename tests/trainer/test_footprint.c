/* links: trainer */
/* Ragged data: after the first step a run asks for no memory, whatever comes; on the CPU, and (HONE_TEST_CUDA) on an
 * emulated device. And that the passes before the first step, which are for that, change no bit. */
#include "tests/trainer/ragged_run.h"

#include <errno.h>
#include <malloc.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { STEPS = 6 };

static char dir[] = "/tmp/hone-footprint-XXXXXX";

#ifdef HONE_TEST_CUDA
#include "tests/cuda_emulator/from_c.h"

#define DEVICE " --device cuda"
#define COUNTED true
static uint64_t asked(void) { return emulator_allocations(); }
#else
#define DEVICE " --device cpu"
static _Atomic uint64_t count;
static uint64_t asked(void) { return count; }

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) /* which have theirs */
#define COUNTED true
/* What tape, kernels and loader get their memory by; libraries have ways of their own. */
extern const char __executable_start, etext;
static bool is_ours(const char *caller) { return caller > &__executable_start && caller < &etext; }
#define CALLER __builtin_return_address(0)

int mprotect(void *address, size_t bytes, int how)
{
    if (how & PROT_WRITE && is_ours(CALLER)) count++;
    return (int)syscall(SYS_mprotect, address, bytes, how);
}

int posix_memalign(void **memory, size_t alignment, size_t bytes)
{
    if (is_ours(CALLER)) count++;
    return (*memory = memalign(alignment, bytes)) ? 0 : ENOMEM;
}

void *aligned_alloc(size_t alignment, size_t bytes)
{
    if (bytes >= 1 << 20 && is_ours(CALLER)) count++; /* a loader's; small ones are of who prints and logs */
    return memalign(alignment, bytes);
}
#else
#define COUNTED false
#endif
#endif

static int passes[STEPS + 1];
static uint64_t at[STEPS + 1], longest_at[STEPS + 1], last_of_first;

/* When the first pass of an update is queued, and the last of the first update. */
static Tensor *loss(Tape *t, const Model *m, const Batch *batch, const LossSpec *spec)
{
    if (t->training && !passes[t->update]++) at[t->update] = asked();
    if (t->training && (uint64_t)batch->max_seqlen > longest_at[t->update])
        longest_at[t->update] = (uint64_t)batch->max_seqlen;
    if (t->training && !t->update) last_of_first = asked();
    return task_text_generation.loss(t, m, batch, spec);
}

static RunResult run(const char *options)
{
    char text[2048];
    memset(passes, 0, sizeof passes), memset(at, 0, sizeof at), memset(longest_at, 0, sizeof longest_at);
    snprintf(text, sizeof text,
             "--config_overrides n_embd=16,n_layer=2,n_head=2,vocab_size=320,n_positions=128 --num_threads 2 "
             "--max_steps %d --train_sampling_strategy sequential --learning_rate 1e-2%s %s",
             STEPS, DEVICE, options);
    ragged_loss = loss;
    RunResult r = ragged_run(wrap(world, true, 0), dir, text);
    if (r.st) fail_msg("%s: %s", options, status_message());
    return r;
}

/* Short, but for one far behind; another one in the first micro-batch of a later update makes the most rows. */
static int64_t late(int64_t i) { return i == 13 ? 120 : i >= 16 && i < 20 ? 60 : 32 + i % 3; }

static int setup(void **state)
{
    (void)state;
    ragged_count = 24;
    ragged_length = late;
    return group_open(&world) != OK || !mkdtemp(dir);
}

static int teardown(void **state)
{
    (void)state;
    group_close(world);
    return dir_remove(dir) != OK;
}

static void nothing_is_asked_for_after_the_first_step(void **state)
{
    (void)state;
    static const char *const runs[] = {
        "--per_device_train_batch_size 4",
        "--per_device_train_batch_size 2 --gradient_accumulation_steps 2",
        "--per_device_train_batch_size 4 --gradient_checkpointing",
#ifdef HONE_TEST_CUDA /* on the CPU products get at their operands in another way from 64 rows on */
        "--per_device_train_batch_size 2 --gradient_accumulation_steps 2 --full_determinism",
        "--per_device_train_batch_size 4 --bf16",
#endif
    };
    for (size_t i = 0; i < sizeof runs / sizeof *runs; i++) {
        run(runs[i]);
        assert_true(longest_at[1] < 40 && longest_at[3] == 120 && longest_at[4] == 60);
        assert_int_equal(at[1] > 0, COUNTED);
        for (int u = 2; u < STEPS; u++)
            if (at[u] != at[1])
                fail_msg("%s: update %d asked for memory %d times", runs[i], u, (int)(at[u] - at[u - 1]));
    }
}

#ifdef HONE_TEST_CUDA
enum { REHEARSED = 2 };
#else
enum { REHEARSED = 0 };
#endif

static void passes_before_the_first_step_change_no_bit(void **state)
{
    (void)state;
    static const char *const options = "--per_device_train_batch_size 4 --gradient_accumulation_steps 1";
    RunResult ragged = run(options);
    assert_int_equal(passes[0], 1 + REHEARSED);
    assert_int_equal(passes[1], 1);
    ragged_count = 12; /* the same first three updates, without what is large: nothing is computed before */
    RunResult shorter = run(options);
    assert_int_equal(passes[0], 1 + (REHEARSED ? 1 : 0)); /* of rows alone: it has the longest, too */
    ragged_count = 24;
    assert_memory_equal(ragged.loss, shorter.loss, 3 * sizeof *ragged.loss);
    assert_memory_equal(ragged.norm, shorter.norm, 3 * sizeof *ragged.norm);
    RunResult again = run(options);
    assert_string_equal(again.weights, ragged.weights);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_asked_for_after_the_first_step),
        cmocka_unit_test(passes_before_the_first_step_change_no_bit),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
