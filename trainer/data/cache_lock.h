/* Who makes a token cache: a file made with O_EXCL, "host pid beat\n", whose beat a thread raises while it lives. */
#ifndef HONE_DATA_CACHE_LOCK_H
#define HONE_DATA_CACHE_LOCK_H

#include <stdbool.h>
#include <stddef.h>

#include "trainer/base/status.h"

enum { LOCK_BEAT_MS = 500, LOCK_DEAD_MS = 5000, LOCK_TEXT = 320 };
void cache_lock_patience(int dead_ms); /* for tests: instead of LOCK_DEAD_MS */

typedef struct CacheLock CacheLock;

/* OK: taken, free with cache_lock_release. STATUS_LOCKED: another has it. Else the directory cannot be written. */
Status cache_lock_take(const char *path, CacheLock **out);
void cache_lock_release(CacheLock *lock); /* stops the thread, removes the file if it is still ours; NULL is fine */

/* One who waits for a lock: what it saw last and for how long. Zeroed before the first call. */
typedef struct CacheWait {
    char seen[LOCK_TEXT];
    double since_s, begun_s;
    bool told;
} CacheWait;

typedef enum LockState { LOCK_GONE, LOCK_ALIVE, LOCK_DEAD } LockState;

/* How the lock's maker is. LOCK_DEAD: the file has been removed, take it. */
LockState cache_lock_watch(const char *path, CacheWait *wait);

/* This host's name without spaces. */
void cache_lock_host(char *out, size_t size);
/* Whether the process `pid` of `host` is known to be gone: only of this host can that be said. */
bool cache_lock_is_gone(const char *host, long pid);

#endif
