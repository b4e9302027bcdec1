/* Which modules an adapter is for, as PEFT 0.21 decides it (check_target_module_exists). */
#ifndef HONE_NN_LORA_MATCH_H
#define HONE_NN_LORA_MATCH_H

#include "trainer/nn/lora.h"

/* The module is `name`, or ends with ".name". */
bool lora_ends(const char *module, const char *name);
/* Python's re.fullmatch(prefix + pattern, module). A pattern that is none raises its error in *st. */
bool lora_matches(const char *prefix, const char *pattern, const char *module, Status *st);
/* usual: targets of a config that names none. used: marks those of its names that fit. */
bool lora_targets(const LoraConfig *c, LoraNames usual, const char *module, bool *used, Status *st);
/* modules_to_save: the module itself or what lies in it. */
bool lora_config_saves(const LoraConfig *c, const char *module, bool *used);
/* The value for this module, or the one for all. */
double lora_value(const LoraException *list, int count, double otherwise, const char *module, Status *st);

#endif
