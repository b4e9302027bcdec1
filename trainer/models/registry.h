/* One line a model_type, sorted. */
#ifndef HONE_MODELS_REGISTRY_H
#define HONE_MODELS_REGISTRY_H

#define MODELS(MODEL) MODEL(gpt2)

#endif
