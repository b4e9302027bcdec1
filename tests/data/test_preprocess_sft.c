/* Rows of supervised fine-tuning to ids and labels: TRL's SFTTrainer prepares the same (tests/fixtures/data/sft.json),
 * what TRL does not know is what it would make of the same in its own form, and rows that are not right are told with
 * file and line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/data/sft_data.h"
#include "tests/data/sha256.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

static const cJSON *option(const cJSON *c, const char *name)
{
    return cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItemCaseSensitive(c, "options"), name);
}

static int64_t number(const cJSON *item, int64_t fallback) { return item ? (int64_t)item->valuedouble : fallback; }

static PackStrategy strategy_of(const char *name)
{
    return !name || strcmp(name, "bfd") == 0 ? PACK_BFD : strcmp(name, "wrapped") == 0 ? PACK_WRAPPED : PACK_BFD_SPLIT;
}

/* As hash of a column's numbers, example by example. */
static void assert_column(const Dataset *d, const char *column, const cJSON *c, const char *key)
{
    char hash[65];
    const int number_of = dataset_column(d, column);
    int32_t *all;
    int64_t total = 0, at = 0;
    for (int64_t i = 0; i < dataset_count(d); i++) total += dataset_length(d, number_of, i);
    all = malloc((size_t)total * sizeof *all + 1);
    for (int64_t i = 0; i < dataset_count(d); i++) {
        const Span s = dataset_get(d, number_of, i);
        memcpy(all + at, s.data, (size_t)s.length * sizeof *all);
        at += s.length;
    }
    sha256_hex(all, (size_t)total * sizeof *all, hash);
    free(all);
    const char *want = cJSON_GetObjectItemCaseSensitive(c, key)->valuestring;
    if (strcmp(hash, want) != 0) {
        char *text = cJSON_PrintUnformatted(cJSON_GetObjectItemCaseSensitive(c, "options"));
        fail_msg("%s of %s %s differ", column, sft_path, text);
    }
}

static void assert_first(const Dataset *d, const char *column, const cJSON *want)
{
    const Span got = dataset_get(d, dataset_column(d, column), 0);
    assert_int_equal(got.length, cJSON_GetArraySize(want));
    for (int t = 0; t < got.length; t++) assert_int_equal(got.data[t], cJSON_GetArrayItem(want, t)->valueint);
}

static void trl_prepares_the_same(void **state)
{
    (void)state;
    cJSON *cases = NULL;
    ChatTemplate *marked;
    assert_int_equal(json_read_file(FIXTURES "/data/sft.json", &cases), OK);
    assert_int_equal(chat_template_read(FIXTURES "/data/marked.jinja", &marked), OK);
    assert_true(cJSON_GetArraySize(cases) >= 14);
    for (const cJSON *c = cases->child; c; c = c->next) {
        const cJSON *length = option(c, "max_length"), *eos = option(c, "eos_token"),
                    *strategy = option(c, "packing_strategy"), *completion = option(c, "completion_only_loss");
        SftSource s = sft_source();
        snprintf(sft_path, sizeof sft_path, FIXTURES "/data/%s", cJSON_GetObjectItem(c, "file")->valuestring);
        if (option(c, "chat_template_path")) s.template = marked;
        if (eos) s.eos_token = eos->valuestring;
        s.max_length = cJSON_IsNull(length) ? -1 : number(length, 1024);
        s.keep_end = option(c, "truncation_mode") != NULL;
        s.packing = cJSON_IsTrue(option(c, "packing"));
        s.strategy = strategy_of(strategy ? strategy->valuestring : NULL);
        s.shuffle = cJSON_IsTrue(option(c, "shuffle_dataset"));
        s.seed = (uint64_t)number(option(c, "seed"), 42);
        s.completion_only = completion ? cJSON_IsTrue(completion) : -1;
        s.assistant_only = cJSON_IsTrue(option(c, "assistant_only_loss"));
        Dataset *d = sft_opened(&s);
        const cJSON *first = cJSON_GetObjectItem(c, "first");
        assert_int_equal(dataset_count(d), cJSON_GetObjectItem(c, "count")->valueint);
        assert_first(d, "input_ids", cJSON_GetObjectItem(first, "ids"));
        assert_first(d, "labels", cJSON_GetObjectItem(first, "labels"));
        assert_column(d, "input_ids", c, "ids");
        assert_column(d, "labels", c, "labels");
        assert_column(d, "seq_lengths", c, "seq_lengths");
        dataset_free(d);
    }
    chat_template_free(marked);
    cJSON_Delete(cases);
}

