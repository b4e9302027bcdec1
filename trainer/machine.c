/* Ranks, cores, kernels. */
#include <stdlib.h>
#include <string.h>

#include "kernels/gemm.h"
#include "trainer/base/log.h"
#include "trainer/callbacks/signals.h"
#include "trainer/callbacks/timing.h"
#include "trainer/trainer.h"

Status machine_open(const TrainingArguments *args, Machine *m)
{
    Status st = OK;
    char why[ISA_WHY_BYTES];
    *m = (Machine){.group = m->group};
    if (args->device == DEVICE_CHOICE_CUDA)
        RAISE(USAGE, "device: cuda: this build has no CUDA backend; write device: cpu");
    if (!isa_allowed(getenv("HONE_ISA"), isa_of_cpu(), why)) RAISE(USAGE, "%s", why);
    TRY(signals_block()); /* before MPI starts threads */
    if (!m->group) TRY(group_open(&m->group));
    TRY(signals_open(args->max_time, timing_process_start(), m->group->size));
    static const struct { const char *name; LogLevel level; } levels[] = {
        {"debug", LOG_DEBUG}, {"warning", LOG_WARNING}, {"error", LOG_ERROR}, {"critical", LOG_ERROR}};
    LogLevel level = LOG_INFO;
    for (size_t i = 0; i < sizeof levels / sizeof *levels; i++)
        if (args->log_level && strcmp(args->log_level, levels[i].name) == 0) level = levels[i].level;
    log_set(level, m->group->rank);
    TRY(binding_apply(m->group, (int)args->num_threads, &m->binding));
    if (*m->binding.line) log_info("%s", m->binding.line);
    unsigned isa = isa_detect();
    gemm_set_isa(isa);
    m->k = kernels_cpu(isa);
    m->stream = stream_new_cpu(m->binding.threads);
    if (!m->stream) RAISE(MEMORY, "out of memory: a pool of %d threads", m->binding.threads);
done:
    return st;
}

void machine_close(Machine *m)
{
    stream_free(m->stream);
    group_close(m->group);
    signals_close();
    *m = (Machine){0};
}
