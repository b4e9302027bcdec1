/* The table of one instruction set, filled by its families on first use. */
#include <pthread.h>

#include "kernels/cpu/families.h"

const Kernels *VARIANT(kernels_table)(void);

static Kernels table;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void fill(void)
{
    table.name = "cpu/" VARIANT_NAME;
    table.dtypes = 1u << DTYPE_F32 | 1u << DTYPE_BF16 | 1u << DTYPE_F16;
#define FAMILY_INSTALLED(name) VARIANT(name##_install)(&table);
    FAMILIES(FAMILY_INSTALLED)
#undef FAMILY_INSTALLED
}

const Kernels *VARIANT(kernels_table)(void)
{
    pthread_once(&once, fill);
    return &table;
}
