/* UTF-8 at the borders, decoding token by token, long lines, threads. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "trainer/tokenizer/bpe.h"
#include "trainer/tokenizer/tokenizer.h"
#include "trainer/tokenizer/unicode.h"

static Tokenizer *load(const char *name)
{
    char path[512];
    Tokenizer *t;
    snprintf(path, sizeof path, FIXTURES "/tokenizer/%s", name);
    if (tokenizer_load(path, &t)) fail_msg("%s", status_message());
    return t;
}

static void every_code_point_is_encoded_and_read_back(void **state)
{
    (void)state;
    for (uint32_t c = 0; c < UNICODE_END; c++) {
        char bytes[8];
        unsigned length;
        size_t n = utf8_encode(c, bytes);
        bool surrogate = c >= 0xD800 && c < 0xE000;
        assert_int_equal(utf8_valid_bytes(bytes, n), surrogate ? 0 : n);
        if (!surrogate) assert_true(utf8_decode(bytes, &length) == c && length == n);
    }
}

static void invalid_utf8_is_found_where_it_begins(void **state)
{
    static const char *const bad[] = {"\x80",
                                      "\xC0\xAF",
                                      "\xC1\xBF",
                                      "\xC3",
                                      "\xC3(",
                                      "\xE0\x9F\xBF",
                                      "\xE2\x82",
                                      "\xED\xA0\x80",
                                      "\xF0\x8F\xBF\xBF",
                                      "\xF4\x90\x80\x80",
                                      "\xF5\x80\x80\x80",
                                      "\xFF",
                                      "\xF0\x9F\x98"};
    Tokenizer *t = load("gpt2_small");
    Encoding e = {0};
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char text[64];
        snprintf(text, sizeof text, "twelve bytesé%s", bad[i]);
        assert_int_equal(utf8_valid_bytes(text, strlen(text)), 14);
        assert_int_equal(tokenizer_encode(t, text, strlen(text), 0, &e), STATUS_FORMAT);
        assert_non_null(strstr(status_message(), "byte 14"));
        assert_int_equal(e.count, 0);
    }
    encoding_free(&e);
    tokenizer_free(t);
}

static void lossy_text_is_what_python_replaces(void **state)
{
    static const char *const cases[][2] = {/* bytes.decode("utf-8", "replace") */
                                           {"abc", "abc"},
                                           {"a\x80"
                                            "b",
                                            "a\uFFFDb"},
                                           {"\xE2\x82", "\uFFFD"},
                                           {"\xE2\x82(", "\uFFFD("},
                                           {"\xF0\x9F\x98x", "\uFFFDx"},
                                           {"\xED\xA0\x80", "\uFFFD\uFFFD\uFFFD"},
                                           {"\xF4\x90\x80\x80", "\uFFFD\uFFFD\uFFFD\uFFFD"},
                                           {"\xC0\xAF", "\uFFFD\uFFFD"},
                                           {"\xF0\x80\x80", "\uFFFD\uFFFD\uFFFD"},
                                           {"é\xC3", "é\uFFFD"},
                                           {"\xFF\xFE", "\uFFFD\uFFFD"}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Text out = {0};
        text_add_lossy(&out, cases[i][0], strlen(cases[i][0]));
        assert_string_equal(out.data, cases[i][1]);
        text_free(&out);
    }
}

static void a_stream_gives_only_whole_characters_and_all_of_them(void **state)
{
    static const char text[] = "naïve café 日本語 🙂👩‍👩‍👧 مرحبا <|endoftext|> fin";
    Tokenizer *t = load("gpt2_small");
    Encoding e = {0};
    Text all = {0};
    DecodeStream *stream;
    int held = 0;
    (void)state;
    assert_int_equal(tokenizer_encode(t, text, strlen(text), 0, &e), OK);
    assert_int_equal(decode_stream_new(t, false, &stream), OK);
    for (int64_t i = 0; i < e.count; i++) {
        size_t before = all.size;
        assert_int_equal(decode_stream_step(stream, e.ids[i], &all), OK);
        assert_int_equal(utf8_valid_bytes(all.data ? all.data : "", all.size), all.size);
        held += all.size == before;
    }
    assert_int_equal(decode_stream_end(stream, &all), OK);
    assert_string_equal(all.data, text);
    assert_true(held > 10); /* there were incomplete ones */
    all.size = 0;
    assert_int_equal(tokenizer_encode(t, "é", 2, 0, &e), OK);
    if (e.count == 2) {
        assert_int_equal(decode_stream_step(stream, e.ids[0], &all), OK);
        assert_int_equal(all.size, 0);
        assert_int_equal(decode_stream_end(stream, &all), OK);
        assert_string_equal(all.data, "\uFFFD");
    }
    decode_stream_free(stream);
    text_free(&all);
    encoding_free(&e);
    tokenizer_free(t);
}

