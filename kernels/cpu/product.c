/* Matrix products of our own (Goto and van de Geijn 2008; Van Zee and van de Geijn 2015): a tile of C is made from
 * blocks of DEPTH values of k; the tile's parts of A and B are packed into panels of MR rows and NR columns, zeros
 * beyond the edge, so that the innermost loop reads both straight, and a panel of B stays in the first level of cache
 * while those of A pass by.
 *
 * A value of C is the sum over blocks of DEPTH, each summed by one chain of fused multiply-adds in the order of k: it
 * depends on k and the instruction set alone. So neither the tile that it is in, nor the rows beside it, nor the
 * thread, nor a transposition changes a bit. */
#include "kernels/cpu/families.h"
#include "kernels/cpu/product.h"
#include "kernels/cpu/typed_fours.h"

/* MR x 2 vectors of sums, 2 of B and one of A fill the registers: 32 of AVX-512, 16 else. */
enum { MR = VF == 16 ? 12 : 6, NR = 2 * VF, DEPTH = 256, SKEW = 16 };
/* Floats of a panel; the skew keeps panels from falling into the same sets of the cache. */
enum { PANEL_A = DEPTH * MR + SKEW, PANEL_B = DEPTH * NR + SKEW };
enum { SERIAL_M = 16 * MR, SERIAL_N = 128, ALIGNMENT = 64 };

static int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
static int64_t min(int64_t a, int64_t b) { return a < b ? a : b; }

/* ---- packing ----------------------------------------------------------------------------------------------------- */

/* x [depth, n] from element `first` on -> panels [ceil(n / width)][depth][width] of f32. A row is read to its end:
 * whole cache lines, few pages. */
VEC_FN void pack_straight(Dtype d, float *y, int64_t panel, int width, const void *x, int64_t first, int64_t ldx,
                          int64_t depth, int64_t n)
{
    for (int64_t p = 0; p < depth; p++) {
        int64_t row = first + p * ldx, j = 0;
        float *to = y + p * width;
        for (; j + width <= n; j += width, to += panel) {
            if (d == DTYPE_F32) memcpy(to, (const float *)x + row + j, (size_t)width * sizeof *to);
            else if (width % VF == 0) widen_span(d, to, typed_at(d, x, row + j), width);
            else
                for (int c = 0; c < width; c++) to[c] = at_one(d, x, row + j + c);
        }
        if (j < n)
            for (int c = 0; c < width; c++) to[c] = j + c < n ? at_one(d, x, row + j + c) : 0;
    }
}

/* x [n, depth] -> the same panels. */
VEC_FN void pack_transposed(Dtype d, float *y, int64_t panel, int width, const void *x, int64_t first, int64_t ldx,
                            int64_t depth, int64_t n)
{
    for (int64_t j = 0; j < n; j += width, y += panel, first += width * ldx) {
        int full = n - j < width ? (int)(n - j) : width;
        for (int64_t strip = 0; strip < depth; strip += 16) { /* a cache line of each row */
            int64_t end = min(strip + 16, depth);
            int c = 0;
            for (; c + 4 <= full; c += 4) {
                int64_t p = strip;
                for (; p + 4 <= end; p += 4) transpose_4x4(d, y + p * width + c, width, x, first + c * ldx + p, ldx);
                for (; p < end; p++)
                    for (int r = c; r < c + 4; r++) y[p * width + r] = at_one(d, x, first + r * ldx + p);
            }
            for (; c < full; c++)
                for (int64_t p = strip; p < end; p++) y[p * width + c] = at_one(d, x, first + c * ldx + p);
            for (; c < width; c++)
                for (int64_t p = strip; p < end; p++) y[p * width + c] = 0;
        }
    }
}

/* ---- the innermost loop ------------------------------------------------------------------------------------------ */

typedef struct Store {
    float alpha, beta; /* C = alpha * sum + beta * C; beta 0: C is not read */
    int64_t ldc;
} Store;

