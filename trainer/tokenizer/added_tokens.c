/* Added tokens: reading them, and cutting texts at them. The rules are those of the tokenizers library's
 * AddedVocabulary, odd cases included: a match that single_word rejects still hides what overlaps it, and white space
 * that rstrip swallowed may be swallowed once more by a following match. */
#include "trainer/tokenizer/added_tokens.h"

#include "trainer/base/log.h"

static Status read_token(const cJSON *json, const char *where, Arena *arena, AddedToken *t, int64_t *id)
{
    Status st = OK;
    const char *content;
    if (!cJSON_IsObject(json)) RAISE(FORMAT, "%s: should be an object", where);
    TRY(json_string(json, where, "content", &content));
    TRY(json_int(json, where, "id", id));
    TRY(json_bool_or(json, where, "single_word", false, &t->single_word));
    TRY(json_bool_or(json, where, "lstrip", false, &t->lstrip));
    TRY(json_bool_or(json, where, "rstrip", false, &t->rstrip));
    TRY(json_bool_or(json, where, "special", false, &t->special));
    TRY(json_bool_or(json, where, "normalized", !t->special, &t->normalized));
    if (*id < 0 || *id > INT32_MAX) RAISE(FORMAT, "%s: id %lld is out of range", where, (long long)*id);
    t->pattern = t->content = arena_strdup(arena, content);
    TRY_MEMORY(t->content);
    t->pattern_size = t->content_size = strlen(content);
done:
    return st;
}

static Status normalize_pattern(AddedToken *t, Arena *arena, const ComponentList *normalizers)
{
    Status st = OK;
    Work *w = NULL;
    if (!t->normalized || !normalizers->count) return OK;
    TRY(work_new(&w));
    TRY(work_begin(w, t->content, t->content_size, false, false));
    for (size_t i = 0; i < normalizers->count; i++)
        TRY(((const NormalizerType *)normalizers->items[i].type)->run(normalizers->items[i].data, w));
    t->pattern_size = w->piece_count ? w->pieces[0].end - w->pieces[0].start : 0;
    t->pattern = arena_strndup(arena, w->piece_count ? w->text + w->pieces[0].start : "", t->pattern_size);
    TRY_MEMORY(t->pattern);
done:
    work_free(w);
    return st;
}

static Status trie_add(Trie *trie, const AddedToken *t, int32_t token, const char *file)
{
    int32_t *link = &trie->first[(unsigned char)t->pattern[0]];
    if (!t->pattern_size) /* the library then splits between any two characters */
        return status_raise(STATUS_FORMAT, "%s: added token \"%.60s\" normalizes to nothing", file, t->content);
    for (size_t i = 0; i < t->pattern_size; i++) {
        unsigned char byte = (unsigned char)t->pattern[i];
        while (i && *link >= 0 && trie->nodes[*link].byte != byte) link = &trie->nodes[*link].sibling;
        if (*link < 0) {
            *link = (int32_t)trie->count;
            trie->nodes[trie->count++] = (TrieNode){-1, -1, -1, byte};
        }
        if (i + 1 < t->pattern_size) {
            link = &trie->nodes[*link].child;
        } else if (trie->nodes[*link].token >= 0) {
            return status_raise(STATUS_FORMAT, "%s: two added tokens look for \"%.60s\"", file, t->pattern);
        } else {
            trie->nodes[*link].token = token;
        }
    }
    return OK;
}

static Status build_tries(AddedTokens *a, Arena *arena, const char *file)
{
    Status st = OK;
    size_t bytes[2] = {0, 0};
    for (size_t i = 0; i < a->count; i++) bytes[a->tokens[i].normalized] += a->tokens[i].pattern_size;
    for (int k = 0; k < 2; k++) {
        Trie *trie = k ? &a->normalized : &a->raw;
        for (int b = 0; b < 256; b++) trie->first[b] = -1;
        TRY_NEW(arena, trie->nodes, bytes[k] + 1);
        for (size_t i = 0; i < a->count; i++)
            if (a->tokens[i].normalized == k) TRY(trie_add(trie, &a->tokens[i], (int32_t)i, file));
    }
done:
    return st;
}

static Status index_ids(AddedTokens *a, Arena *arena, int32_t model_limit, const char *file)
{
    Status st = OK;
    a->id_limit = model_limit;
    for (size_t i = 0; i < a->count; i++)
        if (a->tokens[i].id >= a->id_limit) a->id_limit = a->tokens[i].id + 1;
    TRY_NEW(arena, a->of_id, a->id_limit + 1);
    for (int32_t id = 0; id < a->id_limit; id++) a->of_id[id] = -1;
    for (size_t i = 0; i < a->count; i++) {
        int32_t *of = &a->of_id[a->tokens[i].id];
        if (*of >= 0)
            RAISE(FORMAT, "%s: added tokens \"%.60s\" and \"%.60s\" would both have id %d", file,
                  a->tokens[*of].content, a->tokens[i].content, a->tokens[i].id);
        *of = (int32_t)i;
    }
done:
    return st;
}

