/* What compilers call with -fsanitize=thread, so that races.cpp hears of each access. Function entries, virtual tables
 * and host code's atomics are of no interest. */
#include <cstddef>
#include <cstdint>

#include "tests/cuda_emulator/emulator.h"

/* ---- what the compilers call ------------------------------ */
using emu::AccessKind;
#define PC __builtin_return_address(0)
#define CALLBACK extern "C" __attribute__((used, visibility("default")))
#define SIZED(bytes)                                                                                                   \
    CALLBACK void __tsan_read##bytes(void *p) { emu::note_access(p, bytes, AccessKind::READ, PC); }                    \
    CALLBACK void __tsan_write##bytes(void *p) { emu::note_access(p, bytes, AccessKind::WRITE, PC); }                  \
    CALLBACK void __tsan_volatile_read##bytes(void *p) { emu::note_access(p, bytes, AccessKind::READ, PC); }           \
    CALLBACK void __tsan_volatile_write##bytes(void *p) { emu::note_access(p, bytes, AccessKind::WRITE, PC); }         \
    CALLBACK void __tsan_unaligned_read##bytes(void *p) { emu::note_access(p, bytes, AccessKind::READ, PC); }          \
    CALLBACK void __tsan_unaligned_write##bytes(void *p) { emu::note_access(p, bytes, AccessKind::WRITE, PC); }        \
    CALLBACK void __tsan_read_write##bytes(void *p) { emu::note_access(p, bytes, AccessKind::WRITE, PC); }             \
    CALLBACK void __tsan_unaligned_read_write##bytes(void *p) { emu::note_access(p, bytes, AccessKind::WRITE, PC); }
CALLBACK void __tsan_init() {}
CALLBACK void __tsan_func_entry(void *) {}
CALLBACK void __tsan_func_exit() {}
CALLBACK void __tsan_vptr_update(void **, void *) {}
CALLBACK void __tsan_vptr_read(void **) {}
SIZED(1)
SIZED(2)
SIZED(4)
SIZED(8)
SIZED(16)
CALLBACK void __tsan_read_range(void *p, size_t bytes) { emu::note_access(p, bytes, AccessKind::READ, PC); }
CALLBACK void __tsan_write_range(void *p, size_t bytes) { emu::note_access(p, bytes, AccessKind::WRITE, PC); }
/* Host code beside the kernels has atomics (a static's guard, the stream's flag); kernels have their own functions. */
#define ATOMIC(bits)                                                                                                   \
    CALLBACK int##bits##_t __tsan_atomic##bits##_load(const volatile int##bits##_t *p, int)                            \
    {                                                                                                                  \
        return __atomic_load_n(p, __ATOMIC_SEQ_CST);                                                                   \
    }                                                                                                                  \
    CALLBACK void __tsan_atomic##bits##_store(volatile int##bits##_t *p, int##bits##_t x, int)                         \
    {                                                                                                                  \
        __atomic_store_n(p, x, __ATOMIC_SEQ_CST);                                                                      \
    }                                                                                                                  \
    CALLBACK int##bits##_t __tsan_atomic##bits##_exchange(volatile int##bits##_t *p, int##bits##_t x, int)             \
    {                                                                                                                  \
        return __atomic_exchange_n(p, x, __ATOMIC_SEQ_CST);                                                            \
    }                                                                                                                  \
    CALLBACK int##bits##_t __tsan_atomic##bits##_fetch_add(volatile int##bits##_t *p, int##bits##_t x, int)            \
    {                                                                                                                  \
        return __atomic_fetch_add(p, x, __ATOMIC_SEQ_CST);                                                             \
    }                                                                                                                  \
    CALLBACK int __tsan_atomic##bits##_compare_exchange_strong(volatile int##bits##_t *p, int##bits##_t *expected,     \
                                                               int##bits##_t x, int, int)                              \
    {                                                                                                                  \
        return __atomic_compare_exchange_n(p, expected, x, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);                 \
    }
ATOMIC(8)
ATOMIC(16)
ATOMIC(32)
ATOMIC(64)
CALLBACK void __tsan_atomic_thread_fence(int) { __atomic_thread_fence(__ATOMIC_SEQ_CST); }
