/* cuBLASLt as hone calls it: f32 products of column-major matrices with the transposes, leading dimensions, beta and
 * bias epilogue of the real one, queued on the stream. A sum goes over k in ascending order, so no bit depends on m or
 * n. */
#include <cstring>

#include <cublasLt.h>

#include "tests/cuda_emulator/stream.h"

using namespace emu;

namespace
{

struct Operation {
    cublasOperation_t trans_a, trans_b;
    cublasLtEpilogue_t epilogue;
    const float *bias;
};

struct Layout {
    cudaDataType type;
    uint64_t rows, cols;
    int64_t stride;
};

struct Product {
    Operation operation;
    Layout a, b, c;
    const float *a_data, *b_data;
    float *c_data, alpha, beta;
    int64_t m, n, k;
};

} // namespace

static size_t extent(const Layout &l)
{
    return l.cols ? ((l.cols - 1) * (uint64_t)l.stride + l.rows) * sizeof(float) : 0;
}

/* to [k, m] = op(A)^T: a sum's next terms for all rows lie side by side */
static void pack(std::vector<float> *to, const Product &p)
{
    to->resize((size_t)(p.m * p.k));
    for (int64_t k = 0; k < p.k; k++)
        for (int64_t i = 0; i < p.m; i++)
            (*to)[(size_t)(k * p.m + i)] =
                p.operation.trans_a == CUBLAS_OP_N ? p.a_data[k * p.a.stride + i] : p.a_data[i * p.a.stride + k];
}

#if defined(__x86_64__) && !defined(__SANITIZE_ADDRESS__)
__attribute__((target_clones("avx512f", "avx2", "default")))
#endif
static void
add_scaled(float *sum, const float *x, float factor, int64_t n)
{
#pragma GCC ivdep
    for (int64_t i = 0; i < n; i++) sum[i] += x[i] * factor;
}

static void multiply(const Product &p)
{
    std::vector<float> a, sum((size_t)p.m);
    pack(&a, p);
    for (int64_t j = 0; j < p.n; j++) {
        float *c = p.c_data + j * p.c.stride;
        std::fill(sum.begin(), sum.end(), 0.0f);
        for (int64_t k = 0; k < p.k; k++)
            add_scaled(sum.data(), a.data() + k * p.m,
                       p.operation.trans_b == CUBLAS_OP_N ? p.b_data[j * p.b.stride + k] : p.b_data[k * p.b.stride + j],
                       p.m);
        for (int64_t i = 0; i < p.m; i++) {
            float x = p.alpha * sum[(size_t)i];
            if (p.beta != 0) x += p.beta * c[i]; /* else C is not read */
            if (p.operation.epilogue == CUBLASLT_EPILOGUE_BIAS) x += p.operation.bias[i];
            c[i] = x;
        }
    }
}

