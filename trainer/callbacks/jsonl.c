/* The JSON lines log. A line is one write, so that a reader that follows the file sees whole lines. */
#include "trainer/callbacks/jsonl.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "trainer/base/file.h"

static const size_t MAX_LOG = (size_t)1 << 30;

struct JsonlLog {
    File *file;
    Text line;
};

/* <MonDD_HH-MM-SS>_<host>, in English whatever the locale, as the Trainer's default_logdir. */
static const char *run_name(Arena *arena)
{
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    char host[256] = "localhost";
    time_t now = time(NULL);
    struct tm t;
    localtime_r(&now, &t);
    if (gethostname(host, sizeof host - 1) != 0) strcpy(host, "localhost");
    for (char *c = host; *c; c++)
        if (*c == '/') *c = '-';
    return arena_printf(arena, "%.3s%02d_%02d-%02d-%02d_%s", months + 3 * t.tm_mon, t.tm_mday, t.tm_hour, t.tm_min,
                        t.tm_sec, host);
}

/* The directory that runs/latest names, if it is there and lies in runs. */
static const char *latest_run(const char *runs, const char *latest, Arena *arena)
{
    char *name;
    size_t size;
    if (!path_exists(latest) || file_read_all(latest, arena, 4096, &name, &size) != OK) return NULL;
    name[strcspn(name, "\n")] = '\0';
    const char *dir = *name && *name != '.' && !strchr(name, '/') ? path_join(arena, runs, name) : NULL;
    return dir && path_is_dir(dir) ? dir : NULL;
}

Status logging_dir_make(const char *output_dir, const char *logging_dir, bool resume, Arena *arena, const char **out)
{
    Status st = OK;
    const char *runs, *latest, *name, *dir = logging_dir, *line;
    if (!dir) {
        TRY_MEMORY(runs = path_join(arena, output_dir, "runs"));
        TRY_MEMORY(latest = path_join(arena, runs, "latest"));
        dir = resume ? latest_run(runs, latest, arena) : NULL;
        if (!dir) {
            TRY_MEMORY(name = run_name(arena));
            TRY_MEMORY(dir = path_join(arena, runs, name));
            TRY_MEMORY(line = arena_printf(arena, "%s\n", name));
            TRY(dir_make(dir));
            TRY(file_replace(latest, line, strlen(line)));
        }
    }
    TRY(dir_make(dir));
    *out = dir;
done:
    return st;
}

/* Whether a line is a whole entry of no later step. */
static bool keeps(const char *line, size_t size, int64_t cut_step, const char *path)
{
    cJSON *entry = NULL;
    double step = -1;
    bool keep = json_parse(line, size, path, &entry) == OK && cJSON_IsObject(entry) &&
                json_real_or(entry, path, "step", -1, &step) == OK && step <= (double)cut_step;
    cJSON_Delete(entry);
    return keep;
}

static Status cut(const char *path, int64_t cut_step)
{
    Status st = OK;
    Arena *arena = NULL;
    Text kept = {0};
    char *text;
    size_t size;
    TRY(arena_new(&arena));
    TRY(file_read_all(path, arena, MAX_LOG, &text, &size));
    for (size_t at = 0; at < size;) {
        const char *end = memchr(text + at, '\n', size - at);
        if (!end) break; /* torn */
        size_t length = (size_t)(end - text) - at;
        if (keeps(text + at, length, cut_step, path)) text_add(&kept, text + at, length + 1);
        at += length + 1;
    }
    if (kept.failed) RAISE(MEMORY, "%s: out of memory", path);
    if (kept.size != size) TRY(file_replace(path, kept.data ? kept.data : "", kept.size));
done:
    text_free(&kept);
    arena_free(arena);
    return st;
}

Status jsonl_open(const char *dir, int64_t cut_step, JsonlLog **out)
{
    Status st = OK;
    Arena *arena = NULL;
    char *path;
    JsonlLog *log = calloc(1, sizeof *log);
    *out = NULL;
    TRY(arena_new(&arena));
    TRY_MEMORY(path = path_join(arena, dir, "log.jsonl"));
    if (!log) RAISE(MEMORY, "%s: out of memory", path);
    if (cut_step >= 0 && path_exists(path)) TRY(cut(path, cut_step));
    TRY(cut_step >= 0 ? file_append(path, &log->file) : file_create(path, &log->file));
    *out = log;
    log = NULL;
done:
    arena_free(arena);
    free(log);
    return st;
}

Status jsonl_log(JsonlLog *log, const LogEntry *e)
{
    if (!log) return OK;
    log->line.size = 0;
    logentry_to_json(e, &log->line);
    text_add(&log->line, "\n", 1);
    if (log->line.failed) return status_raise(STATUS_MEMORY, "%s: out of memory", file_path(log->file));
    return file_write(log->file, log->line.data, log->line.size);
}

Status jsonl_close(JsonlLog *log)
{
    if (!log) return OK;
    Status st = file_close(log->file);
    text_free(&log->line);
    free(log);
    return st;
}
