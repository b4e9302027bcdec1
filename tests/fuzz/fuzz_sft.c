/* links: data */
/* Any bytes as rows of supervised fine-tuning end in an error with a message, or in examples: ids of the vocabulary, a
 * label for each that is it or -100, packed or not, and the same each time. */
#include "tests/fuzz/fuzz.h"
#include "trainer/base/log.h"
#include "trainer/data/preprocess_sft.h"

static const char TEMPLATE[] =
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}{{ m.tool_calls or '' }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}{{ tools or '' }}{{ mood }}";

static Tokenizer *tokenizer;
static ChatTemplate *template;

static void set_up(void)
{
    if (tokenizer) return;
    log_set(LOG_ERROR + 1, 0);
    FUZZ_CHECK(tokenizer_load(FIXTURES "/models/llama_chat", &tokenizer) == OK);
    FUZZ_CHECK(chat_template_compile(TEMPLATE, sizeof TEMPLATE - 1, "t", &template) == OK);
}

static void check(const Dataset *d)
{
    FUZZ_CHECK(dataset_count(d) > 0);
    for (int64_t i = 0; i < dataset_count(d); i++) {
        const Span ids = dataset_get(d, 0, i), labels = dataset_get(d, 1, i), lengths = dataset_get(d, 2, i);
        int64_t total = 0;
        FUZZ_CHECK(labels.length == ids.length);
        for (int64_t t = 0; t < ids.length; t++) {
            FUZZ_CHECK(ids.data[t] >= 0 && ids.data[t] < tokenizer_id_limit(tokenizer));
            FUZZ_CHECK(labels.data[t] == -100 || labels.data[t] == ids.data[t]);
        }
        for (int64_t p = 0; p < lengths.length; p++) total += lengths.data[p];
        FUZZ_CHECK(total == ids.length);
    }
}

/* The first byte says the options, and which format. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!size) return 0;
    set_up();
    const uint8_t options = data[0];
    const char *path = fuzz_file(options & 1 ? ".csv" : ".jsonl", data + 1, size - 1);
    SftSource s = {.name = "fuzz", .paths = &path, .num_paths = 1, .tokenizer = tokenizer, .template = template,
                   .no_template = "", .eos_token = "<|im_end|>", .text_field = "text",
                   .completion_only = options & 2 ? 0 : -1, .assistant_only = options & 4, .max_length = 24,
                   .keep_end = options & 8, .packing = options & 16, .shuffle = options & 32,
                   .strategy = (PackStrategy)(options / 64 % 3), .threads = 1};
    Dataset *first, *second;
    const Status st = dataset_open_sft(&s, &first);
    if (st) {
        FUZZ_CHECK(*status_message() && !first && st != STATUS_BUG);
    } else {
        check(first);
        FUZZ_CHECK(dataset_open_sft(&s, &second) == OK);
        FUZZ_CHECK(dataset_count(second) == dataset_count(first));
        dataset_free(second);
    }
    dataset_free(first);
    unlink(path);
    return 0;
}
