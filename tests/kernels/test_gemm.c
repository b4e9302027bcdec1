/* kernels/gemm.h against a double reference; the same bits for every number of threads, with each instruction set of
 * the library. */
#include "tests/kernels/kernel_test.h"

#include <sys/wait.h>
#include <unistd.h>

typedef struct Case { bool trans_a, trans_b, accumulate; int64_t m, n, k; } Case;

static void reference(const Case *c, const float *a, int64_t lda, const float *b, int64_t ldb, const float *before,
                      int64_t ldc, double *want)
{
    for (int64_t i = 0; i < c->m; i++)
        for (int64_t j = 0; j < c->n; j++) {
            double sum = c->accumulate ? before[i * ldc + j] : 0;
            for (int64_t p = 0; p < c->k; p++)
                sum += (double)a[c->trans_a ? p * lda + i : i * lda + p] * b[c->trans_b ? j * ldb + p : p * ldb + j];
            want[i * c->n + j] = sum;
        }
}

static void check(Stream *const streams[3], const Case *c, int64_t pad)
{
    int64_t lda = (c->trans_a ? c->m : c->k) + pad, ldb = (c->trans_b ? c->k : c->n) + pad, ldc = c->n + pad;
    float *a = numbers((c->trans_a ? c->k : c->m) * lda, 1), *b = numbers((c->trans_b ? c->n : c->k) * ldb, 2);
    float *before = numbers(c->m * ldc, 3), *first = NULL;
    double *want = zeros(c->m * c->n);
    reference(c, a, lda, b, ldb, before, ldc, want);
    for (int t = 0; t < 3; t++) {
        float *y = copy_of(before, c->m * ldc);
        gemm(streams[t], c->trans_a, c->trans_b, c->m, c->n, c->k, a, lda, b, ldb, y, ldc, c->accumulate, NULL, NULL);
        for (int64_t i = 0; i < c->m; i++) {
            assert_close("gemm", y + i * ldc, want + i * c->n, c->n, 1e-6 * (double)(c->k + 1));
            assert_same_bits("beside C", y + i * ldc + c->n, before + i * ldc + c->n,
                             pad); /* nothing else is touched */
        }
        if (first) assert_same_bits("threads", first, y, c->m * ldc);
        else first = copy_of(y, c->m * ldc);
        free(y);
    }
    free(a), free(b), free(before), free(first), free(want);
}

static void check_all(void)
{
    static const int64_t sizes[][3] = {{0, 3, 2},      {3, 0, 2},      {3, 2, 0},     {1, 1, 1},
                                       {1, 257, 33},   {257, 1, 13},   {13, 33, 1},   {33, 13, 65},
                                       {129, 257, 65}, {300, 700, 17}, {70, 1201, 40}};
    Stream *streams[3] = {stream_new_cpu(1), stream_new_cpu(2), stream_new_cpu(3)};
    for (size_t i = 0; i < COUNT(sizes); i++)
        for (int bits = 0; bits < 8; bits++) {
            Case c = {bits & 1, bits >> 1 & 1, bits >> 2 & 1, sizes[i][0], sizes[i][1], sizes[i][2]};
            check(streams, &c, bits % 3);
        }
    for (int t = 0; t < 3; t++) stream_free(streams[t]);
}

/* The library keeps the first set that it is told, so each has a process. */
static void equals_the_reference_with_each_instruction_set_and_thread_count(void **state)
{
    (void)state;
    unsigned machine = isa_detect(), isa = 0;
    for (unsigned bit = ISA_BASE; bit <= ISA_AVX512; bit <<= 1) {
        if (!(machine & bit)) continue;
        isa |= bit;
        fflush(NULL);
        pid_t child = fork();
        assert_true(child >= 0);
        if (!child) {
            gemm_set_isa(isa);
            check_all();
            _exit(0); /* a failed assertion returns to cmocka in the child: it exits with another status below */
        }
        int status;
        assert_int_equal(waitpid(child, &status, 0), child);
        if (status) fail_msg("with %s", isa_name(isa));
    }
}

