/* tokenizer.json from a GGUF file's keys: byte-level BPE, split as the model's name for it says, and BPE made by
 * SentencePiece, whose bytes stand in for what has no token. */
#include <inttypes.h>
#include <string.h>

#include "trainer/base/file.h"
#include "trainer/base/log.h"
#include "trainer/gguf/tokenizer.h"
#include "trainer/gguf/tokenizer_files.h"
#include "trainer/tokenizer/string_map.h"
#include "trainer/tokenizer/unicode.h"

#define SPACE "\xe2\x96\x81" /* U+2581, a space */

/* Where tokens go: into the model's vocabulary, among the added tokens, or both. */
typedef struct Vocabulary {
    GgufString *texts; /* data NULL: unused, and left out */
    unsigned char *types;
    bool *apart; /* an added token only */
    size_t count;
    StringMap ids;
} Vocabulary;

static Status take_texts(const Gguf *g, Arena *arena, bool spaces_apart, Vocabulary *v)
{
    Status st = OK;
    const GgufString *texts;
    const GgufValue *types;
    bool is_new;
    TRY(gguf_texts(g, "tokenizer.ggml.tokens", &texts, &v->count));
    TRY(gguf_int_array(g, "tokenizer.ggml.token_type", &types));
    if (!v->count || v->count > INT32_MAX - 1) RAISE(FORMAT, "%s: tokenizer.ggml.tokens is missing", gguf_path(g));
    if (types && types->count != v->count)
        RAISE(FORMAT, "%s: %zu tokens and %" PRIu64 " token types", gguf_path(g), v->count, types->count);
    TRY_NEW(arena, v->texts, v->count);
    TRY_NEW(arena, v->types, v->count);
    TRY_NEW(arena, v->apart, v->count);
    TRY(string_map_new(arena, v->count, &v->ids));
    for (size_t i = 0; i < v->count; i++) {
        GgufString t = texts[i];
        int64_t type = types ? gguf_int_item(types, i) : GGUF_NORMAL;
        v->types[i] = type >= GGUF_NORMAL && type <= GGUF_BYTE ? (unsigned char)type : GGUF_NORMAL;
        if (v->types[i] == GGUF_UNUSED) continue;
        if (memchr(t.data, 0, t.size) || utf8_valid_bytes(t.data, t.size) != t.size)
            RAISE(FORMAT, "%s: token %zu is no UTF-8 text", gguf_path(g), i);
        if (spaces_apart && t.size > 1 && strspn(t.data, " ") == t.size) { /* several spaces are spelled as such */
            char *spelled = arena_alloc(arena, 3 * t.size + 1);
            TRY_MEMORY(spelled);
            for (size_t k = 0; k < t.size; k++) memcpy(spelled + 3 * k, SPACE, 3);
            t = (GgufString){spelled, 3 * t.size};
        }
        v->texts[i] = t;
        string_map_put(&v->ids, t.data, t.size, (int32_t)i, &is_new);
        if (!is_new) RAISE(FORMAT, "%s: token %zu, `%.60s`, is there twice", gguf_path(g), i, t.data);
    }
done:
    return st;
}

/* Added tokens behind all others are in no vocabulary of a tokenizer.json; the library numbers them by counting, so
 * only while nothing is left out. */
static void set_apart(Vocabulary *v)
{
    size_t tail = v->count, gap = 0;
    while (tail && v->types[tail - 1] != GGUF_NORMAL && v->types[tail - 1] != GGUF_BYTE) tail--;
    while (gap < v->count && v->texts[gap].data) gap++;
    for (size_t i = tail; i < gap; i++) v->apart[i] = i > 0;
}

static bool is_added(const Vocabulary *v, size_t i, bool sentencepiece)
{
    return v->texts[i].data && (v->types[i] == GGUF_CONTROL || v->types[i] == GGUF_USER_DEFINED || v->apart[i] ||
                                (sentencepiece && v->types[i] == GGUF_UNKNOWN));
}

static void add_tokens(Text *t, const Vocabulary *v, bool sentencepiece)
{
    const char *comma = "";
    text_printf(t, "\"added_tokens\": [");
    for (size_t i = 0; i < v->count; i++) {
        if (!is_added(v, i, sentencepiece)) continue;
        text_printf(t, "%s\n    {\"id\": %zu, \"content\": ", comma, i);
        json_add_string(t, v->texts[i].data, v->texts[i].size);
        text_printf(t, ", \"single_word\": false, \"lstrip\": false, \"rstrip\": false, \"normalized\": false, "
                       "\"special\": %s}", v->types[i] == GGUF_USER_DEFINED ? "false" : "true");
        comma = ",";
    }
    text_printf(t, "%s],\n", *comma ? "\n  " : "");
}

