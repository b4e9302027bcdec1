/* Between config.json and the keys of a GGUF file. */
#ifndef HONE_GGUF_CONFIG_H
#define HONE_GGUF_CONFIG_H

#include "trainer/gguf/gguf.h"
#include "trainer/gguf/write.h"
#include "trainer/models/gguf_names.h"

/* A small tensor of the file that no parameter is. */
typedef struct GgufExtra {
    const char *name;
    int64_t count;
    const float *data;
} GgufExtra;
typedef struct GgufExtras {
    GgufExtra items[2];
    int count;
} GgufExtras;

/* What the file's model is called here: its names and type. What hone lacks is refused with the list. */
Status gguf_model_of(const Gguf *g, Arena *arena, const ModelGguf **names, const ModelType **type);
/* Without dtype. Free with cJSON_Delete. */
Status gguf_config_read(const Gguf *g, Arena *arena, const ModelGguf *names, const ModelType *type, cJSON **out);
/* What GGUF has no place for is refused. extras: in arena. */
Status gguf_config_write(const cJSON *config, const char *where, const ModelGguf *names, Arena *arena, GgufWriter *w,
                         GgufExtras *extras);
bool gguf_is_extra(const char *tensor); /* a tensor that is no parameter, and understood */

/* rope.*; head_dim: of the config, or 0. */
Status gguf_rope_read(const Gguf *g, const char *architecture, int64_t head_dim, int64_t max_positions, cJSON *config);
Status gguf_rope_write(const cJSON *config, const char *where, const char *architecture, int64_t head_dim,
                       Arena *arena, GgufWriter *w, GgufExtras *extras);

/* The object gets value as `name`; NULL value: memory is out. */
Status json_put(cJSON *object, const char *name, cJSON *value);

#endif
