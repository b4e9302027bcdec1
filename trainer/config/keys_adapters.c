/* Keys of adapters (TRL's ModelConfig). Members of PEFT's LoraConfig are members of the mapping peft_config, not keys.
 */
#include "trainer/config/keys.h"

#define NO_ADAPTERS "adapters are not in this version; leave it out to train all weights"

static const Key keys[] = {
    LATER("use_peft", BOOL, "false", "Train an adapter; the model is frozen.", NO_ADAPTERS),
    LATER("lora_r", INT, "16", "Rank of the adapter.", NO_ADAPTERS),
    LATER("lora_alpha", INT, "32", "Numerator of its scale.", NO_ADAPTERS),
    LATER("lora_dropout", REAL, "0.05", "Dropout on its input.", NO_ADAPTERS),
    LATER("lora_target_modules", LIST, NULL, "Modules that get one.", NO_ADAPTERS),
    LATER("lora_modules_to_save", LIST, NULL, "Modules trained whole.", NO_ADAPTERS),
    LATER("lora_task_type", TEXT, "CAUSAL_LM", "For adapter_config.json.", NO_ADAPTERS),
    LATER("use_rslora", BOOL, "false", "Scale alpha/sqrt(r).", NO_ADAPTERS),
    LATER("use_dora", BOOL, "false", "Weight-decomposed adapter.", NO_ADAPTERS),
    LATER("load_in_4bit", BOOL, "false", "Frozen model in 4 bits.", NO_ADAPTERS),
    LATER("load_in_8bit", BOOL, "false", "Frozen model in 8 bits.", NO_ADAPTERS),
    LATER("adapter_name_or_path", PATH, NULL, "hone's own: the adapter to start from.", NO_ADAPTERS),
    LATER("peft_config", MAPPING, NULL, "hone's own: further members of LoraConfig.", NO_ADAPTERS),
};
KEY_GROUP(adapters, "Adapters");
