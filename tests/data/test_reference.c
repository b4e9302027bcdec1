/* What the reference makes of the fixtures' data: rows (readers.json), blocks and the order of every curve. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/data/sha256.h"
#include "trainer/base/file.h"
#include "trainer/base/json.h"
#include "trainer/base/log.h"
#include "trainer/data/preprocess_clm.h"
#include "trainer/data/readers.h"
#include "trainer/data/sampler.h"
#include "trainer/data/token_cache.h"

static char dir[] = "/tmp/hone_reference_XXXXXX";

static int set_up(void **state)
{
    (void)state;
    log_set(LOG_ERROR, 0);
    return mkdtemp(dir) ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    return dir_remove(dir) == OK ? 0 : -1;
}

static cJSON *read_json(const char *path)
{
    cJSON *root = NULL;
    const Status st = json_read_file(path, &root);
    if (st != OK) fail_msg("%s", status_message());
    return root;
}

static size_t from_hex(const char *hex, char *out)
{
    size_t n = 0;
    for (; hex[0]; hex += 2) {
        unsigned byte;
        assert_int_equal(sscanf(hex, "%2x", &byte), 1);
        out[n++] = (char)byte;
    }
    return n;
}

static const char *text_of(const cJSON *object, const char *key)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);
    return cJSON_IsString(item) ? item->valuestring : "";
}

/* What pandas calls null; hone reads it as the text that it is (see the head of read_csv.c). */
static bool is_pandas_null(const char *text)
{
    static const char *const nulls[] = {"", "NA", "null", "None", "nan", "N/A", "NaN", "n/a", "NULL"};
    for (size_t i = 0; i < sizeof nulls / sizeof nulls[0]; i++)
        if (strcmp(text, nulls[i]) == 0) return true;
    return false;
}

static void compare_rows(const cJSON *c, const char *path, bool keep, const char *bytes, size_t size)
{
    const cJSON *rows = cJSON_GetObjectItemCaseSensitive(c, "rows"), *expected = rows ? rows->child : NULL;
    const RowsConfig config = {.paths = &path, .num_paths = 1, .keep_linebreaks = keep};
    const bool csv = strstr(path, ".csv") != NULL, json = strstr(path, ".json") != NULL;
    char column[64] = "", want[512];
    const Row *row;
    Rows *r;
    Status st;
    int seen = 0;
    assert_int_equal(rows_open(&config, &r), OK);
    while ((st = rows_next(r, &row)) == OK && row) {
        seen++;
        if (!rows) continue;
        if (!column[0]) snprintf(column, sizeof column, "%s", row_find(row, "text") ? "text" : row->fields[0].name);
        const Field *f = row_find(row, column);
        if (!expected) fail_msg("more rows than the reference: %s", text_of(c, "hex"));
        if (cJSON_IsNull(expected)) {
            if (csv) assert_true(!f || is_pandas_null(f->text));
            else assert_true(!f || f->type == FIELD_NULL);
        } else {
            size_t n = from_hex(expected->valuestring, want);
            assert_non_null(f);
            assert_int_equal(f->type, FIELD_STRING);
            assert_int_equal(f->bytes, n);
            assert_memory_equal(f->text, want, n);
        }
        expected = expected->next;
    }
    rows_close(r);
    if (rows) {
        /* The one text that the reference takes and hone does not: NUL in JSON (base/json.h). */
        if (json && memmem(bytes, size, "\\u0000", 6)) assert_int_equal(st, STATUS_FORMAT);
        else if (st != OK) fail_msg("%s: %s", text_of(c, "hex"), status_message());
        else assert_null(expected);
    } else if (cJSON_GetObjectItemCaseSensitive(c, "error") && st == OK) {
        /* A file without rows, or with a row without columns, is an error there; here, of the preprocessing. */
        if (seen && strcmp(bytes, "{}\n") != 0) fail_msg("%s: read without error", text_of(c, "hex"));
    }
}

