/* Products on the pool by a library (gemm_onednn.c, gemm_cblas.c): C is cut into tiles by its shape alone, each tile is
 * one one-threaded library call over the whole of k, then its epilogue while it is in cache. No sum is split, so
 * neither the number of threads nor their order can change a bit.
 *
 * Two habits of the library are worked round, both measured on oneDNN 2.6 (shares of its rate at 2048^3, AVX-512):
 *   - an operand whose rows it walks down at a stride of whole pages (3072 floats) falls into few sets of the cache: 91
 *     instead of 102%;
 *   - a transposed B: 85 to 92%.
 * Such an operand's part of a tile is first copied, straight and at an odd stride, into the thread's scratch. */
#include "kernels/gemm.h"

#include "kernels/gemm_library.h"

typedef struct Product {
    bool trans_a, trans_b, accumulate, copy_a, copy_b;
    int64_t m, n, k, lda, ldb, ldc, tile_m, tile_n, tiles_n;
    const float *a, *b;
    float *c;
    GemmEpilogue *epilogue;
    void *context;
    Stream *stream;
} Product;

/* Copies pay from COPY_ROWS uses of an element on, and while they stay near the cache. Slots 0..3 of scratch are the
 * kernels'. */
enum { COPY_ROWS = 64, COPY_MOST = 1 << 20, PAGE_FLOATS = 512, SKEW = 16, SLOT_A = 4, SLOT_B = 5 };

typedef float v4 __attribute__((vector_size(16), aligned(4), may_alias));

static int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
static int64_t min(int64_t a, int64_t b) { return a < b ? a : b; }

/* ---- tiles ------------------------------------------------------------------------------------------------------- */

/* What a tile costs, in multiply-adds: itself, with the library's loss at columns that fill no block of 48; packing a
 * row of A or a column of B; the call. */
static double tile_cost(const Product *p, int64_t rows, int64_t cols)
{
    double m = (double)rows, n = (double)(cols + (cols % 48 ? 6 : 0)), k = (double)p->k;
    return (m * n + m * (p->copy_a ? 10 : 4) + n * (p->copy_b ? 12 : 4)) * k + m * n * 8 + 5e4;
}

/* The tiles that finish first, on 1 to 16 threads alike (few threads count more). A function of the shape. */
static void choose_tiles(Product *p)
{
    static const int16_t rows[] = {32, 64, 96, 128, 192, 256, 384, 512},
                         cols[] = {48, 96, 128, 144, 192, 256, 288, 384, 512, 576, 768};
    double best = 0;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        for (size_t j = 0; j < sizeof cols / sizeof *cols; j++) {
            int64_t tile_m = min(rows[i], p->m), tile_n = min(cols[j], p->n);
            double tiles = (double)(ceil_div(p->m, tile_m) * ceil_div(p->n, tile_n)), cost = 0;
            double one = tile_cost(p, tile_m, tile_n);
            if (tile_m * tile_n > 512 * 384) continue;
            for (int threads = 1; threads <= 16; threads *= 2) {
                double turns = (double)ceil_div((int64_t)tiles, threads);
                cost += (threads <= 2 ? 3 : 1) * turns * one * threads;
            }
            if (best != 0 && cost >= best) continue;
            best = cost, p->tile_m = tile_m, p->tile_n = tile_n;
        }
    p->tiles_n = ceil_div(p->n, p->tile_n);
}

/* ---- copies ------------------------------------------------------------------------------------------------------ */

/* y [rows, ldy] = x [rows, cols] */
static void copy_straight(float *y, int64_t ldy, const float *x, int64_t ldx, int64_t rows, int64_t cols)
{
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < cols; j++) y[i * ldy + j] = x[i * ldx + j];
}

static void transpose_4x4(float *y, int64_t ldy, const float *x, int64_t ldx)
{
    v4 a = *(const v4 *)x, b = *(const v4 *)(x + ldx), c = *(const v4 *)(x + 2 * ldx), d = *(const v4 *)(x + 3 * ldx);
    v4 ab = __builtin_shufflevector(a, b, 0, 4, 1, 5), cd = __builtin_shufflevector(c, d, 0, 4, 1, 5);
    v4 AB = __builtin_shufflevector(a, b, 2, 6, 3, 7), CD = __builtin_shufflevector(c, d, 2, 6, 3, 7);
    *(v4 *)y = __builtin_shufflevector(ab, cd, 0, 1, 4, 5);
    *(v4 *)(y + ldy) = __builtin_shufflevector(ab, cd, 2, 3, 6, 7);
    *(v4 *)(y + 2 * ldy) = __builtin_shufflevector(AB, CD, 0, 1, 4, 5);
    *(v4 *)(y + 3 * ldy) = __builtin_shufflevector(AB, CD, 2, 3, 6, 7);
}

