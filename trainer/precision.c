/* Mixed precision as a policy (Micikevicius et al. 2018): the flat weights, gradients and optimizer states stay f32;
 * what the model computes with is a copy of the weights in bf16 or f16 with the same offsets, which the optimizer's
 * pass keeps up, and activations follow it. Files hold the f32 weights, so a checkpoint goes on in any precision. */
#include "trainer/saving.h"

#include "kernels/stream.h"

static const char *key_of(const Trainer *tr, Dtype dtype)
{
    const TrainingArguments *a = tr->args;
    return dtype == DTYPE_BF16 ? (a->bf16 ? "bf16" : "bf16_full_eval") : (a->fp16 ? "fp16" : "fp16_full_eval");
}

static Status check(const Trainer *tr, Dtype dtype)
{
    if (tr->machine.k->dtypes >> dtype & 1) return OK;
    return status_raise(STATUS_UNSUPPORTED, "%s: the kernels of %s do not compute in %s; remove it", key_of(tr, dtype),
                        tr->machine.k->name, dtype_name(dtype));
}

static Status choose_tf32(const Trainer *tr)
{
    bool on = tr->args->tf32 > 0;
    if (tr->args->tf32 < 0 || stream_set_tf32(tr->machine.stream, on) || !on) return OK;
    return status_raise(STATUS_UNSUPPORTED, "tf32: this device has no TF32, which begins with compute capability 8.0; "
                                            "remove it");
}

/* Zero: the gaps between parameters stay so. */
static Status copy_new(const Trainer *tr, Dtype dtype, void **out)
{
    size_t bytes = (size_t)tr->model->params.flat_count * dtype_bytes(dtype);
    *out = stream_allocate(tr->machine.stream, bytes + 64);
    if (!*out) return status_raise(STATUS_MEMORY, "out of memory: %zu MB of weights in %s%s", bytes >> 20,
                                   dtype_name(dtype), stream_memory_failure(tr->machine.stream));
    tr->machine.k->fill_zero(tr->machine.stream, *out, bytes);
    return OK;
}

Status precision_open(Trainer *tr, bool training)
{
    Status st = OK;
    const TrainingArguments *a = tr->args;
    Precision *p = &tr->precision;
    p->training = a->bf16 ? DTYPE_BF16 : a->fp16 ? DTYPE_F16 : DTYPE_F32;
    p->evaluation = a->bf16_full_eval ? DTYPE_BF16 : a->fp16_full_eval ? DTYPE_F16 : p->training;
    if (!training) p->training = p->evaluation;
    p->rounding = training && a->weight_rounding == WEIGHTS_STOCHASTIC ? ROUND_STOCHASTIC : ROUND_NEAREST;
    p->loss_scale = (LossScale){.scale = 1};
    if (training && p->training == DTYPE_F16) loss_scale_begin(&p->loss_scale);
    TRY(check(tr, p->training));
    TRY(check(tr, p->evaluation));
    TRY(choose_tf32(tr));
    if (p->training != DTYPE_F32) TRY(copy_new(tr, p->training, &p->training_copy));
    if (p->evaluation != p->training) TRY(copy_new(tr, p->evaluation, &p->evaluation_copy));
    parameters_view_low(&tr->model->params, p->training_copy, NULL, p->training);
done:
    return st;
}

/* The frozen vectors in another dtype than the weights'. */
static Status convert_vectors(const Trainer *tr, Dtype dtype, void **out)
{
    Parameters *ps = &tr->model->params;
    size_t bytes = (size_t)ps->vectors_count * dtype_bytes(dtype);
    if (dtype == DTYPE_F32 || !ps->vectors) return OK;
    *out = stream_allocate(tr->machine.stream, bytes + 64);
    if (!*out) return status_raise(STATUS_MEMORY, "out of memory: weights in %s", dtype_name(dtype));
    tr->machine.k->convert(tr->machine.stream, dtype, *out, DTYPE_F32, ps->vectors, ps->vectors_count);
    return OK;
}

Status precision_place_vectors(Trainer *tr)
{
    Status st = OK;
    Precision *p = &tr->precision;
    TRY(convert_vectors(tr, p->training, &p->training_vectors));
    if (p->evaluation != p->training) TRY(convert_vectors(tr, p->evaluation, &p->evaluation_vectors));
    precision_end_evaluation(tr);
done:
    return st;
}

void precision_close(Trainer *tr)
{
    stream_release(tr->machine.stream, tr->precision.training_vectors);
    stream_release(tr->machine.stream, tr->precision.evaluation_vectors);
    stream_release(tr->machine.stream, tr->precision.training_copy);
    stream_release(tr->machine.stream, tr->precision.evaluation_copy);
    tr->precision = (Precision){0};
}

const LowCopy *precision_copy(const Trainer *tr, LowCopy *out)
{
    const Precision *p = &tr->precision;
    uint64_t seed = (uint64_t)tr->args->seed;
    if (!p->training_copy) return NULL;
    *out = (LowCopy){.data = p->training_copy, .dtype = p->training, .rounding = p->rounding,
                     .seed = (uint32_t)seed ^ (uint32_t)(seed >> 32),
                     .update = tr->optimizer ? (uint32_t)optimizer_steps(tr->optimizer) : 0};
    return out;
}

void precision_refresh(Trainer *tr, int64_t begin, int64_t end)
{
    LowCopy low;
    if (!precision_copy(tr, &low) || begin >= end) return;
    low.data = (char *)low.data + (size_t)begin * dtype_bytes(low.dtype);
    low.first = begin;
    tr->machine.k->low_copy(tr->machine.stream, &low, tr->model->params.weights + begin, end - begin);
}

void precision_refresh_all(Trainer *tr) { precision_refresh(tr, 0, tr->model->params.flat_count); }

void precision_begin_evaluation(Trainer *tr)
{
    Precision *p = &tr->precision;
    Parameters *ps = &tr->model->params;
    if (p->evaluation == p->training) return;
    LowCopy low = {.data = p->evaluation_copy, .dtype = p->evaluation};
    tr->machine.k->low_copy(tr->machine.stream, &low, ps->weights, ps->flat_count);
    parameters_view_low(ps, p->evaluation_copy, p->evaluation_vectors, p->evaluation);
}

void precision_end_evaluation(Trainer *tr)
{
    const Precision *p = &tr->precision;
    parameters_view_low(&tr->model->params, p->training_copy, p->training_vectors, p->training);
}
