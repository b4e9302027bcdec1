/* A test program whose cases run under mpirun, all at once (they mostly wait): it starts itself as `PROGRAM child CASE`
 * and looks at what the ranks print and how they end. */
#ifndef TESTS_CUDA_EMULATOR_MPI_CASES_H
#define TESTS_CUDA_EMULATOR_MPI_CASES_H

#include <csetjmp>
#include <cstdarg>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

extern "C" {
#include <cmocka.h>
}

struct Case {
    const char *name;
    int ranks;
    const char *settings; /* of the environment */
    FILE *output = nullptr;
    std::string text;
    bool ended = false, well = false;
    Case(const char *n, int r, const char *s) : name(n), ranks(r), settings(s) {}
};

inline std::string self; /* the program's path */
inline std::vector<Case> &cases()
{
    static std::vector<Case> all;
    return all;
}

inline int start_cases(void **)
{
    char command[8192];
    setenv("OMPI_ALLOW_RUN_AS_ROOT", "1", 1);
    setenv("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1", 1);
    for (Case &c : cases()) {
        snprintf(command, sizeof command, "%s mpirun --oversubscribe --timeout 200 -np %d %s child %s 2>&1", c.settings,
                 c.ranks, self.c_str(), c.name);
        if (!(c.output = popen(command, "r"))) return -1;
    }
    return 0;
}

/* Waits. number: of those with this name. */
inline const Case &outcome(const char *name, int number = 0)
{
    char part[4096];
    for (Case &c : cases()) {
        if (strcmp(c.name, name) || number--) continue;
        while (!c.ended) {
            size_t n = fread(part, 1, sizeof part, c.output);
            c.text.append(part, n);
            if (!n) c.ended = true, c.well = pclose(c.output) == 0;
        }
        return c;
    }
    abort();
}

/* All cases of this name. */
inline void expect_well(const char *name)
{
    int number = 0;
    for (Case &c : cases()) {
        if (strcmp(c.name, name)) continue;
        const Case &o = outcome(name, number++);
        if (!o.well) fail_msg("%s with %d ranks, %s: %s", name, o.ranks, o.settings, o.text.c_str());
    }
    if (!number) abort();
}

#endif
