/* hone pipeline text-generation: [{"generated_text": …}] for a text, as transformers/pipelines/text_generation.py. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "trainer/base/log.h"
#include "trainer/cli/chat.h"
#include "trainer/cli/generation_model.h"
#include "trainer/cli/pipeline.h"

enum { TEXTS_AT_ONCE = 16 /* of the command line */ };

typedef struct TextGeneration {
    GenerationModel model;
    bool return_full_text, json;
    int64_t batch_size;
    bool told; /* that a text was cut short */

    Arena *arena; /* a batch's */
    Encoding encoding;
    Chat chat; /* opened by the first chat */
    Text out;
} TextGeneration;

/* A batch: what was asked. */
typedef struct Questions {
    const char **texts; /* in the arena, or the command line's */
    const char **chats; /* the JSON that a chat's text was made of; NULL: a text */
    Prompt *prompts;
    int count;
    int64_t first;
} Questions;

/* ---- a batch ----------------------------------------------------------------------------------------------------- */

static Status questions_new(TextGeneration *t, int64_t most, int64_t first, Questions *q)
{
    Status st = OK;
    *q = (Questions){.first = first};
    TRY_NEW(t->arena, q->texts, most);
    TRY_NEW(t->arena, q->chats, most);
    TRY_NEW(t->arena, q->prompts, most);
done:
    return st;
}

/* Copies what the arena should keep. */
static Status add_question(TextGeneration *t, Questions *q, const char *text, size_t size)
{
    Status st = OK;
    cJSON *string = NULL;
    Text prompt = {0};
    int32_t *ids;
    bool chat = false;
    q->chats[q->count] = NULL;
    if (t->json) {
        TRY(json_parse(text, size, "a text", &string));
        chat = cJSON_IsArray(string);
        if (!cJSON_IsString(string) && !chat)
            RAISE(USAGE, "with --json a text should be a JSON string, or a chat: a list of messages");
        if (chat) {
            TRY_MEMORY(q->chats[q->count] = arena_strndup(t->arena, text, size));
            TRY(chat_open(&t->chat, t->model.tokenizer_dir));
            TRY(chat_prompt(&t->chat, string, &prompt));
        }
        text = chat ? prompt.data : string->valuestring, size = strlen(text);
    }
    if (strlen(text) < size) RAISE(FORMAT, "a text should not have NUL bytes");
    TRY(tokenizer_encode(t->model.tokenizer, text, size, chat ? 0 : ENCODE_SPECIAL,
                         &t->encoding)); /* a template has its own */
    TRY_NEW(t->arena, ids, t->encoding.count + 1);
    if (t->encoding.count) memcpy(ids, t->encoding.ids, (size_t)t->encoding.count * sizeof *ids);
    q->prompts[q->count] = (Prompt){.ids = ids, .count = t->encoding.count};
    q->texts[q->count] = arena_strndup(t->arena, text, size);
    TRY_MEMORY(q->texts[q->count]);
    q->count++;
done:
    cJSON_Delete(string);
    text_free(&prompt);
    return st ? status_prefix(st, "text %lld", (long long)(q->first + q->count) + 1) : OK;
}

static void tell_cut(TextGeneration *t, const GeneratedText *text)
{
    if (text->finish != FINISH_POSITIONS || t->told) return;
    t->told = true;
    log_warning("the model reads %lld tokens at most: texts end there, before the length that was asked for",
                (long long)t->model.model->max_positions);
}

/* [{"generated_text": …}, …]: the answers to one text. */
static Status add_answers(TextGeneration *t, const char *question, const char *chat, const GeneratedText *texts)
{
    Status st = OK;
    Text answer = {0};
    text_printf(&t->out, "[");
    for (int64_t i = 0; i < t->model.config.num_return_sequences; i++) {
        const GeneratedText *text = &texts[i];
        answer.size = 0;
        text_add(&answer, question, t->return_full_text && !chat ? strlen(question) : 0);
        int64_t from =
            *question ? text->prompt
                      : 0; /* the token that an empty text was given belongs to the answer; decoding leaves it out */
        TRY(tokenizer_decode(t->model.tokenizer, text->ids + from, text->count - from, true, &answer));
        text_printf(&t->out, "%s{\"generated_text\": ", i ? ", " : "");
        if (chat && t->return_full_text) TRY(chat_with_answer(chat, answer.data ? answer.data : "", &t->out));
        else json_add_string(&t->out, answer.data ? answer.data : "", answer.size);
        text_printf(&t->out, "}");
        tell_cut(t, text);
    }
    text_printf(&t->out, "]");
done:
    text_free(&answer);
    return st;
}

