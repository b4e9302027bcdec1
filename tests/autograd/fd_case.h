/* One use of an op with drawn inputs: runs it, and compares its gradients with central differences in double. */
#ifndef HONE_TESTS_AUTOGRAD_FD_CASE_H
#define HONE_TESTS_AUTOGRAD_FD_CASE_H

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/autograd/fd_memory.h"
#include "tests/autograd/fd_ops.h"
#include "tests/support/test_model.h"

typedef struct FdCase {
    const FdOp *op;
    Shape shape;
    Tape *tape;
    bool twice;          /* the op is on the tape two times, with the same inputs */
    int frozen;          /* this input needs no gradient; -1: all do */
    Batch batch;
    int32_t *cu, *sample, *positions;
    Tensor in[FD_INPUTS];
    Parameter params[FD_INPUTS];
    float *dy, *host_dy;
} FdCase;

static inline double fd_random(uint64_t *state) /* [-1, 1) */
{
    uint64_t z = *state += 0x9E3779B97F4A7C15u;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return (double)((z ^ z >> 31) >> 40) * 0x1p-23 - 1;
}

enum { FD_DY = 1 << 12 };

static inline float *fd_numbers(int64_t n, uint64_t seed)
{
    float *x = malloc((size_t)n * sizeof *x + 1);
    assert_non_null(x);
    for (int64_t i = 0; i < n; i++) x[i] = (float)fd_random(&seed);
    return x;
}

/* Sequences: none, half of the rows, none, the rest. Labels and ids lie in [0, what the op's table has). */
static inline void fd_open(FdCase *c, const FdOp *op, Shape shape, Tape *tape)
{
    *c = (FdCase){.op = op, .shape = shape, .tape = tape, .frozen = -1};
    int32_t half = (int32_t)shape.rows / 2, rows = (int32_t)shape.rows;
    int32_t positions[FD_ROWS] = {0}, ids[FD_ROWS] = {0}, labels[FD_ROWS] = {0};
    float cosines[FD_ROWS * 16], sines[FD_ROWS * 16];
    for (int i = 0; i < rows; i++) {
        int64_t classes = strcmp(op->name, "cross_entropy") == 0 ? shape.a : shape.b;
        positions[i] = i < half ? i : i - half;
        ids[i] = (int32_t)(i * i % shape.b);
        labels[i] = i == 1 ? -100 : (int32_t)(i % classes);
    }
    for (int i = 0; i < FD_ROWS * 16; i++) cosines[i] = cosf((float)i * 0.7f), sines[i] = sinf((float)i * 0.7f);
    c->cu = fd_there((int32_t[]){0, 0, half, half, rows}, 5 * sizeof(int32_t));
    c->sample = fd_there((int32_t[]){4, 0, 7, 2}, 4 * sizeof(int32_t));
    c->positions = fd_there(positions, sizeof positions);
    fd_ids = fd_there(ids, sizeof ids), fd_labels = fd_there(labels, sizeof labels);
    fd_cos = fd_there(cosines, sizeof cosines), fd_sin = fd_there(sines, sizeof sines);
    c->batch = (Batch){.num_seqs = 4,
                       .max_seqlen = rows - half,
                       .rows = rows,
                       .position_ids = c->positions,
                       .cu_seqlens = c->cu,
                       .sample = c->sample};
    for (int i = 0; i < op->inputs; i++) {
        const char *size = op->sizes + 2 * i;
        Tensor *x = &c->in[i];
        *x = (Tensor){.dtype = DTYPE_F32, .rows = fd_size(size[0], shape), .cols = fd_size(size[1], shape), .slot = -1};
        float *numbers = fd_numbers(tensor_count(x), (uint64_t)i + 11);
        x->data = fd_there(numbers, tensor_bytes(x));
        free(numbers);
        if (!fd_is_param(size)) continue;
        x->param = &c->params[i];
        x->grad = fd_take(tensor_bytes(x));
    }
    c->host_dy = fd_numbers(FD_DY, 5);
    c->dy = fd_there(c->host_dy, FD_DY * sizeof *c->dy);
}

static inline void fd_close(FdCase *c)
{
    for (int i = 0; i < c->op->inputs; i++) {
        fd_give(c->in[i].data);
        if (c->in[i].param) fd_give(c->in[i].grad);
    }
    fd_give(c->cu), fd_give(c->sample), fd_give(c->positions);
    fd_give(fd_ids), fd_give(fd_labels), fd_give(fd_cos), fd_give(fd_sin);
    fd_give(c->dy), free(c->host_dy);
}

