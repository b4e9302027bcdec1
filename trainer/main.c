/* hone: finds the command, runs it, turns its status into a line on stderr and an exit status. Nothing below calls
 * exit(). */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "trainer/base/log.h"
#include "trainer/cli/cli.h"

/* The rank that a launcher gave, before MPI is asked: only rank 0 talks. -1: no launcher. */
static int early_rank(void)
{
    static const char *const names[] = {"OMPI_COMM_WORLD_RANK", "PMIX_RANK"};
    for (int i = 0; i < 2; i++) {
        const char *text = getenv(names[i]);
        if (text && *text) return atoi(text);
    }
    return -1;
}

/* A file that hone writes must not become descriptor 1 or 2, where results and log lines go: what the parent closed is
 * filled with something that refuses them. */
static void fill_standard_files(void)
{
    for (int fd = 0; fd <= 2; fd++)
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", fd ? O_RDONLY : O_WRONLY) < 0) return;
}

static int leave_with;
static void leave(int signal_number)
{
    (void)signal_number;
    _exit(leave_with);
}

/* A launcher ends the other ranks as soon as one has left with an error: those who have nothing to say leave last, with
 * their own status, since srun hands on the greatest that it sees. */
static void let_others_speak(Status st, int wait_ms)
{
    leave_with = status_exit_code(st);
    signal(SIGTERM, leave);
    usleep((useconds_t)wait_ms * 1000);
}

/* Every rank finds the same fault in a command line, and is stopped at the same step: rank 0 tells it. Without a
 * message another rank tells it, or this one has told it. */
static void tell(Status st, int rank)
{
    const char *message = status_message();
    if (rank > 0 && st == STATUS_USAGE && *message) let_others_speak(st, 2500);
    else if (!*message || (rank > 0 && st == STATUS_STOPPED)) let_others_speak(st, 500);
    if (!*message && rank < 0) message = status_name(st);
    if (st == STATUS_STOPPED) log_info("%s", message); /* of rank 0 only */
    else if (*message) log_error("%s", message);
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
    fill_standard_files();
    if (argc == 2 && (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0)) {
        version_print();
    } else if (argc == 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
        command_print_help(NULL);
    } else if (argc < 2) {
        log_error("a command is missing; `hone help` lists them");
        return 2;
    } else {
        int rank = early_rank();
        log_set(LOG_INFO, rank > 0 ? rank : 0);
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
