/* See sft_show.h. On a terminal, tokens that are learned are green, one lighter, one darker, so that each can be told
 * from the next, and the others grey; elsewhere what is learned stands between marks. */
#include "trainer/tasks/sft_show.h"

#include <string.h>

#include "trainer/base/log.h"

static const char GREEN[] = "\033[32m", LIGHT_GREEN[] = "\033[92m", GREY[] = "\033[90m", PLAIN[] = "\033[0m";
static const char OPEN[] = "\u27e6", CLOSE[] = "\u27e7"; /* ⟦ ⟧ */

/* Control characters of the data are not the terminal's. */
static void add_shown(Text *out, const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        const unsigned char c = (unsigned char)text[i];
        const bool c1 = c == 0xc2 && i + 1 < size && (unsigned char)text[i + 1] < 0xa0;
        if (c1) text_printf(out, "\\x%02x", (unsigned char)text[++i]);
        else if ((c < 0x20 && c != '\n' && c != '\t') || c == 0x7f) text_printf(out, "\\x%02x", c);
        else text_add(out, text + i, 1);
    }
}

static bool is_target(const Span *labels, int64_t t, bool first) { return !first && labels->data[t] != -100; }

typedef struct Showing {
    bool colours, in_marks, light;
} Showing;

static void add_token(Showing *s, bool learned, const Text *piece, Text *out)
{
    if (s->colours) {
        if (learned) s->light = !s->light;
        text_printf(out, "%s", !learned ? GREY : s->light ? LIGHT_GREEN : GREEN);
    } else if (learned != s->in_marks && piece->size) {
        text_printf(out, "%s", learned ? OPEN : CLOSE);
        s->in_marks = learned;
    }
    if (piece->size) add_shown(out, piece->data, piece->size);
    if (s->colours) text_printf(out, "%s", PLAIN);
}

/* One text of the example. */
static Status show_text(const TaskContext *c, const int32_t *ids, const Span *labels, int64_t begin, int64_t length,
                        bool colours, Text *out)
{
    Status st = OK;
    Showing s = {.colours = colours};
    DecodeStream *stream = NULL;
    Text piece = {0};
    bool learned = false;
    TRY(decode_stream_new(c->tokenizer, false, &stream));
    for (int64_t t = 0; t < length; t++) {
        piece.size = 0;
        learned = is_target(labels, begin + t, t == 0);
        TRY(decode_stream_step(stream, ids[begin + t], &piece));
        add_token(&s, learned, &piece, out);
    }
    piece.size = 0;
    TRY(decode_stream_end(stream, &piece));
    if (piece.size) add_token(&s, learned, &piece, out);
    if (s.in_marks) text_printf(out, "%s", CLOSE);
    if (out->failed) RAISE(MEMORY, "no memory to show an example");
done:
    decode_stream_free(stream);
    text_free(&piece);
    return st;
}

Status sft_show(const TaskContext *c, const Dataset *d, int64_t index, bool colours, Text *out)
{
    Status st = OK;
    const Span ids = dataset_get(d, dataset_column(d, "input_ids"), index),
               labels = dataset_get(d, dataset_column(d, "labels"), index),
               lengths = dataset_get(d, dataset_column(d, "seq_lengths"), index);
    int64_t begin = 0;
    for (int64_t p = 0; p < lengths.length && lengths.data[p] <= ids.length - begin; begin += lengths.data[p++]) {
        if (lengths.length > 1)
            text_printf(out, "%s-- text %lld of %lld\n", p ? "\n" : "", (long long)p + 1, (long long)lengths.length);
        TRY(show_text(c, ids.data, &labels, begin, lengths.data[p], colours, out));
    }
done:
    return st;
}

typedef struct Count {
    int64_t tokens, targets, ends;
} Count;

static const char *const end_tokens[] = {"<|im_end|>", "<|eot_id|>", "<end_of_turn>", "<|end|>", "<|eot|>",
                                         "<|end_of_turn|>", "<|END_OF_TURN_TOKEN|>", "<turn|>", "<|return|>",
                                         "<|end_of_text|>", "<|endoftext|>", "</s>", "<eos>"};
enum { END_TOKENS = sizeof end_tokens / sizeof *end_tokens };

/* ends: tokens that end a turn, -1 for none. */
static Count count(const Dataset *d, const int32_t *ends, int num_ends)
{
    const int labels = dataset_column(d, "labels"), lengths = dataset_column(d, "seq_lengths");
    Count n = {0};
    for (int64_t i = 0; i < dataset_count(d); i++) {
        const Span label = dataset_get(d, labels, i), length = dataset_get(d, lengths, i);
        int64_t t = 0, next = 0;
        n.tokens += label.length;
        for (int64_t p = 0; p < length.length && length.data[p] <= label.length - t; p++) {
            for (next += length.data[p]; t < next; t++) {
                if (!is_target(&label, t, t == next - length.data[p])) continue;
                n.targets++;
                for (int e = 0; e < num_ends; e++)
                    if (label.data[t] == ends[e]) {
                        n.ends++;
                        break;
                    }
            }
        }
    }
    return n;
}

Status sft_check_turns(const TaskContext *c, const char *eos_token, const char *name, const Dataset *d)
{
    int32_t ends[END_TOKENS + 1];
    int n = 0;
    ends[n++] = eos_token ? tokenizer_token_to_id(c->tokenizer, eos_token) : -1;
    for (int i = 0; i < END_TOKENS; i++) {
        const int32_t id = tokenizer_token_to_id(c->tokenizer, end_tokens[i]);
        if (id >= 0) ends[n++] = id;
    }
    const Count all = count(d, ends, n);
    if (!all.targets)
        return status_raise(STATUS_USAGE, "%s: no token is learned: every label is masked; look at the rows, or at "
                            "completion_only_loss and assistant_only_loss", name);
    if (!all.ends)
        log_warning("%s: none of the %lld tokens that are learned ends a turn%s%s: the model does not learn to stop; "
                    "%s", name, (long long)all.targets, eos_token ? ", as would " : "", eos_token ? eos_token : "",
                    c->args->assistant_only_loss
                        ? "the template's {% generation %} block should hold the end of the turn"
                        : "the template should end an answer with such a token, or set eos_token to the one that does");
    return OK;
}

Status sft_about(const TaskContext *c, const Dataset *d, Text *out)
{
    const Count n = count(d, NULL, 0);
    (void)c;
    text_printf(out, "%lld tokens, %lld of them learned (%.1f%%)", (long long)n.tokens, (long long)n.targets,
                n.tokens ? 100.0 * (double)n.targets / (double)n.tokens : 0.0);
    return OK;
}
