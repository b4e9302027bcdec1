/* act(x W + bias). */
#include "trainer/autograd/ops.h"

typedef struct LinearNode {
    Node node; /* in: x, weight, bias */
    WeightLayout layout;
    Activation act;
    int64_t in, out;
    void *pre; /* [T, out], with an activation only */
} LinearNode;

static void remake(Tape *t, Node *node)
{
    LinearNode *n = (LinearNode *)node;
    t->k->activation_forward(t->stream, node->out->dtype, node->out->data, n->pre, tensor_count(node->out), n->act);
}

static void backward(Tape *t, Node *node)
{
    LinearNode *n = (LinearNode *)node;
    Tensor *y = node->out, *x = node->in[0], *weight = node->in[1], *bias = node->in[2];
    if (n->act != ACT_NONE)
        t->k->activation_backward(t->stream, y->dtype, y->grad, y->grad, n->pre, tensor_count(y), n->act);
    bool accumulate, accumulate_bias = false;
    if (weight->needs_grad) {
        float *dbias = tape_weight_grad(t, bias, &accumulate_bias), *dweight = tape_weight_grad(t, weight, &accumulate);
        const void *in = tape_data(t, x);
        if (t->error) return;
        bool together = !dbias || accumulate_bias == accumulate; /* else one of the two was used before */
        t->k->linear_backward_weight(t->stream, x->dtype, dweight, together ? dbias : NULL, in, y->grad, x->rows, n->in,
                                     n->out, n->layout, accumulate);
        if (!together)
            t->k->linear_backward_weight(t->stream, x->dtype, NULL, dbias, in, y->grad, x->rows, n->in, n->out,
                                         n->layout, accumulate_bias);
    } else if (bias && bias->needs_grad) { /* a frozen weight */
        float *dbias = tape_weight_grad(t, bias, &accumulate_bias);
        t->k->linear_backward_weight(t->stream, x->dtype, NULL, dbias, NULL, y->grad, x->rows, n->in, n->out, n->layout,
                                     accumulate_bias);
    }
    void *dx = tape_grad(t, x, &accumulate);
    if (dx)
        t->k->linear_backward_input(t->stream, x->dtype, weight->dtype, dx, y->grad, weight->data, x->rows, n->in,
                                    n->out, n->layout, accumulate);
}

Tensor *op_linear(Tape *t, Tensor *x, Tensor *weight, Tensor *bias, WeightLayout layout, Activation act)
{
    if (!tape_check_weight(t, "linear", x, weight)) return NULL;
    int64_t in = layout == OUT_IN ? weight->cols : weight->rows, out = layout == OUT_IN ? weight->rows : weight->cols;
    if (x->cols != in || (bias && tensor_count(bias) != out)) {
        tape_fail(t, "linear", "x [%lld, %lld], weight %lld to %lld", (long long)x->rows, (long long)x->cols,
                  (long long)in, (long long)out);
        return NULL;
    }
    const void *input = tape_data(t, x);
    Tensor *y = act == ACT_NONE ? tape_new(t, x->dtype, x->rows, out) : tape_new_remade(t, x->dtype, x->rows, out);
    void *pre = y && act != ACT_NONE ? tape_keep(t, tensor_bytes(y)) : NULL;
    if (!y || t->error) return NULL;
    if (weight->needs_grad) tape_needs(x);
    LinearNode *n = TAPE_PUSH(t, LinearNode, "linear", backward, act == ACT_NONE ? NULL : remake, y, x, weight, bias);
    if (n) n->layout = layout, n->act = act, n->in = in, n->out = out, n->pre = pre;
    t->k->linear_forward(t->stream, x->dtype, weight->dtype, y->data, pre, input, weight->data, data(bias), x->rows, in,
                         out, layout, act);
    return y;
}
