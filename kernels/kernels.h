/* Every kernel's contract, once: a table of functions that a backend fills (kernels/cpu, kernels/cuda).
 *
 * Conventions, unless a contract says otherwise:
 *   - Matrices are row-major and dense. Sizes may be 0. Pointers have the alignment of their type, fast paths look for
 *     more.
 *   - `dtype` is that of all float arrays that are not said to be f32. Sums, statistics, exponentials are f32 at least.
 *   - `wdtype` is that of a weight (or table), f32, bf16 or f16, where it may be another than dtype: what is frozen
 *     stays as its file has it. Its numbers are used as they are, or rounded to dtype first, to nearest even; a part of
 *     it at a time is widened, never all. Biases are of dtype.
 *   - Outputs are overwritten. Where a contract has `accumulate`, true adds to what is there instead.
 *   - The order of every sum depends on the shapes alone, never on the number of threads; for row-wise ops a row's
 *     result does not depend on the other rows. Same inputs and instruction set: same bits.
 *   - Work is done, or queued on the stream, when a function returns; stream_sync() waits. The callers (ops) have
 *     checked all arguments.
 *   - Scratch comes from the stream and grows to its largest use in the first step. */
#ifndef HONE_KERNELS_KERNELS_H
#define HONE_KERNELS_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/dtype.h"
#include "kernels/philox.h"
#include "kernels/threads.h"

/* Where work is queued: the CPU's is its thread pool with scratch memory, a GPU's a queue of one device. */
typedef struct Stream Stream;
Stream *stream_new_cpu(int threads); /* NULL: no memory */
void stream_free(Stream *s);
void stream_sync(Stream *s);
Threads *stream_threads(Stream *s);
/* Scratch of one thread (kernel-internal): at least `bytes`, 64-byte aligned, kept until the next call for the same
 * thread and slot (0..3). Running out of memory here sets stream_failed and gives memory that is safe to write only if
 * bytes <= 4096; see stream_failed. */
void *stream_scratch(Stream *s, int thread, int slot, size_t bytes);
/* Between kernels: scratch will be asked for that is up to `factor` (1: as large as so far) times what it was. On the
 * CPU it has that size from now on, on all threads, untouched; a device's memory is never taken in advance. */
void stream_expect(Stream *s, double factor);
bool stream_failed(const Stream *s); /* an allocation or a launch failed since the last stream_clear */
const char *stream_message(const Stream *s); /* of that failure, where the backend says more than "memory"; "" else */
void stream_clear(Stream *s);
/* Memory that the stream's kernels work on, aligned to 256 bytes; NULL: none left. On a device the host may not touch
 * it: `copy` of the table goes either way. Released memory may still be used by what is queued. */
void *stream_allocate(Stream *s, size_t bytes);
void stream_release(Stream *s, void *memory); /* NULL is fine */
/* Host memory that the device copies from and to by itself (pinned), aligned to 256 bytes; NULL: none left. A copy of
 * it is done when the stream has been waited for: until then its source may not change, nor its target be read. Wait
 * for the copies before releasing it. */
void *stream_allocate_host(Stream *s, size_t bytes);
void stream_release_host(Stream *s, void *memory); /* NULL is fine */
bool stream_is_device(const Stream *s);

/* A device keeps what is released for the next who asks, so that nothing is asked of it after the first step. Bytes; on
 * the CPU all 0. */
typedef struct StreamMemory {
    size_t allocated, peak; /* handed out now; at most */
    size_t reserved;        /* had from the device: handed out or kept */
    int64_t requests;       /* so far, to the device for more */
} StreamMemory;
StreamMemory stream_memory(Stream *s);
void stream_trim(Stream *s); /* what is kept goes back to the device; waits */
/* After stream_allocate() gave NULL: what was asked for, of which device, and what is there, to be put behind a
 * message; "" on the CPU. */
const char *stream_memory_failure(Stream *s);

/* y = x W (+ bias): how W lies in memory. */
typedef enum WeightLayout { OUT_IN /* torch Linear: [out, in] */, IN_OUT /* GPT-2's Conv1D: [in, out] */ } WeightLayout;

