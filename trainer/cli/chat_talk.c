/* See chat_talk.h. */
#include "trainer/cli/chat_talk.h"

#include <string.h>

#include "trainer/base/log.h"

enum { LEAST_ROOM = 64 /* tokens that an answer should have at least; of a small model a quarter of what it reads */ };

/* ---- the messages ------------------------------------------------------------------------------------------------ */

static Status add_message(Talk *t, const char *role, const char *content)
{
    cJSON *message = cJSON_CreateObject();
    if (message && cJSON_AddStringToObject(message, "role", role) &&
        cJSON_AddStringToObject(message, "content", content) && cJSON_AddItemToArray(t->messages, message))
        return OK;
    cJSON_Delete(message);
    return status_raise(STATUS_MEMORY, "out of memory: a message");
}

static bool has_role(const cJSON *message, const char *role)
{
    const cJSON *is = cJSON_GetObjectItemCaseSensitive(message, "role");
    return cJSON_IsString(is) && strcmp(is->valuestring, role) == 0;
}

static void drop_last(Talk *t) { cJSON_DeleteItemFromArray(t->messages, cJSON_GetArraySize(t->messages) - 1); }

/* Where the second turn begins, a turn being a user's message and what follows it; 0: there is none. */
static int second_turn(const cJSON *messages)
{
    int first = has_role(messages->child, "system") ? 1 : 0, count = cJSON_GetArraySize(messages);
    for (int i = first + 1; i < count; i++)
        if (has_role(cJSON_GetArrayItem(messages, i), "user")) return i;
    return 0;
}

Status talk_begin(Talk *t)
{
    Status st = OK;
    cJSON_Delete(t->messages);
    t->messages = cJSON_CreateArray();
    if (!t->messages) RAISE(MEMORY, "out of memory: a conversation");
    if (t->system && *t->system) TRY(add_message(t, "system", t->system));
done:
    return st;
}

Status talk_load(Talk *t, const char *path)
{
    Status st = OK;
    cJSON *all = NULL;
    TRY(json_read_file(path, &all));
    if (!cJSON_IsArray(all)) RAISE(FORMAT, "%s: must be a list of messages", path);
    cJSON_Delete(t->messages);
    t->messages = all, all = NULL;
done:
    cJSON_Delete(all);
    return st;
}

/* ---- the prompt -------------------------------------------------------------------------------------------------- */

static Status encode(Talk *t, const cJSON *messages)
{
    Status st = OK;
    Text prompt = {0};
    TRY(chat_prompt(&t->chat, messages, &prompt));
    TRY(tokenizer_encode(t->model.tokenizer, prompt.data, prompt.size, 0, &t->encoding));
done:
    text_free(&prompt);
    return st;
}

/* Tokens that a conversation may have: what the model was made for, or max_length where that limits it. */
static int64_t most_tokens(const Talk *t)
{
    const GenerationConfig *c = &t->model.config;
    int64_t most = t->model.model->max_positions;
    return c->max_new_tokens < 0 && c->max_length >= 0 && c->max_length < most ? c->max_length : most;
}

/* Into t->encoding, with room for an answer. A conversation that has become too long loses its oldest turns, whole: in
 * *remaining when it could be made to fit. */
static Status fit(Talk *t, cJSON *remaining)
{
    Status st = OK;
    int64_t most = most_tokens(t), room = most / 4 < LEAST_ROOM ? most / 4 : LEAST_ROOM, whole;
    int dropped = 0;
    TRY(encode(t, remaining));
    whole = t->encoding.count;
    for (int end; t->encoding.count + room > most && (end = second_turn(remaining)); dropped++) {
        int first = has_role(remaining->child, "system") ? 1 : 0;
        for (int i = first; i < end; i++) cJSON_DeleteItemFromArray(remaining, first);
        TRY(encode(t, remaining));
    }
    if (t->encoding.count + room > most)
        RAISE(USAGE, "this is %lld tokens long, and the model was made for %lld; say it shorter",
              (long long)t->encoding.count, (long long)most);
    if (dropped)
        log_warning("the conversation has %lld tokens, and the model was made for %lld: its oldest turn%s forgotten",
                    (long long)whole, (long long)most, dropped == 1 ? " is" : "s are");
done:
    return st;
}