static void add_vocabulary(Text *t, const Vocabulary *v)
{
    const char *comma = "";
    text_printf(t, "    \"vocab\": {");
    for (size_t i = 0; i < v->count; i++) {
        if (!v->texts[i].data || v->apart[i]) continue;
        text_printf(t, "%s\n      ", comma);
        json_add_string(t, v->texts[i].data, v->texts[i].size);
        text_printf(t, ": %zu", i);
        comma = ",";
    }
    text_printf(t, "\n    },\n    \"merges\": [");
}

static void add_merge(Text *t, size_t i, const char *left, size_t left_size, const char *right, size_t right_size)
{
    text_printf(t, "%s\n      [", i ? "," : "");
    json_add_string(t, left, left_size);
    text_printf(t, ", ");
    json_add_string(t, right, right_size);
    text_printf(t, "]");
}

static bool in_vocabulary(const Vocabulary *v, const char *text, size_t size)
{
    int32_t id = string_map_find(&v->ids, text, size);
    return id >= 0 && !v->apart[id];
}

/* The file's merges: "left right". */
static Status add_merges(const Gguf *g, Text *t, const Vocabulary *v, const GgufString *merges, size_t count)
{
    Status st = OK;
    char joined[1024];
    for (size_t i = 0; i < count; i++) {
        GgufString m = merges[i];
        const char *space = m.size > 2 ? memchr(m.data + 1, ' ', m.size - 2) : NULL;
        size_t left = space ? (size_t)(space - m.data) : 0, right = space ? m.size - left - 1 : 0;
        if (!space || memchr(m.data, 0, m.size) || m.size > sizeof joined)
            RAISE(FORMAT, "%s: merge %zu is not two parts with a space between them", gguf_path(g), i);
        memcpy(joined, m.data, left);
        memcpy(joined + left, space + 1, right);
        if (!in_vocabulary(v, m.data, left) || !in_vocabulary(v, space + 1, right) ||
            !in_vocabulary(v, joined, left + right))
            RAISE(FORMAT, "%s: merge %zu, `%.60s`, is of tokens that are not there", gguf_path(g), i, m.data);
        add_merge(t, i, m.data, left, space + 1, right);
    }
done:
    return st;
}

/* Merges that the tokens' scores imply. */
static Status derive_merges(const Gguf *g, const ModelGguf *names, Arena *arena, Text *t, const Vocabulary *v)
{
    Status st = OK;
    const GgufValue *scores;
    float *by;
    unsigned char *types;
    GgufMerge *merges;
    size_t count;
    TRY(gguf_real_array(g, "tokenizer.ggml.scores", &scores));
    if (!names->spaces_apart && (!scores || scores->count != v->count))
        RAISE(FORMAT, "%s: a tokenizer of SentencePiece's needs a score for each token", gguf_path(g));
    TRY_NEW(arena, by, v->count);
    TRY_NEW(arena, types, v->count);
    for (size_t i = 0; i < v->count; i++) types[i] = v->apart[i] ? GGUF_CONTROL : v->types[i];
    for (size_t i = 0; i < v->count; i++) by[i] = names->spaces_apart ? -(float)i : gguf_real_item(scores, i);
    TRY(gguf_merges_of(arena, gguf_path(g), v->texts, types, by, v->count, &merges, &count));
    for (size_t i = 0; i < count; i++) {
        GgufString left = v->texts[merges[i].left], right = v->texts[merges[i].right];
        add_merge(t, i, left.data, left.size, right.data, right.size);
    }
done:
    return st;
}

static void add_special(Text *t, GgufString token, int part)
{
    text_printf(t, "{\"SpecialToken\": {\"id\": ");
    json_add_string(t, token.data, token.size);
    text_printf(t, ", \"type_id\": %d}}", part);
}

static void add_sequence(Text *t, const TokenizerIds *ids, const Vocabulary *v, int part)
{
    if (ids->adds_bos) add_special(t, v->texts[ids->bos], part), text_printf(t, ", ");
    text_printf(t, "{\"Sequence\": {\"id\": \"%c\", \"type_id\": %d}}", 'A' + part, part);
    if (ids->adds_eos) text_printf(t, ", "), add_special(t, v->texts[ids->eos], part);
}

static void add_special_entry(Text *t, const Vocabulary *v, int64_t id)
{
    json_add_string(t, v->texts[id].data, v->texts[id].size);
    text_printf(t, ": {\"id\": ");
    json_add_string(t, v->texts[id].data, v->texts[id].size);
    text_printf(t, ", \"ids\": [%" PRId64 "], \"tokens\": [", id);
    json_add_string(t, v->texts[id].data, v->texts[id].size);
    text_printf(t, "]}");
}

