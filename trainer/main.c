/* hone: finds the command, runs it, turns its status into a line on stderr and an exit status. Nothing below calls
 * exit(). */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "trainer/base/log.h"
#include "trainer/cli/cli.h"

/* The rank that a launcher gave, before MPI is asked: only rank 0 talks. */
static int early_rank(void)
{
    static const char *const names[] = {"OMPI_COMM_WORLD_RANK", "PMIX_RANK"};
    for (int i = 0; i < 2; i++) {
        const char *text = getenv(names[i]);
        if (text && *text) return atoi(text);
    }
    return 0;
}

static void leave(int signal_number)
{
    (void)signal_number;
    _exit(status_exit_code(STATUS_USAGE));
}

/* Every rank finds the same fault in a command line. The others wait before they tell: where rank 0 has told it, the
 * launcher ends them meanwhile, and srun hands on the greatest status that it sees. */
static void tell(Status st, int rank)
{
    if (rank > 0 && !*status_message()) return; /* another rank tells it */
    if (st == STATUS_STOPPED) {
        log_info("%s",
                 *status_message() ? status_message() : "stopped on request; run the same command again to go on");
        return;
    }
    if (st == STATUS_USAGE && rank > 0) {
        signal(SIGTERM, leave);
        usleep(2500 * 1000);
    }
    log_error("%s", *status_message() ? status_message() : status_name(st));
}

static Status run(int argc, char **argv)
{
    const Command *command = command_find(argv[1]);
    if (!command) return command_refuse(argv[1]);
    if (argc > 2 && (strcmp(argv[2], "--help") == 0 || strcmp(argv[2], "-h") == 0)) {
        command_print_help(command);
        return OK;
    }
    return command->run(argc - 2, argv + 2);
}

int main(int argc, char **argv)
{
    if (argc == 2 && (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0)) {
        version_print();
    } else if (argc == 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
        command_print_help(NULL);
    } else if (argc < 2) {
        log_error("a command is missing; `hone help` lists them");
        return 2;
    } else {
        int rank = early_rank();
        log_set(LOG_INFO, rank);
        Status st = run(argc, argv);
        if (st != OK) {
            fflush(stdout);
            tell(st, rank);
            return status_exit_code(st);
        }
    }
    if (fflush(stdout) != 0 || ferror(stdout)) {
        log_error("stdout: cannot write the result; is the disk full?");
        return 1;
    }
    return 0;
}
