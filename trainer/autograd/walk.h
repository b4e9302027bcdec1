/* Shared by backward.c and recompute.c only. */
#ifndef HONE_AUTOGRAD_WALK_H
#define HONE_AUTOGRAD_WALK_H

#include "trainer/autograd/tape.h"

void tape_walk(Tape *t, Node *stop);         /* backward of all nodes after `stop` */
void tape_release(Tape *t, size_t mark); /* gives the region back down to mark, forgetting slots of what was above */

#endif
