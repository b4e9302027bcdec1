/* Compiling and rendering: the input's values, the variables that a template sees, and what went wrong where. */
#include "trainer/template/chat_template.h"

#include <stdlib.h>
#include <string.h>

#include "trainer/template/parser.h"
#include "trainer/template/render.h"

struct ChatTemplate {
    Arena *arena;
    char *name, *source;
    Parsed parsed;
};

enum { TEMPLATE_BYTES = 4 << 20 };
static const char CONTINUE_TAG[] = "CONTINUE_FINAL_MESSAGE_TAG "; /* transformers' */

Status chat_template_compile(const char *text, size_t size, const char *name, ChatTemplate **out)
{
    Status st = OK;
    ChatTemplate *t = NULL;
    Arena *arena = NULL;
    *out = NULL;
    if (size > TEMPLATE_BYTES)
        RAISE(UNSUPPORTED, "%s: a template of %zu bytes; at most %d are read", name, size, TEMPLATE_BYTES);
    TRY(arena_new(&arena));
    TRY_NEW(arena, t, 1);
    t->arena = arena;
    t->name = arena_strdup(arena, name);
    t->source = arena_strndup(arena, text, size);
    TRY_MEMORY(t->name);
    TRY_MEMORY(t->source);
    st = parser_run(text, size, arena, &t->parsed);
    if (st) {
        status_prefix(st, "%s", name);
        goto done;
    }
    *out = t;
done:
    if (st) arena_free(arena);
    return st;
}

void chat_template_free(ChatTemplate *t)
{
    if (t) arena_free(t->arena);
}

const char *chat_template_source(const ChatTemplate *t) { return t->source; }

bool chat_template_has_generation(const ChatTemplate *t) { return t->parsed.has_generation; }

void chat_spans_free(ChatSpans *spans)
{
    free(spans->spans);
    *spans = (ChatSpans){0};
}

static void set_input(Render *r, const char *name, Value value)
{
    for (size_t i = 0; i < r->template->name_count; i++)
        if (!strcmp(r->template->names[i], name)) r->inputs[i] = value;
}

static const Value *field(Value message, const char *name)
{
    return dict_find_text(message.dict, name, strlen(name));
}

/* A message's reasoning under all the names that templates read: transformers' _alias_reasoning_fields. */
static Status alias_reasoning(Render *r, Value *message)
{
    static const char *const names[] = {"reasoning_content", "thinking", "reasoning"};
    Status st = OK;
    const Value *found = NULL;
    for (int i = 0; i < 3 && (!found || found->kind == VALUE_NONE); i++) found = field(*message, names[i]);
    if (!found || found->kind == VALUE_NONE) goto done;
    Value reasoning = *found, aliased;
    TRY(value_dict(r, &aliased));
    TRY(dict_put(r, aliased.dict, value_string("thinking", 8), reasoning));
    for (size_t i = 0; i < message->dict->count; i++)
        TRY(dict_put(r, aliased.dict, message->dict->pairs[i].key, message->dict->pairs[i].value));
    TRY(dict_put(r, aliased.dict, value_string("reasoning_content", 17), reasoning));
    *message = aliased;
done:
    return st;
}

/* Puts transformers' mark behind the last message's text. */
static Status mark_final(Render *r, Value messages)
{
    Status st = OK;
    Value *content, tag = value_string(CONTINUE_TAG, sizeof CONTINUE_TAG - 1);
    if (!messages.list->count) RAISE(FORMAT, "there is no final message to continue");
    content = (Value *)field(messages.list->items[messages.list->count - 1], "content");
    if (content && content->kind == VALUE_LIST) { /* the last block that has a text */
        Value *text = NULL;
        for (size_t i = content->list->count; i > 0 && !text; i--)
            if (content->list->items[i - 1].kind == VALUE_DICT)
                text = (Value *)field(content->list->items[i - 1], "text");
        content = text;
    }
    if (!content || content->kind != VALUE_STRING) RAISE(FORMAT, "the final message has no text to continue");
    TRY(operator_binary(r, OP_ADD, *content, tag, content));
done:
    return st;
}

/* Cuts the text at the mark. */
static Status cut_final(Text *text, size_t start)
{
    Status st = OK;
    size_t n = sizeof CONTINUE_TAG - 2, at = text->size; /* without its space */
    while (at >= start + n && memcmp(text->data + at - n, CONTINUE_TAG, n)) at--;
    if (at < start + n) RAISE(FORMAT, "the template leaves the final message's end out: it cannot be continued");
    bool spaced = at < text->size && text->data[at] == ' ';
    at -= n;
    while (!spaced && at > start && strchr(" \t\n\r\v\f", text->data[at - 1])) at--;
    text->size = at;
    text->data[at] = '\0';
done:
    return st;
}

