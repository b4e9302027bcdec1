/* By rendering prefixes: P, the messages before the assistant's with the generation prompt, and F, the messages up to
 * and with it. The turn is what F has beyond P, if the whole conversation goes on as F does. Three things that
 * templates do are seen through: a generation prompt that begins a thought (the turn begins where P leaves the whole),
 * a last turn that has a beginning of its own (Qwen 3 shows thoughts in it alone), and a conversation that ends with a
 * token of its own. */
#include "trainer/data/sft_spans.h"

#include <stdlib.h>
#include <string.h>

#include "trainer/template/messages.h"

typedef struct Whole {
    const ChatTemplate *template;
    ChatInput input;
    cJSON *messages;
    const Text *text;
} Whole;

/* The first `count` messages, or all of them. */
static Status render_first(const Whole *w, int count, bool prompt, Text *out)
{
    ChatInput input = w->input;
    cJSON *first = w->messages->child, *last = NULL, *rest = first;
    out->size = 0;
    for (int i = 0; i < count && rest; i++) last = rest, rest = rest->next;
    input.messages = w->messages;
    input.add_generation_prompt = prompt;
    if (last) last->next = NULL;
    else w->messages->child = NULL;
    const Status st = chat_template_render(w->template, &input, out, NULL);
    if (last) last->next = rest;
    w->messages->child = first;
    return st;
}

static size_t common(const char *a, size_t a_size, const char *b, size_t b_size)
{
    const size_t most = a_size < b_size ? a_size : b_size;
    size_t n = 0;
    while (n < most && a[n] == b[n]) n++;
    return n;
}

static const char white[] = " \t\r\n";

/* What the message says, without white space around, and without a thought before it: within its turn, wherever that
 * ends. */
static const char *answer_of(const cJSON *message, size_t *size)
{
    static const char thought[] = "</think>";
    const cJSON *content = cJSON_GetObjectItemCaseSensitive(message, "content");
    *size = 0;
    if (!cJSON_IsString(content)) return "";
    const char *text = content->valuestring;
    for (const char *at; (at = strstr(text, thought)) != NULL; text = at) {
        at += sizeof thought - 1;
        if (at[strspn(at, white)] == '\0') break;
    }
    text += strspn(text, white);
    *size = strlen(text);
    while (*size && strchr(white, text[*size - 1])) --*size;
    return text;
}

/* Two texts part within tokens that begin alike, <|end|> and <|endoftext|>: the end before such a one, not below
 * `least`. */
static size_t before_token(const char *text, size_t least, size_t end)
{
    for (size_t i = end; i > least && text[i - 1] != '>'; i--)
        if (text[i - 1] == '<') return i - 1;
    return end;
}

/* How much of `rest`, what the whole conversation has from the turn's beginning on, is the turn, which is `turn` where
 * it is the last; 0: unknown. */
static size_t turn_size(const char *turn, size_t turn_bytes, const char *rest, size_t rest_bytes, const cJSON *message)
{
    size_t size;
    const char *answer = answer_of(message, &size);
    const size_t same = common(turn, turn_bytes, rest, rest_bytes);
    if (same == turn_bytes) return turn_bytes;
    if (!size) return 0;
    const char *found = memmem(turn, turn_bytes, answer, size);
    if (!found) return 0;
    const size_t at = (size_t)(found - turn);
    if (same >= at + size) return before_token(turn, at + size, same); /* the last turn's end is its own */
    for (size_t k = 1; k <= at; k++)    /* its beginning */
        if (turn_bytes - k <= rest_bytes && memcmp(turn + k, rest, turn_bytes - k) == 0) return turn_bytes - k;
    return 0;
}

static Status find_turn(const Whole *w, int number, const cJSON *message, Text *part, ChatSpan *out)
{
    Status st = OK;
    const Text *all = w->text;
    TRY(render_first(w, number, true, part));
    size_t begin = common(part->data, part->size, all->data, all->size);
    if (begin < part->size) {
        TRY(render_first(w, number, false, part));
        if (begin < part->size) goto unknown;
    }
    TRY(render_first(w, number + 1, false, part));
    if (part->size < begin || memcmp(part->data, all->data, begin) != 0) goto unknown;
    const size_t size =
        turn_size(part->data + begin, part->size - begin, all->data + begin, all->size - begin, message);
    if (!size) goto unknown;
    *out = (ChatSpan){begin, begin + size};
    goto done;
unknown:
    st = status_raise(STATUS_UNSUPPORTED,
                      "where the assistant speaks in message %d cannot be told: the chat template has no "
                      "{%% generation %%} marks, and renders the message otherwise when others follow; set "
                      "chat_template_path to one with the marks", number + 1);
done:
    return st;
}

Status sft_spans(const ChatTemplate *t, const ChatInput *input, cJSON *messages, Text *text, ChatSpans *spans)
{
    Status st = OK;
    Text part = {0};
    Whole w = {.template = t, .input = *input, .messages = messages, .text = text};
    int number = 0;
    w.input.messages = messages;
    if (chat_template_has_generation(t)) {
        st = chat_template_render(t, &w.input, text, spans);
        goto done;
    }
    TRY(chat_template_render(t, &w.input, text, NULL));
    spans->capacity = (size_t)cJSON_GetArraySize(messages);
    spans->spans = calloc(spans->capacity + 1, sizeof *spans->spans);
    if (!spans->spans) RAISE(MEMORY, "no memory for a conversation");
    text_add(&part, "", 0);
    for (cJSON *m = messages->child; m; m = m->next, number++)
        if (message_is_assistant(m)) TRY(find_turn(&w, number, m, &part, &spans->spans[spans->count++]));
done:
    text_free(&part);
    return st;
}
