/* Errors are values. Every function that can fail returns a Status; the message (what, where, what to do) waits in a
 * buffer of the calling thread until somebody prints it or raises another.
 *
 *     Status header_read(const char *path, Header **out)
 *     {
 *         Status st = OK;
 *         File *f = NULL;
 *         TRY(file_open(path, &f));
 *         if (bad) RAISE(FORMAT, "%s: what is wrong; what to do", path);
 *     done:
 *         file_close(f);
 *         return st;
 *     }
 *
 * One label `done` a function; nothing below main.c calls exit() or abort(). */
#ifndef HONE_BASE_STATUS_H
#define HONE_BASE_STATUS_H

typedef enum Status {
    OK = 0,
    STATUS_USAGE,       /* the command line or the config is wrong: exit 2 */
    STATUS_IO,          /* the operating system said no */
    STATUS_SPACE,       /* no space left, or over quota */
    STATUS_FORMAT,      /* a file's content is not what it should be */
    STATUS_MISSING,     /* a file, key or tensor is not there */
    STATUS_MEMORY,      /* allocation failed */
    STATUS_UNSUPPORTED, /* right, but nothing that hone can do */
    STATUS_NUMERIC,     /* NaN or infinity where training cannot go on */
    STATUS_COMM,        /* another rank, or the network */
    STATUS_LOCKED,      /* another process holds it */
    STATUS_STOPPED,     /* asked to stop, and stopped: exit 75 */
    STATUS_BUG          /* ours */
} Status;

/* Sets this thread's message and returns `code`. */
Status status_raise(Status code, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Puts "prefix: " before this thread's message, for callers that know where; returns `code`. */
Status status_prefix(Status code, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* This thread's message, "" if none; borrowed until the next raise on this thread. */
const char *status_message(void);
/* "format error", …: for logs and tests. */
const char *status_name(Status code);
/* The process exit status that product.md promises for it. */
int status_exit_code(Status code);

#define TRY(call)                  \
    do {                           \
        if ((st = (call)) != OK)   \
            goto done;             \
    } while (0)

#define RAISE(code, ...)                                \
    do {                                                \
        st = status_raise(STATUS_##code, __VA_ARGS__);  \
        goto done;                                      \
    } while (0)

#endif
