/* softmax(q k^T * scale) v over the sequences of the batch; flash: only its output and a log-sum-exp a row are kept. */
#include "trainer/autograd/ops.h"

typedef struct AttentionNode {
    Node node; /* in: q, k, v */
    AttentionSpec spec;
    const Batch *batch;
    float *lse;
    uint32_t op;
} AttentionNode;

static AttentionShape shape_of(const AttentionSpec *spec, const Batch *batch, const Tensor *q, const Tensor *k,
                               const Tensor *v)
{
    return (AttentionShape){.cu_seqlens_q = batch->cu_seqlens,
                            .cu_seqlens_k = batch->cu_seqlens,
                            .num_seqs = batch->num_seqs,
                            .max_seqlen_q = batch->max_seqlen,
                            .max_seqlen_k = batch->max_seqlen,
                            .heads = spec->heads,
                            .kv_heads = spec->kv_heads,
                            .head_dim = spec->head_dim,
                            .q_stride = q->cols,
                            .k_stride = k->cols,
                            .v_stride = v->cols,
                            .out_stride = (int64_t)spec->heads * spec->head_dim,
                            .scale = spec->scale,
                            .causal = spec->causal,
                            .window = spec->window,
                            .softcap = spec->softcap};
}

static void *at(void *p, int64_t col, Dtype dtype) { return (char *)p + (size_t)col * dtype_bytes(dtype); }

/* The gradients of q, k and v: parts of one tensor share a buffer where their columns are apart, else each has its own.
 */
typedef struct Parts {
    int64_t col[3], width[3];
    void *buffer[3];
    int owner[3]; /* the first part in the same buffer */
} Parts;

static bool fits(const Parts *p, const Node *node, int i, int owner)
{
    for (int j = owner; j < i; j++)
        if (p->owner[j] == owner && p->col[i] < p->col[j] + p->width[j] && p->col[j] < p->col[i] + p->width[i])
            return false;
    return node->in[owner] == node->in[i];
}

static void take_parts(Tape *t, Node *node, const AttentionSpec *spec, Parts *p)
{
    int64_t kv_width = (int64_t)spec->kv_heads * spec->head_dim, covered[3] = {0};
    *p = (Parts){.col = {spec->q_col, spec->k_col, spec->v_col},
                 .width = {(int64_t)spec->heads * spec->head_dim, kv_width, kv_width}};
    for (int i = 0; i < 3; i++) {
        p->owner[i] = i;
        for (int j = i - 1; j >= 0; j--)
            if (p->owner[j] == j && fits(p, node, i, j)) p->owner[i] = j;
        covered[p->owner[i]] += p->width[i];
        p->buffer[i] = p->owner[i] < i ? p->buffer[p->owner[i]] : tape_scratch(t, tensor_bytes(node->in[i]));
        if (t->error) return;
    }
    for (int i = 0; i < 3; i++) /* columns that nobody reads have no gradient */
        if (p->owner[i] == i && covered[i] < node->in[i]->cols)
            t->k->fill_zero(t->stream, p->buffer[i], tensor_bytes(node->in[i]));
}

static void backward(Tape *t, Node *node)
{
    AttentionNode *n = (AttentionNode *)node;
    Tensor *y = node->out;
    AttentionShape shape = shape_of(&n->spec, n->batch, node->in[0], node->in[1], node->in[2]);
    Parts p;
    take_parts(t, node, &n->spec, &p);
    void *in[3], *d[3];
    for (int i = 0; i < 3 && !t->error; i++) {
        in[i] = at(tape_data(t, node->in[i]), p.col[i], y->dtype);
        d[i] = at(p.buffer[i], p.col[i], y->dtype);
    }
    if (t->error) return;
    Dropout numbers;
    t->k->attention_backward(t->stream, y->dtype, d[0], d[1], d[2], y->grad, in[0], in[1], in[2], y->data, n->lse,
                             &shape, tape_dropout(t, n->spec.dropout, n->op, &numbers));
    for (int i = 0; i < 3; i++)
        if (p.owner[i] == i) tape_give_grad(t, node->in[i], p.buffer[i]);
}

/* What is wrong with the arguments, NULL when nothing is. */
static const char *complaint(const AttentionSpec *s, const Batch *batch, const Tensor *q, const Tensor *k,
                             const Tensor *v)
{
    int64_t width = (int64_t)s->heads * s->head_dim, kv_width = (int64_t)s->kv_heads * s->head_dim;
    if (!batch || q->rows != batch->rows || k->rows != batch->rows || v->rows != batch->rows)
        return "rows are not the batch's";
    if (s->head_dim < 1 || s->kv_heads < 1 || s->heads < 1 || s->heads % s->kv_heads) return "heads do not divide";
    if (s->q_col < 0 || s->k_col < 0 || s->v_col < 0) return "a column is negative";
    if (s->q_col + width > q->cols || s->k_col + kv_width > k->cols || s->v_col + kv_width > v->cols)
        return "too few columns";
    return q->dtype != k->dtype || q->dtype != v->dtype ? "dtypes differ" : NULL;
}

Tensor *op_attention(Tape *t, Tensor *q, Tensor *k, Tensor *v, const AttentionSpec *spec)
{
    if (!TAPE_CHECK(t, "attention", q, k, v)) return NULL;
    const char *wrong = complaint(spec, t->batch, q, k, v);
    if (wrong) {
        tape_fail(t, "attention", "%s: %d heads (%d of keys) of %d; q [%lld, %lld], k [%lld, %lld], v [%lld, %lld]",
                  wrong, spec->heads, spec->kv_heads, spec->head_dim, (long long)q->rows, (long long)q->cols,
                  (long long)k->rows, (long long)k->cols, (long long)v->rows, (long long)v->cols);
        return NULL;
    }
    int64_t width = (int64_t)spec->heads * spec->head_dim;
    uint32_t op = spec->dropout > 0 ? t->op++ : 0;
    AttentionShape shape = shape_of(spec, t->batch, q, k, v);
    void *qd = at(tape_data(t, q), spec->q_col, q->dtype), *kd = at(tape_data(t, k), spec->k_col, q->dtype);
    void *vd = at(tape_data(t, v), spec->v_col, q->dtype);
    Tensor *y = tape_new(t, q->dtype, q->rows, width);
    float *lse = tape_keep(t, (size_t)(spec->heads * q->rows) * sizeof(float));
    if (!y || t->error) return NULL;
    tape_needs(q), tape_needs(k), tape_needs(v), tape_needs(y);
    AttentionNode *n = TAPE_PUSH(t, AttentionNode, "attention", backward, NULL, y, q, k, v);
    if (n) n->spec = *spec, n->batch = t->batch, n->lse = lse, n->op = op;
    Dropout numbers;
    t->k->attention_forward(t->stream, q->dtype, y->data, lse, qd, kd, vd, &shape,
                            tape_dropout(t, spec->dropout, op, &numbers));
    return y;
}