/* What is put around a text; plain: what the model's own has beside that. */
static void add_post_processor(Text *t, const TokenizerIds *ids, const Vocabulary *v, const char *plain)
{
    bool template = ids->adds_bos || ids->adds_eos, both = template && strcmp(plain, "null") != 0;
    text_printf(t, "  \"post_processor\": ");
    if (both) text_printf(t, "{\"type\": \"Sequence\", \"processors\": [%s, ", plain);
    if (!template) {
        text_printf(t, "%s,\n", plain);
        return;
    }
    text_printf(t, "{\"type\": \"TemplateProcessing\", \"single\": [");
    add_sequence(t, ids, v, 0);
    text_printf(t, "], \"pair\": [");
    add_sequence(t, ids, v, 0);
    text_printf(t, ", ");
    add_sequence(t, ids, v, 1);
    text_printf(t, "], \"special_tokens\": {");
    if (ids->adds_bos) add_special_entry(t, v, ids->bos);
    if (ids->adds_eos && !(ids->adds_bos && ids->eos == ids->bos)) {
        if (ids->adds_bos) text_printf(t, ", ");
        add_special_entry(t, v, ids->eos);
    }
    text_printf(t, "}}%s,\n", both ? "]}" : "");
}

/* Up to the vocabulary. */
static void add_model(Text *t, const char *unknown, size_t unknown_size, bool bytes, bool ignore_merges)
{
    text_printf(t, "  \"model\": {\n    \"type\": \"BPE\",\n    \"dropout\": null,\n    \"unk_token\": ");
    if (unknown) json_add_string(t, unknown, unknown_size);
    else text_printf(t, "null");
    text_printf(t, ",\n    \"continuing_subword_prefix\": null,\n    \"end_of_word_suffix\": null,\n"
                   "    \"fuse_unk\": %s,\n    \"byte_fallback\": %s,\n    \"ignore_merges\": %s,\n",
                bytes ? "true" : "false", bytes ? "true" : "false", ignore_merges ? "true" : "false");
}

static void add_head(Text *t, const Vocabulary *v, bool sentencepiece)
{
    text_printf(t, "{\n  \"version\": \"1.0\",\n  \"truncation\": null,\n  \"padding\": null,\n  ");
    add_tokens(t, v, sentencepiece);
}

static Status byte_level(const Gguf *g, const GgufPre *pre, const TokenizerIds *ids, const Vocabulary *v, Text *t)
{
    Status st = OK;
    const GgufString *merges;
    size_t count;
    TRY(gguf_texts(g, "tokenizer.ggml.merges", &merges, &count));
    if (!merges) RAISE(FORMAT, "%s: tokenizer.ggml.merges is missing", gguf_path(g));
    add_head(t, v, false);
    text_printf(t, "  \"normalizer\": %s,\n  \"pre_tokenizer\": %s,\n", pre->normalizer, pre->pre_tokenizer);
    add_post_processor(t, ids, v, pre->post_processor);
    text_printf(t, "  \"decoder\": %s,\n", pre->decoder);
    add_model(t, NULL, 0, false, pre->ignore_merges);
    add_vocabulary(t, v);
    TRY(add_merges(g, t, v, merges, count));
done:
    return st;
}

/* As Llama's and Gemma's tokenizer.json have it: with a space before every text, or with none that was not there. */
static Status sentencepiece(const Gguf *g, const ModelGguf *names, const TokenizerIds *ids, const Vocabulary *v,
                            Arena *arena, Text *t)
{
    Status st = OK;
    const GgufString *merges;
    size_t count;
    bool prefix;
    int64_t unknown = ids->unknown;
    TRY(gguf_bool_or(g, "tokenizer.ggml.add_space_prefix", !names->spaces_apart, &prefix));
    TRY(gguf_texts(g, "tokenizer.ggml.merges", &merges, &count));
    add_head(t, v, true);
    if (prefix)
        text_printf(t, "  \"normalizer\": {\"type\": \"Sequence\", \"normalizers\": [{\"type\": \"Prepend\", "
                       "\"prepend\": \"" SPACE "\"}, {\"type\": \"Replace\", \"pattern\": {\"String\": \" \"}, "
                       "\"content\": \"" SPACE "\"}]},\n  \"pre_tokenizer\": null,\n");
    else
        text_printf(t, "  \"normalizer\": {\"type\": \"Replace\", \"pattern\": {\"String\": \" \"}, \"content\": \""
                       SPACE "\"},\n  \"pre_tokenizer\": {\"type\": \"Split\", \"pattern\": {\"String\": \" \"}, "
                       "\"behavior\": \"MergedWithPrevious\", \"invert\": false},\n");
    add_post_processor(t, ids, v, "null");
    text_printf(t, "  \"decoder\": {\"type\": \"Sequence\", \"decoders\": [{\"type\": \"Replace\", \"pattern\": "
                   "{\"String\": \"" SPACE "\"}, \"content\": \" \"}, {\"type\": \"ByteFallback\"}, {\"type\": "
                   "\"Fuse\"}%s]},\n",
                prefix ? ", {\"type\": \"Strip\", \"content\": \" \", \"start\": 1, \"stop\": 0}" : "");
    bool known = unknown >= 0 && !v->apart[unknown];
    add_model(t, known ? v->texts[unknown].data : NULL, known ? v->texts[unknown].size : 0, true, false);
    add_vocabulary(t, v);
    TRY(merges ? add_merges(g, t, v, merges, count) : derive_merges(g, names, arena, t, v));
done:
    return st;
}

