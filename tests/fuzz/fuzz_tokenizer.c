/* links: tokenizer */
/* Any bytes as a tokenizer.json are refused with a line, or make a tokenizer that encodes and decodes texts without a
 * fault: the bytes themselves too, as far as they are UTF-8. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "trainer/tokenizer/tokenizer.h"
#include "trainer/tokenizer/unicode.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition)) fprintf(stderr, "%d: %s: %s\n", __LINE__, #condition, status_message()), abort();            \
    } while (0)

enum { MOST_TEXT = 300 };

static void try_text(const Tokenizer *t, const char *text, size_t size, Encoding *e)
{
    Text decoded = {0};
    unsigned flags = ENCODE_SPECIAL | ENCODE_OFFSETS | ENCODE_TYPE_IDS;
    int64_t characters = 0;
    for (size_t i = 0; i < size; i++) characters += ((unsigned char)text[i] & 0xC0) != 0x80;
    Status st = tokenizer_encode(t, text, size, flags, e);
    CHECK(st == OK || *status_message());
    for (int64_t i = 0; i < e->count; i++) {
        CHECK(e->ids[i] >= 0 && e->offsets[i][0] >= 0 && e->offsets[i][0] <= e->offsets[i][1]);
        CHECK(e->offsets[i][1] <= characters);
    }
    CHECK(tokenizer_decode(t, e->ids, e->count, true, &decoded) == OK);
    CHECK(utf8_valid_bytes(decoded.data ? decoded.data : "", decoded.size) == decoded.size);
    text_free(&decoded);
    CHECK(tokenizer_encode_pair(t, text, size, "b", 1, flags, e) == OK || *status_message());
    Truncation cut = {.max_length = 6, .stride = 1, .left = size & 1};
    EncodeInput input = {text, "ab b", size, 4, &cut};
    st = tokenizer_encode_input(t, &input, flags | ENCODE_WORD_IDS | ENCODE_SEQUENCE_IDS, e);
    CHECK(st == OK || *status_message());
    for (int64_t i = 0, n = e->windows < 50 ? e->windows : 50; i < n && !st; i++)
        CHECK(encoding_window(t, i, e) == OK || strstr(status_message(), "twice"));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const texts[] = {"", " ", "Hello, it's  12.5\r\n\n\tab",
                                        "e\u0301 \uFB01 \u1112\u1161\u11AB \U0001F642", "ababab  aab"};
    Tokenizer *t;
    Encoding e = {0};
    char *exact = malloc(size + 1);
    if (!exact) return 0;
    if (size) memcpy(exact, data, size); /* not NUL-terminated: the sanitizer sees a byte too far */
    Status st = tokenizer_parse(exact, size, "fuzz.json", &t);
    CHECK((st == OK) == (t != NULL) && (st == OK || *status_message()));
    if (t) {
        for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) try_text(t, texts[i], strlen(texts[i]), &e);
        size_t valid = utf8_valid_bytes(exact, size < MOST_TEXT ? size : MOST_TEXT);
        try_text(t, exact, valid, &e);
        for (int32_t id = 0; id < tokenizer_id_limit(t) && id < 300; id++) tokenizer_id_to_token(t, id);
        encoding_free(&e);
        tokenizer_free(t);
    }
    free(exact);
    return 0;
}
