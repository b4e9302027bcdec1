/* How near the products of GPT-2 come to this machine's rate: bench_linear [threads [rounds]], built with
 * -DHONE_BENCH=ON.
 *
 * The floor is the library's one-threaded product of 2048^3, one a thread, all at once. Floor and shape alternate, the
 * best of each counts. "wall" compares times of the clock, "cpu" processor time spent (the library's own overhead, also
 * on a machine that others load). */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "kernels/gemm.h"
#include "kernels/kernels.h"

typedef enum Pass { FORWARD, INPUT, WEIGHT, LOSS } Pass;
typedef struct Shape { const char *name; int64_t rows, in, out; Activation act; } Shape;
typedef struct Times { double wall, cpu; } Times;

static const Shape shapes[] = {
    {"124M qkv", 1024, 768, 2304, ACT_NONE},      {"124M proj", 1024, 768, 768, ACT_NONE},
    {"124M fc", 1024, 768, 3072, ACT_GELU_TANH},  {"124M mlp proj", 1024, 3072, 768, ACT_NONE},
    {"small qkv", 1024, 256, 768, ACT_NONE},      {"small proj", 1024, 256, 256, ACT_NONE},
    {"small fc", 1024, 256, 1024, ACT_GELU_TANH}, {"small mlp proj", 1024, 1024, 256, ACT_NONE},
};
static const Shape losses[] = {{"124M loss", 1024, 768, 50257, ACT_NONE}, {"small loss", 1024, 256, 8192, ACT_NONE}};

static float *x, *y, *pre, *dy, *w, *dw; /* as large as the largest shape needs */
static int32_t labels[1024];

static float *numbers(size_t n)
{
    float *p = aligned_alloc(64, n * sizeof *p);
    for (size_t i = 0; p && i < n; i++) p[i] = (float)(i * 2654435761u % 65536) / 65536 - 0.5f;
    return p;
}

static Times now(void)
{
    struct timespec wall, cpu;
    clock_gettime(CLOCK_MONOTONIC, &wall);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu);
    return (Times){(double)wall.tv_sec + (double)wall.tv_nsec * 1e-9, (double)cpu.tv_sec + (double)cpu.tv_nsec * 1e-9};
}

static void floor_task(void *context, int64_t task, int thread)
{
    (void)context, (void)thread;
    enum { N = 2048 };
    gemm_serial(false, false, N, N, N, 1, w, N, w + N * N, N, 0, dw + task * N * N, N);
}

static void run(const Kernels *k, Stream *s, const Shape *h, Pass pass)
{
    switch (pass) {
    case FORWARD:
        k->linear_forward(s, DTYPE_F32, DTYPE_F32, y, h->act ? pre : NULL, x, w, x, h->rows, h->in, h->out, IN_OUT,
                          h->act);
        break;
    case INPUT:
        k->linear_backward_input(s, DTYPE_F32, DTYPE_F32, y, dy, w, h->rows, h->in, h->out, IN_OUT, false);
        break;
    case WEIGHT:
        k->linear_backward_weight(s, DTYPE_F32, dw, dw + h->in * h->out, x, dy, h->rows, h->in, h->out, IN_OUT, false);
        break;
    case LOSS:
        k->linear_cross_entropy(s, DTYPE_F32, DTYPE_F32, pre, y, dw, x, w, labels, h->rows, h->in, h->out, 1e-3f, 0, 0,
                                0, false);
        break;
    }
}

static void keep_best(Times *best, Times a, Times b, double flops)
{
    double wall = flops / (b.wall - a.wall), cpu = flops / (b.cpu - a.cpu);
    if (wall > best->wall) best->wall = wall;
    if (cpu > best->cpu) best->cpu = cpu;
}

static void measure(const Kernels *k, Stream *s, const Shape *h, Pass pass, int rounds)
{
    static const char *const names[] = {"forward", "dx", "dW", "loss, dx, dW"};
    int threads = threads_count(stream_threads(s));
    double flops = (pass == LOSS ? 6.0 : 2.0) * (double)(h->rows * h->in * h->out);
    int repeats = flops > 1.5e9 ? 1 : (int)(1.5e9 / flops);
    Times floor = {0}, best = {0};
    run(k, s, h, pass); /* scratch, page faults */
    for (int r = 0; r < rounds; r++) {
        Times t0 = now();
        threads_run(stream_threads(s), threads, floor_task, NULL);
        Times t1 = now();
        for (int i = 0; i < repeats; i++) run(k, s, h, pass);
        Times t2 = now();
        keep_best(&floor, t0, t1, 2.0 * threads * 2048.0 * 2048 * 2048);
        keep_best(&best, t1, t2, flops * repeats);
    }
    printf("%-15s %-12s rows %" PRId64 " %5" PRId64 " -> %5" PRId64
           "  %6.1f GFLOP/s  floor %6.1f  wall %5.1f%%  cpu %5.1f%%\n",
           h->name, names[pass], h->rows, h->in, h->out, best.wall * 1e-9, floor.wall * 1e-9,
           100 * best.wall / floor.wall, 100 * best.cpu / floor.cpu);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    int threads = argc > 1 ? atoi(argv[1]) : 2, rounds = argc > 2 ? atoi(argv[2]) : 25;
    unsigned isa = isa_detect();
    gemm_set_isa(isa);
    const Kernels *k = kernels_cpu(isa);
    Stream *s = stream_new_cpu(threads);
    x = numbers(4 << 20), y = numbers(4 << 20), pre = numbers(4 << 20), dy = numbers(4 << 20), w = numbers(40 << 20),
    dw = numbers(40 << 20);
    if (!s || !x || !y || !pre || !dy || !w || !dw || threads > 10) return 1;
    for (int i = 0; i < 1024; i++) labels[i] = i % 128 == 127 ? -100 : i * 7;
    printf("%s, %s, %d threads\n", k->name, gemm_library(), threads);
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (Pass pass = FORWARD; pass <= WEIGHT; pass++) measure(k, s, &shapes[i], pass, rounds);
    for (size_t i = 0; i < sizeof losses / sizeof *losses; i++) measure(k, s, &losses[i], LOSS, rounds);
    stream_free(s);
    free(x), free(y), free(pre), free(dy), free(w), free(dw);
    return 0;
}
