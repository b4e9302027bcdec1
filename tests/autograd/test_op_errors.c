/* links: test_support */
/* What ops do with arguments that do not fit, with NULL, and when memory runs out at any point: the tape has the first
 * error, nothing crashes, and the tape works again afterwards. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "tests/autograd/fd_case.h"

typedef struct Place {
    Stream *stream;
    Tape tape;
    Batch batch;
    int32_t *cu, *sample, *positions;
    float *data; /* [5, 40] zeros */
    Tensor x, y, weight, wide, row, small; /* [5, 6], [5, 7], [6, 6], [5, 40], [1, 6], [3, 6] */
} Place;

static const int32_t zeros[5];

static int open_place(void **state)
{
    Place *p = calloc(1, sizeof *p);
    assert_non_null(p);
    p->stream = fd_stream_new(1);
    assert_ok(tape_open(&p->tape, fd_best(), p->stream, NULL));
    static const float nothing[5 * 40];
    p->data = fd_there(nothing, sizeof nothing);
    p->cu = fd_there((int32_t[]){0, 5}, 2 * sizeof(int32_t));
    p->sample = fd_there(zeros, sizeof(int32_t)), p->positions = fd_there(zeros, sizeof zeros);
    p->batch = (Batch){.num_seqs = 1,
                       .max_seqlen = 5,
                       .rows = 5,
                       .cu_seqlens = p->cu,
                       .sample = p->sample,
                       .position_ids = p->positions};
    Tensor t = {.dtype = DTYPE_F32, .rows = 5, .cols = 6, .data = p->data, .slot = -1, .needs_grad = true};
    p->x = p->y = p->weight = p->wide = p->row = p->small = t;
    p->y.cols = 7, p->weight.rows = 6, p->wide.cols = 40, p->row.rows = 1, p->small.rows = 3;
    *state = p;
    return 0;
}

static int close_place(void **state)
{
    Place *p = *state;
    fd_give(p->data), fd_give(p->cu), fd_give(p->sample), fd_give(p->positions);
    tape_close(&p->tape);
    stream_free(p->stream);
    free(p);
    return 0;
}

static const LossSpec loss_spec = {.scale = 1};
static const AttentionSpec attention_spec = {.heads = 2, .kv_heads = 1, .head_dim = 3, .scale = 1};

static AttentionSpec spec_with(int heads, int kv_heads, int head_dim, int64_t q_col)
{
    return (AttentionSpec){.heads = heads, .kv_heads = kv_heads, .head_dim = head_dim, .scale = 1, .q_col = q_col};
}

