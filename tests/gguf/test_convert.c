/* links: test_support */
/* GGUF files made by the Python package gguf become directories that compute what transformers computes from the files,
 * with the tokenizers that they were made from; and directories come back from a GGUF file of ours as they were. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/test_model.h"
#include "trainer/checkpoint/safetensors_write.h"
#include "trainer/gguf/convert.h"
#include "trainer/gguf/gguf.h"
#include "trainer/tokenizer/tokenizer.h"

static char dir[64];
static Arena *arena;

static int begin(void **state)
{
    (void)state;
    strcpy(dir, "/tmp/hone-gguf-XXXXXX");
    return !mkdtemp(dir) || arena_new(&arena);
}

static int end(void **state)
{
    (void)state;
    arena_free(arena);
    return dir_remove(dir);
}

static char *in_dir(const char *name)
{
    char *path = path_join(arena, dir, name);
    assert_non_null(path);
    return path;
}

static void convert(const char *from, const char *to, GgufOptions options)
{
    GgufReport report;
    options.overwrite = true;
    Status st = path_is_dir(from) ? gguf_from_directory(from, to, &options, arena, &report)
                                  : gguf_to_directory(from, to, &options, arena, &report);
    if (st) fail_msg("%s: %s", from, status_message());
    assert_true(report.tensors > 0 && report.bytes > 0 && *report.dtype && *report.model_type);
}

static void refused(const char *from, const char *to, GgufOptions options, Status status, const char *says)
{
    GgufReport report;
    Status st = path_is_dir(from) ? gguf_from_directory(from, to, &options, arena, &report)
                                  : gguf_to_directory(from, to, &options, arena, &report);
    if (st != status || !strstr(status_message(), says))
        fail_msg("%s: %s, %s; wanted %s", from, status_name(st), status_message(), says);
}

/* ---- files of the Python package ---- */
static void check_logits(const char *name, const char *model, double tolerance)
{
    enum { T = 34, SHOWN = 64 };
    int32_t ids[T], cu[3];
    float want[T * SHOWN], have[T * SHOWN];
    Safetensors *golden;
    TestModel m;
    const char *path = arena_printf(arena, FIXTURES "/gguf/%s.safetensors", name);
    assert_ok(safetensors_open(path, &golden));
    assert_ok(tensor_read(safetensors_find(golden, "input_ids"), 0, T, DTYPE_I32, ids));
    assert_ok(tensor_read(safetensors_find(golden, "cu_seqlens"), 0, 3, DTYPE_I32, cu));
    assert_ok(tensor_read(safetensors_find(golden, "logits"), 0, T * SHOWN, DTYPE_F32, want));
    safetensors_close(golden);
    test_model_open(&m, model, isa_detect(), 1);
    Batch b = test_batch(ids, cu, 2);
    tape_begin(&m.tape, TAPE_EVAL, &b, 0);
    Tensor *logits = op_linear(&m.tape, model_forward(&m.tape, m.model, &b), &m.model->head->value, NULL, OUT_IN,
                               ACT_NONE);
    assert_ok(tape_status(&m.tape));
    float cap = m.model->logit_softcap;
    for (int t = 0; t < T; t++)
        for (int k = 0; k < SHOWN; k++) {
            float x = ((const float *)logits->data)[t * logits->cols + k];
            have[t * SHOWN + k] = cap > 0 ? cap * tanhf(x / cap) : x;
        }
    assert_close(name, have, want, T * SHOWN, tolerance, 1e-3);
    test_batch_free(&b);
    test_model_close(&m);
}

static void assert_ids(const char *text, const Encoding *e, const cJSON *want)
{
    const cJSON *id;
    int64_t i = 0;
    cJSON_ArrayForEach(id, want)
    {
        if (i >= e->count || e->ids[i] != id->valueint) fail_msg("\"%s\": token %lld", text, (long long)i);
        i++;
    }
    if (i != e->count) fail_msg("\"%s\": %lld tokens, wanted %lld", text, (long long)e->count, (long long)i);
}

