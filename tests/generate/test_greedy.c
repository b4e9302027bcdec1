/* links: test_support */
/* Greedy search finds transformers' tokens (tests/fixtures/generation/greedy.json): every model, many parameters,
 * prompts of different lengths alone and in one batch, each instruction set. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "tests/generate/generate_test.h"

enum { PROMPTS_MOST = 8 };

static void check_text(const GeneratedText *text, const cJSON *want, const char *what)
{
    int64_t count;
    int32_t *ids = integers(want, &count);
    for (int64_t i = 0; i < text->count && i < count; i++)
        if (text->ids[i] != ids[i])
            fail_msg("%s: token %d of the text is %d, not %d", what, (int)i, (int)text->ids[i], (int)ids[i]);
    if (text->count != count) fail_msg("%s: %d tokens, not %d", what, (int)text->count, (int)count);
    free(ids);
}

static void check_case(Generator *g, const cJSON *one, bool batch)
{
    Arena *arena;
    GenerationConfig config;
    GeneratedText *texts;
    Prompt prompts[PROMPTS_MOST];
    const cJSON *options = member(one, "options"), *given = member(one, "prompts"), *outputs = member(one, "outputs");
    int count = cJSON_GetArraySize(given);
    assert_in_range(count, 1, PROMPTS_MOST);
    assert_ok(arena_new(&arena));
    char what[400], *text = cJSON_PrintUnformatted(options);
    snprintf(what, sizeof what, "%s %s%s", member(one, "model")->valuestring, text, batch ? " in a batch" : "");
    free(text);
    cJSON *model = cJSON_CreateObject(); /* the fixtures' models name their last token */
    if (!cJSON_GetObjectItem(options, "eos_token_id"))
        cJSON_AddNumberToObject(model, "eos_token_id", strstr(what, "oddvocab") ? 388 : 319);
    assert_ok(generation_config_resolve(options, model, "model", DEFAULTS_LIBRARY, arena, &config));
    for (int i = 0; i < count; i++) prompts[i].ids = integers(cJSON_GetArrayItem(given, i), &prompts[i].count);
    if (batch) {
        assert_ok(generate(g, &config, prompts, count, 0, NULL, arena, &texts));
        for (int i = 0; i < count; i++) check_text(&texts[i], cJSON_GetArrayItem(outputs, i), what);
    } else {
        for (int i = 0; i < count; i++) {
            assert_ok(generate(g, &config, &prompts[i], 1, i, NULL, arena, &texts));
            check_text(texts, cJSON_GetArrayItem(outputs, i), what);
        }
    }
    for (int i = 0; i < count; i++) free((void *)(uintptr_t)prompts[i].ids);
    cJSON_Delete(model);
    arena_free(arena);
}

static void check_model(const cJSON *cases, const char *name, unsigned isa, int threads, int least)
{
    char path[512];
    TestModel m;
    Tokenizer *tokenizer;
    Generator *g;
    int checked = 0;
    snprintf(path, sizeof path, FIXTURES "/models/%s", name);
    test_model_open(&m, path, isa, threads);
    assert_ok(tokenizer_load(path, &tokenizer));
    assert_ok(generator_new(m.model, kernels_cpu(isa), m.stream, tokenizer, &g));
    for (const cJSON *one = cases->child; one; one = one->next)
        if (strcmp(member(one, "model")->valuestring, name) == 0) {
            check_case(g, one, false);
            check_case(g, one, true);
            checked++;
        }
    assert_true(checked >= least);
    generator_free(g);
    tokenizer_free(tokenizer);
    test_model_close(&m);
}

static void greedy_search_finds_the_tokens_of_transformers(void **state)
{
    static const char *const names[] = {"gpt2_tiny", "gpt2_oddvocab", "gpt2_options", "gpt2_untied",
                                        "gpt2_bf16", "gpt2_f16",      "gpt2_sharded", "gpt2_relu_unscaled"};
    static const char *const decoders[] = {"gemma2_caps", "llama_biases_linear", "llama_grouped", "llama_llama3",
                                           "llama_yarn", "mistral_window", "qwen2_window", "qwen3_norms"};
    cJSON *cases = fixture("greedy.json");
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) check_model(cases, names[i], isa_detect(), 2, 14);
    for (size_t i = 0; i < sizeof decoders / sizeof *decoders; i++)
        check_model(cases, decoders[i], isa_detect(), 2, 14);
    for (unsigned isa = ISA_BASE; isa < ISA_AVX512; isa <<= 1)
        if (isa_detect() & isa) check_model(cases, "gpt2_oddvocab", isa, 1, 14);
    cJSON_Delete(cases);
}

static void stop_strings_end_a_text_where_transformers_ends_it(void **state)
{
    static const char *const names[] = {"gpt2_tiny", "llama_grouped", "gemma2_caps"};
    cJSON *cases = fixture("stops.json");
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) check_model(cases, names[i], isa_detect(), 2, 5);
    cJSON_Delete(cases);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(greedy_search_finds_the_tokens_of_transformers),
        cmocka_unit_test(stop_strings_end_a_text_where_transformers_ends_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
