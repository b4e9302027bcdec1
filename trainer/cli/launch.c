/* `hone launch -- mpirun …`: mpirun gives its ranks a second when it gets SIGTERM or SIGINT, which is not enough to
 * save. So these are turned into SIGUSR1, which mpirun forwards to all ranks at once: they save and leave with 75, and
 * mpirun hands that on. A run that fails is started again. The child has a process group of its own, so that Ctrl-C on
 * a terminal comes here only. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "trainer/base/log.h"
#include "trainer/cli/cli.h"

enum { KILL_AFTER_S = 10, EXIT_CANNOT_RUN = 127 };

typedef struct Launch {
    char **command;
    int64_t max_restarts;
    double grace_s, delay_s;
    sigset_t signals, old;
    pid_t child;
    bool stopping, terminated; /* asked to save; told to end */
    double deadline;           /* of the next, harder word to the child */
} Launch;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* In the child: never returns. What went wrong goes through the pipe. */
static void become(const Launch *l, int report)
{
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGTERM); /* hone killed: mpirun ends its ranks */
    signal(SIGTTOU, SIG_DFL);
    sigprocmask(SIG_SETMASK, &l->old, NULL);
    execvp(l->command[0], l->command);
    int error = errno;
    if (write(report, &error, sizeof error) < 0) error = 0;
    _exit(EXIT_CANNOT_RUN);
}

/* Where a host's cable is pulled mpirun waits for ever; with these it ends the job within 20 s (measured, Open MPI
 * 4.1). Later than hone's own warning, which names the rank (15 s), sooner than hone's end of the ranks (30 s): once
 * mpirun has words for that host under way it waits again. */
static void set_environment(void)
{
    setenv("OMPI_MCA_oob_tcp_keepalive_time", "10", 0);
    setenv("OMPI_MCA_oob_tcp_keepalive_intvl", "2", 0);
    setenv("OMPI_MCA_oob_tcp_keepalive_probes", "5", 0);
}

static Status start(Launch *l)
{
    int ends[2], error = 0;
    if (pipe2(ends, O_CLOEXEC) != 0) return status_raise(STATUS_IO, "pipe: %s", strerror(errno));
    l->child = fork();
    if (l->child == 0) become(l, ends[1]);
    close(ends[1]);
    if (l->child < 0) {
        close(ends[0]);
        return status_raise(STATUS_IO, "fork: %s", strerror(errno));
    }
    ssize_t n = read(ends[0], &error, sizeof error);
    close(ends[0]);
    if (n <= 0) return OK; /* it runs */
    waitpid(l->child, NULL, 0);
    return status_raise(error == ENOENT ? STATUS_USAGE : STATUS_IO, "%s: cannot start: %s", l->command[0],
                        strerror(error));
}

/* The first word asks to save and stop; the next, or no answer in time, ends the run. */
static void harder(Launch *l, const char *why)
{
    if (!l->stopping) {
        log_info("%s: the run is asked to save and stop", why);
        kill(l->child, SIGUSR1);
        l->stopping = true;
        l->deadline = now() + l->grace_s;
    } else if (!l->terminated) {
        log_warning("%s: the run is ended; its last checkpoint is what remains", why);
        kill(l->child, SIGTERM);
        l->terminated = true;
        l->deadline = now() + KILL_AFTER_S;
    } else {
        kill(-l->child, SIGKILL);
        l->deadline = now() + KILL_AFTER_S;
    }
}

/* Until the child is gone; its exit status, 128 + a signal. */
static int watch(Launch *l)
{
    for (;;) {
        int status;
        pid_t gone = waitpid(l->child, &status, WNOHANG);
        if (gone == l->child) return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
        double left = l->stopping ? l->deadline - now() : 3600;
        if (left <= 0) {
            harder(l, "no end within the time given");
            continue;
        }
        struct timespec limit = {.tv_sec = (time_t)left, .tv_nsec = (long)((left - (double)(time_t)left) * 1e9)};
        int signal_number = sigtimedwait(&l->signals, NULL, &limit);
        if (signal_number == SIGUSR2) kill(l->child, SIGUSR2);
        else if (signal_number > 0 && signal_number != SIGCHLD) harder(l, strsignal(signal_number));
    }
}