static void assert_same(const Dataset *a, const Dataset *b)
{
    assert_int_equal(dataset_count(a), dataset_count(b));
    for (int column = 0; column < 3; column++)
        for (int64_t i = 0; i < dataset_count(a); i++) {
            const Span x = dataset_get(a, column, i), y = dataset_get(b, column, i);
            assert_int_equal(x.length, y.length);
            if (x.length) assert_memory_equal(x.data, y.data, (size_t)x.length * sizeof *x.data);
        }
}

/* Both give the same examples. */
static void assert_equal_files(const char *name, const char *text, const char *other_name, const char *other)
{
    SftSource s = sft_source();
    sft_write(name, text);
    Dataset *a = sft_opened(&s);
    sft_write(other_name, other);
    Dataset *b = sft_opened(&s);
    assert_same(a, b);
    dataset_free(a);
    dataset_free(b);
}

#define M(role, content) "{\"role\": \"" role "\", \"content\": \"" content "\"}"
#define CHAT(...) "{\"messages\": [" __VA_ARGS__ "]}\n"

static void instructions_are_a_prompt_and_its_completion(void **state)
{
    (void)state;
    assert_equal_files("a.jsonl",
                       "{\"instruction\": \"Add\", \"input\": \"1 and 2\", \"output\": \"3\"}\n"
                       "{\"instruction\": \"Sing\", \"input\": \"\", \"output\": \"la\", "
                       "\"system\": \"You are a bard.\"}\n"
                       "{\"instruction\": \"Stop\", \"output\": \"Yes.\", \"input\": null}\n",
                       "b.jsonl",
                       "{\"prompt\": [" M("user", "Add\\n\\n1 and 2") "], \"completion\": [" M("assistant", "3") "]}\n"
                       "{\"prompt\": [" M("system", "You are a bard.") "," M("user", "Sing") "], \"completion\": ["
                       M("assistant", "la") "]}\n"
                       "{\"prompt\": [" M("user", "Stop") "], \"completion\": [" M("assistant", "Yes.") "]}\n");
    assert_equal_files("a.csv", "instruction,output\nAdd,3\n\"Say \"\"a, b\"\"\",\"c\nd\"\n", "b.json",
                       "[{\"instruction\": \"Add\", \"output\": \"3\"}, {\"instruction\": \"Say \\\"a, b\\\"\", "
                       "\"output\": \"c\\nd\"}]");
}

static void conversations_are_messages_by_other_names(void **state)
{
    (void)state;
    assert_equal_files("a.jsonl",
                       "{\"conversations\": [{\"from\": \"human\", \"value\": \"Hi\"}, {\"from\": \"gpt\", \"value\": "
                       "\"Ho\"}]}\n{\"conversations\": [" M("user", "Hi") "," M("assistant", "Ho") "]}\n",
                       "b.jsonl", CHAT(M("user", "Hi") "," M("assistant", "Ho"))
                       CHAT(M("user", "Hi") "," M("assistant", "Ho")));
}

