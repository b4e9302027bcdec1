/* on_device.h */
#include "tests/cuda_emulator/on_device.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <vector>

#include "kernels/cuda/cuda.h"
#ifdef HONE_EMULATED
#include "tests/cuda_emulator/emulator.h"
#endif

static std::map<Stream *, int> variations;

static void vary(int variation)
{
#ifdef HONE_EMULATED
    static uint64_t calls;
    static const char *const fixed = getenv("HONE_EMU_SEED");
    if (!fixed) emu::set_seed(variation == 1 && calls++ % 2 ? 0 : (++calls * 3 + (uint64_t)variation) % 1009);
#else
    (void)variation;
#endif
}

namespace
{

/* One call's arrays. Ranges that overlap on the host become one on the device; ranges that only touch do not. */
class Call
{
    struct Range {
        uintptr_t begin, end;
        bool out;
        char *memory, *device;
    };
    Stream *s;
    int shift;
    std::vector<Range> ranges;

  public:
    explicit Call(Stream *stream) : s(stream)
    {
        int variation = variations.count(s) ? variations[s] : 1;
        shift = variation == 3 ? 4 : 0;
        vary(variation);
    }

    void add(const void *p, int64_t bytes, bool out)
    {
        uintptr_t begin = reinterpret_cast<uintptr_t>(p);
        if (p) ranges.push_back({begin, begin + (uintptr_t)(bytes > 0 ? bytes : 0), out, nullptr, nullptr});
    }
    void in(const void *p, int64_t bytes) { add(p, bytes, false); }
    void out(const void *p, int64_t bytes) { add(p, bytes, true); }

    void place()
    {
        std::vector<Range> merged;
        std::sort(ranges.begin(), ranges.end(), [](const Range &a, const Range &b) {
            return a.begin != b.begin ? a.begin < b.begin : a.end < b.end;
        });
        for (const Range &r : ranges) {
            if (!merged.empty() && (r.begin < merged.back().end || r.begin == merged.back().begin)) {
                merged.back().end = std::max(merged.back().end, r.end);
                merged.back().out = merged.back().out || r.out;
            } else
                merged.push_back(r);
        }
        ranges = merged;
        for (Range &r : ranges) {
            size_t bytes = r.end - r.begin, offset = (r.begin + (uintptr_t)shift) % 16;
            r.memory = static_cast<char *>(stream_allocate(s, bytes + offset));
            if (!r.memory) {
                fprintf(stderr, "no device memory for %zu bytes\n", bytes);
                abort();
            }
            r.device = r.memory + offset;
            kernels_cuda()->copy(s, r.device, reinterpret_cast<void *>(r.begin), bytes);
        }
    }

    template <typename T> T *at(T *host)
    {
        uintptr_t p = reinterpret_cast<uintptr_t>(host);
        if (!host) return nullptr;
        for (Range &r : ranges)
            if (p >= r.begin && (p < r.end || p == r.begin)) return reinterpret_cast<T *>(r.device + (p - r.begin));
        abort();
    }

    ~Call()
    {
        for (Range &r : ranges)
            if (r.out) kernels_cuda()->copy(s, reinterpret_cast<void *>(r.begin), r.device, r.end - r.begin);
        stream_sync(s);
        for (Range &r : ranges) stream_release(s, r.memory);
    }
};

} // namespace

static int64_t size_of(Dtype dtype) { return (int64_t)dtype_bytes(dtype); }

/* ---- elementwise ------------------------------ */
static void add(Stream *s, Dtype d, void *y, const void *x, int64_t n)
{
    Call c(s);
    c.out(y, n * size_of(d)), c.in(x, n * size_of(d)), c.place();
    kernels_cuda()->add(s, d, c.at(y), c.at(x), n);
}

static void scale(Stream *s, Dtype d, void *y, float factor, int64_t n)
{
    Call c(s);
    c.out(y, n * size_of(d)), c.place();
    kernels_cuda()->scale(s, d, c.at(y), factor, n);
}

static void fill_zero(Stream *s, void *y, size_t bytes)
{
    Call c(s);
    c.out(y, (int64_t)bytes), c.place();
    kernels_cuda()->fill_zero(s, c.at(y), bytes);
}

static void copy(Stream *s, void *y, const void *x, size_t bytes)
{
    Call c(s);
    c.out(y, (int64_t)bytes), c.in(x, (int64_t)bytes), c.place();
    kernels_cuda()->copy(s, c.at(y), c.at(x), bytes);
}

