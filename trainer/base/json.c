/* A strict reader of JSON (RFC 8259, and the reference's NaN, Infinity, -Infinity) that builds cJSON's tree itself:
 * cJSON's own parser takes duplicate keys, invalid UTF-8 and trailing text, and not NaN. Keys of an object are checked
 * with a hash set, so a vocabulary of any size is read in linear time. */
#include "trainer/base/json.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "trainer/base/file.h"
#include "trainer/base/json_internal.h"

enum { MAX_DEPTH = 512, MAX_NUMBER = 1024, FEW_KEYS = 8 };
static const size_t MAX_FILE = (size_t)512 << 20;

typedef struct Reader {
    const char *text, *name;
    size_t size, at;
    int depth;
} Reader;

/* The keys of one object: open addressing, at most half full; below FEW_KEYS the list itself is walked. */
typedef struct Keys {
    const char **slots;
    size_t capacity, count;
} Keys;

static Status read_value(Reader *r, cJSON **out);

static Status fail_at(const Reader *r, size_t offset, const char *what)
{
    size_t line = 1, start = 0;
    for (size_t i = 0; i < offset && i < r->size; i++)
        if (r->text[i] == '\n') line++, start = i + 1;
    return status_raise(STATUS_FORMAT, "%s: not valid JSON at byte %zu (line %zu, column %zu): %s", r->name, offset,
                        line, offset - start + 1, what);
}

static Status no_memory(const Reader *r) { return status_raise(STATUS_MEMORY, "%s: out of memory", r->name); }

static void skip_space(Reader *r)
{
    while (r->at < r->size && strchr(" \t\r\n", r->text[r->at]) && r->text[r->at]) r->at++;
}

static bool take(Reader *r, char c)
{
    if (r->at >= r->size || r->text[r->at] != c) return false;
    r->at++;
    return true;
}

static bool take_word(Reader *r, const char *word)
{
    size_t n = strlen(word);
    if (r->size - r->at < n || memcmp(r->text + r->at, word, n) != 0) return false;
    r->at += n;
    return true;
}

size_t utf8_length(const char *text, size_t size)
{
    const unsigned char *s = (const unsigned char *)text;
    if (!size) return 0;
    if (s[0] < 0x80) return 1;
    size_t n = s[0] >= 0xF0 ? 4 : s[0] >= 0xE0 ? 3 : 2;
    if (s[0] < 0xC2 || s[0] > 0xF4 || n > size) return 0;
    for (size_t i = 1; i < n; i++)
        if ((s[i] & 0xC0) != 0x80) return 0;
    if (s[0] == 0xE0 && s[1] < 0xA0) return 0; /* could be shorter */
    if (s[0] == 0xED && s[1] > 0x9F) return 0; /* surrogates */
    if (s[0] == 0xF0 && s[1] < 0x90) return 0;
    if (s[0] == 0xF4 && s[1] > 0x8F) return 0; /* beyond U+10FFFF */
    return n;
}

static int hex4(const char *s, size_t size)
{
    int value = 0;
    if (size < 4) return -1;
    for (int i = 0; i < 4; i++) {
        char c = s[i];
        int digit = c >= '0' && c <= '9'   ? c - '0'
                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                           : -1;
        if (digit < 0) return -1;
        value = value * 16 + digit;
    }
    return value;
}

static size_t utf8_put(char *to, unsigned c)
{
    if (c < 0x80) return to[0] = (char)c, 1;
    if (c < 0x800) return to[0] = (char)(0xC0 | c >> 6), to[1] = (char)(0x80 | (c & 0x3F)), 2;
    if (c < 0x10000) {
        to[0] = (char)(0xE0 | c >> 12), to[1] = (char)(0x80 | (c >> 6 & 0x3F)), to[2] = (char)(0x80 | (c & 0x3F));
        return 3;
    }
    to[0] = (char)(0xF0 | c >> 18), to[1] = (char)(0x80 | (c >> 12 & 0x3F));
    to[2] = (char)(0x80 | (c >> 6 & 0x3F)), to[3] = (char)(0x80 | (c & 0x3F));
    return 4;
}