/* tests/fixtures/tokenizer/NAME/cases.json; special: these files' post-processors say what is added. */
static void check_ids(const char *model, const char *name, bool special)
{
    cJSON *cases, *c;
    Tokenizer *t;
    Encoding e = {0};
    int count = 0;
    assert_ok(json_read_file(arena_printf(arena, FIXTURES "/tokenizer/%s/cases.json", name), &cases));
    assert_ok(tokenizer_load(model, &t));
    cJSON_ArrayForEach(c, cases)
    {
        const char *text = cJSON_GetObjectItem(c, "text")->valuestring;
        const cJSON *ids = cJSON_GetObjectItem(c, "ids"), *with = cJSON_GetObjectItem(c, "special_ids");
        if (strstr(text, "\xc3\xa9t\xc3\xa9")) continue; /* a token of qwen2's that is `normalized` */
        assert_ok(tokenizer_encode(t, text, strlen(text), 0, &e));
        assert_ids(text, &e, ids);
        assert_ok(tokenizer_encode(t, text, strlen(text), ENCODE_SPECIAL, &e));
        if (special) assert_ids(text, &e, with ? with : ids);
        count++;
    }
    assert_true(count > 50);
    encoding_free(&e);
    tokenizer_free(t);
    cJSON_Delete(cases);
}

static const struct {
    const char *file, *tokenizer, *dtype;
} files[] = {{"llama_smollm", "smollm", "float32"},
             {"llama_sentencepiece", "llama2", "float16"},
             {"gemma2_sentencepiece", "gemma", "bfloat16"}};
enum { FILES = sizeof files / sizeof *files };

static void files_of_gguf_compute_and_tokenize_what_they_did(void **state)
{
    (void)state;
    Threads *threads = threads_new(3);
    for (int i = 0; i < FILES; i++) {
        const char *model = in_dir(files[i].file);
        convert(arena_printf(arena, FIXTURES "/gguf/%s.gguf", files[i].file), model, (GgufOptions){.threads = threads});
        check_logits(files[i].file, model, 2e-5);
        check_ids(model, files[i].tokenizer, true);
        cJSON *config;
        assert_ok(model_config_read(model, &config));
        assert_string_equal(cJSON_GetObjectItem(config, "dtype")->valuestring, files[i].dtype);
        const cJSON *rope = cJSON_GetObjectItem(cJSON_GetObjectItem(config, "rope_parameters"), "rope_type");
        assert_string_equal(rope->valuestring, i == 1 ? "llama3" : "default"); /* known by its factors alone */
        cJSON_Delete(config);
    }
    threads_free(threads);
}

static cJSON *read_json(const char *directory, const char *name)
{
    cJSON *json;
    assert_ok(json_read_file(path_join(arena, directory, name), &json));
    return json;
}

static void the_template_and_the_ids_that_play_a_part_are_there(void **state)
{
    (void)state;
    const char *model = in_dir("parts");
    convert(FIXTURES "/gguf/llama_smollm.gguf", model, (GgufOptions){0});
    cJSON *config = read_json(model, "tokenizer_config.json"), *generation = read_json(model, "generation_config.json");
    assert_non_null(strstr(cJSON_GetObjectItem(config, "chat_template")->valuestring, "add_generation_prompt"));
    assert_string_equal(cJSON_GetObjectItem(config, "eos_token")->valuestring, "<|im_end|>");
    assert_string_equal(cJSON_GetObjectItem(config, "bos_token")->valuestring, "<|im_start|>");
    assert_string_equal(cJSON_GetObjectItem(config, "unk_token")->valuestring, "<|endoftext|>");
    assert_int_equal(cJSON_GetObjectItem(generation, "eos_token_id")->valueint, 502);
    assert_int_equal(cJSON_GetObjectItem(generation, "pad_token_id")->valueint, 502);
    cJSON_Delete(config);
    cJSON_Delete(generation);
}

/* Weights of zeros and a config, with room for 1024 tokens. */
static void write_model(const char *model)
{
    static const char config[] =
        "{\"model_type\":\"llama\",\"vocab_size\":1024,\"hidden_size\":8,\"intermediate_size\":8,"
        "\"num_hidden_layers\":1,\"num_attention_heads\":2,\"max_position_embeddings\":32,"
        "\"rms_norm_eps\":1e-6,\"tie_word_embeddings\":true}";
    static const struct { const char *name; int rows, cols; } shapes[] = {
        {"model.embed_tokens.weight", 1024, 8},          {"model.layers.0.input_layernorm.weight", 8, 0},
        {"model.layers.0.self_attn.q_proj.weight", 8, 8}, {"model.layers.0.self_attn.k_proj.weight", 8, 8},
        {"model.layers.0.self_attn.v_proj.weight", 8, 8}, {"model.layers.0.self_attn.o_proj.weight", 8, 8},
        {"model.layers.0.post_attention_layernorm.weight", 8, 0},
        {"model.layers.0.mlp.gate_proj.weight", 8, 8},   {"model.layers.0.mlp.up_proj.weight", 8, 8},
        {"model.layers.0.mlp.down_proj.weight", 8, 8},   {"model.norm.weight", 8, 0}};
    enum { N = sizeof shapes / sizeof *shapes };
    static const float zeros[1024 * 8];
    TensorSpec specs[N];
    SafetensorsWriter *w;
    uint64_t bytes, hash;
    for (int k = 0; k < N; k++)
        specs[k] = (TensorSpec){.name = shapes[k].name, .dtype = DTYPE_F32, .ndim = shapes[k].cols ? 2 : 1,
                                .shape = {shapes[k].rows, shapes[k].cols}};
    assert_ok(dir_make(model));
    assert_ok(file_replace(path_join(arena, model, "config.json"), config, sizeof config - 1));
    assert_ok(safetensors_create(path_join(arena, model, "model.safetensors"), specs, N, NULL, 0, &w));
    for (size_t k = 0; k < N; k++) {
        size_t s = safetensors_writer_order(w, k);
        assert_ok(safetensors_write(w, DTYPE_F32, zeros, shapes[s].rows * (shapes[s].cols ? shapes[s].cols : 1)));
    }
    assert_ok(safetensors_finish(w, &bytes, &hash));
    safetensors_writer_free(w);
}

