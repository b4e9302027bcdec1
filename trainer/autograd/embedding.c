/* Rows of a table, alone or added to what is there. */
#include "trainer/autograd/ops.h"

typedef struct EmbeddingNode {
    Node node; /* in: table, onto */
    const int32_t *ids;
    int64_t padding;
} EmbeddingNode;

static void backward(Tape *t, Node *node)
{
    EmbeddingNode *n = (EmbeddingNode *)node;
    Tensor *y = node->out, *table = node->in[0];
    bool accumulate;
    float *dtable = tape_weight_grad(t, table, &accumulate);
    if (dtable)
        t->k->embedding_backward(t->stream, y->dtype, dtable, y->grad, n->ids, y->rows, y->cols, table->rows,
                                 n->padding, accumulate);
    tape_pass_grad(t, y, node->in[1]);
}

Tensor *op_embedding(Tape *t, Tensor *onto, Tensor *table, const int32_t *ids, int64_t rows, int64_t padding)
{
    if (onto ? !tape_check_weight(t, "embedding", onto, table) : !TAPE_CHECK(t, "embedding", table)) return NULL;
    if (onto && (onto->rows != rows || onto->cols != table->cols)) {
        tape_fail(t, "embedding", "onto [%lld, %lld], table's width %lld, rows %lld", (long long)onto->rows,
                  (long long)onto->cols, (long long)table->cols, (long long)rows);
        return NULL;
    }
    /* A frozen table does not say what is computed in. */
    Dtype dtype = table->param && table->param->frozen ? table->param->owner->dtype : table->dtype;
    Tensor *y = onto ? tape_new_over(t, onto) : tape_new(t, dtype, rows, table->cols);
    if (!y) return NULL;
    EmbeddingNode *n = TAPE_PUSH(t, EmbeddingNode, "embedding", backward, NULL, y, table, onto);
    if (n) n->ids = ids, n->padding = padding;
    t->k->embedding_forward(t->stream, y->dtype, table->dtype, y->data, table->data, ids, rows, table->cols,
                            onto != NULL);
    return y;
}
