/* Supervised fine-tuning, as TRL's SFTTrainer does it (trl 1.16): what is learned of a row is told by its labels
 * (trainer/data/preprocess_sft.h). A packed example is one of the sampler's; each text in it is a sequence of its own,
 * so none sees another.
 *
 * Targets that the reference counts: it lays packed examples in one row without padding, and there a first token is no
 * label, as it never is one here; in padded rows, models that count all labels count the first ones too. */
#include <string.h>

#include "trainer/base/log.h"
#include "trainer/data/preprocess_sft.h"
#include "trainer/data/sft_row.h"
#include "trainer/tasks/causal.h"
#include "trainer/tasks/sft_show.h"
#include "trainer/tasks/sft_template.h"

static bool is_packed(const TrainingArguments *a, Split split)
{
    return split == SPLIT_TRAIN || a->eval_packing < 0 ? a->packing : a->eval_packing > 0;
}

static bool is_flattened(const TrainingArguments *a)
{
    return a->padding_free || (a->packing && strcmp(a->packing_strategy, "wrapped") != 0);
}

static PackStrategy strategy_of(const TrainingArguments *a)
{
    if (strcmp(a->packing_strategy, "wrapped") == 0) return PACK_WRAPPED;
    return strcmp(a->packing_strategy, "bfd_split") == 0 ? PACK_BFD_SPLIT : PACK_BFD;
}

/* Texts beyond the model's positions. */
static Status check_positions(const TaskContext *c, const Dataset *d)
{
    Status st = OK;
    int32_t least, longest;
    dataset_range(d, dataset_column(d, "seq_lengths"), &least, &longest);
    if (longest <= c->model->max_positions) goto done;
    if (c->model->type->positions_end)
        RAISE(USAGE, "an example of %d tokens is more than the %lld positions of the model; set max_length: %lld or "
              "less", (int)longest, (long long)c->model->max_positions, (long long)c->model->max_positions);
    log_warning("an example of %d tokens is more than the %lld positions that the model was made for", (int)longest,
                (long long)c->model->max_positions);
done:
    return st;
}

/* The first percent of the train rows where there is to be an evaluation and nothing else for it. */
static bool takes_part(const TrainingArguments *a, Split split)
{
    return split != SPLIT_TEST && !a->validation_file.count && a->do_eval;
}

static Status open_split(const TaskContext *c, Split split, Dataset **out)
{
    Status st = OK;
    const TrainingArguments *a = c->args;
    static const char *const names[] = {"train", "validation", "test"};
    const bool part = takes_part(a, split);
    TextList files = split == SPLIT_VALIDATION && part ? a->train_file : task_files(a, split);
    Arena *arena = NULL;
    SftTemplate template = {0};
    *out = NULL;
    if (!files.count) return OK;

    TRY(arena_new(&arena));
    TRY(sft_template_open(c, arena, &template));
    SftSource source = {.name = names[split], .paths = files.items, .num_paths = files.count,
                        .part = !part ? SPLIT_ALL : split == SPLIT_TRAIN ? SPLIT_TAIL : SPLIT_HEAD,
                        .percent = (int)a->validation_split_percentage, .tokenizer = c->tokenizer,
                        .tokenizer_dir = c->tokenizer_dir, .template = template.template,
                        .no_template = template.missing, .special_tokens = template.special_tokens,
                        .template_paths = template.paths, .num_template_paths = template.num_paths,
                        .eos_token = template.eos_token, .text_field = a->dataset_text_field,
                        .completion_only = a->completion_only_loss, .assistant_only = a->assistant_only_loss,
                        .max_length = a->max_length == ARG_UNSET ? -1 : a->max_length,
                        .keep_end = strcmp(a->truncation_mode, "keep_end") == 0, .packing = is_packed(a, split),
                        .shuffle = a->shuffle_dataset, .strategy = strategy_of(a), .seed = (uint64_t)a->seed,
                        .cache_dir = a->cache_dir, .overwrite_cache = a->overwrite_cache, .run = c->run,
                        .threads = c->threads};
    TRY(dataset_open_sft(&source, out));
    TRY(check_positions(c, *out));
    TRY(sft_check_turns(c, template.eos_token, names[split], *out));
    const int64_t limit = split == SPLIT_TRAIN        ? a->max_train_samples
                          : split == SPLIT_VALIDATION ? a->max_eval_samples
                                                      : a->max_predict_samples;
    if (limit != ARG_UNSET) dataset_select(*out, limit);
done:
    sft_template_close(&template);
    arena_free(arena);
    return st;
}