typedef enum Activation {
    ACT_NONE, ACT_GELU /* exact, erf */, ACT_GELU_TANH /* gelu_new */, ACT_RELU, ACT_SILU, ACT_TANH
} Activation;

/* Dropout over rows that are laid end to end in sequences; numbers as in philox.h. NULL or p = 0: none. */
typedef struct Dropout {
    float p;
    uint32_t seed, update, op;    /* seed: the run's, folded to 32 bits */
    const int32_t *cu_seqlens;    /* [num_seqs + 1] row boundaries */
    const int32_t *sample;        /* [num_seqs] index of each sequence in the update */
    int32_t num_seqs;
} Dropout;

typedef struct AttentionShape {
    const int32_t *cu_seqlens_q, *cu_seqlens_k; /* [num_seqs + 1]; the same array in self-attention */
    int32_t num_seqs, max_seqlen_q, max_seqlen_k;
    int32_t heads, kv_heads, head_dim;           /* heads % kv_heads == 0 */
    int64_t q_stride, k_stride, v_stride, out_stride; /* elements between rows; views of one [T, 3*hidden] are fine */
    float scale;                                 /* of q.k */
    bool causal; /* key j visible to query i of a sequence when j <= i + (len_k - len_q) */
    int32_t window;                              /* > 0: and j > i + (len_k - len_q) - window */
    float softcap;                               /* > 0: scores become softcap * tanh(scores / softcap) */
} AttentionShape;

enum { KERNEL_BLOCK = 65536 }; /* elements: the unit of norms, shards, hashes and writing */

/* How f32 becomes bf16 or f16: to nearest even, or up or down by chance, so that the mean is right (rounding.h). */
typedef enum Rounding { ROUND_NEAREST, ROUND_STOCHASTIC } Rounding;

/* A copy of f32 numbers in fewer bits: what the pass over weights writes beside them. */
typedef struct LowCopy {
    void *data;            /* of the first element of the pass */
    Dtype dtype;           /* bf16 or f16 */
    Rounding rounding;
    uint32_t seed, update; /* stochastic: numbers by (seed, update, element), so they do not depend on the split */
    int64_t first;         /* number of the first element of the pass in the flat array; a multiple of 4 */
} LowCopy;

