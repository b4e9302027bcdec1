/* Finding the checkpoint to go on from, and becoming the run that wrote it. Rank 0 looks and moves; the others hear. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "trainer/base/file.h"
#include "trainer/base/log.h"
#include "trainer/checkpoint/checkpoint_internal.h"

static Status fill(Checkpoint *out, const char *path, const Manifest *m)
{
    if (strlen(path) >= sizeof out->path) return status_raise(STATUS_UNSUPPORTED, "%s: the path is too long", path);
    *out = (Checkpoint){
        .serial = m->serial, .step = m->step, .world_size = m->world_size, .has_optimizer = manifest_has_optimizer(m)};
    strcpy(out->path, path);
    memcpy(out->run_id, m->run_id, sizeof out->run_id);
    return OK;
}

Status checkpoint_read_manifest(const char *dir, bool verify, Checkpoint *out)
{
    Status st = OK;
    Arena *arena = NULL;
    Manifest m;
    TRY(arena_new(&arena));
    TRY(manifest_read(dir, arena, &m));
    if (verify) {
        st = manifest_verify(dir, &m);
        if (st == STATUS_MISSING) st = STATUS_FORMAT; /* a file of it, not the manifest */
        if (st != OK) goto done;
    }
    TRY(fill(out, dir, &m));
done:
    arena_free(arena);
    return st;
}

static Status not_ours(const char *path)
{
    return status_raise(STATUS_UNSUPPORTED,
                        "%s: has no %s, so hone did not write it and cannot resume from it; to start from "
                        "its weights, set model_name_or_path to it and choose another output_dir",
                        path, MANIFEST_NAME);
}

static Status find_path(Arena *arena, const char *path, Checkpoint *out)
{
    Status st = OK;
    char *trimmed = arena_strdup(arena, path);
    TRY_MEMORY(trimmed);
    for (size_t n = strlen(trimmed); n > 1 && trimmed[n - 1] == '/'; n--) trimmed[n - 1] = '\0';
    if (!path_is_dir(trimmed)) RAISE(MISSING, "resume_from_checkpoint: %s: no such directory", trimmed);
    st = checkpoint_read_manifest(trimmed, true, out);
    if (st == STATUS_MISSING)
        st = not_ours(trimmed);
    else if (st != OK)
        st = status_prefix(st, "resume_from_checkpoint: the checkpoint is damaged");
done:
    return st;
}

static Status set_corrupt(Arena *arena, const char *dir, const char *name, char **moved)
{
    Status st = OK;
    TRY(rename_aside(arena, dir, name, "corrupt", moved));
    TRY(dir_sync(dir));
done:
    return st;
}

/* Only hone has files of these names: what has them and no manifest has lost it. */
static Status lost_its_manifest(Arena *arena, const char *path, bool *lost)
{
    Status st = OK;
    char **names;
    size_t n;
    *lost = false;
    TRY(dir_list(path, arena, &names, &n));
    for (size_t i = 0; i < n; i++) {
        size_t length = strlen(names[i]);
        *lost |= strncmp(names[i], "optimizer", 9) == 0 && length > 12 &&
                 strcmp(names[i] + length - 12, ".safetensors") == 0;
    }
done:
    return st;
}

/* The search for the newest good checkpoint. */
typedef struct Search {
    CheckpointStore *store;
    Arena *arena;
    const char *run_id; /* of the newest whose manifest could be read: another run's is no substitute */
    const char *foreign; /* the path of one that hone did not write */
    char *moved;         /* where the last damaged one is now */
    size_t corrupt;
} Search;

/* OK: *out is it, or it was not to be taken. Damaged ones are set aside, also those that are older than *out. */
static Status try_one(Search *s, const Listed *l, Checkpoint *out, bool *found)
{
    Status st = OK;
    bool lost = false;
    Checkpoint checkpoint;
    char *path = path_join(s->arena, s->store->dir, l->name), *why;
    TRY_MEMORY(path);
    if (!l->has_manifest) {
        TRY(lost_its_manifest(s->arena, path, &lost));
        if (!lost) {
            if (!s->foreign) s->foreign = path;
            return OK;
        }
        st = status_raise(STATUS_FORMAT, "%s: has lost its %s", path, MANIFEST_NAME);
    } else {
        if (l->damage == OK && (*found || (s->run_id && strcmp(s->run_id, l->manifest.run_id) != 0))) return OK;
        if (l->damage == OK) s->run_id = l->manifest.run_id;
        st = checkpoint_read_manifest(path, true, &checkpoint);
        if (st == STATUS_MEMORY || st == STATUS_UNSUPPORTED) return st;
        if (st == OK) {
            *out = checkpoint;
            *found = true;
            return OK;
        }
    }
    why = arena_strdup(s->arena, status_message());
    TRY_MEMORY(why);
    TRY(set_corrupt(s->arena, s->store->dir, l->name, &s->moved));
    log_warning("%s; it is now %s", why, s->moved);
    s->corrupt++;
done:
    return st;
}

