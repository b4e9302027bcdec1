/* A disk that crashes. A hook records every operation on files; replaying a prefix of them into a model of a file
 * system gives what a machine would find after losing power at that moment, under several assumptions about what
 * reached the disk:
 *
 *   ALL       everything did
 *   SYNCED    only what fsync promised: data of synced files, names of synced directories (POSIX gives no more)
 *   NAMES     all names, but the data of synced files only: others are empty (ext4 before 2.6.30, XFS)
 *   ZEROS     all names and lengths, but data that was not synced is zeros
 *   HALF      as NAMES, but half of the unsynced data is there
 *   DEEP      all, but of the root only the synced names: what was done later reached the disk first */
#ifndef HONE_TESTS_CRASH_DISK_H
#define HONE_TESTS_CRASH_DISK_H

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "trainer/base/file.h"

typedef enum CrashMode {
    CRASH_ALL,
    CRASH_SYNCED,
    CRASH_NAMES,
    CRASH_ZEROS,
    CRASH_HALF,
    CRASH_DEEP,
    CRASH_MODES
} CrashMode;

/* ---- recording ---- */
typedef struct Recorded {
    FileOp op;
    char *path, *to, *data;
    size_t size;
    uint64_t offset;
} Recorded;

typedef struct Recording {
    pthread_mutex_t lock;
    const char *root; /* of the recorded directory: paths are kept without it */
    Recorded *ops;
    size_t count, capacity;
} Recording;

static inline char *crash_inside(const Recording *r, const char *path)
{
    size_t n = strlen(r->root);
    if (strncmp(path, r->root, n) != 0) return NULL;
    while (path[n] == '/') n++;
    char *inside = strdup(path + n);
    for (n = strlen(inside); n && inside[n - 1] == '/'; n--) inside[n - 1] = '\0';
    return inside;
}

static inline int record_hook(void *context, const FileCall *call, size_t *size)
{
    Recording *r = context;
    (void)size;
    if (call->op == FILE_OPEN || call->op == FILE_READ || call->op == FILE_CLOSE) return 0;
    pthread_mutex_lock(&r->lock);
    if (r->count == r->capacity) {
        r->capacity = r->capacity ? 2 * r->capacity : 256;
        r->ops = realloc(r->ops, r->capacity * sizeof *r->ops);
    }
    Recorded *o = &r->ops[r->count];
    *o = (Recorded){.op = call->op, .path = crash_inside(r, call->path), .size = call->size, .offset = call->offset};
    if (call->to) o->to = crash_inside(r, call->to);
    if (call->op == FILE_WRITE) o->data = memcpy(malloc(call->size + 1), call->data, call->size);
    if (o->path) r->count++;
    pthread_mutex_unlock(&r->lock);
    return 0;
}

static inline void recording_free(Recording *r)
{
    for (size_t i = 0; i < r->count; i++) {
        free(r->ops[i].path);
        free(r->ops[i].to);
        free(r->ops[i].data);
    }
    free(r->ops);
    *r = (Recording){.lock = PTHREAD_MUTEX_INITIALIZER};
}

/* ---- the model ---- */
typedef struct Node Node;
typedef struct Name {
    char text[128];
    Node *node;
} Name;

struct Node {
    bool is_dir;
    Name *names, *synced_names; /* of a directory */
    size_t count, synced_count;
    char *data, *synced; /* of a file */
    size_t size, synced_size;
};

typedef struct Disk {
    Arena *arena; /* owns all */
    Node root;
} Disk;

static inline Name *disk_name(Node *dir, const char *text, size_t length)
{
    for (size_t i = 0; i < dir->count; i++)
        if (strlen(dir->names[i].text) == length && memcmp(dir->names[i].text, text, length) == 0)
            return &dir->names[i];
    return NULL;
}

/* The directory that holds the last part of path; *last: that part. NULL: not there. */
static inline Node *disk_parent(Disk *d, const char *path, const char **last)
{
    Node *dir = &d->root;
    const char *slash;
    while ((slash = strchr(path, '/'))) {
        Name *n = disk_name(dir, path, (size_t)(slash - path));
        if (!n || !n->node->is_dir) return NULL;
        dir = n->node;
        path = slash + 1;
    }
    *last = path;
    return dir;
}

static inline Node *disk_find(Disk *d, const char *path)
{
    const char *last;
    if (!*path) return &d->root;
    Node *dir = disk_parent(d, path, &last);
    Name *n = dir ? disk_name(dir, last, strlen(last)) : NULL;
    return n ? n->node : NULL;
}

static inline void disk_put(Disk *d, Node *dir, const char *text, Node *node)
{
    Name *n = disk_name(dir, text, strlen(text));
    if (!n) {
        Name *more = arena_array(d->arena, dir->count + 1, sizeof *more);
        if (dir->count) memcpy(more, dir->names, dir->count * sizeof *more);
        dir->names = more;
        n = &dir->names[dir->count++];
        snprintf(n->text, sizeof n->text, "%s", text);
    }
    n->node = node;
}