Status added_tokens_load(const cJSON *root, const char *file, Arena *arena, const ComponentList *normalizers,
                         const ModelType *model, const void *model_data, AddedTokens *out)
{
    Status st = OK;
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(root, "added_tokens"), *item;
    int32_t next_id = model->count(model_data);
    size_t most = 0, place = 0;
    if (list && !cJSON_IsNull(list) && !cJSON_IsArray(list)) RAISE(FORMAT, "%s: added_tokens should be a list", file);
    if (list) most = (size_t)cJSON_GetArraySize(list);
    TRY_NEW(arena, out->tokens, most + 1);
    TRY(string_map_new(arena, most, &out->by_content));
    TRY(string_map_new(arena, most, &out->specials));
    cJSON_ArrayForEach (item, list) {
        AddedToken t = {0};
        int64_t id;
        bool is_new;
        char where[4200];
        snprintf(where, sizeof where, "%.4000s: added_tokens[%zu]", file, place++);
        TRY(read_token(item, where, arena, &t, &id));
        if (!t.content_size) continue;
        int32_t *index = string_map_put(&out->by_content, t.content, t.content_size, (int32_t)out->count, &is_new);
        t.id = is_new ? model->find(model_data, t.content, t.content_size) : out->tokens[*index].id;
        if (t.id < 0) t.id = next_id++;
        if (t.id != id)
            log_warning("%s: \"%s\" has id %lld in the file, but its place makes it %d (as in the tokenizers library)",
                        where, t.content, (long long)id, t.id);
        TRY(normalize_pattern(&t, arena, normalizers));
        if (t.special) string_map_put(&out->specials, t.content, t.content_size, 1, &is_new);
        if (*index == (int32_t)out->count) out->count++;
        out->tokens[*index] = t;
    }
    TRY(index_ids(out, arena, model->id_limit(model_data), file));
    TRY(build_tries(out, arena, file));
done:
    return st;
}

const AddedToken *added_tokens_find(const AddedTokens *a, int32_t id)
{
    return id >= 0 && id < a->id_limit && a->of_id[id] >= 0 ? &a->tokens[a->of_id[id]] : NULL;
}

/* The longest pattern that begins at text: its token, -1. */
static int32_t longest_at(const Trie *trie, const char *text, size_t size)
{
    int32_t found = -1, node = trie->first[(unsigned char)text[0]];
    for (size_t i = 0;;) {
        if (node < 0) return found;
        if (trie->nodes[node].token >= 0) found = trie->nodes[node].token;
        if (++i == size) return found;
        node = trie->nodes[node].child;
        while (node >= 0 && trie->nodes[node].byte != (unsigned char)text[i]) node = trie->nodes[node].sibling;
    }
}

static bool has_flag(const char *at, unsigned flag)
{
    unsigned length;
    return unicode_find(utf8_decode(at, &length))->flags & flag;
}

typedef struct Cutter {
    const AddedTokens *added;
    Work *w;
    const char *text; /* of the piece */
    size_t size, base;
    size_t done;      /* cut up to here */
    size_t space_end; /* [what was asked, space_end) is known to be white space */
    size_t space_start;
} Cutter;

/* The end of the white space that begins at `at`. */
static size_t skip_space(Cutter *c, size_t at)
{
    if (at >= c->space_start && at < c->space_end) return c->space_end; /* so that a token of spaces is not quadratic */
    size_t end = at;
    while (end < c->size && has_flag(c->text + end, UNICODE_RUST_SPACE))
        end += utf8_length((unsigned char)c->text[end]);
    c->space_start = at;
    c->space_end = end;
    return end;
}

static Status cut_token(Cutter *c, size_t at, const AddedToken *t)
{
    Status st = OK;
    size_t start = at, stop = at + t->pattern_size;
    if (t->single_word && ((start > 0 && has_flag(utf8_previous(c->text + start), UNICODE_RUST_WORD)) ||
                           (stop < c->size && has_flag(c->text + stop, UNICODE_RUST_WORD))))
        return OK;
    if (t->lstrip) {
        while (start > c->done && has_flag(utf8_previous(c->text + start), UNICODE_RUST_SPACE))
            start = (size_t)(utf8_previous(c->text + start) - c->text);
        if (start < c->done) start = c->done;
    }
    if (t->rstrip) stop = skip_space(c, stop);
    TRY(work_cut(c->w, c->base + c->done, c->base + start, -1));
    TRY(work_cut(c->w, c->base + start, c->base + stop, t->id));
    c->done = stop;
done:
    return st;
}

static Status cut_piece(const AddedTokens *a, const Trie *trie, Work *w, Piece p)
{
    Status st = OK;
    Cutter c = {.added = a, .w = w, .text = w->text + p.start, .size = p.end - p.start, .base = p.start};
    for (size_t at = 0; at < c.size;) {
        int32_t token = -1;
        if (trie->first[(unsigned char)c.text[at]] >= 0) token = longest_at(trie, c.text + at, c.size - at);
        if (token < 0) {
            at++;
            continue;
        }
        TRY(cut_token(&c, at, &a->tokens[token]));
        at += a->tokens[token].pattern_size;
    }
    TRY(work_cut(w, c.base + c.done, c.base + c.size, -1));
done:
    return st;
}

Status added_tokens_split(const AddedTokens *a, bool normalized, Work *w)
{
    Status st = OK;
    const Trie *trie = normalized ? &a->normalized : &a->raw;
    if (!trie->count) return OK;
    work_split_begin(w);
    for (size_t i = 0; i < w->piece_count; i++) {
        Piece p = w->pieces[i];
        if (p.id >= 0)
            TRY(work_cut(w, p.start, p.end, p.id));
        else
            TRY(cut_piece(a, trie, w, p));
    }
    work_split_end(w);
done:
    return st;
}
