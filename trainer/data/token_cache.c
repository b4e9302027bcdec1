/* Finds, waits for or makes the file of a token cache. */
#include "trainer/data/token_cache.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "trainer/base/file.h"
#include "trainer/base/log.h"
#include "trainer/data/cache_file.h"
#include "trainer/data/cache_lock.h"

enum { PATH_BYTES = 4200, POLL_MS = 20 };

typedef struct Paths {
    char file[PATH_BYTES], lock[PATH_BYTES], beside[PATH_BYTES];
    char name[40]; /* the key */
    bool told;     /* that the file is not right */
} Paths;

bool token_cache_default_dir(char *out, size_t size)
{
    static const struct {
        const char *variable, *below;
    } places[] = {{"HONE_CACHE", ""}, {"XDG_CACHE_HOME", "/hone"}, {"HOME", "/.cache/hone"}};
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        const char *base = getenv(places[i].variable);
        if (base && *base) return (size_t)snprintf(out, size, "%s%s", base, places[i].below) < size;
    }
    return false;
}

static Status make_paths(const CacheRequest *q, Paths *p)
{
    char host[256];
    cache_lock_host(host, sizeof host);
    p->told = false;
    snprintf(p->name, sizeof p->name, "%016" PRIx64 "%016" PRIx64, q->key[1], q->key[0]);
    if (strlen(q->dir) > PATH_BYTES - 512) return status_raise(STATUS_USAGE, "cache_dir: the path is too long");
    snprintf(p->file, PATH_BYTES, "%s/%s.tokens", q->dir, p->name);
    snprintf(p->lock, PATH_BYTES, "%s/%s.lock", q->dir, p->name);
    snprintf(p->beside, PATH_BYTES, "%s/%s %s %ld.tmp", q->dir, p->name, host, (long)getpid());
    return OK;
}

/* What makers that died on this host left of this file. */
static void remove_leftovers(const CacheRequest *q, const Paths *p)
{
    Arena *arena = NULL;
    char **names, *path;
    size_t count;
    if (arena_new(&arena) == OK && dir_list(q->dir, arena, &names, &count) == OK)
        for (size_t i = 0; i < count; i++) {
            char host[256];
            long pid;
            const size_t length = strlen(p->name);
            if (strncmp(names[i], p->name, length) != 0 || names[i][length] != ' ') continue;
            if (sscanf(names[i] + length, " %255s %ld.tmp", host, &pid) != 2) continue;
            if (!cache_lock_is_gone(host, pid)) continue;
            if ((path = path_join(arena, q->dir, names[i])) != NULL) file_remove(path);
        }
    arena_free(arena);
}

/* The right file, or NULL where there is none; one that is damaged is said and left to be replaced. */
static Status find(const CacheRequest *q, Paths *p, Dataset **out)
{
    *out = NULL;
    if (!path_exists(p->file)) return OK;
    const Status st = cache_file_open(p->file, q->key, out);
    if (st == STATUS_MEMORY) return st;
    if (st != OK && !p->told) log_info("%s; tokenizing again", status_message());
    p->told = p->told || st != OK;
    return OK;
}

/* To overwrite: a file of this run is new; without a run's number, any but the one that was there first. */
static bool is_new(const CacheRequest *q, const Dataset *d, uint64_t first)
{
    return q->run ? dataset_stamp(d) == q->run : first && dataset_stamp(d) != first;
}

static Status make(const CacheRequest *q, const Paths *p, bool *from_cache, Dataset **out)
{
    Status st = OK;
    TRY(cache_file_write(q, p->beside, from_cache));
    *from_cache = true;
    TRY(file_rename(p->beside, p->file));
    TRY(dir_sync(q->dir));
    TRY(cache_file_open(p->file, q->key, out));
    dataset_set_cached(*out, false);
done:
    return st;
}

/* In the cache's directory. *from_cache: it was the directory that failed, not the maker. */
static Status open_shared(const CacheRequest *q, bool *from_cache, Dataset **out)
{
    Status st = OK;
    Paths *p = malloc(sizeof *p);
    CacheLock *lock = NULL;
    CacheWait wait = {0};
    uint64_t first = 0;

    *from_cache = false;
    if (!p) RAISE(MEMORY, "no memory for paths");
    TRY(make_paths(q, p));
    TRY(find(q, p, out));
    if (*out && (!q->overwrite || is_new(q, *out, 0))) goto done;
    first = *out ? dataset_stamp(*out) : 1; /* 1: there was none, so any is new */
    dataset_free(*out);
    *out = NULL;
    *from_cache = true;
    TRY(dir_make(q->dir));
    for (;;) {
        st = cache_lock_take(p->lock, &lock);
        if (st != OK && st != STATUS_LOCKED) goto done;
        *from_cache = false;
        if (path_exists(p->file)) TRY(find(q, p, out)); /* made meanwhile */
        if (*out && (!q->overwrite || is_new(q, *out, first))) goto done;
        dataset_free(*out);
        *out = NULL;
        *from_cache = true;
        if (lock) {
            remove_leftovers(q, p);
            st = make(q, p, from_cache, out);
            goto done;
        }
        while (cache_lock_watch(p->lock, &wait) == LOCK_ALIVE) {
            struct timespec pause = {.tv_nsec = POLL_MS * 1000000L};
            nanosleep(&pause, NULL);
        }
    }
done:
    cache_lock_release(lock);
    free(p);
    return st;
}

/* A file that has no name once it is mapped. */
static Status open_private(const CacheRequest *q, Dataset **out)
{
    Status st = OK;
    char path[PATH_BYTES];
    const char *dir = getenv("TMPDIR");
    bool from_cache;

    snprintf(path, sizeof path, "%s/hone-%ld-%016" PRIx64 ".tokens", dir && *dir ? dir : "/tmp", (long)getpid(),
             q->key[0]);
    TRY(cache_file_write(q, path, &from_cache));
    st = cache_file_open(path, NULL, out);
    file_remove(path);
    if (st == OK) dataset_set_cached(*out, false);
done:
    return st;
}

Status token_cache_open(const CacheRequest *q, Dataset **out)
{
    bool from_cache;

    *out = NULL;
    if (!q->dir) return open_private(q, out);
    const Status st = open_shared(q, &from_cache, out);
    if (st == OK || !from_cache || st == STATUS_MEMORY || st == STATUS_BUG) return st;
    log_warning("no token cache: %s; tokenizing into a temporary file", status_message());
    return open_private(q, out);
}