/* llama.cpp merges by the scores of what comes out: a token's is the place of the first merge that makes it. */
static void check_scores(const Gguf *g)
{
    const GgufValue *scores;
    const GgufString *tokens, *merges;
    size_t num_tokens, num_merges, first = 0;
    assert_ok(gguf_real_array(g, "tokenizer.ggml.scores", &scores));
    assert_ok(gguf_texts(g, "tokenizer.ggml.tokens", &tokens, &num_tokens));
    assert_ok(gguf_texts(g, "tokenizer.ggml.merges", &merges, &num_merges));
    assert_true(scores && num_merges > 100);
    for (size_t i = 0; i < num_merges; i++) {
        const char *space = strchr(merges[i].data + 1, ' ');
        const char *made = arena_printf(arena, "%.*s%s", (int)(space - merges[i].data), merges[i].data, space + 1);
        size_t id = 0;
        while (id < num_tokens && strcmp(tokens[id].data, made)) id++;
        assert_true(id < num_tokens && gguf_real_item(scores, id) >= -(float)i);
        first += gguf_real_item(scores, id) == -(float)i;
    }
    assert_true(first > num_merges / 2);
}

static void tokenizers_come_back_with_the_name_of_how_they_split(void **state)
{
    (void)state;
    static const char *const names[] = {"smollm", "llama3", "qwen2", "gpt2_small", "llama2", "gemma"};
    static const char *const pres[] = {"smollm", "llama-bpe", "qwen2", "gpt-2", "default", "default"};
    const char *model = in_dir("with"), *file = in_dir("with.gguf"), *again = in_dir("again");
    write_model(model);
    for (int i = 0; i < 6; i++) {
        const char *source = arena_printf(arena, FIXTURES "/tokenizer/%s", names[i]), *pre;
        char *text;
        Gguf *g;
        size_t size;
        assert_ok(file_read_all(path_join(arena, source, "tokenizer.json"), arena, 1 << 24, &text, &size));
        assert_ok(file_replace(path_join(arena, model, "tokenizer.json"), text, size));
        convert(model, file, (GgufOptions){0});
        assert_ok(gguf_open(file, &g));
        assert_ok(gguf_text(g, "tokenizer.ggml.pre", &pre));
        assert_string_equal(pre, pres[i]);
        if (i >= 4) check_scores(g);
        gguf_close(g);
        convert(file, again, (GgufOptions){0});
        check_ids(again, names[i], i != 3);
        cJSON *a = read_json(source, "tokenizer.json"), *b = read_json(again, "tokenizer.json");
        assert_true(cJSON_Compare(cJSON_GetObjectItem(a, "normalizer"), cJSON_GetObjectItem(b, "normalizer"), true));
        assert_true(cJSON_Compare(cJSON_GetObjectItem(cJSON_GetObjectItem(a, "model"), "merges"),
                                  cJSON_GetObjectItem(cJSON_GetObjectItem(b, "model"), "merges"), true));
        cJSON_Delete(a);
        cJSON_Delete(b);
    }
}

