/* A CUDA device on the CPU, for tests: what its parts share. Kernels see device.h, programs the CUDA runtime API
 * (runtime.cpp).
 *
 * One OS thread at a time runs device work (a mutex in stream.cpp), block after block. A block's threads run one after
 * the other on one stack until one has to wait (a barrier, a warp operation); from then on each waiting thread is a
 * fiber of its own (fiber.h). The order of blocks and threads comes from a seed: a result that changes with it is a
 * race. Every bug that is found ends the process with a report; HONE_EMU_SEED shows it again. */
#ifndef TESTS_CUDA_EMULATOR_H
#define TESTS_CUDA_EMULATOR_H

#include <cstddef>
#include <cstdint>
#include <string>

#include <cuda_runtime.h>

#include "tests/cuda_emulator/pieces.h"

namespace emu
{

enum { WARP = 32, MOST_THREADS = 1024, MOST_WARPS = MOST_THREADS / WARP };

/* ---- seeds ------------------------------ */
/* 0: ascending orders, streams run at once; 1: streams run as late as they may; others: at random. From HONE_EMU_SEED,
 * else 2. */
void set_seed(uint64_t seed);
uint64_t seed();
uint64_t random_below(uint64_t n); /* of the emulator's own sequence; 0 where n is 0 */

/* i-th of 0 … n-1 in an order that a seed gives: multiplier and n have no common divisor. */
struct Order {
    uint64_t n, multiplier, offset;
    uint64_t at(uint64_t i) const { return multiplier == 1 && !offset ? i : (i * multiplier + offset) % n; }
};
Order order_of(uint64_t n);

/* ---- reports ------------------------------ */
/* Prints the bug with kernel, block and thread, where one runs, and aborts. */
[[noreturn]] void report(const char *format, ...) __attribute__((format(printf, 1, 2)));
std::string
symbol_name(const void *function); /* demangled, from the symbol table of its file; "?" where that has none */

/* ---- one block ------------------------------ */
enum class State : uint8_t { UNSTARTED, READY, BARRIER, WARP_WAIT, DONE };
enum class WarpOp : uint8_t {
    SYNC,
    SHFL_INDEX,
    SHFL_UP,
    SHFL_DOWN,
    SHFL_XOR,
    BALLOT,
    ADD,
    MIN,
    MAX,
    SIGNED_MIN,
    SIGNED_MAX,
    AND,
    OR,
    XOR,
    MATCH_ANY,
    MATCH_ALL,
    TOGETHER
};
enum class BarrierOp : uint8_t { SYNC, COUNT, AND, OR };

struct Fiber;

struct Thread {
    uint3 index; /* threadIdx */
    unsigned linear;
    State state;
    Fiber *fiber;
    const char *file; /* where it waits */
    int line;
    WarpOp op;
    BarrierOp barrier_op;
    unsigned mask;
    int argument, width; /* of a shuffle */
    uint64_t value, result;
    void (*together)(void *const *); /* of TOGETHER; `value` is this lane's argument */
    const char *together_name;
};

/* A kernel with its arguments. */
struct Kernel {
    virtual void run_thread() = 0;
    virtual ~Kernel() {}
};

struct Launch {
    Kernel *kernel;
    const void *function;
    dim3 grid, block;
    size_t shared_bytes, shared_limit; /* dynamic; static and dynamic together */
    uint64_t number;
    int device;
};

extern Thread *current; /* NULL: host code */
extern uint3 block_index;
extern dim3 block_dim, grid_dim;
extern const Launch *running;

void run_launch(const Launch *launch); /* all its blocks, now */
void run_block(Kernel *kernel, unsigned threads);

int barrier(BarrierOp op, int predicate, const char *file, int line);
uint64_t warp_operation(WarpOp op, unsigned mask, uint64_t value, int argument, int width, const char *file, int line);
/* Something that a whole warp does: when its 32 lanes have come, the function is called once with what each passed. */
void warp_together(void (*function)(void *const *lanes), void *lane, const char *name, const char *file, int line);
void copies_end(const Thread *t); /* t has returned and will wait for its asynchronous copies no more (tensor.cpp) */

/* ---- shared memory ------------------------------ */
/* One arena; arrays have guards between them and are poisoned when a block first asks for them. */
struct SharedSite {
    uint64_t epoch;
    size_t offset;
};
void *shared_array(SharedSite *site, size_t bytes, const char *name);
void *dynamic_shared_memory();
extern uint64_t block_epoch;
void shared_begin(const Launch *launch);
void shared_end(); /* checks the guards */

bool shared_has(const void *p);
std::string shared_describe(const void *p); /* which array, which byte */

/* ---- races ------------------------------ */
/* What the build that looks for races (races.cpp) wants to be told; NULL in all others. */
enum class AccessKind : uint8_t { READ, WRITE, ATOMIC };
struct RaceHooks {
    void (*block_begins)(unsigned threads); /* of `running` */
    void (*all_met)();                                /* at a barrier of the block */
    void (*lanes_met)(unsigned warp, unsigned lanes); /* at a __syncwarp */
    void (*access)(const void *p, size_t bytes, AccessKind kind, const void *pc);
};
extern const RaceHooks *race_hooks;
extern bool race_recording; /* else accesses are of no interest: asked first, as there are many */
/* For the emulator's own accesses in a kernel's name (asynchronous copies, matrix loads), which no compiler sees; the
 * thread is `current`. */
inline void note_access(const void *p, size_t bytes, AccessKind kind, const void *pc)
{
    if (race_recording) race_hooks->access(p, bytes, kind, pc);
}

/* ---- device memory ------------------------------ */
enum { MOST_DEVICES = 8 };
int device_count();
cudaError_t memory_allocate(int device, size_t bytes, void **memory);
void memory_free(int device, void *memory); /* reports what is no block */
void memory_unlock(int device);             /* until memory_lock, this thread may touch it */
void memory_lock(int device);
bool memory_is_device(const void *p, int *device);                      /* may be NULL */
void memory_check_range(const void *p, size_t bytes, const char *what); /* reports what does not lie in one block */
void memory_check_guards(int device, const char *culprit);
void memory_info(int device, size_t *free_bytes, size_t *total_bytes);
cudaError_t pinned_allocate(size_t bytes, void **memory);
bool pinned_free(void *memory);
bool memory_is_pinned(const void *p);
bool pinned_register(void *memory, size_t bytes); /* the caller's own memory; false: it is */
bool pinned_unregister(void *memory);
void fail_allocation_after(int n); /* the n-th from now fails, once; 0: none does */

/* Checks a kernel's pointer: NULL, of the calling thread's device, or pinned. */
void check_argument(const void *p, int number, const void *function);
size_t memory_blocks(int device); /* that are allocated now */
std::string memory_describe(const void *p); /* which block of which device, which byte */

/* ---- streams ------------------------------ */
cudaError_t enqueue_launch(Kernel *kernel, const void *function, dim3 grid, dim3 block, size_t shared_bytes,
                           cudaStream_t stream);
void set_error(cudaError_t error); /* as cudaGetLastError will say */

} // namespace emu

#endif
