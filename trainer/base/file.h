/* The one door to the file system. Every call can be watched, and be made to fail, by a hook: the tests of checkpoints
 * replay every prefix of what a save did. Errors name the path and what the system said; a full disk is STATUS_SPACE,
 * an absent file STATUS_MISSING, all else STATUS_IO. */
#ifndef HONE_BASE_FILE_H
#define HONE_BASE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "trainer/base/arena.h"
#include "trainer/base/status.h"

typedef struct File File;

Status file_open(const char *path, File **out);   /* for reading */
Status file_create(const char *path, File **out); /* for writing; truncates what is there */
Status file_append(const char *path, File **out); /* for writing at the end; creates */
/* Closes; NULL is fine. A failing close of a written file is an error: check it where the data matters. */
Status file_close(File *f);
const char *file_path(const File *f); /* borrowed */
uint64_t file_bytes(const File *f);   /* size at open, plus what was written through it */

Status file_read(File *f, void *data, size_t size);                       /* exactly size bytes from the cursor */
Status file_read_some(File *f, void *data, size_t size, size_t *got);     /* up to size; 0 at the end */
Status file_read_at(File *f, void *data, size_t size, uint64_t offset);   /* exactly; thread-safe */
Status file_write(File *f, const void *data, size_t size);
Status file_write_at(File *f, const void *data, size_t size, uint64_t offset); /* thread-safe */
Status file_truncate(File *f, uint64_t size);
Status file_sync(File *f); /* on disk when it returns */

/* Maps a whole file read-only; *data NULL when it is empty. Unmap with file_unmap. */
Status file_map(const char *path, const void **data, size_t *size);
void file_unmap(const void *data, size_t size);

/* Whole files. The text is NUL-terminated in arena; *size (may be NULL) excludes that NUL. Refuses more than limit
 * bytes. */
Status file_read_all(const char *path, Arena *arena, size_t limit, char **data, size_t *size);
/* Writes beside `path`, syncs, renames over it, syncs the directory: old or new is there, never half. */
Status file_replace(const char *path, const void *data, size_t size);

Status file_rename(const char *from, const char *to);
Status file_remove(const char *path);   /* a missing one is fine */
Status dir_make(const char *path);      /* with its parents; an existing one is fine */
Status dir_sync(const char *path);      /* the names in it are on disk when it returns */
Status dir_list(const char *path, Arena *arena, char ***names, size_t *count); /* sorted, without . and .. */
Status dir_remove(const char *path);    /* with all in it; a missing one is fine; never follows links */
bool path_exists(const char *path);
bool path_is_dir(const char *path);
char *path_join(Arena *arena, const char *dir, const char *name); /* NULL: no memory */

typedef enum FileOp {
    FILE_OPEN, FILE_CREATE, FILE_READ, FILE_WRITE, FILE_SYNC, FILE_CLOSE, FILE_TRUNCATE,
    FILE_RENAME, FILE_REMOVE, FILE_MKDIR, FILE_RMDIR, FILE_SYNCDIR,
} FileOp;

typedef struct FileCall {
    FileOp op;
    const char *path, *to; /* to: FILE_RENAME's */
    const void *data;      /* FILE_WRITE's */
    size_t size;
    uint64_t offset;       /* FILE_WRITE's; FILE_TRUNCATE's size */
} FileCall;

/* Called before each operation. Returns 0 to let it happen, an errno to make it fail with; for FILE_WRITE it may lower
 * *size (a short write: that much is written, then the rest is tried in a new call). */
typedef int FileHook(void *context, const FileCall *call, size_t *size);
void file_hook(FileHook *hook, void *context); /* NULL: none. For tests, and HONE_SLOW_DISK */
/* Operations of this process so far: whoever watches sees by it that a slow disk gets on. Any thread. */
uint64_t file_calls(void);

#endif
