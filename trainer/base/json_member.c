/* Members of a JSON object, typed, with messages that name the object and the key. */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "trainer/base/json.h"
#include "trainer/base/json_internal.h"

static const char *kind(const cJSON *item)
{
    if (cJSON_IsString(item)) return "a string";
    if (cJSON_IsNumber(item)) return item->type & JSON_REAL ? "a float" : "a number";
    if (cJSON_IsBool(item)) return "a boolean";
    if (cJSON_IsArray(item)) return "a list";
    return cJSON_IsObject(item) ? "an object" : "null";
}

/* The member, NULL when it is absent or null; an error when `object` is none. */
static Status find(const cJSON *object, const char *where, const char *key, const cJSON **out)
{
    *out = NULL;
    if (!cJSON_IsObject(object))
        return status_raise(STATUS_FORMAT, "%s: an object with the key \"%s\" was expected", where, key);
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);
    if (item && !cJSON_IsNull(item)) *out = item;
    return OK;
}

static Status absent(const char *where, const char *key)
{
    return status_raise(STATUS_MISSING, "%s: the key \"%s\" is missing", where, key);
}

static Status wrong(const cJSON *item, const char *where, const char *key, const char *wanted)
{
    return status_raise(STATUS_FORMAT, "%s: \"%s\" must be %s, and is %s", where, key, wanted, kind(item));
}

Status json_string_or(const cJSON *object, const char *where, const char *key, const char *fallback, const char **out)
{
    const cJSON *item;
    Status st = find(object, where, key, &item);
    if (st != OK) return st;
    if (item && !cJSON_IsString(item)) return wrong(item, where, key, "a string");
    *out = item ? item->valuestring : fallback;
    return OK;
}

Status json_string(const cJSON *object, const char *where, const char *key, const char **out)
{
    Status st = json_string_or(object, where, key, NULL, out);
    return st == OK && !*out ? absent(where, key) : st;
}

static Status integer(const cJSON *item, const char *where, const char *key, int64_t *out)
{
    if (!cJSON_IsNumber(item)) return wrong(item, where, key, "an integer");
    double value = item->valuedouble;
    if (!(fabs(value) < JSON_EXACT) || value != trunc(value))
        return status_raise(STATUS_FORMAT, "%s: \"%s\" must be an integer within 2^53, and is %.17g", where, key,
                            value);
    *out = (int64_t)value;
    return OK;
}

Status json_int(const cJSON *object, const char *where, const char *key, int64_t *out)
{
    const cJSON *item;
    Status st = find(object, where, key, &item);
    if (st != OK) return st;
    return item ? integer(item, where, key, out) : absent(where, key);
}

Status json_int_or(const cJSON *object, const char *where, const char *key, int64_t fallback, int64_t *out)
{
    const cJSON *item;
    Status st = find(object, where, key, &item);
    if (st != OK) return st;
    if (item) return integer(item, where, key, out);
    *out = fallback;
    return OK;
}

Status json_real_or(const cJSON *object, const char *where, const char *key, double fallback, double *out)
{
    const cJSON *item;
    Status st = find(object, where, key, &item);
    if (st != OK) return st;
    if (item && !cJSON_IsNumber(item)) return wrong(item, where, key, "a number");
    *out = item ? item->valuedouble : fallback;
    return OK;
}

Status json_bool_or(const cJSON *object, const char *where, const char *key, bool fallback, bool *out)
{
    const cJSON *item;
    Status st = find(object, where, key, &item);
    if (st != OK) return st;
    if (item && !cJSON_IsBool(item)) return wrong(item, where, key, "true or false");
    *out = item ? cJSON_IsTrue(item) : fallback;
    return OK;
}