/* After "\u": one character, or two escapes that are a surrogate pair. */
static Status read_unicode(Reader *r, char *to, size_t *length)
{
    size_t start = r->at - 2;
    int high = hex4(r->text + r->at, r->size - r->at), low;
    if (high < 0) return fail_at(r, start, "\\u needs four hexadecimal digits");
    r->at += 4;
    unsigned c = (unsigned)high;
    if (c == 0) return fail_at(r, start, "NUL in a string");
    if (c >= 0xD800 && c <= 0xDFFF) {
        if (c >= 0xDC00 || !take_word(r, "\\u") || (low = hex4(r->text + r->at, r->size - r->at)) < 0xDC00 ||
            low > 0xDFFF)
            return fail_at(r, start, "half of a surrogate pair");
        r->at += 4;
        c = 0x10000 + ((c - 0xD800) << 10) + ((unsigned)low - 0xDC00);
    }
    *length = utf8_put(to, c);
    return OK;
}

/* The closing quote's offset, so that the string can be allocated once (escapes only shrink); r->size if there is none.
 */
static size_t string_end(const Reader *r)
{
    size_t i = r->at;
    while (i < r->size && r->text[i] != '"') i += r->text[i] == '\\' ? 2 : 1;
    return i < r->size ? i : r->size;
}

/* After the opening quote. Free with cJSON_free. */
static Status read_string(Reader *r, char **out)
{
    static const char escapes[] = "\"\\/bfnrt", meanings[] = "\"\\/\b\f\n\r\t";
    Status st = OK;
    size_t start = r->at - 1, n = 0, length = 0, end = string_end(r);
    char *text = NULL;
    if (end >= r->size) return fail_at(r, start, "a string without its closing quote");
    text = cJSON_malloc(end - r->at + 1);
    if (!text) return no_memory(r);
    while (r->at < end) {
        unsigned char c = (unsigned char)r->text[r->at];
        if (c == '\\') {
            char e = r->text[r->at + 1];
            const char *found = e ? strchr(escapes, e) : NULL;
            if (found) text[n++] = meanings[found - escapes];
            r->at += 2;
            if (found) continue;
            if (e != 'u') TRY(fail_at(r, r->at - 2, "an unknown escape"));
            TRY(read_unicode(r, text + n, &length));
            n += length;
        } else if (c >= 0x20 && c < 0x80) {
            text[n++] = (char)c;
            r->at++;
        } else {
            if (c < 0x20) TRY(fail_at(r, r->at, c ? "a control character in a string" : "NUL in a string"));
            length = utf8_length(r->text + r->at, end - r->at);
            if (!length) TRY(fail_at(r, r->at, "invalid UTF-8"));
            memcpy(text + n, r->text + r->at, length);
            n += length;
            r->at += length;
        }
    }
    if (r->at != end) TRY(fail_at(r, start, "a string without its closing quote")); /* \u ran over it */
    r->at++;
    text[n] = '\0';
    *out = text;
done:
    if (st != OK) cJSON_free(text);
    return st;
}

static size_t skip_digits(Reader *r)
{
    size_t start = r->at;
    while (r->at < r->size && r->text[r->at] >= '0' && r->text[r->at] <= '9') r->at++;
    return r->at - start;
}

