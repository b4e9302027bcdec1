/* A model in memory with its weights and gradients, a tape and a stream: what most tests of training need. */
#ifndef HONE_TESTS_SUPPORT_TEST_MODEL_H
#define HONE_TESTS_SUPPORT_TEST_MODEL_H

#include "trainer/models/adapter.h"

typedef struct TestModel {
    Model *model;
    float *weights, *grads;
    Stream *stream;
    Tape tape;
    Arena *arena; /* of adapters; may be NULL */
} TestModel;

/* Fails the test with the message when something does not work. path: a model directory. */
void test_model_open(TestModel *m, const char *path, unsigned isa, int threads);
/* With another config than config.json: a file beside it; NULL. */
void test_model_open_as(TestModel *m, const char *path, const char *config_file, unsigned isa, int threads);
/* With adapters beside its layers; only what trains has gradients. as: the dtype of frozen matrices; DTYPE_COUNT: the
 * file's. */
void test_model_open_adapted(TestModel *m, const char *path, const char *const *adapters, int count, Dtype as,
                             unsigned isa, int threads);
/* From a config's text, with weights drawn from `seed`. */
void test_model_draw(TestModel *m, const char *config, uint64_t seed, unsigned isa, int threads);
void test_model_close(TestModel *m);

/* A batch of sequences laid end to end; position ids, labels (shifted) and samples are made. Free with test_batch_free.
 */
Batch test_batch(const int32_t *ids, const int32_t *cu_seqlens, int num_seqs);
void test_batch_free(Batch *b);

#define assert_ok(call)                                                            \
    do {                                                                           \
        Status assert_ok_status = (call);                                          \
        if (assert_ok_status) fail_msg("%s: %s", #call, status_message());         \
    } while (0)

/* |a - b| <= tolerance * max(|b|max of the array, floor) for all; prints the worst and `what`. */
void assert_close(const char *what, const float *a, const float *b, int64_t n, double tolerance, double floor);

#endif
