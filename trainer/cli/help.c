/* `hone help [COMMAND]`, and what is said about names that are no commands. */
#include <stdio.h>
#include <string.h>

#include "trainer/cli/cli.h"

#define COMMAND_ADDRESS(name) &command_##name,
static const Command *const commands[] = {COMMANDS(COMMAND_ADDRESS)};
enum { COUNT = sizeof commands / sizeof *commands };

/* Commands that hone will have, and what to do meanwhile. A command that is there is found first. */
static const struct {
    const char *name, *instead;
} absent[] = {
    {"card", "write README.md of the model yourself"},
    {"estimate", "start the run with max_steps: 1 and watch its memory"},
    {"predict", "use `hone pipeline`"},
    {"pull", "download the model's directory yourself"},
    {"push", "upload output_dir yourself"},
    {"serve", "use `hone pipeline`, which reads prompts from stdin"},
};

const Command *command_find(const char *name)
{
    for (int i = 0; i < COUNT; i++)
        if (strcmp(commands[i]->name, name) == 0) return commands[i];
    return NULL;
}

/* Letters that differ, over the shorter of the two, and the rest of the longer. */
static int difference(const char *a, const char *b)
{
    int n = 0;
    while (*a && *b) n += *a++ != *b++;
    return n + (int)strlen(a) + (int)strlen(b);
}

Status command_refuse(const char *name)
{
    for (size_t i = 0; i < sizeof absent / sizeof *absent; i++)
        if (strcmp(absent[i].name, name) == 0)
            return status_raise(STATUS_USAGE, "`hone %s` is not part of this version; %s", name, absent[i].instead);
    const char *nearest = NULL;
    for (int i = 0, least = 3; i < COUNT; i++)
        if (difference(commands[i]->name, name) < least)
            least = difference(commands[i]->name, name), nearest = commands[i]->name;
    if (nearest) return status_raise(STATUS_USAGE, "no command `%.100s`; did you mean `hone %s`?", name, nearest);
    return status_raise(STATUS_USAGE, "no command `%.100s`; `hone help` lists them", name);
}

void command_print_help(const Command *command)
{
    if (command) {
        printf("hone %s\n\n%s\n\n%s", command->usage, command->summary, command->help);
        return;
    }
    printf("hone %s: fine-tunes Hugging Face models with mpirun, without Python\n\n"
           "    hone COMMAND [CONFIG.yaml] [--key value | --key=value | --flag] ...\n\n", HONE_VERSION);
    for (int i = 0; i < COUNT; i++) printf("    %-9s %s\n", commands[i]->name, commands[i]->summary);
    printf("\n`hone help COMMAND` tells more; `hone args` lists the keys of a config.\n"
           "Exit status: 0 done, 1 failed, 2 wrong command line or config, 75 stopped on request: run it again to go "
           "on.\n");
}

static Status run(int argc, char **argv)
{
    if (argc > 1) return status_raise(STATUS_USAGE, "help takes one command");
    const Command *command = argc ? command_find(argv[0]) : NULL;
    if (argc && !command) return command_refuse(argv[0]);
    command_print_help(command);
    return OK;
}

const Command command_help = {
    .name = "help",
    .usage = "help [COMMAND]",
    .summary = "What a command does and takes.",
    .run = run,
    .help = "Without a command: the list of all.\n",
};
