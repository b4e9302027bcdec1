/* links: test_support config */
/* Supervised fine-tuning as a task: packed texts do not see each other and weigh what they weigh alone; what the
 * reference would count; which files ask for it; what people are shown; what the model's files become. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/support/test_model.h"
#include "trainer/base/file.h"
#include "trainer/base/log.h"
#include "trainer/tasks/task.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

extern const Task task_sft, task_text_generation;

static char root[] = "/tmp/hone_task_sft_XXXXXX";

typedef struct Run {
    Arena *arena;
    TrainingArguments args;
    TestModel model;
    Tokenizer *tokenizer;
    TaskContext context;
    Dataset *set;
} Run;

static void open_run(Run *r, const char *model, const char *file, const char *const *options)
{
    const char *argv[40] = {"--train_file", file, "--cache_dir", root, "--output_dir", root};
    int n = 6;
    while (*options) argv[n++] = *options++;
    *r = (Run){0};
    assert_ok(arena_new(&r->arena));
    assert_ok(arguments_load(n, (char **)(uintptr_t)argv, r->arena, &r->args));
    test_model_open(&r->model, model, isa_detect(), 1);
    assert_ok(tokenizer_load(model, &r->tokenizer));
    r->context = (TaskContext){
        .args = &r->args, .model = r->model.model, .tokenizer = r->tokenizer, .tokenizer_dir = model, .threads = 1};
}

#define OPEN(r, model, file, ...)                                                                                      \
    open_run(r, FIXTURES "/models/" model, file, (const char *const[]){__VA_ARGS__ __VA_OPT__(, ) NULL})

static void open_set(Run *r)
{
    if (task_sft.open(&r->context, SPLIT_TRAIN, &r->set)) fail_msg("%s", status_message());
}

static void close_run(Run *r)
{
    dataset_free(r->set);
    tokenizer_free(r->tokenizer);
    test_model_close(&r->model);
    arena_free(r->arena);
}

static Batch collated(Run *r, Arena *arena, const int64_t *index, int count)
{
    Batch batch;
    int32_t ordinal[64];
    for (int i = 0; i < count; i++) ordinal[i] = 10 + i;
    assert_ok(task_sft.collate(&r->context, r->set, index, ordinal, count, arena, &batch));
    return batch;
}

/* The sum of the losses, times scale in the gradients, which are added to what is there. */
static double run_batch(Run *r, const Batch *batch, double scale, float *rows)
{
    Tape *t = &r->model.tape;
    const LossSpec spec = {.scale = (float)scale};
    double sum = 0;
    tape_begin(t, TAPE_TRAIN, batch, 0);
    Tensor *loss = task_sft.loss(t, r->model.model, batch, &spec);
    assert_ok(tape_status(t));
    for (int64_t i = 0; i < batch->rows; i++) sum += ((float *)loss->data)[i];
    if (rows) memcpy(rows, loss->data, (size_t)batch->rows * sizeof *rows);
    assert_ok(tape_backward(t, loss, NULL));
    return sum;
}

/* One text of a batch by itself. */
static Batch alone(const Batch *b, int i)
{
    static int32_t cu[2];
    const int32_t begin = b->cu_seqlens[i], end = b->cu_seqlens[i + 1];
    cu[1] = end - begin;
    Batch one = {.num_seqs = 1,
                 .max_seqlen = cu[1],
                 .rows = cu[1],
                 .ids = b->ids + begin,
                 .position_ids = b->position_ids + begin,
                 .labels = b->labels + begin,
                 .cu_seqlens = cu,
                 .sample = b->sample + i};
    return one;
}

static void a_packed_loss_is_the_mean_of_the_single_ones(void **state)
{
    (void)state;
    static const char *const strategies[] = {"bfd", "bfd_split"};
    for (int s = 0; s < 2; s++) {
        Run r;
        OPEN(&r, "llama_chat", FIXTURES "/data/chats.jsonl", "--packing", "--packing_strategy", strategies[s],
             "--max_length", s ? "40" : "128", "--assistant_only_loss");
        open_set(&r);
        int64_t index[8], count = 0;
        for (int64_t i = 0; i < dataset_count(r.set) && count < 8; i++)
            if (dataset_length(r.set, dataset_column(r.set, "seq_lengths"), i) > 1) index[count++] = i;
        assert_true(count > 3);
        const Batch batch = collated(&r, r.arena, index, (int)count);
        assert_true(batch.num_seqs > count);
        const int64_t n = r.model.model->params.flat_count;
        float *packed = malloc((size_t)n * sizeof *packed);

        parameters_begin_update(&r.model.model->params);
        const double whole = run_batch(&r, &batch, 1.0 / (double)batch.targets, NULL);
        memcpy(packed, r.model.grads, (size_t)n * sizeof *packed);
        parameters_begin_update(&r.model.model->params);
        double single = 0;
        for (int i = 0; i < batch.num_seqs; i++) {
            const Batch one = alone(&batch, i);
            single += run_batch(&r, &one, 1.0 / (double)batch.targets, NULL);
        }
        assert_true(whole > 1);
        if (fabs(whole - single) > 1e-6 * single) fail_msg("packed %.9g, single %.9g", whole, single);
        assert_close("gradients", packed, r.model.grads, n, 2e-6, 0);
        free(packed);
        close_run(&r);
    }
}

