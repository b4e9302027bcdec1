/* links: tensor */
/* The stacks and pools that the tape lives from, and the room for a batch, on the host and (this file is built twice)
 * on a device: what is handed out does not overlap, holds what is written, and is there again after a release. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#ifdef HONE_TEST_CUDA
#include "kernels/cuda/cuda.h"
#include "tests/cuda_emulator/from_c.h"
#endif
#include "trainer/tensor/batch.h"
#include "trainer/tensor/region.h"

static const Kernels *k;
static Stream *stream;

static int open_stream(void **state)
{
    (void)state;
#ifdef HONE_TEST_CUDA
    char message[200];
    k = kernels_cuda();
    stream = device_ranks_cuda() ? stream_new_cuda(0, message) : NULL; /* linked, not opened */
#else
    k = kernels_cpu(isa_detect());
    stream = stream_new_cpu(1);
#endif
    return !stream;
}

static int close_stream(void **state)
{
    (void)state;
    stream_free(stream);
    return 0;
}

static void write(void *to, int value, size_t bytes)
{
    void *host = malloc(bytes + 1);
    memset(host, value, bytes);
    k->copy(stream, to, host, bytes);
    stream_sync(stream);
    free(host);
}

static bool holds(const void *from, int value, size_t bytes)
{
    unsigned char *host = malloc(bytes + 1);
    bool same = true;
    k->copy(stream, host, from, bytes);
    stream_sync(stream);
    for (size_t i = 0; i < bytes; i++) same &= host[i] == value;
    free(host);
    return same;
}

static const size_t sizes[] = {100, 0, 3 << 20, 64, 5 << 20, 1, 9 << 20, 4096, 1 << 20, 7 << 20, 2 << 20};
enum { SIZES = sizeof sizes / sizeof *sizes };

static void fill(Region *r, void *memory[SIZES])
{
    for (int i = 0; i < SIZES; i++) {
        memory[i] = region_alloc(r, sizes[i]);
        assert_non_null(memory[i]);
        assert_int_equal((uintptr_t)memory[i] % 64, 0);
        write(memory[i], i + 1, sizes[i]);
    }
    for (int i = 0; i < SIZES; i++) assert_true(holds(memory[i], i + 1, sizes[i]));
}

static void a_stack_gives_and_takes_back(void **state)
{
    (void)state;
    Region r;
    void *first[SIZES], *again[SIZES];
    assert_int_equal(region_open(&r, stream), OK);
    fill(&r, first);
    size_t peak = r.peak, committed = r.committed;
    region_release(&r, 0);
    fill(&r, again); /* the same places: nothing new is asked for */
    assert_memory_equal(first, again, sizeof first);
    assert_int_equal(r.peak, peak);
    assert_int_equal(r.committed, committed);

    size_t mark = region_mark(&r);
    void *above = region_alloc(&r, 1000);
    region_release(&r, mark);
    assert_ptr_equal(region_alloc(&r, 1000), above);
    for (int i = 0; i < SIZES; i++) assert_true(holds(again[i], i + 1, sizes[i]));
    region_close(&r);
}

static void a_settled_stack_is_one_block(void **state)
{
    (void)state;
    Region r;
    void *memory[SIZES];
    assert_int_equal(region_open(&r, stream), OK);
    for (int pass = 0; pass < 3; pass++) {
        fill(&r, memory);
        if (r.device && pass == 0) assert_true(r.num_blocks > 1);
        if (r.device && pass > 0) assert_int_equal(r.num_blocks, 1);
        int blocks = r.num_blocks;
        region_settle(&r); /* does nothing: it is in use */
        assert_int_equal(r.num_blocks, blocks);
        assert_true(holds(memory[0], 1, sizes[0]));
        region_release(&r, 0);
        region_settle(&r);
    }
    region_close(&r);
}

static void a_stack_that_is_full_says_so(void **state)
{
    (void)state;
    Region r;
    assert_int_equal(region_open(&r, stream), OK);
    size_t whole = r.reserved;
    assert_non_null(region_alloc(&r, 1 << 20));
    r.reserved = (1 << 20) + 1024;
    assert_null(region_alloc(&r, 4096));
    assert_non_null(strstr(status_message(), "lower per_device_train_batch_size"));
    assert_null(region_alloc(&r, SIZE_MAX));
    assert_null(region_alloc(&r, SIZE_MAX - 100));
    assert_non_null(region_alloc(&r, 1024));
    r.reserved = whole;
    assert_non_null(region_alloc(&r, 4096));
    region_close(&r);
}