/* Bytes that are no text, then text: the library's stream raises an error here, ours goes on. */
static void a_stream_of_byte_tokens_stays_utf8(void **state)
{
    Tokenizer *t = load("llama2");
    const int32_t broken[] = {tokenizer_token_to_id(t, "<0x41>"), tokenizer_token_to_id(t, "<0xE3>"),
                              tokenizer_token_to_id(t, "b"), tokenizer_token_to_id(t, "<0xE6>"),
                              tokenizer_token_to_id(t, "<0x97>"), tokenizer_token_to_id(t, "<0xA5>")};
    Text all = {0};
    DecodeStream *stream;
    (void)state;
    assert_int_equal(decode_stream_new(t, false, &stream), OK);
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
        assert_true(broken[i] >= 0);
        assert_int_equal(decode_stream_step(stream, broken[i], &all), OK);
        assert_int_equal(utf8_valid_bytes(all.data ? all.data : "", all.size), all.size);
    }
    assert_int_equal(decode_stream_end(stream, &all), OK);
    assert_string_equal(all.data, "A\uFFFDb日");
    decode_stream_free(stream);
    text_free(&all);
    tokenizer_free(t);
}

/* The model's own token with an added token's id, where a character left out has moved it onto a space: trimming goes
 * by the token's text, not by what stands there. */
static void trimming_tells_a_models_token_from_an_added_one(void **state)
{
    static const char json[] =
        "{\"added_tokens\": [{\"id\": 0, \"content\": \"e\", \"single_word\": true}], \"model\": {\"type\": \"BPE\","
        " \"vocab\": {\"e\": 0}, \"merges\": []}, \"post_processor\": {\"type\": \"ByteLevel\","
        " \"add_prefix_space\": false, \"trim_offsets\": true, \"use_regex\": true}}";
    Tokenizer *t;
    Encoding e = {0};
    (void)state;
    assert_int_equal(tokenizer_parse(json, sizeof json - 1, "test.json", &t), OK);
    assert_int_equal(tokenizer_encode(t, " exe", 4, ENCODE_OFFSETS, &e), OK);
    assert_int_equal(e.count, 2);
    assert_true(e.offsets[0][0] == 0 && e.offsets[0][1] == 1 && e.offsets[1][0] == 1 && e.offsets[1][1] == 2);
    encoding_free(&e);
    tokenizer_free(t);
}

static void windows_need_an_encoding_and_room(void **state)
{
    Tokenizer *t = load("roberta");
    Encoding e = {0};
    Truncation cut = {.max_length = 1};
    EncodeInput input = {.text = "a b c", .size = 5, .truncation = &cut};
    (void)state;
    assert_int_equal(encoding_window(t, 0, &e), STATUS_USAGE);
    assert_int_equal(tokenizer_encode_input(t, &input, ENCODE_SPECIAL, &e), STATUS_USAGE);
    assert_non_null(strstr(status_message(), "no room for the 2 tokens"));
    assert_int_equal(tokenizer_encode_input(t, &input, 0, &e), OK);
    assert_int_equal(e.count, 1);
    assert_int_equal(e.windows, 3);
    cut.stride = 1;
    assert_int_equal(tokenizer_encode_input(t, &input, 0, &e), STATUS_USAGE);
    assert_non_null(strstr(status_message(), "stride"));
    cut = (Truncation){.max_length = 2, .strategy = TRUNCATE_ONLY_SECOND};
    assert_int_equal(tokenizer_encode_input(t, &input, 0, &e), STATUS_USAGE);
    assert_non_null(strstr(status_message(), "second text"));
    input.pair = "x", input.pair_size = 1;
    assert_int_equal(tokenizer_encode_input(t, &input, 0, &e), STATUS_USAGE);
    assert_non_null(strstr(status_message(), "too short"));
    encoding_free(&e);
    tokenizer_free(t);
}

