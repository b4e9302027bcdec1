/* `hone env`: what a bug report needs, as JSON. Under mpirun it is one object with a member for each rank. */
#include <gnu/libc-version.h>
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>
#include <yaml.h>

#include "kernels/device.h"
#include "kernels/gemm.h"
#include "kernels/kernels.h"
#include "trainer/base/json.h"
#include "trainer/cli/cli.h"
#include "trainer/distributed/binding.h"
#include "trainer/distributed/process_group.h"

/* What a rank tells rank 0. */
typedef struct RankFacts {
    char host[64], mask[128], line[256];
    int threads, cpus, widened;
} RankFacts;

static void add(cJSON *object, const char *name, const char *value)
{
    cJSON_AddStringToObject(object, name, value ? value : "");
}

static void add_versions(cJSON *object)
{
    char mpi[MPI_MAX_LIBRARY_VERSION_STRING] = "", *end;
    int length = 0;
    struct utsname system;
    MPI_Get_library_version(mpi, &length);
    if ((end = strchr(mpi, ','))) *end = '\0'; /* "Open MPI v4.1.4, package: …" */
    add(object, "hone", HONE_VERSION);
    add(object, "compiler", "gcc " __VERSION__);
    add(object, "libc", gnu_get_libc_version());
    add(object, "blas", gemm_library());
    add(object, "mpi", mpi);
    add(object, "cjson", cJSON_Version());
    add(object, "libyaml", yaml_get_version_string());
    if (uname(&system) == 0) {
        add(object, "kernel", system.release);
        add(object, "machine", system.machine);
    }
}

/* "model name : …" of the first processor. */
static void add_processor(cJSON *object)
{
    char line[512];
    FILE *f = fopen("/proc/cpuinfo", "re"); /* not ours: no hook needs to see it */
    while (f && fgets(line, sizeof line, f)) {
        char *colon = strchr(line, ':');
        if (strncmp(line, "model name", 10) != 0 || !colon) continue;
        colon[strcspn(colon, "\n")] = '\0';
        add(object, "processor", colon + 1 + strspn(colon + 1, " "));
        break;
    }
    if (f) fclose(f);
}

static void add_device(cJSON *list, int index)
{
    char why[DEVICE_WHY_BYTES] = "", text[64];
    DeviceFacts facts;
    cJSON *device = cJSON_CreateObject();
    cJSON_AddItemToArray(list, device);
    snprintf(text, sizeof text, "cuda:%d", index);
    add(device, "device", text);
    if (!device_facts(index, &facts, why)) {
        add(device, "fails", why);
        return;
    }
    add(device, "name", facts.name);
    snprintf(text, sizeof text, "%d.%d", facts.major, facts.minor);
    add(device, "compute_capability", text);
    cJSON_AddItemToObject(device, "multiprocessors", json_new_int(facts.multiprocessors));
    cJSON_AddItemToObject(device, "memory_bytes", json_new_int(facts.memory_bytes));
    cJSON_AddItemToObject(device, "memory_free_bytes", json_new_int(facts.memory_free_bytes));
    snprintf(text, sizeof text, "%d.%d", facts.driver / 1000, facts.driver % 1000 / 10);
    add(device, "driver_cuda", text);
    snprintf(text, sizeof text, "%d.%d", facts.runtime / 1000, facts.runtime % 1000 / 10);
    add(device, "runtime_cuda", text);
}

/* GPUs, or why there are none. */
static void add_devices(cJSON *object)
{
    char why[DEVICE_WHY_BYTES] = "", nccl[64];
    int count = device_count(why);
    cJSON_AddItemToObject(object, "cuda_devices", json_new_int(count));
    if (!count) {
        add(object, "cuda_missing", why);
        return;
    }
    cJSON *list = cJSON_AddArrayToObject(object, "cuda");
    for (int i = 0; i < count; i++) add_device(list, i);
    const DeviceRanks *ranks = device_ranks(why);
    int version = ranks ? ranks->nccl_version(why) : 0;
    snprintf(nccl, sizeof nccl, "%d.%d.%d", version / 10000, version / 100 % 100, version % 100);
    add(object, version ? "nccl" : "nccl_missing", version ? nccl : why);
}

static void add_machine(cJSON *object)
{
    unsigned isa = isa_detect();
    add(object, "instruction_set", isa_name(isa));
    add_processor(object);
    cJSON_AddItemToObject(object, "cores_online", json_new_int(sysconf(_SC_NPROCESSORS_ONLN)));
    cJSON_AddItemToObject(object, "memory_bytes",
                          json_new_int((int64_t)sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE)));
    add_devices(object);
}

