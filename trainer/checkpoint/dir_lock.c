/* An open-file-description lock (Linux 3.15): it belongs to the opened file, dies with the process however that ends,
 * works on NFS, and holds between threads of one process. The holder removes the file before it lets go, so whoever
 * waited checks that the file it has locked is still the one under the name. This file alone opens a file past
 * base/file.h, which has no locks: nothing of a run's data goes through it. */
#include "trainer/checkpoint/dir_lock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "trainer/base/clock.h"
#include "trainer/base/log.h"

struct DirLock {
    int fd;
    char path[];
};

static void read_holder(int fd, char *text, size_t size)
{
    ssize_t n = pread(fd, text, size - 1, 0);
    text[n > 0 ? n : 0] = '\0';
    text[strcspn(text, "\n")] = '\0';
    if (!text[0]) snprintf(text, size, "another process");
}

static bool still_named(int fd, const char *path)
{
    struct stat by_fd, by_name;
    return fstat(fd, &by_fd) == 0 && stat(path, &by_name) == 0 && by_fd.st_ino == by_name.st_ino &&
           by_fd.st_dev == by_name.st_dev;
}

/* 0: ours; EAGAIN: held by another (holder filled in); ESTALE: was removed meanwhile, try again; else the errno. */
static int try_lock(DirLock *lock, char *holder, size_t size)
{
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    lock->fd = open(lock->path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (lock->fd < 0) return errno;
    int error = fcntl(lock->fd, F_OFD_SETLK, &whole) == 0 ? 0 : errno;
    if (error == EACCES) error = EAGAIN;
    if (error == EAGAIN) read_holder(lock->fd, holder, size);
    if (error == 0 && !still_named(lock->fd, lock->path)) error = ESTALE;
    if (error == ENOLCK || error == EOPNOTSUPP || error == ENOSYS || error == EINVAL) {
        log_warning("%s: this file system has no locks: see to it that no other job writes here", lock->path);
        error = 0;
    }
    if (error) {
        close(lock->fd);
        lock->fd = -1;
    }
    return error;
}

static void write_holder(const DirLock *lock)
{
    char host[128] = "", text[192];
    gethostname(host, sizeof host - 1);
    int n = snprintf(text, sizeof text, "host %s, pid %ld\n", host, (long)getpid());
    if (ftruncate(lock->fd, 0) != 0 || pwrite(lock->fd, text, (size_t)n, 0) != n)
        log_warning("%s: cannot write who holds it: %s", lock->path, strerror(errno));
}

Status dir_lock_take(const char *dir, double wait_s, DirLock **out)
{
    Status st = OK;
    size_t size = strlen(dir) + sizeof LOCK_NAME + 1;
    char holder[192] = "another process";
    bool said = false;
    int error;
    *out = NULL;
    DirLock *lock = malloc(sizeof *lock + size);
    if (!lock) return status_raise(STATUS_MEMORY, "%s: out of memory", dir);
    snprintf(lock->path, size, "%s/%s", dir, LOCK_NAME);
    double give_up = clock_seconds() + wait_s;
    while ((error = try_lock(lock, holder, sizeof holder)) == EAGAIN || error == ESTALE) {
        if (error == ESTALE) continue;
        if (clock_seconds() >= give_up)
            RAISE(LOCKED, "%s: is being written by %s; wait for it to end, stop it, or choose another output_dir", dir,
                  holder);
        if (!said) log_info("%s: is being written by %s; waiting up to %.0f s for it to end", dir, holder, wait_s);
        said = true;
        nanosleep(&(struct timespec){.tv_nsec = 50 * 1000 * 1000}, NULL);
    }
    if (error == ENOSPC || error == EDQUOT) RAISE(SPACE, "%s: no space left to write in", dir);
    if (error) RAISE(IO, "%s: cannot write here: %s; choose another output_dir", dir, strerror(error));
    write_holder(lock);
    *out = lock;
    lock = NULL;
done:
    free(lock);
    return st;
}

void dir_lock_release(DirLock *lock)
{
    if (!lock) return;
    unlink(lock->path); /* while it is held: nobody else can have taken this file */
    close(lock->fd);
    free(lock);
}
