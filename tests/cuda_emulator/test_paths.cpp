/* Paths that the small shapes of the kernels' tests do not take: long rows, rows too long for shared memory, sorts of
 * several blocks, wide heads. Each is compared with the CPU, and the launch log says that the path was taken, the
 * vectorised one where arrays are aligned. */
#include <cmath>
#include <cstdarg>
#include <cstddef>
#include <cstdint>
#include <csetjmp>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include <unistd.h>

extern "C" {
#include <cmocka.h>
}

#include "tests/cuda_emulator/on_device.h"

typedef std::vector<float> Floats;

static char log_path[] = "/tmp/hone_paths_XXXXXX";
static Stream *cpu, *device;
static const Kernels *k_cpu, *k;

static Floats numbers(int64_t n, uint32_t seed)
{
    Floats x((size_t)n);
    for (float &v : x) seed = seed * 1664525u + 1013904223u, v = (float)(seed >> 8) * 0x1p-23f - 1;
    return x;
}

static void assert_close(const char *what, const Floats &x, const Floats &want, double tolerance)
{
    for (size_t i = 0; i < want.size(); i++)
        if (!(std::fabs((double)x[i] - want[i]) <= tolerance * (1 + std::fabs((double)want[i]))))
            fail_msg("%s: element %zu is %.9g, not %.9g", what, i, (double)x[i], (double)want[i]);
}

/* What has been launched since the last call. */
static std::string launched()
{
    std::string text;
    char part[4096];
    FILE *f = fopen(log_path, "r+");
    assert_non_null(f);
    for (size_t n; (n = fread(part, 1, sizeof part, f)) > 0;) text.append(part, n);
    assert_int_equal(ftruncate(fileno(f), 0), 0);
    fclose(f);
    return text;
}

static void assert_launched(const char *kernel)
{
    std::string text = launched();
    if (text.find(kernel) == std::string::npos) fail_msg("no %s in:\n%s", kernel, text.c_str());
}

/* Numbers that the dtype has; from now on the device's arrays have it. */
static Floats numbers_in(Dtype dtype, int64_t n, uint32_t seed)
{
    Floats x = numbers(n, seed);
    on_device_set_dtype(dtype);
    on_device_round(x.data(), n);
    return x;
}

/* "forward_short<__nv_bfloat16, true>" */
static std::string instance(const char *kernel, Dtype dtype, bool aligned)
{
    const char *type = dtype == DTYPE_BF16 ? "__nv_bfloat16" : dtype == DTYPE_F16 ? "__half" : "float";
    return std::string(kernel) + "<" + type + (aligned ? ", true>" : ", false>");
}

/* What one rounding to the dtype may cost at most, of numbers of about 1 (assert_close is relative). */
static double unit(Dtype dtype) { return dtype == DTYPE_BF16 ? 0x1p-8 : dtype == DTYPE_F16 ? 0x1p-11 : 0; }

static void layer_norm_of(Dtype dtype, int64_t rows, int64_t n, bool aligned, const char *forward, const char *backward)
{
    Floats x = numbers_in(dtype, rows * n, 1), dy = numbers_in(dtype, rows * n, 2), w = numbers_in(dtype, n, 3),
           b = numbers_in(dtype, n, 4);
    Floats y(x), mean((size_t)rows), rstd((size_t)rows), dx(x), dw(w), db(w), y2(x), mean2(mean), rstd2(rstd), dx2(x),
        dw2(w), db2(w);
    k_cpu->layer_norm_forward(cpu, DTYPE_F32, &y[0], &mean[0], &rstd[0], &x[0], &w[0], &b[0], rows, n, 1e-5f);
    k_cpu->layer_norm_backward(cpu, DTYPE_F32, &dx[0], &dw[0], &db[0], &dy[0], &x[0], &mean[0], &rstd[0], &w[0], rows,
                               n, true, true);
    launched();
    k->layer_norm_forward(device, DTYPE_F32, &y2[0], &mean2[0], &rstd2[0], &x[0], &w[0], &b[0], rows, n, 1e-5f);
    assert_launched(instance(forward, dtype, aligned).c_str());
    k->layer_norm_backward(device, DTYPE_F32, &dx2[0], &dw2[0], &db2[0], &dy[0], &x[0], &mean[0], &rstd[0], &w[0], rows,
                           n, true, true);
    assert_launched(instance(backward, dtype, aligned).c_str());
    assert_close("y", y2, y, 3e-6 + unit(dtype)), assert_close("dx", dx2, dx, 5e-6 + unit(dtype));
    assert_close("mean", mean2, mean, 1e-6), assert_close("rstd", rstd2, rstd, 1e-5);
    assert_close("dweight", dw2, dw, 1e-5), assert_close("dbias", db2, db, 1e-5);
}

