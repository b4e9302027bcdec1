/* From files into memory, by name. Optimizer states are put together from whatever pieces the files hold, so a
 * checkpoint of any number of ranks fills the ranges of any other. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "trainer/base/file.h"
#include "trainer/base/json.h"
#include "trainer/checkpoint/checkpoint_internal.h"
#include "trainer/checkpoint/safetensors_internal.h"

enum { LIST_BYTES = 12000 }; /* of a message: what is beyond is counted */

/* A list in a message. */
typedef struct Complaints {
    Text text;
    size_t count, left_out;
} Complaints;

static bool room(Complaints *c)
{
    c->count++;
    if (c->text.size < LIST_BYTES) return true;
    c->left_out++;
    return false;
}

static Status complain(Complaints *c, const char *where)
{
    Status st =
        status_raise(STATUS_FORMAT, "%s: %zu tensor%s do%s not fit:%s", where, c->count, c->count == 1 ? "" : "s",
                     c->count == 1 ? "es" : "", c->text.failed ? " (out of memory)" : c->text.data);
    if (c->left_out) {
        char more[64];
        snprintf(more, sizeof more, "; and %zu more", c->left_out);
        st = status_raise(st, "%s%s", status_message(), more);
    }
    return st;
}

static Status load_one(const NamedTensor *want, const TensorInfo *have, Complaints *c)
{
    char ours[192], theirs[192];
    if (!have) {
        if (room(c)) text_printf(&c->text, "\n  missing: %s %s", want->name, shape_text(want->shape, want->ndim, ours));
        return OK;
    }
    if (have->ndim != want->ndim || memcmp(have->shape, want->shape, (size_t)want->ndim * sizeof *want->shape) != 0) {
        if (room(c))
            text_printf(&c->text, "\n  wrong shape: %s is %s in %s, and the model needs %s", want->name,
                        shape_text(have->shape, have->ndim, theirs), safetensors_path(have->file),
                        shape_text(want->shape, want->ndim, ours));
        return OK;
    }
    if (!convertible(want->dtype, have->dtype)) {
        if (room(c)) text_printf(&c->text, "\n  wrong type: %s is %s", want->name, have->type);
        return OK;
    }
    return c->count ? OK : tensor_read(have, 0, have->numel, want->dtype, want->data);
}

static int by_text(const void *a, const void *b) { return strcmp(*(const char *const *)a, *(const char *const *)b); }

static Status find_unexpected(Arena *arena, const TensorStore *store, const NamedTensor *tensors, size_t count,
                              Complaints *c)
{
    Status st = OK;
    const char **names;
    TRY_NEW(arena, names, count);
    for (size_t i = 0; i < count; i++) names[i] = tensors[i].name;
    if (count) qsort(names, count, sizeof *names, by_text);
    for (size_t i = 0; i < tensor_store_count(store); i++) {
        const char *name = tensor_store_at(store, i)->name;
        if (count && bsearch(&name, names, count, sizeof *names, by_text)) continue;
        if (room(c)) text_printf(&c->text, "\n  unexpected: %.200s", name);
    }
done:
    return st;
}

Status checkpoint_load_tensors(const char *path, const char *base, const NamedTensor *tensors, size_t count,
                               bool strict)
{
    Status st = OK;
    TensorStore *store = NULL;
    Arena *arena = NULL;
    Complaints c = {0};
    TRY(arena_new(&arena));
    TRY(base && path_is_dir(path) ? tensor_store_open_named(path, base, &store) : tensor_store_open(path, &store));
    for (size_t i = 0; i < count; i++) TRY(load_one(&tensors[i], tensor_store_find(store, tensors[i].name), &c));
    if (strict) TRY(find_unexpected(arena, store, tensors, count, &c));
    if (c.count) st = complain(&c, path);
done:
    tensor_store_close(store);
    arena_free(arena);
    text_free(&c.text);
    return st;
}

/* ---- the optimizer's state ---- */
/* Elements [first, first + count) of "parameter.state", wherever they are. */
typedef struct Part {
    const char *name; /* without "@first" */
    int64_t first;
    const TensorInfo *tensor;
} Part;

static int by_part(const void *a, const void *b)
{
    const Part *x = a, *y = b;
    int order = strcmp(x->name, y->name);
    return order ? order : x->first < y->first ? -1 : x->first > y->first;
}

static Status part_of(Arena *arena, const TensorInfo *t, Part *out)
{
    const char *at = strrchr(t->name, '@');
    *out = (Part){.name = t->name, .tensor = t};
    if (at && name_step(at, "@", &out->first)) out->name = arena_strndup(arena, t->name, (size_t)(at - t->name));
    return out->name ? OK : STATUS_MEMORY;
}

