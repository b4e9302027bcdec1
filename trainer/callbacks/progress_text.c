/* The text of a bar and of a plain line.
 *
 *     train  42%|████████▍           | 420/1000, loss 3.214, lr 4.2e-05, 3.10 it/s, 12.4k tok/s [2:15<3:06]
 *
 * The bar takes what columns are left, 8 to 30; where there is no room, parts go in the order of `importance`. */
#include <math.h>
#include <string.h>

#include "trainer/callbacks/progress.h"
#include "trainer/callbacks/timing.h"

enum { BAR_LEAST = 8, BAR_MOST = 30 };

/* From the least important on. */
typedef enum Part {
    PART_TOKENS, PART_RATE, PART_BAR, PART_SPEED, PART_LOSS, PART_TIME, PART_COUNT, PART_PERCENT, PARTS
} Part;

static void add_metric_number(Text *out, double value)
{
    static const char units[] = " kMGT";
    int unit = 0;
    while (value >= 999.5 && unit < 4) value /= 1000, unit++;
    text_printf(out, value < 9.995 && unit ? "%.2f" : value < 99.95 && unit ? "%.1f" : "%.0f", value);
    if (unit) text_printf(out, "%c", units[unit]);
}

static void add_speed(Text *out, double steps_per_s)
{
    double shown = steps_per_s >= 1 ? steps_per_s : 1 / steps_per_s;
    text_printf(out, shown < 99.95 ? "%.2f %s" : "%.0f %s", shown, steps_per_s >= 1 ? "it/s" : "s/it");
}

static bool has(const ProgressView *v, Part part)
{
    switch (part) {
    case PART_TOKENS: return v->tokens_per_s > 0;
    case PART_RATE: return !isnan(v->rate);
    case PART_SPEED: return v->steps_per_s > 0;
    case PART_LOSS: return !isnan(v->loss);
    case PART_BAR: case PART_PERCENT: return v->total > 0;
    default: return true;
    }
}

static double share(const ProgressView *v)
{
    double s = (double)v->done / (double)v->total;
    return s < 0 ? 0 : s > 1 ? 1 : s;
}

/* `width` cells, filled by eighths. */
static void add_bar(Text *out, const ProgressView *v, int width)
{
    static const char *const eighths[] = {" ", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
    int filled = (int)(share(v) * width * 8), cells = filled / 8;
    for (int i = 0; i < width; i++) {
        const char *cell = i < cells ? (v->ascii ? "#" : "█") : i == cells && !v->ascii ? eighths[filled % 8] : " ";
        text_add(out, cell, strlen(cell));
    }
}

static void add_part(Text *out, const ProgressView *v, Part part)
{
    switch (part) {
    case PART_TOKENS:
        add_metric_number(out, v->tokens_per_s);
        text_printf(out, " tok/s");
        return;
    case PART_RATE: text_printf(out, "lr %.2g", v->rate); return;
    case PART_SPEED: add_speed(out, v->steps_per_s); return;
    case PART_LOSS: text_printf(out, "loss %.4g", v->loss); return;
    case PART_COUNT:
        text_printf(out, v->total > 0 ? "%lld/%lld" : "%lld", (long long)v->done, (long long)v->total);
        return;
    default: return;
    }
}

/* Everything but the bar's cells, for which *bar_at receives the place (0: none). */
static void compose(Text *out, const ProgressView *v, unsigned parts, size_t *bar_at)
{
    static const Part order[] = {PART_COUNT, PART_LOSS, PART_RATE, PART_SPEED, PART_TOKENS};
    bool first = true;
    *bar_at = 0;
    text_printf(out, "%s ", v->what);
    if (parts >> PART_PERCENT & 1) text_printf(out, "%3d%%", (int)(share(v) * 100));
    if (parts >> PART_BAR & 1) {
        text_printf(out, "|");
        *bar_at = out->size;
        text_printf(out, "|");
    }
    for (size_t i = 0; i < sizeof order / sizeof *order; i++) {
        if (!(parts >> order[i] & 1)) continue;
        text_printf(out, first ? (parts >> PART_PERCENT & 1 ? " " : "") : ", ");
        add_part(out, v, order[i]);
        first = false;
    }
    if (!(parts >> PART_TIME & 1)) return;
    text_printf(out, " [");
    timing_add(out, v->elapsed_s);
    if (v->remaining_s >= 0) {
        text_printf(out, "<");
        timing_add(out, v->remaining_s);
    }
    text_printf(out, "]");
}

void progress_bar_text(const ProgressView *v, int width, Text *out)
{
    unsigned parts = 0;
    size_t bar_at;
    Text line = {0};
    for (int p = 0; p < PARTS; p++) parts |= (unsigned)has(v, (Part)p) << p;
    for (int p = 0; p <= PARTS; p++) { /* all is ASCII but the bar's cells: bytes are columns */
        line.size = 0;
        compose(&line, v, parts, &bar_at);
        if (p == PARTS || (int)line.size + (bar_at ? BAR_LEAST : 0) <= width) break;
        parts &= ~(1u << p);
    }
    if (line.failed) return;
    int cells = bar_at ? width - (int)line.size : 0;
    text_add(out, line.data, bar_at ? bar_at : line.size);
    if (bar_at) {
        add_bar(out, v, cells < BAR_MOST ? cells : BAR_MOST);
        text_add(out, line.data + bar_at, line.size - bar_at);
    }
    text_free(&line);
}

void progress_line_text(const ProgressView *v, Text *out)
{
    static const Part order[] = {PART_LOSS, PART_RATE, PART_SPEED, PART_TOKENS};
    text_printf(out, "%s ", v->what);
    add_part(out, v, PART_COUNT);
    if (v->total > 0) text_printf(out, " (%d%%)", (int)(share(v) * 100));
    for (size_t i = 0; i < sizeof order / sizeof *order; i++) {
        if (!has(v, order[i])) continue;
        text_printf(out, ", ");
        add_part(out, v, order[i]);
    }
    text_printf(out, ", ");
    timing_add(out, v->elapsed_s);
    text_printf(out, " elapsed");
    if (v->remaining_s >= 0) {
        text_printf(out, ", ");
        timing_add(out, v->remaining_s);
        text_printf(out, " left");
    }
}
