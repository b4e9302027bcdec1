/* How near each kernel comes to its floor: bench_kernels [cuda|cpu] [full|toy] [dtype…], dtypes of float32 bfloat16
 * float16 (default: all that the kernels take).
 *
 * A line is a kernel at the shapes of GPT-2 124M, batch 32 x 1024 (fewer sequences where memory is short): time, what
 * it moved or computed in it, and its floor's share of it. The floor is the larger of bytes over the rate of a copy and
 * FLOPs over the rate of a square product, both measured here, in this dtype; "of peak" is the rate of the product over
 * the dense peak in the data sheet, where the name of the device is known. Work is queued for some 50 ms at a time;
 * the best of 5. "toy" is for testing this program. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "kernels/device.h"
#include "tests/gpu/cases.h"

typedef struct Plan {
    bool toy;
    double least_s;
    int rounds;
} Plan;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static Sizes sizes_of(bool toy, int64_t seqs)
{
    Sizes n = {.seqs = seqs,
               .length = 1024,
               .heads = 12,
               .head_dim = 64,
               .vocab = 50304,
               .logit_rows = 2048,
               .parameters = 124475904,
               .square = 8192};
    if (toy) /* odd on purpose */
        n = (Sizes){.seqs = seqs > 2 ? 2 : seqs,
                    .length = 19,
                    .heads = 2,
                    .head_dim = 16,
                    .vocab = 67,
                    .logit_rows = 9,
                    .parameters = 70001,
                    .square = 32};
    n.hidden = n.heads * n.head_dim, n.wide = 4 * n.hidden, n.rows = n.seqs * n.length;
    return n;
}

static int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }

/* Elements that the arrays of this type need. */
static int64_t most_elements(const Sizes *n)
{
    int64_t most = larger(n->rows * n->wide, n->square * n->square);
    return larger(larger(most, n->parameters), larger(n->vocab * n->hidden, n->logit_rows * n->vocab));
}

/* ---- memory ------------------------------ */
enum { BLOCKS = 17 };
static void *taken[BLOCKS];
static int taken_count;

static void *take(Stream *s, int64_t bytes)
{
    void *p = stream_allocate(s, (size_t)bytes);
    if (p) taken[taken_count++] = p;
    return p;
}

static void give_back(Stream *s)
{
    while (taken_count) stream_release(s, taken[--taken_count]);
}

static bool allocate(Bench *b)
{
    int64_t most = most_elements(&b->n), f32 = larger(most, 0) * 4;
    int64_t stats = larger(b->n.rows * b->n.heads, b->n.parameters / KERNEL_BLOCK + 1) * 4, rows = (b->n.rows + 1) * 4;
    b->a = take(b->s, f32), b->b = take(b->s, f32), b->c = take(b->s, f32), b->g = take(b->s, f32);
    b->w = take(b->s, f32), b->m = take(b->s, f32), b->v = take(b->s, f32);
    b->stat = take(b->s, larger(stats, 16 * b->n.hidden)), b->stat2 = take(b->s, stats);
    b->ids = take(b->s, rows), b->labels = take(b->s, rows), b->positions = take(b->s, rows);
    b->cu = take(b->s, (b->n.seqs + 1) * 4), b->sample = take(b->s, b->n.seqs * 4);
    b->cos = take(b->s, b->n.length * b->n.head_dim * 4), b->sin = b->cos;
    b->partials = take(b->s, 2 * stats), b->one = take(b->s, 4);
    return taken_count == BLOCKS;
}

static void put(const Bench *b, void *to, const void *from, size_t bytes)
{
    b->k->copy(b->s, to, from, bytes);
    stream_sync(b->s);
}

static void *host(size_t bytes)
{
    void *p = malloc(bytes);
    if (!p) fprintf(stderr, "bench_kernels: no memory\n"), exit(1);
    return p;
}