static Status find_newest(CheckpointStore *store, Arena *arena, Checkpoint *out, bool *found)
{
    Status st = OK;
    Listed *list;
    size_t count;
    Search s = {.store = store, .arena = arena};
    *found = false;
    TRY(list_checkpoints(arena, store->dir, &list, &count));
    for (size_t i = 0; i < count; i++) TRY(try_one(&s, &list[i], out, found));
    if (*found && s.corrupt) log_warning("resuming from %s, the newest good checkpoint", out->path);
    if (*found && s.foreign) log_warning("%s: has no %s, so it is not hone's: left alone", s.foreign, MANIFEST_NAME);
    if (*found) return OK;
    if (!s.corrupt) TRY(find_set_aside(arena, store->dir, &s.moved)); /* by an earlier start, which said what follows */
    if (s.moved)
        RAISE(FORMAT,
              "%s: no good checkpoint is left: the last damaged one is %s; to begin anew, remove "
              "resume_from_checkpoint and choose another output_dir",
              store->dir, s.moved);
    if (s.foreign) st = not_ours(s.foreign);
done:
    return st;
}

Status checkpoint_find(CheckpointStore *store, const char *spec, Checkpoint *out, bool *found)
{
    Status st = OK;
    Arena *arena = NULL;
    struct {
        Checkpoint checkpoint;
        bool found;
    } shared;
    memset(&shared, 0, sizeof shared);
    if (store_is_first(store)) {
        st = arena_new(&arena);
        if (st == OK && strcmp(spec, "true") == 0) {
            st = find_newest(store, arena, &shared.checkpoint, &shared.found);
        } else if (st == OK) {
            st = find_path(arena, spec, &shared.checkpoint);
            shared.found = st == OK;
        }
    }
    TRY(store_agree(store, st));
    TRY(store_broadcast(store, &shared, sizeof shared));
    *out = shared.checkpoint;
    *found = shared.found;
done:
    arena_free(arena);
    return st;
}

/* From the newest down: after a crash in between, what is left is still in order. */
static Status supersede(CheckpointStore *store, const Checkpoint *from)
{
    Status st = OK;
    Arena *arena = NULL;
    Listed *list;
    size_t count;
    char *path;
    TRY(arena_new(&arena));
    TRY(list_checkpoints(arena, store->dir, &list, &count));
    for (size_t i = 0; i < count; i++) {
        if (list[i].damage != OK || strcmp(list[i].manifest.run_id, from->run_id) != 0 ||
            list[i].manifest.serial <= from->serial)
            continue;
        TRY(rename_aside(arena, store->dir, list[i].name, "superseded", &path));
        TRY(dir_sync(store->dir));
        log_info("%s/%s is later than the checkpoint resumed from: it is now %s", store->dir, list[i].name, path);
    }
done:
    arena_free(arena);
    return st;
}

/* What a run that died between a save and its rotation left: when the checkpoint was its last, no save follows. */
static void rotate_now(CheckpointStore *store, int64_t best_step)
{
    Arena *arena = NULL;
    Status st = arena_new(&arena);
    if (st == OK) st = rotate(store, arena, best_step);
    if (st != OK) log_warning("an old checkpoint could not be removed: %s", status_message());
    arena_free(arena);
}

Status checkpoint_resume(CheckpointStore *store, const Checkpoint *from, int64_t best_step)
{
    Status st = OK;
    if (store_is_first(store)) st = supersede(store, from);
    TRY(store_agree(store, st));
    memcpy(store->run_id, from->run_id, sizeof store->run_id);
    store->saved_step = from->step;
    if (from->serial > store->serial) store->serial = from->serial;
    if (store_is_first(store)) rotate_now(store, best_step);
done:
    return st;
}
