/* Walking the tape in reverse, and where gradients go. */
#include <string.h>

#include "trainer/autograd/walk.h"

/* Of `bytes` where it is not a parameter's, whose gradient has its place. */
static void *grad_of(Tape *t, Tensor *x, size_t bytes, bool *accumulate)
{
    *accumulate = x->param ? x->param->grad_written : x->grad != NULL;
    if (x->param) x->param->grad_written = true;
    else if (!x->grad) x->grad = tape_scratch(t, bytes);
    return x->grad;
}

void *tape_grad(Tape *t, Tensor *x, bool *accumulate)
{
    *accumulate = false;
    if (!x || !x->needs_grad || t->error) return NULL;
    if (x->param && x->dtype != DTYPE_F32) {
        tape_fail(t, "tape", "a parameter in %s is an activation here, and its gradient is float32",
                  dtype_name(x->dtype));
        return NULL;
    }
    return grad_of(t, x, tensor_bytes(x), accumulate);
}

float *tape_weight_grad(Tape *t, Tensor *x, bool *accumulate)
{
    *accumulate = false;
    if (!x || !x->needs_grad || t->error) return NULL;
    if (x->on_tape && x->dtype != DTYPE_F32) {
        tape_fail(t, "tape", "a weight in %s was made by an op, whose gradient is not float32", dtype_name(x->dtype));
        return NULL;
    }
    return grad_of(t, x, (size_t)tensor_count(x) * sizeof(float), accumulate);
}

void tape_pass_grad(Tape *t, Tensor *y, Tensor *x)
{
    if (!x || !x->needs_grad || t->error) return;
    if (!x->param && !x->grad) {
        x->grad = y->grad;
        y->grad = NULL;
        return;
    }
    bool accumulate;
    void *dx = tape_grad(t, x, &accumulate);
    if (!dx) return;
    if (accumulate) t->k->add(t->stream, x->dtype, dx, y->grad, tensor_count(x));
    else t->k->copy(t->stream, dx, y->grad, tensor_bytes(x));
}

void tape_give_grad(Tape *t, Tensor *x, void *dx)
{
    Tensor from = {.dtype = x->dtype, .rows = x->rows, .cols = x->cols, .grad = dx};
    tape_pass_grad(t, &from, x);
    if (from.grad) pool_free(&t->pool, from.grad, tensor_bytes(x));
}

/* A use of a parameter is over; after the last its gradient is final. */
static void use_over(Tape *t, Parameter *p)
{
    if (--p->uses == 0 && t->ready) t->ready(t->ready_context, p);
}

TapeMark tape_mark(const Tape *t) { return (TapeMark){region_mark(&t->nodes), region_mark(&t->region)}; }

void tape_release(Tape *t, TapeMark mark)
{
    const unsigned char *from = t->nodes.base + mark.nodes;
    for (int i = 0; i < TAPE_ALL_SLOTS; i++) /* owners above the mark are gone */
        if ((const unsigned char *)t->slots[i].owner >= from) t->slots[i].owner = NULL;
    region_release(&t->nodes, mark.nodes);
    region_release(&t->region, mark.data);
}

void tape_walk(Tape *t, Node *stop)
{
    while (t->last != stop && !t->error) {
        Node *node = t->last;
        t->last = node->prev;
        t->last_end = node->mark;
        if (node->out->grad || node->out->loss) {
            t->began = t->clock;
            node->backward(t, node);
            pool_free(&t->pool, node->out->grad, tensor_bytes(node->out));
            node->out->grad = NULL;
        }
        for (int i = 0; i < node->num_in; i++)
            if (node->in[i] && node->in[i]->param && node->in[i]->needs_grad) use_over(t, node->in[i]->param);
        tape_release(t, node->mark);
    }
}

Status tape_backward(Tape *t, Tensor *y, const void *dy)
{
    Status st = OK;
    TRY(tape_status(t));
    if (!y || (!dy && !y->loss)) RAISE(BUG, "backward needs a loss, or a gradient to start from");
    if (dy && y->needs_grad) {
        bool accumulate;
        void *grad = tape_grad(t, y, &accumulate);
        TRY(tape_status(t));
        t->k->copy(t->stream, grad, dy, tensor_bytes(y));
    }
    t->recomputing = true;
    tape_walk(t, NULL);
    t->recomputing = false;
    TRY(tape_status(t));
done:
    return st;
}
