/* Shared by backward.c and recompute.c only. */
#ifndef HONE_AUTOGRAD_WALK_H
#define HONE_AUTOGRAD_WALK_H

#include "trainer/autograd/tape.h"

void tape_walk(Tape *t, Node *stop);         /* backward of all nodes after `stop` */
TapeMark tape_mark(const Tape *t);
void tape_release(Tape *t, TapeMark mark); /* gives memory back down to mark, forgetting slots of what was above */
void *tape_from_region(Tape *t, size_t bytes);
/* The head of a tensor without data; NULL: no memory. */
Tensor *tape_header(Tape *t, Dtype dtype, int64_t rows, int64_t cols);

#endif
