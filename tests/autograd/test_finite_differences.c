/* links: test_support */
/* Every op against central differences, on each instruction set (and on a device, in f32): odd widths, one row and
 * none, empty sequences, inputs that are used twice or need no gradient. The same comparison fails for kernels that are
 * wrong on purpose. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "tests/autograd/fd_case.h"

/* Measured: 4e-5 at most, and 5e-4 for ten ops on top of each other; kernels wrong by 5% give 2e-2 and more. */
static const double tolerance = 2e-4, chain_tolerance = 2e-3;

static const Shape shapes[] = {{5, 13, 7}, {1, 17, 3}, {9, 1, 1}, {3, 6, 33}, {0, 5, 4}}; /* the first FD_SHAPES */

typedef struct Place { Stream *stream; Tape tape; } Place;

static void place_open(Place *p, const Kernels *k, int threads)
{
    p->stream = fd_stream_new(threads);
    assert_non_null(p->stream);
    assert_ok(tape_open(&p->tape, k, p->stream, NULL));
}

static void place_close(Place *p)
{
    tape_close(&p->tape);
    stream_free(p->stream);
}

static double worst_of(const Kernels *k, int threads, const FdOp *op, Shape shape, bool twice)
{
    Place p;
    FdCase c;
    place_open(&p, k, threads);
    fd_open(&c, op, shape, &p.tape);
    c.twice = twice;
    double worst = fd_worst(&c);
    fd_close(&c);
    place_close(&p);
    return worst;
}

static void gradients_equal_finite_differences(void **state)
{
    (void)state;
    for (int table = 0; table < FD_TABLES; table++)
        for (size_t o = 0; fd_table(table) && o < FD_OPS; o++)
            for (size_t s = 0; s < FD_SHAPES; s++)
                for (int twice = 0; twice < 2; twice++) {
                    double worst = worst_of(fd_table(table), 1 + (int)(s % 2), &fd_ops[o], shapes[s], twice);
                    if (!(worst <= (strstr(fd_ops[o].name, "chain") ? chain_tolerance : tolerance)))
                        fail_msg("op %s, %s, %d rows, widths %d and %d, %s: %.3g of the gradient's length away",
                                 fd_ops[o].name, fd_table(table)->name, (int)shapes[s].rows, (int)shapes[s].a,
                                 (int)shapes[s].b, twice ? "used twice" : "used once", worst);
                }
}

/* An input that needs no gradient gets none, and the others' have the same bits. */
static void a_frozen_input_changes_nothing_else(void **state)
{
    (void)state;
    const Kernels *k = fd_best();
    for (size_t o = 0; o < FD_OPS; o++)
        for (int frozen = 0; frozen < fd_ops[o].inputs; frozen++) {
            Place p;
            FdCase c;
            float *want[FD_INPUTS];
            place_open(&p, k, 2);
            fd_open(&c, &fd_ops[o], shapes[0], &p.tape);
            assert_ok(fd_gradients(&c));
            for (int i = 0; i < fd_ops[o].inputs; i++) {
                want[i] = fd_here(c.in[i].grad, tensor_bytes(&c.in[i]));
            }
            c.frozen = frozen;
            assert_ok(fd_gradients(&c));
            assert_true(c.in[frozen].param ? !c.params[frozen].grad_written : !c.in[frozen].grad);
            for (int i = 0; i < fd_ops[o].inputs; i++) {
                float *have = i != frozen ? fd_here(c.in[i].grad, tensor_bytes(&c.in[i])) : NULL;
                if (have && memcmp(have, want[i], tensor_bytes(&c.in[i])) != 0)
                    fail_msg("op %s: input %d frozen changes the gradient of input %d", fd_ops[o].name, frozen, i);
                free(want[i]), free(have);
            }
            fd_close(&c);
            place_close(&p);
        }
}

/* ---- kernels that are wrong by 5%, or that forget to add ---- */
static const Kernels *real;
static const float off = 1.05f;

