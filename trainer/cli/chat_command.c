/* hone chat: a conversation on the terminal, or with a script: each line of stdin is the user's, each answer comes on
 * stdout as it is made. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "trainer/base/log.h"
#include "trainer/cli/chat_talk.h"

/* Ctrl-C on a terminal: ends an answer, or throws a line away. */
static volatile sig_atomic_t interrupted;
static void interrupt(int signal_number) { interrupted = signal_number; }

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
    else if (IS("/reset")) return talk_begin(t);
    else if (IS("/system")) {
        char *system = arena_strdup(t->model.arena, rest);
        if (!system) return status_raise(STATUS_MEMORY, "out of memory");
        t->system = system;
        return talk_begin(t);
    } else return status_raise(STATUS_USAGE, "no command %.*s; /help lists them", (int)word, line);
#undef IS
    return OK;
}

/* ---- the terminal ------------------------------------------------------------------------------------------------ */

/* One thing that the user says: a line, and those that backslashes join to it. false: there is no more. */
static bool listen(bool terminal, char **line, size_t *capacity, Text *said)
{
    said->size = 0;
    text_add(said, "", 0);
    for (bool joined = true; joined;) {
        if (terminal) printf("%s", said->size ? "... " : "> ");
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

static Status converse(Talk *t, bool terminal)
{
    Status st = OK;
    char *line = NULL;
    size_t capacity = 0;
    Text said = {0};
    bool leave = false;
    while (!leave && listen(terminal, &line, &capacity, &said)) {
        bool is_command = said.data[0] == '/';
        if (!said.data[strspn(said.data, " \n")]) continue;
        interrupted = 0;
        st = is_command ? command(t, said.data, &leave) : talk_answer(t, said.data);
        if (st == STATUS_MEMORY || st == STATUS_BUG || st == STATUS_NUMERIC || (st && !terminal)) goto done;
        if (st) log_error("%s", status_message());
        st = OK;
    }
    if (terminal && !leave) printf("\n");
done:
    free(line);
    text_free(&said);
    return st;
}

static Status open_talk(Talk *t, const char *history)
{
    Status st = OK;
    TRY(generation_model_open(&t->model));
    TRY(chat_open(&t->chat, t->model.tokenizer_dir));
    TRY(conversation_new(t->model.generator, &t->conversation));
    TRY(talk_begin(t));
    if (history) TRY(talk_load(t, history));
done:
    return st;
}

static Status run(int argc, char **argv)
{
    Status st = OK;
    Talk t = {.model = {.defaults = DEFAULTS_CHAT}, .out = stdout, .interrupted = &interrupted};
    const char *history = NULL;
    const Option own[] = {{"system", OPTION_TEXT, &t.system, 0, 0}, {"history", OPTION_TEXT, &history, 0, 0}};
    int first = 0;
    TRY(generation_model_options(&t.model, argc, argv, own, sizeof own / sizeof *own, &first));
    if (first < argc) RAISE(USAGE, "chat takes options only; what is said is read from stdin");
    if (t.system && history) RAISE(USAGE, "--system begins a conversation, --history goes on with one; give one");
    TRY(open_talk(&t, history));
    bool terminal = isatty(STDIN_FILENO) && isatty(STDOUT_FILENO);
    if (terminal) {
        struct sigaction action = {.sa_handler = interrupt}; /* a read that waits is ended: no SA_RESTART */
        sigaction(SIGINT, &action, NULL);
        fprintf(stderr, "%s; /help tells more\n", t.model.dir);
    }
    TRY(converse(&t, terminal));
done:
    talk_close(&t);
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
