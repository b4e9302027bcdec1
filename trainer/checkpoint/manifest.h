/* MANIFEST.json, the last file of a checkpoint: what belongs to it, with sizes and hashes.
 *
 *     {"version": 1, "run_id": "…", "serial": 7, "step": 500, "world_size": 2,
 *      "files": {"config.json": {"size": 816, "xxh3_64": "0123456789abcdef"}, …}, "check": "…"}
 *
 * "check" is the XXH3-64 of the manifest's own text with sixteen zeros in its place, so that a flipped bit in a step or
 * serial does not go unseen. It comes before everything else, the version too: it is the same in all versions. */
#ifndef HONE_CHECKPOINT_MANIFEST_H
#define HONE_CHECKPOINT_MANIFEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "trainer/base/arena.h"
#include "trainer/base/json.h"
#include "trainer/base/status.h"

typedef struct ManifestFile {
    const char *name;
    uint64_t size, hash;
} ManifestFile;

typedef struct Manifest {
    char run_id[33];
    uint64_t serial;
    int64_t step;
    int world_size;
    ManifestFile *files; /* sorted by name when read */
    size_t count;
} Manifest;

#define MANIFEST_NAME "MANIFEST.json"

/* Sorts files by name and writes dir/MANIFEST.json, synced. */
Status manifest_write(const char *dir, Manifest *m);
/* Names are in arena. STATUS_MISSING: there is none; STATUS_FORMAT: it is damaged. */
Status manifest_read(const char *dir, Arena *arena, Manifest *out);
/* Every file is there with its size and hash; the message names the first that is not. */
Status manifest_verify(const char *dir, const Manifest *m);
bool manifest_has_optimizer(const Manifest *m);

/* "name": {"size": …, "xxh3_64": "…"} lists, shared with the notes that ranks leave for rank 0. */
void manifest_add_files(Text *t, const ManifestFile *files, size_t count);
Status manifest_read_files(const cJSON *object, const char *where, Arena *arena, ManifestFile **files, size_t *count);

#endif
