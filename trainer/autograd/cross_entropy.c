/* The ends of a model: losses a row, whose gradients are made in forward, so that logits need not be kept. */
#include "trainer/autograd/ops.h"

static void nothing_left(Tape *t, Node *node) { (void)t, (void)node; }

/* Gradients are made in forward, so a block that is run twice would make them twice. */
static bool may_end(Tape *t, const char *op)
{
    if (!t->wants_grad || (t->record && !t->recomputing)) return true;
    tape_fail(t, op, "a loss cannot be inside of recompute()");
    return false;
}

Tensor *op_linear_cross_entropy(Tape *t, Tensor *x, Tensor *weight, const int32_t *labels, const LossSpec *spec)
{
    if (!tape_check_weight(t, "linear_cross_entropy", x, weight)) return NULL;
    if (x->cols != weight->cols) {
        tape_fail(t, "linear_cross_entropy", "x [%lld, %lld], weight [%lld, %lld]", (long long)x->rows,
                  (long long)x->cols, (long long)weight->rows, (long long)weight->cols);
        return NULL;
    }
    if (!may_end(t, "linear_cross_entropy")) return NULL;
    const void *input = tape_data(t, x);
    Tensor *y = tape_new(t, DTYPE_F32, x->rows, 1);
    if (!y) return NULL;
    y->loss = true;
    TAPE_PUSH(t, Node, "linear_cross_entropy", nothing_left, NULL, y, x, weight);
    bool accumulate = false, wants = t->wants_grad && y->needs_grad;
    void *dx = wants ? tape_scratch(t, tensor_bytes(x)) : NULL;
    float *dweight = wants ? tape_weight_grad(t, weight, &accumulate) : NULL;
    if (t->error) return NULL;
    t->k->linear_cross_entropy(t->stream, x->dtype, weight->dtype, y->data, dx, dweight, input, weight->data, labels,
                               x->rows, x->cols, weight->rows, spec->scale, spec->smoothing, spec->softcap,
                               spec->z_loss, accumulate);
    if (dx) tape_give_grad(t, x, dx);
    return y;
}

Tensor *op_cross_entropy(Tape *t, Tensor *logits, const int32_t *labels, const LossSpec *spec)
{
    if (!TAPE_CHECK(t, "cross_entropy", logits) || !may_end(t, "cross_entropy")) return NULL;
    if (logits->dtype != DTYPE_F32) {
        tape_fail(t, "cross_entropy", "logits are %s; it takes float32", dtype_name(logits->dtype));
        return NULL;
    }
    Tensor *y = tape_new(t, DTYPE_F32, logits->rows, 1);
    const void *input = tape_data(t, logits);
    if (!y || t->error) return NULL;
    y->loss = true;
    TAPE_PUSH(t, Node, "cross_entropy", nothing_left, NULL, y, logits);
    void *dlogits = t->wants_grad && y->needs_grad ? tape_scratch(t, tensor_bytes(logits)) : NULL;
    if (t->error) return NULL;
    t->k->cross_entropy(t->stream, y->data, dlogits, input, labels, logits->rows, logits->cols, spec->scale,
                        spec->smoothing, spec->softcap, spec->z_loss);
    if (dlogits) tape_give_grad(t, logits, dlogits);
    return y;
}
