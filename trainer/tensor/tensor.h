/* Tensors are matrices [rows, cols] of one dtype: activations on the tape, and views of parameters. */
#ifndef HONE_TENSOR_TENSOR_H
#define HONE_TENSOR_TENSOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/dtype.h"

struct Node;
typedef struct Parameter Parameter;

typedef struct Tensor {
    Dtype dtype;
    bool needs_grad;
    bool on_tape;       /* an op made it */
    bool loss;          /* per-row losses whose op has made the gradients of its inputs already */
    bool needed;        /* some backward will read data: nobody may take its storage */
    bool consumed;      /* its storage went to another tensor: not to be used again */
    int64_t rows, cols;
    void *data;         /* NULL: dropped, `maker` makes it again (tape_data) */
    void *grad;         /* same dtype and shape; NULL: nothing was written yet */
    struct Node *maker; /* the node that made it, NULL for inputs */
    Parameter *param;   /* the parameter whose view it is, else NULL */
    int slot;           /* scratch slot that holds data, -1: none */
} Tensor;

static inline int64_t tensor_count(const Tensor *x) { return x->rows * x->cols; }
static inline size_t tensor_bytes(const Tensor *x) { return (size_t)tensor_count(x) * dtype_bytes(x->dtype); }
static inline void *data(const Tensor *x) { return x ? x->data : NULL; } /* NULL for an optional input that is absent */

#endif
