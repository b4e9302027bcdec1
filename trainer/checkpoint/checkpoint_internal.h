/* What the files behind checkpoint.h share. */
#ifndef HONE_CHECKPOINT_CHECKPOINT_INTERNAL_H
#define HONE_CHECKPOINT_CHECKPOINT_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "trainer/base/clock.h"
#include "trainer/checkpoint/checkpoint.h"
#include "trainer/checkpoint/dir_lock.h"
#include "trainer/checkpoint/manifest.h"
#include "trainer/checkpoint/snapshot.h"

/* One safetensors file to be written from live memory. The tensors are in the file's order. */
typedef struct LiveFile {
    const char *name;
    const TensorSpec *specs;
    const void **data;   /* [count], live */
    const Dtype *dtypes; /* [count], in memory */
    size_t count;
    const MetadataPair *pairs;
    size_t pair_count;
} LiveFile;

/* A save from begin to its end. All of it is in its arena. */
typedef struct SaveJob {
    CheckpointStore *store;
    Arena *arena;
    int64_t step, best_step;
    uint64_t serial;
    const char *temporary, *final; /* paths */
    LiveFile *live;
    size_t live_count;
    SmallFile *small;
    size_t small_count;
    ManifestFile *written; /* what this rank has on disk */
    size_t written_count;
    pthread_t thread;
    bool has_thread;
    double begun_s;
    _Atomic bool over; /* status and message are final */
    Status status;
    char message[4096];
} SaveJob;

struct CheckpointStore {
    Arena *arena;
    const char *dir;
    RankGroup group; /* size 1, without functions, where the caller gave none */
    int64_t save_total_limit;
    uint64_t max_shard_bytes;
    double peer_wait_s;
    DirLock *lock; /* rank 0's */
    bool was_in_use, failed;
    char run_id[33], session[33]; /* session: drawn at each opening; what a dead one still writes, nobody reads */
    int64_t saved_step;
    uint64_t serial; /* of the newest save, of this run or any other in the directory */
    Snapshot snapshot;
    SaveJob *job;                  /* NULL: none since the last wait */
    uint64_t copied_peak, wait_ns; /* of the saves before */
};

/* store.c */
Status store_agree(CheckpointStore *store, Status mine);
Status store_broadcast(CheckpointStore *store, void *data, size_t size);
static inline bool store_is_first(const CheckpointStore *store) { return store->group.rank == 0; }

/* names.c: the names in output_dir. */
bool name_step(const char *name, const char *prefix,
               int64_t *step); /* "checkpoint-12" after "checkpoint-": all digits */
/* Renames dir/name to dir/prefix-name, or prefix-name.2, … where that is taken; the new path in arena. Not synced. */
Status rename_aside(Arena *arena, const char *dir, const char *name, const char *prefix, char **path);
/* So that a directory half removed is never taken for a checkpoint: renamed, synced, then removed. */
Status trash(Arena *arena, const char *dir, const char *name);
/* The directories checkpoint-N of dir with a readable manifest, newest serial first; those without are counted by kind.
 */
typedef struct Listed {
    const char *name;
    int64_t step;      /* by its name */
    bool has_manifest; /* it is there; it may be damaged: then `damage` is not OK */
    Status damage;
    Manifest manifest;
} Listed;
Status list_checkpoints(Arena *arena, const char *dir, Listed **list, size_t *count);
/* Every manifest under checkpoint-, superseded- and corrupt- names: the greatest serial. */
Status greatest_serial(Arena *arena, const char *dir, uint64_t *serial);
Status remove_leftovers(Arena *arena, const char *dir);
/* The path of one that was set aside as damaged, in arena; NULL: none. */
Status find_set_aside(Arena *arena, const char *dir, char **path);

/* plan.c */
Status plan_live_files(SaveJob *job, const SaveRequest *request);
Status plan_small_files(SaveJob *job, const SaveRequest *request);
/* The files of a model. index->name is NULL with one file. */
Status plan_tensors(Arena *arena, const char *base, const NamedTensor *tensors, size_t count, uint64_t max_bytes,
                    LiveFile **files, size_t *file_count, SmallFile *index);
/* pieces.c: this rank's piece, one entry a parameter's part and state; in arena. */
typedef struct Piece {
    const FlatParameter *parameter;
    int64_t first, count; /* elements of the parameter */
    const FlatState *state;
    float *data;
    bool whole;
    const char *name; /* in the file */
} Piece;
Status pieces_of(Arena *arena, const OptimizerPiece *own, Piece **pieces, size_t *count);

/* writer.c: a rank's files, written and synced into dir. With a snapshot, its chunks from *chunk on are the file's
 * data, else the live memory is read directly. `done` receives size and hash; its name is the file's. */
Status write_live_file(Arena *arena, const char *dir, const LiveFile *file, Snapshot *snapshot, size_t *chunk,
                       ManifestFile *done);
Status write_small_file(Arena *arena, const char *dir, const SmallFile *file, ManifestFile *done);
void *writer_thread(void *job);

/* peers.c: how ranks tell rank 0 by files. */
Status peer_say_done(const SaveJob *job);
void peer_say_failed(const SaveJob *job);
/* Waits for all other ranks' notes and appends what they wrote to *files. */
Status peers_collect(SaveJob *job, ManifestFile **files, size_t *count);
Status peers_clear(const SaveJob *job); /* removes the notes */

/* rotate.c: after `newest` is on disk. best_step < 0: none. */
Status rotate(CheckpointStore *store, Arena *arena, int64_t best_step);

#endif
