/* The arithmetic of a picture: axes with round ticks, and lines thinned to what can be seen. */
#ifndef HONE_CALLBACKS_CURVES_SERIES_H
#define HONE_CALLBACKS_CURVES_SERIES_H

#include <stdbool.h>
#include <stddef.h>

#include "trainer/base/json.h"

typedef struct Points {
    double *x, *y;
    size_t count;
} Points;

/* Where data [lo, hi] lies on the page: at pixels [from, to], which may run downwards. */
typedef struct Axis {
    double lo, hi, from, to;
    double tick; /* distance of the ticks: 1, 2 or 5 times a power of ten */
} Axis;

/* An axis over the data, widened to whole ticks where `rounded`; about `ticks` of them. lo == hi is widened. */
Axis axis_make(double lo, double hi, double from, double to, int ticks, bool rounded);
double axis_at(const Axis *a, double value); /* in pixels */
/* "0.5", "1200", "20k": with as many decimals as the ticks need. */
void axis_add_label(Text *out, const Axis *a, double value);

/* Lowest and highest finite value; false: there is none. */
bool points_range(const Points *p, double *lo, double *hi);
/* A ceiling above which are only a few outliers that would press the rest flat; the highest value where there are none.
 * scratch: room for p->count. */
double points_ceiling(const Points *p, double *scratch);
/* smooth[i]: the average around value i, whose neighbours count less the farther they lie (1/e at `window` values),
 * as many on both sides so that it does not lag. Values above `ceiling` do not count; what is not finite stays so.
 * scratch: p->count. */
void points_smooth(const Points *p, double window, double ceiling, double *smooth, double *scratch);
/* The SVG path ("M1 2L3 4…") of the line: within a pixel column only first, lowest, highest and last; a value that
 * is not finite interrupts it; a lone value is a dot. */
void points_add_path(Text *out, const Points *p, const Axis *x, const Axis *y);

#endif
