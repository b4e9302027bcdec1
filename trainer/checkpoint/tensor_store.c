/* A model's tensors: one file, or the shards that an index names. The index is checked against the shards in both
 * directions, so that a mixture of two models is found at once. */
#include <stdlib.h>
#include <string.h>

#include "trainer/base/arena.h"
#include "trainer/base/file.h"
#include "trainer/base/json.h"
#include "trainer/checkpoint/safetensors.h"
#include "trainer/checkpoint/safetensors_internal.h"

enum { MOST_SHARDS = 100000, SHOWN = 200 };

struct TensorStore {
    Arena *arena;
    Safetensors **files;
    size_t file_count, count;
    const TensorInfo **tensors;
    NameTable names;
};

/* A file of the same directory, and nothing else. */
static bool safe_name(const char *name)
{
    return name[0] && name[0] != '.' && !strchr(name, '/') && !strchr(name, '\\') && strlen(name) < 256;
}

static Status open_shard(TensorStore *store, const char *dir, const char *name)
{
    Status st = OK;
    char *path = path_join(store->arena, dir, name);
    TRY_MEMORY(path);
    TRY(safetensors_open(path, &store->files[store->file_count]));
    store->file_count++;
done:
    return st;
}

static Status collect(TensorStore *store, const char *where)
{
    Status st = OK;
    size_t n = 0;
    for (size_t f = 0; f < store->file_count; f++) store->count += safetensors_count(store->files[f]);
    TRY_NEW(store->arena, store->tensors, store->count);
    TRY(name_table_new(store->arena, store->count, &store->names));
    for (size_t f = 0; f < store->file_count; f++)
        for (size_t i = 0; i < safetensors_count(store->files[f]); i++) {
            const TensorInfo *t = safetensors_at(store->files[f], i);
            if (!name_table_add(&store->names, t))
                RAISE(FORMAT, "%s: tensor %.*s is in two files, the second is %s", where, SHOWN, t->name,
                      t->file->path);
            store->tensors[n++] = t;
        }
done:
    return st;
}

static int by_text(const void *a, const void *b) { return strcmp(*(const char *const *)a, *(const char *const *)b); }

