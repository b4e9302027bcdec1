/* links: models */
/* Any bytes as a model's config.json, or as config_overrides, are refused with a line or declare a model; its config,
 * written, declares the same one. */
#include "tests/fuzz/fuzz.h"
#include "trainer/models/model.h"

static void try_config(cJSON *config)
{
    Model *m, *again;
    cJSON *parsed;
    Text text = {0};
    if (model_new(config, "config.json", &m) != OK) {
        FUZZ_CHECK(*status_message());
        return;
    }
    FUZZ_CHECK(m->params.elements > 0 && m->params.flat_count >= m->params.elements);
    FUZZ_CHECK(m->head && m->vocab_size > 0 && m->hidden_size > 0 && m->max_positions > 0 && m->num_layers > 0);
    FUZZ_CHECK(model_flos_parameters(m) >= 0);
    for (size_t i = 0; i < m->params.count; i++) {
        const Parameter *p = m->params.list[i];
        FUZZ_CHECK(p->count > 0 && p->offset >= 0 && p->offset <= m->params.flat_count - p->count);
    }
    cJSON *out = model_config_out(m);
    FUZZ_CHECK(out);
    json_add(&text, out, 2, true);
    cJSON_Delete(out);
    FUZZ_CHECK(json_parse(text.data, text.size, "again", &parsed) == OK);
    FUZZ_CHECK(model_new(parsed, "again", &again) == OK);
    FUZZ_CHECK(again->params.elements == m->params.elements && again->params.count == m->params.count);
    text_free(&text);
    model_free(again);
    model_free(m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cJSON *config;
    char *text = malloc(size + 1);
    FUZZ_CHECK(text);
    if (size) memcpy(text, data, size);
    text[size] = '\0';
    if (json_parse(text, size, "config.json", &config) == OK) {
        if (cJSON_IsObject(config)) try_config(config);
        else cJSON_Delete(config);
    }
    if (model_config_make("gpt2", text, &config) == OK) try_config(config);
    else FUZZ_CHECK(*status_message());
    free(text);
    return 0;
}
