/* The ops: each is as big as its fused kernel, checks its arguments, and pushes what its backward needs. One file an
 * op. Shapes: T rows of activations. Weights are parameters' views (&p->value). Optional inputs may be NULL where said.
 */
#ifndef HONE_AUTOGRAD_OPS_H
#define HONE_AUTOGRAD_OPS_H

#include "trainer/autograd/tape.h"

/* act(x W + bias): x [T, in], W [out, in] or [in, out] by layout, bias [out] or NULL. The pre-activation is kept, the
 * activation made again. */
Tensor *op_linear(Tape *t, Tensor *x, Tensor *weight, Tensor *bias, WeightLayout layout, Activation act);
/* A low-rank step beside a product, in two halves (nn/linear.c). Down: x A^T [T, r], A [r, in]; with `more` A's of as
 * many columns that lie behind it in memory, one after the other without a gap, their products side by side. */
Tensor *op_lora_down(Tape *t, Tensor *x, Tensor *a, Tensor *const more[], int num_more);
/* Up: onto + scale * u B^T: onto [T, out] is consumed, B [out, r], u's columns [col, col + r). */
Tensor *op_lora_up(Tape *t, Tensor *onto, Tensor *u, int64_t col, Tensor *b, float scale);
Tensor *op_activation(Tape *t, Tensor *x, Activation act); /* made again in backward */
/* act(gate) * up, both [T, n]; made again in backward. */
Tensor *op_gated(Tape *t, Tensor *gate, Tensor *up, Activation act);
/* Row-wise norms; made again in backward. bias may be NULL. */
Tensor *op_layer_norm(Tape *t, Tensor *x, Tensor *weight, Tensor *bias, float eps);
/* A weight of x's width over some number: as many parts of each row have a norm each (heads). */
Tensor *op_rms_norm(Tape *t, Tensor *x, Tensor *weight, float eps, float offset);

/* table[ids] (+ onto, which is consumed; may be NULL): ids [T] in the table's rows. The row `padding` (-1: none) gets
 * no gradient here, as torch's Embedding. */
Tensor *op_embedding(Tape *t, Tensor *onto, Tensor *table, const int32_t *ids, int64_t rows, int64_t padding);
/* residual + dropout(x, p); x is consumed; residual may be NULL. p = 0: a plain sum. */
Tensor *op_dropout_add(Tape *t, Tensor *x, Tensor *residual, float p);
Tensor *op_dropout(Tape *t, Tensor *x, float p); /* x is left; made again in backward. p = 0: x itself */

Tensor *op_scale(Tape *t, Tensor *x, float factor); /* factor * x; x is consumed */

typedef struct AttentionSpec {
    int32_t heads, kv_heads, head_dim;
    float scale;
    bool causal;
    int32_t window;
    float softcap, dropout;
    int64_t q_col, k_col, v_col; /* where q, k, v begin in the rows of their tensors */
} AttentionSpec;
/* [T, heads*head_dim]. q, k, v may be one tensor ([T, 3*hidden] with its columns in spec). Sequences of `batch` on the
 * tape. */
Tensor *op_attention(Tape *t, Tensor *q, Tensor *k, Tensor *v, const AttentionSpec *spec);
/* Rotates heads of x (consumed) by positions of the tape's batch; cos, sin [max_positions, rotary_dim/2], borrowed
 * until backward. */
Tensor *op_rope(Tape *t, Tensor *x, const float *cos, const float *sin, int32_t heads, int32_t head_dim,
                int32_t rotary_dim);

typedef struct LossSpec {
    float scale;     /* of the gradient: 1 / (targets of the whole update over all ranks) */
    float smoothing, softcap, z_loss;
} LossSpec;
/* Row losses [T, 1] (not scaled, 0 where the label is -100) of logits x W^T, which never exist. Its gradients are made
 * at once. */
Tensor *op_linear_cross_entropy(Tape *t, Tensor *x, Tensor *weight, const int32_t *labels, const LossSpec *spec);
/* The same from logits [T, vocab]. */
Tensor *op_cross_entropy(Tape *t, Tensor *logits, const int32_t *labels, const LossSpec *spec);

/* y = block(t, layer, x, batch), whose insides are made again in backward when the tape checkpoints (Chen et al. 2016),
 * and given back at once in evaluation. layer and batch are borrowed until backward. The block must do the same every
 * time. */
typedef Tensor *BlockFn(Tape *t, const void *layer, Tensor *x, const Batch *batch);
Tensor *op_recompute(Tape *t, BlockFn *block, const void *layer, Tensor *x, const Batch *batch);

#endif