/* Other words in the first text leave the rows of the second as they are, to the bit. */
static void packed_texts_do_not_see_each_other(void **state)
{
    (void)state;
    Run r;
    OPEN(&r, "llama_chat", FIXTURES "/data/chats.jsonl", "--packing", "--max_length", "128");
    open_set(&r);
    int64_t index = 0;
    while (dataset_length(r.set, dataset_column(r.set, "seq_lengths"), index) < 2) index++;
    const Batch batch = collated(&r, r.arena, &index, 1);
    int32_t *ids = malloc((size_t)batch.rows * sizeof *ids);
    float *before = malloc((size_t)batch.rows * sizeof *before), *after = malloc((size_t)batch.rows * sizeof *after);
    memcpy(ids, batch.ids, (size_t)batch.rows * sizeof *ids);
    const int32_t end = batch.cu_seqlens[1];
    for (int32_t t = 0; t < end; t++) ids[t] = (ids[t] + 7) % 320;
    Batch other = batch;
    other.ids = ids;
    parameters_begin_update(&r.model.model->params);
    run_batch(&r, &batch, 1, before);
    run_batch(&r, &other, 1, after);
    assert_memory_not_equal(before, after, (size_t)end * sizeof *before);
    assert_memory_equal(before + end, after + end, (size_t)(batch.rows - end) * sizeof *before);
    free(ids), free(before), free(after);
    close_run(&r);
}

static void write_file(const char *name, const char *text, char path[256])
{
    File *f;
    snprintf(path, 256, "%s/%s", root, name);
    assert_ok(file_create(path, &f));
    assert_ok(file_write(f, text, strlen(text)));
    assert_ok(file_close(f));
}

/* Two texts of 3 and 2 tokens with their eos, then one of 4: packed in rows of 5. */
static void a_packed_example_is_one_of_the_sampler(void **state)
{
    (void)state;
    Run r;
    char path[256];
    write_file("texts.jsonl", "{\"text\": \"ab\"}\n{\"text\": \"c\"}\n{\"text\": \"def\"}\n", path);
    OPEN(&r, "llama_chat", path, "--task", "sft", "--packing", "--max_length", "5");
    open_set(&r);
    assert_int_equal(dataset_count(r.set), 2);
    const int64_t index[] = {0, 1};
    const Batch b = collated(&r, r.arena, index, 2);
    static const int32_t cu[] = {0, 4, 7, 9}, positions[] = {0, 1, 2, 3, 0, 1, 2, 0, 1};
    assert_int_equal(b.num_seqs, 3);
    assert_int_equal(b.rows, 9);
    assert_int_equal(b.max_seqlen, 4);
    assert_int_equal(b.padded_width, 0); /* the reference lays it flat */
    assert_memory_equal(b.cu_seqlens, cu, sizeof cu);
    assert_memory_equal(b.position_ids, positions, sizeof positions);
    for (int t = 0; t < 9; t++) {
        const bool last = t == 3 || t == 6 || t == 8;
        assert_int_equal(b.labels[t], last ? -100 : b.ids[t + 1]);
    }
    assert_int_equal(b.targets, 6);
    assert_int_equal(b.hf_targets, 6);
    assert_int_equal(b.sample[0], 10); /* random numbers go by these */
    assert_int_equal(b.sample[1] & SAMPLE_MASK, 11);
    assert_int_equal(b.sample[2] & SAMPLE_MASK, 11);
    assert_int_not_equal(b.sample[1], b.sample[2]);
    close_run(&r);
}

