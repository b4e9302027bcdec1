/* How fast texts become ids: bench_tokenizer_tokenize TOKENIZER.json TEXTS [threads [rounds [offsets]]], built with
 * -DHONE_BENCH=ON. Each line of TEXTS is a text; threads take them in hundreds. Prints millions of bytes a second of
 * the best round, the same by processor time (which tells more where others use the machine), and tokens.
 * scripts/reference/tokenizer_bench.py runs it beside the tokenizers library. */
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "trainer/tokenizer/tokenizer.h"

enum { MOST_THREADS = 64, TAKE = 100 };

typedef struct Bench {
    const Tokenizer *tokenizer;
    const char **texts; /* texts[i] to texts[i + 1] - 1 */
    int64_t count;
    unsigned flags;
    atomic_llong next, tokens;
    atomic_bool failed;
} Bench;

static void *encode(void *data)
{
    Bench *b = data;
    Encoding e = {0};
    for (int64_t from; !b->failed && (from = atomic_fetch_add(&b->next, TAKE)) < b->count;) {
        int64_t tokens = 0;
        for (int64_t i = from; i < b->count && i < from + TAKE; i++) {
            size_t size = (size_t)(b->texts[i + 1] - b->texts[i]) - 1;
            if (tokenizer_encode(b->tokenizer, b->texts[i], size, b->flags, &e)) {
                fprintf(stderr, "text %" PRId64 ": %s\n", i + 1, status_message());
                b->failed = true;
                break;
            }
            tokens += e.count;
        }
        atomic_fetch_add(&b->tokens, tokens);
    }
    encoding_free(&e);
    return NULL;
}

static double seconds(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void one_round(Bench *b, int threads, double best[2])
{
    pthread_t all[MOST_THREADS];
    double start = seconds(CLOCK_MONOTONIC), cpu = seconds(CLOCK_PROCESS_CPUTIME_ID);
    b->next = b->tokens = 0;
    for (int i = 1; i < threads; i++)
        if (pthread_create(&all[i], NULL, encode, b)) exit(1);
    encode(b);
    for (int i = 1; i < threads; i++) pthread_join(all[i], NULL);
    start = seconds(CLOCK_MONOTONIC) - start;
    cpu = (seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu) / threads;
    if (start < best[0]) best[0] = start;
    if (cpu < best[1]) best[1] = cpu;
}

int main(int argc, char **argv)
{
    int threads = argc > 3 ? atoi(argv[3]) : 1, rounds = argc > 4 ? atoi(argv[4]) : 5;
    Tokenizer *t = NULL;
    FILE *f = argc > 2 ? fopen(argv[2], "rb") : NULL;
    if (!f || threads < 1 || threads > MOST_THREADS || tokenizer_load(argv[1], &t)) {
        fprintf(stderr, "bench_tokenizer_tokenize TOKENIZER.json TEXTS [threads [rounds [offsets]]]: %s\n",
                status_message());
        return 1;
    }
    fseek(f, 0, SEEK_END);
    size_t size = (size_t)ftell(f);
    char *text = malloc(size + 1);
    rewind(f);
    if (!text || fread(text, 1, size, f) != size) return 1;
    fclose(f);
    Bench b = {.tokenizer = t, .flags = argc > 5 ? ENCODE_OFFSETS : 0};
    int64_t lines = 0;
    for (size_t i = 0; i < size; i++) lines += text[i] == '\n';
    b.texts = malloc(((size_t)lines + 1) * sizeof *b.texts);
    if (!b.texts) return 1;
    b.texts[0] = text;
    for (size_t i = 0; i < size; i++)
        if (text[i] == '\n') b.texts[++b.count] = text + i + 1;
    double best[2] = {1e9, 1e9};
    for (int i = 0; i < rounds; i++) one_round(&b, threads, best);
    printf("%.2f %.2f %lld\n", (double)size / best[0] / 1e6, (double)size / best[1] / 1e6, (long long)b.tokens);
    free(text);
    free(b.texts);
    tokenizer_free(t);
    return b.failed;
}
