/* Small matrix products in registers, for attention: C[i][j] (+)= sum over p of A[i][p] B[p][j], f32.
 * B and C have rows of whole vectors; an element of A is broadcast, so A may lie at any strides and needs no packing.
 * Each element of C is one chain of fused multiply-adds in the order of p: its bits do not depend on how C is cut into
 * tiles. A tile holds rows x vectors accumulators, up to 6 x 4 of AVX-512's 32 registers and 6 x 2 of 16, so that the
 * multipliers are the limit. At attention's sizes (48 x 32 x 64) it reaches 113 GFLOP/s of a core where dnnl_sgemm has
 * 70 and needs 512 x 512 x 64 for 106 (AVX-512, oneDNN 2.6.3). */
#ifndef HONE_KERNELS_CPU_TILE_H
#define HONE_KERNELS_CPU_TILE_H

#include <stdbool.h>

#include "kernels/vec.h"

enum { TILE_VECTORS = VF == 16 ? 4 : 2 };

typedef struct Operands {
    const float *a, *b;
    float *c;
    int64_t a_row, a_step, b_row, c_row; /* strides: A[i][p] = a[i * a_row + p * a_step] */
} Operands;

/* rows and vectors are constants. */
VEC_FN void tile(const int rows, const int vectors, Operands o, int64_t k, bool accumulate)
{
    vf sum[8][4];
#pragma GCC unroll 8
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
        for (int j = 0; j < vectors; j++) sum[i][j] = accumulate ? vf_load(o.c + i * o.c_row + j * VF) : vf_zero();
    for (int64_t p = 0; p < k; p++) {
        vf b[4];
#pragma GCC unroll 4
        for (int j = 0; j < vectors; j++) b[j] = vf_load(o.b + p * o.b_row + j * VF);
#pragma GCC unroll 8
        for (int i = 0; i < rows; i++) {
            vf a = vf_set(o.a[i * o.a_row + p * o.a_step]);
#pragma GCC unroll 4
            for (int j = 0; j < vectors; j++) sum[i][j] = vf_fma(a, b[j], sum[i][j]);
        }
    }
#pragma GCC unroll 8
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
        for (int j = 0; j < vectors; j++) vf_store(o.c + i * o.c_row + j * VF, sum[i][j]);
}

/* A panel of `vectors` (a constant): m rows in tiles of `most` (a constant), 4, 2, 1; the last few are cut
 * evenly (8 = 4 + 4, not 6 + 2). */
VEC_FN void panel(const int vectors, const int most, Operands o, int64_t m, int64_t k, bool accumulate)
{
    while (m > 0) {
        int rows;
        if (m >= most + 4 || m == most) tile(most, vectors, o, k, accumulate), rows = most;
        else if (m >= 4) tile(4, vectors, o, k, accumulate), rows = 4;
        else if (m >= 2) tile(2, vectors, o, k, accumulate), rows = 2;
        else tile(1, vectors, o, k, accumulate), rows = 1;
        o.a += rows * o.a_row, o.c += rows * o.c_row, m -= rows;
    }
}

/* Two forms, so that one stride of A is a constant: A's rows are contiguous (a_step 1), or its columns (a_row 1). */
#define TILE_PANELS(vectors, most)                                                                                     \
    static void panel_by_rows_##vectors(Operands o, int64_t m, int64_t k, bool accumulate)                             \
    {                                                                                                                  \
        o.a_step = 1;                                                                                                  \
        panel(vectors, most, o, m, k, accumulate);                                                                     \
    }                                                                                                                  \
    static void panel_by_columns_##vectors(Operands o, int64_t m, int64_t k, bool accumulate)                          \
    {                                                                                                                  \
        o.a_row = 1;                                                                                                   \
        panel(vectors, most, o, m, k, accumulate);                                                                     \
    }
TILE_PANELS(1, 8)
TILE_PANELS(2, (VF == 16 ? 8 : 6))
TILE_PANELS(3, (VF == 16 ? 8 : 2))
TILE_PANELS(4, (VF == 16 ? 6 : 2))

/* C [m, vectors * VF] (+)= A [m, k] B. */
static inline void product(Operands o, int64_t m, int64_t vectors, int64_t k, bool accumulate)
{
    bool by_rows = o.a_step == 1;
    while (vectors > 0) {
        int64_t now = vectors < TILE_VECTORS ? vectors : TILE_VECTORS;
        switch (now) {
        case 1: (by_rows ? panel_by_rows_1 : panel_by_columns_1)(o, m, k, accumulate); break;
        case 2: (by_rows ? panel_by_rows_2 : panel_by_columns_2)(o, m, k, accumulate); break;
        case 3: (by_rows ? panel_by_rows_3 : panel_by_columns_3)(o, m, k, accumulate); break;
        default: (by_rows ? panel_by_rows_4 : panel_by_columns_4)(o, m, k, accumulate); break;
        }
        o.b += now * VF, o.c += now * VF, vectors -= now;
    }
}

#endif
