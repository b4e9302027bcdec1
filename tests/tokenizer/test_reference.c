/* Tricky texts through small tokenizers of every kind: ids, offsets and decoded text equal what the tokenizers library
 * gave (tests/fixtures/tokenizer, made by scripts/reference/tokenizer_fixtures.py). */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "trainer/tokenizer/tokenizer.h"

#define ROOM FIXTURES "/tokenizer/"

static Tokenizer *load(const char *name)
{
    char path[512];
    Tokenizer *t;
    snprintf(path, sizeof path, ROOM "%s", name);
    if (tokenizer_load(path, &t)) fail_msg("%s", status_message());
    return t;
}

static cJSON *read_json(const char *name, const char *file)
{
    char path[512];
    cJSON *json;
    snprintf(path, sizeof path, ROOM "%s%s%s", name, *name ? "/" : "", file);
    if (json_read_file(path, &json)) fail_msg("%s", status_message());
    return json;
}

static const char *text_of(const cJSON *object, const char *key)
{
    return cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, key));
}

static void assert_ids(const char *name, const char *text, const Encoding *e, const cJSON *wanted)
{
    const cJSON *item;
    int64_t i = 0;
    cJSON_ArrayForEach (item, wanted) {
        if (i < e->count && e->ids[i] != item->valueint)
            fail_msg("%s: \"%s\": token %" PRId64 " is %d, the library has %d", name, text, i, e->ids[i],
                     item->valueint);
        i++;
    }
    if (i != e->count) fail_msg("%s: \"%s\": %" PRId64 " tokens, the library has %" PRId64, name, text, e->count, i);
}

static void assert_offsets(const char *name, const char *text, const Encoding *e, const cJSON *wanted)
{
    const cJSON *item;
    int64_t i = 0;
    cJSON_ArrayForEach (item, wanted) {
        if (i < 2 * e->count && e->offsets[i / 2][i % 2] != item->valueint)
            fail_msg("%s: \"%s\": token %" PRId64 " %s at %" PRId64 ", in the library at %d", name, text, i / 2,
                     i % 2 ? "ends" : "begins", e->offsets[i / 2][i % 2], item->valueint);
        i++;
    }
    if (i != 2 * e->count)
        fail_msg("%s: \"%s\": %" PRId64 " tokens, the library has %" PRId64, name, text, e->count, i / 2);
}

static void encode(const Tokenizer *t, const char *text, unsigned flags, Encoding *e)
{
    if (tokenizer_encode(t, text, strlen(text), flags, e)) fail_msg("\"%s\": %s", text, status_message());
}

static void assert_decoded(const char *name, const Tokenizer *t, const Encoding *e, bool skip, const char *wanted)
{
    Text out = {0};
    if (tokenizer_decode(t, e->ids, e->count, skip, &out)) fail_msg("%s: %s", name, status_message());
    if (strcmp(out.data ? out.data : "", wanted))
        fail_msg("%s: decoded \"%s\", the library has \"%s\"", name, out.data ? out.data : "", wanted);
    text_free(&out);
}

static void check_cases(const char *name)
{
    Tokenizer *t = load(name);
    cJSON *cases = read_json(name, "cases.json"), *c;
    Encoding e = {0};
    int count = 0;
    cJSON_ArrayForEach (c, cases) {
        const char *text = text_of(c, "text"), *decoded = text_of(c, "decoded"), *skipped = text_of(c, "skipped");
        const cJSON *ids = cJSON_GetObjectItemCaseSensitive(c, "ids");
        const cJSON *special = cJSON_GetObjectItemCaseSensitive(c, "special_ids");
        if (!decoded) decoded = text;
        encode(t, text, 0, &e);
        assert_ids(name, text, &e, ids);
        encode(t, text, ENCODE_OFFSETS, &e); /* from the cache of words this time */
        assert_ids(name, text, &e, ids);
        assert_offsets(name, text, &e, cJSON_GetObjectItemCaseSensitive(c, "offsets"));
        assert_decoded(name, t, &e, false, decoded);
        encode(t, text, ENCODE_SPECIAL, &e);
        assert_ids(name, text, &e, special ? special : ids);
        assert_decoded(name, t, &e, true, skipped ? skipped : decoded);
        count++;
    }
    assert_true(count > 50);
    encoding_free(&e);
    cJSON_Delete(cases);
    tokenizer_free(t);
}

