/* No option is parsed and then ignored: each key that is honoured is read, as `args->key` or `a->key`, by the sources
 * outside trainer/config, or by the rules inside it that make another field of it. */
#include <ctype.h>
#include <fts.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "trainer/config/keys.h"

#define ROOT FIXTURES "/../.."

static Text outside, inside; /* the sources, without and of trainer/config */

static void read_into(Text *text, const char *path)
{
    char bytes[1 << 14];
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    for (size_t n; (n = fread(bytes, 1, sizeof bytes, f)) > 0;) text_add(text, bytes, n);
    fclose(f);
}

static int read_sources(void **state)
{
    char *const roots[] = {(char[]){ROOT "/trainer"}, (char[]){ROOT "/optim"}, NULL};
    FTS *tree = fts_open(roots, FTS_LOGICAL | FTS_NOCHDIR, NULL);
    (void)state;
    assert_non_null(tree);
    for (FTSENT *e; (e = fts_read(tree));) {
        if (e->fts_info != FTS_F || e->fts_namelen < 2 || strcmp(e->fts_name + e->fts_namelen - 2, ".c")) continue;
        read_into(strstr(e->fts_path, "/trainer/config/") ? &inside : &outside, e->fts_path);
    }
    fts_close(tree);
    assert_false(outside.failed || inside.failed);
    return outside.size > 100000 && inside.size > 10000 ? 0 : -1;
}

static int free_sources(void **state)
{
    (void)state;
    text_free(&outside), text_free(&inside);
    return 0;
}

static bool is_word(char c) { return isalnum((unsigned char)c) || c == '_'; }

/* Some `args->name`, `a->name`, `out->name`; not as the left side of an assignment. */
static bool reads(const Text *text, const char *name)
{
    size_t length = strlen(name);
    for (const char *at = text->data; (at = strstr(at, name)); at += length) {
        const char *end = at + length, *owner = at - 2;
        if (at - text->data < 8 || is_word(*end) || strncmp(owner, "->", 2)) continue;
        bool is_args = strncmp(owner - 4, "args", 4) == 0 && !is_word(owner[-5]);
        bool is_out = strncmp(owner - 3, "out", 3) == 0 && !is_word(owner[-4]);
        bool is_a = owner[-1] == 'a' && !is_word(owner[-2]);
        while (*end == ' ') end++;
        if ((is_args || is_out || is_a) && !(end[0] == '=' && end[1] != '=')) return true;
    }
    return false;
}

static void every_key_that_is_honoured_is_read(void **state)
{
    /* What the rules fold into another field, or take to its only meaning here. */
    static const char *const folded[][2] = {
        {"use_cpu", NULL},                                                 /* device */
        {"ddp_backend", NULL},                                             /* gloo is MPI, and MPI is all there is */
        {"accelerator_config", "even_batches"},                            /* members.c */
        {"activation_checkpointing_kwargs", "checkpoint_every_n_layers"},  /* members.c */
    };
    /* Holds whether it is set or not, as its help says. */
    static const char *const always[] = {"prediction_loss_only"};
    const Key *key;
    int honoured = 0, unread = 0;
    (void)state;
    for (int i = 0; (key = key_at(i)); i++) {
        bool fine = key->class != KEY_HONOURED || reads(&outside, key->name);
        honoured += key->class == KEY_HONOURED;
        for (size_t k = 0; k < sizeof folded / sizeof *folded; k++)
            if (!strcmp(folded[k][0], key->name))
                fine = reads(&inside, key->name) && (!folded[k][1] || reads(&outside, folded[k][1]));
        for (size_t k = 0; k < sizeof always / sizeof *always; k++)
            if (!strcmp(always[k], key->name)) fine = true;
        if (!fine) print_error("`%s` is honoured, and nothing reads it\n", key->name);
        unread += !fine;
    }
    assert_true(honoured > 70);
    assert_int_equal(unread, 0);
}

/* Only the default of a key that is refused is taken, so its reason must be there; and what is accepted says why it
 * has no effect. */
static void every_key_that_is_not_honoured_says_why(void **state)
{
    const Key *key;
    (void)state;
    for (int i = 0; (key = key_at(i)); i++) {
        if (key->class == KEY_ALIAS) {
            assert_non_null(key_find(key->target));
            continue;
        }
        bool needs = key->class != KEY_HONOURED || key->others;
        if (needs && !(key->why && *key->why)) fail_msg("`%s` has no reason", key->name);
        if (key->class != KEY_HONOURED && key->offset >= 0) fail_msg("`%s` has a field that nothing reads", key->name);
    }
}

static void the_search_finds_what_it_should_and_no_more(void **state)
{
    static const struct {
        const char *text;
        bool found;
    } cases[] = {
        {"1234567 x = args->seed;", true},         {"1234567 x = tr->args->seed + 1", true},
        {"1234567 if (a->seed == 1)", true},       {"1234567 if (s->out->seed == 1)", true},
        {"1234567 a->seed = 1;", false},           {"1234567 x = c->seed;", false},
        {"1234567 x = a->seeds;", false},          {"1234567 x = data->seed;", false},
        {"1234567 x = a->data_seed;", false},      {"1234567 x = about->seed;", false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Text text = {0};
        text_add(&text, cases[i].text, strlen(cases[i].text));
        if (reads(&text, "seed") != cases[i].found) fail_msg("%s", cases[i].text);
        text_free(&text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_key_that_is_honoured_is_read),
        cmocka_unit_test(every_key_that_is_not_honoured_says_why),
        cmocka_unit_test(the_search_finds_what_it_should_and_no_more),
    };
    return cmocka_run_group_tests(tests, read_sources, free_sources);
}