/* begin; the call must return NULL; the error names the op and has `says`. */
#define REFUSED(p, op, says, call)                                                                                   \
    do {                                                                                                             \
        tape_begin(&(p)->tape, TAPE_TRAIN, &(p)->batch, 0);                                                          \
        assert_null(call);                                                                                           \
        assert_int_equal(tape_status(&(p)->tape), STATUS_BUG);                                                       \
        if (!strstr(status_message(), "op " op ":") || !strstr(status_message(), says))                              \
            fail_msg("%s: the message is `%s`", #call, status_message());                                            \
    } while (0)

static void arguments_that_do_not_fit_are_the_tapes_error(void **state)
{
    Place *p = *state;
    Tape *t = &p->tape;
    AttentionSpec odd = spec_with(3, 2, 2, 0), wide = spec_with(2, 1, 9, 0), negative = spec_with(2, 1, 3, -1),
                  none = spec_with(0, 1, 3, 0);
    REFUSED(p, "linear", "x [5, 7], weight 6 to 6", op_linear(t, &p->y, &p->weight, NULL, OUT_IN, ACT_NONE));
    REFUSED(p, "linear", "weight 6 to 6", op_linear(t, &p->x, &p->weight, &p->y, IN_OUT, ACT_GELU));
    REFUSED(p, "gated", "gate [5, 6], up [5, 7]", op_gated(t, &p->x, &p->y, ACT_SILU));
    REFUSED(p, "layer_norm", "x [5, 7], weight [6]", op_layer_norm(t, &p->y, &p->row, NULL, 1e-5f));
    REFUSED(p, "layer_norm", "weight [6]", op_layer_norm(t, &p->x, &p->row, &p->y, 1e-5f));
    REFUSED(p, "rms_norm", "x [5, 7], weight [6]", op_rms_norm(t, &p->y, &p->row, 1e-5f, 0));
    REFUSED(p, "lora_down", "x [5, 7], a [6, 6]", op_lora_down(t, &p->y, &p->weight, NULL, 0));
    REFUSED(p, "lora_down", "no one matrix", op_lora_down(t, &p->x, &p->weight, (Tensor *[]){&p->weight}, 1));
    REFUSED(p, "lora_up", "onto [5, 7], u [5, 6] from 0", op_lora_up(t, &p->y, &p->x, 0, &p->weight, 1));
    REFUSED(p, "lora_up", "u [5, 6] from 1", op_lora_up(t, &p->x, &p->x, 1, &p->weight, 1));
    REFUSED(p, "scale", "input 0 is missing", op_scale(t, NULL, 2));
    REFUSED(p, "embedding", "onto [5, 7]", op_embedding(t, &p->y, &p->weight, zeros, 5, -1));
    REFUSED(p, "embedding", "rows 5", op_embedding(t, &p->small, &p->weight, zeros, 5, -1));
    REFUSED(p, "dropout_add", "residual [5, 7]", op_dropout_add(t, &p->x, &p->y, 0));
    REFUSED(p, "attention", "heads do not divide", op_attention(t, &p->wide, &p->wide, &p->wide, &odd));
    REFUSED(p, "attention", "heads do not divide", op_attention(t, &p->wide, &p->wide, &p->wide, &none));
    REFUSED(p, "attention", "too few columns", op_attention(t, &p->x, &p->x, &p->x, &wide));
    REFUSED(p, "attention", "negative", op_attention(t, &p->x, &p->x, &p->x, &negative));
    REFUSED(p, "attention", "v [3, 6]", op_attention(t, &p->x, &p->x, &p->small, &attention_spec));
    REFUSED(p, "rope", "[5, 6]", op_rope(t, &p->x, p->data, p->data, 2, 4, 4));
    REFUSED(p, "rope", "5 of them rotated", op_rope(t, &p->wide, p->data, p->data, 2, 6, 5));
    REFUSED(p, "rope", "[3, 6]", op_rope(t, &p->small, p->data, p->data, 1, 6, 6));
    REFUSED(p, "linear_cross_entropy", "x [5, 7], weight [6, 6]",
            op_linear_cross_entropy(t, &p->y, &p->weight, zeros, &loss_spec));
}

/* What is frozen may have its file's dtype; what trains may not, and not every dtype is one of numbers. */
static void a_weight_has_xs_dtype_or_is_frozen(void **state)
{
    Place *p = *state;
    Tape *t = &p->tape;
    Tensor other = p->weight, *w = &other;
    other.dtype = DTYPE_BF16;
    REFUSED(p, "linear", "input 1 is bfloat16, the first float32", op_linear(t, &p->x, w, NULL, OUT_IN, ACT_NONE));
    REFUSED(p, "linear_cross_entropy", "input 1 is bfloat16", op_linear_cross_entropy(t, &p->x, w, zeros, &loss_spec));
    REFUSED(p, "embedding", "input 1 is bfloat16, the first float32", op_embedding(t, &p->x, w, zeros, 5, -1));
    REFUSED(p, "lora_down", "input 1 is bfloat16", op_lora_down(t, &p->x, w, NULL, 0));
    other.needs_grad = false;
    tape_begin(t, TAPE_TRAIN, &p->batch, 0);
    Tensor *y = op_linear(t, &p->x, w, NULL, OUT_IN, ACT_NONE);
    assert_non_null(y);
    assert_int_equal(y->dtype, DTYPE_F32);
    assert_non_null(op_embedding(t, y, w, p->positions, 5, -1));
    assert_ok(tape_status(t));
    other.dtype = DTYPE_I32;
    REFUSED(p, "linear", "the weight is int32; it may be float32, bfloat16 or float16",
            op_linear(t, &p->x, w, NULL, OUT_IN, ACT_NONE));
    REFUSED(p, "embedding", "the weight is int32", op_embedding(t, &p->x, w, zeros, 5, -1));
}

static void null_gives_null_and_the_first_error_stays(void **state)
{
    Place *p = *state;
    Tape *t = &p->tape;
    REFUSED(p, "linear", "input 0 is missing", op_linear(t, NULL, &p->weight, NULL, OUT_IN, ACT_NONE));
    assert_null(op_linear(t, &p->x, NULL, NULL, OUT_IN, ACT_NONE)); /* all of these come after an error */
    assert_null(op_gated(t, &p->x, NULL, ACT_SILU));
    assert_null(op_lora_down(t, &p->x, NULL, NULL, 0));
    assert_null(op_lora_up(t, &p->x, NULL, 0, &p->weight, 1));
    assert_null(op_activation(t, NULL, ACT_SILU));
    assert_null(op_dropout(t, NULL, 0.1f));
    assert_null(op_layer_norm(t, &p->x, NULL, NULL, 0));
    assert_null(op_rms_norm(t, NULL, &p->row, 0, 0));
    assert_null(op_embedding(t, NULL, NULL, zeros, 5, -1));
    assert_null(op_dropout_add(t, NULL, &p->x, 0));
    assert_null(op_attention(t, &p->x, NULL, &p->x, &attention_spec));
    assert_null(op_rope(t, NULL, p->data, p->data, 1, 6, 6));
    assert_null(op_linear_cross_entropy(t, NULL, &p->weight, zeros, &loss_spec));
    assert_null(op_cross_entropy(t, NULL, zeros, &loss_spec));
    assert_null(op_recompute(t, NULL, NULL, NULL, &p->batch));
    assert_null(op_gated(t, &p->x, &p->x, ACT_SILU)); /* fits, but the tape has failed */
    assert_int_equal(tape_backward(t, NULL, NULL), STATUS_BUG);
    assert_non_null(strstr(status_message(), "op linear: input 0 is missing"));

    REFUSED(p, "linear", "input 1 is missing", op_linear(t, &p->x, NULL, NULL, OUT_IN, ACT_NONE));
    REFUSED(p, "gated", "input 1 is missing", op_gated(t, &p->x, NULL, ACT_SILU));
    REFUSED(p, "layer_norm", "input 1 is missing", op_layer_norm(t, &p->x, NULL, NULL, 0));
    REFUSED(p, "rms_norm", "input 0 is missing", op_rms_norm(t, NULL, &p->row, 0, 0));
    REFUSED(p, "embedding", "input 0 is missing", op_embedding(t, NULL, NULL, zeros, 5, -1));
    REFUSED(p, "dropout_add", "input 0 is missing", op_dropout_add(t, NULL, &p->x, 0));
    REFUSED(p, "attention", "input 1 is missing", op_attention(t, &p->x, NULL, &p->x, &attention_spec));
    REFUSED(p, "rope", "input 0 is missing", op_rope(t, NULL, p->data, p->data, 1, 6, 6));
    REFUSED(p, "linear_cross_entropy", "input 1 is missing",
            op_linear_cross_entropy(t, &p->x, NULL, zeros, &loss_spec));
    REFUSED(p, "cross_entropy", "input 0 is missing", op_cross_entropy(t, NULL, zeros, &loss_spec));
    REFUSED(p, "recompute", "input 0 is missing", op_recompute(t, NULL, NULL, NULL, &p->batch));

    tape_begin(t, TAPE_TRAIN, &p->batch, 0); /* and the tape is well again */
    assert_non_null(op_gated(t, &p->x, &p->x, ACT_SILU));
    assert_ok(tape_status(t));
}

static void a_tensor_whose_storage_was_taken_is_not_to_be_used(void **state)
{
    Place *p = *state;
    Tape *t = &p->tape;
    tape_begin(t, TAPE_TRAIN, &p->batch, 0);
    Tensor *h = op_linear(t, &p->x, &p->weight, NULL, OUT_IN, ACT_NONE);
    assert_non_null(op_rope(t, h, p->data, p->data, 1, 6, 6)); /* takes h's place */
    assert_null(op_gated(t, h, h, ACT_SILU));
    assert_int_equal(tape_status(t), STATUS_BUG);
    assert_non_null(strstr(status_message(), "was consumed by an op in place"));
}

static Tensor *loss_block(Tape *t, const void *layer, Tensor *x, const Batch *batch)
{
    (void)batch;
    return op_cross_entropy(t, op_linear(t, x, (Tensor *)(uintptr_t)layer, NULL, OUT_IN, ACT_NONE), zeros, &loss_spec);
}

static void a_loss_in_a_recomputed_block_is_refused(void **state)
{
    Place *p = *state;
    p->tape.checkpointing = true;
    REFUSED(p, "cross_entropy", "recompute", op_recompute(&p->tape, loss_block, &p->weight, &p->x, &p->batch));
}

static void backward_needs_a_loss_or_a_gradient(void **state)
{
    Place *p = *state;
    tape_begin(&p->tape, TAPE_TRAIN, &p->batch, 0);
    Tensor *y = op_gated(&p->tape, &p->x, &p->x, ACT_SILU);
    assert_int_equal(tape_backward(&p->tape, y, NULL), STATUS_BUG);
}

/* With so many bytes in nodes, region and pool: OK, or STATUS_MEMORY and no crash. */
static Status within(FdCase *c, const size_t limits[3])
{
    Region *parts[3] = {&c->tape->nodes, &c->tape->region, &c->tape->pool.region};
    size_t whole[3];
    for (int i = 0; i < 3; i++) whole[i] = parts[i]->reserved, parts[i]->reserved = limits[i];
    tape_begin(c->tape, TAPE_TRAIN, &c->batch, 0);
    Status st = fd_gradients(c);
    if (st && (st != STATUS_MEMORY || !strstr(status_message(), "out of memory")))
        fail_msg("op %s: %s", c->op->name, status_message());
    for (int i = 0; i < 3; i++) parts[i]->reserved = whole[i];
    return st;
}

static void memory_may_run_out_anywhere(void **state)
{
    Place *p = *state;
    for (size_t o = 0; o < FD_OPS; o += FD_EVERY) {
        FdCase c;
        fd_open(&c, &fd_ops[o], (Shape){5, 13, 7}, &p->tape);
        c.twice = true;
        assert_ok(fd_gradients(&c)); /* what the limits below take away is memory already */
        for (int part = 0; part < 3; part++) {
            size_t limits[3] = {1 << 20, 1 << 20, 1 << 20};
            int failures = 0;
            for (limits[part] = 0; within(&c, limits); limits[part] += FD_STEP) failures++;
            assert_true(failures > (part == 0)); /* head and node, the output, the gradient at least */
        }
        assert_ok(fd_gradients(&c));
        fd_close(&c);
    }
}

static Tensor *gated_block(Tape *t, const void *layer, Tensor *x, const Batch *batch)
{
    (void)layer, (void)batch;
    return op_gated(t, x, op_gated(t, x, x, ACT_SILU), ACT_GELU);
}

static void memory_may_run_out_in_a_recomputed_block(void **state)
{
    Place *p = *state;
    Region *parts[3] = {&p->tape.nodes, &p->tape.region, &p->tape.pool.region};
    Status st;
    p->tape.checkpointing = true;
    tape_begin(&p->tape, TAPE_TRAIN, &p->batch, 0);
    assert_non_null(op_gated(&p->tape, &p->x, &p->x, ACT_SILU)); /* the stacks have their first memory */
    for (int part = 0; part < 3; part++) {
        size_t whole = parts[part]->reserved;
        int failures = 0;
        for (size_t limit = 0;; limit += 64, failures++) {
            parts[part]->reserved = limit;
            p->x.grad = NULL;
            tape_begin(&p->tape, TAPE_TRAIN, &p->batch, 0);
            Tensor *y = op_recompute(&p->tape, gated_block, NULL, &p->x, &p->batch);
            st = tape_status(&p->tape);
            if (!st) st = tape_backward(&p->tape, y, p->data);
            if (!st) break;
            assert_int_equal(st, STATUS_MEMORY);
        }
        parts[part]->reserved = whole;
        assert_true(failures > 2);
    }
}

int main(void)
{
#define PLACE(test) cmocka_unit_test_setup_teardown(test, open_place, close_place)
    const struct CMUnitTest tests[] = {
        PLACE(arguments_that_do_not_fit_are_the_tapes_error),
        PLACE(a_weight_has_xs_dtype_or_is_frozen),
        PLACE(null_gives_null_and_the_first_error_stays),
        PLACE(a_tensor_whose_storage_was_taken_is_not_to_be_used),
        PLACE(a_loss_in_a_recomputed_block_is_refused),
        PLACE(backward_needs_a_loss_or_a_gradient),
        PLACE(memory_may_run_out_anywhere),
        PLACE(memory_may_run_out_in_a_recomputed_block),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