static void rows_are_the_reference_s(void **state)
{
    (void)state;
    cJSON *root = read_json(FIXTURES "/data/readers.json");
    const cJSON *c;
    int count = 0;
    cJSON_ArrayForEach(c, root) {
        char path[128], bytes[4096];
        const char *format = text_of(c, "format");
        const bool text = strncmp(format, "text", 4) == 0;
        const size_t size = from_hex(text_of(c, "hex"), bytes);
        File *f;
        bytes[size] = '\0';
        snprintf(path, sizeof path, "%s/file.%s", dir, text ? "txt" : strcmp(format, "json") == 0 ? "jsonl" : "csv");
        assert_int_equal(file_create(path, &f), OK);
        assert_int_equal(file_write(f, bytes, size), OK);
        assert_int_equal(file_close(f), OK);
        compare_rows(c, path, strcmp(format, "text") == 0, bytes, size);
        count++;
    }
    assert_true(count > 60);
    cJSON_Delete(root);
}

/* "key: value" of a run.yaml, which is flat. */
static const char *setting(const char *yaml, const char *key, const char *fallback)
{
    static char values[8][256];
    static int next;
    char *value = values[next++ % 8];
    const size_t length = strlen(key);
    for (const char *line = yaml; line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL)
        if (strncmp(line, key, length) == 0 && line[length] == ':') {
            const char *from = line + length + 1 + (line[length + 1] == ' ');
            snprintf(value, 256, "%.*s", (int)strcspn(from, "\n"), from);
            return value;
        }
    return fallback;
}

/* A path of the repository's root. */
static const char *rooted(const char *path, char *out, size_t size)
{
    snprintf(out, size, "%s/../../%s", FIXTURES, path);
    return out;
}

static void compare_blocks(const cJSON *expected, const Dataset *d, int64_t block_size, const char *name)
{
    const int64_t count = dataset_count(d);
    const int column = dataset_column(d, "input_ids");
    char hex[65];
    assert_true(column >= 0);
    if (count != cJSON_GetObjectItem(expected, "blocks")->valueint)
        fail_msg("%s: %lld blocks", name, (long long)count);
    for (int64_t i = 0; i < count; i++) {
        assert_int_equal(dataset_length(d, column, i), block_size);
        assert_ptr_equal(dataset_get(d, column, i).data, dataset_get(d, column, 0).data + i * block_size);
    }
    sha256_hex(dataset_get(d, column, 0).data, (size_t)(count * block_size) * 4, hex);
    if (strcmp(hex, text_of(expected, "sha256")) != 0) fail_msg("%s: other blocks than the reference's", name);
}

static void compare_order(const cJSON *root, const char *yaml, int64_t n, const char *name)
{
    const cJSON *batches = cJSON_GetObjectItem(root, "batches"), *rank_batches;
    const int world = cJSON_GetObjectItem(root, "ranks")->valueint;
    SamplerConfig c = {.n = n, .world = world, .even_batches = true};
    c.batch = atoi(setting(yaml, "per_device_train_batch_size", "8"));
    c.accumulation = atoi(setting(yaml, "gradient_accumulation_steps", "1"));
    c.drop_last = strcmp(setting(yaml, "dataloader_drop_last", "false"), "true") == 0;
    c.seed = strtoull(setting(yaml, "data_seed", setting(yaml, "seed", "42")), NULL, 10);
    assert_int_equal(sampler_micro_per_epoch(&c), cJSON_GetObjectItem(root, "micro_batches_per_epoch")->valueint);
    assert_int_equal(sampler_updates_per_epoch(&c), cJSON_GetObjectItem(root, "updates_per_epoch")->valueint);
    const int64_t steps = sampler_total_updates(&c, atof(setting(yaml, "num_train_epochs", "3")),
                                                atoi(setting(yaml, "max_steps", "-1")), NULL);
    assert_int_equal(steps, cJSON_GetObjectItem(root, "max_steps")->valueint);
    Sampler *s;
    int rank = 0;
    assert_int_equal(sampler_new(&c, &s), OK);
    cJSON_ArrayForEach(rank_batches, batches) {
        /* Of one rank the list is of batches; of several, it is a list for each. */
        const cJSON *batch = rank_batches->child;
        for (int64_t u = 0; u < steps; u++) {
            UpdatePlan p;
            assert_int_equal(sampler_update(s, u, rank, &p), OK);
            for (int i = 0; i < p.count && batch; i++, batch = batch->next) {
                const cJSON *index = batch->child;
                for (int b = 0; b < p.micro[i].count; b++, index = index->next) {
                    if (!index) fail_msg("%s: update %lld is longer than the reference's", name, (long long)u);
                    if (index->valueint != p.micro[i].index[b]) fail_msg("%s: update %lld differs", name, (long long)u);
                }
                if (index) fail_msg("%s: update %lld is shorter than the reference's", name, (long long)u);
            }
        }
        assert_null(batch);
        rank++;
    }
    assert_int_equal(rank, world);
    sampler_free(s);
}