static void layer_norm_of_any_width(void **)
{
    layer_norm_of(DTYPE_F32, 70, 768, true, "forward_short", "backward_short");
    layer_norm_of(DTYPE_F32, 5, 1024, true, "forward_short", "backward_short");
    layer_norm_of(DTYPE_F32, 5, 1023, false, "forward_short", "backward_short");
    layer_norm_of(DTYPE_F32, 40, 1500, true, "forward_long", "backward_short");
    layer_norm_of(DTYPE_F32, 3, 2049, false, "forward_long", "backward_long");
    /* its sums do not fit in shared memory */
    layer_norm_of(DTYPE_F32, 33, 6000, true, "forward_long", "backward_long");
    layer_norm_of(DTYPE_BF16, 70, 768, true, "forward_short", "backward_short");
    layer_norm_of(DTYPE_F16, 5, 1024, true, "forward_short", "backward_short");
    layer_norm_of(DTYPE_BF16, 5, 1020, false, "forward_short", "backward_short"); /* packs are of 8 */
    layer_norm_of(DTYPE_F16, 3, 4096, true, "forward_long", "backward_short");
    layer_norm_of(DTYPE_BF16, 3, 4104, true, "forward_long", "backward_long");
    layer_norm_of(DTYPE_BF16, 33, 6001, false, "forward_long", "backward_long");
}

static void rms_norm_of(Dtype dtype, int64_t rows, int64_t n, bool aligned, const char *forward, const char *backward)
{
    Floats x = numbers_in(dtype, rows * n, 1), dy = numbers_in(dtype, rows * n, 2), w = numbers_in(dtype, n, 3), y(x),
           rstd((size_t)rows), dx(x), dw(w), y2(x), rstd2(rstd), dx2(x), dw2(w);
    k_cpu->rms_norm_forward(cpu, DTYPE_F32, &y[0], &rstd[0], &x[0], &w[0], rows, n, 1e-5f, 1);
    k_cpu->rms_norm_backward(cpu, DTYPE_F32, &dx[0], &dw[0], &dy[0], &x[0], &rstd[0], &w[0], rows, n, 1, false, true);
    launched();
    k->rms_norm_forward(device, DTYPE_F32, &y2[0], &rstd2[0], &x[0], &w[0], rows, n, 1e-5f, 1);
    assert_launched(instance(forward, dtype, aligned).c_str());
    k->rms_norm_backward(device, DTYPE_F32, &dx2[0], &dw2[0], &dy[0], &x[0], &rstd[0], &w[0], rows, n, 1, false, true);
    assert_launched(instance(backward, dtype, aligned).c_str());
    assert_close("y", y2, y, 3e-6 + unit(dtype)), assert_close("dx", dx2, dx, 5e-6 + unit(dtype));
    assert_close("rstd", rstd2, rstd, 1e-6), assert_close("dweight", dw2, dw, 1e-5);
}

static void rms_norm_of_any_width(void **)
{
    rms_norm_of(DTYPE_F32, 9, 768, true, "forward_short", "backward_short");
    rms_norm_of(DTYPE_F32, 3, 1500, true, "forward_long", "backward_short");
    rms_norm_of(DTYPE_F32, 3, 2049, false, "forward_long", "backward_long");
    rms_norm_of(DTYPE_F32, 33, 12000, true, "forward_long", "backward_long"); /* its sums do not fit in shared memory */
    rms_norm_of(DTYPE_BF16, 70, 768, true, "forward_short", "backward_short");
    rms_norm_of(DTYPE_F16, 9, 1020, false, "forward_short", "backward_short");
    rms_norm_of(DTYPE_BF16, 3, 4096, true, "forward_long", "backward_short");
    rms_norm_of(DTYPE_BF16, 3, 4104, true, "forward_long", "backward_long");
    rms_norm_of(DTYPE_F16, 33, 6001, false, "forward_long", "backward_long");
}

