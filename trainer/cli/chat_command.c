/* hone chat: a conversation on the terminal, or with a script: each line of stdin is the user's, each answer comes on
 * stdout as it is made. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "trainer/base/file.h"
#include "trainer/base/log.h"
#include "trainer/cli/chat.h"
#include "trainer/cli/generation_model.h"

enum { LEAST_ROOM = 64 /* tokens that an answer should have at least; of a small model a quarter of what it reads */ };

typedef struct Talk {
    GenerationModel model;
    Chat chat;
    Conversation *conversation;
    const char *system, *history;
    cJSON *messages;
    Arena *arena; /* of a turn */
    Encoding encoding;
    int64_t turns;
    bool terminal;

    DecodeStream *stream; /* of the answer that is being made */
    Text piece, answer;
    Status failed;
} Talk;

/* Ctrl-C on a terminal: ends an answer, or throws a line away. */
static volatile sig_atomic_t interrupted;
static void interrupt(int signal_number) { interrupted = signal_number; }

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

/* The oldest turn, a user's message and what follows it, but not the last one. false: there is no other. */
static bool drop_oldest(Talk *t)
{
    int first = has_role(t->messages->child, "system") ? 1 : 0, end = first + 1, count = cJSON_GetArraySize(t->messages);
    while (end < count && !has_role(cJSON_GetArrayItem(t->messages, end), "user")) end++;
    if (end >= count) return false;
    for (int i = first; i < end; i++) cJSON_DeleteItemFromArray(t->messages, first);
    return true;
}

static Status begin(Talk *t)
{
    Status st = OK;
    cJSON_Delete(t->messages);
    t->messages = cJSON_CreateArray();
    if (!t->messages) RAISE(MEMORY, "out of memory: a conversation");
    if (t->system && *t->system) TRY(add_message(t, "system", t->system));
done:
    return st;
}

static Status load_history(Talk *t)
{
    Status st = OK;
    cJSON *all = NULL;
    TRY(json_read_file(t->history, &all));
    if (!cJSON_IsArray(all)) RAISE(FORMAT, "%s: must be a list of messages", t->history);
    cJSON_Delete(t->messages);
    t->messages = all, all = NULL;
done:
    cJSON_Delete(all);
    return st;
}

/* ---- an answer --------------------------------------------------------------------------------------------------- */

static bool show_token(void *context, int text, int32_t id)
{
    Talk *t = context;
    (void)text;
    t->piece.size = 0;
    t->failed = decode_stream_step(t->stream, id, &t->piece);
    if (t->failed) return false;
    text_add(&t->answer, t->piece.data ? t->piece.data : "", t->piece.size);
    fwrite(t->piece.data, 1, t->piece.size, stdout);
    fflush(stdout);
    return !interrupted;
}

static bool was_interrupted(void *context)
{
    (void)context;
    return interrupted != 0;
}

static Status encode(Talk *t)
{
    Status st = OK;
    Text prompt = {0};
    TRY(chat_prompt(&t->chat, t->messages, &prompt));
    TRY(tokenizer_encode(t->model.tokenizer, prompt.data, prompt.size, 0, &t->encoding));
done:
    text_free(&prompt);
    return st;
}

/* Into t->encoding, with room for an answer. A conversation that has become too long loses its oldest turns. */
static Status make_prompt(Talk *t)
{
    Status st = OK;
    int64_t most = t->model.model->max_positions, room = most / 4 < LEAST_ROOM ? most / 4 : LEAST_ROOM;
    int dropped = 0;
    TRY(encode(t));
    while (t->encoding.count + room > most && drop_oldest(t)) {
        dropped++;
        TRY(encode(t));
    }
    if (dropped)
        log_warning("the conversation is longer than the %lld tokens that the model was made for: %s forgotten",
                    (long long)most, dropped == 1 ? "its oldest turn is" : "its oldest turns are");
    if (t->encoding.count + room > most)
        RAISE(USAGE, "this is %lld tokens long, and the model was made for %lld; say it shorter",
              (long long)t->encoding.count, (long long)most);
done:
    return st;
}

