/* Metrics in files, as the Trainer's save_metrics writes them (transformers 5.23, trainer_pt_utils.py). */
#include "trainer/callbacks/results.h"

#include <string.h>

#include "trainer/base/file.h"
#include "trainer/base/json.h"

static Status merge(cJSON *object, const LogEntry *metrics, const char *path)
{
    for (int i = 0; i < metrics->count; i++) {
        const LogValue *v = &metrics->values[i];
        if (strcmp(v->key, "step") == 0) continue;
        cJSON *number = v->integer ? json_new_int((int64_t)v->value) : json_new_real(v->value);
        cJSON_DeleteItemFromObjectCaseSensitive(object, v->key);
        if (!number || !cJSON_AddItemToObject(object, v->key, number)) {
            cJSON_Delete(number);
            return status_raise(STATUS_MEMORY, "%s: out of memory", path);
        }
    }
    return OK;
}

/* What all_results.json has; a file that cannot be understood is begun anew: it is a summary, not worth a run. */
static cJSON *read_old(const char *path)
{
    cJSON *old = NULL;
    if (!path_exists(path) || json_read_file(path, &old) != OK || !cJSON_IsObject(old)) {
        cJSON_Delete(old);
        old = cJSON_CreateObject();
    }
    return old;
}

static Status save_one(const char *path, cJSON *object, const LogEntry *metrics)
{
    Status st = OK;
    if (!object) RAISE(MEMORY, "%s: out of memory", path);
    TRY(merge(object, metrics, path));
    TRY(json_write_file(path, object, 4, true));
done:
    return st;
}

Status results_save(const char *dir, const char *split, const LogEntry *metrics)
{
    Status st = OK;
    Arena *arena = NULL;
    cJSON *fresh = NULL, *all = NULL;
    char *path, *all_path, *name;
    TRY(arena_new(&arena));
    TRY_MEMORY(name = arena_printf(arena, "%s_results.json", split));
    TRY_MEMORY(path = path_join(arena, dir, name));
    TRY_MEMORY(all_path = path_join(arena, dir, "all_results.json"));
    fresh = cJSON_CreateObject();
    TRY(save_one(path, fresh, metrics));
    all = read_old(all_path);
    TRY(save_one(all_path, all, metrics));
done:
    cJSON_Delete(fresh);
    cJSON_Delete(all);
    arena_free(arena);
    return st;
}