static void wrong_linear_input(Stream *s, Dtype d, Dtype wd, void *dx, const void *dy, const void *w, int64_t rows,
                               int64_t in, int64_t out, WeightLayout l, bool add)
{
    real->linear_backward_input(s, d, wd, dx, dy, w, rows, in, out, l, add);
    real->scale(s, d, dx, off, rows * in);
}
static void wrong_linear_weight(Stream *s, Dtype d, float *dw, float *db, const void *x, const void *dy, int64_t rows,
                                int64_t in, int64_t out, WeightLayout l, bool add)
{
    real->linear_backward_weight(s, d, dw, db, x, dy, rows, in, out, l, add);
    if (db) real->scale(s, d, db, off, out);
}
static void wrong_activation(Stream *s, Dtype d, void *dpre, const void *dy, const void *pre, int64_t n, Activation act)
{
    (void)act;
    real->activation_backward(s, d, dpre, dy, pre, n, ACT_SILU);
}
static void wrong_gated(Stream *s, Dtype d, void *dgate, void *dup, const void *dy, const void *gate, const void *up,
                        int64_t n, Activation act)
{
    real->gated_backward(s, d, dgate, dup, dy, gate, up, n, act);
    real->scale(s, d, dup, off, n);
}
static void wrong_layer_norm(Stream *s, Dtype d, void *dx, float *dw, float *db, const void *dy, const void *x,
                             const float *mean, const float *rstd, const void *w, int64_t rows, int64_t hidden,
                             bool add_x, bool add)
{
    real->layer_norm_backward(s, d, dx, dw, db, dy, x, mean, rstd, w, rows, hidden, add_x, add);
    if (dx) real->scale(s, d, dx, off, rows * hidden);
}
static void wrong_layer_norm_that_forgets(Stream *s, Dtype d, void *dx, float *dw, float *db, const void *dy,
                                          const void *x, const float *mean, const float *rstd, const void *w,
                                          int64_t rows, int64_t hidden, bool add_x, bool add)
{
    (void)add;
    real->layer_norm_backward(s, d, dx, dw, db, dy, x, mean, rstd, w, rows, hidden, add_x, false);
}
static void wrong_rms_norm(Stream *s, Dtype d, void *dx, float *dw, const void *dy, const void *x, const float *rstd,
                           const void *w, int64_t rows, int64_t hidden, float offset, bool add_x, bool add)
{
    real->rms_norm_backward(s, d, dx, dw, dy, x, rstd, w, rows, hidden, offset, add_x, add);
    if (dw) real->scale(s, d, dw, off, hidden);
}
static void wrong_embedding(Stream *s, Dtype d, float *dtable, const void *dy, const int32_t *ids, int64_t rows,
                            int64_t width, int64_t vocab, int64_t padding, bool add)
{
    real->embedding_backward(s, d, dtable, dy, ids, rows - 1, width, vocab, padding, add); /* forgets the last row */
}
static void wrong_dropout(Stream *s, Dtype d, void *dx, const void *dy, int64_t rows, int64_t cols,
                          const Dropout *numbers, bool add)
{
    Dropout other = numbers ? *numbers : (Dropout){0};
    other.op++;
    real->dropout_backward(s, d, dx, dy, rows, cols, numbers ? &other : NULL, add); /* another mask */
}
static void wrong_attention(Stream *s, Dtype d, void *dq, void *dk, void *dv, const void *dout, const void *q,
                            const void *k, const void *v, const void *out, const float *lse,
                            const AttentionShape *shape, const Dropout *numbers)
{
    AttentionShape other = *shape;
    other.window = 1; /* it sees too little */
    real->attention_backward(s, d, dq, dk, dv, dout, q, k, v, out, lse, &other, numbers);
}
static void wrong_rope(Stream *s, Dtype d, void *x, const float *c, const float *sine, const int32_t *positions,
                       int64_t rows, int32_t heads, int32_t head_dim, int32_t rotary, int64_t stride, bool inverse)
{
    (void)inverse; /* backward rotates on */
    real->rope(s, d, x, c, sine, positions, rows, heads, head_dim, rotary, stride, false);
}
static void wrong_loss(Stream *s, float *row_loss, float *dlogits, const float *logits, const int32_t *labels,
                       int64_t rows, int64_t vocab, float scale, float smoothing, float softcap, float z_loss)
{
    real->cross_entropy(s, row_loss, dlogits, logits, labels, rows, vocab, scale, smoothing, softcap, z_loss);
    if (dlogits) real->scale(s, DTYPE_F32, dlogits, off, rows * vocab);
}
static void wrong_linear_loss(Stream *s, Dtype d, Dtype wd, float *row_loss, void *dx, float *dw, const void *x,
                              const void *w, const int32_t *labels, int64_t rows, int64_t hidden, int64_t vocab,
                              float scale, float smoothing, float softcap, float z_loss, bool add)
{
    real->linear_cross_entropy(s, d, wd, row_loss, dx, dw, x, w, labels, rows, hidden, vocab, scale, smoothing, softcap,
                               z_loss, add);
    if (dw) real->scale(s, d, dw, off, hidden * vocab);
}

#define SEED(defect, member, fn) if (defect == i++) return k.member = fn, k
static Kernels seeded(int defect)
{
    Kernels k = *real;
    int i = 0;
    SEED(defect, linear_backward_input, wrong_linear_input);
    SEED(defect, linear_backward_weight, wrong_linear_weight);
    SEED(defect, activation_backward, wrong_activation);
    SEED(defect, gated_backward, wrong_gated);
    SEED(defect, layer_norm_backward, wrong_layer_norm);
    SEED(defect, layer_norm_backward, wrong_layer_norm_that_forgets);
    SEED(defect, rms_norm_backward, wrong_rms_norm);
    SEED(defect, embedding_backward, wrong_embedding);
    SEED(defect, dropout_backward, wrong_dropout);
    SEED(defect, attention_backward, wrong_attention);
    SEED(defect, rope, wrong_rope);
    SEED(defect, cross_entropy, wrong_loss);
    SEED(defect, linear_cross_entropy, wrong_linear_loss);
    return k;
}

static void a_wrong_gradient_is_noticed(void **state)
{
    (void)state;
    /* the op that each defect, in the order above, must make fail */
    static const char *const notices[] = {
        "linear",    "linear",  "linear_gelu", "gated", "layer_norm",    "layer_norm_nobias",   "rms_norm",
        "embedding", "dropout", "attention",   "rope",  "cross_entropy", "linear_cross_entropy"};
    real = fd_table(0);
    for (int defect = 0; defect < (int)(sizeof notices / sizeof *notices); defect++) {
        Kernels k = seeded(defect);
        size_t o = 0;
        while (strcmp(fd_ops[o].name, notices[defect]) != 0) o++;
        double worst = worst_of(&k, 1, &fd_ops[o], shapes[0], true);
        if (!(worst > 50 * tolerance))
            fail_msg("defect %d in op %s went unnoticed: %.3g", defect, notices[defect], worst);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients_equal_finite_differences),
        cmocka_unit_test(a_frozen_input_changes_nothing_else),
        cmocka_unit_test(a_wrong_gradient_is_noticed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
