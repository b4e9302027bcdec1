/* Chat templates: a conversation to the text that a model was trained on, by the Jinja template in its files, as
 * transformers' apply_chat_template renders it (5.23, jinja2 3.1.6): a sandboxed environment with trim_blocks and
 * lstrip_blocks, loop controls, the generation block, raise_exception and strftime_now.
 *
 *     ChatTemplate *t = NULL;
 *     Text text = {0};
 *     TRY(chat_template_compile(source, strlen(source), "chat_template.jinja", &t));
 *     TRY(chat_template_render(t, &(ChatInput){.messages = messages, .special_tokens = tokens}, &text, NULL));
 *
 * Messages of errors begin with the template's name and the line. What Jinja has and hone lacks is refused when the
 * template is compiled (STATUS_UNSUPPORTED), with what there is: inheritance, includes, recursive loops, *args, most
 * text that is for HTML. Steps, depth and memory of a rendering are limited: a hostile template gets an error. */
#ifndef HONE_TEMPLATE_CHAT_TEMPLATE_H
#define HONE_TEMPLATE_CHAT_TEMPLATE_H

#include <time.h>

#include "trainer/base/json.h"

typedef struct ChatTemplate ChatTemplate;

/* text: UTF-8, up to 4 MB; not needed afterwards. name: for messages, copied. Free with chat_template_free. */
Status chat_template_compile(const char *text, size_t size, const char *name, ChatTemplate **out);
void chat_template_free(ChatTemplate *t); /* NULL is fine */
const char *chat_template_source(const ChatTemplate *t); /* its text; borrowed */
/* Whether it marks the assistant's text with {% generation %}. */
bool chat_template_has_generation(const ChatTemplate *t);

/* The template of a model's directory: chat_template.jinja, else chat_template of tokenizer_config.json (of several,
 * the one named default). special_tokens: an object for ChatInput of the tokens that tokenizer_config.json (before it
 * special_tokens_map.json, of older models) names; free with cJSON_Delete. STATUS_MISSING: the model has no template.
 */
Status chat_template_load(const char *dir, ChatTemplate **out, cJSON **special_tokens);
/* The tokens alone. */
Status chat_special_tokens_load(const char *dir, cJSON **special_tokens);
/* A template in a file of its own. */
Status chat_template_read(const char *path, ChatTemplate **out);

typedef struct ChatInput {
    const cJSON *messages;       /* an array of objects */
    const cJSON *tools;          /* an array of JSON schemas; NULL: none */
    const cJSON *documents;      /* an array of objects; NULL: none */
    const cJSON *special_tokens; /* an object: bos_token, eos_token, … as variables; NULL: none */
    const cJSON *variables;      /* an object: further variables (enable_thinking); they win over tokens. NULL: none */
    bool add_generation_prompt;  /* ends with the beginning of an answer */
    bool continue_final_message; /* ends within the last message's content, for the model to go on; not both */
    const struct tm *now;        /* strftime_now's; NULL: the time of the call, local */
} ChatInput;

/* Where in the text, in bytes, the generation blocks wrote, in order. Free with chat_spans_free. */
typedef struct ChatSpan {
    size_t begin, end;
} ChatSpan;
typedef struct ChatSpans {
    ChatSpan *spans;
    size_t count, capacity;
} ChatSpans;
void chat_spans_free(ChatSpans *spans);

/* Adds the rendered text to *text, which the caller frees with text_free also after an error. spans: may be NULL; with
 * it, a generation block whose text goes through a macro or {% set %} is an error, for then its place is unknown. Any
 * number of threads may render one template. STATUS_FORMAT: the template raised (raise_exception: its text is in the
 * message), or what it did to the input is an error in Python too. */
Status chat_template_render(const ChatTemplate *t, const ChatInput *input, Text *text, ChatSpans *spans);

#endif
