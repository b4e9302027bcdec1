/* Where the assistant speaks: rendering prefixes finds in a template without marks what the same template with marks
 * tells, in the ways in which templates are written; and says so where it cannot. */
#include "trainer/data/sft_spans.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))

static const char conversations[] =
    "[[{\"role\": \"user\", \"content\": \"Hi\"}, {\"role\": \"assistant\", \"content\": \"Ho\"}],"
    " [{\"role\": \"system\", \"content\": \"Be.\"}, {\"role\": \"user\", \"content\": \"Hi\"}, {\"role\": "
    "\"assistant\", "
    "\"content\": \" Ho \"}, {\"role\": \"user\", \"content\": \"Ho\"}, {\"role\": \"assistant\", \"content\": "
    "\"Ho\"}],"
    " [{\"role\": \"user\", \"content\": \"a\"}, {\"role\": \"assistant\", \"content\": \"a\"}, {\"role\": "
    "\"assistant\", "
    "\"content\": \"a\"}, {\"role\": \"user\", \"content\": \"a\"}]]";

/* `[` and `]` stand for the marks. */
static ChatTemplate *compiled(const char *pattern, bool marks)
{
    Text text = {0};
    ChatTemplate *t = NULL;
    for (const char *p = pattern; *p; p++)
        if (*p != '[' && *p != ']')
            text_add(&text, p, 1);
        else if (marks)
            text_printf(&text, *p == '[' ? "{%% generation %%}" : "{%% endgeneration %%}");
    if (chat_template_compile(text.data, text.size, "t", &t)) fail_msg("%s", status_message());
    assert_int_equal(chat_template_has_generation(t), marks);
    text_free(&text);
    return t;
}

static void assert_same_spans(const char *pattern)
{
    cJSON *all = NULL;
    ChatTemplate *with = compiled(pattern, true), *without = compiled(pattern, false);
    assert_int_equal(json_parse(conversations, sizeof conversations - 1, "conversations", &all), OK);
    for (cJSON *c = all->child; c; c = c->next) {
        Text a = {0}, b = {0};
        ChatSpans x = {0}, y = {0};
        char *before = cJSON_PrintUnformatted(c);
        if (sft_spans(with, &(ChatInput){0}, c, &a, &x)) fail_msg("%s: %s", pattern, status_message());
        if (sft_spans(without, &(ChatInput){0}, c, &b, &y)) fail_msg("%s: %s", pattern, status_message());
        assert_string_equal(a.data, b.data);
        assert_int_equal(x.count, y.count);
        assert_true(x.count > 0);
        for (size_t i = 0; i < x.count; i++)
            if (x.spans[i].begin != y.spans[i].begin || x.spans[i].end != y.spans[i].end)
                fail_msg("%s\n%s\nspan %zu: %zu-%zu, not %zu-%zu", pattern, a.data, i, y.spans[i].begin, y.spans[i].end,
                         x.spans[i].begin, x.spans[i].end);
        char *after = cJSON_PrintUnformatted(c);
        assert_string_equal(before, after); /* it is whole again */
        cJSON_free(before), cJSON_free(after);
        text_free(&a), text_free(&b);
        chat_spans_free(&x), chat_spans_free(&y);
    }
    cJSON_Delete(all);
    chat_template_free(with), chat_template_free(without);
}

#define FOR "{% for m in messages %}{% if m.role != 'assistant' %}"

static void prefixes_find_what_marks_tell(void **state)
{
    (void)state;
    static const char *const patterns[] = {
        /* ChatML */
        FOR "<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% else %}<|im_start|>assistant\n[{{ m.content }}"
            "<|im_end|>\n]{% endif %}{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}",
        /* contents are trimmed, no prompt to speak of, an end token */
        "<s>" FOR "(INST) {{ m.content | trim }} (/INST){% else %}[ {{ m.content | trim }}</s>]{% endif %}{% endfor %}",
    };
    for (size_t i = 0; i < COUNT(patterns); i++) assert_same_spans(patterns[i]);
}

