/* links: test_support */
/* Whose value wins, what files may say, and what is refused by name. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/generate/generate_test.h"

static GenerationConfig config;
static Arena *arena;

static Status resolve(const char *call, const char *model, bool pipeline)
{
    cJSON *c = NULL, *m = NULL;
    if (call) assert_ok(json_parse(call, strlen(call), "call", &c));
    if (model) assert_ok(json_parse(model, strlen(model), "model", &m));
    GenerationDefaults defaults = pipeline ? DEFAULTS_PIPELINE : DEFAULTS_LIBRARY;
    Status st = generation_config_resolve(c, m, "DIR/generation_config.json", defaults, arena, &config);
    cJSON_Delete(c);
    cJSON_Delete(m);
    return st;
}

static void told(const char *part)
{
    if (!strstr(status_message(), part)) fail_msg("\"%s\" does not say \"%s\"", status_message(), part);
}

static void the_call_wins_then_the_model_then_the_pipeline_then_the_library(void **state)
{
    (void)state;
    assert_ok(resolve(NULL, NULL, false)); /* the library's */
    assert_true(!config.do_sample && config.temperature == 1 && config.top_k == 50 && config.top_p == 1 &&
                config.repetition_penalty == 1);
    assert_true(config.max_new_tokens == -1 && config.max_length == -1 && config.num_return_sequences == 1 &&
                config.eos_token_id.count == 0);
    assert_ok(resolve(NULL, NULL, true)); /* the pipeline's */
    assert_true(config.do_sample && config.temperature == 0.7 && config.top_k == 50 && config.max_new_tokens == 256);
    assert_ok(
        resolve(NULL, "{\"do_sample\": false, \"temperature\": 0.5, \"top_k\": 7, \"eos_token_id\": [3, 4]}", true));
    assert_true(!config.do_sample && config.temperature == 0.5 && config.top_k == 7 && config.max_new_tokens == 256);
    assert_true(config.eos_token_id.count == 2 && config.eos_token_id.ids[1] == 4);
    assert_ok(resolve("{\"temperature\": 0.25, \"eos_token_id\": 9}",
                      "{\"temperature\": 0.5, \"top_p\": 0.9, \"eos_token_id\": [3, 4]}", true));
    assert_true(config.temperature == 0.25 && config.top_p == 0.9 && config.eos_token_id.count == 1 &&
                config.eos_token_id.ids[0] == 9);
    assert_ok(resolve(NULL, "{\"temperature\": null, \"_from_model_config\": true, \"use_cache\": false, \"own\": [1]}",
                      true)); /* null is absent */
    assert_true(config.temperature == 0.7);
    assert_ok(resolve("{\"top_k\": null, \"eos_token_id\": null, \"min_p\": null}",
                      "{\"top_k\": 7, \"eos_token_id\": 3, \"min_p\": 0.1}", true)); /* off */
    assert_true(config.top_k == 0 && config.eos_token_id.count == 0 && config.min_p == 0);
}

static void a_length_that_is_set_replaces_the_default_number_of_tokens(void **state)
{
    (void)state;
    assert_ok(resolve("{\"max_length\": 30}", NULL, true));
    assert_true(config.max_new_tokens == -1 && config.max_length == 30);
    assert_ok(resolve(NULL, "{\"max_length\": 40}", true));
    assert_true(config.max_new_tokens == -1 && config.max_length == 40);
    assert_ok(
        resolve("{\"max_length\": 30}", "{\"max_new_tokens\": 5}", true)); /* max_new_tokens wins wherever it is set */
    assert_true(config.max_new_tokens == 5);
    assert_ok(resolve("{\"max_length\": null}", "{\"max_length\": 40}", true));
    assert_true(config.max_new_tokens == 256 && config.max_length == -1);
}

