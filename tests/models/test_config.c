/* config.json of any content: what it cannot mean is refused with a line that names file and key, before memory is
 * asked for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "trainer/models/model.h"

static Status try_text(const char *text, Model **out)
{
    cJSON *config;
    if (json_parse(text, strlen(text), "dir/config.json", &config) != OK) fail_msg("%s", status_message());
    *out = NULL;
    return model_new(config, "dir/config.json", out);
}

static void assert_refused(const char *members, const char *word)
{
    Model *m;
    char text[1000];
    snprintf(text, sizeof text, "{\"model_type\": \"gpt2\"%s%s}", *members ? ", " : "", members);
    Status st = try_text(text, &m);
    if (st == OK) fail_msg("%s: taken", text);
    if (!strstr(status_message(), "dir/config.json") || !strstr(status_message(), word))
        fail_msg("%s: \"%s\" names no \"%s\"", text, status_message(), word);
}

static void values_out_of_range_or_of_the_wrong_type_are_refused_by_name(void **state)
{
    (void)state;
    static const char *const positive[] = {"vocab_size", "n_positions", "n_embd", "n_layer", "n_head", "n_inner"};
    static const char *const values[] = {"0",        "-1",    "1.5",  "2147483648", "1e30", "NaN",
                                         "Infinity", "\"8\"", "true", "[]",         "{}"};
    char member[100];
    for (size_t k = 0; k < sizeof positive / sizeof *positive; k++)
        for (size_t v = 0; v < sizeof values / sizeof *values; v++) {
            snprintf(member, sizeof member, "\"%s\": %s", positive[k], values[v]);
            assert_refused(member, positive[k]);
        }
    assert_refused("\"n_embd\": 10, \"n_head\": 3", "n_head");
    assert_refused("\"resid_pdrop\": 1", "resid_pdrop");
    assert_refused("\"embd_pdrop\": -0.1", "embd_pdrop");
    assert_refused("\"attn_pdrop\": NaN", "attn_pdrop");
    assert_refused("\"layer_norm_epsilon\": NaN", "layer_norm_epsilon");
    assert_refused("\"layer_norm_epsilon\": -1e-5", "layer_norm_epsilon");
    assert_refused("\"initializer_range\": Infinity", "initializer_range");
    assert_refused("\"initializer_range\": -0.02", "initializer_range");
    assert_refused("\"activation_function\": \"gelu_newer\"", "gelu_newer");
    assert_refused("\"activation_function\": 3", "activation_function");
    assert_refused("\"tie_word_embeddings\": \"yes\"", "tie_word_embeddings");
    assert_refused("\"add_cross_attention\": true", "add_cross_attention");
}

static void sizes_that_no_memory_holds_are_refused_without_asking_for_it(void **state)
{
    (void)state;
    assert_refused("\"n_layer\": 2147483647", "n_layer");
    assert_refused("\"n_layer\": 10001", "n_layer");
    assert_refused("\"n_embd\": 2147483647, \"n_head\": 1, \"n_inner\": 1", "2^48"); /* 3 * n_embd * n_embd overflows */
    assert_refused("\"n_embd\": 536870911, \"n_head\": 1", "2^48");
    assert_refused("\"vocab_size\": 2147483647, \"n_embd\": 1048576, \"n_head\": 1", "2^48");
}

static void a_config_without_its_type_is_refused(void **state)
{
    (void)state;
    Model *m;
    assert_int_not_equal(try_text("{}", &m), OK);
    assert_non_null(strstr(status_message(), "model_type"));
    assert_int_not_equal(try_text("{\"model_type\": 3}", &m), OK);
    assert_int_equal(try_text("{\"model_type\": \"gpt3\"}", &m), STATUS_UNSUPPORTED);
    assert_non_null(strstr(status_message(), "gpt2")); /* what there is */
}

static void a_key_that_differs_in_case_is_another_key(void **state)
{
    (void)state;
    Model *m;
    assert_int_equal(try_text("{\"model_type\": \"gpt2\", \"n_embd\": 4, \"n_head\": 1, \"n_layer\": 1, \"DTYPE\": 3, "
                              "\"Architectures\": 4}", &m), OK);
    cJSON *out = model_config_out(m);
    assert_non_null(out);
    assert_string_equal(cJSON_GetObjectItemCaseSensitive(out, "dtype")->valuestring, "float32");
    assert_int_equal(cJSON_GetObjectItemCaseSensitive(out, "DTYPE")->valueint, 3);
    assert_true(cJSON_IsArray(cJSON_GetObjectItemCaseSensitive(out, "architectures")));
    cJSON_Delete(out);
    model_free(m);
}

/* As transformers: another name of a key is the key, and wins over it; what is saved has the key's own name. */
static void keys_may_have_their_other_names(void **state)
{
    (void)state;
    Model *m;
    assert_int_equal(try_text("{\"model_type\": \"gpt2\", \"n_embd\": 4, \"num_attention_heads\": 2, "
                              "\"hidden_size\": 8, \"num_hidden_layers\": 3, \"max_position_embeddings\": 5}", &m), OK);
    assert_int_equal(m->hidden_size, 8);
    assert_int_equal(m->num_layers, 3);
    assert_int_equal(m->max_positions, 5);
    cJSON *out = model_config_out(m);
    assert_int_equal(cJSON_GetObjectItemCaseSensitive(out, "n_embd")->valueint, 8);
    assert_int_equal(cJSON_GetObjectItemCaseSensitive(out, "n_head")->valueint, 2);
    assert_null(cJSON_GetObjectItemCaseSensitive(out, "hidden_size"));
    cJSON_Delete(out);
    model_free(m);
    assert_refused("\"hidden_size\": \"x\"", "n_embd");
}

