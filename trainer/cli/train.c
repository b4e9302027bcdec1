/* hone train: a whole run. */
#include "trainer/cli/cli.h"
#include "trainer/trainer.h"

static Status run(int argc, char **argv) { return command_with_arguments(argc, argv, trainer_train); }

const Command command_train = {
    .name = "train",
    .usage = "train [CONFIG.yaml] [--key value ...]",
    .summary = "Train; evaluate, log, save, rotate and resume as the config says.",
    .run = run,
    .help = "Keys are those of `hone args`; one on the command line wins over the file. On several ranks:\n"
            "  mpirun -np 4 hone train run.yaml --learning_rate 1e-4\n"
            "\n"
            "  --dry_run                      show the first examples as the model will see them, and stop\n"
            "\n"
            "Exit status: 0 done; 1 failed; 2 the config is wrong; 75 stopped on request (SIGUSR1, SIGTERM,\n"
            "max_time) after saving: the same command with resume_from_checkpoint: true goes on.\n",
};
