/* A program's other life, for scripts/reference/template_fuzz.py: `test_template_reference --lines` renders cases from
 * stdin, a JSON object a line, and answers each with {"text": …, "spans": [[begin, end], …]} or {"error": …}. */
#ifndef HONE_TESTS_TEMPLATE_LINES_H
#define HONE_TESTS_TEMPLATE_LINES_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "trainer/template/chat_template.h"

static const struct tm test_now = {.tm_year = 124, .tm_mon = 6, .tm_mday = 26, .tm_hour = 9, .tm_min = 5, .tm_sec = 3,
                                   .tm_wday = 5, .tm_yday = 207}; /* Friday, 26 July 2024, 09:05:03 */

/* A case: template, messages and the other members of ChatInput by their names. */
static Status render_case(const ChatTemplate *t, const cJSON *c, Text *text, ChatSpans *spans)
{
    const cJSON *prompt = cJSON_GetObjectItemCaseSensitive(c, "add_generation_prompt");
    const cJSON *proceed = cJSON_GetObjectItemCaseSensitive(c, "continue_final_message");
    ChatInput input = {.messages = cJSON_GetObjectItemCaseSensitive(c, "messages"),
                       .tools = cJSON_GetObjectItemCaseSensitive(c, "tools"),
                       .documents = cJSON_GetObjectItemCaseSensitive(c, "documents"),
                       .special_tokens = cJSON_GetObjectItemCaseSensitive(c, "special_tokens"),
                       .variables = cJSON_GetObjectItemCaseSensitive(c, "variables"),
                       .add_generation_prompt = cJSON_IsTrue(prompt),
                       .continue_final_message = cJSON_IsTrue(proceed),
                       .now = &test_now};
    return chat_template_render(t, &input, text, spans);
}

static void answer(const cJSON *c)
{
    const cJSON *source = cJSON_GetObjectItemCaseSensitive(c, "template");
    ChatTemplate *t = NULL;
    ChatSpans spans = {0};
    Text text = {0}, line = {0};
    Status st = chat_template_compile(source->valuestring, strlen(source->valuestring), "t", &t);
    if (!st) st = render_case(t, c, &text, chat_template_has_generation(t) ? &spans : NULL);
    text_printf(&line, st ? "{\"error\": " : "{\"text\": ");
    if (st) json_add_string(&line, status_message(), strlen(status_message()));
    else json_add_string(&line, text.data, text.size);
    text_printf(&line, ", \"status\": %d, \"spans\": [", (int)st);
    for (size_t i = 0; i < spans.count; i++)
        text_printf(&line, "%s[%zu, %zu]", i ? ", " : "", spans.spans[i].begin, spans.spans[i].end);
    text_printf(&line, "]}");
    puts(line.data);
    fflush(stdout);
    chat_spans_free(&spans);
    chat_template_free(t);
    text_free(&text);
    text_free(&line);
}

static int answer_lines(void)
{
    char *line = NULL;
    size_t capacity = 0;
    ssize_t size;
    while ((size = getline(&line, &capacity, stdin)) > 0) {
        cJSON *c = NULL;
        if (json_parse(line, (size_t)size, "stdin", &c)) {
            fprintf(stderr, "%s\n", status_message());
            return 1;
        }
        answer(c);
        cJSON_Delete(c);
    }
    free(line);
    return 0;
}

#endif
