/* Products on the device: which way they take (the launch log), that every way gives what a double reference gives,
 * rounded once, TF32, the bound on plans, and what the emulated cuBLASLt refuses. */
#include <cublasLt.h>

extern "C" {
#include "kernels/stream.h"
}

#include "tests/cuda_emulator/arrays.h"

static double gelu_tanh(double x) { return 0.5 * x * (1 + std::tanh(0.7978845608028654 * (x + 0.044715 * x * x * x))); }

/* ---- forward ------------------------------ */

struct Layer {
    Dtype d;
    int64_t rows, in, out;
    WeightLayout layout;
    Activation act; /* none or gelu_tanh */
    bool bias, pre;
    int skip; /* of the bias */
};

/* y, where the launches are as said. */
static Floats forward(const Layer &l, int count, const std::vector<const char *> &what)
{
    Floats x = numbers(l.d, l.rows * l.in, 1), w = numbers(l.d, l.in * l.out, 2), b = numbers(l.d, l.out, 3);
    std::vector<double> sums, values;
    for (int64_t r = 0; r < l.rows; r++)
        for (int64_t o = 0; o < l.out; o++) {
            double sum = l.bias ? b[(size_t)o] : 0;
            for (int64_t i = 0; i < l.in; i++)
                sum +=
                    (double)x[(size_t)(r * l.in + i)] * w[(size_t)(l.layout == OUT_IN ? o * l.in + i : i * l.out + o)];
            sums.push_back(sum), values.push_back(l.act == ACT_NONE ? sum : gelu_tanh(sum));
        }
    Array xs(l.d, x), ws(l.d, w), bs(l.d, b, l.skip), y(l.d, l.rows * l.out), pre(l.d, l.rows * l.out);
    launched();
    k->linear_forward(s, l.d, l.d, y.at(), l.pre ? pre.at() : nullptr, xs.at(), ws.at(), l.bias ? bs.at() : nullptr,
                      l.rows, l.in, l.out, l.layout, l.act);
    assert_launched(count, what);
    assert_close("y", y.values(), values, 1e-6 * (double)l.in + unit(l.d) * (l.act == ACT_NONE ? 1 : 2.2));
    if (l.pre) assert_close("pre", pre.values(), sums, 1e-6 * (double)l.in + unit(l.d));
    return y.values();
}

static void aligned_shapes_of_gpt2_take_the_epilogue(void **)
{
    for (Dtype d : {DTYPE_BF16, DTYPE_F16}) {
        std::string type = d == DTYPE_BF16 ? "bf16" : "f16", named = "cublasLtMatmul 3072 5 768 " + type;
        std::string both = named + " GELU_AUX_BIAS\n", gelu = named + " GELU_AUX\n", bias = named + " GELU_BIAS\n";
        forward({d, 5, 768, 3072, IN_OUT, ACT_GELU_TANH, true, true, 0}, 1, {both.c_str()});
        forward({d, 5, 768, 3072, OUT_IN, ACT_GELU_TANH, true, true, 0}, 1, {both.c_str()});
        forward({d, 5, 768, 3072, OUT_IN, ACT_GELU_TANH, false, true, 0}, 1, {gelu.c_str()});
        forward({d, 5, 768, 3072, IN_OUT, ACT_GELU_TANH, true, false, 0}, 1, {bias.c_str()});
        std::string plain = "cublasLtMatmul 2304 5 768 " + type + " BIAS\n";
        forward({d, 5, 768, 2304, IN_OUT, ACT_NONE, true, false, 0}, 1, {plain.c_str()});
    }
    forward({DTYPE_F32, 5, 768, 768, IN_OUT, ACT_NONE, true, false, 0}, 1, {"768 5 768 f32 BIAS\n"});
    /* f32: the activation is a pass */
    forward({DTYPE_F32, 5, 768, 3072, IN_OUT, ACT_GELU_TANH, true, true, 0}, 2, {"3072 5 768 f32 BIAS\n"});
}

