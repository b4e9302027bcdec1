/* act(x) by itself, where something comes between a product and its activation. */
#include "trainer/autograd/ops.h"

typedef struct ActivationNode {
    Node node; /* in: x */
    Activation act;
} ActivationNode;

static void remake(Tape *t, Node *node)
{
    Tensor *y = node->out;
    const void *pre = tape_data(t, node->in[0]);
    if (!t->error)
        t->k->activation_forward(t->stream, y->dtype, y->data, pre, tensor_count(y), ((ActivationNode *)node)->act);
}

static void backward(Tape *t, Node *node)
{
    Tensor *y = node->out, *x = node->in[0];
    const void *pre = tape_data(t, x);
    if (t->error) return;
    t->k->activation_backward(t->stream, y->dtype, y->grad, y->grad, pre, tensor_count(y),
                              ((ActivationNode *)node)->act);
    tape_pass_grad(t, y, x);
}

Tensor *op_activation(Tape *t, Tensor *x, Activation act)
{
    if (!TAPE_CHECK(t, "activation", x)) return NULL;
    const void *pre = tape_data(t, x);
    Tensor *y = tape_new_remade(t, x->dtype, x->rows, x->cols);
    if (!y || t->error) return NULL;
    tape_needs(x);
    ActivationNode *n = TAPE_PUSH(t, ActivationNode, "activation", backward, remake, y, x);
    if (n) n->act = act;
    t->k->activation_forward(t->stream, y->dtype, y->data, pre, tensor_count(y), act);
    return y;
}
