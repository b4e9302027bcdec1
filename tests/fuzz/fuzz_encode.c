/* links: tokenizer */
/* Any bytes as a text for tokenizers of several kinds: refused exactly when they are no UTF-8; ids and offsets are in
 * range; the cache of words changes nothing; a stream decodes what decoding at once gives; and where a tokenizer keeps
 * every byte, decoding gives the text again. */
#include "tests/fuzz/fuzz.h"
#include "trainer/tokenizer/tokenizer.h"
#include "trainer/tokenizer/unicode.h"

static const struct Kind {
    const char *path;
    bool keeps_bytes; /* byte-level, no normalizer, no added token that takes white space with it */
} kinds[] = {
    {FIXTURES "/models/gpt2_tiny", true},         {FIXTURES "/tokenizer/gpt2_small", true},
    {FIXTURES "/tokenizer/llama3", true},         {FIXTURES "/tokenizer/o200k", true},
    {FIXTURES "/tokenizer/qwen2", false},         {FIXTURES "/tokenizer/characters_bytes", false},
    {FIXTURES "/tokenizer/added_flags", false},
    {FIXTURES "/tokenizer/llama2", false},        {FIXTURES "/tokenizer/tinyllama", false},
    {FIXTURES "/tokenizer/gemma", false},         {FIXTURES "/tokenizer/letters", false},
    {FIXTURES "/tokenizer/metaspace_late", false}, {FIXTURES "/tokenizer/smollm", true},
    {FIXTURES "/tokenizer/bert", false},          {FIXTURES "/tokenizer/bert_accents", false},
    {FIXTURES "/tokenizer/unigram_ties", false},  {FIXTURES "/tokenizer/odd_charsmap", false},
    {FIXTURES "/tokenizer/graphemes", false},
};
enum { KINDS = sizeof kinds / sizeof *kinds };

static Tokenizer *tokenizers[KINDS];
static Encoding kept[KINDS];

static void free_all(void)
{
    for (int i = 0; i < KINDS; i++) tokenizer_free(tokenizers[i]), encoding_free(&kept[i]);
}

static void same(const Encoding *a, const Encoding *b)
{
    FUZZ_CHECK(a->count == b->count);
    for (int64_t i = 0; i < a->count; i++)
        FUZZ_CHECK(a->ids[i] == b->ids[i] && a->offsets[i][0] == b->offsets[i][0] &&
                   a->offsets[i][1] == b->offsets[i][1]);
}

static void check_decoding(const Tokenizer *t, const Encoding *e, const char *text, size_t size, bool keeps_bytes)
{
    Text whole = {0}, stream = {0};
    DecodeStream *s;
    FUZZ_CHECK(tokenizer_decode(t, e->ids, e->count, false, &whole) == OK);
    FUZZ_CHECK(decode_stream_new(t, false, &s) == OK);
    for (int64_t i = 0; i < e->count; i++) FUZZ_CHECK(decode_stream_step(s, e->ids[i], &stream) == OK);
    FUZZ_CHECK(decode_stream_end(s, &stream) == OK);
    decode_stream_free(s);
    FUZZ_CHECK(whole.size == stream.size && (!whole.size || !memcmp(whole.data, stream.data, whole.size)));
    if (keeps_bytes) FUZZ_CHECK(whole.size == size && (!size || !memcmp(whole.data, text, size)));
    text_free(&whole), text_free(&stream);
}

/* Windows lie within the whole: every one no longer than asked, all tokens of the text in some window. */
static void check_windows(const Tokenizer *t, const Encoding *whole, const char *text, size_t size)
{
    Encoding e = {0};
    Truncation cut = {.max_length = 1 + (int64_t)(size % 7), .stride = (int64_t)(size % 3), .left = size & 1};
    EncodeInput input = {.text = text, .size = size, .truncation = &cut};
    if (cut.stride >= cut.max_length) cut.stride = 0;
    FUZZ_CHECK(tokenizer_encode_input(t, &input, ENCODE_OFFSETS | ENCODE_WORD_IDS, &e) == OK);
    int64_t windows = e.windows, tokens = 0;
    for (int64_t i = 0; i < windows; i++) {
        FUZZ_CHECK(encoding_window(t, i, &e) == OK);
        FUZZ_CHECK(e.count <= cut.max_length);
        tokens += e.count - (i ? cut.stride : 0);
    }
    FUZZ_CHECK(tokens == whole->count);
    encoding_free(&e);
}

static void try_text(int kind, const char *text, size_t size)
{
    const Tokenizer *t = tokenizers[kind];
    Encoding fresh = {0}, *e = &kept[kind];
    int64_t characters = 0;
    const bool valid = utf8_valid_bytes(text, size) == size;
    const Status st = tokenizer_encode(t, text, size, ENCODE_OFFSETS, e);
    FUZZ_CHECK((st == OK) == valid);
    if (!valid) {
        FUZZ_CHECK(*status_message() && e->count == 0);
        return;
    }
    for (size_t i = 0; i < size; i++) characters += ((unsigned char)text[i] & 0xC0) != 0x80;
    for (int64_t i = 0; i < e->count; i++) {
        FUZZ_CHECK(e->ids[i] >= 0 && e->ids[i] < tokenizer_id_limit(t) && tokenizer_id_to_token(t, e->ids[i]));
        FUZZ_CHECK(e->offsets[i][0] >= 0 && e->offsets[i][0] <= e->offsets[i][1] && e->offsets[i][1] <= characters);
    }
    FUZZ_CHECK(tokenizer_encode(t, text, size, ENCODE_OFFSETS, &fresh) == OK);
    same(e, &fresh);
    check_decoding(t, e, text, size, kinds[kind].keeps_bytes);
    check_windows(t, e, text, size);
    encoding_free(&fresh);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!tokenizers[0]) {
        atexit(free_all);
        for (int i = 0; i < KINDS; i++) FUZZ_CHECK(tokenizer_load(kinds[i].path, &tokenizers[i]) == OK);
    }
    if (!size) return 0;
    const int kind = *data % KINDS;
    char *text = malloc(size - 1 ? size - 1 : 1); /* exact: the sanitizer sees a byte too far */
    Text lossy = {0};
    FUZZ_CHECK(text);
    memcpy(text, data + 1, size - 1);
    try_text(kind, text, size - 1);
    text_add_lossy(&lossy, text, size - 1);
    if (lossy.size) FUZZ_CHECK(utf8_valid_bytes(lossy.data, lossy.size) == lossy.size);
    if (lossy.size) try_text(kind, lossy.data, lossy.size);
    text_free(&lossy);
    free(text);
    return 0;
}
