/* From the tokens of one text or two to what the caller gets: a window of each, offsets trimmed, and what the
 * post-processors put around them. */
#include <inttypes.h>
#include <string.h>

#include "trainer/tokenizer/internal.h"

/* A window of a part, its offsets trimmed. */
static Status show_segment(const Tokenizer *t, struct EncodeScratch *s, int sequence, int64_t window, Segment *out)
{
    Status st = OK;
    Part *part = &s->parts[sequence];
    Span at = ((const Span *)part->windows.data)[window];
    const Encoding *all = &part->all;
    int64_t lead = 0;
    *out = (Segment){.tokens = {.count = at.end - at.start}, .sequence = sequence, .is_first = window == 0};
    if (at.end == at.start) goto done;
    out->tokens.ids = all->ids + at.start;
    if (s->flags & ENCODE_WORD_IDS) out->tokens.word_ids = all->word_ids + at.start;
    if (!(s->flags & ENCODE_OFFSETS)) goto done;
    out->tokens.offsets = all->offsets + at.start;
    if (!t->trims) goto done;
    TRY(buffer_reserve(&part->offsets, (size_t)out->tokens.count * sizeof *all->offsets));
    memcpy(part->offsets.data, out->tokens.offsets, (size_t)out->tokens.count * sizeof *all->offsets);
    out->tokens.offsets = part->offsets.data;
    for (size_t i = 0; i < t->post_processors.count; i++) {
        const Component *c = &t->post_processors.items[i];
        const PostProcessorType *type = (const PostProcessorType *)c->type;
        if (type->trim) type->trim(c->data, (const Span *)part->spaces.data + at.start, lead, &out->tokens);
        if (type->lead && s->flags & ENCODE_SPECIAL) lead += type->lead(c->data, sequence);
    }
done:
    return st;
}

static const Component *find_join(const Tokenizer *t)
{
    for (size_t i = 0; i < t->post_processors.count; i++)
        if (((const PostProcessorType *)t->post_processors.items[i].type)->join) return &t->post_processors.items[i];
    return NULL;
}

/* In which order the texts come, and how often. */
static int find_order(const Tokenizer *t, int part_count, int order[2], int uses[2])
{
    const Component *c = find_join(t);
    const PostProcessorType *type = c ? (const PostProcessorType *)c->type : NULL;
    if (type && type->order) return type->order(c->data, part_count > 1, order, uses);
    order[0] = 0, order[1] = 1;
    uses[0] = uses[1] = 1;
    return part_count;
}

/* Which window of each text the n-th window shows. The library merges from left to right: first what was left over of
 * the first text with all of the second, then its first window with what was left over of the second. */
static void window_of(const struct EncodeScratch *s, const int order[2], int texts, int64_t n, int64_t out[2])
{
    out[0] = out[1] = 0;
    if (!n || !texts) return;
    int64_t inner = texts > 1 ? s->parts[order[1]].window_count : 1;
    int64_t outer = (s->parts[order[0]].window_count - 1) * inner;
    out[order[0]] = n <= outer ? 1 + (n - 1) / inner : 0;
    if (texts > 1) out[order[1]] = n <= outer ? (n - 1) % inner : n - outer;
}

int64_t windows_count(const Tokenizer *t, const struct EncodeScratch *s)
{
    int order[2], uses[2], texts = find_order(t, s->part_count, order, uses);
    int64_t n = 1;
    for (int i = 0; i < texts; i++) n *= s->parts[order[i]].window_count;
    return n;
}

Status encoding_window(const Tokenizer *t, int64_t window, Encoding *e)
{
    Status st = OK;
    struct EncodeScratch *s = e->scratch;
    const Component *join = find_join(t);
    Segment segments[2];
    int order[2], uses[2], texts;
    int64_t shown[2];
    e->count = 0;
    if (!s || window < 0 || window >= e->windows)
        RAISE(USAGE, "there is no window %" PRId64 " of %" PRId64, window, e->windows);
    texts = find_order(t, s->part_count, order, uses);
    for (int i = 0; i < texts && window; i++)
        if (uses[order[i]] > 1)
            RAISE(UNSUPPORTED, "windows beyond the first of a template that has a text twice are not supported");
    window_of(s, order, texts, window, shown);
    for (int i = 0; i < s->part_count; i++) TRY(show_segment(t, s, i, shown[i], &segments[i]));
    if (join) {
        TRY(((const PostProcessorType *)join->type)->join(join->data, segments, s->part_count, s->flags, e));
    } else {
        for (int i = 0; i < s->part_count; i++) TRY(encoding_append(e, &segments[i], i, s->flags));
    }
done:
    if (st) e->count = 0;
    return st;
}
