/* links: test_support distributed */
/* Autograd is general: a second architecture (tests/support/second_model.c) has the gradients of finite differences, on
 * one rank and, through the reducer, on several (test_second_model.mpi). */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/second_model.h"
#include "tests/support/test_model.h"
#include "trainer/distributed/gradients.h"

enum { VOCAB = 61, SEQS = 5, ROWS = 45 };

typedef struct Fixture {
    ProcessGroup *group;
    Model *model;
    Gradients *gradients;
    Stream *stream;
    Tape tape;
    Batch batch;      /* this rank's sequences */
    int64_t targets;  /* of all ranks */
} Fixture;

static void ready(void *g, Parameter *p) { gradients_ready(g, p->offset, p->offset + p->count); }

/* Sequences of 1, 9, 14, 4 and 17 tokens, dealt to the ranks in turn. */
static Batch deal(int rank, int size)
{
    static const int lengths[SEQS] = {1, 9, 14, 4, 17};
    int32_t ids[ROWS], cu[SEQS + 1] = {0}, sample[SEQS];
    int n = 0;
    for (int s = 0, row = 0; s < SEQS; row += lengths[s++]) {
        if (s % size != rank) continue;
        for (int i = 0; i < lengths[s]; i++) ids[cu[n] + i] = (int32_t)((row + i) * 2654435761u >> 7) % VOCAB;
        for (int i = 0; i < lengths[s]; i++) ids[cu[n] + i] = abs(ids[cu[n] + i]);
        cu[n + 1] = cu[n] + lengths[s];
        sample[n++] = s;
    }
    Batch b = test_batch(ids, cu, n);
    memcpy((int32_t *)(uintptr_t)b.sample, sample, (size_t)n * sizeof *sample);
    return b;
}

static int open_fixture(void **state)
{
    Fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    assert_ok(group_open(&f->group));
    *state = f;
    return 0;
}

static int close_fixture(void **state)
{
    Fixture *f = *state;
    group_close(f->group);
    free(f);
    return 0;
}

static void begin(Fixture *f, int hidden, float dropout, bool checkpointing)
{
    assert_ok(second_model_new(hidden, 3, VOCAB, dropout, &f->model));
    f->stream = stream_new_cpu(2);
    GradientsOptions options = {.zero_stage = 1, .bucket_bytes = 4 * KERNEL_BLOCK};
    assert_ok(gradients_new(f->group, f->stream, f->model->params.flat_count, &options, &f->gradients));
    parameters_bind(&f->model->params, gradients_weights(f->gradients), gradients_data(f->gradients));
    model_draw(f->model, 7);
    assert_ok(tape_open(&f->tape, kernels_cpu(isa_detect()), f->stream, &f->model->params));
    f->tape.checkpointing = checkpointing;
    f->tape.ready = ready;
    f->tape.ready_context = f->gradients;
    f->batch = deal(f->group->rank, f->group->size);
    f->targets = f->batch.targets;
    assert_ok(group_sum_i64(f->group, &f->targets, 1));
}

static void end(Fixture *f)
{
    test_batch_free(&f->batch);
    tape_close(&f->tape);
    gradients_free(f->gradients);
    stream_free(f->stream);
    model_free(f->model);
}

/* The mean loss over all ranks; in training with its gradient, summed by the reducer. */
static double loss(Fixture *f, bool with_gradient)
{
    LossSpec spec = {.scale = 1.0f / (float)f->targets};
    if (with_gradient) {
        parameters_begin_update(&f->model->params);
        assert_ok(gradients_begin(f->gradients, true, true));
    }
    tape_begin(&f->tape, TAPE_TRAIN, &f->batch, 3); /* dropout on, the same numbers every time */
    Tensor *rows = op_linear_cross_entropy(&f->tape, model_forward(&f->tape, f->model, &f->batch),
                                           &f->model->head->value, f->batch.labels, &spec);
    assert_ok(tape_status(&f->tape));
    double sum;
    f->tape.k->sum_segments(f->stream, &sum, rows->data, rows->rows, NULL, 1);
    if (with_gradient) {
        assert_ok(tape_backward(&f->tape, rows, NULL));
        for (size_t i = 0; i < f->model->params.count; i++) {
            Parameter *p = f->model->params.list[i];
            assert_int_equal(p->uses, 0);
            if (!p->grad_written) gradients_zero(f->gradients, p->offset, p->offset + p->count);
        }
        assert_ok(gradients_end(f->gradients));
        assert_ok(gradients_finish(f->gradients, NULL));
    }
    assert_ok(group_sum_double(f->group, &sum, 1));
    return sum / (double)f->targets;
}