static void other_shapes_take_passes(void **)
{
    for (Dtype d : {DTYPE_BF16, DTYPE_F16}) {
        forward({d, 7, 48, 70, IN_OUT, ACT_GELU_TANH, true, true, 0}, 2, {" BIAS\n"}); /* rows of pre not by eights */
        forward({d, 7, 48, 72, IN_OUT, ACT_GELU_TANH, true, true, 1}, 3,
                {"fill_bias", " beta\n"}); /* bias not aligned */
        forward({d, 7, 33, 13, OUT_IN, ACT_NONE, true, false, 1}, 2, {"fill_bias", " beta\n"});
    }
}

/* An epilogue that the library has not, and the bias that begins the sum instead: the same bits. */
static void a_refused_epilogue_is_done_beside(void **)
{
    char message[200];
    for (Dtype d : {DTYPE_F32, DTYPE_BF16, DTYPE_F16}) {
        Layer plain = {d, 9, 40, 64, IN_OUT, ACT_NONE, true, false, 0};
        Floats y = forward(plain, 1, {" BIAS\n"});
        emu::cublas_refuse(CUBLASLT_EPILOGUE_BIAS);
        plain.rows = 9, plain.skip = 8; /* aligned: asked once, and the answer is kept */
        Floats known = forward(plain, 1, {" BIAS\n"});
        stream_free(s), s = stream_new_cuda(0, message);
        Floats beside = forward(plain, 2, {"fill_bias", " beta\n"}),
               again = forward(plain, 2, {"fill_bias", " beta\n"});
        assert_true(y == known && y == beside && y == again);
        emu::cublas_refuse(0);
        if (d == DTYPE_F32) continue;
        Layer gelu = {d, 9, 40, 128, IN_OUT, ACT_GELU_TANH, true, true, 0};
        emu::cublas_refuse(CUBLASLT_EPILOGUE_GELU_AUX_BIAS);
        forward(gelu, 2, {" BIAS\n"});
        emu::cublas_refuse(0);
    }
}

static void no_algorithm_is_an_error_that_names_the_product(void **)
{
    Array x(DTYPE_BF16, numbers(DTYPE_BF16, 3 * 16, 1)), w(DTYPE_BF16, numbers(DTYPE_BF16, 16 * 24, 2));
    Array y(DTYPE_BF16, 3 * 24);
    emu::cublas_refuse(CUBLASLT_EPILOGUE_DEFAULT);
    k->linear_forward(s, DTYPE_BF16, DTYPE_BF16, y.at(), nullptr, x.at(), w.at(), nullptr, 3, 16, 24, IN_OUT, ACT_NONE);
    emu::cublas_refuse(0);
    assert_true(stream_failed(s));
    assert_string_equal(stream_message(s),
                        "cuBLASLt has no algorithm for a product of 3 x 16 by 16 x 24, bfloat16 to bfloat16");
    stream_clear(s);
}

/* ---- TF32 ------------------------------ */

static void tf32_rounds_what_is_multiplied_and_only_where_asked(void **)
{
    Floats ones(8 * 8, 1), x(8 * 8, 1 + 0x1p-10f + 0x1.8p-11f), y(8 * 8);
    Array xs(DTYPE_F32, x), ws(DTYPE_F32, ones), ys(DTYPE_F32, 8 * 8), xb(DTYPE_BF16, ones), yb(DTYPE_BF16, 8 * 8);
    Stream *cpu = stream_new_cpu(1);
    assert_false(stream_set_tf32(cpu, true));
    assert_false(stream_set_tf32(cpu, false));
    stream_free(cpu);
    for (int turn = 0; turn < 4; turn++) {
        bool on = turn % 2;
        assert_true(stream_set_tf32(s, on) == on);
        launched();
        k->linear_forward(s, DTYPE_F32, DTYPE_F32, ys.at(), nullptr, xs.at(), ws.at(), nullptr, 8, 8, 8, OUT_IN,
                          ACT_NONE);
        assert_launched(1, {on ? "8 8 8 tf32\n" : "8 8 8 f32\n"});
        for (float v : ys.values()) assert_true(v == (on ? 8 * (1 + 0x1p-9f) : 8 * x[0])); /* to nearest */
        k->linear_forward(s, DTYPE_BF16, DTYPE_BF16, yb.at(), nullptr, xb.at(), xb.at(), nullptr, 8, 8, 8, OUT_IN,
                          ACT_NONE);
        assert_launched(1, {"8 8 8 bf16\n"});
    }
    Array dw(DTYPE_F32, 8 * 8);
    stream_set_tf32(s, true);
    k->linear_backward_input(s, DTYPE_F32, DTYPE_F32, ys.at(), xs.at(), ws.at(), 8, 8, 8, OUT_IN, false);
    k->linear_backward_weight(s, DTYPE_F32, dw.floats(), nullptr, xs.at(), ws.at(), 8, 8, 8, OUT_IN, false);
    assert_launched(2, {"8 8 8 tf32\n"});
    for (float v : dw.values()) assert_true(v == 8 * (1 + 0x1p-9f));
    stream_set_tf32(s, false);
}

