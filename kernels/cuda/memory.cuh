/* Device memory of one stream, in the order of its work (memory.cu). */
#ifndef HONE_KERNELS_CUDA_MEMORY_CUH
#define HONE_KERNELS_CUDA_MEMORY_CUH

#include "kernels/cuda/launch.cuh"

/* At least `bytes`, aligned to 256; NULL: none left, and cuda_memory_failure() says more. What is given back may still
 * be used by work that is queued on the stream: whoever gets it next comes behind. Another stream that uses it has to
 * be waited for by this one before it is given back. The queueing thread alone. */
void *cuda_take(Stream *s, size_t bytes);
void cuda_give(Stream *s, void *memory); /* NULL is fine */
void cuda_trim(Stream *s);               /* what nobody has goes back to the device; waits */
void cuda_memory_free(CudaStream *s);    /* all of it; the stream has been waited for */
StreamMemory cuda_memory(Stream *s);
const char *cuda_memory_failure(Stream *s); /* ": cuda:0: asked for 3.0 MB, …" behind a NULL of cuda_take */

#endif