static Status answer(TextGeneration *t, const Questions *q, const char *between)
{
    Status st = OK;
    GeneratedText *texts;
    TRY(generate(t->model.generator, &t->model.config, q->prompts, q->count, q->first, NULL, t->arena, &texts));
    for (int i = 0; i < q->count; i++) {
        if (i) text_printf(&t->out, "%s", between);
        TRY(add_answers(t, q->texts[i], q->chats[i], texts + i * t->model.config.num_return_sequences));
    }
done:
    return st;
}

static Status print(TextGeneration *t)
{
    if (t->out.failed) return status_raise(STATUS_MEMORY, "no memory for the output");
    if (fwrite(t->out.data, 1, t->out.size, stdout) != t->out.size || fflush(stdout))
        return status_raise(STATUS_IO, "stdout: cannot write");
    t->out.size = 0;
    return OK;
}

/* ---- where texts come from --------------------------------------------------------------------------------------- */

static Status all_words(TextGeneration *t, char **words, int count)
{
    Status st = OK;
    int64_t batch = t->batch_size ? t->batch_size : TEXTS_AT_ONCE;
    if (count > 1) text_printf(&t->out, "[");
    for (int begin = 0; begin < count; begin += (int)batch) {
        Questions q;
        arena_reset(t->arena);
        TRY(questions_new(t, batch, begin, &q));
        for (int i = begin; i < count && i < begin + batch; i++) TRY(add_question(t, &q, words[i], strlen(words[i])));
        if (begin) text_printf(&t->out, ", ");
        TRY(answer(t, &q, ", "));
    }
    text_printf(&t->out, count > 1 ? "]\n" : "\n");
    TRY(print(t));
done:
    return st;
}

/* As many lines as a batch holds; ended: there are no more. What is good before a line that is not is answered. */
static Status read_lines(TextGeneration *t, char **line, size_t *capacity, int64_t batch, Questions *q, bool *ended)
{
    while (q->count < batch) {
        int64_t size = line_read(line, capacity);
        if ((*ended = size < 0)) break;
        Status st = add_question(t, q, *line, (size_t)size);
        if (st) return st;
    }
    return OK;
}

static Status all_lines(TextGeneration *t)
{
    Status st = OK, bad = OK;
    char *line = NULL, why[1024] = "";
    size_t capacity = 0;
    int64_t batch = t->batch_size ? t->batch_size : 1, first = 0;
    for (bool ended = false; !ended && !bad;) {
        Questions q;
        arena_reset(t->arena);
        TRY(questions_new(t, batch, first, &q));
        bad = read_lines(t, &line, &capacity, batch, &q, &ended);
        if (bad) snprintf(why, sizeof why, "%s", status_message());
        if (!q.count) break;
        TRY(answer(t, &q, "\n"));
        text_printf(&t->out, "\n");
        TRY(print(t));
        first += q.count;
    }
    if (bad) st = status_raise(bad, "%s", why);
    else if (ferror(stdin)) RAISE(IO, "stdin: cannot read");
done:
    free(line);
    return st;
}

static Status run(int argc, char **argv)
{
    Status st = OK;
    TextGeneration t = {.model = {.defaults = DEFAULTS_PIPELINE}, .return_full_text = true};
    const Option own[] = {{"return_full_text", OPTION_FLAG, &t.return_full_text, 0, 0},
                          {"batch_size", OPTION_INT, &t.batch_size, 1, 4096},
                          {"json", OPTION_FLAG, &t.json, 0, 0}};
    int first = 0;
    TRY(arena_new(&t.arena));
    TRY(generation_model_options(&t.model, argc, argv, own, sizeof own / sizeof *own, &first));
    TRY(generation_model_open(&t.model));
    TRY(first < argc ? all_words(&t, argv + first, argc - first) : all_lines(&t));
done:
    encoding_free(&t.encoding);
    chat_close(&t.chat);
    text_free(&t.out);
    arena_free(t.arena);
    generation_model_close(&t.model);
    return st;
}

static void print_help(void)
{
    printf("One TEXT: [{\"generated_text\": ...}]; several: a list of such lists. Without a TEXT each line of stdin is "
           "one,\n"
           "answered by a line of its own, as if it had been the only one (an empty line: a text without a "
           "beginning).\n\n");
    generation_model_help();
    printf("  --return_full_text false             only what was added\n"
           "  --batch_size N                       texts at once: up to 16 of the command line, 1 of stdin; changes no "
           "answer\n"
           "  --json                               each TEXT or line is a JSON string (it may hold newlines), or a "
           "chat: a\n"
           "                                       list of messages, [{\"role\": \"user\", \"content\": \"Hi\"}], for "
           "the model's\n"
           "                                       chat template; its answer comes as one more message\n\n");
    generation_settings_help();
}

const Pipeline pipeline_text_generation = {
    .name = "text-generation",
    .summary = "Texts that go on from texts.",
    .run = run,
    .print_help = print_help,
};
