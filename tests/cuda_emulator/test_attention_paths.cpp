/* Which kernels attention takes: tensor cores where dtype, width of a head, strides and addresses allow it, f32
 * arithmetic elsewhere. What they compute is test_attention.c's. */
#include "tests/cuda_emulator/arrays.h"

struct Given {
    Dtype dtype;
    int32_t dim;
    int gap, skip; /* between rows; of each array, from where it is aligned: elements */
    float p, softcap;
    const char *forward, *queries, *keys;
};

static void runs(const Given &g)
{
    const int32_t cu_seqlens[] = {0, 20, 23}, samples[] = {4, 1}, heads = 4, kv_heads = 2;
    const int64_t rows = 23, wide = heads * g.dim + g.gap, narrow = kv_heads * g.dim + g.gap;
    int32_t *cu = static_cast<int32_t *>(stream_allocate(s, sizeof cu_seqlens));
    int32_t *sample = static_cast<int32_t *>(stream_allocate(s, sizeof samples));
    k->copy(s, cu, cu_seqlens, sizeof cu_seqlens), k->copy(s, sample, samples, sizeof samples);
    AttentionShape a = {};
    a.cu_seqlens_q = a.cu_seqlens_k = cu, a.num_seqs = 2, a.max_seqlen_q = a.max_seqlen_k = 20;
    a.heads = heads, a.kv_heads = kv_heads, a.head_dim = g.dim, a.q_stride = a.out_stride = wide;
    a.k_stride = a.v_stride = narrow, a.causal = true, a.scale = 0.125f, a.softcap = g.softcap;
    Dropout dropout = {};
    dropout.p = g.p, dropout.cu_seqlens = cu, dropout.sample = sample, dropout.num_seqs = 2;
    Floats x = numbers(g.dtype, rows * wide, 1), y = numbers(g.dtype, rows * narrow, 2);
    Array q(g.dtype, x, g.skip), kk(g.dtype, y, g.skip), v(g.dtype, y, g.skip), dout(g.dtype, x, g.skip);
    Array out(g.dtype, rows * wide, g.skip), dq(g.dtype, rows * wide, g.skip), dk(g.dtype, rows * narrow, g.skip),
        dv(g.dtype, rows * narrow, g.skip), lse(DTYPE_F32, heads * rows);
    launched();
    k->attention_forward(s, g.dtype, out.at(), lse.floats(), q.at(), kk.at(), v.at(), &a, &dropout);
    assert_launched(1, {g.forward});
    k->attention_backward(s, g.dtype, dq.at(), dk.at(), dv.at(), dout.at(), q.at(), kk.at(), v.at(), out.at(),
                          lse.floats(), &a, &dropout);
    assert_launched(3, {"delta<", g.queries, g.keys});
    stream_release(s, cu), stream_release(s, sample);
}

static void tensor_cores_take_what_they_can(void **)
{
    runs({DTYPE_BF16, 64, 0, 0, 0, 0, "mma_forward<64, __nv_bfloat16, false> grid 8,1,1",
          "mma_queries<64, __nv_bfloat16, false> grid 8,1,1", "mma_keys<64, __nv_bfloat16, false> grid 4,1,1"});
    runs({DTYPE_BF16, 64, 8, 0, 0.1f, 0, "mma_forward<64, __nv_bfloat16, true>", "mma_queries<64, __nv_bfloat16, true>",
          "mma_keys<64, __nv_bfloat16, true>"});
    runs({DTYPE_F16, 64, 0, 0, 0, 5, "mma_forward<64, __half, true>", "mma_queries<64, __half, true>",
          "mma_keys<64, __half, true>"});
    runs({DTYPE_F16, 32, 0, 0, 0, 0, "mma_forward<64, __half, false>", "mma_queries<64, __half, false>",
          "mma_keys<64, __half, false>"});
    runs({DTYPE_BF16, 80, 0, 8, 0, 0, "mma_forward<128, __nv_bfloat16, false>",
          "mma_queries<128, __nv_bfloat16, false>", "mma_keys<128, __nv_bfloat16, false>"});
    runs({DTYPE_F16, 128, 0, 0, 0.1f, 0, "mma_forward<128, __half, true>", "mma_queries<128, __half, true>",
          "mma_keys<128, __half, true>"});
}

static void f32_arithmetic_takes_the_rest(void **)
{
    runs({DTYPE_F32, 64, 0, 0, 0, 0, " forward<1, float>", " queries<1, float>", " keys<1, float>"});
    runs({DTYPE_BF16, 64, 4, 0, 0, 0, " forward<1, __nv_bfloat16>", " queries<1, __nv_bfloat16>",
          " keys<1, __nv_bfloat16>"}); /* rows that are not */
    runs({DTYPE_F16, 64, 0, 1, 0, 0, " forward<1, __half>", " queries<1, __half>", " keys<1, __half>"}); /* arrays */
    runs({DTYPE_BF16, 20, 0, 0, 0, 0, " forward<1, __nv_bfloat16>", " queries<1, __nv_bfloat16>",
          " keys<1, __nv_bfloat16>"});
    runs({DTYPE_F16, 136, 0, 0, 0.1f, 0, " forward<4, __half>", " queries<4, __half>", " keys<4, __half>"});
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tensor_cores_take_what_they_can),
        cmocka_unit_test(f32_arithmetic_takes_the_rest),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
