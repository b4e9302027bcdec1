/* Config file and command line: types, precedence, rules, suggestions, and that every problem is told at once. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "trainer/base/file.h"
#include "trainer/base/log.h"
#include "trainer/config/arguments.h"
#include "trainer/config/keys.h"

static char dir[64], path[96];
static Arena *arena;
static TrainingArguments a;

static int set_up(void **state)
{
    (void)state;
    strcpy(dir, "/tmp/hone-config-XXXXXX");
    log_set(LOG_ERROR, 0);
    return mkdtemp(dir) && arena_new(&arena) == OK ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    arena_free(arena);
    return dir_remove(dir) == OK ? 0 : -1;
}

/* Loads a config of this text (NULL: none), called `name`, with the words of `line`, separated by '|'. */
static Status load_named(const char *name, const char *text, size_t size, const char *line)
{
    char *argv[64], words[1024];
    int argc = 0;
    if (text) {
        snprintf(path, sizeof path, "%s/%s", dir, name);
        File *f;
        assert_int_equal(file_remove(path), OK); /* a truncated file is flushed at close by some file systems: slow */
        assert_int_equal(file_create(path, &f), OK);
        assert_int_equal(file_write(f, text, size), OK);
        assert_int_equal(file_close(f), OK);
        argv[argc++] = path;
    }
    snprintf(words, sizeof words, "%s", line ? line : "");
    char *rest, *word = strtok_r(words, "|", &rest);
    for (; word; word = strtok_r(NULL, "|", &rest)) argv[argc++] = word;
    arena_reset(arena);
    return arguments_load(argc, argv, arena, &a);
}

static Status load(const char *text, const char *line)
{
    return load_named("run.yaml", text, text ? strlen(text) : 0, line);
}

static void assert_loads(const char *text, const char *line)
{
    if (load(text, line) != OK) fail_msg("%s | %s: %s", text ? text : "", line ? line : "", status_message());
}

/* It is refused, and the message has this part. */
static void assert_refused(const char *text, const char *line, const char *part)
{
    Status st = load(text, line);
    if (st != STATUS_USAGE)
        fail_msg("%s | %s: %s", text ? text : "", line ? line : "", st ? status_message() : "was taken");
    if (!strstr(status_message(), part)) fail_msg("`%s` is not in: %s", part, status_message());
}

static void defaults_are_the_references(void **state)
{
    (void)state;
    assert_loads(NULL, NULL);
    assert_string_equal(a.output_dir, "trainer_output");
    assert_int_equal(a.per_device_train_batch_size, 8);
    assert_true(a.learning_rate == 5e-5 && a.num_train_epochs == 3 && a.adam_epsilon == 1e-8 && a.max_grad_norm == 1);
    assert_int_equal(a.max_steps, -1);
    assert_string_equal(a.optim, "adamw_torch_fused");
    assert_string_equal(a.lr_scheduler_type, "linear");
    assert_true(a.logging_steps == 500 && isnan(a.eval_steps) && a.save_steps == 500);
    assert_int_equal(a.logging_strategy, STRATEGY_STEPS);
    assert_int_equal(a.eval_strategy, STRATEGY_NO);
    assert_int_equal(a.seed, 42);
    assert_int_equal(a.data_seed, 42);
    assert_int_equal(a.zero_stage, 1);
    assert_int_equal(a.activation_checkpointing, -1);
    assert_int_equal(a.block_size, ARG_UNSET);
    assert_int_equal(a.checkpoint_every_n_layers, 1);
    assert_true(a.even_batches && a.keep_linebreaks && a.average_tokens_across_devices && !a.do_eval);
    assert_int_equal(a.report_to.count, 0);
    assert_int_equal(a.train_file.count, 0);
    assert_null(a.metric_for_best_model);
    assert_true(a.max_time == 0);
}

