/* Blocks whose insides are not kept (Chen et al. 2016, "Training deep nets with sublinear memory cost").
 *
 * Forward runs the block without recording, moves its output down to where its insides began, and keeps its input.
 * Backward runs it again, recording this time and with the same numbers for dropout, then walks what that pushed.
 * Blocks nest. */
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
    TapeMark end = t->last_end, mark = tape_mark(t);
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

/* Moves bytes down to where they may overlap with what they were. */
static void move(Tape *t, void *to, const void *from, size_t bytes)
{
    uintptr_t low = (uintptr_t)to, high = (uintptr_t)from;
    if (low > high) low = (uintptr_t)from, high = (uintptr_t)to;
    if (high - low >= bytes) {
        t->k->copy(t->stream, to, from, bytes);
    } else if (high != low) {
        void *between = tape_scratch(t, bytes);
        if (!between) return;
        t->k->copy(t->stream, between, from, bytes);
        t->k->copy(t->stream, to, between, bytes);
        tape_scratch_free(t, between, bytes);
    }
}

/* Moves y, made above mark, down to it. */
static Tensor *move_down(Tape *t, Tensor *y, TapeMark mark)
{
    Tensor from = *y;
    tape_release(t, mark);
    Tensor *out = tape_header(t, from.dtype, from.rows, from.cols);
    if (!out || !(out->data = tape_from_region(t, tensor_bytes(&from)))) return NULL;
    out->needs_grad = from.needs_grad;
    move(t, out->data, from.data, tensor_bytes(&from));
    return t->error ? NULL : out;
}

Tensor *op_recompute(Tape *t, BlockFn *block, const void *layer, Tensor *x, const Batch *batch)
{
    if (!TAPE_CHECK(t, "recompute", x)) return NULL;
    bool drop = !t->wants_grad || !t->record || (t->checkpointing && t->blocks % t->checkpoint_every == 0);
    int blocks = ++t->blocks;
    if (!drop) return block(t, layer, x, batch);

    uint32_t op = t->op;
    bool record = t->record;
    TapeMark mark = tape_mark(t);
    x->needed = true;
    t->record = false;
    Tensor *y = block(t, layer, x, batch);
    t->record = record;
    if (!y) return NULL;
    if (y == x) return y;
    y = move_down(t, y, mark);
    if (!y || !t->record || !y->needs_grad) return y;
    RecomputeNode *n = TAPE_PUSH(t, RecomputeNode, "recompute", backward, NULL, y, x);
    if (n) n->block = block, n->layer = layer, n->batch = batch, n->op = op, n->blocks = blocks;
    return y;
}
