/* links: gguf */
/* Any bytes as a GGUF file are refused with a line, leaving nothing behind, or every tensor of it can be read; and what
 * becomes a model directory is one whose config declares a model, and which becomes a GGUF file again. */
#include <sys/stat.h>

#include "tests/fuzz/fuzz.h"
#include "trainer/base/file.h"
#include "trainer/base/log.h"
#include "trainer/gguf/convert.h"
#include "trainer/gguf/gguf.h"
#include "trainer/tokenizer/tokenizer.h"

static void read_tensors(const Gguf *g)
{
    enum { PART = 1 << 12 };
    static unsigned char blocks[PART * 8];
    static float x[PART];
    for (size_t i = 0; i < gguf_tensor_count(g); i++) {
        const GgufTensor *t = gguf_tensor_at(g, i);
        FUZZ_CHECK(gguf_tensor_find(g, t->name) == t && t->numel > 0);
        for (int64_t at = 0, n; at < t->numel; at += n) {
            n = t->numel - at < PART ? t->numel - at : PART;
            FUZZ_CHECK(gguf_read_blocks(g, t, at, n, blocks) == OK);
            if (t->type->dequantize) t->type->dequantize(x, blocks, n);
        }
    }
    for (size_t i = 0; i < gguf_value_count(g); i++)
        FUZZ_CHECK(gguf_find(g, gguf_value_at(g, i)->key) == gguf_value_at(g, i));
}

static void check_directory(const char *dir, const char *file, Arena *arena)
{
    cJSON *config;
    Model *m;
    Tokenizer *t;
    Gguf *again;
    GgufReport report;
    const GgufOptions options = {.overwrite = true};
    FUZZ_CHECK(model_config_read(dir, &config) == OK && model_new(config, dir, &m) == OK);
    FUZZ_CHECK(m->params.elements > 0);
    model_free(m);
    if (tokenizer_load(dir, &t) == OK) tokenizer_free(t); /* words that no tokenizer takes may be in a file */
    if (gguf_from_directory(dir, file, &options, arena, &report) == OK) {
        FUZZ_CHECK(gguf_open(file, &again) == OK);
        gguf_close(again);
    } else {
        FUZZ_CHECK(*status_message());
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    Gguf *g;
    Arena *arena;
    GgufReport report;
    char dir[96], partial[112], back[96];
    const GgufOptions options = {.overwrite = true};
    const char *path = fuzz_file(".gguf", data, size);
    snprintf(dir, sizeof dir, "%s.d", path);
    snprintf(partial, sizeof partial, "%s.d.partial", path);
    snprintf(back, sizeof back, "%s.back", path);
    log_set(LOG_ERROR, 0);
    if (gguf_open(path, &g) != OK) {
        FUZZ_CHECK(*status_message());
        return 0;
    }
    read_tensors(g);
    gguf_close(g);
    FUZZ_CHECK(arena_new(&arena) == OK);
    if (gguf_to_directory(path, dir, &options, arena, &report) == OK) check_directory(dir, back, arena);
    else FUZZ_CHECK(*status_message() && !path_exists(dir));
    FUZZ_CHECK(!path_exists(partial));
    dir_remove(dir);
    file_remove(back);
    arena_free(arena);
    return 0;
}
