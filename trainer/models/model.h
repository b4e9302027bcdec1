/* Models by their config.json: one file and one registry line for each model_type.
 *
 *     model_new(config, "dir/config.json", &m)      declares the parameters
 *     parameters_bind(&m->params, weights, grads)   memory is the caller's
 *     model_load(m, dir) or model_draw(m, seed)
 *     hidden = model_forward(t, m, batch)           [T, hidden_size], to be multiplied with m->head */
#ifndef HONE_MODELS_MODEL_H
#define HONE_MODELS_MODEL_H

#include "trainer/base/file.h"
#include "trainer/base/json.h"
#include "trainer/checkpoint/safetensors.h"
#include "trainer/nn/layers.h"

typedef struct Model Model;

/* A key of a type's config that config_overrides may set, whether or not it changes anything here. */
typedef enum SettingType {
    SETTING_BOOL,
    SETTING_INT,
    SETTING_INT_OR_NULL,
    SETTING_REAL,
    SETTING_TEXT,
    SETTING_TEXT_OR_NULL,
    SETTING_FIXED /* known, and not to be set so */
} SettingType;
typedef struct ModelSetting {
    const char *name;
    SettingType type;
    const char *stands_for; /* another name of this one (transformers' attribute_map); NULL: a name of its own */
} ModelSetting;

typedef struct ModelType {
    const char *name;         /* config.json's model_type */
    const char *architecture; /* the class with a language model's head */
    size_t bytes;             /* of its own struct, which begins with Model */
    /* Reads m->config (where: its path), declares parameters in the reference's order, fills in the sizes. What it
     * cannot honour is refused. */
    Status (*declare)(Model *m, const char *where);
    Tensor *(*forward)(Tape *t, const Model *m, const Batch *batch); /* the final hidden states */
    void (*close)(Model *m);        /* what it holds beside the arena; NULL: nothing */
    const char *prefix;             /* names may lack it in old files */
    const char *const *ignored;     /* ends of names of buffers in old files, NULL-terminated */
    const char *const *lora_targets; /* layers that an adapter is for if it names none (PEFT's list), NULL-terminated */
    const ModelSetting *settings;   /* of its config, besides those of all types; ends with a NULL name */
    bool positions_end;     /* positions have an embedding each: there is none beyond the last */
    bool counts_all_labels; /* the Hugging Face Trainer counts a sequence's first label too (trainer_semantics.md, 4) */
} ModelType;

struct FrozenWeights;

struct Model {
    const ModelType *type;
    Arena *arena;
    cJSON *config;
    Parameters params;
    struct FrozenWeights *frozen; /* beside adapters: the memory of what does not train */
    Threads *threads; /* borrowed: read the weights; NULL: the caller alone */
    Parameter *head; /* [vocab_size, hidden_size]; the embedding itself when tied */
    bool untied;     /* it would be tied by the config, and an adapter trains one of the two */
    float logit_softcap; /* > 0: logits become cap * tanh(logits / cap) */
    int64_t vocab_size, hidden_size, num_layers, max_positions, kv_width /* keys' width, for the cache */;
};

/* Takes the config over (also when it fails). A model_type that hone lacks is refused with the list of what there is.
 */
Status model_new(cJSON *config, const char *where, Model **out);
/* The same with adapters beside its layers (borrowed; NULL: none): all else is frozen. */
Status model_new_adapted(cJSON *config, const char *where, LoraSet *adapters, Model **out);
/* config.json of a model directory. */
Status model_config_read(const char *dir, cJSON **out);
/* A config of the type's defaults with "k=v,k=v" changed: training from scratch. A key that the type does not have is
 * refused with the nearest one, a value that is not of the key's type with what it must be. */
Status model_config_make(const char *model_type, const char *overrides, cJSON **out);
void model_free(Model *m);
/* Every parameter by its name, converted to f32; what is missing, unexpected or of a wrong shape is listed whole in one
 * error. Beside adapters: those that train, and the adapters from their own directories or drawn. */
Status model_load(Model *m, const char *path);
void model_draw(Model *m, uint64_t seed); /* those that train */
/* What is frozen, where the stream's kernels work: matrices in the file's dtype (f64: f32), on the CPU as views of the
 * file, which stays open and which the ranks of a host share; or all of them in the dtype `as` (DTYPE_COUNT: the
 * file's). Vectors in f32. Nothing is frozen: nothing is done. Lives until model_free, which then comes before the
 * stream's end. */
Status model_freeze(Model *m, const Kernels *k, Stream *s, const char *path, Dtype as);
/* Of some of the frozen numbers: differs where ranks have different models. */
uint64_t model_frozen_hash(const Model *m);
/* Either, where the stream's kernels work: memory for the weights is taken there (release it with stream_release) and
 * bound, without gradients; what is frozen, too. path NULL: drawn. */
Status model_place(Model *m, const Kernels *k, Stream *s, const char *path, uint64_t seed, float **weights);
Tensor *model_forward(Tape *t, const Model *m, const Batch *batch);
/* The config to be saved beside the weights: what was read, with architectures and dtype as they now are. Free with
 * cJSON_Delete. */
cJSON *model_config_out(const Model *m);
int64_t model_most_positions(const Model *m); /* that a text can have; INT32_MAX where there is no end */
int64_t model_flos_parameters(const Model *m); /* without embeddings: total_flos counts 6 a token for each */

/* For declarations: m->head, which is the embedding where they are tied. */
void model_declare_head(Model *m, const Embedding *embedding, bool tied, float std);

const ModelType *model_type_find(const char *name); /* NULL: hone lacks it */

/* Reads one activation by its name in the config. */
Status config_activation(const cJSON *config, const char *where, const char *key, const char *fallback,
                         Activation *out);
Status config_positive(const cJSON *config, const char *where, const char *key, int64_t fallback, int64_t *out);

#endif