/* GPT-2 counts every label (trainer_semantics 4), also a first one, where texts are padded; not in a flat row. */
static void targets_are_counted_as_the_reference_counts(void **state)
{
    (void)state;
    static const struct {
        const char *options[6];
        int more, width;
    } cases[] = {
        {{"--completion_only_loss", "false"}, 2, 1},
        {{"--completion_only_loss", "true"}, 0, 1},
        {{"--completion_only_loss", "false", "--padding_free"}, 0, 0},
        {{"--completion_only_loss", "false", "--packing"}, 0, 0},
        {{"--completion_only_loss", "false", "--packing", "--packing_strategy", "wrapped"}, 2, 1},
    };
    char path[256];
    write_file("prompts.jsonl",
               "{\"prompt\": \"ab\", \"completion\": \"cd\"}\n{\"prompt\": \"e\", \"completion\": \"fgh\"}\n", path);
    for (size_t i = 0; i < COUNT(cases); i++) {
        Run r;
        const char *options[10] = {"--max_length", "6"};
        for (int n = 0; n < 6 && cases[i].options[n]; n++) options[2 + n] = cases[i].options[n];
        open_run(&r, FIXTURES "/models/gpt2_tiny", path, options);
        open_set(&r);
        const int64_t index[] = {0, 1};
        const Batch b = collated(&r, r.arena, index, 2);
        assert_int_equal(b.hf_targets, b.targets + cases[i].more);
        assert_int_equal(b.padded_width != 0, cases[i].width);
        close_run(&r);
    }
}

static void rows_with_its_columns_ask_for_it(void **state)
{
    (void)state;
    static const struct {
        const char *name, *text;
        const char *options[4];
        const Task *task;
    } cases[] = {
        {"a.jsonl", "{\"messages\": []}", {0}, &task_sft},
        {"a.jsonl", "{\"prompt\": \"x\", \"completion\": \"y\"}", {0}, &task_sft},
        {"a.json", "[{\"conversations\": []}]", {0}, &task_sft},
        {"a.csv", "instruction,input,output\na,b,c\n", {0}, &task_sft},
        {"a.jsonl", "{\"text\": \"x\"}", {0}, &task_text_generation},
        {"a.jsonl", "{\"prompt\": \"x\"}", {0}, &task_text_generation},
        {"a.jsonl", "{", {0}, &task_text_generation},
        {"a.txt", "messages", {0}, &task_text_generation},
        {"a.jsonl", "{\"text\": \"x\"}", {"--task", "sft"}, &task_sft},
        {"a.jsonl", "{\"messages\": []}", {"--task", "text-generation"}, &task_text_generation},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        Run r;
        const Task *task;
        char path[256];
        write_file(cases[i].name, cases[i].text, path);
        open_run(&r, FIXTURES "/models/llama_chat", path, cases[i].options);
        assert_ok(task_find(&r.args, r.model.model, &task));
        if (task != cases[i].task) fail_msg("%s: %s", cases[i].text, task->name);
        r.args.task = "chess";
        assert_int_equal(task_find(&r.args, r.model.model, &task), STATUS_USAGE);
        assert_non_null(strstr(status_message(), "sft, text-generation"));
        close_run(&r);
    }
}

static void keys_of_another_task_are_refused(void **state)
{
    (void)state;
    static const struct { const char *file, *options[5], *says; } cases[] = {
        {"chats.jsonl", {"--block_size", "64"}, "`block_size` is for task: text-generation, and this is sft by its"},
        {"chats.jsonl", {"--keep_linebreaks", "false"}, "`keep_linebreaks` is for task: text-generation"},
        {"lines.jsonl", {"--task", "sft", "--block_size", "64"}, "and this is sft (max_length is sft's)"},
        {"lines.jsonl", {"--packing"}, "`packing` is for task: sft, and this is text-generation by its data"},
        {"corpus.txt", {"--max_length", "64"}, "`max_length` is for task: sft"},
        {"corpus.txt", {"--max_length", "null"}, "`max_length` is for task: sft"},
        {"corpus.txt", {"--eos_token", "x"}, "`eos_token`"},
        {"corpus.txt", {"--completion_only_loss", "false"}, "`completion_only_loss`"},
        {"corpus.txt", {"--dataset_text_field", "t"}, "`dataset_text_field`"},
        {"corpus.txt", {"--packing", "false", "--max_length", "1024"}, NULL},
        {"chats.jsonl", {"--packing", "--max_length", "64"}, NULL},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        Run r;
        const Task *task;
        char file[256];
        snprintf(file, sizeof file, FIXTURES "/data/%s", cases[i].file);
        open_run(&r, FIXTURES "/models/llama_chat", file, cases[i].options);
        const Status st = task_find(&r.args, r.model.model, &task);
        if (!cases[i].says) assert_ok(st);
        else if (st != STATUS_USAGE || !strstr(status_message(), cases[i].says))
            fail_msg("%s: %s", cases[i].says, st ? status_message() : "taken");
        close_run(&r);
    }
}

