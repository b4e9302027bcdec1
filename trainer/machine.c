/* Ranks, cores, kernels. */
#include <stdlib.h>
#include <string.h>

#include "kernels/device.h"
#include "kernels/gemm.h"
#include "trainer/base/log.h"
#include "trainer/callbacks/signals.h"
#include "trainer/callbacks/timing.h"
#include "trainer/trainer.h"

/* The ranks of a host take its devices in turn; two on one are slower, which gradients_new() says. The host's threads
 * stay for what is done there: reading weights, preparing data. */
static Status open_device(Machine *m)
{
    Status st = OK;
    char why[DEVICE_WHY_BYTES];
    int count = device_count(why);
    if (!count || !device_open(m->group->local_rank % count, &m->k, &m->stream, why))
        RAISE(USAGE, "device: cuda: %s; write device: cpu to compute without a GPU", why);
done:
    return st;
}

/* This rank's device, where all ranks have one that works; else all compute on the CPU, and why is said. A single rank
 * that cannot is enough: ranks of both kinds could not exchange gradients. */
static Status open_device_if_any(Machine *m)
{
    Status st = OK;
    ProcessGroup *g = m->group;
    char why[DEVICE_WHY_BYTES] = "", text[DEVICE_WHY_BYTES + 100] = "";
    const Kernels *k = NULL;
    Stream *stream = NULL;
    int count = device_find(why);
    bool can = count && device_open(g->local_rank % count, &k, &stream, why);
    int64_t first = can ? 0 : g->size - g->rank; /* most of all: the first rank that cannot */
    TRY(group_max_i64(g, &first, 1));
    if (!first) {
        m->k = k, m->stream = stream, stream = NULL;
        goto done;
    }
    if (*why && g->size > 1) snprintf(text, sizeof text, "rank %d (%s): %s", g->rank, g->host, why);
    else snprintf(text, sizeof text, "%s", why);
    TRY(group_broadcast(g, text, sizeof text, g->size - (int)first));
    if (*text) log_info("computing on the CPU: %s", text);
done:
    stream_free(stream);
    return st;
}

Status machine_start(DeviceChoice device, int64_t num_threads, Machine *m)
{
    Status st = OK;
    char why[ISA_WHY_BYTES];
    *m = (Machine){.group = m->group};
    if (!isa_allowed(getenv("HONE_ISA"), isa_of_cpu(), why)) RAISE(USAGE, "%s", why);
    if (!gemm_bf16_allowed(getenv("HONE_BF16"), why)) RAISE(USAGE, "%s", why);
    if (!m->group) TRY(group_open(&m->group));
    TRY(binding_apply(m->group, (int)num_threads, &m->binding));
    if (*m->binding.line) log_info("%s", m->binding.line);
    unsigned isa = isa_detect();
    gemm_set_isa(isa);
    m->k = kernels_cpu(isa);
    m->host = stream_new_cpu(m->binding.threads);
    if (!m->host) RAISE(MEMORY, "out of memory: a pool of %d threads", m->binding.threads);
    m->stream = m->host;
    if (device == DEVICE_CHOICE_CUDA) TRY(open_device(m));
    if (device == DEVICE_CHOICE_AUTO) TRY(open_device_if_any(m));
done:
    return st;
}

Status machine_open(const TrainingArguments *args, Machine *m)
{
    Status st = OK;
    TRY(signals_block()); /* before MPI starts threads */
    if (!m->group) TRY(group_open(&m->group));
    TRY(signals_open(args->max_time, timing_process_start(), m->group->size));
    static const struct { const char *name; LogLevel level; } levels[] = {
        {"debug", LOG_DEBUG}, {"warning", LOG_WARNING}, {"error", LOG_ERROR}, {"critical", LOG_ERROR}};
    LogLevel level = LOG_INFO;
    for (size_t i = 0; i < sizeof levels / sizeof *levels; i++)
        if (args->log_level && strcmp(args->log_level, levels[i].name) == 0) level = levels[i].level;
    log_set(level, m->group->rank);
    TRY(machine_start(args->device, args->num_threads, m));
done:
    return st;
}

Status machine_check(const Machine *m)
{
    if (!stream_failed(m->stream)) return OK;
    const char *says = stream_message(m->stream);
    return status_raise(STATUS_MEMORY, "%s", *says ? says : "out of memory: kernel scratch");
}

void machine_close(Machine *m)
{
    if (m->stream != m->host) stream_free(m->stream);
    stream_free(m->host);
    group_close(m->group);
    signals_close();
    *m = (Machine){0};
}
