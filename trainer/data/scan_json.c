/* See scan_json.h. Keys of the objects that are open lie on a stack; at an object's end its own are compared, sorted by
 * hash when they are many, so that no file makes it quadratic. */
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "trainer/data/scan_json.h"

enum { MAX_DEPTH = 512, MAX_NUMBER = 1024, FEW_KEYS = 8 }; /* as base/json.c */

static Status fail(const Rows *r, const char *what)
{
    return input_fail(&r->in, "not valid JSON: %s", what);
}

void scan_space(Rows *r)
{
    int c;
    while ((c = input_peek(&r->in)) == ' ' || c == '\t' || c == '\r' || c == '\n') input_skip(&r->in);
}

/* Takes the byte c if it is next. */
static bool take(Rows *r, int c)
{
    if (input_peek(&r->in) != c) return false;
    input_skip(&r->in);
    return true;
}

/* Takes one byte to the heap. */
static Status keep(Rows *r)
{
    const int c = input_peek(&r->in);
    if (!bytes_put(&r->heap, (char)c)) return STATUS_MEMORY;
    input_skip(&r->in);
    return OK;
}

FieldType scan_peek_type(Rows *r)
{
    switch (input_peek(&r->in)) {
    case '"': return FIELD_STRING;
    case '{': return FIELD_OBJECT;
    case '[': return FIELD_LIST;
    case 't': case 'f': return FIELD_BOOL;
    case 'n': return FIELD_NULL;
    default: return FIELD_NUMBER;
    }
}

Status scan_open(Rows *r)
{
    if (++r->depth > MAX_DEPTH) return fail(r, "nested more than 512 deep");
    input_skip(&r->in);
    return OK;
}

Status scan_first(Rows *r, char close, bool *more)
{
    scan_space(r);
    *more = !take(r, close);
    return r->in.status;
}

Status scan_more(Rows *r, char close, bool *more)
{
    scan_space(r);
    if (take(r, close)) {
        *more = false;
        return OK;
    }
    *more = true;
    if (!take(r, ',')) return fail(r, close == '}' ? "`,` or `}` was expected" : "`,` or `]` was expected");
    scan_space(r);
    return r->in.status;
}

ScanScope scan_scope(const Rows *r)
{
    return (ScanScope){.keys = r->keys.size, .seen = r->seen_count};
}

Status scan_key(Rows *r, size_t *at)
{
    Status st = OK;
    *at = r->keys.size;
    scan_space(r);
    if (!r->keys.data && !bytes_reserve(&r->keys, 1)) TRY(STATUS_MEMORY); /* an empty key has an address too */
    if (input_peek(&r->in) != '"') TRY(fail(r, "a key in quotes was expected"));
    TRY(scan_string(r, &r->keys, false));
    scan_space(r);
    if (!take(r, ':')) TRY(fail(r, "`:` was expected"));
    scan_space(r);
    if (r->seen_count == r->seen_capacity) {
        const size_t capacity = r->seen_capacity ? r->seen_capacity * 2 : 32;
        SeenKey *grown = realloc(r->seen, capacity * sizeof *grown);
        if (!grown) RAISE(MEMORY, "%s: no memory for the keys of a row", r->in.path);
        r->seen = grown;
        r->seen_capacity = capacity;
    }
    const size_t bytes = r->keys.size - *at;
    r->seen[r->seen_count++] = (SeenKey){.hash = bytes ? XXH3_64bits(r->keys.data + *at, bytes) : 0, .at = *at,
                                         .bytes = bytes};
done:
    return st;
}

static int compare_keys(const void *a, const void *b, void *keys)
{
    const SeenKey *x = a, *y = b;
    if (x->hash != y->hash) return x->hash < y->hash ? -1 : 1;
    if (x->bytes != y->bytes) return x->bytes < y->bytes ? -1 : 1;
    return x->bytes ? memcmp((const char *)keys + x->at, (const char *)keys + y->at, x->bytes) : 0;
}

static Status given_twice(const Rows *r, const SeenKey *key)
{
    const int shown = key->bytes < 100 ? (int)key->bytes : 100;
    return input_fail(&r->in, "not valid JSON: the key \"%.*s\" is given twice", shown,
                      key->bytes ? r->keys.data + key->at : "");
}

