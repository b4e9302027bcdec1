/* See messages.h. */
#include "trainer/template/messages.h"

#include <string.h>

static const char *const roles[] = {"system", "developer", "user", "assistant", "tool", "function", "ipython"};
enum { ROLES = sizeof roles / sizeof *roles };

static const cJSON *member(const cJSON *message, const char *name)
{
    return cJSON_GetObjectItemCaseSensitive(message, name);
}

bool message_is_assistant(const cJSON *message)
{
    const cJSON *role = member(message, "role");
    return cJSON_IsString(role) && strcmp(role->valuestring, "assistant") == 0;
}

static Status check_role(const cJSON *role, const char *what, int number)
{
    Status st = OK;
    Text all = {0};
    if (!cJSON_IsString(role)) RAISE(FORMAT, "%s: message %d has no role", what, number);
    for (int i = 0; i < ROLES; i++)
        if (strcmp(roles[i], role->valuestring) == 0) goto done;
    for (int i = 0; i < ROLES; i++) text_printf(&all, "%s%s", i ? ", " : "", roles[i]);
    RAISE(FORMAT, "%s: message %d has the role \"%.40s\"; there are %s", what, number, role->valuestring,
          all.data ? all.data : "");
done:
    text_free(&all);
    return st;
}

static bool is_blank(const char *text) { return text[strspn(text, " \t\r\n")] == '\0'; }

static bool has_text(const cJSON *message, const char *name)
{
    const cJSON *text = member(message, name);
    return cJSON_IsString(text) && !is_blank(text->valuestring);
}

/* A tool's call, or what it thought, is an answer too. */
static bool says_something(const cJSON *message)
{
    const cJSON *content = member(message, "content"), *calls = member(message, "tool_calls");
    if (cJSON_IsArray(calls) && calls->child) return true;
    if (has_text(message, "content") || has_text(message, "reasoning_content") || has_text(message, "thinking") ||
        has_text(message, "reasoning"))
        return true;
    if (cJSON_IsArray(content))
        for (const cJSON *block = content->child; block; block = block->next)
            if (!cJSON_IsObject(block) || !cJSON_IsString(member(block, "text")) || has_text(block, "text"))
                return true;
    return false;
}

static Status check_content(const cJSON *message, const char *what, int number)
{
    Status st = OK;
    const cJSON *content = member(message, "content"), *calls = member(message, "tool_calls");
    const bool none = !content || cJSON_IsNull(content);
    if (calls && !cJSON_IsNull(calls) && !cJSON_IsArray(calls))
        RAISE(FORMAT, "%s: message %d: tool_calls is not a list", what, number);
    if (!none && !cJSON_IsString(content) && !cJSON_IsArray(content))
        RAISE(FORMAT, "%s: message %d: the content is neither a text nor a list of blocks", what, number);
    if (message_is_assistant(message) && !says_something(message))
        RAISE(FORMAT, "%s: message %d: the assistant's answer is empty; remove the row or fill it in", what, number);
    if (none && !message_is_assistant(message)) RAISE(FORMAT, "%s: message %d has no content", what, number);
done:
    return st;
}

Status messages_check(const cJSON *messages, const char *what)
{
    Status st = OK;
    int number = 0;
    if (!cJSON_IsArray(messages)) RAISE(FORMAT, "%s: not a list of messages", what);
    if (!messages->child) RAISE(FORMAT, "%s: a conversation without a message", what);
    for (const cJSON *m = messages->child; m; m = m->next) {
        number++;
        if (!cJSON_IsObject(m))
            RAISE(FORMAT, "%s: message %d is not an object with a role and a content", what, number);
        TRY(check_role(member(m, "role"), what, number));
        TRY(check_content(m, what, number));
    }
done:
    return st;
}

Status messages_add(cJSON *messages, const char *role, const char *content)
{
    cJSON *message = cJSON_CreateObject();
    if (message && cJSON_AddStringToObject(message, "role", role) &&
        cJSON_AddStringToObject(message, "content", content) && cJSON_AddItemToArray(messages, message))
        return OK;
    cJSON_Delete(message);
    return status_raise(STATUS_MEMORY, "no memory for a message");
}
