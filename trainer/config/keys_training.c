/* Keys of TrainingArguments (transformers 5.23) that say what is optimised, how, and in which precision. */
#include "trainer/config/keys.h"

#define COMPILED "hone's kernels come compiled; remove it"
#define MOST_AT_ONCE 1048576 /* sequences or micro-batches: beyond is a slip of the pen */
#define OPTIMS_LATER                                                                                              \
    "adafactor,adagrad,rmsprop,adamw_torch_xla,adamw_torch_npu_fused,adamw_anyprecision,adamw_torch_4bit,"        \
    "adamw_torch_8bit,ademamix,adamw_bnb_8bit,adamw_8bit,ademamix_8bit,lion_8bit,lion_32bit,paged_adamw_32bit,"   \
    "paged_adamw_8bit,paged_ademamix_32bit,paged_ademamix_8bit,paged_lion_32bit,paged_lion_8bit,rmsprop_bnb,"     \
    "rmsprop_bnb_8bit,rmsprop_bnb_32bit,galore_adamw,galore_adamw_8bit,galore_adafactor,galore_adamw_layerwise,"  \
    "galore_adamw_8bit_layerwise,galore_adafactor_layerwise,lomo,adalomo,grokadamw,schedule_free_radam,"          \
    "schedule_free_adamw,schedule_free_sgd,apollo_adamw,apollo_adamw_layerwise,stable_adamw"
#define SCHEDULES                                                                                                 \
    "linear,cosine,cosine_with_restarts,polynomial,constant,constant_with_warmup,inverse_sqrt,cosine_with_min_lr,"\
    "cosine_warmup_with_min_lr,warmup_stable_decay"

