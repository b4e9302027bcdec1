/* The table that types.h's list makes. */
#include "optim/types.h"

#include <string.h>

const OptimizerType *optimizer_type_find(const char *name)
{
#define ENTRY(type, key) {key, &optimizer_##type},
    static const struct { const char *key; const OptimizerType *type; } table[] = {OPTIMIZERS(ENTRY)};
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (strcmp(table[i].key, name) == 0) return table[i].type;
    return NULL;
}