/* ---- directories, there and back ---- */
static void assert_same_tensors(const char *a_path, const char *b_path, double tolerance)
{
    TensorStore *a, *b;
    assert_ok(tensor_store_open(a_path, &a));
    assert_ok(tensor_store_open(b_path, &b));
    for (size_t i = 0; i < tensor_store_count(b); i++) {
        const TensorInfo *y = tensor_store_at(b, i), *x = tensor_store_find(a, y->name);
        if (!x) fail_msg("%s: %s is new", b_path, y->name);
        assert_true(x->dtype == y->dtype && x->ndim == y->ndim && !memcmp(x->shape, y->shape, sizeof x->shape));
        float *p = malloc((size_t)x->numel * 4), *q = malloc((size_t)x->numel * 4);
        assert_ok(tensor_read(x, 0, x->numel, DTYPE_F32, p));
        assert_ok(tensor_read(y, 0, y->numel, DTYPE_F32, q));
        for (int64_t k = 0; k < x->numel; k++)
            if (!(fabs((double)p[k] - (double)q[k]) <= tolerance))
                fail_msg("%s of %s: %lld", y->name, a_path, (long long)k);
        free(p);
        free(q);
    }
    assert_int_equal(tensor_store_count(a), tensor_store_count(b));
    tensor_store_close(a);
    tensor_store_close(b);
}

/* What the config says, except for what only training reads. */
static void assert_same_config(const char *a_dir, const char *b_dir)
{
    static const char *const other[] = {"attention_dropout", "initializer_range", "transformers_version", "use_cache",
                                        "pretraining_tp", "attn_pdrop", "embd_pdrop", "resid_pdrop", "n_inner",
                                        "layer_types", "max_window_layers", "rope_parameters", "sliding_window"};
    cJSON *a = read_json(a_dir, "config.json"), *b = read_json(b_dir, "config.json");
    for (const cJSON *item = a->child; item; item = item->next) {
        bool skip = cJSON_IsNull(item) || strncmp(item->string, "summary", 7) == 0 ||
                    (cJSON_IsFalse(item) && !cJSON_GetObjectItem(b, item->string));
        for (size_t k = 0; k < sizeof other / sizeof *other; k++) skip |= strcmp(other[k], item->string) == 0;
        if (!skip && !cJSON_Compare(item, cJSON_GetObjectItem(b, item->string), true))
            fail_msg("%s: %s", a_dir, item->string);
    }
    const cJSON *p = cJSON_GetObjectItem(a, "rope_parameters"), *q = cJSON_GetObjectItem(b, "rope_parameters");
    for (const cJSON *item = p ? p->child : NULL; item; item = item->next)
        if (!cJSON_Compare(item, cJSON_GetObjectItem(q, item->string), true))
            fail_msg("%s: rope %s", a_dir, item->string);
    cJSON_Delete(a);
    cJSON_Delete(b);
}

static void directories_come_back_as_they_were(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        double tolerance; /* Gemma's norms are stored as 1 + w: what is below the last bit of that is lost */
    } models[] = {{"gpt2_tiny", 0},     {"gpt2_bf16", 0},     {"gpt2_f16", 0},       {"gpt2_untied", 0},
                  {"llama_grouped", 0}, {"llama_llama3", 0},  {"llama_longrope", 0}, {"llama_longrope_short", 0},
                  {"llama_yarn", 0},    {"mistral_window", 0}, {"qwen3_norms", 0},   {"llama_biases_linear", 0},
                  {"gemma2_caps", 6e-8}};
    for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
        const char *model = arena_printf(arena, FIXTURES "/models/%s", models[i].name);
        convert(model, in_dir("there.gguf"), (GgufOptions){0});
        convert(in_dir("there.gguf"), in_dir("back"), (GgufOptions){0});
        assert_same_tensors(model, in_dir("back"), models[i].tolerance);
        assert_same_config(model, in_dir("back"));
    }
}

static void outtypes_and_dtypes_are_what_is_asked_for(void **state)
{
    (void)state;
    static const char *const outtypes[] = {"f32", "f16", "bf16", "q8_0"}, *const types[] = {"F32", "F16", "BF16",
                                                                                           "Q8_0"};
    static const char *const dtypes[] = {"float32", "float16", "bfloat16", "float32"};
    /* rows of 32 and 64, all of them whole blocks */
    convert(FIXTURES "/gguf/llama_smollm.gguf", in_dir("source"), (GgufOptions){0});
    for (int i = 0; i < 4; i++) {
        Gguf *g;
        int64_t file_type;
        static const int64_t file_types[] = {0, 1, 32, 7};
        convert(in_dir("source"), in_dir("as.gguf"), (GgufOptions){.outtype = outtypes[i]});
        assert_ok(gguf_open(in_dir("as.gguf"), &g));
        assert_string_equal(gguf_tensor_find(g, "blk.0.ffn_up.weight")->type->name, types[i]);
        assert_string_equal(gguf_tensor_find(g, "blk.0.ffn_norm.weight")->type->name, "F32");
        assert_ok(gguf_int(g, "general.file_type", &file_type));
        assert_int_equal(file_type, file_types[i]);
        gguf_close(g);
        convert(in_dir("as.gguf"), in_dir("as"), (GgufOptions){0});
        cJSON *config = read_json(in_dir("as"), "config.json");
        assert_string_equal(cJSON_GetObjectItem(config, "dtype")->valuestring, dtypes[i]);
        cJSON_Delete(config);
        /* a second time nothing is lost, whatever the first rounding was */
        convert(in_dir("as"), in_dir("as2.gguf"), (GgufOptions){.outtype = outtypes[i]});
        convert(in_dir("as2.gguf"), in_dir("as2"), (GgufOptions){0});
        assert_same_tensors(in_dir("as"), in_dir("as2"), i == 3 ? 1e-6 : 0);
    }
    convert(in_dir("as.gguf"), in_dir("low"), (GgufOptions){.dtype = "bfloat16"});
    TensorStore *store;
    assert_ok(tensor_store_open(in_dir("low"), &store));
    for (size_t i = 0; i < tensor_store_count(store); i++)
        assert_int_equal(tensor_store_at(store, i)->dtype, DTYPE_BF16);
    tensor_store_close(store);
}

