/* What the fuzz targets share: a check that holds in every build, and the input as a file. */
#ifndef HONE_FUZZ_H
#define HONE_FUZZ_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FUZZ_CHECK(what)                                                  \
    do {                                                                  \
        if (!(what)) {                                                    \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #what);    \
            abort();                                                      \
        }                                                                 \
    } while (0)

/* In memory where the system has such a place: a target writes some hundred files a second. */
static inline const char *fuzz_tmp(void)
{
    return access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
}

static char fuzz_path[64];

static inline void fuzz_remove(void)
{
    unlink(fuzz_path);
}

/* Writes the bytes to a file of this process whose name ends so; its path. Gone at exit. */
static inline const char *fuzz_file(const char *end, const void *data, size_t size)
{
    char *path = fuzz_path;
    if (!*path) atexit(fuzz_remove);
    snprintf(path, sizeof fuzz_path, "%s/hone_fuzz_%ld%s", fuzz_tmp(), (long)getpid(), end);
    FILE *f = fopen(path, "wb");
    FUZZ_CHECK(f);
    FUZZ_CHECK(fwrite(data, 1, size, f) == size);
    FUZZ_CHECK(fclose(f) == 0);
    return path;
}

#endif
