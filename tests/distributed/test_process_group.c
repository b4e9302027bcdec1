/* What ranks say to one another, run alone and with several ranks. */
#include "tests/distributed/mpi_test.h"

#include <stdio.h>
#include <string.h>

static void sums_and_maxima_are_over_all_ranks(void **state)
{
    (void)state;
    int n = world->size, r = world->rank;
    int64_t sums[2] = {r + 1, INT64_C(1) << 40}, most[2] = {-r, r};
    assert_int_equal(group_sum_i64(world, sums, 2), OK);
    assert_int_equal(sums[0], n * (n + 1) / 2);
    assert_int_equal(sums[1], (INT64_C(1) << 40) * n);
    assert_int_equal(group_max_i64(world, most, 2), OK);
    assert_int_equal(most[0], 0);
    assert_int_equal(most[1], n - 1);
}

static void doubles_are_added_in_rank_order(void **state)
{
    (void)state;
    static const double values[] = {1, 1e-16, 1e-16, 1e-16, 1e16, -1e16};
    double mine = values[world->rank % 6], expected = values[0];
    for (int r = 1; r < world->size; r++) expected += values[r % 6];
    assert_int_equal(group_sum_double(world, &mine, 1), OK);
    assert_memory_equal(&mine, &expected, sizeof mine);
}

static void broadcast_and_gather_move_every_byte(void **state)
{
    (void)state;
    enum { BYTES = 100003 };
    unsigned char *all = malloc((size_t)world->size * BYTES), *mine = malloc(BYTES);
    for (int i = 0; i < BYTES; i++) mine[i] = (unsigned char)(i * 7 + world->rank);
    assert_int_equal(group_all_gather(world, mine, all, BYTES), OK);
    for (int r = 0; r < world->size; r++)
        for (int i = 0; i < BYTES; i++) assert_int_equal(all[r * BYTES + i], (unsigned char)(i * 7 + r));
    assert_int_equal(group_broadcast(world, mine, BYTES, world->size - 1), OK);
    for (int i = 0; i < BYTES; i++) assert_int_equal(mine[i], (unsigned char)(i * 7 + world->size - 1));
    free(all);
    free(mine);
}

static void exchange_delivers_ragged_parts(void **state)
{
    (void)state;
    int n = world->size;
    size_t send_bytes[64] = {0}, send_at[64] = {0}, receive_bytes[64] = {0}, receive_at[64] = {0}, used = 0;
    unsigned char send[64 * 64] = {0}, receive[64 * 64] = {0};
    for (int r = 0; r < n; r++) { /* to r: (rank + 2r) % 5 bytes, some of them none */
        send_bytes[r] = (size_t)(world->rank + 2 * r) % 5;
        send_at[r] = used;
        memset(send + used, world->rank * 16 + r, send_bytes[r]);
        used += send_bytes[r];
        receive_bytes[r] = (size_t)(r + 2 * world->rank) % 5;
        receive_at[r] = (size_t)(n - 1 - r) * 64;
    }
    assert_int_equal(group_exchange(world, send, send_bytes, send_at, receive, receive_bytes, receive_at), OK);
    for (int r = 0; r < n; r++)
        for (size_t i = 0; i < receive_bytes[r]; i++)
            assert_int_equal(receive[receive_at[r] + i], r * 16 + world->rank);
}

static void parts_become_everybodys(void **state)
{
    (void)state;
    int n = world->size;
    size_t bytes[64] = {0}, at[64] = {0};
    for (int unit = 1; unit <= 4; unit += 3) { /* odd sizes, and multiples of a float */
        unsigned char data[64 * 16] = {0};
        for (int r = 0; r < n; r++) {
            bytes[r] = (size_t)((r + 1) % 4 * unit);
            at[r] = (size_t)(n - 1 - r) * 16;
        }
        memset(data + at[world->rank], world->rank + 1, bytes[world->rank]);
        assert_int_equal(group_all_gather_parts(world, data, bytes, at), OK);
        for (int r = 0; r < n; r++)
            for (size_t i = 0; i < 16; i++) assert_int_equal(data[at[r] + i], i < bytes[r] ? r + 1 : 0);
    }
}

static void a_different_rank_is_named(void **state)
{
    (void)state;
    char name[128];
    int last = world->size - 1;
    assert_int_equal(group_check_equal(world, "the config", group_hash("abc", 3)), OK);
    if (world->size < 3) return; /* of two, neither is the majority */
    uint64_t hash = group_hash(world->rank == last ? "abd" : "abc", 3);
    assert_int_equal(group_check_equal(world, "the config", hash), STATUS_USAGE);
    snprintf(name, sizeof name, "the config must be the same on all ranks; rank %d (", last);
    assert_non_null(strstr(status_message(), name));
}

