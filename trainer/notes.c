/* Losses since the last log entry and over the whole run, and whether this step's evaluation is still to be made, so
 * that a resumed run logs what an unbroken one does; and what decides the bits besides config and data, so that a
 * resume on something else says so. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/gemm.h"
#include "trainer/base/log.h"
#include "trainer/saving.h"

__attribute__((format(printf, 3, 4))) static void add(Notes *n, const char *key, const char *format, ...)
{
    va_list args;
    char *text = n->texts[n->count];
    va_start(args, format);
    vsnprintf(text, NOTE_BYTES, format, args);
    va_end(args);
    n->pairs[n->count++] = (MetadataPair){key, text};
}

static void describe_machine(const Trainer *tr, char text[NOTE_BYTES])
{
    bool low = tr->precision.training != DTYPE_F32;
    bool other = tr->precision.training == DTYPE_BF16 && tr->machine.stream == tr->machine.host &&
                 gemm_bf16() == BF16_LIBRARY; /* bits than those of widened products */
    const char *in = low ? " in " : "", *dtype = low ? dtype_name(tr->precision.training) : "",
               *by = other ? " by the library" : "";
    if (tr->args->full_determinism) snprintf(text, NOTE_BYTES, "any ranks, %s%s%s%s", tr->machine.k->name, in, dtype,
        by);
    else snprintf(text, NOTE_BYTES, "%d rank%s, %s%s%s%s", tr->machine.group->size,
                  tr->machine.group->size == 1 ? "" : "s", tr->machine.k->name, in, dtype, by);
}

static int64_t samples_per_update(const Trainer *tr)
{
    const SamplerConfig *c = &tr->sampler_config;
    return (int64_t)c->batch * c->accumulation * c->world;
}

/* Doubles in hexadecimal: to the bit. */
void notes_take(const Trainer *tr, Notes *out)
{
    char machine[NOTE_BYTES];
    describe_machine(tr, machine);
    out->count = 0;
    add(out, "step", "%" PRId64, optimizer_steps(tr->optimizer));
    add(out, "machine", "%s", machine);
    add(out, "samples_per_update", "%" PRId64, samples_per_update(tr));
    add(out, "loss_since_log", "%a", tr->loss_since_log);
    add(out, "steps_since_log", "%" PRId64, tr->steps_since_log);
    add(out, "loss_total", "%a", tr->loss_total);
    add(out, "steps_done", "%" PRId64, tr->steps_done);
    add(out, "skipped_steps", "%" PRId64, tr->skipped_steps);
    if (tr->owes_evaluation) add(out, "owes_evaluation", "1");
    if (tr->precision.training != DTYPE_F16) return;
    add(out, "loss_scale", "%a", (double)tr->precision.loss_scale.scale);
    add(out, "loss_scale_good_steps", "%" PRId64, tr->precision.loss_scale.good_steps);
    add(out, "overflows", "%" PRId64, tr->precision.overflows);
}

static const char *find(const MetadataPair *pairs, size_t count, const char *key)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(pairs[i].key, key) == 0) return pairs[i].value;
    return NULL;
}

static int64_t whole(const MetadataPair *pairs, size_t count, const char *key, int64_t fallback)
{
    const char *text = find(pairs, count, key);
    return text ? strtoll(text, NULL, 10) : fallback;
}

static double real(const MetadataPair *pairs, size_t count, const char *key)
{
    const char *text = find(pairs, count, key);
    return text ? strtod(text, NULL) : 0;
}

/* A run that goes on in float16 from one that was not has the scale it begins with. */
static void apply_loss_scale(Trainer *tr, const MetadataPair *pairs, size_t count)
{
    double scale = real(pairs, count, "loss_scale");
    tr->precision.overflows = whole(pairs, count, "overflows", 0);
    if (tr->precision.training != DTYPE_F16 || !(scale > 0)) return;
    tr->precision.loss_scale = (LossScale){(float)scale, whole(pairs, count, "loss_scale_good_steps", 0)};
}

void notes_apply(Trainer *tr, const MetadataPair *pairs, size_t count, int64_t step)
{
    char machine[NOTE_BYTES];
    const char *was = find(pairs, count, "machine");
    int64_t samples = whole(pairs, count, "samples_per_update", samples_per_update(tr));
    optimizer_set_steps(tr->optimizer, whole(pairs, count, "step", step));
    tr->loss_since_log = real(pairs, count, "loss_since_log");
    tr->steps_since_log = whole(pairs, count, "steps_since_log", 0);
    tr->loss_total = real(pairs, count, "loss_total");
    tr->steps_done = whole(pairs, count, "steps_done", 0);
    tr->skipped_steps = whole(pairs, count, "skipped_steps", 0);
    tr->owes_evaluation = whole(pairs, count, "owes_evaluation", 0) > 0;
    apply_loss_scale(tr, pairs, count);
    describe_machine(tr, machine);
    if (was && strcmp(was, machine))
        log_warning("the checkpoint was made on %s, this is %s: the last bits may differ from a run that was never "
                    "stopped", was, machine);
    if (samples != samples_per_update(tr))
        log_warning("an update had %" PRId64 " samples when the checkpoint was made, and has %" PRId64 " now: the data "
                    "goes on at update %" PRId64 " of the new count, so samples are repeated or left out; keep "
                    "per_device_train_batch_size x gradient_accumulation_steps x ranks the same",
                    samples, samples_per_update(tr), step);
}
