/* Every template of the fixtures, in the styles in use, renders every conversation as transformers' apply_chat_template
 * did: the text, the spans of generation blocks, or an error with the same text. Run with --lines it answers a fuzzer.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/template/lines.h"
#include "trainer/base/file.h"

/* Python's words where ours say more. */
static const char *ending(const char *expected)
{
    const char *colon = strstr(expected, "continue_final_message is set");
    return colon ? "" : expected;
}

static size_t byte_of(const char *text, int letter)
{
    size_t at = 0;
    while (letter-- > 0)
        do at++;
        while (((unsigned char)text[at] & 0xC0) == 0x80);
    return at;
}

static void check(const cJSON *line, const ChatTemplate *t, const cJSON *c)
{
    const char *name = cJSON_GetObjectItemCaseSensitive(line, "template")->valuestring;
    const char *which = cJSON_GetObjectItemCaseSensitive(line, "case")->valuestring;
    const cJSON *error = cJSON_GetObjectItemCaseSensitive(line, "error");
    const cJSON *wanted = cJSON_GetObjectItemCaseSensitive(line, "text");
    Text text = {0};
    ChatSpans spans = {0};
    bool marked = chat_template_has_generation(t);
    Status st = render_case(t, c, &text, marked ? &spans : NULL);
    if (error) {
        if (!st || !strstr(status_message(), ending(error->valuestring)) || !strstr(status_message(), name))
            fail_msg("%s, %s: wanted the error `%s`, got `%s`", name, which, error->valuestring,
                     st ? status_message() : text.data);
    } else {
        if (st) fail_msg("%s, %s: %s", name, which, status_message());
        if (strcmp(text.data, wanted->valuestring))
            fail_msg("%s, %s: wanted\n%s\ngot\n%s", name, which, wanted->valuestring, text.data);
        size_t i = 0;
        for (const cJSON *s = cJSON_GetObjectItemCaseSensitive(line, "spans")->child; s; s = s->next, i++) {
            if (i >= spans.count) fail_msg("%s, %s: %zu spans only", name, which, spans.count);
            assert_int_equal(spans.spans[i].begin, byte_of(text.data, s->child->valueint));
            assert_int_equal(spans.spans[i].end, byte_of(text.data, s->child->next->valueint));
        }
        assert_int_equal(spans.count, i);
    }
    chat_spans_free(&spans);
    text_free(&text);
}

static void texts_and_spans_and_errors_are_those_of_transformers(void **state)
{
    (void)state;
    Arena *arena = NULL;
    cJSON *cases = NULL;
    char *lines;
    size_t size, checked = 0;
    char compiled[64] = "";
    ChatTemplate *t = NULL;
    assert_int_equal(arena_new(&arena), OK);
    assert_int_equal(json_read_file(FIXTURES "/templates/conversations.json", &cases), OK);
    assert_int_equal(file_read_all(FIXTURES "/templates/expected.jsonl", arena, 16 << 20, &lines, &size), OK);
    for (char *at = lines, *end; (end = strchr(at, '\n')); at = end + 1, checked++) {
        cJSON *line = NULL;
        assert_int_equal(json_parse(at, (size_t)(end - at), "expected.jsonl", &line), OK);
        const char *name = cJSON_GetObjectItemCaseSensitive(line, "template")->valuestring;
        if (strcmp(name, compiled)) {
            char path[512], *source;
            chat_template_free(t);
            snprintf(path, sizeof path, FIXTURES "/templates/%s", name);
            assert_int_equal(file_read_all(path, arena, 1 << 20, &source, &size), OK);
            if (chat_template_compile(source, size, name, &t)) fail_msg("%s", status_message());
            snprintf(compiled, sizeof compiled, "%s", name);
        }
        const char *which = cJSON_GetObjectItemCaseSensitive(line, "case")->valuestring;
        check(line, t, cJSON_GetObjectItemCaseSensitive(cases, which));
        cJSON_Delete(line);
    }
    assert_true(checked >= 15 * 20);
    chat_template_free(t);
    cJSON_Delete(cases);
    arena_free(arena);
}

/* Random programs over all that the language has, each with what jinja2 made of it: text or an error. */
static void programs_give_what_jinja2_gives(void **state)
{
    (void)state;
    Arena *arena = NULL;
    cJSON *variables = NULL;
    char *lines;
    size_t size, checked = 0;
    assert_int_equal(arena_new(&arena), OK);
    assert_int_equal(file_read_all(FIXTURES "/templates/programs.jsonl", arena, 16 << 20, &lines, &size), OK);
    for (char *at = lines, *end; (end = strchr(at, '\n')); at = end + 1, checked++) {
        cJSON *line = NULL;
        Text text = {0};
        ChatTemplate *t = NULL;
        assert_int_equal(json_parse(at, (size_t)(end - at), "programs.jsonl", &line), OK);
        if (!variables) {
            variables = line;
            cJSON *messages = cJSON_Parse("[{\"role\": \"user\", \"content\": \"Hi\"}]");
            assert_true(cJSON_AddItemToObject(variables, "messages", messages));
            continue;
        }
        const char *source = cJSON_GetObjectItemCaseSensitive(line, "template")->valuestring;
        const cJSON *wanted = cJSON_GetObjectItemCaseSensitive(line, "text");
        Status st = chat_template_compile(source, strlen(source), "program", &t);
        if (!st) st = render_case(t, variables, &text, NULL);
        if (!wanted && !st) fail_msg("%s\nwanted an error, got\n%s", source, text.data);
        if (wanted && (st || strcmp(text.data, wanted->valuestring)))
            fail_msg("%s\nwanted\n%s\ngot\n%s", source, wanted->valuestring, st ? status_message() : text.data);
        text_free(&text);
        chat_template_free(t);
        cJSON_Delete(line);
    }
    assert_true(checked > 500);
    cJSON_Delete(variables);
    arena_free(arena);
}

int main(int argc, char **argv)
{
    if (argc > 1 && !strcmp(argv[1], "--lines")) return answer_lines();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_and_spans_and_errors_are_those_of_transformers),
        cmocka_unit_test(programs_give_what_jinja2_gives),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
