/* object.name, object[key], object[a:b:c] as the immutable sandbox lets templates have them: a method wins over a key
 * after a point, a key over a method in brackets; what changes an object is hidden. */
#include <string.h>

#include "trainer/template/builtins.h"
#include "trainer/template/letters.h"
#include "trainer/template/loop.h"

/* A method or attribute of the object's type. *found false: it has none of this name. */
static Status member(Render *r, Value object, Value name, Value *out, bool *found)
{
    Status st = OK;
    *found = true;
    if (object.kind == VALUE_NAMESPACE) {
        const Value *value = dict_find_text(object.dict, name.text, name.size);
        *found = value != NULL;
        if (value) *out = *value;
        goto done;
    }
    if (object.kind == VALUE_LOOP) {
        TRY(loop_attribute(r, object.loop, name, out, found));
        if (*found) goto done;
    }
    *found = true;
    const Builtin *b = builtin_method(object.kind, name.text, name.size);
    if (b) {
        Method *m;
        NEW(r, m, 1);
        *m = (Method){object, b};
        *out = (Value){.kind = VALUE_METHOD, .method = m};
    } else if (builtin_is_unsafe(object.kind, name.text, name.size)) {
        Value hint;
        TRY(value_printf(r, &hint, "access to attribute '%.*s' of '%s' object is unsafe", (int)name.size, name.text,
                         value_type(object)));
        TRY(value_undefined_hint(r, hint.text, out));
    } else if (builtin_is_lacking(object.kind, name.text, name.size)) {
        RAISE(UNSUPPORTED, "the attribute `%.*s` of %s is not there", (int)name.size, name.text, value_type(object));
    } else {
        *found = false;
    }
done:
    return st;
}

/* object[key]; *found false where Python raises a TypeError or LookupError. */
static Status element(Render *r, Value object, Value key, Value *out, bool *found)
{
    Status st = OK;
    *found = false;
    if (object.kind == VALUE_DICT) {
        const Value *value;
        if (key.kind == VALUE_LIST || key.kind == VALUE_DICT) goto done; /* unhashable */
        TRY(dict_find(r, object.dict, key, &value));
        *found = value != NULL;
        if (value) *out = *value;
    } else if (value_is_whole(key) &&
               (object.kind == VALUE_STRING || value_is_list(object) || object.kind == VALUE_RANGE)) {
        int64_t count, at = value_whole(key);
        TRY(value_length(r, object, &count));
        if (at < 0) at += count;
        if (at < 0 || at >= count) goto done;
        *found = true;
        if (object.kind == VALUE_STRING) {
            Value stop = value_int(at + 1);
            TRY(value_slice(r, object, value_int(at), stop, value_none(), out));
        } else {
            *out = object.list->items[at];
        }
    }
done:
    return st;
}

Status value_attribute(Render *r, Value object, Value name, Value *out)
{
    Status st = OK;
    bool found;
    if (object.kind == VALUE_UNDEFINED) TRY(undefined_error(object.missing));
    TRY(member(r, object, name, out, &found));
    if (!found) TRY(element(r, object, name, out, &found));
    if (!found) TRY(value_undefined(r, object, name, out));
done:
    return st;
}

Status value_item(Render *r, Value object, Value key, Value *out)
{
    Status st = OK;
    bool found;
    if (object.kind == VALUE_UNDEFINED) TRY(undefined_error(object.missing));
    TRY(element(r, object, key, out, &found));
    if (!found && key.kind == VALUE_STRING) TRY(member(r, object, key, out, &found));
    if (!found) TRY(value_undefined(r, object, key, out));
done:
    return st;
}

/* A slice's bound: into [low, high]; VALUE_NONE: fallback. */
static Status bound(Value v, int64_t count, int64_t low, int64_t high, int64_t fallback, int64_t *out)
{
    Status st = OK;
    *out = fallback;
    if (v.kind == VALUE_NONE || v.kind == VALUE_ABSENT) goto done;
    if (!value_is_whole(v)) RAISE(FORMAT, "slice indices must be integers or None, not %s", value_type(v));
    int64_t at = value_whole(v);
    if (at < 0) at = at < -count ? low : at + count;
    *out = at < low ? low : at > high ? high : at;
done:
    return st;
}

