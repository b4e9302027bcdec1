/* How far the run is, for people: a bar drawn in place on a terminal, a plain line now and then where stderr is a file.
 *
 * Rank 0 opens one; all calls take NULL (the other ranks, disable_tqdm). Never fails after opening. One thread. */
#ifndef HONE_CALLBACKS_PROGRESS_H
#define HONE_CALLBACKS_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

#include "trainer/base/json.h"
#include "trainer/base/status.h"
#include "trainer/callbacks/state.h"

typedef struct Progress Progress;

typedef struct ProgressOptions {
    int64_t total;   /* max_steps */
    int64_t start;   /* global_step at the start: not counted in rates */
    bool no_bar;     /* disable_tqdm: only metrics lines */
    double every_s;  /* between plain lines; 0: 10 s at first, a minute in a long run */
    double redraw_s; /* between drawings of the bar; 0: 0.1 s */
} ProgressOptions;

Status progress_open(const ProgressOptions *options, Progress **out);
/* After each update. loss, rate: NAN where unknown. tokens: of all ranks since progress_open (0: not shown). */
void progress_step(Progress *p, int64_t step, double loss, double rate, int64_t tokens);
/* One line of metrics, as the Trainer prints its logs. */
void progress_log(Progress *p, const LogEntry *e);
/* Evaluation (or prediction, preprocessing): a bar of its own until _end. what: "evaluate", a literal. Its time does
 * not count in the rates of training. */
void progress_part_begin(Progress *p, const char *what, int64_t total);
void progress_part_step(Progress *p, int64_t done);
void progress_part_end(Progress *p);
/* Takes the bar away; where stderr is a file, says the last state. */
void progress_close(Progress *p);

/* What a bar shows, without the terminal: for tests and other bars. */
typedef struct ProgressView {
    const char *what;       /* "train" */
    int64_t done, total;    /* total <= 0: unknown */
    double loss, rate;      /* NAN: not shown */
    double steps_per_s, tokens_per_s; /* <= 0: not shown */
    double elapsed_s, remaining_s;    /* remaining < 0: unknown */
    bool ascii;                       /* no block characters */
} ProgressView;
/* A bar of at most `width` columns; what does not fit is left out, least important first. */
void progress_bar_text(const ProgressView *v, int width, Text *out);
/* The plain line: "train 120/1000 (12%), loss 3.21, …". */
void progress_line_text(const ProgressView *v, Text *out);

#endif
