/* Writing, reading and checking MANIFEST.json. Its layout is in the header. */
#include "trainer/checkpoint/manifest.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "trainer/base/file.h"

enum { VERSION = 1, CHECK_DIGITS = 16, READ_BYTES = 1 << 20 };
static const size_t LARGEST = (size_t)64 << 20;
static const char check_key[] = "  \"check\": \"", zeros[] = "0000000000000000", ending[] = "\"\n}\n";

static int by_name(const void *a, const void *b)
{
    return strcmp(((const ManifestFile *)a)->name, ((const ManifestFile *)b)->name);
}

void manifest_add_files(Text *t, const ManifestFile *files, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        text_printf(t, "%s\n    ", i ? "," : "");
        json_add_string(t, files[i].name, strlen(files[i].name));
        text_printf(t, ": {\"size\": %" PRIu64 ", \"xxh3_64\": \"%016" PRIx64 "\"}", files[i].size, files[i].hash);
    }
}

Status manifest_write(const char *dir, Manifest *m)
{
    Status st = OK;
    Arena *arena = NULL;
    File *f = NULL;
    Text t = {0};
    char *path, check[CHECK_DIGITS + 1];
    TRY(arena_new(&arena));
    path = path_join(arena, dir, MANIFEST_NAME);
    TRY_MEMORY(path);
    if (m->count) qsort(m->files, m->count, sizeof *m->files, by_name);
    text_printf(&t,
                "{\n  \"version\": %d,\n  \"run_id\": \"%s\",\n  \"serial\": %" PRIu64 ",\n  \"step\": %" PRId64
                ",\n  \"world_size\": %d,\n  \"files\": {",
                VERSION, m->run_id, m->serial, m->step, m->world_size);
    manifest_add_files(&t, m->files, m->count);
    text_printf(&t, "\n  },\n%s%s%s", check_key, zeros, ending);
    if (t.failed) RAISE(MEMORY, "%s: out of memory", path);
    snprintf(check, sizeof check, "%016" PRIx64, (uint64_t)XXH3_64bits(t.data, t.size));
    memcpy(t.data + t.size - strlen(ending) - CHECK_DIGITS, check, CHECK_DIGITS);
    TRY(file_create(path, &f));
    TRY(file_write(f, t.data, t.size));
    TRY(file_sync(f));
    st = file_close(f);
    f = NULL;
done:
    file_close(f);
    text_free(&t);
    arena_free(arena);
    return st;
}

/* The text hashes to the check in it. */
static bool check_holds(char *text, size_t size)
{
    size_t tail = CHECK_DIGITS + strlen(ending);
    char was[CHECK_DIGITS + 1], now[CHECK_DIGITS + 1];
    if (size < tail || strcmp(text + size - strlen(ending), ending) != 0) return false;
    char *check = text + size - tail;
    memcpy(was, check, CHECK_DIGITS);
    memcpy(check, zeros, CHECK_DIGITS);
    snprintf(now, sizeof now, "%016" PRIx64, (uint64_t)XXH3_64bits(text, size));
    memcpy(check, was, CHECK_DIGITS);
    return memcmp(was, now, CHECK_DIGITS) == 0;
}

static bool parse_hash(const char *text, uint64_t *out)
{
    char *end;
    if (!text || strlen(text) != 16 || strspn(text, "0123456789abcdef") != 16) return false;
    *out = strtoull(text, &end, 16);
    return true;
}

Status manifest_read_files(const cJSON *object, const char *where, Arena *arena, ManifestFile **files, size_t *count)
{
    Status st = OK;
    const cJSON *item;
    size_t n = 0;
    if (!cJSON_IsObject(object)) RAISE(FORMAT, "%s: has no list of files", where);
    cJSON_ArrayForEach(item, object) n++;
    TRY_NEW(arena, *files, n);
    *count = n;
    ManifestFile *f = *files;
    cJSON_ArrayForEach(item, object)
    {
        int64_t size;
        const char *hash;
        if (!item->string[0] || item->string[0] == '.' || strchr(item->string, '/'))
            RAISE(FORMAT, "%s: \"%.200s\" is not the name of a file in its directory", where, item->string);
        f->name = arena_strdup(arena, item->string);
        TRY_MEMORY(f->name);
        TRY(json_int(item, where, "size", &size));
        TRY(json_string(item, where, "xxh3_64", &hash));
        if (size < 0 || !parse_hash(hash, &f->hash)) RAISE(FORMAT, "%s: %s: not a size and a hash", where, f->name);
        f->size = (uint64_t)size;
        f++;
    }
    if (n) qsort(*files, n, sizeof **files, by_name);
done:
    return st;
}

