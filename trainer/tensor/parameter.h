/* Parameters: what a model has declared, and the flat arrays they are views of (architecture.md, 2).
 *
 * A model declares its parameters in forward order. Backward finishes them in about the reverse of that, which is their
 * order in the flat arrays: gradients that are final early lie in front, so buckets can leave while backward goes on.
 * Each begins at a multiple of 16 elements; the gaps are zero.
 *
 * Beside adapters the model's own parameters are frozen: they are in no flat array, and have neither gradient nor state
 * of an optimizer. A frozen matrix has its file's dtype, wherever it was placed; frozen vectors (biases, norms) are
 * together in an array of their own, in the dtype that is computed in. */
#ifndef HONE_TENSOR_PARAMETER_H
#define HONE_TENSOR_PARAMETER_H

#include "trainer/base/arena.h"
#include "trainer/tensor/tensor.h"

typedef enum InitKind { INIT_ZERO, INIT_ONE, INIT_NORMAL, INIT_UNIFORM } InitKind;
typedef struct Init {
    InitKind kind;
    float std;        /* of normal numbers; uniform ones are in [-std, std) */
    int64_t zero_row; /* counted from 1: a row that is 0 instead; 0: none */
} Init;

typedef struct ParameterSpec {
    const char *name;   /* as in the checkpoint; copied */
    int ndim;
    int64_t shape[4];
    Init init;
    bool decay;         /* weight decay applies (trainer_semantics.md, 5) */
    bool embedding;     /* left out of total_flos */
    bool trains;        /* also beside adapters */
    int adapter;        /* the adapter that it is part of, counted from 1, and in no file of the model; 0: none */
    const char *source; /* the name of the tensor that it begins as, where a file has none of its own; NULL: none */
} ParameterSpec;

struct Parameter {
    Tensor value;       /* [shape[0], product of the others]; value.grad is the view of the gradients, always f32 */
    ParameterSpec spec;
    int index;          /* in declaration order: the reference's named_parameters() */
    int64_t count, offset; /* offset: in the flat arrays; of a frozen vector in `vectors`; of a frozen matrix -1 */
    bool frozen;
    Parameter *behind;  /* what lies behind it without a gap in the order, if anything */
    bool follows;       /* it is such a one */
    bool grad_written;  /* in this update: the next write adds */
    int uses;           /* on the tape whose backward is due */
    struct Parameters *owner;
};

typedef struct Parameters {
    Arena *arena;       /* borrowed */
    Parameter **list;   /* declaration order */
    size_t count, capacity;
    Parameter **trained; /* those that are not frozen, in the same order */
    size_t num_trained;
    int64_t flat_count;  /* elements of a flat array, once laid out */
    int64_t elements, trained_elements; /* of parameters, without gaps */
    struct LoraSet *adapters; /* nn/lora.h; borrowed. Not NULL: what is not declared to train is frozen */
    float *vectors;      /* the frozen ones */
    int64_t vectors_count;
    float *weights, *grads; /* bound; grads NULL: evaluation */
    Dtype dtype;        /* that is computed in: of all but frozen matrices */
    void *low;          /* what the values view instead of the weights; NULL: the weights */
    Status error;       /* first failure of a declaration */
} Parameters;

void parameters_init(Parameters *ps, Arena *arena);
/* NULL only when memory is out: kept in ps->error, which parameters_layout returns. */
Parameter *parameter_declare(Parameters *ps, ParameterSpec spec);
Parameter *parameter_find(const Parameters *ps, const char *name); /* may be NULL */
/* `next` comes right behind p in the flat arrays. Both train; nothing is behind p yet. NULL is fine. */
void parameter_join(Parameter *p, Parameter *next);
Status parameters_layout(Parameters *ps);
/* weights and grads of flat_count elements, 64-byte aligned, owned by the caller; gaps are zeroed. */
void parameters_bind(Parameters *ps, float *weights, float *grads);
/* The same without touching them: memory that may be a device's. Gaps are the caller's to zero. */
void parameters_view(Parameters *ps, float *weights, float *grads);
/* What is computed with from now on, whatever the weights are: a copy in fewer bits, of flat_count elements with their
 * offsets, which the caller keeps up; NULL: the weights. vectors: the frozen ones in that dtype; NULL: there are none,
 * or the weights' own. */
void parameters_view_low(Parameters *ps, void *low, void *vectors, Dtype dtype);
/* Frozen vectors [vectors_count], owned by the caller. */
void parameters_view_vectors(Parameters *ps, float *vectors);
/* Draws w [count]: Philox keyed by (seed, name), so values depend on neither order nor other parameters. */
void parameter_draw(Parameter *p, uint64_t seed, float *w);
void parameters_begin_update(Parameters *ps); /* the next write of each gradient overwrites */

#endif
