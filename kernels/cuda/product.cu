/* product.cuh. The library works on columns: a row-major C = A B is its C^T = B^T A^T, so its first operand is our B.
 *
 * What makes a shape give the same bits each time: its algorithm is asked for once and kept with it (plans), a sum is
 * taken by one block, or by several whose parts are stored in f32 and added in a step of its own
 * (REDUCTION_SCHEME_COMPUTE_TYPE); the schemes that add in place or round the parts to the output's type are excluded.
 *
 * Epilogues, each only where the library documents it and finds an algorithm; elsewhere the caller does the same in
 * passes of its own:
 *   bias             of the output's type, aligned to 16 bytes
 *   gelu             tanh's, which is the only one that it has; of 16-bit types (f32 is bound by its products) from
 *                    compute capability 9.0 on: before that it costs more than the pass that it saves (llm.c)
 *   pre beside gelu  rows at a multiple of 8 elements, aligned to 16 bytes
 * Not used: relu, which makes NaN 0; bias gradients, whose sums run in an order that is documented nowhere and which
 * some versions got wrong. */
#include <cstdlib>
#include <cstring>

#include <cublasLt.h>

#include "kernels/cuda/memory.cuh"
#include "kernels/cuda/product.cuh"

static constexpr size_t WORKSPACE_BYTES = 32 << 20; /* what NVIDIA advises for compute capability 9.0 */
enum { MOST_PLANS = 256 }; /* a model has some 30; where the number of tokens changes from step to step, that of each */

