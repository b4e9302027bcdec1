/* links: config */
/* A config of any bytes is taken or refused with a line; what is taken, written as training_args.json, is taken again
 * as the same run. */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/fuzz/fuzz.h"
#include "trainer/base/log.h"
#include "trainer/config/arguments.h"

/* Loads the bytes as a config file of that name. */
static Status load(const char *end, const void *data, size_t size, Arena *arena, TrainingArguments *out)
{
    char path[64];
    snprintf(path, sizeof path, "%s/hone-fuzz-config-%ld%s", fuzz_tmp(), (long)getpid(), end);
    int fd = open(path, O_CREAT | O_TRUNC | O_WRONLY, 0600);
    if (fd < 0 || write(fd, data, size) != (ssize_t)size) abort();
    close(fd);
    char *argv[] = {path};
    Status st = arguments_load(1, argv, arena, out);
    unlink(path);
    return st;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    Arena *arena;
    TrainingArguments a, b;
    Text json = {0}, once = {0}, twice = {0};
    log_set(LOG_ERROR, 0);
    if (arena_new(&arena) != OK) return 0;
    Status st = load(".yaml", data, size, arena, &a);
    if (st != OK && st != STATUS_USAGE) abort();
    if (st != OK && !*status_message()) abort();
    if (st == OK) {
        cJSON *object = arguments_to_json(&a);
        json_add(&json, object, 0, false);
        cJSON_Delete(object);
        arguments_fingerprint(&a, &once);
        if (load(".json", json.data, json.size, arena, &b) != OK) {
            fprintf(stderr, "%s\n%s\n", json.data, status_message());
            abort();
        }
        arguments_fingerprint(&b, &twice);
        if (strcmp(once.data, twice.data) != 0) abort();
    }
    text_free(&json), text_free(&once), text_free(&twice);
    arena_free(arena);
    return 0;
}
