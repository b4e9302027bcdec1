/* Files of the safetensors package are read, equal ones written; hostile headers and indexes are errors. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>
#include <xxhash.h>

#include "trainer/base/file.h"
#include "trainer/checkpoint/safetensors.h"
#include "trainer/checkpoint/safetensors_write.h"

static char root[64];
static Arena *arena;

static int set_up(void **state)
{
    (void)state;
    strcpy(root, "/tmp/hone-safetensors-XXXXXX");
    return mkdtemp(root) && arena_new(&arena) == OK ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    file_hook(NULL, NULL);
    arena_free(arena);
    return dir_remove(root) == OK ? 0 : -1;
}

static const char *in_root(const char *name) { return path_join(arena, root, name); }

static void write_bytes(const char *path, const void *data, size_t size)
{
    File *f;
    assert_int_equal(file_create(path, &f), OK);
    assert_int_equal(file_write(f, data, size), OK);
    assert_int_equal(file_close(f), OK);
}

static const float values[6] = {0.0f, -1.5f, 3.140625f, 1e-3f, 65504.0f, -0.0f};

static void files_of_the_safetensors_package_are_read(void **state)
{
    (void)state;
    Safetensors *s;
    float x[6];
    double d[6];
    int64_t i64[2];
    assert_int_equal(safetensors_open(FIXTURES "/safetensors/floats.safetensors", &s), OK);
    assert_int_equal(safetensors_count(s), 10);
    assert_string_equal(safetensors_metadata(s, "format"), "pt");
    assert_null(safetensors_metadata(s, "nothing"));
    const TensorInfo *t = safetensors_find(s, "wte.weight");
    assert_non_null(t);
    assert_int_equal(t->ndim, 2);
    assert_int_equal(t->shape[1], 3);
    assert_int_equal(tensor_read(t, 0, 6, DTYPE_F32, x), OK);
    assert_memory_equal(x, values, sizeof values);
    assert_int_equal(tensor_read(t, 2, 3, DTYPE_F32, x), OK);
    assert_memory_equal(x, values + 2, 12);
    assert_int_equal(tensor_read(t, 5, 2, DTYPE_F32, x), STATUS_BUG);
    for (int i = 0; i < 2; i++) {
        t = safetensors_find(s, i ? "c" : "b");
        assert_int_equal(t->dtype, i ? DTYPE_F16 : DTYPE_BF16);
        assert_int_equal(tensor_read(t, 0, 6, DTYPE_F32, x), OK);
        for (int k = 0; k < 6; k++) assert_true(fabsf(x[k] - values[k]) <= fabsf(values[k]) / (i ? 2048 : 256));
        assert_true(signbit(x[5]));
    }
    assert_int_equal(tensor_read(safetensors_find(s, "d"), 0, 6, DTYPE_F64, d), OK);
    assert_true(d[3] == (double)1e-3f);
    assert_int_equal(tensor_read(safetensors_find(s, "i64"), 0, 2, DTYPE_I64, i64), OK);
    assert_true(i64[1] == INT64_C(1) << 40);
    assert_int_equal(tensor_read(safetensors_find(s, "i64"), 0, 2, DTYPE_F32, x), STATUS_UNSUPPORTED);
    t = safetensors_find(s, "scalar");
    assert_int_equal(t->ndim, 0);
    assert_int_equal(t->numel, 1);
    const void *map;
    assert_int_equal(tensor_map(t, &map), OK);
    memcpy(x, map, 4);
    assert_true(x[0] == 7.0f);
    assert_int_equal(tensor_map(safetensors_find(s, "empty"), &map), OK);
    assert_null(map);
    assert_non_null(safetensors_find(s, "quote\"\\\n\u00e9\u4e2d"));
    assert_null(safetensors_find(s, "absent"));
    safetensors_close(s);
}

static void types_that_hone_lacks_are_listed_but_not_read(void **state)
{
    (void)state;
    Safetensors *s;
    char bytes[64];
    assert_int_equal(safetensors_open(FIXTURES "/safetensors/types.safetensors", &s), OK);
    assert_int_equal(safetensors_count(s), 10);
    assert_string_equal(safetensors_find(s, "f8")->type, "F8_E4M3");
    assert_int_equal(safetensors_find(s, "c64")->dtype, DTYPE_COUNT);
    assert_int_equal(tensor_read(safetensors_find(s, "c64"), 0, 2, DTYPE_F32, bytes), STATUS_UNSUPPORTED);
    assert_non_null(strstr(status_message(), "c64"));
    safetensors_close(s);
}

/* Copies every tensor of the fixture through our writer. */
static void our_file_equals_the_packages_byte_for_byte(void **state)
{
    (void)state;
    Safetensors *s;
    SafetensorsWriter *w;
    TensorSpec specs[16];
    char bytes[256], *ours, *theirs;
    uint64_t size, hash;
    size_t ours_size, theirs_size;
    assert_int_equal(safetensors_open(FIXTURES "/safetensors/floats.safetensors", &s), OK);
    size_t n = safetensors_count(s);
    for (size_t i = 0; i < n; i++) {
        const TensorInfo *t = safetensors_at(s, n - 1 - i); /* not in the file's order */
        specs[i] = (TensorSpec){.name = t->name, .dtype = t->dtype, .ndim = t->ndim};
        memcpy(specs[i].shape, t->shape, sizeof t->shape);
    }
    assert_int_equal(safetensors_create(in_root("copy"), specs, n, NULL, 0, &w), OK);
    for (size_t i = 0; i < n; i++) {
        const TensorInfo *t = safetensors_find(s, specs[safetensors_writer_order(w, i)].name);
        assert_int_equal(tensor_read(t, 0, t->numel, t->dtype, bytes), OK);
        int64_t half = t->numel / 2; /* in two pieces */
        assert_int_equal(safetensors_write(w, t->dtype, bytes, half), OK);
        assert_int_equal(safetensors_write(w, t->dtype, bytes + (size_t)half * dtype_bytes(t->dtype), t->numel - half),
                         OK);
    }
    assert_int_equal(safetensors_finish(w, &size, &hash), OK);
    safetensors_writer_free(w);
    safetensors_close(s);
    assert_int_equal(file_read_all(in_root("copy"), arena, 1 << 20, &ours, &ours_size), OK);
    assert_int_equal(file_read_all(FIXTURES "/safetensors/floats.safetensors", arena, 1 << 20, &theirs, &theirs_size),
                     OK);
    assert_int_equal(ours_size, theirs_size);
    assert_int_equal(size, ours_size);
    assert_memory_equal(ours, theirs, ours_size);
    assert_true(hash == XXH3_64bits(ours, ours_size));
}

