/* How near everything but the large products comes to this machine's limits: bench_rest [threads [rounds]], built with
 * -DHONE_BENCH=ON.
 *
 * Attention is held against the rate of the library's products (2048^3, one a thread, all at once), counting the
 * products of visible keys only: 4 dim FLOPs forward and 10 dim backward for each visible pair of a query and a key.
 * The rest is held against memory: what a copy of 256 MiB reaches on the same threads. The best of the rounds counts.
 * "cpu" is processor time divided by threads: what the clock would say if nobody else used the machine and the threads
 * were evenly loaded. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "kernels/gemm.h"
#include "kernels/kernels.h"

enum { N = 2048, PARAMETERS = 124439808, COPY = 64 << 20 /* floats */ };

typedef struct Time { double wall, cpu; } Time; /* seconds */

typedef struct Bench {
    const Kernels *k;
    Stream *s;
    int rounds, threads;
    Time product, copy; /* the machine's, for a FLOP and for a byte */
} Bench;

static float *a, *b, *c, *d; /* PARAMETERS floats each */

static Time now(void)
{
    struct timespec wall, cpu;
    clock_gettime(CLOCK_MONOTONIC, &wall);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu);
    return (Time){(double)wall.tv_sec + (double)wall.tv_nsec * 1e-9, (double)cpu.tv_sec + (double)cpu.tv_nsec * 1e-9};
}

static Time since(Time t, int threads)
{
    Time n = now();
    return (Time){n.wall - t.wall, (n.cpu - t.cpu) / threads};
}

static Time least(Time x, Time y) { return (Time){x.wall < y.wall ? x.wall : y.wall, x.cpu < y.cpu ? x.cpu : y.cpu}; }

static void product_task(void *context, int64_t task, int thread)
{
    (void)context, (void)thread;
    gemm_serial(false, false, N, N, N, 1, a, N, b, N, 0, c + task * N * N, N);
}

static void copy_task(void *context, int64_t task, int thread)
{
    (void)context, (void)thread;
    for (int64_t i = task << 16; i < (task + 1) << 16; i++) c[i] = a[i];
}

static void floors(Bench *x)
{
    x->product = x->copy = (Time){1, 1};
    for (int r = 0; r < x->rounds; r++) {
        Time t = now();
        threads_run(stream_threads(x->s), x->threads, product_task, NULL);
        x->product = least(x->product, since(t, x->threads));
        t = now();
        threads_run(stream_threads(x->s), COPY >> 16, copy_task, NULL);
        x->copy = least(x->copy, since(t, x->threads));
    }
    double flops = 2.0 * x->threads * N * N * N, bytes = 8.0 * COPY;
    x->product.wall /= flops, x->product.cpu /= flops, x->copy.wall /= bytes, x->copy.cpu /= bytes;
    printf("%s, %s, %d threads: %.1f GFLOP/s in products (cpu %.1f), %.1f GB/s in a copy (cpu %.1f)\n", x->k->name,
           gemm_library(), x->threads, 1e-9 / x->product.wall, 1e-9 / x->product.cpu, 1e-9 / x->copy.wall,
           1e-9 / x->copy.cpu);
}

typedef void Work(const Bench *x, const void *context);

static Time best(const Bench *x, Work *work, const void *context)
{
    Time shortest = {1e9, 1e9};
    work(x, context); /* scratch, page faults */
    for (int r = 0; r < x->rounds; r++) {
        Time t = now();
        work(x, context);
        shortest = least(shortest, since(t, x->threads));
    }
    return shortest;
}

typedef struct Attention {
    const char *name;
    int32_t batch, length, heads, dim;
    bool causal;
    float p;
    int32_t cached;
} Attention;

static AttentionShape shape_of(const Attention *x, int32_t *cu_q, int32_t *cu_k, int32_t *sample)
{
    int32_t len_q = x->cached ? 1 : x->length;
    for (int32_t i = 0; i <= x->batch; i++) cu_q[i] = i * len_q, cu_k[i] = i * x->length, sample[i] = i;
    int64_t stride = 3 * x->heads * x->dim;
    return (AttentionShape){.cu_seqlens_q = cu_q, .cu_seqlens_k = cu_k, .num_seqs = x->batch, .max_seqlen_q = len_q,
                            .max_seqlen_k = x->length, .heads = x->heads, .kv_heads = x->heads, .head_dim = x->dim,
                            .q_stride = stride, .k_stride = stride, .v_stride = stride, .out_stride = stride / 3,
                            .scale = 0.125f, .causal = x->causal};
}