typedef struct OptimizerFiles {
    Safetensors **files;
    size_t file_count;
    Part *parts; /* sorted */
    size_t part_count;
} OptimizerFiles;

static Status open_files(Arena *arena, const char *dir, OptimizerFiles *o)
{
    Status st = OK;
    char **names;
    size_t n;
    TRY(dir_list(dir, arena, &names, &n));
    TRY_NEW(arena, o->files, n);
    for (size_t i = 0; i < n; i++) {
        size_t length = strlen(names[i]);
        if (strncmp(names[i], "optimizer", 9) != 0 || length < 12 ||
            strcmp(names[i] + length - 12, ".safetensors") != 0)
            continue;
        char *path = path_join(arena, dir, names[i]);
        TRY_MEMORY(path);
        TRY(safetensors_open(path, &o->files[o->file_count]));
        o->part_count += safetensors_count(o->files[o->file_count++]);
    }
    if (!o->file_count)
        RAISE(MISSING,
              "%s: has no optimizer*.safetensors: it was saved with save_only_model, and only its weights can be used",
              dir);
    TRY_NEW(arena, o->parts, o->part_count);
    for (size_t f = 0, p = 0; f < o->file_count; f++)
        for (size_t i = 0; i < safetensors_count(o->files[f]); i++)
            TRY(part_of(arena, safetensors_at(o->files[f], i), &o->parts[p++]));
    if (o->part_count) qsort(o->parts, o->part_count, sizeof *o->parts, by_part);
done:
    return st;
}

static size_t first_part(const OptimizerFiles *o, const char *name)
{
    size_t low = 0, high = o->part_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (strcmp(o->parts[middle].name, name) >= 0)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

static Status load_piece(const OptimizerFiles *o, const Piece *piece, const char *name, Complaints *c)
{
    Status st = OK;
    int64_t at = piece->first, end = piece->first + piece->count;
    for (size_t i = first_part(o, name); i < o->part_count && strcmp(o->parts[i].name, name) == 0 && at < end; i++) {
        const TensorInfo *t = o->parts[i].tensor;
        int64_t first = o->parts[i].first, last = first + t->numel;
        if (first > piece->parameter->numel || t->numel > piece->parameter->numel - first) {
            if (room(c)) text_printf(&c->text, "\n  too large: %s in %s", t->name, safetensors_path(t->file));
            goto done;
        }
        if (last <= at) continue;
        if (first > at) break;
        int64_t n = (last < end ? last : end) - at;
        if (!c->count) TRY(tensor_read(t, at - first, n, DTYPE_F32, piece->data + (at - piece->first)));
        at += n;
    }
    if (at < end && room(c)) text_printf(&c->text, "\n  missing: %s, elements %" PRId64 " to %" PRId64, name, at, end);
done:
    return st;
}

static Status copy_metadata(Arena *arena, const Safetensors *s, MetadataPair **pairs, size_t *count)
{
    Status st = OK;
    const char *key, *value;
    size_t n = 0;
    while (safetensors_metadata_at(s, n, &key, &value)) n++;
    TRY_NEW(arena, *pairs, n);
    for (size_t i = 0; i < n; i++) {
        safetensors_metadata_at(s, i, &key, &value);
        (*pairs)[i].key = arena_strdup(arena, key);
        (*pairs)[i].value = arena_strdup(arena, value);
        TRY_MEMORY((*pairs)[i].key);
        TRY_MEMORY((*pairs)[i].value);
    }
    *count = n;
done:
    return st;
}

Status checkpoint_load_optimizer(const char *dir, const OptimizerPiece *own, Arena *arena, MetadataPair **metadata,
                                 size_t *metadata_count)
{
    Status st = OK;
    Arena *scratch = NULL;
    OptimizerFiles o = {0};
    Complaints c = {0};
    Piece *pieces;
    size_t count;
    TRY(arena_new(&scratch));
    TRY(open_files(scratch, dir, &o));
    TRY(pieces_of(scratch, own, &pieces, &count));
    for (size_t i = 0; i < count; i++) {
        char *name = arena_printf(scratch, "%s.%s", pieces[i].parameter->name, pieces[i].state->name);
        TRY_MEMORY(name);
        TRY(load_piece(&o, &pieces[i], name, &c));
    }
    if (c.count) {
        st = complain(&c, dir);
        goto done;
    }
    if (metadata) TRY(copy_metadata(arena, o.files[0], metadata, metadata_count));
done:
    for (size_t i = 0; i < o.file_count; i++) safetensors_close(o.files[i]);
    text_free(&c.text);
    arena_free(scratch);
    return st;
}
