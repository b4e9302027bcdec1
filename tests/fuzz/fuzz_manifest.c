/* links: checkpoint */
/* Any bytes as MANIFEST.json, as they are and with the right check at their end, are refused with a line or read; what
 * is read is written and read as the same. */
#include <sys/stat.h>
#include <xxhash.h>

#include "tests/fuzz/fuzz.h"
#include "trainer/base/file.h"
#include "trainer/checkpoint/manifest.h"

static char dir[64];

static void write_manifest(const void *data, size_t size)
{
    char path[96];
    snprintf(path, sizeof path, "%s/" MANIFEST_NAME, dir);
    FILE *f = fopen(path, "wb");
    FUZZ_CHECK(f && fwrite(data, 1, size, f) == size && fclose(f) == 0);
}

static void read_manifest(void)
{
    Arena *arena;
    Manifest m, again;
    FUZZ_CHECK(arena_new(&arena) == OK);
    if (manifest_read(dir, arena, &m) != OK) {
        FUZZ_CHECK(*status_message());
    } else {
        manifest_has_optimizer(&m);
        FUZZ_CHECK(manifest_verify(dir, &m) == OK || *status_message());
        FUZZ_CHECK(manifest_write(dir, &m) == OK && manifest_read(dir, arena, &again) == OK);
        FUZZ_CHECK(m.serial == again.serial && m.step == again.step && m.world_size == again.world_size);
        FUZZ_CHECK(m.count == again.count && !strcmp(m.run_id, again.run_id));
        for (size_t i = 0; i < m.count; i++) {
            const ManifestFile *a = &m.files[i], *b = &again.files[i];
            FUZZ_CHECK(!strcmp(a->name, b->name) && a->size == b->size && a->hash == b->hash);
        }
    }
    arena_free(arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char middle[] = "  \"check\": \"", end[] = "\"\n}\n";
    snprintf(dir, sizeof dir, "%s/hone-fuzz-manifest-%ld", fuzz_tmp(), (long)getpid());
    mkdir(dir, 0700);
    write_manifest(data, size);
    read_manifest();
    Text t = {0};
    size_t cut = size;
    for (size_t i = 0; i + sizeof middle <= size; i++)
        if (!memcmp(data + i, middle, sizeof middle - 1)) cut = i;
    text_add(&t, (const char *)data, cut);
    text_printf(&t, "%s0000000000000000%s", middle, end);
    char check[17];
    snprintf(check, sizeof check, "%016llx", (unsigned long long)XXH3_64bits(t.data, t.size));
    memcpy(t.data + t.size - strlen(end) - 16, check, 16);
    write_manifest(t.data, t.size);
    read_manifest();
    text_free(&t);
    FUZZ_CHECK(dir_remove(dir) == OK);
    return 0;
}
