/* `hone --version`. */
#include <stdio.h>

#include "trainer/cli/cli.h"

void version_print(void) { printf("hone %s\n", HONE_VERSION); }
