/* hone tokenize: text to ids and back, one JSON object a text. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "trainer/base/json.h"
#include "trainer/cli/cli.h"
#include "trainer/tokenizer/tokenizer.h"

typedef struct Tokenize {
    const char *model, *text_pair, *truncation_name, *side;
    bool add_special_tokens, decode, skip_special_tokens, json;
    bool type_ids, word_ids, special_mask, overflowing; /* what else to print */
    bool truncates;
    Truncation truncation;
    Tokenizer *tokenizer;
    Encoding encoding;
    Text out;
    int32_t *ids; /* to decode */
    size_t id_count, id_capacity;
} Tokenize;

static void add_numbers(Text *out, const char *name, const int32_t *numbers, int64_t count)
{
    text_printf(out, ", \"%s\": [", name);
    for (int64_t i = 0; i < count; i++) text_printf(out, i ? ", %d" : "%d", numbers[i]);
    text_printf(out, "]");
}

/* A word that is none is null. */
static void add_word_ids(Text *out, const Encoding *e)
{
    text_printf(out, ", \"word_ids\": [");
    for (int64_t i = 0; i < e->count; i++) {
        if (i) text_printf(out, ", ");
        if (e->word_ids[i] < 0)
            text_printf(out, "null");
        else
            text_printf(out, "%d", e->word_ids[i]);
    }
    text_printf(out, "]");
}

/* The members of an encoding's object. */
static void add_encoding(Tokenize *t, const Encoding *e)
{
    Text *out = &t->out;
    text_printf(out, "\"ids\": [");
    for (int64_t i = 0; i < e->count; i++) text_printf(out, i ? ", %d" : "%d", e->ids[i]);
    text_printf(out, "], \"tokens\": [");
    for (int64_t i = 0; i < e->count; i++) {
        const char *token = tokenizer_id_to_token(t->tokenizer, e->ids[i]);
        if (i) text_printf(out, ", ");
        json_add_string(out, token ? token : "", token ? strlen(token) : 0);
    }
    text_printf(out, "], \"offsets\": [");
    for (int64_t i = 0; i < e->count; i++)
        text_printf(out, i ? ", [%lld, %lld]" : "[%lld, %lld]", (long long)e->offsets[i][0],
                    (long long)e->offsets[i][1]);
    text_printf(out, "]");
    if (t->type_ids) add_numbers(out, "token_type_ids", e->type_ids, e->count);
    if (t->word_ids) add_word_ids(out, e);
    if (!t->special_mask) return;
    text_printf(out, ", \"special_tokens_mask\": [");
    for (int64_t i = 0; i < e->count; i++) text_printf(out, i ? ", %d" : "%d", e->sequence_ids[i] < 0);
    text_printf(out, "]");
}

static Status encode_input(Tokenize *t, const EncodeInput *input)
{
    Status st = OK;
    Encoding *e = &t->encoding;
    unsigned flags = ENCODE_OFFSETS | (t->add_special_tokens ? ENCODE_SPECIAL : 0) |
                     (t->type_ids ? ENCODE_TYPE_IDS : 0) | (t->word_ids ? ENCODE_WORD_IDS : 0) |
                     (t->special_mask ? ENCODE_SEQUENCE_IDS : 0);
    TRY(tokenizer_encode_input(t->tokenizer, input, flags, e));
    text_printf(&t->out, "{");
    add_encoding(t, e);
    if (t->overflowing) text_printf(&t->out, ", \"overflowing\": [");
    for (int64_t i = 1; t->overflowing && i < e->windows; i++) {
        TRY(encoding_window(t->tokenizer, i, e));
        text_printf(&t->out, i > 1 ? ", {" : "{");
        add_encoding(t, e);
        text_printf(&t->out, "}");
    }
    text_printf(&t->out, t->overflowing ? "]}\n" : "}\n");
done:
    return st;
}

static Status encode_text(Tokenize *t, const char *text, size_t size)
{
    const char *pair = t->text_pair;
    EncodeInput input = {text, pair, size, pair ? strlen(pair) : 0, t->truncates ? &t->truncation : NULL};
    return encode_input(t, &input);
}

