/* links: config */
/* Any lines as the arguments of a command are taken or refused with a line. */
#include "tests/fuzz/fuzz.h"
#include "trainer/base/log.h"
#include "trainer/config/arguments.h"

enum { MOST_ARGUMENTS = 40 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *argv[MOST_ARGUMENTS], *text = malloc(size + 1), *rest = text;
    int argc = 0;
    Arena *arena;
    TrainingArguments a;
    FUZZ_CHECK(text && arena_new(&arena) == OK);
    if (size) memcpy(text, data, size);
    text[size] = '\0';
    log_set(LOG_ERROR, 0);
    for (char *line; argc < MOST_ARGUMENTS && (line = strsep(&rest, "\n"));)
        if (*line != '/') argv[argc++] = line; /* no devices */
    const Status st = arguments_load(argc, argv, arena, &a);
    if (st == STATUS_BUG || st == STATUS_MEMORY || (st != OK && !*status_message())) {
        fprintf(stderr, "%s: %s\n", status_name(st), status_message());
        abort();
    }
    arena_free(arena);
    free(text);
    return 0;
}