#define CASES(name)                                                                                                    \
    static void name##_equals_the_library(void **state)                                                                \
    {                                                                                                                  \
        (void)state;                                                                                                   \
        check_cases(#name);                                                                                            \
    }
CASES(gpt2_small)
CASES(roberta)
CASES(llama3)
CASES(qwen2)
CASES(added_flags)
CASES(sequence)
CASES(deepseek)
CASES(o200k)
CASES(characters_bytes)
CASES(characters_fused)
CASES(partial_bytes)
CASES(llama2)
CASES(tinyllama)
CASES(gemma)
CASES(letters)
CASES(metaspace_late)
CASES(smollm)
CASES(bert)
CASES(bert_accents)
CASES(unigram_ties)
CASES(odd_charsmap)
CASES(graphemes)

static void check_pairs(const char *name)
{
    Tokenizer *t = load(name);
    cJSON *pairs = read_json(name, "pairs.json"), *c;
    Encoding e = {0};
    cJSON_ArrayForEach (c, pairs) {
        const char *a = text_of(c, "first"), *b = text_of(c, "second");
        const cJSON *type, *types = cJSON_GetObjectItemCaseSensitive(c, "type_ids");
        int64_t i = 0;
        unsigned flags = ENCODE_SPECIAL | ENCODE_OFFSETS | ENCODE_TYPE_IDS;
        if (tokenizer_encode_pair(t, a, strlen(a), b, strlen(b), flags, &e)) fail_msg("%s", status_message());
        assert_ids(name, a, &e, cJSON_GetObjectItemCaseSensitive(c, "ids"));
        assert_offsets(name, a, &e, cJSON_GetObjectItemCaseSensitive(c, "offsets"));
        cJSON_ArrayForEach (type, types) assert_int_equal(e.type_ids[i++], type->valueint);
        assert_int_equal(i, e.count);
    }
    encoding_free(&e);
    cJSON_Delete(pairs);
    tokenizer_free(t);
}

static void pairs_and_their_type_ids_equal_the_library(void **state)
{
    (void)state;
    check_pairs("roberta");
    check_pairs("llama3");
}

enum { EVERYTHING = ENCODE_OFFSETS | ENCODE_TYPE_IDS | ENCODE_WORD_IDS | ENCODE_SEQUENCE_IDS };

static void assert_window(const char *name, const Encoding *e, const cJSON *wanted)
{
    const cJSON *type = cJSON_GetObjectItemCaseSensitive(wanted, "type_ids")->child,
                *word = cJSON_GetObjectItemCaseSensitive(wanted, "word_ids")->child,
                *mask = cJSON_GetObjectItemCaseSensitive(wanted, "mask")->child;
    assert_ids(name, "a window", e, cJSON_GetObjectItemCaseSensitive(wanted, "ids"));
    assert_offsets(name, "a window", e, cJSON_GetObjectItemCaseSensitive(wanted, "offsets"));
    for (int64_t i = 0; i < e->count; i++, type = type->next, word = word->next, mask = mask->next) {
        assert_int_equal(e->type_ids[i], type->valueint);
        assert_int_equal(e->word_ids[i], word->valueint);
        assert_int_equal(e->sequence_ids[i] < 0, mask->valueint);
    }
}

static int64_t number_of(const cJSON *object, const char *key)
{
    return cJSON_GetObjectItemCaseSensitive(object, key)->valueint;
}

/* Every window, and the first again; a refusal where the library refuses. */
static void check_windows(const char *name)
{
    static const char *const strategies[] = {"longest_first", "only_first", "only_second"};
    Tokenizer *t = load(name);
    cJSON *cases = read_json(name, "windows.json"), *c, *window;
    Encoding e = {0};
    int left_over = 0;
    cJSON_ArrayForEach (c, cases) {
        const char *first = text_of(c, "first"), *second = text_of(c, "second");
        const cJSON *windows = cJSON_GetObjectItemCaseSensitive(c, "windows");
        bool special = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(c, "special"));
        Truncation cut = {.max_length = number_of(c, "max_length"), .stride = number_of(c, "stride")};
        while (strcmp(strategies[cut.strategy], text_of(c, "strategy"))) cut.strategy++;
        cut.left = !strcmp(text_of(c, "side"), "left");
        EncodeInput input = {first, second, strlen(first), second ? strlen(second) : 0, &cut};
        Status st = tokenizer_encode_input(t, &input, EVERYTHING | (special ? ENCODE_SPECIAL : 0), &e);
        if (cJSON_IsNull(windows)) {
            assert_int_equal(st, STATUS_USAGE);
            assert_true(e.count == 0 && e.windows == 0);
            continue;
        }
        if (st) fail_msg("%s: %s", name, status_message());
        assert_int_equal(e.windows, cJSON_GetArraySize(windows));
        int64_t i = 0;
        cJSON_ArrayForEach (window, windows) {
            if (encoding_window(t, i++, &e)) fail_msg("%s: %s", name, status_message());
            assert_window(name, &e, window);
        }
        left_over += i > 1;
        assert_int_equal(encoding_window(t, 0, &e), OK);
        assert_window(name, &e, windows->child);
        assert_int_equal(encoding_window(t, i, &e), STATUS_USAGE);
        assert_int_equal(encoding_window(t, -1, &e), STATUS_USAGE);
    }
    assert_true(left_over > 12);
    encoding_free(&e);
    cJSON_Delete(cases);
    tokenizer_free(t);
}

