/* Where the tests by finite differences run, and memory there: the CPU with each instruction set; a device (on the
 * emulator) in a program that is linked with its kernels (HONE_TEST_CUDA). Include it after cmocka.h. */
#ifndef HONE_TESTS_AUTOGRAD_FD_MEMORY_H
#define HONE_TESTS_AUTOGRAD_FD_MEMORY_H

#include <stdlib.h>
#include <string.h>

#include "kernels/kernels.h"
#ifdef HONE_TEST_CUDA
#include "tests/autograd/device_memory.h"
#endif

#ifdef HONE_TEST_CUDA
/* A launch on the emulator takes its time: fewer shapes, directions, places where memory ends. */
enum { FD_TABLES = 1, FD_SHAPES = 1, FD_DIRECTIONS = 3, FD_EVERY = 9, FD_STEP = 256 };
static inline const Kernels *fd_table(int which) { return (void)which, kernels_cuda(); }

static inline Stream *fd_stream_new(int threads) { return device_stream(threads); }
static inline void *fd_take(size_t bytes) { return device_take(bytes); }
static inline void fd_give(void *memory) { device_give(memory); }
static inline void *fd_copy(void *to, const void *from, size_t bytes) { return device_copy(to, from, bytes); }
#else
enum { FD_TABLES = 3, FD_SHAPES = 5, FD_DIRECTIONS = 6, FD_EVERY = 1, FD_STEP = 64 };
static inline const Kernels *fd_table(int which) /* NULL: this machine lacks it */
{
    return isa_detect() >> which & 1 ? kernels_cpu(1u << which) : NULL;
}

static inline Stream *fd_stream_new(int threads) { return stream_new_cpu(threads); }

static inline void *fd_take(size_t bytes) /* exactly that much, so that the sanitizer sees a step beyond */
{
    void *memory = malloc(bytes ? bytes : 1);
    assert_non_null(memory);
    return memory;
}

static inline void fd_give(void *memory) { free(memory); }

static inline void *fd_copy(void *to, const void *from, size_t bytes) { return bytes ? memcpy(to, from, bytes) : to; }
#endif

/* The widest table. */
static inline const Kernels *fd_best(void)
{
    const Kernels *k = NULL;
    for (int i = 0; i < FD_TABLES; i++) k = fd_table(i) ? fd_table(i) : k;
    return k;
}

/* A copy there of what the host has; and on the host, to free(), of what is there. */
static inline void *fd_there(const void *host, size_t bytes) { return fd_copy(fd_take(bytes), host, bytes); }

static inline void *fd_here(const void *there, size_t bytes)
{
    void *host = malloc(bytes + 1);
    assert_non_null(host);
    return fd_copy(host, there, bytes);
}

static inline void fd_fill_nan(void *there, size_t bytes)
{
    void *nan = malloc(bytes + 1);
    assert_non_null(nan);
    memset(nan, 0xff, bytes);
    fd_copy(there, nan, bytes);
    free(nan);
}

#endif