static void what_is_learned_is_marked_or_coloured(void **state)
{
    (void)state;
    Run r;
    Text text = {0};
    char path[256];
    write_file("show.jsonl", "{\"prompt\": \"Hi \\u001b[2J\", \"completion\": \"\\u00e9\\u0085!\"}\n", path);
    OPEN(&r, "llama_chat", path);
    open_set(&r);
    assert_ok(task_sft.show(&r.context, r.set, 0, false, &text));
    assert_string_equal(text.data, "Hi \\x1b[2J\u27e6\xc3\xa9\\x85!<|im_end|>\u27e7");
    text.size = 0;
    assert_ok(task_sft.show(&r.context, r.set, 0, true, &text));
    assert_non_null(strstr(text.data, "\033[90mH\033[0m"));
    assert_non_null(strstr(text.data, "2m<|im_end|>\033[0m"));
    assert_non_null(strstr(text.data, "\033[92m")); /* and the token beside it in the other green */
    assert_non_null(strstr(text.data, "\033[32m"));
    assert_null(strstr(text.data, "\033[2J"));
    text.size = 0;
    assert_ok(task_sft.about(&r.context, r.set, &text));
    assert_non_null(strstr(text.data, " of them learned ("));
    text_free(&text);
    close_run(&r);
    OPEN(&r, "llama_chat", FIXTURES "/data/chats.jsonl", "--packing", "--max_length", "128");
    open_set(&r);
    assert_ok(task_sft.show(&r.context, r.set, dataset_count(r.set) - 1, false, &text));
    assert_non_null(strstr(text.data, "-- text 1 of 2\n"));
    assert_non_null(strstr(text.data, "-- text 2 of 2\n"));
    text_free(&text);
    close_run(&r);
}

/* What opening the set says to stderr. */
static const char *said(Run *r, char out[4096])
{
    char path[256];
    write_file("stderr", "", path);
    fflush(stderr);
    const int kept = dup(STDERR_FILENO);
    assert_non_null(freopen(path, "w", stderr));
    log_set(LOG_INFO, 0);
    const Status st = task_sft.open(&r->context, SPLIT_TRAIN, &r->set);
    log_set(LOG_ERROR, 0);
    fflush(stderr);
    dup2(kept, STDERR_FILENO);
    close(kept);
    FILE *f = fopen(path, "r");
    const size_t n = fread(out, 1, 4095, f);
    fclose(f);
    out[n] = '\0';
    if (st) snprintf(out + n, 4096 - n, "%s", status_message());
    return out;
}

static void a_set_that_never_ends_a_turn_is_warned_of(void **state)
{
    (void)state;
    static const struct {
        const char *template, *says;
    } cases[] = {
        {"{% for m in messages %}{% if m.role == 'assistant' %}{% generation %}{{ m.content }}{% endgeneration "
         "%}<|im_end|>"
         "{% else %}{{ m.content }}<|im_end|>{% endif %}{% endfor %}",
         "ends a turn, as would <|im_end|>: the model does not learn to stop; the template's {% generation %} block"},
        {"{% for m in messages %}{% if m.role == 'assistant' %}{% generation %}{{ m.content }}<|im_end|>{% "
         "endgeneration %}"
         "{% else %}{{ m.content }}{% endif %}{% endfor %}",
         NULL},
        {"{% for m in messages %}{% if m.role == 'assistant' %}{% generation %}{{ m.content }}<|endoftext|>"
         "{% endgeneration %}{% else %}{{ m.content }}{% endif %}{% endfor %}",
         NULL},
    };
    char data[256], template[256], out[4096];
    write_file("turn.jsonl",
               "{\"messages\": [{\"role\": \"user\", \"content\": \"a\"}, {\"role\": \"assistant\", "
               "\"content\": \"b c\"}]}\n",
               data);
    for (size_t i = 0; i < COUNT(cases); i++) {
        Run r;
        write_file("turn.jinja", cases[i].template, template);
        OPEN(&r, "llama_chat", data, "--assistant_only_loss", "--chat_template_path", template);
        said(&r, out);
        if ((cases[i].says != NULL) != (strstr(out, "learn to stop") != NULL) ||
            (cases[i].says && !strstr(out, cases[i].says)))
            fail_msg("%zu: %s", i, out);
        close_run(&r);
    }
}