typedef struct Seen { int64_t rows, cols; float *c; unsigned char *visits; int64_t ldc; } Seen;

static void visit(void *context, float *c, int64_t ldc, int64_t row, int64_t col, int64_t rows, int64_t cols)
{
    Seen *s = context;
    if (ldc != s->ldc || c != s->c + row * ldc + col || row + rows > s->rows || col + cols > s->cols) abort();
    for (int64_t i = row; i < row + rows; i++)
        for (int64_t j = col; j < col + cols; j++) s->visits[i * s->cols + j]++, s->c[i * ldc + j] += 1000;
}

static void epilogue_sees_every_element_once_when_it_is_finished(void **state)
{
    (void)state;
    Stream *s = stream_new_cpu(2);
    int64_t m = 301, n = 517, k = 9;
    float *a = numbers(m * k, 1), *b = numbers(k * n, 2), *plain = rubbish(m * n), *y = rubbish(m * n);
    Seen seen = {m, n, y, calloc((size_t)(m * n), 1), n};
    gemm(s, false, false, m, n, k, a, k, b, n, plain, n, false, NULL, NULL);
    gemm(s, false, false, m, n, k, a, k, b, n, y, n, false, visit, &seen);
    for (int64_t i = 0; i < m * n; i++) {
        assert_int_equal(seen.visits[i], 1);
        plain[i] += 1000;
    }
    assert_same_bits("epilogue", y, plain, m * n);
    free(a), free(b), free(plain), free(y), free(seen.visits);
    stream_free(s);
}

static void serial_scales_and_adds(void **state)
{
    (void)state;
    float a[] = {1, 2, 3, 4}, b[] = {5, 6, 7, 8}, c[] = {1, 1, 1, 1}, d[] = {1, NAN};
    gemm_serial(false, false, 2, 2, 2, 0.5f, a, 2, b, 2, 2, c, 2);
    float want[] = {0.5f * 19 + 2, 0.5f * 22 + 2, 0.5f * 43 + 2, 0.5f * 50 + 2};
    assert_same_bits("serial", c, want, 4);
    gemm_serial(false, false, 1, 2, 0, 1, a, 1, b, 2, 0, d, 2); /* an empty sum overwrites, whatever was there */
    assert_true(d[0] == 0 && d[1] == 0);
    assert_non_null(gemm_library());
}

/* ---- other dtypes than f32 ---- */

/* n numbers of [-1, 1) that bf16 has, in it. */
static uint16_t *bf16_numbers(int64_t n, uint64_t seed, float *same)
{
    float *x = numbers(n, seed);
    uint16_t *y = malloc((size_t)n * sizeof *y);
    assert_non_null(y);
    for (int64_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, x + i, sizeof bits);
        y[i] = (uint16_t)(bits >> 16), bits &= 0xFFFF0000u;
        memcpy(same + i, &bits, sizeof bits);
    }
    free(x);
    return y;
}

/* k is long enough for several parts; every number of threads gives the same bits. */
static void check_bf16(bool trans_a, bool trans_b, bool accumulate)
{
    enum { M = 130, N = 70, K = 2500 };
    float *a = rubbish(M * K), *b = rubbish(K * N), *before = numbers(M * N, 3), *first = NULL;
    uint16_t *low_a = bf16_numbers(M * K, 1, a), *low_b = bf16_numbers(K * N, 2, b);
    double *want = zeros(M * N);
    Case c = {trans_a, trans_b, accumulate, M, N, K};
    int64_t lda = trans_a ? M : K, ldb = trans_b ? K : N;
    reference(&c, a, lda, b, ldb, before, N, want);
    for (int threads = 1; threads <= 3; threads++) {
        Stream *s = stream_new_cpu(threads);
        float *y = copy_of(before, M * N);
        gemm_typed(s, M, N, K, (GemmOperand){low_a, DTYPE_BF16, trans_a, lda},
                   (GemmOperand){low_b, DTYPE_BF16, trans_b, ldb},
                   (GemmResult){y, DTYPE_F32, N, accumulate, NULL, NULL});
        assert_false(stream_failed(s));
        assert_close("bf16", y, want, M * N, 1e-6 * sqrt(K) * 10);
        if (first) assert_same_bits("threads", first, y, M * N);
        else first = copy_of(y, M * N);
        free(y);
        stream_free(s);
    }
    free(a), free(b), free(before), free(first), free(low_a), free(low_b), free(want);
}

