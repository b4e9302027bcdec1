/* links: test_support */
/* Keys and values that are kept: reading texts piece by piece gives what reading them whole gives, for the sequences
 * that are chosen, after forgetting and after copying; misuse is an error. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/second_model.h"
#include "tests/support/test_model.h"
#include "trainer/nn/kv_cache.h"

enum { SEQS = 4, LONGEST = 21 };
static const int lengths[SEQS] = {9, 1, 21, 6};

typedef struct Texts {
    int32_t ids[SEQS][LONGEST];
    float *whole[SEQS]; /* hidden states of each text read alone and whole */
} Texts;

/* Positions go on where the cached ones ended. */
static Batch piece(const Texts *x, const KvCache *c, const int *seqs, const int *rows, int count)
{
    int32_t ids[SEQS * LONGEST], cu[SEQS + 1] = {0};
    for (int i = 0; i < count; i++) {
        int64_t from = c ? kv_cache_length(c, seqs[i]) : 0;
        memcpy(ids + cu[i], x->ids[seqs[i]] + from, (size_t)rows[i] * sizeof *ids);
        cu[i + 1] = cu[i] + rows[i];
    }
    Batch b = test_batch(ids, cu, count);
    for (int i = 0; i < count; i++)
        for (int32_t r = cu[i]; c && r < cu[i + 1]; r++)
            ((int32_t *)(uintptr_t)b.position_ids)[r] += (int32_t)kv_cache_length(c, seqs[i]);
    return b;
}

static Tensor *read_piece(TestModel *m, KvCache *c, const int *seqs, const Batch *b)
{
    if (c) assert_ok(kv_cache_begin(c, seqs, b, b));
    tape_begin(&m->tape, TAPE_EVAL, b, 0);
    m->tape.cache = c;
    Tensor *hidden = model_forward(&m->tape, m->model, b);
    assert_ok(tape_status(&m->tape));
    assert_non_null(hidden);
    return hidden;
}

static void open_texts(TestModel *m, Texts *x)
{
    for (int s = 0; s < SEQS; s++) {
        for (int i = 0; i < lengths[s]; i++) x->ids[s][i] = (int32_t)((uint32_t)(100 * s + i) * 2654435761u >> 8) % 61;
        Batch b = piece(x, NULL, &s, &lengths[s], 1);
        Tensor *hidden = read_piece(m, NULL, NULL, &b);
        size_t bytes = (size_t)lengths[s] * (size_t)m->model->hidden_size * sizeof(float);
        x->whole[s] = malloc(bytes);
        assert_non_null(x->whole[s]);
        memcpy(x->whole[s], hidden->data, bytes);
        test_batch_free(&b);
    }
}

static void close_texts(Texts *x)
{
    for (int s = 0; s < SEQS; s++) free(x->whole[s]);
}

/* Reads `rows` more of each of the sequences and compares. */
static void check_piece(TestModel *m, KvCache *c, const Texts *x, const int *seqs, const int *rows, int count)
{
    int64_t width = m->model->hidden_size;
    Batch b = piece(x, c, seqs, rows, count);
    Tensor *hidden = read_piece(m, c, seqs, &b);
    for (int i = 0; i < count; i++)
        assert_close("hidden", (float *)hidden->data + b.cu_seqlens[i] * width,
                     x->whole[seqs[i]] + kv_cache_length(c, seqs[i]) * width, rows[i] * width, 1e-5, 1e-3);
    kv_cache_advance(c);
    test_batch_free(&b);
}

static void check_model(TestModel *m)
{
    Texts x;
    KvCache *c;
    open_texts(m, &x);
    assert_ok(kv_cache_new(m->tape.k, m->stream, (int)m->model->num_layers, SEQS, LONGEST, m->model->kv_width, &c));
    check_piece(m, c, &x, (int[]){0, 1, 2, 3}, (int[]){4, 1, 17, 1}, 4); /* ragged beginnings */
    check_piece(m, c, &x, (int[]){0, 2, 3}, (int[]){1, 1, 1}, 3);        /* one row each; sequence 1 has left */
    check_piece(m, c, &x, (int[]){0, 3}, (int[]){3, 4}, 2);
    check_piece(m, c, &x, (int[]){2}, (int[]){1}, 1);

    memcpy(x.ids[1], x.ids[2], sizeof x.ids[1]); /* another text, from a copy of what was read of sequence 2 */
    float *own = x.whole[1];
    x.whole[1] = x.whole[2];
    kv_cache_copy(c, 2, 1);
    assert_int_equal(kv_cache_length(c, 1), 19);
    check_piece(m, c, &x, (int[]){1, 2}, (int[]){2, 1}, 2);
    x.whole[1] = own;

    check_piece(m, c, &x, (int[]){0, 2}, (int[]){1, 1}, 2);
    assert_int_equal(kv_cache_length(c, 0), 9);
    assert_int_equal(kv_cache_length(c, 2), 21);
    kv_cache_free(c);
    close_texts(&x);
}