static const Key keys[] = {
    PATH("output_dir", output_dir, "Where checkpoints, the final model and the logs go; unset: trainer_output."),
    BOOL("overwrite_output_dir", overwrite_output_dir, false,
         "Start afresh in an output_dir that is not empty; where there is a checkpoint to resume, that wins."),
    BOOL("do_train", do_train, false, "Train; `hone train` does without being told, and refuses false."),
    BOOL("do_eval", do_eval, false, "Evaluate; true by itself when eval_strategy is not no."),
    LATER("do_predict", BOOL, "false", "Predict the test set at the end.",
          "`hone eval` with test_file gives the test set's metrics"),
    INT("per_device_train_batch_size", per_device_train_batch_size, 8, WITHIN(1, MOST_AT_ONCE),
        "Sequences a rank takes in one micro-batch."),
    INT("per_device_eval_batch_size", per_device_eval_batch_size, 8, WITHIN(1, MOST_AT_ONCE),
        "The same, for evaluation."),
    INT("gradient_accumulation_steps", gradient_accumulation_steps, 1, WITHIN(1, MOST_AT_ONCE),
        "Micro-batches of one update."),
    REAL("num_train_epochs", num_train_epochs, 3.0, ABOVE(0),
         "Passes over the data; a fraction stops inside the last."),
    INT("max_steps", max_steps, -1, ANY, "Updates; above 0 it overrides num_train_epochs."),
    REAL("learning_rate", learning_rate, 5e-05, AT_LEAST(0), "Peak rate, after warm-up."),
    NAME("lr_scheduler_type", lr_scheduler_type, "linear", SCHEDULES, "reduce_lr_on_plateau,greedy",
         "it follows a metric, which this version does not; use linear or cosine", "How the rate moves after warm-up."),
    MAPPING("lr_scheduler_kwargs", lr_scheduler_kwargs,
            "Settings of the schedule: num_cycles, power, lr_end, min_lr, …"),
    STEPS("warmup_steps", warmup_steps, "0", AT_LEAST(0), "Updates of warm-up; below 1: a share of all updates."),
    NAME("optim", optim, "adamw_torch_fused", "adamw_torch,adamw_torch_fused,sgd", OPTIMS_LATER,
         "use adamw_torch, adamw_torch_fused or sgd", "The optimizer; both AdamW names are the same here."),
    TEXT("optim_args", optim_args, "k=v,k=v; sgd reads momentum, dampening, weight_decay, nesterov."),
    REAL("weight_decay", weight_decay, 0.0, AT_LEAST(0), "Decoupled decay; none on biases and norm weights."),
    REAL("adam_beta1", adam_beta1, 0.9, FROM_BELOW(0, 1), "AdamW: decay of the first moment."),
    REAL("adam_beta2", adam_beta2, 0.999, FROM_BELOW(0, 1), "AdamW: decay of the second moment."),
    REAL("adam_epsilon", adam_epsilon, 1e-08, ABOVE(0), "AdamW: added to the denominator."),
    REAL("max_grad_norm", max_grad_norm, 1.0, ANY, "Gradients are scaled down to this norm; 0: they are not."),
    REAL("label_smoothing_factor", label_smoothing_factor, 0.0, FROM_BELOW(0, 1),
         "Share of each target spread over the vocabulary."),
    BOOL("average_tokens_across_devices", average_tokens_across_devices, true,
         "Count targets over all ranks, so that the loss is the mean over the global batch."),
    CHOICE("loss_normalization", loss_normalization, "tokens", "tokens,hf", NULL, NULL,
           "hone's own. tokens: the mean over the targets of an update; hf: as the Hugging Face Trainer computes it."),
    CHOICE("on_nan", on_nan, "stop", "stop,skip", NULL, NULL,
           "hone's own: what a gradient that is not finite does to the run."),
    DURATION("max_time", max_time, "hone's own: save and stop (exit 75) after this: 5400, 90m, 1:30:00."),
    TRI("activation_checkpointing", activation_checkpointing, "Compute activations again in backward, to save memory."),
    MAPPING("activation_checkpointing_kwargs", activation_checkpointing_kwargs,
            "every_n_layers; torch's own members have no effect."),
    BOOL("full_determinism", full_determinism, false,
         "The same bits for every split over ranks, accumulation and threads."),
    INT("seed", seed, 42, WITHIN(0, 4294967295.0),
        "Seed of initial weights, dropout and, without data_seed, data order."),
    INT_UNSET("data_seed", data_seed, AT_LEAST(0), "Seed of the data order; unset: seed."),

    BOOL("bf16", bf16, false, "Compute in bfloat16, with float32 weights behind it."),
    BOOL("fp16", fp16, false, "Compute in float16 with dynamic loss scaling, with float32 weights behind it."),
    BOOL("bf16_full_eval", bf16_full_eval, false, "Evaluate in bfloat16."),
    BOOL("fp16_full_eval", fp16_full_eval, false, "Evaluate in float16."),
    TRI("tf32", tf32, "Products of float32 numbers in TF32 on tensor cores; device: cuda only. Unset: no."),
    CHOICE("weight_rounding", weight_rounding, "nearest", "nearest,stochastic", NULL, NULL,
           "hone's own: how float32 weights become those that bf16 and fp16 compute with."),
    LATER("neftune_noise_alpha", REAL, NULL, "Noise on input embeddings.", "leave it out"),
    LATER("auto_find_batch_size", BOOL, "false", "Try smaller batches when memory is short.",
          "choose per_device_train_batch_size yourself, with gradient_accumulation_steps to make up for it"),
    REFUSED("torch_compile", BOOL, "false", "torch.compile.", COMPILED),
    REFUSED("torch_compile_backend", TEXT, NULL, "torch.compile's backend.", COMPILED),
    REFUSED("torch_compile_mode", TEXT, NULL, "torch.compile's mode.", COMPILED),
    REFUSED("optim_target_modules", LIST, NULL, "Modules for GaLore and APOLLO.",
            "it applies to GaLore and APOLLO only, which hone does not have; remove it"),
    ACCEPTED("use_liger_kernel", BOOL, "false", ANY, "Liger's fused kernels.", "kernels are fused already"),
    ACCEPTED("liger_kernel_config", MAPPING, NULL, ANY, "Which Liger kernels.", "kernels are fused already"),
    ACCEPTED("use_cache", BOOL, "false", ANY, "use_cache of the model's config.", "training has no key/value cache"),
    ACCEPTED("torch_empty_cache_steps", INT, NULL, AT_LEAST(1), "How often torch's allocator is emptied.",
             "there is no such allocator"),
    ACCEPTED("ddp_find_unused_parameters", TRI, NULL, ANY, "DDP option.", "parameters without gradient need no search"),
    ACCEPTED("ddp_broadcast_buffers", TRI, NULL, ANY, "DDP option.", "there are no such buffers"),
    ACCEPTED("ddp_static_graph", TRI, NULL, ANY, "DDP option.", "no effect on results"),
};
KEY_GROUP(training, "Training");
