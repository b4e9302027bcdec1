/* SeedSequence (O'Neill's seed_seq_fe, pool of 4) seeds PCG64 (O'Neill 2014, XSL-RR 128/64); numbers below
 * a bound by masks and rejection, from halves of a draw where they fit. numpy/random, 1.17 and later. */
#include "trainer/data/numpy_random.h"

#include <stdbool.h>
#include <stddef.h>

__extension__ typedef unsigned __int128 u128;

typedef struct Pcg64 {
    u128 state, increment;
    bool has_half; /* the upper half of the last draw */
    uint32_t half;
} Pcg64;

enum { POOL = 4 };

static uint32_t hash(uint32_t value, uint32_t *constant, uint32_t multiplier)
{
    value ^= *constant;
    *constant *= multiplier;
    value *= *constant;
    return value ^ value >> 16;
}

static uint32_t mix(uint32_t x, uint32_t y)
{
    const uint32_t value = 0xca01f9ddu * x - 0x4973f715u * y;
    return value ^ value >> 16;
}

static void seed_sequence(uint64_t seed, uint64_t out[4])
{
    const uint32_t entropy[POOL] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
    uint32_t pool[POOL], constant = 0x43b0d7e5u;
    for (int i = 0; i < POOL; i++) pool[i] = hash(entropy[i], &constant, 0x931e8875u);
    for (int from = 0; from < POOL; from++)
        for (int to = 0; to < POOL; to++)
            if (from != to) pool[to] = mix(pool[to], hash(pool[from], &constant, 0x931e8875u));
    constant = 0x8b51f9ddu;
    for (int i = 0; i < 4; i++) {
        const uint64_t low = hash(pool[2 * i % POOL], &constant, 0x58f38dedu);
        out[i] = low | (uint64_t)hash(pool[(2 * i + 1) % POOL], &constant, 0x58f38dedu) << 32;
    }
}

static void step(Pcg64 *g)
{
    g->state = g->state * ((u128)0x2360ed051fc65da4u << 64 | 0x4385df649fccf645u) + g->increment;
}

static void pcg_seed(Pcg64 *g, uint64_t seed)
{
    uint64_t words[4];
    seed_sequence(seed, words);
    *g = (Pcg64){.increment = ((u128)words[2] << 64 | words[3]) << 1 | 1};
    step(g);
    g->state += (u128)words[0] << 64 | words[1];
    step(g);
}

static uint64_t next64(Pcg64 *g)
{
    step(g);
    const uint64_t folded = (uint64_t)(g->state >> 64) ^ (uint64_t)g->state;
    const unsigned turn = (unsigned)(g->state >> 122);
    return folded >> turn | folded << (-turn & 63);
}

static uint32_t next32(Pcg64 *g)
{
    g->has_half = !g->has_half;
    if (!g->has_half) return g->half;
    const uint64_t both = next64(g);
    g->half = (uint32_t)(both >> 32);
    return (uint32_t)both;
}

/* 0..most: bits of a draw, or of half of one, until they are within. */
static uint64_t interval(Pcg64 *g, uint64_t most)
{
    uint64_t mask = most, value;
    for (int shift = 1; shift < 64; shift *= 2) mask |= mask >> shift;
    do value = (most <= UINT32_MAX ? next32(g) : next64(g)) & mask;
    while (value > most);
    return value;
}

void numpy_permutation(uint64_t seed, int64_t *out, int64_t n)
{
    Pcg64 g;
    pcg_seed(&g, seed);
    for (int64_t i = 0; i < n; i++) out[i] = i;
    for (int64_t i = n - 1; i > 0; i--) {
        const int64_t j = (int64_t)interval(&g, (uint64_t)i), swapped = out[i];
        out[i] = out[j];
        out[j] = swapped;
    }
}