static void attention(const Bench *x, const Attention *s, bool backward)
{
    int32_t cu_q[65], cu_k[65], sample[65], hidden = s->heads * s->dim;
    AttentionShape shape = shape_of(s, cu_q, cu_k, sample);
    Dropout drop = {.p = s->p, .seed = 1, .cu_seqlens = cu_q, .sample = sample, .num_seqs = s->batch};
    if (!backward)
        x->k->attention_forward(x->s, DTYPE_F32, b, b + (32 << 20), a, a + hidden, a + 2 * hidden, &shape, &drop);
    else
        x->k->attention_backward(x->s, DTYPE_F32, c, c + hidden, c + 2 * hidden, d, a, a + hidden, a + 2 * hidden, b,
                                 b + (32 << 20), &shape, &drop);
}

static void attention_forward(const Bench *x, const void *s) { attention(x, s, false); }
static void attention_backward(const Bench *x, const void *s) { attention(x, s, true); }

static void attention_line(const Bench *x, const char *name, const char *what, Time t, double flops)
{
    printf("attention %-18s %-8s wall %8.3f ms, %5.1f%%   cpu %8.3f ms, %5.1f%% of the rate of products\n", name, what,
           t.wall * 1e3, 100 * flops * x->product.wall / t.wall, t.cpu * 1e3, 100 * flops * x->product.cpu / t.cpu);
    fflush(stdout);
}

static void measure_attention(const Bench *x, const Attention *s)
{
    double n = s->length, pairs = (s->cached ? n : s->causal ? n * (n + 1) / 2 : n * n) * s->batch * s->heads;
    Time forward = best(x, attention_forward, s);
    attention_line(x, s->name, "forward", forward, 4 * s->dim * pairs);
    if (s->cached) return;
    Time backward = best(x, attention_backward, s);
    attention_line(x, s->name, "backward", backward, 10 * s->dim * pairs);
}

enum { ROWS = 4096, COLS = 768, ELEMENTS = ROWS * COLS * 4 };
static int32_t cu[9], samples[8];
static const Dropout dropout = {.p = 0.1f, .seed = 1, .cu_seqlens = cu, .sample = samples, .num_seqs = 8};

static void norm_forward(const Bench *x, const void *hidden)
{
    x->k->layer_norm_forward(x->s, DTYPE_F32, b, d, d + ROWS, a, c, c, ROWS, *(const int64_t *)hidden, 1e-5f);
}
static void norm_backward(const Bench *x, const void *hidden)
{
    int64_t h = *(const int64_t *)hidden;
    x->k->layer_norm_backward(x->s, DTYPE_F32, c + h, c, c + 1024, b, a, d, d + ROWS, c, ROWS, h, false, false);
}
static void rms_forward(const Bench *x, const void *context)
{
    (void)context;
    x->k->rms_norm_forward(x->s, DTYPE_F32, b, d + ROWS, a, c, ROWS, COLS, 1e-5f, 0);
}
static void gelu(const Bench *x, const void *act)
{
    x->k->activation_forward(x->s, DTYPE_F32, b, a, ELEMENTS, *(const Activation *)act);
}
static void gelu_backward(const Bench *x, const void *act)
{
    x->k->activation_backward(x->s, DTYPE_F32, c, b, a, ELEMENTS, *(const Activation *)act);
}
static void gated(const Bench *x, const void *act)
{
    x->k->gated_forward(x->s, DTYPE_F32, c, a, b, ELEMENTS, *(const Activation *)act);
}
static void dropout_add(const Bench *x, const void *context)
{
    (void)context;
    x->k->dropout_add_forward(x->s, DTYPE_F32, c, a, b, ROWS, COLS, &dropout);
}
static void dropout_backward(const Bench *x, const void *context)
{
    (void)context;
    x->k->dropout_backward(x->s, DTYPE_F32, c, a, ROWS, COLS, &dropout, false);
}
static void adamw(const Bench *x, const void *context)
{
    static const float one = 1;
    (void)context;
    x->k->adamw(x->s, a, b, c, NULL, d, PARAMETERS, &one, 1e-4, 0.9, 0.999, 1e-8, 0.01, 0.1, 0.001);
}
static void squares(const Bench *x, const void *partials)
{
    x->k->sum_squares(x->s, *(double *const *)partials, a, PARAMETERS);
}