/* Random numbers go by the sample's number, so the texts of a packed example have each their own. */
static Status sample_number(int32_t ordinal, int64_t piece, int32_t *out)
{
    Status st = OK;
    *out = ordinal;
    if (!piece) goto done;
    if (ordinal > SAMPLE_MASK || piece > UINT32_MAX >> SAMPLE_BITS)
        RAISE(USAGE, "%lld texts in a packed example, or %d examples in an update, are too many: give a smaller "
                     "max_length or batch", (long long)piece + 1, (int)ordinal);
    *out = (int32_t)((uint32_t)piece << SAMPLE_BITS | (uint32_t)ordinal);
done:
    return st;
}

static Status collate(void *context, const Dataset *d, const int64_t *index, const int32_t *ordinal, int count,
                      Arena *arena, Batch *out)
{
    Status st = OK;
    const TaskContext *c = context;
    const int ids = dataset_column(d, "input_ids"), labels = dataset_column(d, "labels"),
              lengths = dataset_column(d, "seq_lengths");
    const bool flattened = is_flattened(c->args);
    CausalArrays at;
    int64_t rows = 0, seqs = 0, width = 0, firsts = 0;
    for (int b = 0; b < count; b++) {
        const int64_t length = dataset_length(d, ids, index[b]);
        rows += length, seqs += dataset_length(d, lengths, index[b]);
        if (length > width) width = length;
    }
    if (seqs > INT32_MAX - 1) seqs = INT32_MAX - 1; /* then rows are too many as well */
    TRY(causal_batch(arena, rows, (int)seqs, out, &at));
    for (int b = 0; b < count; b++) {
        const Span id = dataset_get(d, ids, index[b]), label = dataset_get(d, labels, index[b]),
                   length = dataset_get(d, lengths, index[b]);
        int64_t begin = 0;
        for (int64_t p = 0; p < length.length; begin += length.data[p++]) {
            int32_t sample;
            if (length.data[p] < 0 || length.data[p] > id.length - begin || label.length != id.length)
                RAISE(FORMAT, "example %lld of the token cache: its texts are longer than it; set overwrite_cache: "
                      "true", (long long)index[b]);
            TRY(sample_number(ordinal[b], p, &sample));
            TRY(causal_sequence(c->model, id.data + begin, label.data + begin, length.data[p], sample, out, &at));
        }
        firsts += id.length > 0 && label.data[0] != -100;
    }
    out->padded_width = flattened ? 0 : (int32_t)width;
    out->hf_targets = out->targets + (c->model->type->counts_all_labels && !flattened ? firsts : 0);
done:
    return st;
}

static bool takes(const TrainingArguments *args, const Row *row)
{
    const SftColumns columns = sft_columns(row, args->dataset_text_field);
    return columns.kind != SFT_NONE && columns.kind != SFT_TEXT;
}

const Task task_sft = {
    .name = "sft",
    .pipeline_tag = "text-generation",
    .model_card = "supervised fine-tuning",
    .open = open_split,
    .collate = collate,
    .loss = causal_loss,
    .perplexity = true,
    .evaluates_means = true,
    .show = sft_show,
    .about = sft_about,
    .takes = takes,
    .files = sft_files,
    .file = sft_file,
};