static void convert(Stream *s, Dtype to, void *y, Dtype from, const void *x, int64_t n)
{
    Call c(s);
    c.out(y, n * size_of(to)), c.in(x, n * size_of(from)), c.place();
    kernels_cuda()->convert(s, to, c.at(y), from, c.at(x), n);
}

static void activation_forward(Stream *s, Dtype d, void *y, const void *pre, int64_t n, Activation act)
{
    Call c(s);
    c.out(y, n * size_of(d)), c.in(pre, n * size_of(d)), c.place();
    kernels_cuda()->activation_forward(s, d, c.at(y), c.at(pre), n, act);
}

static void activation_backward(Stream *s, Dtype d, void *dpre, const void *dy, const void *pre, int64_t n,
                                Activation act)
{
    Call c(s);
    c.out(dpre, n * size_of(d)), c.in(dy, n * size_of(d)), c.in(pre, n * size_of(d)), c.place();
    kernels_cuda()->activation_backward(s, d, c.at(dpre), c.at(dy), c.at(pre), n, act);
}

static void gated_forward(Stream *s, Dtype d, void *y, const void *gate, const void *up, int64_t n, Activation act)
{
    Call c(s);
    c.out(y, n * size_of(d)), c.in(gate, n * size_of(d)), c.in(up, n * size_of(d)), c.place();
    kernels_cuda()->gated_forward(s, d, c.at(y), c.at(gate), c.at(up), n, act);
}

static void gated_backward(Stream *s, Dtype d, void *dgate, void *dup, const void *dy, const void *gate, const void *up,
                           int64_t n, Activation act)
{
    Call c(s);
    c.out(dgate, n * size_of(d)), c.out(dup, n * size_of(d));
    c.in(dy, n * size_of(d)), c.in(gate, n * size_of(d)), c.in(up, n * size_of(d)), c.place();
    kernels_cuda()->gated_backward(s, d, c.at(dgate), c.at(dup), c.at(dy), c.at(gate), c.at(up), n, act);
}

/* ---- rows ------------------------------ */
static void layer_norm_forward(Stream *s, Dtype d, void *y, float *mean, float *rstd, const void *x, const void *weight,
                               const void *bias, int64_t rows, int64_t hidden, float eps)
{
    Call c(s);
    int64_t b = size_of(d);
    c.out(y, rows * hidden * b), c.out(mean, rows * 4), c.out(rstd, rows * 4);
    c.in(x, rows * hidden * b), c.in(weight, hidden * b), c.in(bias, hidden * b), c.place();
    kernels_cuda()->layer_norm_forward(s, d, c.at(y), c.at(mean), c.at(rstd), c.at(x), c.at(weight), c.at(bias), rows,
                                       hidden, eps);
}

static void layer_norm_backward(Stream *s, Dtype d, void *dx, float *dweight, float *dbias, const void *dy,
                                const void *x, const float *mean, const float *rstd, const void *weight, int64_t rows,
                                int64_t hidden, bool accumulate_dx, bool accumulate_params)
{
    Call c(s);
    int64_t b = size_of(d);
    c.out(dx, rows * hidden * b), c.out(dweight, hidden * 4), c.out(dbias, hidden * 4), c.in(dy, rows * hidden * b);
    c.in(x, rows * hidden * b), c.in(mean, rows * 4), c.in(rstd, rows * 4), c.in(weight, hidden * b), c.place();
    kernels_cuda()->layer_norm_backward(s, d, c.at(dx), c.at(dweight), c.at(dbias), c.at(dy), c.at(x), c.at(mean),
                                        c.at(rstd), c.at(weight), rows, hidden, accumulate_dx, accumulate_params);
}

static void rms_norm_forward(Stream *s, Dtype d, void *y, float *rstd, const void *x, const void *weight, int64_t rows,
                             int64_t hidden, float eps, float offset)
{
    Call c(s);
    int64_t b = size_of(d);
    c.out(y, rows * hidden * b), c.out(rstd, rows * 4), c.in(x, rows * hidden * b), c.in(weight, hidden * b), c.place();
    kernels_cuda()->rms_norm_forward(s, d, c.at(y), c.at(rstd), c.at(x), c.at(weight), rows, hidden, eps, offset);
}

static void rms_norm_backward(Stream *s, Dtype d, void *dx, float *dweight, const void *dy, const void *x,
                              const float *rstd, const void *weight, int64_t rows, int64_t hidden, float offset,
                              bool accumulate_dx, bool accumulate_params)
{
    Call c(s);
    int64_t b = size_of(d);
    c.out(dx, rows * hidden * b), c.out(dweight, hidden * 4), c.in(dy, rows * hidden * b);
    c.in(x, rows * hidden * b), c.in(rstd, rows * 4), c.in(weight, hidden * b), c.place();
    kernels_cuda()->rms_norm_backward(s, d, c.at(dx), c.at(dweight), c.at(dy), c.at(x), c.at(rstd), c.at(weight), rows,
                                      hidden, offset, accumulate_dx, accumulate_params);
}

