/* Keys of adapters (TRL's ModelConfig). Members of PEFT's LoraConfig are members of the mapping peft_config, not keys.
 */
#include "trainer/config/keys.h"

#define QUANTIZED \
    "frozen weights keep the file's dtype, bfloat16 or float16 halve them (dtype); fewer bits are not in " \
                  "this version; leave it out"

static const Key keys[] = {
    BOOL("use_peft", use_peft, false, "Train an adapter (LoRA); the model is frozen."),
    INT("lora_r", lora_r, 16, WITHIN(1, 65536), "Rank of the adapter."),
    INT("lora_alpha", lora_alpha, 32, AT_LEAST(1), "Numerator of its scale, alpha/r."),
    REAL("lora_dropout", lora_dropout, 0.05, FROM_BELOW(0, 1), "Dropout on its input."),
    LIST("lora_target_modules", lora_target_modules, NULL, NULL, NULL, NULL,
         "Linear layers that get one: names or how they end, one regular expression, or all-linear."),
    LIST("lora_modules_to_save", lora_modules_to_save, NULL, NULL, NULL, NULL,
         "Modules trained whole beside it, and saved with it."),
    {KEY_ROW("lora_task_type", TEXT, KEY_FIELD(lora_task_type), "CAUSAL_LM", "For adapter_config.json.", ANY)},
    BOOL("use_rslora", use_rslora, false, "Scale alpha/sqrt(r)."),
    REFUSED("use_dora", BOOL, "false", "Weight-decomposed adapter.", "use LoRA, perhaps with a larger lora_r"),
    LATER("load_in_4bit", BOOL, "false", "Frozen model in 4 bits.", QUANTIZED),
    LATER("load_in_8bit", BOOL, "false", "Frozen model in 8 bits.", QUANTIZED),
    PATH("adapter_name_or_path", adapter_name_or_path, "hone's own: the adapter to start from."),
    MAPPING("peft_config", peft_config, "hone's own: further members of PEFT's LoraConfig."),
};
KEY_GROUP(adapters, "Adapters");