static void truncation_and_what_is_left_over_equal_the_library(void **state)
{
    (void)state;
    check_windows("bert");
    check_windows("llama2");
    check_windows("letters");
    check_windows("metaspace_late");
    check_windows("roberta");
}

/* A tokenizer that makes one unknown token of every piece. */
static Tokenizer *pieces(const cJSON *c)
{
    Text json = {0};
    const char *pattern = text_of(c, "pattern");
    Tokenizer *t;
    text_printf(&json, "{\"version\": \"1.0\", \"added_tokens\": [], \"pre_tokenizer\": {\"type\": \"Split\", "
                       "\"pattern\": {\"Regex\": ");
    json_add_string(&json, pattern, strlen(pattern));
    text_printf(&json,
                "}, \"behavior\": \"%s\", \"invert\": %s}, \"model\": {\"type\": \"BPE\", \"unk_token\": \"<unk>\","
                " \"fuse_unk\": true, \"vocab\": {\"<unk>\": 0}, \"merges\": []}}",
                text_of(c, "behavior"), cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(c, "invert")) ? "true" : "false");
    if (tokenizer_parse(json.data, json.size, pattern, &t)) fail_msg("%s", status_message());
    text_free(&json);
    return t;
}

static void patterns_split_as_the_library_does(void **state)
{
    cJSON *patterns = read_json("", "patterns.json"), *c, *item;
    int count = 0;
    (void)state;
    cJSON_ArrayForEach (c, patterns) {
        Tokenizer *t = pieces(c);
        Encoding e = {0};
        cJSON_ArrayForEach (item, cJSON_GetObjectItemCaseSensitive(c, "texts")) {
            encode(t, text_of(item, "text"), ENCODE_OFFSETS, &e);
            assert_offsets(text_of(c, "pattern"), text_of(item, "text"), &e,
                           cJSON_GetObjectItemCaseSensitive(item, "offsets"));
            count++;
        }
        encoding_free(&e);
        tokenizer_free(t);
    }
    assert_true(count > 200);
    cJSON_Delete(patterns);
}

#define TEST(name) cmocka_unit_test(name##_equals_the_library)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(gpt2_small),
        TEST(roberta),
        TEST(llama3),
        TEST(qwen2),
        TEST(added_flags),
        TEST(sequence),
        TEST(deepseek),
        TEST(o200k),
        TEST(characters_bytes),
        TEST(characters_fused),
        TEST(partial_bytes),
        TEST(llama2),
        TEST(tinyllama),
        TEST(gemma),
        TEST(letters),
        TEST(metaspace_late),
        TEST(smollm),
        TEST(bert),
        TEST(bert_accents),
        TEST(unigram_ties),
        TEST(odd_charsmap),
        TEST(graphemes),
        cmocka_unit_test(pairs_and_their_type_ids_equal_the_library),
        cmocka_unit_test(truncation_and_what_is_left_over_equal_the_library),
        cmocka_unit_test(patterns_split_as_the_library_does),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
