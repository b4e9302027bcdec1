/* cuBLASLt as hone calls it: products of column-major matrices of f32, bf16 and f16 with f32 sums, in TF32 where asked,
 * with the transposes, leading dimensions, beta and epilogues of the real one, queued on the stream. What the real
 * one's documentation does not allow (cublasLt.h and its guide: types, epilogues and their alignments, reduction
 * schemes) gets its error codes; what would be undefined there is reported. */
#include <cstring>

#include "tests/cuda_emulator/cublas.h"
#include "tests/cuda_emulator/cublas_product.h"
#include "tests/cuda_emulator/stream.h"

using namespace emu;

namespace
{

struct Preference {
    uint64_t workspace;
    uint32_t schemes, alignment[4]; /* of A, B, C, D */
};

/* What an algorithm was chosen for, which is in it: it is good for nothing else. */
struct Chosen {
    uint32_t magic, epilogue, alignment[4];
    uint8_t types, trans, tf32, none;
};

enum : uint32_t { MAGIC = 0x686F6E65 };

} // namespace

static size_t objects;
static uint64_t asked_for;
static uint32_t refused;

size_t emu::cublas_objects() { return objects; }
uint64_t emu::cublas_asked() { return asked_for; }
void emu::cublas_refuse(uint32_t epilogue) { refused = epilogue; }

static size_t extent(const Layout &l)
{
    return l.cols ? ((l.cols - 1) * (uint64_t)l.stride + l.rows) * bytes_of(l.type) : 0;
}

/* ---- what is allowed ------------------------------ */

static bool is_aligned(const void *p, size_t bytes) { return reinterpret_cast<uintptr_t>(p) % bytes == 0; }

/* The guide's table for CUBLAS_COMPUTE_32F and _FAST_TF32 with f32 scales: A and B alike, C and D as these or f32. */
static bool are_types_supported(const Operation &o, cudaDataType a, cudaDataType b, cudaDataType c)
{
    if (a != b || (o.tf32 && a != CUDA_R_32F)) return false;
    return c == a || c == CUDA_R_32F;
}

static cublasStatus_t check_epilogue(const Operation &o, const Layout &d)
{
    bool gelu = o.epilogue & GELU, bias = o.epilogue & BIAS, aux = o.epilogue & AUX;
    if (o.epilogue != DEFAULT && !gelu && !bias) report("cublasLt: epilogue %u is not emulated", (unsigned)o.epilogue);
    if (bias && !o.bias) return CUBLAS_STATUS_INVALID_VALUE;
    if (bias && !is_aligned(o.bias, 16)) return CUBLAS_STATUS_NOT_SUPPORTED;
    if (!aux) return CUBLAS_STATUS_SUCCESS;
    if (!o.aux || o.aux_stride < (int64_t)d.rows) return CUBLAS_STATUS_INVALID_VALUE;
    return o.aux_stride % 8 || !is_aligned(o.aux, 16) ? CUBLAS_STATUS_NOT_SUPPORTED : CUBLAS_STATUS_SUCCESS;
}

static uint8_t types_of(const Layout &a, const Layout &c)
{
    return (uint8_t)((a.type == CUDA_R_32F ? 0 : a.type == CUDA_R_16BF ? 1 : 2) + (c.type == CUDA_R_32F ? 0 : 4));
}

static Chosen chosen_for(const Operation &o, const Layout &a, const Layout &c)
{
    Chosen chosen = {};
    chosen.magic = MAGIC, chosen.epilogue = o.epilogue, chosen.types = types_of(a, c), chosen.tf32 = o.tf32;
    chosen.trans = (uint8_t)((o.trans_a == CUBLAS_OP_N) + 2 * (o.trans_b == CUBLAS_OP_N));
    return chosen;
}

/* An algorithm that was made for something else, or for better aligned memory. */
static void check_algorithm(const cublasLtMatmulAlgo_t *algorithm, const Product &p)
{
    Chosen is, wanted = chosen_for(p.operation, p.a, p.c);
    memcpy(&is, algorithm, sizeof is);
    if (is.magic != MAGIC) report("cublasLtMatmul: an algorithm that was never chosen");
    const void *data[] = {p.a_data, p.b_data, p.c_data, p.c_data};
    for (int i = 0; i < 4; i++)
        if (!is_aligned(data[i], is.alignment[i]))
            report("cublasLtMatmul: %c at %p, and an algorithm for an alignment to %u bytes", "ABCD"[i], data[i],
                   is.alignment[i]);
    memset(is.alignment, 0, sizeof is.alignment);
    if (memcmp(&is, &wanted, sizeof is)) report("cublasLtMatmul: an algorithm of another product");
}

