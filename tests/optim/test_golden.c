/* links: checkpoint */
/* Optimizers and clipping against torch, step by step (fixtures/ops/adamw… sgd… clip_…), on each instruction set. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "kernels/clip.h"
#include "optim/optimizer.h"
#include "trainer/checkpoint/safetensors.h"

enum { STEPS = 5 };

static Safetensors *open_golden(const char *name)
{
    char path[512];
    Safetensors *s;
    snprintf(path, sizeof path, FIXTURES "/ops/%s.safetensors", name);
    assert_int_equal(safetensors_open(path, &s), OK);
    return s;
}

static float *floats(const Safetensors *s, const char *name, int64_t *n)
{
    const TensorInfo *info = safetensors_find(s, name);
    if (!info) fail_msg("%s: no %s", safetensors_path(s), name);
    float *x = malloc((size_t)info->numel * sizeof *x + 1);
    assert_int_equal(tensor_read(info, 0, info->numel, DTYPE_F32, x), OK);
    *n = info->numel;
    return x;
}

static double number(const Safetensors *s, const char *name, double otherwise)
{
    const TensorInfo *info = safetensors_find(s, name);
    float real;
    int32_t integer;
    if (!info) return otherwise;
    if (info->dtype == DTYPE_I32) {
        assert_int_equal(tensor_read(info, 0, 1, DTYPE_I32, &integer), OK);
        return integer;
    }
    assert_int_equal(tensor_read(info, 0, 1, DTYPE_F32, &real), OK);
    return (double)real;
}

static void close_to(const char *what, int step, const float *have, const float *want, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        if (!(fabs((double)have[i] - (double)want[i]) <= 2e-6 * (1e-2 + fabs((double)want[i]))))
            fail_msg("%s, step %d: element %d is %.9g, not %.9g", what, step, (int)i, (double)have[i], (double)want[i]);
}

static void check(const char *name, const Kernels *k)
{
    const OptimizerType *type = optimizer_type_find(*name == 'a' ? "adamw_torch" : "sgd");
    Safetensors *s = open_golden(name);
    /* torch takes these as doubles: 0.1, not the float nearest to it */
    OptimizerConfig config = {.weight_decay = round(number(s, "attr.weight_decay", 0) * 1e6) / 1e6,
                              .beta1 = round(number(s, "attr.beta1", 0) * 1e6) / 1e6,
                              .beta2 = round(number(s, "attr.beta2", 0) * 1e6) / 1e6,
                              .eps = number(s, "attr.eps", 0),
                              .momentum = round(number(s, "attr.momentum", 0) * 1e6) / 1e6,
                              .nesterov = number(s, "attr.nesterov", 0) != 0};
    int64_t n, total;
    float *w = floats(s, "in.p0", &n), *g = floats(s, "in.g", &total), *want = floats(s, "out.p", &total);
    double lr[STEPS];
    assert_int_equal(total, STEPS * n);
    assert_int_equal(tensor_read(safetensors_find(s, "in.lr"), 0, STEPS, DTYPE_F64, lr), OK);
    Stream *stream = stream_new_cpu(2);
    Optimizer *o;
    OptimizerRange range = {0, n};
    DecayRun run = {0, n, true};
    assert_int_equal(optimizer_new(type, &config, k, stream, &range, 1, &run, 1, &o), OK);
    static const float one = 1;
    for (int step = 0; step < STEPS; step++) {
        optimizer_step(o, w, NULL, g + step * n, &one, lr[step], NULL, NULL);
        close_to(name, step, w, want + step * n, n);
    }
    for (int i = 0; i < optimizer_num_states(o); i++) {
        char state[64];
        snprintf(state, sizeof state, "out.%s", optimizer_state_name(o, i));
        if (!safetensors_find(s, state)) continue; /* sgd without momentum keeps none */
        float *final = floats(s, state, &total);
        close_to(state, STEPS, optimizer_state(o, i), final, n);
        free(final);
    }
    optimizer_free(o);
    stream_free(stream);
    free(w), free(g), free(want);
    safetensors_close(s);
}

static void optimizers_take_torchs_steps(void **state)
{
    (void)state;
    static const char *const names[] = {"adamw", "adamw_decay", "sgd", "sgd_momentum_decay", "sgd_nesterov"};
    for (unsigned isa = ISA_BASE; isa <= ISA_AVX512; isa <<= 1)
        for (size_t i = 0; (isa_detect() & isa) && i < sizeof names / sizeof *names; i++)
            check(names[i], kernels_cpu(isa));
}

static void clipping_is_torchs(void **state)
{
    (void)state;
    static const char *const names[] = {"clip_active", "clip_inactive", "clip_zero"};
    Stream *stream = stream_new_cpu(1);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        Safetensors *s = open_golden(names[i]);
        double sum = 0, want_norm;
        for (int part = 0; part < 3; part++) {
            char name[16];
            int64_t n;
            double squares;
            snprintf(name, sizeof name, "in.g%d", part);
            float *g = floats(s, name, &n);
            kernels_cpu(ISA_BASE)->sum_squares(stream, &squares, g, n);
            sum += squares;
            free(g);
        }
        assert_int_equal(tensor_read(safetensors_find(s, "out.norm"), 0, 1, DTYPE_F64, &want_norm), OK);
        assert_true(fabs(sqrt(sum) - want_norm) <= 1e-6 * want_norm);
        float scale = clip_scale(sqrt(sum), number(s, "attr.max_norm", 0));
        for (int part = 0; part < 3; part++) {
            char in[16], out[16];
            int64_t n;
            snprintf(in, sizeof in, "in.g%d", part);
            snprintf(out, sizeof out, "out.g%d", part);
            float *g = floats(s, in, &n), *want = floats(s, out, &n);
            for (int64_t j = 0; j < n; j++) g[j] *= scale;
            close_to(names[i], part, g, want, n);
            free(g), free(want);
        }
        safetensors_close(s);
    }
    stream_free(stream);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(optimizers_take_torchs_steps),
        cmocka_unit_test(clipping_is_torchs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