/* y [cols, ldy] = transposed x [rows, cols], by squares of 16: sixteen streams are read on, whole cache lines written.
 * Twice as fast as walking down a strip of columns, whose stride of whole pages misses. */
static void copy_transposed(float *y, int64_t ldy, const float *x, int64_t ldx, int64_t rows, int64_t cols)
{
    enum { SQUARE = 16 };
    for (int64_t row = 0; row < rows; row += SQUARE)
        for (int64_t col = 0; col < cols; col += SQUARE) {
            int64_t row_end = min(row + SQUARE, rows), col_end = min(col + SQUARE, cols), i, j = col;
            for (; j + 4 <= col_end; j += 4) {
                for (i = row; i + 4 <= row_end; i += 4) transpose_4x4(y + j * ldy + i, ldy, x + i * ldx + j, ldx);
                for (; i < row_end; i++)
                    for (int64_t c = j; c < j + 4; c++) y[c * ldy + i] = x[i * ldx + c];
            }
            for (; j < col_end; j++)
                for (i = row; i < row_end; i++) y[j * ldy + i] = x[i * ldx + j];
        }
}

/* ---- the product ------------------------------------------------------------------------------------------------- */

static void tile(void *context, int64_t task, int thread)
{
    const Product *p = context;
    int64_t row = task / p->tiles_n * p->tile_m, col = task % p->tiles_n * p->tile_n;
    int64_t rows = min(p->tile_m, p->m - row), cols = min(p->tile_n, p->n - col), lda = p->lda, ldb = p->ldb;
    const float *a = p->a + (p->trans_a ? row : row * lda), *b = p->b + (p->trans_b ? col * ldb : col);
    float *c = p->c + row * p->ldc + col;
    bool trans_b = p->trans_b;
    if (p->copy_a) {
        int64_t ld = ceil_div(p->tile_m, 16) * 16 + SKEW;
        float *y = stream_scratch(p->stream, thread, SLOT_A, (size_t)(p->k * ld) * sizeof *y);
        if (stream_failed(p->stream)) return;
        copy_straight(y, ld, a, lda, p->k, rows);
        a = y, lda = ld;
    }
    if (p->copy_b) {
        int64_t ld = ceil_div(p->tile_n, 16) * 16 + SKEW;
        float *y = stream_scratch(p->stream, thread, SLOT_B, (size_t)(p->k * ld) * sizeof *y);
        if (stream_failed(p->stream)) return;
        if (trans_b) copy_transposed(y, ld, b, ldb, cols, p->k);
        else copy_straight(y, ld, b, ldb, p->k, cols);
        b = y, ldb = ld, trans_b = false;
    }
    gemm_serial(p->trans_a, trans_b, rows, cols, p->k, 1, a, lda, b, ldb, p->accumulate, c, p->ldc);
    if (p->epilogue) p->epilogue(p->context, c, p->ldc, row, col, rows, cols);
}

void gemm(Stream *s, bool trans_a, bool trans_b, int64_t m, int64_t n, int64_t k, const float *a, int64_t lda,
          const float *b, int64_t ldb, float *c, int64_t ldc, bool accumulate, GemmEpilogue *epilogue, void *context)
{
    if (!m || !n) return;
    Product p = {.trans_a = trans_a, .trans_b = trans_b, .accumulate = accumulate, .m = m, .n = n, .k = k, .lda = lda,
                 .ldb = ldb, .ldc = ldc, .a = a, .b = b, .c = c, .epilogue = epilogue, .context = context, .stream = s};
    p.copy_a = trans_a && lda % PAGE_FLOATS == 0 && n >= COPY_ROWS;
    p.copy_b = (trans_b || ldb % PAGE_FLOATS == 0) && m >= COPY_ROWS;
    choose_tiles(&p);
    p.copy_a = p.copy_a && k * p.tile_m <= COPY_MOST;
    p.copy_b = p.copy_b && k * p.tile_n <= COPY_MOST;
    threads_run(stream_threads(s), ceil_div(m, p.tile_m) * p.tiles_n, tile, &p);
}

void gemm_serial(bool trans_a, bool trans_b, int64_t m, int64_t n, int64_t k, float alpha, const float *a, int64_t lda,
                 const float *b, int64_t ldb, float beta, float *c, int64_t ldc)
{
    if (m && n && k) {
        gemm_library_sgemm(trans_a, trans_b, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
        return;
    }
    for (int64_t i = 0; i < m; i++) /* an empty sum */
        for (int64_t j = 0; j < n; j++) c[i * ldc + j] = beta == 0 ? 0 : beta * c[i * ldc + j];
}