static void rope(Stream *s, Dtype d, void *x, const float *cos, const float *sin, const int32_t *positions,
                 int64_t rows, int32_t heads, int32_t head_dim, int32_t rotary_dim, int64_t stride, bool inverse)
{
    Call c(s);
    int32_t most = 0;
    for (int64_t r = 0; r < rows; r++) most = std::max(most, positions[r] + 1);
    c.out(x, rows ? ((rows - 1) * stride + heads * head_dim) * size_of(d) : 0);
    c.in(cos, (int64_t)most * (rotary_dim / 2) * 4), c.in(sin, (int64_t)most * (rotary_dim / 2) * 4),
        c.in(positions, rows * 4), c.place();
    kernels_cuda()->rope(s, d, c.at(x), c.at(cos), c.at(sin), c.at(positions), rows, heads, head_dim, rotary_dim,
                         stride, inverse);
}

static void embedding_forward(Stream *s, Dtype d, void *y, const void *table, const int32_t *ids, int64_t rows,
                              int64_t width, bool accumulate)
{
    Call c(s);
    int32_t most = 0;
    for (int64_t r = 0; r < rows; r++) most = std::max(most, ids[r] + 1);
    c.out(y, rows * width * size_of(d)), c.in(table, most * width * size_of(d)), c.in(ids, rows * 4), c.place();
    kernels_cuda()->embedding_forward(s, d, c.at(y), c.at(table), c.at(ids), rows, width, accumulate);
}

static void embedding_backward(Stream *s, Dtype d, float *dtable, const void *dy, const int32_t *ids, int64_t rows,
                               int64_t width, int64_t vocab, bool accumulate)
{
    Call c(s);
    c.out(dtable, vocab * width * 4), c.in(dy, rows * width * size_of(d)), c.in(ids, rows * 4), c.place();
    kernels_cuda()->embedding_backward(s, d, c.at(dtable), c.at(dy), c.at(ids), rows, width, vocab, accumulate);
}

static void dropout_arrays(Call *c, const Dropout *d)
{
    if (!d) return;
    c->in(d->cu_seqlens, (d->num_seqs + 1) * 4), c->in(d->sample, d->num_seqs * 4);
}

static const Dropout *dropout_at(Call *c, const Dropout *d, Dropout *copy)
{
    if (!d) return nullptr;
    *copy = *d;
    copy->cu_seqlens = c->at(d->cu_seqlens), copy->sample = c->at(d->sample);
    return copy;
}

static void dropout_add_forward(Stream *s, Dtype d, void *y, const void *x, const void *residual, int64_t rows,
                                int64_t cols, const Dropout *dropout)
{
    Call c(s);
    Dropout moved;
    int64_t bytes = rows * cols * size_of(d);
    c.out(y, bytes), c.in(x, bytes), c.in(residual, bytes), dropout_arrays(&c, dropout), c.place();
    kernels_cuda()->dropout_add_forward(s, d, c.at(y), c.at(x), c.at(residual), rows, cols,
                                        dropout_at(&c, dropout, &moved));
}

static void dropout_backward(Stream *s, Dtype d, void *dx, const void *dy, int64_t rows, int64_t cols,
                             const Dropout *dropout, bool accumulate)
{
    Call c(s);
    Dropout moved;
    int64_t bytes = rows * cols * size_of(d);
    c.out(dx, bytes), c.in(dy, bytes), dropout_arrays(&c, dropout), c.place();
    kernels_cuda()->dropout_backward(s, d, c.at(dx), c.at(dy), rows, cols, dropout_at(&c, dropout, &moved), accumulate);
}

/* ---- attention ------------------------------ */
static int64_t strided(int64_t rows, int64_t stride, int64_t width, Dtype d)
{
    return rows ? ((rows - 1) * stride + width) * size_of(d) : 0;
}

static void shape_arrays(Call *c, const AttentionShape *a)
{
    c->in(a->cu_seqlens_q, (a->num_seqs + 1) * 4), c->in(a->cu_seqlens_k, (a->num_seqs + 1) * 4);
}

static AttentionShape shape_at(Call *c, const AttentionShape *a)
{
    AttentionShape moved = *a;
    moved.cu_seqlens_q = c->at(a->cu_seqlens_q), moved.cu_seqlens_k = c->at(a->cu_seqlens_k);
    return moved;
}

