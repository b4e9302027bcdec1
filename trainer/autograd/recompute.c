/* Blocks whose insides are not kept (Chen et al. 2016, "Training deep nets with sublinear memory cost").
 *
 * Forward runs the block without recording, moves its output down to where its insides began, and keeps its input.
 * Backward runs it again, recording this time and with the same numbers for dropout, then walks what that pushed.
 * Blocks nest. */
#include <string.h>

#include "trainer/autograd/ops.h"
#include "trainer/autograd/walk.h"

typedef struct RecomputeNode {
    Node node;
    BlockFn *block;
    const void *layer;
    const Batch *batch;
    uint32_t op;
    int blocks;
} RecomputeNode;

static void backward(Tape *t, Node *node)
{
    RecomputeNode *n = (RecomputeNode *)node;
    Node *before = t->last;
    size_t end = t->last_end, mark = region_mark(&t->region);
    uint32_t op = t->op;
    int blocks = t->blocks;
    bool record = t->record;
    t->last_end = mark;
    t->op = n->op;
    t->blocks = n->blocks;
    t->record = true;
    Tensor *y = n->block(t, n->layer, node->in[0], n->batch);
    if (y && y->needs_grad) {
        if (y == node->in[0]) {
            tape_pass_grad(t, node->out, y);
        } else {
            y->grad = node->out->grad;
            node->out->grad = NULL;
        }
        tape_walk(t, before);
    }
    t->last = before;
    t->last_end = end;
    t->op = op;
    t->blocks = blocks;
    t->record = record;
    tape_release(t, mark);
}

/* Moves y, made above mark, down to it: [y's data][y]. */
static Tensor *move_down(Tape *t, Tensor *y, size_t mark)
{
    Tensor copy = *y;
    const void *content = y->data;
    tape_release(t, mark);
    void *home = region_alloc(&t->region, tensor_bytes(&copy));
    if (home != content) memmove(home, content, tensor_bytes(&copy)); /* down, or its own place */
    Tensor *out = region_alloc(&t->region, sizeof *out);
    *out = (Tensor){.dtype = copy.dtype,
                    .rows = copy.rows,
                    .cols = copy.cols,
                    .slot = -1,
                    .on_tape = true,
                    .data = home,
                    .needs_grad = copy.needs_grad};
    return out;
}

Tensor *op_recompute(Tape *t, BlockFn *block, const void *layer, Tensor *x, const Batch *batch)
{
    if (!TAPE_CHECK(t, "recompute", x)) return NULL;
    bool drop = !t->wants_grad || !t->record || (t->checkpointing && t->blocks % t->checkpoint_every == 0);
    int blocks = ++t->blocks;
    if (!drop) return block(t, layer, x, batch);

    uint32_t op = t->op;
    bool record = t->record;
    size_t mark = region_mark(&t->region);
    x->needed = true;
    t->record = false;
    Tensor *y = block(t, layer, x, batch);
    t->record = record;
    if (!y) return NULL;
    if (y == x) return y;
    bool needs_grad = y->needs_grad;
    y = move_down(t, y, mark);
    y->needs_grad = needs_grad;
    if (!t->record || !needs_grad) return y;
    RecomputeNode *n = TAPE_PUSH(t, RecomputeNode, "recompute", backward, NULL, y, x);
    if (n) n->block = block, n->layer = layer, n->batch = batch, n->op = op, n->blocks = blocks;
    return y;
}
