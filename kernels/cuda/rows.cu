/* rows.cuh.
 * Floor: rows*n floats read. */
#include "kernels/cuda/rows.cuh"

enum { SEGMENTS = 8, COLUMNS = 32, PIECE = 256 /* rows of one block of the first stage of rows_sum_columns */ };

/* Block (x, y): columns x*COLUMNS …, rows y*piece …; its sums go to row y of out. */
static __global__ void __launch_bounds__(COLUMNS *SEGMENTS)
    add_rows(float *out, const float *x, int64_t rows, int64_t n, int64_t stride, int64_t piece, bool accumulate)
{
    SHARED(float, sums, [SEGMENTS][COLUMNS]);
    int64_t column = (int64_t)blockIdx.x * COLUMNS + threadIdx.x, first = blockIdx.y * piece,
            last = first + piece < rows ? first + piece : rows;
    float sum = 0;
    if (column < n)
        for (int64_t r = first + threadIdx.y; r < last; r += SEGMENTS) sum += x[r * stride + column];
    sums[threadIdx.y][threadIdx.x] = sum;
    __syncthreads();
    if (threadIdx.y || column >= n) return;
    for (int i = 1; i < SEGMENTS; i++) sum += sums[i][threadIdx.x];
    float *to = out + blockIdx.y * n + column;
    *to = accumulate ? *to + sum : sum;
}

void rows_add_chunks(Stream *s, float *out, const float *partial, int64_t chunks, int64_t n, int64_t stride,
                     bool accumulate)
{
    if (out)
        launch(add_rows, cuda_blocks(n, COLUMNS), dim3(COLUMNS, SEGMENTS), 0, s, out, partial, chunks, n, stride,
               chunks, accumulate);
}

void rows_sum_columns(Stream *s, float *out, const float *x, int64_t rows, int64_t n, bool accumulate)
{
    /* a grid has at most 65535 blocks in y */
    int64_t piece = rows / PIECE < 65535 ? (int64_t)PIECE : rows / 65535 + 1, pieces = (rows + piece - 1) / piece;
    if (pieces > 1) {
        float *partial = (float *)stream_scratch_cuda(s, 0, (size_t)(pieces * n) * sizeof *partial);
        launch(add_rows, dim3(cuda_blocks(n, COLUMNS), (unsigned)pieces), dim3(COLUMNS, SEGMENTS), 0, s, partial, x,
               rows, n, n, piece, false);
        x = partial, rows = pieces;
    }
    rows_add_chunks(s, out, x, rows, n, n, accumulate);
}
