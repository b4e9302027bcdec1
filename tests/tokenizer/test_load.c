/* Reading a tokenizer: what a directory tells, and that every malformed tokenizer.json is an error that says where. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "trainer/base/file.h"
#include "trainer/tokenizer/tokenizer.h"

#define GPT2 FIXTURES "/tokenizer/gpt2_small"

static Tokenizer *load(const char *path)
{
    Tokenizer *t;
    if (tokenizer_load(path, &t)) fail_msg("%s", status_message());
    return t;
}

static void a_directory_gives_tokens_config_and_files(void **state)
{
    Tokenizer *t = load(GPT2);
    const TokenizerConfig *c = tokenizer_config(t);
    int32_t end = tokenizer_token_to_id(t, "<|endoftext|>");
    (void)state;
    assert_int_equal(tokenizer_vocab_size(t), end + 1);
    assert_int_equal(tokenizer_id_limit(t), end + 1);
    assert_string_equal(tokenizer_id_to_token(t, end), "<|endoftext|>");
    assert_true(tokenizer_is_special(t, end));
    assert_false(tokenizer_is_special(t, 0));
    assert_null(tokenizer_id_to_token(t, end + 1));
    assert_null(tokenizer_id_to_token(t, -1));
    assert_int_equal(tokenizer_token_to_id(t, "no such token"), -1);
    assert_int_equal(c->bos_id, end);
    assert_int_equal(c->eos_id, end);
    assert_int_equal(c->pad_id, -1);
    assert_int_equal(c->model_max_length, 1024);
    assert_false(c->pads_left);
    assert_string_equal(tokenizer_files(t)[0], "tokenizer.json");
    assert_string_equal(tokenizer_files(t)[1], "tokenizer_config.json");
    assert_null(tokenizer_files(t)[2]);
    assert_int_equal(tokenizer_added_count(t, false), 0);
    tokenizer_free(t);
}

static void files_of_transformers_4_are_read_too(void **state)
{
    Tokenizer *t = load(FIXTURES "/tokenizer/qwen2");
    const TokenizerConfig *c = tokenizer_config(t);
    (void)state;
    assert_int_equal(c->eos_id, tokenizer_token_to_id(t, "<|im_end|>")); /* tokenizer_config.json comes first */
    assert_int_equal(c->pad_id, tokenizer_token_to_id(t, "<|endoftext|>"));
    assert_int_equal(c->bos_id, -1);
    assert_true(c->model_max_length == INT64_MAX); /* 1e30 */
    assert_true(c->pads_left);
    assert_string_equal(tokenizer_files(t)[2], "special_tokens_map.json");
    tokenizer_free(t);
}

static void the_file_alone_will_do(void **state)
{
    Tokenizer *t = load(FIXTURES "/tokenizer/roberta/tokenizer.json");
    (void)state;
    assert_int_equal(tokenizer_config(t)->bos_id, -1);
    assert_null(tokenizer_files(t)[0]);
    assert_int_equal(tokenizer_added_count(t, false), 2);
    assert_int_equal(tokenizer_added_count(t, true), 3);
    tokenizer_free(t);
}

/* A tokenizer.json from single-quoted text. */
static Status parse(const char *quoted, Tokenizer **t)
{
    char *json = strdup(quoted);
    for (char *c = json; *c; c++)
        if (*c == '\'') *c = '"';
    Status st = tokenizer_parse(json, strlen(json), "test.json", t);
    free(json);
    return st;
}

static void assert_refused(const char *quoted, Status code, const char *part)
{
    Tokenizer *t;
    Status st = parse(quoted, &t);
    if (st == OK) fail_msg("%s: was taken", quoted);
    assert_null(t);
    if (st == STATUS_MISSING) st = STATUS_FORMAT; /* a key that is not there */
    if (st != code || !strstr(status_message(), part) || !strstr(status_message(), "test.json"))
        fail_msg("%s: %s \"%s\", should say \"%s\"", quoted, status_name(st), status_message(), part);
}

