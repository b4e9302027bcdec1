/* What the tests of supervised fine-tuning's data share: a chat model's tokenizer and template, files of rows, and what
 * becomes of them. */
#ifndef HONE_TESTS_DATA_SFT_DATA_H
#define HONE_TESTS_DATA_SFT_DATA_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "trainer/base/file.h"
#include "trainer/base/log.h"
#include "trainer/data/preprocess_sft.h"

static char sft_root[] = "/tmp/hone_sft_XXXXXX";
static char sft_path[128];
static const char *sft_paths[1] = {sft_path};
static const char *const sft_model = FIXTURES "/models/llama_chat";
static Tokenizer *sft_tokenizer;
static ChatTemplate *sft_template;
static cJSON *sft_tokens;

static int sft_set_up(void **state)
{
    (void)state;
    log_set(LOG_ERROR, 0);
    if (!mkdtemp(sft_root) || tokenizer_load(sft_model, &sft_tokenizer) != OK) return -1;
    return chat_template_load(sft_model, &sft_template, &sft_tokens) == OK ? 0 : -1;
}

static int sft_tear_down(void **state)
{
    (void)state;
    tokenizer_free(sft_tokenizer);
    chat_template_free(sft_template);
    cJSON_Delete(sft_tokens);
    return dir_remove(sft_root) == OK ? 0 : -1;
}

static inline void sft_write(const char *name, const char *text)
{
    File *f;
    snprintf(sft_path, sizeof sft_path, "%s/%s", sft_root, name);
    assert_int_equal(file_create(sft_path, &f), OK);
    assert_int_equal(file_write(f, text, strlen(text)), OK);
    assert_int_equal(file_close(f), OK);
}

static inline SftSource sft_source(void)
{
    return (SftSource){.name = "train", .paths = sft_paths, .num_paths = 1, .tokenizer = sft_tokenizer,
                       .template = sft_template, .no_template = "the model has no template",
                       .special_tokens = sft_tokens, .eos_token = "<|im_end|>", .text_field = "text",
                       .completion_only = -1, .max_length = 1024, .threads = 1};
}

static inline Dataset *sft_opened(const SftSource *s)
{
    Dataset *d;
    if (dataset_open_sft(s, &d) != OK) fail_msg("%s", status_message());
    return d;
}

static inline void sft_assert_refused(const SftSource *s, Status expected, const char *what)
{
    Dataset *d;
    const Status st = dataset_open_sft(s, &d);
    if (st != expected || !strstr(status_message(), what))
        fail_msg("%s where \"%s\" was expected: %s", status_name(st), what, st == OK ? "" : status_message());
    assert_null(d);
}

/* What is learned of an example, as text. */
static inline const char *sft_learned(const Dataset *d, int64_t i, Text *text)
{
    const Span labels = dataset_get(d, dataset_column(d, "labels"), i);
    int32_t *learned = malloc((size_t)(labels.length + 1) * sizeof *learned);
    int64_t n = 0;
    for (int64_t t = 0; t < labels.length; t++)
        if (labels.data[t] != -100) learned[n++] = labels.data[t];
    text->size = 0;
    text_add(text, "", 0);
    assert_int_equal(tokenizer_decode(sft_tokenizer, learned, n, false, text), OK);
    free(learned);
    return text->data;
}

#endif
