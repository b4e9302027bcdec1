/* The families of CUDA kernels. A file cuda/NAME.cu defines cuda_NAME_install, which puts its functions into the table;
 * a new one is a line here. */
#ifndef HONE_KERNELS_CUDA_FAMILIES_H
#define HONE_KERNELS_CUDA_FAMILIES_H

#include "kernels/cuda/launch.cuh"

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

#define FAMILY_DECLARED(name) void cuda_##name##_install(Kernels *k);
FAMILIES(FAMILY_DECLARED)
#undef FAMILY_DECLARED

/* What families lend each other. activation.cu: as of the table. */
void cuda_activation_forward(Stream *s, Dtype dtype, void *y, const void *pre, int64_t n, Activation act);

#endif
