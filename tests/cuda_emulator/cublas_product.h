/* A product of the emulated cuBLASLt: cublas.cpp, which has its interface, asks cublas_product.cpp, which computes. */
#ifndef TESTS_CUDA_EMULATOR_CUBLAS_PRODUCT_H
#define TESTS_CUDA_EMULATOR_CUBLAS_PRODUCT_H

#include <cstddef>
#include <cstdint>

#include <cublasLt.h>

namespace emu
{

/* Of an epilogue: its bits. */
enum { GELU = CUBLASLT_EPILOGUE_GELU, AUX = 128, BIAS = CUBLASLT_EPILOGUE_BIAS, DEFAULT = CUBLASLT_EPILOGUE_DEFAULT };

struct Operation {
    bool tf32;
    cublasOperation_t trans_a, trans_b;
    uint32_t epilogue;
    const void *bias;
    void *aux;
    int64_t aux_stride;
};

struct Layout {
    cudaDataType type;
    uint64_t rows, cols;
    int64_t stride;
};

struct Product {
    Operation operation;
    Layout a, b, c;
    const void *a_data, *b_data;
    void *c_data;
    float alpha, beta;
    int64_t m, n, k;
};

size_t bytes_of(cudaDataType type);
void multiply(const Product &p); /* the device is open */

} // namespace emu

#endif
