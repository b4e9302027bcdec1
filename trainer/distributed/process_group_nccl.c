/* Who meets whom is MPI's to tell: rank 0 makes NCCL's key and the group hands it round. */
#include "trainer/distributed/process_group_nccl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "trainer/base/log.h"
#include "trainer/distributed/collectives.h"

enum { MEET_S = 300, ENDING_S = 10 };

/* What a rank tells the others of its device. */
typedef struct Place {
    char host[64], device[DEVICE_ID_BYTES], why[256];
    int32_t version; /* of NCCL; 0: none, why says so */
} Place;

/* Why not by NCCL, as far as this rank knows. */
static void describe(ProcessGroup *pg, const DeviceGroup *g, Place *out)
{
    char why[DEVICE_WHY_BYTES] = "";
    const char *wish = getenv("HONE_NCCL");
    *out = (Place){.version = 0};
    memcpy(out->host, pg->host, sizeof out->host);
    g->d->id(g->queue, out->device);
    if (wish && !strcmp(wish, "0")) snprintf(why, sizeof why, "HONE_NCCL=0");
    else out->version = g->d->nccl_version(why);
    snprintf(out->why, sizeof out->why, "%.255s", why);
}

/* "" where all ranks can meet by NCCL; the same on all. */
static void find_obstacle(const Place *all, int size, char *text, size_t bytes)
{
    *text = 0;
    for (int a = 0; a < size && !*text; a++) {
        if (!all[a].version)
            snprintf(text, bytes, "rank %d (%.63s): %s", a, all[a].host, all[a].why);
        else if (all[a].version != all[0].version)
            snprintf(text, bytes, "NCCL is %d on rank 0 (%.63s) and %d on rank %d (%.63s)", all[0].version, all[0].host,
                     all[a].version, a, all[a].host);
        for (int b = 0; b < a && !*text; b++)
            if (!strcmp(all[a].host, all[b].host) && !strcmp(all[a].device, all[b].device))
                snprintf(text, bytes, "ranks %d and %d share one GPU of %.63s, which NCCL refuses", b, a, all[a].host);
    }
}

static Status meet(ProcessGroup *pg, DeviceGroup *g, double limit_s)
{
    Status st = OK;
    char why[DEVICE_WHY_BYTES] = "";
    unsigned char key[DEVICE_COMM_KEY_BYTES] = {0};
    if (!pg->rank && !g->d->comm_key(key, why)) st = status_raise(STATUS_COMM, "%s", why);
    TRY(group_agree(pg, st, NULL));
    TRY(group_broadcast(pg, key, sizeof key, 0));
    g->comm = g->d->comm_open(g->queue, key, pg->rank, pg->size, limit_s > 0 ? limit_s : MEET_S, why);
    if (!g->comm) RAISE(COMM, "%s", why);
    collective_watch(g->d, g->comm);
done:
    return st;
}

Status device_group_open(ProcessGroup *pg, Stream *compute, double limit_s, DeviceGroup **out)
{
    Status st = OK;
    char why[DEVICE_WHY_BYTES] = "";
    Place mine, *all = calloc((size_t)pg->size, sizeof *all);
    DeviceGroup *g = calloc(1, sizeof *g);
    *out = NULL;
    if (!all || !g) RAISE(MEMORY, "no memory for a group of %d devices", pg->size);
    g->compute = compute;
    g->rank = pg->rank;
    memcpy(g->host, pg->host, sizeof g->host);
    g->d = device_ranks(why);
    if (!g->d || !(g->queue = g->d->beside(compute, why))) RAISE(MEMORY, "%s", why);
    describe(pg, g, &mine);
    TRY(group_all_gather(pg, &mine, all, sizeof mine));
    find_obstacle(all, pg->size, why, sizeof why);
    if (*why) log_info("gradients go through host memory: %s", why);
    else TRY(meet(pg, g, limit_s));
    *out = g;
    g = NULL;
done:
    device_group_close(g);
    free(all);
    return st;
}

void device_group_close(DeviceGroup *g)
{
    CollectiveState state;
    bool is_free = true;
    if (!g) return;
    if (g->comm) {
        collective_look(&state);
        if (state.begun != state.done) is_free = collective_abort();
        collective_watch(NULL, NULL);
        if (is_free) g->d->comm_close(g->comm);
    }
    if (g->queue && is_free) stream_free(g->queue);
    free(g);
}

Status device_group_check(DeviceGroup *g)
{
    char why[DEVICE_WHY_BYTES] = "";
    CollectiveState state;
    if (g->comm && collective_aborted()) {
        for (int i = 0; i < ENDING_S; i++) nanosleep(&(struct timespec){.tv_sec = 1}, NULL);
        return status_raise(STATUS_COMM, "an exchange was broken off");
    }
    if (!stream_failed(g->queue) && collective_poll(why)) return OK;
    collective_look(&state);
    return status_raise(STATUS_COMM, "%s; rank %d (%s) was in %s", *why ? why : stream_message(g->queue), g->rank,
                        g->host, *state.what ? state.what : "an exchange");
}

void device_group_after_compute(DeviceGroup *g, DeviceMark *mark)
{
    g->d->mark_set(mark, g->compute);
    g->d->mark_order(mark, g->queue);
}

void device_group_before_compute(DeviceGroup *g, DeviceMark *mark)
{
    g->d->mark_set(mark, g->queue);
    g->d->mark_order(mark, g->compute);
}
