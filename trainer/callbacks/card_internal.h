/* The parts of the model card that come from the history of the log. */
#ifndef HONE_CALLBACKS_CARD_INTERNAL_H
#define HONE_CALLBACKS_CARD_INTERNAL_H

#include "trainer/callbacks/card.h"

/* The last entry with eval_loss; false: none. */
bool card_last_evaluation(const TrainerState *s, LogEntry *out);
/* "It achieves the following results …"; nothing where there is no evaluation. */
void card_add_results(Text *out, const TrainerState *s);
/* "### Training results": one row for each evaluation; nothing where training has not ended. */
void card_add_table(Text *out, const TrainerState *s);

#endif
