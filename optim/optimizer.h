/* How weights move. An optimizer knows flat f32 arrays and the kernels, nothing of models: each step is one pass over
 * the ranges that this rank owns, with weight decay by a table of runs. */
#ifndef HONE_OPTIM_OPTIMIZER_H
#define HONE_OPTIM_OPTIMIZER_H

#include "kernels/kernels.h"
#include "trainer/base/status.h"

typedef struct Optimizer Optimizer;

typedef struct OptimizerConfig {
    double weight_decay; /* of the runs that decay */
    double beta1, beta2, eps;             /* adamw */
    double momentum, dampening;           /* sgd */
    bool nesterov;
} OptimizerConfig;

typedef struct OptimizerRange { int64_t begin, end; } OptimizerRange; /* elements of the flat arrays */
typedef struct DecayRun {
    int64_t begin, end;
    bool decays;
} DecayRun; /* ascending, no overlap; what lies between does not move */

/* One line an optimizer. */
typedef struct OptimizerType {
    const char *name;       /* "adamw" */
    int num_states;
    const char *states[2];  /* names of its arrays, as torch calls them */
    /* One run [0, n) of weights, states and gradients; low: their copy in fewer bits, NULL: none. `step`: 1 for the
     * first. */
    void (*update)(const Kernels *k, Stream *s, const OptimizerConfig *c, float *w, float *const states[2],
                   const LowCopy *low, const float *g, int64_t n, const float *grad_scale, double lr,
                   double weight_decay, int64_t step);
} OptimizerType;

const OptimizerType *optimizer_type_find(const char *name); /* adamw_torch, adamw_torch_fused, sgd; NULL */

/* ranges (what this rank owns) and runs are copied. States are zero. */
Status optimizer_new(const OptimizerType *type, const OptimizerConfig *config, const Kernels *k, Stream *s,
                     const OptimizerRange *ranges, int num_ranges, const DecayRun *runs, int num_runs, Optimizer **out);
void optimizer_free(Optimizer *o); /* NULL is fine */

/* Called before memory of weights or states is overwritten (a save may still be reading it). May be NULL. */
typedef void OptimizerGuard(void *context, const void *p, size_t bytes);
/* weights, low (NULL: none) and grads: flat arrays with the offsets of the ranges; low's update is set to this step's
 * number. *grad_scale lies where the kernels work: where it is not finite nothing is changed, which the caller learns
 * later and takes back by optimizer_set_steps. */
void optimizer_step(Optimizer *o, float *weights, const LowCopy *low, const float *grads, const float *grad_scale,
                    double lr, OptimizerGuard *guard, void *context);

int64_t optimizer_steps(const Optimizer *o); /* done so far: bias correction counts them */
void optimizer_set_steps(Optimizer *o, int64_t steps);
/* For saving and loading: state i's array; element `begin` of range r lies at optimizer_at(o, r). */
int optimizer_num_states(const Optimizer *o);
const char *optimizer_state_name(const Optimizer *o, int i);
float *optimizer_state(Optimizer *o, int i);
int64_t optimizer_at(const Optimizer *o, int range);
int64_t optimizer_state_count(const Optimizer *o); /* elements of each array */

#endif
