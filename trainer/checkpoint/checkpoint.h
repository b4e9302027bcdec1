/* Checkpoints of a run: saving without stopping it, rotation, resume.
 *
 * A checkpoint is a directory checkpoint-N that appears under its name only when all of it is on disk, with
 * MANIFEST.json (run id, serial, step, sizes and hashes) as its last file. A writer thread writes the live arrays block
 * by block while training goes on; whoever is about to overwrite such memory calls checkpoint_guard first. With several
 * ranks each writes its own piece of the optimizer's state into one directory (a file system that all ranks see), and
 * rank 0 publishes it.
 *
 * Functions marked (all ranks) must be called by every rank, in the same order; they use the group and belong to the
 * main thread. The writer thread never communicates: ranks tell each other by files when their piece is on disk. */
#ifndef HONE_CHECKPOINT_CHECKPOINT_H
#define HONE_CHECKPOINT_CHECKPOINT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/dtype.h"
#include "trainer/base/arena.h"
#include "trainer/base/status.h"
#include "trainer/checkpoint/safetensors.h"
#include "trainer/checkpoint/safetensors_write.h"

/* How ranks agree, given by the caller so that this room knows no MPI. */
typedef struct RankGroup {
    int rank, size;
    void *context;
    /* OK on all ranks when `mine` is OK on all; else the status and message of the lowest failing rank, on all. */
    Status (*agree)(void *context, Status mine);
    /* rank 0's bytes to all. */
    Status (*broadcast)(void *context, void *data, size_t size);
} RankGroup;

typedef struct CheckpointStore CheckpointStore;

typedef struct CheckpointOptions {
    const char *output_dir;
    const RankGroup *group;   /* NULL: one rank; must outlive the store */
    int64_t save_total_limit; /* <= 0: all are kept */
    uint64_t copy_bytes;      /* memory for blocks copied aside; 0: 256 MB */
    uint64_t max_shard_bytes; /* 0: 50 GB */
    double lock_wait_s;       /* for another holder of output_dir; 0: 30 s; negative: no wait */
    double peer_wait_s;       /* rank 0's patience with the other ranks' pieces, once its own are written; 0: 1800 s */
} CheckpointOptions;

/* Makes output_dir where needed, takes its lock (STATUS_LOCKED names the holder), removes what dead saves left behind,
 * draws a run id. (all ranks) */
Status checkpoint_store_open(const CheckpointOptions *options, CheckpointStore **out);
/* Waits for a pending save, gives the lock back. NULL is fine. */
void checkpoint_store_close(CheckpointStore *store);
const char *checkpoint_run_id(const CheckpointStore *store); /* 32 hex digits */
/* When the store was opened, output_dir held something: product.md refuses that without overwrite_output_dir or a
 * resume. */
bool checkpoint_dir_in_use(const CheckpointStore *store);

/* ---- what is saved ---- */
/* A tensor of the model: saving reads `data`, loading writes it. */
typedef struct NamedTensor {
    const char *name;
    int ndim;
    int64_t shape[TENSOR_DIMS];
    void *data;
    Dtype dtype;      /* in memory */
    Dtype file_dtype; /* when saved */
} NamedTensor;

/* A parameter's place in the flat arrays. */
typedef struct FlatParameter {
    const char *name;
    int ndim;
    int64_t shape[TENSOR_DIMS];
    int64_t offset, numel;
} FlatParameter;

/* Flat elements [begin, end) are this rank's; in every state array they begin at element `at` (at == begin where the
 * arrays have the parameters' offsets; less where a rank keeps only its own shard). */
typedef struct FlatRange {
    int64_t begin, end, at;
} FlatRange;

typedef struct FlatState {
    const char *name; /* "exp_avg" */
    float *data;
} FlatState;

/* This rank's piece of the optimizer. On disk: "<parameter>.<state>" with the parameter's shape where the piece holds
 * all of it, else "<parameter>.<state>@<first element>" with one dimension. Elements outside every parameter (padding)
 * are skipped. */
typedef struct OptimizerPiece {
    const FlatParameter *parameters; /* sorted by offset, or not */
    size_t parameter_count;
    const FlatRange *ranges;
    size_t range_count;
    const FlatState *states;
    size_t state_count;
} OptimizerPiece;

typedef struct SmallFile {
    const char *name; /* without a slash */
    const void *data;
    size_t size;
} SmallFile;

