/* See making.h. */
#include "trainer/data/making.h"

#include <inttypes.h>
#include <sched.h>
#include <stdio.h>

#include "trainer/base/clock.h"
#include "trainer/base/log.h"

int making_threads(int threads)
{
    cpu_set_t cores;
    if (threads > 0) return threads;
    return sched_getaffinity(0, sizeof cores, &cores) == 0 ? CPU_COUNT(&cores) : 1;
}

void making_begin(MakingProgress *p, const char *name, int64_t source_bytes)
{
    *p = (MakingProgress){.name = name, .source_bytes = source_bytes, .shown_s = clock_seconds() + 0.5};
}

void making_show(MakingProgress *p, const Rows *rows)
{
    char text[128];
    const double now = clock_seconds();
    if (now - p->shown_s < 0.5) return;
    p->shown_s = now;
    snprintf(text, sizeof text, "tokenizing %s: %.0f%%", p->name,
             100.0 * (double)rows_position(rows) / (double)(p->source_bytes ? p->source_bytes : 1));
    log_status(text);
}

const char *grouped_number(int64_t n, char out[32])
{
    char digits[32];
    const int length = snprintf(digits, sizeof digits, "%" PRId64, n);
    int at = 0;
    for (int i = 0; i < length; i++) {
        if (i && (length - i) % 3 == 0 && digits[i - 1] != '-') out[at++] = ',';
        out[at++] = digits[i];
    }
    out[at] = '\0';
    return out;
}