static void the_writer_refuses_what_does_not_fit(void **state)
{
    (void)state;
    SafetensorsWriter *w;
    TensorSpec specs[2] = {{.name = "a", .dtype = DTYPE_F32, .ndim = 1, .shape = {3}},
                           {.name = "a", .dtype = DTYPE_BF16}};
    float x[4] = {0};
    assert_int_equal(safetensors_create(in_root("f"), specs, 2, NULL, 0, &w), STATUS_BUG);
    assert_int_equal(safetensors_create(in_root("f"), specs, 1, NULL, 0, &w), OK);
    assert_int_equal(safetensors_write(w, DTYPE_F32, x, 4), STATUS_BUG);
    assert_int_equal(safetensors_write(w, DTYPE_I64, x, 1), STATUS_BUG);
    assert_int_equal(safetensors_write(w, DTYPE_F32, x, 2), OK);
    assert_int_equal(safetensors_finish(w, NULL, NULL), STATUS_BUG);
    assert_int_equal(safetensors_write(w, DTYPE_F32, x, 1), OK);
    assert_int_equal(safetensors_write(w, DTYPE_F32, x, 1), STATUS_BUG);
    assert_int_equal(safetensors_finish(w, NULL, NULL), OK);
    safetensors_writer_free(w);
}

/* ---- hostile headers ---- */
static Status open_header(const char *header, size_t data_bytes)
{
    size_t n = strlen(header);
    char *bytes = calloc(1, 8 + n + data_bytes);
    for (int i = 0; i < 8; i++) bytes[i] = (char)(n >> 8 * i);
    memcpy(bytes + 8, header, n);
    char *path = path_join(arena, root, "hostile.safetensors");
    write_bytes(path, bytes, 8 + n + data_bytes);
    free(bytes);
    Safetensors *s;
    Status st = safetensors_open(path, &s);
    if (st == OK)
        safetensors_close(s);
    else if (!strstr(status_message(), "hostile.safetensors"))
        fail_msg("no path in: %s", status_message());
    return st;
}

#define T(name, dtype, shape, begin, end)                                                                              \
    "\"" name "\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":[" begin "," end "]}"

