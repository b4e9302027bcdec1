/* The lock that gives an output_dir one writer, on the file .hone.lock in it; host and pid are written there for
 * others. */
#ifndef HONE_CHECKPOINT_DIR_LOCK_H
#define HONE_CHECKPOINT_DIR_LOCK_H

#include "trainer/base/status.h"

typedef struct DirLock DirLock;

#define LOCK_NAME ".hone.lock"

/* Waits up to wait_s seconds for another holder, saying so in the log; STATUS_LOCKED names it. */
Status dir_lock_take(const char *dir, double wait_s, DirLock **out);
void dir_lock_release(DirLock *lock); /* removes the file; NULL is fine */

#endif