static void measure(const Bench *x, const char *name, Work *work, const void *context, double bytes)
{
    Time t = best(x, work, context);
    printf("%-26s wall %8.3f ms, %6.1f GB/s, %5.1f%%   cpu %8.3f ms, %6.1f GB/s, %5.1f%% of a copy's\n", name,
           t.wall * 1e3, bytes / t.wall * 1e-9, 100 * bytes * x->copy.wall / t.wall, t.cpu * 1e3, bytes / t.cpu * 1e-9,
           100 * bytes * x->copy.cpu / t.cpu);
    fflush(stdout);
}

static void measure_memory(const Bench *x)
{
    static const Activation acts[] = {ACT_GELU, ACT_GELU_TANH, ACT_SILU};
    static const int64_t hidden[] = {768, 256};
    double *partials = malloc((PARAMETERS / KERNEL_BLOCK + 1) * sizeof *partials), n = (double)ROWS * COLS * 4;
    measure(x, "layer_norm forward 768", norm_forward, &hidden[0], 2 * n);
    measure(x, "layer_norm backward 768", norm_backward, &hidden[0], 3 * n);
    measure(x, "layer_norm forward 256", norm_forward, &hidden[1], 2 * n / 3);
    measure(x, "layer_norm backward 256", norm_backward, &hidden[1], 3 * n / 3);
    measure(x, "rms_norm forward 768", rms_forward, NULL, 2 * n);
    measure(x, "gelu forward", gelu, &acts[0], 8.0 * ELEMENTS);
    measure(x, "gelu backward", gelu_backward, &acts[0], 12.0 * ELEMENTS);
    measure(x, "gelu_tanh forward", gelu, &acts[1], 8.0 * ELEMENTS);
    measure(x, "gelu_tanh backward", gelu_backward, &acts[1], 12.0 * ELEMENTS);
    measure(x, "gated silu forward", gated, &acts[2], 12.0 * ELEMENTS);
    measure(x, "dropout_add", dropout_add, NULL, 3 * n);
    measure(x, "dropout backward", dropout_backward, NULL, 2 * n);
    measure(x, "sum_squares 124M", squares, &partials, 4.0 * PARAMETERS);
    measure(x, "adamw 124M", adamw, NULL, 28.0 * PARAMETERS);
    free(partials);
}

static float *numbers(size_t n)
{
    float *p = aligned_alloc(64, n * sizeof *p);
    for (size_t i = 0; p && i < n; i++) p[i] = (float)(i * 2654435761u % 65536) / 65536 - 0.5f;
    return p;
}

int main(int argc, char **argv)
{
    static const Attention shapes[] = {
        {"124M", 4, 256, 12, 64, true, 0, 0},
        {"124M dropout", 4, 256, 12, 64, true, 0.1f, 0},
        {"small", 8, 128, 4, 64, true, 0, 0},
        {"small dropout", 8, 128, 4, 64, true, 0.1f, 0},
        {"BERT 12x512", 2, 512, 12, 64, false, 0, 0},
        {"T 1024", 1, 1024, 12, 64, true, 0, 0},
        {"dim 128", 1, 512, 12, 128, true, 0, 0},
        {"dim 24", 8, 128, 4, 24, true, 0, 0},
        {"T 33", 32, 33, 12, 64, true, 0, 0},
        {"cached 1024", 1, 1024, 12, 64, true, 0, 1},
        {"cached 1024 x 4", 4, 1024, 12, 64, true, 0, 1},
    };
    unsigned isa = isa_detect();
    gemm_set_isa(isa);
    int threads = argc > 1 ? atoi(argv[1]) : 2;
    Bench x = {.k = kernels_cpu(isa), .s = stream_new_cpu(threads), .rounds = argc > 2 ? atoi(argv[2]) : 10,
               .threads = threads};
    a = numbers(PARAMETERS), b = numbers(PARAMETERS), c = numbers(PARAMETERS), d = numbers(PARAMETERS);
    if (!x.s || !a || !b || !c || !d) return 1;
    for (int i = 0; i <= 8; i++) cu[i] = i * ROWS / 8;
    floors(&x);
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) measure_attention(&x, &shapes[i]);
    for (size_t i = 0; i < PARAMETERS; i++) c[i] = a[i] * a[i]; /* adamw's v */
    measure_memory(&x);
    stream_free(x.s);
    free(a), free(b), free(c), free(d);
    return 0;
}
