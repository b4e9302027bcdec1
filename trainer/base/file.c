/* Files by descriptor, with pread and pwrite only (a pipe is read with read): the cursor is ours, so calls at an offset
 * need no lock. An operation that a signal cut short is tried again; a write that wrote less goes on with the rest,
 * and asks the hook again. What works on names and directories is in dir.c. */
#include "trainer/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "trainer/base/file_internal.h"

struct File {
    int fd;
    bool writable, is_stream; /* is_stream: a pipe or terminal, which has no offsets */
    uint64_t cursor;
    _Atomic uint64_t bytes;
    char path[];
};

enum { LARGEST_TRANSFER = 1 << 30 }; /* Linux moves at most 2 GiB - 4 KiB a call */

static FileHook *the_hook;
static void *hook_context;
static _Atomic uint64_t calls;

uint64_t file_calls(void) { return atomic_load_explicit(&calls, memory_order_relaxed); }

void file_hook(FileHook *hook, void *context)
{
    the_hook = hook;
    hook_context = context;
}

int file_ask_sized(const FileCall *call, size_t *size)
{
    atomic_fetch_add_explicit(&calls, 1, memory_order_relaxed);
    return the_hook ? the_hook(hook_context, call, size) : 0;
}

int file_ask(FileOp op, const char *path)
{
    FileCall call = {.op = op, .path = path};
    return file_ask_sized(&call, &call.size);
}

Status file_fail(const char *what, const char *path, int error)
{
    if (error == ENOSPC || error == EDQUOT)
        return status_raise(STATUS_SPACE, "%s: cannot %s: %s; free some space, or write elsewhere", path, what,
                            strerror(error));
    if (error == ENOENT) return status_raise(STATUS_MISSING, "%s: no such file or directory", path);
    return status_raise(STATUS_IO, "%s: cannot %s: %s", path, what, strerror(error));
}

static int open_again(const char *path, int flags)
{
    int fd;
    do fd = open(path, flags | O_CLOEXEC, 0666);
    while (fd < 0 && errno == EINTR);
    return fd;
}

static Status open_as(const char *path, FileOp op, int flags, File **out)
{
    struct stat info;
    size_t length = strlen(path);
    int error = file_ask(op, path), fd = -1;
    *out = NULL;
    if (!error && (fd = open_again(path, flags)) < 0) error = errno;
    if (!error && fstat(fd, &info) != 0) error = errno;
    if (!error && S_ISDIR(info.st_mode)) error = EISDIR;
    if (error) {
        if (fd >= 0) close(fd);
        return file_fail(op == FILE_CREATE ? "create" : "open", path, error);
    }
    File *f = calloc(1, sizeof *f + length + 1);
    if (!f) {
        close(fd);
        return status_raise(STATUS_MEMORY, "%s: out of memory", path);
    }
    f->fd = fd;
    f->writable = (flags & O_ACCMODE) != O_RDONLY;
    f->is_stream = !S_ISREG(info.st_mode) && !S_ISBLK(info.st_mode);
    atomic_init(&f->bytes, S_ISREG(info.st_mode) ? (uint64_t)info.st_size : 0);
    memcpy(f->path, path, length + 1);
    *out = f;
    return OK;
}

Status file_open(const char *path, File **out) { return open_as(path, FILE_OPEN, O_RDONLY, out); }

Status file_create(const char *path, File **out)
{
    return open_as(path, FILE_CREATE, O_RDWR | O_CREAT | O_TRUNC, out);
}

/* To the hook, a file that is there is opened and a new one created: FILE_CREATE always leaves an empty file. */
Status file_append(const char *path, File **out)
{
    Status st = open_as(path, path_exists(path) ? FILE_OPEN : FILE_CREATE, O_RDWR | O_CREAT, out);
    if (st == OK) (*out)->cursor = atomic_load(&(*out)->bytes);
    return st;
}

Status file_close(File *f)
{
    if (!f) return OK;
    Status st = OK;
    int error = file_ask(FILE_CLOSE, f->path);
    if (close(f->fd) != 0 && !error && errno != EINTR) error = errno; /* after EINTR Linux has closed it */
    if (error && f->writable) st = file_fail("close", f->path, error);
    free(f);
    return st;
}

const char *file_path(const File *f) { return f->path; }
uint64_t file_bytes(const File *f) { return atomic_load(&f->bytes); }

static Status read_some_at(File *f, void *data, size_t size, uint64_t offset, size_t *got)
{
    FileCall call = {.op = FILE_READ, .path = f->path, .size = size, .offset = offset};
    size_t allowed = size;
    *got = 0;
    int error = file_ask_sized(&call, &allowed);
    if (error) return file_fail("read", f->path, error);
    if (size > LARGEST_TRANSFER) size = LARGEST_TRANSFER;
    ssize_t n;
    do n = f->is_stream ? read(f->fd, data, size) : pread(f->fd, data, size, (off_t)offset);
    while (n < 0 && errno == EINTR);
    if (n < 0) return file_fail("read", f->path, errno);
    *got = (size_t)n;
    return OK;
}

Status file_read_some(File *f, void *data, size_t size, size_t *got)
{
    Status st = read_some_at(f, data, size, f->cursor, got);
    if (st == OK) f->cursor += *got;
    return st;
}

Status file_read_at(File *f, void *data, size_t size, uint64_t offset)
{
    Status st = OK;
    char *to = data;
    while (size) {
        size_t got;
        TRY(read_some_at(f, to, size, offset, &got));
        if (!got)
            RAISE(FORMAT, "%s: ends at byte %" PRIu64 " where %zu more are needed; the file was cut short", f->path,
                  offset, size);
        to += got, size -= got, offset += got;
    }
done:
    return st;
}