static void decoding_skips_ids_without_a_token_and_refuses_negative_ones(void **state)
{
    Tokenizer *t = load("gpt2_small");
    int32_t end = tokenizer_token_to_id(t, "<|endoftext|>"), a = tokenizer_token_to_id(t, "a");
    int32_t ids[] = {a, end + 1000, end, a}, bad[] = {-1};
    Text out = {0};
    (void)state;
    assert_int_equal(tokenizer_decode(t, ids, 4, false, &out), OK);
    assert_string_equal(out.data, "a<|endoftext|>a");
    out.size = 0;
    assert_int_equal(tokenizer_decode(t, ids, 4, true, &out), OK);
    assert_string_equal(out.data, "aa");
    assert_int_equal(tokenizer_decode(t, bad, 1, false, &out), STATUS_FORMAT);
    text_free(&out);
    tokenizer_free(t);
}

/* Merging by the definition: the lowest rank anywhere, leftmost, again and again. */
static size_t merge_slowly(const Bpe *bpe, BpeSymbol *s, size_t n)
{
    for (;;) {
        const BpeMerge *best = NULL;
        size_t at = 0;
        for (size_t i = 0; i + 1 < n; i++) {
            const BpeMerge *m = bpe_find_merge(bpe, s[i].id, s[i + 1].id);
            if (m && (!best || m->rank < best->rank)) best = m, at = i;
        }
        if (!best) return n;
        s[at] = (BpeSymbol){(int32_t)best->id, s[at].size + s[at + 1].size};
        memmove(s + at + 1, s + at + 2, (--n - at - 1) * sizeof *s);
    }
}

static void short_and_long_words_merge_by_the_definition(void **state)
{
    enum { IDS = 64, MERGES = 256, SLOTS = 1024 };
    static BpeMerge merges[SLOTS];
    static BpeSymbol a[400], b[400];
    Bpe bpe = {.merges = merges, .merge_mask = SLOTS - 1};
    ModelScratch scratch = {0};
    uint64_t random = 1;
    (void)state;
    for (size_t i = 0; i < SLOTS; i++) merges[i].pair = UINT64_MAX;
    for (uint32_t rank = 0; rank < MERGES;
         rank++) { /* in the order of a real file: a token before what it is part of */
        random = random * 6364136223846793005u + 1442695040888963407u;
        uint32_t limit = 4 + rank * (IDS - 5) / MERGES, left = (uint32_t)(random >> 33) % limit,
                 right = (uint32_t)(random >> 50) % limit;
        uint64_t pair = (uint64_t)left << 32 | right, slot = (pair * 0x9E3779B97F4A7C15u) >> 20;
        if (bpe_find_merge(&bpe, (int32_t)left, (int32_t)right)) continue;
        while (merges[slot & (SLOTS - 1)].pair != UINT64_MAX) slot++;
        merges[slot & (SLOTS - 1)] = (BpeMerge){pair, rank, 4 + rank * (IDS - 4) / MERGES};
    }
    for (size_t length = 1; length <= 400; length += length < 130 ? 1 : 27) {
        size_t n = length;
        for (size_t i = 0; i < length; i++) {
            random = random * 6364136223846793005u + 1442695040888963407u;
            a[i] = b[i] = (BpeSymbol){length % 3 ? (int32_t)(random >> 40) % 4 : 0, 1};
        }
        assert_int_equal(bpe_merge(&bpe, &scratch, a, &n), OK);
        assert_int_equal(n, merge_slowly(&bpe, b, length));
        for (size_t i = 0; i < n; i++) assert_true(a[i].id == b[i].id && a[i].size == b[i].size);
    }
    free(scratch.buffers[BPE_HEAP].data);
    free(scratch.buffers[BPE_LINKS].data);
}

