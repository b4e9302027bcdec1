/* pack.h. The transposition goes by squares of 16: sixteen streams are read on, whole cache lines written. Twice as
 * fast as walking down a strip of columns, whose stride of whole pages misses.
 * Floor: the part read in its dtype, and written in f32. */
#include "kernels/cpu/pack.h"

#include "kernels/cpu/typed.h"
#include "kernels/cpu/typed_fours.h"
#include "kernels/variant.h"

static int64_t min(int64_t a, int64_t b) { return a < b ? a : b; }

static void straight(float *y, int64_t ldy, Dtype dtype, const void *x, int64_t ldx, int64_t rows, int64_t cols)
{
#define LOOP(d) \
    for (int64_t i = 0; i < rows; i++) widen_span(d, y + i * ldy, typed_at(d, x, i * ldx), cols)
    switch (dtype) { DTYPE_CASES(LOOP) }
#undef LOOP
}

static void narrow(Dtype dtype, void *y, int64_t ldy, const float *x, int64_t ldx, int64_t rows, int64_t cols)
{
#define LOOP(d) \
    for (int64_t i = 0; i < rows; i++) narrow_span(d, typed_at(d, y, i * ldy), x + i * ldx, cols)
    switch (dtype) { DTYPE_CASES(LOOP) }
#undef LOOP
}

VEC_FN void transpose(Dtype d, float *y, int64_t ldy, const void *x, int64_t ldx, int64_t rows, int64_t cols)
{
    enum { SQUARE = 16 };
    for (int64_t row = 0; row < rows; row += SQUARE)
        for (int64_t col = 0; col < cols; col += SQUARE) {
            int64_t row_end = min(row + SQUARE, rows), col_end = min(col + SQUARE, cols), i, j = col;
            for (; j + 4 <= col_end; j += 4) {
                for (i = row; i + 4 <= row_end; i += 4) transpose_4x4(d, y + j * ldy + i, ldy, x, i * ldx + j, ldx);
                for (; i < row_end; i++)
                    for (int64_t c = j; c < j + 4; c++) y[c * ldy + i] = at_one(d, x, i * ldx + c);
            }
            for (; j < col_end; j++)
                for (i = row; i < row_end; i++) y[j * ldy + i] = at_one(d, x, i * ldx + j);
        }
}

static void transposed(float *y, int64_t ldy, Dtype dtype, const void *x, int64_t ldx, int64_t rows, int64_t cols)
{
#define LOOP(d) transpose(d, y, ldy, x, ldx, rows, cols)
    switch (dtype) { DTYPE_CASES(LOOP) }
#undef LOOP
}

const Packing VARIANT(packing) = {straight, transposed, narrow};