static void hostile_headers_are_errors(void **state)
{
    (void)state;
    static const struct {
        const char *what, *header;
        size_t data;
    } cases[] = {
        {"empty header", "", 0},
        {"not an object", "[1]", 0},
        {"leading space", " {}", 0},
        {"not JSON", "{\"a\":", 0},
        {"text after the object", "{} {}", 0},
        {"data without tensors", "{}", 4},
        {"tensor is a number", "{\"a\":1}", 0},
        {"tensor is empty", "{\"a\":{}}", 0},
        {"unknown dtype", "{" T("a", "F33", "[1]", "0", "4") "}", 4},
        {"dtype is a number", "{\"a\":{\"dtype\":1,\"shape\":[1],\"data_offsets\":[0,4]}}", 4},
        {"no shape", "{\"a\":{\"dtype\":\"F32\",\"data_offsets\":[0,4]}}", 4},
        {"no offsets", "{\"a\":{\"dtype\":\"F32\",\"shape\":[1]}}", 4},
        {"one offset", "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0]}}", 4},
        {"three offsets", "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4,4]}}", 4},
        {"negative size", "{" T("a", "F32", "[-1]", "0", "4") "}", 4},
        {"fractional size", "{" T("a", "F32", "[0.5]", "0", "4") "}", 4},
        {"size of NaN", "{" T("a", "F32", "[NaN]", "0", "4") "}", 4},
        {"size is text", "{" T("a", "F32", "[\"1\"]", "0", "4") "}", 4},
        {"shape overflows", "{" T("a", "F32", "[4294967296,4294967296,4294967296]", "0", "4") "}", 4},
        {"shape overflows to zero", "{" T("a", "F32", "[1073741824,1073741824,16]", "0", "0") "}", 0},
        {"huge size", "{" T("a", "F32", "[1e300]", "0", "4") "}", 4},
        {"shape smaller than the place", "{" T("a", "F32", "[1]", "0", "8") "}", 8},
        {"shape larger than the place", "{" T("a", "F32", "[3]", "0", "8") "}", 8},
        {"begin after end", "{" T("a", "F32", "[1]", "4", "0") "}", 4},
        {"negative begin", "{" T("a", "F32", "[1]", "-4", "0") "}", 4},
        {"end beyond the file", "{" T("a", "F32", "[2]", "0", "8") "}", 4},
        {"end near 2^64", "{" T("a", "F32", "[1]", "18446744073709551612", "18446744073709551616") "}", 4},
        {"hole at the start", "{" T("a", "F32", "[1]", "4", "8") "}", 8},
        {"hole in the middle", "{" T("a", "F32", "[1]", "0", "4") "," T("b", "F32", "[1]", "8", "12") "}", 12},
        {"hole at the end", "{" T("a", "F32", "[1]", "0", "4") "}", 8},
        {"overlap", "{" T("a", "F32", "[2]", "0", "8") "," T("b", "F32", "[1]", "4", "8") "}", 8},
        {"same place twice", "{" T("a", "F32", "[1]", "0", "4") "," T("b", "F32", "[1]", "0", "4") "}", 4},
        {"same name twice", "{" T("a", "F32", "[1]", "0", "4") "," T("a", "F32", "[1]", "4", "8") "}", 8},
        {"metadata is a list", "{\"__metadata__\":[]}", 0},
        {"metadata value is a number", "{\"__metadata__\":{\"a\":1}}", 0},
        {"half a byte", "{" T("a", "F4", "[1]", "0", "1") "}", 1},
        {"invalid UTF-8 in a name", "{" T("a\xff", "F32", "[1]", "0", "4") "}", 4},
        {"NUL in a name", "{" T("a\\u0000", "F32", "[1]", "0", "4") "}", 4},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Status st = open_header(cases[i].header, cases[i].data);
        if (st != STATUS_FORMAT) fail_msg("%s: %s", cases[i].what, status_name(st));
    }
    assert_int_equal(open_header("{" T("a", "F32", "[1,1,1,1,1,1,1,1,1]", "0", "4") "}", 4), STATUS_UNSUPPORTED);
    assert_int_equal(open_header("{}", 0), OK); /* the same machinery lets good ones through */
    assert_int_equal(open_header("{" T("b", "F32", "[1]", "4", "8") "," T("a", "F4", "[8]", "0", "4") "}   ", 8), OK);
    assert_int_equal(open_header("{" T("a", "F32", "[0,4294967296]", "0", "0") "}", 0), OK);
}

