/* product.cuh. The library works on columns: a row-major C = A B is its C^T = B^T A^T, so its first operand is our B.
 * The algorithm for a shape is asked for once and kept, so a shape has the same bits each time. */
#include <cstdlib>
#include <vector>

#include <cublasLt.h>

#include "kernels/cuda/product.cuh"

static constexpr size_t WORKSPACE_BYTES = 32 << 20;

namespace
{

struct Shape {
    bool trans_a, trans_b, bias;
    int64_t m, n, k, lda, ldb, ldc;
    uint32_t alignment;
    bool operator==(const Shape &o) const
    {
        return trans_a == o.trans_a && trans_b == o.trans_b && bias == o.bias && m == o.m && n == o.n && k == o.k &&
               lda == o.lda && ldb == o.ldb && ldc == o.ldc && alignment == o.alignment;
    }
};

struct Plan {
    Shape shape;
    cublasLtMatmulDesc_t operation;
    cublasLtMatrixLayout_t first, second, result;
    cublasLtMatmulAlgo_t algorithm;
};

struct Products {
    cublasLtHandle_t handle;
    void *workspace;
    std::vector<Plan> plans;
};

} // namespace

static bool ok(Stream *s, cublasStatus_t status, const char *what)
{
    if (status == CUBLAS_STATUS_SUCCESS) return true;
    char text[120];
    snprintf(text, sizeof text, "%s: cuBLASLt status %d", what, (int)status);
    stream_set_failed(s, text);
    return false;
}

static Products *products_of(Stream *s)
{
    CudaStream *c = cuda_stream(s);
    if (c->products) return static_cast<Products *>(c->products);
    Products *p = new Products();
    c->products = p;
    if (!ok(s, cublasLtCreate(&p->handle), "cublasLtCreate") ||
        !cuda_ok(s, cudaMalloc(&p->workspace, WORKSPACE_BYTES), "workspace of products"))
        return nullptr;
    return p;
}

static bool layout(Stream *s, cublasLtMatrixLayout_t *layout, int64_t rows, int64_t cols, int64_t stride)
{
    return ok(s, cublasLtMatrixLayoutCreate(layout, CUDA_R_32F, (uint64_t)rows, (uint64_t)cols, stride), "layout");
}

template <typename T>
static bool set(Stream *s, cublasLtMatmulDesc_t d, cublasLtMatmulDescAttributes_t attribute, T value)
{
    return ok(s, cublasLtMatmulDescSetAttribute(d, attribute, &value, sizeof value), "product");
}

static bool choose(Stream *s, Products *p, Plan *plan)
{
    cublasLtMatmulPreference_t preference;
    cublasLtMatmulHeuristicResult_t found;
    int count = 0;
    size_t workspace = WORKSPACE_BYTES;
    uint32_t alignment = plan->shape.alignment;
    if (!ok(s, cublasLtMatmulPreferenceCreate(&preference), "product")) return false;
    cublasLtMatmulPreferenceSetAttribute(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &workspace,
                                         sizeof workspace);
    for (cublasLtMatmulPreferenceAttributes_t which :
         {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
          CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES})
        cublasLtMatmulPreferenceSetAttribute(preference, which, &alignment, sizeof alignment);
    bool good = ok(s,
                   cublasLtMatmulAlgoGetHeuristic(p->handle, plan->operation, plan->first, plan->second, plan->result,
                                                  plan->result, preference, 1, &found, &count),
                   "product: no algorithm");
    cublasLtMatmulPreferenceDestroy(preference);
    if (good && !count) good = ok(s, CUBLAS_STATUS_NOT_SUPPORTED, "product: no algorithm");
    if (good) plan->algorithm = found.algo;
    return good;
}

static void plan_free(Plan *plan)
{
    if (plan->operation) cublasLtMatmulDescDestroy(plan->operation);
    for (cublasLtMatrixLayout_t l : {plan->first, plan->second, plan->result})
        if (l) cublasLtMatrixLayoutDestroy(l);
}

static Plan *plan_of(Stream *s, Products *p, const Shape &h, const float *bias)
{
    for (Plan &plan : p->plans)
        if (plan.shape == h) return &plan;
    Plan plan = {};
    plan.shape = h;
    cublasOperation_t first = h.trans_b ? CUBLAS_OP_T : CUBLAS_OP_N, second = h.trans_a ? CUBLAS_OP_T : CUBLAS_OP_N;
    bool good = ok(s, cublasLtMatmulDescCreate(&plan.operation, CUBLAS_COMPUTE_32F, CUDA_R_32F), "product") &&
                set(s, plan.operation, CUBLASLT_MATMUL_DESC_TRANSA, first) &&
                set(s, plan.operation, CUBLASLT_MATMUL_DESC_TRANSB, second) &&
                layout(s, &plan.first, h.trans_b ? h.k : h.n, h.trans_b ? h.n : h.k, h.ldb) &&
                layout(s, &plan.second, h.trans_a ? h.m : h.k, h.trans_a ? h.k : h.m, h.lda) &&
                layout(s, &plan.result, h.n, h.m, h.ldc);
    if (good && h.bias)
        good = set(s, plan.operation, CUBLASLT_MATMUL_DESC_EPILOGUE, CUBLASLT_EPILOGUE_BIAS) &&
               set(s, plan.operation, CUBLASLT_MATMUL_DESC_BIAS_POINTER, bias);
    if (!good || !choose(s, p, &plan)) {
        plan_free(&plan);
        return nullptr;
    }
    p->plans.push_back(plan);
    return &p->plans.back();
}

void product(Stream *s, bool trans_a, bool trans_b, int64_t m, int64_t n, int64_t k, const float *a, int64_t lda,
             const float *b, int64_t ldb, float *c, int64_t ldc, bool accumulate, const float *bias)
{
    Products *p = stream_has_failed(s) ? nullptr : products_of(s);
    if (!p || !m || !n) return;
    bool aligned = cuda_is_aligned(a) && cuda_is_aligned(b) && cuda_is_aligned(c) && cuda_is_aligned(bias);
    Shape shape = {trans_a, trans_b, bias != nullptr, m, n, k, lda, ldb, ldc, aligned ? 16u : 4u};
    Plan *plan = plan_of(s, p, shape, bias);
    float one = 1, beta = accumulate ? 1 : 0;
    if (!plan || (bias && !set(s, plan->operation, CUBLASLT_MATMUL_DESC_BIAS_POINTER, bias))) return;
    ok(s,
       cublasLtMatmul(p->handle, plan->operation, &one, b, plan->first, a, plan->second, &beta, c, plan->result, c,
                      plan->result, &plan->algorithm, p->workspace, WORKSPACE_BYTES, cuda_queue(s)),
       "product");
}

static int compute_capability(Stream *s)
{
    int major = 0;
    cuda_ok(s, cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, cuda_stream(s)->device), "attribute");
    return major;
}

bool products_set_tf32(Stream *s, bool on) { return cuda_stream(s)->tf32 = on && compute_capability(s) >= 8; }

void products_free(CudaStream *s)
{
    Products *p = static_cast<Products *>(s->products);
    if (!p) return;
    for (Plan &plan : p->plans) plan_free(&plan);
    if (p->handle) cublasLtDestroy(p->handle);
    cudaFree(p->workspace);
    delete p;
}