/* ---- plans ------------------------------ */

/* Rows that change from step to step: the plans of the longest unused go, and come again. */
static void plans_are_bounded_and_freed(void **)
{
    enum { MOST = 256, EACH = 4 /* an operation, three layouts */ };
    size_t before = emu::cublas_objects();
    char message[200];
    Stream *kept = s;
    s = stream_new_cuda(0, message);
    Floats x = numbers(DTYPE_BF16, 300 * 8, 1);
    {
        Array xs(DTYPE_BF16, x), ws(DTYPE_BF16, Floats(8 * 8, 0.5f)), ys(DTYPE_BF16, 300 * 8);
        auto of_rows = [&](int64_t rows) {
            k->linear_forward(s, DTYPE_BF16, DTYPE_BF16, ys.at(), nullptr, xs.at(), ws.at(), nullptr, rows, 8, 8,
                              OUT_IN, ACT_NONE);
        };
        for (int64_t rows = 1; rows <= 300; rows++) {
            of_rows(rows), of_rows(1); /* which is never unused for long */
            size_t plans = (emu::cublas_objects() - before - 1) / EACH;
            assert_int_equal(plans, rows < MOST ? (int)rows : (int)MOST);
        }
        uint64_t asked = emu::cublas_asked();
        for (int64_t rows = 300; rows > 300 - (MOST - 1); rows--) of_rows(rows);
        of_rows(1);
        assert_int_equal(emu::cublas_asked(), asked); /* all are there */
        of_rows(2), of_rows(2);
        assert_int_equal(emu::cublas_asked(), asked + 1); /* had gone */
        of_rows(300);
        Floats y = ys.values();
        for (size_t r = 0; r < 300; r++) {
            float sum = 0;
            for (size_t i = 0; i < 8; i++) sum += x[r * 8 + i] * 0.5f;
            for (size_t i = 0; i < 8; i++) assert_true(y[r * 8 + i] == bf16(sum));
        }
    }
    stream_free(s), s = kept;
    assert_int_equal(emu::cublas_objects(), before);
}

/* ---- few rows ------------------------------ */

static void few_rows_take_their_own_kernel_in_slices(void **)
{
    struct {
        int64_t rows;
        WeightLayout layout;
        int count;
        const char *kernel;
    } cases[] = {{1, IN_OUT, 2, "in_out<__nv_bfloat16, 1, true> grid 72,1,1"},
                 {3, IN_OUT, 2, "in_out<__nv_bfloat16, 8, true> grid 72,1,1"},
                 {9, IN_OUT, 1, "in_out<__nv_bfloat16, 8, true> grid 24,1,1"},
                 {1, OUT_IN, 1, "out_in<__nv_bfloat16, 1, true> grid 96,1,1"},
                 {9, OUT_IN, 1, "out_in<__nv_bfloat16, 8, true> grid 192,1,1"}};
    Array x(DTYPE_BF16, numbers(DTYPE_BF16, 9 * 768, 1)), w(DTYPE_BF16, numbers(DTYPE_BF16, 768 * 768, 2)),
        y(DTYPE_BF16, 9 * 768);
    for (auto &c : cases) {
        launched();
        k->linear_forward_alone(s, DTYPE_BF16, DTYPE_BF16, y.at(), nullptr, x.at(), w.at(), nullptr, c.rows, 768, 768,
                                c.layout, ACT_NONE);
        assert_launched(c.count, {c.kernel});
    }
}

/* ---- the emulated library ------------------------------ */

