/* Products of a few rows (generation: one row a sequence), where reading B once is all the work: product.c would first
 * copy the whole of B into panels. Floor: 4 * k * n bytes read. A task is a strip of columns; the order of every sum is
 * product.c's (one chain of fused multiply-adds over blocks of DEPTH values of k, then blocks in order), so are the
 * bits.
 *
 *   B [k, n]: four rows of a strip at a time are added to the strip's sums, which stay in the first level of cache;
 *   B [n, k]: 2 * VF rows at a time are turned in registers and go to a panel [DEPTH][2 * VF] in the first level. */
#include "kernels/cpu/product.h"
#include "kernels/variant.h"
#include "kernels/vec.h"

enum { FEW = 8, DEPTH = 256, STRIP = 512, LEAST = 128, WIDTH = 2 * VF, LINE = 16 };

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

/* C = alpha * sum + beta * C for a row of a strip; as the end of product.c's kernel. */
VEC_FN void put(const Product *p, int64_t k, float *c, vf sum, int64_t left)
{
    float beta = k ? 1 : p->beta;
    vf y = sum * vf_set(p->alpha);
    if (beta != 0) y += vf_get(c, left) * vf_set(beta);
    vf_put(c, y, left);
}

VEC_FN float a_at(const Product *p, int64_t i, int64_t k) { return p->a[p->trans_a ? k * p->lda + i : i * p->lda + k]; }

/* ---- B [k, n] ---------------------------------------------------------------------------------------------------- */

/* sums [cols in whole vectors] += a[0] b[0] + … + a[3] b[3], rows of B in this order. */
static void add_four(float *sums, const float *b, int64_t ldb, const float a[4], int64_t cols)
{
    vf a0 = vf_set(a[0]), a1 = vf_set(a[1]), a2 = vf_set(a[2]), a3 = vf_set(a[3]);
    const float *b1 = b + ldb, *b2 = b1 + ldb, *b3 = b2 + ldb;
    int64_t j = 0;
    for (; j + VF <= cols; j += VF) {
        vf s = vf_load(sums + j);
        s = vf_fma(a0, vf_load(b + j), s), s = vf_fma(a1, vf_load(b1 + j), s);
        s = vf_fma(a2, vf_load(b2 + j), s), s = vf_fma(a3, vf_load(b3 + j), s);
        vf_store(sums + j, s);
    }
    if (j < cols) {
        int64_t n = cols - j;
        vf s = vf_load(sums + j);
        s = vf_fma(a0, vf_get(b + j, n), s), s = vf_fma(a1, vf_get(b1 + j, n), s);
        s = vf_fma(a2, vf_get(b2 + j, n), s), s = vf_fma(a3, vf_get(b3 + j, n), s);
        vf_store(sums + j, s);
    }
}

static void add_one(float *sums, const float *b, float a, int64_t cols)
{
    for (int64_t j = 0; j < cols; j += VF)
        vf_store(sums + j, vf_fma(vf_set(a), vf_get(b + j, cols - j), vf_load(sums + j)));
}

static void strip_straight(const Product *p, int64_t col, int64_t cols)
{
    _Alignas(64) float sums[FEW][STRIP];
    for (int64_t block = 0; block < p->k; block += DEPTH) {
        int64_t end = least(block + DEPTH, p->k), k = block;
        for (int64_t i = 0; i < p->m; i++) memset(sums[i], 0, (size_t)(cols + VF - 1) / VF * VF * sizeof(float));
        for (; k + 4 <= end; k += 4)
            for (int64_t i = 0; i < p->m; i++) {
                float a[4] = {a_at(p, i, k), a_at(p, i, k + 1), a_at(p, i, k + 2), a_at(p, i, k + 3)};
                add_four(sums[i], p->b + k * p->ldb + col, p->ldb, a, cols);
            }
        for (; k < end; k++)
            for (int64_t i = 0; i < p->m; i++) add_one(sums[i], p->b + k * p->ldb + col, a_at(p, i, k), cols);
        for (int64_t i = 0; i < p->m; i++)
            for (int64_t j = 0; j < cols; j += VF)
                put(p, block, p->c + i * p->ldc + col + j, vf_load(sums[i] + j), cols - j);
    }
}

/* ---- B [n, k] ---------------------------------------------------------------------------------------------------- */

/* panel [depth][WIDTH] = x [WIDTH, depth] turned. A cache line of each row at a time, first copied side by side: rows
 * that lie whole pages apart would push each other out of the first level. next: what will be turned after it, fetched
 * meanwhile (WIDTH rows are more streams than a CPU follows by itself); NULL: nothing. */
