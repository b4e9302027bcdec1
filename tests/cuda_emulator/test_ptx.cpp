/* The inline assembly of mma.cuh: nvcc compiles wrappers.cu to PTX, an interpreter of PTX runs it, and the twins, run
 * by the emulator from the same source, give the same. Without nvcc that part is skipped. The twins alone are compared
 * with products in double of matrices laid out here; test_bugs_tensor.cpp is about misuse. */
#include <cmath>
#include <cstdarg>
#include <cstddef>
#include <cstdint>
#include <csetjmp>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include <unistd.h>

extern "C" {
#include <cmocka.h>
}

#include "kernels/cuda/cuda.h"
#include "tests/cuda_emulator/ptx.h"
#include "tests/cuda_emulator/wrappers.cu"

typedef std::vector<uint32_t> Words;
typedef void (*Wrapper)(const uint32_t *, uint32_t *);

static Stream *s;
static std::string ptx; /* "": no nvcc */

static uint32_t next_random(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*state >> 33);
}

static float random_number(uint64_t *state) { return (float)(int32_t)(next_random(state) << 1) * 0x1p-30f; }

static Words on_emulator(Wrapper kernel, const Words &in)
{
    Words out(32 * WORDS);
    uint32_t *from = (uint32_t *)stream_allocate(s, in.size() * 4),
             *to = (uint32_t *)stream_allocate(s, out.size() * 4);
    const Kernels *k = kernels_cuda();
    k->copy(s, from, in.data(), in.size() * 4), k->fill_zero(s, to, out.size() * 4);
    launch(kernel, 1, 32, 0, s, from, to);
    k->copy(s, out.data(), to, out.size() * 4);
    stream_sync(s);
    stream_release(s, from), stream_release(s, to);
    return out;
}

static Words on_interpreter(const std::string &text, const char *kernel, const Words &in)
{
    alignas(16) static uint32_t from[2 * ROOM], to[32 * WORDS];
    memcpy(from, in.data(), in.size() * 4), memset(to, 0, sizeof to);
    std::string error = ptx_run(text, kernel, {reinterpret_cast<uint64_t>(from), reinterpret_cast<uint64_t>(to)});
    if (!error.empty()) fail_msg("%s", error.c_str());
    return Words(to, to + 32 * WORDS);
}

static double of_word(uint32_t word, int upper, bool bf16)
{
    uint16_t bits = (uint16_t)(upper ? word >> 16 : word);
    return bf16 ? (double)__bfloat162float(__nv_bfloat16(__nv_bfloat16_raw{bits}))
                : (double)__half2float(__half(__half_raw{bits}));
}

/* ---- what the kernels are given ------------------------------ */
static Words fragments(bool bf16, uint64_t seed)
{
    Words in(32 * WORDS);
    for (int l = 0; l < 32; l++)
        for (int i = 0; i < 10; i++) {
            float a = random_number(&seed), b = random_number(&seed);
            in[(size_t)(WORDS * l + i)] = i >= 6 ? __float_as_uint(a)
                                          : bf16 ? pack<__nv_bfloat16>(a, b)
                                                 : pack<__half>(a, b);
        }
    return in;
}
static Words fragments_bf16(uint64_t seed) { return fragments(true, seed); }
static Words fragments_f16(uint64_t seed) { return fragments(false, seed); }

static Words rows(uint64_t seed)
{
    Words in(ROOM + 32);
    for (uint32_t &w : in) w = next_random(&seed);
    for (size_t l = 0; l < 32; l++) in[ROOM + l] = in[ROOM + l] % (ROOM / 4);
    return in;
}

static Words sizes(uint64_t seed)
{
    Words in(ROOM + 32);
    for (uint32_t &w : in) w = next_random(&seed);
    for (size_t l = 0; l < 32; l++) in[ROOM + l] = l == 5 ? 0 : l == 6 ? 16 : in[ROOM + l] % 17;
    return in;
}

static Words exponents(uint64_t seed)
{
    Words in(32 * WORDS);
    const float special[] = {0, -0.0f, 1, -1, -126, -126.5f, -150, 127, 128, -INFINITY, INFINITY, -1e30f};
    for (size_t i = 0; i < in.size(); i++)
        in[i] = __float_as_uint(i < WORDS ? special[i] : 130 * random_number(&seed) * random_number(&seed));
    return in;
}

static bool same(const Words &x, const Words &y) { return x == y; }

