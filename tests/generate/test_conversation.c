/* links: test_support */
/* A conversation answers as generate() does that reads everything anew, whatever it kept; prompts are read in parts
 * with the same bits; hooks and max_time end texts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "tests/generate/generate_test.h"

enum { ROOM = 2048 };

typedef struct Fixture {
    TestModel m;
    Generator *g;
    Conversation *c;
    Arena *arena;
    GenerationConfig config;
    int32_t ids[ROOM];
} Fixture;

static void open_fixture(Fixture *f, const char *name)
{
    char path[300];
    *f = (Fixture){0};
    snprintf(path, sizeof path, FIXTURES "/models/%s", name);
    test_model_open(&f->m, path, isa_detect(), 2);
    assert_ok(generator_new(f->m.model, kernels_cpu(isa_detect()), f->m.stream, NULL, &f->g));
    assert_ok(conversation_new(f->g, &f->c));
    assert_ok(arena_new(&f->arena));
    assert_ok(generation_config_resolve(NULL, NULL, "", DEFAULTS_CHAT, f->arena, &f->config));
    for (int i = 0; i < ROOM; i++) f->ids[i] = (int32_t)((uint32_t)i * 2654435761u >> 9) % 319;
}

static void close_fixture(Fixture *f)
{
    conversation_free(f->c);
    generator_free(f->g);
    arena_free(f->arena);
    test_model_close(&f->m);
}

static void same_text(const GeneratedText *a, const GeneratedText *b)
{
    assert_int_equal(a->count, b->count);
    assert_int_equal(a->prompt, b->prompt);
    assert_int_equal(a->finish, b->finish);
    assert_memory_equal(a->ids, b->ids, (size_t)a->count * sizeof *a->ids);
}

/* The conversation's answer to the first `count` ids, which must be the fresh one. */
static const GeneratedText *ask(Fixture *f, int64_t count, int64_t number)
{
    GeneratedText *kept, *fresh;
    const Prompt prompt = {f->ids, count};
    assert_ok(conversation_answer(f->c, &f->config, &prompt, number, NULL, f->arena, &kept));
    assert_ok(generate(f->g, &f->config, &prompt, 1, number, NULL, f->arena, &fresh));
    same_text(kept, fresh);
    return kept;
}

static void check_turns(const char *name, bool keeps)
{
    Fixture f;
    open_fixture(&f, name);
    f.config.max_new_tokens = 6;
    const GeneratedText *first = ask(&f, 7, 0);
    assert_int_equal(conversation_kept(f.c), 0);
    memcpy(f.ids, first->ids, (size_t)first->count * sizeof *f.ids); /* the next turn begins with the answer */
    ask(&f, 20, 1);
    assert_int_equal(conversation_kept(f.c), keeps ? 12 : 0); /* the answer's last token was not read */
    ask(&f, 20, 2); /* the same again: its last token is read for its scores */
    assert_int_equal(conversation_kept(f.c), keeps ? 19 : 0);
    f.ids[9] = (f.ids[9] + 1) % 319; /* the template has written an earlier turn otherwise */
    ask(&f, 24, 3);
    assert_int_equal(conversation_kept(f.c), keeps ? 9 : 0);
    ask(&f, 3, 4); /* a new conversation */
    assert_int_equal(conversation_kept(f.c), keeps ? 2 : 0);
    close_fixture(&f);
}

static void an_answer_is_that_of_a_fresh_reading(void **state)
{
    (void)state;
    check_turns("gpt2_tiny", true);
    check_turns("llama_grouped", true);
    check_turns("mistral_window", true);
    check_turns("gemma2_caps", true);
    check_turns("qwen3_norms", true);
    check_turns("llama_dynamic", false); /* its keys turn with the text's length */
    check_turns("llama_longrope", false);
}

/* Beyond the cache's first capacity and the rows that are read between two questions whether to stop. */
static bool never(void *context)
{
    ++*(int *)context;
    return false;
}

