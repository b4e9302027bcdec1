/* The columns of an encoding: memory, and adding tokens. */
#include <stdlib.h>
#include <string.h>

#include "trainer/tokenizer/internal.h"

static const struct Column {
    size_t at, bytes;
    unsigned flag; /* 0: always there */
} columns[] = {
    {offsetof(Encoding, ids), sizeof(int32_t), 0},
    {offsetof(Encoding, offsets), 2 * sizeof(int64_t), ENCODE_OFFSETS},
    {offsetof(Encoding, type_ids), sizeof(int32_t), ENCODE_TYPE_IDS},
    {offsetof(Encoding, word_ids), sizeof(int32_t), ENCODE_WORD_IDS},
    {offsetof(Encoding, sequence_ids), sizeof(int8_t), ENCODE_SEQUENCE_IDS},
};
enum { COLUMNS = sizeof columns / sizeof *columns };

static char *column_of(const Encoding *e, int i)
{
    char *data;
    memcpy(&data, (const char *)e + columns[i].at, sizeof data);
    return data;
}

void encoding_free(Encoding *e)
{
    if (!e) return;
    for (int i = 0; i < COLUMNS; i++) free(column_of(e, i));
    struct EncodeScratch *s = e->scratch;
    if (s) {
        work_free(s->work);
        for (int i = 0; i < 2; i++) {
            encoding_free(&s->parts[i].all);
            free(s->parts[i].spaces.data);
            free(s->parts[i].windows.data);
            free(s->parts[i].offsets.data);
        }
        free(s->characters.data);
        free(s);
    }
    *e = (Encoding){0};
}

Status encoding_reserve(Encoding *e, int64_t more, unsigned flags)
{
    int64_t need = e->count + more;
    bool missing = false;
    for (int i = 0; i < COLUMNS; i++) missing |= (!columns[i].flag || columns[i].flag & flags) && !column_of(e, i);
    if (need <= e->capacity && !missing) return OK;
    size_t capacity = (size_t)(need >= e->capacity ? need + need / 2 + 64 : e->capacity);
    for (int i = 0; i < COLUMNS; i++) {
        char *data = column_of(e, i);
        /* Columns that this call does not want grow too once they are there: they share the capacity. */
        if (columns[i].flag && !(columns[i].flag & flags) && !data) continue;
        data = realloc(data, capacity * columns[i].bytes);
        if (!data) return status_raise(STATUS_MEMORY, "no memory for %zu tokens", capacity);
        memcpy((char *)e + columns[i].at, &data, sizeof data);
    }
    e->capacity = (int64_t)capacity;
    return OK;
}

Status encoding_append(Encoding *e, const Segment *segment, int32_t type_id, unsigned flags)
{
    const Encoding *from = &segment->tokens;
    Status st = encoding_reserve(e, from->count, flags);
    size_t n = (size_t)from->count, at = (size_t)e->count;
    if (st || !n) return st;
    memcpy(e->ids + at, from->ids, n * sizeof *e->ids);
    if (flags & ENCODE_OFFSETS) memcpy(e->offsets + at, from->offsets, n * sizeof *e->offsets);
    if (flags & ENCODE_WORD_IDS) memcpy(e->word_ids + at, from->word_ids, n * sizeof *e->word_ids);
    if (flags & ENCODE_SEQUENCE_IDS) memset(e->sequence_ids + at, segment->sequence, n);
    for (size_t i = 0; i < n && flags & ENCODE_TYPE_IDS; i++)
        e->type_ids[at + i] = segment->is_first ? type_id : segment->sequence;
    e->count += from->count;
    return OK;
}

Status encoding_append_special(Encoding *e, const int32_t *ids, size_t count, int32_t type_id, unsigned flags)
{
    Status st = encoding_reserve(e, (int64_t)count, flags);
    for (size_t i = 0; i < count && !st; i++) {
        int64_t at = e->count++;
        e->ids[at] = ids[i];
        if (flags & ENCODE_OFFSETS) e->offsets[at][0] = e->offsets[at][1] = 0;
        if (flags & ENCODE_TYPE_IDS) e->type_ids[at] = type_id;
        if (flags & ENCODE_WORD_IDS) e->word_ids[at] = -1;
        if (flags & ENCODE_SEQUENCE_IDS) e->sequence_ids[at] = -1;
    }
    return st;
}
