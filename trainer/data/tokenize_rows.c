/* A ring of chunks. The feeding thread fills them and, in the same order, empties those that are done; the threads take
 * whichever is next. A chunk ends after 64 KB of text, or with a group, so memory does not grow with the data. */
#include "trainer/data/tokenize_rows.h"

#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "trainer/data/input.h"

enum { CHUNK_BYTES = 1 << 16 };

typedef struct ChunkRow {
    size_t begin, bytes;
    const char *path;
    int64_t line;
} ChunkRow;

typedef struct Chunk {
    Bytes text;
    ChunkRow *rows;
    int64_t count, capacity;
    bool ends_group, is_done;
    IdList made;
    Status st; /* of tokenizing, with its message */
    char *message;
} Chunk;

struct TokenizeRows {
    RowEncoder *encode;
    void *encoder;
    TokenizeSink *sink;
    void *context;
    Chunk *ring;
    int64_t ring_size;
    pthread_t *threads;
    int thread_count;
    pthread_mutex_t mutex;
    pthread_cond_t filled_one, done_one;
    int64_t filled, taken, emptied; /* chunks, over the whole run; chunk i lies at ring[i % ring_size] */
    bool stopping;
};

Status id_list_reserve(IdList *l, int64_t more)
{
    if (l->capacity - l->count >= more) return OK;
    const int64_t capacity = (l->count + more) * 2;
    int32_t *grown = realloc(l->ids, (size_t)capacity * sizeof *grown);
    if (!grown) return status_raise(STATUS_MEMORY, "no memory for %" PRId64 " ids", capacity);
    l->ids = grown;
    l->capacity = capacity;
    return OK;
}

static Status tokenize(void *tokenizer, Encoding *e, const char *text, size_t bytes, IdList *out)
{
    Status st = OK;
    TRY(tokenizer_encode(tokenizer, text, bytes, ENCODE_SPECIAL, e));
    TRY(id_list_reserve(out, e->count));
    if (e->count) memcpy(out->ids + out->count, e->ids, (size_t)e->count * sizeof *e->ids);
    out->count += e->count;
done:
    return st;
}

static void encode_chunk(const TokenizeRows *t, Chunk *c, Encoding *e)
{
    Status st = OK;
    c->made.count = 0;
    for (int64_t i = 0; i < c->count && st == OK; i++) {
        const ChunkRow *row = &c->rows[i];
        st = t->encode(t->encoder, e, c->text.data + row->begin, row->bytes, &c->made);
        if (st != OK) status_prefix(st, "%s: line %" PRId64, row->path, row->line);
    }
    c->st = st;
    if (st != OK) c->message = strdup(status_message());
}

static void *work(void *context)
{
    TokenizeRows *t = context;
    Encoding e = {0};
    pthread_mutex_lock(&t->mutex);
    for (;;) {
        while (!t->stopping && t->taken == t->filled) pthread_cond_wait(&t->filled_one, &t->mutex);
        if (t->stopping) break;
        Chunk *c = &t->ring[t->taken++ % t->ring_size];
        pthread_mutex_unlock(&t->mutex);
        encode_chunk(t, c, &e);
        pthread_mutex_lock(&t->mutex);
        c->is_done = true;
        pthread_cond_signal(&t->done_one); /* only the feeding thread waits for it */
    }
    pthread_mutex_unlock(&t->mutex);
    encoding_free(&e);
    return NULL;
}

/* The threads take no signals: they are the program's. */
static Status start_threads(TokenizeRows *t, int threads)
{
    Status st = OK;
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    for (; t->thread_count < threads; t->thread_count++)
        if (pthread_create(&t->threads[t->thread_count], NULL, work, t) != 0) break;
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (t->thread_count == 0) RAISE(MEMORY, "cannot start a thread to tokenize with");
done:
    return st;
}

Status tokenize_rows_new(const Tokenizer *tokenizer, int threads, TokenizeSink *sink, void *context, TokenizeRows **out)
{
    return tokenize_rows_new_by(tokenize, (void *)(uintptr_t)tokenizer, threads, sink, context, out);
}