static void a_file_cut_anywhere_is_an_error(void **state)
{
    (void)state;
    char *bytes;
    size_t size;
    Safetensors *s;
    assert_int_equal(file_read_all(FIXTURES "/safetensors/floats.safetensors", arena, 1 << 20, &bytes, &size), OK);
    for (size_t cut = 0; cut < size; cut++) {
        write_bytes(in_root("cut"), bytes, cut);
        if (safetensors_open(in_root("cut"), &s) != STATUS_FORMAT) fail_msg("cut at %zu was taken", cut);
    }
    bytes[7] = 1; /* a header of 2^56 bytes and more */
    write_bytes(in_root("cut"), bytes, size);
    assert_int_equal(safetensors_open(in_root("cut"), &s), STATUS_FORMAT);
    assert_int_equal(safetensors_open(in_root("absent"), &s), STATUS_MISSING);
    assert_null(s);
}

/* ---- models ---- */
static void a_sharded_model_is_one_store(void **state)
{
    (void)state;
    TensorStore *store;
    if (tensor_store_open(FIXTURES "/models/gpt2_sharded", &store) != OK) fail_msg("%s", status_message());
    assert_true(tensor_store_files(store) > 1);
    assert_true(tensor_store_count(store) > 4);
    for (size_t i = 0; i < tensor_store_count(store); i++) {
        const TensorInfo *t = tensor_store_at(store, i);
        assert_ptr_equal(tensor_store_find(store, t->name), t);
        float *x = malloc((size_t)(t->numel + 1) * sizeof *x);
        assert_int_equal(tensor_read(t, 0, t->numel, DTYPE_F32, x), OK);
        free(x);
    }
    assert_null(tensor_store_find(store, "absent"));
    tensor_store_close(store);
}

static void write_one(const char *name, const char *tensor, float x)
{
    SafetensorsWriter *w;
    TensorSpec spec = {.name = tensor, .dtype = DTYPE_F32};
    assert_int_equal(safetensors_create(in_root(name), &spec, 1, NULL, 0, &w), OK);
    assert_int_equal(safetensors_write(w, DTYPE_F32, &x, 1), OK);
    assert_int_equal(safetensors_finish(w, NULL, NULL), OK);
    safetensors_writer_free(w);
}

static void an_index_that_does_not_match_its_shards_is_an_error(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        Status st;
    } cases[] = {
        {"{\"weight_map\":{\"a\":\"one.safetensors\",\"b\":\"two.safetensors\"}}", OK},
        {"{\"weight_map\":{\"a\":\"one.safetensors\"}}", OK}, /* another file's tensors are nobody's business */
        {"{\"weight_map\":{\"a\":\"two.safetensors\",\"b\":\"one.safetensors\"}}", STATUS_FORMAT},
        {"{\"weight_map\":{\"a\":\"one.safetensors\",\"c\":\"two.safetensors\"}}", STATUS_FORMAT},
        {"{\"weight_map\":{\"a\":\"one.safetensors\",\"x\":\"one.safetensors\"}}", STATUS_FORMAT},
        {"{\"weight_map\":{\"a\":\"one.safetensors\",\"b\":\"three.safetensors\"}}", STATUS_MISSING},
        {"{\"weight_map\":{\"a\":\"one.safetensors\",\"b\":\"copy.safetensors\"}}",
         STATUS_FORMAT}, /* holds a and not b */
        {"{\"weight_map\":{\"a\":\"../one.safetensors\"}}", STATUS_FORMAT},
        {"{\"weight_map\":{\"a\":\"/etc/passwd\"}}", STATUS_FORMAT},
        {"{\"weight_map\":{\"a\":\"..\"}}", STATUS_FORMAT},
        {"{\"weight_map\":{\"a\":\"\"}}", STATUS_FORMAT},
        {"{\"weight_map\":{\"a\":1}}", STATUS_FORMAT},
        {"{\"weight_map\":{}}", STATUS_FORMAT},
        {"{\"weight_map\":[]}", STATUS_FORMAT},
        {"{}", STATUS_FORMAT},
        {"[]", STATUS_FORMAT},
        {"{\"weight_map\":", STATUS_FORMAT},
    };
    TensorStore *store;
    write_one("one.safetensors", "a", 1);
    write_one("two.safetensors", "b", 2);
    write_one("copy.safetensors", "a", 3);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        write_bytes(in_root("model.safetensors.index.json"), cases[i].text, strlen(cases[i].text));
        Status st = tensor_store_open(root, &store);
        if (st == OK) tensor_store_close(store);
        if (st != cases[i].st) fail_msg("%s: %s: %s", cases[i].text, status_name(st), status_message());
    }
    /* Two tensors in one shard, one of them not named. */
    TensorSpec specs[2] = {{.name = "a", .dtype = DTYPE_F32}, {.name = "b", .dtype = DTYPE_F32}};
    SafetensorsWriter *w;
    float x[2] = {1, 2};
    assert_int_equal(safetensors_create(in_root("one.safetensors"), specs, 2, NULL, 0, &w), OK);
    assert_int_equal(safetensors_write(w, DTYPE_F32, x, 1), OK);
    assert_int_equal(safetensors_write(w, DTYPE_F32, x, 1), OK);
    assert_int_equal(safetensors_finish(w, NULL, NULL), OK);
    safetensors_writer_free(w);
    const char *text = "{\"weight_map\":{\"a\":\"one.safetensors\"}}";
    write_bytes(in_root("model.safetensors.index.json"), text, strlen(text));
    assert_int_equal(tensor_store_open(root, &store), STATUS_FORMAT);
    assert_non_null(strstr(status_message(), "does not name tensor b"));
    write_one("model.safetensors", "z", 5); /* goes before the index */
    assert_int_equal(tensor_store_open(root, &store), OK);
    assert_non_null(tensor_store_find(store, "z"));
    tensor_store_close(store);
}

