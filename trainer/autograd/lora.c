/* A low-rank step beside a frozen product (Hu et al. 2021, eq. 3): y + scale * (x A^T) B^T, in two halves, so that
 * several of them over one x share the reading of it. What lies between has few columns; the products with it are those
 * of linear layers, seen from their other sides. */
#include "trainer/autograd/ops.h"

enum { MOST_PARTS = NODE_INPUTS - 1 };

typedef struct DownNode {
    Node node; /* in: x, a, … */
    int64_t ranks; /* of all a */
} DownNode;

/* The gradients of all a, which lie one behind the other as they do. */
static float *down_weight_grad(Tape *t, Node *node, bool *add)
{
    float *first = tape_weight_grad(t, node->in[1], add);
    for (int i = 2; i < node->num_in; i++) {
        bool too;
        if (node->in[i]) tape_weight_grad(t, node->in[i], &too);
    }
    return first;
}

static void down_backward(Tape *t, Node *node)
{
    Tensor *u = node->out, *x = node->in[0], *a = node->in[1];
    int64_t in = x->cols, r = ((DownNode *)node)->ranks;
    bool add;
    float *da = down_weight_grad(t, node, &add);
    const void *input = da ? tape_data(t, x) : NULL;
    if (t->error) return;
    if (da) t->k->linear_backward_weight(t->stream, x->dtype, da, NULL, input, u->grad, x->rows, in, r, OUT_IN, add);
    void *dx = tape_grad(t, x, &add);
    if (dx)
        t->k->linear_backward_input(t->stream, x->dtype, a->dtype, dx, u->grad, a->data, x->rows, in, r, OUT_IN, add);
}

Tensor *op_lora_down(Tape *t, Tensor *x, Tensor *a, Tensor *const more[], int num_more)
{
    if (!TAPE_CHECK(t, "lora_down", x, a)) return NULL;
    Tensor *in[1 + MOST_PARTS] = {x, a};
    int64_t r = a->rows;
    const char *end = (const char *)a->data + tensor_bytes(a);
    bool fits = a->cols == x->cols && num_more < MOST_PARTS;
    for (int i = 0; i < num_more && fits; i++) {
        fits = more[i]->cols == x->cols && more[i]->data == end && more[i]->dtype == a->dtype;
        end += tensor_bytes(more[i]);
        r += more[i]->rows;
        in[2 + i] = more[i];
    }
    if (!fits) {
        tape_fail(t, "lora_down", "x [%lld, %lld], a [%lld, %lld] and %d more, which are no one matrix",
                  (long long)x->rows, (long long)x->cols, (long long)a->rows, (long long)a->cols, num_more);
        return NULL;
    }
    const void *input = tape_data(t, x);
    Tensor *u = tape_new(t, x->dtype, x->rows, r);
    if (!u || t->error) return NULL;
    tape_needs(x);
    DownNode *n = tape_push(t, sizeof *n, "lora_down", down_backward, NULL, u, 2 + num_more, in);
    if (n) n->ranks = r;
    t->k->linear_forward(t->stream, x->dtype, a->dtype, u->data, NULL, input, a->data, NULL, x->rows, x->cols, r,
                         OUT_IN, ACT_NONE);
    return u;
}

typedef struct UpNode {
    Node node; /* in: onto, u, b */
    float scale;
    int64_t col;
} UpNode;

/* scale * the columns of u, in scratch: [T, r] */
static void *part_of(Tape *t, const Tensor *u, int64_t col, int64_t r, float scale)
{
    size_t element = dtype_bytes(u->dtype);
    void *part = tape_scratch(t, (size_t)(u->rows * r) * element);
    if (!part) return NULL;
    t->k->copy_columns(t->stream, u->dtype, part, r, (const char *)u->data + (size_t)col * element, u->cols, u->rows,
                       r);
    t->k->scale(t->stream, u->dtype, part, scale, u->rows * r);
    return part;
}

/* du's columns, which no other op writes. */
static void give_part(Tape *t, Tensor *u, int64_t col, const void *part, int64_t r)
{
    bool add;
    size_t element = dtype_bytes(u->dtype);
    char *du = tape_grad(t, u, &add);
    if (!du) return;
    if (!add && r < u->cols) t->k->fill_zero(t->stream, du, tensor_bytes(u));
    t->k->copy_columns(t->stream, u->dtype, du + (size_t)col * element, u->cols, part, r, u->rows, r);
}

static void up_backward(Tape *t, Node *node)
{
    UpNode *n = (UpNode *)node;
    Tensor *y = node->out, *u = node->in[1], *b = node->in[2];
    int64_t out = y->cols, r = b->cols, rows = y->rows;
    size_t bytes = (size_t)(rows * r) * dtype_bytes(u->dtype);
    bool add;
    float *db = tape_weight_grad(t, b, &add);
    void *part = db ? part_of(t, u, n->col, r, n->scale) : tape_scratch(t, bytes);
    if (t->error) return;
    if (db) t->k->linear_backward_weight(t->stream, y->dtype, db, NULL, part, y->grad, rows, r, out, OUT_IN, add);
    if (u->needs_grad) { /* scale * dy B */
        t->k->linear_forward(t->stream, y->dtype, b->dtype, part, NULL, y->grad, b->data, NULL, rows, out, r, IN_OUT,
                             ACT_NONE);
        t->k->scale(t->stream, y->dtype, part, n->scale, rows * r);
        give_part(t, u, n->col, part, r);
    }
    tape_scratch_free(t, part, bytes);
    tape_pass_grad(t, y, node->in[0]);
}

Tensor *op_lora_up(Tape *t, Tensor *onto, Tensor *u, int64_t col, Tensor *b, float scale)
{
    if (!TAPE_CHECK(t, "lora_up", onto, u, b)) return NULL;
    int64_t out = onto->cols, r = b->cols;
    if (onto->rows != u->rows || b->rows != out || col < 0 || col + r > u->cols) {
        tape_fail(t, "lora_up", "onto [%lld, %lld], u [%lld, %lld] from %lld, b [%lld, %lld]", (long long)onto->rows,
                  (long long)out, (long long)u->rows, (long long)u->cols, (long long)col, (long long)b->rows,
                  (long long)r);
        return NULL;
    }
    Tensor *y = tape_new_over(t, onto);
    void *part = y ? part_of(t, u, col, r, scale) : NULL;
    if (!part || t->error) return NULL;
    tape_needs(u);
    UpNode *n = TAPE_PUSH(t, UpNode, "lora_up", up_backward, NULL, y, onto, u, b);
    if (n) n->scale = scale, n->col = col;
    t->k->linear_backward_input(t->stream, y->dtype, b->dtype, y->data, part, b->data, y->rows, out, r, IN_OUT, true);
    tape_scratch_free(t, part, (size_t)(u->rows * r) * dtype_bytes(u->dtype));
    return y;
}
