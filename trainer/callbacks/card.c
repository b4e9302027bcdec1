/* The model card, in the words of transformers 5.23 (modelcard.py: TrainingSummary, parse_log_history,
 * make_markdown_table). What differs: a base model in a local directory is named without a link and stays out of the
 * metadata, which the Hub would refuse. */
#include "trainer/callbacks/card.h"

#include <ctype.h>
#include <math.h>
#include <string.h>
#include <strings.h>

#include "trainer/base/file.h"
#include "trainer/callbacks/card_internal.h"

static const char COMMENT[] = "\n<!-- This model card has been generated automatically according to the information "
                              "the Trainer had access to. You\n"
                              "should probably proofread and complete it, then remove this comment. -->\n";

/* A scalar of YAML: plain where nothing can be misread, else in JSON's quotes, which YAML reads too. */
static void add_scalar(Text *out, const char *text)
{
    static const char *const words[] = {"true", "false", "yes", "no", "on", "off", "null", "y", "n"};
    bool plain = isalpha((unsigned char)text[0]) != 0;
    for (const char *c = text; *c && plain; c++) plain = isalnum((unsigned char)*c) || strchr("_-./", *c);
    for (size_t i = 0; i < sizeof words / sizeof *words && plain; i++) plain = strcasecmp(text, words[i]) != 0;
    if (plain) text_add(out, text, strlen(text));
    else json_add_string(out, text, strlen(text));
}

static void add_line(Text *out, const char *before, const char *value)
{
    if (!value) return;
    text_printf(out, "%s", before);
    add_scalar(out, value);
    text_printf(out, "\n");
}

/* "owner/name" or "name", not a directory here. */
static bool is_hub_id(const char *name)
{
    const char *slash = strchr(name, '/');
    return name[0] != '/' && name[0] != '.' && name[0] != '~' && (!slash || (slash[1] && !strchr(slash + 1, '/'))) &&
           !path_is_dir(name);
}

static void add_metrics_tags(Text *out, const TrainerState *s)
{
    static const char *const tags[] = {"accuracy",  "bleu",      "f1",     "matthews_correlation",
                                       "pearsonr",  "precision", "recall", "rouge",
                                       "sacrebleu", "spearmanr", "wer"};
    LogEntry e;
    bool first = true;
    if (!card_last_evaluation(s, &e)) return;
    for (int i = 0; i < e.count; i++)
        for (size_t k = 0; k < sizeof tags / sizeof *tags; k++)
            if (strncmp(e.values[i].key, "eval_", 5) == 0 && strcmp(e.values[i].key + 5, tags[k]) == 0) {
                text_printf(out, "%s- %s\n", first ? "metrics:\n" : "", tags[k]);
                first = false;
            }
}

/* As PEFT makes it of the Trainer's card. */
static void add_adapter_metadata(Text *out, const CardFacts *f)
{
    bool on_hub = f->base_model && is_hub_id(f->base_model);
    text_printf(out, "---\nlibrary_name: peft\n");
    add_line(out, "language:\n- ", f->language);
    add_line(out, "license: ", f->license);
    text_printf(out, "tags:\n");
    if (on_hub) text_printf(out, "- base_model:adapter:%s\n", f->base_model);
    text_printf(out, "- lora\n- transformers\n");
    if (on_hub) add_line(out, "base_model: ", f->base_model);
    add_line(out, "pipeline_tag: ", f->pipeline_tag);
    add_line(out, "model-index:\n- name: ", f->model_name);
    text_printf(out, "  results: []\n---\n");
}

static void add_metadata(Text *out, const CardFacts *f, const TrainerState *s)
{
    if (f->adapter) {
        add_adapter_metadata(out, f);
        return;
    }
    text_printf(out, "---\nlibrary_name: transformers\n");
    add_line(out, "language:\n- ", f->language);
    add_line(out, "license: ", f->license);
    if (f->base_model && is_hub_id(f->base_model)) add_line(out, "base_model: ", f->base_model);
    add_line(out, "pipeline_tag: ", f->pipeline_tag);
    text_printf(out, "tags:\n- generated_from_trainer\n");
    add_line(out, "- ", f->model_type);
    add_metrics_tags(out, s);
    add_line(out, "model-index:\n- name: ", f->model_name);
    text_printf(out, "  results: []\n---\n");
}