static void a_directory_without_a_model_says_what_is_missing(void **state)
{
    (void)state;
    TensorStore *store;
    assert_int_equal(dir_make(in_root("empty")), OK);
    assert_int_equal(tensor_store_open(in_root("empty"), &store), STATUS_MISSING);
    write_bytes(in_root("empty/pytorch_model.bin"), "x", 1);
    assert_int_equal(tensor_store_open(in_root("empty"), &store), STATUS_MISSING);
    assert_non_null(strstr(status_message(), "pytorch_model.bin"));
    assert_int_equal(tensor_store_open(in_root("nowhere"), &store), STATUS_MISSING);
}

/* ---- splitting ---- */
static void models_are_split_as_the_reference_splits(void **state)
{
    (void)state;
    /* 4, 40, 8, 12, 20, 4 bytes with at most 16: {b} alone closes first; then {a,c}, {e} alone, {d,f}. */
    TensorSpec specs[6] = {{.name = "a", .ndim = 1, .shape = {1}}, {.name = "b", .ndim = 1, .shape = {10}},
                           {.name = "c", .ndim = 1, .shape = {2}}, {.name = "d", .ndim = 1, .shape = {3}},
                           {.name = "e", .ndim = 1, .shape = {5}}, {.name = "f", .ndim = 1, .shape = {1}}};
    static const size_t want[6] = {1, 0, 1, 3, 2, 3};
    ShardPlan plan;
    char *text;
    size_t size;
    assert_int_equal(shard_plan(arena, "model", specs, 6, 16, &plan), OK);
    assert_int_equal(plan.files, 4);
    for (int i = 0; i < 6; i++) assert_int_equal(plan.file_of[i], want[i]);
    assert_string_equal(plan.names[2], "model-00003-of-00004.safetensors");
    assert_int_equal(plan.total_bytes, 88);
    assert_int_equal(shard_index(arena, &plan, specs, 6, &text, &size), OK);
    assert_non_null(strstr(
        text, "\"total_size\": 88\n  },\n  \"weight_map\": {\n    \"a\": \"model-00002-of-00004.safetensors\",\n"));
    assert_int_equal(shard_plan(arena, "model", specs, 6, 0, &plan), OK);
    assert_int_equal(plan.files, 1);
    assert_string_equal(plan.names[0], "model.safetensors");
    assert_null(plan.index_name);
    assert_int_equal(shard_plan(arena, "model", specs, 0, 0, &plan), OK);
    assert_int_equal(plan.files, 1);
}

