/* The part of the door to the file system that works on names and directories. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "trainer/base/file.h"
#include "trainer/base/file_internal.h"

bool path_exists(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0;
}

bool path_is_dir(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

char *path_join(Arena *arena, const char *dir, const char *name)
{
    size_t length = strlen(dir);
    if (!length || name[0] == '/') return arena_strdup(arena, name);
    return arena_printf(arena, dir[length - 1] == '/' ? "%s%s" : "%s/%s", dir, name);
}

void file_names_beside(const char *path, char *beside, char *dir, size_t room)
{
    size_t length = strlen(path), cut = length;
    while (cut && path[cut - 1] != '/') cut--;
    memcpy(beside, path, length);
    snprintf(beside + length, room - length, ".tmp-%ld", (long)getpid());
    memcpy(dir, cut ? path : ".", cut ? cut : 1);
    dir[cut ? cut : 1] = '\0';
}

Status file_rename(const char *from, const char *to)
{
    FileCall call = {.op = FILE_RENAME, .path = from, .to = to};
    int error = file_ask_sized(&call, &call.size);
    if (!error && rename(from, to) != 0) error = errno;
    if (!error) return OK;
    Status st = file_fail("rename", from, error);
    return error == ENOENT ? st : status_prefix(st, "renaming to %s", to);
}

Status file_remove(const char *path)
{
    int error = file_ask(FILE_REMOVE, path);
    if (!error && unlink(path) != 0 && errno != ENOENT) error = errno;
    return error ? file_fail("remove", path, error) : OK;
}

static Status make_one(const char *path)
{
    if (path_is_dir(path)) return OK;
    int error = file_ask(FILE_MKDIR, path);
    if (!error && mkdir(path, 0777) != 0 && !(errno == EEXIST && path_is_dir(path))) error = errno;
    return error ? file_fail("make the directory", path, error) : OK;
}

Status dir_make(const char *path)
{
    Status st = OK;
    char *copy = strdup(path);
    if (!copy) RAISE(MEMORY, "%s: out of memory", path);
    for (char *at = copy + 1; *copy && *at; at++) {
        if (*at != '/' || at[-1] == '/') continue;
        *at = '\0';
        TRY(make_one(copy));
        *at = '/';
    }
    TRY(make_one(path));
done:
    free(copy);
    return st;
}

Status dir_sync(const char *path)
{
    int error = file_ask(FILE_SYNCDIR, path), fd = -1;
    if (!error && (fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0) error = errno;
    /* Some network file systems cannot sync a directory and say EINVAL: a rename there is as durable as it gets. */
    while (!error && fsync(fd) != 0) {
        if (errno == EINVAL || errno == ENOTSUP) break;
        if (errno != EINTR) error = errno;
    }
    if (fd >= 0) close(fd);
    return error ? file_fail("sync", path, error) : OK;
}

static int by_name(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

static bool is_dots(const char *name) { return strcmp(name, ".") == 0 || strcmp(name, "..") == 0; }

Status dir_list(const char *path, Arena *arena, char ***names, size_t *count)
{
    Status st = OK;
    char **list = NULL;
    size_t capacity = 0, n = 0;
    struct dirent *entry;
    int error = file_ask(FILE_OPEN, path);
    DIR *dir = error ? NULL : opendir(path);
    *names = NULL;
    *count = 0;
    if (!dir) {
        st = file_fail("list", path, error ? error : errno);
        goto done;
    }
    while (errno = 0, (entry = readdir(dir))) {
        if (is_dots(entry->d_name)) continue;
        list = arena_grow(arena, list, &capacity, n + 1, sizeof *list);
        TRY_MEMORY(list);
        list[n] = arena_strdup(arena, entry->d_name);
        TRY_MEMORY(list[n]);
        n++;
    }
    if (errno) {
        st = file_fail("list", path, errno);
        goto done;
    }
    if (n) qsort(list, n, sizeof *list, by_name);
    *names = list;
    *count = n;
done:
    if (dir) closedir(dir);
    return st;
}

/* Removes what lies in `path`, a directory that is not a link. */
static Status empty(const char *path)
{
    Status st = OK;
    Arena *arena = NULL;
    char **names, *inner;
    size_t count;
    struct stat info;
    TRY(arena_new(&arena));
    TRY(dir_list(path, arena, &names, &count));
    for (size_t i = 0; i < count; i++) {
        inner = path_join(arena, path, names[i]);
        TRY_MEMORY(inner);
        if (lstat(inner, &info) == 0 && S_ISDIR(info.st_mode)) TRY(dir_remove(inner));
        else TRY(file_remove(inner));
    }
done:
    arena_free(arena);
    return st;
}

Status dir_remove(const char *path)
{
    struct stat info;
    if (lstat(path, &info) != 0) return errno == ENOENT ? OK : file_fail("remove", path, errno);
    if (!S_ISDIR(info.st_mode)) return file_remove(path);
    Status st = empty(path);
    if (st != OK) return st;
    int error = file_ask(FILE_RMDIR, path);
    if (!error && rmdir(path) != 0 && errno != ENOENT) error = errno;
    return error ? file_fail("remove", path, error) : OK;
}
