/* Products of a few rows (generation: one row a sequence), where reading B once is all the work: product.c would first
 * copy the whole of B into panels. Floor: k * n elements of B read, in bytes of its dtype. A task is a strip of
 * columns;
 * the order of every sum is product.c's (one chain of fused multiply-adds over blocks of DEPTH values of k, then blocks
 * in order), so are the bits.
 *
 *   B [k, n]: four rows of a strip at a time are added to the strip's sums, which stay in the first level of cache;
 *   B [n, k]: 2 * VF rows at a time are turned in registers and go to a panel [DEPTH][2 * VF] in the first level. */
#include "kernels/cpu/product.h"
#include "kernels/cpu/typed.h"
#include "kernels/variant.h"

enum { FEW = 8, DEPTH = 256, STRIP = 512, LEAST = 128, WIDTH = 2 * VF, LINE = 16 };

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

/* C = alpha * sum + beta * C for a row of a strip; as the end of product.c's kernel. */
VEC_FN void finish(const Product *p, int64_t k, float *c, vf sum, int64_t left)
{
    float beta = k ? 1 : p->beta;
    vf y = sum * vf_set(p->alpha);
    if (beta != 0) y += vf_get(c, left) * vf_set(beta);
    vf_put(c, y, left);
}

/* Row i of A, the values [k, k + depth), as f32: in place, or in `room`. */
VEC_FN const float *row_of_a(const Product *p, int64_t i, int64_t k, int64_t depth, float room[DEPTH])
{
    if (!p->trans_a && p->type_a == DTYPE_F32) return (const float *)p->a + i * p->lda + k;
    int64_t first = p->trans_a ? k * p->lda + i : i * p->lda + k, step = p->trans_a ? p->lda : 1;
#define LOOP(d) \
    for (int64_t j = 0; j < depth; j++) room[j] = at_one(d, p->a, first + j * step)
    switch (p->type_a) { DTYPE_CASES(LOOP) }
#undef LOOP
    return room;
}

/* ---- B [k, n] ---------------------------------------------------------------------------------------------------- */

/* sums [cols in whole vectors] += a[0] b[0] + … + a[3] b[3], rows of B (from its element i on) in this order. */
VEC_FN void add_four(Dtype d, float *sums, const void *b, int64_t i, int64_t ldb, const float a[4], int64_t cols)
{
    vf a0 = vf_set(a[0]), a1 = vf_set(a[1]), a2 = vf_set(a[2]), a3 = vf_set(a[3]);
    int64_t i1 = i + ldb, i2 = i1 + ldb, i3 = i2 + ldb, j = 0;
    for (; j + VF <= cols; j += VF) {
        vf s = vf_load(sums + j);
        s = vf_fma(a0, at(d, b, i + j, VF), s), s = vf_fma(a1, at(d, b, i1 + j, VF), s);
        s = vf_fma(a2, at(d, b, i2 + j, VF), s), s = vf_fma(a3, at(d, b, i3 + j, VF), s);
        vf_store(sums + j, s);
    }
    if (j < cols) {
        int64_t n = cols - j;
        vf s = vf_load(sums + j);
        s = vf_fma(a0, at(d, b, i + j, n), s), s = vf_fma(a1, at(d, b, i1 + j, n), s);
        s = vf_fma(a2, at(d, b, i2 + j, n), s), s = vf_fma(a3, at(d, b, i3 + j, n), s);
        vf_store(sums + j, s);
    }
}

VEC_FN void add_one(Dtype d, float *sums, const void *b, int64_t i, float a, int64_t cols)
{
    for (int64_t j = 0; j < cols; j += VF)
        vf_store(sums + j, vf_fma(vf_set(a), at(d, b, i + j, cols - j), vf_load(sums + j)));
}

VEC_FN void straight(Dtype d, const Product *p, int64_t col, int64_t cols)
{
    _Alignas(64) float sums[FEW][STRIP], room[FEW][DEPTH];
    const float *a[FEW];
    for (int64_t block = 0; block < p->k; block += DEPTH) {
        int64_t depth = least(DEPTH, p->k - block), k = 0;
        for (int64_t i = 0; i < p->m; i++) {
            a[i] = row_of_a(p, i, block, depth, room[i]);
            memset(sums[i], 0, (size_t)(cols + VF - 1) / VF * VF * sizeof(float));
        }
        for (; k + 4 <= depth; k += 4)
            for (int64_t i = 0; i < p->m; i++)
                add_four(d, sums[i], p->b, (block + k) * p->ldb + col, p->ldb, a[i] + k, cols);
        for (; k < depth; k++)
            for (int64_t i = 0; i < p->m; i++) add_one(d, sums[i], p->b, (block + k) * p->ldb + col, a[i][k], cols);
        for (int64_t i = 0; i < p->m; i++)
            for (int64_t j = 0; j < cols; j += VF)
                finish(p, block, (float *)p->c + i * p->ldc + col + j, vf_load(sums[i] + j), cols - j);
    }
}

