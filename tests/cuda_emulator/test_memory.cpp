/* The cache of device memory (kernels/cuda/memory.cu): pieces do not overlap, are handed out again without asking the
 * device, go back when it has no more; and what is wrong with a piece is found as it would be with a block. */
#include <csetjmp>
#include <cstdarg>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>

extern "C" {
#include <cmocka.h>
}

#include "kernels/cuda/cuda.h"
#include "kernels/cuda/launch.cuh"
#include "tests/cuda_emulator/bugs.h"
#include "tests/cuda_emulator/calls.h"

static const size_t MB = 1 << 20;
enum { DEVICE_MB = 64 };

static __global__ void put(float *x, int64_t i, float value) { x[i] = value; }

static uint64_t allocations() { return emu::calls(emu::Call::ALLOCATE); }

static void pieces_do_not_overlap_and_are_counted(void **)
{
    Stream *s = stream_new();
    std::map<char *, size_t> mine;
    uint64_t random = 7;
    size_t most = 0, sum = 0;
    for (int round = 0; round < 600; round++) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        if (mine.size() < 12 && random >> 63) {
            size_t bytes = random >> 40 & 1 ? random >> 33 & 0xFFF : random >> 33 & 0x1FFFFF;
            char *p = static_cast<char *>(stream_allocate(s, bytes));
            assert_non_null(p);
            assert_int_equal(reinterpret_cast<uintptr_t>(p) % 256, 0);
            auto behind = mine.upper_bound(p);
            if (behind != mine.end()) assert_true(p + bytes <= behind->first);
            if (behind != mine.begin()) assert_true(std::prev(behind)->first + std::prev(behind)->second <= p);
            kernels_cuda()->fill_zero(s, p, bytes);
            mine[p] = bytes;
        } else if (!mine.empty()) {
            auto it = mine.begin();
            std::advance(it, (ptrdiff_t)((random >> 20) % mine.size()));
            stream_release(s, it->first);
            mine.erase(it);
        }
        sum = 0;
        for (auto &entry : mine) sum += entry.second;
        StreamMemory m = stream_memory(s);
        assert_true(m.allocated >= sum && m.allocated <= m.peak && m.allocated <= m.reserved);
        most = m.peak > most ? m.peak : most;
        assert_true(m.peak == most);
    }
    for (auto &entry : mine) stream_release(s, entry.first);
    assert_int_equal(stream_memory(s).allocated, 0);
    stream_trim(s); /* all pieces have become whole blocks again */
    assert_int_equal(stream_memory(s).reserved, 0);
    assert_false(stream_failed(s));
    stream_free(s);
}

static void what_was_released_serves_again_without_a_word_to_the_device(void **)
{
    static const size_t sizes[] = {100, 3 * MB, 0, 700000, 5 * MB + 1, 2000};
    Stream *s = stream_new();
    void *pieces[6], *first = nullptr;
    uint64_t before = 0, waits = 0;
    for (int step = 0; step < 5; step++) {
        for (int i = 0; i < 6; i++) pieces[i] = stream_allocate(s, sizes[i]);
        for (int i = 5; i >= 0; i--) stream_release(s, pieces[i]);
        if (!step) before = allocations(), waits = emu::calls(emu::Call::SYNCHRONIZE), first = pieces[4];
        assert_ptr_equal(pieces[4], first);
    }
    assert_int_equal(allocations(), before);
    assert_int_equal(emu::calls(emu::Call::SYNCHRONIZE), waits);
    assert_true(stream_memory(s).requests <= 3);
    stream_free(s);
}

static void a_small_piece_holds_no_large_block(void **)
{
    Stream *s = stream_new();
    void *large = stream_allocate(s, 6 * MB);
    stream_release(s, large);
    void *small = stream_allocate(s, 100);
    stream_trim(s);
    assert_int_equal(stream_memory(s).reserved, 2 * MB);
    stream_release(s, small);
    stream_free(s);
}

static void what_is_kept_goes_back_before_memory_is_out(void **)
{
    Stream *s = stream_new();
    void *a = stream_allocate(s, 15 * MB), *b = stream_allocate(s, 15 * MB), *c;
    assert_true(a && b);
    stream_release(s, a), stream_release(s, b);
    assert_non_null(c = stream_allocate(s, 31 * MB)); /* two blocks are kept that cannot be one, and 64 MB are all */
    assert_true(stream_memory(s).reserved == 32 * MB);
    assert_null(stream_allocate(s, 100 * MB));
    const char *says = stream_memory_failure(s);
    for (const char *word : {"cuda:0", "asked for 100.0 MB", "0.03 GB in use here", "of 0.06 GB free"})
        if (!strstr(says, word)) fail_msg("no `%s` in `%s`", word, says);
    assert_false(stream_failed(s));
    assert_null(stream_allocate(s, SIZE_MAX));
    assert_null(stream_allocate(s, SIZE_MAX - 300));
    stream_release(s, c);
    stream_free(s);
}

static void scratch_that_is_out_of_memory_says_how_much(void **)
{
    Stream *s = stream_new();
    float *x = static_cast<float *>(stream_allocate(s, 4));
    assert_null(s->backend->scratch(s, 0, 2, 200 * MB));
    assert_true(stream_failed(s));
    assert_non_null(strstr(stream_message(s), "scratch memory: out of memory: cuda:0: asked for 200.0 MB"));
    stream_clear(s);
    assert_non_null(s->backend->scratch(s, 0, 2, 1000));
    stream_release(s, x);
    stream_free(s);
}

static void releasing_twice_is_told(void **)
{
    Stream *s = stream_new();
    void *p = stream_allocate(s, 100);
    stream_release(s, p);
    stream_release(s, p);
    assert_true(stream_failed(s));
    assert_non_null(strstr(stream_message(s), "or twice"));
    stream_free(s);
}