static bool close(const Words &x, const Words &y)
{
    for (size_t i = 0; i < x.size(); i++) {
        float a = __uint_as_float(x[i]), b = __uint_as_float(y[i]);
        if (!(a == b || std::fabs(a - b) <= 2e-6f * (1 + std::fabs(b)))) return false;
    }
    return true;
}

struct Case {
    const char *name;
    Wrapper kernel;
    Words (*given)(uint64_t seed);
    bool (*equal)(const Words &, const Words &);
};

static const Case cases[] = {
    {"run_mma_bf16", run_mma_bf16, fragments_bf16, close},
    {"run_mma_f16", run_mma_f16, fragments_f16, close},
    {"run_matrices_4", run_matrices_4, rows, same},
    {"run_matrices_2", run_matrices_2, rows, same},
    {"run_transposed_4", run_transposed_4, rows, same},
    {"run_transposed_2", run_transposed_2, rows, same},
    {"run_copies", run_copies, sizes, same},
    {"run_copies_4", run_copies_4, sizes, same},
    {"run_exp2", run_exp2, exponents, close},
};

/* ---- tests ------------------------------ */
static void the_instruction_does_what_its_twin_does(void **)
{
    if (ptx.empty()) skip();
    for (const Case &c : cases)
        for (uint64_t seed = 1; seed <= 8; seed++) {
            Words in = c.given(seed);
            if (!c.equal(on_interpreter(ptx, c.name, in), on_emulator(c.kernel, in)))
                fail_msg("%s, seed %d: the assembly and its twin differ", c.name, (int)seed);
        }
}

/* The text with the first `from` behind the kernel's entry replaced. */
static std::string replaced(const char *kernel, const char *from, const char *to)
{
    size_t entry = ptx.find(std::string(".entry ") + kernel + "("), at = ptx.find(from, entry);
    if (entry == std::string::npos || at == std::string::npos) fail_msg("%s: no `%s` to replace", kernel, from);
    return ptx.substr(0, at) + to + ptx.substr(at + strlen(from));
}

static void wrong_assembly_is_told(void **)
{
    static const struct {
        const char *kernel, *from, *to;
    } wrong[] = {
        {"run_mma_bf16", "{%r1,%r2,%r3,%r4}", "{%r1,%r3,%r2,%r4}"}, /* rows and columns of a exchanged */
        {"run_mma_bf16", "{%r1,%r2,%r3,%r4}", "{%r2,%r1,%r3,%r4}"},
        {"run_mma_bf16", "{%r5,%r6}", "{%r6,%r5}"},
        {"run_mma_bf16", "{%f1,%f2,%f3,%f4}, {%r1", "{%f1,%f3,%f2,%f4}, {%r1"},
        {"run_mma_bf16", "f32.bf16.bf16.f32", "f32.f16.f16.f32"},
        {"run_mma_f16", "f32.f16.f16.f32", "f32.bf16.bf16.f32"},
        {"run_mma_f16", "{%r5,%r6}", "{%r5,%r5}"},
        {"run_matrices_4", ".x4.shared", ".x4.trans.shared"},
        {"run_transposed_2", ".x2.trans", ".x2"},
        {"run_copies", "cp.async.wait_group 2", "cp.async.wait_group 3"},
        {"run_copies", "cp.async.wait_group 1", "cp.async.wait_group 2"},
        {"run_copies", "cp.async.commit_group", "bar.sync 0"},
        {"run_exp2", "ex2.approx.ftz.f32", "mov.f32"},
    };
    if (ptx.empty()) skip();
    for (const auto &w : wrong)
        for (const Case &c : cases) {
            if (strcmp(c.name, w.kernel)) continue;
            Words in = c.given(3);
            if (c.equal(on_interpreter(replaced(w.kernel, w.from, w.to), w.kernel, in), on_emulator(c.kernel, in)))
                fail_msg("%s: `%s` instead of `%s` is not noticed", w.kernel, w.to, w.from);
        }
    /* Zero fill forgotten: the operand with the number of bytes. */
    size_t at = ptx.find("cp.async.cg"), comma = ptx.find(", 16, ", at), end = ptx.find(';', comma);
    std::string no_fill = ptx.substr(0, comma + 4) + ptx.substr(end);
    assert_false(same(on_interpreter(no_fill, "run_copies", sizes(3)), on_emulator(run_copies, sizes(3))));
}

