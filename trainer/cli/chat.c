/* Chats through the model's template. */
#include "trainer/cli/chat.h"

#include <string.h>

Status chat_open(Chat *chat, const char *model_dir)
{
    return chat->template ? OK : chat_template_load(model_dir, &chat->template, &chat->special_tokens);
}

void chat_close(Chat *chat)
{
    chat_template_free(chat->template);
    cJSON_Delete(chat->special_tokens);
    *chat = (Chat){0};
}

static cJSON *member(const cJSON *message, const char *name) { return cJSON_GetObjectItemCaseSensitive(message, name); }

/* The last message, where it is the assistant's: the model goes on with it. */
static cJSON *unfinished(const cJSON *messages)
{
    cJSON *last = cJSON_GetArrayItem(messages, cJSON_GetArraySize(messages) - 1);
    const cJSON *role = member(last, "role");
    return cJSON_IsString(role) && !strcmp(role->valuestring, "assistant") ? last : NULL;
}

Status chat_prompt(const Chat *chat, const cJSON *messages, Text *text)
{
    Status st = OK;
    int count = 0;
    for (const cJSON *m = messages->child; m; m = m->next) {
        count++;
        if (!cJSON_IsObject(m) || !member(m, "role") || !member(m, "content"))
            RAISE(USAGE, "message %d of a chat should be an object with a role and a content", count);
    }
    if (!count) RAISE(USAGE, "a chat should have a message");
    const cJSON *last = unfinished(messages);
    if (last && !cJSON_IsString(member(last, "content")))
        RAISE(UNSUPPORTED, "the assistant's message that ends a chat should have a text as its content, to go on with");
    TRY(chat_template_render(chat->template,
                             &(ChatInput){.messages = messages, .special_tokens = chat->special_tokens,
                                          .add_generation_prompt = !last, .continue_final_message = last != NULL},
                             text, NULL));
done:
    return st;
}

Status chat_with_answer(const char *messages, const char *answer, Text *out)
{
    Status st = OK;
    cJSON *all = NULL, *whole = NULL;
    Text joined = {0};
    TRY(json_parse(messages, strlen(messages), "a text", &all));
    cJSON *last = unfinished(all);
    if (last) {
        text_printf(&joined, "%s%s", member(last, "content")->valuestring, answer);
        whole = joined.failed ? NULL : cJSON_CreateString(joined.data);
        if (!whole || !cJSON_ReplaceItemInObjectCaseSensitive(last, "content", whole))
            RAISE(MEMORY, "out of memory: a chat");
    } else {
        cJSON *message = cJSON_CreateObject();
        if (!message || !cJSON_AddItemToArray(all, message) || !cJSON_AddStringToObject(message, "role", "assistant") ||
            !cJSON_AddStringToObject(message, "content", answer))
            RAISE(MEMORY, "out of memory: a chat");
    }
    json_add(out, all, 0, false);
done:
    cJSON_Delete(all);
    text_free(&joined);
    return st;
}
