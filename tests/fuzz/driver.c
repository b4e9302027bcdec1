/* Runs a fuzz target without libFuzzer, for compilers that lack it: its seeds, then mutations of them for a while.
 *
 *     fuzz_X FILE|DIR …                                       each once: to see a crash again
 *     fuzz_X -seconds=N [-seed=N] [-dict=FILE] FILE|DIR …     and mutations, always the same ones for one seed
 *
 * It is blind (it does not see which code an input reaches), so it finds less than libFuzzer in the same time; what it
 * finds is found again by every run. An input that kills the process, or takes 20 s of processor time, is written to
 * crash-<target>-<process> in the current directory. */
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
/* In the sanitizers' runtime, where one is linked. */
__attribute__((weak)) void __sanitizer_set_death_callback(void (*callback)(void));

enum { MOST_BYTES = 1 << 16, MOST_SEEDS = 1000, MOST_WORDS = 1000, SLOW_SECONDS = 20 };

typedef struct Bytes {
    uint8_t *data;
    size_t size;
} Bytes;

static Bytes seeds[MOST_SEEDS], words[MOST_WORDS];
static size_t num_seeds, num_words;
static Bytes now; /* the input that is being tried */
static const char *target = "fuzz";

/* ---- what to do with an input that kills ---- */
static void write_input(void)
{
    static int done;
    char path[256];
    if (done++) return;
    snprintf(path, sizeof path, "crash-%s-%ld", target, (long)getpid());
    int fd = open(path, O_CREAT | O_TRUNC | O_WRONLY, 0644);
    if (fd < 0 || write(fd, now.data, now.size) != (ssize_t)now.size) return;
    close(fd);
    fprintf(stderr, "\n%s: the input of %zu bytes is in %s; again: %s %s\n", target, now.size, path, target, path);
}

static void on_signal(int number)
{
    if (number == SIGVTALRM) fprintf(stderr, "%s: an input takes more than %d s\n", target, SLOW_SECONDS);
    write_input();
    signal(number, SIG_DFL);
    raise(number);
}

static void try(const uint8_t *data, size_t size)
{
    const struct itimerval limit = {.it_value.tv_sec = SLOW_SECONDS};
    uint8_t *exact = malloc(size ? size : 1); /* the sanitizer sees a byte too far */
    if (!exact) exit(1);
    memcpy(exact, data, size);
    now = (Bytes){exact, size};
    setitimer(ITIMER_VIRTUAL, &limit, NULL);
    LLVMFuzzerTestOneInput(exact, size);
    free(exact);
}

/* ---- seeds and words ---- */
static void add_bytes(Bytes *list, size_t *count, size_t most, const void *data, size_t size)
{
    if (*count == most) return;
    uint8_t *copy = malloc(size ? size : 1);
    if (!copy) exit(1);
    memcpy(copy, data, size);
    list[(*count)++] = (Bytes){copy, size};
}

static void add_path(const char *path)
{
    static uint8_t buffer[MOST_BYTES];
    struct stat s;
    if (stat(path, &s) != 0) {
        fprintf(stderr, "%s: no such file: %s\n", target, path);
        exit(2);
    }
    if (S_ISDIR(s.st_mode)) {
        struct dirent **names;
        int n = scandir(path, &names, NULL, alphasort);
        for (int i = 0; i < n; i++) {
            char below[4096];
            snprintf(below, sizeof below, "%s/%s", path, names[i]->d_name);
            if (names[i]->d_name[0] != '.') add_path(below);
            free(names[i]);
        }
        if (n >= 0) free(names);
        return;
    }
    FILE *f = fopen(path, "rb");
    if (!f) exit(2);
    size_t size = fread(buffer, 1, sizeof buffer, f); /* of a larger file, its beginning */
    fclose(f);
    add_bytes(seeds, &num_seeds, MOST_SEEDS, buffer, size);
}

/* A line of a dictionary: [name=]"text with \xNN, \\ and \"". */
static void add_word(const char *line)
{
    uint8_t word[256];
    size_t n = 0;
    const char *p = strchr(line, '"'), *end = strrchr(line, '"');
    if (*line == '#' || !p || end == p) return;
    for (p++; p < end && n < sizeof word; p++) {
        unsigned value = (unsigned char)*p;
        if (*p == '\\' && p[1] == 'x' && sscanf(p + 2, "%2x", &value) == 1) p += 3;
        else if (*p == '\\' && p + 1 < end) value = (unsigned char)*++p;
        word[n++] = (uint8_t)value;
    }
    add_bytes(words, &num_words, MOST_WORDS, word, n);
}

static void add_dictionary(const char *path)
{
    char line[1024];
    FILE *f = fopen(path, "r");
    if (!f) {
        fprintf(stderr, "%s: no such dictionary: %s\n", target, path);
        exit(2);
    }
    while (fgets(line, sizeof line, f)) add_word(line);
    fclose(f);
}

/* ---- mutations ---- */
static uint64_t random_state;

