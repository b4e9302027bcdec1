/* Low-rank adapters beside frozen linear layers (Hu et al. 2021): y = x W + (alpha / r) (x A^T) B^T, with A [r, in] and
 * B [out, r]; rank-stabilized with alpha / sqrt(r) (Kalajdzievski 2023). Which layers get one is decided as PEFT 0.21
 * does.
 *
 * A LoraSet hangs on the Parameters before a model declares its layers; the layers ask it. Parameters are named as PEFT
 * does inside: "<module>.lora_A.<adapter>.weight". */
#ifndef HONE_NN_LORA_H
#define HONE_NN_LORA_H

#include "kernels/kernels.h"
#include "trainer/tensor/parameter.h"

typedef struct LoraNames {
    const char *const *items;
    int count;
} LoraNames;

/* A value for some modules: PEFT's rank_pattern and alpha_pattern. */
typedef struct LoraException {
    const char *pattern;
    double value;
} LoraException;

/* One adapter; everything is borrowed. */
typedef struct LoraConfig {
    const char *name;           /* "default" */
    const char *dir;            /* where its weights lie; NULL: they are drawn */
    int64_t r;
    double alpha, dropout;      /* dropout: of the adapter's input */
    bool rank_stabilized;
    bool all_linear;            /* every linear layer but the head */
    const char *target_pattern; /* a regular expression for whole names of modules; NULL: the names below */
    LoraNames targets;          /* names of modules, or how they end; none of all these: the type's usual ones */
    const char *exclude_pattern;
    LoraNames excludes;
    LoraNames modules_to_save;  /* trained whole */
    const int64_t *layers;      /* layers_to_transform: numbers of layers, with targets; NULL: all */
    int num_layers;
    LoraNames layers_pattern;   /* what lies before the number; none: anything */
    const LoraException *ranks, *alphas;
    int num_ranks, num_alphas;
    bool gaussian;              /* init_lora_weights: A normal with deviation 1/r, instead of uniform in 1/sqrt(in) */
    bool lenient;               /* it comes from a file: names that fit nothing are passed over, as PEFT does */
    bool random_b;              /* init_lora_weights: false: B is not 0 at first */
} LoraConfig;

/* One adapter of one linear layer. */
typedef struct Lora {
    Parameter *a, *b;
    float scale, dropout;
} Lora;

/* A linear layer, whether it has adapters or not. */
typedef struct LoraModule {
    const char *name;
    Parameter *weight;
    WeightLayout layout;
    const Lora *loras;
    int count;
} LoraModule;

/* The adapters of a model; `name` is each one's own. The rest is what declarations found. */
typedef struct LoraSet {
    const LoraConfig *configs;
    int count;
    uint64_t seed;        /* of those that are drawn */
    LoraNames usual;      /* the model type's targets */
    Arena *arena;         /* of the lists below */
    LoraModule *modules;  /* linear layers that there are */
    size_t num_modules, capacity;
    int *layers;          /* [count] layers that each adapter has */
    bool **used;          /* [count][targets] the name fits a module */
    bool **saved;         /* [count][modules_to_save] likewise */
    const char *refused;  /* a module that was named and can have none; why_refused says why */
    const char *why_refused;
    Status error;
} LoraSet;

/* For memory only. configs borrowed. */
Status lora_set_init(LoraSet *set, Arena *arena, const LoraConfig *configs, int count);
/* Whether some adapter trains this module whole. */
bool lora_saves(const LoraSet *set, const char *module);
/* Declares the adapters of a linear layer [out, in] (by layout); *loras [*count] in the parameters' arena. */
void lora_declare(Parameters *ps, const char *module, Parameter *weight, WeightLayout layout, const Lora **loras,
                  int *count);
/* The module is none that can have an adapter: one that is named all the same is refused with `why`. */
void lora_refuse(Parameters *ps, const char *module, const char *why);
/* After all declarations: what was named and is not there is an error that lists what is. */
Status lora_check(const LoraSet *set, const char *where);

#endif
