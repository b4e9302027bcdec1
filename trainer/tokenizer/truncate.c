/* Truncation: which text gives way by how much, and the windows that are left over. The library's rules
 * (truncate_encodings and Encoding::truncate), which transformers uses. */
#include <inttypes.h>

#include "trainer/tokenizer/internal.h"

static Status add_window(Part *part, int64_t start, int64_t end)
{
    Status st = buffer_reserve(&part->windows, ((size_t)part->window_count + 1) * sizeof(Span));
    if (!st) ((Span *)part->windows.data)[part->window_count++] = (Span){(uint32_t)start, (uint32_t)end};
    return st;
}

/* Windows of `length` tokens, `stride` in common, from the end that is kept. */
static Status cut(Part *part, int64_t length, int64_t stride, bool left)
{
    Status st = OK;
    int64_t count = part->all.count;
    part->window_count = 0;
    if (length >= count) return add_window(part, 0, count);
    if (length == 0) {
        TRY(add_window(part, 0, 0));
        return add_window(part, 0, count); /* all that was left over, in one */
    }
    if (stride >= length)
        RAISE(USAGE, "a stride of %" PRId64 " tokens in windows of %" PRId64 ": it should be less", stride, length);
    int64_t step = length - stride;
    if (left) {
        int64_t end = count;
        for (; end > length; end -= step) TRY(add_window(part, end - length, end));
        TRY(add_window(part, 0, end));
    } else {
        int64_t start = 0;
        for (; start + length < count; start += step) TRY(add_window(part, start, start + length));
        TRY(add_window(part, start, count));
    }
done:
    return st;
}

/* What is left of two texts of n[0] and n[1] tokens: the shorter one is whole while it fits beside as much of the
 * longer one, else each has half. */
static void share(int64_t n[2], int64_t most)
{
    bool swap = n[0] > n[1];
    int64_t shorter = n[swap], longer;
    longer = shorter > most || most - shorter < shorter ? shorter : most - shorter;
    if (shorter + longer > most) {
        shorter = most / 2;
        longer = shorter + most % 2;
    }
    n[swap] = shorter;
    n[!swap] = longer;
}

Status truncate_parts(Part *parts, int count, const Truncation *t, int64_t added)
{
    Status st = OK;
    int64_t n[2] = {parts[0].all.count, count > 1 ? parts[1].all.count : 0};
    int64_t most = t ? t->max_length - added : n[0] + n[1], remove;
    if (most < 0)
        RAISE(USAGE, "max_length %" PRId64 " has no room for the %" PRId64 " tokens that the tokenizer adds",
              t->max_length, added);
    remove = n[0] + n[1] - most;
    if (t && t->stride < 0) RAISE(USAGE, "a stride of %" PRId64 " tokens", t->stride);
    if (t && most == 0) {
        n[0] = n[1] = 0;
    } else if (remove > 0 && t->strategy == TRUNCATE_LONGEST_FIRST) {
        if (count > 1)
            share(n, most);
        else
            n[0] = most;
    } else if (remove > 0) {
        if (t->strategy == TRUNCATE_ONLY_SECOND && count < 2)
            RAISE(USAGE, "truncation only_second needs a second text");
        int64_t *target = &n[t->strategy == TRUNCATE_ONLY_SECOND];
        if (*target <= remove)
            RAISE(USAGE, "the %s text has %" PRId64 " tokens, %" PRId64 " would have to go: max_length %" PRId64
                  " is too short for truncation only_%s",
                  t->strategy == TRUNCATE_ONLY_SECOND ? "second" : "first", *target, remove, t->max_length,
                  t->strategy == TRUNCATE_ONLY_SECOND ? "second" : "first");
        *target -= remove;
    }
    for (int i = 0; i < count; i++) TRY(cut(&parts[i], n[i], t ? t->stride : 0, t && t->left));
done:
    return st;
}
