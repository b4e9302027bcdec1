/* links: test_support */
/* A text depends on its prompt, the config and its number alone: not on the batch, nor on threads. Where texts end, and
 * what cannot begin. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "tests/generate/generate_test.h"

enum { PROMPTS = 11, ROOM = 48 };

typedef struct Fixture {
    TestModel m;
    Generator *g;
    Arena *arena;
    GenerationConfig config;
    int32_t ids[PROMPTS][ROOM];
    Prompt prompts[PROMPTS];
} Fixture;

static void open_fixture(Fixture *f, int threads)
{
    static const int lengths[PROMPTS] = {5, 1, 17, 3, 30, 2, 8, 1, 40, 12, 4};
    *f = (Fixture){0};
    test_model_open(&f->m, FIXTURES "/models/gpt2_tiny", isa_detect(), threads);
    assert_ok(generator_new(f->m.model, kernels_cpu(isa_detect()), f->m.stream, NULL, &f->g));
    assert_ok(arena_new(&f->arena));
    for (int p = 0; p < PROMPTS; p++) {
        for (int i = 0; i < lengths[p]; i++) f->ids[p][i] = (int32_t)((uint32_t)(p * 64 + i) * 2654435761u >> 9) % 319;
        f->prompts[p] = (Prompt){f->ids[p], lengths[p]};
    }
    assert_ok(generation_config_resolve(NULL, NULL, "", DEFAULTS_PIPELINE, f->arena, &f->config));
}

static void close_fixture(Fixture *f)
{
    generator_free(f->g);
    arena_free(f->arena);
    test_model_close(&f->m);
}

static void a_text_does_not_depend_on_batch_or_threads(void **state)
{
    (void)state;
    for (int answers = 1; answers <= 3; answers += 2) {
        int32_t first[PROMPTS * 3][ROOM] = {{0}};
        int64_t counts[PROMPTS * 3] = {0};
        int ended = 0;
        for (int threads = 1; threads <= 3; threads++) {
            Fixture f;
            open_fixture(&f, threads);
            f.config.eos_token_id = (IdList){(int32_t[]){60, 90}, 2}; /* some texts end sooner */
            f.config.max_new_tokens = 14, f.config.num_return_sequences = answers;
            f.config.repetition_penalty = 1.05;
            static const int sizes[] = {PROMPTS, 1, 4};
            for (size_t s = 0; s < 3; s++)
                for (int begin = 0; begin < PROMPTS; begin += sizes[s]) {
                    int n = begin + sizes[s] < PROMPTS ? sizes[s] : PROMPTS - begin;
                    GeneratedText *texts;
                    assert_ok(generate(f.g, &f.config, f.prompts + begin, n, begin, NULL, f.arena, &texts));
                    for (int i = 0; i < n * answers; i++) {
                        int at = begin * answers + i;
                        if (threads == 1 && s == 0) {
                            counts[at] = texts[i].count;
                            memcpy(first[at], texts[i].ids, (size_t)texts[i].count * sizeof *first[at]);
                        }
                        ended += texts[i].finish == FINISH_EOS;
                        assert_int_equal(texts[i].count, counts[at]);
                        assert_memory_equal(texts[i].ids, first[at], (size_t)counts[at] * sizeof *first[at]);
                    }
                }
            close_fixture(&f);
        }
        assert_true(ended > 0);
        if (answers == 3) assert_memory_not_equal(first[0], first[1], sizeof first[0]); /* answers differ */
    }
}

static void another_seed_gives_other_texts(void **state)
{
    Fixture f;
    GeneratedText *one, *two, *again;
    (void)state;
    open_fixture(&f, 1);
    f.config.max_new_tokens = 20;
    assert_ok(generate(f.g, &f.config, f.prompts, 1, 0, NULL, f.arena, &one));
    f.config.seed++;
    assert_ok(generate(f.g, &f.config, f.prompts, 1, 0, NULL, f.arena, &two));
    f.config.seed--;
    assert_ok(generate(f.g, &f.config, f.prompts, 1, 0, NULL, f.arena, &again));
    assert_memory_equal(one->ids, again->ids, (size_t)one->count * sizeof *one->ids);
    assert_memory_not_equal(one->ids, two->ids, (size_t)one->count * sizeof *one->ids);
    close_fixture(&f);
}