static Status read_number(Reader *r, cJSON **out)
{
    char digits[MAX_NUMBER];
    size_t start = r->at;
    bool real = false;
    take(r, '-');
    if (take_word(r, "Infinity")) {
        *out = cJSON_CreateNumber(-INFINITY);
        return *out ? OK : no_memory(r);
    }
    if (!take(r, '0') && !skip_digits(r)) return fail_at(r, start, "a value was expected");
    if (take(r, '.')) {
        real = true;
        if (!skip_digits(r)) return fail_at(r, r->at, "a digit was expected after the point");
    }
    if (take(r, 'e') || take(r, 'E')) {
        real = true;
        if (!take(r, '+')) take(r, '-');
        if (!skip_digits(r)) return fail_at(r, r->at, "a digit was expected in the exponent");
    }
    if (r->at - start >= sizeof digits) return fail_at(r, start, "a number of more than 1000 digits");
    memcpy(digits, r->text + start, r->at - start);
    digits[r->at - start] = '\0';
    double value = strtod(digits, NULL);
    *out = cJSON_CreateNumber(value);
    if (!*out) return no_memory(r);
    if (real) (*out)->type |= JSON_REAL;
    if (!real && fabs(value) >= JSON_EXACT) {
        (*out)->valuestring = cJSON_malloc(r->at - start + 1);
        if (!(*out)->valuestring) return no_memory(r);
        memcpy((*out)->valuestring, digits, r->at - start + 1);
    }
    return OK;
}

/* As cJSON links children: the first one's prev is the last. */
static void append(cJSON *parent, cJSON *item)
{
    if (!parent->child) {
        parent->child = item->prev = item;
        return;
    }
    cJSON *last = parent->child->prev;
    last->next = item;
    item->prev = last;
    parent->child->prev = item;
}

static size_t hash(const char *key)
{
    uint64_t h = 0xCBF29CE484222325u; /* FNV-1a, then mixed since the low bits choose the slot */
    for (; *key; key++) h = (h ^ (unsigned char)*key) * 0x100000001B3u;
    return (size_t)(h ^ h >> 29);
}

/* The key's slot: its own or an empty one. */
static const char **slot_of(const Keys *keys, const char *key)
{
    size_t i = hash(key) & (keys->capacity - 1);
    while (keys->slots[i] && strcmp(keys->slots[i], key) != 0) i = (i + 1) & (keys->capacity - 1);
    return &keys->slots[i];
}

static bool grow_keys(Keys *keys)
{
    Keys grown = {.capacity = keys->capacity * 2, .count = keys->count};
    grown.slots = calloc(grown.capacity, sizeof *grown.slots);
    if (!grown.slots) return false;
    for (size_t i = 0; i < keys->capacity; i++)
        if (keys->slots[i]) *slot_of(&grown, keys->slots[i]) = keys->slots[i];
    free(keys->slots);
    *keys = grown;
    return true;
}

/* Notes the item's key (the item is not linked yet); *again when the object has it already. */
static bool note_key(Keys *keys, const cJSON *object, const cJSON *item, bool *again)
{
    *again = false;
    if (++keys->count <= FEW_KEYS) {
        for (const cJSON *c = object->child; c && !*again; c = c->next) *again = strcmp(c->string, item->string) == 0;
        return true;
    }
    if (!keys->slots) {
        keys->capacity = 64;
        keys->slots = calloc(keys->capacity, sizeof *keys->slots);
        if (!keys->slots) return false;
        for (const cJSON *c = object->child; c; c = c->next) *slot_of(keys, c->string) = c->string;
    }
    if (keys->count * 2 > keys->capacity && !grow_keys(keys)) return false;
    const char **slot = slot_of(keys, item->string);
    *again = *slot != NULL;
    *slot = item->string;
    return true;
}

static Status read_array(Reader *r, cJSON *array)
{
    skip_space(r);
    if (take(r, ']')) return OK;
    for (;;) {
        cJSON *item = NULL;
        Status st = read_value(r, &item);
        if (item) append(array, item); /* even on failure: the tree is deleted as one */
        if (st != OK) return st;
        skip_space(r);
        if (take(r, ']')) return OK;
        if (!take(r, ',')) return fail_at(r, r->at, "`,` or `]` was expected");
    }
}

