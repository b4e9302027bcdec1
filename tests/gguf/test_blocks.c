/* links: checkpoint */
/* Random blocks of every type against the Python package gguf, bit for bit, and back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "trainer/checkpoint/safetensors.h"
#include "trainer/gguf/gguf.h"
#include "trainer/gguf/layout.h"

static const char *const types[] = {"F32",  "F16",  "BF16", "Q4_0", "Q4_1", "Q5_0",
                                    "Q5_1", "Q8_0", "Q4_K", "Q5_K", "Q6_K"};
enum { COUNT = sizeof types / sizeof *types, NUMBERS = 3 * 256 };

static Gguf *g;
static Safetensors *golden;

static int open_files(void **state)
{
    (void)state;
    if (gguf_open(FIXTURES "/gguf/blocks.gguf", &g) || safetensors_open(FIXTURES "/gguf/blocks.safetensors", &golden))
        fail_msg("%s", status_message());
    return 0;
}

static int close_files(void **state)
{
    (void)state;
    gguf_close(g);
    safetensors_close(golden);
    return 0;
}

static void every_type_is_dequantized_as_gguf_does_it(void **state)
{
    (void)state;
    float have[NUMBERS], want[NUMBERS];
    unsigned char blocks[NUMBERS * 4];
    for (int i = 0; i < COUNT; i++) {
        const GgufTensor *t = gguf_tensor_find(g, types[i]);
        assert_non_null(t);
        assert_string_equal(t->type->name, types[i]);
        assert_int_equal(t->numel, NUMBERS);
        assert_int_equal(gguf_read_blocks(g, t, 0, NUMBERS, blocks), OK);
        t->type->dequantize(have, blocks, NUMBERS);
        assert_int_equal(tensor_read(safetensors_find(golden, types[i]), 0, NUMBERS, DTYPE_F32, want), OK);
        for (int k = 0; k < NUMBERS; k++)
            if (memcmp(&have[k], &want[k], sizeof *have))
                fail_msg("%s: element %d is %.9g, gguf has %.9g", types[i], k, (double)have[k], (double)want[k]);
    }
}

static void parts_of_a_tensor_are_the_whole(void **state)
{
    (void)state;
    float whole[NUMBERS], part[256];
    unsigned char blocks[NUMBERS * 4];
    for (int i = 0; i < COUNT; i++) {
        const GgufTensor *t = gguf_tensor_find(g, types[i]);
        assert_int_equal(gguf_read_blocks(g, t, 0, NUMBERS, blocks), OK);
        t->type->dequantize(whole, blocks, NUMBERS);
        for (int first = 0; first < NUMBERS; first += 256) {
            assert_int_equal(gguf_read_blocks(g, t, first, 256, blocks), OK);
            t->type->dequantize(part, blocks, 256);
            assert_memory_equal(part, whole + first, sizeof part);
        }
        if (t->type->elements > 1) assert_int_equal(gguf_read_blocks(g, t, 1, 256, blocks), STATUS_BUG);
        assert_int_equal(gguf_read_blocks(g, t, 512, 512, blocks), STATUS_BUG);
        assert_int_equal(gguf_read_blocks(g, t, -256, 256, blocks), STATUS_BUG);
    }
}

static void q8_0_is_made_as_gguf_makes_it(void **state)
{
    (void)state;
    float x[NUMBERS];
    unsigned char have[NUMBERS / 32 * 34], want[NUMBERS / 32 * 34];
    assert_int_equal(tensor_read(safetensors_find(golden, "from"), 0, NUMBERS, DTYPE_F32, x), OK);
    assert_int_equal(tensor_read(safetensors_find(golden, "to.Q8_0"), 0, sizeof want, DTYPE_U8, want), OK);
    gguf_type_by_name("Q8_0")->quantize(have, x, NUMBERS);
    assert_memory_equal(have, want, sizeof want);
    float halves[32] = {127, 0.5f, 1.5f, 2.5f, -0.5f, -2.5f}; /* of a scale of 1: away from zero */
    static const signed char rounded[6] = {127, 1, 2, 3, -1, -3};
    gguf_type_by_name("Q8_0")->quantize(have, halves, 32);
    assert_memory_equal(have + 2, rounded, sizeof rounded);
}

