/* Layer norm and RMS norm: statistics are kept, outputs made again in backward. */
#include "trainer/autograd/ops.h"

typedef struct NormNode {
    Node node; /* in: x, weight, bias */
    float *mean, *rstd;
    float eps, offset;
} NormNode;

static bool check(Tape *t, const char *op, Tensor *x, Tensor *weight, Tensor *bias, bool parts)
{
    if (!tape_check(t, op, 2, (Tensor *[]){x, weight})) return false;
    int64_t width = tensor_count(weight);
    if (parts && width > 0 && x->cols % width == 0) return true;
    if (width == x->cols && (!bias || tensor_count(bias) == x->cols)) return true;
    tape_fail(t, op, "x [%lld, %lld], weight [%lld]", (long long)x->rows, (long long)x->cols,
              (long long)tensor_count(weight));
    return false;
}

static void layer_norm_remake(Tape *t, Node *node)
{
    NormNode *n = (NormNode *)node;
    Tensor *x = node->in[0];
    t->k->layer_norm_forward(t->stream, x->dtype, node->out->data, NULL, NULL, tape_data(t, x), node->in[1]->data,
                             data(node->in[2]), x->rows, x->cols, n->eps);
}

/* dx may take dy's place when nothing was written to x's gradient yet: kernels read a row before they write it. */
static void *begin_dx(Tape *t, Tensor *x, Tensor *y, bool *accumulate)
{
    *accumulate = false;
    return x->needs_grad && !x->param && !x->grad ? y->grad : tape_grad(t, x, accumulate);
}

static void end_dx(Tensor *x, Tensor *y, void *dx)
{
    if (!dx || dx != y->grad) return;
    x->grad = dx;
    y->grad = NULL;
}

static void layer_norm_backward(Tape *t, Node *node)
{
    NormNode *n = (NormNode *)node;
    Tensor *y = node->out, *x = node->in[0], *weight = node->in[1], *bias = node->in[2];
    bool accumulate, add_weight, add_bias;
    float *dweight = tape_weight_grad(t, weight, &add_weight), *dbias = tape_weight_grad(t, bias, &add_bias);
    void *input = tape_data(t, x);
    bool apart =
        dweight && dbias && add_weight != add_bias; /* one of the two was used before: the bias goes first, alone */
    if (t->error) return;
    if (apart)
        t->k->layer_norm_backward(t->stream, x->dtype, NULL, NULL, dbias, y->grad, input, n->mean, n->rstd,
                                  weight->data, x->rows, x->cols, false, add_bias);
    void *dx = begin_dx(t, x, y, &accumulate);
    if (t->error) return;
    t->k->layer_norm_backward(t->stream, x->dtype, dx, dweight, apart ? NULL : dbias, y->grad, input, n->mean, n->rstd,
                              weight->data, x->rows, x->cols, accumulate, dweight ? add_weight : add_bias);
    end_dx(x, y, dx);
}

Tensor *op_layer_norm(Tape *t, Tensor *x, Tensor *weight, Tensor *bias, float eps)
{
    if (!check(t, "layer_norm", x, weight, bias, false)) return NULL;
    const void *input = tape_data(t, x);
    Tensor *y = tape_new_remade(t, x->dtype, x->rows, x->cols);
    float *mean = tape_keep(t, (size_t)x->rows * sizeof(float)), *rstd = tape_keep(t, (size_t)x->rows * sizeof(float));
    if (!y || t->error) return NULL;
    tape_needs(x);
    NormNode *n = TAPE_PUSH(t, NormNode, "layer_norm", layer_norm_backward, layer_norm_remake, y, x, weight, bias);
    if (n) n->mean = mean, n->rstd = rstd, n->eps = eps;
    t->k->layer_norm_forward(t->stream, x->dtype, y->data, mean, rstd, input, weight->data, data(bias), x->rows,
                             x->cols, eps);
    return y;
}

static int64_t num_norms(const Tensor *x, const Tensor *weight) { return tensor_count(x) / tensor_count(weight); }

static void rms_norm_remake(Tape *t, Node *node)
{
    NormNode *n = (NormNode *)node;
    Tensor *x = node->in[0], *weight = node->in[1];
    t->k->rms_norm_forward(t->stream, x->dtype, node->out->data, NULL, tape_data(t, x), weight->data,
                           num_norms(x, weight), tensor_count(weight), n->eps, n->offset);
}

static void rms_norm_backward(Tape *t, Node *node)
{
    NormNode *n = (NormNode *)node;
    Tensor *y = node->out, *x = node->in[0], *weight = node->in[1];
    bool accumulate, accumulate_weight = false;
    float *dweight = tape_weight_grad(t, weight, &accumulate_weight);
    void *input = tape_data(t, x), *dx = begin_dx(t, x, y, &accumulate);
    if (t->error) return;
    t->k->rms_norm_backward(t->stream, x->dtype, dx, dweight, y->grad, input, n->rstd, weight->data,
                            num_norms(x, weight), tensor_count(weight), n->offset, accumulate, accumulate_weight);
    end_dx(x, y, dx);
}

Tensor *op_rms_norm(Tape *t, Tensor *x, Tensor *weight, float eps, float offset)
{
    if (!check(t, "rms_norm", x, weight, NULL, true)) return NULL;
    const void *input = tape_data(t, x);
    Tensor *y = tape_new_remade(t, x->dtype, x->rows, x->cols);
    float *rstd = tape_keep(t, (size_t)num_norms(x, weight) * sizeof(float));
    if (!y || t->error) return NULL;
    tape_needs(x);
    NormNode *n = TAPE_PUSH(t, NormNode, "rms_norm", rms_norm_backward, rms_norm_remake, y, x, weight);
    if (n) n->rstd = rstd, n->eps = eps, n->offset = offset;
    t->k->rms_norm_forward(t->stream, x->dtype, y->data, rstd, input, weight->data, num_norms(x, weight),
                           tensor_count(weight), eps, offset);
    return y;
}