static Status make_prompt(Talk *t)
{
    Status st = OK;
    cJSON *remaining = cJSON_Duplicate(t->messages, true), *all = t->messages;
    if (!remaining) RAISE(MEMORY, "out of memory: a conversation");
    TRY(fit(t, remaining));
    t->messages = remaining, remaining = all;
done:
    cJSON_Delete(remaining);
    return st;
}

/* ---- the answer -------------------------------------------------------------------------------------------------- */

static void show(Talk *t)
{
    if (!t->piece.size) return;
    text_add(&t->answer, t->piece.data, t->piece.size);
    fwrite(t->piece.data, 1, t->piece.size, t->out);
    fflush(t->out);
}

static bool show_token(void *context, int text, int32_t id)
{
    Talk *t = context;
    (void)text;
    t->piece.size = 0;
    t->failed = decode_stream_step(t->stream, id, &t->piece);
    if (t->failed) return false;
    show(t);
    return !ferror(t->out) && !*t->interrupted;
}

static bool was_interrupted(void *context) { return *((Talk *)context)->interrupted != 0; }

/* Why it ends where it does, when that is neither the model's will nor the user's. */
static void tell_end(const GeneratedText *text, bool full)
{
    long long count = (long long)(text->count - text->prompt);
    if (text->finish == FINISH_TIME) log_warning("the answer ends here: max_time is over");
    if (text->finish != FINISH_LENGTH && text->finish != FINISH_POSITIONS) return;
    if (full || text->finish == FINISH_POSITIONS)
        log_warning("the answer ends here: with it the conversation is as long as the model was made for");
    else log_warning("the answer ends after %lld tokens (max_new_tokens)", count);
}

static Status generate_answer(Talk *t)
{
    Status st = OK;
    GeneratedText *text;
    GenerationConfig config = t->model.config;
    const GenerateHooks hooks = {show_token, was_interrupted, t};
    const Prompt prompt = {.ids = t->encoding.ids, .count = t->encoding.count};
    int64_t room = most_tokens(t) - prompt.count;
    bool full = config.max_new_tokens < 0 || config.max_new_tokens > room;
    if (full) config.max_new_tokens = room;
    TRY(decode_stream_new(t->model.tokenizer, true, &t->stream));
    TRY(conversation_answer(t->conversation, &config, &prompt, t->turns++, &hooks, t->arena, &text));
    TRY(t->failed);
    t->piece.size = 0;
    TRY(decode_stream_end(t->stream, &t->piece));
    show(t);
done:
    decode_stream_free(t->stream);
    t->stream = NULL;
    fputs("\n", t->out);
    if (fflush(t->out) || ferror(t->out)) return st ? st : status_raise(STATUS_IO, "stdout: cannot write an answer");
    if (!st) tell_end(text, full);
    return st;
}

Status talk_answer(Talk *t, const char *line)
{
    Status st = OK;
    t->answer.size = 0;
    t->failed = OK;
    TRY(arena_new(&t->arena));
    TRY(add_message(t, "user", line));
    if ((st = make_prompt(t)) == OK) st = generate_answer(t);
    if (t->answer.failed) st = status_raise(STATUS_MEMORY, "out of memory: an answer");
    if (st || (*t->interrupted && !t->answer.size)) {
        drop_last(t);
        goto done;
    }
    TRY(add_message(t, "assistant", t->answer.data ? t->answer.data : ""));
done:
    arena_free(t->arena);
    t->arena = NULL;
    return st;
}

void talk_close(Talk *t)
{
    conversation_free(t->conversation);
    encoding_free(&t->encoding);
    chat_close(&t->chat);
    text_free(&t->piece);
    text_free(&t->answer);
    cJSON_Delete(t->messages);
    generation_model_close(&t->model);
}
