/* Ticks (Heckbert, Nice Numbers for Graph Labels, Graphics Gems 1990) and thinning by pixel columns. */
#include "trainer/callbacks/curves_series.h"

#include <math.h>
#include <stdlib.h>

static double nice_step(double span, int ticks)
{
    double raw = span / ticks, power = pow(10, floor(log10(raw))), lead = raw / power;
    return power * (lead < 1.5 ? 1 : lead < 3.5 ? 2 : lead < 7.5 ? 5 : 10);
}

Axis axis_make(double lo, double hi, double from, double to, int ticks, bool rounded)
{
    if (!(hi - lo > 1e-12 * fmax(fabs(lo), fabs(hi)))) {
        double pad = fabs(lo) > 0 ? fabs(lo) * 0.1 : 1;
        lo -= pad, hi += pad;
    }
    Axis a = {lo, hi, from, to, nice_step(hi - lo, ticks)};
    if (rounded) {
        a.lo = floor(lo / a.tick + 1e-9) * a.tick;
        a.hi = ceil(hi / a.tick - 1e-9) * a.tick;
    }
    return a;
}

double axis_at(const Axis *a, double value) { return a->from + (value - a->lo) / (a->hi - a->lo) * (a->to - a->from); }

void axis_add_label(Text *out, const Axis *a, double value)
{
    int decimals = (int)ceil(-log10(a->tick) - 1e-9);
    if (fabs(value) < a->tick / 2) value = 0; /* not -0.0 or 1e-17 */
    if (fabs(a->hi) >= 1e15 || decimals > 12) text_printf(out, "%.3g", value);
    else if (a->tick >= 1e6) text_printf(out, "%.0fM", value / 1e6);
    else if (a->tick >= 1e3) text_printf(out, value ? "%.0fk" : "0", value / 1e3);
    else text_printf(out, "%.*f", decimals > 0 ? decimals : 0, value);
}

bool points_range(const Points *p, double *lo, double *hi)
{
    bool any = false;
    for (size_t i = 0; i < p->count; i++) {
        if (!isfinite(p->y[i])) continue;
        *lo = !any || p->y[i] < *lo ? p->y[i] : *lo;
        *hi = !any || p->y[i] > *hi ? p->y[i] : *hi;
        any = true;
    }
    return any;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* A fall from 10 to 3 is to be seen; a spike to 1e6, or three of them, are not to hide it. */
double points_ceiling(const Points *p, double *scratch)
{
    size_t n = 0;
    for (size_t i = 0; i < p->count; i++)
        if (isfinite(p->y[i])) scratch[n++] = p->y[i];
    if (!n) return 0;
    qsort(scratch, n, sizeof *scratch, by_value);
    double usual = scratch[(size_t)((double)(n - 1) * 0.98)], span = usual - scratch[0];
    return n >= 50 && scratch[n - 1] > usual + 4 * span ? usual + span : scratch[n - 1];
}

/* Two passes: sums and weights of what lies before, then of what lies after. */
void points_smooth(const Points *p, double window, double ceiling, double *smooth, double *scratch)
{
    double keep = exp(-1 / window), sum = 0, weight = 0;
    for (size_t i = 0; i < p->count; i++) {
        smooth[i] = sum, scratch[i] = weight;
        bool counts = isfinite(p->y[i]) && p->y[i] <= ceiling;
        sum = (sum + (counts ? p->y[i] : 0)) * keep;
        weight = (weight + counts) * keep;
    }
    sum = weight = 0;
    for (size_t i = p->count; i-- > 0;) {
        bool counts = isfinite(p->y[i]) && p->y[i] <= ceiling;
        sum += counts ? p->y[i] : 0;
        weight += counts;
        smooth[i] =
            isfinite(p->y[i]) ? (smooth[i] + sum) / (scratch[i] + weight) : NAN; /* 0/0 where nothing counts: a gap */
        sum *= keep;
        weight *= keep;
    }
}

/* The values of one pixel column, in order: first, lowest, highest (in the order they came), last. */
typedef struct Column {
    long pixel;
    size_t count, first, low, high, last;
} Column;

static void add_point(Text *out, const Points *p, size_t i, const Axis *x, const Axis *y, bool *open)
{
    text_printf(out, "%c%.1f %.1f", *open ? 'L' : 'M', axis_at(x, p->x[i]), axis_at(y, p->y[i]));
    *open = true;
}

static void end_column(Text *out, const Points *p, Column *c, const Axis *x, const Axis *y, bool *open)
{
    if (!c->count) return;
    size_t early = c->low < c->high ? c->low : c->high, late = c->low < c->high ? c->high : c->low;
    add_point(out, p, c->first, x, y, open);
    if (early != c->first && early != c->last) add_point(out, p, early, x, y, open);
    if (late != early && late != c->first && late != c->last) add_point(out, p, late, x, y, open);
    if (c->last != c->first) add_point(out, p, c->last, x, y, open);
    c->count = 0;
}

void points_add_path(Text *out, const Points *p, const Axis *x, const Axis *y)
{
    Column c = {0};
    bool open = false;
    size_t run = 0;
    for (size_t i = 0; i <= p->count; i++) {
        bool gap = i == p->count || !isfinite(p->y[i]) || !isfinite(p->x[i]);
        long pixel = gap ? 0 : lround(axis_at(x, p->x[i]));
        if (gap || (c.count && pixel != c.pixel)) end_column(out, p, &c, x, y, &open);
        if (gap) {
            if (run == 1) text_printf(out, "h0"); /* round ends make a dot of it */
            open = false;
            run = 0;
            continue;
        }
        if (!c.count) c = (Column){pixel, 0, i, i, i, i};
        if (p->y[i] < p->y[c.low]) c.low = i;
        if (p->y[i] > p->y[c.high]) c.high = i;
        c.last = i;
        c.count++;
        run++;
    }
}
