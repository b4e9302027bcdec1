/* links: test_support */
/* Processors and warpers against transformers' own (tests/fixtures/generation/logits.json): ties, edges of top_p,
 * order; the draw follows the softmax, and depends on seed, text and position alone. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "tests/generate/generate_test.h"
#include "trainer/generate/logits.h"

enum { MOST = 1000 /* tokens asked for, unless a case says so */ };

/* What the warpers left, as scores: -inf where nothing was. */
static void spread(Logits *l)
{
    for (int64_t i = 0; i < l->vocab; i++) l->scores[i] = -INFINITY;
    for (int64_t i = 0; i < l->count; i++) {
        if (i) assert_true(l->candidates[i - 1].id < l->candidates[i].id);
        l->scores[l->candidates[i].id] = l->candidates[i].score;
    }
}

static void check_case(const cJSON *one, int number)
{
    GenerationConfig config;
    Arena *arena;
    Logits l;
    int64_t length;
    int32_t *ids = integers(member(one, "ids"), &length);
    const cJSON *scores = member(one, "scores"), *want = member(one, "want")->child;
    assert_ok(arena_new(&arena));
    assert_ok(generation_config_resolve(member(one, "options"), NULL, "", DEFAULTS_LIBRARY, arena, &config));
    assert_ok(logits_open(cJSON_GetArraySize(scores), &l));
    float *s = l.scores;
    for (const cJSON *x = scores->child; x; x = x->next) *s++ = (float)x->valuedouble;
    int64_t prompt = (int64_t)member(one, "prompt")->valuedouble;
    int64_t most = config.max_new_tokens > 0 ? prompt + config.max_new_tokens : MOST;
    logits_process(&l, &config, &(TextSoFar){ids, length, prompt, most});
    if (config.do_sample) {
        logits_warp(&l, &config);
        spread(&l);
    }
    for (int64_t i = 0; i < l.vocab; i++, want = want->next) {
        double x = l.scores[i], y = cJSON_IsNull(want) ? -INFINITY : want->valuedouble;
        if (!(x == y || fabs(x - y) <= 1e-6 * (1 + fabs(y)))) {
            char *text = cJSON_PrintUnformatted(member(one, "options"));
            fail_msg("case %d %s: score %d of %d is %g, not %g", number, text, (int)i, (int)l.vocab, x, y);
        }
    }
    logits_close(&l);
    free(ids);
    arena_free(arena);
}

static void scores_equal_those_of_transformers(void **state)
{
    cJSON *cases = fixture("logits.json");
    int number = 0;
    (void)state;
    for (const cJSON *one = cases->child; one; one = one->next) check_case(one, number++);
    assert_true(number > 100);
    cJSON_Delete(cases);
}

static void a_draw_follows_the_softmax(void **state)
{
    enum { VOCAB = 9, DRAWS = 40000 };
    static const float scores[VOCAB] = {0, 1, 2, -1, 0.5f, -INFINITY, 1.5f, -3, 2};
    double total = 0, chi2 = 0;
    int counts[VOCAB] = {0};
    GenerationConfig config;
    Logits l;
    int32_t ids[] = {1};
    (void)state;
    assert_ok(generation_config_resolve(NULL, NULL, "", DEFAULTS_LIBRARY, NULL, &config));
    config.do_sample = true, config.top_k = 0, config.seed = 7;
    assert_ok(logits_open(VOCAB, &l));
    for (int i = 0; i < VOCAB; i++) total += exp((double)scores[i]);
    for (int n = 0; n < DRAWS; n++) { /* numbers of texts and positions both vary */
        memcpy(l.scores, scores, sizeof scores);
        logits_warp(&l, &config);
        counts[logits_draw(&l, logits_uniform(config.seed, n / 200, n % 200))]++;
    }
    assert_int_equal(counts[5], 0);
    for (int i = 0; i < VOCAB; i++) {
        double expected = DRAWS * exp((double)scores[i]) / total;
        if (i != 5) chi2 += (counts[i] - expected) * (counts[i] - expected) / expected;
    }
    assert_true(chi2 < 24.3); /* 7 degrees of freedom: one chance in a thousand */

    for (int i = 0; i < VOCAB; i++) l.scores[i] = scores[i]; /* the ends of [0, 1) */
    logits_warp(&l, &config);
    assert_int_equal(logits_draw(&l, 0), 0);
    assert_int_equal(logits_draw(&l, 1 - 0x1p-53), 8);
    l.scores[5] = 0;
    config.do_sample = false;
    l.scores[2] = l.scores[8] = 9; /* the first of equal ones */
    int32_t id;
    assert_ok(logits_choose(&l, &config, &(TextSoFar){ids, 1, 1, MOST}, 0, &id));
    assert_int_equal(id, 2);
    logits_close(&l);
}

