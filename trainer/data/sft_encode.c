/* See sft_encode.h. */
#include "trainer/data/sft_encode.h"

#include <stdlib.h>
#include <string.h>

#include "trainer/data/sft_spans.h"

typedef struct Encoded {
    const SftEncoder *s;
    SftRow row;
    Text text;        /* the whole */
    ChatSpans spans;  /* of the assistant */
    int32_t *prompt_ids; /* of the prompt alone; NULL: there is none */
    int64_t prompt_count;
} Encoded;

static bool ends_with(const char *text, const char *end)
{
    const size_t n = strlen(text), m = strlen(end);
    return n >= m && memcmp(text + n - m, end, m) == 0;
}

static ChatInput input_of(const Encoded *e)
{
    return (ChatInput){.messages = e->row.messages, .tools = e->row.tools, .variables = e->row.variables,
                       .special_tokens = e->s->special_tokens};
}

static Status make_text(Encoded *e)
{
    Status st = OK;
    const SftEncoder *s = e->s;
    if (e->row.messages) {
        ChatInput input = input_of(e);
        TRY(s->assistant_only ? sft_spans(s->template, &input, e->row.messages, &e->text, &e->spans)
                              : chat_template_render(s->template, &input, &e->text, NULL));
    } else {
        text_printf(&e->text, "%s%s%s", e->row.prompt ? e->row.prompt : "", e->row.completion,
                    ends_with(e->row.completion, s->eos_token) ? "" : s->eos_token);
    }
    if (e->text.failed) RAISE(MEMORY, "no memory for a text of %zu bytes", e->text.size);
done:
    return st;
}

/* The prompt alone, with the beginning of an answer. */
static Status encode_prompt(Encoded *e, Encoding *scratch)
{
    Status st = OK;
    Text text = {0};
    const bool chat = e->row.messages != NULL;
    if (!chat) {
        text_add(&text, e->row.prompt, strlen(e->row.prompt));
    } else {
        ChatInput input = input_of(e);
        cJSON *last = cJSON_GetArrayItem(e->row.messages, e->row.prompts - 1), *rest = last->next;
        input.add_generation_prompt = true;
        last->next = NULL;
        st = chat_template_render(e->s->template, &input, &text, NULL);
        last->next = rest;
        if (st) goto done;
    }
    if (text.failed) RAISE(MEMORY, "no memory for a prompt");
    TRY(tokenizer_encode(e->s->tokenizer, text.data, text.size, chat ? 0 : ENCODE_SPECIAL, scratch));
    e->prompt_ids = malloc((size_t)(scratch->count + 1) * sizeof *e->prompt_ids);
    if (!e->prompt_ids) RAISE(MEMORY, "no memory for a prompt");
    if (scratch->count) memcpy(e->prompt_ids, scratch->ids, (size_t)scratch->count * sizeof *scratch->ids);
    e->prompt_count = scratch->count;
done:
    text_free(&text);
    return st;
}

/* How many code points begin in the first `bytes` bytes. */
static int64_t code_points(const char *text, size_t bytes)
{
    int64_t n = 0;
    for (size_t i = 0; i < bytes; i++) n += ((unsigned char)text[i] & 0xc0) != 0x80;
    return n;
}

static bool is_before(const int64_t offsets[2], int64_t begin)
{
    return offsets[1] <= begin || offsets[0] == offsets[1];
}

/* Labels outside of the spans become -100. Spans and tokens come in the text's order. */
static Status mask_others(const Encoded *e, const Encoding *tokens, int32_t *labels)
{
    Status st = OK;
    int64_t t = 0, begin = 0, end = 0, trained = 0;
    size_t at = 0;
    for (size_t i = 0; i <= e->spans.count; i++) {
        const ChatSpan *span = i < e->spans.count ? &e->spans.spans[i] : NULL;
        if (span && span->end == span->begin) continue;
        begin = span ? end + code_points(e->text.data + at, span->begin - at) : INT64_MAX;
        for (; t < tokens->count && (!span || is_before(tokens->offsets[t], begin)); t++) labels[t] = -100;
        if (!span) break;
        end = begin + code_points(e->text.data + span->begin, span->end - span->begin);
        at = span->end;
        for (; t < tokens->count && tokens->offsets[t][0] < end; t++) trained++;
    }
    if (!trained)
        RAISE(FORMAT, "assistant_only_loss: no token of this conversation is the assistant's; %s",
              e->spans.count ? "its {% generation %} blocks are empty" : "it has no message of the assistant");
done:
    return st;
}

static int64_t mask_prompt(const Encoded *e, const Encoding *tokens, int32_t *labels)
{
    int64_t n = 0;
    while (n < e->prompt_count && n < tokens->count && e->prompt_ids[n] == tokens->ids[n]) n++;
    for (int64_t t = 0; t < n && e->s->completion_only; t++) labels[t] = -100;
    return n;
}

/* Cuts the record at `record`, whose flags and count are set, to max_length. */
static void cut(const SftEncoder *s, int32_t *record, int64_t *n)
{
    int32_t *ids = record + 2, *labels = ids + *n;
    const int64_t kept = *n < s->max_length ? *n : s->max_length, from = s->keep_end ? *n - kept : 0;
    bool trained = false;
    if (s->max_length < 0) return;
    for (int64_t t = from; t < from + kept; t++) trained = trained || labels[t] != -100;
    if (kept < *n) {
        record[0] |= SFT_CUT;
        memmove(ids, ids + from, (size_t)kept * sizeof *ids);
        memmove(ids + kept, labels + from, (size_t)kept * sizeof *ids);
        *n = kept;
    }
    if (!trained) record[0] |= SFT_LEFT_OUT, *n = 0;
}

Status sft_encode_row(void *encoder, Encoding *scratch, const char *packed, size_t bytes, IdList *out)
{
    Status st = OK;
    const SftEncoder *s = encoder;
    Encoded e = {.s = s};

    TRY(sft_row_open(&s->columns, packed, bytes, &e.row));
    const bool chat = e.row.messages != NULL, prompts = e.row.prompts >= 0 || e.row.prompt;
    if (prompts) TRY(encode_prompt(&e, scratch));
    TRY(make_text(&e));
    TRY(tokenizer_encode(s->tokenizer, e.text.data, e.text.size,
                         (chat ? 0 : ENCODE_SPECIAL) | (s->assistant_only ? ENCODE_OFFSETS : 0), scratch));
    int64_t n = scratch->count;
    if (n > INT32_MAX) RAISE(FORMAT, "an example of %lld tokens", (long long)n);
    TRY(id_list_reserve(out, 2 + 2 * n));
    int32_t *record = out->ids + out->count, *labels = record + 2 + n;
    for (int64_t t = 0; t < n; t++) record[2 + t] = labels[t] = scratch->ids[t];
    record[0] = 0;
    if (prompts && mask_prompt(&e, scratch, labels) < e.prompt_count) record[0] |= SFT_DIVERGES;
    if (s->assistant_only) TRY(mask_others(&e, scratch, labels));
    cut(s, record, &n);
    record[1] = (int32_t)n;
    out->count += 2 + 2 * n;
done:
    free(e.prompt_ids);
    chat_spans_free(&e.spans);
    text_free(&e.text);
    sft_row_close(&e.row);
    return st;
}