static void tools_may_be_a_list_or_its_text(void **state)
{
    (void)state;
    SftSource s = sft_source();
    static const char source[] = "{% for t in tools %}{{ t.name }};{% endfor %}{{ mood }}{% for m in messages %}{{ "
                                 "m.content or m.tool_calls }}{% endfor %}";
    ChatTemplate *t;
    assert_int_equal(chat_template_compile(source, sizeof source - 1, "t", &t), OK);
    s.template = t;
    sft_write("a.jsonl", "{\"messages\": [" M("user", "x") ", {\"role\": \"assistant\", \"tool_calls\": "
                         "[{\"a\": 1}]}], \"tools\": [{\"name\": \"add\"}], "
                         "\"chat_template_kwargs\": {\"mood\": \"calm\"}}\n");
    Dataset *a = sft_opened(&s);
    sft_write("b.jsonl", "{\"messages\": [" M("user", "x") ", {\"role\": \"assistant\", \"tool_calls\": "
                         "[{\"a\": 1}]}], \"tools\": \"[{\\\"name\\\": \\\"add\\\"}]\", "
                         "\"chat_template_kwargs\": {\"mood\": \"calm\"}}\n");
    Dataset *b = sft_opened(&s);
    Text text = {0};
    assert_string_equal(sft_learned(a, 0, &text), "add;calmx[{'a': 1}]");
    assert_same(a, b);
    text_free(&text);
    dataset_free(a);
    dataset_free(b);
    chat_template_free(t);
}

/* Without marks in the template: what each assistant's message adds. */
static void the_assistants_turns_are_learned_alone(void **state)
{
    (void)state;
    SftSource s = sft_source();
    Text text = {0};
    s.assistant_only = true;
    sft_write("a.jsonl",
              CHAT(M("system", "B\\u00e9 kind \\ud83d\\ude00.") "," M("user", "Hi") ","
                   M("assistant", "Ho \\u00e9") "," M("user", "?") "," M("assistant", "Ha\\u00e9 \\ud83d\\ude00")));
    Dataset *d = sft_opened(&s);
    assert_string_equal(sft_learned(d, 0, &text), "Ho \xc3\xa9<|im_end|>\nHa\xc3\xa9 \xf0\x9f\x98\x80<|im_end|>\n");
    dataset_free(d);
    text_free(&text);
}

static void threads_do_not_change_an_example(void **state)
{
    (void)state;
    Text t = {0};
    for (int i = 0; i < 3000; i++)
        text_printf(&t, CHAT(M("user", "Say %d") "," M("assistant", "%.*s")), i, 1 + i * 31 % 40,
                    "the quick brown fox jumps over the lazy dog");
    sft_write("many.jsonl", t.data);
    SftSource s = sft_source();
    s.packing = true, s.max_length = 100;
    Dataset *one = sft_opened(&s);
    s.threads = 4;
    Dataset *four = sft_opened(&s);
    assert_true(dataset_count(one) > 500);
    assert_same(one, four);
    dataset_free(one);
    dataset_free(four);
    text_free(&t);
}

static void the_cache_is_for_one_set_of_options(void **state)
{
    (void)state;
    char cache[64];
    SftSource s = sft_source();
    snprintf(cache, sizeof cache, "%s/cache", sft_root);
    s.cache_dir = cache, s.tokenizer_dir = sft_model;
    snprintf(sft_path, sizeof sft_path, FIXTURES "/data/chats.jsonl");
    for (int i = 0; i < 9; i++) {
        SftSource t = s;
        const char *others[] = {FIXTURES "/data/marked.jinja"};
        if (i == 1) t.max_length = 40;
        if (i == 2) t.keep_end = true;
        if (i == 3) t.packing = true;
        if (i == 4) t.shuffle = true;
        if (i == 5) t.assistant_only = true;
        if (i == 6) t.eos_token = "<|endoftext|>";
        if (i == 7) t.template_paths = others, t.num_template_paths = 1;
        if (i == 8) t.text_field = "other";
        Dataset *made = sft_opened(&t), *found = sft_opened(&t);
        assert_false(dataset_was_cached(made));
        assert_true(dataset_was_cached(found));
        assert_same(made, found);
        dataset_free(made);
        dataset_free(found);
    }
}

