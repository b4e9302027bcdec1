/* links: models */
/* Any bytes as adapter_config.json are refused with a line, or make adapters beside a model, or do not fit it; what is
 * then written declares the same adapters. */
#include "tests/fuzz/fuzz.h"
#include "trainer/models/adapter.h"

static const char MODEL[] = "{\"model_type\":\"llama\",\"vocab_size\":11,\"hidden_size\":8,\"intermediate_size\":12,"
                            "\"num_hidden_layers\":2,\"num_attention_heads\":2,\"tie_word_embeddings\":true}";

static Status declare(const Adapter *adapter, Arena *arena, LoraSet *set, Model **model)
{
    cJSON *config;
    FUZZ_CHECK(lora_set_init(set, arena, &adapter->lora, 1) == OK);
    FUZZ_CHECK(json_parse(MODEL, sizeof MODEL - 1, "config.json", &config) == OK);
    return model_new_adapted(config, "config.json", set, model);
}

static void check(const Model *m, const LoraSet *set)
{
    const Parameters *ps = &m->params;
    FUZZ_CHECK(set->layers[0] > 0 && ps->num_trained >= 2 * (size_t)set->layers[0] && ps->num_trained <= ps->count);
    for (size_t i = 0; i < ps->num_trained; i++) {
        const Parameter *p = ps->trained[i];
        FUZZ_CHECK(!p->frozen && p->offset >= 0 && p->offset <= ps->flat_count - p->count);
    }
}

/* What is written declares as many parameters of the same size. */
static void write_again(const Model *m, const Adapter *adapter, Arena *arena)
{
    Text text = {0};
    cJSON *parsed, *out = adapter_config_out(m, 0, adapter->base, adapter->task_type);
    Adapter again;
    LoraSet set;
    Model *same;
    FUZZ_CHECK(out);
    json_add(&text, out, 2, true);
    cJSON_Delete(out);
    FUZZ_CHECK(json_parse(text.data, text.size, "again", &parsed) == OK);
    FUZZ_CHECK(adapter_parse(parsed, "again", "default", arena, &again) == OK);
    again.lora.lenient = adapter->lora.lenient;
    FUZZ_CHECK(declare(&again, arena, &set, &same) == OK);
    FUZZ_CHECK(same->params.trained_elements == m->params.trained_elements);
    cJSON_Delete(parsed);
    text_free(&text);
    model_free(same);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cJSON *config;
    Arena *arena;
    Adapter adapter;
    LoraSet set;
    Model *model;
    FUZZ_CHECK(arena_new(&arena) == OK);
    if (json_parse((const char *)data, size, "adapter_config.json", &config) == OK) {
        Status st = adapter_parse(config, "adapter_config.json", "default", arena, &adapter);
        cJSON_Delete(config);
        adapter.lora.lenient = size % 2;
        if (st == OK && (st = declare(&adapter, arena, &set, &model)) == OK) {
            check(model, &set);
            write_again(model, &adapter, arena);
            model_free(model);
        }
        FUZZ_CHECK(st == OK || *status_message());
    }
    arena_free(arena);
    return 0;
}