static void wrong_settings_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *model, *file, *options[5], *says;
    } cases[] = {
        {"gpt2_tiny", "chats.jsonl", {0}, "line 1: a conversation, and"},
        {"gpt2_tiny", "lines.jsonl", {"--task", "sft", "--max_length", "null"}, "set max_length: 48 or less"},
        {"llama_chat", "chats.jsonl", {"--eos_token", "<nope>"}, "eos_token: the tokenizer has no token \"<nope>\""},
        {"llama_chat", "chats.jsonl", {"--chat_template_path", "none.jinja"}, "none.jinja is not there"},
        {"llama_chat",
         "chats.jsonl",
         {"--chat_template_path", FIXTURES "/data/chats.jsonl"},
         "neither a directory nor a"},
        {"llama_chat", "chats.jsonl", {"--chat_template_path", FIXTURES "/models/gpt2_tiny"}, "no chat template"},
        {"llama_chat", "chats.jsonl", {"--packing", "--max_length", "null"}, "packing needs max_length"},
        {"llama_chat", "lines.jsonl", {0}, NULL},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        Run r;
        char model[256], file[256];
        snprintf(model, sizeof model, FIXTURES "/models/%s", cases[i].model);
        snprintf(file, sizeof file, FIXTURES "/data/%s", cases[i].file);
        open_run(&r, model, file, cases[i].options);
        const Status st = task_sft.open(&r.context, SPLIT_TRAIN, &r.set);
        if (!cases[i].says)
            assert_ok(st);
        else if (!st || !strstr(status_message(), cases[i].says))
            fail_msg("%s: %s", cases[i].says, status_message());
        if (st) dataset_free(r.set), r.set = NULL;
        close_run(&r);
    }
}

static void the_models_files_get_template_and_eos_token(void **state)
{
    (void)state;
    Run r;
    const char *data = NULL, config[] = "{\"eos_token_id\": 321, \"x\": 1}", list[] = "{\"eos_token_id\": [5, 6]}";
    size_t size = 0;
    OPEN(&r, "llama_chat", FIXTURES "/data/chats.jsonl");
    assert_ok(task_sft.file(&r.context, "chat_template.jinja", r.arena, &data, &size));
    assert_null(data); /* nothing was asked for */
    close_run(&r);
    OPEN(&r, "llama_chat", FIXTURES "/data/chats.jsonl", "--chat_template_path", FIXTURES "/data/marked.jinja",
         "--eos_token", "<|endoftext|>");
    assert_ok(task_sft.file(&r.context, "chat_template.jinja", r.arena, &data, &size));
    assert_non_null(strstr(data, "{% generation %}"));
    assert_int_equal(size, strlen(data));
    data = config, size = strlen(config);
    assert_ok(task_sft.file(&r.context, "config.json", r.arena, &data, &size));
    assert_non_null(strstr(data, "\"eos_token_id\": 319"));
    data = list, size = strlen(list);
    assert_ok(task_sft.file(&r.context, "generation_config.json", r.arena, &data, &size));
    assert_non_null(strstr(data, "319,\n    5,\n    6"));
    data = config, size = strlen(config);
    assert_ok(task_sft.file(&r.context, "tokenizer_config.json", r.arena, &data, &size));
    assert_non_null(strstr(data, "\"eos_token\": \"<|endoftext|>\""));
    close_run(&r);
}

static int set_up(void **state)
{
    (void)state;
    log_set(LOG_ERROR, 0);
    return mkdtemp(root) ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    return dir_remove(root) == OK ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_packed_loss_is_the_mean_of_the_single_ones),
        cmocka_unit_test(packed_texts_do_not_see_each_other),
        cmocka_unit_test(a_packed_example_is_one_of_the_sampler),
        cmocka_unit_test(targets_are_counted_as_the_reference_counts),
        cmocka_unit_test(rows_with_its_columns_ask_for_it),
        cmocka_unit_test(keys_of_another_task_are_refused),
        cmocka_unit_test(what_is_learned_is_marked_or_coloured),
        cmocka_unit_test(a_set_that_never_ends_a_turn_is_warned_of),
        cmocka_unit_test(wrong_settings_are_refused),
        cmocka_unit_test(the_models_files_get_template_and_eos_token),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