static void attention_forward(Stream *s, Dtype d, void *out, float *lse, const void *q, const void *k, const void *v,
                              const AttentionShape *a, const Dropout *dropout)
{
    Call c(s);
    Dropout moved;
    int64_t rows_q = a->cu_seqlens_q[a->num_seqs], rows_k = a->cu_seqlens_k[a->num_seqs];
    int64_t wide = a->heads * a->head_dim, narrow = a->kv_heads * a->head_dim;
    c.out(out, strided(rows_q, a->out_stride, wide, d)), c.out(lse, a->heads * rows_q * 4),
        c.in(q, strided(rows_q, a->q_stride, wide, d));
    c.in(k, strided(rows_k, a->k_stride, narrow, d)), c.in(v, strided(rows_k, a->v_stride, narrow, d));
    shape_arrays(&c, a), dropout_arrays(&c, dropout), c.place();
    AttentionShape shape = shape_at(&c, a);
    kernels_cuda()->attention_forward(s, d, c.at(out), c.at(lse), c.at(q), c.at(k), c.at(v), &shape,
                                      dropout_at(&c, dropout, &moved));
}

static void attention_backward(Stream *s, Dtype d, void *dq, void *dk, void *dv, const void *dout, const void *q,
                               const void *k, const void *v, const void *out, const float *lse, const AttentionShape *a,
                               const Dropout *dropout)
{
    Call c(s);
    Dropout moved;
    int64_t rows_q = a->cu_seqlens_q[a->num_seqs], rows_k = a->cu_seqlens_k[a->num_seqs];
    int64_t wide = a->heads * a->head_dim, narrow = a->kv_heads * a->head_dim;
    c.out(dq, strided(rows_q, a->q_stride, wide, d)), c.out(dk, strided(rows_k, a->k_stride, narrow, d));
    c.out(dv, strided(rows_k, a->v_stride, narrow, d));
    c.in(dout, strided(rows_q, a->out_stride, wide, d)), c.in(out, strided(rows_q, a->out_stride, wide, d));
    c.in(q, strided(rows_q, a->q_stride, wide, d)), c.in(k, strided(rows_k, a->k_stride, narrow, d));
    c.in(v, strided(rows_k, a->v_stride, narrow, d)), c.in(lse, a->heads * rows_q * 4);
    shape_arrays(&c, a), dropout_arrays(&c, dropout), c.place();
    AttentionShape shape = shape_at(&c, a);
    kernels_cuda()->attention_backward(s, d, c.at(dq), c.at(dk), c.at(dv), c.at(dout), c.at(q), c.at(k), c.at(v),
                                       c.at(out), c.at(lse), &shape, dropout_at(&c, dropout, &moved));
}

/* ---- products and losses ------------------------------ */
static void linear_forward(Stream *s, Dtype d, void *y, void *pre, const void *x, const void *weight, const void *bias,
                           int64_t rows, int64_t in, int64_t out, WeightLayout layout, Activation act)
{
    Call c(s);
    int64_t b = size_of(d);
    c.out(y, rows * out * b), c.out(pre, rows * out * b), c.in(x, rows * in * b), c.in(weight, in * out * b),
        c.in(bias, out * b), c.place();
    kernels_cuda()->linear_forward(s, d, c.at(y), c.at(pre), c.at(x), c.at(weight), c.at(bias), rows, in, out, layout,
                                   act);
}

static void linear_backward_input(Stream *s, Dtype d, void *dx, const void *dy, const void *weight, int64_t rows,
                                  int64_t in, int64_t out, WeightLayout layout, bool accumulate)
{
    Call c(s);
    int64_t b = size_of(d);
    c.out(dx, rows * in * b), c.in(dy, rows * out * b), c.in(weight, in * out * b), c.place();
    kernels_cuda()->linear_backward_input(s, d, c.at(dx), c.at(dy), c.at(weight), rows, in, out, layout, accumulate);
}

static void linear_backward_weight(Stream *s, Dtype d, float *dweight, float *dbias, const void *x, const void *dy,
                                   int64_t rows, int64_t in, int64_t out, WeightLayout layout, bool accumulate)
{
    Call c(s);
    int64_t b = size_of(d);
    c.out(dweight, in * out * 4), c.out(dbias, out * 4), c.in(x, rows * in * b), c.in(dy, rows * out * b), c.place();
    kernels_cuda()->linear_backward_weight(s, d, c.at(dweight), c.at(dbias), c.at(x), c.at(dy), rows, in, out, layout,
                                           accumulate);
}