static inline Tensor *fd_forward(FdCase *c, TapeMode mode)
{
    Tensor *in[FD_INPUTS];
    for (int i = 0; i < c->op->inputs; i++) {
        Tensor *x = in[i] = &c->in[i];
        x->needs_grad = i != c->frozen;
        x->needed = x->consumed = false;
        c->params[i].grad_written = false;
        if (x->param) fd_fill_nan(x->grad, tensor_bytes(x));
        else x->grad = NULL;
    }
    tape_begin(c->tape, mode, &c->batch, 9);
    c->tape->training = true; /* dropout is part of the function */
    Tensor *y = c->op->run(c->tape, in, c->shape);
    if (!c->twice) return y;
    Tensor *again = c->op->run(c->tape, in, c->shape);
    return c->op->loss ? again : op_dropout_add(c->tape, again, y, 0);
}

/* The scalar whose gradient is asked for, in double. */
static inline double fd_value(FdCase *c)
{
    Tensor *y = fd_forward(c, TAPE_EVAL);
    assert_ok(tape_status(c->tape));
    float *data = fd_here(y->data, tensor_bytes(y));
    double sum = 0;
    for (int64_t i = 0; i < tensor_count(y); i++)
        sum += (double)data[i] * (c->op->loss ? (double)fd_scale : (double)c->host_dy[i]);
    free(data);
    return c->op->loss && c->twice ? 2 * sum : sum;
}

static inline Status fd_gradients(FdCase *c)
{
    Tensor *y = fd_forward(c, TAPE_TRAIN);
    Status st = tape_status(c->tape);
    return st ? st : tape_backward(c->tape, y, c->op->loss ? NULL : c->dy);
}

/* (f(x+hu) - f(x-hu)) / 2h with the first term of its error taken out (Richardson): with h = 0.02 and inputs of about 1
 * it is good to a few 1e-5 of the gradient's length, most of that rounding of f in f32. */
static inline double fd_slope(FdCase *c, Tensor *x, const float *from, const double *u)
{
    double slope[2];
    for (int k = 0; k < 2; k++) {
        double h = 0.02 * (k + 1), value[2];
        float *data = malloc(tensor_bytes(x) + 1);
        assert_non_null(data);
        for (int side = 0; side < 2; side++) {
            for (int64_t i = 0; i < tensor_count(x); i++) data[i] = (float)((double)from[i] + (side ? -h : h) * u[i]);
            fd_copy(x->data, data, tensor_bytes(x));
            value[side] = fd_value(c);
        }
        free(data);
        slope[k] = (value[0] - value[1]) / (2 * h);
    }
    fd_copy(x->data, from, tensor_bytes(x));
    return (4 * slope[0] - slope[1]) / 3;
}

/* The largest difference between <gradient, u> and the slope along u, as a share of the gradient's length (at least
 * 0.1), over all inputs and some directions u: all elements at once, and single ones. NaN where a gradient is. */
static inline double fd_worst(FdCase *c)
{
    double worst = 0;
    assert_ok(fd_gradients(c));
    float *grads[FD_INPUTS], *from[FD_INPUTS];
    for (int i = 0; i < c->op->inputs; i++) { /* before fd_slope's passes take the memory */
        Tensor *x = &c->in[i];
        if (tensor_count(x) && !x->grad && i != c->frozen) fail_msg("op %s: input %d has no gradient", c->op->name, i);
        grads[i] = x->grad && x->rows ? fd_here(x->grad, tensor_bytes(x)) : calloc(1, tensor_bytes(x) + 1);
        from[i] = fd_here(x->data, tensor_bytes(x));
    }
    for (int i = 0; i < c->op->inputs; i++) {
        Tensor *x = &c->in[i];
        int64_t n = tensor_count(x);
        if (i == c->frozen || !n) continue;
        double length = 0, *u = malloc((size_t)n * sizeof *u);
        uint64_t seed = (uint64_t)i + 101;
        for (int64_t j = 0; j < n; j++) length += (double)grads[i][j] * (double)grads[i][j];
        for (int direction = 0; direction < FD_DIRECTIONS; direction++) {
            double dot = 0;
            int64_t only = (int64_t)((fd_random(&seed) + 1) / 2 * (double)n);
            for (int64_t j = 0; j < n; j++) {
                u[j] = direction < 2 ? fd_random(&seed) : j == only;
                dot += u[j] * (double)grads[i][j];
            }
            double share = fabs(fd_slope(c, x, from[i], u) - dot) / (sqrt(length) + 0.1);
            if (!(share <= worst)) worst = share;
        }
        free(u);
    }
    for (int i = 0; i < c->op->inputs; i++) free(grads[i]), free(from[i]);
    return worst;
}

#endif
