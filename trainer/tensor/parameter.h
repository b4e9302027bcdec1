/* Parameters: what a model has declared, and the flat arrays they are views of (architecture.md, 2).
 *
 * A model declares its parameters in forward order. Backward finishes them in about the reverse of that, which is their
 * order in the flat arrays: gradients that are final early lie in front, so buckets can leave while backward goes on.
 * Each begins at a multiple of 16 elements; the gaps are zero. Ones declared with `adjacent` keep their own order
 * behind the one before (Q, K, V). */
#ifndef HONE_TENSOR_PARAMETER_H
#define HONE_TENSOR_PARAMETER_H

#include "trainer/base/arena.h"
#include "trainer/tensor/tensor.h"

typedef enum InitKind { INIT_ZERO, INIT_ONE, INIT_NORMAL } InitKind;
typedef struct Init {
    InitKind kind;
    float std;
    int64_t zero_row; /* counted from 1: a row that is 0 instead; 0: none */
} Init;

typedef struct ParameterSpec {
    const char *name;   /* as in the checkpoint; copied */
    int ndim;
    int64_t shape[4];
    Init init;
    bool decay;         /* weight decay applies (trainer_semantics.md, 5) */
    bool embedding;     /* left out of total_flos */
    bool adjacent;
} ParameterSpec;

struct Parameter {
    Tensor value;       /* [shape[0], product of the others]; value.grad is the view of the gradients, always f32 */
    ParameterSpec spec;
    int index;          /* in declaration order: the reference's named_parameters() */
    int64_t count, offset;
    bool grad_written;  /* in this update: the next write adds */
    int uses;           /* on the tape whose backward is due */
    struct Parameters *owner;
};

typedef struct Parameters {
    Arena *arena;       /* borrowed */
    Parameter **list;   /* declaration order */
    size_t count, capacity;
    int64_t flat_count; /* elements of a flat array, once laid out */
    int64_t elements;   /* of parameters, without gaps */
    float *weights, *grads; /* bound; grads NULL: evaluation */
    void *low;          /* what the values view instead of the weights; NULL: the weights */
    Status error;       /* first failure of a declaration */
} Parameters;

void parameters_init(Parameters *ps, Arena *arena);
/* NULL only when memory is out: kept in ps->error, which parameters_layout returns. */
Parameter *parameter_declare(Parameters *ps, ParameterSpec spec);
Parameter *parameter_find(const Parameters *ps, const char *name); /* may be NULL */
Status parameters_layout(Parameters *ps);
/* weights and grads of flat_count elements, 64-byte aligned, owned by the caller; gaps are zeroed. */
void parameters_bind(Parameters *ps, float *weights, float *grads);
/* The same without touching them: memory that may be a device's. Gaps are the caller's to zero. */
void parameters_view(Parameters *ps, float *weights, float *grads);
/* What is computed with from now on, whatever the weights are: a copy in fewer bits, of flat_count elements with their
 * offsets, which the caller keeps up; NULL: the weights. */
void parameters_view_low(Parameters *ps, void *low, Dtype dtype);
/* Draws into the weights: Philox keyed by (seed, name), so values depend on neither order nor other parameters. */
void parameter_draw(Parameter *p, uint64_t seed);
void parameters_begin_update(Parameters *ps); /* the next write of each gradient overwrites */

#endif