static void bf16_equals_the_reference_widened_and_by_the_library(void **state)
{
    (void)state;
    Bf16Products chosen = gemm_bf16();
    for (int how = BF16_WIDENED; how <= BF16_LIBRARY; how++) {
        gemm_set_bf16((Bf16Products)how);
        if (gemm_bf16() != (Bf16Products)how) continue; /* there are none */
        for (int bits = 0; bits < 8; bits++) check_bf16(bits & 1, bits >> 1 & 1, bits >> 2);
    }
    gemm_set_bf16(chosen);
}

static void rates_are_measured_in_a_moment(void **state)
{
    (void)state;
    Stream *s = stream_new_cpu(2);
    Bf16Products chosen = gemm_bf16();
    GemmRates r = gemm_rates(s);
    assert_true(r.f32 > 1e6 && r.bf16_widened > 1e6 && (r.bf16_library > 1e6) == gemm_has_bf16());
    assert_int_equal(gemm_bf16(), chosen);
    stream_free(s);
}

static void what_is_asked_of_bf16_is_checked(void **state)
{
    (void)state;
    char why[ISA_WHY_BYTES];
    assert_true(gemm_bf16_allowed(NULL, why) && gemm_bf16_allowed("", why) && gemm_bf16_allowed("widened", why));
    assert_false(gemm_bf16_allowed("fast", why));
    assert_non_null(strstr(why, "HONE_BF16 is `fast`; it may be widened or library"));
    assert_int_equal(gemm_bf16_allowed("library", why), gemm_has_bf16());
    if (!gemm_has_bf16()) assert_non_null(strstr(why, "has no products of bfloat16 for this CPU"));
}

/* What a library does not promise: our own kernels give a row the same bits whatever is beside it, and transposed
 * operands too. */
static void own_kernels_give_a_row_its_bits_alone(void **state)
{
    (void)state;
    if (strcmp(gemm_library(), "own kernels")) skip();
    enum { M = 67, N = 129, K = 700 };
    Stream *s = stream_new_cpu(2);
    float *a = numbers(M * K, 1), *b = numbers(K * N, 2), *turned = rubbish(K * N), *all = rubbish(M * N),
          *part = rubbish(M * N);
    for (int i = 0; i < K; i++)
        for (int j = 0; j < N; j++) turned[j * K + i] = b[i * N + j];
    gemm(s, false, false, M, N, K, a, K, b, N, all, N, false, NULL, NULL);
    for (int rows = 1; rows <= M; rows += 11) {
        gemm(s, false, true, rows, N, K, a, K, turned, K, part, N, false, NULL, NULL);
        assert_same_bits("first rows", part, all, rows * N);
        gemm_serial(false, false, rows, N, K, 1, a + (M - rows) * K, K, b, N, 0, part, N);
        assert_same_bits("last rows", part, all + (M - rows) * N, rows * N);
    }
    free(a), free(b), free(turned), free(all), free(part);
    stream_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equals_the_reference_with_each_instruction_set_and_thread_count),
        cmocka_unit_test(epilogue_sees_every_element_once_when_it_is_finished),
        cmocka_unit_test(serial_scales_and_adds),
        cmocka_unit_test(bf16_equals_the_reference_widened_and_by_the_library),
        cmocka_unit_test(rates_are_measured_in_a_moment),
        cmocka_unit_test(what_is_asked_of_bf16_is_checked),
        cmocka_unit_test(own_kernels_give_a_row_its_bits_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
