/* Options of commands that take no config. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "trainer/base/json.h"
#include "trainer/cli/cli.h"

static bool same_name(const char *word, size_t length, const char *name)
{
    if (strlen(name) != length) return false;
    for (size_t i = 0; i < length; i++)
        if ((word[i] == '-' ? '_' : word[i]) != name[i]) return false;
    return true;
}

static const Option *find(const Option *options, int count, const char *word, size_t length)
{
    for (int i = 0; i < count; i++)
        if (same_name(word, length, options[i].name)) return &options[i];
    return NULL;
}

/* The word after a flag belongs to it only when it can be nothing else: in `--decode 1 2 3` the 1 is a text. */
static bool is_truth_word(const char *text) { return !strcasecmp(text, "true") || !strcasecmp(text, "false"); }

static int truth(const char *text)
{
    if (!strcasecmp(text, "true") || !strcasecmp(text, "yes") || !strcmp(text, "1")) return 1;
    if (!strcasecmp(text, "false") || !strcasecmp(text, "no") || !strcmp(text, "0")) return 0;
    return -1;
}

/* Stores the value; false when it is not of the option's type and range. */
static bool store(const Option *o, const char *text)
{
    char *end;
    if (o->type == OPTION_TEXT) {
        *(const char **)o->into = text;
        return true;
    }
    if (o->type == OPTION_TEXTS) {
        OptionTexts *texts = o->into;
        if (texts->count == OPTION_MOST_TEXTS) return false;
        texts->items[texts->count++] = text;
        return true;
    }
    if (o->type == OPTION_FLAG) {
        *(bool *)o->into = truth(text) == 1;
        return truth(text) >= 0;
    }
    double value = strtod(text, &end);
    if (!*text || *end || !isfinite(value)) return false;
    if (o->least != o->most && (value < o->least || value > o->most)) return false;
    if (o->type == OPTION_REAL) *(double *)o->into = value;
    else if (value != trunc(value) || fabs(value) > 9007199254740992.0) return false;
    else *(int64_t *)o->into = (int64_t)value;
    return true;
}

static void complain(Text *problems, const Option *o, const char *text)
{
    static const char *const types[] = {"true or false", "an integer", "a number", "a text",
                                        "a text, at most 16 times"};
    text_printf(problems, "%s--%s must be %s", problems->size ? "\n" : "", o->name, types[o->type]);
    if (o->least != o->most) text_printf(problems, " from %.10g to %.10g", o->least, o->most);
    text_printf(problems, ", and is `%s`", text);
}

/* The option at argv[*at]; leaves *at on its last word. */
static void parse_one(int argc, char **argv, int *at, const Option *options, int count, Text *problems)
{
    const char *word = argv[*at] + 2, *equals = strchr(word, '=');
    size_t length = equals ? (size_t)(equals - word) : strlen(word);
    const Option *o = find(options, count, word, length), *negated = NULL;
    if (!o && !equals && length > 3 && same_name(word, 3, "no_")) negated = find(options, count, word + 3, length - 3);
    if (negated && negated->type == OPTION_FLAG) {
        *(bool *)negated->into = false;
        return;
    }
    const char *value = equals ? equals + 1 : NULL;
    bool has_next = *at + 1 < argc;
    if (!o) {
        text_printf(problems, "%sunknown option `%s`; options are", problems->size ? "\n" : "", argv[*at]);
        for (int i = 0; i < count; i++) text_printf(problems, " --%s", options[i].name);
        if (!equals && has_next && argv[*at + 1][0] != '-') ++*at; /* its value, most likely */
        return;
    }
    if (!value && o->type == OPTION_FLAG) value = has_next && is_truth_word(argv[*at + 1]) ? argv[++*at] : "true";
    if (!value && has_next && strncmp(argv[*at + 1], "--", 2) != 0) value = argv[++*at];
    if (!value) text_printf(problems, "%s--%s needs a value", problems->size ? "\n" : "", o->name);
    else if (!store(o, value)) complain(problems, o, value);
}

Status options_parse(int argc, char **argv, const Option *options, int count, int *first_word)
{
    Text problems = {0};
    int i = 0;
    for (; i < argc; i++) {
        if (strcmp(argv[i], "--") == 0) {
            i++;
            break;
        }
        if (strncmp(argv[i], "--", 2) != 0) break;
        parse_one(argc, argv, &i, options, count, &problems);
    }
    *first_word = i < argc ? i : argc;
    Status st = OK;
    if (problems.failed) st = status_raise(STATUS_MEMORY, "out of memory");
    else if (problems.size) st = status_raise(STATUS_USAGE, "%s", problems.data);
    text_free(&problems);
    return st;
}

int64_t line_read(char **line, size_t *capacity)
{
    int64_t size = getline(line, capacity, stdin);
    if (size > 0 && (*line)[size - 1] == '\n') (*line)[--size] = '\0';
    if (size > 0 && (*line)[size - 1] == '\r') (*line)[--size] = '\0';
    return size;
}
