/* Functions of headers that C and CUDA share. */
#ifndef HONE_KERNELS_ANYWHERE_H
#define HONE_KERNELS_ANYWHERE_H

#ifdef __CUDACC__
#define ANYWHERE static inline __host__ __device__
#else
#define ANYWHERE static inline
#endif

#endif
