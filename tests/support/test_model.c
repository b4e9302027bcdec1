/* See test_model.h. */
#include "tests/support/test_model.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void bind(TestModel *m, unsigned isa, int threads)
{
    size_t bytes = ((size_t)m->model->params.flat_count * sizeof(float) + 63) / 64 * 64;
    m->weights = aligned_alloc(64, bytes);
    m->grads = aligned_alloc(64, bytes);
    assert_non_null(m->weights);
    assert_non_null(m->grads);
    memset(m->weights, 0, bytes);
    memset(m->grads, 0xff, bytes); /* NaN: a gradient that nobody wrote shows */
    parameters_bind(&m->model->params, m->weights, m->grads);
    m->stream = stream_new_cpu(threads);
    assert_non_null(m->stream);
    assert_ok(tape_open(&m->tape, kernels_cpu(isa), m->stream, &m->model->params));
}

void test_model_open_as(TestModel *m, const char *path, const char *config_file, unsigned isa, int threads)
{
    cJSON *config;
    char file[1024];
    *m = (TestModel){0};
    if (config_file) {
        snprintf(file, sizeof file, "%s/%s", path, config_file);
        assert_ok(json_read_file(file, &config));
    } else {
        assert_ok(model_config_read(path, &config));
    }
    assert_ok(model_new(config, path, &m->model));
    bind(m, isa, threads);
    assert_ok(model_load(m->model, path));
}

void test_model_open(TestModel *m, const char *path, unsigned isa, int threads)
{
    test_model_open_as(m, path, NULL, isa, threads);
}

void test_model_open_adapted(TestModel *m, const char *path, const char *const *adapters, int count, Dtype as,
                             unsigned isa, int threads)
{
    cJSON *config;
    LoraSet *set;
    *m = (TestModel){0};
    assert_ok(arena_new(&m->arena));
    assert_ok(adapters_read(adapters, count, m->arena, &set));
    assert_ok(model_config_read(path, &config));
    assert_ok(model_new_adapted(config, path, set, &m->model));
    bind(m, isa, threads);
    assert_ok(model_freeze(m->model, kernels_cpu(isa), m->stream, path, as));
    assert_ok(model_load(m->model, path));
}

void test_model_draw(TestModel *m, const char *config, uint64_t seed, unsigned isa, int threads)
{
    cJSON *json;
    *m = (TestModel){0};
    assert_ok(json_parse(config, strlen(config), "test config", &json));
    assert_ok(model_new(json, "test config", &m->model));
    bind(m, isa, threads);
    model_draw(m->model, seed);
}

void test_model_close(TestModel *m)
{
    tape_close(&m->tape);
    model_free(m->model);
    stream_free(m->stream);
    free(m->weights);
    free(m->grads);
    arena_free(m->arena);
}

Batch test_batch(const int32_t *ids, const int32_t *cu_seqlens, int num_seqs)
{
    int32_t rows = cu_seqlens[num_seqs];
    int32_t *block = malloc((size_t)(4 * rows + 2 * num_seqs + 2) * sizeof *block);
    assert_non_null(block);
    int32_t *own = block, *positions = block + rows, *labels = block + 2 * rows, *cu = block + 3 * rows,
            *sample = cu + num_seqs + 1;
    Batch b = {.num_seqs = num_seqs,
               .rows = rows,
               .ids = own,
               .position_ids = positions,
               .labels = labels,
               .cu_seqlens = cu,
               .sample = sample};
    memcpy(own, ids, (size_t)rows * sizeof *ids);
    memcpy(cu, cu_seqlens, (size_t)(num_seqs + 1) * sizeof *cu);
    for (int s = 0; s < num_seqs; s++) {
        int32_t begin = cu[s], length = cu[s + 1] - begin;
        for (int32_t t = 0; t < length; t++) {
            positions[begin + t] = t;
            labels[begin + t] = t + 1 < length ? ids[begin + t + 1] : -100;
        }
        sample[s] = s;
        if (length > b.max_seqlen) b.max_seqlen = b.padded_width = length;
        b.targets += length ? length - 1 : 0;
        b.hf_targets += length;
    }
    return b;
}

void test_batch_free(Batch *b) { free((void *)(uintptr_t)b->ids); }

void assert_close(const char *what, const float *a, const float *b, int64_t n, double tolerance, double floor)
{
    double largest = floor, worst = 0;
    int64_t where = 0;
    for (int64_t i = 0; i < n; i++) largest = fabs((double)b[i]) > largest ? fabs((double)b[i]) : largest;
    for (int64_t i = 0; i < n; i++) {
        double difference = fabs((double)a[i] - (double)b[i]);
        if (!(difference <= worst)) worst = difference, where = i; /* NaN too */
        if (isnan(difference)) break;
    }
    if (!(worst <= tolerance * largest))
        fail_msg("%s: element %lld is %.9g, should be %.9g (largest %.3g, allowed %.3g)", what, (long long)where,
                 (double)a[where], (double)b[where], largest, tolerance * largest);
}
