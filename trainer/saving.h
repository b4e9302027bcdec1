/* What saving and resuming share. */
#ifndef HONE_TRAINER_SAVING_H
#define HONE_TRAINER_SAVING_H

#include "trainer/trainer.h"

/* mirror.c. On the CPU: nothing to do. */
float *mirror_weights(Trainer *tr);      /* between take or open and free */
float *mirror_state(Trainer *tr, int i); /* of the optimizer */
bool mirror_is_apart(const Trainer *tr); /* saving waits for the save before, whose files are written from it */
Status mirror_open(Trainer *tr);
Status mirror_take(Trainer *tr);         /* from the device, all that there is */
Status mirror_give_weights(Trainer *tr); /* to the device, and their copies in fewer bits there */
Status mirror_give_states(Trainer *tr);
void mirror_free(Trainer *tr);

/* Where this rank's optimizer states lie; in arena. */
Status optimizer_piece(Trainer *tr, Arena *arena, OptimizerPiece *out);

/* The step of the best checkpoint, which rotation keeps; -1: none. */
int64_t best_saved_step(const Trainer *tr);

/* What a run must know to go on, and trainer_state.json (whose keys are the reference's) has no place for: metadata of
 * the optimizer's files. */
enum { NOTES = 12, NOTE_BYTES = 128 };
typedef struct Notes {
    MetadataPair pairs[NOTES];
    char texts[NOTES][NOTE_BYTES];
    size_t count;
} Notes;
void notes_take(const Trainer *tr, Notes *out); /* pairs point into *out */
/* Puts back what they say; warns where this run differs from the one that took them. step: the checkpoint's. */
void notes_apply(Trainer *tr, const MetadataPair *pairs, size_t count, int64_t step);

#endif
