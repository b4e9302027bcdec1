/* What bench_kernels times: each kernel of the table at the shapes of GPT-2 124M, with the floor that its contract
 * states. */
#ifndef TESTS_GPU_CASES_H
#define TESTS_GPU_CASES_H

#include "kernels/kernels.h"

typedef struct Sizes {
    int64_t seqs, length, rows; /* rows: of all sequences */
    int64_t heads, head_dim, hidden, wide, vocab, logit_rows, parameters, square;
} Sizes;

/* Arrays where the kernels work; wide ones have room for rows*wide, logits and parameters in f32. */
typedef struct Bench {
    const Kernels *k;
    Stream *s;
    Dtype dtype;
    Sizes n;
    void *a, *b, *c;      /* wide, of dtype: read, read, written */
    float *w, *m, *v, *g; /* f32: parameters and logits */
    float *stat, *stat2;  /* f32 [max(rows*heads, parameters/KERNEL_BLOCK)] */
    int32_t *ids, *labels, *positions, *cu, *sample;
    float *cos, *sin;
    double *partials;
    float *one;
} Bench;

typedef struct Case {
    const char *name, *shape;
    void (*work)(const Bench *b);
    double (*bytes)(const Bench *b); /* NULL: none that count */
    double (*flops)(const Bench *b); /* at the rate of products; NULL: none that count */
    bool f32_only;
} Case;

extern const Case cases[];
extern const int case_count;

#endif
