/* The tape's memory and bookkeeping; backward is in backward.c, the ops are one file each. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "trainer/autograd/walk.h"

Status tape_open(Tape *t, const Kernels *k, Stream *stream, Parameters *params)
{
    Status st = OK;
    *t = (Tape){.k = k, .stream = stream, .params = params, .checkpoint_every = 1};
    TRY(region_open(&t->nodes, NULL));
    TRY(region_open(&t->region, stream));
    TRY(pool_open(&t->pool, stream));
done:
    if (st) tape_close(t);
    return st;
}

void tape_close(Tape *t)
{
    for (int i = 0; i < TAPE_ALL_SLOTS; i++) stream_release(t->stream, t->slots[i].data);
    region_close(&t->nodes);
    region_close(&t->region);
    pool_close(&t->pool);
    *t = (Tape){0};
}

static void empty(Tape *t)
{
    t->last = NULL;
    t->last_end = (TapeMark){0};
    region_release(&t->nodes, 0);
    region_release(&t->region, 0);
    pool_reset(&t->pool);
    t->clock = t->began = 0; /* so that all passes take the slots in the same order, each slot for the same sizes */
    for (int i = 0; i < TAPE_ALL_SLOTS; i++) {
        t->slots[i].owner = NULL;
        t->slots[i].used_at = 0;
    }
}

void tape_end(Tape *t)
{
    empty(t);
    region_settle(&t->region);
    region_settle(&t->pool.region);
}

void tape_forget(Tape *t)
{
    empty(t);
    region_forget(&t->region);
    region_forget(&t->pool.region);
    stream_trim(t->stream);
}

void tape_expect(Tape *t, double factor)
{
    empty(t);
    region_expect(&t->region, (size_t)(factor * (double)t->region.peak));
    region_expect(&t->pool.region, (size_t)(factor * (double)t->pool.region.peak));
    for (int i = 0; i < TAPE_ALL_SLOTS; i++) {
        if (!t->slots[i].data) continue;
        stream_release(t->stream, t->slots[i].data);
        t->slots[i].bytes = (size_t)(factor * (double)t->slots[i].bytes);
        t->slots[i].data = stream_allocate(t->stream, t->slots[i].bytes);
        if (!t->slots[i].data) t->slots[i].bytes = 0; /* it is asked for again when it is taken */
    }
}

void tape_begin(Tape *t, TapeMode mode, const Batch *batch, uint32_t update)
{
    tape_end(t);
    t->batch = batch;
    t->update = update;
    t->training = t->wants_grad = t->record = mode == TAPE_TRAIN;
    t->recomputing = false;
    t->op = 0;
    t->blocks = 0;
    for (size_t i = 0; t->params && i < t->params->count; i++) t->params->list[i]->uses = 0;
    t->error = OK;
    stream_clear(t->stream);
}

Status tape_status(const Tape *t)
{
    if (t->error) return status_raise(t->error, "%s", t->message);
    if (stream_failed(t->stream)) {
        const char *says = stream_message(t->stream);
        return status_raise(STATUS_MEMORY, "%s", *says ? says : "out of memory: kernel scratch");
    }
    return OK;
}

void tape_fail(Tape *t, const char *op, const char *format, ...)
{
    if (t->error) return;
    va_list args;
    va_start(args, format);
    int n = snprintf(t->message, sizeof t->message, "op %s: ", op);
    vsnprintf(t->message + n, sizeof t->message - (size_t)n, format, args);
    va_end(args);
    t->error = STATUS_BUG;
}

static void out_of_memory(Tape *t)
{
    if (t->error) return;
    snprintf(t->message, sizeof t->message, "%s", status_message());
    t->error = STATUS_MEMORY;
}

bool tape_check(Tape *t, const char *op, int count, Tensor *const *inputs)
{
    if (t->error) return false;
    t->began = t->clock;
    for (int i = 0; i < count; i++) {
        if (!inputs[i]) tape_fail(t, op, "input %d is missing", i);
        else if (inputs[i]->consumed)
            tape_fail(t, op, "input %d [%lld, %lld] was consumed by an op in place; use that op's result", i,
                      (long long)inputs[i]->rows, (long long)inputs[i]->cols);
        else if (inputs[0] && inputs[i]->dtype != inputs[0]->dtype)
            tape_fail(t, op, "input %d is %s, the first %s", i, dtype_name(inputs[i]->dtype),
                      dtype_name(inputs[0]->dtype));
    }
    return !t->error;
}

bool tape_check_weight(Tape *t, const char *op, Tensor *x, Tensor *weight)
{
    if (!x || !weight || weight->needs_grad) return TAPE_CHECK(t, op, x, weight);
    if (!TAPE_CHECK(t, op, x) || !TAPE_CHECK(t, op, weight)) return false;
    if (weight->dtype > DTYPE_F16)
        tape_fail(t, op, "the weight is %s; it may be float32, bfloat16 or float16", dtype_name(weight->dtype));
    return !t->error;
}

static void *allocate(Tape *t, Region *r, size_t bytes)
{
    void *p = region_alloc(r, bytes);
    if (!p) out_of_memory(t);
    return p;
}

void *tape_from_region(Tape *t, size_t bytes) { return allocate(t, &t->region, bytes); }

Tensor *tape_header(Tape *t, Dtype dtype, int64_t rows, int64_t cols)
{
    Tensor *y = allocate(t, &t->nodes, sizeof *y);
    if (y) *y = (Tensor){.dtype = dtype, .rows = rows, .cols = cols, .slot = -1, .on_tape = true};
    return y;
}