extern "C" {

cublasStatus_t cublasLtCreate(cublasLtHandle_t *handle)
{
    *handle = reinterpret_cast<cublasLtHandle_t>(new int(0));
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtDestroy(cublasLtHandle_t handle)
{
    delete reinterpret_cast<int *>(handle);
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t *d, cublasComputeType_t compute, cudaDataType_t scale)
{
    if (compute != CUBLAS_COMPUTE_32F || scale != CUDA_R_32F) return CUBLAS_STATUS_NOT_SUPPORTED;
    *d = reinterpret_cast<cublasLtMatmulDesc_t>(
        new Operation{CUBLAS_OP_N, CUBLAS_OP_N, CUBLASLT_EPILOGUE_DEFAULT, nullptr});
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t d)
{
    delete reinterpret_cast<Operation *>(d);
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t d, cublasLtMatmulDescAttributes_t attribute,
                                              const void *value, size_t bytes)
{
    Operation *o = reinterpret_cast<Operation *>(d);
    switch (attribute) {
    case CUBLASLT_MATMUL_DESC_TRANSA:
        if (bytes != sizeof o->trans_a) return CUBLAS_STATUS_INVALID_VALUE;
        memcpy(&o->trans_a, value, bytes);
        break;
    case CUBLASLT_MATMUL_DESC_TRANSB:
        if (bytes != sizeof o->trans_b) return CUBLAS_STATUS_INVALID_VALUE;
        memcpy(&o->trans_b, value, bytes);
        break;
    case CUBLASLT_MATMUL_DESC_EPILOGUE:
        if (bytes != sizeof o->epilogue) return CUBLAS_STATUS_INVALID_VALUE;
        memcpy(&o->epilogue, value, bytes);
        if (o->epilogue != CUBLASLT_EPILOGUE_DEFAULT && o->epilogue != CUBLASLT_EPILOGUE_BIAS)
            report("cublasLt: epilogue %d is not emulated", (int)o->epilogue);
        break;
    case CUBLASLT_MATMUL_DESC_BIAS_POINTER:
        if (bytes != sizeof o->bias) return CUBLAS_STATUS_INVALID_VALUE;
        memcpy(&o->bias, value, bytes);
        break;
    default:
        report("cublasLt: attribute %d of a product is not emulated", (int)attribute);
    }
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t *l, cudaDataType type, uint64_t rows, uint64_t cols,
                                          int64_t stride)
{
    if (type != CUDA_R_32F) return CUBLAS_STATUS_NOT_SUPPORTED;
    if (!rows || !cols || stride < (int64_t)rows) return CUBLAS_STATUS_INVALID_VALUE;
    *l = reinterpret_cast<cublasLtMatrixLayout_t>(new Layout{type, rows, cols, stride});
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t l)
{
    delete reinterpret_cast<Layout *>(l);
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t *p)
{
    *p = reinterpret_cast<cublasLtMatmulPreference_t>(new int(0));
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t p)
{
    delete reinterpret_cast<int *>(p);
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t, cublasLtMatmulPreferenceAttributes_t,
                                                    const void *, size_t)
{
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t, cublasLtMatmulDesc_t, cublasLtMatrixLayout_t,
                                              cublasLtMatrixLayout_t, cublasLtMatrixLayout_t, cublasLtMatrixLayout_t,
                                              cublasLtMatmulPreference_t, int asked,
                                              cublasLtMatmulHeuristicResult_t results[], int *count)
{
    if (asked < 1) return CUBLAS_STATUS_INVALID_VALUE;
    memset(results, 0, sizeof *results);
    *count = 1;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t, cublasLtMatmulDesc_t operation, const void *alpha, const void *a,
                              cublasLtMatrixLayout_t a_layout, const void *b, cublasLtMatrixLayout_t b_layout,
                              const void *beta, const void *c, cublasLtMatrixLayout_t c_layout, void *d,
                              cublasLtMatrixLayout_t, const cublasLtMatmulAlgo_t *, void *workspace,
                              size_t workspace_bytes, cudaStream_t stream)
{
    std::lock_guard<std::recursive_mutex> hold(emu::mutex);
    Product p = {*reinterpret_cast<Operation *>(operation),
                 *reinterpret_cast<Layout *>(a_layout),
                 *reinterpret_cast<Layout *>(b_layout),
                 *reinterpret_cast<Layout *>(c_layout),
                 static_cast<const float *>(a),
                 static_cast<const float *>(b),
                 static_cast<float *>(d),
                 *static_cast<const float *>(alpha),
                 *static_cast<const float *>(beta),
                 0,
                 0,
                 0};
    bool plain_a = p.operation.trans_a == CUBLAS_OP_N, plain_b = p.operation.trans_b == CUBLAS_OP_N;
    p.m = (int64_t)(plain_a ? p.a.rows : p.a.cols), p.k = (int64_t)(plain_a ? p.a.cols : p.a.rows);
    p.n = (int64_t)(plain_b ? p.b.cols : p.b.rows);
    if (c != d || (int64_t)(plain_b ? p.b.rows : p.b.cols) != p.k || (int64_t)p.c.rows != p.m ||
        (int64_t)p.c.cols != p.n)
        return CUBLAS_STATUS_INVALID_VALUE;
    memory_check_range(a, extent(p.a), "cublasLtMatmul: A");
    memory_check_range(b, extent(p.b), "cublasLtMatmul: B");
    memory_check_range(d, extent(p.c), "cublasLtMatmul: D");
    if (workspace_bytes) memory_check_range(workspace, workspace_bytes, "cublasLtMatmul: workspace");
    if (p.operation.epilogue == CUBLASLT_EPILOGUE_BIAS)
        memory_check_range(p.operation.bias, (size_t)p.m * sizeof(float), "cublasLtMatmul: bias");
    Op op = {};
    op.kind = OpKind::LIBRARY;
    op.library = [p] { multiply(p); };
    op.name = "cublasLtMatmul " + std::to_string(p.m) + " " + std::to_string(p.n) + " " + std::to_string(p.k);
    enqueue(stream_of(stream), std::move(op));
    return CUBLAS_STATUS_SUCCESS;
}

} // extern "C"