/* Of this rank's threads. */
static void add_products(cJSON *object, int threads)
{
    static const double GIGA = 1e9;
    unsigned isa = isa_detect();
    if (!(isa & ISA_AVX512)) gemm_set_isa(isa); /* else the library may use all that there is */
    Stream *s = stream_new_cpu(threads);
    if (!s) return;
    GemmRates r = gemm_rates(s);
    cJSON *products = cJSON_AddObjectToObject(object, "products");
    cJSON_AddItemToObject(products, "float32_gflops", json_new_int((int64_t)(r.f32 / GIGA)));
    cJSON_AddItemToObject(products, "bfloat16_widened_gflops", json_new_int((int64_t)(r.bf16_widened / GIGA)));
    if (gemm_has_bf16())
        cJSON_AddItemToObject(products, "bfloat16_library_gflops", json_new_int((int64_t)(r.bf16_library / GIGA)));
    add(products, "bfloat16", gemm_bf16() == BF16_LIBRARY ? "library" : "widened");
    stream_free(s);
}

static void add_settings(cJSON *object)
{
    static const char *const names[] = {"OMP_NUM_THREADS",
                                        "HONE_ISA",
                                        "HONE_BF16",
                                        "HF_HOME",
                                        "HF_HUB_OFFLINE",
                                        "OMPI_COMM_WORLD_SIZE",
                                        "OMPI_MCA_hwloc_base_binding_policy",
                                        "OMPI_MCA_rmaps_base_mapping_policy",
                                        "PMIX_RANK",
                                        "SLURM_JOB_ID"};
    cJSON *settings = cJSON_AddObjectToObject(object, "environment");
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (getenv(names[i])) add(settings, names[i], getenv(names[i]));
}

static void add_ranks(cJSON *object, const RankFacts *facts, int size)
{
    cJSON *list = cJSON_AddArrayToObject(object, "ranks");
    for (int i = 0; i < size; i++) {
        cJSON *rank = cJSON_CreateObject();
        cJSON_AddItemToObject(rank, "rank", json_new_int(i));
        add(rank, "host", facts[i].host);
        cJSON_AddItemToObject(rank, "threads", json_new_int(facts[i].threads));
        cJSON_AddItemToObject(rank, "cores", json_new_int(facts[i].cpus));
        add(rank, "affinity", facts[i].mask);
        cJSON_AddBoolToObject(rank, "affinity_widened", facts[i].widened);
        if (facts[i].line[0]) add(rank, "binding", facts[i].line);
        cJSON_AddItemToArray(list, rank);
    }
}

static Status print(const RankFacts *facts, int size, int threads)
{
    cJSON *object = cJSON_CreateObject();
    Text text = {0};
    add_versions(object);
    add_machine(object);
    add_products(object, threads);
    add_settings(object);
    add_ranks(object, facts, size);
    json_add(&text, object, 2, false);
    bool fine = object && !text.failed;
    if (fine) printf("%s\n", text.data);
    cJSON_Delete(object);
    text_free(&text);
    return fine ? OK : status_raise(STATUS_MEMORY, "out of memory");
}

static Status run(int argc, char **argv)
{
    Status st = OK;
    ProcessGroup *group = NULL;
    RankFacts *facts = NULL, mine = {0};
    Binding binding = {0};
    char why[ISA_WHY_BYTES];
    if (argc) RAISE(USAGE, "env takes nothing, and got `%s`", argv[0]);
    if (!gemm_bf16_allowed(getenv("HONE_BF16"), why)) RAISE(USAGE, "%s", why);
    TRY(group_open(&group));
    TRY(binding_apply(group, 0, &binding));
    facts = calloc((size_t)group->size, sizeof *facts);
    if (!facts) RAISE(MEMORY, "out of memory");
    mine = (RankFacts){.threads = binding.threads, .cpus = binding.cpus, .widened = binding.widened};
    memcpy(mine.host, group->host, sizeof mine.host);
    memcpy(mine.mask, binding.mask, sizeof mine.mask);
    memcpy(mine.line, binding.line, sizeof mine.line);
    TRY(group_all_gather(group, &mine, facts, sizeof mine));
    if (group->rank == 0) TRY(print(facts, group->size, binding.threads));
done:
    free(facts);
    group_close(group);
    return st;
}

const Command command_env = {
    .name = "env",
    .usage = "env",
    .summary = "Versions, instruction set, cores, threads and affinity of each rank, for bug reports.",
    .run = run,
    .help = "One JSON object on stdout. Start it as you start the run (mpirun -np 4 hone env): it tells what each rank "
            "gets.\n",
};