static Status find_pre(const Gguf *g, const ModelGguf *names, const char *given, const GgufPre **out)
{
    Status st = OK;
    const char *name;
    TRY(gguf_text_or(g, "tokenizer.ggml.pre", names->default_pre, &name));
    if (given) name = given;
    if (!name)
        RAISE(UNSUPPORTED, "%s: an old file that does not say how text is split (tokenizer.ggml.pre); say it with "
              "--pre, which has " GGUF_PRES, gguf_path(g));
    *out = gguf_pre_find(name);
    if (!*out)
        RAISE(UNSUPPORTED, "%s: tokenizer.ggml.pre is %.60s, which hone does not have; it has " GGUF_PRES
              " (--pre NAME takes another of them)", gguf_path(g), name);
done:
    return st;
}

/* The texts of the tokens that the configs name. */
static Status name_ids(const Gguf *g, Arena *arena, const Vocabulary *v, TokenizerIds *ids)
{
    Status st = OK;
    ids->count = v->count;
    TRY_NEW(arena, ids->texts, v->count);
    for (size_t i = 0; i < v->count; i++) ids->texts[i] = v->texts[i].data;
    TRY(tokenizer_ids_check(g, ids));
done:
    return st;
}

Status gguf_tokenizer_read(const Gguf *g, const ModelGguf *names, const char *pre_name, int64_t rows, const char *dir)
{
    Status st = OK;
    Arena *arena = NULL;
    Vocabulary v = {0};
    TokenizerIds ids;
    Text t = {0};
    const char *model;
    const GgufPre *pre = NULL;
    TRY(arena_new(&arena));
    TRY(gguf_text_or(g, "tokenizer.ggml.model", "none", &model));
    if (strcmp(model, "none") == 0 || strcmp(model, "no_vocab") == 0) {
        log_warning("%s: holds no tokenizer; put one into %s", gguf_path(g), dir);
        goto done;
    }
    bool is_byte_level = strcmp(model, GGUF_BYTE_LEVEL) == 0;
    if (!is_byte_level && strcmp(model, GGUF_SENTENCEPIECE))
        RAISE(UNSUPPORTED, "%s: a tokenizer of the kind %.60s; hone converts " GGUF_BYTE_LEVEL " (byte-level BPE) and "
              GGUF_SENTENCEPIECE " (SentencePiece BPE)", gguf_path(g), model);
    if (is_byte_level) TRY(find_pre(g, names, pre_name, &pre));
    TRY(take_texts(g, arena, names->spaces_apart && !is_byte_level, &v));
    if (v.count > (uint64_t)rows)
        RAISE(FORMAT, "%s: %zu tokens, and an embedding of %lld rows", gguf_path(g), v.count, (long long)rows);
    set_apart(&v);
    TRY(tokenizer_ids_read(g, is_byte_level, pre && pre->adds_bos, &ids));
    TRY(name_ids(g, arena, &v, &ids));
    TRY(is_byte_level ? byte_level(g, pre, &ids, &v, &t) : sentencepiece(g, names, &ids, &v, arena, &t));
    text_printf(&t, "\n    ]\n  }\n}\n");
    if (t.failed) RAISE(MEMORY, "out of memory: tokenizer.json");
    const char *path = path_join(arena, dir, "tokenizer.json");
    TRY_MEMORY(path);
    TRY(file_replace(path, t.data, t.size));
    TRY(tokenizer_configs_write(g, &ids, dir));
done:
    text_free(&t);
    arena_free(arena);
    return st;
}