static void sizes_are_parsed(void **state)
{
    (void)state;
    uint64_t n;
    assert_int_equal(size_parse("50GB", &n), OK);
    assert_true(n == UINT64_C(50000000000));
    assert_int_equal(size_parse("1.5 kb", &n), OK);
    assert_int_equal(n, 1500);
    assert_int_equal(size_parse("2MiB", &n), OK);
    assert_int_equal(n, 2097152);
    assert_int_equal(size_parse("123", &n), OK);
    assert_int_equal(n, 123);
    static const char *const bad[] = {"", "GB", "5XB", "-1GB", "nan", "1e30TB", "5GB5"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) assert_int_equal(size_parse(bad[i], &n), STATUS_USAGE);
}

/* ---- conversion ---- */
static double f16_value(uint16_t h)
{
    int e = h >> 10 & 31, m = h & 1023;
    double v = e == 31 ? (m ? NAN : INFINITY) : e ? ldexp(1024 + m, e - 25) : ldexp(m, -24);
    return h & 0x8000 ? -v : v;
}

static void every_half_is_widened_exactly_and_comes_back(void **state)
{
    (void)state;
    static uint16_t h[65536], back[65536];
    static float x[65536];
    for (int i = 0; i < 65536; i++) h[i] = (uint16_t)i;
    convert_elements(DTYPE_F32, x, DTYPE_F16, h, 65536);
    for (int i = 0; i < 65536; i++) {
        double want = f16_value(h[i]);
        if (isnan(want) ? !isnan(x[i]) : (double)x[i] != want || !signbit(x[i]) != !signbit(want))
            fail_msg("f16 %04x: %g", i, x[i]);
    }
    convert_elements(DTYPE_F16, back, DTYPE_F32, x, 65536);
    for (int i = 0; i < 65536; i++)
        if (isnan(x[i]) ? !isnan(f16_value(back[i])) : back[i] != h[i])
            fail_msg("f16 %04x comes back as %04x", i, back[i]);
    convert_elements(DTYPE_F32, x, DTYPE_BF16, h, 65536);
    convert_elements(DTYPE_BF16, back, DTYPE_F32, x, 65536);
    for (int i = 0; i < 65536; i++)
        if (!isnan(x[i]) && back[i] != h[i]) fail_msg("bf16 %04x comes back as %04x", i, back[i]);
}

static void rounding_is_to_the_nearest_and_ties_to_even(void **state)
{
    (void)state;
    for (int i = 0; i < 0x7C00; i++) { /* each half, the middle to the next, and just beside it */
        float low = (float)f16_value((uint16_t)i), high = i == 0x7BFF ? 65536.0f : (float)f16_value((uint16_t)(i + 1));
        float x[3] = {(low + high) / 2, nextafterf((low + high) / 2, low), nextafterf((low + high) / 2, high)};
        uint16_t y[3];
        convert_elements(DTYPE_F16, y, DTYPE_F32, x, 3);
        int want[3] = {i & 1 ? i + 1 : i, i, i + 1};
        for (int k = 0; k < 3; k++)
            if (y[k] != want[k]) fail_msg("half after %04x, %d: %04x", i, k, y[k]);
    }
    uint32_t bits[4] = {0x3F808000, 0x3F818000, 0x3F808001, 0x7FFFFFFF};
    float x[4];
    uint16_t y[4];
    memcpy(x, bits, sizeof x);
    convert_elements(DTYPE_BF16, y, DTYPE_F32, x, 4);
    assert_int_equal(y[0], 0x3F80);
    assert_int_equal(y[1], 0x3F82);
    assert_int_equal(y[2], 0x3F81);
    assert_int_equal(y[3] & 0x7FC0, 0x7FC0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(files_of_the_safetensors_package_are_read, set_up, tear_down),
        cmocka_unit_test_setup_teardown(types_that_hone_lacks_are_listed_but_not_read, set_up, tear_down),
        cmocka_unit_test_setup_teardown(our_file_equals_the_packages_byte_for_byte, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_writer_refuses_what_does_not_fit, set_up, tear_down),
        cmocka_unit_test_setup_teardown(hostile_headers_are_errors, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_file_cut_anywhere_is_an_error, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_sharded_model_is_one_store, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_index_that_does_not_match_its_shards_is_an_error, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_directory_without_a_model_says_what_is_missing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(models_are_split_as_the_reference_splits, set_up, tear_down),
        cmocka_unit_test_setup_teardown(sizes_are_parsed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(every_half_is_widened_exactly_and_comes_back, set_up, tear_down),
        cmocka_unit_test_setup_teardown(rounding_is_to_the_nearest_and_ties_to_even, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
