/* The library is looked for beside the program, then where the system has its libraries. A program that has been linked
 * with the same functions (tests, on the emulator) uses those. */
#include "kernels/device.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "kernels/cuda/cuda.h"

#pragma weak kernels_cuda
#pragma weak stream_new_cuda
#pragma weak cuda_device_count
#pragma weak device_ranks_cuda
#pragma weak cuda_device_facts

#define LIBRARY "libhone_cuda.so"
#define DRIVER "libcuda.so.1"

typedef struct Doors {
    const Kernels *(*kernels)(void);
    Stream *(*stream_new)(int device, char *message);
    int (*count)(void);
    const DeviceRanks *(*ranks)(void);
    bool (*facts)(int device, DeviceFacts *facts, char *why);
} Doors;

/* "DIR/libhone_cuda.so" for the program's own directory; *dir: the length of DIR. */
static bool path_beside(char *path, size_t size, int *dir)
{
    ssize_t n = readlink("/proc/self/exe", path, size - sizeof LIBRARY - 1);
    char *slash = n > 0 ? memrchr(path, '/', (size_t)n) : NULL;
    if (!slash) return false;
    strcpy(slash + 1, LIBRARY);
    *dir = (int)(slash - path);
    return true;
}

static void *open_library(char *why)
{
    char path[4096];
    int dir = 0;
    bool beside = path_beside(path, sizeof path, &dir);
    if (beside && access(path, F_OK) == 0) {
        void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
        if (!library) snprintf(why, DEVICE_WHY_BYTES, "%.500s cannot be opened: %.400s", path, dlerror());
        return library;
    }
    void *library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
    if (!library)
        snprintf(why, DEVICE_WHY_BYTES, LIBRARY " is neither in %.*s nor on the library path (%s)", dir,
                 beside ? path : "", dlerror());
    return library;
}

static bool load(Doors *d, char *why)
{
    void *library = open_library(why);
    if (!library) return false;
    *(void **)&d->kernels = dlsym(library, "kernels_cuda");
    *(void **)&d->stream_new = dlsym(library, "stream_new_cuda");
    *(void **)&d->count = dlsym(library, "cuda_device_count");
    *(void **)&d->ranks = dlsym(library, "device_ranks_cuda");
    *(void **)&d->facts = dlsym(library, "cuda_device_facts");
    if (d->kernels && d->stream_new && d->count && d->ranks && d->facts) return true;
    snprintf(why, DEVICE_WHY_BYTES, LIBRARY " is not this version's: build both together");
    return false;
}

static bool are_linked(void)
{
    return kernels_cuda && stream_new_cuda && cuda_device_count && device_ranks_cuda && cuda_device_facts;
}

/* Once opened it stays. */
static const Doors *doors(char *why)
{
    static Doors opened;
    if (opened.kernels) return &opened;
    if (are_linked())
        opened = (Doors){kernels_cuda, stream_new_cuda, cuda_device_count, device_ranks_cuda, cuda_device_facts};
    Doors found = opened;
    if (!opened.kernels && !load(&found, why)) return NULL;
    opened = found;
    return &opened;
}

static bool has_driver(char *why)
{
    void *driver = dlopen(DRIVER, RTLD_LAZY | RTLD_LOCAL);
    if (!driver) snprintf(why, DEVICE_WHY_BYTES, "the driver's " DRIVER " is not there (%s)", dlerror());
    else dlclose(driver);
    return driver != NULL;
}

int device_count(char why[DEVICE_WHY_BYTES])
{
    const Doors *d = doors(why);
    int count = d ? d->count() : 0;
    if (d && count <= 0 && has_driver(why))
        snprintf(why, DEVICE_WHY_BYTES, "the driver shows no device (see nvidia-smi, and CUDA_VISIBLE_DEVICES)");
    return count > 0 ? count : 0;
}

int device_find(char why[DEVICE_WHY_BYTES])
{
    char path[4096];
    int dir;
    if (are_linked() || has_driver(why)) return device_count(why);
    if (!path_beside(path, sizeof path, &dir) || access(path, F_OK)) *why = '\0';
    return 0;
}

bool device_open(int index, const Kernels **k, Stream **stream, char why[DEVICE_WHY_BYTES])
{
    int count = device_count(why);
    if (!count) return false;
    if (index >= count) {
        snprintf(why, DEVICE_WHY_BYTES, "there is no cuda:%d: %d device%s", index, count, count == 1 ? "" : "s");
        return false;
    }
    const Doors *d = doors(why);
    *stream = d->stream_new(index, why);
    *k = d->kernels();
    return *stream != NULL;
}

const DeviceRanks *device_ranks(char why[DEVICE_WHY_BYTES])
{
    const Doors *d = doors(why);
    return d ? d->ranks() : NULL;
}

bool device_facts(int index, DeviceFacts *facts, char why[DEVICE_WHY_BYTES])
{
    const Doors *d = doors(why);
    return d && d->facts(index, facts, why);
}