static void add_origin(Text *out, const CardFacts *f)
{
    text_printf(out, "\n# %s\n\n", f->model_name);
    if (!f->base_model) {
        text_printf(out, "This model was trained from scratch on ");
    } else if (is_hub_id(f->base_model)) {
        text_printf(out, "This model is a fine-tuned version of [%s](https://huggingface.co/%s) on ", f->base_model,
                    f->base_model);
    } else {
        size_t size = strlen(f->base_model);
        while (size > 1 && f->base_model[size - 1] == '/') size--;
        size_t at = size;
        while (at > 0 && f->base_model[at - 1] != '/') at--;
        text_printf(out, "This model is a fine-tuned version of %.*s on ", (int)(size - at), f->base_model + at);
    }
    if (f->dataset) text_printf(out, "the %s dataset.", f->dataset);
    else text_printf(out, "an unknown dataset.");
}

static void add_real_line(Text *out, const char *name, double value)
{
    text_printf(out, "- %s: ", name);
    json_add_real(out, value);
    text_printf(out, "\n");
}

static void add_int_line(Text *out, const char *name, int64_t value)
{
    text_printf(out, "- %s: %lld\n", name, (long long)value);
}

static void add_optimizer(Text *out, const CardFacts *f)
{
    const char *args = f->optim_args && *f->optim_args ? f->optim_args : "No additional optimizer arguments";
    text_printf(out, "- optimizer: Use OptimizerNames.");
    for (const char *c = f->optim; *c; c++) text_add(out, &(char){(char)toupper((unsigned char)*c)}, 1);
    if (!f->has_betas) {
        text_printf(out, " and the args are:\n%s\n", args);
        return;
    }
    text_printf(out, " with betas=(");
    json_add_real(out, f->adam_beta1);
    text_printf(out, ",");
    json_add_real(out, f->adam_beta2);
    text_printf(out, ") and epsilon=");
    json_add_real(out, f->adam_epsilon);
    text_printf(out, " and optimizer_args=%s\n", args);
}

static void add_hyperparameters(Text *out, const CardFacts *f)
{
    bool gpu = f->device && strncasecmp(f->device, "cpu", 3) != 0;
    int64_t total = f->train_batch_size * f->ranks * f->gradient_accumulation_steps;
    text_printf(out, "\nThe following hyperparameters were used during training:\n");
    add_real_line(out, "learning_rate", f->learning_rate);
    add_int_line(out, "train_batch_size", f->train_batch_size);
    add_int_line(out, "eval_batch_size", f->eval_batch_size);
    add_int_line(out, "seed", f->seed);
    if (f->ranks > 1)
        text_printf(out, "- distributed_type: multi-%s\n- num_devices: %lld\n", gpu ? "GPU" : "CPU",
                    (long long)f->ranks);
    if (f->gradient_accumulation_steps > 1)
        add_int_line(out, "gradient_accumulation_steps", f->gradient_accumulation_steps);
    if (total != f->train_batch_size) add_int_line(out, "total_train_batch_size", total);
    if (f->ranks > 1) add_int_line(out, "total_eval_batch_size", f->eval_batch_size * f->ranks);
    add_optimizer(out, f);
    text_printf(out, "- lr_scheduler_type: %s\n", f->lr_scheduler_type);
    if (f->warmup_steps) add_int_line(out, "lr_scheduler_warmup_steps", f->warmup_steps);
    if (f->max_steps > 0) add_int_line(out, "training_steps", f->max_steps);
    else add_real_line(out, "num_epochs", f->num_train_epochs);
    if (f->mixed_precision) text_printf(out, "- mixed_precision_training: Native AMP\n");
    if (f->label_smoothing_factor > 0) add_real_line(out, "label_smoothing_factor", f->label_smoothing_factor);
}

Status card_text(const CardFacts *f, const TrainerState *s, Text *out)
{
    add_metadata(out, f, s);
    text_printf(out, "%s", COMMENT);
    add_origin(out, f);
    card_add_results(out, s);
    text_printf(out, "\n\n## Model description\n\nMore information needed\n\n## Intended uses & limitations\n\nMore "
                     "information needed\n"
                     "\n## Training and evaluation data\n\nMore information needed\n\n## Training procedure\n"
                     "\n### Training hyperparameters\n");
    add_hyperparameters(out, f);
    card_add_table(out, s);
    text_printf(out, "\n### Framework versions\n\n- Hone %s\n", f->hone_version);
    if (f->tokenizers_version) text_printf(out, "- Tokenizers %s\n", f->tokenizers_version);
    return out->failed ? status_raise(STATUS_MEMORY, "README.md: out of memory") : OK;
}

Status card_write(const CardFacts *facts, const TrainerState *state, const char *path)
{
    Text text = {0};
    Status st = card_text(facts, state, &text);
    if (st == OK) st = file_replace(path, text.data, text.size);
    text_free(&text);
    return st;
}
