/* Lines for people, on stderr. A line is one write, so that lines of several ranks do not mix. The progress bar is
 * drawn on a terminal only; a line takes it away, and puts it back below itself. */
#include "trainer/base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { LINE_BYTES = 20000, STATUS_BYTES = 512 }; /* a line holds the longest message of status.c */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static _Atomic int least_level = LOG_INFO, my_rank;
static char bar[STATUS_BYTES];

void log_set(LogLevel least, int rank)
{
    atomic_store(&least_level, (int)least);
    atomic_store(&my_rank, rank);
}

bool log_wants(LogLevel level)
{
    if (level >= LOG_ERROR) return true;
    return (int)level >= atomic_load(&least_level) && atomic_load(&my_rank) == 0;
}

/* Where the reader of a pipe is gone there is nobody to tell, and the run goes on: SIGPIPE is held back for this write,
 * and taken away. stdout keeps its meaning (`hone args | head`). */
static void put(const char *data, size_t size)
{
    sigset_t broken, old;
    sigemptyset(&broken);
    sigaddset(&broken, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &broken, &old);
    while (size) {
        ssize_t n = write(STDERR_FILENO, data, size);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0 && errno == EPIPE) sigtimedwait(&broken, NULL, &(struct timespec){0});
        if (n <= 0) break;
        data += n, size -= (size_t)n;
    }
    pthread_sigmask(SIG_SETMASK, &old, NULL);
}

void log_line(LogLevel level, const char *format, ...)
{
    static const char *const names[] = {"debug: ", "", "warning: ", "error: "};
    if (!log_wants(level)) return;
    char line[LINE_BYTES];
    int rank = atomic_load(&my_rank);
    int n = rank ? snprintf(line, sizeof line, "hone: rank %d: %s", rank, names[level])
                 : snprintf(line, sizeof line, "hone: %s", names[level]);
    va_list args;
    va_start(args, format);
    int m = vsnprintf(line + n, sizeof line - (size_t)n - 1, format, args);
    va_end(args);
    size_t size = strlen(line);
    if (m < 0) return;
    line[size++] = '\n';
    pthread_mutex_lock(&lock);
    if (bar[0]) put("\r\033[K", 4);
    put(line, size);
    if (bar[0]) put(bar, strlen(bar));
    pthread_mutex_unlock(&lock);
}

/* The ranks of an mpirun have a pipe to it for stderr, which it hands on as it comes: they write on its terminal, if it
 * has one. mpirun is the parent of its ranks on its own host; elsewhere that is a daemon without a terminal. Opened is
 * /dev/tty, the same one: /dev/pts/N may be another user's (su). */
static int launcher_terminal(void)
{
    struct stat mine;
    char path[64], name[64] = "";
    if (!getenv("OMPI_COMM_WORLD_RANK") || fstat(STDERR_FILENO, &mine) || !S_ISFIFO(mine.st_mode)) return -1;
    snprintf(path, sizeof path, "/proc/%ld/fd/2", (long)getppid());
    if (readlink(path, name, sizeof name - 1) < 0) return -1;
    if (strncmp(name, "/dev/pts/", 9) && strncmp(name, "/dev/tty", 8) && strcmp(name, "/dev/console")) return -1;
    return open("/dev/tty", O_RDONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
}

int log_terminal_width(void)
{
    struct winsize window = {0};
    int launcher = isatty(STDERR_FILENO) ? -1 : launcher_terminal(), fd = launcher >= 0 ? launcher : STDERR_FILENO;
    int width = !isatty(fd) ? 0 : ioctl(fd, TIOCGWINSZ, &window) == 0 && window.ws_col ? window.ws_col : 80;
    if (launcher >= 0) close(launcher);
    return width;
}

/* At most as wide as the terminal (a character of UTF-8 counts one): a wrapped bar cannot be taken away. */
static void fit(const char *text, size_t width)
{
    size_t i = 0;
    for (size_t columns = 0; text[i] && i < sizeof bar - 1; i++) {
        bool starts = ((unsigned char)text[i] & 0xC0) != 0x80;
        if (starts && ++columns >= width) break;
        bar[i] = text[i];
    }
    bar[i] = '\0';
}

void log_status(const char *text)
{
    int width = log_terminal_width();
    if (!width) return;
    pthread_mutex_lock(&lock);
    if (bar[0] || text) put("\r\033[K", 4);
    bar[0] = '\0';
    if (text) {
        fit(text, (size_t)width);
        put(bar, strlen(bar));
    }
    pthread_mutex_unlock(&lock);
}
