/* Products on the pool: C is cut into tiles by its shape alone, each tile is one one-threaded library call over the whole of k, then its
 * epilogue while it is in cache. No sum is split, so neither the number of threads nor their order can change a bit. */
#include "kernels/gemm.h"

#include "kernels/gemm_library.h"

typedef struct Product {
    bool trans_a, trans_b, accumulate;
    int64_t m, n, k, lda, ldb, ldc, tile_m, tile_n, tiles_n;
    const float *a, *b;
    float *c;
    GemmEpilogue *epilogue;
    void *context;
} Product;

enum { TILES = 16, TILE_M = 256, TILE_N = 384, UNIT_M = 16, UNIT_N = 48 };

static int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
static int64_t min(int64_t a, int64_t b) { return a < b ? a : b; }

/* The side of tiles that cut n into `parts` of nearly equal size, a multiple of the library's register block. */
static int64_t side(int64_t n, int64_t parts, int64_t unit) { return min(n, ceil_div(ceil_div(n, parts), unit) * unit); }

static void choose_tiles(Product *p)
{
    int64_t parts_m = ceil_div(p->m, TILE_M), parts_n = ceil_div(p->n, TILE_N);
    while (parts_m * parts_n < TILES && (p->m > parts_m * 64 || p->n > parts_n * 96)) {
        if (p->m * 2 / parts_m > p->n / parts_n) parts_m *= 2;
        else parts_n *= 2;
    }
    p->tile_m = side(p->m, parts_m, UNIT_M);
    p->tile_n = side(p->n, parts_n, UNIT_N);
    p->tiles_n = ceil_div(p->n, p->tile_n);
}

static void tile(void *context, int64_t task, int thread)
{
    (void)thread;
    const Product *p = context;
    int64_t row = task / p->tiles_n * p->tile_m, col = task % p->tiles_n * p->tile_n;
    int64_t rows = min(p->tile_m, p->m - row), cols = min(p->tile_n, p->n - col);
    const float *a = p->a + (p->trans_a ? row : row * p->lda), *b = p->b + (p->trans_b ? col * p->ldb : col);
    float *c = p->c + row * p->ldc + col;
    gemm_serial(p->trans_a, p->trans_b, rows, cols, p->k, 1, a, p->lda, b, p->ldb, p->accumulate, c, p->ldc);
    if (p->epilogue) p->epilogue(p->context, c, p->ldc, row, col, rows, cols);
}

void gemm(Stream *s, bool trans_a, bool trans_b, int64_t m, int64_t n, int64_t k, const float *a, int64_t lda, const float *b,
          int64_t ldb, float *c, int64_t ldc, bool accumulate, GemmEpilogue *epilogue, void *context)
{
    if (!m || !n) return;
    Product p = {.trans_a = trans_a, .trans_b = trans_b, .accumulate = accumulate, .m = m, .n = n, .k = k, .lda = lda, .ldb = ldb,
                 .ldc = ldc, .a = a, .b = b, .c = c, .epilogue = epilogue, .context = context};
    choose_tiles(&p);
    threads_run(stream_threads(s), ceil_div(m, p.tile_m) * p.tiles_n, tile, &p);
}

void gemm_serial(bool trans_a, bool trans_b, int64_t m, int64_t n, int64_t k, float alpha, const float *a, int64_t lda, const float *b,
                 int64_t ldb, float beta, float *c, int64_t ldc)
{
    if (m && n && k) {
        gemm_library_sgemm(trans_a, trans_b, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
        return;
    }
    for (int64_t i = 0; i < m; i++) /* an empty sum */
        for (int64_t j = 0; j < n; j++) c[i * ldc + j] = beta == 0 ? 0 : beta * c[i * ldc + j];
}
