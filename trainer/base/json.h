/* cJSON behind one door: end of input required; invalid UTF-8, duplicate keys and NUL in strings are errors with the
 * offset; bare NaN, Infinity, -Infinity are read as the reference writes them. Numbers are written as the shortest text
 * that reads back equal (integers without a point), as Python's json does ("0.1", "1e-05", "5e-05", "3.0"). */
#ifndef HONE_BASE_JSON_H
#define HONE_BASE_JSON_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "trainer/base/arena.h"
#include "trainer/base/status.h"

/* Parses `size` bytes; `name` is for messages. Free with cJSON_Delete. Depth is limited to 512. */
Status json_parse(const char *text, size_t size, const char *name, cJSON **out);
Status json_read_file(const char *path, cJSON **out); /* up to 512 MB */

/* Members of an object. `where` names the object in messages (a path). The _or forms give the default when the key is
 * absent or null; a wrong type is always an error that names key and type. Integers must be integral and within
 * +-2^53. */
Status json_string(const cJSON *object, const char *where, const char *key,
                   const char **out); /* borrowed from object */
Status json_string_or(const cJSON *object, const char *where, const char *key, const char *fallback, const char **out);
Status json_int(const cJSON *object, const char *where, const char *key, int64_t *out);
Status json_int_or(const cJSON *object, const char *where, const char *key, int64_t fallback, int64_t *out);
Status json_real_or(const cJSON *object, const char *where, const char *key, double fallback, double *out);
Status json_bool_or(const cJSON *object, const char *where, const char *key, bool fallback, bool *out);

/* A growing text, for writers. */
typedef struct Text {
    char *data; /* NUL-terminated, never NULL once something was added */
    size_t size, capacity;
    bool failed; /* no memory: nothing more is added */
} Text;
void text_free(Text *t);
void text_add(Text *t, const char *data, size_t size);
void text_printf(Text *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
void json_add_string(Text *t, const char *data, size_t size); /* quoted; non-ASCII kept; invalid UTF-8 becomes U+FFFD */
/* Like Python's repr(float): "1e-05", "0.1", "3.0", "NaN", "Infinity". */
void json_add_real(Text *t, double value);
/* json.dumps(value, indent=indent, sort_keys=sorted, ensure_ascii=False); indent 0: one line, ", " and ": ". A number
 * that holds an integral value is written "3" when it was made by json_new_int, "3.0" when by json_new_real. */
void json_add(Text *t, const cJSON *value, int indent, bool sorted);
cJSON *json_new_int(int64_t value);
cJSON *json_new_real(double value);
/* json_add with a final newline, through file_replace. */
Status json_write_file(const char *path, const cJSON *value, int indent, bool sorted);

#endif