static cublasStatus_t ask(cudaDataType a, cudaDataType b, cudaDataType c, uint32_t epilogue, uintptr_t bias,
                          uintptr_t aux, int64_t stride, cublasComputeType_t compute = CUBLAS_COMPUTE_32F)
{
    cublasLtMatmulDesc_t o;
    cublasLtMatrixLayout_t la, lb, lc;
    cublasLtMatmulPreference_t p;
    cublasLtMatmulHeuristicResult_t found;
    int count;
    uint32_t schemes = CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE;
    assert_int_equal(cublasLtMatmulDescCreate(&o, compute, CUDA_R_32F), 0);
    cublasLtMatmulDescSetAttribute(o, CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue, sizeof epilogue);
    cublasLtMatmulDescSetAttribute(o, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &bias, sizeof bias);
    cublasLtMatmulDescSetAttribute(o, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER, &aux, sizeof aux);
    cublasLtMatmulDescSetAttribute(o, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD, &stride, sizeof stride);
    cublasLtMatrixLayoutCreate(&la, a, 16, 16, 16), cublasLtMatrixLayoutCreate(&lb, b, 16, 16, 16);
    cublasLtMatrixLayoutCreate(&lc, c, 16, 16, 16), cublasLtMatmulPreferenceCreate(&p);
    cublasLtMatmulPreferenceSetAttribute(p, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, &schemes, sizeof schemes);
    cublasStatus_t status = cublasLtMatmulAlgoGetHeuristic(nullptr, o, la, lb, lc, lc, p, 1, &found, &count);
    cublasLtMatmulDescDestroy(o), cublasLtMatmulPreferenceDestroy(p);
    for (cublasLtMatrixLayout_t l : {la, lb, lc}) cublasLtMatrixLayoutDestroy(l);
    return status;
}

static void the_emulated_library_refuses_what_the_real_one_documents(void **)
{
    const cudaDataType f32 = CUDA_R_32F, b16 = CUDA_R_16BF, h16 = CUDA_R_16F;
    const uint32_t none = CUBLASLT_EPILOGUE_DEFAULT, bias = CUBLASLT_EPILOGUE_BIAS,
                   gelu = CUBLASLT_EPILOGUE_GELU_AUX_BIAS;
    const int ok = CUBLAS_STATUS_SUCCESS, no = CUBLAS_STATUS_NOT_SUPPORTED, bad = CUBLAS_STATUS_INVALID_VALUE;
    assert_int_equal(ask(b16, b16, b16, none, 0, 0, 0), ok);
    assert_int_equal(ask(h16, h16, f32, none, 0, 0, 0), ok);
    assert_int_equal(ask(b16, h16, f32, none, 0, 0, 0), no);
    assert_int_equal(ask(f32, f32, b16, none, 0, 0, 0), no);
    assert_int_equal(ask(b16, b16, h16, none, 0, 0, 0), no);
    assert_int_equal(ask(b16, b16, b16, none, 0, 0, 0, CUBLAS_COMPUTE_32F_FAST_TF32), no);
    assert_int_equal(ask(f32, f32, f32, none, 0, 0, 0, CUBLAS_COMPUTE_32F_FAST_TF32), ok);
    assert_int_equal(ask(b16, b16, b16, bias, 0, 0, 0), bad);
    assert_int_equal(ask(b16, b16, b16, bias, 4096, 0, 0), ok);
    assert_int_equal(ask(b16, b16, b16, bias, 4096 + 8, 0, 0), no);
    assert_int_equal(ask(b16, b16, b16, gelu, 4096, 8192, 16), ok);
    assert_int_equal(ask(b16, b16, b16, gelu, 4096, 8192, 20), no);
    assert_int_equal(ask(b16, b16, b16, gelu, 4096, 8192, 8), bad);
    assert_int_equal(ask(b16, b16, b16, gelu, 4096, 8192 + 2, 16), no);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(aligned_shapes_of_gpt2_take_the_epilogue),
        cmocka_unit_test(other_shapes_take_passes),
        cmocka_unit_test(a_refused_epilogue_is_done_beside),
        cmocka_unit_test(no_algorithm_is_an_error_that_names_the_product),
        cmocka_unit_test(tf32_rounds_what_is_multiplied_and_only_where_asked),
        cmocka_unit_test(plans_are_bounded_and_freed),
        cmocka_unit_test(few_rows_take_their_own_kernel_in_slices),
        cmocka_unit_test(the_emulated_library_refuses_what_the_real_one_documents),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
