/* The directories in an output_dir: which are checkpoints, and how they are moved out of the way so that a crash at any
 * moment leaves each of them whole under one name or recognisably dead. */
#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "trainer/base/file.h"
#include "trainer/base/log.h"
#include "trainer/checkpoint/checkpoint_internal.h"

bool name_step(const char *name, const char *prefix, int64_t *step)
{
    size_t n = strlen(prefix);
    if (strncmp(name, prefix, n) != 0) return false;
    const char *digits = name + n;
    size_t length = strspn(digits, "0123456789");
    if (length == 0 || length > 18 || digits[length]) return false;
    *step = strtoll(digits, NULL, 10);
    return true;
}

Status rename_aside(Arena *arena, const char *dir, const char *name, const char *prefix, char **path)
{
    Status st = OK;
    char *from = path_join(arena, dir, name);
    TRY_MEMORY(from);
    for (int i = 1;; i++) {
        *path = i == 1 ? arena_printf(arena, "%s/%s-%s", dir, prefix, name)
                       : arena_printf(arena, "%s/%s-%s.%d", dir, prefix, name, i);
        TRY_MEMORY(*path);
        if (!path_exists(*path)) break;
    }
    TRY(file_rename(from, *path));
done:
    return st;
}

Status trash(Arena *arena, const char *dir, const char *name)
{
    Status st = OK;
    char *path;
    TRY(rename_aside(arena, dir, name, ".trash", &path));
    TRY(dir_sync(dir));
    TRY(dir_remove(path));
done:
    return st;
}

static int newest_first(const void *a, const void *b)
{
    const Listed *x = a, *y = b;
    if (x->manifest.serial != y->manifest.serial) return x->manifest.serial > y->manifest.serial ? -1 : 1;
    return x->step > y->step ? -1 : x->step < y->step;
}

Status list_checkpoints(Arena *arena, const char *dir, Listed **list, size_t *count)
{
    Status st = OK;
    char **names;
    size_t n;
    *count = 0;
    TRY(dir_list(dir, arena, &names, &n));
    TRY_NEW(arena, *list, n);
    for (size_t i = 0; i < n; i++) {
        Listed *l = &(*list)[*count];
        char *path = path_join(arena, dir, names[i]);
        TRY_MEMORY(path);
        if (!name_step(names[i], "checkpoint-", &l->step) || !path_is_dir(path)) continue;
        l->name = names[i];
        l->damage = manifest_read(path, arena, &l->manifest);
        l->has_manifest = l->damage != STATUS_MISSING;
        if (l->damage == STATUS_MEMORY) TRY(l->damage);
        if (l->damage != OK) l->manifest = (Manifest){0};
        ++*count;
    }
    if (*count) qsort(*list, *count, sizeof **list, newest_first);
done:
    return st;
}

/* Also those set aside: a serial is never used twice. */
Status greatest_serial(Arena *arena, const char *dir, uint64_t *serial)
{
    Status st = OK;
    char **names;
    size_t n;
    Manifest m;
    TRY(dir_list(dir, arena, &names, &n));
    for (size_t i = 0; i < n; i++) {
        if (!strstr(names[i], "checkpoint-")) continue;
        char *path = path_join(arena, dir, names[i]);
        TRY_MEMORY(path);
        if (path_is_dir(path) && manifest_read(path, arena, &m) == OK && m.serial > *serial) *serial = m.serial;
    }
done:
    return st;
}

Status find_set_aside(Arena *arena, const char *dir, char **path)
{
    Status st = OK;
    char **names;
    size_t n;
    *path = NULL;
    TRY(dir_list(dir, arena, &names, &n));
    for (size_t i = 0; i < n; i++)
        if (strncmp(names[i], "corrupt-checkpoint-", 19) == 0) TRY_MEMORY(*path = path_join(arena, dir, names[i]));
done:
    return st;
}

/* "x.tmp-123": what file_replace of a dead process left. */
static bool is_beside(const char *name)
{
    const char *dot = strstr(name, ".tmp-");
    return dot && dot != name && dot[5] && strspn(dot + 5, "0123456789") == strlen(dot + 5);
}

/* ".replaced-checkpoint-N": a save of the same step was about to take its place. It did, or the old one goes back. */
static Status settle_replaced(Arena *arena, const char *dir, const char *name)
{
    Status st = OK;
    const char *plain = name + strlen(".replaced-");
    size_t length = strcspn(plain, "."); /* rename_aside may have numbered it */
    char *final = arena_printf(arena, "%s/%.*s", dir, (int)length, plain), *path = path_join(arena, dir, name);
    TRY_MEMORY(final);
    TRY_MEMORY(path);
    if (path_exists(final))
        st = trash(arena, dir, name);
    else
        st = file_rename(path, final);
done:
    return st;
}

Status remove_leftovers(Arena *arena, const char *dir)
{
    Status st = OK;
    char **names;
    size_t n, changed = 0;
    TRY(dir_list(dir, arena, &names, &n));
    for (size_t i = 0; i < n; i++) {
        char *path = path_join(arena, dir, names[i]);
        Status done = OK;
        TRY_MEMORY(path);
        if (strncmp(names[i], ".tmp-checkpoint-", 16) == 0 || strncmp(names[i], ".tmp-model-", 11) == 0 ||
            strncmp(names[i], ".trash-", 7) == 0)
            done = dir_remove(path);
        else if (is_beside(names[i]) && !path_is_dir(path))
            done = file_remove(path);
        else if (strncmp(names[i], ".replaced-checkpoint-", 21) == 0)
            done = settle_replaced(arena, dir, names[i]);
        else
            continue;
        if (done != OK) log_warning("a leftover of an earlier run stays: %s", status_message());
        changed++;
    }
    if (changed) TRY(dir_sync(dir));
done:
    return st;
}
