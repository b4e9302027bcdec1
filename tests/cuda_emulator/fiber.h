/* Fibers: stacks that code can be suspended on. Switching saves the callee-saved registers and the stack pointer (16 ns
 * on x86-64); elsewhere it is ucontext's (0.8 us). */
#ifndef TESTS_CUDA_EMULATOR_FIBER_H
#define TESTS_CUDA_EMULATOR_FIBER_H

#include <cstddef>

#ifndef __x86_64__
#define EMU_UCONTEXT /* or by hand, to test it */
#endif

#ifdef EMU_UCONTEXT
#include <ucontext.h>
#endif

namespace emu
{

#if defined(__SANITIZE_ADDRESS__)
constexpr size_t STACK_BYTES = 512 << 10;
#else
constexpr size_t STACK_BYTES = 64 << 10;
#endif

struct Fiber {
    char *stack = nullptr; /* NULL: the caller's own, where the scheduler runs */
    void *pointer = nullptr;
    void *sanitizer = nullptr;
#ifdef EMU_UCONTEXT
    ucontext_t context;
#endif
};

/* A stack with a guard page below; `entry` runs when it is first switched to, and may not return. */
void fiber_prepare(Fiber *f, void (*entry)());
void fiber_switch(Fiber *from, Fiber *to);
bool fiber_is_guard(const Fiber *f, const void *address);

} // namespace emu

#endif