static void of_two_different_ranks_rank_0_is_right(void **state)
{
    (void)state;
    if (world->size != 2) return;
    assert_int_equal(group_check_equal(world, "model.safetensors", (uint64_t)world->rank), STATUS_USAGE);
    assert_non_null(strstr(status_message(), "rank 1 ("));
}

static void all_learn_the_lowest_failing_ranks_message(void **state)
{
    (void)state;
    int speaker = 7, failing = world->size > 1 ? 1 : 0;
    char prefix[128];
    assert_int_equal(group_agree(world, OK, &speaker), OK);
    assert_int_equal(speaker, -1);

    Status mine = OK;
    if (world->rank >= failing)
        mine = status_raise(world->rank == failing ? STATUS_FORMAT : STATUS_IO, "a%0*d: broken", 3000, world->rank);
    assert_int_equal(group_agree(world, mine, &speaker), STATUS_FORMAT);
    assert_int_equal(speaker, failing);
    assert_non_null(strstr(status_message(), ": broken"));
    snprintf(prefix, sizeof prefix, "rank %d (", failing);
    if (world->rank != failing) assert_int_equal(strncmp(status_message(), prefix, strlen(prefix)), 0);
    if (world->rank != failing) assert_non_null(strstr(status_message(), "): a0"));
}

static void duplicates_do_not_hear_one_another(void **state)
{
    (void)state;
    ProcessGroup *other;
    int64_t a = 1, b = 10;
    assert_int_equal(group_duplicate(world, &other), OK);
    assert_int_equal(other->rank, world->rank);
    assert_int_equal(group_sum_i64(other, &b, 1), OK);
    for (int i = 0; i < 1000; i++) assert_int_equal(group_barrier(other), OK);
    assert_int_equal(group_sum_i64(world, &a, 1), OK);
    assert_int_equal(a, world->size);
    assert_int_equal(b, 10 * world->size);
    group_close(other);
}

/* If a barrier let anybody through early, a counter of another would be behind. */
static void a_barrier_holds_everybody(void **state)
{
    (void)state;
    SharedMemory m;
    assert_int_equal(group_share(world, 4096, &m), OK);
    volatile int *mine = m.of[world->rank];
    for (int i = 1; i < 300; i++) {
        *mine = i;
        assert_int_equal(group_barrier(world), OK);
        for (int r = 0; r < m.ranks; r++)
            if (m.of[r]) assert_in_range(*(volatile int *)m.of[r], i, i + 1);
        assert_int_equal(group_barrier(world), OK);
    }
    shared_memory_free(&m);
}

static void shared_memory_is_seen_by_all(void **state)
{
    (void)state;
    enum { BYTES = 3000001 };
    SharedMemory m;
    const char *wish = getenv("HONE_SHM");
    assert_int_equal(group_can_share(world),
                     world->size > 1 && world->local_size == world->size && !(wish && !strcmp(wish, "0")));
    assert_int_equal(group_share(world, BYTES, &m), OK);
    assert_int_equal(m.shared, group_can_share(world));
    unsigned char *mine = m.of[world->rank];
    assert_int_equal(mine[0] | mine[BYTES - 1], 0);
    memset(mine, world->rank + 1, BYTES);
    assert_int_equal(group_barrier(world), OK);
    for (int r = 0; r < world->size; r++) {
        const unsigned char *theirs = m.of[r];
        if (!m.shared && r != world->rank) {
            assert_null(theirs);
            continue;
        }
        assert_int_equal(theirs[0], r + 1);
        assert_int_equal(theirs[BYTES - 1], r + 1);
    }
    assert_int_equal(group_barrier(world), OK);
    shared_memory_free(&m);
    shared_memory_free(&m); /* empty now: fine */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sums_and_maxima_are_over_all_ranks),
        cmocka_unit_test(doubles_are_added_in_rank_order),
        cmocka_unit_test(broadcast_and_gather_move_every_byte),
        cmocka_unit_test(exchange_delivers_ragged_parts),
        cmocka_unit_test(parts_become_everybodys),
        cmocka_unit_test(a_different_rank_is_named),
        cmocka_unit_test(of_two_different_ranks_rank_0_is_right),
        cmocka_unit_test(all_learn_the_lowest_failing_ranks_message),
        cmocka_unit_test(duplicates_do_not_hear_one_another),
        cmocka_unit_test(a_barrier_holds_everybody),
        cmocka_unit_test(shared_memory_is_seen_by_all),
    };
    open_world();
    return close_world(cmocka_run_group_tests(tests, NULL, NULL));
}