static Status read_messages(Render *r, const ChatInput *in)
{
    Status st = OK;
    Value messages;
    if (!cJSON_IsArray(in->messages)) RAISE(FORMAT, "the messages are not a list");
    TRY(value_from_json(r, in->messages, &messages));
    for (size_t i = 0; i < messages.list->count; i++) {
        if (messages.list->items[i].kind != VALUE_DICT)
            RAISE(FORMAT, "message %zu is not an object with a role and a content", i + 1);
        TRY(alias_reasoning(r, &messages.list->items[i]));
    }
    if (in->continue_final_message) TRY(mark_final(r, messages));
    set_input(r, "messages", messages);
done:
    return st;
}

static Status read_list(Render *r, const char *name, const cJSON *json)
{
    Status st = OK;
    Value list = value_none();
    if (json && !cJSON_IsNull(json)) {
        if (!cJSON_IsArray(json)) RAISE(FORMAT, "%s are not a list", name);
        TRY(value_from_json(r, json, &list));
        for (size_t i = 0; i < list.list->count; i++)
            if (list.list->items[i].kind != VALUE_DICT)
                RAISE(FORMAT, "number %zu of the %s is not an object", i + 1, name);
    }
    set_input(r, name, list);
done:
    return st;
}

static Status read_variables(Render *r, const cJSON *object)
{
    static const char *const own[] = {"messages", "tools", "documents", "add_generation_prompt"};
    Status st = OK;
    Value value;
    if (!object || cJSON_IsNull(object)) goto done;
    if (!cJSON_IsObject(object)) RAISE(FORMAT, "the template's variables are not an object");
    for (const cJSON *item = object->child; item; item = item->next) {
        for (int i = 0; i < 4; i++)
            if (!strcmp(item->string, own[i]))
                RAISE(FORMAT, "`%s` is no variable to be given: it has a place of its own", own[i]);
        TRY(value_from_json(r, item, &value));
        set_input(r, item->string, value);
    }
done:
    return st;
}

static Status read_inputs(Render *r, const ChatInput *in)
{
    Status st = OK;
    if (in->add_generation_prompt && in->continue_final_message)
        RAISE(FORMAT, "add_generation_prompt begins a new message: it cannot be with continue_final_message");
    NEW(r, r->inputs, r->template->name_count);
    TRY(read_variables(r, in->special_tokens));
    TRY(read_variables(r, in->variables));
    TRY(read_messages(r, in));
    TRY(read_list(r, "tools", in->tools));
    TRY(read_list(r, "documents", in->documents));
    set_input(r, "add_generation_prompt", value_bool(in->add_generation_prompt));
done:
    return st;
}

Status chat_template_render(const ChatTemplate *t, const ChatInput *input, Text *text, ChatSpans *spans)
{
    Status st = OK;
    struct tm now;
    Render r = {.template = &t->parsed, .out = text, .direct = true, .spans = spans, .now = input->now,
                .steps = RENDER_STEPS, .bytes = RENDER_BYTES};
    size_t start = text->size;
    if (!r.now) {
        time_t seconds = time(NULL);
        r.now = localtime_r(&seconds, &now);
    }
    TRY(arena_new(&r.arena));
    r.bytes = SIZE_MAX / 2; /* the input is the caller's */
    r.steps = SIZE_MAX / 2;
    TRY(read_inputs(&r, input));
    r.bytes = RENDER_BYTES;
    r.steps = RENDER_STEPS;
    TRY(scope_push(&r, NULL));
    for (size_t i = 0; i < t->parsed.name_count; i++)
        if (t->parsed.hidden[i]) r.inputs[i] = (Value){0};
    TRY(execute(&r, t->parsed.body));
    if (text->failed) RAISE(MEMORY, "out of memory: a text of %zu bytes", text->size);
    if (input->continue_final_message) TRY(cut_final(text, start));
    for (size_t i = 0; spans && i < spans->count; i++) {
        ChatSpan *s = &spans->spans[i];
        s->begin = s->begin < text->size ? s->begin : text->size;
        s->end = s->end < text->size ? s->end : text->size;
    }
    text_add(text, "", 0);
done:
    if (st && r.failed_line) status_prefix(st, "%s, line %u", t->name, r.failed_line);
    else if (st) status_prefix(st, "%s", t->name);
    arena_free(r.arena);
    return st;
}