static void numbers_depend_on_seed_text_and_position(void **state)
{
    double x = logits_uniform(42, 3, 9);
    (void)state;
    assert_true(x >= 0 && x < 1 && x == logits_uniform(42, 3, 9));
    assert_true(x != logits_uniform(43, 3, 9) && x != logits_uniform(42, 4, 9) && x != logits_uniform(42, 3, 10));
    assert_true(x != logits_uniform(42 + (1LL << 32), 3, 9) && x != logits_uniform(42, 3 + (1LL << 32), 9));
}

static void scores_that_allow_no_token_are_errors(void **state)
{
    GenerationConfig config;
    Logits l;
    int32_t ids[] = {0, 1, 2}, id;
    (void)state;
    assert_ok(generation_config_resolve(NULL, NULL, "", DEFAULTS_LIBRARY, NULL, &config));
    assert_ok(logits_open(3, &l));
    config.no_repeat_ngram_size = 1;
    for (int i = 0; i < 3; i++) l.scores[i] = 1;
    assert_int_equal(logits_choose(&l, &config, &(TextSoFar){ids, 3, 1, MOST}, 0, &id), STATUS_NUMERIC);
    assert_non_null(strstr(status_message(), "no_repeat_ngram_size"));
    config.no_repeat_ngram_size = 0;
    l.scores[0] = l.scores[2] = 1, l.scores[1] = NAN;
    assert_int_equal(logits_choose(&l, &config, &(TextSoFar){ids, 3, 1, MOST}, 0, &id), STATUS_NUMERIC);
    assert_non_null(strstr(status_message(), "weights"));
    logits_close(&l);
}

/* Too near 0, as f32: all scores become -inf, or the largest inf. */
static void a_temperature_that_leaves_no_scores_is_an_error(void **state)
{
    static const float signs[] = {-1, 1, 0};
    GenerationConfig config;
    Logits l;
    int32_t ids[] = {0}, id;
    (void)state;
    assert_ok(generation_config_resolve(NULL, NULL, "", DEFAULTS_LIBRARY, NULL, &config));
    config.do_sample = true;
    assert_ok(logits_open(3, &l));
    for (int i = 0; i < 9; i++) {
        config.temperature = i < 3 ? 1e-300 : 1e-40;
        config.top_k = i < 6 ? 0 : 2;
        for (int j = 0; j < 3; j++) l.scores[j] = signs[i % 3] == 0 ? (float)(j - 1) : signs[i % 3] * (float)(j + 1);
        assert_int_equal(logits_choose(&l, &config, &(TextSoFar){ids, 1, 1, MOST}, 0, &id), STATUS_NUMERIC);
        assert_non_null(strstr(status_message(), "temperature"));
    }
    logits_close(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scores_equal_those_of_transformers),
        cmocka_unit_test(a_draw_follows_the_softmax),
        cmocka_unit_test(numbers_depend_on_seed_text_and_position),
        cmocka_unit_test(scores_that_allow_no_token_are_errors),
        cmocka_unit_test(a_temperature_that_leaves_no_scores_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