static void linear_cross_entropy(Stream *s, Dtype d, float *row_loss, void *dx, float *dweight, const void *x,
                                 const void *weight, const int32_t *labels, int64_t rows, int64_t hidden, int64_t vocab,
                                 float factor, float smoothing, float softcap, float z_loss, bool accumulate)
{
    Call c(s);
    int64_t b = size_of(d);
    c.out(row_loss, rows * 4), c.out(dx, rows * hidden * b), c.out(dweight, vocab * hidden * 4);
    c.in(x, rows * hidden * b), c.in(weight, vocab * hidden * b), c.in(labels, rows * 4), c.place();
    kernels_cuda()->linear_cross_entropy(s, d, c.at(row_loss), c.at(dx), c.at(dweight), c.at(x), c.at(weight),
                                         c.at(labels), rows, hidden, vocab, factor, smoothing, softcap, z_loss,
                                         accumulate);
}

static void cross_entropy(Stream *s, float *row_loss, float *dlogits, const float *logits, const int32_t *labels,
                          int64_t rows, int64_t vocab, float factor, float smoothing, float softcap, float z_loss)
{
    Call c(s);
    c.out(row_loss, rows * 4), c.out(dlogits, rows * vocab * 4), c.in(logits, rows * vocab * 4), c.in(labels, rows * 4),
        c.place();
    kernels_cuda()->cross_entropy(s, c.at(row_loss), c.at(dlogits), c.at(logits), c.at(labels), rows, vocab, factor,
                                  smoothing, softcap, z_loss);
}

static void sum_in_order(Stream *s, double *sum, const float *x, int64_t n)
{
    Call c(s);
    c.in(x, n * 4), c.place();
    kernels_cuda()->sum_in_order(s, sum, c.at(x), n);
}

static void sum_squares(Stream *s, double *partials, const float *x, int64_t n)
{
    Call c(s);
    c.in(x, n * 4), c.place();
    kernels_cuda()->sum_squares(s, partials, c.at(x), n);
}

static void adamw(Stream *s, float *w, float *m, float *v, const float *g, int64_t n, float grad_scale, double lr,
                  double beta1, double beta2, double eps, double weight_decay, double correction1, double correction2)
{
    Call c(s);
    c.out(w, n * 4), c.out(m, n * 4), c.out(v, n * 4), c.in(g, n * 4), c.place();
    kernels_cuda()->adamw(s, c.at(w), c.at(m), c.at(v), c.at(g), n, grad_scale, lr, beta1, beta2, eps, weight_decay,
                          correction1, correction2);
}

static void sgd(Stream *s, float *w, float *buffer, const float *g, int64_t n, float grad_scale, double lr,
                double weight_decay, double momentum, double dampening, bool nesterov, bool first)
{
    Call c(s);
    c.out(w, n * 4), c.out(buffer, n * 4), c.in(g, n * 4), c.place();
    kernels_cuda()->sgd(s, c.at(w), c.at(buffer), c.at(g), n, grad_scale, lr, weight_decay, momentum, dampening,
                        nesterov, first);
}

extern "C" const Kernels *kernels_on_device(void)
{
    static Kernels k;
    const Kernels *device = kernels_cuda();
    k.name = "cuda:0", k.dtypes = device->dtypes;
#define ENTRY(entry) k.entry = device->entry ? entry : nullptr;
    ENTRY(linear_forward)
    ENTRY(linear_backward_input) ENTRY(linear_backward_weight) ENTRY(activation_forward) ENTRY(activation_backward)
        ENTRY(gated_forward) ENTRY(gated_backward) ENTRY(layer_norm_forward) ENTRY(layer_norm_backward)
            ENTRY(rms_norm_forward) ENTRY(rms_norm_backward) ENTRY(attention_forward) ENTRY(attention_backward)
                ENTRY(rope) ENTRY(embedding_forward) ENTRY(embedding_backward) ENTRY(dropout_add_forward)
                    ENTRY(dropout_backward) ENTRY(add) ENTRY(scale) ENTRY(fill_zero) ENTRY(copy) ENTRY(convert)
                        ENTRY(linear_cross_entropy) ENTRY(cross_entropy) ENTRY(sum_in_order) ENTRY(sum_squares)
                            ENTRY(adamw) ENTRY(sgd) return &k;
}

extern "C" Stream *stream_new_on_device(int variation)
{
    char message[200];
    Stream *s = stream_new_cuda(0, message);
    if (!s) {
        fprintf(stderr, "%s\n", message);
        abort();
    }
    variations[s] = variation;
    return s;
}
