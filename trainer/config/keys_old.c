/* Names that transformers 5 no longer has, and configs still do. Those with a new name are read as that, with a notice.
 */
#include "trainer/config/keys.h"

#define ANCIENT "it has no effect since transformers 5"

static const Key keys[] = {
    ALIAS("warmup_ratio", STEPS, "warmup_steps"),
    ALIAS("evaluation_strategy", CHOICE, "eval_strategy"),
    ALIAS("gradient_checkpointing", TRI, "activation_checkpointing"),
    ALIAS("gradient_checkpointing_kwargs", MAPPING, "activation_checkpointing_kwargs"),
    ALIAS("no_cuda", BOOL, "use_cpu"),
    ALIAS("torch_dtype", NAME, "dtype"),
    ALIAS("per_gpu_train_batch_size", INT, "per_device_train_batch_size"),
    ALIAS("per_gpu_eval_batch_size", INT, "per_device_eval_batch_size"),
    ALIAS("include_tokens_per_second", CHOICE, "include_num_input_tokens_seen"),
    ALIAS("push_to_hub_model_id", TEXT, "hub_model_id"),
    ALIAS("push_to_hub_organization", TEXT, "hub_model_id"),
    ALIAS("push_to_hub_token", TEXT, "hub_token"),
    ALIAS_TRUE("group_by_length", "train_sampling_strategy", "group_by_length"),
    ALIAS_TRUE("adafactor", "optim", "adafactor"),
    LATER("split_batches", BOOL, "false", "Now accelerator_config.split_batches.",
          "give the batch of one rank in per_device_train_batch_size"),
    ACCEPTED("dispatch_batches", TRI, NULL, ANY, "Now accelerator_config.dispatch_batches.",
             "every rank reads the cache"),
    ONLY("save_safetensors", "true", "Write safetensors.", "pickle weights are never written; remove it"),
    ACCEPTED("fp16_opt_level", TEXT, NULL, ANY, "Apex level.", ANCIENT),
    ACCEPTED("half_precision_backend", TEXT, NULL, ANY, "Who does mixed precision.", ANCIENT),
    ACCEPTED("fp16_backend", TEXT, NULL, ANY, "Who does mixed precision.", ANCIENT),
    ACCEPTED("use_mps_device", BOOL, "false", ANY, "Apple's GPU.", ANCIENT),
    ACCEPTED("xpu_backend", TEXT, NULL, ANY, "Now ddp_backend.", "ranks talk through MPI"),
    ACCEPTED("include_inputs_for_metrics", BOOL, "false", ANY, "Now include_for_metrics.",
             "metrics take what they need"),
    ACCEPTED("use_legacy_prediction_loop", BOOL, "false", ANY, "The old evaluation loop.", ANCIENT),
    ACCEPTED("tokenizer", TEXT, NULL, ANY, "An argument of the Trainer's.", "use tokenizer_name"),
    REFUSED("tpu_num_cores", INT, NULL, "TPU cores.", "TPUs are not supported; remove it"),
    REFUSED("past_index", INT, "-1", "Position of the cache among outputs.",
            "it was removed in transformers 5; remove it"),
    REFUSED("jit_mode_eval", BOOL, "false", "TorchScript in evaluation.", "it is an option of TorchScript; remove it"),
    REFUSED("torchdynamo", TEXT, NULL, "torch.compile's backend.", "hone's kernels come compiled; remove it"),
    REFUSED("ray_scope", TEXT, "last", "Search through Ray.",
            "there is no search through Ray; start one run a setting"),
    REFUSED("mp_parameters", TEXT, "", "SageMaker's.", "it is SageMaker's; use zero_stage"),
    REFUSED("fsdp_transformer_layer_cls_to_wrap", TEXT, NULL, "FSDP's wrapping.",
            "no wrapping is needed; use zero_stage"),
    REFUSED("fsdp_min_num_params", INT, "0", "FSDP's wrapping.", "no wrapping is needed; use zero_stage"),
};
KEY_GROUP(old, "Old names");