#define BPE(vocab, merges) "'model': {'type': 'BPE', 'vocab': {" vocab "}, 'merges': [" merges "]}"
#define AB BPE("'a': 0, 'b': 1, 'ab': 2", "['a', 'b']")

#define WP "'unk_token': 'u', 'continuing_subword_prefix': '##', 'max_input_chars_per_word': 100"
#define CHARSMAP(text) "{" AB ", 'normalizer': {'type': 'Precompiled', 'precompiled_charsmap': '" text "'}}"

static void malformed_files_are_refused_with_the_place(void **state)
{
    static const struct {
        const char *json, *part;
    } cases[] = {
        {"", "test.json"},
        {"[]", "JSON object"},
        {"{}", "\"model\" is missing"},
        {"{'model': null}", "\"model\" is missing"},
        {"{'model': 3}", "model: should be an object"},
        {"{'model': {'vocab': {}}}", "\"type\" is missing"},
        {"{'model': {'type': 'BPE'}}", "model.vocab"},
        {"{'model': {'type': 'BPE', 'vocab': []}}", "model.vocab"},
        {"{'model': {'type': 'BPE', 'vocab': {}}}", "model.merges"},
        {"{'model': {'type': 'BPE', 'vocab': {}, 'merges': {}}}", "model.merges"},
        {"{" BPE("'a': '0'", "") "}", "id of \"a\""},
        {"{" BPE("'a': -1", "") "}", "id of \"a\""},
        {"{" BPE("'a': 0.5", "") "}", "id of \"a\""},
        {"{" BPE("'a': NaN", "") "}", "id of \"a\""},
        {"{" BPE("'a': -Infinity", "") "}", "id of \"a\""},
        {"{" BPE("'a': 0, 'b': 0", "") "}", "both have id 0"},
        {"{" BPE("'a': 0", "'a b'") "}", "merges[0]: token \"b\""},
        {"{" BPE("'a': 0, 'b': 1", "'a b'") "}", "merges[0]: token \"ab\""},
        {"{" BPE("'a': 0, 'b': 1", "'ab'") "}", "merges[0]"},
        {"{" BPE("'a': 0, 'b': 1", "'a b c'") "}", "merges[0]"},
        {"{" BPE("'a': 0, 'b': 1", "['a']") "}", "merges[0]"},
        {"{" BPE("'a': 0, 'b': 1", "['a', 'b', 'c']") "}", "merges[0]"},
        {"{" BPE("'a': 0, 'b': 1", "['a', 1]") "}", "merges[0]"},
        {"{" BPE("'a': 0, 'b': 1", "7") "}", "merges[0]"},
        {"{" AB ", 'added_tokens': {}}", "added_tokens"},
        {"{" AB ", 'added_tokens': [1]}", "added_tokens[0]"},
        {"{" AB ", 'added_tokens': [{'id': 3}]}", "content"},
        {"{" AB ", 'added_tokens': [{'id': 3, 'content': 'x', 'lstrip': 'yes'}]}", "lstrip"},
        {"{" AB ", 'added_tokens': [{'id': -3, 'content': 'x'}]}", "out of range"},
        {"{" AB ", 'added_tokens': [{'content': 'x'}]}", "id"},
        {"{" AB ", 'pre_tokenizer': {'type': 'Split', 'pattern': 'x', 'behavior': 'Isolated'}}", "pattern"},
        {"{" AB ", 'pre_tokenizer': {'type': 'Split', 'pattern': {'String': 'x'}, 'behavior': 'Apart'}}", "Apart"},
        {"{" AB ", 'pre_tokenizer': {'type': 'Sequence'}}", "pretokenizers"},
        {"{" AB ", 'pre_tokenizer': {'type': 'Sequence', 'pretokenizers': [0]}}", "pretokenizers[0]"},
        {"{" AB ", 'post_processor': {'type': 'TemplateProcessing', 'single': []}}", "pair"},
        {"{" AB
         ", 'post_processor': {'type': 'TemplateProcessing', 'pair': [], 'single': [{'SpecialToken': {'id': 'q'}}]}}",
         "\"q\""},
        {"{" AB
         ", 'post_processor': {'type': 'TemplateProcessing', 'pair': [], 'single': [{'Sequence': {'id': 'B'}}]}}",
         "\"B\""},
        {"{" AB
         ", 'post_processor': {'type': 'TemplateProcessing', 'pair': [], 'single': [{'SpecialToken': {'id': 'q'}}], "
         "'special_tokens': {'q': {'ids': [NaN]}}}}",
         "\"q\""},
        {"{" AB
         ", 'post_processor': {'type': 'TemplateProcessing', 'pair': [], 'single': [{'SpecialToken': {'id': 'q'}}], "
         "'special_tokens': {'q': {'ids': [1e300]}}}}",
         "\"q\""},
        {"{" AB ", 'normalizer': {'type': 'Prepend'}}", "\"prepend\" is missing"},
        {"{" AB ", 'normalizer': {'type': 'Prepend', 'prepend': 3}}", "prepend"},
        {"{" AB ", 'normalizer': {'type': 'Replace', 'pattern': {'String': 'a'}}}", "content"},
        {"{" AB ", 'normalizer': {'type': 'Replace', 'content': 'b'}}", "pattern"},
        {"{" AB ", 'normalizer': {'type': 'Replace', 'pattern': {'String': 'a', 'Regex': 'a'}, 'content': 'b'}}",
         "pattern"},
        {"{" AB ", 'normalizer': {'type': 'Strip', 'strip_left': 1}}", "strip_left"},
        {"{" AB ", 'normalizer': {'type': 'Strip'}, 'added_tokens': [{'id': 3, 'content': '  '}]}",
         "normalizes to nothing"},
        {"{" AB ", 'pre_tokenizer': {'type': 'Metaspace'}}", "replacement"},
        {"{" AB ", 'pre_tokenizer': {'type': 'Metaspace', 'replacement': ''}}", "one character"},
        {"{" AB ", 'pre_tokenizer': {'type': 'Metaspace', 'replacement': '__'}}", "one character"},
        {"{" AB ", 'pre_tokenizer': {'type': 'Metaspace', 'replacement': '_', 'prepend_scheme': 'last'}}", "last"},
        {"{" AB ", 'pre_tokenizer': {'type': 'Metaspace', 'replacement': '_', 'prepend_scheme': 'first', "
         "'add_prefix_space': false}}",
         "which is it"},
        {"{" AB ", 'post_processor': {'type': 'BertProcessing'}}", "cls"},
        {"{" AB ", 'post_processor': {'type': 'BertProcessing', 'cls': ['a', 0], 'sep': ['b', -1]}}", "sep"},
        {"{" AB ", 'post_processor': {'type': 'RobertaProcessing', 'cls': ['a', 0], 'sep': ['b', 0.5]}}", "sep"},
        {"{" AB ", 'post_processor': {'type': 'RobertaProcessing', 'cls': [0, 'a'], 'sep': ['b', 1]}}", "cls"},
        {"{" AB ", 'decoder': {'type': 'Strip', 'content': 'ab', 'start': 1, 'stop': 0}}", "one character"},
        {"{" AB ", 'decoder': {'type': 'Strip', 'content': 'a', 'start': -1, 'stop': 0}}", "from 0"},
        {"{" AB ", 'decoder': {'type': 'Strip', 'content': 'a', 'stop': 0}}", "start"},
        {"\xef\xbb\xbf{" AB "}", "byte order mark"},
        {"{'model': {'type': 'WordPiece', " WP "}}", "vocab"},
        {"{'model': {'type': 'WordPiece', " WP ", 'vocab': [['a', 1]]}}", "vocab"},
        {"{'model': {'type': 'WordPiece', 'vocab': {}}}", "unk_token"},
        {"{'model': {'type': 'WordPiece', 'vocab': {}, 'unk_token': 'u', 'continuing_subword_prefix': 3}}", "prefix"},
        {"{'model': {'type': 'WordPiece', 'vocab': {}, 'unk_token': 'u', 'continuing_subword_prefix': '', "
         "'max_input_chars_per_word': -1}}",
         "max_input_chars_per_word"},
        {"{'model': {'type': 'Unigram'}}", "vocab"},
        {"{'model': {'type': 'Unigram', 'vocab': {'a': 1}}}", "vocab"},
        {"{'model': {'type': 'Unigram', 'vocab': [['a', 1], ['b']]}}", "vocab[1]"},
        {"{'model': {'type': 'Unigram', 'vocab': [['a', 1, 2]]}}", "vocab[0]"},
        {"{'model': {'type': 'Unigram', 'vocab': [['a', NaN]]}}", "vocab[0]"},
        {"{'model': {'type': 'Unigram', 'vocab': [['a', 1e999]]}}", "vocab[0]"},
        {"{'model': {'type': 'Unigram', 'vocab': [], 'unk_id': 0}}", "unk_id"},
        {"{'model': {'type': 'Unigram', 'vocab': [['a', 1]], 'unk_id': -1}}", "unk_id"},
        {"{'model': {'type': 'Unigram', 'vocab': [['a', 1]], 'byte_fallback': 1}}", "byte_fallback"},
        {"{" AB ", 'normalizer': {'type': 'BertNormalizer', 'lowercase': 1}}", "lowercase"},
        {"{" AB ", 'decoder': {'type': 'WordPiece'}}", "prefix"},
        {"{" AB ", 'normalizer': {'type': 'Precompiled'}}", "precompiled_charsmap"},
        {CHARSMAP(""), "0 bytes"},
        {CHARSMAP("AAA"), "base64"},
        {CHARSMAP("AA=A"), "base64"},
        {CHARSMAP("AAAA"), "3 bytes"},
        {CHARSMAP("AAAAAA=="), "trie of 0"},
        {CHARSMAP("CAAAAAAAAAA="), "trie of 8"},
        {CHARSMAP("BAAAAAAAAAD/"), "UTF-8"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_refused(cases[i].json, STATUS_FORMAT, cases[i].part);
}

static void what_is_left_out_is_refused_by_name(void **state)
{
    static const struct {
        const char *json, *part;
    } cases[] = {
        {"{'version': '2.0', " AB "}", "2.0"},
        {"{" BPE("'a': 4194304", "") "}", "ids below"},
        {"{" BPE("'a': 258888888888888888888888888888", "") "}", "ids below"},
        {"{" BPE("'a': 1e999", "") "}", "ids below"},
        {"{'model': {'type': 'WordLevel'}}",
         "model \"WordLevel\" is not supported (there are: BPE, Unigram, WordPiece)"},
        {"{" AB ", 'normalizer': {'type': 'Sequence', 'normalizers': [{'type': 'NFC'}, {'type': 'Nmt'}]}}",
         "normalizers[1]: normalizer \"Nmt\" is not supported (there are: Sequence, BertNormalizer, Lowercase, NFC"},
        {"{" AB ", 'pre_tokenizer': {'type': 'UnicodeScripts'}}", "pre-tokenizer \"UnicodeScripts\""},
        {"{" AB ", 'pre_tokenizer': {'type': 'CharDelimiterSplit'}}", "there are: Sequence, BertPreTokenizer"},
        {"{" AB ", 'post_processor': {'type': 'Other'}}", "post-processor \"Other\""},
        {"{'model': {'type': 'WordPiece', " WP ", 'vocab': {'a': 4194304}}}", "ids below"},
        {"{" AB ", 'decoder': {'type': 'Replace', 'pattern': {'Regex': '('}, 'content': ''}}", "decoder.pattern"},
        {"{" AB ", 'decoder': {'type': 'CTC'}}", "decoder \"CTC\""},
        {"{'model': {'type': 'BPE', 'dropout': 0.1, 'vocab': {}, 'merges': []}}", "dropout"},
        {"{'model': {'type': 'BPE', 'end_of_word_suffix': '</w>', 'vocab': {}, 'merges': []}}", "end_of_word_suffix"},
        {"{'model': {'type': 'BPE', 'continuing_subword_prefix': '##', 'vocab': {}, 'merges': []}}", "prefix"},
        {"{" BPE("'a': 4000000000", "") "}", "4000000000"},
        {"{" BPE("'a': 99999999", "") "}", "99999999"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_refused(cases[i].json, STATUS_UNSUPPORTED, cases[i].part);
}

static void patterns_that_are_not_translated_exactly_are_refused(void **state)
{
    static const char *const cases[][2] = {
        {"(a)\\\\1", "\\1"},
        {"a(?i)b", "(?i)"},
        {"(?<n>a)", "group"},
        {"[[:alpha:]]", "POSIX"},
        {"\\\\R", "\\R"},
        {"(?i:ss)", "ss"},
        {"(?i:é)", "U+00E9"},
        {"(", "("},
        {")", ")"},
        {"[a", "]"},
        {"*a", "repeated"},
        {"a{2}?", "{n}?"},
        {"\\\\p{Foo}", "Foo"},
        {"\\\\", "backslash"},
        {"[z-a]", "range"},
        {"(?<=a+)b", "regular"},
        {"\\\\x{110000}", "code point"},
        {"a{9,3}", "interval"},
        {"(?i:\\\\p{Lu})", "Lu"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char json[512];
        snprintf(json, sizeof json,
                 "{" AB ", 'pre_tokenizer': {'type': 'Split', 'pattern': {'Regex': '%s'}, 'behavior': 'Removed'}}",
                 cases[i][0]);
        assert_refused(json, STATUS_UNSUPPORTED, cases[i][1]);
    }
}

static void no_truncation_of_a_file_is_taken_or_crashes(void **state)
{
    char *json;
    size_t size;
    Arena *arena;
    (void)state;
    assert_int_equal(arena_new(&arena), OK);
    assert_int_equal(file_read_all(FIXTURES "/tokenizer/llama3/tokenizer.json", arena, 1 << 20, &json, &size), OK);
    while (json[size - 1] != '}') size--;
    for (size_t cut = 0; cut < size; cut += cut < 2500 ? 7 : 331) {
        Tokenizer *t;
        char *exact = malloc(cut + 1); /* so that a sanitizer sees a byte too far */
        memcpy(exact, json, cut);
        assert_int_equal(tokenizer_parse(exact, cut, "cut.json", &t), STATUS_FORMAT);
        assert_null(t);
        free(exact);
    }
    arena_free(arena);
}

static void running_out_of_memory_is_an_error_at_every_allocation(void **state)
{
    char *json;
    size_t size;
    Arena *arena;
    long nth = 1;
    (void)state;
    assert_int_equal(arena_new(&arena), OK);
    assert_int_equal(file_read_all(FIXTURES "/tokenizer/roberta/tokenizer.json", arena, 1 << 20, &json, &size), OK);
    for (;; nth++) { /* blocks of arenas */
        Tokenizer *t;
        arena_fail_at(nth);
        Status st = tokenizer_parse(json, size, "test.json", &t);
        arena_fail_at(0);
        tokenizer_free(t);
        if (st == OK) break;
        assert_int_equal(st, STATUS_MEMORY);
        assert_null(t);
    }
    assert_true(nth > 6);
    arena_free(arena);
}

static void a_directory_without_the_file_says_what_is_there_instead(void **state)
{
    char dir[] = "/tmp/hone_tokenizer_XXXXXX", path[64];
    Tokenizer *t;
    (void)state;
    assert_non_null(mkdtemp(dir));
    assert_int_equal(tokenizer_load(dir, &t), STATUS_MISSING);
    assert_non_null(strstr(status_message(), "no tokenizer.json"));
    snprintf(path, sizeof path, "%s/vocab.txt", dir);
    assert_int_equal(file_replace(path, "x", 1), OK);
    assert_int_equal(tokenizer_load(dir, &t), STATUS_MISSING);
    assert_non_null(strstr(status_message(), "vocab.txt"));
    assert_int_equal(tokenizer_load("/nonexistent/tokenizer.json", &t), STATUS_MISSING);
    assert_int_equal(dir_remove(dir), OK);
}

static void a_prefix_space_that_the_two_files_disagree_on_is_refused(void **state)
{
    static const char json[] = "{\"pre_tokenizer\": {\"type\": \"ByteLevel\", \"add_prefix_space\": false},"
                               "\"model\": {\"type\": \"BPE\", \"vocab\": {}, \"merges\": []}}";
    static const char *const configs[] = {"{\"add_prefix_space\": true}", "{\"add_prefix_space\": false}", "{}"};
    char dir[] = "/tmp/hone_tokenizer_XXXXXX", path[64];
    (void)state;
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/tokenizer.json", dir);
    assert_int_equal(file_replace(path, json, sizeof json - 1), OK);
    for (int i = 0; i < 3; i++) {
        Tokenizer *t;
        snprintf(path, sizeof path, "%s/tokenizer_config.json", dir);
        assert_int_equal(file_replace(path, configs[i], strlen(configs[i])), OK);
        assert_int_equal(tokenizer_load(dir, &t), i ? OK : STATUS_UNSUPPORTED);
        tokenizer_free(t);
    }
    assert_int_equal(dir_remove(dir), OK);
}

static void a_config_that_names_an_unknown_token_is_an_error(void **state)
{
    static const char *const configs[][2] = {{"{\"eos_token\": \"<nope>\"}", "<nope>"},
                                             {"{\"eos_token\": 5}", "eos_token"},
                                             {"[]", "object"},
                                             {"{\"model_max_length\": -4}", "model_max_length"},
                                             {"{\"padding_side\": \"up\"}", "padding_side"}};
    static const char json[] = "{\"model\": {\"type\": \"BPE\", \"vocab\": {}, \"merges\": []}}";
    char dir[] = "/tmp/hone_tokenizer_XXXXXX", path[64];
    (void)state;
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/tokenizer.json", dir);
    assert_int_equal(file_replace(path, json, sizeof json - 1), OK);
    for (size_t i = 0; i < sizeof configs / sizeof *configs; i++) {
        Tokenizer *t;
        snprintf(path, sizeof path, "%s/tokenizer_config.json", dir);
        assert_int_equal(file_replace(path, configs[i][0], strlen(configs[i][0])), OK);
        assert_int_equal(tokenizer_load(dir, &t), STATUS_FORMAT);
        assert_null(t);
        if (!strstr(status_message(), configs[i][1])) fail_msg("%s: %s", configs[i][0], status_message());
    }
    assert_int_equal(dir_remove(dir), OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_directory_gives_tokens_config_and_files),
        cmocka_unit_test(files_of_transformers_4_are_read_too),
        cmocka_unit_test(the_file_alone_will_do),
        cmocka_unit_test(malformed_files_are_refused_with_the_place),
        cmocka_unit_test(what_is_left_out_is_refused_by_name),
        cmocka_unit_test(patterns_that_are_not_translated_exactly_are_refused),
        cmocka_unit_test(no_truncation_of_a_file_is_taken_or_crashes),
        cmocka_unit_test(running_out_of_memory_is_an_error_at_every_allocation),
        cmocka_unit_test(a_directory_without_the_file_says_what_is_there_instead),
        cmocka_unit_test(a_prefix_space_that_the_two_files_disagree_on_is_refused),
        cmocka_unit_test(a_config_that_names_an_unknown_token_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