/* `rows` (a constant) rows of a panel of A times one of B; the first `valid` rows and `cols` columns are stored. */
VEC_FN void kernel(int rows, int64_t depth, const float *a, const float *b, float *c, const Store *s, int64_t valid,
                   int64_t cols)
{
    vf sum[MR][2];
#pragma GCC unroll 16
    for (int i = 0; i < rows; i++) {
        __builtin_prefetch(c + i * s->ldc, 1), __builtin_prefetch(c + i * s->ldc + NR - 1, 1); /* harmless anywhere */
        sum[i][0] = vf_zero(), sum[i][1] = vf_zero();
    }
    for (int64_t p = 0; p < depth; p++) {
        vf b0 = vf_load(b + p * NR), b1 = vf_load(b + p * NR + VF);
#pragma GCC unroll 16
        for (int i = 0; i < rows; i++) {
            vf ai = vf_set(a[p * MR + i]);
            sum[i][0] = vf_fma(ai, b0, sum[i][0]), sum[i][1] = vf_fma(ai, b1, sum[i][1]);
        }
    }
    vf alpha = vf_set(s->alpha), beta = vf_set(s->beta);
#pragma GCC unroll 16
    for (int i = 0; i < rows; i++) {
        if (i >= valid) return;
        float *to = c + i * s->ldc;
        vf low = sum[i][0] * alpha, high = sum[i][1] * alpha;
        if (cols == NR) {
            if (s->beta != 0) low += vf_load(to) * beta, high += vf_load(to + VF) * beta;
            vf_store(to, low), vf_store(to + VF, high);
        } else {
            if (s->beta != 0) low += vf_get(to, cols) * beta;
            vf_put(to, low, cols);
            if (cols <= VF) continue;
            if (s->beta != 0) high += vf_get(to + VF, cols - VF) * beta;
            vf_put(to + VF, high, cols - VF);
        }
    }
}

static __attribute__((noinline)) void kernel_full(int64_t depth, const float *a, const float *b, float *c,
                                                  const Store *s, int64_t cols)
{
    kernel(MR, depth, a, b, c, s, MR, cols);
}

/* The last rows of a tile: the smallest kernel that has them all. */
static __attribute__((noinline)) void kernel_rest(int64_t depth, const float *a, const float *b, float *c,
                                                  const Store *s, int64_t rows, int64_t cols)
{
    if (rows == 1) kernel(1, depth, a, b, c, s, rows, cols);
    else if (rows == 2) kernel(2, depth, a, b, c, s, rows, cols);
    else if (rows <= 4) kernel(4, depth, a, b, c, s, rows, cols);
    else if (rows <= 8 && MR > 8) kernel(8 < MR ? 8 : MR, depth, a, b, c, s, rows, cols);
    else kernel(MR, depth, a, b, c, s, rows, cols);
}

/* ---- tiles ------------------------------------------------------------------------------------------------------- */

static void pack_a(const Product *p, float *to, int64_t row, int64_t rows, int64_t k, int64_t depth)
{
#define LOOP(d)                                                                                       \
    if (p->trans_a) pack_straight(d, to, PANEL_A, MR, p->a, k * p->lda + row, p->lda, depth, rows);   \
    else pack_transposed(d, to, PANEL_A, MR, p->a, row * p->lda + k, p->lda, depth, rows)
    switch (p->type_a) { DTYPE_CASES(LOOP) }
#undef LOOP
}

static void pack_b(const Product *p, float *to, int64_t col, int64_t cols, int64_t k, int64_t depth)
{
#define LOOP(d)                                                                                       \
    if (p->trans_b) pack_transposed(d, to, PANEL_B, NR, p->b, col * p->ldb + k, p->ldb, depth, cols); \
    else pack_straight(d, to, PANEL_B, NR, p->b, k * p->ldb + col, p->ldb, depth, cols)
    switch (p->type_b) { DTYPE_CASES(LOOP) }
#undef LOOP
}

/* The part of C that is made: C itself, or scratch in f32 until it is rounded. */
typedef struct Tile {
    float *c; /* its first element */
    int64_t ldc, rows, cols;
} Tile;

