/* Values of a GGUF file's keys, checked for their kind. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "trainer/gguf/gguf.h"
#include "trainer/tokenizer/unicode.h"

static const char *const names[GGUF_VALUE_TYPES] = {"u8",     "i8",    "u16", "i16", "u32", "i32", "f32", "bool",
                                                    "string", "array", "u64", "i64", "f64"};

static Status wrong(const Gguf *g, const GgufValue *v, const char *wanted)
{
    return status_raise(STATUS_FORMAT, "%s: key %.100s is %s%s%s; it should be %s", gguf_path(g), v->key,
                        names[v->type], v->type == GGUF_ARRAY ? " of " : "",
                        v->type == GGUF_ARRAY ? names[v->element] : "", wanted);
}

static Status absent(const Gguf *g, const char *key)
{
    return status_raise(STATUS_MISSING, "%s: the key %s is missing; the file is damaged, or its model is one that hone "
                        "lacks", gguf_path(g), key);
}

Status gguf_text_or(const Gguf *g, const char *key, const char *fallback, const char **out)
{
    const GgufValue *v = gguf_find(g, key);
    *out = fallback;
    if (!v) return OK;
    if (v->type != GGUF_STRING) return wrong(g, v, "a string");
    if (memchr(v->text.data, 0, v->text.size) || utf8_valid_bytes(v->text.data, v->text.size) != v->text.size)
        return status_raise(STATUS_FORMAT, "%s: key %s is no UTF-8 text", gguf_path(g), key);
    *out = v->text.data;
    return OK;
}

Status gguf_text(const Gguf *g, const char *key, const char **out)
{
    Status st = gguf_text_or(g, key, NULL, out);
    return !st && !*out ? absent(g, key) : st;
}

static bool is_integer(GgufValueType t) { return t <= GGUF_I32 || t == GGUF_U64 || t == GGUF_I64; }

/* Bits of a type as the file has them. */
static int64_t integer(GgufValueType type, uint64_t bits)
{
    switch (type) {
    case GGUF_I8: return (int8_t)bits;
    case GGUF_I16: return (int16_t)bits;
    case GGUF_I32: return (int32_t)bits;
    default: return (int64_t)bits;
    }
}

Status gguf_int_or(const Gguf *g, const char *key, int64_t fallback, int64_t *out)
{
    const GgufValue *v = gguf_find(g, key);
    *out = fallback;
    if (!v) return OK;
    if (!is_integer(v->type)) return wrong(g, v, "an integer");
    *out = integer(v->type, v->bits);
    if (*out > (INT64_C(1) << 53) || *out < -(INT64_C(1) << 53))
        return status_raise(STATUS_FORMAT, "%s: key %s is %lld, which is no sensible number", gguf_path(g), key,
                            (long long)*out);
    return OK;
}

Status gguf_int(const Gguf *g, const char *key, int64_t *out)
{
    return gguf_find(g, key) ? gguf_int_or(g, key, 0, out) : absent(g, key);
}

double gguf_shortest(float x)
{
    char text[40];
    for (int digits = 1; digits <= 9; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, (double)x);
        if (strtof(text, NULL) == x) return strtod(text, NULL);
    }
    return x;
}

Status gguf_real_or(const Gguf *g, const char *key, double fallback, double *out)
{
    const GgufValue *v = gguf_find(g, key);
    float f;
    *out = fallback;
    if (!v) return OK;
    if (v->type == GGUF_F32) memcpy(&f, &v->bits, sizeof f), *out = gguf_shortest(f);
    else if (v->type == GGUF_F64) memcpy(out, &v->bits, sizeof *out);
    else if (is_integer(v->type)) *out = (double)integer(v->type, v->bits);
    else return wrong(g, v, "a number");
    if (!isfinite(*out)) return status_raise(STATUS_FORMAT, "%s: key %s is %g", gguf_path(g), key, *out);
    return OK;
}

Status gguf_real(const Gguf *g, const char *key, double *out)
{
    return gguf_find(g, key) ? gguf_real_or(g, key, 0, out) : absent(g, key);
}

Status gguf_bool_or(const Gguf *g, const char *key, bool fallback, bool *out)
{
    const GgufValue *v = gguf_find(g, key);
    *out = fallback;
    if (!v) return OK;
    if (v->type != GGUF_BOOL) return wrong(g, v, "a bool");
    *out = v->bits != 0;
    return OK;
}

Status gguf_texts(const Gguf *g, const char *key, const GgufString **out, size_t *count)
{
    const GgufValue *v = gguf_find(g, key);
    *out = NULL, *count = 0;
    if (!v) return OK;
    if (v->type != GGUF_ARRAY || v->element != GGUF_STRING) return wrong(g, v, "an array of strings");
    *out = v->texts, *count = (size_t)v->count;
    return OK;
}

Status gguf_int_array(const Gguf *g, const char *key, const GgufValue **out)
{
    *out = gguf_find(g, key);
    if (*out && ((*out)->type != GGUF_ARRAY || !is_integer((*out)->element)))
        return wrong(g, *out, "an array of integers");
    return OK;
}

Status gguf_real_array(const Gguf *g, const char *key, const GgufValue **out)
{
    *out = gguf_find(g, key);
    if (*out && ((*out)->type != GGUF_ARRAY || (*out)->element != GGUF_F32))
        return wrong(g, *out, "an array of f32");
    return OK;
}

int64_t gguf_int_item(const GgufValue *array, size_t i)
{
    static const unsigned char bytes[GGUF_VALUE_TYPES] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
    uint64_t bits = 0;
    memcpy(&bits, array->numbers + i * bytes[array->element], bytes[array->element]);
    return integer(array->element, bits);
}

float gguf_real_item(const GgufValue *array, size_t i)
{
    float f;
    memcpy(&f, array->numbers + i * sizeof f, sizeof f);
    return f;
}
