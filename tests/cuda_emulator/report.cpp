/* Seeds and reports. */
#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <numeric>
#include <vector>

#include <cxxabi.h>
#include <dlfcn.h>
#include <elf.h>
#include <link.h>
#include <unistd.h>

#include "tests/cuda_emulator/emulator.h"

namespace emu
{

static uint64_t the_seed, sequence;
static bool seeded;

void set_seed(uint64_t seed) { the_seed = seed, sequence = seed * 0x9E3779B97F4A7C15u, seeded = true; }

uint64_t seed()
{
    if (!seeded) {
        const char *text = getenv("HONE_EMU_SEED");
        set_seed(text ? strtoull(text, nullptr, 10) : 2);
    }
    return the_seed;
}

uint64_t random_below(uint64_t n) /* splitmix64 */
{
    uint64_t z = sequence += 0x9E3779B97F4A7C15u;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    z ^= z >> 31;
    return n ? z % n : 0;
}

Order order_of(uint64_t n)
{
    Order order = {n, 1, 0};
    if (!seed() || n < 2) return order;
    order.offset = random_below(n);
    do order.multiplier = 1 + random_below(n - 1);
    while (std::gcd(order.multiplier, n) != 1);
    return order;
}

void report(const char *format, ...)
{
    char text[6000];
    va_list list;
    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    fflush(stdout);
    fprintf(stderr, "\nhone emulator: %s\n", text);
    if (running) {
        fprintf(stderr, "  in launch %llu, kernel %s<<<(%u,%u,%u), (%u,%u,%u)>>>\n",
                (unsigned long long)running->number, symbol_name(running->function).c_str(), running->grid.x,
                running->grid.y, running->grid.z, running->block.x, running->block.y, running->block.z);
        fprintf(stderr, "  in block (%u,%u,%u)", block_index.x, block_index.y, block_index.z);
        if (current) fprintf(stderr, ", thread (%u,%u,%u)", current->index.x, current->index.y, current->index.z);
        fprintf(stderr, "\n");
    }
    fprintf(stderr, "  HONE_EMU_SEED=%llu shows it again\n", (unsigned long long)seed());
    fflush(stderr);
    abort();
}

/* ---- names of kernels ------------------------------ */
/* Static functions are in no dynamic table, so the file's own symbol table is read. */
namespace
{

struct Symbols {
    std::map<uintptr_t, std::string> names; /* by address in the file */
};

bool read_file(const char *path, std::vector<char> *data)
{
    FILE *f = fopen(path, "rb");
    if (!f) return false;
    long bytes = fseek(f, 0, SEEK_END) ? -1 : ftell(f);
    rewind(f);
    data->resize(bytes > 0 ? (size_t)bytes : 0); /* no large array here: the stack may be a fiber's, or a signal's */
    data->resize(fread(data->data(), 1, data->size(), f));
    fclose(f);
    return true;
}

void read_symbols(const char *path, Symbols *s)
{
    std::vector<char> d;
    if (!read_file(path, &d) || d.size() < sizeof(ElfW(Ehdr)) || memcmp(d.data(), ELFMAG, SELFMAG)) return;
    const ElfW(Ehdr) *header = reinterpret_cast<const ElfW(Ehdr) *>(d.data());
    const ElfW(Shdr) *sections = reinterpret_cast<const ElfW(Shdr) *>(d.data() + header->e_shoff);
    for (int i = 0; i < header->e_shnum; i++) {
        if (sections[i].sh_type != SHT_SYMTAB) continue;
        const ElfW(Sym) *symbol = reinterpret_cast<const ElfW(Sym) *>(d.data() + sections[i].sh_offset);
        const char *strings = d.data() + sections[sections[i].sh_link].sh_offset;
        for (size_t n = sections[i].sh_size / sizeof *symbol; n; n--, symbol++)
            if ((symbol->st_info & 0xf) == STT_FUNC && symbol->st_value)
                s->names[symbol->st_value] = strings + symbol->st_name;
    }
}

/* "void (anonymous namespace)::f<4>(float*)" -> "f<4>" */
std::string without_arguments(const std::string &name)
{
    size_t end;
    int depth = 0;
    for (end = 0; end < name.size(); end++) {
        if (name[end] == '<')
            depth++;
        else if (name[end] == '>')
            depth--;
        else if (name[end] == '(' && !depth && name.compare(end, 21, "(anonymous namespace)"))
            break;
    }
    std::string head = name.substr(0, end);
    depth = 0;
    size_t begin = head.size();
    while (begin > 0) {
        char c = head[begin - 1];
        if (c == '>')
            depth++;
        else if (c == '<')
            depth--;
        else if (!depth && (c == ' ' || c == ':'))
            break;
        begin--;
    }
    return head.substr(begin);
}

} // namespace

std::string symbol_name(const void *function)
{
    static std::map<std::string, Symbols> files;
    static std::map<const void *, std::string> known;
    auto found = known.find(function);
    if (found != known.end()) return found->second;
    Dl_info info;
    std::string name = "?";
    if (dladdr(function, &info) && info.dli_fname) {
        std::string path =
            strchr(info.dli_fname, '/') && !access(info.dli_fname, R_OK) ? info.dli_fname : "/proc/self/exe";
        if (!files.count(path)) read_symbols(path.c_str(), &files[path]);
        const std::map<uintptr_t, std::string> &names = files[path].names;
        uintptr_t base = reinterpret_cast<uintptr_t>(info.dli_fbase), address = reinterpret_cast<uintptr_t>(function);
        auto it = names.find(address - base);
        if (it == names.end()) it = names.find(address); /* not position-independent */
        if (it != names.end()) {
            int status;
            char *plain = abi::__cxa_demangle(it->second.c_str(), nullptr, nullptr, &status);
            name = without_arguments(plain ? plain : it->second);
            free(plain);
        }
    }
    return known[function] = name;
}

} // namespace emu
