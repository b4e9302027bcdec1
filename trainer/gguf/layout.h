/* Where a tensor's numbers are in a GGUF file and in a model directory. */
#ifndef HONE_GGUF_LAYOUT_H
#define HONE_GGUF_LAYOUT_H

#include "trainer/models/gguf_names.h"

/* Rows of heads, as a model has them (halves of a head are turned together) and as GGUF has them (neighbours are):
 * `rows` whole heads of head_dim rows of `cols`. No overlap. */
void heads_to_gguf(float *y, const float *x, int64_t rows, int64_t head_dim, int64_t cols);
void heads_from_gguf(float *y, const float *x, int64_t rows, int64_t head_dim, int64_t cols);
void transpose(float *y, const float *x, int64_t rows, int64_t cols); /* y [cols, rows] */
void add_to_all(float *x, int64_t n, float what);

/* The rows of a tensor that are worked on together: as many as fit PART_ELEMENTS, whole heads, or all of a transposed
 * one. */
enum { PART_ELEMENTS = 1 << 22 };
int64_t part_rows(int64_t rows, int64_t cols, GgufChange change, int64_t head_dim);

#endif
