/* What the files of this room that read weights share. */
#ifndef HONE_MODELS_FROZEN_H
#define HONE_MODELS_FROZEN_H

#include "trainer/models/model.h"

/* Opens a model's files and checks that they are this model's: every problem is listed in one error. */
Status model_store_open(const Model *m, const char *path, TensorStore **out);
/* The tensor that a parameter is read from; NULL: the file has none. */
const TensorInfo *model_tensor(const Model *m, const TensorStore *store, const Parameter *p);
/* Memory of the stream that lives as long. */
Status model_frozen_memory(Model *m, size_t bytes, void **out);
void model_thaw(Model *m); /* gives the memory of what is frozen back */

#endif
