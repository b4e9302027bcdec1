/* Cuts what a rank owns at the bounds of decay runs and blocks once; a step walks that list. */
#include "optim/optimizer.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum {
    SEGMENT_LIMIT = 16 * KERNEL_BLOCK
}; /* a guard covers one: small enough to copy aside, large enough for all threads */

typedef struct Segment { int64_t begin, at, count; bool decays; } Segment;

struct Optimizer {
    const OptimizerType *type;
    OptimizerConfig config;
    const Kernels *k;
    Stream *stream;
    int64_t steps, state_count;
    int64_t *at;
    Segment *segments;
    size_t num_segments, capacity;
    float *states[2];
    size_t state_bytes;
};

/* Zero. The host's: mmap, which takes no memory until the first step. */
static float *state_new(const Optimizer *o)
{
    if (stream_is_device(o->stream)) {
        float *state = stream_allocate(o->stream, o->state_bytes);
        if (state) o->k->fill_zero(o->stream, state, o->state_bytes);
        return state;
    }
    void *p = mmap(NULL, o->state_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) return NULL;
    madvise(p, o->state_bytes, MADV_HUGEPAGE);
    return p;
}

static void state_free(const Optimizer *o, float *state)
{
    if (stream_is_device(o->stream)) stream_release(o->stream, state);
    else if (state) munmap(state, o->state_bytes);
}

static Status add_segment(Optimizer *o, Segment s)
{
    if (o->num_segments == o->capacity) {
        size_t capacity = o->capacity ? 2 * o->capacity : 64;
        Segment *grown = realloc(o->segments, capacity * sizeof *grown);
        if (!grown) return status_raise(STATUS_MEMORY, "out of memory");
        o->segments = grown;
        o->capacity = capacity;
    }
    o->segments[o->num_segments++] = s;
    return OK;
}

static Status cut(Optimizer *o, OptimizerRange range, int64_t at, const DecayRun *runs, int num_runs)
{
    Status st = OK;
    for (int r = 0; r < num_runs; r++) {
        int64_t begin = runs[r].begin > range.begin ? runs[r].begin : range.begin;
        int64_t end = runs[r].end < range.end ? runs[r].end : range.end;
        for (int64_t count; begin < end; begin += count) {
            count = end - begin < SEGMENT_LIMIT ? end - begin : SEGMENT_LIMIT;
            TRY(add_segment(o, (Segment){begin, at + begin - range.begin, count, runs[r].decays}));
        }
    }
done:
    return st;
}

Status optimizer_new(const OptimizerType *type, const OptimizerConfig *config, const Kernels *k, Stream *s,
                     const OptimizerRange *ranges, int num_ranges, const DecayRun *runs, int num_runs, Optimizer **out)
{
    Status st = OK;
    Optimizer *o = calloc(1, sizeof *o);
    if (!o) RAISE(MEMORY, "out of memory");
    *o = (Optimizer){.type = type, .config = *config, .k = k, .stream = s};
    if (!(o->at = calloc((size_t)num_ranges + 1, sizeof *o->at))) RAISE(MEMORY, "out of memory");
    for (int i = 0; i < num_ranges; i++) {
        o->at[i] = o->state_count;
        TRY(cut(o, ranges[i], o->state_count, runs, num_runs));
        o->state_count += ranges[i].end - ranges[i].begin;
    }
    o->state_bytes = (size_t)o->state_count * sizeof(float) + 4096;
    for (int i = 0; i < type->num_states; i++)
        if (!(o->states[i] = state_new(o)))
            RAISE(MEMORY, "out of memory: %zu MB of optimizer state%s", o->state_bytes >> 20, stream_memory_failure(s));
    *out = o;
    return OK;
done:
    optimizer_free(o);
    return st;
}

void optimizer_free(Optimizer *o)
{
    if (!o) return;
    for (int i = 0; i < 2; i++) state_free(o, o->states[i]);
    free(o->segments);
    free(o->at);
    free(o);
}

/* The part of it that belongs to a segment; NULL: there is none. */
static const LowCopy *low_part(const LowCopy *low, const Segment *s, int64_t step, LowCopy *part)
{
    if (!low) return NULL;
    *part = *low;
    part->data = (char *)low->data + (size_t)s->begin * dtype_bytes(low->dtype);
    part->first = low->first + s->begin;
    part->update = (uint32_t)step;
    return part;
}

void optimizer_step(Optimizer *o, float *weights, const LowCopy *low, const float *grads, const float *grad_scale,
                    double lr, OptimizerGuard *guard, void *context)
{
    o->steps++;
    for (size_t i = 0; i < o->num_segments; i++) {
        const Segment *s = &o->segments[i];
        float *states[2] = {o->states[0] ? o->states[0] + s->at : NULL, o->states[1] ? o->states[1] + s->at : NULL};
        LowCopy part;
        if (guard) {
            guard(context, weights + s->begin, (size_t)s->count * sizeof(float));
            for (int j = 0; j < o->type->num_states; j++) guard(context, states[j], (size_t)s->count * sizeof(float));
        }
        o->type->update(o->k, o->stream, &o->config, weights + s->begin, states, low_part(low, s, o->steps, &part),
                        grads + s->begin, s->count, grad_scale, lr, s->decays ? o->config.weight_decay : 0, o->steps);
    }
}

int64_t optimizer_steps(const Optimizer *o) { return o->steps; }
void optimizer_set_steps(Optimizer *o, int64_t steps) { o->steps = steps; }
int optimizer_num_states(const Optimizer *o) { return o->type->num_states; }
const char *optimizer_state_name(const Optimizer *o, int i) { return o->type->states[i]; }
float *optimizer_state(Optimizer *o, int i) { return o->states[i]; }
int64_t optimizer_at(const Optimizer *o, int range) { return o->at[range]; }
int64_t optimizer_state_count(const Optimizer *o) { return o->state_count; }
