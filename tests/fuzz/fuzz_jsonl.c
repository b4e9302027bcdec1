/* links: data */
/* The streaming reader against base/json, which must take the same texts and see the same members. */
#include "tests/fuzz/fuzz_rows.h"
#include "trainer/base/json.h"

static bool same_value(const Field *f, const cJSON *v)
{
    cJSON *again = NULL;
    bool same;
    switch (f->type) {
    case FIELD_STRING: return cJSON_IsString(v) && strcmp(v->valuestring, f->text) == 0;
    case FIELD_NULL: return cJSON_IsNull(v) && strcmp(f->text, "null") == 0;
    case FIELD_BOOL: return cJSON_IsBool(v) && strcmp(f->text, cJSON_IsTrue(v) ? "true" : "false") == 0;
    default: break;
    }
    if (json_parse(f->text, f->bytes, "the field", &again) != OK) return false;
    /* cJSON_Compare finds NaN and infinity unequal to themselves, inside lists and objects too */
    same = f->type != FIELD_NUMBER || again->valuedouble == v->valuedouble ||
           (again->valuedouble != again->valuedouble && v->valuedouble != v->valuedouble);
    same = same && (again->type & 0xff) == (v->type & 0xff) && cJSON_GetArraySize(again) == cJSON_GetArraySize(v);
    cJSON_Delete(again);
    return same;
}

static void same_members(const Row *row, const cJSON *object)
{
    const cJSON *v = object->child;
    FUZZ_CHECK(row->count == cJSON_GetArraySize(object));
    for (int i = 0; i < row->count; i++, v = v->next) {
        FUZZ_CHECK(strcmp(row->fields[i].name, v->string) == 0);
        FUZZ_CHECK(same_value(&row->fields[i], v));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data, *path = fuzz_file(".json", data, size);
    const size_t bom = size >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
    cJSON *root = NULL;
    const bool valid = json_parse(text + bom, size - bom, "the input", &root) == OK;
    bool rows_of_list = valid && cJSON_IsArray(root);
    if (rows_of_list) {
        const cJSON *item;
        cJSON_ArrayForEach(item, root) rows_of_list = rows_of_list && (cJSON_IsObject(item) || cJSON_IsString(item));
    }
    const cJSON *expected = !valid ? NULL : rows_of_list ? root->child : cJSON_IsObject(root) ? root : NULL;
    const Row *row = NULL;
    Rows *rows = fuzz_open(&path, false);
    int64_t count = 0;
    Status st;
    while ((st = rows_next(rows, &row)) == OK && row) {
        count++;
        fuzz_check_row(row);
        if (!expected) continue;
        if (cJSON_IsObject(expected)) same_members(row, expected);
        else FUZZ_CHECK(row->count == 1 && strcmp(row->fields[0].text, expected->valuestring) == 0);
        expected = rows_of_list ? expected->next : NULL;
    }
    if (valid && (rows_of_list || cJSON_IsObject(root))) FUZZ_CHECK(st == OK && !expected);
    if (valid && !rows_of_list && !cJSON_IsObject(root)) FUZZ_CHECK(st != OK);
    if (st == OK && count == 1) FUZZ_CHECK(valid); /* one object or a list; several objects are no JSON text */
    rows_close(rows);
    cJSON_Delete(root);
    return 0;
}
