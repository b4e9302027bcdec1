/* MT19937 with torch's ways of drawing from it (its MT19937RNGEngine.h and native/cpu/DistributionTemplates.h). */
#include "trainer/data/random.h"

#include <math.h>

enum { STATE_WORDS = 624, STATE_SHIFT = 397, NORMAL_GROUP = 16 };

void mt19937_seed(Mt19937 *g, uint64_t seed)
{
    g->state[0] = (uint32_t)seed;
    for (uint32_t j = 1; j < STATE_WORDS; j++)
        g->state[j] = 1812433253u * (g->state[j - 1] ^ (g->state[j - 1] >> 30)) + j;
    g->next = STATE_WORDS;
    g->has_normal = false;
}

static uint32_t twist(uint32_t u, uint32_t v)
{
    uint32_t mixed = (u & 0x80000000u) | (v & 0x7fffffffu);
    return (mixed >> 1) ^ (v & 1u ? 0x9908b0dfu : 0u);
}

static void regenerate(Mt19937 *g)
{
    uint32_t *s = g->state;
    for (int j = 0; j < STATE_WORDS; j++)
        s[j] = s[(j + STATE_SHIFT) % STATE_WORDS] ^ twist(s[j], s[(j + 1) % STATE_WORDS]);
    g->next = 0;
}

uint32_t mt19937_u32(Mt19937 *g)
{
    if (g->next == STATE_WORDS) regenerate(g);
    uint32_t y = g->state[g->next++];
    y ^= y >> 11;
    y ^= (y << 7) & 0x9d2c5680u;
    y ^= (y << 15) & 0xefc60000u;
    return y ^ (y >> 18);
}

uint64_t mt19937_u64(Mt19937 *g)
{
    uint64_t high = mt19937_u32(g);
    return high << 32 | mt19937_u32(g);
}

float mt19937_uniform(Mt19937 *g)
{
    return (float)(mt19937_u32(g) & 0xffffffu) * 0x1p-24f;
}

double mt19937_uniform64(Mt19937 *g)
{
    return (double)(mt19937_u64(g) & ((UINT64_C(1) << 53) - 1)) * 0x1p-53;
}

/* Box-Muller on 16 uniforms in place: element j and j + 8 are a pair. */
static void normal_group(float *x, double mean, double std)
{
    for (int j = 0; j < NORMAL_GROUP / 2; j++) {
        float radius = sqrtf(-2.0f * logf(1.0f - x[j]));
        float theta = 2.0f * 3.14159265358979323846f * x[j + NORMAL_GROUP / 2];
        x[j] = radius * cosf(theta) * (float)std + (float)mean;
        x[j + NORMAL_GROUP / 2] = radius * sinf(theta) * (float)std + (float)mean;
    }
}

/* One at a time, as torch does below 16 elements; the pair's second waits in the generator. */
static double normal_pair(Mt19937 *g)
{
    if (g->has_normal) {
        g->has_normal = false;
        return g->normal;
    }
    double u1 = mt19937_uniform64(g), u2 = mt19937_uniform64(g);
    double radius = sqrt(-2.0 * log1p(-u2)), theta = 2.0 * 3.14159265358979323846 * u1;
    g->normal = radius * sin(theta);
    g->has_normal = true;
    return radius * cos(theta);
}

void mt19937_normal(Mt19937 *g, float *out, int64_t n, double mean, double std)
{
    if (n < NORMAL_GROUP) {
        for (int64_t i = 0; i < n; i++) out[i] = (float)(normal_pair(g) * std + mean);
        return;
    }
    for (int64_t i = 0; i < n; i++) out[i] = mt19937_uniform(g);
    for (int64_t i = 0; i + NORMAL_GROUP <= n; i += NORMAL_GROUP) normal_group(out + i, mean, std);
    if (n % NORMAL_GROUP == 0) return;
    float *last = out + n - NORMAL_GROUP; /* drawn again, and so are the elements that were done already */
    for (int i = 0; i < NORMAL_GROUP; i++) last[i] = mt19937_uniform(g);
    normal_group(last, mean, std);
}

void mt19937_permutation(Mt19937 *g, int64_t *out, int64_t n)
{
    for (int64_t i = 0; i < n; i++) out[i] = i;
    const bool wide = n >= UINT32_MAX / 20; /* there torch thinks the bias of 32 bits too large */
    for (int64_t i = 0; i + 1 < n; i++) {
        uint64_t left = (uint64_t)(n - i);
        int64_t j = i + (int64_t)(wide ? mt19937_u64(g) % left : mt19937_u32(g) % left);
        int64_t swapped = out[i];
        out[i] = out[j];
        out[j] = swapped;
    }
}
