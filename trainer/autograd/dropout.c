/* residual + dropout(x): the end of every branch of a residual network; and dropout alone, of what others read too. */
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

typedef struct AloneNode {
    Node node; /* in: x */
    float p;
    uint32_t op;
} AloneNode;

static void alone_remake(Tape *t, Node *node)
{
    AloneNode *n = (AloneNode *)node;
    Tensor *y = node->out;
    const void *x = tape_data(t, node->in[0]);
    Dropout numbers;
    if (t->error) return;
    t->k->dropout_add_forward(t->stream, y->dtype, y->data, x, NULL, y->rows, y->cols,
                              tape_dropout(t, n->p, n->op, &numbers));
}

static void alone_backward(Tape *t, Node *node)
{
    AloneNode *n = (AloneNode *)node;
    Tensor *y = node->out;
    Dropout numbers;
    bool accumulate;
    void *dx = tape_grad(t, node->in[0], &accumulate);
    if (dx)
        t->k->dropout_backward(t->stream, y->dtype, dx, y->grad, y->rows, y->cols,
                               tape_dropout(t, n->p, n->op, &numbers), accumulate);
}

Tensor *op_dropout(Tape *t, Tensor *x, float p)
{
    if (!TAPE_CHECK(t, "dropout", x)) return NULL;
    if (p <= 0 || !t->training) return x;
    uint32_t op = t->op++;
    Dropout numbers;
    const void *input = tape_data(t, x);
    Tensor *y = tape_new_remade(t, x->dtype, x->rows, x->cols);
    if (!y || t->error) return NULL;
    tape_needs(x);
    AloneNode *n = TAPE_PUSH(t, AloneNode, "dropout", alone_backward, alone_remake, y, x);
    if (n) n->p = p, n->op = op;
    t->k->dropout_add_forward(t->stream, y->dtype, y->data, input, NULL, y->rows, y->cols,
                              tape_dropout(t, p, op, &numbers));
    return y;
}
