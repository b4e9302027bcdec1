/* Making values, dictionaries, and JSON to values. */
#include <limits.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "trainer/base/json_internal.h"
#include "trainer/template/letters.h"
#include "trainer/template/render.h"

const char *value_type(Value v)
{
    switch (v.kind) {
    case VALUE_NONE: return "NoneType";
    case VALUE_BOOL: return "bool";
    case VALUE_INT: return "int";
    case VALUE_REAL: return "float";
    case VALUE_STRING: return "str";
    case VALUE_LIST: return "list";
    case VALUE_TUPLE: return "tuple";
    case VALUE_RANGE: return "range";
    case VALUE_VIEW: return v.list->label;
    case VALUE_ITERATOR: return "generator";
    case VALUE_DICT: return "dict";
    case VALUE_NAMESPACE: return "Namespace";
    case VALUE_MACRO: return "Macro";
    case VALUE_METHOD: case VALUE_GLOBAL: return "function";
    case VALUE_LOOP: return "LoopContext";
    default: return "Undefined";
    }
}

void *render_array(Render *r, size_t count, size_t size)
{
    if (size && count > SIZE_MAX / size) count = SIZE_MAX / size;
    if (count * size + 16 > r->bytes) {
        r->shortage =
            status_raise(STATUS_FORMAT, "the template asks for more than %zu MiB of memory", RENDER_BYTES >> 20);
        return NULL;
    }
    r->bytes -= count * size + 16;
    r->shortage = STATUS_MEMORY;
    return arena_array(r->arena, count, size);
}

Status render_spend(Render *r, size_t steps)
{
    if (steps > r->steps)
        return status_raise(STATUS_FORMAT, "the template does not end: more than %d steps", RENDER_STEPS);
    r->steps -= steps;
    return OK;
}

Status render_deeper(Render *r)
{
    if (r->depth >= RENDER_DEPTH)
        return status_raise(STATUS_FORMAT, "more than %d calls, expressions or values inside each other", RENDER_DEPTH);
    r->depth++;
    return OK;
}

Status render_add(Render *r, Text *t, const char *data, size_t size)
{
    if (size > r->bytes)
        return status_raise(STATUS_FORMAT, "the template writes more than %zu MiB", RENDER_BYTES >> 20);
    r->bytes -= size;
    text_add(t, data, size);
    return t->failed ? status_raise(STATUS_MEMORY, "out of memory: %zu bytes of text", t->size + size) : OK;
}

Status render_keep(Render *r, Text *t, Value *out)
{
    Status st = OK;
    if (t->failed) RAISE(MEMORY, "out of memory: a text of %zu bytes", t->size);
    TRY(value_copy(r, t->data ? t->data : "", t->size, out));
done:
    text_free(t);
    return st;
}

Status value_copy(Render *r, const char *text, size_t size, Value *out)
{
    Status st = OK;
    char *copy;
    NEW(r, copy, size + 1);
    if (size) memcpy(copy, text, size);
    *out = value_string(copy, size);
done:
    return st;
}

Status value_printf(Render *r, Value *out, const char *format, ...)
{
    Status st = OK;
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, format, args);
    char *copy;
    NEW(r, copy, (size_t)n + 1);
    vsnprintf(copy, (size_t)n + 1, format, again);
    *out = value_string(copy, (size_t)n);
done:
    va_end(args);
    va_end(again);
    return st;
}

Status value_list(Render *r, Kind kind, size_t count, Value *out)
{
    Status st = OK;
    List *list;
    NEW(r, list, 1);
    TRY(render_spend(r, count));
    NEW(r, list->items, count);
    list->count = count;
    *out = (Value){.kind = kind, .list = list};
done:
    return st;
}

Status value_append(Render *r, Value list, size_t *capacity, Value item)
{
    Status st = OK;
    List *l = list.list;
    if (l->count >= *capacity) {
        Value *grown;
        size_t more = l->count < 8 ? 8 : l->count * 2;
        NEW(r, grown, more);
        if (l->count) memcpy(grown, l->items, l->count * sizeof *grown);
        l->items = grown;
        *capacity = more;
    }
    l->items[l->count++] = item;
    TRY(render_spend(r, 1));
done:
    return st;
}

Status value_dict(Render *r, Value *out)
{
    Status st = OK;
    Dict *d;
    NEW(r, d, 1);
    *out = (Value){.kind = VALUE_DICT, .dict = d};
done:
    return st;
}

const Value *dict_find_text(const Dict *d, const char *text, size_t size)
{
    for (size_t i = 0; i < d->count; i++) {
        const Value *key = &d->pairs[i].key;
        if (key->kind == VALUE_STRING && key->size == size && !memcmp(key->text, text, size)) return &d->pairs[i].value;
    }
    return NULL;
}

static bool hashable(Value v)
{
    if (v.kind == VALUE_LIST || v.kind == VALUE_DICT) return false;
    for (size_t i = 0; v.kind == VALUE_TUPLE && i < v.list->count; i++)
        if (v.list->items[i].kind == VALUE_TUPLE || !hashable(v.list->items[i])) return false; /* one level is enough */
    return true;
}

