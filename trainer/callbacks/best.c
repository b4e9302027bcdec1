/* Best model and early stopping (transformers 5.23: Trainer._determine_best_metric, EarlyStoppingCallback). The
 * callback sees the evaluation before the best metric is updated with it: otherwise no evaluation could ever be
 * better than the best. */
#include "trainer/callbacks/best.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

bool best_is_better(bool greater_is_better, double value, double best)
{
    if (isnan(value)) return false;
    if (isnan(best)) return true; /* the first, even an infinite one, which the reference would not take */
    return greater_is_better ? value > best : value < best;
}

int64_t early_stopping_count(const BestRule *rule, double value, double best, int64_t counter)
{
    if (isnan(best)) return 0;
    bool improved = best_is_better(rule->greater_is_better, value, best) && fabs(value - best) > rule->threshold;
    return improved ? 0 : counter + 1;
}

/* "eval_loss, eval_accuracy": what there is to choose from. */
static void list_metrics(const LogEntry *metrics, char *text, size_t room)
{
    size_t n = 0;
    text[0] = '\0';
    for (int i = 0; i < metrics->count && n < room; i++)
        if (strncmp(metrics->values[i].key, "eval_", 5) == 0)
            n += (size_t)snprintf(text + n, room - n, "%s%s", n ? ", " : "", metrics->values[i].key);
}

Status best_update(const BestRule *rule, TrainerState *s, const LogEntry *metrics, BestOutcome *out)
{
    Status st = OK;
    char key[2 * LOG_KEY_BYTES], names[512];
    *out = (BestOutcome){0};
    if (!rule->metric) goto done;
    snprintf(key, sizeof key, "%s%s", strncmp(rule->metric, "eval_", 5) == 0 ? "" : "eval_", rule->metric);
    const LogValue *v = logentry_find(metrics, key);
    if (!v) {
        list_metrics(metrics, names, sizeof names);
        RAISE(MISSING, "metric_for_best_model: the evaluation has no %s; it has %s", key, names);
    }
    if (rule->patience > 0) {
        s->early_stopping_patience = rule->patience;
        s->early_stopping_threshold = rule->threshold;
        s->early_stopping_counter = early_stopping_count(rule, v->value, s->best_metric, s->early_stopping_counter);
        out->stop = s->early_stopping_counter >= rule->patience;
        if (out->stop) s->should_training_stop = true;
    }
    if (best_is_better(rule->greater_is_better, v->value, s->best_metric)) {
        out->improved = true;
        s->best_metric = v->value;
        s->best_global_step = s->global_step;
    }
done:
    return st;
}
