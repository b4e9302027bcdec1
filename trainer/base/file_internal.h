/* What file.c and dir.c share. */
#ifndef HONE_BASE_FILE_INTERNAL_H
#define HONE_BASE_FILE_INTERNAL_H

#include "trainer/base/file.h"

/* Asks the hook: 0, or the errno to fail with. */
int file_ask(FileOp op, const char *path);
int file_ask_sized(const FileCall *call, size_t *size);
/* Raises "path: cannot what: why" with the status that `error`, an errno, stands for. */
Status file_fail(const char *what, const char *path, int error);
/* beside: a temporary name in path's directory, this process's own; dir: that directory. Each has `room` bytes. */
void file_names_beside(const char *path, char *beside, char *dir, size_t room);

#endif
