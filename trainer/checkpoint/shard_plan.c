/* Splitting a model over files, and the index that says which tensor is where. A file gets its number when it is full:
 * one that holds a single large tensor comes before the file that was being filled when that tensor came. Source:
 * huggingface_hub 2.4, serialization/_base.py split_state_dict_into_shards_factory. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "trainer/base/json.h"
#include "trainer/checkpoint/safetensors_internal.h"
#include "trainer/checkpoint/safetensors_write.h"

static const uint64_t DEFAULT_SHARD_BYTES = UINT64_C(50) * 1000 * 1000 * 1000;

int64_t spec_numel(const TensorSpec *spec)
{
    int64_t n = 1;
    for (int i = 0; i < spec->ndim; i++) n *= spec->shape[i];
    return n;
}

static void split(const TensorSpec *specs, size_t count, uint64_t max_bytes, ShardPlan *plan)
{
    size_t first = 0, taken = 0; /* the open file: its first tensor, how many since belong to it */
    uint64_t held = 0;
    const size_t open = SIZE_MAX;
    for (size_t i = 0; i < count; i++) {
        uint64_t bytes = (uint64_t)spec_numel(&specs[i]) * dtype_bytes(specs[i].dtype);
        plan->total_bytes += bytes;
        plan->total_parameters += spec_numel(&specs[i]);
        if (bytes > max_bytes) {
            plan->file_of[i] = plan->files++;
            continue;
        }
        if (held + bytes > max_bytes) {
            for (size_t k = first; k < i; k++)
                if (plan->file_of[k] == open) plan->file_of[k] = plan->files;
            plan->files++;
            first = i;
            held = taken = 0;
        }
        plan->file_of[i] = open;
        held += bytes;
        taken++;
    }
    for (size_t k = first; k < count; k++)
        if (plan->file_of[k] == open) plan->file_of[k] = plan->files;
    if (taken || !plan->files) plan->files++;
}

Status shard_plan(Arena *arena, const char *base, const TensorSpec *specs, size_t count, uint64_t max_bytes,
                  ShardPlan *out)
{
    Status st = OK;
    *out = (ShardPlan){0};
    TRY_NEW(arena, out->file_of, count);
    split(specs, count, max_bytes ? max_bytes : DEFAULT_SHARD_BYTES, out);
    TRY_NEW(arena, out->names, out->files);
    for (size_t i = 0; i < out->files; i++) {
        out->names[i] = out->files == 1 ? arena_printf(arena, "%s.safetensors", base)
                                        : arena_printf(arena, "%s-%05zu-of-%05zu.safetensors", base, i + 1, out->files);
        TRY_MEMORY(out->names[i]);
    }
    if (out->files > 1) {
        out->index_name = arena_printf(arena, "%s.safetensors.index.json", base);
        TRY_MEMORY(out->index_name);
    }
done:
    return st;
}

typedef struct Row {
    const char *tensor, *file;
} Row;

static int by_tensor(const void *a, const void *b)
{
    return strcmp(((const Row *)a)->tensor, ((const Row *)b)->tensor);
}

Status shard_index(Arena *arena, const ShardPlan *plan, const TensorSpec *specs, size_t count, char **text,
                   size_t *size)
{
    Status st = OK;
    Text t = {0};
    Row *rows;
    TRY_NEW(arena, rows, count);
    for (size_t i = 0; i < count; i++) rows[i] = (Row){specs[i].name, plan->names[plan->file_of[i]]};
    if (count) qsort(rows, count, sizeof *rows, by_tensor);
    text_printf(&t,
                "{\n  \"metadata\": {\n    \"total_parameters\": %" PRId64 ",\n    \"total_size\": %" PRIu64
                "\n  },\n  \"weight_map\": {",
                plan->total_parameters, plan->total_bytes);
    for (size_t i = 0; i < count; i++) {
        text_printf(&t, "%s\n    ", i ? "," : "");
        json_add_string(&t, rows[i].tensor, strlen(rows[i].tensor));
        text_printf(&t, ": \"%s\"", rows[i].file);
    }
    text_printf(&t, "\n  }\n}\n");
    *text = t.failed ? NULL : arena_strndup(arena, t.data, t.size);
    if (!*text) RAISE(MEMORY, "out of memory for the index of %zu tensors", count);
    *size = t.size;
done:
    text_free(&t);
    return st;
}

Status size_parse(const char *text, uint64_t *out)
{
    static const struct {
        const char *name;
        double bytes;
    } units[] = {{"", 1},      {"B", 1},      {"KB", 1e3},      {"MB", 1e6},         {"GB", 1e9},
                 {"TB", 1e12}, {"KiB", 1024}, {"MiB", 1048576}, {"GiB", 1073741824}, {"TiB", 1099511627776}};
    char *end;
    double value = strtod(text, &end);
    while (*end == ' ') end++;
    for (size_t i = 0; end != text && i < sizeof units / sizeof *units; i++) {
        if (strcasecmp(end, units[i].name) != 0) continue;
        if (!(value >= 0 && value * units[i].bytes < 9e18)) break;
        *out = (uint64_t)(value * units[i].bytes);
        return OK;
    }
    return status_raise(STATUS_USAGE, "\"%s\" is not a size; write, for example, 5GB or 200MB", text);
}
