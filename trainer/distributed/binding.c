/* Masks of the ranks of a host → threads of each. Sources: sched_getaffinity(2), Open MPI's environment
 * (orte_bound_at_launch and the two policies a user sets), /sys for which CPUs are one core's, the control group's
 * quota. */
#include "trainer/distributed/binding.h"

#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "trainer/base/file.h"

enum { ANCESTORS = 8 /* shells and wrappers between mpirun and a rank */, SMALL_FILE = 1 << 16 };

typedef struct Place {
    int package, core, cpu;
} Place;

/* A small file's text, NULL where it cannot be read: nothing here is worth an error. */
static char *read_text(Arena *arena, const char *path)
{
    char *text;
    return file_read_all(path, arena, SMALL_FILE, &text, NULL) == OK ? text : NULL;
}

static int topology(Arena *arena, int cpu, const char *what)
{
    char path[128];
    snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%d/topology/%s", cpu, what);
    const char *text = read_text(arena, path);
    return text ? atoi(text) : 0;
}

static int by_place(const void *a, const void *b)
{
    const Place *x = a, *y = b;
    if (x->package != y->package) return x->package < y->package ? -1 : 1;
    if (x->core != y->core) return x->core < y->core ? -1 : 1;
    return x->cpu < y->cpu ? -1 : x->cpu > y->cpu;
}

/* The cut of `cpus` for one of `count` ranks: neighbours, and both threads of a core together. Fewer CPUs than ranks:
 * they share. */
static void share_out(Arena *arena, const cpu_set_t *cpus, int index, int count, cpu_set_t *out)
{
    Place places[CPU_SETSIZE];
    int n = 0;
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET(cpu, cpus))
            places[n++] = (Place){topology(arena, cpu, "physical_package_id"), topology(arena, cpu, "core_id"), cpu};
    qsort(places, (size_t)n, sizeof *places, by_place);
    int begin = (int)((int64_t)n * index / count), end = (int)((int64_t)n * (index + 1) / count);
    if (n < count) end = begin + 1;
    CPU_ZERO(out);
    for (int i = begin; i < end && i < n; i++) CPU_SET(places[i].cpu, out);
}

/* The CPUs of the mpirun or orted that started this process, past any shell between them. */
static bool launcher_mask(Arena *arena, cpu_set_t *mask)
{
    pid_t pid = getppid();
    for (int i = 0; i < ANCESTORS && pid > 1; i++) {
        char path[64];
        snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
        const char *text = read_text(arena, path), *name = text ? strchr(text, '(') : NULL,
                   *rest = text ? strrchr(text, ')') : NULL;
        if (!name || !rest) return false;
        if (!strncmp(name, "(mpi", 4) || !strncmp(name, "(orte", 5)) return !sched_getaffinity(pid, sizeof *mask, mask);
        if (sscanf(rest, ") %*c %d", &pid) != 1) return false;
    }
    return false;
}

/* mpirun bound this rank, and nobody asked for it. */
static bool is_default_binding(void)
{
    const char *bound = getenv("OMPI_MCA_orte_bound_at_launch");
    return bound && atoi(bound) && !getenv("OMPI_MCA_hwloc_base_binding_policy") &&
           !getenv("OMPI_MCA_rmaps_base_mapping_policy");
}

static void widen(Arena *arena, const ProcessGroup *pg, cpu_set_t *mine, Binding *out)
{
    cpu_set_t launcher, share;
    if (!is_default_binding() || CPU_COUNT(mine) != 1 || !launcher_mask(arena, &launcher)) return;
    share_out(arena, &launcher, pg->local_rank, pg->local_size, &share);
    if (CPU_COUNT(&share) <= 1 || sched_setaffinity(0, sizeof share, &share)) return;
    *mine = share;
    out->widened = true;
}

/* CPUs' worth of time that the control group allows, 0 where there is no limit: the least on the way to the root (v2),
 * or v1's. */
static double quota_at(Arena *arena, const char *root, const char *group, bool v2)
{
    char path[PATH_MAX];
    const char *text;
    double quota = 0, period = 0;
    if (v2) {
        snprintf(path, sizeof path, "%s%s/cpu.max", root, group);
        if (!(text = read_text(arena, path)) || sscanf(text, "%lf %lf", &quota, &period) != 2) return 0;
    } else {
        snprintf(path, sizeof path, "%s%s/cpu.cfs_quota_us", root, group);
        if (!(text = read_text(arena, path))) return 0;
        quota = atof(text);
        snprintf(path, sizeof path, "%s%s/cpu.cfs_period_us", root, group);
        if (!(text = read_text(arena, path))) return 0;
        period = atof(text);
    }
    return quota > 0 && period > 0 ? quota / period : 0;
}

