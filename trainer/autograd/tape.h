/* The tape: what was computed, in order, so that backward can walk it in reverse (architecture.md, 4).
 *
 * A forward pass calls ops; each makes its output on the tape's region and pushes a node. tape_backward walks the nodes
 * from the last to the first and gives their memory back as it goes. Memory has four places; all but the first are
 * where the stream's kernels work, which on a device the host may not touch:
 *   nodes   nodes and the heads of tensors, a stack;
 *   region  what backward needs, a stack;
 *   pool    gradients of activations;
 *   slots   a few buffers for outputs that are cheaper to make again than to keep (norms, activations): such a tensor
 *           loses its data when the slot is taken for another, and tape_data() makes it again.
 * A tape that does not record (evaluation, or a block whose insides are recomputed) keeps nothing.
 *
 * Errors: the tape keeps the first (op, shapes); from then on ops return NULL, and ops that are given NULL return NULL,
 * so model code has no error branches: tape_backward or tape_status tells. */
#ifndef HONE_AUTOGRAD_TAPE_H
#define HONE_AUTOGRAD_TAPE_H

#include "kernels/kernels.h"
#include "trainer/base/status.h"
#include "trainer/tensor/batch.h"
#include "trainer/tensor/parameter.h"
#include "trainer/tensor/region.h"
#include "trainer/tensor/tensor.h"

typedef struct Tape Tape;
typedef struct Node Node;

/* Slots are taken in turn; one that the op at work has touched is not taken, the spare ones are for ops whose inputs
 * are made again from what is made again itself. */
enum { NODE_INPUTS = 6, TAPE_SLOTS = 3, TAPE_ALL_SLOTS = 12 };

/* Reads node->out->grad (never NULL) and writes the gradients of its inputs through tape_grad / tape_weight_grad. */
typedef void NodeBackward(Tape *t, Node *node);
/* Writes out->data (given) again from the node's inputs: the same bits as before. */
typedef void NodeRemake(Tape *t, Node *node);

/* How high the two stacks were. */
typedef struct TapeMark { size_t nodes, data; } TapeMark;

/* An op's own node begins with this one. */
struct Node {
    Node *prev;
    const char *op;
    NodeBackward *backward;
    NodeRemake *remake; /* NULL: out is kept */
    Tensor *out;
    Tensor *in[NODE_INPUTS];
    int num_in;
    TapeMark mark; /* before this op */
};

/* Told when a parameter's gradient is final in this backward pass. */
typedef void ParameterReady(void *context, Parameter *p);

struct Tape {
    const Kernels *k;
    Stream *stream;
    Parameters *params;   /* whose uses are counted; may be NULL in tests */
    const Batch *batch;   /* of this pass: dropout's rows and samples */
    struct KvCache *cache;/* generation: keys and values of what was read before (nn/kv_cache.h); else NULL */
    uint64_t seed;
    uint32_t update;
    bool training;        /* dropout is on */
    bool wants_grad;      /* a backward pass will follow */
    bool record;          /* nodes are pushed now */
    bool recomputing;     /* inside backward: uses were counted the first time */
    bool checkpointing;   /* recompute() drops what its block made */
    int checkpoint_every; /* every nth block (activation_checkpointing_kwargs.every_n_layers); 1: all */
    uint32_t op;          /* number of the next random op in the model */
    ParameterReady *ready;
    void *ready_context;

    Node *last;
    TapeMark last_end;
    Region nodes, region;
    Pool pool;
    struct { void *data; size_t bytes; Tensor *owner; uint64_t used_at; } slots[TAPE_ALL_SLOTS];
    uint64_t clock, began; /* of the slots; when the op at work began */
    int blocks; /* recompute() calls of this pass */
    Status error;
    char message[512];
};

/* params: borrowed, may be NULL. */
Status tape_open(Tape *t, const Kernels *k, Stream *stream, Parameters *params);
void tape_close(Tape *t);

typedef enum TapeMode { TAPE_EVAL, TAPE_TRAIN } TapeMode;
/* Starts a pass over `batch` (borrowed until the next begin, its arrays where the kernels work): empties the tape. In
 * TAPE_TRAIN dropout is on and a backward follows. */
