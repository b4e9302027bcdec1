/* `hone convert FROM TO`: a GGUF file to a model directory, or a model directory to a GGUF file. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "trainer/base/clock.h"
#include "trainer/base/file.h"
#include "trainer/cli/cli.h"
#include "trainer/gguf/convert.h"

static void print_report(const char *from, const char *to, bool to_directory, const GgufReport *r, double seconds)
{
    fprintf(stderr, "hone: %s, %s -> %s: %s, %zu tensors, %.1f M parameters, %s, %.1f MB in %.1f s\n", from,
            to_directory ? r->types : "a directory", to, r->model_type, r->tensors, (double)r->parameters * 1e-6,
            r->dtype, (double)r->bytes * 1e-6, seconds);
}

/* Options stand before, between or behind the two paths. */
static Status take_words(int argc, char **argv, const Option *options, int count, const char **from, const char **to)
{
    Status st = OK;
    const char *words[2] = {NULL, NULL};
    int n = 0, first = 0;
    while (argc) {
        if (argv[0][0] != '-' || !argv[0][1]) {
            if (n == 2) RAISE(USAGE, "convert takes two paths, and there is `%.100s` too", argv[0]);
            words[n++] = argv[0];
            argv++, argc--;
            continue;
        }
        TRY(options_parse(argc, argv, options, count, &first));
        if (!first) break; /* a lone `--` with nothing behind it */
        argv += first, argc -= first;
    }
    if (n < 2) RAISE(USAGE, "convert takes two paths: hone convert MODEL.gguf DIR, or hone convert DIR MODEL.gguf");
    *from = words[0], *to = words[1];
done:
    return st;
}

static Status check_options(bool to_directory, const GgufOptions *o)
{
    if (to_directory && o->outtype)
        return status_raise(STATUS_USAGE, "--outtype is for writing GGUF files; a directory has a --dtype");
    if (!to_directory && o->dtype)
        return status_raise(STATUS_USAGE, "--dtype is for writing directories; a GGUF file has an --outtype");
    return OK;
}

static Status run(int argc, char **argv)
{
    Status st = OK;
    Arena *arena = NULL;
    const char *from = NULL, *to = NULL;
    GgufOptions o = {0};
    GgufReport report;
    int64_t num_threads = 0;
    const Option options[] = {
        {.name = "dtype", .type = OPTION_TEXT, .into = &o.dtype},
        {.name = "outtype", .type = OPTION_TEXT, .into = &o.outtype},
        {.name = "pre", .type = OPTION_TEXT, .into = &o.pre},
        {.name = "overwrite", .type = OPTION_FLAG, .into = &o.overwrite},
        {.name = "num_threads", .type = OPTION_INT, .into = &num_threads, .least = 1, .most = 1024},
    };
    TRY(take_words(argc, argv, options, sizeof options / sizeof *options, &from, &to));
    if (!path_exists(from)) RAISE(MISSING, "%s: no such file or directory", from);
    bool to_directory = !path_is_dir(from);
    TRY(check_options(to_directory, &o));
    TRY(arena_new(&arena));
    long cores = num_threads ? (long)num_threads : sysconf(_SC_NPROCESSORS_ONLN);
    o.threads = threads_new(cores > 1 ? (int)cores : 1);
    if (!o.threads) RAISE(MEMORY, "out of memory");
    double begin = clock_seconds();
    TRY(to_directory ? gguf_to_directory(from, to, &o, arena, &report)
                     : gguf_from_directory(from, to, &o, arena, &report));
    print_report(from, to, to_directory, &report, clock_seconds() - begin);
done:
    threads_free(o.threads);
    arena_free(arena);
    return st;
}

const Command command_convert = {
    .name = "convert",
    .usage = "convert MODEL.gguf DIR | DIR MODEL.gguf [--dtype D | --outtype T] [--pre NAME] [--overwrite]",
    .summary = "A GGUF file to a model directory, and back.",
    .run = run,
    .help = "Reads GGUF 2 and 3 of the models that hone has, with tensors of F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0,\n"
            "Q5_1, Q4_K, Q5_K, Q6_K, with the tokenizer and its chat template.\n"
            "  --dtype D        of the directory: float32, bfloat16, float16. Without it F32, F16 and BF16 files keep\n"
            "                   theirs, and quantized ones become float32, which holds their numbers exactly\n"
            "  --outtype T      of the GGUF file: f32, f16, bf16, q8_0; without it what the directory has\n"
            "  --pre NAME       how a byte-level tokenizer splits text, instead of what the model says\n"
            "  --overwrite      replace what is there\n"
            "  --num_threads N  all cores by default\n",
};