Tensor *tape_new(Tape *t, Dtype dtype, int64_t rows, int64_t cols)
{
    Tensor *y = tape_header(t, dtype, rows, cols);
    if (y && !(y->data = tape_from_region(t, tensor_bytes(y)))) return NULL;
    return y;
}

/* The slot of [from, to) that was used longest ago, and not by the op at work; -1: none. */
static int oldest_slot(const Tape *t, int from, int to)
{
    int oldest = -1;
    for (int i = from; i < to; i++)
        if (t->slots[i].used_at <= t->began && (oldest < 0 || t->slots[i].used_at < t->slots[oldest].used_at))
            oldest = i;
    return oldest;
}

static bool take_slot(Tape *t, Tensor *y)
{
    int oldest = oldest_slot(t, 0, TAPE_SLOTS);
    if (oldest < 0) oldest = oldest_slot(t, TAPE_SLOTS, TAPE_ALL_SLOTS);
    if (oldest < 0) {
        tape_fail(t, "tape", "more than %d tensors are made again from one another", TAPE_ALL_SLOTS);
        return false;
    }
    if (t->slots[oldest].owner) {
        t->slots[oldest].owner->data = NULL;
        t->slots[oldest].owner->slot = -1;
        t->slots[oldest].owner = NULL;
    }
    size_t bytes = (tensor_bytes(y) + 63) / 64 * 64 + 64;
    if (t->slots[oldest].bytes < bytes) {
        stream_release(t->stream, t->slots[oldest].data);
        t->slots[oldest].bytes = 0;
        if (!(t->slots[oldest].data = stream_allocate(t->stream, bytes))) {
            status_raise(STATUS_MEMORY, "out of memory: %zu bytes for an activation%s", bytes,
                         stream_memory_failure(t->stream));
            out_of_memory(t);
            return false;
        }
        t->slots[oldest].bytes = bytes;
    }
    t->slots[oldest].owner = y;
    t->slots[oldest].used_at = ++t->clock;
    y->slot = oldest;
    y->data = t->slots[oldest].data;
    return true;
}

Tensor *tape_new_remade(Tape *t, Dtype dtype, int64_t rows, int64_t cols)
{
    if (!t->record) return tape_new(t, dtype, rows, cols);
    Tensor *y = tape_header(t, dtype, rows, cols);
    return y && take_slot(t, y) ? y : NULL;
}

Tensor *tape_new_over(Tape *t, Tensor *x)
{
    bool take = x->on_tape && !x->needed && x->slot < 0 && !x->param && x->data;
    void *content = tape_data(t, x); /* before its head: making it again may need the stacks */
    Tensor *y = tape_header(t, x->dtype, x->rows, x->cols);
    if (!y || !content) return NULL;
    if (take) {
        y->data = x->data;
        x->consumed = true;
        return y;
    }
    if (!(y->data = tape_from_region(t, tensor_bytes(x)))) return NULL;
    t->k->copy(t->stream, y->data, content, tensor_bytes(x));
    return y;
}

void *tape_keep(Tape *t, size_t bytes) { return t->record ? tape_from_region(t, bytes) : NULL; }

void *tape_data(Tape *t, Tensor *x)
{
    if (x->slot >= 0) t->slots[x->slot].used_at = ++t->clock;
    if (x->data || t->error) return x->data;
    if (!x->maker || !x->maker->remake) {
        tape_fail(t, "tape", "a dropped tensor has no maker");
        return NULL;
    }
    if (take_slot(t, x)) x->maker->remake(t, x->maker);
    return x->data;
}

void *tape_push(Tape *t, size_t bytes, const char *op, NodeBackward *backward, NodeRemake *remake, Tensor *out,
                int count, Tensor *const *inputs)
{
    if (t->error) return NULL;
    bool needs_grad = false;
    for (int i = 0; i < count; i++) {
        if (!inputs[i] || !inputs[i]->needs_grad) continue;
        needs_grad = true;
        if (inputs[i]->param && t->wants_grad && !t->recomputing) inputs[i]->param->uses++;
    }
    out->needs_grad = (out->needs_grad || needs_grad) && t->wants_grad; /* recompute() knows already */
    if (!t->record || !(out->needs_grad || remake)) return NULL;
    Node *node = allocate(t, &t->nodes, bytes);
    if (!node) return NULL;
    memset(node, 0, bytes);
    *node = (Node){.prev = t->last,
                   .op = op,
                   .backward = backward,
                   .remake = remake,
                   .out = out,
                   .num_in = count,
                   .mark = t->last_end};
    for (int i = 0; i < count; i++) node->in[i] = inputs[i];
    out->maker = node;
    t->last = node;
    t->last_end = tape_mark(t);
    return node;
}

void *tape_scratch(Tape *t, size_t bytes)
{
    void *p = pool_alloc(&t->pool, bytes);
    if (!p) out_of_memory(t);
    return p;
}

void tape_scratch_free(Tape *t, void *p, size_t bytes) { pool_free(&t->pool, p, bytes); }

const Dropout *tape_dropout(const Tape *t, float p, uint32_t op, Dropout *out)
{
    if (!t->training || p <= 0) return NULL;
    *out = (Dropout){.p = p,
                     .seed = (uint32_t)t->seed ^ (uint32_t)(t->seed >> 32),
                     .update = t->update,
                     .op = op,
                     .cu_seqlens = t->batch->cu_seqlens,
                     .sample = t->batch->sample,
                     .num_seqs = t->batch->num_seqs};
    return out;
}