Status dict_find(Render *r, const Dict *d, Value key, const Value **out)
{
    Status st = OK;
    bool equal;
    *out = NULL;
    TRY(render_spend(r, d->count / 4));
    if (!hashable(key)) RAISE(FORMAT, "unhashable type: '%s'", value_type(key));
    if (key.kind == VALUE_STRING) {
        TRY(render_spend(r, key.size / 64));
        *out = dict_find_text(d, key.text, key.size);
        goto done;
    }
    for (size_t i = 0; i < d->count && !*out; i++) {
        TRY(values_equal(r, d->pairs[i].key, key, &equal));
        if (equal) *out = &d->pairs[i].value;
    }
done:
    return st;
}

Status dict_put(Render *r, Dict *d, Value key, Value value)
{
    Status st = OK;
    const Value *found;
    TRY(dict_find(r, d, key, &found));
    if (found) {
        *(Value *)found = value;
        goto done;
    }
    if (d->count == d->capacity) {
        size_t more = d->capacity ? d->capacity * 2 : 8;
        Pair *grown;
        NEW(r, grown, more);
        if (d->count) memcpy(grown, d->pairs, d->count * sizeof *grown);
        d->pairs = grown;
        d->capacity = more;
    }
    d->pairs[d->count++] = (Pair){key, value};
done:
    return st;
}

Status value_undefined_hint(Render *r, const char *hint, Value *out)
{
    Status st = OK;
    Missing *m;
    NEW(r, m, 1);
    m->hint = hint;
    *out = (Value){.kind = VALUE_UNDEFINED, .missing = m};
done:
    return st;
}

Status value_undefined(Render *r, Value object, Value name, Value *out)
{
    Status st = OK;
    Value type = {0};
    TRY(value_undefined_hint(r, NULL, out));
    Missing *m = (Missing *)out->missing;
    m->name = name;
    if (object.kind == VALUE_ABSENT) goto done;
    if (object.kind == VALUE_NONE) m->object = "None";
    else TRY(value_printf(r, &type, "%s object", value_type(object)));
    if (!m->object) m->object = type.text;
done:
    return st;
}

Status undefined_error(const Missing *m)
{
    Value name = m->name;
    int size = name.kind == VALUE_STRING ? (int)(name.size < 200 ? name.size : 200) : 0;
    if (m->hint) return status_raise(STATUS_FORMAT, "%s", m->hint);
    if (!m->object) return status_raise(STATUS_FORMAT, "'%.*s' is undefined", size, name.text);
    if (name.kind == VALUE_STRING)
        return status_raise(STATUS_FORMAT, "'%s' has no attribute '%.*s'", m->object, size, name.text);
    if (value_is_whole(name))
        return status_raise(STATUS_FORMAT, "%s has no element %lld", m->object, (long long)value_whole(name));
    return status_raise(STATUS_FORMAT, "%s has no such element", m->object);
}

static Status number_from_json(const cJSON *json, Value *out)
{
    Status st = OK;
    bool real = json->type & JSON_REAL;
    double x = json->valuedouble;
    if (!real && json->valuestring) {
        errno = 0;
        *out = value_int(strtoll(json->valuestring, NULL, 10));
        if (errno) RAISE(UNSUPPORTED, "the integer %.40s of the input does not fit into 64 bits", json->valuestring);
    } else if (!real && x == trunc(x) && fabs(x) < JSON_EXACT) {
        *out = value_int((int64_t)x);
    } else {
        *out = value_real(x);
    }
done:
    return st;
}

static Status text_from_json(Render *r, const char *text, Value *out)
{
    Status st = OK;
    size_t size = strlen(text), valid = letter_valid(text, size);
    if (valid < size) RAISE(FORMAT, "a text of the input is not valid UTF-8 at its byte %zu", valid);
    TRY(value_copy(r, text, size, out));
done:
    return st;
}

Status value_from_json(Render *r, const cJSON *json, Value *out)
{
    Status st = OK;
    size_t count = 0;
    TRY(render_deeper(r));
    *out = value_none();
    if (cJSON_IsBool(json)) *out = value_bool(cJSON_IsTrue(json));
    else if (cJSON_IsNumber(json)) TRY(number_from_json(json, out));
    else if (cJSON_IsString(json)) TRY(text_from_json(r, json->valuestring, out));
    else if (cJSON_IsArray(json)) {
        TRY(value_list(r, VALUE_LIST, (size_t)cJSON_GetArraySize(json), out));
        for (const cJSON *item = json->child; item; item = item->next)
            TRY(value_from_json(r, item, &out->list->items[count++]));
    } else if (cJSON_IsObject(json)) {
        TRY(value_dict(r, out));
        for (const cJSON *item = json->child; item; item = item->next) {
            Value key, value;
            TRY(text_from_json(r, item->string ? item->string : "", &key));
            TRY(value_from_json(r, item, &value));
            TRY(dict_put(r, out->dict, key, value));
        }
    }
    r->depth--;
done:
    return st;
}