/* A quadratic step would take minutes here. */
static void long_lines_of_one_kind_are_encoded(void **state)
{
    static const char *const kinds[] = {" ", "a", "1", ".", "\n", "\u0301", "日", "<|endoftext|>", "'", "\u2581",
                                        "<s>", " x"};
    enum { SIZE = 300000 };
    static const char *const models[] = {"gpt2_small", "qwen2",   "added_flags", "characters_fused", "llama2",
                                         "tinyllama",  "letters", "smollm",      "metaspace_late"};
    char *text = malloc(SIZE + 16);
    (void)state;
    for (size_t m = 0; m < sizeof models / sizeof *models; m++) {
        Tokenizer *t = load(models[m]);
        for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
            Encoding e = {0};
            size_t n = strlen(kinds[i]), size = 0;
            for (; size + n <= SIZE; size += n) memcpy(text + size, kinds[i], n);
            if (tokenizer_encode(t, text, size, ENCODE_OFFSETS, &e)) fail_msg("%s: %s", kinds[i], status_message());
            bool drops_space = !strcmp(models[m], "characters_fused") || !strcmp(models[m], "letters");
            if (!drops_space && strcmp(models[m], "metaspace_late")) assert_true(e.count > 0);
            encoding_free(&e);
        }
        tokenizer_free(t);
    }
    free(text);
}

static const char shared_text[] = "It was a bright morning; they're 1,274 boats.\n\n  日本語 naïve <|endoftext|> x";

static void *encode_often(void *tokenizer)
{
    Encoding e = {0};
    uint64_t sum = 0;
    for (int i = 0; i < 200; i++) {
        if (tokenizer_encode(tokenizer, shared_text, sizeof shared_text - 1, i % 2 ? ENCODE_OFFSETS : 0, &e))
            return NULL;
        sum = 0;
        for (int64_t k = 0; k < e.count; k++) sum = sum * 31 + (uint64_t)e.ids[k];
    }
    encoding_free(&e);
    return (void *)(uintptr_t)sum;
}

static void threads_share_a_tokenizer(void **state)
{
    Tokenizer *t = load("qwen2");
    pthread_t threads[4];
    void *first = NULL;
    (void)state;
    for (int i = 0; i < 4; i++) assert_int_equal(pthread_create(&threads[i], NULL, encode_often, t), 0);
    for (int i = 0; i < 4; i++) {
        void *sum;
        pthread_join(threads[i], &sum);
        assert_non_null(sum);
        if (!i) first = sum;
        assert_ptr_equal(sum, first);
    }
    tokenizer_free(t);
}

/* One Encoding may go from tokenizer to tokenizer: its cache must not. */
static void an_encoding_may_be_used_with_another_tokenizer(void **state)
{
    Encoding e = {0}, fresh = {0};
    (void)state;
    for (int i = 0; i < 6; i++) {
        Tokenizer *t = load(i % 2 ? "qwen2" : "gpt2_small");
        assert_int_equal(tokenizer_encode(t, shared_text, sizeof shared_text - 1, 0, &e), OK);
        assert_int_equal(tokenizer_encode(t, shared_text, sizeof shared_text - 1, 0, &fresh), OK);
        assert_int_equal(e.count, fresh.count);
        assert_memory_equal(e.ids, fresh.ids, (size_t)e.count * sizeof *e.ids);
        encoding_free(&fresh);
        tokenizer_free(t);
    }
    encoding_free(&e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_code_point_is_encoded_and_read_back),
        cmocka_unit_test(invalid_utf8_is_found_where_it_begins),
        cmocka_unit_test(lossy_text_is_what_python_replaces),
        cmocka_unit_test(a_stream_gives_only_whole_characters_and_all_of_them),
        cmocka_unit_test(a_stream_of_byte_tokens_stays_utf8),
        cmocka_unit_test(trimming_tells_a_models_token_from_an_added_one),
        cmocka_unit_test(windows_need_an_encoding_and_room),
        cmocka_unit_test(decoding_skips_ids_without_a_token_and_refuses_negative_ones),
        cmocka_unit_test(short_and_long_words_merge_by_the_definition),
        cmocka_unit_test(long_lines_of_one_kind_are_encoded),
        cmocka_unit_test(threads_share_a_tokenizer),
        cmocka_unit_test(an_encoding_may_be_used_with_another_tokenizer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
