/* The reducer where arrays lie on emulated devices: by NCCL, a device a rank, and through host memory, where ranks
 * share one or NCCL is not to be used. Sums and norms against those made here, in orders of queued work that seeds
 * give. */
#ifdef HONE_NCCL
#include <cmath>
#include <unistd.h>

#include "kernels/cuda/cuda.h"
#include "tests/cuda_emulator/emulator.h"
#include "tests/cuda_emulator/mpi_cases.h"

extern "C" {
#include "trainer/distributed/collectives.h"
#include "trainer/distributed/gradients.h"
}

/* ---- in a rank ------------------------------ */
enum { BLOCK = KERNEL_BLOCK };
static ProcessGroup *world, *alone;
static Stream *stream;
static bool direct; /* by NCCL: sums of three and more ranks are not in rank order */

#define REQUIRE(what)                                                                                                  \
    do {                                                                                                               \
        if (!(what))                                                                                                   \
            fprintf(stderr, "rank %d, seed %d: line %d: not so: %s (%s)\n", world ? world->rank : -1,                  \
                    (int)emu::seed(), __LINE__, #what, status_message()),                                              \
                _exit(3);                                                                                              \
    } while (0)

/* A number that rounds when it is added: index i of the gradient numbered `granule`; -0.0 at every 97th place. */
static float value(int64_t granule, int64_t i)
{
    uint64_t x = (uint64_t)(granule * INT64_C(1000003) + i + 1) * UINT64_C(0x9e3779b97f4a7c15);
    if (i % 97 == 0) return -0.0f;
    x ^= x >> 29;
    x *= UINT64_C(0xbf58476d1ce4e5b9);
    return (float)((double)(x >> 40) / (1 << 20) - 7.3) * (x & 1 ? 1.0f : 1e-3f);
}

static Gradients *make(ProcessGroup *pg, int64_t n, int zero_stage, bool full_determinism)
{
    Gradients *g;
    GradientsOptions options = {};
    options.bucket_bytes = 4 * BLOCK * 4, options.zero_stage = zero_stage;
    options.full_determinism = full_determinism, options.k = kernels_cuda(), options.timeout_s = 60;
    REQUIRE(gradients_new(pg, stream, n, &options, &g) == OK);
    return g;
}

static void to_device(float *device, const float *host, int64_t n)
{
    kernels_cuda()->copy(stream, device, host, (size_t)n * sizeof(float));
}

static std::vector<float> from_device(const float *device, int64_t n)
{
    std::vector<float> host((size_t)n + 1);
    kernels_cuda()->copy(stream, host.data(), device, (size_t)n * sizeof(float));
    stream_sync(stream);
    REQUIRE(!stream_failed(stream));
    return host;
}

/* What backward does: ranges in ragged pieces, ascending but for every third pair; those of `silent` are never
 * reported. */
static void backward(Gradients *g, int64_t n, int64_t granule, bool add, bool silent)
{
    std::vector<float> piece(40000);
    for (int64_t at = 0, step = 40000, i = 0; at < n; at += step, i++) {
        int64_t end = at + step < n ? at + step : n;
        for (int64_t k = at; k < end; k++)
            piece[(size_t)(k - at)] = add ? value(granule - 10, k) + value(granule, k) : value(granule, k);
        to_device(gradients_data(g) + at, piece.data(), end - at);
        if (silent && i % 2) continue;
        gradients_ready(g, (at + end) / 2, end);
        gradients_ready(g, at, (at + end) / 2);
    }
}

static double norm_of(const std::vector<float> &x, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += (double)x[(size_t)i] * (double)x[(size_t)i];
    return sum;
}

/* exact: bits; else as far as the order of three terms goes. */
static void check_reduced(Gradients *g, const std::vector<float> &expected, double norm_squared, int64_t n, bool exact)
{
    int count;
    const Range *owned = gradients_owned(g, &count);
    std::vector<float> got = from_device(gradients_reduced(g), n);
    for (int i = 0; i < count; i++)
        for (int64_t k = owned[i].begin; k < owned[i].end; k++) {
            float x = got[(size_t)k], y = expected[(size_t)k];
            REQUIRE(exact ? !memcmp(&x, &y, sizeof x) : fabsf(x - y) <= 4e-5f);
        }
    REQUIRE(fabs(norm_of(expected, n) - norm_squared) <= 1e-6 * norm_squared);
    std::vector<double> all((size_t)world->size);
    REQUIRE(group_all_gather(world, &norm_squared, all.data(), sizeof norm_squared) == OK);
    for (double theirs : all) REQUIRE(!memcmp(&theirs, &all[0], sizeof theirs));
}

/* Two updates of two micro-steps; the first only accumulates. */
static double check_sums(int64_t n, int zero_stage)
{
    double norm = 0;
    Gradients *g = make(world, n, zero_stage, false);
    for (int update = 0; update < 2; update++) {
        int early, buckets;
        for (int micro = 0; micro < 2; micro++) {
            REQUIRE(gradients_begin(g, micro == 1, true) == OK);
            backward(g, n, update * 100 + micro * 10 + world->rank * 1000, micro > 0, update == 1);
            REQUIRE(gradients_end(g) == OK);
        }
        REQUIRE(gradients_finish(g, &norm) == OK);
        std::vector<float> expected((size_t)n);
        for (int64_t i = 0; i < n; i++)
            for (int r = 0; r < world->size; r++) {
                float theirs = value(update * 100 + r * 1000, i) + value(update * 100 + 10 + r * 1000, i);
                expected[(size_t)i] = r ? expected[(size_t)i] + theirs : theirs;
            }
        check_reduced(g, expected, norm, n, !direct || world->size == 2);
        gradients_counts(g, &early, &buckets);
        REQUIRE(update || early == buckets); /* all was reported */
    }
    gradients_free(g);
    return norm;
}

static const int64_t SIZES[] = {1000, BLOCK, 5 * BLOCK - 1}; /* 4 blocks a bucket: the last is uneven */

static void sums()
{
    for (int64_t n : SIZES)
        for (int zero_stage = 0; zero_stage < 2; zero_stage++) check_sums(n, zero_stage);
    emu::set_seed(4);
    double norm = check_sums(3 * BLOCK + 17, 1);
    emu::set_seed(5);
    REQUIRE(norm == check_sums(3 * BLOCK + 17, 1)); /* other orders of queued work, the same bits */
}

/* granules of one update, folded left to right. */
static double run_granules(ProcessGroup *pg, Gradients *g, int64_t n, int64_t granules)
{
    double norm = -1;
    int64_t micro_steps = (granules + pg->size - 1) / pg->size;
    std::vector<float> mine((size_t)n);
    for (int64_t m = 0; m < micro_steps; m++) {
        int64_t granule = m * pg->size + pg->rank;
        REQUIRE(gradients_begin(g, m == micro_steps - 1, granule < granules) == OK);
        if (granule < granules) {
            for (int64_t i = 0; i < n; i++) mine[(size_t)i] = value(granule, i);
            to_device(gradients_data(g), mine.data(), n);
            gradients_ready(g, 0, n);
        }
        REQUIRE(gradients_end(g) == OK);
    }
    REQUIRE(gradients_finish(g, &norm) == OK);
    return norm;
}

static void check_determinism(int64_t n, int64_t granules, int zero_stage)
{
    Gradients *g = make(world, n, zero_stage, true), *one = make(alone, n, 1, true);
    std::vector<float> expected((size_t)n);
    for (int64_t i = 0; i < n; i++)
        for (int64_t k = 0; k < granules; k++)
            expected[(size_t)i] = k ? expected[(size_t)i] + value(k, i) : value(k, i);
    REQUIRE(std::signbit(expected[0]));
    for (int update = 0; update < 2; update++) {
        double norm = run_granules(world, g, n, granules), own = run_granules(alone, one, n, granules);
        check_reduced(g, expected, norm, n, true);
        REQUIRE(norm == own); /* one rank or several: the same bits */
    }
    gradients_free(g), gradients_free(one);
}

static void determinism()
{
    for (int64_t granules : {1, 6, 7})
        for (int zero_stage = 0; zero_stage < 2; zero_stage++)
            check_determinism(granules == 7 ? 4 * BLOCK + 33 : 2 * BLOCK, granules, zero_stage);
    Gradients *g = make(world, 1000, 1, true);
    double right = run_granules(world, g, 1000, 12), none = -1;
    REQUIRE(gradients_begin(g, true, false) == OK); /* an update without a granule is zero */
    REQUIRE(gradients_end(g) == OK);
    REQUIRE(gradients_finish(g, &none) == OK);
    REQUIRE(none == 0);
    int count;
    const Range *owned = gradients_owned(g, &count);
    std::vector<float> got = from_device(gradients_reduced(g), 1000);
    for (int i = 0; i < count; i++)
        for (int64_t k = owned[i].begin; k < owned[i].end; k++) REQUIRE(got[(size_t)k] == 0);
    gradients_free(g);
    gradients_test_order(true); /* another order has other bits */
    g = make(world, 1000, 1, true);
    gradients_test_order(false);
    REQUIRE(run_granules(world, g, 1000, 12) != right);
    gradients_free(g);
}

/* Three steps of an optimizer that writes its share. */
static void weights()
{
    for (int64_t n : SIZES) {
        int count;
        Gradients *g = make(world, n, 1, false);
        std::vector<float> mine((size_t)n, -1);
        to_device(gradients_weights(g), mine.data(), n);
        for (int step = 1; step < 4; step++) {
            const Range *owned = gradients_owned(g, &count);
            for (int64_t i = 0; i < n; i++) mine[(size_t)i] = (float)step + value(3, i);
            for (int k = 0; k < count; k++)
                to_device(gradients_weights(g) + owned[k].begin, mine.data() + owned[k].begin,
                          owned[k].end - owned[k].begin);
            REQUIRE(gradients_gather_weights(g) == OK);
            std::vector<float> got = from_device(gradients_weights(g), n);
            for (int64_t i = 0; i < n; i++) REQUIRE(got[(size_t)i] == mine[(size_t)i]);
        }
        gradients_free(g);
    }
}

/* All on the stream, as an update of the trainer: nobody waits in between, and the next backward may not overwrite what
 * still goes round. */
static void updates_without_a_stop()
{
    enum { N = 2 * BLOCK, UPDATES = 3 };
    Gradients *g = make(world, N, 1, false);
    const double *partials;
    int64_t blocks;
    double sums[UPDATES][2], other = 0, *companion = gradients_companion(g), own[UPDATES], all[UPDATES] = {};
    REQUIRE((companion != nullptr) == direct && gradients_wait(g) != direct);
    for (int update = 0; update < UPDATES; update++) {
        REQUIRE(gradients_begin(g, true, true) == OK);
        backward(g, N, update * 100 + world->rank * 1000, false, false);
        own[update] = update == 1 && world->rank ? NAN : 1.5 * update + world->rank; /* a loss that one rank has */
        REQUIRE(gradients_end(g) == OK);
        if (companion) kernels_cuda()->copy(stream, companion, &own[update], sizeof *companion);
        REQUIRE(gradients_finish(g, nullptr) == OK);
        if (companion) kernels_cuda()->copy(stream, &all[update], companion, sizeof *companion);
        partials = gradients_partials(g, &blocks);
        REQUIRE(blocks == 2);
        kernels_cuda()->copy(stream, sums[update], partials, sizeof sums[update]);
        REQUIRE(gradients_gather_weights(g) == OK);
    }
    stream_sync(stream);
    REQUIRE(gradients_check(g) == OK);
    for (int update = 0; update < UPDATES; update++) {
        double expected = world->size * (1.5 * update + (world->size - 1) / 2.0);
        REQUIRE(!companion || (update == 1 ? std::isnan(all[update]) : all[update] == expected));
        expected = 0;
        for (int64_t i = 0; i < N; i++) {
            float sum = value(update * 100, i);
            for (int r = 1; r < world->size; r++) sum += value(update * 100 + r * 1000, i);
            expected += (double)sum * (double)sum;
        }
        REQUIRE(fabs(expected - sums[update][0] - sums[update][1]) <= 1e-6 * expected);
    }
    gradients_times(g, &other, &other);
    gradients_free(g);
}

static int child()
{
    char why[DEVICE_WHY_BYTES];
    const char *wish = getenv("HONE_NCCL");
    const Kernels *k;
    alarm(200);
    REQUIRE(group_open(&world) == OK);
    int devices = device_count(why);
    direct = devices >= world->size && !(wish && !strcmp(wish, "0"));
    REQUIRE(device_open(world->local_rank % devices, &k, &stream, why));
    alone = new ProcessGroup(*world);
    static const GroupOps no_others = {};
    alone->ops = &no_others, alone->rank = 0, alone->size = 1;
    for (uint64_t seed = 0; seed < 3; seed++) {
        emu::set_seed(seed);
        weights();
        updates_without_a_stop();
        if (seed) determinism(), sums();
    }
    stream_free(stream);
    group_close(world);
    return 0;
}

/* ---- the driver ------------------------------ */
static void by_nccl(void **) { expect_well("nccl"); }
static void through_host_memory(void **) { expect_well("host"); }

/* "words" once, by rank 0. */
static void the_way_is_said_in_one_line(void **)
{
    const Case &o = outcome("host");
    assert_true(o.text.find("gradients go through host memory: ranks 0 and 1 share one GPU of ") != std::string::npos);
    assert_true(outcome("nccl").text.find("host memory") == std::string::npos);
    assert_true(outcome("host", 1).text.find("gradients go through host memory: rank 0 (") != std::string::npos);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(by_nccl),
        cmocka_unit_test(through_host_memory),
        cmocka_unit_test(the_way_is_said_in_one_line),
    };
    if (argc == 3 && !strcmp(argv[1], "child")) return child();
    self = argv[0];
    cases() = {{"nccl", 2, "HONE_EMU_DEVICES=2"},
               {"nccl", 3, "HONE_EMU_DEVICES=3"},
               {"host", 2, "HONE_EMU_DEVICES=1"},
               {"host", 3, "HONE_EMU_DEVICES=3 HONE_NCCL=0 HONE_SHM=0"}};
    return cmocka_run_group_tests(tests, start_cases, nullptr);
}
#else
int main() { return 0; }
#endif