/* ---- in the order of the stream ------------------------------ */
/* Another stream that still reads a piece has to be waited for before it is released. */
static void released_under_a_reader(bool wait)
{
    Stream *s = stream_new(), *t = stream_new();
    cudaEvent_t done;
    float *out = nullptr;
    cudaEventCreateWithFlags(&done, cudaEventDisableTiming);
    require(cudaHostAlloc(reinterpret_cast<void **>(&out), sizeof *out, 0) == cudaSuccess);
    for (int round = 0; round < 4; round++) {
        float *x = static_cast<float *>(stream_allocate(s, 400));
        launch(put, 1, 1, 0, s, x, (int64_t)7, (float)round);
        cudaEventRecord(done, cuda_queue(s)), cudaStreamWaitEvent(cuda_queue(t), done, 0);
        cudaMemcpyAsync(out, x + 7, sizeof *out, cudaMemcpyDeviceToHost, cuda_queue(t));
        if (wait) cudaEventRecord(done, cuda_queue(t)), cudaStreamWaitEvent(cuda_queue(s), done, 0);
        stream_release(s, x);
        float *y = static_cast<float *>(stream_allocate(s, 400)); /* the same place */
        launch(put, 1, 1, 0, s, y, (int64_t)7, -1.0f);
        stream_sync(t);
        require(*out == (float)round);
        stream_sync(s);
        stream_release(s, y);
    }
}
static void not_waited() { released_under_a_reader(false); }
static void waited() { released_under_a_reader(true); }
static void reuse_without_order_across_streams_shows(void **)
{
    expect_seeds_to_differ(not_waited);
    expect_well(waited);
}

static void in_order()
{
    Stream *s = stream_new();
    float *out = nullptr;
    require(cudaHostAlloc(reinterpret_cast<void **>(&out), 4 * sizeof *out, 0) == cudaSuccess);
    for (int i = 0; i < 4; i++) { /* nobody waits in between */
        float *x = static_cast<float *>(stream_allocate(s, 400));
        launch(put, 1, 1, 0, s, x, (int64_t)7, (float)i);
        cudaMemcpyAsync(out + i, x + 7, sizeof *out, cudaMemcpyDeviceToHost, cuda_queue(s));
        stream_release(s, x);
    }
    stream_sync(s);
    for (int i = 0; i < 4; i++) require(out[i] == (float)i);
}
static void reuse_in_the_streams_order_needs_no_waiting(void **) { expect_well(in_order); }

/* ---- bugs with pieces ------------------------------ */
static void writes_at(int64_t i)
{
    Stream *s = stream_new();
    float *x = static_cast<float *>(stream_allocate(s, 400)), *y = static_cast<float *>(stream_allocate(s, 400));
    launch(put, 1, 1, 0, s, x, i, 1.0f);
    stream_sync(s);
    stream_release(s, x), stream_release(s, y);
    stream_free(s);
}
static void bugs_with_pieces_are_found(void **)
{
    expect_well([] { writes_at(99); });
    expect_report([] { writes_at(100); }, {"write outside device memory by the kernel: 0 bytes behind the end of piece",
                                           "(400 bytes)", "kernel put<<<"});
    expect_report(
        [] {
            Stream *s = stream_new();
            float *x = static_cast<float *>(stream_allocate(s, 400));
            stream_release(s, x);
            launch(put, 1, 1, 0, s, x, (int64_t)0, 1.0f);
        },
        {"a kernel's argument", "lies in no piece of cuda:0; was it released?"});
    expect_report(
        [] {
            Stream *s = stream_new();
            float *x = static_cast<float *>(stream_allocate(s, 400));
            kernels_cuda()->fill_zero(s, x, 401);
        },
        {"cudaMemsetAsync: 401 bytes, where piece", "has 400 left"});
    expect_report( /* an address that is kept: late, and behind the release */
        [] {
            Stream *s = stream_new();
            float *x = static_cast<float *>(stream_allocate(s, 400)), *y = static_cast<float *>(stream_allocate(s,
                400));
            stream_release(s, x);
            launch(put, 1, 1, 0, s, y, x - y + (int64_t)3, 1.0f);
            stream_allocate(s, 400);
            stream_sync(s);
        },
        {"write to freed memory: byte 12 of what was piece"});
    expect_well([] { /* fresh: NaN, though it was another's before */
        Stream *s = stream_new();
        float *x = static_cast<float *>(stream_allocate(s, 400)), value;
        kernels_cuda()->fill_zero(s, x, 400);
        stream_release(s, x);
        x = static_cast<float *>(stream_allocate(s, 400));
        kernels_cuda()->copy(s, &value, x + 9, sizeof value);
        stream_sync(s);
        require(value != value);
    });
}

int main(void)
{
    char megabytes[16];
    snprintf(megabytes, sizeof megabytes, "%d", DEVICE_MB);
    setenv("HONE_EMU_MEMORY_MB", megabytes, 1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_kept_goes_back_before_memory_is_out),
        cmocka_unit_test(pieces_do_not_overlap_and_are_counted),
        cmocka_unit_test(what_was_released_serves_again_without_a_word_to_the_device),
        cmocka_unit_test(a_small_piece_holds_no_large_block),
        cmocka_unit_test(scratch_that_is_out_of_memory_says_how_much),
        cmocka_unit_test(releasing_twice_is_told),
        cmocka_unit_test(reuse_without_order_across_streams_shows),
        cmocka_unit_test(reuse_in_the_streams_order_needs_no_waiting),
        cmocka_unit_test(bugs_with_pieces_are_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
