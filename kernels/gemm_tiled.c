/* Products on the pool by a library (gemm_onednn.c, gemm_cblas.c): C is cut into tiles by its shape alone, each tile is
 * one one-threaded library call over the whole of k, then its epilogue while it is in cache. No sum is split, so
 * neither the number of threads nor their order can change a bit. Of operands that are not f32 a part at a time becomes
 * f32 in scratch, for calls over parts of k that depend on the shape alone; a C that is not f32 is a tile in scratch
 * until it is rounded.
 *
 * Two habits of the library are worked round, both measured on oneDNN 2.6 (shares of its rate at 2048^3, AVX-512):
 *   - an operand whose rows it walks down at a stride of whole pages (3072 floats) falls into few sets of the cache: 91
 *     instead of 102%;
 *   - a transposed B: 85 to 92%.
 * Such an operand's part of a tile is first copied, straight and at an odd stride, into the thread's scratch. */
#include "kernels/gemm.h"

#include <pthread.h>

#include "kernels/cpu/pack.h"
#include "kernels/gemm_library.h"
#include "kernels/stream.h"

typedef struct Product {
    bool copy_a, copy_b, by_library; /* its own bf16 products */
    int64_t m, n, k, depth, tile_m, tile_n, tiles_n; /* depth: values of k of a library call */
    GemmOperand a, b;
    GemmResult c;
    Stream *stream;
    const Packing *packing;
} Product;

/* Copies pay from COPY_ROWS uses of an element on, and while they stay near the cache. Slots 0..3 of scratch are the
 * kernels'. */
enum { COPY_ROWS = 64, COPY_MOST = 1 << 20, PAGE_FLOATS = 512, SKEW = 16, SLOT_A = 4, SLOT_B = 5, SLOT_C = 6 };
/* Values of k of a call where an operand is widened: its part of a tile stays in the second level of cache. */
enum { WIDENED = 1 << 17 };

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

/* ---- the product ------------------------------------------------------------------------------------------------- */

static const char *element(const GemmOperand *x, int64_t row, int64_t col)
{
    if (x->trans) return (const char *)x->data + (size_t)(col * x->ld + row) * dtype_bytes(x->dtype);
    return (const char *)x->data + (size_t)(row * x->ld + col) * dtype_bytes(x->dtype);
}

/* Rows [row, row + rows) of op(A), columns [k, k + depth), for the library. false: no memory. */
static bool part_of_a(const Product *p, int thread, int64_t row, int64_t rows, int64_t k, int64_t depth,
                      GemmOperand *part)
{
    *part = p->a;
    part->data = element(&p->a, row, k);
    if (!p->copy_a) return true;
    int64_t ld = p->a.trans ? ceil_div(p->tile_m, 16) * 16 + SKEW : ceil_div(depth, 16) * 16 + SKEW;
    int64_t most = p->a.trans ? p->depth * ld : p->tile_m * (ceil_div(p->depth, 16) * 16 + SKEW);
    float *y = stream_scratch(p->stream, thread, SLOT_A, (size_t)most * sizeof *y);
    if (stream_failed(p->stream)) return false;
    p->packing->straight(y, ld, p->a.dtype, part->data, p->a.ld, p->a.trans ? depth : rows,
                         p->a.trans ? rows : depth);
    part->data = y, part->ld = ld;
    return true;
}

/* Rows [k, k + depth) of op(B), columns [col, col + cols). A copy is not transposed. */
static bool part_of_b(const Product *p, int thread, int64_t col, int64_t cols, int64_t k, int64_t depth,
                      GemmOperand *part)
{
    *part = p->b;
    part->data = element(&p->b, k, col);
    if (!p->copy_b) return true;
    int64_t ld = ceil_div(p->tile_n, 16) * 16 + SKEW;
    float *y = stream_scratch(p->stream, thread, SLOT_B, (size_t)(p->depth * ld) * sizeof *y);
    if (stream_failed(p->stream)) return false;
    if (p->b.trans) p->packing->transposed(y, ld, p->b.dtype, part->data, p->b.ld, cols, depth);
    else p->packing->straight(y, ld, p->b.dtype, part->data, p->b.ld, depth, cols);
    part->data = y, part->ld = ld, part->trans = false;
    return true;
}

