/* The picture of a run, in plain SVG 1.1 that browsers, GitHub and rsvg draw alike: two panels over one axis of
 * steps. Colours follow the reader's light or dark setting (prefers-color-scheme); a program that does not know it
 * draws the light one. */
#include "trainer/callbacks/curves_svg.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "trainer/base/file.h"
#include "trainer/callbacks/curves_series.h"
#include "trainer/callbacks/state_internal.h"

enum { WIDTH = 860, HEIGHT = 540, LEFT = 66, RIGHT = 836 };
enum { LOSS_TOP = 84, LOSS_BOTTOM = 356, RATE_TOP = 400, RATE_BOTTOM = 490 };
enum { SMOOTH_FROM = 100 /* values: below, the line itself is clear enough */, DOTS_UP_TO = 60 };

static const char HEAD[] =
    "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 860 540\" width=\"860\" height=\"540\" role=\"img\" "
    "font-family=\"system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', Arial, sans-serif\" font-size=\"12\">\n"
    "<style>\n"
    ".page{fill:#ffffff}.ink{fill:#1f2328}.dim{fill:#656d76}.grid{stroke:#e4e8ec}.frame{stroke:#afb8c1}\n"
    ".train{stroke:#2f6fd0}.raw{stroke:#2f6fd0;opacity:.28}.eval{stroke:#d9572b}.rate{stroke:#2c8a4b}\n"
    ".dot{fill:#d9572b;stroke:#ffffff}.train-ink{fill:#2f6fd0}.eval-ink{fill:#d9572b}\n"
    "@media (prefers-color-scheme: dark){\n"
    ".page{fill:#0d1117}.ink{fill:#e6edf3}.dim{fill:#8d96a0}.grid{stroke:#22282f}.frame{stroke:#484f58}\n"
    ".train{stroke:#6ca6ff}.raw{stroke:#6ca6ff}.eval{stroke:#ff9061}.rate{stroke:#56d07d}\n"
    ".dot{fill:#ff9061;stroke:#0d1117}.train-ink{fill:#6ca6ff}.eval-ink{fill:#ff9061}}\n"
    "path,line{fill:none;stroke-linecap:round;stroke-linejoin:round}\n"
    "</style>\n";

typedef struct Picture {
    Text *out;
    const TrainerState *state;
    Points loss, eval, rate;
    double *memory; /* all arrays lie in it */
    double *smooth, *scratch;
    Axis x;
} Picture;

/* What XML reserves is escaped; quotes, backslashes and control characters are replaced, so that JSON's writer, which
 * makes valid UTF-8 of anything, has nothing to escape but its own quotes, which go. */
static void add_title(Text *out, const char *title)
{
    Text plain = {0}, quoted = {0};
    for (const unsigned char *c = (const unsigned char *)title; *c; c++) {
        if (*c == '<') text_printf(&plain, "&lt;");
        else if (*c == '>') text_printf(&plain, "&gt;");
        else if (*c == '&') text_printf(&plain, "&amp;");
        else if (*c == '"') text_printf(&plain, "'");
        else if (*c < 0x20 || *c == 0x7F || *c == '\\') text_printf(&plain, "?");
        else text_add(&plain, (const char *)c, 1);
    }
    json_add_string(&quoted, plain.data ? plain.data : "", plain.size);
    out->failed |= plain.failed | quoted.failed;
    if (!out->failed) text_add(out, quoted.data + 1, quoted.size - 2);
    text_free(&plain);
    text_free(&quoted);
}

/* What no picture can show is a gap, or zero; arithmetic on axes stays finite. */
static void tame(Points *p)
{
    for (size_t i = 0; i < p->count; i++) {
        if (!(fabs(p->y[i]) < 1e100)) p->y[i] = NAN;
        if (fabs(p->y[i]) < 1e-100) p->y[i] = 0;
    }
}

static bool collect(Picture *p)
{
    size_t n = state_log_count(p->state) + 1;
    p->memory = malloc(8 * n * sizeof *p->memory);
    if (!p->memory) return false;
    Points *series[] = {&p->loss, &p->eval, &p->rate};
    static const char *const keys[] = {"loss", "eval_loss", "learning_rate"};
    for (size_t i = 0; i < 3; i++) {
        series[i]->x = p->memory + 2 * i * n;
        series[i]->y = series[i]->x + n;
        series[i]->count = state_series(p->state, keys[i], series[i]->x, series[i]->y);
        tame(series[i]);
    }
    p->smooth = p->memory + 6 * n;
    p->scratch = p->memory + 7 * n;
    return true;
}

static double last_step(const Picture *p)
{
    double most = 1;
    const Points *series[] = {&p->loss, &p->eval, &p->rate};
    for (int i = 0; i < 3; i++)
        if (series[i]->count && series[i]->x[series[i]->count - 1] > most) most = series[i]->x[series[i]->count - 1];
    return most;
}

