/* What a model is given: sequences laid end to end, without padding (architecture.md, 1). */
#ifndef HONE_TENSOR_BATCH_H
#define HONE_TENSOR_BATCH_H

#include "kernels/device.h"
#include "trainer/base/status.h"

enum { SAMPLE_BITS = 20, SAMPLE_MASK = (1 << SAMPLE_BITS) - 1 };

typedef struct Batch {
    int32_t num_seqs;             /* B; 0 is a batch with nothing in it */
    int32_t max_seqlen;           /* longest sequence */
    int32_t padded_width;         /* the width to which the reference would have padded; 0: it would not have */
    int64_t rows;                 /* T, all sequences together */
    const int32_t *ids;           /* [T], each in [0, vocab_size) */
    const int32_t *position_ids;  /* [T], 0.. in each sequence */
    const int32_t *token_type_ids;/* [T] or NULL */
    const int32_t *labels;        /* [T] aligned with the row that predicts them; -100: ignored; NULL: none */
    const int32_t *cu_seqlens;    /* [B + 1] */
    const int32_t
        *sample; /* [B] index of each sequence in the update, over ranks and micro-batches: dropout's numbers. Of
                  * several sequences in one example: its index + their number in it << SAMPLE_BITS */
    int64_t targets;              /* labels that are not -100 */
    int64_t hf_targets;           /* what the Hugging Face Trainer would have counted (trainer_semantics.md, 4) */
} Batch;

/* Room where the stream's kernels work: data are collated on the host, ops read them there. For two batches, so that
 * one goes there while the other is computed with. */
typedef struct BatchSlot {
    int32_t *staging, *memory;
    int64_t capacity;          /* of both, elements */
    DeviceMark *copied, *used; /* staging may be written again; memory may */
} BatchSlot;

typedef struct BatchRoom {
    Stream *stream, *copies; /* that computes and has the memory; a queue beside it */
    const DeviceRanks *queues;
    BatchSlot slots[2];
    int now; /* the slot of the last batch */
} BatchRoom;

/* *out: host's numbers, with its arrays in the room; good for what is queued on the stream before the next call. host's
 * arrays may change at once, but for a stream on the CPU: there *out is `host` itself. */
Status batch_place(BatchRoom *room, const Kernels *k, Stream *s, const Batch *host, Batch *out);
void batch_room_free(BatchRoom *room); /* all zero is fine; before the stream is freed */

#endif