static void open_split(const char *yaml, const cJSON *root, bool validation, Dataset **out)
{
    char file[512], model[512], cache[128];
    const char *given = setting(yaml, "validation_file", NULL), *path = setting(yaml, "train_file", "");
    const cJSON *split = cJSON_GetObjectItem(root, validation ? "validation" : "train");
    Tokenizer *tokenizer;
    if (validation && given) path = given;
    rooted(path, file, sizeof file);
    rooted(setting(yaml, "model_name_or_path", ""), model, sizeof model);
    snprintf(cache, sizeof cache, "%s/cache", dir);
    path = file;
    if (tokenizer_load(model, &tokenizer) != OK) fail_msg("%s", status_message());
    const ClmSource source = {
        .name = validation ? "validation" : "train", .paths = &path, .num_paths = 1,
        .keep_linebreaks = strcmp(setting(yaml, "keep_linebreaks", "true"), "true") == 0,
        .part = given ? SPLIT_ALL : validation ? SPLIT_HEAD : SPLIT_TAIL,
        .percent = atoi(setting(yaml, "validation_split_percentage", "5")), .tokenizer = tokenizer,
        .tokenizer_dir = model,
        .block_size = cJSON_GetObjectItem(root, "block_size")->valueint, .cache_dir = cache, .threads = 2};
    if (dataset_open_clm(&source, out) != OK) fail_msg("%s", status_message());
    tokenizer_free(tokenizer);
    const CacheNotes *notes = dataset_notes(*out);
    const cJSON *rows = cJSON_GetObjectItem(root, "rows"), *tokens = cJSON_GetObjectItem(root, "tokens");
    assert_int_equal(notes->rows, cJSON_GetObjectItem(rows, source.name)->valueint);
    assert_int_equal(notes->tokens, cJSON_GetObjectItem(tokens, source.name)->valueint);
    dataset_select(*out, atoi(setting(yaml, validation ? "max_eval_samples" : "max_train_samples", "-1")));
    compare_blocks(split, *out, source.block_size, source.name);
}

static void blocks_and_order_of_every_curve_are_the_reference_s(void **state)
{
    (void)state;
    Arena *arena;
    char **names;
    size_t count, seen = 0;
    assert_int_equal(arena_new(&arena), OK);
    assert_int_equal(dir_list(FIXTURES "/curves", arena, &names, &count), OK);
    for (size_t i = 0; i < count; i++) {
        char *yaml, *path = arena_printf(arena, "%s/curves/%s/run.yaml", FIXTURES, names[i]);
        Dataset *train = NULL, *validation = NULL;
        if (!path_exists(path) || strncmp(names[i], "sft_", 4) == 0) continue; /* those: test_preprocess_sft.c */
        assert_int_equal(file_read_all(path, arena, 1 << 20, &yaml, NULL), OK);
        cJSON *root = read_json(arena_printf(arena, "%s/curves/%s/expected_blocks.json", FIXTURES, names[i]));
        open_split(yaml, root, false, &train);
        if (cJSON_GetObjectItem(root, "validation")) open_split(yaml, root, true, &validation);
        compare_order(root, yaml, dataset_count(train), names[i]);
        dataset_free(train);
        dataset_free(validation);
        cJSON_Delete(root);
        seen++;
    }
    assert_true(seen >= 8);
    arena_free(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_are_the_reference_s),
        cmocka_unit_test(blocks_and_order_of_every_curve_are_the_reference_s),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
