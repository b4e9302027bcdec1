/* Matrix products by oneDNN. Its threads are OpenMP's, which the pool's threads have set to one (threads.c). */
#include <oneapi/dnnl/dnnl.h>
#include <pthread.h>
#include <stdio.h>

#include "kernels/gemm.h"
#include "kernels/gemm_library.h"

void gemm_library_sgemm(bool trans_a, bool trans_b, int64_t m, int64_t n, int64_t k, float alpha, const float *a,
                        int64_t lda, const float *b, int64_t ldb, float beta, float *c, int64_t ldc)
{
    dnnl_sgemm(trans_a ? 'T' : 'N', trans_b ? 'T' : 'N', m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}

/* ---- bf16 -------------------------------------------------------------------------------------------------------- */

/* What a call makes; the library keeps the code that it has compiled for a shape. */
typedef struct Bf16Call {
    dnnl_memory_desc_t a, b, c;
    dnnl_primitive_attr_t attr;
    dnnl_primitive_desc_t desc;
    dnnl_primitive_t primitive;
    dnnl_memory_t memory[3];
    dnnl_stream_t stream;
} Bf16Call;

static dnnl_engine_t engine;
static pthread_once_t engine_once = PTHREAD_ONCE_INIT;

static void engine_make(void)
{
    if (dnnl_engine_create(&engine, dnnl_cpu, 0) != dnnl_success) engine = NULL;
}

static bool describe(dnnl_memory_desc_t *d, dnnl_data_type_t type, bool trans, int64_t rows, int64_t cols, int64_t ld)
{
    dnnl_dims_t dims = {rows, cols}, strides = {trans ? 1 : ld, trans ? ld : 1};
    return dnnl_memory_desc_init_by_strides(d, 2, dims, type, strides) == dnnl_success;
}

static bool prepare(Bf16Call *x, bool accumulate)
{
    dnnl_matmul_desc_t matmul;
    dnnl_post_ops_t sum = NULL;
    if (dnnl_primitive_attr_create(&x->attr) != dnnl_success) return false;
    bool fine = !accumulate ||
                (dnnl_post_ops_create(&sum) == dnnl_success && dnnl_post_ops_append_sum(sum, 1) == dnnl_success &&
                 dnnl_primitive_attr_set_post_ops(x->attr, sum) == dnnl_success);
    if (sum) dnnl_post_ops_destroy(sum);
    return fine && dnnl_matmul_desc_init(&matmul, &x->a, &x->b, NULL, &x->c) == dnnl_success &&
           dnnl_primitive_desc_create(&x->desc, &matmul, x->attr, engine, NULL) == dnnl_success &&
           dnnl_primitive_create(&x->primitive, x->desc) == dnnl_success &&
           dnnl_stream_create(&x->stream, engine, dnnl_stream_default_flags) == dnnl_success;
}

static bool perform(Bf16Call *x, const void *a, const void *b, float *c)
{
    void *data[] = {(void *)(uintptr_t)a, (void *)(uintptr_t)b, c}; /* the first two are only read */
    const dnnl_memory_desc_t *descs[] = {&x->a, &x->b, &x->c};
    for (int i = 0; i < 3; i++)
        if (dnnl_memory_create(&x->memory[i], descs[i], engine, data[i]) != dnnl_success) return false;
    dnnl_exec_arg_t args[] = {
        {DNNL_ARG_SRC, x->memory[0]}, {DNNL_ARG_WEIGHTS, x->memory[1]}, {DNNL_ARG_DST, x->memory[2]}};
    return dnnl_primitive_execute(x->primitive, x->stream, 3, args) == dnnl_success &&
           dnnl_stream_wait(x->stream) == dnnl_success;
}

bool gemm_library_bf16(bool trans_a, bool trans_b, int64_t m, int64_t n, int64_t k, const void *a, int64_t lda,
                       const void *b, int64_t ldb, float *c, int64_t ldc, bool accumulate)
{
    Bf16Call x = {0};
    pthread_once(&engine_once, engine_make);
    bool fine = engine && describe(&x.a, dnnl_bf16, trans_a, m, k, lda) &&
                describe(&x.b, dnnl_bf16, trans_b, k, n, ldb) && describe(&x.c, dnnl_f32, false, m, n, ldc) &&
                prepare(&x, accumulate) && perform(&x, a, b, c);
    for (int i = 0; i < 3; i++)
        if (x.memory[i]) dnnl_memory_destroy(x.memory[i]);
    if (x.stream) dnnl_stream_destroy(x.stream);
    if (x.primitive) dnnl_primitive_destroy(x.primitive);
    if (x.desc) dnnl_primitive_desc_destroy(x.desc);
    if (x.attr) dnnl_primitive_attr_destroy(x.attr);
    return fine;
}

void gemm_library_allow_bf16(bool amx)
{
    dnnl_set_max_cpu_isa(amx ? dnnl_cpu_isa_avx512_core_amx : dnnl_cpu_isa_avx512_core_bf16);
}

/* Slower ways exist on any AVX-512; these are the instructions that were made for it. */
bool gemm_has_bf16(void) { return isa_has_bf16() && isa_detect() & ISA_AVX512; }

/* ------------------------------------------------------------------------------------------------------------------ */

void gemm_set_isa(unsigned isa)
{
    if (isa & ISA_AVX512 && gemm_bf16() == BF16_LIBRARY) gemm_library_allow_bf16(isa_has_amx());
    else dnnl_set_max_cpu_isa(isa & ISA_AVX512 ? dnnl_cpu_isa_avx512_core
                              : isa & ISA_AVX2 ? dnnl_cpu_isa_avx2
                                               : dnnl_cpu_isa_sse41);
}

const char *gemm_library(void)
{
    static char name[32]; /* every caller writes the same bytes */
    const dnnl_version_t *v = dnnl_version();
    snprintf(name, sizeof name, "oneDNN %d.%d.%d", v->major, v->minor, v->patch);
    return name;
}
