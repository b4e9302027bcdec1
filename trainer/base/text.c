/* A growing text. The first failed allocation is kept in it, so a writer tests once, at the end. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "trainer/base/json.h"

void text_free(Text *t)
{
    free(t->data);
    *t = (Text){0};
}

static char *reserve(Text *t, size_t size)
{
    if (t->failed || size >= SIZE_MAX / 2 - t->size) {
        t->failed = true;
        return NULL;
    }
    if (t->size + size + 1 > t->capacity) {
        size_t grown = t->capacity ? t->capacity : 256;
        while (grown < t->size + size + 1) grown *= 2;
        char *fresh = realloc(t->data, grown);
        if (!fresh) {
            t->failed = true;
            return NULL;
        }
        t->data = fresh;
        t->capacity = grown;
    }
    return t->data + t->size;
}

void text_add(Text *t, const char *data, size_t size)
{
    char *at = reserve(t, size);
    if (!at) return;
    if (size) memcpy(at, data, size);
    at[size] = '\0';
    t->size += size;
}

void text_printf(Text *t, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    char *at = n < 0 ? NULL : reserve(t, (size_t)n);
    if (at) {
        vsnprintf(at, (size_t)n + 1, format, again);
        t->size += (size_t)n;
    }
    va_end(again);
}