/* One block of DEPTH of a tile, from its panels. */
static void add_block(const Product *p, const Tile *t, const float *a, const float *b, int64_t k, int64_t depth)
{
    Store s = {.alpha = p->alpha, .beta = k ? 1 : p->beta, .ldc = t->ldc};
    for (int64_t j = 0; j < t->cols; j += NR, b += PANEL_B) {
        float *c = t->c + j;
        int64_t n = min(NR, t->cols - j), i = 0;
        for (; i + MR <= t->rows; i += MR) kernel_full(depth, a + i / MR * PANEL_A, b, c + i * t->ldc, &s, n);
        if (i < t->rows) kernel_rest(depth, a + i / MR * PANEL_A, b, c + i * t->ldc, &s, t->rows - i, n);
    }
}

/* By the calling thread alone, packing on its stack. */
void VARIANT(product_serial)(const Product *p)
{
    _Alignas(ALIGNMENT) float a[SERIAL_M / MR * PANEL_A], b[SERIAL_N / NR * PANEL_B];
    for (int64_t j = 0; j < p->n; j += SERIAL_N)
        for (int64_t k = 0; k < p->k; k += DEPTH) {
            int64_t depth = min(DEPTH, p->k - k), cols = min(SERIAL_N, p->n - j);
            pack_b(p, b, j, cols, k, depth);
            for (int64_t i = 0; i < p->m; i += SERIAL_M) {
                Tile t = {(float *)p->c + i * p->ldc + j, p->ldc, min(SERIAL_M, p->m - i), cols};
                pack_a(p, a, i, t.rows, k, depth);
                add_block(p, &t, a, b, k, depth);
            }
        }
}

/* ---- on the pool ------------------------------------------------------------------------------------------------- */

/* The part of a product whose panels are in memory at once, and how it is shared out. */
typedef struct Part {
    const Product *p;
    Stream *stream;
    int64_t row, col, k, rows, cols, depth; /* where it is, its size */
    float *a, *b;                            /* panels: [blocks of k][panels of the part] */
    int64_t panels_a, panels_b, blocks, groups_a, groups_b;
    int64_t tile_m, tile_n, tiles_n;
} Part;

/* MOST: floats of all panels of an operand. GROUP: rows or columns of a packing task, a multiple of MR and NR. */
enum { MOST = 4 << 20, GROUP = 96, TILE_M = 192, TILE_N = 256, TILES = 24, SLOT_A = 4, SLOT_B = 5, SLOT_C = 6 };

static void pack_group(void *context, int64_t task, int thread)
{
    (void)thread;
    const Part *t = context;
    int64_t block = task / (t->groups_a + t->groups_b), group = task % (t->groups_a + t->groups_b), k = block * DEPTH;
    int64_t depth = min(DEPTH, t->depth - k);
    if (group < t->groups_a) {
        int64_t i = group * GROUP;
        pack_a(t->p, t->a + (block * t->panels_a + i / MR) * PANEL_A, t->row + i, min(GROUP, t->rows - i), t->k + k,
               depth);
    } else {
        int64_t j = (group - t->groups_a) * GROUP;
        pack_b(t->p, t->b + (block * t->panels_b + j / NR) * PANEL_B, t->col + j, min(GROUP, t->cols - j), t->k + k,
               depth);
    }
}

/* In f32 scratch, as C is not: k is not cut into parts then. */
static bool open_tile(const Part *t, Tile *tile, int64_t row, int64_t col, int thread)
{
    const Product *p = t->p;
    tile->ldc = t->tile_n;
    tile->c = stream_scratch(t->stream, thread, SLOT_C, (size_t)(t->tile_m * t->tile_n) * sizeof(float));
    if (stream_failed(t->stream)) return false;
#define LOOP(d)                               \
    for (int64_t i = 0; i < tile->rows; i++) \
        widen_span(d, tile->c + i * tile->ldc, typed_at(d, p->c, (row + i) * p->ldc + col), tile->cols)
    if (p->beta != 0) switch (p->type_c) { DTYPE_CASES(LOOP) }
#undef LOOP
    return true;
}

