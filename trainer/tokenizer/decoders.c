/* ByteLevel and Fuse. */
#include "trainer/tokenizer/byte_alphabet.h"
#include "trainer/tokenizer/internal.h"

static Status load(const cJSON *json, const char *where, Arena *arena, void **data)
{
    (void)json, (void)where, (void)arena;
    *data = NULL;
    return OK;
}

/* A token's characters back to bytes; when one is not of the alphabet, the token stands for itself. */
static void add_bytes(Text *out, const char *token, size_t size)
{
    unsigned length;
    for (size_t i = 0; i < size; i += length)
        if (byte_alphabet_inverse(utf8_decode(token + i, &length)) < 0) {
            text_add(out, token, size);
            return;
        }
    for (size_t i = 0; i < size; i += length) {
        char byte = (char)byte_alphabet_inverse(utf8_decode(token + i, &length));
        text_add(out, &byte, 1);
    }
}

static void one_text(DecodeWork *w)
{
    w->count = w->count ? 1 : 0;
    if (w->count) w->ends[0] = w->text.size;
}

static Status run_byte_level(const void *data, DecodeWork *w)
{
    Text bytes = {0}, text = {0};
    (void)data;
    for (size_t i = 0, start = 0; i < w->count; i++) {
        size_t size;
        const char *token = decode_token(w, i, &start, &size);
        add_bytes(&bytes, token, size);
    }
    if (bytes.size) text_add_lossy(&text, bytes.data, bytes.size);
    text.failed |= bytes.failed | w->text.failed;
    text_free(&bytes);
    text_free(&w->text);
    w->text = text;
    one_text(w);
    return OK;
}

static Status run_fuse(const void *data, DecodeWork *w)
{
    (void)data;
    one_text(w);
    return OK;
}

const DecoderType decoder_byte_level = {.head = {"ByteLevel", load, NULL}, .run = run_byte_level};
const DecoderType decoder_fuse = {.head = {"Fuse", load, NULL}, .run = run_fuse};
