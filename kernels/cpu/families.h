/* The families of CPU kernels. A file cpu/NAME.c defines VARIANT(NAME_install), which puts its functions into the
 * table; a new one is a line here. */
#ifndef HONE_KERNELS_CPU_FAMILIES_H
#define HONE_KERNELS_CPU_FAMILIES_H

#include "kernels/kernels.h"
#include "kernels/variant.h"

#define FAMILIES(FAMILY)  \
    FAMILY(activation)    \
    FAMILY(adamw)         \
    FAMILY(attention)     \
    FAMILY(basic)         \
    FAMILY(convert)       \
    FAMILY(cross_entropy) \
    FAMILY(dropout)       \
    FAMILY(embedding)     \
    FAMILY(gated)         \
    FAMILY(layer_norm)    \
    FAMILY(linear)        \
    FAMILY(reduce)        \
    FAMILY(rms_norm)      \
    FAMILY(rope)          \
    FAMILY(sgd)

#define FAMILY_DECLARED(name) void VARIANT(name##_install)(Kernels *k);
FAMILIES(FAMILY_DECLARED)
#undef FAMILY_DECLARED

/* What families lend each other, for the calling thread alone (inside a task). */
/* activation.c: y = act(pre), n elements; y may be pre. linear.c does it to a finished tile while it is in cache. */
void VARIANT(activation_span)(float *y, const float *pre, int64_t n, Activation act);

/* On the stream, as fill_zero of the table. */
void VARIANT(basic_zero)(Stream *s, void *y, size_t bytes);

#endif
