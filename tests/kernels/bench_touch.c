/* Seconds that this machine takes to lend memory: bench_touch THREADS MB, built with -DHONE_BENCH=ON.
 *
 * Each thread writes once to every page of its part of fresh memory. A step that is a process's first pays this for all
 * that it uses; on a virtual machine whose host lends memory page by page it is 10 times what it is on bare metal. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

#include "kernels/kernels.h"

enum { PAGE = 4096 };

typedef struct Part { char *memory; int64_t bytes; } Part;

static void touch(void *context, int64_t task, int thread)
{
    const Part *p = context;
    (void)thread;
    for (int64_t at = task * p->bytes; at < (task + 1) * p->bytes; at += PAGE) p->memory[at] = 1;
}

int main(int argc, char **argv)
{
    int threads = argc > 2 ? atoi(argv[1]) : 0;
    int64_t bytes = argc > 2 ? atoll(argv[2]) * 1000000 : 0;
    Stream *s = threads > 0 && bytes > 0 ? stream_new_cpu(threads) : NULL;
    if (!s) return fprintf(stderr, "usage: bench_touch THREADS MB\n"), 2;
    Part part = {.bytes = bytes / threads / PAGE * PAGE};
    size_t size = (size_t)(part.bytes * threads);
    struct timespec from, to;
    clock_gettime(CLOCK_MONOTONIC, &from);
    part.memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (part.memory == MAP_FAILED) return perror("mmap"), 1;
    madvise(part.memory, size, MADV_HUGEPAGE); /* as hone's arrays are */
    threads_run(stream_threads(s), threads, touch, &part);
    clock_gettime(CLOCK_MONOTONIC, &to);
    printf("%.2f\n", (double)(to.tv_sec - from.tv_sec) + 1e-9 * (double)(to.tv_nsec - from.tv_nsec));
    stream_free(s);
    return 0;
}