/* Grid lines and labels of one panel; the lower one has the steps. */
static void add_frame(Picture *p, const Axis *y, bool steps)
{
    Text *out = p->out;
    double top = y->to, bottom = y->from;
    for (double k = ceil(y->lo / y->tick - 1e-9); k * y->tick <= y->hi + y->tick * 1e-6; k++) {
        double at = axis_at(y, k * y->tick);
        text_printf(out, "<line class=\"grid\" x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\"/>", LEFT, RIGHT, at, at);
        text_printf(out, "<text class=\"dim\" text-anchor=\"end\" x=\"%d\" y=\"%.1f\">", LEFT - 8, at + 4);
        axis_add_label(out, y, k * y->tick);
        text_printf(out, "</text>\n");
    }
    for (double k = 0; k * p->x.tick <= p->x.hi * (1 + 1e-9); k++) {
        double at = axis_at(&p->x, k * p->x.tick);
        text_printf(out, "<line class=\"grid\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\"/>", at, at, top, bottom);
        if (!steps) continue;
        text_printf(out, "<text class=\"dim\" text-anchor=\"middle\" x=\"%.1f\" y=\"%.1f\">", at, bottom + 18);
        axis_add_label(out, &p->x, k * p->x.tick);
        text_printf(out, "</text>\n");
    }
    text_printf(out, "<line class=\"frame\" x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\"/>\n", LEFT, RIGHT, bottom,
                bottom);
}

static void add_line(Picture *p, const char *class, double width, const Points *points, const Axis *y, const char *clip)
{
    text_printf(p->out, "<path class=\"%s\" stroke-width=\"%.1f\" clip-path=\"url(#%s)\" d=\"", class, width, clip);
    points_add_path(p->out, points, &p->x, y);
    text_printf(p->out, "\"/>\n");
}

/* "training 2.909": the last value, and the best evaluation where that was another one. */
static void add_legend(Picture *p, const char *class, const char *name, const Points *points)
{
    double lo = NAN, hi, last = NAN;
    if (!points_range(points, &lo, &hi)) return;
    for (size_t i = 0; i < points->count; i++)
        if (isfinite(points->y[i])) last = points->y[i];
    text_printf(p->out, "&#160;&#160;&#160;&#160;<tspan class=\"%s\" font-weight=\"700\">━━</tspan>&#160; %s %.4g",
                class, name, last);
    if (points == &p->eval && lo < last) text_printf(p->out, " (best %.4g)", lo);
}

static bool loss_axis(Picture *p, Axis *y)
{
    double lo = 0, hi = 0, l, h;
    bool loss = points_range(&p->loss, &lo, &hi), eval = points_range(&p->eval, &l, &h);
    if (!loss && !eval) return false;
    if (loss) hi = points_ceiling(&p->loss, p->scratch);
    if (eval) {
        h = points_ceiling(&p->eval, p->scratch);
        lo = loss && lo < l ? lo : l;
        hi = loss && hi > h ? hi : h;
    }
    *y = axis_make(lo, hi, LOSS_BOTTOM, LOSS_TOP, 6, true);
    return true;
}

static void add_loss(Picture *p)
{
    Axis y;
    if (!loss_axis(p, &y)) {
        y = axis_make(0, 1, LOSS_BOTTOM, LOSS_TOP, 5, true);
        add_frame(p, &y, false);
        text_printf(p->out,
                    "<text class=\"dim\" text-anchor=\"middle\" x=\"%d\" y=\"%d\">no loss has been logged yet</text>\n",
                    (LEFT + RIGHT) / 2, (LOSS_TOP + LOSS_BOTTOM) / 2);
        return;
    }
    add_frame(p, &y, false);
    if (p->loss.count >= SMOOTH_FROM) {
        Points smooth = {p->loss.x, p->smooth, p->loss.count};
        points_smooth(&p->loss, fmax(3, (double)p->loss.count / 100), y.hi, p->smooth, p->scratch);
        add_line(p, "raw", 1.2, &p->loss, &y, "upper");
        add_line(p, "train", 2, &smooth, &y, "upper");
    } else {
        add_line(p, "train", 2, &p->loss, &y, "upper");
    }
    add_line(p, "eval", 2, &p->eval, &y, "upper");
    for (size_t i = 0; i < p->eval.count && p->eval.count <= DOTS_UP_TO; i++)
        if (isfinite(p->eval.y[i]) && p->eval.y[i] <= y.hi)
            text_printf(p->out, "<circle class=\"dot\" stroke-width=\"1.2\" cx=\"%.1f\" cy=\"%.1f\" r=\"3.6\"/>\n",
                        axis_at(&p->x, p->eval.x[i]), axis_at(&y, p->eval.y[i]));
    text_printf(p->out, "<text class=\"ink\" text-anchor=\"end\" x=\"%d\" y=\"%d\">", RIGHT, LOSS_TOP - 16);
    add_legend(p, "train-ink", "training", &p->loss);
    add_legend(p, "eval-ink", "evaluation", &p->eval);
    text_printf(p->out, "</text>\n");
}

