/* Compilation (partition of the code points by the pattern's atoms, PCRE2 over the parts) and scanning. See regex.h. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "trainer/tokenizer/regex.h"

#include <pcre2.h>
#include <stdlib.h>
#include <string.h>

#include "trainer/base/json.h"
#include "trainer/tokenizer/regex_parse.h"

enum { PARTS = 256, WORDS = 4, JIT_STACK = 256 << 20 };

struct Regex {
    uint8_t *part_of; /* [UNICODE_END]; part 0 is the widest, so most of its pages are never touched */
    pcre2_code *code;
};

struct RegexScratch {
    pcre2_match_data *match;
    pcre2_match_context *context;
    pcre2_jit_stack *stack;
    uint8_t *parts; /* the text, a byte for each code point */
    size_t capacity;
    const char *text;
    size_t size, count;        /* bytes, code points */
    size_t last_end, at, byte; /* where the next search begins; a code point and its byte, both known */
    bool matched;              /* something ended at last_end */
};

typedef struct Part {
    uint64_t atoms[WORDS]; /* which atoms its code points belong to */
    uint64_t width;
} Part;

typedef struct Partition {
    Part parts[PARTS];
    size_t count;
    uint8_t renamed[PARTS];
} Partition;

static int by_value(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

/* The sorted bounds at which the membership in some atom changes. */
static Status find_bounds(const RegexProgram *program, Arena *arena, uint32_t **out, size_t *count)
{
    Status st = OK;
    size_t n = 2;
    uint32_t *bounds;
    for (size_t i = 0; i < program->atom_count; i++) n += 2 * program->atoms[i].count;
    TRY_NEW(arena, bounds, n);
    n = 0;
    bounds[n++] = 0;
    bounds[n++] = UNICODE_END;
    for (size_t i = 0; i < program->atom_count; i++)
        for (size_t k = 0; k < program->atoms[i].count; k++) {
            bounds[n++] = program->atoms[i].ranges[k][0];
            bounds[n++] = program->atoms[i].ranges[k][1];
        }
    qsort(bounds, n, sizeof *bounds, by_value);
    *count = 0;
    for (size_t i = 0; i < n; i++)
        if (!i || bounds[i] != bounds[*count - 1]) bounds[(*count)++] = bounds[i];
    *out = bounds;
done:
    return st;
}

/* Calls for each stretch of equal membership: finds or makes its part, fills part_of when there is one. */
static Status divide(const RegexProgram *program, Arena *arena, Partition *p, uint8_t *part_of)
{
    Status st = OK;
    uint32_t *bounds;
    size_t count, *cursor;
    TRY(find_bounds(program, arena, &bounds, &count));
    TRY_NEW(arena, cursor, program->atom_count + 1);
    for (size_t b = 0; b + 1 < count; b++) {
        uint64_t atoms[WORDS] = {0};
        for (size_t i = 0; i < program->atom_count; i++) {
            const CodeSet *set = &program->atoms[i];
            while (cursor[i] < set->count && set->ranges[cursor[i]][1] <= bounds[b]) cursor[i]++;
            if (cursor[i] < set->count && set->ranges[cursor[i]][0] <= bounds[b]) atoms[i / 64] |= 1ull << i % 64;
        }
        size_t part = 0;
        while (part < p->count && memcmp(p->parts[part].atoms, atoms, sizeof atoms)) part++;
        if (part == PARTS) RAISE(UNSUPPORTED, "a regular expression with more than %d kinds of characters", PARTS);
        if (part == p->count) memcpy(p->parts[p->count++].atoms, atoms, sizeof atoms);
        p->parts[part].width += bounds[b + 1] - bounds[b];
        if (part_of && p->renamed[part]) memset(part_of + bounds[b], p->renamed[part], bounds[b + 1] - bounds[b]);
    }
done:
    return st;
}

/* The widest part is called 0. */
static void rename_parts(Partition *p)
{
    size_t widest = 0;
    for (size_t i = 0; i < p->count; i++)
        if (p->parts[i].width > p->parts[widest].width) widest = i;
    for (size_t i = 0; i < p->count; i++) p->renamed[i] = (uint8_t)(i == widest ? 0 : i == 0 ? widest : i);
}

/* An atom as a set of bytes: the names of the parts that it covers. */
static void write_atom(Text *t, const Partition *p, size_t atom)
{
    bool in[PARTS + 1] = {false};
    size_t n = 0;
    for (size_t i = 0; i < p->count; i++)
        if (p->parts[i].atoms[atom / 64] >> atom % 64 & 1) in[p->renamed[i]] = true, n++;
    if (!n) {
        text_printf(t, "(?!)");
        return;
    }
    text_add(t, "[", 1);
    for (unsigned first = 0; first < PARTS; first++) {
        if (!in[first]) continue;
        unsigned last = first;
        while (in[last + 1]) last++;
        text_printf(t, first == last ? "\\x%02x" : "\\x%02x-\\x%02x", first, last);
        first = last;
    }
    text_add(t, "]", 1);
}

static Status compile_parts(const RegexProgram *program, const Partition *p, pcre2_code **out)
{
    Status st = OK;
    Text t = {0};
    int code;
    PCRE2_SIZE place;
    for (size_t i = 0; i < program->count; i++) {
        char byte = (char)program->items[i];
        if (program->items[i] < REGEX_ATOM)
            text_add(&t, &byte, 1);
        else
            write_atom(&t, p, (size_t)program->items[i] - REGEX_ATOM);
    }
    if (t.failed) RAISE(MEMORY, "no memory for a regular expression");
    *out = pcre2_compile((PCRE2_SPTR)(t.data ? t.data : ""), t.size, PCRE2_NEVER_UTF | PCRE2_NO_AUTO_CAPTURE, &code,
                         &place, NULL);
    if (!*out) {
        unsigned char message[128] = "";
        pcre2_get_error_message(code, message, sizeof message);
        RAISE(UNSUPPORTED, "regular expression: %s", message);
    }
    pcre2_jit_compile(*out, PCRE2_JIT_COMPLETE); /* where there is no JIT, pcre2_match interprets */
done:
    text_free(&t);
    return st;
}

Status regex_compile(const char *pattern, size_t size, Regex **out)
{
    Status st = OK;
    Arena *arena = NULL;
    Partition *partition;
    RegexProgram program;
    Regex *r = calloc(1, sizeof *r);
    *out = NULL;
    if (!r || !(r->part_of = calloc(UNICODE_END, 1))) RAISE(MEMORY, "no memory for a regular expression");
    TRY(arena_new(&arena));
    TRY_NEW(arena, partition, 1);
    TRY(regex_parse(pattern, size, arena, &program));
    if (program.atom_count > 64 * WORDS)
        RAISE(UNSUPPORTED, "a regular expression with more than %d different characters or classes", 64 * WORDS);
    TRY(divide(&program, arena, partition, NULL));
    rename_parts(partition);
    TRY(divide(&program, arena, partition, r->part_of));
    TRY(compile_parts(&program, partition, &r->code));
    *out = r;
    r = NULL;
done:
    arena_free(arena);
    regex_free(r);
    return st;
}

void regex_free(Regex *regex)
{
    if (!regex) return;
    free(regex->part_of);
    pcre2_code_free(regex->code);
    free(regex);
}

Status regex_scratch_new(RegexScratch **out)
{
    RegexScratch *s = calloc(1, sizeof *s);
    *out = NULL;
    if (s) {
        s->match = pcre2_match_data_create(1, NULL);
        s->context = pcre2_match_context_create(NULL);
        s->stack = pcre2_jit_stack_create(32 << 10, JIT_STACK, NULL); /* grows only when a pattern nests repeats */
    }
    if (!s || !s->match || !s->context || !s->stack) {
        regex_scratch_free(s);
        return status_raise(STATUS_MEMORY, "no memory for a regular expression");
    }
    pcre2_set_match_limit(s->context, UINT32_MAX); /* a line of 10 MB is no reason to give up */
    pcre2_jit_stack_assign(s->context, NULL, s->stack);
    *out = s;
    return OK;
}

void regex_scratch_free(RegexScratch *s)
{
    if (!s) return;
    pcre2_match_data_free(s->match);
    pcre2_match_context_free(s->context);
    pcre2_jit_stack_free(s->stack);
    free(s->parts);
    free(s);
}

Status regex_scan(const Regex *regex, RegexScratch *s, const char *text, size_t size)
{
    if (size > s->capacity) {
        size_t capacity = size + size / 2 + 64;
        uint8_t *parts = realloc(s->parts, capacity);
        if (!parts) return status_raise(STATUS_MEMORY, "no memory for a text of %zu bytes", size);
        s->parts = parts;
        s->capacity = capacity;
    }
    const uint8_t *part_of = regex->part_of;
    uint8_t *out = s->parts;
    for (const char *at = text, *end = text + size; at < end;) {
        unsigned length = 1;
        uint32_t c = (unsigned char)*at;
        if (c >= 0x80) c = utf8_decode(at, &length);
        *out++ = part_of[c];
        at += length;
    }
    s->text = text;
    s->size = size;
    s->count = (size_t)(out - s->parts);
    s->last_end = s->at = s->byte = 0;
    s->matched = false;
    return OK;
}

/* The byte where code point number `at` begins; asked in rising order. */
static size_t byte_of(RegexScratch *s, size_t at)
{
    if (s->count == s->size) return at;
    if (at < s->at) s->at = s->byte = 0; /* a look-behind cannot reach back, so this does not happen twice in a row */
    for (; s->at < at; s->at++) s->byte += utf8_length((unsigned char)s->text[s->byte]);
    return s->byte;
}

static Status search(const Regex *regex, RegexScratch *s, int *found)
{
    int rc = pcre2_match(regex->code, s->parts, s->count, s->last_end, 0, s->match, s->context);
    if (rc < 0 && rc != PCRE2_ERROR_NOMATCH) {
        unsigned char message[128] = "";
        pcre2_get_error_message(rc, message, sizeof message);
        return status_raise(STATUS_UNSUPPORTED, "a regular expression gave up at byte %zu of a text: %s",
                            byte_of(s, s->last_end), message);
    }
    *found = rc >= 0;
    return OK;
}

Status regex_next(const Regex *regex, RegexScratch *s, bool *found, size_t *start, size_t *end)
{
    Status st = OK;
    *found = false;
    while (s->last_end <= s->count) {
        int any = 0;
        TRY(search(regex, s, &any));
        if (!any) break;
        const PCRE2_SIZE *bounds = pcre2_get_ovector_pointer(s->match);
        size_t from = bounds[0], to = bounds[1];
        if (from == to && s->matched && to == s->last_end) { /* empty, right after a match */
            s->last_end++;
            s->matched = false;
            continue;
        }
        s->last_end = to;
        s->matched = true;
        *found = true;
        *start = byte_of(s, from);
        *end = byte_of(s, to);
        break;
    }
done:
    return st;
}
