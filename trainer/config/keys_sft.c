/* Keys of supervised fine-tuning (task: sft), with TRL's names and meaning (SFTConfig, trl 1.16). The other defaults
 * that SFTConfig changes (learning_rate 2e-5, logging_steps 10, gradient_checkpointing, bf16) stay those of
 * TrainingArguments, so that a run does not change with whether its task is written or inferred. */
#include "trainer/config/keys.h"

static const Key keys[] = {
    PATH("chat_template_path", chat_template_path,
         "The chat template to take, a .jinja or .j2 file or a model's directory, in place of the model's own."),
    TEXT_OR("dataset_text_field", dataset_text_field, "text", "Column of plain text."),
    TEXT("eos_token", eos_token, "What ends a text or an answer; unset: the tokenizer's."),
    LATER("pad_token", TEXT, NULL, "Padding token.", "nothing is ever padded; leave it out"),
    INT_OR_NULL("max_length", max_length, 1024, AT_LEAST(1),
                "Longest sequence, and the length of a packed one; null: nothing is cut off."),
    NAME("truncation_mode", truncation_mode, "keep_start", "keep_start,keep_end", NULL, NULL,
         "Which end of a longer sequence is kept."),
    BOOL("shuffle_dataset", shuffle_dataset, false, "Shuffle the examples, before and after packing."),
    BOOL("packing", packing, false, "Lay several examples in one of max_length tokens."),
    NAME("packing_strategy", packing_strategy, "bfd", "bfd,bfd_split,wrapped", NULL, NULL,
         "Best fit, cutting longer ones off or into several; or wrapped: one text, cut anywhere."),
    BOOL("padding_free", padding_free, false, "Count as a reference that does not pad; hone never does."),
    LATER("pad_to_multiple_of", INT, NULL, "Round lengths up.", "nothing is ever padded; leave it out"),
    TRI("eval_packing", eval_packing, "Pack the validation set; unset: as packing."),
    TRI("completion_only_loss", completion_only_loss,
        "Learn the completion, not the prompt; unset: true where the data have prompts."),
    BOOL("assistant_only_loss", assistant_only_loss, false, "Learn the assistant's messages alone."),
    {KEY_ROW("loss_type", NAME, -1, NULL, "Form of the loss.", ANY), .class = KEY_ACCEPTED,
     .choices = "nll,chunked_nll", .others = "dft",
     .why = "nll and chunked_nll are one, and what hone computes; dft (dynamic fine-tuning) is not in this version"},
    LATER("activation_offloading", BOOL, "false", "Keep activations in host memory.", "use activation_checkpointing"),
    ACCEPTED("model_init_kwargs", MAPPING, NULL, ANY, "Keywords of from_pretrained.", "dtype is a key of its own"),
    ACCEPTED("dataset_kwargs", MAPPING, NULL, ANY, "Keywords of data preparation.", "there is nothing to skip"),
    ACCEPTED("dataset_num_proc", INT, NULL, AT_LEAST(1), "Workers of data preparation.",
             "preprocessing uses all cores"),
};
KEY_GROUP(sft, "Supervised fine-tuning (task: sft)");
