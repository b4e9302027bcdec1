/* The writer thread: one rank's files of one checkpoint, then, on rank 0, publication: the other ranks' notes, the
 * manifest, the rename, rotation. Each step is on disk before the next one relies on it. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <xxhash.h>

#include "trainer/base/file.h"
#include "trainer/base/log.h"
#include "trainer/checkpoint/checkpoint_internal.h"
#include "trainer/checkpoint/safetensors_internal.h"

static Status write_tensor(SafetensorsWriter *w, const LiveFile *file, size_t i, Snapshot *snapshot, size_t *chunk,
                           void *buffer)
{
    Status st = OK;
    int64_t numel = spec_numel(&file->specs[i]);
    if (!snapshot) return safetensors_write(w, file->dtypes[i], file->data[i], numel);
    size_t element = dtype_bytes(file->dtypes[i]);
    for (int64_t at = 0; at < numel;) {
        size_t c = (*chunk)++;
        int64_t n = (int64_t)(snapshot->chunks[c].bytes / element);
        st = safetensors_write(w, file->dtypes[i], snapshot_take(snapshot, c, buffer), n);
        snapshot_release(snapshot, c);
        if (st != OK) return st;
        at += n;
    }
    return st;
}

Status write_live_file(Arena *arena, const char *dir, const LiveFile *file, Snapshot *snapshot, size_t *chunk,
                       ManifestFile *done)
{
    Status st = OK;
    SafetensorsWriter *w = NULL;
    void *buffer = malloc(CHUNK_BYTES);
    char *path = path_join(arena, dir, file->name);
    TRY_MEMORY(path);
    if (!buffer) RAISE(MEMORY, "%s: out of memory", path);
    TRY(safetensors_create(path, file->specs, file->count, file->pairs, file->pair_count, &w));
    for (size_t i = 0; i < file->count; i++) TRY(write_tensor(w, file, i, snapshot, chunk, buffer));
    done->name = file->name;
    TRY(safetensors_finish(w, &done->size, &done->hash));
done:
    safetensors_writer_free(w);
    free(buffer);
    return st;
}

Status write_small_file(Arena *arena, const char *dir, const SmallFile *file, ManifestFile *done)
{
    Status st = OK;
    File *f = NULL;
    char *path = path_join(arena, dir, file->name);
    TRY_MEMORY(path);
    TRY(file_create(path, &f));
    TRY(file_write(f, file->data, file->size));
    TRY(file_sync(f));
    st = file_close(f);
    f = NULL;
    *done = (ManifestFile){file->name, file->size, XXH3_64bits(file->data, file->size)};
done:
    file_close(f);
    return st;
}

static Status write_own(SaveJob *job)
{
    Status st = OK;
    size_t chunk = 0;
    TRY_NEW(job->arena, job->written, job->live_count + job->small_count);
    for (size_t i = 0; i < job->live_count; i++)
        TRY(write_live_file(job->arena, job->temporary, &job->live[i], &job->store->snapshot, &chunk,
                            &job->written[job->written_count++]));
    for (size_t i = 0; i < job->small_count; i++)
        TRY(write_small_file(job->arena, job->temporary, &job->small[i], &job->written[job->written_count++]));
done:
    snapshot_abandon(&job->store->snapshot, chunk); /* after a failure: nobody need wait for us */
    return st;
}

/* A checkpoint of this step is there already. One of this run waits beside until the new one is published; another
 * run's is not ours to delete. */
static Status make_room(SaveJob *job, char **replaced)
{
    Status st = OK;
    Manifest m;
    const char *name = strrchr(job->final, '/') + 1;
    char *aside;
    *replaced = NULL;
    if (!path_exists(job->final)) return OK;
    if (manifest_read(job->final, job->arena, &m) == OK && strcmp(m.run_id, job->store->run_id) == 0) {
        TRY(rename_aside(job->arena, job->store->dir, name, ".replaced", replaced));
    } else {
        TRY(rename_aside(job->arena, job->store->dir, name, "superseded", &aside));
        log_info("%s is not of this run: it is now %s", job->final, aside);
    }
done:
    return st;
}

static Status publish(SaveJob *job)
{
    Status st = OK;
    const char *dir = job->store->dir;
    char *replaced;
    TRY(dir_sync(job->temporary));
    TRY(make_room(job, &replaced));
    st = file_rename(job->temporary, job->final);
    if (st != OK && replaced) {
        char message[2048];
        snprintf(message, sizeof message, "%s", status_message());
        file_rename(replaced, job->final); /* what fails here, the next start does */
        status_raise(st, "%s", message);
    }
    if (st != OK) goto done;
    TRY(dir_sync(dir));
    if (replaced && trash(job->arena, dir, strrchr(replaced, '/') + 1) != OK)
        log_warning("a replaced checkpoint stays until the next start: %s", status_message());
done:
    return st;
}

static Status finish_first(SaveJob *job)
{
    Status st = OK;
    CheckpointStore *store = job->store;
    Manifest m = {.serial = job->serial,
                  .step = job->step,
                  .world_size = store->group.size,
                  .files = job->written,
                  .count = job->written_count};
    memcpy(m.run_id, store->run_id, sizeof m.run_id);
    if (store->group.size > 1) TRY(peers_collect(job, &m.files, &m.count));
    TRY(manifest_write(job->temporary, &m));
    if (store->group.size > 1) TRY(peers_clear(job));
    TRY(publish(job));
    log_info("saved %s in %.1f s", job->final, clock_seconds() - job->begun_s);
    if (rotate(store, job->arena, job->best_step) != OK) /* the save itself is good */
        log_warning("an old checkpoint could not be removed: %s", status_message());
done:
    return st;
}

/* Other ranks may still be making files in it until they see that it is gone. */
static void remove_temporary(const SaveJob *job)
{
    Status st = OK;
    for (int i = 0; i < (job->store->group.size > 1 ? 20 : 1); i++) {
        if (i) nanosleep(&(struct timespec){.tv_nsec = 10 * 1000 * 1000}, NULL);
        if ((st = dir_remove(job->temporary)) == OK) return;
    }
    log_warning("what a failed save left stays until the next start: %s", status_message());
}

void *writer_thread(void *argument)
{
    SaveJob *job = argument;
    bool first = store_is_first(job->store);
    Status st = write_own(job);
    if (st == OK) st = first ? finish_first(job) : peer_say_done(job);
    if (st != OK) {
        job->status = st;
        snprintf(job->message, sizeof job->message, "%s", status_message());
        if (first)
            remove_temporary(job);
        else
            peer_say_failed(job);
    }
    atomic_store(&job->over, true);
    return NULL;
}