/* Rates are small: their ticks are whole numbers times a power of ten, which stands in the title. */
static void add_rate(Picture *p)
{
    static const char *const digits[] = {"⁰", "¹", "²", "³", "⁴", "⁵", "⁶", "⁷", "⁸", "⁹"};
    double lo = 0, hi = 0;
    if (!points_range(&p->rate, &lo, &hi)) return;
    int power = hi > 0 && (hi < 0.1 || hi >= 1e4) ? (int)floor(log10(hi) + 1e-9) : 0;
    double scale = pow(10, -power);
    for (size_t i = 0; i < p->rate.count; i++) p->rate.y[i] *= scale;
    Axis y = axis_make(0, hi > 0 ? hi * scale : 1, RATE_BOTTOM, RATE_TOP, 3, true);
    add_frame(p, &y, true);
    add_line(p, "rate", 2, &p->rate, &y, "lower");
    text_printf(p->out, "<text class=\"ink\" font-weight=\"600\" x=\"%d\" y=\"%d\">learning rate", LEFT, RATE_TOP - 14);
    if (power) {
        char text[16];
        snprintf(text, sizeof text, "%d", abs(power));
        text_printf(p->out, "<tspan class=\"dim\" font-weight=\"400\" dx=\"7\">× 10%s", power < 0 ? "⁻" : "");
        for (const char *c = text; *c; c++) text_printf(p->out, "%s", digits[*c - '0']);
        text_printf(p->out, "</tspan>");
    }
    text_printf(p->out, "</text>\n");
}

static void add_head(Picture *p, const char *title)
{
    const TrainerState *s = p->state;
    Text *out = p->out;
    text_printf(out, "%s<title>", HEAD);
    add_title(out, title);
    text_printf(out,
                ": training curves</title>\n<clipPath id=\"upper\"><rect x=\"%d\" y=\"%d\" width=\"%d\" "
                "height=\"%d\"/></clipPath>",
                LEFT, LOSS_TOP - 2, RIGHT - LEFT + 4, LOSS_BOTTOM - LOSS_TOP + 4);
    text_printf(out, "<clipPath id=\"lower\"><rect x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\"/></clipPath>\n", LEFT,
                RATE_TOP - 2, RIGHT - LEFT + 4, RATE_BOTTOM - RATE_TOP + 4);
    text_printf(out, "<rect class=\"page\" width=\"%d\" height=\"%d\" rx=\"6\"/>\n<text class=\"ink\" font-size=\"16\" "
                     "font-weight=\"600\" x=\"%d\" y=\"34\">", WIDTH, HEIGHT, LEFT);
    add_title(out, title);
    text_printf(out, "</text>\n<text class=\"dim\" text-anchor=\"end\" x=\"%d\" y=\"34\">step %lld", RIGHT,
                (long long)s->global_step);
    if (s->max_steps > 0) text_printf(out, " of %lld", (long long)s->max_steps);
    if (s->epoch > 0) text_printf(out, ", epoch %.3g", s->epoch);
    text_printf(out, "</text>\n<text class=\"ink\" font-weight=\"600\" x=\"%d\" y=\"%d\">loss</text>\n", LEFT,
                LOSS_TOP - 16);
}

Status curves_text(const TrainerState *s, const char *title, Text *out)
{
    Picture p = {.out = out, .state = s};
    if (!collect(&p)) return status_raise(STATUS_MEMORY, "training_curves.svg: out of memory");
    p.x = axis_make(0, last_step(&p), LEFT, RIGHT, 8, false);
    if (p.x.tick < 1) p.x.tick = 1;
    add_head(&p, title);
    add_loss(&p);
    add_rate(&p);
    text_printf(out, "<text class=\"dim\" text-anchor=\"middle\" x=\"%d\" y=\"%d\">step</text>\n</svg>\n",
                (LEFT + RIGHT) / 2, HEIGHT - 14);
    free(p.memory);
    return out->failed ? status_raise(STATUS_MEMORY, "training_curves.svg: out of memory") : OK;
}

Status curves_write(const TrainerState *s, const char *title, const char *path)
{
    Text text = {0};
    Status st = curves_text(s, title, &text);
    if (st == OK) st = file_replace(path, text.data, text.size);
    text_free(&text);
    return st;
}
