/* A call of the emulated NCCL on its way: what is sent to whom, what has come, what comes of it. nccl.cpp makes them,
 * nccl_work.cpp carries them out. */
#ifndef TESTS_CUDA_EMULATOR_NCCL_WORK_H
#define TESTS_CUDA_EMULATOR_NCCL_WORK_H

#include <atomic>
#include <chrono>
#include <string>
#include <vector>

#define OMPI_SKIP_MPICXX
#include <mpi.h>
#include <nccl.h>

#include "tests/cuda_emulator/stream.h"

struct ncclComm {
    int rank, size, device;
    MPI_Comm mpi;
    uint64_t calls, collectives; /* queued so far */
    cudaStream_t stream;         /* of its calls: always the same */
    std::atomic<bool> aborted;
    std::atomic<int> error;
};

namespace nccl
{

enum class Kind { ALL_REDUCE, REDUCE_SCATTER, REDUCE, ALL_GATHER, BROADCAST, SEND, RECV };
extern const char *const names[];

/* What each message begins with. */
struct Header {
    Kind kind;
    int root;
    size_t count, size; /* elements, bytes of one */
    uint64_t number;    /* of a collective */
};

struct Message {
    std::vector<char> data;
    MPI_Message matched;
    MPI_Request request;
    enum { WAITED_FOR, ARRIVING, HERE } state;
};

struct Part { /* one call */
    Header header;
    const char *send;
    char *receive;
    std::vector<Message> from; /* [size] */
};

/* The calls of a group on one communicator, or one alone. */
struct Work {
    ncclComm *comm;
    std::vector<Part> parts;
    uint64_t first; /* number of its first call */
    bool begun, done;
    std::vector<std::vector<char>> out;
    std::vector<MPI_Request> requests;
    double waited;
    std::chrono::steady_clock::time_point looked;
};

bool is_collective(const Part &p);
std::string text_of(const Header &h);
bool gets_on(Work *w); /* begins it, or goes on; true: done */

} // namespace nccl

#endif
