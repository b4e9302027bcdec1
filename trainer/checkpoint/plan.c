/* What a save will write, copied from the request so that the request may die: names, shapes, small files; not the
 * tensors' memory, which stays live and is cut into the snapshot's chunks in the order of writing. */
#include <stdio.h>
#include <string.h>

#include "trainer/checkpoint/checkpoint_internal.h"
#include "trainer/checkpoint/safetensors_internal.h"

/* Copies specs[from[i]] and so on, in the file's order, into a LiveFile. */
static Status fill_file(Arena *arena, LiveFile *file, const TensorSpec *specs, const void *const *data,
                        const Dtype *dtypes, size_t count)
{
    Status st = OK;
    size_t *order;
    TensorSpec *sorted;
    Dtype *sorted_dtypes;
    TRY(tensor_file_order(arena, specs, count, &order));
    TRY_NEW(arena, sorted, count);
    TRY_NEW(arena, sorted_dtypes, count);
    TRY_NEW(arena, file->data, count);
    for (size_t i = 0; i < count; i++) {
        sorted[i] = specs[order[i]];
        sorted[i].name = arena_strdup(arena, specs[order[i]].name);
        TRY_MEMORY(sorted[i].name);
        file->data[i] = data[order[i]];
        sorted_dtypes[i] = dtypes[order[i]];
        if (!convertible(sorted[i].dtype, sorted_dtypes[i]))
            RAISE(BUG, "tensor %s: %s cannot be saved as %s", sorted[i].name, dtype_name(sorted_dtypes[i]),
                  dtype_name(sorted[i].dtype));
    }
    file->specs = sorted;
    file->dtypes = sorted_dtypes;
    file->count = count;
done:
    return st;
}

static Status copy_pairs(Arena *arena, LiveFile *file, const MetadataPair *pairs, size_t count)
{
    Status st = OK;
    MetadataPair *copy;
    TRY_NEW(arena, copy, count);
    for (size_t i = 0; i < count; i++) {
        copy[i].key = arena_strdup(arena, pairs[i].key);
        TRY_MEMORY(copy[i].key);
        copy[i].value = arena_strdup(arena, pairs[i].value);
        TRY_MEMORY(copy[i].value);
    }
    file->pairs = copy;
    file->pair_count = count;
done:
    return st;
}

Status plan_tensors(Arena *arena, const char *base, const NamedTensor *tensors, size_t count, uint64_t max_bytes,
                    LiveFile **files, size_t *file_count, SmallFile *index)
{
    Status st = OK;
    ShardPlan plan;
    TensorSpec *all, *some;
    const void **data;
    Dtype *dtypes;
    char *text = NULL;
    *index = (SmallFile){0};
    TRY_NEW(arena, all, count);
    for (size_t i = 0; i < count; i++) {
        all[i] = (TensorSpec){.name = tensors[i].name, .dtype = tensors[i].file_dtype, .ndim = tensors[i].ndim};
        memcpy(all[i].shape, tensors[i].shape, sizeof all[i].shape);
    }
    TRY(shard_plan(arena, base, all, count, max_bytes, &plan));
    TRY_NEW(arena, *files, plan.files);
    TRY_NEW(arena, some, count);
    TRY_NEW(arena, data, count);
    TRY_NEW(arena, dtypes, count);
    for (size_t f = 0; f < plan.files; f++) {
        size_t n = 0;
        for (size_t i = 0; i < count; i++) {
            if (plan.file_of[i] != f) continue;
            some[n] = all[i];
            data[n] = tensors[i].data;
            dtypes[n++] = tensors[i].dtype;
        }
        (*files)[f].name = plan.names[f];
        TRY(fill_file(arena, &(*files)[f], some, data, dtypes, n));
    }
    *file_count = plan.files;
    if (plan.index_name) {
        TRY(shard_index(arena, &plan, all, count, &text, &index->size));
        index->name = plan.index_name;
        index->data = text;
    }
done:
    return st;
}

