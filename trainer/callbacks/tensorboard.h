/* TensorBoard's event file, written by hand: a stream of records (length, masked crc32c, protobuf, masked crc32c),
 * each flushed. Names as the Trainer's: eval_x is eval/x, test_x is test/x, all else train/x (transformers 5.23,
 * integrations rewrite_logs). */
#ifndef HONE_CALLBACKS_TENSORBOARD_H
#define HONE_CALLBACKS_TENSORBOARD_H

#include <stddef.h>
#include <stdint.h>

#include "trainer/base/status.h"
#include "trainer/callbacks/state.h"

typedef struct TensorBoard TensorBoard;

/* Makes dir/events.out.tfevents.<seconds>.<host>.<pid>.0. cut_step >= 0 (a resume): readers are told to forget what
 * earlier files of the directory have of later steps. */
Status tensorboard_open(const char *dir, int64_t cut_step, TensorBoard **out);
/* A text, shown under "text": tag "args" is stored as args/text_summary, as torch's writer does. Step 0. */
Status tensorboard_text(TensorBoard *tb, const char *tag, const char *text);
/* Every value of the entry but `step`. NULL tb is fine. */
Status tensorboard_log(TensorBoard *tb, int64_t step, const LogEntry *e);
Status tensorboard_close(TensorBoard *tb); /* NULL is fine */

/* For tests. crc32c (Castagnoli) of the bytes, and as records mask it. */
uint32_t crc32c(const void *data, size_t size);
uint32_t crc32c_masked(const void *data, size_t size);
/* One record, framed, of a scalar. Appends. */
void tensorboard_scalar_record(Text *out, double wall_time, int64_t step, const char *tag, float value);

#endif
