/* act(gate) * up. */
#include "trainer/autograd/ops.h"

typedef struct GatedNode {
    Node node; /* in: gate, up */
    Activation act;
} GatedNode;

static void remake(Tape *t, Node *node)
{
    GatedNode *n = (GatedNode *)node;
    t->k->gated_forward(t->stream, node->out->dtype, node->out->data, tape_data(t, node->in[0]),
                        tape_data(t, node->in[1]), tensor_count(node->out), n->act);
}

static void backward(Tape *t, Node *node)
{
    GatedNode *n = (GatedNode *)node;
    Tensor *y = node->out, *gate = node->in[0], *up = node->in[1];
    size_t bytes = tensor_bytes(y);
    void *dgate = tape_scratch(t, bytes), *dup = tape_scratch(t, bytes);
    const void *g = tape_data(t, gate), *u = tape_data(t, up);
    if (t->error) return;
    t->k->gated_backward(t->stream, y->dtype, dgate, dup, y->grad, g, u, tensor_count(y), n->act);
    tape_give_grad(t, gate, dgate);
    tape_give_grad(t, up, dup);
}

Tensor *op_gated(Tape *t, Tensor *gate, Tensor *up, Activation act)
{
    if (!TAPE_CHECK(t, "gated", gate, up)) return NULL;
    if (gate->rows != up->rows || gate->cols != up->cols) {
        tape_fail(t, "gated", "gate [%lld, %lld], up [%lld, %lld]", (long long)gate->rows, (long long)gate->cols,
                  (long long)up->rows, (long long)up->cols);
        return NULL;
    }
    const void *g = tape_data(t, gate), *u = tape_data(t, up);
    Tensor *y = tape_new_remade(t, gate->dtype, gate->rows, gate->cols);
    if (!y || t->error) return NULL;
    tape_needs(gate);
    tape_needs(up);
    GatedNode *n = TAPE_PUSH(t, GatedNode, "gated", backward, remake, y, gate, up);
    if (n) n->act = act;
    t->k->gated_forward(t->stream, y->dtype, y->data, g, u, tensor_count(y), act);
    return y;
}
