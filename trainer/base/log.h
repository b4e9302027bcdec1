/* Everything for people goes to stderr through here; results go to stdout. Only rank 0 talks below LOG_ERROR. */
#ifndef HONE_BASE_LOG_H
#define HONE_BASE_LOG_H

#include <stdbool.h>
#include <stdio.h>

typedef enum LogLevel { LOG_DEBUG, LOG_INFO, LOG_WARNING, LOG_ERROR } LogLevel;

void log_set(LogLevel least, int rank); /* default: LOG_INFO, rank 0 */
bool log_wants(LogLevel level);
/* One line, "hone: " before it ("hone: warning: ", "hone: error: "; with the rank's number where it is not 0).
 * Thread-safe; clears a progress bar that is being drawn first. */
void log_line(LogLevel level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define log_debug(...) log_line(LOG_DEBUG, __VA_ARGS__)
#define log_info(...) log_line(LOG_INFO, __VA_ARGS__)
#define log_warning(...) log_line(LOG_WARNING, __VA_ARGS__)
#define log_error(...) log_line(LOG_ERROR, __VA_ARGS__)

/* Columns of the terminal that shows stderr, 80 where it does not say; 0: none does. */
int log_terminal_width(void);
/* The progress bar's own line: drawn in place on a terminal, removed by the next log_line, drawn again after it.
 * NULL removes it. */
void log_status(const char *text);

#endif
