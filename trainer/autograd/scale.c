/* factor * x. */
#include "trainer/autograd/ops.h"

typedef struct ScaleNode {
    Node node; /* in: x */
    float factor;
} ScaleNode;

static void backward(Tape *t, Node *node)
{
    Tensor *y = node->out;
    t->k->scale(t->stream, y->dtype, y->grad, ((ScaleNode *)node)->factor, tensor_count(y));
    tape_pass_grad(t, y, node->in[0]);
}

Tensor *op_scale(Tape *t, Tensor *x, float factor)
{
    if (!TAPE_CHECK(t, "scale", x)) return NULL;
    Tensor *y = tape_new_over(t, x);
    if (!y) return NULL;
    ScaleNode *n = TAPE_PUSH(t, ScaleNode, "scale", backward, NULL, y, x);
    if (n) n->factor = factor;
    t->k->scale(t->stream, y->dtype, y->data, factor, tensor_count(y));
    return y;
}