static void turn(float *panel, const float *x, int64_t ldx, int64_t depth, const float *next)
{
    _Alignas(64) float line[WIDTH][LINE];
    for (int64_t k = 0; k < depth; k += LINE) {
        int64_t n = least(LINE, depth - k);
        for (int64_t j = 0; j < WIDTH; j++) {
            if (next) __builtin_prefetch(next + j * ldx + k, 0, 2);
            if (n == LINE)
                memcpy(line[j], x + j * ldx + k, sizeof line[j]);
            else
                memcpy(line[j], x + j * ldx + k, (size_t)n * sizeof(float));
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
static void turn_few(float *panel, const float *x, int64_t ldx, int64_t depth, int64_t cols)
{
    for (int64_t k = 0; k < depth; k++)
        for (int64_t j = 0; j < WIDTH; j++) panel[k * WIDTH + j] = j < cols ? x[j * ldx + k] : 0;
}

/* Two rows of A (the second may be the first again) against a panel. */
VEC_FN void dot_pair(const Product *p, int64_t i, int64_t second, int64_t block, int64_t depth, const float *panel,
                     vf sum[4])
{
    const float *a = p->a + (p->trans_a ? block * p->lda + i : i * p->lda + block),
                *b = a + (p->trans_a ? second - i : (second - i) * p->lda);
    int64_t step = p->trans_a ? p->lda : 1;
    vf s0 = vf_zero(), s1 = vf_zero(), s2 = vf_zero(), s3 = vf_zero();
    for (int64_t k = 0; k < depth; k++) {
        vf x = vf_load(panel + k * WIDTH), y = vf_load(panel + k * WIDTH + VF), ai = vf_set(a[k * step]),
           bi = vf_set(b[k * step]);
        s0 = vf_fma(ai, x, s0), s1 = vf_fma(ai, y, s1);
        s2 = vf_fma(bi, x, s2), s3 = vf_fma(bi, y, s3);
    }
    sum[0] = s0, sum[1] = s1, sum[2] = s2, sum[3] = s3;
}

static void strip_turned(const Product *p, int64_t col, int64_t cols)
{
    _Alignas(64) float panel[DEPTH * WIDTH];
    for (int64_t j = col; j < col + cols; j += WIDTH) {
        int64_t n = least(WIDTH, col + cols - j);
        for (int64_t block = 0; block < p->k; block += DEPTH) {
            int64_t depth = least(DEPTH, p->k - block);
            const float *x = p->b + j * p->ldb + block, *next = NULL;
            if (block + 2 * DEPTH <= p->k)
                next = x + DEPTH;
            else if (block + depth == p->k && p->k >= DEPTH && j + 2 * WIDTH <= p->n)
                next = p->b + (j + WIDTH) * p->ldb;
            if (n == WIDTH)
                turn(panel, x, p->ldb, depth, next);
            else
                turn_few(panel, x, p->ldb, depth, n);
            for (int64_t i = 0; i < p->m; i += 2) {
                vf sum[4];
                int64_t second = i + 1 < p->m ? i + 1 : i;
                dot_pair(p, i, second, block, depth, panel, sum);
                for (int64_t row = i; row <= second; row++) {
                    float *c = p->c + row * p->ldc + j;
                    put(p, block, c, sum[2 * (row - i)], n);
                    if (n > VF) put(p, block, c + VF, sum[2 * (row - i) + 1], n - VF);
                }
            }
        }
    }
}

/* ------------------------------------------------------------------------------------------------------------------ */

typedef struct Strips {
    const Product *p;
    int64_t width;
} Strips;

static void make_strip(void *context, int64_t task, int thread)
{
    (void)thread;
    const Strips *s = context;
    const Product *p = s->p;
    int64_t col = task * s->width, cols = least(s->width, p->n - col);
    if (p->trans_b)
        strip_turned(p, col, cols);
    else
        strip_straight(p, col, cols);
    if (p->epilogue) p->epilogue(p->context, p->c + col, p->ldc, 0, col, p->m, cols);
}

void VARIANT(product_alone)(Stream *s, const Product *p)
{
    if (p->m > FEW) {
        VARIANT(product_pool)(s, p);
        return;
    }
    /* Eight strips for threads to share; wide enough for the cache to see what comes. Speed only: no bit depends on it.
     */
    Strips strips = {.p = p, .width = STRIP};
    while (strips.width > LEAST && (p->n + strips.width - 1) / strips.width < 8) strips.width -= 64;
    threads_run(stream_threads(s), (p->n + strips.width - 1) / strips.width, make_strip, &strips);
}