/* The distinct file names of a weight_map, sorted. */
static Status shard_names(TensorStore *store, const char *where, const cJSON *map, const char ***names, size_t *count)
{
    Status st = OK;
    const cJSON *item;
    size_t n = 0, kept = 0;
    const char **list;
    if (!cJSON_IsObject(map)) RAISE(FORMAT, "%s: has no weight_map", where);
    cJSON_ArrayForEach(item, map) n++;
    if (!n) RAISE(FORMAT, "%s: its weight_map is empty", where);
    TRY_NEW(store->arena, list, n);
    n = 0;
    cJSON_ArrayForEach(item, map)
    {
        if (!cJSON_IsString(item) || !safe_name(item->valuestring))
            RAISE(FORMAT, "%s: tensor %.*s: its file must be a name in the same directory", where, SHOWN, item->string);
        list[n++] = item->valuestring;
    }
    qsort(list, n, sizeof *list, by_text);
    for (size_t i = 0; i < n; i++)
        if (!kept || strcmp(list[kept - 1], list[i]) != 0) list[kept++] = list[i];
    if (kept > MOST_SHARDS) RAISE(FORMAT, "%s: %zu files are more than the %d allowed", where, kept, MOST_SHARDS);
    *names = list;
    *count = kept;
done:
    return st;
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static Status check_index(TensorStore *store, const char *where, const cJSON *map)
{
    Status st = OK;
    const cJSON *item;
    NameTable named;
    TRY(name_table_new(store->arena, store->count, &named));
    cJSON_ArrayForEach(item, map)
    {
        const TensorInfo *t = tensor_store_find(store, item->string);
        if (!t)
            RAISE(FORMAT, "%s: tensor %.*s is not in %.*s; get the model's files again", where, SHOWN, item->string,
                  SHOWN, item->valuestring);
        if (strcmp(base_name(t->file->path), item->valuestring) != 0)
            RAISE(FORMAT, "%s: tensor %.*s should be in %.*s and is in %s; the files are of two models?", where, SHOWN,
                  item->string, SHOWN, item->valuestring, base_name(t->file->path));
        name_table_add(&named, t);
    }
    for (size_t i = 0; i < store->count; i++)
        if (!name_table_find(&named, store->tensors[i]->name))
            RAISE(FORMAT, "%s: does not name tensor %.*s, which is in %s", where, SHOWN, store->tensors[i]->name,
                  store->tensors[i]->file->path);
done:
    return st;
}

static Status open_index(TensorStore *store, const char *dir, const char *path)
{
    Status st = OK;
    cJSON *index = NULL;
    const char **names = NULL;
    size_t count = 0;
    TRY(json_read_file(path, &index));
    const cJSON *map = cJSON_GetObjectItemCaseSensitive(index, "weight_map");
    TRY(shard_names(store, path, map, &names, &count));
    TRY_NEW(store->arena, store->files, count);
    for (size_t i = 0; i < count; i++) TRY(open_shard(store, dir, names[i]));
    TRY(collect(store, path));
    TRY(check_index(store, path, map));
done:
    cJSON_Delete(index);
    return st;
}

static Status open_parts(TensorStore *store, const char *dir, const char *base)
{
    Status st = OK;
    char *single = arena_printf(store->arena, "%s/%s.safetensors", dir, base), *index;
    TRY_MEMORY(single);
    index = arena_printf(store->arena, "%s.index.json", single);
    TRY_MEMORY(index);
    if (path_exists(single)) {
        TRY_NEW(store->arena, store->files, 1);
        TRY(safetensors_open(single, store->files));
        store->file_count = 1;
        TRY(collect(store, dir));
    } else if (path_exists(index)) {
        TRY(open_index(store, dir, index));
    } else {
        char *pickle = arena_printf(store->arena, "%s/pytorch_model.bin", dir);
        TRY_MEMORY(pickle);
        if (!path_exists(dir)) RAISE(MISSING, "%s: no such directory", dir);
        if (path_exists(pickle))
            RAISE(MISSING,
                  "%s: has pytorch_model.bin, which hone does not read, and no %s.safetensors; save the model again "
                  "with safe_serialization=True",
                  dir, base);
        RAISE(MISSING, "%s: has neither %s.safetensors nor %s.safetensors.index.json", dir, base, base);
    }
done:
    return st;
}

static Status store_open(const char *path, const char *base, TensorStore **out)
{
    Status st = OK;
    TensorStore *store = calloc(1, sizeof *store);
    *out = NULL;
    if (!store) RAISE(MEMORY, "%s: out of memory", path);
    TRY(arena_new(&store->arena));
    if (base) {
        TRY(open_parts(store, path, base));
    } else {
        TRY_NEW(store->arena, store->files, 1);
        TRY(safetensors_open(path, store->files));
        store->file_count = 1;
        TRY(collect(store, path));
    }
    *out = store;
    store = NULL;
done:
    tensor_store_close(store);
    return st;
}

Status tensor_store_open(const char *path, TensorStore **out)
{
    bool is_file = path_exists(path) && !path_is_dir(path);
    return store_open(path, is_file ? NULL : "model", out);
}

Status tensor_store_open_named(const char *dir, const char *base, TensorStore **out)
{
    return store_open(dir, base, out);
}

void tensor_store_close(TensorStore *store)
{
    if (!store) return;
    for (size_t i = 0; i < store->file_count; i++) safetensors_close(store->files[i]);
    arena_free(store->arena);
    free(store);
}

size_t tensor_store_files(const TensorStore *store) { return store->file_count; }
const Safetensors *tensor_store_file(const TensorStore *store, size_t i) { return store->files[i]; }
size_t tensor_store_count(const TensorStore *store) { return store->count; }
const TensorInfo *tensor_store_at(const TensorStore *store, size_t i) { return store->tensors[i]; }
const TensorInfo *tensor_store_find(const TensorStore *store, const char *name)
{
    return name_table_find(&store->names, name);
}