typedef struct SaveRequest {
    int64_t step;
    int64_t best_step;          /* checkpoint-<best_step> is kept by rotation; < 0: none */
    const char *base;           /* NULL: "model"; "adapter_model" for adapters */
    const NamedTensor *tensors; /* rank 0's are written; others may give none */
    size_t tensor_count;
    OptimizerPiece optimizer;               /* every rank's own; nothing with save_only_model */
    const MetadataPair *optimizer_metadata; /* beside {"format": "pt"} in each optimizer file */
    size_t optimizer_metadata_count;
    const SmallFile *files; /* rank 0's and others'; names must differ between ranks (rng_state_1.json) */
    size_t file_count;
    bool save_only_model; /* no optimizer files: such a checkpoint cannot be resumed from */
    Status prepared; /* not OK: this rank could not make the request (the thread has the message): the save fails */
} SaveRequest;

/* Begins to save and returns; waits first for a save that is still pending. Names, shapes, small files are copied; the
 * tensors' and states' memory must live until the save is over. A save that fails is logged and remembered
 * (checkpoint_failed); OK is returned and the run trains on. A checkpoint of the same step of this run is replaced.
 * Errors: only what makes going on senseless (a failing group, STATUS_BUG). (all ranks) */
Status checkpoint_save_begin(CheckpointStore *store, const SaveRequest *request);
/* Before live memory is overwritten: copies aside what of it has not been written yet, or waits for the writer when the
 * memory for copies is used up. Costs nanoseconds when nothing is pending. Any thread; store NULL is fine.
 * Call it before the optimizer's pass over a block (weights and each state) and before an all-gather overwrites
 * weights. */
void checkpoint_guard(CheckpointStore *store, const void *p, size_t bytes);
bool checkpoint_pending(const CheckpointStore *store); /* this rank's writer is at work */
/* Until the pending save is over on all ranks. Its outcome (OK when none was pending) with the message. (all ranks) */
Status checkpoint_wait(CheckpointStore *store);
/* A save of this store has failed: the run must end with status 1. Agreed at each wait and begin. */
bool checkpoint_failed(const CheckpointStore *store);
/* The step of the newest checkpoint that a wait has found on disk or the run was resumed from; -1: none. Agreed. */
int64_t checkpoint_saved_step(const CheckpointStore *store);
/* Bytes copied aside now, and the most so far; seconds that guards have waited. For logs and tests. */
typedef struct CheckpointStats {
    uint64_t copied_bytes, copied_peak;
    double guard_wait_s;
} CheckpointStats;
CheckpointStats checkpoint_stats(const CheckpointStore *store);

/* The finished model into output_dir itself: all files are written and synced beside their names, then renamed. One
 * file is old or new after a crash; files of another layout (shards, single) are removed last. Rank 0 writes, in the
 * calling thread. (all ranks) */
Status checkpoint_save_model(CheckpointStore *store, const char *base, const NamedTensor *tensors, size_t tensor_count,
                             const SmallFile *files, size_t file_count);

/* ---- resume ---- */
typedef struct Checkpoint {
    char path[4096];
    char run_id[33];
    uint64_t serial;
    int64_t step;
    int world_size; /* ranks that wrote it */
    bool has_optimizer;
} Checkpoint;

/* spec "true": the newest complete checkpoint of output_dir whose sizes and hashes are right (one that fails becomes
 * corrupt-checkpoint-N, said in one line, and the next older of the same run is tried); *found is false when output_dir
 * has no checkpoint at all, not even a damaged one. Else a path: it must be good. A checkpoint without MANIFEST.json
 * (another program's) is STATUS_UNSUPPORTED with what to do. Ranks get rank 0's answer. (all ranks) */
Status checkpoint_find(CheckpointStore *store, const char *spec, Checkpoint *out, bool *found);
/* After everything of it has been loaded: the run goes on as that run (its id, greater serials), and the later
 * checkpoints of that run in output_dir become superseded-checkpoint-N; those that rotation would not keep go
 * (best_step: as in a SaveRequest). (all ranks) */
Status checkpoint_resume(CheckpointStore *store, const Checkpoint *from, int64_t best_step);

/* Fills the tensors from a model directory, checkpoint or file, by name, converting to their dtype. Every missing
 * tensor and every wrong shape is listed in one message; unexpected ones likewise if `strict`. */
Status checkpoint_load_tensors(const char *path, const char *base, const NamedTensor *tensors, size_t count,
                               bool strict);
/* Fills this rank's ranges of every state from all optimizer*.safetensors of a checkpoint, whatever ranks wrote them;
 * what is missing is listed. metadata (may be NULL) receives the pairs of the first file, in arena. */
Status checkpoint_load_optimizer(const char *dir, const OptimizerPiece *own, Arena *arena, MetadataPair **metadata,
                                 size_t *metadata_count);

/* ---- manifests, for inspect and tests ---- */
/* Reads dir/MANIFEST.json; with `verify` also checks every file's size and hash. STATUS_MISSING: no manifest. */
Status checkpoint_read_manifest(const char *dir, bool verify, Checkpoint *out);

#endif
