/* The finished model into output_dir itself, where files have fixed names: all are written and synced in a directory of
 * their own, then renamed one by one. The index goes after its shards, and files that would outlive their layout go
 * last, so that a reader meets the old model or the new one; only a crash between the renames of several shards can mix
 * them, and then the checkpoint that was saved before is the model to use. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "trainer/base/file.h"
#include "trainer/base/log.h"
#include "trainer/checkpoint/checkpoint_internal.h"

/* "model-00001-of-00003.safetensors" */
static bool is_shard(const char *name, const char *base)
{
    size_t n = strlen(base);
    return strncmp(name, base, n) == 0 && name[n] == '-' && strspn(name + n + 1, "0123456789") == 5 &&
           strncmp(name + n + 6, "-of-", 4) == 0 && strspn(name + n + 10, "0123456789") == 5 &&
           strcmp(name + n + 15, ".safetensors") == 0;
}

static bool among(const char *name, const LiveFile *files, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(files[i].name, name) == 0) return true;
    return false;
}

/* Files of the other layout: a single file beside shards would be taken for the model. */
static Status remove_stale(Arena *arena, const char *dir, const char *base, const LiveFile *files, size_t count)
{
    Status st = OK;
    char **names, *single = arena_printf(arena, "%s.safetensors", base), *index, *path;
    size_t n;
    TRY_MEMORY(single);
    index = arena_printf(arena, "%s.index.json", single);
    TRY_MEMORY(index);
    TRY(dir_list(dir, arena, &names, &n));
    for (size_t i = 0; i < n; i++) {
        bool stale =
            is_shard(names[i], base) || strcmp(names[i], single) == 0 || (count == 1 && strcmp(names[i], index) == 0);
        if (!stale || among(names[i], files, count)) continue;
        path = path_join(arena, dir, names[i]);
        TRY_MEMORY(path);
        TRY(file_remove(path));
    }
    TRY(dir_sync(dir));
done:
    return st;
}

static Status move(Arena *arena, const char *from, const char *to, const char *name)
{
    Status st = OK;
    char *old = path_join(arena, from, name), *new = path_join(arena, to, name);
    TRY_MEMORY(old);
    TRY_MEMORY(new);
    TRY(file_rename(old, new));
done:
    return st;
}

static Status write_model(CheckpointStore *store, Arena *arena, const char *base, const NamedTensor *tensors,
                          size_t count, const SmallFile *files, size_t file_count)
{
    Status st = OK;
    LiveFile *live;
    size_t live_count = 0;
    SmallFile index;
    ManifestFile done;
    const char *dir = store->dir;
    char *temporary = arena_printf(arena, "%s/.tmp-model-%s", dir, store->session), *message;
    TRY_MEMORY(temporary);
    TRY(plan_tensors(arena, base, tensors, count, store->max_shard_bytes, &live, &live_count, &index));
    TRY(dir_make(temporary));
    for (size_t i = 0; i < live_count; i++) TRY(write_live_file(arena, temporary, &live[i], NULL, NULL, &done));
    for (size_t i = 0; i < file_count; i++) TRY(write_small_file(arena, temporary, &files[i], &done));
    if (index.name) TRY(write_small_file(arena, temporary, &index, &done));
    TRY(dir_sync(temporary));
    for (size_t i = 0; i < file_count; i++) TRY(move(arena, temporary, dir, files[i].name));
    for (size_t i = 0; i < live_count; i++) TRY(move(arena, temporary, dir, live[i].name));
    if (index.name) TRY(move(arena, temporary, dir, index.name));
    TRY(dir_sync(dir));
    TRY(remove_stale(arena, dir, base, live, live_count));
done:
    message = temporary ? arena_strdup(arena, status_message()) : NULL;
    if (message && dir_remove(temporary) != OK) log_warning("a temporary directory stays: %s", status_message());
    return st == OK || !message ? st : status_raise(st, "%s", message);
}

Status checkpoint_save_model(CheckpointStore *store, const char *base, const NamedTensor *tensors, size_t tensor_count,
                             const SmallFile *files, size_t file_count)
{
    Status st = OK;
    Arena *arena = NULL;
    if (store_is_first(store)) {
        st = arena_new(&arena);
        if (st == OK) st = write_model(store, arena, base ? base : "model", tensors, tensor_count, files, file_count);
    }
    st = store_agree(store, st);
    if (st != OK) store->failed = true;
    arena_free(arena);
    return st;
}
