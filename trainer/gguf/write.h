/* Writing a GGUF file of version 3: keys first, then the list of tensors, then their data in that order. The file
 * appears under its name when it is finished. */
#ifndef HONE_GGUF_WRITE_H
#define HONE_GGUF_WRITE_H

#include "trainer/base/arena.h"
#include "trainer/gguf/gguf.h"

typedef struct GgufWriter GgufWriter;

Status gguf_writer_new(const char *path, GgufWriter **out);
void gguf_writer_free(GgufWriter *w); /* NULL is fine; what was not finished is removed */

/* Memory that is out is told by gguf_writer_begin. */
void gguf_put_int(GgufWriter *w, const char *key, int64_t value); /* u32 */
void gguf_put_real(GgufWriter *w, const char *key, double value); /* f32 */
void gguf_put_bool(GgufWriter *w, const char *key, bool value);
void gguf_put_text(GgufWriter *w, const char *key, const char *value);
void gguf_put_texts(GgufWriter *w, const char *key, const GgufString *values, size_t count);
void gguf_put_ints(GgufWriter *w, const char *key, const int32_t *values, size_t count);
void gguf_put_reals(GgufWriter *w, const char *key, const float *values, size_t count);

/* shape: slowest first. The name is copied. */
Status gguf_declare(GgufWriter *w, const char *name, const GgufType *type, int ndim, const int64_t *shape);
Status gguf_begin(GgufWriter *w); /* all keys and tensors are there */
/* The next n elements of the tensor that is due, whole blocks of its type. */
Status gguf_write(GgufWriter *w, const float *x, int64_t n);
Status gguf_finish(GgufWriter *w, uint64_t *size); /* every tensor is full */

#endif