static void tile(void *context, int64_t task, int thread)
{
    const Product *p = context;
    int64_t row = task / p->tiles_n * p->tile_m, col = task % p->tiles_n * p->tile_n;
    int64_t rows = min(p->tile_m, p->m - row), cols = min(p->tile_n, p->n - col), ld = p->c.ld;
    bool narrow = p->c.dtype != DTYPE_F32;
    char *to = (char *)p->c.data + (size_t)(row * ld + col) * dtype_bytes(p->c.dtype);
    float *c = (float *)(void *)to;
    if (narrow) {
        ld = ceil_div(p->tile_n, 16) * 16 + SKEW;
        c = stream_scratch(p->stream, thread, SLOT_C, (size_t)(p->tile_m * ld) * sizeof *c);
        if (stream_failed(p->stream)) return;
        if (p->c.accumulate) p->packing->straight(c, ld, p->c.dtype, to, p->c.ld, rows, cols);
    }
    int64_t k = 0;
    if (p->by_library && !gemm_library_bf16(p->a.trans, p->b.trans, rows, cols, p->k, element(&p->a, row, 0), p->a.ld,
                                            element(&p->b, 0, col), p->b.ld, c, ld, p->c.accumulate))
        stream_set_failed(p->stream, "a product of bfloat16: the library has none; set HONE_BF16=widened");
    if (!p->by_library) do { /* once if k is 0 */
        GemmOperand a, b;
        int64_t depth = min(p->depth, p->k - k);
        if (!part_of_a(p, thread, row, rows, k, depth, &a) || !part_of_b(p, thread, col, cols, k, depth, &b)) return;
        gemm_serial(a.trans, b.trans, rows, cols, depth, 1, a.data, a.ld, b.data, b.ld, k || p->c.accumulate, c, ld);
        k += depth;
    } while (k < p->k);
    if (p->c.epilogue) p->c.epilogue(p->c.context, c, ld, row, col, rows, cols);
    if (narrow) p->packing->narrow(p->c.dtype, to, p->c.ld, c, ld, rows, cols);
}

static const Packing *packing;
static pthread_once_t packing_once = PTHREAD_ONCE_INIT;

static void packing_choose(void)
{
    unsigned isa = isa_detect();
    packing = isa & ISA_AVX512 ? &packing_avx512 : isa & ISA_AVX2 ? &packing_avx2 : &packing_base;
}

/* An operand that is widened: by parts that stay in the second level of cache; nearly equal ones. */
static int64_t choose_depth(const Product *p, int64_t wider)
{
    int64_t most = WIDENED / wider / 64 * 64, parts = ceil_div(p->k, most);
    return parts > 1 ? ceil_div(ceil_div(p->k, parts), 64) * 64 : p->k;
}

void gemm_typed(Stream *s, int64_t m, int64_t n, int64_t k, GemmOperand a, GemmOperand b, GemmResult c)
{
    if (!m || !n) return;
    pthread_once(&packing_once, packing_choose);
    bool by_library = k && a.dtype == DTYPE_BF16 && b.dtype == DTYPE_BF16 && gemm_bf16() == BF16_LIBRARY;
    bool widens_a = a.dtype != DTYPE_F32 && !by_library, widens_b = b.dtype != DTYPE_F32 && !by_library;
    Product p = {.m = m, .n = n, .k = k, .depth = k, .a = a, .b = b, .c = c, .stream = s, .packing = packing,
                 .by_library = by_library};
    p.copy_a = widens_a || (!by_library && a.trans && a.ld % PAGE_FLOATS == 0 && n >= COPY_ROWS);
    p.copy_b = widens_b || (!by_library && (b.trans || b.ld % PAGE_FLOATS == 0) && m >= COPY_ROWS);
    choose_tiles(&p);
    if (widens_a || widens_b) p.depth = choose_depth(&p, widens_a && p.tile_m > p.tile_n ? p.tile_m : p.tile_n);
    p.copy_a = p.copy_a && (widens_a || p.depth * p.tile_m <= COPY_MOST);
    p.copy_b = p.copy_b && (widens_b || p.depth * p.tile_n <= COPY_MOST);
    threads_run(stream_threads(s), ceil_div(m, p.tile_m) * p.tiles_n, tile, &p);
}

void gemm(Stream *s, bool trans_a, bool trans_b, int64_t m, int64_t n, int64_t k, const float *a, int64_t lda,
          const float *b, int64_t ldb, float *c, int64_t ldc, bool accumulate, GemmEpilogue *epilogue, void *context)
{
    gemm_typed(s, m, n, k, (GemmOperand){a, DTYPE_F32, trans_a, lda}, (GemmOperand){b, DTYPE_F32, trans_b, ldb},
               (GemmResult){c, DTYPE_F32, ldc, accumulate, epilogue, context});
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
