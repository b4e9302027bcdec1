/* Whole models between a GGUF file and a model directory, tensor by tensor: memory holds one part of one tensor. */
#ifndef HONE_GGUF_CONVERT_H
#define HONE_GGUF_CONVERT_H

#include "kernels/threads.h"
#include "trainer/models/gguf_names.h"

typedef struct GgufOptions {
    const char *dtype;   /* of the directory: float32, bfloat16, float16; NULL: the file's, quantized ones float32 */
    const char *outtype; /* of the file: f32, f16, bf16, q8_0; NULL: the directory's */
    const char *pre;     /* how a byte-level tokenizer splits (tokenizer.ggml.pre); NULL: what the model says */
    bool overwrite;
    Threads *threads; /* borrowed; NULL: the caller alone */
} GgufOptions;

typedef struct GgufReport {
    const char *model_type, *types; /* types: "Q4_1 210, F32 61": of the file's tensors; in arena */
    const char *dtype;              /* of the directory's, or of the file's matrices */
    size_t tensors;
    int64_t parameters;
    uint64_t bytes; /* written, of tensors */
} GgufReport;

/* What the other format cannot hold, or hone lacks, is refused by name. Nothing is left behind on failure. */
Status gguf_to_directory(const char *path, const char *dir, const GgufOptions *options, Arena *arena,
                         GgufReport *report);
Status gguf_from_directory(const char *dir, const char *path, const GgufOptions *options, Arena *arena,
                           GgufReport *report);

#endif