static void a_pool_takes_freed_buffers_again(void **state)
{
    (void)state;
    Pool p;
    assert_int_equal(pool_open(&p, stream), OK);
    void *a = pool_alloc(&p, 3 << 20), *b = pool_alloc(&p, 1000);
    write(a, 7, 3 << 20);
    pool_free(&p, b, 1000);
    assert_ptr_equal(pool_alloc(&p, 900), b);
    assert_true(holds(a, 7, 3 << 20));
    pool_free(&p, b, 900);
    pool_free(&p, a, 3 << 20);
    pool_free(&p, NULL, 5);
    assert_int_equal(p.region.used, 0);
    pool_close(&p);
}

static void a_batch_lies_where_kernels_read_it(void **state)
{
    (void)state;
    enum { ROWS = 37 };
    int32_t ids[ROWS], positions[ROWS], labels[ROWS], cu[] = {0, 20, ROWS}, sample[] = {4, 2}, back[ROWS];
    for (int i = 0; i < ROWS; i++) ids[i] = i * 3, positions[i] = i % 20, labels[i] = -i;
    Batch host = {.num_seqs = 2, .rows = ROWS, .max_seqlen = 20, .ids = ids, .position_ids = positions,
                  .labels = labels, .cu_seqlens = cu, .sample = sample, .targets = 5}, there;
    BatchRoom room = {0};
    for (int rows = ROWS; rows >= 0; rows -= ROWS) { /* and one with nothing in it */
        host.rows = rows, host.num_seqs = rows ? 2 : 0;
        assert_int_equal(batch_place(&room, k, stream, &host, &there), OK);
        assert_int_equal(there.targets, 5);
        assert_null(there.token_type_ids);
        const int32_t *pairs[][2] = {{ids, there.ids}, {positions, there.position_ids}, {labels, there.labels},
                                     {cu, there.cu_seqlens}, {sample, there.sample}};
        const int64_t counts[] = {rows, rows, rows, host.num_seqs + 1, host.num_seqs};
        for (int i = 0; i < 5; i++) {
            assert_true(stream_is_device(stream) || pairs[i][0] == pairs[i][1]);
            k->copy(stream, back, pairs[i][1], (size_t)counts[i] * sizeof *back);
            stream_sync(stream);
            assert_memory_equal(back, pairs[i][0], (size_t)counts[i] * sizeof *back);
        }
    }
    assert_false(stream_failed(stream));
    batch_room_free(&room);
}

/* Batch after batch without a stop, each from arrays that change at once: what is computed with one is done with it
 * before the next comes into its place, and staging is not written over before it was read. */
static void batches_overlap_and_do_not_mix(void **state)
{
    (void)state;
    enum { ROWS = 100, BATCHES = 12, SEEDS = 10 };
    static int32_t ids[2 * ROWS], cu[] = {0, ROWS}, sample[] = {0};
    if (!stream_is_device(stream)) skip();
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        BatchRoom room = {0};
        Batch host = {.num_seqs = 1, .ids = ids, .cu_seqlens = cu, .sample = sample}, there;
        int32_t *sum = stream_allocate(stream, sizeof ids * BATCHES), back[BATCHES][2 * ROWS];
#ifdef HONE_TEST_CUDA
        emulator_seed(seed);
#endif
        for (int b = 0; b < BATCHES; b++) {
            host.rows = host.max_seqlen = cu[1] = b == 5 ? 2 * ROWS : ROWS - b; /* it grows once */
            for (int i = 0; i < host.rows; i++) ids[i] = 1000 * b + i;
            assert_int_equal(batch_place(&room, k, stream, &host, &there), OK);
            memset(ids, 0xee, sizeof ids);
            k->copy(stream, sum + (size_t)b * 2 * ROWS, there.ids, (size_t)host.rows * sizeof *ids);
        }
        k->copy(stream, back, sum, sizeof back);
        stream_sync(stream);
        for (int b = 0; b < BATCHES; b++)
            for (int i = 0; i < (b == 5 ? 2 * ROWS : ROWS - b); i++)
                if (back[b][i] != 1000 * b + i)
                    fail_msg("seed %d: batch %d has %d at %d", (int)seed, b, back[b][i], i);
        batch_room_free(&room);
        stream_release(stream, sum);
    }
    assert_false(stream_failed(stream));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_stack_gives_and_takes_back),    cmocka_unit_test(a_settled_stack_is_one_block),
        cmocka_unit_test(a_stack_that_is_full_says_so),    cmocka_unit_test(a_pool_takes_freed_buffers_again),
        cmocka_unit_test(a_batch_lies_where_kernels_read_it), cmocka_unit_test(batches_overlap_and_do_not_mix),
    };
    return cmocka_run_group_tests(tests, open_stream, close_stream);
}
