/* `hone inspect PATH`: what is in a safetensors file, a model directory or a checkpoint. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "trainer/base/arena.h"
#include "trainer/base/file.h"
#include "trainer/base/json.h"
#include "trainer/checkpoint/checkpoint.h"
#include "trainer/checkpoint/manifest.h"
#include "trainer/checkpoint/safetensors.h"
#include "trainer/cli/cli.h"

typedef struct Report {
    Arena *arena;
    cJSON *json; /* what is printed with --json; the text is made from it */
} Report;

static void set(cJSON *object, const char *name, cJSON *value) { cJSON_AddItemToObject(object, name, value); }

static const char *text_of(const cJSON *object, const char *name)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, name);
    return cJSON_IsString(item) ? item->valuestring : NULL;
}

static double number_of(const cJSON *object, const char *name)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, name);
    return cJSON_IsNumber(item) ? item->valuedouble : 0;
}

static cJSON *tensor_to_json(const TensorInfo *t)
{
    cJSON *object = cJSON_CreateObject(), *shape = cJSON_CreateArray();
    set(object, "name", cJSON_CreateString(t->name));
    set(object, "dtype", cJSON_CreateString(t->type));
    for (int i = 0; i < t->ndim; i++) cJSON_AddItemToArray(shape, json_new_int(t->shape[i]));
    set(object, "shape", shape);
    return object;
}

/* One file: its tensors, and adds their elements to `elements`, an object by dtype. */
static cJSON *file_to_json(const Safetensors *s, const char *name, cJSON *elements, int64_t *total)
{
    cJSON *object = cJSON_CreateObject(), *tensors = cJSON_CreateArray();
    const char *key, *value;
    set(object, "file", cJSON_CreateString(name));
    set(object, "bytes", json_new_int((int64_t)safetensors_file_bytes(s)));
    cJSON *metadata = cJSON_AddObjectToObject(object, "metadata");
    for (size_t i = 0; safetensors_metadata_at(s, i, &key, &value); i++) cJSON_AddStringToObject(metadata, key, value);
    for (size_t i = 0; i < safetensors_count(s); i++) {
        const TensorInfo *t = safetensors_at(s, i);
        cJSON_AddItemToArray(tensors, tensor_to_json(t));
        cJSON *count = cJSON_GetObjectItemCaseSensitive(elements, t->type);
        if (count) cJSON_SetNumberValue(count, count->valuedouble + (double)t->numel);
        else set(elements, t->type, json_new_int(t->numel));
        *total += t->numel;
    }
    set(object, "tensors", tensors);
    return object;
}

static Status add_file(Report *r, const char *path, const char *name, cJSON *files, cJSON *elements, int64_t *total)
{
    Safetensors *s = NULL;
    Status st = safetensors_open(path, &s);
    if (st == OK) cJSON_AddItemToArray(files, file_to_json(s, name, elements, total));
    safetensors_close(s);
    (void)r;
    return st;
}

/* config.json of a directory, if it has one. */
static Status add_config(Report *r, const char *dir)
{
    Status st = OK;
    cJSON *config = NULL;
    const char *path = path_join(r->arena, dir, "config.json");
    TRY_MEMORY(path);
    if (!path_exists(path)) goto done;
    TRY(json_read_file(path, &config));
    const cJSON *type = cJSON_GetObjectItemCaseSensitive(config, "model_type");
    const cJSON *names = cJSON_GetObjectItemCaseSensitive(config, "architectures");
    if (cJSON_IsString(type)) set(r->json, "model_type", cJSON_CreateString(type->valuestring));
    if (cJSON_IsArray(names)) set(r->json, "architectures", cJSON_Duplicate(names, true));
done:
    cJSON_Delete(config);
    return st;
}

static Status add_manifest(Report *r, const char *dir, bool verify)
{
    Status st = OK;
    Manifest m;
    st = manifest_read(dir, r->arena, &m);
    if (st == STATUS_MISSING) return OK; /* not a checkpoint of hone's */
    TRY(st);
    cJSON *object = cJSON_AddObjectToObject(r->json, "checkpoint");
    set(object, "step", json_new_int(m.step));
    set(object, "serial", json_new_int((int64_t)m.serial));
    set(object, "run_id", cJSON_CreateString(m.run_id));
    set(object, "world_size", json_new_int(m.world_size));
    if (verify) TRY(manifest_verify(dir, &m));
    set(object, "verified", cJSON_CreateBool(verify));
done:
    return st;
}

static bool ends_with(const char *name, const char *end)
{
    size_t n = strlen(name), m = strlen(end);
    return n > m && strcmp(name + n - m, end) == 0;
}