static inline void disk_drop(Node *dir, const char *text)
{
    Name *n = disk_name(dir, text, strlen(text));
    if (n) *n = dir->names[--dir->count];
}

static inline void disk_write(Disk *d, Node *f, const Recorded *o)
{
    size_t end = (size_t)o->offset + o->size;
    if (end > f->size) {
        char *more = arena_alloc(d->arena, end);
        if (f->size) memcpy(more, f->data, f->size);
        f->data = more;
        f->size = end;
    } else { /* the synced copy may share the bytes */
        char *own = arena_alloc(d->arena, f->size);
        memcpy(own, f->data, f->size);
        f->data = own;
    }
    if (o->size) memcpy(f->data + o->offset, o->data, o->size);
}

/* NULL, or why the operation could not have happened. */
static inline const char *disk_apply(Disk *d, const Recorded *o)
{
    const char *last, *to_last = "";
    Node *dir = disk_parent(d, o->path, &last), *node = disk_find(d, o->path);
    if (!dir) return "no such directory";
    switch (o->op) {
    case FILE_CREATE:
        if (!node) disk_put(d, dir, last, node = arena_alloc(d->arena, sizeof *node));
        node->size = 0;
        return NULL;
    case FILE_WRITE:
        if (!node) return "written, and not there";
        disk_write(d, node, o);
        return NULL;
    case FILE_TRUNCATE:
        if (!node) return "truncated, and not there";
        if (o->offset < node->size) node->size = (size_t)o->offset;
        return NULL;
    case FILE_SYNC:
        if (!node) return "synced, and not there";
        node->synced = node->data;
        node->synced_size = node->size;
        return NULL;
    case FILE_MKDIR:
        if (node) return NULL;
        node = arena_alloc(d->arena, sizeof *node);
        node->is_dir = true;
        disk_put(d, dir, last, node);
        return NULL;
    case FILE_SYNCDIR:
        if (!node) return "synced, and not there";
        node->synced_names = arena_array(d->arena, node->count + 1, sizeof *node->names);
        if (node->count) memcpy(node->synced_names, node->names, node->count * sizeof *node->names);
        node->synced_count = node->count;
        return NULL;
    case FILE_RENAME: {
        Node *to_dir = disk_parent(d, o->to, &to_last), *target = disk_find(d, o->to);
        if (!node || !to_dir) return "renamed, and not there";
        if (target && target->is_dir && target->count) return "renamed over a directory that is not empty";
        disk_drop(dir, last);
        disk_put(d, to_dir, to_last, node);
        return NULL;
    }
    case FILE_REMOVE:
        disk_drop(dir, last);
        return NULL;
    case FILE_RMDIR:
        if (node && node->count) return "removed, and not empty";
        disk_drop(dir, last);
        return NULL;
    default:
        return NULL;
    }
}

/* Writes what is left after the crash into the real directory `path`. */
static inline bool disk_restore_into(const Node *dir, const char *path, CrashMode mode, bool is_root)
{
    bool synced_only = mode == CRASH_SYNCED || (mode == CRASH_DEEP && is_root);
    const Name *names = synced_only ? dir->synced_names : dir->names;
    size_t count = synced_only ? dir->synced_count : dir->count;
    char inner[1024];
    for (size_t i = 0; i < count; i++) {
        const Node *n = names[i].node;
        if (strlen(path) + strlen(names[i].text) + 2 > sizeof inner) return false;
        strcat(strcat(strcpy(inner, path), "/"), names[i].text);
        if (n->is_dir) {
            if (dir_make(inner) != OK || !disk_restore_into(n, inner, mode, false)) return false;
            continue;
        }
        bool clean = n->synced == n->data && n->synced_size == n->size && n->size;
        size_t size = mode == CRASH_ALL || mode == CRASH_DEEP || mode == CRASH_ZEROS || clean ? n->size
                      : mode == CRASH_HALF ? (n->size > n->synced_size ? n->size / 2 : n->size)
                                           : n->synced_size;
        const char *data = mode == CRASH_ALL || mode == CRASH_DEEP || mode == CRASH_HALF || clean ? n->data : n->synced;
        static const char zeros[1 << 16];
        if (mode == CRASH_ZEROS && !clean) data = zeros, size = size < sizeof zeros ? size : sizeof zeros;
        File *f;
        if (file_create(inner, &f) != OK) return false;
        bool ok = file_write(f, data, size) == OK;
        if (file_close(f) != OK || !ok) return false;
    }
    return true;
}

static inline bool disk_restore(const Disk *d, const char *path, CrashMode mode)
{
    return disk_restore_into(&d->root, path, mode, true);
}

#endif
