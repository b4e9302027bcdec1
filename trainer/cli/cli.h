/* The commands of `hone`, one file each; thin: parse, call, print. A new command is its file and its name in COMMANDS.
 * Results go to stdout, everything for people to stderr. */
#ifndef HONE_CLI_CLI_H
#define HONE_CLI_CLI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "trainer/base/arena.h"
#include "trainer/base/status.h"
#include "trainer/config/arguments.h"

typedef Status CommandRun(int argc, char **argv); /* what stands after the command */

typedef struct Command {
    const char *name, *usage, *summary; /* usage: what follows "hone " */
    CommandRun *run;
    const char *help; /* printed below usage and summary; ends with a newline */
} Command;

#define COMMANDS(COMMAND) /* sorted */ \
    COMMAND(args)                      \
    COMMAND(chat)                      \
    COMMAND(convert)                   \
    COMMAND(env)                       \
    COMMAND(eval)                      \
    COMMAND(help)                      \
    COMMAND(inspect)                   \
    COMMAND(launch)                    \
    COMMAND(merge)                     \
    COMMAND(pipeline)                  \
    COMMAND(tokenize)                  \
    COMMAND(train)
#define COMMAND_DECLARE(name) extern const Command command_##name;
COMMANDS(COMMAND_DECLARE)

const Command *command_find(const char *name); /* NULL: none of that name */
/* Why a name is none: it is not part of this version, or did you mean …. STATUS_USAGE. */
Status command_refuse(const char *name);
void command_print_help(const Command *command); /* NULL: the list of all; to stdout */
void version_print(void);

/* A command that is a config and what is done with it. */
Status command_with_arguments(int argc, char **argv, Status (*run)(const TrainingArguments *args, Arena *arena));

/* Options of a command that takes no config: --name value, --name=value, --flag, --flag false, --no_flag; dashes are
 * underscores. Parsing ends at the first word that is no option, or after `--`; that word's index is *first_word (argc:
 * none). Every problem is told in one go. STATUS_USAGE. */
typedef enum OptionType {
    OPTION_FLAG, /* bool */
    OPTION_INT,  /* int64_t */
    OPTION_REAL, /* double */
    OPTION_TEXT, /* const char * */
    OPTION_TEXTS /* OptionTexts: may be given several times */
} OptionType;
enum { OPTION_MOST_TEXTS = 16 };
typedef struct OptionTexts {
    const char *items[OPTION_MOST_TEXTS];
    int count;
} OptionTexts;
typedef struct Option {
    const char *name;
    OptionType type;
    void *into; /* holds the default */
    double least, most; /* of a number; equal: any */
} Option;
Status options_parse(int argc, char **argv, const Option *options, int count, int *first_word);

/* The next line of stdin, without its end (\n, or \r\n as Windows writes it), NUL-terminated; -1: there is none. The
 * buffer is getline's. */
int64_t line_read(char **line, size_t *capacity);

#endif
