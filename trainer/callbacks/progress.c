/* When a bar is drawn, when a line is written. Rates forget a slow start and leave out what is not training. */
#include "trainer/callbacks/progress.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "trainer/base/log.h"
#include "trainer/callbacks/timing.h"

typedef struct Course { /* of training, or of a part */
    ProgressView view;
    RateMeter steps, tokens;
    double began_s;
    int64_t counted_tokens;
} Course;

struct Progress {
    ProgressOptions options;
    bool terminal, ascii, in_part;
    double drawn_s, said_s;
    int64_t said_step;
    Course train, part;
    Text text;
};

static bool wants_ascii(void)
{
    static const char *const names[] = {"LC_ALL", "LC_CTYPE", "LANG"}; /* the first that is set decides */
    for (int i = 0; i < 3; i++) {
        const char *value = getenv(names[i]);
        if (value && *value)
            return !strstr(value, "UTF-8") && !strstr(value, "utf8") && !strstr(value, "UTF8") &&
                   !strstr(value, "utf-8");
    }
    return true;
}

static void begin(const Progress *p, Course *c, const char *what, int64_t done, int64_t total, double now)
{
    *c = (Course){.view = {.what = what,
                           .done = done,
                           .total = total,
                           .loss = NAN,
                           .rate = NAN,
                           .remaining_s = -1,
                           .ascii = p->ascii},
                  .began_s = now};
    rate_start(&c->steps, now);
    rate_start(&c->tokens, now);
}

Status progress_open(const ProgressOptions *options, Progress **out)
{
    Progress *p = calloc(1, sizeof *p);
    *out = p;
    if (!p) return status_raise(STATUS_MEMORY, "the progress bar: out of memory");
    double now = timing_now();
    p->options = *options;
    p->terminal = log_terminal_width() > 0 && !options->no_bar;
    p->ascii = wants_ascii();
    p->said_s = now;
    p->said_step = -1;
    begin(p, &p->train, "train", options->start, options->total, now);
    return OK;
}

static void measure(Course *c, double now)
{
    ProgressView *v = &c->view;
    v->elapsed_s = now - c->began_s;
    v->steps_per_s = rate_per_s(&c->steps);
    v->tokens_per_s = rate_per_s(&c->tokens);
    v->remaining_s = v->steps_per_s > 0 && v->total > 0 ? (double)(v->total - v->done) / v->steps_per_s : -1;
}

static void draw(Progress *p, Course *c, double now)
{
    p->drawn_s = now;
    p->text.size = 0;
    measure(c, now);
    progress_bar_text(&c->view, log_terminal_width() - 1, &p->text);
    if (!p->text.failed) log_status(p->text.data);
}

static void say(Progress *p, Course *c, double now)
{
    p->said_s = now;
    p->said_step = c->view.done;
    p->text.size = 0;
    measure(c, now);
    progress_line_text(&c->view, &p->text);
    if (!p->text.failed) log_info("%s", p->text.data);
}

/* Ten seconds at first, a tenth of what has passed, a minute in the long run: a night's log stays readable. */
static double line_interval(const Progress *p, double now)
{
    double tenth = (now - p->train.began_s) / 10;
    if (p->options.every_s > 0) return p->options.every_s;
    return tenth < 10 ? 10 : tenth > 60 ? 60 : tenth;
}

static void show(Progress *p, Course *c, double now, bool last)
{
    double redraw_s = p->options.redraw_s > 0 ? p->options.redraw_s : 0.1;
    if (p->options.no_bar) return;
    if (p->terminal && (last || now - p->drawn_s >= redraw_s)) draw(p, c, now);
    if (!p->terminal && now - p->said_s >= line_interval(p, now)) say(p, c, now);
}

void progress_step(Progress *p, int64_t step, double loss, double rate, int64_t tokens)
{
    if (!p) return;
    double now = timing_now();
    Course *c = &p->train;
    rate_add(&c->steps, (double)(step - c->view.done), now);
    rate_add(&c->tokens, (double)(tokens - c->counted_tokens), now);
    c->counted_tokens = tokens;
    c->view.done = step;
    c->view.loss = loss;
    c->view.rate = rate;
    show(p, c, now, step >= c->view.total);
}

void progress_log(Progress *p, const LogEntry *e)
{
    if (!p) return;
    p->text.size = 0;
    logentry_to_console(e, &p->text);
    if (!p->text.failed) log_info("%s", p->text.data);
}

void progress_part_begin(Progress *p, const char *what, int64_t total)
{
    if (!p) return;
    double now = timing_now();
    p->in_part = true;
    begin(p, &p->part, what, 0, total, now);
    show(p, &p->part, now, true);
}

void progress_part_step(Progress *p, int64_t done)
{
    if (!p || !p->in_part) return;
    double now = timing_now();
    rate_add(&p->part.steps, (double)(done - p->part.view.done), now);
    p->part.view.done = done;
    show(p, &p->part, now, false);
}

void progress_part_end(Progress *p)
{
    if (!p || !p->in_part) return;
    double now = timing_now();
    p->in_part = false;
    rate_skip(&p->train.steps, now);
    rate_skip(&p->train.tokens, now);
    if (p->terminal && p->train.view.total > 0) draw(p, &p->train, now);
    else log_status(NULL);
}

void progress_close(Progress *p)
{
    if (!p) return;
    if (!p->terminal && !p->options.no_bar && p->train.view.done > p->options.start &&
        p->said_step != p->train.view.done)
        say(p, &p->train, timing_now());
    if (p->terminal) log_status(NULL);
    text_free(&p->text);
    free(p);
}