static void a_part_of_the_rows_is_for_validation(void **state)
{
    (void)state;
    SftSource s = sft_source();
    snprintf(sft_path, sizeof sft_path, FIXTURES "/data/chats.jsonl");
    s.percent = 10, s.part = SPLIT_HEAD;
    Dataset *head = sft_opened(&s);
    s.part = SPLIT_TAIL;
    Dataset *tail = sft_opened(&s);
    assert_int_equal(dataset_count(head), 4);
    assert_int_equal(dataset_count(tail), 36);
    dataset_free(head);
    dataset_free(tail);
}

static void rows_that_are_not_right_are_told_with_file_and_line(void **state)
{
    (void)state;
    static const char good[] = CHAT(M("user", "Hi") "," M("assistant", "Ho"));
    static const struct { const char *row, *says; } cases[] = {
        {CHAT(M("user", "Hi") "," M("asistant", "Ho")),
         "line 2: messages: message 2 has the role \"asistant\"; there are system, developer, user, assistant, tool"},
        {CHAT(M("user", "Hi") "," M("assistant", "")), "line 2: messages: message 2: the assistant's answer is empty"},
        {CHAT(M("user", "Hi") "," M("assistant", " \\n")), "message 2: the assistant's answer is empty"},
        {CHAT(M("user", "Hi") ", {\"role\": \"assistant\", \"content\": null}"), "answer is empty"},
        {CHAT(M("user", "Hi") ", {\"role\": \"assistant\", \"content\": [{\"type\": \"text\", \"text\": \" \"}]}"),
         "answer is empty"},
        {CHAT(M("user", "Hi") ", {\"role\": \"assistant\", \"content\": 3}"), "message 2: the content is neither"},
        {CHAT("{\"role\": \"user\"}"), "message 1 has no content"},
        {CHAT("{\"content\": \"x\"}"), "message 1 has no role"},
        {CHAT("{\"role\": 1, \"content\": \"x\"}"), "message 1 has no role"},
        {CHAT("\"x\""), "message 1 is not an object"},
        {CHAT(""), "a conversation without a message"},
        {"{\"messages\": \"x\"}\n", "line 2: column \"messages\" is a string; it should be a list"},
        {"{\"messages\": null}\n", "line 2: column \"messages\" is null; it should be a list"},
        {"{\"prompt\": \"a\", \"completion\": \"b\"}\n",
         "line 2: no column \"messages\", as the first row has it; this one has prompt and completion"},
        {"{\"a\": 1, \"b\": 2}\n", "line 2: the columns are a, b; supervised fine-tuning takes messages, prompt"},
        {"{\"messages\": [" M("user", "Hi") "], \"tools\": \"{\"}\n", "line 2: tools"},
        {"{\"messages\": [" M("user", "Hi") "], \"tools\": {}}\n", "line 2: column \"tools\" is an object"},
        {"{\"messages\": [" M("user", "Hi") "], \"chat_template_kwargs\": []}\n", "column \"chat_template_kwargs\""},
        {"{\"messages\": [" M("user", "Hi") "], \"chat_template_kwargs\": {\"tools\": 1}}\n", "line 2"},
        {"{\"messages\": [{\"role\": \"assistant\", \"content\": \"x\", \"tool_calls\": 1}]}\n",
         "tool_calls is not a list"},
        {"{\"messages\": [" M("user", "Hi") "], }\n", "line 2"},
    };
    SftSource s = sft_source();
    for (size_t i = 0; i < COUNT(cases); i++) {
        Text text = {0};
        text_printf(&text, "%s%s%s", good, cases[i].row, good);
        sft_write("bad.jsonl", text.data);
        sft_assert_refused(&s, STATUS_FORMAT, cases[i].says);
        assert_non_null(strstr(status_message(), "bad.jsonl: line 2"));
        text_free(&text);
    }
}

