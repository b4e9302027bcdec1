/* One training run, from its arguments to its last file. trainer.c holds the loop; setup.c opens what it needs;
 * update.c is one update; evaluate.c, saving.c, reporting.c what happens between updates. */
#ifndef HONE_TRAINER_TRAINER_H
#define HONE_TRAINER_TRAINER_H

#include "optim/loss_scale.h"
#include "optim/optimizer.h"
#include "optim/schedule.h"
#include "trainer/callbacks/best.h"
#include "trainer/callbacks/jsonl.h"
#include "trainer/callbacks/progress.h"
#include "trainer/callbacks/state.h"
#include "trainer/callbacks/tensorboard.h"
#include "trainer/callbacks/timing.h"
#include "trainer/callbacks/when.h"
#include "trainer/checkpoint/checkpoint.h"
#include "trainer/config/arguments.h"
#include "trainer/distributed/binding.h"
#include "trainer/distributed/gradients.h"
#include "trainer/distributed/heartbeat.h"
#include "trainer/models/adapter.h"
#include "trainer/tasks/task.h"

/* What any command that computes needs: ranks, cores, kernels. */
typedef struct Machine {
    ProcessGroup *group;
    Binding binding;
    const Kernels *k;
    Stream *stream; /* where k's kernels work: the host's own, or a device's */
    Stream *host;   /* the host's threads */
} Machine;
/* Signals are blocked, MPI is started where there are ranks; a group that is set already is taken. (all ranks) */
Status machine_open(const TrainingArguments *args, Machine *m);
/* The part of it that a command needs which only computes, and leaves signals alone: ranks, cores, kernels. */
Status machine_start(DeviceChoice device, int64_t num_threads, Machine *m);
void machine_close(Machine *m);
/* Work that was queued has failed (seen at the latest when the host has waited for it). */
Status machine_check(const Machine *m);

/* What files are read into and written from: the host's copies of weights and optimizer states that lie on a device
 * (mirror.c). On the CPU these are the arrays themselves. */
typedef struct Mirror { float *weights, *states[2]; } Mirror;

/* In what the model computes (precision.c). The copies lie where the kernels work. */
typedef struct Precision {
    Dtype training, evaluation;
    Rounding rounding;      /* of the training copy */
    void *training_copy;    /* NULL: the weights themselves */
    void *evaluation_copy;  /* NULL: what trains */
    void *training_vectors, *evaluation_vectors; /* the frozen ones, likewise */
    LossScale loss_scale;   /* scale 1 but in f16 */
    int64_t overflows;      /* updates that it left out, of the whole run: the schedule does not count them */
} Precision;

/* What an update leaves for the host to read when it is queued (step_results.c). */
typedef struct StepResults {
    double *there, *here;   /* where the kernels work, and the host's */
    int64_t losses, capacity;
} StepResults;

typedef struct Trainer {
    const TrainingArguments *args;
    Arena *arena;
    Machine machine;
    const char *model_dir;      /* NULL: a model from scratch */
    Adapter adapter;
    LoraSet *adapters;          /* NULL: the model itself trains */
    Model *model;
    Tokenizer *tokenizer;
    const char *tokenizer_dir;
    const Task *task;
    TaskContext context;
    Dataset *train_set, *eval_set;
    Gradients *gradients;       /* owns the flat arrays of weights and gradients while training */
    float *weights;             /* evaluation only: owned here */
    Mirror mirror;
    Precision precision;
    StepResults results;
    Tape tape;
    BatchRoom room;             /* where `placed` lies */
    Batch placed;               /* the batch on the tape */
    Largest largest;            /* micro-batches of this rank's run */
    bool settled, evaluated;    /* an update was done; an evaluation begun (footprint.c) */
    SamplerConfig sampler_config;
    Sampler *sampler;
    Loader *loader;
    Optimizer *optimizer;
    Schedule schedule;
    CheckpointStore *store;
    RankGroup ranks;
    Heartbeat *heartbeat;

    int64_t global_step, max_steps;
    TrainerState state;
    WhenConfig when;
    BestRule best;
    Progress *progress;
    JsonlLog *jsonl;
    TensorBoard *tensorboard;

    double *sample_losses;      /* full determinism: [samples of an update] */
    double loss_since_log, loss_total;
    int64_t steps_since_log, steps_done, skipped_steps; /* of the whole run, with the processes before this one */
    int64_t first_step;         /* where this process began */
    double last_norm, last_rate, hidden_s, exposed_s, started;
    StepTimes step_times;
    int64_t tokens_done;        /* of all ranks, by this process */
    LogEntry last_evaluation;
    int64_t last_evaluation_step; /* -1: none */
    const char *picture;        /* training_curves.svg's path */
    double picture_s;           /* when the picture was drawn last */
    bool improved;              /* the last evaluation was the best so far */
    bool owes_evaluation;       /* this step's was left because of a stop */
    bool stop_early;            /* early stopping */
    bool stopping;              /* on request: what is saved now must be enough to go on from */
    bool agreed;                /* a failure that all ranks know of */
    bool log_failed;            /* a log could not be written: rank 0's */
} Trainer;