static void pieces_give_what_the_whole_gives(void **state)
{
    (void)state;
    for (unsigned isa = ISA_BASE; isa <= ISA_AVX512; isa <<= 1) {
        TestModel m;
        if (!(isa_detect() & isa)) continue;
        test_model_open(&m, FIXTURES "/models/gpt2_tiny", isa, 2);
        check_model(&m);
        test_model_close(&m);
    }
}

/* Rotary positions, more query heads than key heads. */
static void so_it_does_for_grouped_heads_and_rotary_positions(void **state)
{
    (void)state;
    TestModel m = {0};
    assert_ok(second_model_new(32, 2, 61, 0, &m.model));
    m.weights = aligned_alloc(64, ((size_t)m.model->params.flat_count * sizeof(float) + 63) / 64 * 64);
    assert_non_null(m.weights);
    parameters_bind(&m.model->params, m.weights, NULL);
    model_draw(m.model, 3);
    Parameter *odd =
        parameter_find(&m.model->params, "odd.weight"); /* its branch depends on the number of sequences: taken out */
    assert_non_null(odd);
    memset(odd->value.data, 0, tensor_bytes(&odd->value));
    m.stream = stream_new_cpu(1);
    assert_non_null(m.stream);
    assert_ok(tape_open(&m.tape, kernels_cpu(isa_detect()), m.stream, &m.model->params));
    check_model(&m);
    test_model_close(&m);
}

static void misuse_is_an_error(void **state)
{
    (void)state;
    TestModel m;
    Texts x;
    KvCache *c;
    test_model_open(&m, FIXTURES "/models/gpt2_tiny", isa_detect(), 1);
    open_texts(&m, &x);
    assert_ok(kv_cache_new(m.tape.k, m.stream, (int)m.model->num_layers, 2, 5, m.model->kv_width, &c));
    Batch b = piece(&x, NULL, (int[]){0, 3}, (int[]){4, 2}, 2);
    assert_int_equal(kv_cache_begin(c, (int[]){1, 0}, &b, &b), STATUS_BUG);
    assert_non_null(strstr(status_message(), "ascending"));
    assert_int_equal(kv_cache_begin(c, (int[]){0, 0}, &b, &b), STATUS_BUG);
    assert_int_equal(kv_cache_begin(c, (int[]){0, 2}, &b, &b), STATUS_BUG);
    assert_ok(kv_cache_begin(c, (int[]){0, 1}, &b, &b));
    tape_begin(&m.tape, TAPE_TRAIN, &b, 0); /* nothing is kept for backward */
    m.tape.cache = c;
    assert_null(model_forward(&m.tape, m.model, &b));
    assert_int_equal(tape_status(&m.tape), STATUS_BUG);
    read_piece(&m, c, (int[]){0, 1}, &b);
    kv_cache_advance(c);
    test_batch_free(&b);

    b = piece(&x, c, (int[]){0}, (int[]){2}, 1); /* 4 + 2 of 5 */
    assert_int_equal(kv_cache_begin(c, (int[]){0}, &b, &b), STATUS_BUG);
    assert_non_null(strstr(status_message(), "grows to 6 tokens, the cache holds 5"));
    kv_cache_free(c);
    assert_ok(kv_cache_new(m.tape.k, m.stream, (int)m.model->num_layers, 1, 5, m.model->kv_width - 1,
                           &c)); /* of another model */
    assert_ok(kv_cache_begin(c, (int[]){0}, &b, &b));
    tape_begin(&m.tape, TAPE_EVAL, &b, 0);
    m.tape.cache = c;
    assert_null(model_forward(&m.tape, m.model, &b));
    assert_int_equal(tape_status(&m.tape), STATUS_BUG);
    test_batch_free(&b);
    kv_cache_free(c);
    assert_int_equal(kv_cache_new(m.tape.k, m.stream, 1 << 20, 1 << 20, INT64_MAX / 4, 1 << 20, &c), STATUS_MEMORY);
    close_texts(&x);
    test_model_close(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces_give_what_the_whole_gives),
        cmocka_unit_test(so_it_does_for_grouped_heads_and_rotary_positions),
        cmocka_unit_test(misuse_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
