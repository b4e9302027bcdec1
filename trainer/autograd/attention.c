/* softmax(q k^T * scale) v over the sequences of the batch; flash: only its output and a log-sum-exp a row are kept. */
#include "trainer/autograd/ops.h"

typedef struct AttentionNode {
    Node node; /* in: q, k, v */
    AttentionSpec spec;
    const Batch *batch;
    float *lse;
    uint32_t op;
} AttentionNode;

static AttentionShape shape_of(const AttentionSpec *spec, const Batch *batch, const Tensor *q, const Tensor *k, const Tensor *v)
{
    return (AttentionShape){.cu_seqlens_q = batch->cu_seqlens, .cu_seqlens_k = batch->cu_seqlens, .num_seqs = batch->num_seqs,
                            .max_seqlen_q = batch->max_seqlen, .max_seqlen_k = batch->max_seqlen, .heads = spec->heads,
                            .kv_heads = spec->kv_heads, .head_dim = spec->head_dim, .q_stride = q->cols, .k_stride = k->cols,
                            .v_stride = v->cols, .out_stride = (int64_t)spec->heads * spec->head_dim, .scale = spec->scale,
                            .causal = spec->causal, .window = spec->window, .softcap = spec->softcap};
}

static void *at(void *p, int64_t col, Dtype dtype) { return (char *)p + (size_t)col * dtype_bytes(dtype); }

/* Gradients go straight into place where all three parts of it are first writes, else through a buffer that is added. */
static void backward(Tape *t, Node *node)
{
    AttentionNode *n = (AttentionNode *)node;
    Tensor *y = node->out;
    int64_t col[3] = {n->spec.q_col, n->spec.k_col, n->spec.v_col};
    AttentionShape shape = shape_of(&n->spec, n->batch, node->in[0], node->in[1], node->in[2]);
    void *buffer[3], *d[3];
    for (int i = 0; i < 3; i++) {
        Tensor *x = node->in[i];
        buffer[i] = NULL;
        for (int j = 0; j < i && !buffer[i]; j++)
            if (node->in[j] == x) buffer[i] = buffer[j];
        if (!buffer[i]) buffer[i] = tape_scratch(t, tensor_bytes(x));
        if (t->error) return;
        d[i] = at(buffer[i], col[i], x->dtype);
    }
    void *in[3];
    for (int i = 0; i < 3; i++) in[i] = at(tape_data(t, node->in[i]), col[i], y->dtype);
    if (t->error) return;
    Dropout numbers;
    t->k->attention_backward(t->stream, y->dtype, d[0], d[1], d[2], y->grad, in[0], in[1], in[2], y->data, n->lse, &shape,
                             tape_dropout(t, n->spec.dropout, n->op, &numbers));
    for (int i = 0; i < 3; i++) {
        bool seen = false;
        for (int j = 0; j < i; j++) seen |= node->in[j] == node->in[i];
        if (!seen) tape_give_grad(t, node->in[i], buffer[i]);
    }
}

Tensor *op_attention(Tape *t, Tensor *q, Tensor *k, Tensor *v, const AttentionSpec *spec)
{
    if (!TAPE_CHECK(t, "attention", q, k, v)) return NULL;
    int64_t width = (int64_t)spec->heads * spec->head_dim, kv_width = (int64_t)spec->kv_heads * spec->head_dim;
    if (spec->q_col + width > q->cols || spec->k_col + kv_width > k->cols || spec->v_col + kv_width > v->cols ||
        spec->kv_heads < 1 || spec->heads % spec->kv_heads || q->rows != t->batch->rows) {
        tape_fail(t, "attention", "%d heads (%d of keys) of %d in [%lld, %lld]", spec->heads, spec->kv_heads, spec->head_dim,
                  (long long)q->rows, (long long)q->cols);
        return NULL;
    }
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
    t->k->attention_forward(t->stream, q->dtype, y->data, lse, qd, kd, vd, &shape, tape_dropout(t, spec->dropout, op, &numbers));
    return y;
}
