/* What the makers of token caches have in common: threads, the progress that they show, numbers for people. */
#ifndef HONE_DATA_MAKING_H
#define HONE_DATA_MAKING_H

#include "trainer/data/readers.h"

/* threads, or one a core of this process where that is 0. */
int making_threads(int threads);

typedef struct MakingProgress {
    const char *name;     /* of the split */
    int64_t source_bytes; /* of all files */
    double shown_s;       /* when it was shown last; the first second is silent */
} MakingProgress;

void making_begin(MakingProgress *p, const char *name, int64_t source_bytes);
void making_show(MakingProgress *p, const Rows *rows);

/* 1115394 as "1,115,394". */
const char *grouped_number(int64_t n, char out[32]);

#endif
