/* links: checkpoint */
/* Any header of an optimizer.safetensors is refused with a line, or fills this rank's piece of the states and nothing
 * beside it. The first two bytes: how many bytes of data follow the header. */
#include <sys/stat.h>

#include "tests/fuzz/fuzz.h"
#include "trainer/base/file.h"
#include "trainer/base/json.h"
#include "trainer/checkpoint/checkpoint.h"

enum { MOST_DATA = 512 };

static void load(const char *dir)
{
    const FlatParameter parameters[] = {{.name = "a", .ndim = 2, .shape = {2, 3}, .offset = 0, .numel = 6},
                                        {.name = "b.weight", .ndim = 1, .shape = {10}, .offset = 16, .numel = 10}};
    const FlatRange ranges[] = {{.begin = 2, .end = 20, .at = 0}};
    float *first = malloc(18 * sizeof *first), *second = malloc(18 * sizeof *second); /* exact: the sanitizer watches */
    const FlatState states[] = {{"exp_avg", first}, {"exp_avg_sq", second}};
    const OptimizerPiece piece = {parameters, 2, ranges, 1, states, 2};
    MetadataPair *pairs = NULL;
    size_t count = 0;
    Arena *arena;
    FUZZ_CHECK(first && second && arena_new(&arena) == OK);
    if (checkpoint_load_optimizer(dir, &piece, arena, &pairs, &count) != OK) FUZZ_CHECK(*status_message());
    for (size_t i = 0; i < count; i++) FUZZ_CHECK(strlen(pairs[i].key) + strlen(pairs[i].value) < (size_t)1 << 30);
    arena_free(arena);
    free(first), free(second);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char zeros[MOST_DATA];
    char dir[64], path[96], length[8];
    if (size < 2) return 0;
    const size_t header = size - 2, bytes = (size_t)(data[0] | data[1] << 8) % MOST_DATA;
    for (int i = 0; i < 8; i++) length[i] = (char)((uint64_t)header >> 8 * i);
    snprintf(dir, sizeof dir, "%s/hone-fuzz-optimizer-%ld", fuzz_tmp(), (long)getpid());
    snprintf(path, sizeof path, "%s/optimizer.safetensors", dir);
    mkdir(dir, 0700);
    FILE *f = fopen(path, "wb");
    FUZZ_CHECK(f && fwrite(length, 1, 8, f) == 8 && fwrite(data + 2, 1, header, f) == header);
    FUZZ_CHECK(fwrite(zeros, 1, bytes, f) == bytes && fclose(f) == 0);
    load(dir);
    FUZZ_CHECK(dir_remove(dir) == OK);
    return 0;
}
