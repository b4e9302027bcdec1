/* Metaspace: spaces become a visible character (U+2581), one is put before a text that has none, and the text is split
 * before each; and back. Old files say add_prefix_space instead of prepend_scheme. */
#include <string.h>

#include "trainer/tokenizer/internal.h"
#include "trainer/tokenizer/pre_tokenizer_split.h"

typedef enum PrependScheme { PREPEND_ALWAYS, PREPEND_FIRST, PREPEND_NEVER } PrependScheme;

typedef struct Metaspace {
    Pattern replacement; /* one character */
    PrependScheme scheme;
    bool split;
} Metaspace;

static Status load_scheme(const cJSON *json, const char *where, PrependScheme *out)
{
    static const char *const names[] = {"always", "first", "never"};
    Status st = OK;
    const char *name;
    bool adds;
    TRY(json_string_or(json, where, "prepend_scheme", "always", &name));
    TRY(json_bool_or(json, where, "add_prefix_space", true, &adds));
    int scheme = 0;
    while (scheme < 3 && strcmp(names[scheme], name)) scheme++;
    if (scheme == 3) RAISE(FORMAT, "%s: prepend_scheme \"%.40s\" should be always, first or never", where, name);
    *out = (PrependScheme)scheme;
    if (!adds && cJSON_GetObjectItemCaseSensitive(json, "prepend_scheme") && *out != PREPEND_NEVER)
        RAISE(FORMAT, "%s: add_prefix_space is false, prepend_scheme is \"%s\": which is it?", where, name);
    if (!adds) *out = PREPEND_NEVER;
done:
    return st;
}

static Status load(const cJSON *json, const char *where, Arena *arena, void **data)
{
    Status st = OK;
    Metaspace *m;
    const char *text;
    TRY_NEW(arena, m, 1);
    TRY(json_string(json, where, "replacement", &text));
    m->replacement.size = strlen(text);
    if (!m->replacement.size || utf8_length((unsigned char)*text) != m->replacement.size)
        RAISE(FORMAT, "%s: replacement \"%.40s\" should be one character", where, text);
    m->replacement.text = arena_strdup(arena, text);
    TRY_MEMORY(m->replacement.text);
    TRY(load_scheme(json, where, &m->scheme));
    TRY(json_bool_or(json, where, "split", true, &m->split));
    *data = m;
done:
    return st;
}

bool metaspace_asks_origin(const void *data) { return ((const Metaspace *)data)->scheme == PREPEND_FIRST; }

static bool prepends(const Metaspace *m, const Work *w, const Piece *p)
{
    const Pattern *r = &m->replacement;
    if (m->scheme == PREPEND_NEVER || w->text[p->start] == ' ') return false;
    if (p->end - p->start >= r->size && !memcmp(w->text + p->start, r->text, r->size)) return false;
    return m->scheme == PREPEND_ALWAYS || work_origin(w, p->start).start == 0;
}

static Status replace_spaces(const Metaspace *m, Work *w, const Piece *p)
{
    Status st = OK;
    size_t at = p->start;
    if (prepends(m, w, p)) TRY(work_write(w, m->replacement.text, m->replacement.size, at));
    while (at < p->end) {
        const char *space = memchr(w->text + at, ' ', p->end - at);
        size_t end = space ? (size_t)(space - w->text) : p->end;
        if (end > at) TRY(work_copy(w, at, end));
        if (space) TRY(work_write(w, m->replacement.text, m->replacement.size, end));
        at = end + (space != NULL);
    }
done:
    return st;
}

static Status run(const void *data, Work *w)
{
    Status st = OK;
    const Metaspace *m = data;
    TRY(work_spell_bytes(w));
    TRY(work_rewrite_begin(w, w->size + w->size / 2));
    for (size_t i = 0; i < w->piece_count; i++) {
        Piece p = w->pieces[i];
        TRY(p.id >= 0 ? work_copy(w, p.start, p.end) : replace_spaces(m, w, &p));
        TRY(work_piece_done(w, &p));
    }
    work_rewrite_end(w);
    if (m->split) TRY(work_split(w, split_match, &m->replacement, SPLIT_MERGED_WITH_NEXT, false));
done:
    return st;
}

/* The first token's are left out, all of them, unless nothing was put there. */
static Status decode(const void *data, DecodeWork *w)
{
    Status st = OK;
    const Metaspace *m = data;
    DecodeWork next = {0};
    for (size_t i = 0, start = 0; i < w->count; i++) {
        size_t size;
        const char *at = decode_token(w, i, &start, &size), *end = at + size;
        while (at < end) {
            const char *found = memmem(at, (size_t)(end - at), m->replacement.text, m->replacement.size);
            decode_text(&next, at, (size_t)((found ? found : end) - at));
            if (found && (i || m->scheme == PREPEND_NEVER)) decode_text(&next, " ", 1);
            at = found ? found + m->replacement.size : end;
        }
        TRY(decode_token_end(&next));
    }
    decode_replace(w, &next);
done:
    decode_work_free(&next);
    return st;
}

const PreTokenizerType pre_tokenizer_metaspace = {.head = {"Metaspace", load, NULL}, .run = run};
const DecoderType decoder_metaspace = {.head = {"Metaspace", load, NULL}, .run = decode};