typedef struct Kernels {
    const char *name; /* "cpu/avx2" */
    unsigned dtypes;  /* 1 << Dtype of those that compute kernels take */

    /* ---- linear -------------------------------------------------------------------------------------------------- */
    /* y = act(x W + bias).
     *   x [rows, in]; W by layout; bias [out] or NULL; y [rows, out]
     *   pre [rows, out]: receives x W + bias for the backward of act; NULL: not kept. pre may not be y unless act is
     *   ACT_NONE.
     * Floor: 2*rows*in*out FLOPs at the rate of GEMM; bias and activation ride on the tile that is in cache. */
    void (*linear_forward)(Stream *s, Dtype dtype, Dtype wdtype, void *y, void *pre, const void *x,
                           const void *weight, const void *bias, int64_t rows, int64_t in, int64_t out,
                           WeightLayout layout, Activation act);
    /* The same for generation: no bit of a row depends on how many rows there are (a library's do), and few rows are
     * fast. NULL: linear_forward is so. Floor with few rows: in*out weights read. */
    void (*linear_forward_alone)(Stream *s, Dtype dtype, Dtype wdtype, void *y, void *pre, const void *x,
                                 const void *weight, const void *bias, int64_t rows, int64_t in, int64_t out,
                                 WeightLayout layout, Activation act);
    /* dx [rows, in] = dy W^T */
    void (*linear_backward_input)(Stream *s, Dtype dtype, Dtype wdtype, void *dx, const void *dy, const void *weight,
                                  int64_t rows, int64_t in, int64_t out, WeightLayout layout, bool accumulate);
    /* dW = x^T dy (by layout), dbias [out] = column sums of dy. f32 gradients. Either may be NULL: not wanted.
     * accumulate covers both. */
    void (*linear_backward_weight)(Stream *s, Dtype dtype, float *dweight, float *dbias, const void *x, const void *dy,
                                   int64_t rows, int64_t in, int64_t out, WeightLayout layout, bool accumulate);

    /* y = act(pre) and dpre = dy * act'(pre), n elements; dpre may be dy. */
    void (*activation_forward)(Stream *s, Dtype dtype, void *y, const void *pre, int64_t n, Activation act);
    void (*activation_backward)(Stream *s, Dtype dtype, void *dpre, const void *dy, const void *pre, int64_t n,
                                Activation act);
    /* y = act(gate) * up; backward overwrites dgate and dup (which may be gate and up). */
    void (*gated_forward)(Stream *s, Dtype dtype, void *y, const void *gate, const void *up, int64_t n, Activation act);
    void (*gated_backward)(Stream *s, Dtype dtype, void *dgate, void *dup, const void *dy, const void *gate,
                           const void *up, int64_t n, Activation act);

    /* ---- norms --------------------------------------------------------------------------------------------------- */
    /* y = (x - mean) * rstd * weight + bias, row by row (Ba et al. 2016, eq. 3-4). Biased variance.
     *   x, y [rows, hidden], y may be x;  weight, bias [hidden], bias may be NULL
     *   mean, rstd [rows] f32, kept for backward; both NULL: not kept. Floor: 2*rows*hidden elements moved. */
    void (*layer_norm_forward)(Stream *s, Dtype dtype, void *y, float *mean, float *rstd, const void *x,
                               const void *weight, const void *bias, int64_t rows, int64_t hidden, float eps);
    /* dx (accumulate_dx: adds), dweight and dbias f32 (accumulate_params: adds). Each may be NULL: not wanted
     * (rms_norm_backward likewise). dx may be dy when it does not add. */
    void (*layer_norm_backward)(Stream *s, Dtype dtype, void *dx, float *dweight, float *dbias, const void *dy,
                                const void *x, const float *mean, const float *rstd, const void *weight, int64_t rows,
                                int64_t hidden, bool accumulate_dx, bool accumulate_params);
    /* y = x * rstd * (weight + offset), rstd = 1/sqrt(mean(x^2) + eps) (Zhang and Sennrich 2019); offset 0, or 1 for
     * Gemma. */
    void (*rms_norm_forward)(Stream *s, Dtype dtype, void *y, float *rstd, const void *x, const void *weight,
                             int64_t rows, int64_t hidden, float eps, float offset);
    void (*rms_norm_backward)(Stream *s, Dtype dtype, void *dx, float *dweight, const void *dy, const void *x,
                              const float *rstd, const void *weight, int64_t rows, int64_t hidden, float offset,
                              bool accumulate_dx, bool accumulate_params);

    /* ---- attention ----------------------------------------------------------------------------------------------- */
    /* out = softmax(mask(q k^T * scale)) v for each sequence and head (Dao et al. 2022); never a T x T matrix in
     * memory.
     *   q, out: heads * head_dim values a row; k, v: kv_heads * head_dim; rows at the strides of `shape`
     *   lse [heads, total rows of q] f32: log-sum-exp of the scores, for backward; NULL: not kept
     * A query that sees no key gives 0. Dropout, if any, on the probabilities. The result of a sequence depends on that
     * sequence alone. */
    void (*attention_forward)(Stream *s, Dtype dtype, void *out, float *lse, const void *q, const void *k,
                              const void *v, const AttentionShape *shape, const Dropout *dropout);
    /* dq, dk, dv have the strides of q, k, v; overwritten (rows outside every sequence are left alone); may not alias
     * q, k, v. */
    void (*attention_backward)(Stream *s, Dtype dtype, void *dq, void *dk, void *dv, const void *dout, const void *q,
                               const void *k, const void *v, const void *out, const float *lse,
                               const AttentionShape *shape, const Dropout *dropout);
    /* Rotary positions (Su et al. 2021), half-split: rotates the first rotary_dim values of each head of x in place.
     *   x: rows at `stride`, heads * head_dim values; cos, sin [max_positions, rotary_dim/2] f32; positions [rows]
     *   inverse: rotates back (the backward). */
    void (*rope)(Stream *s, Dtype dtype, void *x, const float *cos, const float *sin, const int32_t *positions,
                 int64_t rows, int32_t heads, int32_t head_dim, int32_t rotary_dim, int64_t stride, bool inverse);

    /* ---- embedding, dropout, sums -------------------------------------------------------------------------------- */
    /* y [rows, width] = table[ids]; accumulate: adds (position embeddings). ids have been checked to be in the
     * table. */
    void (*embedding_forward)(Stream *s, Dtype dtype, Dtype wdtype, void *y, const void *table, const int32_t *ids,
                              int64_t rows, int64_t width, bool accumulate);
    /* dtable [vocab, width] f32: row ids[i] gets dy's row i, in the order of i; not the row `padding` (-1: none), as
     * torch's Embedding. accumulate false: all other rows become 0. */
    void (*embedding_backward)(Stream *s, Dtype dtype, float *dtable, const void *dy, const int32_t *ids, int64_t rows,
                               int64_t width, int64_t vocab, int64_t padding, bool accumulate);
    /* Row i of x (`cols` values, rows at x_stride) becomes row to[i] of y [.., cols]; no two to the same. dtype: any of
     * 4 or 2 bytes. */
    void (*scatter_rows)(Stream *s, Dtype dtype, void *y, const int32_t *to, const void *x, int64_t rows, int64_t cols,
                         int64_t x_stride);
    /* y's columns [0, cols) of each row become x's; the others stay. Rows at the strides. dtype: any of 4 or 2
     * bytes. */
    void (*copy_columns)(Stream *s, Dtype dtype, void *y, int64_t y_stride, const void *x, int64_t x_stride,
                         int64_t rows, int64_t cols);
    /* y = residual + dropout(x): x, y, residual [rows, cols]; y may be x or residual; residual NULL: none. */
    void (*dropout_add_forward)(Stream *s, Dtype dtype, void *y, const void *x, const void *residual, int64_t rows,
                                int64_t cols, const Dropout *dropout);
    /* dx = dy masked and scaled; dx may be dy. */
    void (*dropout_backward)(Stream *s, Dtype dtype, void *dx, const void *dy, int64_t rows, int64_t cols,
                             const Dropout *dropout, bool accumulate);
    void (*add)(Stream *s, Dtype dtype, void *y, const void *x, int64_t n); /* y += x */
    void (*scale)(Stream *s, Dtype dtype, void *y, float factor, int64_t n);
    void (*fill_zero)(Stream *s, void *y, size_t bytes);
    void (*copy)(Stream *s, void *y, const void *x, size_t bytes);
    void (*convert)(Stream *s, Dtype to, void *y, Dtype from, const void *x,
                    int64_t n); /* among f32, bf16, f16: nearest even */

    /* ---- loss ---------------------------------------------------------------------------------------------------- */
    /* Ends a model: logits = softcap(x W^T), and cross entropy with its gradient, in chunks of rows that never exist
     * together. f32 logits; their gradient in dtype.
     *   x [rows, hidden]; weight [vocab, hidden]; labels [rows], -100: ignored
     *   row_loss [rows] f32: (1-smoothing)*nll + smoothing*mean_vocab(-log p) + z_loss*lse^2, not scaled; 0 where
     *   ignored dx [rows, hidden], dweight [vocab, hidden] f32: of scale * sum(row_loss); dx NULL: no gradient at all;
     *   dweight NULL: frozen (as it is where wdtype is not dtype). accumulate: of dweight. */
    void (*linear_cross_entropy)(Stream *s, Dtype dtype, Dtype wdtype, float *row_loss, void *dx, float *dweight,
                                 const void *x, const void *weight, const int32_t *labels, int64_t rows, int64_t hidden,
                                 int64_t vocab, float scale, float smoothing, float softcap, float z_loss,
                                 bool accumulate);
    /* The unfused twin: of given f32 logits [rows, vocab] (before softcap); dlogits may be logits; NULL: no
     * gradient. */
    void (*cross_entropy)(Stream *s, float *row_loss, float *dlogits, const float *logits, const int32_t *labels,
                          int64_t rows, int64_t vocab, float scale, float smoothing, float softcap, float z_loss);
    /* sums[i] = x[bounds[i]] + x[bounds[i] + 1] + … below bounds[i + 1], in this order, in double. bounds [segments +
     * 1]; NULL: one segment, [0, n). Floor: 4*n bytes read. */
    void (*sum_segments)(Stream *s, double *sums, const float *x, int64_t n, const int32_t *bounds, int64_t segments);

    /* ---- optimizers, on flat f32 arrays. What one entry decides the next reads where the kernels work: the host need
     * not wait in between ------------------------------------------------------------------------------------------ */
    /* partials[i] = sum of squares of block i of KERNEL_BLOCK elements, in double, in an order fixed by n. Floor: 4*n
     * bytes read. */
    void (*sum_squares)(Stream *s, double *partials, const float *x, int64_t n);
    /* *norm_squared = partials[0] + partials[1] + … in this order. *grad_scale = unscale * clip_scale(unscale *
     * sqrt(*norm_squared), max_norm) (clip.h), or NaN where *norm_squared, unscale or one of `losses` [num_losses] is
     * not finite. */
    void (*clip_factor)(Stream *s, float *grad_scale, double *norm_squared, const double *partials, int64_t blocks,
                        const double *losses, int64_t num_losses, double unscale, double max_norm);
    /* AdamW (Loshchilov and Hutter 2019) as torch does it, with gradient g * *grad_scale (clipping):
     *   w *= 1 - lr*weight_decay; m = b1 m + (1-b1) g; v = b2 v + (1-b2) g^2; w -= lr/correction1 * m /
     *   (sqrt(v)/sqrt(correction2) + eps)
     * correctionN = 1 - betaN^step, in double. low (NULL: none): written from the new w. Nothing is written where
     * *grad_scale is not finite (sgd likewise). Floor: 7 arrays of n floats moved, and the copy's n elements. */
    void (*adamw)(Stream *s, float *w, float *m, float *v, const LowCopy *low, const float *g, int64_t n,
                  const float *grad_scale, double lr, double beta1, double beta2, double eps, double weight_decay,
                  double correction1, double correction2);
    /* SGD as torch: g = g * *grad_scale + weight_decay*w; momentum buffer (NULL: none) b = first ? g : momentum*b +
     * (1-dampening)*g; w -= lr * (nesterov ? g + momentum*b : b). Floor: 3 arrays of n floats moved, 5 with momentum,
     * and the copy's n elements. */
    void (*sgd)(Stream *s, float *w, float *momentum_buffer, const LowCopy *low, const float *g, int64_t n,
                const float *grad_scale, double lr, double weight_decay, double momentum, double dampening,
                bool nesterov, bool first);
    /* The copy of w [n] alone, as a pass of an optimizer would write it. Floor: 6*n bytes moved. */
    void (*low_copy)(Stream *s, const LowCopy *low, const float *w, int64_t n);
} Kernels;

/* Instruction sets of the CPU backend. */
enum { ISA_BASE = 1, ISA_AVX2 = 2, ISA_AVX512 = 4 };
unsigned isa_of_cpu(void);
unsigned isa_detect(void); /* what this CPU has, narrowed by HONE_ISA=base|avx2|avx512 */
/* Whether HONE_ISA asks for something that is there; `wanted`: its value, NULL or "" when unset; `has`: isa_of_cpu().
 * why: what is wrong and what to do. Programs refuse what isa_detect would pass over. */
enum { ISA_WHY_BYTES = 200 };
bool isa_allowed(const char *wanted, unsigned has, char why[ISA_WHY_BYTES]);
const char *isa_name(unsigned isa);
const Kernels *kernels_cpu(unsigned isa);

#endif
