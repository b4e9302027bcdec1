/* Passes over the model: prompts, and the tokens that follow. A pass allocates nothing once its room is there. */
#include "trainer/generate/generator.h"

#include <stdlib.h>
#include <string.h>

enum { SCORES_AT_ONCE = 32 }; /* scores of so many texts come from a device in one copy */

/* dynamic and longrope turn a token by the length of the text that it is read in (nn/rope.c). */
static bool rotations_move(const Model *m)
{
    static const char *const names[] = {"rope_parameters", "rope_scaling"}, *const types[] = {"rope_type", "type"};
    for (int i = 0; i < 4; i++) {
        const cJSON *rope = cJSON_GetObjectItemCaseSensitive(m->config, names[i / 2]),
                    *type = cJSON_GetObjectItemCaseSensitive(rope, types[i % 2]);
        if (cJSON_IsString(type) && (!strcmp(type->valuestring, "dynamic") || !strcmp(type->valuestring, "longrope") ||
                                     !strcmp(type->valuestring, "su")))
            return true;
    }
    return false;
}

Status generator_new(const Model *model, const Kernels *k, Stream *stream, const Tokenizer *tokenizer, Generator **out)
{
    Status st = OK;
    Generator *g = calloc(1, sizeof *g);
    if (!g) RAISE(MEMORY, "out of memory");
    g->model = model;
    g->tokenizer = tokenizer;
    g->rotations_move = rotations_move(model);
    g->k = *k;
    if (k->linear_forward_alone) g->k.linear_forward = k->linear_forward_alone;
    TRY(logits_open(model->vocab_size, &g->logits));
    TRY(tape_open(&g->tape, &g->k, stream, NULL));
    if (stream_is_device(stream)) {
        size_t bytes = SCORES_AT_ONCE * (size_t)model->vocab_size * sizeof *g->scores;
        if (!(g->scores = stream_allocate_host(stream, bytes)))
            RAISE(MEMORY, "out of memory: scores of %lld tokens", (long long)model->vocab_size);
    }
    *out = g;
    return OK;
done:
    generator_free(g);
    return st;
}

void generator_free(Generator *g)
{
    if (!g) return;
    batch_room_free(&g->room);
    if (g->tape.k) {
        stream_release_host(g->tape.stream, g->scores);
        tape_close(&g->tape);
    }
    logits_close(&g->logits);
    free(g);
}

Status pass_room_new(Arena *arena, int64_t rows, int num_seqs, PassRoom *out)
{
    Status st = OK;
    TRY_NEW(arena, out->ids, rows + 1);
    TRY_NEW(arena, out->positions, rows + 1);
    TRY_NEW(arena, out->cu, num_seqs + 1);
    TRY_NEW(arena, out->sample, num_seqs + 1);
done:
    return st;
}

/* The scores after the last row of each sequence of the batch. [num_seqs, vocab] on the tape; NULL: the tape has
 * failed. */
static const float *last_scores(Tape *t, const Model *m, Tensor *hidden, const Batch *batch)
{
    if (!hidden) return NULL;
    Tensor *last = hidden;
    if (batch->rows != batch->num_seqs) {
        last = tape_new(t, hidden->dtype, batch->num_seqs, hidden->cols);
        for (int i = 0; last && i < batch->num_seqs; i++)
            t->k->copy(t->stream, (float *)last->data + i * hidden->cols,
                       (const float *)hidden->data + (batch->cu_seqlens[i + 1] - 1) * hidden->cols,
                       (size_t)hidden->cols * sizeof(float));
    }
    Tensor *scores = last ? op_linear(t, last, &m->head->value, NULL, OUT_IN, ACT_NONE) : NULL;
    return scores ? scores->data : NULL;
}

Status generator_read(Generator *g, KvCache *cache, const PassRoom *room, const GeneratedText *texts, const int *which,
                      int count, int64_t most, const float **scores)
{
    Status st = OK;
    Tape *t = &g->tape;
    Batch b = {.num_seqs = count, .ids = room->ids, .position_ids = room->positions, .cu_seqlens = room->cu,
               .sample = room->sample};
    for (int i = 0; i < count; i++) {
        const GeneratedText *text = &texts[which[i]];
        int64_t from = kv_cache_length(cache, which[i]), n = text->count - from < most ? text->count - from : most;
        room->cu[i] = (int32_t)b.rows;
        for (int64_t j = 0; j < n; j++)
            room->ids[b.rows + j] = text->ids[from + j], room->positions[b.rows + j] = (int32_t)(from + j);
        b.rows += n;
        if (n > b.max_seqlen) b.max_seqlen = b.padded_width = (int32_t)n;
    }
    room->cu[count] = (int32_t)b.rows;
    TRY(batch_place(&g->room, t->k, t->stream, &b, &g->placed));
    TRY(kv_cache_begin(cache, which, &b, &g->placed));
    tape_begin(t, TAPE_EVAL, &g->placed, 0);
    t->cache = cache;
    *scores = last_scores(t, g->model, model_forward(t, g->model, &g->placed), &b);
    TRY(tape_status(t));
    kv_cache_advance(cache);
done:
    t->cache = NULL;
    return st;
}

Status generator_fetch(Generator *g, const float *scores, int i, int count, const float **out)
{
    Tape *t = &g->tape;
    int64_t vocab = g->model->vocab_size;
    int first = i / SCORES_AT_ONCE * SCORES_AT_ONCE;
    *out = g->scores ? g->scores + (i - first) * vocab : scores + i * vocab;
    if (i > first || (i && !g->scores)) return OK;
    if (g->scores) {
        int64_t rows = count - first < SCORES_AT_ONCE ? count - first : SCORES_AT_ONCE;
        t->k->copy(t->stream, g->scores, scores + first * vocab, (size_t)(rows * vocab) * sizeof *scores);
    }
    stream_sync(t->stream);
    return tape_status(t);
}
