/* Work is queued and run at a moment that the seed chooses, at the latest when a synchronisation orders it: which
 * streams get on in between is random too, so that a missing event or synchronise shows as a wrong result for some
 * seed. */
#include "tests/cuda_emulator/stream.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>

#include <unistd.h>

namespace emu
{

std::recursive_mutex mutex;
thread_local int current_device;

/* [0] of each: the default stream. Never freed: work may be queued until the process ends. */
static std::vector<cudaStream_t> (&streams)[MOST_DEVICES] =
    *reinterpret_cast<std::vector<cudaStream_t> (*)[MOST_DEVICES]>(new std::vector<cudaStream_t>[MOST_DEVICES]);
static std::map<const void *, size_t> shared_limits;
static uint64_t launches;
static int streams_made;

static cudaStream_t default_stream(int device)
{
    if (streams[device].empty()) streams[device].push_back(new CUstream_st{device, 0, true, {}});
    return streams[device][0];
}

cudaStream_t stream_of(cudaStream_t stream)
{
    return !stream || stream == cudaStreamLegacy || stream == cudaStreamPerThread ? default_stream(current_device)
                                                                                  : stream;
}

cudaStream_t stream_create(bool blocking)
{
    default_stream(current_device);
    cudaStream_t s = new CUstream_st{current_device, ++streams_made, blocking, {}};
    streams[current_device].push_back(s);
    return s;
}

void stream_destroy(cudaStream_t stream)
{
    run_stream(stream);
    std::vector<cudaStream_t> &all = streams[stream->device];
    for (size_t i = 0; i < all.size(); i++)
        if (all[i] == stream) all.erase(all.begin() + (ptrdiff_t)i--);
    delete stream;
}

/* ---- running ------------------------------ */
static void log_line(cudaStream_t stream, const std::string &text)
{
    static const char *const path = getenv("HONE_EMU_LOG");
    if (!path) return;
    FILE *f = fopen(path, "a");
    if (!f) report("HONE_EMU_LOG: cannot write %s", path);
    fprintf(f, "cuda:%d stream %d %s\n", stream->device, stream->number, text.c_str());
    fclose(f);
}

static void log_launch(const Launch *l, cudaStream_t stream)
{
    char sizes[160];
    snprintf(sizes, sizeof sizes, " grid %u,%u,%u block %u,%u,%u shared %zu", l->grid.x, l->grid.y, l->grid.z,
             l->block.x, l->block.y, l->block.z, l->shared_bytes);
    log_line(stream, symbol_name(l->function) + sizes);
}

void run_launch(const Launch *l)
{
    uint64_t blocks = (uint64_t)l->grid.x * l->grid.y * l->grid.z;
    Order order = order_of(blocks);
    running = l;
    grid_dim = l->grid, block_dim = l->block;
    for (uint64_t i = 0; i < blocks; i++) {
        uint64_t b = order.at(i);
        block_index = make_uint3((unsigned)(b % l->grid.x), (unsigned)(b / l->grid.x % l->grid.y),
                                 (unsigned)(b / l->grid.x / l->grid.y));
        shared_begin(l);
        run_block(l->kernel, l->block.x * l->block.y * l->block.z);
        shared_end();
    }
    current = nullptr;
    memory_check_guards(l->device, "the kernel");
    running = nullptr;
}

static bool is_ready(cudaStream_t s)
{
    const Op &op = s->queue.front();
    if (op.kind == OpKind::COLLECTIVE) return op.gets_on();
    return op.kind != OpKind::WAIT || op.generations->done >= op.generation;
}

/* The device is unlocked. */
static void run_first(cudaStream_t s)
{
    Op op = std::move(s->queue.front());
    s->queue.pop_front();
    switch (op.kind) {
    case OpKind::LAUNCH:
        log_launch(&op.launch, s);
        op.launch.kernel = op.kernel.get();
        run_launch(&op.launch);
        break;
    case OpKind::COPY:
        if (memory_is_device(op.to, nullptr)) memory_check_range(op.to, op.bytes, "copy to the device");
        if (op.staged.empty() && memory_is_device(op.from, nullptr))
            memory_check_range(op.from, op.bytes, "copy from the device");
        if (op.bytes) memmove(op.to, op.staged.empty() ? op.from : op.staged.data(), op.bytes);
        break;
    case OpKind::SET:
        memory_check_range(op.to, op.bytes, "cudaMemset");
        memset(op.to, op.value, op.bytes);
        break;
    case OpKind::RECORD:
        op.generations->done = op.generation;
        break;
    case OpKind::WAIT:
        break;
    case OpKind::HOST:
        memory_lock(s->device);
        op.function(op.argument);
        memory_unlock(s->device);
        break;
    case OpKind::LIBRARY:
        if (!op.name.empty()) log_line(s, op.name);
        op.library();
        if (!op.name.empty()) memory_check_guards(s->device, op.name.c_str());
        break;
    case OpKind::COLLECTIVE:
        log_line(s, op.name);
        break;
    case OpKind::FREE:
        memory_free(s->device, op.to);
        break;
    }
}

/* The stream that will record it. */
static cudaStream_t recorder_of(const CUevent_st::Generations *generations, uint64_t generation)
{
    for (auto &list : streams)
        for (cudaStream_t s : list)
            for (const Op &op : s->queue)
                if (op.kind == OpKind::RECORD && op.generations.get() == generations && op.generation <= generation)
                    return s;
    report("streams: a wait for an event that nothing will record");
}

/* What s waits for, through events of other streams, until s itself can go on. */
static cudaStream_t first_ready_for(cudaStream_t s)
{
    while (!is_ready(s)) {
        const Op &op = s->queue.front();
        if (op.kind == OpKind::COLLECTIVE)
            usleep(50); /* other ranks' turn */
        else
            s = recorder_of(op.generations.get(), op.generation);
    }
    return s;
}

static void run_some_other()
{
    for (uint64_t tries = random_below(3); tries; tries--) {
        std::vector<cudaStream_t> &list = streams[random_below((uint64_t)device_count())];
        if (list.empty()) continue;
        cudaStream_t s = list[random_below(list.size())];
        if (s->queue.empty() || !is_ready(s)) continue;
        memory_unlock(s->device);
        run_first(s);
        memory_lock(s->device);
    }
}

static void run_until_empty(cudaStream_t s)
{
    memory_unlock(s->device);
    while (!s->queue.empty()) {
        if (seed() > 1) run_some_other();
        if (s->queue.empty()) break;
        cudaStream_t next = first_ready_for(s);
        if (next->device != s->device) memory_unlock(next->device);
        run_first(next);
        if (next->device != s->device) memory_lock(next->device);
    }
    memory_lock(s->device);
}

void run_stream(cudaStream_t s)
{
    if (!s->queue.empty()) run_until_empty(s);
}

void run_device(int device)
{
    std::vector<cudaStream_t> list = streams[device];
    for (uint64_t i = 0, n = list.size(), first = random_below(n); i < n; i++) run_stream(list[(first + i) % n]);
}

void run_event(const CUevent_st::Generations *generations, uint64_t generation)
{
    while (generations->done < generation) { /* only what comes before it */
        cudaStream_t next = first_ready_for(recorder_of(generations, generation));
        memory_unlock(next->device);
        run_first(next);
        memory_lock(next->device);
    }
}

bool stream_is_idle(cudaStream_t s)
{
    if (seed() > 1) run_some_other();
    return s->queue.empty();
}

void enqueue(cudaStream_t s, Op op)
{
    bool is_default = s->number == 0;
    if (is_default) /* waits for all blocking streams */
        for (cudaStream_t o : std::vector<cudaStream_t>(streams[s->device]))
            if (o != s && o->blocking) run_stream(o);
    s->queue.push_back(std::move(op));
    if (is_default || !seed())
        run_stream(s);
    else if (seed() > 1 && !random_below(4))
        run_some_other();
}

/* ---- launches ------------------------------ */
size_t shared_limit_of(const void *function)
{
    auto it = shared_limits.find(function);
    return it == shared_limits.end() ? (size_t)SHARED_DEFAULT : it->second;
}

void shared_limit_set(const void *function, size_t bytes) { shared_limits[function] = bytes; }

cudaError_t enqueue_launch(Kernel *kernel, const void *function, dim3 grid, dim3 block, size_t shared_bytes,
                           cudaStream_t stream)
{
    std::lock_guard<std::recursive_mutex> hold(mutex);
    std::unique_ptr<Kernel> owned(kernel);
    cudaStream_t s = stream_of(stream);
    uint64_t threads = (uint64_t)block.x * block.y * block.z;
    cudaError_t error = cudaSuccess;
    if (s->device != current_device)
        error = cudaErrorInvalidResourceHandle;
    else if (!threads || threads > MOST_THREADS || block.z > 64 || !grid.x || !grid.y || !grid.z ||
             grid.x > 0x7FFFFFFFu || grid.y > 65535 || grid.z > 65535)
        error = cudaErrorInvalidConfiguration;
    else if (shared_bytes > shared_limit_of(function))
        error = cudaErrorInvalidValue;
    if (error != cudaSuccess) {
        set_error(error);
        return error;
    }
    size_t dynamic = shared_limit_of(function), limit = SHARED_DEFAULT;
    if (dynamic > SHARED_DEFAULT)
        limit = dynamic + SHARED_DEFAULT < SHARED_MOST ? dynamic + SHARED_DEFAULT : (size_t)SHARED_MOST;
    Op op = {};
    op.kind = OpKind::LAUNCH;
    op.launch = {kernel, function, grid, block, shared_bytes, limit, ++launches, s->device};
    op.kernel = std::move(owned);
    enqueue(s, std::move(op));
    return cudaSuccess;
}

} // namespace emu
