/* Rotary positions, in place. */
#include "trainer/autograd/ops.h"

typedef struct RopeNode {
    Node node; /* in: x */
    const float *cos, *sin;
    const int32_t *positions;
    int32_t heads, head_dim, rotary_dim;
} RopeNode;

static void backward(Tape *t, Node *node)
{
    RopeNode *n = (RopeNode *)node;
    Tensor *y = node->out;
    t->k->rope(t->stream, y->dtype, y->grad, n->cos, n->sin, n->positions, y->rows, n->heads, n->head_dim,
               n->rotary_dim, y->cols, true);
    tape_pass_grad(t, y, node->in[0]);
}

Tensor *op_rope(Tape *t, Tensor *x, const float *cos, const float *sin, int32_t heads, int32_t head_dim,
                int32_t rotary_dim)
{
    if (!TAPE_CHECK(t, "rope", x)) return NULL;
    if ((int64_t)heads * head_dim > x->cols || rotary_dim > head_dim || rotary_dim % 2 || x->rows != t->batch->rows) {
        tape_fail(t, "rope", "%d heads of %d, %d of them rotated, in [%lld, %lld]", heads, head_dim, rotary_dim,
                  (long long)x->rows, (long long)x->cols);
        return NULL;
    }
    Tensor *y = tape_new_over(t, x);
    if (!y) return NULL;
    RopeNode *n = TAPE_PUSH(t, RopeNode, "rope", backward, NULL, y, x);
    if (n) {
        n->cos = cos, n->sin = sin, n->positions = t->batch->position_ids;
        n->heads = heads, n->head_dim = head_dim, n->rotary_dim = rotary_dim;
    }
    t->k->rope(t->stream, y->dtype, y->data, cos, sin, t->batch->position_ids, y->rows, heads, head_dim, rotary_dim,
               y->cols, false);
    return y;
}
