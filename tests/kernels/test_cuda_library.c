/* libhone_cuda.so opens on a machine without a driver, has every kernel of kernels.h, and says why there is no stream.
 * Skipped where it was not built (no nvcc; sanitizers). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <dlfcn.h>
#include <unistd.h>

#include "kernels/cuda/cuda.h"

static void *library; /* NULL: not built */

static void *door(const char *name)
{
    void *p = dlsym(library, name);
    if (!p) fail_msg("libhone_cuda.so has no %s", name);
    return p;
}

static void has_every_kernel(void **state)
{
    (void)state;
    if (!library) skip();
    const Kernels *(*kernels)(void) = (const Kernels *(*)(void))(uintptr_t)door("kernels_cuda");
    const Kernels *k = kernels();
    const void *const *entries = (const void *const *)(const void *)k;
    size_t first = offsetof(Kernels, linear_forward) / sizeof *entries, last = sizeof *k / sizeof *entries;
    assert_string_equal(k->name, "cuda");
    size_t optional = offsetof(Kernels, linear_forward_alone) / sizeof *entries;
    for (size_t i = first; i < last; i++)
        if (!entries[i] && i != optional) fail_msg("entry %zu of the table is NULL", i - first);
}

static void says_why_there_is_no_device(void **state)
{
    (void)state;
    if (!library) skip();
    int (*count_devices)(void) = (int (*)(void))(uintptr_t)door("cuda_device_count");
    Stream *(*stream_new)(int, char *) = (Stream * (*)(int, char *))(uintptr_t)door("stream_new_cuda");
    char message[200] = "", want[20];
    int count = count_devices();
    assert_in_range(count, 0, 1000);
    assert_null(stream_new(count, message)); /* the first that is not there */
    snprintf(want, sizeof want, "cuda:%d: ", count);
    if (strncmp(message, want, strlen(want)) || !strstr(message, "cudaError")) fail_msg("message: %s", message);
}

static int open_library(void **state)
{
    (void)state;
    char path[4096];
    ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);
    if (n < 0) return -1;
    path[n] = 0;
    char *slash = strrchr(path, '/');
    if (!slash || slash + 20 > path + sizeof path) return -1;
    strcpy(slash, "/libhone_cuda.so");
    if (access(path, R_OK)) return 0;
    library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!library) fprintf(stderr, "%s\n", dlerror());
    return library ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(has_every_kernel),
        cmocka_unit_test(says_why_there_is_no_device),
    };
    return cmocka_run_group_tests(tests, open_library, NULL);
}