static size_t below(size_t n) /* splitmix64 (Steele et al. 2014) */
{
    uint64_t z = random_state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return n ? (size_t)((z ^ z >> 31) % n) : 0;
}

/* Replaces `cut` bytes at `at` by others. */
static void replace(Bytes *b, size_t at, size_t cut, const void *data, size_t size)
{
    if (b->size - cut + size > MOST_BYTES) return;
    memmove(b->data + at + size, b->data + at + cut, b->size - at - cut);
    memcpy(b->data + at, data, size);
    b->size += size - cut;
}

static bool is_digit(uint8_t c) { return c >= '0' && c <= '9'; }

/* Another number in the place of one that is there. */
static void change_number(Bytes *b)
{
    static const char *const numbers[] = {
        "0", "1", "-1", "255", "256", "65536", "2147483647", "2147483648", "-2147483649", "4294967296",
        "9007199254740993", "9223372036854775807", "9223372036854775808", "18446744073709551615",
        "99999999999999999999999", "1e999", "-1e999", "1e-400", "0.5", "NaN", "Infinity", "null", "true", "\"\"",
        "[]", "{}", "-0", "007", "1.", "3e"
    };
    size_t at = below(b->size), end;
    while (at < b->size && !is_digit(b->data[at])) at++;
    for (end = at; end < b->size && is_digit(b->data[end]);) end++;
    const char *number = numbers[below(sizeof numbers / sizeof *numbers)];
    if (end > at) replace(b, at, end - at, number, strlen(number));
}

static void mutate(Bytes *b)
{
    static uint8_t piece[MOST_BYTES];
    static const uint8_t odd[] = {0,   1,   0x7f, 0x80, 0xff, '\n', '\r', '"', '\\', '{',
                                  '}', '[', ']',  ',',  ':',  ' ',  '-',  '#', '&',  '*'};
    const Bytes *other = &seeds[below(num_seeds)], *word = num_words ? &words[below(num_words)] : NULL;
    size_t at = below(b->size + 1), left = b->size - at, n = below(below(2) ? 8 : left + 1);
    if (n > left) n = left;
    switch (below(12)) {
    case 0: if (left) b->data[at] ^= (uint8_t)(1u << below(8)); break;
    case 1: if (left) b->data[at] = odd[below(sizeof odd)]; break;
    case 2: replace(b, at, 0, &odd[below(sizeof odd)], 1); break;
    case 3: if (!below(4)) b->size = at; break;
    case 4: replace(b, at, n, "", 0); break;
    case 5:
        memcpy(piece, b->data + at, n), replace(b, below(b->size + 1), 0, piece, n);
        break; /* once more, elsewhere */
    case 6:
    case 7:
        if (word) replace(b, at, below(3) ? 0 : n < word->size ? n : word->size, word->data, word->size);
        break;
    case 8: case 9: change_number(b); break;
    case 10: {
        size_t from = below(other->size + 1), most = other->size - from, size = below(most + 1);
        replace(b, at, n, other->data + from, size);
        break;
    }
    default: {
        uint64_t value = below(3) ? (uint64_t)0 - below(3) : (uint64_t)1 << below(64);
        size_t bytes = (size_t)1 << below(4);
        if (left >= bytes) memcpy(b->data + at, &value, bytes); /* a count or an offset in a binary file */
    }
    }
}

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

int main(int argc, char **argv)
{
    static uint8_t buffer[MOST_BYTES];
    double most_seconds = 0, begin = seconds();
    target = strrchr(argv[0], '/') ? strrchr(argv[0], '/') + 1 : argv[0];
    for (int i = 1; i < argc; i++) {
        if (!strncmp(argv[i], "-seconds=", 9)) most_seconds = atof(argv[i] + 9);
        else if (!strncmp(argv[i], "-seed=", 6)) random_state = strtoull(argv[i] + 6, NULL, 10);
        else if (!strncmp(argv[i], "-dict=", 6)) add_dictionary(argv[i] + 6);
        else add_path(argv[i]);
    }
    if (&__sanitizer_set_death_callback) __sanitizer_set_death_callback(write_input);
    signal(SIGABRT, on_signal);
    signal(SIGVTALRM, on_signal);
    add_bytes(seeds, &num_seeds, MOST_SEEDS, "", 0);
    for (size_t i = 0; i < num_seeds; i++) try(seeds[i].data, seeds[i].size);
    unsigned long runs = 0;
    for (; seconds() - begin < most_seconds; runs++) {
        const Bytes *seed = &seeds[below(num_seeds)];
        Bytes b = {buffer, seed->size};
        memcpy(buffer, seed->data, seed->size);
        for (size_t n = 1 + below(below(2) ? 3 : 16); n; n--) mutate(&b);
        try(b.data, b.size);
    }
    printf("%s: %zu seeds, %zu words, %lu mutations, no fault\n", target, num_seeds, num_words, runs);
    for (size_t i = 0; i < num_seeds; i++) free(seeds[i].data);
    for (size_t i = 0; i < num_words; i++) free(words[i].data);
    return 0;
}
