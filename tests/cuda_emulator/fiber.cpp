/* fiber.h. AddressSanitizer is told of each switch, else it takes a fiber's stack for a wild one. */
#include "tests/cuda_emulator/fiber.h"

#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include <sys/mman.h>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/common_interface_defs.h>
#endif

namespace emu
{

static constexpr size_t GUARD_BYTES = 4096;
static void (*entry_point)();

#ifdef __SANITIZE_ADDRESS__
static const void *host_stack;
static size_t host_stack_bytes;
static Fiber *switched_from;

static void leave(Fiber *from, Fiber *to)
{
    switched_from = from;
    __sanitizer_start_switch_fiber(&from->sanitizer, to->stack ? to->stack + GUARD_BYTES : host_stack,
                                   to->stack ? STACK_BYTES : host_stack_bytes);
}

static void arrive(void *sanitizer)
{
    const void *stack;
    size_t bytes;
    __sanitizer_finish_switch_fiber(sanitizer, &stack, &bytes);
    if (switched_from && !switched_from->stack) host_stack = stack, host_stack_bytes = bytes;
}
#else
static void leave(Fiber *, Fiber *) {}
static void arrive(void *) {}
#endif

static void first_entry()
{
    arrive(nullptr);
    entry_point();
    abort();
}

static void map_stack(Fiber *f)
{
    void *memory = mmap(nullptr, GUARD_BYTES + STACK_BYTES, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
    if (memory == MAP_FAILED || mprotect(memory, GUARD_BYTES, PROT_NONE)) {
        perror("hone emulator: no memory for a fiber's stack");
        abort();
    }
    f->stack = static_cast<char *>(memory);
}

bool fiber_is_guard(const Fiber *f, const void *address)
{
    const char *p = static_cast<const char *>(address);
    return f->stack && p >= f->stack && p < f->stack + GUARD_BYTES;
}

#ifndef EMU_UCONTEXT
extern "C" void emu_switch_stacks(void **from, void *to);
asm(".text\n"
    ".globl emu_switch_stacks\n"
    ".hidden emu_switch_stacks\n"
    ".type emu_switch_stacks, @function\n"
    "emu_switch_stacks:\n"
    "    push %rbp\n"
    "    push %rbx\n"
    "    push %r12\n"
    "    push %r13\n"
    "    push %r14\n"
    "    push %r15\n"
    "    mov %rsp, (%rdi)\n"
    "    mov %rsi, %rsp\n"
    "    pop %r15\n"
    "    pop %r14\n"
    "    pop %r13\n"
    "    pop %r12\n"
    "    pop %rbx\n"
    "    pop %rbp\n"
    "    ret\n"
    ".size emu_switch_stacks, . - emu_switch_stacks\n");

void fiber_prepare(Fiber *f, void (*entry)())
{
    map_stack(f);
    entry_point = entry;
    /* What emu_switch_stacks takes off: six registers, then first_entry as the place to return to, and above that a
     * return address for it, so that its stack is aligned as after a call. */
    uintptr_t *top = reinterpret_cast<uintptr_t *>(f->stack + GUARD_BYTES + STACK_BYTES);
    *--top = 0;
    *--top = reinterpret_cast<uintptr_t>(first_entry);
    for (int i = 0; i < 6; i++) *--top = 0;
    f->pointer = top;
}

void fiber_switch(Fiber *from, Fiber *to)
{
    leave(from, to);
    emu_switch_stacks(&from->pointer, to->pointer);
    arrive(from->sanitizer);
}
#else
void fiber_prepare(Fiber *f, void (*entry)())
{
    map_stack(f);
    entry_point = entry;
    getcontext(&f->context);
    f->context.uc_stack.ss_sp = f->stack + GUARD_BYTES;
    f->context.uc_stack.ss_size = STACK_BYTES;
    f->context.uc_link = nullptr;
    makecontext(&f->context, first_entry, 0);
}

void fiber_switch(Fiber *from, Fiber *to)
{
    leave(from, to);
    swapcontext(&from->context, &to->context);
    arrive(from->sanitizer);
}
#endif

} // namespace emu