static void strip_straight(const Product *p, int64_t col, int64_t cols)
{
#define LOOP(d) straight(d, p, col, cols)
    switch (p->type_b) { DTYPE_CASES(LOOP) }
#undef LOOP
}

/* ---- B [n, k] ---------------------------------------------------------------------------------------------------- */

/* panel [depth][WIDTH] = x [WIDTH, depth] turned, x from element `first` on. A cache line of each row at a time, first
 * copied side by side: rows that lie whole pages apart would push each other out of the first level. next: what will be
 * turned after it, fetched meanwhile (WIDTH rows are more streams than a CPU follows by itself); -1: nothing. */
VEC_FN void turn(Dtype d, float *panel, const void *x, int64_t first, int64_t ldx, int64_t depth, int64_t next)
{
    _Alignas(64) float line[WIDTH][LINE];
    for (int64_t k = 0; k < depth; k += LINE) {
        int64_t n = least(LINE, depth - k);
        for (int64_t j = 0; j < WIDTH; j++) {
            if (next >= 0) __builtin_prefetch(typed_at(d, x, next + j * ldx + k), 0, 2);
            const void *from = typed_at(d, x, first + j * ldx + k);
            if (d != DTYPE_F32) widen_span(d, line[j], from, n == LINE ? LINE : n);
            else if (n == LINE) memcpy(line[j], from, sizeof line[j]);
            else memcpy(line[j], from, (size_t)n * sizeof(float));
        }
        int64_t r = 0;
        for (; r + 4 <= n; r += 4)
            for (int64_t half = 0; half < WIDTH; half += VF) {
                vf v[4];
                for (int64_t i = 0; i < 4; i++) v[i] = vf_get_fours(&line[half + i][r], 4 * LINE);
                vf_transpose_fours(v);
                for (int64_t i = 0; i < 4; i++) vf_store(panel + (k + r + i) * WIDTH + half, v[i]);
            }
        for (; r < n; r++)
            for (int64_t j = 0; j < WIDTH; j++) panel[(k + r) * WIDTH + j] = line[j][r];
    }
}

/* The same of fewer rows; columns beyond are 0. */
VEC_FN void turn_few(Dtype d, float *panel, const void *x, int64_t first, int64_t ldx, int64_t depth, int64_t cols)
{
    for (int64_t k = 0; k < depth; k++)
        for (int64_t j = 0; j < WIDTH; j++)
            panel[k * WIDTH + j] = j < cols ? at_one(d, x, first + j * ldx + k) : 0;
}

/* Two rows of A (the second may be the first again) against a panel. */
VEC_FN void dot_pair(const float *a, const float *b, int64_t depth, const float *panel, vf sum[4])
{
    vf s0 = vf_zero(), s1 = vf_zero(), s2 = vf_zero(), s3 = vf_zero();
    for (int64_t k = 0; k < depth; k++) {
        vf x = vf_load(panel + k * WIDTH), y = vf_load(panel + k * WIDTH + VF), ai = vf_set(a[k]), bi = vf_set(b[k]);
        s0 = vf_fma(ai, x, s0), s1 = vf_fma(ai, y, s1);
        s2 = vf_fma(bi, x, s2), s3 = vf_fma(bi, y, s3);
    }
    sum[0] = s0, sum[1] = s1, sum[2] = s2, sum[3] = s3;
}

/* Four rows: eight chains of sums hide the time that one multiply-add takes, and a panel is read half as often. */
VEC_FN void dot_four(const float *const a[4], int64_t depth, const float *panel, vf sum[8])
{
    vf s[8];
    for (int i = 0; i < 8; i++) s[i] = vf_zero();
    for (int64_t k = 0; k < depth; k++) {
        vf x = vf_load(panel + k * WIDTH), y = vf_load(panel + k * WIDTH + VF);
        for (int i = 0; i < 4; i++) {
            vf ai = vf_set(a[i][k]);
            s[2 * i] = vf_fma(ai, x, s[2 * i]), s[2 * i + 1] = vf_fma(ai, y, s[2 * i + 1]);
        }
    }
    for (int i = 0; i < 8; i++) sum[i] = s[i];
}