/* What the spans of the conversation in a template without marks say, joined by |. */
static const char *said(const char *pattern, const char *messages, Text *out)
{
    cJSON *list = NULL;
    Text text = {0};
    ChatSpans spans = {0};
    ChatTemplate *t = compiled(pattern, false);
    assert_int_equal(json_parse(messages, strlen(messages), "messages", &list), OK);
    Status st = sft_spans(t, &(ChatInput){0}, list, &text, &spans);
    out->size = 0;
    text_add(out, "", 0);
    if (st) text_printf(out, "%s: %s", status_name(st), status_message());
    for (size_t i = 0; !st && i < spans.count; i++) {
        text_printf(out, "%s", i ? "|" : "");
        text_add(out, text.data + spans.spans[i].begin, spans.spans[i].end - spans.spans[i].begin);
    }
    text_free(&text);
    chat_spans_free(&spans);
    chat_template_free(t);
    cJSON_Delete(list);
    return out->data;
}

#define TWO                                                                                                            \
    "[{\"role\": \"user\", \"content\": \"q\"}, {\"role\": \"assistant\", \"content\": \"one\"}, "                     \
    "{\"role\": \"user\", \"content\": \"r\"}, {\"role\": \"assistant\", \"content\": \"two\"}]"

static void what_templates_do_to_turns_is_seen_through(void **state)
{
    (void)state;
    Text t = {0};
    /* the prompt begins a thought that the turn does not have */
    assert_string_equal(said(FOR "U:{{ m.content }}\n{% else %}A:{{ m.content }};\n{% endif %}{% endfor %}"
                                 "{% if add_generation_prompt %}A:<think>\n{% endif %}",
                             TWO, &t),
                        "one;\n|two;\n");
    /* a thought in the last turn alone, as Qwen 3 */
    assert_string_equal(said(FOR "U:{{ m.content }}\n{% else %}A:{% if loop.last %}<think>\n\n</think>\n\n{% endif %}"
                                 "{{ m.content }};\n{% endif %}{% endfor %}{% if add_generation_prompt %}A:{% endif %}",
                             TWO, &t),
                        "one;\n|<think>\n\n</think>\n\ntwo;\n");
    /* an end of the conversation's own, which begins as the next turn does, as Phi 3 */
    assert_string_equal(said(FOR "<|user|>{{ m.content }}<|end|>{% else %}<|assistant|>{{ m.content }}<|end|>"
                                 "{% endif %}{% endfor %}{% if add_generation_prompt %}<|assistant|>{% else %}<|eos|>"
                                 "{% endif %}",
                             TWO, &t),
                        "one<|end|>|two<|end|><|eos|>");
    /* nothing to render before the first message */
    assert_string_equal(said("{% for m in messages %}{{ m.role }}:{{ m.content }}.{% endfor %}"
                             "{% if add_generation_prompt %}assistant:{% endif %}",
                             "[{\"role\": \"assistant\", \"content\": \"first\"}]", &t),
                        "first.");
    text_free(&t);
}

static void what_cannot_be_told_is_said(void **state)
{
    (void)state;
    Text t = {0};
    /* earlier answers are shortened */
    assert_non_null(strstr(said(FOR "U:{{ m.content }}\n{% else %}A:{{ m.content if loop.last else '...' }};\n"
                                    "{% endif %}{% endfor %}",
                                TWO, &t),
                           "where the assistant speaks in message 2 cannot be told"));
    /* the beginning depends on the end */
    assert_non_null(strstr(said("{{ messages | length }}" FOR "U:{{ m.content }}\n{% else %}A:{{ m.content }};\n"
                                "{% endif %}{% endfor %}",
                                TWO, &t),
                           "cannot be told"));
    /* the template does not take a beginning */
    assert_non_null(
        strstr(said("{% if messages | length < 4 %}{{ raise_exception('short') }}{% endif %}x", TWO, &t), "short"));
    text_free(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(prefixes_find_what_marks_tell),
        cmocka_unit_test(what_templates_do_to_turns_is_seen_through),
        cmocka_unit_test(what_cannot_be_told_is_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
