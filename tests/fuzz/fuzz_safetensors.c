/* links: checkpoint */
/* Any bytes as a safetensors file, and any text as the header of one, are refused with a line or read to the last byte;
 * what is read is written again and must be read as the same tensors. The text is also tried as the index of a model.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/fuzz/fuzz.h"
#include "trainer/base/arena.h"
#include "trainer/checkpoint/safetensors.h"
#include "trainer/checkpoint/safetensors_write.h"

#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition)) fprintf(stderr, "%d: %s: %s\n", __LINE__, #condition, status_message()), abort();            \
    } while (0)

enum { MOST_DATA = 4096 };

static char directory[64], model[80], copy[80], index_path[96];

static void write_file(const char *path, const void *data, size_t size, const void *more, size_t more_size)
{
    int fd = open(path, O_CREAT | O_TRUNC | O_WRONLY, 0600);
    CHECK(fd >= 0 && write(fd, data, size) == (ssize_t)size && write(fd, more, more_size) == (ssize_t)more_size);
    close(fd);
}

static void *read_whole(const TensorInfo *t)
{
    size_t bytes = (size_t)t->numel * dtype_bytes(t->dtype);
    char *x = malloc(bytes + 1);
    CHECK(x && tensor_read(t, 0, t->numel, t->dtype, x) == OK);
    return x;
}

static void rewrite(const Safetensors *s, Arena *arena)
{
    size_t n = safetensors_count(s);
    TensorSpec *specs = arena_array(arena, n, sizeof *specs);
    SafetensorsWriter *w;
    Safetensors *again;
    for (size_t i = 0; i < n; i++) {
        const TensorInfo *t = safetensors_at(s, i);
        specs[i] = (TensorSpec){.name = t->name, .dtype = t->dtype, .ndim = t->ndim};
        memcpy(specs[i].shape, t->shape, sizeof t->shape);
        if (t->dtype == DTYPE_COUNT) return;
    }
    CHECK(safetensors_create(copy, specs, n, NULL, 0, &w) == OK);
    for (size_t i = 0; i < n; i++) {
        const TensorInfo *t = safetensors_find(s, specs[safetensors_writer_order(w, i)].name);
        void *x = read_whole(t);
        CHECK(safetensors_write(w, t->dtype, x, t->numel) == OK);
        free(x);
    }
    CHECK(safetensors_finish(w, NULL, NULL) == OK);
    safetensors_writer_free(w);
    CHECK(safetensors_open(copy, &again) == OK && safetensors_count(again) == n);
    for (size_t i = 0; i < n; i++) {
        const TensorInfo *t = safetensors_at(s, i), *u = safetensors_find(again, t->name);
        CHECK(u && u->dtype == t->dtype && u->ndim == t->ndim && memcmp(u->shape, t->shape, sizeof u->shape) == 0);
        void *x = read_whole(t), *y = read_whole(u);
        CHECK(memcmp(x, y, (size_t)t->numel * dtype_bytes(t->dtype)) == 0);
        free(x), free(y);
    }
    safetensors_close(again);
}

static void read_all(void)
{
    Safetensors *s;
    Arena *arena;
    if (safetensors_open(model, &s) != OK) {
        CHECK(*status_message());
        return;
    }
    CHECK(arena_new(&arena) == OK);
    for (size_t i = 0; i < safetensors_count(s); i++) {
        const TensorInfo *t = safetensors_at(s, i);
        const void *map;
        CHECK(safetensors_find(s, t->name) == t && tensor_map(t, &map) == OK);
        unsigned sum = 0;
        for (uint64_t k = 0; k < t->end - t->begin; k++) sum += ((const unsigned char *)map)[k];
        if (t->dtype != DTYPE_COUNT && convertible(DTYPE_F32, t->dtype)) {
            float *x = malloc((size_t)t->numel * sizeof *x + 1);
            CHECK(tensor_read(t, 0, t->numel, DTYPE_F32, x) == OK);
            free(x);
        }
        __asm__ volatile("" : : "r"(sum));
    }
    rewrite(s, arena);
    arena_free(arena);
    safetensors_close(s);
}

static void name_files(void)
{
    if (*directory) return;
    snprintf(directory, sizeof directory, "%s/hone-fuzz-safetensors-%ld", fuzz_tmp(), (long)getpid());
    mkdir(directory, 0700);
    snprintf(model, sizeof model, "%s/a.safetensors", directory);
    snprintf(copy, sizeof copy, "%s/b.safetensors", directory);
    snprintf(index_path, sizeof index_path, "%s/model.safetensors.index.json", directory);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char zeros[MOST_DATA];
    unsigned char length[8];
    TensorStore *store;
    name_files();
    write_file(model, data, size, NULL, 0);
    read_all();
    if (size < 2) goto done;
    size_t header = size - 2, bytes = (size_t)(data[0] | data[1] << 8) % MOST_DATA;
    for (int i = 0; i < 8; i++) length[i] = (unsigned char)((uint64_t)header >> 8 * i);
    unsigned char *both = malloc(8 + header);
    CHECK(both);
    memcpy(both, length, 8);
    memcpy(both + 8, data + 2, header);
    write_file(model, both, 8 + header, zeros, bytes);
    free(both);
    read_all();
    write_file(index_path, data + 2, header, NULL, 0);
    if (tensor_store_open(directory, &store) == OK)
        tensor_store_close(store);
    else
        CHECK(*status_message());
done:
    unlink(model), unlink(copy), unlink(index_path), rmdir(directory);
    *directory = '\0';
    return 0;
}