Status scan_close(Rows *r, const ScanScope *scope)
{
    SeenKey *seen = r->seen ? r->seen + scope->seen : NULL; /* no key was ever read */
    const size_t count = r->seen_count - scope->seen;

    if (count > FEW_KEYS) {
        qsort_r(seen, count, sizeof *seen, compare_keys, r->keys.data);
        for (size_t i = 1; i < count; i++)
            if (compare_keys(&seen[i - 1], &seen[i], r->keys.data) == 0) return given_twice(r, &seen[i]);
    } else {
        for (size_t i = 1; i < count; i++)
            for (size_t j = 0; j < i; j++)
                if (compare_keys(&seen[i], &seen[j], r->keys.data) == 0) return given_twice(r, &seen[i]);
    }
    r->keys.size = scope->keys;
    r->seen_count = scope->seen;
    r->depth--;
    return OK;
}

static Status read_word(Rows *r, const char *word)
{
    Status st = OK;
    for (; *word; word++) {
        if (input_peek(&r->in) != *word) TRY(fail(r, "a value was expected"));
        TRY(keep(r));
    }
done:
    return st;
}

static Status read_digits(Rows *r, const char *otherwise)
{
    Status st = OK;
    int c = input_peek(&r->in);
    if (c < '0' || c > '9') TRY(fail(r, otherwise));
    for (; c >= '0' && c <= '9'; c = input_peek(&r->in)) TRY(keep(r));
done:
    return st;
}

static Status read_number(Rows *r)
{
    Status st = OK;
    const size_t start = r->heap.size;
    if (input_peek(&r->in) == '-') {
        TRY(keep(r));
        if (input_peek(&r->in) == 'I') {
            TRY(read_word(r, "Infinity"));
            goto done;
        }
    }
    if (input_peek(&r->in) == '0') TRY(keep(r));
    else TRY(read_digits(r, "a value was expected"));
    if (input_peek(&r->in) == '.') {
        TRY(keep(r));
        TRY(read_digits(r, "a digit was expected after the point"));
    }
    if (input_peek(&r->in) == 'e' || input_peek(&r->in) == 'E') {
        TRY(keep(r));
        if (input_peek(&r->in) == '+' || input_peek(&r->in) == '-') TRY(keep(r));
        TRY(read_digits(r, "a digit was expected in the exponent"));
    }
    if (r->heap.size - start >= MAX_NUMBER) TRY(fail(r, "a number of more than 1000 digits"));
    st = r->in.status;
done:
    return st;
}

static Status read_list(Rows *r)
{
    Status st = OK;
    bool more;
    TRY(bytes_put(&r->heap, '[') ? scan_open(r) : STATUS_MEMORY);
    TRY(scan_first(r, ']', &more));
    while (more) {
        TRY(scan_value(r));
        TRY(scan_more(r, ']', &more));
        if (more && !bytes_put(&r->heap, ',')) TRY(STATUS_MEMORY);
    }
    r->depth--;
    if (!bytes_put(&r->heap, ']')) TRY(STATUS_MEMORY);
done:
    return st;
}

/* The keys are written again as they were decoded, escaped where they must be. */
static Status write_key(Rows *r, size_t at)
{
    Status st = OK;
    if (!bytes_put(&r->heap, '"')) TRY(STATUS_MEMORY);
    for (size_t i = at; i < r->keys.size; i++) {
        static const char hex[] = "0123456789abcdef";
        const unsigned char c = (unsigned char)r->keys.data[i];
        const char escape[] = {'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]};
        const bool plain = c >= 0x20 && c != '"' && c != '\\';
        if (!(plain ? bytes_put(&r->heap, (char)c) : bytes_add(&r->heap, escape, sizeof escape))) TRY(STATUS_MEMORY);
    }
    if (!bytes_add(&r->heap, "\":", 2)) TRY(STATUS_MEMORY);
done:
    return st;
}

static Status read_object(Rows *r)
{
    Status st = OK;
    bool more;
    const ScanScope scope = scan_scope(r);
    TRY(bytes_put(&r->heap, '{') ? scan_open(r) : STATUS_MEMORY);
    TRY(scan_first(r, '}', &more));
    while (more) {
        size_t key;
        TRY(scan_key(r, &key));
        TRY(write_key(r, key));
        TRY(scan_value(r));
        TRY(scan_more(r, '}', &more));
        if (more && !bytes_put(&r->heap, ',')) TRY(STATUS_MEMORY);
    }
    TRY(scan_close(r, &scope));
    if (!bytes_put(&r->heap, '}')) TRY(STATUS_MEMORY);
done:
    return st;
}

Status scan_value(Rows *r)
{
    scan_space(r);
    switch (input_peek(&r->in)) {
    case '{': return read_object(r);
    case '[': return read_list(r);
    case '"': return scan_string(r, &r->heap, true);
    case 't': return read_word(r, "true");
    case 'f': return read_word(r, "false");
    case 'n': return read_word(r, "null");
    case 'N': return read_word(r, "NaN");
    case 'I': return read_word(r, "Infinity");
    default: return read_number(r);
    }
}