static Status read_object(Reader *r, cJSON *object)
{
    Status st = OK;
    Keys keys = {0};
    skip_space(r);
    if (take(r, '}')) return OK;
    for (;;) {
        char *key = NULL;
        cJSON *item = NULL;
        bool again;
        skip_space(r);
        size_t start = r->at;
        if (!take(r, '"')) TRY(fail_at(r, r->at, "a key in quotes was expected"));
        TRY(read_string(r, &key));
        skip_space(r);
        st = take(r, ':') ? read_value(r, &item) : fail_at(r, r->at, "`:` was expected");
        if (!item) {
            cJSON_free(key);
            goto done;
        }
        item->string = key;
        bool noted = note_key(&keys, object, item, &again);
        append(object, item);
        if (st != OK) goto done;
        if (!noted) TRY(no_memory(r));
        if (again) {
            char what[200];
            snprintf(what, sizeof what, "the key \"%.150s\" is given twice", key);
            TRY(fail_at(r, start, what));
        }
        skip_space(r);
        if (take(r, '}')) goto done;
        if (!take(r, ',')) TRY(fail_at(r, r->at, "`,` or `}` was expected"));
    }
done:
    free(keys.slots);
    return st;
}

/* *out may be set on failure too: the caller owns it either way. */
static Status read_value(Reader *r, cJSON **out)
{
    Status st;
    skip_space(r);
    char c = r->at < r->size ? r->text[r->at] : '\0';
    if (c == '{' || c == '[') {
        *out = c == '{' ? cJSON_CreateObject() : cJSON_CreateArray();
        if (!*out) return no_memory(r);
        if (++r->depth > MAX_DEPTH) return fail_at(r, r->at, "nested more than 512 deep");
        r->at++;
        st = c == '{' ? read_object(r, *out) : read_array(r, *out);
        r->depth--;
        return st;
    }
    if (c == '"') {
        char *text;
        r->at++;
        if ((st = read_string(r, &text)) != OK) return st;
        if (!(*out = cJSON_CreateNull())) {
            cJSON_free(text);
            return no_memory(r);
        }
        (*out)->type = cJSON_String;
        (*out)->valuestring = text;
        return OK;
    }
    if (take_word(r, "true")) *out = cJSON_CreateTrue();
    else if (take_word(r, "false")) *out = cJSON_CreateFalse();
    else if (take_word(r, "null")) *out = cJSON_CreateNull();
    else if (take_word(r, "NaN")) *out = cJSON_CreateNumber(NAN);
    else if (take_word(r, "Infinity")) *out = cJSON_CreateNumber(INFINITY);
    else return read_number(r, out);
    return *out ? OK : no_memory(r);
}

/* What is there instead of JSON, where it is known; NULL: not known. */
static const char *foreign_start(const char *text, size_t size)
{
    if (!size) return "there is nothing";
    if (size >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) return "a byte order mark; save it as UTF-8 without one";
    if (size >= 2 && (memcmp(text, "\xff\xfe", 2) == 0 || memcmp(text, "\xfe\xff", 2) == 0))
        return "this is UTF-16; convert it (iconv -t UTF-8)";
    return NULL;
}

Status json_parse(const char *text, size_t size, const char *name, cJSON **out)
{
    Reader r = {.text = text, .size = size, .name = name};
    cJSON *root = NULL;
    const char *foreign = foreign_start(text, size);
    Status st = foreign ? fail_at(&r, 0, foreign) : read_value(&r, &root);
    skip_space(&r);
    if (st == OK && r.at != size) st = fail_at(&r, r.at, "text after the end of the value");
    if (st != OK) {
        cJSON_Delete(root);
        root = NULL;
    }
    *out = root;
    return st;
}

Status json_read_file(const char *path, cJSON **out)
{
    Status st = OK;
    Arena *arena = NULL;
    char *text;
    size_t size;
    *out = NULL;
    TRY(arena_new(&arena));
    TRY(file_read_all(path, arena, MAX_FILE, &text, &size));
    TRY(json_parse(text, size, path, out));
done:
    arena_free(arena);
    return st;
}