static Status generate_answer(Talk *t)
{
    Status st = OK;
    GeneratedText *text;
    GenerationConfig config = t->model.config;
    const GenerateHooks hooks = {show_token, was_interrupted, t};
    const Prompt prompt = {.ids = t->encoding.ids, .count = t->encoding.count};
    int64_t room = t->model.model->max_positions - prompt.count;
    if (config.max_new_tokens > room) config.max_new_tokens = room;
    TRY(decode_stream_new(t->model.tokenizer, true, &t->stream));
    TRY(conversation_answer(t->conversation, &config, &prompt, t->turns++, &hooks, t->arena, &text));
    TRY(t->failed);
    t->piece.size = 0;
    TRY(decode_stream_end(t->stream, &t->piece));
    text_add(&t->answer, t->piece.data ? t->piece.data : "", t->piece.size);
    fwrite(t->piece.data, 1, t->piece.size, stdout);
    if (text->finish == FINISH_LENGTH) log_warning("the answer ends after %lld tokens (max_new_tokens)",
                                                   (long long)(text->count - text->prompt));
done:
    decode_stream_free(t->stream);
    t->stream = NULL;
    printf("\n");
    fflush(stdout);
    return st;
}

/* A line that cannot be answered is told of, and the conversation is what it was. */
static Status answer(Talk *t, const char *line)
{
    Status st = OK;
    t->answer.size = 0;
    t->failed = OK;
    TRY(arena_new(&t->arena));
    TRY(add_message(t, "user", line));
    if ((st = make_prompt(t)) == OK) st = generate_answer(t);
    if (st) {
        drop_last(t);
        goto done;
    }
    TRY(add_message(t, "assistant", t->answer.data ? t->answer.data : ""));
done:
    arena_free(t->arena);
    t->arena = NULL;
    return st;
}

/* ---- commands ---------------------------------------------------------------------------------------------------- */

static Status save(Talk *t, const char *path)
{
    if (!*path) return status_raise(STATUS_USAGE, "/save FILE: the file is missing");
    Status st = json_write_file(path, t->messages, 2, false);
    if (!st) fprintf(stderr, "saved: %s (hone chat --history %s goes on with it)\n", path, path);
    return st;
}

static void tell_commands(void)
{
    fprintf(stderr, "  /reset         begin a new conversation\n"
                    "  /system TEXT   begin a new one with this system message\n"
                    "  /save FILE     the conversation as JSON, for --history\n"
                    "  /exit          leave (so does Ctrl-D); Ctrl-C ends an answer\n"
                    "A line that ends with a backslash goes on with the next one.\n");
}

/* *leave: it was /exit. */
static Status command(Talk *t, const char *line, bool *leave)
{
    size_t word = strcspn(line, " ");
    const char *rest = line + word + strspn(line + word, " ");
#define IS(name) (word == sizeof(name) - 1 && memcmp(line, name, word) == 0)
    if (IS("/exit") || IS("/quit")) *leave = true;
    else if (IS("/help")) tell_commands();
    else if (IS("/save")) return save(t, rest);
    else if (IS("/reset")) return begin(t);
    else if (IS("/system")) {
        char *system = arena_strdup(t->model.arena, rest);
        if (!system) return status_raise(STATUS_MEMORY, "out of memory");
        t->system = system;
        return begin(t);
    } else return status_raise(STATUS_USAGE, "no command %.*s; /help lists them", (int)word, line);
#undef IS
    return OK;
}

/* ---- the terminal ------------------------------------------------------------------------------------------------ */

