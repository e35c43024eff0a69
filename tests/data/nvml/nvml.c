/* A libnvidia-ml.so.1 without a GPU, for tests: what servegrid asks of NVIDIA's driver, with the driver's ABI.
 *
 * Symbol names, argument lists, structures, their versions and sizes, and error codes follow NVIDIA's public nvml.h as
 * mirrored by nvidia-ml-py 13.615 (pynvml.py):
 *   - structures that carry a version have sizeof(structure) | version << 24 in their first field; the caller fills it
 *     in, and another value is NVML_ERROR_ARGUMENT_VERSION_MISMATCH (nvmlMemory_v2 = 0x02000028, nvmlTemperature_v1 =
 *     0x0100000C);
 *   - nvmlInitWithFlags, ..GetCount_v2, ..GetHandleByIndex_v2, ..GetPciInfo_v3 are what the plain names mean today;
 *   - nvmlDeviceGetComputeRunningProcesses_v2 and _v3 share one structure of 24 bytes; asked with count 0 they answer
 *     NVML_ERROR_INSUFFICIENT_SIZE and the count, or success if there is none; a memory of 2^64 - 1 means unknown;
 *   - energy is in mJ, power in mW, PCIe throughput in KB/s; the PCIe byte counters (fields 197 and 198) wrap at 2^32.
 *
 * Three GPUs: 0 offers everything; 1 has no energy counter, no PCIe figures, no split of the memory, and does not say
 * what its processes use; 2 is as 0. Compiled with -DOLD_DRIVER, the newer names are missing, as in drivers before 510.
 *
 * The file named by NVML_STATE is read at every call. A line is "<gpu> <key> <number>", later lines win; gpu * is for
 * all. Keys: memory_used, memory_reserved, power_mw, gpu_percent, throttle, pcie_tx_per_s, pcie_rx_per_s; no_counters
 * is 1 for a GPU without PCIe byte counters; "process <pid> <bytes>" has one line each. Failures: "error <code>" of
 * every call for that GPU, "error_after <calls>" as GPU_IS_LOST from that call on, "energy_error <code>" of one field,
 * "hang_s <seconds>" in the utilisation, "* init <code>" of nvmlInitWithFlags.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

typedef int nvmlReturn_t;
enum {
    SUCCESS = 0,
    INVALID_ARGUMENT = 2,
    NOT_SUPPORTED = 3,
    NOT_FOUND = 6,
    INSUFFICIENT_SIZE = 7,
    GPU_IS_LOST = 15,
    ARGUMENT_VERSION_MISMATCH = 25
};
#define GPUS 3
#define MIB (1024ULL * 1024ULL)

typedef struct {
    const char *uuid, *name, *bus_id;
    unsigned long long total;
    int full;
    int calls;
} Gpu;
typedef Gpu *nvmlDevice_t;

static Gpu gpus[GPUS] = {
    {"GPU-00000000-aaaa-bbbb-cccc-000000000000", "NVIDIA Test A100", "00000000:01:00.0", 81920 * MIB, 1, 0},
    {"GPU-11111111-aaaa-bbbb-cccc-111111111111", "NVIDIA Test T4", "00000000:02:00.0", 16384 * MIB, 0, 0},
    {"GPU-22222222-aaaa-bbbb-cccc-222222222222", "NVIDIA Test A100", "00000000:03:00.0", 81920 * MIB, 1, 0},
};

/* ---- the state file ---- */

static int matches(const char *who, int gpu) { return strcmp(who, "*") == 0 || atoi(who) == gpu; }

static unsigned long long state(int gpu, const char *key, unsigned long long otherwise) {
    const char *path = getenv("NVML_STATE");
    FILE *file = path ? fopen(path, "r") : NULL;
    char line[256], who[32], name[64];
    unsigned long long number;
    if (!file) return otherwise;
    while (fgets(line, sizeof line, file))
        if (sscanf(line, "%31s %63s %llu", who, name, &number) == 3 && strcmp(name, key) == 0 && matches(who, gpu))
            otherwise = number;
    fclose(file);
    return otherwise;
}