static Status plan_optimizer(SaveJob *job, const SaveRequest *request, LiveFile *file)
{
    Status st = OK;
    Arena *arena = job->arena;
    const RankGroup *group = &job->store->group;
    Piece *pieces;
    size_t count;
    TensorSpec *specs;
    const void **data;
    Dtype *dtypes;
    TRY(pieces_of(arena, &request->optimizer, &pieces, &count));
    TRY_NEW(arena, specs, count);
    TRY_NEW(arena, data, count);
    TRY_NEW(arena, dtypes, count);
    for (size_t i = 0; i < count; i++) {
        const Piece *p = &pieces[i];
        specs[i] = (TensorSpec){.name = p->name, .dtype = DTYPE_F32, .ndim = 1, .shape = {p->count}};
        if (p->whole) {
            specs[i].ndim = p->parameter->ndim;
            memcpy(specs[i].shape, p->parameter->shape, sizeof specs[i].shape);
        }
        if (spec_numel(&specs[i]) != p->count)
            RAISE(BUG, "parameter %s: its shape is not its size", p->parameter->name);
        data[i] = p->data;
        dtypes[i] = DTYPE_F32;
    }
    file->name = group->size == 1 ? "optimizer.safetensors"
                                  : arena_printf(arena, "optimizer-%05d-of-%05d.safetensors", group->rank, group->size);
    TRY_MEMORY(file->name);
    TRY(fill_file(arena, file, specs, data, dtypes, count));
    TRY(copy_pairs(arena, file, request->optimizer_metadata, request->optimizer_metadata_count));
done:
    return st;
}

static Status add_chunks(SaveJob *job)
{
    Status st = OK;
    Snapshot *s = &job->store->snapshot;
    for (size_t f = 0; f < job->live_count; f++) {
        const LiveFile *file = &job->live[f];
        for (size_t i = 0; i < file->count; i++) {
            size_t element = dtype_bytes(file->dtypes[i]);
            TRY(snapshot_add(s, file->data[i], (uint64_t)spec_numel(&file->specs[i]) * element, element));
        }
    }
done:
    return st;
}

/* The optimizer first: its pass is what overwrites memory, and it comes last in an update. */
Status plan_live_files(SaveJob *job, const SaveRequest *request)
{
    Status st = OK;
    LiveFile *model = NULL;
    size_t model_count = 0, n = 0;
    SmallFile index = {0};
    if (store_is_first(job->store))
        TRY(plan_tensors(job->arena, request->base ? request->base : "model", request->tensors, request->tensor_count,
                         job->store->max_shard_bytes, &model, &model_count, &index));
    TRY_NEW(job->arena, job->live, model_count + 1);
    if (!request->save_only_model) TRY(plan_optimizer(job, request, &job->live[n++]));
    for (size_t f = 0; f < model_count; f++) job->live[n++] = model[f];
    job->live_count = n;
    if (index.name) {
        job->small[job->small_count++] = index;
    }
    TRY(add_chunks(job));
done:
    return st;
}

Status plan_small_files(SaveJob *job, const SaveRequest *request)
{
    Status st = OK;
    TRY_NEW(job->arena, job->small, request->file_count + 1); /* and the index */
    for (size_t i = 0; i < request->file_count; i++) {
        const SmallFile *from = &request->files[i];
        SmallFile *to = &job->small[job->small_count++];
        if (!from->name[0] || from->name[0] == '.' || strchr(from->name, '/') || strcmp(from->name, MANIFEST_NAME) == 0)
            RAISE(BUG, "\"%s\" cannot be a file of a checkpoint", from->name);
        to->name = arena_strdup(job->arena, from->name);
        TRY_MEMORY(to->name);
        to->data = arena_strndup(job->arena, from->data ? from->data : "", from->size);
        TRY_MEMORY(to->data);
        to->size = from->size;
    }
done:
    return st;
}
