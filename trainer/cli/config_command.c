/* Reads a config and the command line's keys, and runs something with them. */
#include "trainer/callbacks/signals.h"
#include "trainer/cli/cli.h"

Status command_with_arguments(int argc, char **argv, Status (*run)(const TrainingArguments *args, Arena *arena))
{
    Status st = OK;
    Arena *arena = NULL;
    TrainingArguments args;
    TRY(signals_block()); /* a request to stop that comes this early must not kill */
    TRY(arena_new(&arena));
    TRY(arguments_load(argc, argv, arena, &args));
    TRY(run(&args, arena));
done:
    signals_close();
    arena_free(arena);
    return st;
}
