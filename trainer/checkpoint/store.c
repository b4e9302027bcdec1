/* An output_dir that this run writes: lock, leftovers, run id, and the ranks' agreement on each. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "trainer/base/file.h"
#include "trainer/base/log.h"
#include "trainer/checkpoint/checkpoint_internal.h"

static const uint64_t DEFAULT_COPY_BYTES = UINT64_C(256) << 20;
static const double DEFAULT_LOCK_WAIT_S = 30, DEFAULT_PEER_WAIT_S = 1800;

Status store_agree(CheckpointStore *store, Status mine)
{
    return store->group.agree ? store->group.agree(store->group.context, mine) : mine;
}

Status store_broadcast(CheckpointStore *store, void *data, size_t size)
{
    return store->group.broadcast ? store->group.broadcast(store->group.context, data, size) : OK;
}

static Status draw_run_id(char run_id[static 33])
{
    unsigned char random[16];
    if (getrandom(random, sizeof random, 0) != sizeof random)
        return status_raise(STATUS_IO, "no random numbers from the system");
    for (int i = 0; i < 16; i++) snprintf(run_id + 2 * i, 3, "%02x", random[i]);
    return OK;
}

/* dir_make, with the new names on disk: a checkpoint is no safer than the path to it. */
static Status make_durable(Arena *arena, const char *dir)
{
    Status st = OK;
    char *path = arena_strdup(arena, dir), *slash;
    size_t depth = 0;
    TRY_MEMORY(path);
    for (size_t n = strlen(path); n > 1 && path[n - 1] == '/'; n--) path[n - 1] = '\0';
    char *probe = arena_strdup(arena, path);
    TRY_MEMORY(probe);
    for (; !path_exists(probe); depth++) {
        if (!(slash = strrchr(probe, '/')) || slash == probe) {
            depth++;
            break;
        }
        *slash = '\0';
    }
    TRY(dir_make(dir));
    for (; depth; depth--) {
        slash = strrchr(path, '/');
        if (slash && slash != path) *slash = '\0';
        TRY(dir_sync(!slash ? "." : slash == path ? "/" : path));
    }
done:
    return st;
}

static Status take_directory(CheckpointStore *store, const CheckpointOptions *options)
{
    Status st = OK;
    char **names;
    size_t n;
    double wait_s = options->lock_wait_s == 0  ? DEFAULT_LOCK_WAIT_S
                    : options->lock_wait_s < 0 ? 0
                                               : options->lock_wait_s;
    Arena *arena = NULL;
    TRY(arena_new(&arena));
    TRY(make_durable(arena, store->dir));
    TRY(dir_lock_take(store->dir, wait_s, &store->lock));
    TRY(remove_leftovers(arena, store->dir));
    TRY(dir_list(store->dir, arena, &names, &n));
    for (size_t i = 0; i < n; i++) store->was_in_use |= strcmp(names[i], LOCK_NAME) != 0;
    TRY(greatest_serial(arena, store->dir, &store->serial));
    TRY(draw_run_id(store->run_id));
done:
    arena_free(arena);
    return st;
}

Status checkpoint_store_open(const CheckpointOptions *options, CheckpointStore **out)
{
    Status st = OK;
    CheckpointStore *store = calloc(1, sizeof *store);
    struct {
        char run_id[33];
        bool was_in_use;
        uint64_t serial;
    } shared = {0};
    *out = NULL;
    if (!store) return status_raise(STATUS_MEMORY, "out of memory");
    store->saved_step = -1;
    store->group = options->group ? *options->group : (RankGroup){.size = 1};
    st = snapshot_init(&store->snapshot, options->copy_bytes ? options->copy_bytes : DEFAULT_COPY_BYTES);
    if (st == OK) st = arena_new(&store->arena);
    if (st == OK && !(store->dir = arena_strdup(store->arena, options->output_dir))) st = STATUS_MEMORY;
    store->save_total_limit = options->save_total_limit;
    store->max_shard_bytes = options->max_shard_bytes;
    store->peer_wait_s = options->peer_wait_s > 0 ? options->peer_wait_s : DEFAULT_PEER_WAIT_S;
    if (st == OK && store_is_first(store)) st = take_directory(store, options);
    TRY(store_agree(store, st));
    memcpy(shared.run_id, store->run_id, sizeof shared.run_id);
    shared.was_in_use = store->was_in_use;
    shared.serial = store->serial;
    TRY(store_broadcast(store, &shared, sizeof shared));
    memcpy(store->run_id, shared.run_id, sizeof shared.run_id);
    memcpy(store->session, shared.run_id, sizeof shared.run_id);
    store->was_in_use = shared.was_in_use;
    store->serial = shared.serial;
    *out = store;
    store = NULL;
done:
    checkpoint_store_close(store);
    return st;
}

void checkpoint_store_close(CheckpointStore *store)
{
    if (!store) return;
    store->group.agree = NULL; /* closing is not a meeting: the others may have left with an error */
    if (store->job) (void)checkpoint_wait(store);
    snapshot_destroy(&store->snapshot);
    dir_lock_release(store->lock);
    arena_free(store->arena);
    free(store);
}

const char *checkpoint_run_id(const CheckpointStore *store) { return store->run_id; }

bool checkpoint_dir_in_use(const CheckpointStore *store) { return store->was_in_use; }
