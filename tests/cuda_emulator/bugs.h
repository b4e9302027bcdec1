/* What the tests of seeded bugs share: a bug runs in a child process, for several seeds, and what it prints is looked
 * at. */
#ifndef TESTS_CUDA_EMULATOR_BUGS_H
#define TESTS_CUDA_EMULATOR_BUGS_H

#include <csetjmp>
#include <cstdarg>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>

#include <sys/wait.h>
#include <unistd.h>

extern "C" {
#include <cmocka.h>
}

#include "kernels/cuda/cuda.h"
#include "kernels/cuda/launch.cuh"

/* What the child printed, and whether it ended well. */
static std::string outcome(void (*body)(), uint64_t seed, bool *well)
{
    int pipes[2], status;
    assert_int_equal(pipe(pipes), 0);
    fflush(stdout);
    pid_t child = fork();
    assert_true(child >= 0);
    if (!child) {
        dup2(pipes[1], 2);
        close(pipes[0]);
        alarm(60); /* a child may hang */
        emu::set_seed(seed);
        body();
        _exit(0);
    }
    close(pipes[1]);
    std::string text;
    char part[4096];
    for (ssize_t n; (n = read(pipes[0], part, sizeof part)) > 0;) text.append(part, (size_t)n);
    close(pipes[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    *well = WIFEXITED(status) && !WEXITSTATUS(status);
    return text;
}

enum { SEEDS = 8 };

[[maybe_unused]] static void expect_report(void (*body)(), std::initializer_list<const char *> words)
{
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        bool well;
        std::string text = outcome(body, seed, &well);
        if (well) fail_msg("seed %d: nothing was found", (int)seed);
        for (const char *word : words)
            if (text.find(word) == std::string::npos)
                fail_msg("seed %d: no \"%s\" in: %s", (int)seed, word, text.c_str());
    }
}

[[maybe_unused]] static void expect_well(void (*body)())
{
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        bool well;
        std::string text = outcome(body, seed, &well);
        if (!well) fail_msg("seed %d: %s", (int)seed, text.c_str());
    }
}

/* Not right for some seed, right for another: what a missing synchronisation looks like. */
[[maybe_unused]] static void expect_seeds_to_differ(void (*body)())
{
    int good = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        bool well;
        outcome(body, seed, &well);
        good += well;
    }
    if (good == 0 || good == SEEDS) fail_msg("%d of %d seeds went well", good, (int)SEEDS);
}

[[maybe_unused]] static Stream *stream_new()
{
    char message[200];
    Stream *s = stream_new_cuda(0, message);
    if (!s) fprintf(stderr, "%s\n", message), _exit(2);
    return s;
}

static void require(bool holds)
{
    if (!holds) _exit(3);
}

[[maybe_unused]] static float *device_floats(int n)
{
    void *p = nullptr;
    require(cudaMalloc(&p, (size_t)n * sizeof(float)) == cudaSuccess);
    return static_cast<float *>(p);
}

[[maybe_unused]] static float host_value(const float *p)
{
    float x;
    require(cudaMemcpy(&x, p, sizeof x, cudaMemcpyDeviceToHost) == cudaSuccess);
    return x;
}

#endif