static int index_of(nvmlDevice_t gpu) { return (int)(gpu - gpus); }

/* What every call for a GPU begins with. */
static nvmlReturn_t enter(nvmlDevice_t gpu) {
    unsigned long long after = state(index_of(gpu), "error_after", 0);
    int calls = __sync_add_and_fetch(&gpu->calls, 1);
    if (after && (unsigned long long)calls > after) return GPU_IS_LOST;
    return (nvmlReturn_t)state(index_of(gpu), "error", SUCCESS);
}

#define ENTER(gpu)                          \
    do {                                    \
        nvmlReturn_t entered = enter(gpu);  \
        if (entered != SUCCESS) return entered; \
    } while (0)

static double uptime_s(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static nvmlReturn_t text(char *to, unsigned int length, const char *from) {
    if (strlen(from) + 1 > length) return INSUFFICIENT_SIZE;
    strcpy(to, from);
    return SUCCESS;
}

static nvmlReturn_t number(unsigned int *to, unsigned int value) {
    *to = value;
    return SUCCESS;
}

/* ---- the library and the driver ---- */

nvmlReturn_t nvmlInitWithFlags(unsigned int flags) {
    (void)flags;
    return (nvmlReturn_t)state(-1, "init", SUCCESS);
}

nvmlReturn_t nvmlShutdown(void) { return SUCCESS; }

const char *nvmlErrorString(nvmlReturn_t code) { return code == SUCCESS ? "Success" : "Another Error"; }

nvmlReturn_t nvmlSystemGetDriverVersion(char *version, unsigned int length) {
    return text(version, length, "999.10.01");
}

nvmlReturn_t nvmlSystemGetCudaDriverVersion_v2(int *version) {
    *version = 13010;
    return SUCCESS;
}

/* ---- who is there ---- */

nvmlReturn_t nvmlDeviceGetCount_v2(unsigned int *count) { return number(count, GPUS); }

nvmlReturn_t nvmlDeviceGetHandleByIndex_v2(unsigned int index, nvmlDevice_t *gpu) {
    if (index >= GPUS) return INVALID_ARGUMENT;
    ENTER(&gpus[index]);
    *gpu = &gpus[index];
    return SUCCESS;
}

nvmlReturn_t nvmlDeviceGetHandleByUUID(const char *uuid, nvmlDevice_t *gpu) {
    for (int index = 0; index < GPUS; index++)
        if (strcmp(gpus[index].uuid, uuid) == 0) return nvmlDeviceGetHandleByIndex_v2((unsigned int)index, gpu);
    return NOT_FOUND;
}

nvmlReturn_t nvmlDeviceGetName(nvmlDevice_t gpu, char *name, unsigned int length) {
    ENTER(gpu);
    return text(name, length, gpu->name);
}

nvmlReturn_t nvmlDeviceGetUUID(nvmlDevice_t gpu, char *uuid, unsigned int length) {
    ENTER(gpu);
    return text(uuid, length, gpu->uuid);
}

typedef struct {
    char busIdLegacy[16];
    unsigned int domain, bus, device, pciDeviceId, pciSubSystemId;
    char busId[32];
} nvmlPciInfo_t;

nvmlReturn_t nvmlDeviceGetPciInfo_v3(nvmlDevice_t gpu, nvmlPciInfo_t *pci) {
    ENTER(gpu);
    memset(pci, 0, sizeof *pci);
    return text(pci->busId, sizeof pci->busId, gpu->bus_id);
}

/* ---- memory and processes ---- */

typedef struct {
    unsigned long long total, free, used;
} nvmlMemory_t;

typedef struct {
    unsigned int version;
    unsigned long long total, reserved, free, used;
} nvmlMemory_v2_t;

static unsigned long long used(nvmlDevice_t gpu) { return state(index_of(gpu), "memory_used", 3 * MIB); }
static unsigned long long reserved(nvmlDevice_t gpu) { return state(index_of(gpu), "memory_reserved", 600 * MIB); }

nvmlReturn_t nvmlDeviceGetMemoryInfo(nvmlDevice_t gpu, nvmlMemory_t *memory) {
    ENTER(gpu);
    memory->total = gpu->total;
    memory->used = used(gpu) + reserved(gpu);
    memory->free = memory->total - memory->used;
    return SUCCESS;
}

#ifndef OLD_DRIVER
nvmlReturn_t nvmlDeviceGetMemoryInfo_v2(nvmlDevice_t gpu, nvmlMemory_v2_t *memory) {
    ENTER(gpu);
    if (!gpu->full) return NOT_SUPPORTED;
    if (memory->version != (sizeof *memory | 2u << 24)) return ARGUMENT_VERSION_MISMATCH;
    memory->total = gpu->total;
    memory->used = used(gpu);
    memory->reserved = reserved(gpu);
    memory->free = memory->total - memory->used - memory->reserved;
    return SUCCESS;
}
#endif

typedef struct {
    unsigned int pid;
    unsigned long long usedGpuMemory;
    unsigned int gpuInstanceId, computeInstanceId;
} nvmlProcessInfo_t;

nvmlReturn_t nvmlDeviceGetComputeRunningProcesses_v2(nvmlDevice_t gpu, unsigned int *count, nvmlProcessInfo_t *infos) {
    const char *path = getenv("NVML_STATE");
    char line[256], who[32];
    unsigned int pid, found = 0;
    unsigned long long bytes;
    ENTER(gpu);
    FILE *file = path ? fopen(path, "r") : NULL;
    while (file && fgets(line, sizeof line, file)) {
        if (sscanf(line, "%31s process %u %llu", who, &pid, &bytes) != 3 || !matches(who, index_of(gpu))) continue;
        if (found < *count) {
            nvmlProcessInfo_t info = {pid, gpu->full ? bytes : UINT64_MAX, UINT32_MAX, UINT32_MAX};
            infos[found] = info;
        }
        found++;
    }
    if (file) fclose(file);
    nvmlReturn_t answer = found > *count ? INSUFFICIENT_SIZE : SUCCESS;
    *count = found;
    return answer;
}

#ifndef OLD_DRIVER
nvmlReturn_t nvmlDeviceGetComputeRunningProcesses_v3(nvmlDevice_t gpu, unsigned int *count, nvmlProcessInfo_t *infos) {
    return nvmlDeviceGetComputeRunningProcesses_v2(gpu, count, infos);
}
#endif

/* ---- load, power, clocks, temperature ---- */

typedef struct {
    unsigned int gpu, memory;
} nvmlUtilization_t;

nvmlReturn_t nvmlDeviceGetUtilizationRates(nvmlDevice_t gpu, nvmlUtilization_t *rates) {
    ENTER(gpu);
    sleep((unsigned int)state(index_of(gpu), "hang_s", 0));
    rates->gpu = (unsigned int)state(index_of(gpu), "gpu_percent", 0);
    rates->memory = rates->gpu / 2;
    return SUCCESS;
}

static unsigned int power_mw(nvmlDevice_t gpu) { return (unsigned int)state(index_of(gpu), "power_mw", 60000); }

nvmlReturn_t nvmlDeviceGetPowerUsage(nvmlDevice_t gpu, unsigned int *milliwatts) {
    ENTER(gpu);
    return number(milliwatts, power_mw(gpu));
}

nvmlReturn_t nvmlDeviceGetTotalEnergyConsumption(nvmlDevice_t gpu, unsigned long long *millijoules) {
    ENTER(gpu);
    nvmlReturn_t failure = (nvmlReturn_t)state(index_of(gpu), "energy_error", SUCCESS);
    if (failure != SUCCESS) return failure;
    if (!gpu->full) return NOT_SUPPORTED;
    *millijoules = (unsigned long long)(uptime_s() * power_mw(gpu));
    return SUCCESS;
}

nvmlReturn_t nvmlDeviceGetEnforcedPowerLimit(nvmlDevice_t gpu, unsigned int *milliwatts) {
    ENTER(gpu);
    return number(milliwatts, gpu->full ? 400000 : 70000);
}

nvmlReturn_t nvmlDeviceGetClockInfo(nvmlDevice_t gpu, unsigned int type, unsigned int *mhz) {
    ENTER(gpu);
    return number(mhz, type == 1 ? 1410 : 1215);
}

nvmlReturn_t nvmlDeviceGetMaxClockInfo(nvmlDevice_t gpu, unsigned int type, unsigned int *mhz) {
    ENTER(gpu);
    return number(mhz, type == 1 ? 1980 : 1593);
}

nvmlReturn_t nvmlDeviceGetCurrentClocksThrottleReasons(nvmlDevice_t gpu, unsigned long long *reasons) {
    ENTER(gpu);
    *reasons = state(index_of(gpu), "throttle", 1);
    return SUCCESS;
}

#ifndef OLD_DRIVER
nvmlReturn_t nvmlDeviceGetCurrentClocksEventReasons(nvmlDevice_t gpu, unsigned long long *reasons) {
    return nvmlDeviceGetCurrentClocksThrottleReasons(gpu, reasons);
}
#endif

typedef struct {
    unsigned int version, sensorType;
    int temperature;
} nvmlTemperature_v1_t;

nvmlReturn_t nvmlDeviceGetTemperature(nvmlDevice_t gpu, unsigned int sensor, unsigned int *celsius) {
    ENTER(gpu);
    return sensor ? INVALID_ARGUMENT : number(celsius, 41);
}

#ifndef OLD_DRIVER
nvmlReturn_t nvmlDeviceGetTemperatureV(nvmlDevice_t gpu, nvmlTemperature_v1_t *temperature) {
    ENTER(gpu);
    if (temperature->version != (sizeof *temperature | 1u << 24)) return ARGUMENT_VERSION_MISMATCH;
    temperature->temperature = 41;
    return SUCCESS;
}
#endif

/* ---- PCIe ---- */

static unsigned long long pcie_per_s(nvmlDevice_t gpu, int received) {
    return state(index_of(gpu), received ? "pcie_rx_per_s" : "pcie_tx_per_s", received ? 2000000 : 1000000);
}

nvmlReturn_t nvmlDeviceGetMaxPcieLinkGeneration(nvmlDevice_t gpu, unsigned int *generation) {
    ENTER(gpu);
    return number(generation, 4);
}

nvmlReturn_t nvmlDeviceGetMaxPcieLinkWidth(nvmlDevice_t gpu, unsigned int *width) {
    ENTER(gpu);
    return number(width, 16);
}

nvmlReturn_t nvmlDeviceGetPcieThroughput(nvmlDevice_t gpu, unsigned int counter, unsigned int *kilobytes_per_s) {
    ENTER(gpu);
    if (!gpu->full) return NOT_SUPPORTED;
    usleep(20000);
    return number(kilobytes_per_s, (unsigned int)(pcie_per_s(gpu, counter == 1) / 1000));
}

typedef struct {
    unsigned int fieldId, scopeId;
    long long timestamp, latencyUsec;
    unsigned int valueType;
    nvmlReturn_t nvmlReturn;
    union {
        double dVal;
        unsigned int uiVal;
        unsigned long long ullVal;
    } value;
} nvmlFieldValue_t;

/* As on an A100: an unsigned int (type 1) that wraps, with what was there before in the upper half. */
nvmlReturn_t nvmlDeviceGetFieldValues(nvmlDevice_t gpu, int count, nvmlFieldValue_t *values) {
    ENTER(gpu);
    for (int i = 0; i < count; i++) {
        int known = values[i].fieldId == 197 || values[i].fieldId == 198;
        values[i].nvmlReturn = known && gpu->full && !state(index_of(gpu), "no_counters", 0) ? SUCCESS : NOT_SUPPORTED;
        values[i].valueType = 1;
        values[i].value.ullVal = 0xdeadbeef00000000ULL;
        if (known) values[i].value.uiVal =
            (unsigned int)(unsigned long long)(uptime_s() * (double)pcie_per_s(gpu, values[i].fieldId == 198));
    }
    return SUCCESS;
}
