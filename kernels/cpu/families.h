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
    FAMILY(low_copy)      \
    FAMILY(reduce)        \
    FAMILY(rms_norm)      \
    FAMILY(rope)          \
    FAMILY(scatter)       \
    FAMILY(sgd)

#define FAMILY_DECLARED(name) void VARIANT(name##_install)(Kernels *k);
FAMILIES(FAMILY_DECLARED)
#undef FAMILY_DECLARED

/* What families lend each other, for the calling thread alone (inside a task). */
/* activation.c: y = act(pre), n elements; y may be pre. linear.c does it to a finished tile while it is in cache. */
void VARIANT(activation_span)(float *y, const float *pre, int64_t n, Activation act);

/* convert.c: y = x in bf16 or f16, to nearest. */
void VARIANT(convert_narrow)(Dtype to, uint16_t *y, const float *x, int64_t n);

/* low_copy.c: elements [i, i + n) of a pass, from w + i; i is a multiple of 4. Optimizers do it to what they have just
 * written, while it is in cache. */
void VARIANT(low_copy_span)(const LowCopy *low, const float *w, int64_t i, int64_t n);

/* On the stream, as fill_zero of the table. */
void VARIANT(basic_zero)(Stream *s, void *y, size_t bytes);

#endif
