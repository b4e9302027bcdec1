/* One line a model_type, sorted. */
#ifndef HONE_MODELS_REGISTRY_H
#define HONE_MODELS_REGISTRY_H

#define MODELS(MODEL) MODEL(gemma2) MODEL(gpt2) MODEL(llama) MODEL(mistral) MODEL(qwen2) MODEL(qwen3)

#endif