static void what_cannot_be_said_is_refused_by_name(void **state)
{
    (void)state;
    GgufOptions o = {.overwrite = true};
    const char *file = in_dir("none.gguf");
    refused(FIXTURES "/models/llama_dynamic", file, o, STATUS_UNSUPPORTED, "type dynamic");
    refused(FIXTURES "/models/llama_yarn_options", file, o, STATUS_UNSUPPORTED, "mscale");
    refused(FIXTURES "/models/qwen2_window", file, o, STATUS_UNSUPPORTED, "`use_sliding_window` is not false");
    refused(FIXTURES "/models/gpt2_options", file, o, STATUS_UNSUPPORTED, "`activation_function`");
    refused(FIXTURES "/models/gpt2_tiny", file, (GgufOptions){.outtype = "q3"}, STATUS_USAGE, "f32, f16, bf16 or q8_0");
    refused(FIXTURES "/models/gpt2_tiny", file, (GgufOptions){.pre = "x"}, STATUS_USAGE, "--pre is x");
    refused(FIXTURES "/gguf/llama_smollm.gguf", in_dir("none"), (GgufOptions){.dtype = "int8"}, STATUS_USAGE,
            "float32, bfloat16 or float16");
    refused(FIXTURES "/gguf/llama_smollm.gguf", in_dir("none"), (GgufOptions){.pre = "hexagons"}, STATUS_UNSUPPORTED,
            "hexagons");
    refused(FIXTURES "/gguf/blocks.gguf", in_dir("none"), o, STATUS_UNSUPPORTED,
            "blocks, which hone does not have; it has: gemma2");
    assert_false(path_exists(file));
    assert_false(path_exists(in_dir("none")));
    assert_false(path_exists(in_dir("none.partial")));
    assert_false(path_exists(in_dir("none.gguf.partial")));
}

static void nothing_is_replaced_unasked(void **state)
{
    (void)state;
    assert_ok(dir_make(in_dir("full")));
    assert_ok(file_replace(in_dir("full/x"), "x", 1));
    assert_ok(file_replace(in_dir("file"), "x", 1));
    refused(FIXTURES "/gguf/llama_smollm.gguf", in_dir("full"), (GgufOptions){0}, STATUS_USAGE, "not empty");
    refused(FIXTURES "/gguf/llama_smollm.gguf", in_dir("file"), (GgufOptions){0}, STATUS_USAGE, "is a file");
    refused(FIXTURES "/models/gpt2_tiny", in_dir("file"), (GgufOptions){0}, STATUS_USAGE, "exists");
    refused(FIXTURES "/models/gpt2_tiny", in_dir("full"), (GgufOptions){.overwrite = true}, STATUS_USAGE, "directory");
    convert(FIXTURES "/gguf/llama_smollm.gguf", in_dir("full/"), (GgufOptions){0}); /* overwrites, when asked */
    assert_false(path_exists(in_dir("full/x")));
    assert_true(path_exists(in_dir("full/config.json")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files_of_gguf_compute_and_tokenize_what_they_did),
        cmocka_unit_test(the_template_and_the_ids_that_play_a_part_are_there),
        cmocka_unit_test(tokenizers_come_back_with_the_name_of_how_they_split),
        cmocka_unit_test(directories_come_back_as_they_were),
        cmocka_unit_test(outtypes_and_dtypes_are_what_is_asked_for),
        cmocka_unit_test(what_cannot_be_said_is_refused_by_name),
        cmocka_unit_test(nothing_is_replaced_unasked),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