/* All rows of A against a panel of columns [j, j + n). */
static void dot_panel(const Product *p, int64_t j, int64_t n, int64_t block, int64_t depth, const float *panel)
{
    float room[4][DEPTH];
    for (int64_t i = 0, rows; i < p->m; i += rows) {
        vf sum[8];
        const float *a[4];
        rows = least(4, p->m - i);
        for (int64_t r = 0; r < 4; r++) a[r] = r < rows ? row_of_a(p, i + r, block, depth, room[r]) : a[rows - 1];
        if (rows > 2) dot_four(a, depth, panel, sum);
        else dot_pair(a[0], a[1], depth, panel, sum);
        for (int64_t row = i; row < i + rows; row++) {
            float *c = (float *)p->c + row * p->ldc + j;
            finish(p, block, c, sum[2 * (row - i)], n);
            if (n > VF) finish(p, block, c + VF, sum[2 * (row - i) + 1], n - VF);
        }
    }
}

VEC_FN void turned(Dtype d, const Product *p, int64_t col, int64_t cols)
{
    _Alignas(64) float panel[DEPTH * WIDTH];
    for (int64_t j = col; j < col + cols; j += WIDTH) {
        int64_t n = least(WIDTH, col + cols - j);
        for (int64_t block = 0; block < p->k; block += DEPTH) {
            int64_t depth = least(DEPTH, p->k - block), first = j * p->ldb + block, next = -1;
            if (block + 2 * DEPTH <= p->k) next = first + DEPTH;
            else if (block + depth == p->k && p->k >= DEPTH && j + 2 * WIDTH <= p->n) next = (j + WIDTH) * p->ldb;
            if (n == WIDTH) turn(d, panel, p->b, first, p->ldb, depth, next);
            else turn_few(d, panel, p->b, first, p->ldb, depth, n);
            dot_panel(p, j, n, block, depth, panel);
        }
    }
}

static void strip_turned(const Product *p, int64_t col, int64_t cols)
{
#define LOOP(d) turned(d, p, col, cols)
    switch (p->type_b) { DTYPE_CASES(LOOP) }
#undef LOOP
}

/* ------------------------------------------------------------------------------------------------------------------ */

typedef struct Strips {
    const Product *p;
    int64_t width;
} Strips;

static void make_columns(const Product *p, int64_t col, int64_t cols)
{
    if (p->trans_b) strip_turned(p, col, cols);
    else strip_straight(p, col, cols);
}

/* A strip of a C that is not f32 is made in f32 and rounded then. */
static void make_narrow(const Product *p, int64_t col, int64_t cols)
{
    _Alignas(64) float c[FEW * STRIP];
    Product q = *p;
    q.b = typed_at(p->type_b, p->b, p->trans_b ? col * p->ldb : col), q.n = p->n - col, q.c = c, q.ldc = STRIP;
    make_columns(&q, 0, cols);
    if (p->epilogue) p->epilogue(p->context, c, STRIP, 0, col, p->m, cols);
#define LOOP(d) \
    for (int64_t i = 0; i < p->m; i++) narrow_span(d, typed_at(d, p->c, i * p->ldc + col), c + i * STRIP, cols)
    switch (p->type_c) { DTYPE_CASES(LOOP) }
#undef LOOP
}

static void make_strip(void *context, int64_t task, int thread)
{
    (void)thread;
    const Strips *s = context;
    const Product *p = s->p;
    int64_t col = task * s->width, cols = least(s->width, p->n - col);
    if (p->type_c != DTYPE_F32) {
        make_narrow(p, col, cols);
        return;
    }
    make_columns(p, col, cols);
    if (p->epilogue) p->epilogue(p->context, (float *)p->c + col, p->ldc, 0, col, p->m, cols);
}

void VARIANT(product_alone)(Stream *s, const Product *p)
{
    if (p->m > FEW || (p->type_c != DTYPE_F32 && p->beta != 0)) {
        VARIANT(product_pool)(s, p);
        return;
    }
    /* Eight strips for threads to share; wide enough for the cache to see what comes. Speed only: no bit depends on it.
     */
    Strips strips = {.p = p, .width = STRIP};
    while (strips.width > LEAST && (p->n + strips.width - 1) / strips.width < 8) strips.width -= 64;
    threads_run(stream_threads(s), (p->n + strips.width - 1) / strips.width, make_strip, &strips);
}