static void texts_end_where_the_model_cannot_read_on(void **state)
{
    Fixture f;
    GeneratedText *texts;
    (void)state;
    open_fixture(&f, 1);
    f.config.max_new_tokens = 20;
    assert_ok(generate(f.g, &f.config, f.prompts + 7, 2, 0, NULL, f.arena, &texts));
    assert_true(texts[0].count == 21 && texts[0].prompt == 1 && texts[0].finish == FINISH_LENGTH);
    assert_true(texts[1].count == 48 && texts[1].prompt == 40 && texts[1].finish == FINISH_POSITIONS);
    f.config.max_new_tokens = -1, f.config.max_length = 4;
    assert_ok(generate(f.g, &f.config, f.prompts + 3, 1, 0, NULL, f.arena, &texts));
    assert_true(texts[0].count == 4 && texts[0].finish == FINISH_LENGTH);
    assert_int_equal(generate(f.g, &f.config, f.prompts + 3, 4, 5, NULL, f.arena, &texts),
                     STATUS_USAGE); /* 5 tokens in 4 */
    assert_non_null(strstr(status_message(), "text 7 has 30 tokens, and max_length is 4"));
    close_fixture(&f);
}

static void prompts_that_cannot_be_read_are_errors(void **state)
{
    Fixture f;
    GeneratedText *texts;
    int32_t many[48] = {0}, bad[] = {1, 320}, negative[] = {-1};
    (void)state;
    open_fixture(&f, 1);
    assert_int_equal(generate(f.g, &f.config, &(Prompt){many, 48}, 1, 0, NULL, f.arena, &texts), STATUS_USAGE);
    assert_non_null(strstr(status_message(), "text 1 has 48 tokens; the model reads 48"));
    assert_int_equal(generate(f.g, &f.config, &(Prompt){bad, 2}, 1, 2, NULL, f.arena, &texts), STATUS_FORMAT);
    assert_non_null(strstr(status_message(), "text 3: token id 320"));
    assert_int_equal(generate(f.g, &f.config, &(Prompt){negative, 1}, 1, 0, NULL, f.arena, &texts),
                     STATUS_FORMAT);
    assert_int_equal(generate(f.g, &f.config, &(Prompt){NULL, 0}, 1, 0, NULL, f.arena, &texts), STATUS_USAGE);
    assert_non_null(strstr(status_message(), "bos_token_id"));
    f.config.bos_token_id = 319, f.config.max_new_tokens = 3;
    assert_ok(generate(f.g, &f.config, &(Prompt){NULL, 0}, 1, 0, NULL, f.arena, &texts));
    assert_true(texts->prompt == 1 && texts->count == 4 && texts->ids[0] == 319);
    close_fixture(&f);
}

typedef struct Heard {
    int32_t ids[2][ROOM];
    int count[2];
} Heard;

static bool hear(void *context, int text, int32_t id)
{
    Heard *h = context;
    h->ids[text][h->count[text]++] = id;
    return text || h->count[0] < 4; /* the first text is told to end after four */
}

static void tokens_are_told_as_they_come_and_the_listener_may_end_a_text(void **state)
{
    Fixture f;
    GeneratedText *texts;
    Heard h = {0};
    const GenerateHooks hooks = {.token = hear, .context = &h};
    int32_t eos;
    (void)state;
    open_fixture(&f, 2);
    f.config.max_new_tokens = 9;
    assert_ok(generate(f.g, &f.config, f.prompts, 2, 0, &hooks, f.arena, &texts));
    assert_true(h.count[0] == 4 && h.count[1] == 9);
    assert_true(texts[0].finish == FINISH_CALLER && texts[0].count == 5 + 4 && texts[1].finish == FINISH_LENGTH);
    assert_memory_equal(h.ids[1], texts[1].ids + texts[1].prompt, 9 * sizeof(int32_t));
    eos = h.ids[1][2], f.config.eos_token_id = (IdList){&eos, 1};
    h = (Heard){0};
    assert_ok(generate(f.g, &f.config, f.prompts, 2, 0, &hooks, f.arena, &texts));
    assert_true(texts[1].finish == FINISH_EOS && texts[1].ids[texts[1].count - 1] == eos);
    close_fixture(&f);
}

static void weights_that_are_no_numbers_are_told(void **state)
{
    Fixture f;
    GeneratedText *texts;
    (void)state;
    open_fixture(&f, 1);
    f.m.weights[f.m.model->head->offset + 5] = (float)NAN;
    assert_int_equal(generate(f.g, &f.config, f.prompts, 1, 0, NULL, f.arena, &texts), STATUS_NUMERIC);
    assert_non_null(strstr(status_message(), "weights"));
    close_fixture(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_text_does_not_depend_on_batch_or_threads),
        cmocka_unit_test(another_seed_gives_other_texts),
        cmocka_unit_test(texts_end_where_the_model_cannot_read_on),
        cmocka_unit_test(prompts_that_cannot_be_read_are_errors),
        cmocka_unit_test(tokens_are_told_as_they_come_and_the_listener_may_end_a_text),
        cmocka_unit_test(weights_that_are_no_numbers_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