void tape_begin(Tape *t, TapeMode mode, const Batch *batch, uint32_t update);
/* After a pass: its memory becomes one block. A device asks for nothing then in a pass that is not larger. */
void tape_end(Tape *t);
/* Between passes: what it keeps of a device goes back. */
void tape_forget(Tape *t);
/* Between passes, on the host: passes will need up to `factor` times what those before needed. */
void tape_expect(Tape *t, double factor);
Status tape_status(const Tape *t); /* OK, or the first error with its message raised again */

/* From a loss (an op that made the gradient of its inputs already; dy NULL) or from any tensor with its gradient dy
 * (y's shape, copied). Empties the tape. Gradients of parameters are in their flat array. */
Status tape_backward(Tape *t, Tensor *y, const void *dy);

/* ---- for ops ---------------------------------------------------------------------------------------------------- */
/* True when the tape is well, no input is NULL or consumed, and all are of one dtype. */
bool tape_check(Tape *t, const char *op, int count, Tensor *const *inputs);
#define TAPE_CHECK(t, op, ...) \
    tape_check(t, op, (int)(sizeof((Tensor *[]){__VA_ARGS__}) / sizeof(Tensor *)), (Tensor *[]){__VA_ARGS__})
/* Of x and a weight, which if it is frozen may have a dtype of its own: f32, bf16 or f16. */
bool tape_check_weight(Tape *t, const char *op, Tensor *x, Tensor *weight);
void tape_fail(Tape *t, const char *op, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* A kept output. NULL: no memory. */
Tensor *tape_new(Tape *t, Dtype dtype, int64_t rows, int64_t cols);
/* An output that a node will make again: in a slot when the tape records, else as tape_new. */
Tensor *tape_new_remade(Tape *t, Dtype dtype, int64_t rows, int64_t cols);
/* An output that takes over x's storage where nobody needs x any more (x is then consumed), with x's content either
 * way. */
Tensor *tape_new_over(Tape *t, Tensor *x);
void *tape_keep(Tape *t, size_t bytes); /* for the kernels of backward; NULL when the tape does not record */
/* Pushes a node of `bytes` (an op's struct that begins with Node). Returns the node to be filled in, or NULL: the tape
 * does not record, or none of the inputs needs a gradient, or there is no memory (then the tape has failed). Sets
 * needs_grad of `out`, counts the uses of parameters. Inputs may be NULL. */
void *tape_push(Tape *t, size_t bytes, const char *op, NodeBackward *backward, NodeRemake *remake, Tensor *out,
                int count, Tensor *const *inputs);
#define TAPE_PUSH(t, type, op, backward, remake, out, ...)                                                             \
    ((type *)tape_push(t, sizeof(type), op, backward, remake, out,                                                     \
                       (int)(sizeof((Tensor *[]){__VA_ARGS__}) / sizeof(Tensor *)), (Tensor *[]){__VA_ARGS__}))
/* The content of x, made again if it was dropped. */
void *tape_data(Tape *t, Tensor *x);
/* Says that a backward will read x: nobody may take its storage. */
static inline void tape_needs(Tensor *x) { x->needed = true; }

/* Where the gradient of an activation goes, in its dtype; *accumulate: add to what is there. NULL when x needs none. */
void *tape_grad(Tape *t, Tensor *x, bool *accumulate);
/* The same for a weight, bias or table: f32, whatever its dtype. */
float *tape_weight_grad(Tape *t, Tensor *x, bool *accumulate);
/* x's gradient is y's, plus what was there: takes y's buffer over if it can. */
void tape_pass_grad(Tape *t, Tensor *y, Tensor *x);
/* x's gradient gains dx, a buffer of tape_scratch with x's shape, which it takes over. */
void tape_give_grad(Tape *t, Tensor *x, void *dx);
void *tape_scratch(Tape *t, size_t bytes); /* from the pool; give back with tape_scratch_free */
void tape_scratch_free(Tape *t, void *p, size_t bytes);
/* Numbers of a random op; NULL when p is 0 or the tape does not train. `op` is the number kept by the node. */
const Dropout *tape_dropout(const Tape *t, float p, uint32_t op, Dropout *out);

#endif
