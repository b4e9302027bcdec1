/* What the files of the gradient reducer share: plan (who owns what), sums (adding in order), exchange (the thread),
 * API. */
#ifndef HONE_DISTRIBUTED_GRADIENTS_INTERNAL_H
#define HONE_DISTRIBUTED_GRADIENTS_INTERNAL_H

#include <pthread.h>
#include <string.h>

#include "trainer/base/clock.h"
#include "trainer/distributed/gradients.h"
#include "trainer/distributed/process_group_nccl.h"

/* ---- plan ---- */
typedef struct Plan {
    int64_t n, blocks; /* elements; KERNEL_BLOCKs, the last one may be short */
    int64_t bucket_blocks; /* of each but the last, which may have fewer */
    int ranks, buckets;
    Range *bucket;                      /* [buckets] elements */
    Range *part;                        /* [buckets * ranks]: bucket k's part of rank r at k*ranks + r; may be empty */
    Range **owned;                      /* [ranks]: a rank's parts, neighbours joined */
    int *owned_count;                   /* [ranks] */
    int64_t most_blocks, most_elements; /* of one rank in all; of one part */
} Plan;
Status plan_new(int64_t n, int ranks, int64_t bucket_bytes, Plan *out);
void plan_free(Plan *plan);
int plan_bucket_of(const Plan *plan, int64_t element);
static inline Range plan_part(const Plan *p, int bucket, int rank)
{
    return p->part[(int64_t)bucket * p->ranks + rank];
}

/* ---- sums ---- */
typedef struct Fold {
    float *into;                /* at element 0 of the flat array; NULL: nothing is kept, only squares */
    const float *const *source; /* [count] at element 0 too, added in this order; `into` may be among them */
    int count;
    double *partials; /* [blocks] sum of squares of the result */
} Fold;
/* into[i] = ((source[0][i] + source[1][i]) + …) over [begin, end), which begins on a block's bound. threads NULL: by
 * the caller alone; the result does not depend on it. */
void fold_run(const Fold *fold, Range range, Threads *threads);
/* to[i] = from[i] over the range. */
void copy_run(float *to, const float *from, Range range, Threads *threads);

/* ---- arrays on a device (gradients_device.c) ---- */
typedef struct DeviceArrays {
    const Kernels *k; /* NULL: the arrays are the host's */
    Stream *stream;
    float *data, *weights, *total;
    int handed_on;      /* buckets of this micro-step, in their order */
    DeviceGroup *group; /* NULL: one rank */
    DeviceMark *order, *backward; /* the computing queue: when it was last looked at; where backward ended */
    DeviceMark **begin, **end;    /* [buckets] around the work on each, in the group's queue */
    DeviceMark *norm_end, *gather_begin, *gather_end; /* of its partial sums; of weights */
    bool is_timed, has_gathered;           /* since the times were last read */
    float *received; /* by NCCL with full determinism: [ranks * plan.most_elements] */
    Stream *back;    /* through host memory: the queue from there */
    void *pinned[3]; /* the host's arrays, as far as that was possible */
    int num_pinned;
    double *partials; /* [blocks], all ranks' once finish is queued: gradients_partials(); the companion follows */
} DeviceArrays;

/* ---- state ---- */
struct Gradients {
    ProcessGroup *comm; /* a channel of its own */
    Threads *threads;   /* the stream's pool: only while the main thread waits */
    Plan plan;
    Range everything;
    bool full_determinism, gathers_sums /* zero_stage 0 */, shares, defect;
    SharedMemory data, weights, total; /* total: what full determinism adds up */
    SharedMemory *reduced;             /* data or total */
    DeviceArrays device;
    float *received;                   /* [ranks * plan.most_elements] of messages */
    double *partials, *all_partials;   /* [blocks], [ranks * plan.most_blocks] */
    const float **sources;             /* [ranks + 1] */
    unsigned char *contributes;        /* [ranks] in this micro-step */
    size_t *sizes;                     /* [4 * ranks] for messages */

    /* The main thread's. */
    bool in_update; /* between the first begin and finish */

    /* Shared with the communication thread, under the lock. */
    pthread_t thread;
    bool has_thread;
    pthread_mutex_t lock;
    pthread_cond_t work, done;
    int64_t *left;            /* [buckets] elements that backward has yet to report */
    int on_host;              /* of a device: buckets of this micro-step that are on their way to the host's array */
    uint64_t asked, answered; /* micro-steps sent: begun, and done */
    bool last, has_granule, total_is_empty, main_waits, stop;
    int started, early; /* buckets under way or done; that number when backward ended */
    double busy_s, waited_s, exposed_s;
    Status error;
    char message[1024];
};

Status exchange_start(Gradients *g); /* starts the thread */
bool exchange_stop(Gradients *g);    /* false: it is stuck in a call and still uses g */
/* Bucket's parts from their owners to all, by messages. */
Status gather_bucket(Gradients *g, int bucket, SharedMemory *array);
void exchange_alone(Gradients *g); /* one rank's micro-step with full determinism */
static inline bool any_contributes(const Gradients *g)
{
    return memchr(g->contributes, 1, (size_t)g->plan.ranks) != NULL;
}
Status exchange_weights(Gradients *g); /* everybody's into the own host array */
Status gather_partials(Gradients *g);  /* everybody's to everybody; nobody is through before all have added up */

/* Arrays on a device: of one rank; of several, to which `group` belongs. */
Status device_allocate(Gradients *g, const GradientsOptions *options, Stream *stream);
void device_free(Gradients *g);
void device_zero(Gradients *g, float *at, int64_t n);
void device_add_up(Gradients *g);        /* one rank's micro-step with full determinism */
void device_square_sums(Gradients *g);    /* of what is reduced here, to device.partials; does not wait */
Status device_read_partials(Gradients *g); /* to the host; waits for them */
void device_hand_on(Gradients *g);       /* the next buckets of which nothing is left */
static inline bool device_is_direct(const Gradients *g) { return g->device.group && g->device.group->comm; }
static inline bool device_is_staged(const Gradients *g) { return g->device.group && !g->device.group->comm; }

/* By NCCL (gradients_nccl.c). */
Status nccl_allocate(Gradients *g);
Status nccl_begin(Gradients *g);            /* of a micro-step that is sent */
void nccl_bucket(Gradients *g, int bucket);
void nccl_end(Gradients *g);
Status nccl_finish(Gradients *g); /* with the sums of squares; does not wait */
Status nccl_gather_weights(Gradients *g);
void nccl_times(Gradients *g); /* of the last update, if they are known yet */

/* Through the host's arrays, which the thread exchanges (gradients_staged.c). */
Status staged_allocate(Gradients *g);
void staged_free(Gradients *g);
void staged_bucket(Gradients *g, int bucket);
Status staged_wait(Gradients *g, int bucket);         /* until it is in the host's array */
void staged_take_back(Gradients *g, Range range); /* of what is reduced there */
Status staged_finish(Gradients *g);                   /* with the sums of squares; waits */
Status staged_gather_weights(Gradients *g);

#endif