static void files_that_are_not_right_are_told(void **state)
{
    (void)state;
    static const struct { const char *name, *text; Status st; const char *says; } cases[] = {
        {"a.txt", "x", STATUS_USAGE, "task sft takes .json"},
        {"a.jsonl", "", STATUS_USAGE, "0 rows make no example"},
        {"a.jsonl", "{\"a\": 1}", STATUS_FORMAT, "line 1: the columns are a; supervised"},
        {"a.jsonl", "{\"prompt\": \"a\"}", STATUS_FORMAT, "line 1: the columns are prompt"},
        {"a.jsonl", "{\"prompt\": \"a\", \"completion\": \" \"}", STATUS_FORMAT, "line 1: the completion is empty"},
        {"a.jsonl", "{\"prompt\": \"a\", \"completion\": []}", STATUS_FORMAT, "the first row's prompt is a string"},
        {"a.jsonl", "{\"prompt\": [], \"completion\": []}", STATUS_FORMAT, "prompt: a conversation without a message"},
        {"a.jsonl", "{\"prompt\": 1, \"completion\": \"x\"}", STATUS_FORMAT, "it should be a string or a list"},
        {"a.jsonl", "{\"instruction\": \" \", \"output\": \"x\"}", STATUS_FORMAT, "the instruction is empty"},
        {"a.jsonl", "{\"instruction\": \"x\", \"output\": \"\"}", STATUS_FORMAT, "line 1: the output is empty"},
        {"a.csv", "messages\nx\n", STATUS_FORMAT, "a.csv: line 2: column \"messages\" is a string"},
        {"a.csv", "prompt,completion\na\n", STATUS_FORMAT, "column \"completion\" is null"},
    };
    SftSource s = sft_source();
    for (size_t i = 0; i < COUNT(cases); i++) {
        sft_write(cases[i].name, cases[i].text);
        sft_assert_refused(&s, cases[i].st, cases[i].says);
    }
}

static void options_that_do_not_fit_the_rows_are_refused(void **state)
{
    (void)state;
    SftSource s = sft_source();
    sft_write("a.jsonl", CHAT(M("user", "Hi") "," M("assistant", "Ho")));
    s.completion_only = 1;
    sft_assert_refused(&s, STATUS_USAGE, "completion_only_loss is for rows with a prompt");
    s = sft_source(), s.template = NULL;
    sft_assert_refused(&s, STATUS_USAGE, "line 1: a conversation, and the model has no template");
    s = sft_source(), s.packing = true, s.max_length = -1;
    sft_assert_refused(&s, STATUS_USAGE, "packing needs max_length");
    s = sft_source(), s.max_length = 3;
    s.completion_only = -1, s.assistant_only = true;
    sft_assert_refused(&s, STATUS_USAGE, "1 rows make no example; give a larger max_length");
    sft_write("b.jsonl", "{\"text\": \"x\"}\n");
    s = sft_source(), s.assistant_only = true;
    sft_assert_refused(&s, STATUS_USAGE, "assistant_only_loss is for conversations");
    s = sft_source(), s.eos_token = NULL;
    sft_assert_refused(&s, STATUS_USAGE, "the tokenizer names none; set eos_token");
    sft_write("c.jsonl", CHAT(M("user", "Hi")));
    s = sft_source(), s.assistant_only = true;
    sft_assert_refused(&s, STATUS_FORMAT,
                       "line 1: assistant_only_loss: no token of this conversation is the assistant's");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(trl_prepares_the_same),
        cmocka_unit_test(instructions_are_a_prompt_and_its_completion),
        cmocka_unit_test(conversations_are_messages_by_other_names),
        cmocka_unit_test(tools_may_be_a_list_or_its_text),
        cmocka_unit_test(the_assistants_turns_are_learned_alone),
        cmocka_unit_test(threads_do_not_change_an_example),
        cmocka_unit_test(the_cache_is_for_one_set_of_options),
        cmocka_unit_test(a_part_of_the_rows_is_for_validation),
        cmocka_unit_test(rows_that_are_not_right_are_told_with_file_and_line),
        cmocka_unit_test(files_that_are_not_right_are_told),
        cmocka_unit_test(options_that_do_not_fit_the_rows_are_refused),
    };
    return cmocka_run_group_tests(tests, sft_set_up, sft_tear_down);
}
