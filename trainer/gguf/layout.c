/* See layout.h. */
#include "trainer/gguf/layout.h"

#include <string.h>

/* Row 2i + j of a head there is row j * half + i of it here. */
static void move_rows(float *y, const float *x, int64_t rows, int64_t head_dim, int64_t cols, bool to_gguf)
{
    int64_t half = head_dim / 2;
    for (int64_t r = 0; r < rows; r++) {
        int64_t in = r % head_dim, there = r - in + in % half * 2 + in / half;
        memcpy(y + (to_gguf ? there : r) * cols, x + (to_gguf ? r : there) * cols, (size_t)cols * sizeof *x);
    }
}

void heads_to_gguf(float *y, const float *x, int64_t rows, int64_t head_dim, int64_t cols)
{
    move_rows(y, x, rows, head_dim, cols, true);
}

void heads_from_gguf(float *y, const float *x, int64_t rows, int64_t head_dim, int64_t cols)
{
    move_rows(y, x, rows, head_dim, cols, false);
}

void transpose(float *y, const float *x, int64_t rows, int64_t cols)
{
    enum { TILE = 32 };
    for (int64_t r0 = 0; r0 < rows; r0 += TILE)
        for (int64_t c0 = 0; c0 < cols; c0 += TILE)
            for (int64_t r = r0; r < rows && r < r0 + TILE; r++)
                for (int64_t c = c0; c < cols && c < c0 + TILE; c++) y[c * rows + r] = x[r * cols + c];
}

void add_to_all(float *x, int64_t n, float what)
{
    for (int64_t i = 0; i < n; i++) x[i] += what;
}

int64_t part_rows(int64_t rows, int64_t cols, GgufChange change, int64_t head_dim)
{
    if (change == GGUF_TRANSPOSED) return rows;
    int64_t step = change == GGUF_PAIRED_Q || change == GGUF_PAIRED_KV ? head_dim : 1;
    int64_t part = PART_ELEMENTS / cols / step * step;
    if (part < step) part = step;
    return part < rows ? part : rows;
}