Status tokenize_rows_new_by(RowEncoder *encode, void *encoder, int threads, TokenizeSink *sink, void *context,
                            TokenizeRows **out)
{
    Status st = OK;
    TokenizeRows *t = calloc(1, sizeof *t);

    *out = NULL;
    if (!t) RAISE(MEMORY, "no memory to tokenize with");
    t->encode = encode;
    t->encoder = encoder;
    t->sink = sink;
    t->context = context;
    t->ring_size = 2 * (int64_t)threads + 2;
    pthread_mutex_init(&t->mutex, NULL);
    pthread_cond_init(&t->filled_one, NULL);
    pthread_cond_init(&t->done_one, NULL);
    t->ring = calloc((size_t)t->ring_size, sizeof *t->ring);
    t->threads = calloc((size_t)threads, sizeof *t->threads);
    if (!t->ring || !t->threads) RAISE(MEMORY, "no memory to tokenize with");
    TRY(start_threads(t, threads));
    *out = t;
    t = NULL;
done:
    tokenize_rows_free(t);
    return st;
}

void tokenize_rows_free(TokenizeRows *t)
{
    if (!t) return;
    pthread_mutex_lock(&t->mutex);
    t->stopping = true;
    pthread_cond_broadcast(&t->filled_one);
    pthread_mutex_unlock(&t->mutex);
    for (int i = 0; i < t->thread_count; i++) pthread_join(t->threads[i], NULL);
    for (int64_t i = 0; t->ring && i < t->ring_size; i++) {
        free(t->ring[i].text.data);
        free(t->ring[i].rows);
        free(t->ring[i].made.ids);
        free(t->ring[i].message);
    }
    free(t->ring);
    free(t->threads);
    pthread_cond_destroy(&t->filled_one);
    pthread_cond_destroy(&t->done_one);
    pthread_mutex_destroy(&t->mutex);
    free(t);
}

/* Waits for the oldest chunk and gives it to the sink. */
static Status empty_one(TokenizeRows *t)
{
    Status st = OK;
    Chunk *c = &t->ring[t->emptied % t->ring_size];
    pthread_mutex_lock(&t->mutex);
    while (!c->is_done) pthread_cond_wait(&t->done_one, &t->mutex);
    pthread_mutex_unlock(&t->mutex);
    if (c->st != OK) {
        st = status_raise(c->st, "%s", c->message ? c->message : "out of memory");
        goto done;
    }
    TRY(t->sink(t->context, c->made.ids, c->made.count, c->ends_group));
    c->count = 0;
    c->text.size = 0;
    c->is_done = c->ends_group = false;
    t->emptied++;
done:
    return st;
}

/* Hands the chunk that is being filled to the threads. */
static Status publish(TokenizeRows *t)
{
    Status st = OK;
    pthread_mutex_lock(&t->mutex);
    t->filled++;
    pthread_cond_signal(&t->filled_one);
    pthread_mutex_unlock(&t->mutex);
    if (t->filled - t->emptied == t->ring_size) TRY(empty_one(t));
done:
    return st;
}

Status tokenize_rows_feed(TokenizeRows *t, const char *text, size_t bytes, const char *path, int64_t line,
                          bool ends_group)
{
    Status st = OK;
    Chunk *c = &t->ring[t->filled % t->ring_size];
    if (c->count == c->capacity) {
        const int64_t capacity = c->capacity ? c->capacity * 2 : 64;
        ChunkRow *grown = realloc(c->rows, (size_t)capacity * sizeof *grown);
        if (!grown) RAISE(MEMORY, "no memory for %" PRId64 " rows", capacity);
        c->rows = grown;
        c->capacity = capacity;
    }
    c->rows[c->count++] = (ChunkRow){.begin = c->text.size, .bytes = bytes, .path = path, .line = line};
    if (!bytes_add(&c->text, text, bytes) || !bytes_put(&c->text, '\0')) TRY(STATUS_MEMORY);
    c->ends_group = ends_group;
    if (ends_group || c->text.size >= CHUNK_BYTES) TRY(publish(t));
done:
    return st;
}

Status tokenize_rows_finish(TokenizeRows *t)
{
    Status st = OK;
    if (t->ring[t->filled % t->ring_size].count) TRY(publish(t));
    while (t->emptied < t->filled) TRY(empty_one(t));
done:
    return st;
}