/* `hone train` in three parts: between init and run a caller may set the machine's group and the task (tests do: ranks
 * that are slow, data that no file holds); between run and close it may look at what became of the run. (all ranks) */
void trainer_init(Trainer *tr, const TrainingArguments *args, Arena *arena);
Status trainer_run(Trainer *tr);
void trainer_close(Trainer *tr);
/* The whole of `hone train`. STATUS_STOPPED: asked to stop, and saved. (all ranks) */
Status trainer_train(const TrainingArguments *args, Arena *arena);
/* The whole of `hone eval`: metrics of the model on the validation set (or the test set), to stdout and
 * eval_results.json. (all ranks) */
Status trainer_eval(const TrainingArguments *args, Arena *arena);

/* ---- between the files of this room ------------------------------------------------------------------------------ */
Status trainer_open(Trainer *tr, bool training); /* machine, model, data, weights */
Status trainer_open_training(Trainer *tr);       /* gradients, optimizer, schedule, store, resume, loader */
Status trainer_load(Trainer *tr, const char *checkpoint); /* what trains; NULL: as the run begins */
/* All ranks learn whether one failed; from then on the failure is everybody's, and only the rank that failed first
 * speaks. */
Status trainer_agree(Trainer *tr, Status mine);
/* A failure that a collective call gave to all ranks: rank 0 speaks. */
Status trainer_shared(Trainer *tr, Status st);
/* A failure that the other ranks do not know of is printed and ends them too. */
void trainer_end_all(Trainer *tr, Status st);
Status trainer_dry_run(Trainer *tr);

/* precision.c: the dtypes of this run, and its copies of weights, to be filled when there are weights. (this rank
 * alone) */
Status precision_open(Trainer *tr, bool training);
Status precision_place_vectors(Trainer *tr); /* once what is frozen is in its place */
void precision_close(Trainer *tr);
const LowCopy *precision_copy(const Trainer *tr, LowCopy *out); /* what trains, as it is now; NULL: the weights do */
void precision_refresh(Trainer *tr, int64_t begin, int64_t end); /* from the weights: something else wrote them */
void precision_refresh_all(Trainer *tr);
void precision_begin_evaluation(Trainer *tr); /* the model computes as evaluation wants it until the end */
void precision_end_evaluation(Trainer *tr);

/* step_results.c: in the order of the stream, but for read, which waits. */
Status step_results_begin(Trainer *tr, int64_t losses); /* room for so many */
void step_results_free(Trainer *tr);
double *step_results_losses(const Trainer *tr);            /* where the kernels work; so below */
const float *step_results_grad_scale(const Trainer *tr);
/* Before gradients_finish(): the losses' sum to where ranks add it up, so that all decide alike. */
void step_results_add_up(Trainer *tr);
void step_results_decide(Trainer *tr, double unscale, double max_norm); /* from the gradients and the losses */
Status step_results_read(Trainer *tr, const double **losses, double *norm_squared); /* the second may be NULL */

/* footprint.c: memory for the largest micro-batches. (this rank alone) */
Status footprint_open(Trainer *tr, size_t *step_bytes); /* finds them, and what a step takes of the host */
Status footprint_rehearse(Trainer *tr); /* before the first update: on a device the largest are computed once */
Status footprint_of_evaluation(Trainer *tr, const EvalPlan *plan); /* likewise, once */
void footprint_settle(Trainer *tr, const Step *step); /* after an update */

/* Forward and backward of a micro-batch that is not empty. sums: where the kernels work; gets the sum of each
 * sequence's row losses. (this rank alone) */
Status trainer_micro_batch(Trainer *tr, const Batch *batch, double divisor, double *sums);
/* Waits for the batch's sum of losses. (this rank alone) */
Status trainer_evaluate_batch(Trainer *tr, const Batch *batch, const double **sum);
/* One update: micro-steps, sum over ranks, clipping, optimizer. *loss: as it is logged. */
Status trainer_update(Trainer *tr, const Step *step, double *loss);
/* That the evaluation set gives a batch. (this rank alone) */
Status trainer_check_evaluation(const Trainer *tr);
/* Metrics of the evaluation set, with their prefix and in the reference's order. *left: a rank was asked to stop before
 * the end; there is no result then. (all ranks) */
Status trainer_evaluate(Trainer *tr, const char *prefix, LogEntry *out, bool *left);
/* Why this rank is to stop, as a number that grows from 1; 0: it is not. */
int64_t trainer_asked_to_stop(void);
const char *trainer_stop_reason(int64_t number);

Status trainer_save(Trainer *tr);        /* begins a checkpoint of this step */
Status trainer_save_final(Trainer *tr);  /* waits, then the model into output_dir itself */
Status trainer_resume(Trainer *tr);      /* weights, optimizer state, step, data position; begins where there is none */

Status report_open(Trainer *tr);
Status report_step(Trainer *tr, const Step *step, double loss); /* the bar, and a log entry when one is due */
Status report_evaluation(Trainer *tr, LogEntry *entry); /* log, best model, early stopping */
/* train_results.json, eval_results.json from the last evaluation if it was of this step, card, picture. */
Status report_end(Trainer *tr, double train_seconds);
void report_close(Trainer *tr);

#endif
