/* kernels/cpu/embedding.c. Sums of repeated ids are compared bit for bit: their order is the tokens'. */
#include "tests/kernels/kernel_test.h"

typedef struct Shape { int64_t rows, width, vocab; } Shape;
static const Shape shapes[] = {{0, 8, 3},       {1, 1, 1},    {13, 33, 5}, {257, 13, 33},
                               {300, 257, 700}, {33, 768, 2}, {5, 0, 4}};

static int32_t *some_ids(int64_t rows, int64_t vocab, uint64_t seed)
{
    int32_t *ids = malloc((size_t)rows * sizeof *ids + 1);
    for (int64_t i = 0; i < rows; i++) ids[i] = (int32_t)(next_random(&seed) % (uint64_t)vocab);
    return ids;
}

static void forward_gathers_and_adds(void **state)
{
    (void)state;
    const Kernels *k;
    for (EACH_ISA(k))
        for (size_t i = 0; i < COUNT(shapes); i++)
            for (int threads = 1; threads <= 3; threads++) {
                const Shape *h = &shapes[i];
                Stream *s = stream_new_cpu(threads);
                float *table = numbers(h->vocab * h->width, 1), *y = rubbish(h->rows * h->width);
                int32_t *ids = some_ids(h->rows, h->vocab, 2), *more = some_ids(h->rows, h->vocab, 3);
                k->embedding_forward(s, DTYPE_F32, DTYPE_F32, y, table, ids, h->rows, h->width, false);
                k->embedding_forward(s, DTYPE_F32, DTYPE_F32, y, table, more, h->rows, h->width, true);
                for (int64_t r = 0; r < h->rows; r++)
                    for (int64_t j = 0; j < h->width; j++) {
                        float want = table[ids[r] * h->width + j] + table[more[r] * h->width + j];
                        assert_true(y[r * h->width + j] == *rounded(&want, 1));
                    }
                free(table), free(y), free(ids), free(more);
                stream_free(s);
            }
}

static void backward_adds_in_the_order_of_the_tokens(void **state)
{
    (void)state;
    const Kernels *k;
    for (EACH_ISA(k))
        for (size_t i = 0; i < COUNT(shapes); i++)
            for (int threads = 1; threads <= 3; threads++)
                for (int accumulate = 0; accumulate < 2; accumulate++) {
                    const Shape *h = &shapes[i];
                    int64_t n = h->vocab * h->width;
                    Stream *s = stream_new_cpu(threads);
                    float *dy = numbers(h->rows * h->width, 1), *d = accumulate ? numbers(n, 4) : rubbish(n);
                    float *want = accumulate ? copy_of(d, n) : calloc((size_t)n + 1, sizeof *want);
                    int32_t *ids = some_ids(h->rows, h->vocab, 2);
                    int64_t padding = threads == 2 ? h->vocab / 2 : -1;
                    for (int64_t r = 0; r < h->rows; r++)
                        for (int64_t j = 0; j < h->width && ids[r] != padding; j++)
                            want[ids[r] * h->width + j] += dy[r * h->width + j];
                    k->embedding_backward(s, DTYPE_F32, d, dy, ids, h->rows, h->width, h->vocab, padding,
                                          accumulate);
                    assert_same_bits("dtable", d, want, n);
                    free(dy), free(d), free(want), free(ids);
                    stream_free(s);
                }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(forward_gathers_and_adds),
        cmocka_unit_test(backward_adds_in_the_order_of_the_tokens),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
