/* Layers: parameters and one call each. A layer's declare takes the name that the checkpoint gives it; all may fail
 * only for memory, which parameters_layout reports. */
#ifndef HONE_NN_LAYERS_H
#define HONE_NN_LAYERS_H

#include "trainer/autograd/ops.h"
#include "trainer/nn/lora.h"

typedef struct Linear {
    Parameter *weight, *bias; /* bias may be NULL */
    WeightLayout layout;
    const Lora *loras;        /* adapters beside it */
    int num_loras;
} Linear;
/* name.weight (and name.bias), weights drawn with standard deviation std; with the adapters that `ps` has for it. */
Linear linear_declare(Parameters *ps, const char *name, int64_t in, int64_t out, bool bias, WeightLayout layout,
                      float std);
Tensor *linear(Tape *t, const Linear *l, Tensor *x);
Tensor *linear_act(Tape *t, const Linear *l, Tensor *x, Activation act); /* act(linear), made again in backward */

/* Layers over one x (q, k, v; gate, up): what their adapters read of it is read once. out [count]. */
enum { MOST_BESIDE = 4 };
void linears_join(const Linear *const layers[], int count); /* once they are declared */
void linears(Tape *t, const Linear *const layers[], int count, Tensor *x, Tensor *out[]);

/* The weight of a language model's head [vocab, hidden]. source: the name of a tensor that it begins as where a file
 * has none of its own; may be NULL. */
Parameter *head_declare(Parameters *ps, const char *name, int64_t hidden, int64_t vocab, float std, const char *source);

typedef struct LayerNorm {
    Parameter *weight, *bias;
    float eps;
} LayerNorm;
LayerNorm layer_norm_declare(Parameters *ps, const char *name, int64_t hidden, float eps);
Tensor *layer_norm(Tape *t, const LayerNorm *l, Tensor *x);

typedef struct RmsNorm {
    Parameter *weight;
    float eps, offset; /* weight + offset multiplies: 0, or 1 for Gemma, whose weights start at 0 */
} RmsNorm;
RmsNorm rms_norm_declare(Parameters *ps, const char *name, int64_t hidden, float eps, float offset);
Tensor *rms_norm(Tape *t, const RmsNorm *l, Tensor *x);

typedef struct Embedding {
    Parameter *weight;
    int64_t padding; /* the row that is 0 at first and gets no gradient; -1: none */
} Embedding;
/* No adapter can be at it. */
Embedding embedding_declare(Parameters *ps, const char *name, int64_t vocab, int64_t width, float std,
                            int64_t padding);
/* onto: NULL, or what the rows are added to (consumed). */
Tensor *embedding(Tape *t, const Embedding *l, Tensor *onto, const int32_t *ids, int64_t rows);

typedef struct Attention {
    AttentionSpec spec;
    int32_t layer; /* its place in the key/value cache */
} Attention;
/* Over the sequences of the tape's batch, and over what the tape's cache holds when there is one. */
Tensor *attention(Tape *t, const Attention *a, Tensor *q, Tensor *k, Tensor *v);
/* q, k, v side by side in one tensor, as the spec's columns say. */
Tensor *attention_packed(Tape *t, const Attention *a, Tensor *qkv);

Tensor *dropout_add(Tape *t, Tensor *x, Tensor *residual, float p);

/* "gelu_new" and its like, as configs name them. An unknown one is an error that lists them. */
Status activation_find(const char *name, const char *where, Activation *out);

#endif