static void long_prompts_are_read_in_parts_with_the_same_bits(void **state)
{
    Fixture f;
    GeneratedText *parts, *whole;
    int asked = 0;
    const GenerateHooks hooks = {.stop = never, .context = &asked};
    (void)state;
    open_fixture(&f, "llama_grouped");
    f.config.max_new_tokens = 5;
    ask(&f, 10, 0);
    for (int64_t count = 600; count <= 1500; count += 900) {
        const Prompt prompt = {f.ids, count};
        asked = 0;
        assert_ok(conversation_answer(f.c, &f.config, &prompt, 1, &hooks, f.arena, &parts));
        assert_true(asked >= 5 + (int)(count / 900));
        assert_ok(generate(f.g, &f.config, &prompt, 1, 1, NULL, f.arena, &whole));
        same_text(parts, whole);
    }
    assert_int_equal(conversation_kept(f.c), 600);
    close_fixture(&f);
}

static bool after_three(void *context) { return ++*(int *)context > 3; }

static void a_hook_ends_texts_where_they_are(void **state)
{
    Fixture f;
    GeneratedText *texts;
    int asked = 0;
    const GenerateHooks hooks = {.stop = after_three, .context = &asked};
    (void)state;
    open_fixture(&f, "gpt2_tiny");
    const Prompt two[] = {{f.ids, 5}, {f.ids + 5, 2}};
    f.config.max_new_tokens = 9;
    assert_ok(generate(f.g, &f.config, two, 2, 0, &hooks, f.arena, &texts));
    for (int i = 0; i < 2; i++) {
        assert_int_equal(texts[i].finish, FINISH_CALLER);
        assert_int_equal(texts[i].count, texts[i].prompt + 3);
    }
    asked = 3; /* before anything is read */
    assert_ok(conversation_answer(f.c, &f.config, two, 0, &hooks, f.arena, &texts));
    assert_true(texts->finish == FINISH_CALLER && texts->count == 5);
    ask(&f, 8, 1);
    asked = 1; /* in the middle: what was read is kept */
    assert_ok(conversation_answer(f.c, &f.config, &(Prompt){f.ids, 30}, 0, &hooks, f.arena, &texts));
    assert_int_equal(texts->count, 32);
    ask(&f, 31, 2);
    assert_int_equal(conversation_kept(f.c), 30);
    close_fixture(&f);
}

static void time_that_is_over_ends_a_text(void **state)
{
    Fixture f;
    GeneratedText *text;
    (void)state;
    open_fixture(&f, "gpt2_tiny");
    f.config.max_time = 1e-9, f.config.max_new_tokens = 9;
    assert_ok(generate(f.g, &f.config, &(Prompt){f.ids, 5}, 1, 0, NULL, f.arena, &text));
    assert_true(text->finish == FINISH_TIME && text->count == 6); /* as the reference: after a token */
    close_fixture(&f);
}

static void after_an_error_a_conversation_reads_its_prompt_anew(void **state)
{
    Fixture f;
    GeneratedText *text;
    int32_t bad[] = {1, 320};
    (void)state;
    open_fixture(&f, "gpt2_tiny");
    f.config.max_new_tokens = 4;
    ask(&f, 10, 0);
    assert_int_equal(conversation_answer(f.c, &f.config, &(Prompt){bad, 2}, 1, NULL, f.arena, &text), STATUS_FORMAT);
    assert_int_equal(conversation_answer(f.c, &f.config, &(Prompt){f.ids, 48}, 1, NULL, f.arena, &text), STATUS_USAGE);
    ask(&f, 12, 2);
    assert_int_equal(conversation_kept(f.c), 0);
    assert_int_equal(conversation_answer(f.c, &f.config, &(Prompt){NULL, 0}, 1, NULL, f.arena, &text), STATUS_USAGE);
    f.config.bos_token_id = 319;
    assert_ok(conversation_answer(f.c, &f.config, &(Prompt){NULL, 0}, 1, NULL, f.arena, &text));
    assert_true(text->ids[0] == 319 && text->count == 5);
    close_fixture(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_answer_is_that_of_a_fresh_reading),
        cmocka_unit_test(long_prompts_are_read_in_parts_with_the_same_bits),
        cmocka_unit_test(a_hook_ends_texts_where_they_are),
        cmocka_unit_test(time_that_is_over_ends_a_text),
        cmocka_unit_test(after_an_error_a_conversation_reads_its_prompt_anew),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
