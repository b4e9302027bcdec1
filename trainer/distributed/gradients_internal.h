/* What the files of the gradient reducer share: plan (who owns what), sums (adding in order), exchange (the thread),
 * API. */
#ifndef HONE_DISTRIBUTED_GRADIENTS_INTERNAL_H
#define HONE_DISTRIBUTED_GRADIENTS_INTERNAL_H

#include <pthread.h>

#include "trainer/base/clock.h"
#include "trainer/distributed/gradients.h"

/* ---- plan ---- */
typedef struct Plan {
    int64_t n, blocks; /* elements; KERNEL_BLOCKs, the last one may be short */
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
    double *partials; /* [blocks] */
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
Status device_allocate(Gradients *g, const Kernels *k, Stream *stream);
void device_free(Gradients *g);
void device_zero(Gradients *g, float *at, int64_t n);
void device_add_up(Gradients *g);        /* one rank's micro-step with full determinism */
void device_square_sums(Gradients *g);    /* of what is reduced, there */
Status device_read_partials(Gradients *g); /* to the host; waits for them */
void exchange_alone(Gradients *g); /* one rank's micro-step with full determinism */

#endif