static Status slice_string(Render *r, Value s, int64_t start, int64_t step, int64_t n, Value *out)
{
    Status st = OK;
    size_t at = 0, bytes;
    if (step == 1) { /* shares the text */
        while (at < s.size && start > 0) letter_decode(s.text + at, &bytes), at += bytes, start--;
        size_t end = at;
        while (end < s.size && n > 0) letter_decode(s.text + end, &bytes), end += bytes, n--;
        *out = value_string(s.text + at, end - at);
        goto done;
    }
    Value letters;
    char *text;
    TRY(value_items(r, s, &letters));
    NEW(r, text, s.size + 1);
    for (int64_t i = 0; i < n; i++) {
        Value letter = letters.list->items[start + i * step];
        memcpy(text + at, letter.text, letter.size);
        at += letter.size;
    }
    *out = value_string(text, at);
done:
    return st;
}

/* Python's range(…)[a:b:c] is a range whose text tells start, stop and step. */
static Status slice_range(Render *r, const List *l, int64_t start, int64_t stop, int64_t step, int64_t n, Value *out)
{
    Status st = OK;
    TRY(value_list(r, VALUE_RANGE, (size_t)n, out));
    List *part = out->list;
    for (int64_t i = 0; i < n; i++) part->items[i] = l->items[start + i * step];
    part->start = l->start + start * l->step;
    part->step = l->step * step;
    part->stop = l->start + stop * l->step;
done:
    return st;
}

Status value_slice(Render *r, Value object, Value start, Value stop, Value step, Value *out)
{
    Status st = OK;
    int64_t count, by = 1, from, to;
    if (object.kind == VALUE_UNDEFINED) TRY(undefined_error(object.missing));
    if (object.kind != VALUE_STRING && !value_is_list(object) && object.kind != VALUE_RANGE)
        RAISE(FORMAT,
              object.kind == VALUE_DICT ? "unhashable type: 'slice' as a key of %s"
                                        : "'%s' object is not subscriptable",
              value_type(object));
    if (step.kind != VALUE_NONE && step.kind != VALUE_ABSENT) {
        if (!value_is_whole(step)) RAISE(FORMAT, "slice indices must be integers or None, not %s", value_type(step));
        by = value_whole(step);
        if (!by) RAISE(FORMAT, "slice step cannot be zero");
        if (by > INT32_MAX) by = INT32_MAX; /* more than any length */
        if (by < -INT32_MAX) by = -INT32_MAX;
    }
    TRY(value_length(r, object, &count));
    TRY(render_spend(r, object.kind == VALUE_STRING ? object.size / 64 : 0));
    TRY(bound(start, count, by < 0 ? -1 : 0, by < 0 ? count - 1 : count, by < 0 ? count - 1 : 0, &from));
    TRY(bound(stop, count, by < 0 ? -1 : 0, by < 0 ? count - 1 : count, by < 0 ? -1 : count, &to));
    int64_t n = by > 0 ? (to - from + by - 1) / by : (from - to - by - 1) / -by;
    if (n < 0 || (by > 0 ? to <= from : to >= from)) n = 0;
    if (object.kind == VALUE_STRING) {
        TRY(slice_string(r, object, from, by, n, out));
    } else if (object.kind == VALUE_RANGE) {
        TRY(slice_range(r, object.list, from, to, by, n, out));
    } else {
        TRY(value_list(r, object.kind, (size_t)n, out));
        for (int64_t i = 0; i < n; i++) out->list->items[i] = object.list->items[from + i * by];
    }
done:
    return st;
}

static bool is_index(const char *s, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (s[i] < '0' || s[i] > '9') return false;
    return size > 0 && size < 18;
}

Status value_path(Render *r, Value object, Value attribute, Value fallback, Value *out)
{
    Status st = OK;
    *out = object;
    if (attribute.kind == VALUE_NONE || attribute.kind == VALUE_ABSENT) goto done;
    if (attribute.kind != VALUE_STRING) {
        TRY(value_item(r, object, attribute, out));
        if (out->kind == VALUE_UNDEFINED && fallback.kind != VALUE_ABSENT) *out = fallback;
        goto done;
    }
    for (size_t at = 0; at <= attribute.size;) {
        const char *part = attribute.text + at, *point = memchr(part, '.', attribute.size - at);
        size_t n = point ? (size_t)(point - part) : attribute.size - at;
        Value key = value_string(part, n);
        if (is_index(part, n)) {
            key = value_int(0);
            for (size_t i = 0; i < n; i++) key.integer = key.integer * 10 + (part[i] - '0');
        }
        TRY(value_item(r, *out, key, out));
        if (out->kind == VALUE_UNDEFINED && fallback.kind != VALUE_ABSENT) *out = fallback;
        at += n + 1;
    }
done:
    return st;
}