static Status read_fields(const cJSON *root, const char *path, Manifest *out)
{
    Status st = OK;
    const char *run_id;
    int64_t version, serial, world_size;
    TRY(json_int(root, path, "version", &version));
    if (version != VERSION) RAISE(UNSUPPORTED, "%s: version %" PRId64 " was written by a newer hone", path, version);
    TRY(json_string(root, path, "run_id", &run_id));
    TRY(json_int(root, path, "serial", &serial));
    TRY(json_int(root, path, "step", &out->step));
    TRY(json_int(root, path, "world_size", &world_size));
    if (strlen(run_id) != 32 || strspn(run_id, "0123456789abcdef") != 32 || serial < 0 || out->step < 0 ||
        world_size < 1 || world_size > 1 << 20)
        RAISE(FORMAT, "%s: a value is out of range", path);
    memcpy(out->run_id, run_id, sizeof out->run_id);
    out->serial = (uint64_t)serial;
    out->world_size = (int)world_size;
done:
    return st;
}

Status manifest_read(const char *dir, Arena *arena, Manifest *out)
{
    Status st = OK;
    char *path, *text;
    size_t size;
    cJSON *root = NULL;
    *out = (Manifest){0};
    path = path_join(arena, dir, MANIFEST_NAME);
    TRY_MEMORY(path);
    TRY(file_read_all(path, arena, LARGEST, &text, &size));
    TRY(json_parse(text, size, path, &root));
    if (!check_holds(text, size)) RAISE(FORMAT, "%s: does not match its own check: it was damaged or edited", path);
    TRY(read_fields(root, path, out));
    TRY(manifest_read_files(cJSON_GetObjectItemCaseSensitive(root, "files"), path, arena, &out->files, &out->count));
done:
    if (st == STATUS_MISSING && path && path_exists(path)) st = STATUS_FORMAT; /* a key was missing, not the file */
    cJSON_Delete(root);
    return st;
}

static Status hash_file(const char *path, uint64_t *size, uint64_t *hash)
{
    Status st = OK;
    File *f = NULL;
    size_t got;
    XXH3_state_t *state = XXH3_createState();
    unsigned char *part = malloc(READ_BYTES);
    if (!state || !part) RAISE(MEMORY, "%s: out of memory", path);
    XXH3_64bits_reset(state);
    TRY(file_open(path, &f));
    *size = 0;
    do {
        TRY(file_read_some(f, part, READ_BYTES, &got));
        XXH3_64bits_update(state, part, got);
        *size += got;
    } while (got);
    *hash = XXH3_64bits_digest(state);
done:
    file_close(f);
    free(part);
    XXH3_freeState(state);
    return st;
}

Status manifest_verify(const char *dir, const Manifest *m)
{
    Status st = OK;
    Arena *arena = NULL;
    File *f = NULL;
    uint64_t size = 0, hash = 0;
    TRY(arena_new(&arena));
    for (size_t i = 0; i < 2 * m->count; i++) { /* first all sizes, which cost nothing, then the hashes */
        const ManifestFile *file = &m->files[i % m->count];
        char *path = path_join(arena, dir, file->name);
        TRY_MEMORY(path);
        if (i < m->count) {
            TRY(file_open(path, &f));
            size = file_bytes(f);
            file_close(f);
            f = NULL;
            hash = file->hash;
        } else {
            TRY(hash_file(path, &size, &hash));
        }
        if (size != file->size)
            RAISE(FORMAT, "%s: has %" PRIu64 " bytes, and its manifest says %" PRIu64, path, size, file->size);
        if (hash != file->hash) RAISE(FORMAT, "%s: its content does not match its hash", path);
    }
done:
    file_close(f);
    arena_free(arena);
    return st;
}

bool manifest_has_optimizer(const Manifest *m)
{
    for (size_t i = 0; i < m->count; i++)
        if (strncmp(m->files[i].name, "optimizer", 9) == 0) return true;
    return false;
}