Status file_read(File *f, void *data, size_t size)
{
    Status st = file_read_at(f, data, size, f->cursor);
    if (st == OK) f->cursor += size;
    return st;
}

static void raise_bytes(File *f, uint64_t end)
{
    uint64_t old = atomic_load(&f->bytes);
    while (old < end && !atomic_compare_exchange_weak(&f->bytes, &old, end)) {}
}

Status file_write_at(File *f, const void *data, size_t size, uint64_t offset)
{
    const char *from = data;
    while (size) {
        FileCall call = {.op = FILE_WRITE, .path = f->path, .data = from, .size = size, .offset = offset};
        size_t part = size;
        int error = file_ask_sized(&call, &part);
        if (error) return file_fail("write", f->path, error);
        if (part > size) part = size;
        if (part > LARGEST_TRANSFER) part = LARGEST_TRANSFER;
        ssize_t n = f->is_stream ? write(f->fd, from, part) : pwrite(f->fd, from, part, (off_t)offset);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return file_fail("write", f->path, errno);
        from += n, size -= (size_t)n, offset += (uint64_t)n;
        raise_bytes(f, offset);
    }
    return OK;
}

Status file_write(File *f, const void *data, size_t size)
{
    Status st = file_write_at(f, data, size, f->cursor);
    if (st == OK) f->cursor += size;
    return st;
}

Status file_truncate(File *f, uint64_t size)
{
    FileCall call = {.op = FILE_TRUNCATE, .path = f->path, .offset = size};
    int error = file_ask_sized(&call, &call.size);
    while (!error && ftruncate(f->fd, (off_t)size) != 0)
        if (errno != EINTR) error = errno;
    if (error) return file_fail("truncate", f->path, error);
    atomic_store(&f->bytes, size);
    if (f->cursor > size) f->cursor = size;
    return OK;
}

Status file_sync(File *f)
{
    int error = file_ask(FILE_SYNC, f->path);
    while (!error && fsync(f->fd) != 0)
        if (errno != EINTR) error = errno == EINVAL && f->is_stream ? 0 : errno;
    return error ? file_fail("sync", f->path, error) : OK;
}

Status file_map(const char *path, const void **data, size_t *size)
{
    Status st = OK;
    File *f = NULL;
    int error;
    *data = NULL;
    *size = 0;
    TRY(file_open(path, &f));
    if (f->is_stream) RAISE(IO, "%s: not a regular file, so it cannot be mapped", path);
    if (file_bytes(f) == 0) goto done;
    if ((error = file_ask(FILE_READ, path)) != 0) {
        st = file_fail("map", path, error);
        goto done;
    }
    void *at = mmap(NULL, (size_t)file_bytes(f), PROT_READ, MAP_SHARED, f->fd, 0);
    if (at == MAP_FAILED) {
        st = file_fail("map", path, errno);
        goto done;
    }
    *data = at;
    *size = (size_t)file_bytes(f);
done:
    file_close(f);
    return st;
}

void file_unmap(const void *data, size_t size)
{
    if (data) munmap((void *)(uintptr_t)data, size);
}

Status file_read_all(const char *path, Arena *arena, size_t limit, char **data, size_t *size)
{
    Status st = OK;
    File *f = NULL;
    char *text = NULL, more;
    size_t capacity = 0, used = 0, got = 1, need;
    *data = NULL;
    TRY(file_open(path, &f));
    if (file_bytes(f) > limit)
        RAISE(FORMAT, "%s: %" PRIu64 " bytes, more than the %zu allowed", path, file_bytes(f), limit);
    need = f->is_stream ? 4096 : (size_t)file_bytes(f);
    while (got) { /* one read past the size that was told: pipes, and files of /proc, tell 0 */
        if (!text) {
            capacity = need + 1;
            text = arena_alloc(arena, capacity);
            TRY_MEMORY(text);
        }
        if (used < need) {
            TRY(file_read_some(f, text + used, need - used, &got));
            used += got;
            continue;
        }
        TRY(file_read_some(f, &more, 1, &got));
        if (!got) break;
        if (used >= limit) RAISE(FORMAT, "%s: more than the %zu bytes allowed", path, limit);
        if (need + 1 >= capacity) {
            text = arena_grow(arena, text, &capacity, need + 2, 1);
            TRY_MEMORY(text);
        }
        text[used++] = more;
        need = capacity - 1 < limit ? capacity - 1 : limit;
    }
    text[used] = '\0';
    *data = text;
    if (size) *size = used;
done:
    file_close(f);
    return st;
}

Status file_replace(const char *path, const void *data, size_t size)
{
    Status st = OK;
    File *f = NULL;
    bool made = false;
    size_t room = strlen(path) + 32;
    char *beside = malloc(2 * room), *dir;
    if (!beside) return status_raise(STATUS_MEMORY, "%s: out of memory", path);
    dir = beside + room;
    file_names_beside(path, beside, dir, room);
    TRY(file_create(beside, &f));
    made = true;
    TRY(file_write(f, data, size));
    TRY(file_sync(f));
    st = file_close(f);
    f = NULL;
    if (st != OK) goto done;
    TRY(file_rename(beside, path));
    made = false;
    TRY(dir_sync(dir));
done:
    if (f) { /* st's message must survive the clean-up */
        close(f->fd);
        free(f);
    }
    if (made && file_ask(FILE_REMOVE, beside) == 0) unlink(beside);
    free(beside);
    return st;
}