static void close_tile(const Product *p, const Tile *tile, int64_t row, int64_t col)
{
#define LOOP(d)                               \
    for (int64_t i = 0; i < tile->rows; i++) \
        narrow_span(d, typed_at(d, p->c, (row + i) * p->ldc + col), tile->c + i * tile->ldc, tile->cols)
    switch (p->type_c) { DTYPE_CASES(LOOP) }
#undef LOOP
}

static void make_tile(void *context, int64_t task, int thread)
{
    const Part *t = context;
    const Product *p = t->p;
    int64_t i = task / t->tiles_n * t->tile_m, j = task % t->tiles_n * t->tile_n, row = t->row + i, col = t->col + j;
    Tile tile = {(float *)p->c + row * p->ldc + col, p->ldc, min(t->tile_m, t->rows - i), min(t->tile_n, t->cols - j)};
    if (p->type_c != DTYPE_F32 && !open_tile(t, &tile, row, col, thread)) return;
    for (int64_t block = 0; block < t->blocks; block++)
        add_block(p, &tile, t->a + (block * t->panels_a + i / MR) * PANEL_A,
                  t->b + (block * t->panels_b + j / NR) * PANEL_B, t->k + block * DEPTH,
                  min(DEPTH, t->depth - block * DEPTH));
    if (t->k + t->depth < p->k) return;
    if (p->epilogue) p->epilogue(p->context, tile.c, tile.ldc, row, col, tile.rows, tile.cols);
    if (p->type_c != DTYPE_F32) close_tile(p, &tile, row, col);
}

/* Nearly equal tiles, enough of them that threads finish together; smaller ones lose time at their edges. Speed only:
 * no bit depends on it. */
static void choose_tiles(Part *t)
{
    int64_t parts_m = ceil_div(t->rows, TILE_M), parts_n = ceil_div(t->cols, TILE_N);
    while (parts_m * parts_n < TILES) {
        int64_t m = ceil_div(t->rows, parts_m), n = ceil_div(t->cols, parts_n);
        if (m >= n && m > 4 * MR) parts_m++;
        else if (n > 2 * NR) parts_n++;
        else break;
    }
    t->tile_m = ceil_div(ceil_div(t->rows, parts_m), MR) * MR,
    t->tile_n = ceil_div(ceil_div(t->cols, parts_n), NR) * NR;
    t->tiles_n = ceil_div(t->cols, t->tile_n);
}

static void make_part(Stream *s, Part *t)
{
    Threads *threads = stream_threads(s);
    t->panels_a = ceil_div(t->rows, MR), t->panels_b = ceil_div(t->cols, NR);
    t->blocks = t->depth ? ceil_div(t->depth, DEPTH) : 1; /* an empty sum is stored too */
    t->groups_a = ceil_div(t->rows, GROUP), t->groups_b = ceil_div(t->cols, GROUP);
    t->a = stream_scratch(s, 0, SLOT_A, (size_t)(t->panels_a * t->blocks * PANEL_A) * sizeof *t->a);
    t->b = stream_scratch(s, 0, SLOT_B, (size_t)(t->panels_b * t->blocks * PANEL_B) * sizeof *t->b);
    if (stream_failed(s)) return;
    threads_run(threads, t->blocks * (t->groups_a + t->groups_b), pack_group, t);

    choose_tiles(t);
    threads_run(threads, ceil_div(t->rows, t->tile_m) * t->tiles_n, make_tile, t);
}

void VARIANT(product_pool)(Stream *s, const Product *p)
{
    int64_t most_k = p->type_c == DTYPE_F32 ? min(p->k, 16 * DEPTH) : p->k, most_m;
    most_k = most_k ? most_k : 1, most_m = MOST / most_k / GROUP * GROUP, most_m = most_m ? most_m : GROUP;
    int64_t most_n = most_m;
    for (int64_t k = 0; k == 0 || k < p->k; k += most_k)
        for (int64_t col = 0; col < p->n; col += most_n)
            for (int64_t row = 0; row < p->m; row += most_m) {
                Part t = {.p = p, .stream = s, .row = row, .col = col, .k = k, .rows = min(most_m, p->m - row),
                          .cols = min(most_n, p->n - col), .depth = min(most_k, p->k - k)};
                make_part(s, &t);
            }
}