static Status look(Report *r, const char *path, bool verify)
{
    Status st = OK;
    char **names;
    size_t count;
    int64_t total = 0;
    cJSON *files = cJSON_CreateArray(), *others = cJSON_CreateArray(), *elements = cJSON_CreateObject();
    set(r->json, "path", cJSON_CreateString(path));
    if (!path_is_dir(path)) {
        TRY(add_file(r, path, path, files, elements, &total));
    } else {
        TRY(add_config(r, path));
        TRY(add_manifest(r, path, verify));
        TRY(dir_list(path, r->arena, &names, &count));
        for (size_t i = 0; i < count; i++) {
            const char *inner = path_join(r->arena, path, names[i]);
            TRY_MEMORY(inner);
            if (ends_with(names[i], ".safetensors")) TRY(add_file(r, inner, names[i], files, elements, &total));
            else cJSON_AddItemToArray(others, cJSON_CreateString(names[i]));
        }
    }
done:
    set(r->json, "files", files); /* owned by the report whatever happened */
    if (cJSON_GetArraySize(others)) set(r->json, "other_files", others);
    else cJSON_Delete(others);
    set(r->json, "elements", json_new_int(total));
    set(r->json, "elements_by_dtype", elements);
    return st;
}

static void print_shape(const cJSON *shape)
{
    printf("[");
    for (const cJSON *c = shape->child; c; c = c->next)
        printf("%s%.0f", c->prev && c != shape->child ? ", " : "", c->valuedouble);
    printf("]");
}

static void print_names(const char *title, const cJSON *list)
{
    if (!cJSON_IsArray(list) || !list->child) return;
    printf("%s", title);
    for (const cJSON *c = list->child; c; c = c->next)
        if (cJSON_IsString(c)) printf(" %s", c->valuestring);
    printf("\n");
}

static void print_text(const cJSON *json)
{
    const cJSON *checkpoint = cJSON_GetObjectItemCaseSensitive(json, "checkpoint");
    printf("%s\n", text_of(json, "path"));
    if (text_of(json, "model_type")) printf("model_type %s\n", text_of(json, "model_type"));
    print_names("architectures", cJSON_GetObjectItemCaseSensitive(json, "architectures"));
    if (checkpoint)
        printf("checkpoint of step %.0f, serial %.0f, run %s, ranks %.0f%s\n", number_of(checkpoint, "step"),
               number_of(checkpoint, "serial"), text_of(checkpoint, "run_id"), number_of(checkpoint, "world_size"),
               cJSON_IsTrue(cJSON_GetObjectItem(checkpoint, "verified")) ? "; all files have their sizes and hashes"
                                                                         : "");
    for (const cJSON *f = cJSON_GetObjectItem(json, "files")->child; f; f = f->next) {
        const cJSON *tensors = cJSON_GetObjectItem(f, "tensors");
        printf("%s  %.0f bytes, %d tensors\n", text_of(f, "file"), number_of(f, "bytes"), cJSON_GetArraySize(tensors));
        for (const cJSON *t = tensors->child; t; t = t->next) {
            printf("  %-48s %-5s ", text_of(t, "name"), text_of(t, "dtype"));
            print_shape(cJSON_GetObjectItem(t, "shape"));
            printf("\n");
        }
    }
    print_names("other files:", cJSON_GetObjectItemCaseSensitive(json, "other_files"));
    printf("total %.0f elements", number_of(json, "elements"));
    for (const cJSON *c = cJSON_GetObjectItem(json, "elements_by_dtype")->child; c; c = c->next)
        printf(", %s %.0f", c->string, c->valuedouble);
    printf("\n");
}

static Status run(int argc, char **argv)
{
    Status st = OK;
    Report r = {0};
    Text text = {0};
    bool json = false, verify = false;
    int first;
    const Option options[] = {{.name = "json", .type = OPTION_FLAG, .into = &json},
                              {.name = "verify", .type = OPTION_FLAG, .into = &verify}};
    const char *path = argc && argv[0][0] != '-' ? argv[0] : NULL; /* PATH may stand before the options */
    int shift = path ? 1 : 0;
    TRY(options_parse(argc - shift, argv + shift, options, 2, &first));
    first += shift;
    if (!path && first < argc) path = argv[first++];
    if (!path || first < argc) RAISE(USAGE, "inspect takes one path: hone inspect PATH [--json] [--verify]");
    TRY(arena_new(&r.arena));
    r.json = cJSON_CreateObject();
    if (!r.json) RAISE(MEMORY, "out of memory");
    TRY(look(&r, path, verify));
    if (!json) {
        print_text(r.json);
        goto done;
    }
    json_add(&text, r.json, 2, false);
    if (text.failed) RAISE(MEMORY, "out of memory");
    printf("%s\n", text.data);
done:
    text_free(&text);
    cJSON_Delete(r.json);
    arena_free(r.arena);
    return st;
}

const Command command_inspect = {
    .name = "inspect",
    .usage = "inspect PATH [--json] [--verify]",
    .summary = "What is in a model directory, a checkpoint or a safetensors file.",
    .run = run,
    .help = "Names, dtypes and shapes of the tensors, and totals.\n"
            "  --json     the same as one JSON object\n"
            "  --verify   of a checkpoint: read every file and compare size and hash with its manifest\n",
};