static void what_the_interpreter_does_not_know_is_an_error(void **)
{
    if (ptx.empty()) skip();
    alignas(16) static uint32_t room[32 * WORDS];
    std::vector<uint64_t> rooms(2, reinterpret_cast<uint64_t>(room));
    std::string text = replaced("run_mma_bf16", "m16n8k16", "m16n8k8"), error = ptx_run(text, "run_mma_bf16", rooms);
    assert_true(error.find("m16n8k8") != std::string::npos && error.find("unknown") != std::string::npos);
    assert_true(ptx_run(ptx, "run_nothing", rooms).find("no kernel") != std::string::npos);
    assert_string_equal(ptx_run(ptx, "run_mma_bf16", rooms).c_str(), "");
}

/* c + a b in double, of matrices that are laid into the lanes' words here. */
static void mma_is_the_product(void **)
{
    for (bool bf16 : {true, false}) {
        Words in = fragments(bf16, 9), out = on_emulator(bf16 ? run_mma_bf16 : run_mma_f16, in);
        auto a = [&](int i, int k) {
            int lane = i % 8 * 4 + k % 8 / 2, word = i / 8 + 2 * (k / 8);
            return of_word(in[(size_t)(WORDS * lane + word)], k % 2, bf16);
        };
        auto b = [&](int k, int j) {
            return of_word(in[(size_t)(WORDS * (4 * j + k % 8 / 2) + 4 + k / 8)], k % 2, bf16);
        };
        for (int i = 0; i < 16; i++)
            for (int j = 0; j < 8; j++) {
                size_t at = (size_t)(WORDS * (i % 8 * 4 + j / 2) + i / 8 * 2 + j % 2);
                double want = __uint_as_float(in[at + 6]);
                for (int k = 0; k < 16; k++) want += a(i, k) * b(k, j);
                assert_true(std::fabs(__uint_as_float(out[at]) - want) < 2e-6);
            }
    }
}

static void f16_values_of_all_kinds_are_widened(void **)
{
    /* 0.5 times a value that is special, alone in its sum: subnormal, largest, infinity, NaN */
    const uint16_t values[] = {0x0001, 0x03FF, 0x8400, 0x7BFF, 0x7C00, 0x7E00};
    for (uint16_t v : values) {
        Words in(32 * WORDS);
        in[0] = v, in[4] = 0x3800;
        float got = __uint_as_float(on_emulator(run_mma_f16, in)[0]), want = (float)of_word(v, 0, false) * 0.5f;
        assert_true(got == want || (std::isnan(got) && std::isnan(want)));
    }
}

/* ---- nvcc ------------------------------ */
static std::string text_of(const std::string &path)
{
    std::ifstream file(path);
    std::stringstream text;
    text << file.rdbuf();
    return text.str();
}

/* As the build found it (the tests run in the build folder), else the one on PATH; "": none. */
static std::string nvcc()
{
    std::ifstream cache("CMakeCache.txt");
    for (std::string line; std::getline(cache, line);)
        if (line.compare(0, 10, "HONE_NVCC:") == 0) {
            std::string path = line.substr(line.find('=') + 1);
            return access(path.c_str(), X_OK) ? "" : path;
        }
    return system("command -v nvcc >/dev/null") == 0 ? "nvcc" : "";
}

static int begin(void **)
{
    char message[200], folder[] = "/tmp/hone_ptx_XXXXXX";
    s = stream_new_cuda(0, message);
    std::string compiler = nvcc(), here = __FILE__;
    here.resize(here.rfind('/'));
    if (compiler.empty() || !mkdtemp(folder)) {
        printf("no nvcc: the assembly of mma.cuh is not compared with its twins\n");
        return s ? 0 : -1;
    }
    std::string out = std::string(folder) + "/wrappers.ptx";
    std::string command = "'" + compiler + "' -std=c++17 -O3 --fmad=false -D_GNU_SOURCE -arch=compute_80 -I'" + here +
                          "/../..' -ptx '" + here + "/wrappers.cu' -o " + out;
    int status = system(command.c_str());
    ptx = text_of(out);
    unlink(out.c_str()), rmdir(folder);
    return s && status == 0 && !ptx.empty() ? 0 : -1;
}

static int end(void **) { return stream_free(s), 0; }

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mma_is_the_product),
        cmocka_unit_test(f16_values_of_all_kinds_are_widened),
        cmocka_unit_test(the_instruction_does_what_its_twin_does),
        cmocka_unit_test(wrong_assembly_is_told),
        cmocka_unit_test(what_the_interpreter_does_not_know_is_an_error),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