static void what_would_change_the_result_is_refused_by_name(void **state)
{
    (void)state;
    assert_int_equal(resolve(NULL, "{\"num_beams\": 4}", true), STATUS_UNSUPPORTED);
    told("DIR/generation_config.json: num_beams");
    told("give --num_beams 1");
    assert_ok(resolve("{\"num_beams\": 1}", "{\"num_beams\": 4}", true));
    assert_int_equal(resolve("{\"num_beams\": 2}", NULL, true), STATUS_USAGE);
    assert_int_equal(resolve(NULL, "{\"force_words_ids\": [[3]]}", true), STATUS_UNSUPPORTED);
    told("--force_words_ids null");
    assert_ok(resolve("{\"force_words_ids\": null}", "{\"force_words_ids\": [[3]]}", true));
    assert_ok(resolve(NULL, "{\"bad_words_ids\": [[3], [4, 5]], \"typical_p\": 0.9, \"stop_strings\": \"x\"}", true));
    assert_true(config.typical_p == 0.9);
    assert_ok(resolve(NULL,
                      "{\"num_beams\": 1, \"typical_p\": 1.0, \"bad_words_ids\": [], \"guidance_scale\": null, "
                      "\"remove_invalid_values\": false}",
                      true));
    assert_int_equal(resolve(NULL, "{\"guidance_scale\": 2.0}", true), STATUS_UNSUPPORTED);
    assert_int_equal(resolve("{\"do_sample\": false, \"num_return_sequences\": 2}", NULL, true), STATUS_USAGE);
    told("do_sample");
}

