/* Files that are damaged, cut off, or made to hurt: each is refused with a line that says what and where, and nothing
 * is left behind. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "trainer/base/file.h"
#include "trainer/gguf/convert.h"
#include "trainer/gguf/gguf.h"
#include "trainer/gguf/write.h"

#define SEEDS FIXTURES "/../fuzz/seeds/gguf/"

static char dir[64], path[80], target[80];
static Arena *arena;

static int begin(void **state)
{
    (void)state;
    /* thousands of files: in memory where the system has such a place */
    strcpy(dir, access("/dev/shm", W_OK) == 0 ? "/dev/shm/hone-gguf-bad-XXXXXX" : "/tmp/hone-gguf-bad-XXXXXX");
    if (!mkdtemp(dir) || arena_new(&arena)) return 1;
    snprintf(path, sizeof path, "%s/x.gguf", dir);
    snprintf(target, sizeof target, "%s/d", dir);
    return 0;
}

static int end(void **state)
{
    (void)state;
    arena_free(arena);
    return dir_remove(dir);
}

static void write_bytes(const void *data, size_t size)
{
    File *f;
    assert_int_equal(file_create(path, &f), OK);
    assert_int_equal(file_write(f, data, size), OK);
    assert_int_equal(file_close(f), OK);
}

static char *seed(const char *name, size_t *size)
{
    char *data;
    if (file_read_all(arena_printf(arena, SEEDS "%s.gguf", name), arena, 1 << 20, &data, size))
        fail_msg("%s", status_message());
    return data;
}

/* Of the file as it lies there. */
static Status convert(void)
{
    GgufReport report;
    const GgufOptions options = {0};
    Status st = gguf_to_directory(path, target, &options, arena, &report);
    if (!path_exists(target) == !st) fail_msg("a directory, and %s", status_name(st));
    assert_false(path_exists(arena_printf(arena, "%s.partial", target)));
    if (!st) assert_int_equal(dir_remove(target), OK);
    return st;
}

static void must_be_refused(const char *what, Status status, const char *says)
{
    Status st = convert();
    if (st != status || !strstr(status_message(), says) || !strstr(status_message(), st == STATUS_USAGE ? "" : path))
        fail_msg("%s: %s, %s; wanted %s", what, status_name(st), status_message(), says);
}

static char *find(char *data, size_t size, const char *what, size_t what_size)
{
    char *at = memmem(data, size, what, what_size);
    if (!at) fail_msg("%s is not in the seed", what);
    return at;
}

/* The seeds themselves are good. */
static void seeds_are_converted(void **state)
{
    (void)state;
    static const char *const names[] = {"byte_level", "sentencepiece"};
    for (int i = 0; i < 2; i++) {
        size_t size;
        char *data = seed(names[i], &size);
        write_bytes(data, size);
        if (convert()) fail_msg("%s: %s", names[i], status_message());
    }
}

static void a_file_that_is_cut_off_is_refused_wherever_that_is(void **state)
{
    (void)state;
    size_t size;
    char *data = seed("byte_level", &size);
    for (size_t n = 0; n < size - 20; n++) { /* behind the last tensor there may be padding */
        Gguf *g;
        write_bytes(data, n);
        Status st = gguf_open(path, &g);
        if (st != STATUS_FORMAT || !strstr(status_message(), path))
            fail_msg("%zu of %zu bytes: %s, %s", n, size, status_name(st), status_message());
    }
}

static void a_changed_byte_never_reaches_outside(void **state)
{
    (void)state;
    static const unsigned char by[] = {0x01, 0x80, 0xff};
    size_t size;
    char *data = seed("sentencepiece", &size);
    unsigned char blocks[4096];
    float x[1024];
    for (size_t i = 0; i < size; i++)
        for (int k = 0; k < 3; k++) {
            Gguf *g;
            data[i] = (char)(data[i] ^ by[k]);
            write_bytes(data, size);
            data[i] = (char)(data[i] ^ by[k]);
            if (gguf_open(path, &g)) continue;
            for (size_t t = 0; t < gguf_tensor_count(g); t++) {
                const GgufTensor *tensor = gguf_tensor_at(g, t);
                if (tensor->numel > 512 || !tensor->type->dequantize) continue;
                assert_int_equal(gguf_read_blocks(g, tensor, 0, tensor->numel, blocks), OK);
                tensor->type->dequantize(x, blocks, tensor->numel);
            }
            gguf_close(g);
        }
}

