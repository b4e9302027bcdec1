/* Writes JSON as Python's json.dumps(ensure_ascii=False) does, to the byte. Floats: the shortest digits that read back
 * equal and, of those, the nearest (Steele & White 1990); "%.17g" and its shorter forms find them. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "trainer/base/file.h"
#include "trainer/base/json.h"
#include "trainer/base/json_internal.h"

enum { DIGITS_BYTES = 40 };

void json_add_string(Text *t, const char *data, size_t size)
{
    static const char escapes[] = "\"\\\b\f\n\r\t", letters[] = "\"\\bfnrt";
    size_t start = 0, i = 0;
    text_add(t, "\"", 1);
    while (i < size) {
        unsigned char c = (unsigned char)data[i];
        size_t length = c < 0x80 ? 1 : utf8_length(data + i, size - i);
        bool plain = length && c >= 0x20 && c != '"' && c != '\\';
        if (!plain) {
            text_add(t, data + start, i - start);
            const char *found = c ? strchr(escapes, c) : NULL;
            if (!length) text_add(t, "\xEF\xBF\xBD", 3);
            else if (found) text_printf(t, "\\%c", letters[found - escapes]);
            else text_printf(t, "\\u%04x", c);
            start = i + 1;
        }
        i += length ? length : 1;
    }
    text_add(t, data + start, size - start);
    text_add(t, "\"", 1);
}

/* Adds one to the last digit of "d.ddde-xx". */
static void next_digits(char *s)
{
    char *end = strchr(s, 'e'), *at = end - 1;
    while (at > s && (*at == '9' || *at == '.')) {
        if (*at == '9') *at = '0';
        at--;
    }
    if (*at >= '0' && *at < '9') ++*at; /* "9.99…9": a power of two never prints so */
}

/* Positive and finite: the shortest digits as "d.ddde+xx". */
static void shortest(double value, char *s)
{
    int exponent;
    bool power_of_two = frexp(value, &exponent) == 0.5;
    int least = value < 1e-290 ? 1 : 15; /* 15 digits always read back, but numbers near 0 have less than 15 */
    for (int digits = least; digits < 17; digits++) {
        snprintf(s, DIGITS_BYTES, "%.*e", digits - 1, value);
        if (strtod(s, NULL) == value) return;
        /* Above a power of two doubles lie twice as far apart as below: the nearest digits may miss, the next fit. */
        if (power_of_two && digits == 16) {
            next_digits(s);
            if (strtod(s, NULL) == value) return;
        }
    }
    snprintf(s, DIGITS_BYTES, "%.16e", value);
}

void json_add_real(Text *t, double value)
{
    char s[DIGITS_BYTES], digits[DIGITS_BYTES];
    if (isnan(value)) { text_add(t, "NaN", 3); return; }
    if (signbit(value)) text_add(t, "-", 1);
    value = fabs(value);
    if (isinf(value)) { text_add(t, "Infinity", 8); return; }
    if (value == 0) { text_add(t, "0.0", 3); return; }
    shortest(value, s);
    int n = 0, exponent = atoi(strchr(s, 'e') + 1);
    for (const char *p = s; *p != 'e'; p++)
        if (*p != '.') digits[n++] = *p;
    while (n > 1 && digits[n - 1] == '0') n--;
    if (exponent < -4 || exponent >= 16) {
        text_add(t, digits, 1);
        if (n > 1) text_printf(t, ".%.*s", n - 1, digits + 1);
        text_printf(t, "e%c%02d", exponent < 0 ? '-' : '+', abs(exponent));
    } else if (exponent < 0) {
        text_printf(t, "0.%.*s%.*s", -exponent - 1, "0000", n, digits);
    } else if (n > exponent + 1) {
        text_printf(t, "%.*s.%.*s", exponent + 1, digits, n - exponent - 1, digits + exponent + 1);
    } else {
        text_printf(t, "%.*s%.*s.0", n, digits, exponent + 1 - n, "0000000000000000");
    }
}

static void add_number(Text *t, const cJSON *item)
{
    double value = item->valuedouble;
    if (item->valuestring) text_add(t, item->valuestring, strlen(item->valuestring));
    else if (!(item->type & JSON_REAL) && value == trunc(value) && fabs(value) < JSON_EXACT)
        text_printf(t, "%.0f", value + 0.0);
    else json_add_real(t, value);
}

static void break_line(Text *t, int indent, int depth)
{
    if (indent) text_printf(t, "\n%*s", indent * depth, "");
}

static int by_key(const void *a, const void *b)
{
    return strcmp((*(const cJSON *const *)a)->string, (*(const cJSON *const *)b)->string); /* UTF-8: code point order */
}

static void add_value(Text *t, const cJSON *value, int indent, bool sorted, int depth);

static void add_children(Text *t, const cJSON *parent, int indent, bool sorted, int depth)
{
    bool object = cJSON_IsObject(parent);
    size_t count = 0, n = 0;
    const cJSON **children = NULL;
    for (const cJSON *c = parent->child; c; c = c->next) count++;
    text_add(t, object ? "{" : "[", 1);
    if (count && !(children = malloc(count * sizeof *children))) t->failed = true;
    if (children) {
        for (const cJSON *c = parent->child; c; c = c->next) children[n++] = c;
        if (object && sorted) qsort(children, n, sizeof *children, by_key);
        for (size_t i = 0; i < n; i++) {
            if (i) text_add(t, ", ", indent ? 1 : 2);
            break_line(t, indent, depth + 1);
            if (object) {
                json_add_string(t, children[i]->string, strlen(children[i]->string));
                text_add(t, ": ", 2);
            }
            add_value(t, children[i], indent, sorted, depth + 1);
        }
        break_line(t, indent, depth);
        free(children);
    }
    text_add(t, object ? "}" : "]", 1);
}

static void add_value(Text *t, const cJSON *value, int indent, bool sorted, int depth)
{
    if (cJSON_IsString(value)) json_add_string(t, value->valuestring, strlen(value->valuestring));
    else if (cJSON_IsNumber(value)) add_number(t, value);
    else if (cJSON_IsBool(value)) text_printf(t, "%s", cJSON_IsTrue(value) ? "true" : "false");
    else if (cJSON_IsArray(value) || cJSON_IsObject(value)) add_children(t, value, indent, sorted, depth);
    else if (cJSON_IsRaw(value)) text_add(t, value->valuestring, strlen(value->valuestring));
    else text_add(t, "null", 4);
}

void json_add(Text *t, const cJSON *value, int indent, bool sorted) { add_value(t, value, indent, sorted, 0); }

cJSON *json_new_int(int64_t value)
{
    char digits[24];
    cJSON *item = cJSON_CreateNumber((double)value);
    if (!item || (value < (int64_t)JSON_EXACT && value > -(int64_t)JSON_EXACT)) return item;
    int n = snprintf(digits, sizeof digits, "%lld", (long long)value);
    item->valuestring = cJSON_malloc((size_t)n + 1);
    if (item->valuestring) {
        memcpy(item->valuestring, digits, (size_t)n + 1);
        return item;
    }
    cJSON_Delete(item);
    return NULL;
}

cJSON *json_new_real(double value)
{
    cJSON *item = cJSON_CreateNumber(value);
    if (item) item->type |= JSON_REAL;
    return item;
}

Status json_write_file(const char *path, const cJSON *value, int indent, bool sorted)
{
    Text t = {0};
    json_add(&t, value, indent, sorted);
    text_add(&t, "\n", 1);
    Status st = t.failed ? status_raise(STATUS_MEMORY, "%s: out of memory", path) : file_replace(path, t.data, t.size);
    text_free(&t);
    return st;
}
