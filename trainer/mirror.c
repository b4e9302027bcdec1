/* The host's copies of what lies on a device. Files are read and written here, so the rooms that do that know nothing
 * of devices; and a save goes on from the copy while the next updates change the original. */
#include <stdlib.h>

#include "trainer/saving.h"

bool mirror_is_apart(const Trainer *tr) { return stream_is_device(tr->machine.stream); }

static size_t weights_bytes(const Trainer *tr) { return (size_t)tr->model->params.flat_count * sizeof(float); }
static size_t state_bytes(const Trainer *tr) { return (size_t)optimizer_state_count(tr->optimizer) * sizeof(float); }
static int num_states(const Trainer *tr) { return tr->optimizer ? optimizer_num_states(tr->optimizer) : 0; }

/* Zero at first: the gaps between parameters stay so. */
static Status allocate(float **array, size_t bytes)
{
    if (*array || (*array = calloc(1, bytes + 1))) return OK;
    return status_raise(STATUS_MEMORY, "out of memory: %zu MB for what is loaded and saved", bytes >> 20);
}

Status mirror_open(Trainer *tr)
{
    Status st = OK;
    if (!mirror_is_apart(tr)) return OK;
    TRY(allocate(&tr->mirror.weights, weights_bytes(tr)));
    for (int i = 0; i < num_states(tr); i++) TRY(allocate(&tr->mirror.states[i], state_bytes(tr)));
done:
    return st;
}

void mirror_free(Trainer *tr)
{
    free(tr->mirror.weights);
    for (int i = 0; i < 2; i++) free(tr->mirror.states[i]);
    tr->mirror = (Mirror){0};
}

float *mirror_weights(Trainer *tr) { return mirror_is_apart(tr) ? tr->mirror.weights : tr->model->params.weights; }

float *mirror_state(Trainer *tr, int i)
{
    return mirror_is_apart(tr) ? tr->mirror.states[i] : optimizer_state(tr->optimizer, i);
}

static Status copy(Trainer *tr, void *to, const void *from, size_t bytes)
{
    tr->machine.k->copy(tr->machine.stream, to, from, bytes);
    stream_sync(tr->machine.stream);
    return machine_check(&tr->machine);
}

Status mirror_take(Trainer *tr)
{
    Status st = OK;
    if (!mirror_is_apart(tr)) return OK;
    TRY(mirror_open(tr));
    TRY(copy(tr, tr->mirror.weights, tr->model->params.weights, weights_bytes(tr)));
    for (int i = 0; i < num_states(tr); i++)
        TRY(copy(tr, tr->mirror.states[i], optimizer_state(tr->optimizer, i), state_bytes(tr)));
done:
    return st;
}

Status mirror_give_weights(Trainer *tr)
{
    Status st = OK;
    if (mirror_is_apart(tr)) TRY(copy(tr, tr->model->params.weights, tr->mirror.weights, weights_bytes(tr)));
    precision_refresh_all(tr);
done:
    return st;
}

Status mirror_give_states(Trainer *tr)
{
    Status st = OK;
    for (int i = 0; mirror_is_apart(tr) && i < num_states(tr); i++)
        TRY(copy(tr, optimizer_state(tr->optimizer, i), tr->mirror.states[i], state_bytes(tr)));
done:
    return st;
}