static void overrides_are_names_and_values(void **state)
{
    (void)state;
    static const char *const wrong[] = {"n_embd", "=3", "n embd=3", "n_embd=3,,n_head=1,x", "\xff=3", "a\"b=3"};
    cJSON *config;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        assert_int_equal(model_config_make("gpt2", wrong[i], &config), STATUS_USAGE);
        assert_non_null(strstr(status_message(), "config_overrides"));
    }
    assert_int_equal(
        model_config_make("gpt2", "n_embd=4, n_head=1,n_head=2,tie_word_embeddings=False,n_inner=None", &config), OK);
    assert_int_equal(cJSON_GetObjectItemCaseSensitive(config, "n_head")->valueint, 2);
    cJSON_Delete(config);
}

static void assert_override_refused(const char *overrides, const char *word)
{
    cJSON *config;
    if (model_config_make("gpt2", overrides, &config) != STATUS_USAGE) fail_msg("%s: not refused", overrides);
    if (!strstr(status_message(), "config_overrides: ") || !strstr(status_message(), word))
        fail_msg("%s: \"%s\" has no \"%s\"", overrides, status_message(), word);
}

/* As transformers' update_from_string. */
static void overrides_of_keys_that_the_type_lacks_or_of_a_wrong_type_are_refused(void **state)
{
    (void)state;
    assert_override_refused("n_layers=3", "gpt2 has no `n_layers`; did you mean `n_layer`?");
    assert_override_refused("n_embd=4,vocabsize=3", "did you mean `vocab_size`?");
    assert_override_refused("tie_words_embeddings=true", "did you mean `tie_word_embeddings`?");
    assert_override_refused("layers=3", "it has activation_function, ");
    assert_override_refused("layers=3", ", tie_word_embeddings");
    assert_override_refused("num_hidden_layer=3", "did you mean `num_hidden_layers`?");
    assert_override_refused("N_LAYER=3", "gpt2 has no `N_LAYER`");
    assert_override_refused("model_type=llama", "config_name");
    assert_override_refused("id2label={}", "config_name");
    static const char *const integers[] = {"", "x", "2.0", "1e3", "true", "null", "3 ", "99999999999999999999",
                                           "9007199254740993"};
    char pair[100];
    for (size_t i = 0; i < sizeof integers / sizeof *integers; i++) {
        snprintf(pair, sizeof pair, "n_layer=%s", integers[i]);
        assert_override_refused(pair, "must be an integer");
    }
    assert_override_refused("n_inner=x", "must be an integer or null");
    assert_override_refused("resid_pdrop=a", "must be a number");
    assert_override_refused("scale_attn_weights=2", "must be true or false");
    assert_override_refused("scale_attn_weights=null", "must be true or false");
    assert_override_refused("activation_function=", "must be a text");
}

static void overrides_are_typed_by_their_key(void **state)
{
    (void)state;
    cJSON *config;
    Text text = {0};
    assert_int_equal(model_config_make("gpt2",
                                       "num_hidden_layers=2,hidden_size=8,n_head=1,resid_pdrop=0,use_cache=N,"
                                       "tie_word_embeddings=YES,bos_token_id=-1,summary_type=1,n_inner=16,n_inner=null",
                                       &config), OK);
    json_add(&text, config, 0, true);
    assert_string_equal(text.data,
                        "{\"bos_token_id\": -1, \"model_type\": \"gpt2\", \"n_embd\": 8, \"n_head\": 1, "
                        "\"n_inner\": null, \"n_layer\": 2, \"resid_pdrop\": 0.0, \"summary_type\": \"1\", "
                        "\"tie_word_embeddings\": true, \"use_cache\": false}");
    text_free(&text);
    cJSON_Delete(config);
}

/* A key that model_new reads, or that a file of the reference's has, can be named. */
static void every_key_of_a_config_file_is_known(void **state)
{
    (void)state;
    cJSON *file, *config;
    assert_int_equal(model_config_read(FIXTURES "/models/gpt2_tiny", &file), OK);
    for (const cJSON *item = file->child; item; item = item->next) {
        char pair[100];
        snprintf(pair, sizeof pair, "%s=?", item->string);
        Status st = model_config_make("gpt2", pair, &config);
        if (st == OK) cJSON_Delete(config);
        else if (strstr(status_message(), "has no")) fail_msg("%s", status_message());
    }
    cJSON_Delete(file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_out_of_range_or_of_the_wrong_type_are_refused_by_name),
        cmocka_unit_test(sizes_that_no_memory_holds_are_refused_without_asking_for_it),
        cmocka_unit_test(a_config_without_its_type_is_refused),
        cmocka_unit_test(a_key_that_differs_in_case_is_another_key),
        cmocka_unit_test(keys_may_have_their_other_names),
        cmocka_unit_test(overrides_are_names_and_values),
        cmocka_unit_test(overrides_of_keys_that_the_type_lacks_or_of_a_wrong_type_are_refused),
        cmocka_unit_test(overrides_are_typed_by_their_key),
        cmocka_unit_test(every_key_of_a_config_file_is_known),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
