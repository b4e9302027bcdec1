/* Clocks, rates and memory. */
#include "trainer/callbacks/timing.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static double clock_s(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

double timing_now(void) { return clock_s(CLOCK_MONOTONIC); }
double timing_wall(void) { return clock_s(CLOCK_REALTIME); }

/* A file of /proc, cut at the room there is; false: not there. These are no files of the run: file.h's hook shall
 * not see them. */
static bool read_proc(const char *path, char *text, size_t room)
{
    FILE *f = fopen(path, "re");
    if (!f) return false;
    size_t n = fread(text, 1, room - 1, f);
    text[n] = '\0';
    fclose(f);
    return n > 0;
}

/* Field 22 of /proc/self/stat, in ticks since boot; fields are counted after the name, which may hold anything, in
 * brackets. */
double timing_process_start(void)
{
    char text[1024];
    double now = timing_now();
    const char *at = read_proc("/proc/self/stat", text, sizeof text) ? strrchr(text, ')') : NULL;
    for (int field = 2; at && field < 22; field++) at = strchr(at + 1, ' ');
    if (!at) return now;
    double age = clock_s(CLOCK_BOOTTIME) - strtod(at, NULL) / (double)sysconf(_SC_CLK_TCK);
    return age >= 0 && age < 1e9 ? now - age : now;
}

static const double MEMORY_S = 30; /* what lies longer back counts 1/e and less */

void rate_start(RateMeter *m, double now_s) { *m = (RateMeter){.last_s = now_s}; }
void rate_skip(RateMeter *m, double now_s) { m->last_s = now_s; }

void rate_add(RateMeter *m, double count, double now_s)
{
    double seconds = now_s - m->last_s;
    if (seconds < 0) seconds = 0;
    double fade = exp(-seconds / MEMORY_S);
    m->count = m->count * fade + count;
    m->seconds = m->seconds * fade + seconds;
    m->last_s = now_s;
}

double rate_per_s(const RateMeter *m) { return m->seconds > 0 && m->count > 0 ? m->count / m->seconds : 0; }

void step_times_add(StepTimes *t, double now_s)
{
    if (t->last_s != 0) t->seconds[t->count++ % STEP_TIMES] = now_s - t->last_s;
    t->last_s = now_s;
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double step_times_median(const StepTimes *t)
{
    double sorted[STEP_TIMES];
    size_t n = t->count < STEP_TIMES ? (size_t)t->count : STEP_TIMES;
    if (n == 0) return 0;
    memcpy(sorted, t->seconds, n * sizeof *sorted);
    qsort(sorted, n, sizeof *sorted, ascending);
    return (sorted[(n - 1) / 2] + sorted[n / 2]) / 2;
}

void timing_add(Text *out, double seconds)
{
    if (!(seconds >= 0) || seconds > 1e9) {
        text_printf(out, "?");
        return;
    }
    long s = (long)seconds, days = s / 86400, hours = s / 3600 % 24, minutes = s / 60 % 60;
    if (days) text_printf(out, "%ld d %ld:%02ld:%02ld", days, hours, minutes, s % 60);
    else if (hours) text_printf(out, "%ld:%02ld:%02ld", hours, minutes, s % 60);
    else text_printf(out, "%ld:%02ld", minutes, s % 60);
}

/* As Python's round(): by the decimal text of the value, halves to even. */
double timing_round(double value, int decimals)
{
    char text[400];
    if (!isfinite(value)) return value;
    snprintf(text, sizeof text, "%.*f", decimals, value);
    return strtod(text, NULL);
}

static uint64_t memory_line(const char *key)
{
    char text[8192];
    if (!read_proc("/proc/self/status", text, sizeof text)) return 0;
    const char *at = strstr(text, key);
    return at ? strtoull(at + strlen(key), NULL, 10) * 1024 : 0;
}

uint64_t memory_peak_bytes(void) { return memory_line("\nVmHWM:"); }
uint64_t memory_now_bytes(void) { return memory_line("\nVmRSS:"); }
