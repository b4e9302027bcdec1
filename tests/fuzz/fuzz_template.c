/* links: template */
/* Any bytes as a chat template are refused with a line, or render a conversation within the limits: an error with a
 * message, or UTF-8 text and spans inside of it, the same each time. */
#include "tests/fuzz/fuzz.h"
#include "trainer/template/chat_template.h"

static const char INPUT[] = "{\"messages\": [{\"role\": \"system\", \"content\": \"Be brief. \"}, {\"role\": \"user\", "
                            "\"content\": \"Gr\xc3\xbc\xc3\x9f"
                            "e\\n\"},"
                            " {\"role\": \"assistant\", \"content\": \"x\", \"tool_calls\": [{\"function\": {\"name\": "
                            "\"f\", \"arguments\": {\"a\": 1.5}}}]}],"
                            " \"tools\": [{\"function\": {\"name\": \"f\", \"parameters\": {\"properties\": {\"a\": "
                            "{\"type\": \"number\"}}}}}],"
                            " \"variables\": {\"bos_token\": \"<s>\", \"eos_token\": \"</s>\", \"n\": -3, \"l\": [1, "
                            "null, true, [\"a\", {}]]}}";

static void check(const Text *text, const ChatSpans *spans)
{
    FUZZ_CHECK(text->data && text->data[text->size] == '\0');
    size_t before = 0;
    for (size_t i = 0; i < spans->count; i++) {
        FUZZ_CHECK(spans->spans[i].begin <= spans->spans[i].end && spans->spans[i].end <= text->size);
        FUZZ_CHECK(spans->spans[i].end >= before);
        before = spans->spans[i].end;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    ChatTemplate *t = NULL;
    cJSON *input = NULL;
    if (chat_template_compile((const char *)data, size, "fuzz", &t)) {
        FUZZ_CHECK(*status_message() && !t);
        return 0;
    }
    FUZZ_CHECK(json_parse(INPUT, sizeof INPUT - 1, "input", &input) == OK);
    struct tm now = {.tm_year = 124, .tm_mday = 1};
    ChatInput in = {.messages = cJSON_GetObjectItem(input, "messages"), .tools = cJSON_GetObjectItem(input, "tools"),
                    .variables = cJSON_GetObjectItem(input, "variables"), .add_generation_prompt = true, .now = &now};
    Text first = {0}, second = {0};
    ChatSpans spans = {0}, none = {0};
    Status st = chat_template_render(t, &in, &first, &spans);
    if (st) FUZZ_CHECK(*status_message());
    else check(&first, &spans);
    FUZZ_CHECK(st != STATUS_BUG);
    if (!st && first.size < 10000) {
        FUZZ_CHECK(chat_template_render(t, &in, &second, NULL) == OK);
        check(&second, &none);
        FUZZ_CHECK(second.size == first.size && !memcmp(first.data, second.data, first.size));
    }
    text_free(&first);
    text_free(&second);
    chat_spans_free(&spans);
    chat_template_free(t);
    cJSON_Delete(input);
    return 0;
}
