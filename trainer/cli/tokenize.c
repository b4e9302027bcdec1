/* hone tokenize: text to ids and back, one JSON object a text. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "trainer/base/json.h"
#include "trainer/cli/cli.h"
#include "trainer/tokenizer/tokenizer.h"

typedef struct Tokenize {
    const char *model;
    bool add_special_tokens, decode, skip_special_tokens, json;
    Tokenizer *tokenizer;
    Encoding encoding;
    Text out;
    int32_t *ids; /* to decode */
    size_t id_count, id_capacity;
} Tokenize;

static Status encode_text(Tokenize *t, const char *text, size_t size)
{
    Status st = OK;
    const Encoding *e = &t->encoding;
    TRY(tokenizer_encode(t->tokenizer, text, size, (t->add_special_tokens ? ENCODE_SPECIAL : 0) | ENCODE_OFFSETS,
                         &t->encoding));
    text_printf(&t->out, "{\"ids\": [");
    for (int64_t i = 0; i < e->count; i++) text_printf(&t->out, i ? ", %d" : "%d", e->ids[i]);
    text_printf(&t->out, "], \"tokens\": [");
    for (int64_t i = 0; i < e->count; i++) {
        const char *token = tokenizer_id_to_token(t->tokenizer, e->ids[i]);
        if (i) text_printf(&t->out, ", ");
        json_add_string(&t->out, token ? token : "", token ? strlen(token) : 0);
    }
    text_printf(&t->out, "], \"offsets\": [");
    for (int64_t i = 0; i < e->count; i++)
        text_printf(&t->out, i ? ", [%lld, %lld]" : "[%lld, %lld]", (long long)e->offsets[i][0],
                    (long long)e->offsets[i][1]);
    text_printf(&t->out, "]}\n");
done:
    return st;
}

/* Numbers with anything of "[], and white space between. */
static Status read_ids(Tokenize *t, const char *text, size_t size)
{
    t->id_count = 0;
    for (size_t i = 0; i < size;) {
        if (strchr("[], \t\r\n", text[i]) && text[i]) {
            i++;
            continue;
        }
        size_t start = i;
        int64_t id = 0;
        for (; i < size && text[i] >= '0' && text[i] <= '9' && id <= INT32_MAX; i++) id = id * 10 + text[i] - '0';
        if (i == start || id > INT32_MAX)
            return status_raise(STATUS_USAGE,
                                "byte %zu: ids should be numbers with spaces or commas between, not \"%.20s\"", start,
                                text + start);
        if (t->id_count == t->id_capacity) {
            size_t capacity = 2 * t->id_capacity + 64;
            int32_t *ids = realloc(t->ids, capacity * sizeof *ids);
            if (!ids) return status_raise(STATUS_MEMORY, "no memory for %zu ids", capacity);
            t->ids = ids;
            t->id_capacity = capacity;
        }
        t->ids[t->id_count++] = (int32_t)id;
    }
    return OK;
}

static Status decode_text(Tokenize *t, const char *text, size_t size)
{
    Status st = OK;
    Text decoded = {0};
    TRY(read_ids(t, text, size));
    TRY(tokenizer_decode(t->tokenizer, t->ids, (int64_t)t->id_count, t->skip_special_tokens, &decoded));
    text_printf(&t->out, "{\"text\": ");
    json_add_string(&t->out, decoded.data ? decoded.data : "", decoded.size);
    text_printf(&t->out, "}\n");
done:
    text_free(&decoded);
    return st;
}

/* One text of the command line or one line of stdin. */
static Status one_text(Tokenize *t, const char *text, size_t size)
{
    Status st = OK;
    cJSON *string = NULL;
    t->out.size = 0;
    if (t->decode) {
        TRY(decode_text(t, text, size));
    } else if (t->json) {
        TRY(json_parse(text, size, "a text", &string));
        if (!cJSON_IsString(string)) RAISE(USAGE, "with --json a text should be a JSON string");
        TRY(encode_text(t, string->valuestring, strlen(string->valuestring)));
    } else {
        TRY(encode_text(t, text, size));
    }
    if (t->out.failed) RAISE(MEMORY, "no memory for the output");
    if (fwrite(t->out.data, 1, t->out.size, stdout) != t->out.size) RAISE(IO, "stdout: cannot write");
done:
    cJSON_Delete(string);
    return st;
}

static Status all_lines(Tokenize *t)
{
    Status st = OK;
    char *line = NULL;
    size_t capacity = 0, number = 1;
    int64_t size;
    for (; (size = line_read(&line, &capacity)) >= 0; number++) {
        st = one_text(t, line, (size_t)size);
        if (st) {
            st = status_prefix(st, "line %zu of stdin", number);
            goto done;
        }
    }
    if (ferror(stdin)) RAISE(IO, "stdin: cannot read");
done:
    free(line);
    return st;
}

static Status run(int argc, char **argv)
{
    Status st = OK;
    Tokenize t = {.add_special_tokens = true};
    int first = 0;
    const Option options[] = {{"model", OPTION_TEXT, &t.model, 0, 0},
                              {"add_special_tokens", OPTION_FLAG, &t.add_special_tokens, 0, 0},
                              {"decode", OPTION_FLAG, &t.decode, 0, 0},
                              {"skip_special_tokens", OPTION_FLAG, &t.skip_special_tokens, 0, 0},
                              {"json", OPTION_FLAG, &t.json, 0, 0}};
    TRY(options_parse(argc, argv, options, sizeof options / sizeof *options, &first));
    if (!t.model)
        RAISE(USAGE, "--model is missing: a model's directory or its tokenizer.json (options stand before the texts)");
    TRY(tokenizer_load(t.model, &t.tokenizer));
    if (first == argc) TRY(all_lines(&t));
    for (int i = first; i < argc; i++) {
        st = one_text(&t, argv[i], strlen(argv[i]));
        if (st) {
            st = status_prefix(st, "text %d", i - first + 1);
            goto done;
        }
    }
    if (fflush(stdout)) RAISE(IO, "stdout: cannot write");
done:
    encoding_free(&t.encoding);
    tokenizer_free(t.tokenizer);
    text_free(&t.out);
    free(t.ids);
    return st;
}

const Command command_tokenize = {
    .name = "tokenize",
    .usage = "tokenize --model DIR [OPTIONS] [--] [TEXT...]",
    .summary = "Turns texts into token ids, or ids into text.",
    .run = run,
    .help = "Without a TEXT, each line of stdin is one. Prints a JSON object for each:\n"
            "  {\"ids\": [...], \"tokens\": [...], \"offsets\": [[start, end], ...]}   (offsets count characters)\n"
            "\n"
            "  --model DIR                    a model's directory, or its tokenizer.json\n"
            "  --add_special_tokens false     leave out what the model wants around a text\n"
            "  --json                         each TEXT or line is a JSON string (it may hold newlines)\n"
            "  --decode                       each TEXT or line is ids (1 2 3, or [1, 2, 3]); prints {\"text\": ...}\n"
            "  --skip_special_tokens          with --decode: leave special tokens out of the text\n",
};