static double quota(Arena *arena)
{
    double least = 0;
    char *text = read_text(arena, "/proc/self/cgroup"), *next;
    for (char *line = text; line; line = next) {
        if ((next = strchr(line, '\n'))) *next++ = '\0';
        char *group = strchr(line, ':') ? strchr(strchr(line, ':') + 1, ':') : NULL;
        if (!group) continue;
        bool v2 = !strncmp(line, "0::", 3),
             cpu = strstr(line, ":cpu:") || strstr(line, "cpu,") || strstr(line, ",cpu:");
        for (group++; v2 || cpu;) { /* up to the root; in a container its own group is the root */
            double q =
                quota_at(arena, v2 ? "/sys/fs/cgroup" : "/sys/fs/cgroup/cpu", strcmp(group, "/") ? group : "", v2);
            if (q > 0 && (least == 0 || q < least)) least = q;
            char *slash = strrchr(group, '/');
            if (!slash || !group[0] || !strcmp(group, "/")) break;
            *slash = '\0';
        }
    }
    return least;
}

static void mask_text(const cpu_set_t *mask, char *text, size_t room)
{
    size_t used = 0;
    text[0] = '\0';
    for (int cpu = 0, end; cpu < CPU_SETSIZE; cpu = end) {
        for (end = cpu + 1; CPU_ISSET(cpu, mask) && end < CPU_SETSIZE && CPU_ISSET(end, mask);) end++;
        if (!CPU_ISSET(cpu, mask)) continue;
        if (used + 16 > room) {
            snprintf(text + used, room - used, "…");
            return;
        }
        used += (size_t)snprintf(text + used, room - used, used ? ",%d" : "%d", cpu);
        if (end > cpu + 1) used += (size_t)snprintf(text + used, room - used, "-%d", end - 1);
    }
}

typedef struct RankMask {
    char host[64];
    cpu_set_t mask;
} RankMask;

/* This rank's share of the CPUs that it may use: each divided by the ranks of this host that may use it too. */
static double fair_share(const ProcessGroup *pg, const RankMask *all)
{
    double share = 0;
    const RankMask *mine = &all[pg->rank];
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        int users = 0;
        if (!CPU_ISSET(cpu, &mine->mask)) continue;
        for (int r = 0; r < pg->size; r++) users += CPU_ISSET(cpu, &all[r].mask) && !strcmp(all[r].host, mine->host);
        share += 1.0 / users;
    }
    return share;
}

static int asked_threads(int num_threads)
{
    const char *omp = getenv("OMP_NUM_THREADS");
    return num_threads > 0 ? num_threads : omp && atoi(omp) > 0 ? atoi(omp) : 0;
}

Status binding_apply(ProcessGroup *pg, int num_threads, Binding *out)
{
    Status st = OK;
    Arena *arena = NULL;
    RankMask mine = {0}, *all = NULL;
    int asked = asked_threads(num_threads);

    *out = (Binding){0};
    TRY(arena_new(&arena));
    all = calloc((size_t)pg->size, sizeof *all);
    if (!all) RAISE(MEMORY, "no memory for the masks of %d ranks", pg->size);
    if (sched_getaffinity(0, sizeof mine.mask, &mine.mask)) CPU_SET(0, &mine.mask); /* more CPUs than a cpu_set_t has */
    widen(arena, pg, &mine.mask, out);
    memcpy(mine.host, pg->host, sizeof mine.host);
    TRY(group_all_gather(pg, &mine, all, sizeof mine));

    double share = fair_share(pg, all) + 1e-6, limit = quota(arena);
    bool is_limited = limit > 0 && limit / pg->local_size < share;
    if (is_limited) share = limit / pg->local_size + 1e-6;
    int fair = share < 1 ? 1 : (int)share;
    out->threads = asked ? asked : fair;
    out->cpus = CPU_COUNT(&mine.mask);
    mask_text(&mine.mask, out->mask, sizeof out->mask);
    if (out->widened)
        snprintf(out->line, sizeof out->line,
                 "cores: mpirun put each rank on one core; widened to this host's share, %s (--bind-to keeps yours)",
                 out->mask);
    else if (out->threads > fair)
        snprintf(out->line, sizeof out->line,
                 "cores: %d rank%s x %d thread%s on this host, more than its cores allow, as asked", pg->local_size,
                 pg->local_size == 1 ? "" : "s", out->threads, out->threads == 1 ? "" : "s");
    else if (is_limited && !asked)
        snprintf(out->line, sizeof out->line,
                 "cores: the control group gives this host's %d rank%s the time of %.3g CPUs (of %d): %d thread%s each",
                 pg->local_size, pg->local_size == 1 ? "" : "s", limit, out->cpus, fair, fair == 1 ? "" : "s");
done:
    free(all);
    arena_free(arena);
    return st;
}