namespace
{

/* All of which a plan depends on: words without gaps, which are compared and hashed as such. */
struct Shape {
    int64_t m, n, k, lda, ldb, ldc;
    int64_t trans_a, trans_b, from, to, tf32, alignment, epilogue;
};

struct Plan {
    Shape shape;
    uint64_t used; /* when, by the clock of Products */
    bool found;    /* else the library has no algorithm for it */
    cublasLtMatmulDesc_t operation;
    cublasLtMatrixLayout_t first, second, result;
    cublasLtMatmulAlgo_t algorithm;
};

struct Products {
    cublasLtHandle_t handle;
    void *workspace;
    int capability; /* major */
    int count;
    uint64_t clock;
    uint64_t hashes[MOST_PLANS]; /* of the plans' shapes, side by side: a search reads 2 KiB at most */
    Plan plans[MOST_PLANS];
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

static int compute_capability(Stream *s)
{
    int major = 0;
    cuda_ok(s, cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, cuda_stream(s)->device), "attribute");
    return major;
}

static Products *products_of(Stream *s)
{
    CudaStream *c = cuda_stream(s);
    if (c->products) return static_cast<Products *>(c->products);
    Products *p = static_cast<Products *>(calloc(1, sizeof *p));
    if (!p) {
        stream_set_failed(s, "products: no host memory");
        return nullptr;
    }
    c->products = p;
    p->capability = compute_capability(s);
    if (ok(s, cublasLtCreate(&p->handle), "cublasLtCreate") && (p->workspace = cuda_take(s, WORKSPACE_BYTES))) return p;
    if (p->handle) {
        char text[sizeof s->message];
        snprintf(text, sizeof text, "workspace of products: out of memory%s", cuda_memory_failure(s));
        stream_set_failed(s, text);
    }
    products_free(c); /* the next call tries again */
    return nullptr;
}

static cudaDataType type_of(int64_t dtype)
{
    return dtype == DTYPE_BF16 ? CUDA_R_16BF : dtype == DTYPE_F16 ? CUDA_R_16F : CUDA_R_32F;
}

/* ---- plans ------------------------------ */

static bool layout(Stream *s, cublasLtMatrixLayout_t *layout, int64_t dtype, int64_t rows, int64_t cols, int64_t stride)
{
    return ok(s, cublasLtMatrixLayoutCreate(layout, type_of(dtype), (uint64_t)rows, (uint64_t)cols, stride), "layout");
}

template <typename T>
static bool set(Stream *s, cublasLtMatmulDesc_t d, cublasLtMatmulDescAttributes_t attribute, T value)
{
    return ok(s, cublasLtMatmulDescSetAttribute(d, attribute, &value, sizeof value), "product");
}

template <typename T>
static bool prefer(Stream *s, cublasLtMatmulPreference_t p, cublasLtMatmulPreferenceAttributes_t attribute, T value)
{
    return ok(s, cublasLtMatmulPreferenceSetAttribute(p, attribute, &value, sizeof value), "product");
}

/* The best algorithm, into the plan; none is no failure yet. */
static bool choose(Stream *s, Products *p, Plan *plan)
{
    cublasLtMatmulPreference_t preference;
    cublasLtMatmulHeuristicResult_t found;
    int count = 0;
    if (!ok(s, cublasLtMatmulPreferenceCreate(&preference), "product")) return false;
    bool good = prefer(s, preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, (uint64_t)WORKSPACE_BYTES) &&
                prefer(s, preference, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
                       (uint32_t)(CUBLASLT_REDUCTION_SCHEME_NONE | CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE));
    for (cublasLtMatmulPreferenceAttributes_t which :
         {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
          CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES})
        good = good && prefer(s, preference, which, (uint32_t)plan->shape.alignment);
    if (good) {
        cublasStatus_t status =
            cublasLtMatmulAlgoGetHeuristic(p->handle, plan->operation, plan->first, plan->second, plan->result,
                                           plan->result, preference, 1, &found, &count);
        plan->found = status == CUBLAS_STATUS_SUCCESS && count && found.state == CUBLAS_STATUS_SUCCESS;
        if (plan->found)
            plan->algorithm = found.algo;
        else if (status != CUBLAS_STATUS_SUCCESS && status != CUBLAS_STATUS_NOT_SUPPORTED &&
                 status != CUBLAS_STATUS_INVALID_VALUE) /* which some combinations get instead */
            good = ok(s, status, "product: algorithm");
    }
    cublasLtMatmulPreferenceDestroy(preference);
    return good;
}

static void plan_free(Plan *plan)
{
    if (plan->operation) cublasLtMatmulDescDestroy(plan->operation);
    for (cublasLtMatrixLayout_t l : {plan->first, plan->second, plan->result})
        if (l) cublasLtMatrixLayoutDestroy(l);
    *plan = Plan();
}

/* The pointers of a call, on whose alignment the library's answer depends too. */
static bool set_epilogue(Stream *s, const Plan *plan, const Product &p)
{
    return (!p.bias || set(s, plan->operation, CUBLASLT_MATMUL_DESC_BIAS_POINTER, p.bias)) &&
           (!p.pre || set(s, plan->operation, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER, p.pre));
}

static bool plan_make(Stream *s, Products *ps, const Product &p, Plan *plan)
{
    const Shape &h = plan->shape;
    cublasComputeType_t compute = h.tf32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F;
    cublasOperation_t first = h.trans_b ? CUBLAS_OP_T : CUBLAS_OP_N, second = h.trans_a ? CUBLAS_OP_T : CUBLAS_OP_N;
    return ok(s, cublasLtMatmulDescCreate(&plan->operation, compute, CUDA_R_32F), "product") &&
           set(s, plan->operation, CUBLASLT_MATMUL_DESC_TRANSA, first) &&
           set(s, plan->operation, CUBLASLT_MATMUL_DESC_TRANSB, second) &&
           set(s, plan->operation, CUBLASLT_MATMUL_DESC_EPILOGUE, (cublasLtEpilogue_t)h.epilogue) &&
           (!p.pre || set(s, plan->operation, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD, h.ldc)) &&
           set_epilogue(s, plan, p) &&
           layout(s, &plan->first, h.from, h.trans_b ? h.k : h.n, h.trans_b ? h.n : h.k, h.ldb) &&
           layout(s, &plan->second, h.from, h.trans_a ? h.m : h.k, h.trans_a ? h.k : h.m, h.lda) &&
           layout(s, &plan->result, h.to, h.n, h.m, h.ldc) && choose(s, ps, plan);
}

static uint64_t hash_of(const Shape &shape)
{
    uint64_t words[sizeof shape / 8], hash = 0xCBF29CE484222325u; /* FNV-1a, by words */
    memcpy(words, &shape, sizeof words);
    for (uint64_t word : words) hash = (hash ^ word) * 0x100000001B3u, hash ^= hash >> 29;
    return hash;
}

/* A place for one more: the least recently used one's where all are taken. */
static int place_of(Products *ps)
{
    int oldest = 0;
    if (ps->count < MOST_PLANS) return ps->count++;
    for (int i = 1; i < ps->count; i++)
        if (ps->plans[i].used < ps->plans[oldest].used) oldest = i;
    plan_free(&ps->plans[oldest]);
    return oldest;
}

static Plan *plan_of(Stream *s, Products *ps, const Shape &shape, const Product &p)
{
    uint64_t hash = hash_of(shape);
    for (int i = 0; i < ps->count; i++) {
        Plan *plan = &ps->plans[i];
        if (ps->hashes[i] != hash || memcmp(&plan->shape, &shape, sizeof shape)) continue;
        plan->used = ++ps->clock;
        return plan->found && !set_epilogue(s, plan, p) ? nullptr : plan;
    }
    int i = place_of(ps);
    Plan *plan = &ps->plans[i];
    plan->shape = shape, plan->used = ++ps->clock, ps->hashes[i] = hash;
    if (plan_make(s, ps, p, plan)) return plan;
    plan_free(plan); /* used 0: the next to go; its shape is nobody's */
    ps->hashes[i] = 0;
    return nullptr;
}

/* ---- products ------------------------------ */

/* 0: not with this one. */
static int64_t epilogue_of(const Products *ps, const Product &p)
{
    if (!p.bias && !p.gelu) return CUBLASLT_EPILOGUE_DEFAULT;
    if (!cuda_is_aligned(p.bias)) return 0;
    if (!p.gelu) return CUBLASLT_EPILOGUE_BIAS;
    if (ps->capability < 9 || p.to == DTYPE_F32 || (p.pre && (p.ldc % 8 || !cuda_is_aligned(p.pre)))) return 0;
    if (p.pre) return p.bias ? CUBLASLT_EPILOGUE_GELU_AUX_BIAS : CUBLASLT_EPILOGUE_GELU_AUX;
    return p.bias ? CUBLASLT_EPILOGUE_GELU_BIAS : CUBLASLT_EPILOGUE_GELU;
}

/* Of all that lies in memory, in bytes: 16, or the largest power of two below that all have. */
static int64_t alignment_of(const Product &p)
{
    uintptr_t bits = 16;
    for (const void *q : {p.a, p.b, (const void *)p.c}) bits |= reinterpret_cast<uintptr_t>(q);
    return (int64_t)(bits & (0 - bits));
}

static void no_algorithm(Stream *s, const Product &p)
{
    char text[200];
    snprintf(text, sizeof text, "cuBLASLt has no algorithm for a product of %lld x %lld by %lld x %lld, %s to %s",
             (long long)p.m, (long long)p.k, (long long)p.k, (long long)p.n, dtype_name(p.from), dtype_name(p.to));
    stream_set_failed(s, text);
}

bool product(Stream *s, const Product &p)
{
    Products *ps = stream_has_failed(s) ? nullptr : products_of(s);
    if (!ps) return true;
    int64_t epilogue = epilogue_of(ps, p);
    if (!epilogue) return false;
    bool tf32 = p.from == DTYPE_F32 && cuda_stream(s)->tf32;
    Shape shape = {p.m,       p.n,    p.k,  p.lda, p.ldb,           p.ldc,   p.trans_a,
                   p.trans_b, p.from, p.to, tf32,  alignment_of(p), epilogue};
    const Plan *plan = plan_of(s, ps, shape, p);
    if (!plan) return true;
    if (!plan->found) {
        if (epilogue != CUBLASLT_EPILOGUE_DEFAULT) return false;
        no_algorithm(s, p);
        return true;
    }
    float one = 1, beta = p.accumulate ? 1 : 0;
    ok(s,
       cublasLtMatmul(ps->handle, plan->operation, &one, p.b, plan->first, p.a, plan->second, &beta, p.c, plan->result,
                      p.c, plan->result, &plan->algorithm, ps->workspace, WORKSPACE_BYTES, cuda_queue(s)),
       "product");
    return true;
}

bool products_set_tf32(Stream *s, bool on) { return cuda_stream(s)->tf32 = on && compute_capability(s) >= 8; }

void products_free(CudaStream *s)
{
    Products *p = static_cast<Products *>(s->products);
    if (!p) return;
    for (int i = 0; i < p->count; i++) plan_free(&p->plans[i]);
    if (p->handle) cublasLtDestroy(p->handle);
    cuda_give(&s->base, p->workspace);
    free(p);
    s->products = nullptr;
}
