/* Runs one block: its threads one after the other on one stack, until one waits; a waiting thread keeps the stack it is
 * on, and the others go on with another. Whoever waits looks for the next to run itself; only when none can is the
 * scheduler's own stack switched to, which opens a barrier that all have reached or reports why none can go on. */
#include "tests/cuda_emulator/emulator.h"

#include <cstring>
#include <string>
#include <vector>

#include "tests/cuda_emulator/fiber.h"
#include "tests/cuda_emulator/warp.h"

namespace emu
{

Thread *current;
uint3 block_index;
dim3 block_dim(1), grid_dim(1);
const Launch *running;
const RaceHooks *race_hooks;
bool race_recording;

static Thread threads[MOST_THREADS];
static Warp warps[MOST_WARPS];
static unsigned thread_count, started, done;
static Order thread_order;
static Kernel *kernel_of_block;

static Fiber scheduler, *on = &scheduler;                       /* whose stack is in use */
static std::vector<Fiber *> &spare = *new std::vector<Fiber *>; /* kept until the process ends */
static Thread *ready[MOST_THREADS];
static unsigned ready_count;

static void make_ready(Thread *t)
{
    t->state = State::READY;
    ready[ready_count++] = t;
}

static void fiber_main();

static Fiber *spare_fiber()
{
    if (spare.empty()) {
        Fiber *f = new Fiber;
        fiber_prepare(f, fiber_main);
        return f;
    }
    Fiber *f = spare.back();
    spare.pop_back();
    return f;
}

/* Who runs next; `current` is it where it has run before. */
static Fiber *next_fiber()
{
    if (ready_count) {
        unsigned i = seed() ? (unsigned)random_below(ready_count) : 0;
        current = ready[i];
        if (seed())
            ready[i] = ready[--ready_count];
        else
            memmove(ready, ready + 1, --ready_count * sizeof *ready); /* in their order */
        return current->fiber;
    }
    current = nullptr;
    return started < thread_count ? spare_fiber() : &scheduler;
}

static void go_on()
{
    Fiber *from = on, *to = next_fiber();
    if (to == from) return;
    on = to;
    fiber_switch(from, to);
}

static void start_next()
{
    unsigned linear = (unsigned)thread_order.at(started++);
    Thread *t = &threads[linear];
    t->linear = linear;
    if (block_dim.y == 1 && block_dim.z == 1)
        t->index = make_uint3(linear, 0, 0);
    else
        t->index =
            make_uint3(linear % block_dim.x, linear / block_dim.x % block_dim.y, linear / (block_dim.x * block_dim.y));
    t->fiber = on;
    t->state = State::READY;
    current = t;
    kernel_of_block->run_thread();
    t = current;
    copies_end(t);
    t->state = State::DONE;
    done++;
    warp_left(&warps[t->linear / WARP], t);
    current = nullptr;
}

static void fiber_main()
{
    for (;;) {
        Fiber *self = on;
        while (started < thread_count) start_next();
        spare.push_back(self);
        go_on();
    }
}

static std::string where(const Thread *t)
{
    char text[400];
    static const char *const ops[] = {
        "__syncwarp",        "__shfl_sync",       "__shfl_up_sync",    "__shfl_down_sync",
        "__shfl_xor_sync",   "__ballot_sync",     "__reduce_add_sync", "__reduce_min_sync",
        "__reduce_max_sync", "__reduce_min_sync", "__reduce_max_sync", "__reduce_and_sync",
        "__reduce_or_sync",  "__reduce_xor_sync", "__match_any_sync",  "__match_all_sync"};
    const char *file = t->file && strrchr(t->file, '/') ? strrchr(t->file, '/') + 1 : t->file;
    switch (t->state) {
    case State::DONE:
        snprintf(text, sizeof text, "thread (%u,%u,%u) has returned", t->index.x, t->index.y, t->index.z);
        break;
    case State::BARRIER:
        snprintf(text, sizeof text, "thread (%u,%u,%u) waits at the __syncthreads of %s:%d", t->index.x, t->index.y,
                 t->index.z, file, t->line);
        break;
    case State::WARP_WAIT:
        snprintf(text, sizeof text, "thread (%u,%u,%u), lane %u, waits at the %s of %s:%d for the lanes of mask 0x%08x",
                 t->index.x, t->index.y, t->index.z, t->linear % WARP,
                 t->op == WarpOp::TOGETHER ? t->together_name : ops[(int)t->op], file, t->line, t->mask);
        break;
    default:
        snprintf(text, sizeof text, "thread (%u,%u,%u) runs", t->index.x, t->index.y, t->index.z);
    }
    return text;
}

/* One line for each kind of place that threads are at: its first thread, and how many there are. */
static std::string whereabouts()
{
    std::string text;
    std::vector<const Thread *> kinds;
    std::vector<unsigned> counts;
    for (unsigned i = 0; i < thread_count; i++) {
        const Thread *t = &threads[i];
        size_t k = 0;
        while (k < kinds.size() &&
               !(kinds[k]->state == t->state &&
                 (t->state == State::DONE || (kinds[k]->line == t->line && kinds[k]->mask == t->mask))))
            k++;
        if (k == kinds.size()) kinds.push_back(t), counts.push_back(0);
        counts[k]++;
    }
    for (size_t k = 0; k < kinds.size() && k < 8; k++) {
        text += "\n    " + where(kinds[k]);
        if (counts[k] > 1) text += " (and " + std::to_string(counts[k] - 1) + " like it)";
    }
    return text;
}

/* Nothing can run: either all are at one barrier, or it is a bug. */
static void open_barrier()
{
    unsigned waiting = 0, predicates = 0;
    const Thread *first = nullptr;
    for (unsigned i = 0; i < thread_count; i++) {
        if (threads[i].state != State::BARRIER) continue;
        if (!first) first = &threads[i];
        if (threads[i].line != first->line || strcmp(threads[i].file, first->file))
            report("barrier divergence: threads of one block wait at different barriers%s", whereabouts().c_str());
        waiting++;
        predicates += threads[i].value != 0;
    }
    if (waiting + done < thread_count) report("deadlock: no thread of the block can go on%s", whereabouts().c_str());
    if (done) report("barrier divergence: not all threads of the block reach it%s", whereabouts().c_str());
    if (race_hooks) race_hooks->all_met();
    for (unsigned i = 0; i < thread_count; i++) {
        Thread *t = &threads[i];
        switch (t->barrier_op) {
        case BarrierOp::SYNC:
            break;
        case BarrierOp::COUNT:
            t->result = predicates;
            break;
        case BarrierOp::AND:
            t->result = predicates == waiting;
            break;
        case BarrierOp::OR:
            t->result = predicates != 0;
            break;
        }
        make_ready(t);
    }
}

void run_block(Kernel *kernel, unsigned count)
{
    kernel_of_block = kernel;
    thread_count = count, started = done = ready_count = 0;
    thread_order = order_of(count);
    if (race_hooks) race_hooks->block_begins(count);
    for (unsigned w = 0; w * WARP < count; w++) warp_begin(&warps[w], &threads[w * WARP], count - w * WARP);
    for (unsigned i = 0; i < count; i++) threads[i].state = State::UNSTARTED;
    while (done < count) {
        go_on();
        if (done < count) open_barrier();
    }
}

int barrier(BarrierOp op, int predicate, const char *file, int line)
{
    Thread *t = current;
    if (!t) report("__syncthreads outside a kernel");
    t->state = State::BARRIER;
    t->barrier_op = op, t->value = predicate != 0, t->file = file, t->line = line;
    go_on();
    return (int)t->result;
}

uint64_t warp_operation(WarpOp op, unsigned mask, uint64_t value, int argument, int width, const char *file, int line)
{
    Thread *t = current;
    if (!t) report("a warp operation outside a kernel");
    t->together = nullptr, t->op = op, t->mask = mask, t->value = value, t->argument = argument, t->width = width,
    t->file = file, t->line = line;
    if (!(mask >> t->linear % WARP & 1))
        report("warp operation at %s:%d: its mask 0x%08x leaves out the caller's lane %u", file, line, mask,
               t->linear % WARP);
    t->state = State::WARP_WAIT;
    if (!warp_met(&warps[t->linear / WARP], t, make_ready))
        go_on();
    else if (race_hooks && op == WarpOp::SYNC)
        race_hooks->lanes_met(t->linear / WARP, mask & warps[t->linear / WARP].exist);
    return t->result;
}

void warp_together(void (*function)(void *const *), void *lane, const char *name, const char *file, int line)
{
    Thread *t = current;
    if (!t) report("%s outside a kernel", name);
    t->op = WarpOp::TOGETHER, t->mask = 0xFFFFFFFFu, t->value = reinterpret_cast<uintptr_t>(lane);
    t->together = function, t->together_name = name, t->file = file, t->line = line;
    t->state = State::WARP_WAIT;
    if (!warp_met(&warps[t->linear / WARP], t, make_ready)) go_on();
}

} // namespace emu
