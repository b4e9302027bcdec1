/* This file opens its lock past base/file.h, which has no O_EXCL: nothing of the cache's content goes through it. */
#include "trainer/data/cache_lock.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "trainer/base/clock.h"
#include "trainer/base/log.h"

static _Atomic int dead_after_ms = LOCK_DEAD_MS;

struct CacheLock {
    int fd;
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t stop;
    bool stopping;
    char who[LOCK_TEXT]; /* "host pid" */
    char path[];
};

void cache_lock_patience(int dead_ms)
{
    atomic_store(&dead_after_ms, dead_ms);
}

void cache_lock_host(char *out, size_t size)
{
    if (gethostname(out, size) != 0) snprintf(out, size, "unknown");
    out[size - 1] = '\0';
    for (char *c = out; *c; c++)
        if (*c == ' ' || *c == '\n') *c = '_';
}

/* A beat that cannot be written is skipped: at worst another takes over. */
static void beat(CacheLock *lock, unsigned long number)
{
    char text[LOCK_TEXT + 32];
    const int size = snprintf(text, sizeof text, "%s %lu\n", lock->who, number);
    if (pwrite(lock->fd, text, (size_t)size, 0) != size) return;
}

static void *beat_on(void *context)
{
    CacheLock *lock = context;
    unsigned long number = 1;
    pthread_mutex_lock(&lock->mutex);
    while (!lock->stopping) {
        struct timespec until;
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_nsec += LOCK_BEAT_MS * 1000000L;
        until.tv_sec += until.tv_nsec / 1000000000L;
        until.tv_nsec %= 1000000000L;
        while (!lock->stopping && pthread_cond_timedwait(&lock->stop, &lock->mutex, &until) != ETIMEDOUT) {}
        if (!lock->stopping) beat(lock, number++);
    }
    pthread_mutex_unlock(&lock->mutex);
    return NULL;
}

/* The thread takes no signals: they are the program's. */
static int start_thread(CacheLock *lock)
{
    sigset_t all, old;
    pthread_condattr_t clock;
    pthread_mutex_init(&lock->mutex, NULL);
    pthread_condattr_init(&clock);
    pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
    pthread_cond_init(&lock->stop, &clock);
    pthread_condattr_destroy(&clock);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    const int error = pthread_create(&lock->thread, NULL, beat_on, lock);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return error;
}

Status cache_lock_take(const char *path, CacheLock **out)
{
    Status st = OK;
    char host[256];
    CacheLock *lock = calloc(1, sizeof *lock + strlen(path) + 1);

    *out = NULL;
    if (!lock) RAISE(MEMORY, "%s: out of memory", path);
    strcpy(lock->path, path);
    cache_lock_host(host, sizeof host);
    snprintf(lock->who, sizeof lock->who, "%s %ld", host, (long)getpid());
    lock->fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (lock->fd < 0) {
        st = errno == EEXIST ? status_raise(STATUS_LOCKED, "%s: another process has it", path)
                             : status_raise(STATUS_IO, "%s: cannot create: %s", path, strerror(errno));
        goto done;
    }
    beat(lock, 0);
    if (start_thread(lock) != 0) {
        unlink(path);
        close(lock->fd);
        RAISE(MEMORY, "%s: cannot start a thread", path);
    }
    *out = lock;
    lock = NULL;
done:
    free(lock);
    return st;
}

/* The lock's text; false if there is no such file. */
static bool read_lock(const char *path, char *text, size_t size)
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return false;
    const ssize_t n = pread(fd, text, size - 1, 0);
    close(fd);
    text[n > 0 ? n : 0] = '\0';
    return true;
}

void cache_lock_release(CacheLock *lock)
{
    char text[LOCK_TEXT];
    if (!lock) return;
    pthread_mutex_lock(&lock->mutex);
    lock->stopping = true;
    pthread_cond_signal(&lock->stop);
    pthread_mutex_unlock(&lock->mutex);
    pthread_join(lock->thread, NULL);
    const size_t length = strlen(lock->who);
    if (read_lock(lock->path, text, sizeof text) && strncmp(text, lock->who, length) == 0 && text[length] == ' ')
        unlink(lock->path);
    close(lock->fd);
    pthread_cond_destroy(&lock->stop);
    pthread_mutex_destroy(&lock->mutex);
    free(lock);
}

bool cache_lock_is_gone(const char *host, long pid)
{
    char here[256];
    cache_lock_host(here, sizeof here);
    return pid > 0 && strcmp(host, here) == 0 && kill((pid_t)pid, 0) != 0 && errno == ESRCH;
}

static bool is_gone(const char *text)
{
    char host[256];
    long pid;
    return sscanf(text, "%255s %ld", host, &pid) == 2 && cache_lock_is_gone(host, pid);
}

LockState cache_lock_watch(const char *path, CacheWait *wait)
{
    char text[LOCK_TEXT], again[LOCK_TEXT];
    const double now = clock_seconds();

    if (!read_lock(path, text, sizeof text)) return LOCK_GONE;
    if (wait->begun_s == 0) wait->begun_s = wait->since_s = now;
    if (strcmp(text, wait->seen) != 0) {
        strcpy(wait->seen, text);
        wait->since_s = now;
    }
    const bool gone = is_gone(text);
    if (!gone && now - wait->since_s < atomic_load(&dead_after_ms) * 1e-3) {
        if (!wait->told && now - wait->begun_s > 1) {
            wait->told = true;
            log_info("waiting for the process that tokenizes this data already (%.*s)",
                     (int)strcspn(text, "\n"), text);
        }
        return LOCK_ALIVE;
    }
    /* Another may have replaced it just now: what is removed is what was judged, or the harm is double work. */
    if (read_lock(path, again, sizeof again) && strcmp(again, text) == 0) {
        log_info("the process that tokenized this data %s; starting again", gone ? "is gone" : "gives no sign of life");
        unlink(path);
    }
    wait->seen[0] = '\0';
    wait->since_s = now;
    return LOCK_DEAD;
}