static void check_ranges(const Product &p, const void *workspace, size_t workspace_bytes)
{
    const Operation &o = p.operation;
    memory_check_range(p.a_data, extent(p.a), "cublasLtMatmul: A");
    memory_check_range(p.b_data, extent(p.b), "cublasLtMatmul: B");
    memory_check_range(p.c_data, extent(p.c), "cublasLtMatmul: D");
    if (workspace_bytes) memory_check_range(workspace, workspace_bytes, "cublasLtMatmul: workspace");
    if (o.epilogue & BIAS) memory_check_range(o.bias, (size_t)p.m * bytes_of(p.c.type), "cublasLtMatmul: bias");
    if (o.epilogue & AUX)
        memory_check_range(o.aux, (size_t)((p.n - 1) * o.aux_stride + p.m) * bytes_of(p.c.type), "cublasLtMatmul: aux");
}

/* "cublasLtMatmul 768 32 64 bf16 GELU_AUX_BIAS", for the launch log. */
static std::string name_of(const Product &p)
{
    static const char *const types[] = {"f32", "bf16", "f16"};
    const Operation &o = p.operation;
    std::string name =
        "cublasLtMatmul " + std::to_string(p.m) + " " + std::to_string(p.n) + " " + std::to_string(p.k) + " ";
    name += o.tf32 ? "tf32" : types[types_of(p.a, p.c) % 4];
    name += p.c.type == p.a.type ? "" : " to f32";
    if (p.beta != 0) name += " beta";
    if (o.epilogue & GELU) name += " GELU";
    if (o.epilogue & AUX) name += "_AUX";
    if (o.epilogue & BIAS) name += o.epilogue & GELU ? "_BIAS" : " BIAS";
    return name;
}

template <typename T, typename Handle> static cublasStatus_t made(Handle *handle, T *object)
{
    std::lock_guard<std::recursive_mutex> hold(emu::mutex);
    *handle = reinterpret_cast<Handle>(object);
    objects++;
    return CUBLAS_STATUS_SUCCESS;
}

template <typename T, typename Handle> static cublasStatus_t destroyed(Handle handle)
{
    std::lock_guard<std::recursive_mutex> hold(emu::mutex);
    delete reinterpret_cast<T *>(handle);
    objects--;
    return CUBLAS_STATUS_SUCCESS;
}

/* Of an attribute, where the size is right. */
template <typename T> static cublasStatus_t taken(T *to, const void *value, size_t bytes)
{
    if (bytes != sizeof *to) return CUBLAS_STATUS_INVALID_VALUE;
    memcpy(to, value, bytes);
    return CUBLAS_STATUS_SUCCESS;
}

extern "C" {

cublasStatus_t cublasLtCreate(cublasLtHandle_t *handle) { return made(handle, new int(0)); }
cublasStatus_t cublasLtDestroy(cublasLtHandle_t handle) { return destroyed<int>(handle); }

cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t *d, cublasComputeType_t compute, cudaDataType_t scale)
{
    bool tf32 = compute == CUBLAS_COMPUTE_32F_FAST_TF32;
    if ((compute != CUBLAS_COMPUTE_32F && !tf32) || scale != CUDA_R_32F) return CUBLAS_STATUS_NOT_SUPPORTED;
    return made(d, new Operation{tf32, CUBLAS_OP_N, CUBLAS_OP_N, DEFAULT, nullptr, nullptr, 0});
}

cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t d) { return destroyed<Operation>(d); }

cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t d, cublasLtMatmulDescAttributes_t attribute,
                                              const void *value, size_t bytes)
{
    Operation *o = reinterpret_cast<Operation *>(d);
    switch (attribute) {
    case CUBLASLT_MATMUL_DESC_TRANSA:
        return taken(&o->trans_a, value, bytes);
    case CUBLASLT_MATMUL_DESC_TRANSB:
        return taken(&o->trans_b, value, bytes);
    case CUBLASLT_MATMUL_DESC_EPILOGUE:
        return taken(&o->epilogue, value, bytes);
    case CUBLASLT_MATMUL_DESC_BIAS_POINTER:
        return taken(&o->bias, value, bytes);
    case CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER:
        return taken(&o->aux, value, bytes);
    case CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD:
        return taken(&o->aux_stride, value, bytes);
    default:
        report("cublasLt: attribute %d of a product is not emulated", (int)attribute);
    }
}

cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t *l, cudaDataType type, uint64_t rows, uint64_t cols,
                                          int64_t stride)
{
    if (type != CUDA_R_32F && type != CUDA_R_16BF && type != CUDA_R_16F) return CUBLAS_STATUS_NOT_SUPPORTED;
    if (!rows || !cols || stride < (int64_t)rows) return CUBLAS_STATUS_INVALID_VALUE;
    return made(l, new Layout{type, rows, cols, stride});
}

cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t l) { return destroyed<Layout>(l); }

cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t *p)
{
    return made(p, new Preference{0, CUBLASLT_REDUCTION_SCHEME_MASK, {256, 256, 256, 256}});
}

cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t p) { return destroyed<Preference>(p); }

cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t preference,
                                                    cublasLtMatmulPreferenceAttributes_t attribute, const void *value,
                                                    size_t bytes)
{
    Preference *p = reinterpret_cast<Preference *>(preference);
    switch (attribute) {
    case CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES:
        return taken(&p->workspace, value, bytes);
    case CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK:
        return taken(&p->schemes, value, bytes);
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES:
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES:
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES:
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES:
        return taken(&p->alignment[attribute - CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES], value, bytes);
    default:
        report("cublasLt: preference %d is not emulated", (int)attribute);
    }
}

cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t, cublasLtMatmulDesc_t operation,
                                              cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                              cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                                              cublasLtMatmulPreference_t preference, int asked,
                                              cublasLtMatmulHeuristicResult_t results[], int *count)
{
    const Operation &o = *reinterpret_cast<Operation *>(operation);
    const Layout &la = *reinterpret_cast<Layout *>(a), &lb = *reinterpret_cast<Layout *>(b),
                 &lc = *reinterpret_cast<Layout *>(c);
    const Preference &p = *reinterpret_cast<Preference *>(preference);
    *count = 0, asked_for++;
    if (asked < 1 || c != d) return CUBLAS_STATUS_INVALID_VALUE;
    if (p.schemes & (CUBLASLT_REDUCTION_SCHEME_INPLACE | CUBLASLT_REDUCTION_SCHEME_OUTPUT_TYPE))
        report("cublasLt: sums that are split and added in the output's type are rounded more than once");
    if (!are_types_supported(o, la.type, lb.type, lc.type) || (refused && o.epilogue == refused))
        return CUBLAS_STATUS_NOT_SUPPORTED;
    cublasStatus_t status = check_epilogue(o, lc);
    if (status != CUBLAS_STATUS_SUCCESS) return status;
    memset(results, 0, sizeof *results);
    Chosen chosen = chosen_for(o, la, lc);
    memcpy(chosen.alignment, p.alignment, sizeof chosen.alignment);
    static_assert(sizeof chosen <= sizeof results->algo, "it is opaque");
    memcpy(&results->algo, &chosen, sizeof chosen);
    results->workspaceSize = (size_t)p.workspace;
    *count = 1;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t, cublasLtMatmulDesc_t operation, const void *alpha, const void *a,
                              cublasLtMatrixLayout_t a_layout, const void *b, cublasLtMatrixLayout_t b_layout,
                              const void *beta, const void *c, cublasLtMatrixLayout_t c_layout, void *d,
                              cublasLtMatrixLayout_t d_layout, const cublasLtMatmulAlgo_t *algorithm, void *workspace,
                              size_t workspace_bytes, cudaStream_t stream)
{
    std::lock_guard<std::recursive_mutex> hold(emu::mutex);
    Product p = {*reinterpret_cast<Operation *>(operation),
                 *reinterpret_cast<Layout *>(a_layout),
                 *reinterpret_cast<Layout *>(b_layout),
                 *reinterpret_cast<Layout *>(c_layout),
                 a,
                 b,
                 d,
                 *static_cast<const float *>(alpha),
                 *static_cast<const float *>(beta),
                 0,
                 0,
                 0};
    bool plain_a = p.operation.trans_a == CUBLAS_OP_N, plain_b = p.operation.trans_b == CUBLAS_OP_N;
    p.m = (int64_t)(plain_a ? p.a.rows : p.a.cols), p.k = (int64_t)(plain_a ? p.a.cols : p.a.rows);
    p.n = (int64_t)(plain_b ? p.b.cols : p.b.rows);
    if (c != d || c_layout != d_layout || (int64_t)(plain_b ? p.b.rows : p.b.cols) != p.k || (int64_t)p.c.rows != p.m ||
        (int64_t)p.c.cols != p.n || !is_aligned(workspace, 256))
        return CUBLAS_STATUS_INVALID_VALUE;
    if (!are_types_supported(p.operation, p.a.type, p.b.type, p.c.type)) return CUBLAS_STATUS_NOT_SUPPORTED;
    cublasStatus_t status = check_epilogue(p.operation, p.c);
    if (status != CUBLAS_STATUS_SUCCESS) return status;
    check_algorithm(algorithm, p);
    check_ranges(p, workspace, workspace_bytes);
    Op op = {};
    op.kind = OpKind::LIBRARY;
    op.library = [p] { multiply(p); };
    op.name = name_of(p);
    enqueue(stream_of(stream), std::move(op));
    return CUBLAS_STATUS_SUCCESS;
}

} // extern "C"
