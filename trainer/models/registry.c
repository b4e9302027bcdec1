/* The table that registry.h's list makes. */
#include "trainer/models/registry.h"

#include <string.h>

#include "trainer/models/model.h"

#define DECLARE(name) extern const ModelType model_##name;
MODELS(DECLARE)

const ModelType *model_type_find(const char *name)
{
#define ENTRY(name) &model_##name,
    static const ModelType *const types[] = {MODELS(ENTRY)};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (strcmp(types[i]->name, name) == 0) return types[i];
    return NULL;
}
