/* One pool of threads runs everything of a rank; parked on a futex when idle. */
#ifndef HONE_KERNELS_THREADS_H
#define HONE_KERNELS_THREADS_H

#include <stdint.h>

typedef struct Threads Threads;

/* n >= 1 threads, the caller being number 0. Every one of them has told OpenMP and oneDNN to stay single-threaded.
 * NULL: no memory. */
Threads *threads_new(int n);
void threads_free(Threads *t);
int threads_count(const Threads *t);

/* body(context, task, thread) for each task of [0, tasks), handed out one by one to whoever is free; returns when all
 * are done. What a task computes must not depend on which thread runs it: that keeps results the same for every thread
 * count. Not reentrant; one caller at a time. */
typedef void ThreadsBody(void *context, int64_t task, int thread);
void threads_run(Threads *t, int64_t tasks, ThreadsBody *body, void *context);

#endif