/* One thing that the user says: a line, and those that backslashes join to it. false: there is no more. */
static bool listen(Talk *t, char **line, size_t *capacity, Text *said)
{
    said->size = 0;
    text_add(said, "", 0);
    for (bool joined = true; joined;) {
        if (t->terminal) printf("%s", said->size ? "... " : "> ");
        fflush(stdout);
        errno = 0;
        int64_t size = line_read(line, capacity);
        if (size < 0 && errno == EINTR && interrupted) { /* Ctrl-C: the line is thrown away */
            interrupted = 0;
            clearerr(stdin);
            printf("\n");
            said->size = 0;
            continue;
        }
        if (size < 0) return said->size > 0;
        joined = size > 0 && (*line)[size - 1] == '\\';
        text_add(said, *line, (size_t)(joined ? size - 1 : size));
        if (joined) text_add(said, "\n", 1);
    }
    return !said->failed;
}

static Status converse(Talk *t)
{
    Status st = OK;
    char *line = NULL;
    size_t capacity = 0;
    Text said = {0};
    bool leave = false;
    while (!leave && listen(t, &line, &capacity, &said)) {
        bool is_command = said.data[0] == '/';
        if (!said.data[strspn(said.data, " \n")]) continue;
        interrupted = 0;
        st = is_command ? command(t, said.data, &leave) : answer(t, said.data);
        if (st == STATUS_MEMORY || st == STATUS_BUG || (st && !t->terminal)) goto done;
        if (st) log_error("%s", status_message());
        st = OK;
    }
    if (t->terminal && !leave) printf("\n");
done:
    free(line);
    text_free(&said);
    return st;
}

static Status run(int argc, char **argv)
{
    Status st = OK;
    Talk t = {.model = {.defaults = DEFAULTS_CHAT}};
    const Option own[] = {{"system", OPTION_TEXT, &t.system, 0, 0}, {"history", OPTION_TEXT, &t.history, 0, 0}};
    int first = 0;
    TRY(generation_model_options(&t.model, argc, argv, own, sizeof own / sizeof *own, &first));
    if (first < argc) RAISE(USAGE, "chat takes options only; what is said is read from stdin");
    if (t.system && t.history) RAISE(USAGE, "--system begins a conversation, --history goes on with one; give one");
    TRY(generation_model_open(&t.model));
    TRY(chat_open(&t.chat, t.model.tokenizer_dir));
    TRY(conversation_new(t.model.generator, &t.conversation));
    TRY(begin(&t));
    if (t.history) TRY(load_history(&t));
    t.terminal = isatty(STDIN_FILENO) && isatty(STDOUT_FILENO);
    if (t.terminal) {
        struct sigaction action = {.sa_handler = interrupt}; /* a read that waits is ended: no SA_RESTART */
        sigaction(SIGINT, &action, NULL);
        fprintf(stderr, "%s; /help tells more\n", t.model.dir);
    }
    TRY(converse(&t));
done:
    conversation_free(t.conversation);
    encoding_free(&t.encoding);
    chat_close(&t.chat);
    text_free(&t.piece);
    text_free(&t.answer);
    cJSON_Delete(t.messages);
    generation_model_close(&t.model);
    return st;
}

const Command command_chat = {
    .name = "chat",
    .usage = "chat --model DIR [--adapter DIR ...] [--system TEXT] [--KEY value ...]",
    .summary = "A conversation on the terminal, by the model's chat template.",
    .run = run,
    .help = "Answers come as they are made; Ctrl-C ends an answer, Ctrl-D leaves, /help tells the commands. Where\n"
            "stdin is no terminal each line is the user's, and only answers are on stdout.\n"
            "  --model DIR      a model's directory, or an adapter's that names its model\n"
            "  --adapter DIR    an adapter beside it, in PEFT's format; several are added up\n"
            "  --system TEXT    the system message\n"
            "  --history FILE   goes on with a conversation that /save wrote: a list of messages\n"
            "  --num_threads N, --device, and every generation parameter that `hone pipeline text-generation --help`\n"
            "  lists; the answer ends after 1024 tokens unless max_new_tokens says otherwise\n",
};
