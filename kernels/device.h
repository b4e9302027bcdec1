/* Devices beyond the CPU. Their kernels are a library, libhone_cuda.so, that is opened when a device is asked for: the
 * program runs where neither the library nor the driver is, and starts without either. */
#ifndef HONE_KERNELS_DEVICE_H
#define HONE_KERNELS_DEVICE_H

#include "kernels/kernels.h"

enum { DEVICE_WHY_BYTES = 1024 };

/* How many there are. 0: why says which file or device is missing. */
int device_count(char why[DEVICE_WHY_BYTES]);
/* The same for who takes a device only if there is one: the library is not opened where no driver is. 0 and why "": and
 * nothing speaks of one, neither a driver nor a library beside the program. */
int device_find(char why[DEVICE_WHY_BYTES]);
/* The kernels of device number `index` and a stream of its own; the caller frees the stream. false: why says why. */
bool device_open(int index, const Kernels **k, Stream **stream, char why[DEVICE_WHY_BYTES]);

/* What `hone env` tells of a device. */
typedef struct DeviceFacts {
    char name[256];
    int major, minor, multiprocessors; /* compute capability; its units */
    int64_t memory_bytes, memory_free_bytes;
    int driver, runtime; /* the versions of CUDA that the driver knows, and that the kernels use: 13000 is 13.0 */
} DeviceFacts;
bool device_facts(int index, DeviceFacts *facts, char why[DEVICE_WHY_BYTES]);

/* ---- ranks, a device each -----------------------------------------------------------------------------------------
 * What ranks need whose arrays lie on devices: a second queue beside the one that computes, points in queues that order
 * them, and NCCL. Like kernels the calls only queue work and return nothing: a failure waits in the queue
 * (stream_failed) and nothing is queued after it. One thread at a time, but for mark_is_reached, poll and abort: those
 * are any thread's and never wait. */
typedef struct DeviceMark DeviceMark; /* a point in a queue; not reached before it was set and what is before it done */
typedef struct DeviceComm DeviceComm; /* an NCCL communicator and the queue in which it works */
enum { DEVICE_ID_BYTES = 64, DEVICE_COMM_KEY_BYTES = 128 };

typedef struct DeviceRanks {
    /* Which of its host's devices it is (its place on the bus): two ranks that say the same share one. */
    void (*id)(Stream *s, char id[DEVICE_ID_BYTES]);
    /* Another queue of the device of s, for kernels and copies too, before s in the device's eyes; stream_free. */
    Stream *(*beside)(Stream *s, char why[DEVICE_WHY_BYTES]);
    /* Host memory that copies go to and from without a stop: until unpinned. A wish: without it they are slower. */
    bool (*pin)(void *memory, size_t bytes);
    void (*unpin)(void *memory);

    DeviceMark *(*mark_new)(void); /* NULL: no memory. Of the calling thread's device */
    void (*mark_free)(DeviceMark *m); /* NULL is fine */
    void (*mark_set)(DeviceMark *m, Stream *s);  /* behind all that is queued on s; again: it moves there */
    void (*mark_order)(DeviceMark *m, Stream *s); /* what is queued on s from now on begins after the mark */
    void (*mark_wait)(DeviceMark *m, Stream *s); /* the host waits; s: where a failure is told */
    bool (*mark_is_reached)(DeviceMark *m);
    double (*mark_seconds)(DeviceMark *from, DeviceMark *to); /* between two that have been reached */

    /* into[i] = ((source[0][i] + source[1][i]) + …), n floats; `into` may be source[0]. source is the host's array.
     * Floor: (count + 1)*n floats moved (above 8 sources 2*n more for each further 7). */
    void (*fold)(Stream *s, float *into, const float *const *source, int count, int64_t n);

    /* 22809 is 2.28.9; 0: NCCL is not there, and why says so. It is opened by the first call: one rank needs none. */
    int (*nccl_version)(char why[DEVICE_WHY_BYTES]);
    /* What rank 0 makes and all ranks must have to meet. */
    bool (*comm_key)(unsigned char key[DEVICE_COMM_KEY_BYTES], char why[DEVICE_WHY_BYTES]);
    /* Collective; gives up after limit_s (the thread that waits is then left behind: end the process). queue: of the
     * rank's device, borrowed. Two ranks of one device are refused. */
    DeviceComm *(*comm_open)(Stream *queue, const unsigned char key[DEVICE_COMM_KEY_BYTES], int rank, int size,
                             double limit_s, char why[DEVICE_WHY_BYTES]);
    /* Between the two, calls are one: they go together, and sends and receives find one another in any order. */
    void (*comm_group)(DeviceComm *c);
    void (*comm_group_end)(DeviceComm *c);
    /* In place, f32, sums in an order that repeats on the same devices: of all ranks' n floats; of size*each floats, of
     * which rank r keeps those from r*each on; all of it at the root alone. */
    void (*all_reduce)(DeviceComm *c, float *data, int64_t n);
    void (*all_reduce_f64)(DeviceComm *c, double *data, int64_t n);
    void (*reduce_scatter)(DeviceComm *c, float *data, int64_t each);
    void (*reduce)(DeviceComm *c, float *data, int64_t n, int root);
    /* In place: rank r has given the floats from r*each on; the root has. */
    void (*all_gather)(DeviceComm *c, float *data, int64_t each);
    void (*broadcast)(DeviceComm *c, float *data, int64_t n, int root);
    void (*send)(DeviceComm *c, const float *data, int64_t n, int to);
    void (*receive)(DeviceComm *c, float *data, int64_t n, int from);
    bool (*comm_poll)(DeviceComm *c, char why[DEVICE_WHY_BYTES]); /* false: a call has failed on its way */
    void (*comm_abort)(DeviceComm *c); /* frees who waits; the data are garbage. Once; then only comm_close */
    void (*comm_close)(DeviceComm *c); /* after all work, or after comm_abort; NULL is fine */
} DeviceRanks;
/* NULL: why says which file is missing. */
const DeviceRanks *device_ranks(char why[DEVICE_WHY_BYTES]);

#endif