static void scalars_are_typed_by_their_key(void **state)
{
    (void)state;
    setenv("HOME", "/home/x", 1);
    assert_loads(
        "# a run\n"
        "learning_rate: 1e-4\nmax_steps: \"100\"\neval_strategy: off\ntask: no\nseed: 7\n"
        "logging_first_step: yes\nlr_scheduler_kwargs: {num_cycles: 2}\nlr_scheduler_type: cosine\n"
        "output_dir: ~/out\ntrain_file: [a.txt, ~/b.txt]\nvalidation_file: c d.txt\nreport_to:\n  - tensorboard\n"
        "block_size: null\ndata_seed: ~\ndisable_tqdm:\nmax_time: 1:30:00\ninclude_num_input_tokens_seen: true\n",
        NULL);
    assert_true(a.learning_rate == 1e-4);
    assert_int_equal(a.max_steps, 100);
    assert_int_equal(a.eval_strategy, STRATEGY_NO);
    assert_string_equal(a.task, "no");
    assert_true(a.logging_first_step);
    assert_string_equal(a.output_dir, "/home/x/out");
    assert_int_equal(a.train_file.count, 2);
    assert_string_equal(a.train_file.items[1], "/home/x/b.txt");
    assert_int_equal(a.validation_file.count, 1);
    assert_string_equal(a.validation_file.items[0], "c d.txt");
    assert_int_equal(a.report_to.count, 1);
    assert_int_equal(a.block_size, ARG_UNSET);
    assert_int_equal(a.max_length, 1024);
    assert_int_equal(a.data_seed, 7);
    assert_int_equal(a.disable_tqdm, -1);
    assert_true(a.max_time == 5400);
    assert_int_equal(a.include_num_input_tokens_seen, COUNT_TOKENS_ALL);
    assert_true(cJSON_GetObjectItem(a.lr_scheduler_kwargs, "num_cycles")->valuedouble == 2);
    assert_string_equal(a.config_path, path);
}

/* As in the reference: the default is a length, and null is none. */
static void null_unsets_max_length(void **state)
{
    (void)state;
    assert_loads("max_length: null\n", NULL);
    assert_int_equal(a.max_length, ARG_UNSET);
    assert_loads("max_length: 7\n", "--max_length=null");
    assert_int_equal(a.max_length, ARG_UNSET);
    assert_refused("max_length: 0\n", NULL, "max_length");
}

static void the_command_line_wins_over_the_file(void **state)
{
    (void)state;
    assert_loads("learning_rate: 1\nseed: 1\nbf16: true\nwarmup_ratio: 0.5\nkeep_linebreaks: true\n",
                 "--learning-rate=2|--seed|3|--bf16|false|--warmup_steps|10|--no_keep_linebreaks|--do_train|--max_"
                 "steps|-1|--dry-run");
    assert_true(a.learning_rate == 2);
    assert_int_equal(a.seed, 3);
    assert_true(a.warmup_steps == 10);
    assert_false(a.keep_linebreaks);
    assert_true(a.do_train && a.dry_run);
    assert_loads("do_train: false\n", NULL);
    assert_false(a.do_train);
    assert_loads("", NULL);
    assert_true(a.do_train); /* `hone train` trains without being told */
    assert_loads(NULL, "--seed|1|--seed|2|--report_to|tensorboard|--lr_scheduler_type|cosine|--lr_scheduler_kwargs|{"
                       "\"num_cycles\": 1.5}");
    assert_int_equal(a.seed, 2);
    assert_true(cJSON_GetObjectItem(a.lr_scheduler_kwargs, "num_cycles")->valuedouble == 1.5);
    assert_refused("learning_rate: x\n", "--seed|y", "learning_rate");
    assert_non_null(strstr(status_message(), "--seed: `seed` must be an integer"));
    assert_refused("seed: 1\n", "--seed", "needs a value");
    assert_refused("seed: 1\n", "other.yaml", "second config");
    assert_refused(NULL, "-x", "two dashes");
    assert_refused(NULL, "absent.yaml", "no such file");
}

static void unknown_keys_name_file_line_and_the_nearest(void **state)
{
    (void)state;
    assert_refused("\n# c\nlearing_rate: 1\n", NULL,
                   "run.yaml:3: unknown key `learing_rate`; did you mean `learning_rate`?");
    assert_refused(NULL, "--max-step|3", "did you mean `max_steps`?");
    assert_refused("do_predict: true\n", NULL, "`hone eval` with test_file");
    assert_refused("totally_unlike_anything: 1\n", NULL, "`hone args` lists all");
    char text[400];
    memset(text, 'x', sizeof text);
    memcpy(text + 390, ": 1\n", 5);
    assert_refused(text, NULL, "unknown key");
}