/* With --json: "a text", or ["a text", "its pair"]. */
static Status encode_json(Tokenize *t, const cJSON *value)
{
    bool pair = cJSON_IsArray(value);
    const cJSON *first = pair ? value->child : value, *second = pair && first ? first->next : NULL;
    if (!cJSON_IsString(first) || (pair && (!cJSON_IsString(second) || second->next)))
        return status_raise(STATUS_USAGE, "with --json a text should be a JSON string, or a list of two for a pair");
    if (!second) return encode_text(t, first->valuestring, strlen(first->valuestring));
    EncodeInput input = {first->valuestring, second->valuestring, strlen(first->valuestring),
                         strlen(second->valuestring), t->truncates ? &t->truncation : NULL};
    return encode_input(t, &input);
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
        TRY(encode_json(t, string));
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

/* After the tokenizer is there: its configuration has the defaults. */
static Status read_truncation(Tokenize *t)
{
    static const char *const names[] = {"longest_first", "only_first", "only_second"};
    Status st = OK;
    Truncation *cut = &t->truncation;
    const TokenizerConfig *config = tokenizer_config(t->tokenizer);
    t->truncates = cut->max_length >= 0 || t->truncation_name;
    if (!t->truncates && (cut->stride || t->side))
        RAISE(USAGE, "--stride and --truncation_side say how to truncate: give --max_length");
    cut->left = config->truncates_left;
    if (t->side) cut->left = !strcmp(t->side, "left");
    if (t->side && !cut->left && strcmp(t->side, "right"))
        RAISE(USAGE, "--truncation_side \"%s\" should be left or right", t->side);
    if (cut->max_length < 0) cut->max_length = config->model_max_length;
    if (t->truncates && cut->max_length == INT64_MAX)
        RAISE(USAGE, "--truncation needs --max_length: this tokenizer has no model_max_length");
    for (size_t i = 0; t->truncation_name && i < sizeof names / sizeof *names; i++)
        if (!strcmp(t->truncation_name, names[i])) return cut->strategy = (TruncateStrategy)i, OK;
    if (t->truncation_name)
        RAISE(USAGE, "--truncation \"%s\" should be longest_first, only_first or only_second", t->truncation_name);
done:
    return st;
}

static Status run(int argc, char **argv)
{
    Status st = OK;
    Tokenize t = {.add_special_tokens = true, .truncation = {.max_length = -1}};
    int first = 0;
    const Option options[] = {{"model", OPTION_TEXT, &t.model, 0, 0},
                              {"add_special_tokens", OPTION_FLAG, &t.add_special_tokens, 0, 0},
                              {"text_pair", OPTION_TEXT, &t.text_pair, 0, 0},
                              {"max_length", OPTION_INT, &t.truncation.max_length, 0, INT32_MAX},
                              {"truncation", OPTION_TEXT, &t.truncation_name, 0, 0},
                              {"truncation_side", OPTION_TEXT, &t.side, 0, 0},
                              {"stride", OPTION_INT, &t.truncation.stride, 0, INT32_MAX},
                              {"return_overflowing_tokens", OPTION_FLAG, &t.overflowing, 0, 0},
                              {"return_token_type_ids", OPTION_FLAG, &t.type_ids, 0, 0},
                              {"return_word_ids", OPTION_FLAG, &t.word_ids, 0, 0},
                              {"return_special_tokens_mask", OPTION_FLAG, &t.special_mask, 0, 0},
                              {"decode", OPTION_FLAG, &t.decode, 0, 0},
                              {"skip_special_tokens", OPTION_FLAG, &t.skip_special_tokens, 0, 0},
                              {"json", OPTION_FLAG, &t.json, 0, 0}};
    TRY(options_parse(argc, argv, options, sizeof options / sizeof *options, &first));
    if (!t.model)
        RAISE(USAGE, "--model is missing: a model's directory or its tokenizer.json (options stand before the texts)");
    TRY(tokenizer_load(t.model, &t.tokenizer));
    TRY(read_truncation(&t));
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
            "  --text_pair TEXT               the second text of each input\n"
            "  --max_length N                 truncate to N tokens, special ones included\n"
            "  --truncation STRATEGY          longest_first (the default), only_first, only_second\n"
            "  --truncation_side SIDE         left or right (the default, unless tokenizer_config.json has another)\n"
            "  --stride N                     tokens that what was cut off repeats\n"
            "  --return_overflowing_tokens    what was cut off too: \"overflowing\", a list of such objects\n"
            "  --return_token_type_ids, --return_word_ids, --return_special_tokens_mask   print these too\n"
            "  --json                         each TEXT or line is a JSON string (it may hold newlines), or a list of\n"
            "                                 two for a pair\n"
            "  --decode                       each TEXT or line is ids (1 2 3, or [1, 2, 3]); prints {\"text\": ...}\n"
            "  --skip_special_tokens          with --decode: leave special tokens out of the text\n",
};
