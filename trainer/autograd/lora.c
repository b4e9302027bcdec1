/* A low-rank step beside a frozen product (Hu et al. 2021, eq. 3): y + scale * (x A^T) B^T. What lies between, u, has
 * r columns; the products with it are those of linear layers, seen from their other sides. */
#include "trainer/autograd/ops.h"

typedef struct LoraNode {
    Node node; /* in: y, x, a, b */
    float scale;
    void *u; /* scale * x A^T [T, r] */
} LoraNode;

static void backward(Tape *t, Node *node)
{
    LoraNode *n = (LoraNode *)node;
    Tensor *y = node->out, *x = node->in[1], *a = node->in[2], *b = node->in[3];
    int64_t in = x->cols, out = y->cols, r = a->rows;
    size_t bytes = (size_t)(x->rows * r) * dtype_bytes(x->dtype);
    bool add;
    float *db = tape_weight_grad(t, b, &add);
    if (db) t->k->linear_backward_weight(t->stream, x->dtype, db, NULL, n->u, y->grad, x->rows, r, out, OUT_IN, add);
    void *du = a->needs_grad || x->needs_grad ? tape_scratch(t, bytes) : NULL;
    if (t->error) return;
    if (du) { /* scale * dy B */
        t->k->linear_forward(t->stream, x->dtype, du, NULL, y->grad, b->data, NULL, x->rows, out, r, IN_OUT, ACT_NONE);
        t->k->scale(t->stream, x->dtype, du, n->scale, x->rows * r);
        float *da = tape_weight_grad(t, a, &add);
        const void *input = da ? tape_data(t, x) : NULL;
        if (t->error) return;
        if (da) t->k->linear_backward_weight(t->stream, x->dtype, da, NULL, input, du, x->rows, in, r, OUT_IN, add);
        void *dx = tape_grad(t, x, &add);
        if (dx) t->k->linear_backward_input(t->stream, x->dtype, dx, du, a->data, x->rows, in, r, OUT_IN, add);
        tape_scratch_free(t, du, bytes);
    }
    tape_pass_grad(t, y, node->in[0]);
}

Tensor *op_lora(Tape *t, Tensor *onto, Tensor *x, Tensor *a, Tensor *b, float scale)
{
    if (!TAPE_CHECK(t, "lora", onto, x, a, b)) return NULL;
    int64_t in = x->cols, out = onto->cols, r = a->rows;
    if (onto->rows != x->rows || a->cols != in || b->rows != out || b->cols != r) {
        tape_fail(t, "lora", "onto [%lld, %lld], x [%lld, %lld], a [%lld, %lld], b [%lld, %lld]",
                  (long long)onto->rows, (long long)out, (long long)x->rows, (long long)in, (long long)r,
                  (long long)a->cols, (long long)b->rows, (long long)b->cols);
        return NULL;
    }
    const void *input = tape_data(t, x);
    Tensor *y = tape_new_over(t, onto);
    size_t bytes = (size_t)(x->rows * r) * dtype_bytes(x->dtype);
    void *u = tape_keep(t, bytes), *passing = u || t->error ? NULL : tape_scratch(t, bytes);
    if (!y || t->error) return NULL;
    tape_needs(x);
    LoraNode *n = TAPE_PUSH(t, LoraNode, "lora", backward, NULL, y, onto, x, a, b);
    if (n) n->scale = scale, n->u = u;
    if (passing) u = passing;
    t->k->linear_forward(t->stream, x->dtype, u, NULL, input, a->data, NULL, x->rows, in, r, OUT_IN, ACT_NONE);
    t->k->scale(t->stream, x->dtype, u, scale, x->rows * r);
    t->k->linear_backward_input(t->stream, x->dtype, y->data, u, b->data, x->rows, out, r, IN_OUT, true);
    tape_scratch_free(t, passing, bytes);
    return y;
}
