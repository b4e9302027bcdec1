/* residual + dropout(x): the end of every branch of a residual network. */
#include "trainer/autograd/ops.h"

typedef struct DropoutNode {
    Node node; /* in: x, residual */
    float p;
    uint32_t op;
} DropoutNode;

static void backward(Tape *t, Node *node)
{
    DropoutNode *n = (DropoutNode *)node;
    Tensor *y = node->out, *x = node->in[0], *residual = node->in[1];
    Dropout numbers;
    const Dropout *dropout = tape_dropout(t, n->p, n->op, &numbers);
    bool accumulate;
    void *dx = tape_grad(t, x, &accumulate);
    if (t->error) return;
    if (dx) t->k->dropout_backward(t->stream, y->dtype, dx, y->grad, y->rows, y->cols, dropout, accumulate);
    tape_pass_grad(t, y, residual);
}

Tensor *op_dropout_add(Tape *t, Tensor *x, Tensor *residual, float p)
{
    if (!TAPE_CHECK(t, "dropout_add", x) || (residual && !TAPE_CHECK(t, "dropout_add", x, residual))) return NULL;
    if (residual && (residual->rows != x->rows || residual->cols != x->cols)) {
        tape_fail(t, "dropout_add", "x [%lld, %lld], residual [%lld, %lld]", (long long)x->rows, (long long)x->cols,
                  (long long)residual->rows, (long long)residual->cols);
        return NULL;
    }
    uint32_t op = p > 0 ? t->op++ : 0;
    Dropout numbers;
    const Dropout *dropout = tape_dropout(t, p, op, &numbers);
    const void *onto = residual ? tape_data(t, residual) : NULL;
    Tensor *y = tape_new_over(t, x);
    if (!y || t->error) return NULL;
    DropoutNode *n = TAPE_PUSH(t, DropoutNode, "dropout_add", backward, NULL, y, x, residual);
    if (n) n->p = p, n->op = op;
    t->k->dropout_add_forward(t->stream, y->dtype, y->data, y->data, onto, y->rows, y->cols, dropout);
    return y;
}
