#include "tests/cuda_emulator/warp.h"

namespace emu
{

static const uint64_t POISON = 0xFFF7FFF7FFF7FFF7u;

void warp_begin(Warp *w, Thread *lanes, unsigned count)
{
    w->lanes = lanes, w->waiting = 0;
    w->live = w->exist = count >= WARP ? 0xFFFFFFFFu : (1u << count) - 1;
}

/* The lane that lane reads from; its own where the source lies outside its segment (as the hardware does). */
static int source_of(const Thread *t, int lane)
{
    int width = t->width, first = lane / width * width, source;
    switch (t->op) {
    case WarpOp::SHFL_INDEX:
        return first + (t->argument & (width - 1));
    case WarpOp::SHFL_UP:
        source = lane - t->argument;
        return source < first ? lane : source;
    case WarpOp::SHFL_DOWN:
        source = lane + t->argument;
        return source >= first + width ? lane : source;
    default:
        source = lane ^ t->argument;
        return source >= first + width ? lane : source;
    }
}

static uint64_t reduced(WarpOp op, uint64_t sum, uint64_t x)
{
    int32_t a = (int32_t)sum, b = (int32_t)x;
    switch (op) {
    case WarpOp::ADD:
        return (uint32_t)(sum + x);
    case WarpOp::MIN:
        return sum < x ? sum : x;
    case WarpOp::MAX:
        return sum > x ? sum : x;
    case WarpOp::SIGNED_MIN:
        return (uint32_t)(a < b ? a : b);
    case WarpOp::SIGNED_MAX:
        return (uint32_t)(a > b ? a : b);
    case WarpOp::AND:
        return sum & x;
    case WarpOp::OR:
        return sum | x;
    default:
        return sum ^ x;
    }
}

static void compute(Warp *w, unsigned lanes)
{
    const Thread *first = &w->lanes[__builtin_ctz(lanes)];
    if (first->op == WarpOp::TOGETHER) {
        void *all_lanes[WARP];
        for (int l = 0; l < WARP; l++) all_lanes[l] = reinterpret_cast<void *>(w->lanes[l].value);
        first->together(all_lanes);
        return;
    }
    uint64_t sum = first->value, ballot = 0;
    bool all = true;
    for (int l = 0; l < WARP; l++) {
        if (!(lanes >> l & 1)) continue;
        if (&w->lanes[l] != first) sum = reduced(first->op, sum, w->lanes[l].value);
        ballot |= (uint64_t)(w->lanes[l].value != 0) << l;
        all &= w->lanes[l].value == first->value;
    }
    for (int l = 0; l < WARP; l++) {
        if (!(lanes >> l & 1)) continue;
        Thread *t = &w->lanes[l];
        int source;
        switch (t->op) {
        case WarpOp::SYNC:
            break;
        case WarpOp::SHFL_INDEX:
        case WarpOp::SHFL_UP:
        case WarpOp::SHFL_DOWN:
        case WarpOp::SHFL_XOR:
            source = source_of(t, l);
            t->result = lanes >> source & 1 ? w->lanes[source].value : POISON;
            break;
        case WarpOp::BALLOT:
            t->result = ballot;
            break;
        case WarpOp::MATCH_ALL:
            t->result = all ? t->mask : 0;
            break;
        case WarpOp::MATCH_ANY:
            t->result = 0;
            for (int o = 0; o < WARP; o++)
                if (lanes >> o & 1 && w->lanes[o].value == t->value) t->result |= 1u << o;
            break;
        default:
            t->result = sum;
        }
    }
}

static void check_live(const Warp *w, const Thread *t)
{
    unsigned returned = t->mask & w->exist & ~w->live;
    if (returned)
        report("warp operation at %s:%d: its mask 0x%08x names lane %d, which has returned", t->file, t->line, t->mask,
               __builtin_ctz(returned));
}

/* If the group of t's mask is complete: computes, and makes ready all but t. */
static bool try_meet(Warp *w, const Thread *t, void (*make_ready)(Thread *))
{
    unsigned lanes = t->mask & w->exist;
    if ((w->waiting & lanes) != lanes) return false;
    for (int l = 0; l < WARP; l++) {
        const Thread *o = &w->lanes[l];
        if (lanes >> l & 1 && !(o->state == State::WARP_WAIT && o->op == t->op && o->mask == t->mask &&
                                o->together == t->together))
            return false;
    }
    compute(w, lanes);
    w->waiting &= ~lanes;
    for (int l = 0; l < WARP; l++)
        if (lanes >> l & 1 && &w->lanes[l] != t) make_ready(&w->lanes[l]);
    return true;
}

bool warp_met(Warp *w, Thread *t, void (*make_ready)(Thread *))
{
    check_live(w, t);
    if (t->op == WarpOp::TOGETHER && ~w->exist)
        report("%s at %s:%d: its warp has not all of its lanes", t->together_name, t->file, t->line);
    w->waiting |= 1u << (t - w->lanes);
    if (!try_meet(w, t, make_ready)) return false;
    t->state = State::READY;
    return true;
}

void warp_left(Warp *w, Thread *t)
{
    w->live &= ~(1u << (t - w->lanes));
    for (unsigned waiting = w->waiting; waiting; waiting &= waiting - 1)
        check_live(w, &w->lanes[__builtin_ctz(waiting)]);
}

} // namespace emu
