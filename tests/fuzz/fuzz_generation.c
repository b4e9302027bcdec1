/* links: generate */
/* Any bytes as a generation_config.json, as the config.json of a directory without one, and its lines as options
 * (key=value), are refused with a line or give settings within the ranges of their table. */
#include <math.h>
#include <sys/stat.h>

#include "tests/fuzz/fuzz.h"
#include "trainer/base/file.h"
#include "trainer/generate/generation_config.h"

static char dir[64];

static void write_file(const char *name, const void *data, size_t size)
{
    char path[96];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *f = fopen(path, "wb");
    FUZZ_CHECK(f && fwrite(data, 1, size, f) == size && fclose(f) == 0);
}

static void check_number(const GenerationKey *key, double x)
{
    FUZZ_CHECK(x == key->off || (isfinite(x) && x <= key->most && (key->above ? x > key->least : x >= key->least)));
}

static void check_ids(const IdList *list)
{
    FUZZ_CHECK(list->count >= 0);
    for (int32_t i = 0; i < list->count; i++) FUZZ_CHECK(list->ids[i] >= 0);
}

static void check_biases(const BiasList *list)
{
    FUZZ_CHECK(list->count >= 0);
    for (int32_t i = 0; i < list->count; i++) {
        FUZZ_CHECK(list->items[i].sequence.count > 0 && !isnan(list->items[i].bias));
        check_ids(&list->items[i].sequence);
    }
}

static void check_strings(const StringList *list)
{
    FUZZ_CHECK(list->count >= 0);
    for (int32_t i = 0; i < list->count; i++) FUZZ_CHECK(*list->strings[i]);
}

static void check(const GenerationConfig *c)
{
    int count;
    const GenerationKey *keys = generation_keys(&count);
    for (int i = 0; i < count; i++) {
        const void *at = (const char *)c + keys[i].offset;
        if (keys[i].type == GENERATION_INT) check_number(&keys[i], (double)*(const int64_t *)at);
        if (keys[i].type == GENERATION_REAL) check_number(&keys[i], *(const double *)at);
        if (keys[i].type == GENERATION_IDS) check_ids(at);
        if (keys[i].type == GENERATION_SEQUENCES || keys[i].type == GENERATION_BIASES) check_biases(at);
        if (keys[i].type == GENERATION_STRINGS) check_strings(at);
        if (keys[i].type == GENERATION_DECAY) FUZZ_CHECK(c->decay_start >= -1 && isfinite(c->decay_factor));
    }
}

static void resolve(const cJSON *call, const cJSON *model)
{
    GenerationConfig c;
    Arena *arena;
    FUZZ_CHECK(arena_new(&arena) == OK);
    for (GenerationDefaults defaults = DEFAULTS_LIBRARY; defaults <= DEFAULTS_CHAT; defaults++) {
        if (generation_config_resolve(call, model, "generation_config.json", defaults, arena, &c) == OK) check(&c);
        else FUZZ_CHECK(*status_message());
    }
    arena_free(arena);
}

static void read_model(const cJSON *call)
{
    cJSON *model = NULL;
    if (generation_settings_read(dir, NULL, &model) != OK) {
        FUZZ_CHECK(*status_message() && !model);
        return;
    }
    FUZZ_CHECK(cJSON_IsObject(model));
    resolve(NULL, model);
    resolve(call, model);
    cJSON_Delete(model);
}

/* What the lines say, as far as it is taken. */
static cJSON *options_of(const uint8_t *data, size_t size)
{
    cJSON *call = cJSON_CreateObject();
    char *text = malloc(size + 1);
    FUZZ_CHECK(call && text);
    if (size) memcpy(text, data, size);
    text[size] = '\0';
    for (char *line = text, *next; line; line = next) {
        if ((next = strchr(line, '\n'))) *next++ = '\0';
        char *equals = strchr(line, '=');
        if (!equals) continue;
        *equals = '\0';
        if (generation_settings_put(call, line, equals + 1) != OK) FUZZ_CHECK(*status_message());
        else FUZZ_CHECK(cJSON_GetObjectItemCaseSensitive(call, line));
    }
    free(text);
    return call;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cJSON *call = options_of(data, size);
    resolve(call, NULL);
    snprintf(dir, sizeof dir, "%s/hone-fuzz-generation-%ld", fuzz_tmp(), (long)getpid());
    mkdir(dir, 0700);
    write_file("config.json", data, size);
    read_model(call);
    write_file("config.json", "{\"eos_token_id\": [1, 2]}", 23);
    write_file("generation_config.json", data, size);
    read_model(call);
    cJSON_Delete(call);
    FUZZ_CHECK(dir_remove(dir) == OK);
    return 0;
}