static double direction(int64_t i) { return (double)((uint32_t)(i * 2654435761u) >> 8) / (1 << 24) - 0.5; }

static double slope_of_gradient(Fixture *f, const Parameter *p)
{
    int count;
    double dot = 0;
    const Range *owned = gradients_owned(f->gradients, &count);
    for (int r = 0; r < count; r++)
        for (int64_t i = owned[r].begin; i < owned[r].end; i++)
            if (i >= p->offset && i < p->offset + p->count) dot += gradients_reduced(f->gradients)[i] * direction(i);
    assert_ok(group_sum_double(f->group, &dot, 1));
    return dot;
}

static double move(Fixture *f, const Parameter *p, const float *from, double h)
{
    float *w = p->value.data;
    for (int64_t i = 0; i < p->count; i++) w[i] = from[i] + (float)(h * direction(p->offset + i));
    return loss(f, false);
}

static void check(Fixture *f, int hidden, float dropout, bool checkpointing)
{
    begin(f, hidden, dropout, checkpointing);
    loss(f, true);
    for (size_t i = 0; i < f->model->params.count; i++) {
        Parameter *p = f->model->params.list[i];
        double want, slope = slope_of_gradient(f, p), size = sqrt((double)p->count / 12);
        double h = 0.02 / size; /* a step of this length in the parameter's space */
        float *from = malloc((size_t)p->count * sizeof *from);
        memcpy(from, p->value.data, (size_t)p->count * sizeof *from);
        want = (move(f, p, from, h) - move(f, p, from, -h)) / (2 * h);
        move(f, p, from, 0);
        free(from);
        if (!(fabs(slope - want) <= 5e-3 * fabs(want) + 3e-4 * size))
            fail_msg("hidden %d, dropout %g, checkpointing %d: %s: slope %.6g, finite differences %.6g", hidden,
                     (double)dropout, checkpointing, p->spec.name, slope, want);
    }
    end(f);
}

static void gradients_equal_finite_differences(void **state)
{
    check(*state, 16, 0, false);
    check(*state, 24, 0, true);
}

static void with_dropout_too(void **state)
{
    check(*state, 16, 0.2f, false);
    check(*state, 16, 0.2f, true);
}

static void recomputation_keeps_the_bits(void **state)
{
    Fixture *f = *state;
    float *kept = NULL;
    for (int checkpointing = 0; checkpointing < 2; checkpointing++) {
        int count;
        begin(f, 32, 0.1f, checkpointing);
        loss(f, true);
        const Range *owned = gradients_owned(f->gradients, &count);
        size_t bytes = (size_t)f->model->params.flat_count * sizeof(float);
        if (!kept) memcpy(kept = calloc(1, bytes), gradients_reduced(f->gradients), bytes);
        for (int r = 0; r < count; r++)
            assert_memory_equal(gradients_reduced(f->gradients) + owned[r].begin, kept + owned[r].begin,
                                (size_t)(owned[r].end - owned[r].begin) * sizeof(float));
        end(f);
    }
    free(kept);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients_equal_finite_differences),
        cmocka_unit_test(with_dropout_too),
        cmocka_unit_test(recomputation_keeps_the_bits),
    };
    return cmocka_run_group_tests(tests, open_fixture, close_fixture);
}
