/* Keys that say where a run computes, how ranks talk, and how data are fed. */
#include "trainer/config/keys.h"

#define LOADER "data are fed by a thread of hone's own, always in order"

static const Key keys[] = {
    CHOICE("device", device, "auto", "auto,cpu,cuda", NULL, NULL,
           "hone's own: where to compute; auto takes a GPU where one works."),
    BOOL("use_cpu", use_cpu, false, "Compute on the CPU."),
    INT("num_threads", num_threads, 0, WITHIN(0, 4096),
        "hone's own: threads of a rank; 0: its share of the host's cores."),
    INT("zero_stage", zero_stage, 1, WITHIN(0, 1),
        "hone's own. 1: each rank keeps a share of the optimizer's state; 0: all keep all."),
    NAME("ddp_backend", ddp_backend, NULL, "mpi,gloo", "nccl,xccl,hccl,cncl,mccl", "use mpi, or leave it out",
         "How ranks talk; gloo is taken as mpi."),
    INT_UNSET("ddp_bucket_cap_mb", ddp_bucket_cap_mb, WITHIN(1, 1048576),
              "Size of a gradient bucket in MiB; unset: 25."),
    QUIET_INT("ddp_timeout", ddp_timeout, "1800", AT_LEAST(1), "Seconds after which an exchange counts as hung."),
    BOOL("dry_run", dry_run, false, "hone's own: show what would be trained on, and stop."),
    MAPPING("accelerator_config", accelerator_config, "even_batches; the other members only at their defaults."),
    BOOL("dataloader_drop_last", dataloader_drop_last, false, "Drop an incomplete last batch, in evaluation too."),
    CHOICE("train_sampling_strategy", train_sampling_strategy, "random", "random,sequential",
           "group_by_length,batch_rebalance", "batches are never padded, so grouping gains nothing; use random",
           "Order of the training data."),

    LATER("length_column_name", TEXT, "length", "Column of lengths for group_by_length.",
          "group_by_length is not there either; leave it out"),
    LATER("parallelism_config", MAPPING, NULL, "Axes of parallelism.",
          "use data parallelism: mpirun -np N, zero_stage"),
    REFUSED("fsdp", TEXT, NULL, "PyTorch FSDP.", "it is a PyTorch wrapper; use zero_stage: 1, or 0 for no_shard"),
    REFUSED("fsdp_config", MAPPING, NULL, "PyTorch FSDP's settings.",
            "it is a PyTorch wrapper; use zero_stage and activation_checkpointing"),
    REFUSED("deepspeed", TEXT, NULL, "DeepSpeed's settings.", "it needs DeepSpeed's Python engine; use zero_stage: 1"),
    REFUSED("debug", TEXT, "", "PyTorch's debug hooks.", "it is a PyTorch hook; use log_level: debug"),
    ACCEPTED("local_rank", INT, "-1", ANY, "Rank from an old launcher.", "ranks come from MPI"),
    ACCEPTED("dataloader_num_workers", INT, "0", AT_LEAST(0), "Loader processes.", LOADER),
    ACCEPTED("dataloader_pin_memory", BOOL, "true", ANY, "Page-locked staging.", LOADER),
    ACCEPTED("dataloader_persistent_workers", BOOL, "false", ANY, "Keep loader workers.", LOADER),
    ACCEPTED("dataloader_prefetch_factor", INT, NULL, AT_LEAST(1), "Batches fetched ahead by a worker.", LOADER),
    ACCEPTED_NAME("dataloader_multiprocessing_context", NULL, "fork,spawn,forkserver", "How workers start.", LOADER),
    ACCEPTED("dataloader_in_order", BOOL, "true", ANY, "Keep the order of workers' batches.", LOADER),
    ACCEPTED("remove_unused_columns", BOOL, "true", ANY, "Drop columns that the model does not take.",
             "a task reads its own columns only"),
    ACCEPTED("label_names", LIST, NULL, ANY, "Names of label inputs.", "a task knows its labels"),
};
KEY_GROUP(machine, "Machine, ranks, loader");
