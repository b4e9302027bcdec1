/* The Mersenne Twister as torch's CPU generator uses it, so that orders and draws are the reference's, to the bit
 * (trainer_semantics: 2.1). Matsumoto & Nishimura 1998, MT19937. */
#ifndef HONE_DATA_RANDOM_H
#define HONE_DATA_RANDOM_H

#include <stdbool.h>
#include <stdint.h>

typedef struct Mt19937 {
    uint32_t state[624];
    int next; /* words of state already given */
    bool has_normal;
    double normal; /* the second of the last pair */
} Mt19937;

void mt19937_seed(Mt19937 *g, uint64_t seed); /* only the low 32 bits count */
uint32_t mt19937_u32(Mt19937 *g);
uint64_t mt19937_u64(Mt19937 *g); /* the first draw is the high word */
float mt19937_uniform(Mt19937 *g);  /* [0, 1) with 24 bits */
double mt19937_uniform64(Mt19937 *g); /* [0, 1) with 53 bits */
/* torch.normal's fill of a float32 tensor of n elements; equals torch within 2e-8 (it uses vector log and cos). */
void mt19937_normal(Mt19937 *g, float *out, int64_t n, double mean, double std);
/* torch.randperm(n). */
void mt19937_permutation(Mt19937 *g, int64_t *out, int64_t n);

#endif
