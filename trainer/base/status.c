/* The message of the last error, one buffer a thread. */
#include "trainer/base/status.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { MESSAGE_BYTES = 16384 }; /* lists of missing tensors are long */

static _Thread_local char message[MESSAGE_BYTES];

Status status_raise(Status code, const char *format, ...)
{
    char text[MESSAGE_BYTES]; /* arguments may point into the old message */
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    memcpy(message, text, strlen(text) + 1);
    return code;
}

Status status_prefix(Status code, const char *format, ...)
{
    char text[MESSAGE_BYTES];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (n >= 0 && (size_t)n < sizeof text)
        snprintf(text + n, sizeof text - (size_t)n, ": %.*s", (int)(sizeof text - (size_t)n), message);
    memcpy(message, text, strlen(text) + 1);
    return code;
}

const char *status_message(void) { return message; }

const char *status_name(Status code)
{
    static const char *const names[] = {
        "ok",          "usage error",       "input/output error", "no space",       "format error",
        "missing",     "out of memory",     "unsupported",        "numeric error",  "communication error",
        "locked",      "stopped",           "internal error",
    };
    return (unsigned)code < sizeof names / sizeof *names ? names[code] : "unknown";
}

int status_exit_code(Status code)
{
    switch (code) {
    case OK: return 0;
    case STATUS_USAGE: return 2;
    case STATUS_STOPPED: return 75;
    default: return 1;
    }
}