static void wrong_types_and_values_are_named(void **state)
{
    static const struct {
        const char *json, *says;
    } cases[] = {
        {"{\"temperature\": 0}",
         "temperature must be above 0; for the likeliest token each time set do_sample to false"},
        {"{\"temperature\": \"hot\"}", "temperature must be"},
        {"{\"top_p\": 1.5}", "top_p must be a number from 0 to 1"},
        {"{\"top_k\": 2.5}", "top_k must be an integer"},
        {"{\"top_k\": -3}", "top_k must be an integer"},
        {"{\"do_sample\": 1}", "do_sample must be true or false"},
        {"{\"eos_token_id\": [1, \"a\"]}", "eos_token_id must be"},
        {"{\"eos_token_id\": -7}", "eos_token_id must be"},
        {"{\"eos_token_id\": {}}", "eos_token_id must be"},
        {"{\"eos_token_id\": 3e9}", "eos_token_id must be"},
        {"{\"bad_words_ids\": [3]}", "bad_words_ids must be"},
        {"{\"stop_strings\": [1]}", "stop_strings must be"},
        {"{\"typical_p\": 2}", "typical_p must be"},
        {"{\"repetition_penalty\": 0}", "repetition_penalty must be a number above 0"},
        {"{\"max_new_tokens\": 0}", "max_new_tokens must be an integer, 1 or more"},
        {"{\"no_repeat_ngram_size\": NaN}", "no_repeat_ngram_size must be"},
        {"{\"min_p\": -0.5}", "min_p must be"},
        {"{\"num_return_sequences\": 0}", "num_return_sequences must be"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(resolve(NULL, cases[i].json, true), STATUS_FORMAT);
        told(cases[i].says);
        told("DIR/generation_config.json");
        assert_int_equal(resolve(cases[i].json, NULL, true), STATUS_USAGE);
        told(cases[i].says);
    }
    assert_ok(resolve("{\"temperature\": 0, \"do_sample\": false}", NULL, true)); /* nothing is drawn */
    assert_ok(resolve(NULL, "{\"temperature\": 0, \"do_sample\": false}", true));
    assert_int_equal(resolve("{\"do_sample\": true}", "{\"temperature\": 0, \"do_sample\": false}", true),
                     STATUS_FORMAT);
    told("set do_sample to false");
    assert_ok(resolve(NULL, "{\"pad_token_id\": -1, \"eos_token_id\": -1}", true)); /* "none" in old files */
    assert_int_equal(config.eos_token_id.count, 0);
}

static void arguments_are_read_by_their_type(void **state)
{
    cJSON *call = cJSON_CreateObject();
    (void)state;
    assert_ok(generation_settings_put(call, "top_k", "5"));
    assert_ok(generation_settings_put(call, "top_k", "6"));
    assert_ok(generation_settings_put(call, "do_sample", "yes"));
    assert_ok(generation_settings_put(call, "temperature", "1e-1"));
    assert_ok(generation_settings_put(call, "eos_token_id", "[5, 6]"));
    assert_ok(generation_settings_put(call, "num_beams", "1"));
    assert_ok(generation_settings_put(call, "bad_words_ids", "None"));
    assert_ok(generation_config_resolve(call, NULL, "", DEFAULTS_LIBRARY, arena, &config));
    assert_true(config.top_k == 6 && config.do_sample && config.temperature == 0.1 && config.eos_token_id.count == 2 &&
                config.eos_token_id.ids[1] == 6);
    assert_int_equal(generation_settings_put(call, "top_k", "x"), STATUS_USAGE);
    assert_int_equal(generation_settings_put(call, "top_k", ""), STATUS_USAGE);
    assert_int_equal(generation_settings_put(call, "top_q", "1"), STATUS_USAGE);
    assert_int_equal(generation_settings_put(call, "eos_token_id", "[5,"), STATUS_FORMAT);
    assert_int_equal(generation_settings_put(call, "temperature", "-1"), STATUS_USAGE);
    told("temperature must be");
    cJSON_Delete(call);
}

/* ---- the model's directory --------------------------------------------------------------------------------------- */

static char dir[] = "/tmp/hone-generation-XXXXXX";

static void write_text(const char *name, const char *text)
{
    char path[300];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    if (text)
        assert_ok(file_replace(path, text, strlen(text)));
    else
        assert_ok(file_remove(path));
}

static Status read_dir(const char *generation, const char *model, const Tokenizer *tokenizer)
{
    cJSON *settings = NULL;
    write_text("generation_config.json", generation);
    write_text("config.json", model);
    Status st = generation_settings_read(dir, tokenizer, &settings);
    if (!st) st = generation_config_resolve(NULL, settings, dir, DEFAULTS_PIPELINE, arena, &config);
    cJSON_Delete(settings);
    return st;
}

static void token_ids_come_from_generation_config_then_config_then_the_tokenizer(void **state)
{
    Tokenizer *tokenizer;
    (void)state;
    assert_ok(tokenizer_load(FIXTURES "/models/gpt2_tiny", &tokenizer));
    assert_ok(read_dir("{\"eos_token_id\": [1, 2]}", "{\"eos_token_id\": 3, \"bos_token_id\": 4}", tokenizer));
    assert_true(config.eos_token_id.count == 2 && config.eos_token_id.ids[0] == 1 && config.bos_token_id == 4);
    assert_ok(read_dir("{\"eos_token_id\": null}", "{\"eos_token_id\": 3}", tokenizer));
    assert_true(config.eos_token_id.count == 1 && config.eos_token_id.ids[0] == 3 && config.bos_token_id == 319);
    assert_ok(read_dir(NULL, "{}", tokenizer));
    assert_true(config.eos_token_id.count == 1 && config.eos_token_id.ids[0] == 319);
    assert_ok(read_dir(NULL, NULL, NULL));
    assert_true(config.eos_token_id.count == 0 && config.bos_token_id == -1);
    tokenizer_free(tokenizer);
}

static void a_config_without_generation_config_says_how_to_generate(void **state)
{
    const char *old = "{\"max_length\": 12, \"do_sample\": false, \"top_k\": 7, \"n_layer\": 2, \"temperature\": null}";
    (void)state;
    assert_ok(read_dir(NULL, old, NULL));
    assert_true(config.max_length == 12 && config.max_new_tokens == -1 && !config.do_sample && config.top_k == 7 &&
                config.temperature == 0.7);
    assert_ok(read_dir("{}", old, NULL)); /* which is all there is then */
    assert_true(config.max_length == -1 && config.max_new_tokens == 256 && config.do_sample && config.top_k == 50);
    assert_int_equal(read_dir(NULL, "{\"num_beams\": 4}", NULL), STATUS_UNSUPPORTED);
    told("num_beams");
}

static void malformed_files_are_errors_that_name_them(void **state)
{
    static const char *const broken[] = {"", "[]", "{", "{\"top_k\": }", "nul", "{\"top_k\": 1, \"top_k\": 2}", "\xff"};
    (void)state;
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
        assert_int_equal(read_dir(broken[i], "{}", NULL), STATUS_FORMAT);
        told("generation_config.json");
    }
    assert_int_equal(read_dir(NULL, "3", NULL), STATUS_FORMAT);
    told("config.json");
    assert_int_equal(read_dir(NULL, "{\"eos_token_id\": \"a\"}", NULL), STATUS_FORMAT);
}

static int make_dir(void **state)
{
    (void)state;
    return arena_new(&arena) || !mkdtemp(dir);
}

static int remove_dir(void **state)
{
    (void)state;
    arena_free(arena);
    return dir_remove(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_call_wins_then_the_model_then_the_pipeline_then_the_library),
        cmocka_unit_test(a_length_that_is_set_replaces_the_default_number_of_tokens),
        cmocka_unit_test(what_would_change_the_result_is_refused_by_name),
        cmocka_unit_test(wrong_types_and_values_are_named),
        cmocka_unit_test(arguments_are_read_by_their_type),
        cmocka_unit_test(token_ids_come_from_generation_config_then_config_then_the_tokenizer),
        cmocka_unit_test(a_config_without_generation_config_says_how_to_generate),
        cmocka_unit_test(malformed_files_are_errors_that_name_them),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