static void the_sixteen_bit_types_and_f32_come_back_as_they_were(void **state)
{
    (void)state;
    float x[NUMBERS];
    unsigned char blocks[NUMBERS * 4], again[NUMBERS * 4];
    for (int i = 0; i < 3; i++) {
        const GgufTensor *t = gguf_tensor_find(g, types[i]);
        assert_int_equal(gguf_read_blocks(g, t, 0, NUMBERS, blocks), OK);
        t->type->dequantize(x, blocks, NUMBERS);
        t->type->quantize(again, x, NUMBERS);
        assert_memory_equal(again, blocks, (size_t)(NUMBERS * t->type->bytes));
    }
}

static void every_types_block_divides_the_parts_that_threads_take(void **state)
{
    (void)state;
    for (uint32_t id = 0; id < 64; id++) {
        const GgufType *t = gguf_type_by_id(id);
        if (t) assert_true(GGUF_BLOCK % t->elements == 0 && gguf_type_by_name(t->name) == t);
    }
    assert_null(gguf_type_by_id(0xffffffff));
}

static void heads_are_paired_and_unpaired(void **state)
{
    (void)state;
    /* two heads of 6 rows of 1: 0 1 2 | 3 4 5 become 0 3 1 4 2 5 */
    const float x[12] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}, want[12] = {0, 3, 1, 4, 2, 5, 6, 9, 7, 10, 8, 11};
    float y[12], z[12];
    heads_to_gguf(y, x, 12, 6, 1);
    assert_memory_equal(y, want, sizeof y);
    heads_from_gguf(z, y, 12, 6, 1);
    assert_memory_equal(z, x, sizeof z);
    transpose(y, x, 3, 4);
    assert_true(y[0] == 0 && y[1] == 4 && y[2] == 8 && y[3] == 1 && y[11] == 11);
    transpose(z, y, 4, 3);
    assert_memory_equal(z, x, sizeof z);
}

static void parts_hold_whole_heads(void **state)
{
    (void)state;
    assert_int_equal(part_rows(100, 10, GGUF_SAME, 6), 100);
    assert_int_equal(part_rows(1 << 24, 1 << 10, GGUF_SAME, 6), PART_ELEMENTS >> 10);
    assert_int_equal(part_rows(60000, 1 << 10, GGUF_PAIRED_Q, 6) % 6, 0);
    assert_int_equal(part_rows(600, 1 << 23, GGUF_PAIRED_KV, 6), 6);
    assert_int_equal(part_rows(600, 1 << 23, GGUF_SAME, 6), 1);
    assert_int_equal(part_rows(1 << 20, 1 << 10, GGUF_TRANSPOSED, 6), 1 << 20);
}

static void decimals_are_the_shortest(void **state)
{
    (void)state;
    assert_true(gguf_shortest(1e-5f) == 1e-5 && gguf_shortest(0.1f) == 0.1 && gguf_shortest(3) == 3);
    assert_true((float)gguf_shortest(1.0f / 3) == 1.0f / 3 && gguf_shortest(5e5f) == 5e5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_type_is_dequantized_as_gguf_does_it),
        cmocka_unit_test(parts_of_a_tensor_are_the_whole),
        cmocka_unit_test(q8_0_is_made_as_gguf_makes_it),
        cmocka_unit_test(the_sixteen_bit_types_and_f32_come_back_as_they_were),
        cmocka_unit_test(every_types_block_divides_the_parts_that_threads_take),
        cmocka_unit_test(heads_are_paired_and_unpaired),
        cmocka_unit_test(parts_hold_whole_heads),
        cmocka_unit_test(decimals_are_the_shortest),
    };
    return cmocka_run_group_tests(tests, open_files, close_files);
}