/* Strings are replaced by others of the same length. */
static void what_is_wrong_is_said(void **state)
{
    (void)state;
    static const struct {
        const char *seed, *from, *to;
        int size; /* 0: strlen(from) */
        Status status;
        const char *says;
    } cases[] = {
        {"byte_level", "GGUF", "GGML", 0, STATUS_FORMAT, "does not begin with GGUF"},
        {"byte_level", "GGUF\3\0\0\0", "GGUF\1\0\0\0", 8, STATUS_UNSUPPORTED, "version 1; hone reads 2 and 3"},
        {"byte_level", "GGUF\3\0\0\0", "GGUF\0\0\0\3", 8, STATUS_UNSUPPORTED, "big-endian"},
        {"byte_level", "GGUF\3\0\0\0\13\0\0\0\0\0\0\0", "GGUF\3\0\0\0\13\0\0\0\0\0\0\1", 16, STATUS_FORMAT,
         "tensors, more"},
        {"byte_level", "llama\14", "lxama\14", 0, STATUS_UNSUPPORTED,
         "lxama, which hone does not have; it has: gemma2"},
        {"byte_level", "llama.block_count", "lxama.block_count", 0, STATUS_MISSING, "llama.block_count"},
        {"byte_level", "general.architecture", "general.orchitecture", 0, STATUS_MISSING, "general.architecture"},
        {"byte_level", "llama.block_count\4\0\0\0\1", "llama.block_count\4\0\0\0\77", 22, STATUS_FORMAT,
         "block_count is 63"},
        {"byte_level", "llama.block_count\4\0\0\0", "llama.block_count\6\0\0\0", 21, STATUS_FORMAT,
         "llama.block_count is f32; it should be an integer"},
        {"byte_level", "llama.block_count\4\0\0\0", "llama.block_count\16\0\0\0", 21, STATUS_FORMAT, "type 14"},
        {"byte_level", "llama.attention.head_count\4", "llama.attention.head_count\5", 0, OK, ""},
        {"byte_level", "llama.embedding_length", "llama.context_lengthxx", 0, STATUS_MISSING, "embedding_length"},
        {"byte_level", "llama-bpe", "llama-xyz", 0, STATUS_UNSUPPORTED, "tokenizer.ggml.pre is llama-xyz"},
        {"byte_level", "tokenizer.ggml.pre", "tokenizer.ggml.prx", 0, STATUS_UNSUPPORTED, "--pre"},
        {"byte_level", "tokenizer.ggml.merges", "tokenizer.ggml.mergez", 0, STATUS_FORMAT, "merges is missing"},
        {"byte_level", "a b", "b a", 0, STATUS_FORMAT, "merge 0, `b a`"},
        {"byte_level", "a b", "abb", 0, STATUS_FORMAT, "merge 0 is not two parts"},
        {"byte_level", "<0x41>", "<unk>\0", 6, STATUS_FORMAT, "token 6 is no UTF-8"},
        {"byte_level", "<x>", "<s>", 0, STATUS_FORMAT, "token 9, `<s>`, is there twice"},
        {"byte_level", "<x>", "<\xff>", 0, STATUS_FORMAT, "token 9 is no UTF-8"},
        {"byte_level", "blk.0.attn_k.weight", "blk.0.attn_q.weight", 0, STATUS_FORMAT,
         "`blk.0.attn_q.weight` is there twice"},
        {"byte_level", "blk.0.attn_k.weight", "blk.0.attn_x.weight", 0, STATUS_FORMAT, "missing: blk.0.attn_k.weight"},
        {"byte_level", "blk.0.attn_k.weight", "blk.0.attn_x.weight", 0, STATUS_FORMAT,
         "unexpected: blk.0.attn_x.weight"},
        {"byte_level", "token_embd.weight", "token_embd.weighu", 0, STATUS_FORMAT, "token_embd.weight"},
        {"byte_level", "yarn", "yorn", 0, STATUS_UNSUPPORTED, "rope.scaling.type is yorn"},
        {"sentencepiece", "tokenizer.ggml.scores", "tokenizer.ggml.scorez", 0, STATUS_FORMAT, "a score for each token"},
        {"sentencepiece", "tokenizer.ggml.bos_token_id\4\0\0\0\1", "tokenizer.ggml.bos_token_id\4\0\0\0\77", 32,
         STATUS_FORMAT, "not one of the 10 tokens"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        size_t size, n = cases[i].size ? (size_t)cases[i].size : strlen(cases[i].from);
        char *data = seed(cases[i].seed, &size);
        memcpy(find(data, size, cases[i].from, n), cases[i].to, n);
        write_bytes(data, size);
        if (cases[i].status == OK) {
            if (convert()) fail_msg("%s: %s", cases[i].to, status_message());
        } else {
            must_be_refused(cases[i].to, cases[i].status, cases[i].says);
        }
    }
}

/* ---- numbers of the list of tensors: they follow a tensor's name ---- */
static void tensors_that_are_not_there_are_refused(void **state)
{
    (void)state;
    static const struct {
        int at; /* behind the name: dimensions u32, two lengths u64, type u32, offset u64 */
        unsigned char byte;
        Status status;
        const char *says;
    } cases[] = {
        {0, 5, STATUS_FORMAT, "5 dimensions"},
        {4, 0, STATUS_FORMAT, "a dimension of 0"},
        {4 + 6, 1, STATUS_FORMAT, "ends beyond the file"},
        {4 + 7, 0xff, STATUS_FORMAT, "a dimension of"},
        {12 + 7, 0x10, STATUS_FORMAT, "a dimension of"},
        {12, 9, STATUS_FORMAT, "10 tokens, and an embedding of 9 rows"},
        {20, 77, STATUS_UNSUPPORTED, "type 77"},
        {20, 8, STATUS_FORMAT, "no multiple of 32"},
        {20, 24, STATUS_FORMAT, "wrong type: token_embd.weight is I8"},
        {24, 1, STATUS_FORMAT, "no multiple of 32"},
        {24 + 7, 0xff, STATUS_FORMAT, "ends beyond the file"},
        {24 + 3, 1, STATUS_FORMAT, "ends beyond the file"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        size_t size;
        char *data = seed("sentencepiece", &size);
        char *at = find(data, size, "token_embd.weight", 17) + 17 + cases[i].at;
        *(unsigned char *)at = cases[i].byte;
        write_bytes(data, size);
        must_be_refused(cases[i].says, cases[i].status, cases[i].says);
    }
}

/* A writer of ours, for files that are well made and say what nobody can take. */
static void put_usual(GgufWriter *w, int64_t heads)
{
    gguf_put_text(w, "general.architecture", "llama");
    gguf_put_int(w, "llama.context_length", 8);
    gguf_put_int(w, "llama.embedding_length", 4);
    gguf_put_int(w, "llama.block_count", 1);
    gguf_put_int(w, "llama.feed_forward_length", 4);
    gguf_put_int(w, "llama.attention.head_count", heads);
    gguf_put_real(w, "llama.attention.layer_norm_rms_epsilon", 1e-5);
}

static void write_file(GgufWriter *w)
{
    const int64_t shape[] = {3, 4};
    const float zeros[12] = {0};
    uint64_t size;
    assert_int_equal(gguf_declare(w, "token_embd.weight", gguf_type_by_name("F32"), 2, shape), OK);
    assert_int_equal(gguf_begin(w), OK);
    assert_int_equal(gguf_write(w, zeros, 12), OK);
    assert_int_equal(gguf_finish(w, &size), OK);
    gguf_writer_free(w);
}

static void configs_that_make_no_model_are_refused(void **state)
{
    (void)state;
    GgufWriter *w;
    assert_int_equal(gguf_writer_new(path, &w), OK);
    put_usual(w, 0);
    write_file(w);
    must_be_refused("no heads", STATUS_FORMAT, "num_attention_heads");
    assert_int_equal(gguf_writer_new(path, &w), OK);
    put_usual(w, 2);
    gguf_put_int(w, "llama.rope.dimension_count", 1);
    gguf_put_int(w, "llama.attention.key_length", 2);
    write_file(w);
    must_be_refused("half a head", STATUS_UNSUPPORTED, "llama.rope.dimension_count is 1 of heads of 2");
    assert_int_equal(gguf_writer_new(path, &w), OK);
    put_usual(w, 2);
    gguf_put_int(w, "llama.attention.value_length", 4);
    write_file(w);
    must_be_refused("values", STATUS_UNSUPPORTED, "heads of 4 values with keys of 2");
    assert_int_equal(gguf_writer_new(path, &w), OK);
    put_usual(w, 2);
    gguf_put_real(w, "llama.rope.freq_base", -1);
    write_file(w);
    must_be_refused("theta", STATUS_FORMAT, "llama.rope.freq_base must be positive");
    assert_int_equal(gguf_writer_new(path, &w), OK);
    put_usual(w, 2);
    gguf_put_int(w, "general.alignment", 24);
    write_file(w);
    must_be_refused("alignment", STATUS_FORMAT, "power of two");
    assert_int_equal(gguf_writer_new(path, &w), OK);
    put_usual(w, 2);
    gguf_put_text(w, "tokenizer.ggml.model", "bert");
    write_file(w);
    must_be_refused("only one tensor", STATUS_FORMAT, "missing: output_norm.weight [4]");
}

static void a_file_that_was_not_finished_does_not_appear(void **state)
{
    (void)state;
    GgufWriter *w;
    const int64_t shape[] = {3, 4};
    const float zeros[12] = {0};
    assert_int_equal(file_remove(path), OK);
    assert_int_equal(gguf_writer_new(path, &w), OK);
    assert_int_equal(gguf_declare(w, "x", gguf_type_by_name("F16"), 2, shape), OK);
    assert_int_equal(gguf_begin(w), OK);
    assert_int_equal(gguf_write(w, zeros, 8), OK);
    assert_true(path_exists(arena_printf(arena, "%s.partial", path)));
    assert_int_equal(gguf_write(w, zeros, 5), STATUS_BUG);
    gguf_writer_free(w);
    assert_false(path_exists(path));
    assert_false(path_exists(arena_printf(arena, "%s.partial", path)));
}

/* Each operation on files fails once. */
static int fail_after;
static int fail_later(void *context, const FileCall *call, size_t *size)
{
    (void)context, (void)size;
    if (call->op == FILE_CLOSE || call->op == FILE_REMOVE || call->op == FILE_RMDIR) return 0;
    return fail_after-- == 0 ? 28 /* ENOSPC */ : 0;
}

static void a_full_disk_leaves_nothing(void **state)
{
    (void)state;
    size_t size;
    char *data = seed("byte_level", &size);
    write_bytes(data, size);
    int n = 0;
    for (Status st = STATUS_IO; st; n++) {
        fail_after = n;
        file_hook(fail_later, NULL);
        GgufReport report;
        st = gguf_to_directory(path, target, &(GgufOptions){0}, arena, &report);
        file_hook(NULL, NULL);
        bool renamed = path_exists(target); /* only syncing the directory above it can fail then */
        if (st && renamed) assert_int_equal(dir_remove(target), OK);
        assert_false(path_exists(arena_printf(arena, "%s.partial", target)));
        if (st) assert_true(*status_message());
    }
    assert_true(n > 20);
    assert_int_equal(dir_remove(target), OK);
}

static void memory_that_is_out_is_an_error(void **state)
{
    (void)state;
    size_t size;
    char *data = seed("sentencepiece", &size);
    write_bytes(data, size);
    long n = 1;
    for (Status st = STATUS_MEMORY; st; n++) {
        GgufReport report;
        arena_fail_at(n);
        st = gguf_to_directory(path, target, &(GgufOptions){0}, arena, &report);
        arena_fail_at(0);
        if (st) assert_int_equal(st, STATUS_MEMORY);
        if (st) assert_false(path_exists(target));
    }
    assert_true(n > 5);
    assert_int_equal(dir_remove(target), OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(seeds_are_converted),
        cmocka_unit_test(a_file_that_is_cut_off_is_refused_wherever_that_is),
        cmocka_unit_test(a_changed_byte_never_reaches_outside),
        cmocka_unit_test(what_is_wrong_is_said),
        cmocka_unit_test(tensors_that_are_not_there_are_refused),
        cmocka_unit_test(configs_that_make_no_model_are_refused),
        cmocka_unit_test(a_file_that_was_not_finished_does_not_appear),
        cmocka_unit_test(a_full_disk_leaves_nothing),
        cmocka_unit_test(memory_that_is_out_is_an_error),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
