/* Names of the code that is compiled once per instruction set (the files of kernels/cpu; cmake/rooms.cmake).
 * Everything in those files is static but what VARIANT names, so the linker cannot mix the sets. */
#ifndef HONE_KERNELS_VARIANT_H
#define HONE_KERNELS_VARIANT_H

#ifndef HONE_ISA_NAME
#error "kernels/variant.h is for kernels/cpu, which is compiled with HONE_ISA_NAME=base|avx2|avx512"
#endif

#define VARIANT_PASTE_(name, isa) name##_##isa
#define VARIANT_PASTE(name, isa) VARIANT_PASTE_(name, isa)
#define VARIANT(name) VARIANT_PASTE(name, HONE_ISA_NAME) /* layer_norm_install_avx2 */

#define VARIANT_STRING_(isa) #isa
#define VARIANT_STRING(isa) VARIANT_STRING_(isa)
#define VARIANT_NAME VARIANT_STRING(HONE_ISA_NAME) /* "avx2" */

#endif