/* Sleeps before the next start; true when asked to stop meanwhile. SIGUSR2 is the run's, and there is none now. */
static bool pause_or_stop(Launch *l)
{
    double end = now() + l->delay_s;
    for (double left; (left = end - now()) > 0;) {
        struct timespec limit = {.tv_sec = (time_t)left, .tv_nsec = (long)((left - (double)(time_t)left) * 1e9)};
        int signal_number = sigtimedwait(&l->signals, NULL, &limit);
        if (signal_number > 0 && signal_number != SIGCHLD && signal_number != SIGUSR2) return true;
    }
    return false;
}

static Status keep_running(Launch *l)
{
    for (int64_t restarts = 0;; restarts++) {
        Status st = start(l);
        if (st != OK) return st;
        int code = watch(l);
        if (code == 0) return OK;
        if (code == status_exit_code(STATUS_STOPPED))
            return status_raise(STATUS_STOPPED, "stopped on request; run the same command again to go on");
        if (l->stopping && code == 128 + SIGUSR1) /* mpirun or its ranks were not ready for it */
            return status_raise(STATUS_STOPPED, "stopped on request before the run had begun; run the same command "
                                                "again");
        if (code == status_exit_code(STATUS_USAGE))
            return status_raise(STATUS_USAGE, "%s ended with status 2: the command line or the config is wrong",
                                l->command[0]);
        if (l->stopping || restarts >= l->max_restarts)
            return status_raise(STATUS_COMM, "%s ended with status %d", l->command[0], code);
        log_warning("%s ended with status %d; restart %lld of %lld", l->command[0], code, (long long)restarts + 1,
                    (long long)l->max_restarts);
        if (pause_or_stop(l))
            return status_raise(STATUS_STOPPED,
                                "stopped on request between two starts; run the same command again to go on");
    }
}

static Status run(int argc, char **argv)
{
    static const int numbers[] = {SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2, SIGCHLD};
    Status st = OK;
    Launch l = {.grace_s = 300, .delay_s = 2};
    int first;
    const Option options[] = {
        {.name = "max_restarts", .type = OPTION_INT, .into = &l.max_restarts, .least = 0, .most = 1e6},
        {.name = "grace", .type = OPTION_REAL, .into = &l.grace_s, .least = 0, .most = 1e6},
        {.name = "restart_delay", .type = OPTION_REAL, .into = &l.delay_s, .least = 0, .most = 1e6},
    };
    TRY(options_parse(argc, argv, options, 3, &first));
    if (first >= argc) RAISE(USAGE, "launch needs a command: hone launch -- mpirun -np 2 hone train run.yaml");
    l.command = argv + first;
    sigemptyset(&l.signals);
    struct sigaction hangup;
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) sigaddset(&l.signals, numbers[i]);
    if (sigaction(SIGHUP, NULL, &hangup) == 0 && hangup.sa_handler == SIG_IGN)
        sigdelset(&l.signals, SIGHUP); /* nohup */
    sigprocmask(SIG_BLOCK, &l.signals, &l.old);
    set_environment();
    st = keep_running(&l);
    sigprocmask(SIG_SETMASK, &l.old, NULL);
done:
    return st;
}

const Command command_launch = {
    .name = "launch",
    .usage = "launch [--max_restarts N] [--grace SECONDS] [--restart_delay SECONDS] -- mpirun ...",
    .summary = "Runs mpirun, gives its ranks the time to save on SIGTERM, restarts after failures.",
    .run = run,
    .help = "SIGTERM, SIGINT and SIGHUP become SIGUSR1 for mpirun, which hands it to all ranks: they save and stop, "
            "and the exit status is\n"
            "75. A second signal, or no end within --grace (300), ends the run as it is.\n"
            "  --max_restarts   start again this often when the run fails (0); put resume_from_checkpoint: true into "
            "the config, so\n"
            "                   that it goes on from its newest checkpoint. A wrong config (2) and a requested stop "
            "(75) are final.\n"
            "  --restart_delay  seconds before that (2)\n",
};