static void fill_integers(const Bench *b)
{
    int64_t rows = b->n.rows, most = rows + b->n.seqs + 1;
    int32_t *x = host((size_t)most * sizeof *x);
    const float one = 1;
    for (int64_t i = 0; i < rows; i++) x[i] = (int32_t)((uint64_t)i * 0x9E3779B97F4A7C15u >> 33) % (int32_t)b->n.vocab;
    put(b, b->ids, x, (size_t)rows * 4), put(b, b->labels, x, (size_t)rows * 4);
    for (int64_t i = 0; i < rows; i++) x[i] = (int32_t)(i % b->n.length);
    put(b, b->positions, x, (size_t)rows * 4);
    for (int64_t i = 0; i <= b->n.seqs; i++) x[i] = (int32_t)(i * b->n.length);
    put(b, b->cu, x, (size_t)(b->n.seqs + 1) * 4);
    for (int64_t i = 0; i < b->n.seqs; i++) x[i] = (int32_t)i;
    put(b, b->sample, x, (size_t)b->n.seqs * 4);
    put(b, b->one, &one, sizeof one);
    free(x);
}

/* Numbers of [-1, 1): zeros would cost less power than a training run's, and so run faster than it. */
static void fill_numbers(const Bench *b)
{
    int64_t block = 1 << 20, most = most_elements(&b->n), n = most < block ? most : block;
    float *x = host((size_t)n * sizeof *x);
    uint64_t z = 1;
    for (int64_t i = 0; i < n; i++)
        z = z * 6364136223846793005u + 1442695040888963407u, x[i] = (float)(z >> 40) * 0x1p-23f - 1;
    put(b, b->w, x, (size_t)n * sizeof *x);
    free(x);
    void *wide[] = {b->a, b->b, b->c};
    float *f32[] = {b->m, b->g, b->v};
    for (int64_t i = 0; i < most; i += n) {
        int64_t left = most - i < n ? most - i : n;
        for (int j = 0; j < 3; j++)
            b->k->convert(b->s, b->dtype, (char *)wide[j] + i * (int64_t)dtype_bytes(b->dtype), DTYPE_F32, b->w, left);
        if (i) b->k->copy(b->s, b->w + i, b->w, (size_t)left * 4);
        for (int j = 0; j < 2; j++) b->k->copy(b->s, f32[j] + i, b->w, (size_t)left * 4);
        b->k->fill_zero(b->s, b->v + i, (size_t)left * 4); /* second moments are not negative */
    }
    int64_t stats = b->n.length * b->n.head_dim;
    b->k->copy(b->s, b->cos, b->w, (size_t)(stats < n ? stats : n) * 4);
    b->k->fill_zero(b->s, b->stat, (size_t)larger(b->n.rows * b->n.heads, 16) * 4);
    b->k->fill_zero(b->s, b->stat2, (size_t)larger(b->n.rows, 16) * 4);
    stream_sync(b->s);
}

/* ---- time ------------------------------ */
static double timed(const Bench *b, const Case *c, int times)
{
    double t = now();
    for (int i = 0; i < times; i++) c->work(b);
    stream_sync(b->s);
    return (now() - t) / times;
}

static double best_of(const Bench *b, const Case *c, const Plan *plan)
{
    timed(b, c, 1); /* scratch, plans of products */
    double once = timed(b, c, 1), best = once;
    int times = (int)fmin(1000, fmax(1, plan->least_s / once));
    for (int i = 0; i < plan->rounds; i++) best = fmin(best, timed(b, c, times));
    return best;
}

typedef struct Rates {
    double bytes, flops;
} Rates; /* a second */

