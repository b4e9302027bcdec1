/* The scratch of models. */
#include "trainer/tokenizer/model_scratch.h"

#include <stdatomic.h>
#include <stdlib.h>

static atomic_uint_fast64_t serials;

uint64_t model_serial(void) { return atomic_fetch_add(&serials, 1) + 1; }

static void scratch_free(void *data)
{
    ModelScratch *s = data;
    if (!s) return;
    for (size_t i = 0; i < sizeof s->buffers / sizeof *s->buffers; i++) free(s->buffers[i].data);
    word_cache_free(&s->cache);
    free(s);
}

Status model_scratch(Work *w, uint64_t serial, ModelScratch **out)
{
    Status st = OK;
    ModelScratch *s = w->model;
    *out = s;
    if (s && w->model_serial == serial) return OK;
    scratch_free(s);
    w->model = s = calloc(1, sizeof *s);
    w->model_free = scratch_free;
    w->model_serial = serial;
    if (!s) RAISE(MEMORY, "no memory for the tokenizer");
    TRY(word_cache_new(&s->cache));
    *out = s;
done:
    if (st) scratch_free(s), w->model = NULL;
    return st;
}
