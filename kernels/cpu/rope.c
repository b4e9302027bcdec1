/* Rotary positions (Su et al. 2021, 3.4.2), half-split as in Llama: (x[i], x[i + half]) turns by positions[row] *
 * frequency[i].
 * Floor: 2*rows*heads*rotary_dim elements moved. */
#include "kernels/cpu/families.h"
#include "kernels/cpu/typed.h"

enum { ELEMENTS = 1 << 14 };

typedef struct Rope {
    Dtype dtype;
    void *x;
    const float *cos, *sin;
    const int32_t *positions;
    int64_t rows, stride, rows_per_task;
    int32_t heads, head_dim, half;
    bool inverse;
} Rope;

VEC_FN void rotate_row(Dtype d, const Rope *a, int64_t row)
{
    int64_t half = a->half;
    const float *c = a->cos + a->positions[row] * half, *s = a->sin + a->positions[row] * half;
    for (int32_t head = 0; head < a->heads; head++) {
        void *x = typed_at(d, a->x, row * a->stride + (int64_t)head * a->head_dim);
        for (int64_t i = 0; i < half; i += VF) {
            int64_t left = half - i;
            vf x0 = at(d, x, i, left), x1 = at(d, x, half + i, left), cs = vf_get(c + i, left),
               sn = vf_get(s + i, left);
            if (a->inverse) sn = -sn;
            put(d, x, i, vf_fma(x0, cs, -(x1 * sn)), left);
            put(d, x, half + i, vf_fma(x1, cs, x0 * sn), left);
        }
    }
}

static void rotate_rows(void *context, int64_t task, int thread)
{
    (void)thread;
    const Rope *a = context;
    int64_t from = task * a->rows_per_task, to = from + a->rows_per_task;
    for (int64_t row = from; row < to && row < a->rows; row++) {
#define LOOP(d) rotate_row(d, a, row)
        switch (a->dtype) { DTYPE_CASES(LOOP) }
#undef LOOP
    }
}

static void rope(Stream *s, Dtype dtype, void *x, const float *cos, const float *sin, const int32_t *positions,
                 int64_t rows, int32_t heads, int32_t head_dim, int32_t rotary_dim, int64_t stride, bool inverse)
{
    Rope a = {.dtype = dtype, .x = x, .cos = cos, .sin = sin, .positions = positions, .rows = rows, .stride = stride,
        .heads = heads,
              .head_dim = head_dim, .half = rotary_dim / 2, .inverse = inverse};
    a.rows_per_task = 1 + ELEMENTS / ((int64_t)heads * head_dim + 1);
    threads_run(stream_threads(s), (rows + a.rows_per_task - 1) / a.rows_per_task, rotate_rows, &a);
}

void VARIANT(rope_install)(Kernels *k) { k->rope = rope; }