static bool print_case(const Bench *b, const Case *c, const Plan *plan, Rates *rates)
{
    double bytes = c->bytes ? c->bytes(b) : 0, flops = c->flops ? c->flops(b) : 0, t = best_of(b, c, plan);
    char moved[32] = "-", computed[32] = "-";
    if (stream_failed(b->s)) {
        printf("%-23s %-14s FAILED: %s\n", c->name, c->shape, stream_message(b->s));
        stream_clear(b->s);
        return false;
    }
    if (c == &cases[0]) rates->bytes = bytes / t;
    if (c == &cases[1]) rates->flops = flops / t;
    if (bytes > 0) snprintf(moved, sizeof moved, "%.1f", bytes / t * 1e-9);
    if (flops > 0) snprintf(computed, sizeof computed, "%.2f", flops / t * 1e-12);
    double floor = fmax(bytes / rates->bytes, rates->flops > 0 ? flops / rates->flops : 0);
    printf("%-23s %-14s %10.4f %9s %9s %6.1f%%\n", c->name, c->shape, t * 1e3, moved, computed, 100 * floor / t);
    fflush(stdout);
    return true;
}

static bool run_dtype(Bench *b, const Plan *plan)
{
    Rates rates = {1, 0};
    bool well = true;
    fill_numbers(b);
    printf("\n%s, T %lld = %lld x %lld, H %lld, V %lld, R %lld, P %lld\n", dtype_name(b->dtype), (long long)b->n.rows,
           (long long)b->n.seqs, (long long)b->n.length, (long long)b->n.hidden, (long long)b->n.vocab,
           (long long)b->n.logit_rows, (long long)b->n.parameters);
    printf("%-23s %-14s %10s %9s %9s %7s\n", "kernel", "shape", "ms", "GB/s", "TFLOP/s", "floor");
    for (int i = 0; i < case_count; i++)
        if (!cases[i].f32_only || b->dtype == DTYPE_F32) well = print_case(b, &cases[i], plan, &rates) && well;
    return well;
}

/* ---- the program ------------------------------ */
static bool open_backend(Bench *b, const char *name)
{
    char why[DEVICE_WHY_BYTES];
    if (!strcmp(name, "cpu")) {
        b->k = kernels_cpu(ISA_AVX512 & isa_detect() ? ISA_AVX512 : ISA_AVX2 & isa_detect() ? ISA_AVX2 : ISA_BASE);
        b->s = stream_new_cpu((int)larger(1, atoi(getenv("OMP_NUM_THREADS") ? getenv("OMP_NUM_THREADS") : "1")));
        return b->s != NULL;
    }
    if (device_open(0, &b->k, &b->s, why)) return true;
    fprintf(stderr, "bench_kernels: %s\n", why);
    return false;
}

static bool wanted(int argc, char **argv, Dtype dtype)
{
    bool any = false, found = false;
    for (int i = 3; i < argc; i++) any = true, found = found || !strcmp(argv[i], dtype_name(dtype));
    return found || !any;
}

int main(int argc, char **argv)
{
    static const Dtype dtypes[] = {DTYPE_F32, DTYPE_BF16, DTYPE_F16};
    const char *backend = argc > 1 ? argv[1] : "cuda";
    Plan plan = {.toy = argc > 2 && !strcmp(argv[2], "toy"), .least_s = 0.05, .rounds = 5};
    Bench b = {0};
    bool well = true;
    if (plan.toy) plan.least_s = 0, plan.rounds = 1;
    if (!open_backend(&b, backend)) return 1;
    for (int64_t seqs = 32; seqs; seqs /= 2) {
        b.n = sizes_of(plan.toy, seqs);
        if (allocate(&b)) break;
        give_back(b.s);
        b.n.seqs = 0;
    }
    if (!b.n.seqs) return fprintf(stderr, "bench_kernels: no memory for one sequence\n"), 1;
    fill_integers(&b);
    printf("%s", b.k->name);
    for (size_t i = 0; i < sizeof dtypes / sizeof *dtypes; i++) {
        b.dtype = dtypes[i];
        if (b.k->dtypes >> b.dtype & 1 && wanted(argc, argv, b.dtype)) well = run_dtype(&b, &plan) && well;
    }
    give_back(b.s);
    stream_free(b.s);
    return well ? 0 : 1;
}
