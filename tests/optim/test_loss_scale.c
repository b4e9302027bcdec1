/* The loss scale moves as torch.amp.GradScaler's with its defaults: what it was asked is replayed here. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "optim/loss_scale.h"

static void good(LossScale *s, int count)
{
    for (int i = 0; i < count; i++) loss_scale_update(s, true);
}

static void it_doubles_after_2000_good_updates_and_halves_after_a_bad_one(void **state)
{
    (void)state;
    LossScale s;
    loss_scale_begin(&s);
    assert_true(s.scale == 65536);
    good(&s, 1999);
    assert_true(s.scale == 65536);
    good(&s, 1);
    assert_true(s.scale == 131072 && s.good_steps == 0);
    good(&s, 1500);
    loss_scale_update(&s, false);
    assert_true(s.scale == 65536);
    good(&s, 1999); /* counted from the bad one on */
    assert_true(s.scale == 65536);
    loss_scale_update(&s, false), loss_scale_update(&s, false);
    assert_true(s.scale == 16384);
}

static void it_never_becomes_infinite(void **state)
{
    (void)state;
    LossScale s = {.scale = 0x1p127f};
    good(&s, 2000);
    assert_true(s.scale == 0x1p127f && s.good_steps == 0);
}

static void one_that_halves_for_ever_is_lost(void **state)
{
    (void)state;
    LossScale s;
    int halved = 0;
    for (loss_scale_begin(&s); !loss_scale_is_lost(&s); halved++) loss_scale_update(&s, false);
    assert_int_equal(halved, 16 + 14); /* below 1e-4 */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_doubles_after_2000_good_updates_and_halves_after_a_bad_one),
        cmocka_unit_test(it_never_becomes_infinite),
        cmocka_unit_test(one_that_halves_for_ever_is_lost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
