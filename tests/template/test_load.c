/* A model's directory gives its chat template and special tokens from wherever its files have them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "trainer/base/file.h"
#include "trainer/template/chat_template.h"

static char dir[] = "/tmp/hone-template-XXXXXX";

static void put(const char *name, const char *text)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    if (text) assert_int_equal(file_replace(path, text, strlen(text)), OK);
    else assert_int_equal(file_remove(path), OK);
}

/* What the directory's template makes of no messages; NULL: an error of this status, whose message has `expected`. */
static void check(Status status, const char *expected)
{
    ChatTemplate *t = NULL;
    cJSON *tokens = NULL, *messages = cJSON_CreateArray();
    Text text = {0};
    Status st = chat_template_load(dir, &t, &tokens);
    assert_int_equal(st, status);
    if (!st) {
        assert_int_equal(
            chat_template_render(t, &(ChatInput){.messages = messages, .special_tokens = tokens}, &text, NULL), OK);
        assert_string_equal(text.data, expected);
    } else if (!strstr(status_message(), expected)) {
        fail_msg("%s", status_message());
    }
    text_free(&text);
    chat_template_free(t);
    cJSON_Delete(tokens);
    cJSON_Delete(messages);
}

static void the_template_is_found_in_either_file(void **state)
{
    (void)state;
    check(STATUS_MISSING, "no chat template");
    put("special_tokens_map.json", "{\"bos_token\": \"<old>\", \"unk_token\": {\"content\": \"<unk>\"}}");
    put("tokenizer_config.json",
        "{\"bos_token\": {\"content\": \"<s>\"}, \"eos_token\": \"</s>\", \"pad_token\": null}");
    check(STATUS_MISSING, "no chat template");
    put("chat_template.jinja", "{{ bos_token }}{{ eos_token }}{{ unk_token }}{{ pad_token is defined }}\n");
    check(OK, "<s></s><unk>False");
    put("chat_template.jinja", NULL);
    put("tokenizer_config.json", "{\"chat_template\": \"a{{ bos_token }}\"}");
    check(OK, "a<old>");
    put("tokenizer_config.json", "{\"chat_template\": [{\"name\": \"tool_use\", \"template\": \"t\"}, "
                                 "{\"name\": \"default\", \"template\": \"d\"}]}");
    check(OK, "d");
}

static void what_is_wrong_with_the_files_is_said(void **state)
{
    (void)state;
    put("tokenizer_config.json", "{\"chat_template\": [{\"name\": \"tool_use\", \"template\": \"t\"}]}");
    check(STATUS_FORMAT, "none is named default");
    put("tokenizer_config.json", "{\"chat_template\": 1}");
    check(STATUS_FORMAT, "not a text");
    put("tokenizer_config.json", "[]");
    check(STATUS_FORMAT, "not an object");
    put("tokenizer_config.json", "{\"chat_template\": \"\\n{% bad %}\"}");
    check(STATUS_FORMAT, "tokenizer_config.json: chat_template: line 2: unknown tag `bad`");
    put("chat_template.jinja", "{{ x");
    check(STATUS_FORMAT, "chat_template.jinja: line 1: ");
}

static int make(void **state)
{
    (void)state;
    return !mkdtemp(dir);
}

static int clean(void **state)
{
    (void)state;
    return dir_remove(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_template_is_found_in_either_file),
        cmocka_unit_test(what_is_wrong_with_the_files_is_said),
    };
    return cmocka_run_group_tests(tests, make, clean);
}