static void every_problem_is_told_at_once(void **state)
{
    (void)state;
    assert_refused("learing_rate: 1\nseed: -1\ndo_predict: true\ntorch_compile: true\nlogging_steps: 0\n",
                   "--optim|lion_8bit", "6 problems");
    const char *m = status_message();
    assert_non_null(strstr(m, "run.yaml:1: unknown"));
    assert_non_null(strstr(m, "run.yaml:2: `seed` must be an integer of at least 0"));
    assert_non_null(strstr(m, "run.yaml:3: `do_predict` is not honoured by this version of hone: "));
    assert_non_null(strstr(m, "run.yaml:4: `torch_compile` cannot apply: "));
    assert_non_null(strstr(m, "run.yaml:5: `logging_steps` must be above 0"));
    assert_non_null(strstr(m, "--optim: `optim` `lion_8bit` is not honoured by this version of hone: use adamw_torch"));
}

static void precision_is_one_at_a_time_and_tf32_is_for_gpus(void **state)
{
    (void)state;
    static const struct { const char *text, *part; } cases[] = {
        {"tf32: true\n", "`tf32` needs a GPU: the CPU has no TF32; write device: cuda, or remove it"},
        {"device: cuda\nfp16: true\nbf16: true\n", "run.yaml:3: `bf16` and fp16 exclude each other"},
        {"device: cuda\nfp16_full_eval: true\nbf16_full_eval: true\n", "`bf16_full_eval` and fp16_full_eval exclude"},
        {"weight_rounding: stochastic\n", "`weight_rounding` has no effect without bf16 or fp16"},
        {"weight_rounding: up\n", "nearest"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) assert_refused(cases[i].text, NULL, cases[i].part);
    assert_loads("device: cuda\nbf16: true\nfp16_full_eval: true\ntf32: true\nweight_rounding: stochastic\n", NULL);
    assert_true(a.bf16 && a.fp16_full_eval && a.tf32 == 1 && !a.fp16 && !a.bf16_full_eval);
    assert_int_equal(a.weight_rounding, WEIGHTS_STOCHASTIC);
    assert_loads("bf16: true\ndevice: cpu\nfp16_full_eval: true\n", NULL);
    assert_true(a.bf16 && a.fp16_full_eval && a.device == DEVICE_CHOICE_CPU);
    assert_loads("tf32: false\n", NULL);
    assert_int_equal(a.tf32, 0);
}

static void duplicates_and_yaml_extras_are_refused(void **state)
{
    (void)state;
    assert_refused("seed: 1\nlearning_rate: 1\nseed: 1\n", NULL, "run.yaml:3: `seed` is given twice");
    assert_refused("max_steps: 1\nmax-steps: 2\n", NULL, "given twice");
    assert_refused("lr_scheduler_type: cosine\nlr_scheduler_kwargs: {num_cycles: 1, num_cycles: 2}\n", NULL,
                   "given twice");
    assert_refused("a: &x 1\n", NULL, "anchors");
    assert_refused("seed: &x 1\nmax_steps: *x\n", NULL, "run.yaml:1: anchors");
    assert_refused("seed: !!int 1\n", NULL, "tag");
    assert_refused("- seed\n", NULL, "key: value");
    assert_refused("seed\n", NULL, "key: value");
    assert_refused("seed: 1\n---\nseed: 2\n", NULL, "second document");
    assert_refused("seed: 1\n max_steps: 2\n", NULL, "not valid YAML");
    assert_refused("seed: [1, 2]\n", NULL, "single value, not a list");
    assert_refused("seed: {a: 1}\n", NULL, "single value, not a mapping");
    assert_refused("? [a, b]\n: 1\n", NULL, "a key must be a name");
    assert_refused("train_file: {a: 1}\n", NULL, "must be a list");
    assert_refused("train_file: [[a]]\n", NULL, "list of texts");
    assert_refused("run_name: \"a\\0b\"\n", NULL, "NUL");
    assert_int_equal(load_named("run.yaml", "seed: \xFF\n", 8, NULL), STATUS_USAGE);
    assert_loads("", NULL);
    assert_loads("# nothing\n", NULL);
    assert_loads("---\n...\n", NULL);
}

static void json_configs_are_read(void **state)
{
    (void)state;
    static const char text[] =
        "{\"learning_rate\": 0.001, \"do_train\": true, \"train_file\": [\"a\"], \"data_seed\": null,"
        " \"lr_scheduler_kwargs\": {\"min_lr\": 1e-5}, \"lr_scheduler_type\": \"cosine_with_min_lr\"}";
    if (load_named("run.json", text, strlen(text), NULL) != OK) fail_msg("%s", status_message());
    assert_true(a.learning_rate == 0.001 && a.do_train);
    assert_int_equal(load_named("run.json", "[1]", 3, NULL), STATUS_USAGE);
    assert_int_equal(load_named("run.json", "{\"seed\":1,\"seed\":2}", 19, NULL), STATUS_USAGE);
    assert_int_equal(load_named("run.json", "{\"seed\":1.5}", 12, NULL), STATUS_USAGE);
}

static void values_out_of_type_or_range_are_refused(void **state)
{
    (void)state;
    static const struct { const char *text, *part;
    } cases[] = {
        {"learning_rate: -1", "at least 0"},
        {"learning_rate: nan", "a number"},
        {"learning_rate: .inf", "a number"},
        {"learning_rate: 0x10", "a number"},
        {"learning_rate: 1e999", "a number"},
        {"learning_rate: 1_0", "a number"},
        {"seed: 1.5", "an integer"},
        {"seed: 4294967296", "at most 4294967295"},
        {"per_device_train_batch_size: 0", "at least 1"},
        {"per_device_train_batch_size: 4294967297", "1048576"},
        {"gradient_accumulation_steps: 2097152", "1048576"},
        {"num_train_epochs: 0", "above 0"},
        {"adam_beta1: 1", "below 1"},
        {"label_smoothing_factor: 1", "below 1"},
        {"do_train: maybe", "true or false"},
        {"eval_strategy: sometimes", "one of no,steps,epoch"},
        {"zero_stage: 2", "at most 1"},
        {"optim: adamw_hf", "one of adamw_torch"},
        {"lr_scheduler_type: greedy", "not honoured"},
        {"device: tpu", "one of auto,cpu"},
        {"ddp_backend: nccl", "use mpi"},
        {"report_to: wandb", "tensorboard"},
        {"report_to: [tensorboard, none]", "beside"},
        {"report_to: nonsense", "one of"},
        {"max_time: soon", "duration"},
        {"max_time: 1:99:00", "duration"},
        {"dtype: bfloat16", "float32"},
        {"train_sampling_strategy: group_by_length", "random"},
        {"validation_split_percentage: 100", "at most 99"},
        {"lora_r: x", "an integer"},
        {"torch_empty_cache_steps: 0", "at least 1"},
        {"log_level: loud", "one of debug"},
        {"save_safetensors: false", "pickle"},
        {"trust_remote_code: true", "never runs Python"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) assert_refused(cases[i].text, NULL, cases[i].part);
}

static void known_keys_at_their_default_or_without_effect_are_taken(void **state)
{
    (void)state;
    assert_loads(
        "bf16: false\nfp16: no\ntf32: false\nlora_r: 16\npush_to_hub: false\nhub_strategy: every_save\ntorch_compile: "
        "false\n"
        "deepspeed:\nfsdp: \"\"\ndebug: \"\"\nuse_fast_tokenizer: true\nsave_safetensors: true\nmax_length: 1024\n"
        "use_liger_kernel: true\nremove_unused_columns: false\nddp_find_unused_parameters: true\nlabel_names: "
        "[labels]\n"
        "torch_empty_cache_steps: 5\ndataloader_num_workers: 4\ndataloader_prefetch_factor: "
        "2\ntrackio_static_space_id: false\n",
        NULL);
}

static void old_names_are_read_as_the_new(void **state)
{
    (void)state;
    assert_loads("evaluation_strategy: steps\nwarmup_ratio: 0.1\nwarmup_steps: 0\ngradient_checkpointing: true\n"
                 "gradient_checkpointing_kwargs: {use_reentrant: false, every_n_layers: 2}\nno_cuda: true\n"
                 "per_gpu_train_batch_size: 4\ngroup_by_length: false\nadafactor: false\ntorch_dtype: float32\n", NULL);
    assert_int_equal(a.eval_strategy, STRATEGY_STEPS);
    assert_true(a.warmup_steps == 0.1);
    assert_int_equal(a.activation_checkpointing, 1);
    assert_int_equal(a.checkpoint_every_n_layers, 2);
    assert_int_equal(a.device, DEVICE_CHOICE_CPU);
    assert_int_equal(a.per_device_train_batch_size, 4);
    assert_loads("warmup_ratio: 0\nwarmup_steps: 5\n", NULL);
    assert_true(a.warmup_steps == 5);
    assert_refused("warmup_ratio: 0.1\nwarmup_steps: 5\n", NULL, "old name of `warmup_steps`");
    assert_refused("warmup_ratio: 1\n", NULL, "below 1");
    assert_refused("evaluation_strategy: steps\neval_strategy: epoch\n", NULL, "remove one");
    assert_refused("group_by_length: true\n", NULL, "`group_by_length` `group_by_length` is not honoured");
    assert_refused("adafactor: true\n", NULL, "adafactor");
    assert_refused("push_to_hub_token: secret\n", NULL, "Hub");
}

static void intervals_follow_the_rules(void **state)
{
    (void)state;
    assert_loads("eval_strategy: steps\nlogging_steps: 20\n", NULL); /* R3, R9 */
    assert_true(a.eval_steps == 20 && a.do_eval);
    assert_loads("eval_strategy: steps\neval_steps: 0\n", NULL);
    assert_true(a.eval_steps == 500);
    assert_refused("eval_strategy: steps\nlogging_strategy: no\nlogging_steps: 0\n", NULL,
                   "`eval_steps` must be above 0");
    assert_refused("logging_steps: 2.5\n", NULL, "whole number"); /* R2 */
    assert_refused("save_steps: 1.5\n", NULL, "whole number");
    assert_refused("eval_strategy: steps\neval_steps: 3.5\n", NULL, "whole number");
    assert_loads("save_strategy: no\nsave_steps: 1.5\nlogging_strategy: epoch\nlogging_steps: 0\n", NULL);
    assert_loads("max_steps: 0\n", NULL);
    assert_int_equal(a.max_steps, -1);
    assert_refused("warmup_steps: -1\n", NULL, "at least 0"); /* R7 */
    assert_refused("dataloader_prefetch_factor: 2\n", NULL, "dataloader_num_workers"); /* R8 */
    assert_int_equal(steps_resolve(0.4, 6), 3);
    assert_int_equal(steps_resolve(1, 6), 1);
    assert_int_equal(steps_resolve(10, 6), 10);
    assert_int_equal(steps_resolve(0, 6), 0);
    assert_int_equal(steps_resolve(NAN, 6), 0);
    assert_int_equal(steps_resolve(1e-9, 6), 1);
    assert_true(steps_resolve(1e300, 6) > 1000000 && warmup_resolve(1e300, 6) > 1000000);
    assert_int_equal(warmup_resolve(0.3, 4), 2);
    assert_int_equal(warmup_resolve(2.9, 4), 2);
    assert_int_equal(warmup_resolve(0, 4), 0);
}

static void the_best_model_follows_the_rules(void **state)
{
    (void)state;
    assert_refused("load_best_model_at_end: true\n", NULL, "needs an eval_strategy"); /* R4 */
    assert_refused("load_best_model_at_end: true\neval_strategy: epoch\n", NULL,
                   "save_strategy (steps) equal to eval_strategy (epoch)");
    assert_refused("load_best_model_at_end: true\neval_strategy: steps\neval_steps: 3\nsave_steps: 10\n", NULL,
                   "10 is none of 3");
    assert_refused("load_best_model_at_end: true\neval_strategy: steps\neval_steps: 0.5\nsave_steps: 10\n", NULL,
                   "both as steps");
    assert_refused("load_best_model_at_end: true\neval_strategy: steps\neval_steps: 0.2\nsave_steps: 0.5\n", NULL,
                   "multiple");
    assert_refused("load_best_model_at_end: true\neval_strategy: steps\neval_steps: 5\nsave_steps: 0\n", NULL,
                   "above 0");
    assert_loads("load_best_model_at_end: true\neval_strategy: steps\neval_steps: 0.2\nsave_steps: 0.4\n", NULL);
    assert_string_equal(a.metric_for_best_model, "loss"); /* R5 */
    assert_int_equal(a.greater_is_better, 0);
    assert_loads("metric_for_best_model: eval_accuracy\n", NULL);
    assert_int_equal(a.greater_is_better, 1);
    assert_loads("metric_for_best_model: accuracy\ngreater_is_better: false\n", NULL);
    assert_int_equal(a.greater_is_better, 0);
    assert_refused("save_strategy: best\neval_strategy: epoch\n", NULL, "metric_for_best_model"); /* R10 */
    assert_refused("early_stopping_patience: 2\nmetric_for_best_model: loss\n", NULL, "eval_strategy");
    assert_refused("early_stopping_patience: 2\neval_strategy: epoch\n", NULL, "metric_for_best_model");
    assert_loads("load_best_model_at_end: true\neval_strategy: epoch\nsave_strategy: best\n", NULL);
}

static void members_of_mappings_are_checked(void **state)
{
    (void)state;
    assert_refused("lr_scheduler_kwargs: {num_cycles: 1}\n", NULL, "linear has none");
    assert_refused("lr_scheduler_type: cosine\nlr_scheduler_kwargs: {cycles: 1}\n", NULL, "only num_cycles");
    assert_refused("lr_scheduler_type: cosine\nlr_scheduler_kwargs: {num_cycles: x}\n", NULL, "a number");
    assert_refused("lr_scheduler_type: cosine\nlr_scheduler_kwargs: 3\n", NULL, "mapping");
    assert_refused("lr_scheduler_type: cosine_with_min_lr\n", NULL, "exactly one");
    assert_refused("lr_scheduler_type: cosine_with_min_lr\nlr_scheduler_kwargs: {min_lr: 0, min_lr_rate: 0}\n", NULL,
                   "exactly one");
    assert_refused("lr_scheduler_type: warmup_stable_decay\n", NULL, "num_decay_steps");
    assert_refused(
        "lr_scheduler_type: warmup_stable_decay\nlr_scheduler_kwargs: {num_decay_steps: 4, decay_type: bent}\n", NULL,
        "1-sqrt");
    assert_refused("lr_scheduler_type: polynomial\nlearning_rate: 1e-8\n", NULL, "lr_end");
    assert_loads(
        "lr_scheduler_type: warmup_stable_decay\nlr_scheduler_kwargs:\n  num_decay_steps: 4\n  decay_type: 1-sqrt\n",
        NULL);
    assert_refused("optim_args: momentum=0.9\n", NULL, "no effect");
    assert_refused("optim: sgd\noptim_args: momentum\n", NULL, "k=v");
    assert_refused("optim: sgd\noptim_args: momentum=x\n", NULL, "a number");
    assert_refused("optim: sgd\noptim_args: nesterov=true\n", NULL, "nesterov needs");
    assert_loads("optim: sgd\noptim_args: momentum=0.9, nesterov=True\n", NULL);
    assert_true(arguments_optim_arg(&a, "momentum", 0) == 0.9 && arguments_optim_arg(&a, "nesterov", 0) == 1);
    assert_true(arguments_optim_arg(&a, "dampening", 0.25) == 0.25);
    assert_loads("accelerator_config: {even_batches: false, split_batches: false, dispatch_batches: null}\n", NULL);
    assert_false(a.even_batches);
    assert_refused("accelerator_config: {split_batches: true}\n", NULL, "per_device_train_batch_size");
    assert_refused("accelerator_config: {use_seedable_sampler: false}\n", NULL, "only true");
    assert_refused("accelerator_config: {x: 1}\n", NULL, "no member `x`");
    assert_refused("activation_checkpointing_kwargs: {every_n_layers: 0}\n", NULL, "at least 1");
    assert_refused("activation_checkpointing_kwargs: {offload: true}\n", NULL, "not honoured");
    assert_refused("lr_scheduler_type: inverse_sqrt\nlr_scheduler_kwargs: {timescale: 0}\n", NULL, "above 0");
    assert_refused("config_overrides: n_layer\n", NULL, "k=v");
    assert_refused("config_overrides: n_layer=2\nmodel_name_or_path: m\n", NULL, "from scratch");
}

static void machine_keys_follow_the_rules(void **state)
{
    (void)state;
    assert_loads("ddp_backend: gloo\n", NULL);
    assert_string_equal(a.ddp_backend, "mpi");
    assert_loads("use_cpu: true\n", NULL);
    assert_int_equal(a.device, DEVICE_CHOICE_CPU);
    assert_refused("full_determinism: true\nloss_normalization: hf\n", NULL, "tokens");
    assert_loads("resume_from_checkpoint: true\n", NULL);
    assert_string_equal(a.resume_from_checkpoint, "true");
    assert_loads("resume_from_checkpoint: Yes\n", NULL);
    assert_string_equal(a.resume_from_checkpoint, "true");
    assert_loads("resume_from_checkpoint: false\n", NULL);
    assert_null(a.resume_from_checkpoint);
    assert_loads("resume_from_checkpoint: out/checkpoint-5\n", NULL);
    assert_string_equal(a.resume_from_checkpoint, "out/checkpoint-5");
    assert_loads(NULL, "--resume_from_checkpoint|true|--save_total_limit|-1");
    assert_int_equal(a.save_total_limit, 0);
}

static void json_has_all_fields_and_fingerprints_tell_runs_apart(void **state)
{
    (void)state;
    Text one = {0}, two = {0}, three = {0}, json = {0};
    assert_loads("seed: 1\nlearning_rate: 1e-4\nnum_threads: 1\ntrain_file: [a, b]\n", NULL);
    cJSON *object = arguments_to_json(&a);
    json_add(&json, object, 0, false);
    assert_non_null(strstr(json.data, "\"learning_rate\": 0.0001"));
    assert_non_null(strstr(json.data, "\"train_file\": [\"a\", \"b\"]"));
    assert_non_null(strstr(json.data, "\"eval_strategy\": \"no\""));
    assert_non_null(strstr(json.data, "\"block_size\": null"));
    assert_non_null(strstr(json.data, "\"logging_steps\": 500,"));
    cJSON_Delete(object);
    arguments_fingerprint(&a, &one);
    assert_loads("seed: 1\nlearning_rate: 1e-4\nnum_threads: 2\ntrain_file: [a, b]\n", NULL);
    arguments_fingerprint(&a, &two);
    assert_loads("seed: 1\nlearning_rate: 2e-4\nnum_threads: 2\ntrain_file: [a, b]\n", NULL);
    arguments_fingerprint(&a, &three);
    assert_string_equal(one.data, two.data);
    assert_string_not_equal(two.data, three.data);
    text_free(&one), text_free(&two), text_free(&three), text_free(&json);
}

static void training_args_as_a_config_give_the_same_run(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",
        "optim: sgd\noptim_args: momentum=0.9\nwarmup_ratio: 0.1\nmax_time: 90m\nreport_to: "
        "all\nresume_from_checkpoint: yes\n"
        "lr_scheduler_type: cosine_with_min_lr\nlr_scheduler_kwargs: {min_lr: 1e-6}\ntrain_file: [a b, "
        "\"c\"]\nrun_name: \"\"\n",
        "load_best_model_at_end: true\neval_strategy: steps\neval_steps: 0.1\nsave_steps: 0.2\nddp_backend: "
        "gloo\nuse_cpu: true\n"
        "gradient_checkpointing: false\naccelerator_config: {even_batches: false}\ninclude_num_input_tokens_seen: "
        "true\n",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        Text once = {0}, twice = {0}, json = {0};
        assert_loads(texts[i], NULL);
        cJSON *object = arguments_to_json(&a);
        json_add(&json, object, 2, false);
        arguments_fingerprint(&a, &once);
        if (load_named("run.json", json.data, json.size, NULL) != OK) fail_msg("%s: %s", texts[i], status_message());
        arguments_fingerprint(&a, &twice);
        assert_string_equal(once.data, twice.data);
        cJSON_Delete(object);
        text_free(&once), text_free(&twice), text_free(&json);
    }
}

static void the_key_table_is_sound(void **state)
{
    (void)state;
    const Key *key, *other;
    int count = 0;
    for (; (key = key_at(count)); count++) {
        assert_true(key->name && key->help && strlen(key->name) < 60);
        for (int j = 0; j < count; j++) {
            other = key_at(j);
            if (strcmp(other->name, key->name) == 0) fail_msg("%s stands twice", key->name);
            if (key->offset >= 0 && other->offset == key->offset)
                fail_msg("%s and %s share a field", key->name, other->name);
        }
        if (key->class == KEY_LATER || key->class == KEY_REFUSED || key->class == KEY_ACCEPTED || key->others)
            assert_non_null(key->why);
        if (key->class == KEY_ALIAS) {
            assert_non_null(key_find(key->target));
            assert_true(key_find(key->target)->class != KEY_ALIAS);
        }
        assert_true((key->class == KEY_HONOURED) == (key->offset >= 0));
    }
    assert_true(count > 250);
    cJSON *list = keys_to_json();
    int aliases = 0;
    for (const cJSON *c = list->child; c; c = c->next) aliases += cJSON_GetArraySize(cJSON_GetObjectItem(c, "aliases"));
    assert_int_equal(cJSON_GetArraySize(list) + aliases, count); /* every name is shown */
    cJSON_Delete(list);
}

/* Damaged configs are taken or refused with a line, whatever bytes they have. */
static void damaged_configs_never_crash(void **state)
{
    (void)state;
    static const char whole[] =
        "seed: 1\nlr_scheduler_kwargs: {num_cycles: [1, {a: b}]}\ntrain_file:\n  - \"a\\n\"\n  - 'b'\nmax_time: 1:30\n";
    static const char odd[] = "\0\n\t -:{}[]&*!|>'\"%@`#,?~\x80\xFF" "0aZ_";
    char text[sizeof whole];
    for (size_t n = 0; n < sizeof whole; n++) load_named("run.yaml", whole, n, NULL);
    for (size_t i = 0; i < sizeof whole - 1; i++)
        for (size_t c = 0; c < sizeof odd - 1; c++) {
            memcpy(text, whole, sizeof whole);
            text[i] = odd[c];
            Status st = load_named("run.yaml", text, sizeof whole - 1, NULL);
            assert_true(st == OK || st == STATUS_USAGE);
        }
    char deep[500];
    memset(deep, '[', sizeof deep);
    memcpy(deep, "train_file: ", 12);
    assert_int_equal(load_named("run.yaml", deep, sizeof deep, NULL), STATUS_USAGE);
}

static void memory_failing_anywhere_is_an_error(void **state)
{
    (void)state;
    Status st = STATUS_MEMORY;
    for (long n = 1; n < 60 && st != OK; n++) {
        Arena *small;
        char *argv[] = {(char[]){"--lr_scheduler_type=cosine"}, (char[]){"--lr_scheduler_kwargs={\"num_cycles\": 1}"},
                        (char[]){"--train_file"}, (char[]){"a"}};
        arena_fail_at(0);
        assert_int_equal(arena_new(&small), OK);
        arena_fail_at(n);
        st = arguments_load(4, argv, small, &a);
        arena_fail_at(0);
        arena_free(small);
        assert_true(st == OK || st == STATUS_MEMORY);
    }
    assert_int_equal(st, OK);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(defaults_are_the_references),
        TEST(scalars_are_typed_by_their_key),
        TEST(null_unsets_max_length),
        TEST(the_command_line_wins_over_the_file),
        TEST(unknown_keys_name_file_line_and_the_nearest),
        TEST(every_problem_is_told_at_once),
        TEST(precision_is_one_at_a_time_and_tf32_is_for_gpus),
        TEST(duplicates_and_yaml_extras_are_refused),
        TEST(json_configs_are_read),
        TEST(values_out_of_type_or_range_are_refused),
        TEST(known_keys_at_their_default_or_without_effect_are_taken),
        TEST(old_names_are_read_as_the_new),
        TEST(intervals_follow_the_rules),
        TEST(the_best_model_follows_the_rules),
        TEST(members_of_mappings_are_checked),
        TEST(machine_keys_follow_the_rules),
        TEST(json_has_all_fields_and_fingerprints_tell_runs_apart),
        TEST(training_args_as_a_config_give_the_same_run),
        TEST(the_key_table_is_sound),
        TEST(damaged_configs_never_crash),
        TEST(memory_failing_anywhere_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
