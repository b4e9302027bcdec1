/* How the other ranks' writers tell rank 0's that their piece is on disk: each leaves a note in the checkpoint's
 * temporary directory, rank-R.done with names, sizes and hashes, or rank-R.failed with the reason. Writers never
 * communicate: MPI belongs to the main thread, which is training meanwhile. The directory must be on a file system that
 * all ranks see; it is looked for by listing, which NFS answers afresh where it may remember for a minute that a name
 * was absent. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "trainer/base/file.h"
#include "trainer/base/log.h"
#include "trainer/checkpoint/checkpoint_internal.h"

enum { POLL_MS = 5, SLOWEST_POLL_MS = 200, NOTE_LIMIT = 64 << 20 };

static char *note_path(const SaveJob *job, int rank, const char *kind)
{
    return arena_printf(job->arena, "%s/rank-%05d.%s", job->temporary, rank, kind);
}

Status peer_say_done(const SaveJob *job)
{
    Status st = OK;
    Text t = {0};
    char *path = note_path(job, job->store->group.rank, "done");
    TRY_MEMORY(path);
    text_printf(&t, "{\"files\": {");
    manifest_add_files(&t, job->written, job->written_count);
    text_printf(&t, "}}\n");
    if (t.failed) RAISE(MEMORY, "%s: out of memory", path);
    TRY(file_replace(path, t.data, t.size)); /* syncs the directory too: this rank's files are in it for good */
done:
    text_free(&t);
    return st;
}

void peer_say_failed(const SaveJob *job)
{
    char *path = note_path(job, job->store->group.rank, "failed");
    for (size_t i = 0; i < job->written_count && job->status == STATUS_SPACE; i++) { /* room for the note */
        char *file = job->written[i].name ? path_join(job->arena, job->temporary, job->written[i].name) : NULL;
        if (file) (void)file_remove(file);
    }
    if (!path || !path_is_dir(job->temporary)) return; /* rank 0 has given up already */
    if (file_replace(path, job->message, strlen(job->message)) != OK)
        log_error("cannot tell rank 0 that this rank's piece of the save failed: %s", status_message());
}

static Status read_done(SaveJob *job, int rank, ManifestFile **files, size_t *count, size_t *capacity)
{
    Status st = OK;
    char *path = note_path(job, rank, "done"), *text;
    size_t size, n;
    cJSON *root = NULL;
    ManifestFile *theirs;
    TRY_MEMORY(path);
    TRY(file_read_all(path, job->arena, NOTE_LIMIT, &text, &size));
    TRY(json_parse(text, size, path, &root));
    TRY(manifest_read_files(cJSON_GetObjectItemCaseSensitive(root, "files"), path, job->arena, &theirs, &n));
    *files = arena_grow(job->arena, *files, capacity, *count + n, sizeof **files);
    TRY_MEMORY(*files);
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; k < *count; k++)
            if (strcmp((*files)[k].name, theirs[i].name) == 0)
                RAISE(BUG, "%s: rank %d wrote %s, which another rank wrote too", job->temporary, rank, theirs[i].name);
        (*files)[(*count)++] = theirs[i];
    }
done:
    cJSON_Delete(root);
    return st;
}

static Status report_failure(SaveJob *job, Arena *arena, int rank)
{
    char *text = NULL, *path = note_path(job, rank, "failed");
    if (!path || file_read_all(path, arena, 1 << 16, &text, NULL) != OK) text = NULL;
    return status_raise(STATUS_IO, "rank %d could not write its piece: %s", rank,
                        text && text[0] ? text : "it did not say why");
}

/* One look: OK and *missing ranks still to come (one of them in *who). */
static Status look(SaveJob *job, bool *seen, int *missing, int *who)
{
    Status st = OK;
    Arena *arena = NULL;
    char **names;
    size_t n;
    int rank, end;
    char kind[8];
    TRY(arena_new(&arena));
    TRY(dir_list(job->temporary, arena, &names, &n));
    for (size_t i = 0; i < n; i++) {
        if (sscanf(names[i], "rank-%5d.%7[a-z]%n", &rank, kind, &end) != 2 || names[i][end] || rank < 1 ||
            rank >= job->store->group.size)
            continue;
        if (strcmp(kind, "failed") == 0) TRY(report_failure(job, arena, rank));
        if (strcmp(kind, "done") == 0) seen[rank] = true;
    }
    *missing = 0;
    for (rank = 1; rank < job->store->group.size; rank++)
        if (!seen[rank] && !(*missing)++) *who = rank;
done:
    arena_free(arena);
    return st;
}

Status peers_collect(SaveJob *job, ManifestFile **files, size_t *count)
{
    Status st = OK;
    bool *seen;
    int missing = 0, who = 0;
    size_t capacity = 0, own = *count;
    ManifestFile *all;
    long wait_ms = POLL_MS;
    double patience = clock_seconds() + job->store->peer_wait_s;
    TRY_NEW(job->arena, seen, job->store->group.size);
    for (;;) {
        TRY(look(job, seen, &missing, &who));
        if (!missing) break;
        if (clock_seconds() > patience)
            RAISE(
                IO,
                "%s: %d of %d ranks have not written their piece within %.0f s, rank %d for one; do all ranks see this "
                "file system?",
                job->temporary, missing, job->store->group.size, job->store->peer_wait_s, who);
        nanosleep(&(struct timespec){.tv_nsec = wait_ms * 1000 * 1000}, NULL);
        if (wait_ms < SLOWEST_POLL_MS) wait_ms += wait_ms / 2;
    }
    all = arena_grow(job->arena, NULL, &capacity, own + 1, sizeof *all);
    TRY_MEMORY(all);
    memcpy(all, *files, own * sizeof *all);
    for (int rank = 1; rank < job->store->group.size; rank++) TRY(read_done(job, rank, &all, count, &capacity));
    *files = all;
done:
    return st;
}

Status peers_clear(const SaveJob *job)
{
    Status st = OK;
    for (int rank = 1; rank < job->store->group.size; rank++) {
        char *path = note_path(job, rank, "done");
        TRY_MEMORY(path);
        TRY(file_remove(path));
    }
done:
    return st;
}