static void embedding_backward_sorts_more_than_a_block(void **)
{
    for (int64_t rows : {2048, 2049, 9000}) {
        int64_t width = 8, vocab = 50;
        std::vector<int32_t> ids((size_t)rows);
        for (int64_t i = 0; i < rows; i++) ids[(size_t)i] = (int32_t)(i * i % 1009 % vocab);
        Floats dy = numbers(rows * width, 1), d = numbers(vocab * width, 2), d2(d);
        k_cpu->embedding_backward(cpu, DTYPE_F32, &d[0], &dy[0], &ids[0], rows, width, vocab, 7, true);
        launched();
        k->embedding_backward(device, DTYPE_F32, &d2[0], &dy[0], &ids[0], rows, width, vocab, 7, true);
        if (rows > 4096) assert_launched("sort_pass");
        assert_close("dtable", d2, d, 0); /* the same order */
    }
}

static void attention_of(int32_t dim, const char *forward)
{
    const int32_t cu[] = {0, 40, 47}, heads = 2;
    const int64_t rows = 47, wide = heads * dim;
    AttentionShape a = {};
    a.cu_seqlens_q = a.cu_seqlens_k = cu, a.num_seqs = 2, a.max_seqlen_q = a.max_seqlen_k = 40;
    a.heads = heads, a.kv_heads = heads, a.head_dim = dim, a.causal = true, a.scale = 1 / std::sqrt((float)dim);
    a.q_stride = a.k_stride = a.v_stride = 3 * wide, a.out_stride = wide;
    Floats in = numbers(rows * 3 * wide, 1), dout = numbers(rows * wide, 2), out(dout), lse((size_t)(rows * heads)),
           din(in), out2(out), lse2(lse), din2(in);
    k_cpu->attention_forward(cpu, DTYPE_F32, &out[0], &lse[0], &in[0], &in[0] + wide, &in[0] + 2 * wide, &a, NULL);
    k_cpu->attention_backward(cpu, DTYPE_F32, &din[0], &din[0] + wide, &din[0] + 2 * wide, &dout[0], &in[0],
                              &in[0] + wide, &in[0] + 2 * wide, &out[0], &lse[0], &a, NULL);
    launched();
    k->attention_forward(device, DTYPE_F32, &out2[0], &lse2[0], &in[0], &in[0] + wide, &in[0] + 2 * wide, &a, NULL);
    assert_launched(forward);
    k->attention_backward(device, DTYPE_F32, &din2[0], &din2[0] + wide, &din2[0] + 2 * wide, &dout[0], &in[0],
                          &in[0] + wide, &in[0] + 2 * wide, &out[0], &lse[0], &a, NULL);
    assert_close("out", out2, out, 2e-6), assert_close("lse", lse2, lse, 2e-6),
        assert_close("gradients", din2, din, 1e-5);
}

static void attention_of_any_head(void **)
{
    attention_of(64, "forward<1, float> grid 8,1,1");
    attention_of(128, "forward<2, float> grid 8,1,1");
    attention_of(200, "forward<4, float> grid 8,1,1");
    attention_of(300, "forward<4, float> grid 8,2,1"); /* two groups of columns */
}

static void cross_entropy_of_a_long_row(void **)
{
    int64_t rows = 3, vocab = 50257;
    int32_t labels[] = {7, 50256, -100};
    Floats z = numbers(rows * vocab, 1), loss(3), d(z), loss2(3), d2(z);
    k_cpu->cross_entropy(cpu, &loss[0], &d[0], &z[0], labels, rows, vocab, 0.5f, 0.1f, 0, 1e-3f);
    k->cross_entropy(device, &loss2[0], &d2[0], &z[0], labels, rows, vocab, 0.5f, 0.1f, 0, 1e-3f);
    assert_close("loss", loss2, loss, 1e-6), assert_close("dlogits", d2, d, 1e-6);
}

static int begin(void **)
{
    int f = mkstemp(log_path);
    if (f < 0) return -1;
    close(f);
    setenv("HONE_EMU_LOG", log_path, 1);
    cpu = stream_new_cpu(1), device = stream_new_on_device(2);
    k_cpu = kernels_cpu(isa_detect()), k = kernels_on_device();
    return 0;
}

static int end(void **)
{
    stream_free(cpu), stream_free(device);
    unlink(log_path);
    return 0;
}

static int in_f32(void **)
{
    on_device_set_dtype(DTYPE_F32);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(layer_norm_of_any_width, in_f32),
        cmocka_unit_test_setup(rms_norm_of_any_width, in_f32),
        cmocka_unit_test_setup(embedding_backward_sorts_more_than_a_block, in_f32),
        cmocka_unit_test_setup(attention_of_any_head, in_f32),
        cmocka_unit_test_setup(cross_entropy_of_a_long_row, in_f32),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
