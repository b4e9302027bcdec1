/* hone eval: metrics of a model. */
#include "trainer/cli/cli.h"
#include "trainer/trainer.h"

static Status run(int argc, char **argv) { return command_with_arguments(argc, argv, trainer_eval); }

const Command command_eval = {
    .name = "eval",
    .usage = "eval [CONFIG.yaml] [--key value ...]",
    .summary = "Metrics of a model on the validation or test set.",
    .run = run,
    .help = "Prints one JSON object on stdout; with output_dir it goes to eval_results.json there, too. Keys are\n"
            "those of `hone args`: model_name_or_path, validation_file (or test_file),\n"
            "per_device_eval_batch_size, block_size, ...\n",
};
