/* Training an adapter beside a frozen model, and what the trainer asks in either case: where the model is, how weights
 * are read. */
#ifndef HONE_TRAINER_ADAPTERS_H
#define HONE_TRAINER_ADAPTERS_H

#include "trainer/trainer.h"

/* Finds the model's directory (tr->model_dir) and the adapter, if there is one (tr->adapters). (this rank alone) */
Status adapters_open(Trainer *tr, bool training);
/* The frozen weights, where the kernels work. (this rank alone) */
Status adapters_place(Trainer *tr);
/* Into the flat array: the model as the run begins, or as a checkpoint has it. (this rank alone) */
Status adapters_read_weights(Trainer *tr, const char *checkpoint);
Status adapters_read_checkpoint(Trainer *tr, const char *checkpoint); /* where the rest is there already */
/* The name of the file of weights, without .safetensors. */
const char *adapters_file(const Trainer *tr);

#endif
