// Devices that hold nothing and compute nothing, for llama.cpp to plan on.
//
//     devices TARGET DRAFTER COUNT CUDA|Vulkan|MTL|RPC < PLACEMENTS
//
// Registers COUNT devices with llama.cpp, loads both files without their weights (`no_alloc`), and
// writes for each placement what llama.cpp would reserve on each device: bytes for the model, the
// context, and to compute in. A placement is a line: layers on devices, layers whose experts are
// not, context, number of the KV cache's type, 1 for flash attention, tokens evaluated at once,
// layers of each device joined by commas, and the number of the drafter's device, -1 for the CPU.
// Devices take memory by the rules of that backend; all but RPC's compute long prompts for layers
// that they do not have. All work in turns. What Metal maps of a file is not shown: nothing is read.
// Built and used by benchmarks/compare_placements.py.

#include "ggml-backend-impl.h"
#include "ggml-cpu.h"
#include "llama-ext.h"
#include "llama.h"

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

static std::string backend;
static bool is(const char * name) { return backend == name; }
static const int ROWS = 9;               // MAX_WIDTH of gemma_mtp.api
static const int64_t WORTH_A_COPY = 32;  // rows from which a card reads weights elsewhere

struct Hollow {
    std::string name;
    ggml_backend_buffer_type type;
    ggml_backend_device device;
};

static std::vector<Hollow *> hollow;
static ggml_backend_reg registry;

static Hollow * of(ggml_backend_dev_t device) { return (Hollow *) device->context; }

// Buffers: their addresses are never used.
static const char * type_name(ggml_backend_buffer_type_t type) { return ((Hollow *) type->context)->name.c_str(); }
static size_t type_alignment(ggml_backend_buffer_type_t) { return is("Vulkan") ? 256 : is("MTL") ? 32 : 128; }
static size_t type_most(ggml_backend_buffer_type_t) { return is("Vulkan") ? (size_t) 1 << 30 : SIZE_MAX; }
static void * base(ggml_backend_buffer_t) { return (void *) 0x100000; }
static void clear(ggml_backend_buffer_t, uint8_t) {}
static void set(ggml_backend_buffer_t, ggml_tensor *, const void *, size_t, size_t) {}
static void get(ggml_backend_buffer_t, const ggml_tensor *, void *, size_t, size_t) {}

static ggml_backend_buffer_t type_alloc(ggml_backend_buffer_type_t type, size_t size) {
    ggml_backend_buffer_i calls = {};
    calls.get_base = base;
    calls.set_tensor = set;
    calls.get_tensor = get;
    calls.clear = clear;
    return ggml_backend_buffer_init(type, calls, nullptr, size);
}

static size_t padded(size_t size) { return (size + 127) / 128 * 128; }

static size_t for_metal(const ggml_tensor * tensor) {
    size_t size = ggml_nbytes(tensor);
    if (tensor->op == GGML_OP_MUL_MAT_ID) {
        size += 4 * tensor->src[0]->ne[2] * (1 + tensor->src[2]->ne[1]) + 1024;
    }
    if (tensor->op == GGML_OP_FLASH_ATTN_EXT) {
        const auto * q = tensor->src[0], * k = tensor->src[1], * v = tensor->src[2], * mask = tensor->src[3];
        size += 2 * (ggml_nelements(k) + ggml_nelements(v)) + 32;
        size += 64 * (k->nb[1] * k->ne[2] + v->nb[1] * v->ne[2] + 2 * mask->ne[1]);  // the last cells, filled up
        size += (mask->ne[0] + 31) / 32 * q->ne[1] + 32;                              // blocks of the mask
        size += 4 * std::min<size_t>(q->ne[1], 32) * q->ne[2] * 32 * (v->ne[0] + 2);  // of groups of threads
    }
    return size;
}

static size_t type_alloc_size(ggml_backend_buffer_type_t, const ggml_tensor * tensor) {
    size_t size = ggml_nbytes(tensor);
    if (is("MTL")) return for_metal(tensor);
    if (is("CUDA") && tensor->op == GGML_OP_FLASH_ATTN_EXT) {
        for (const ggml_tensor * read : {tensor->src[1], tensor->src[2]}) {
            if (read->type != GGML_TYPE_F16) size = padded(size) + padded(2 * ggml_nelements(read));
        }
    }
    if (is("CUDA") && ggml_is_quantized(tensor->type) && tensor->ne[0] % 512) {
        size += ggml_row_size(tensor->type, 512 - tensor->ne[0] % 512);
    }
    return size;
}

static const char * host_name(ggml_backend_buffer_type_t) { return "Host"; }

static ggml_backend_buffer_type_t host_type(ggml_backend_dev_t) {
    const auto & cpu = ggml_backend_cpu_buffer_type()->iface;
    static ggml_backend_buffer_type type = {
        {host_name, cpu.alloc_buffer, cpu.get_alignment, nullptr, cpu.get_alloc_size, cpu.is_host},
        &hollow[0]->device, nullptr};
    return is("CUDA") || is("Vulkan") ? &type : nullptr;
}

// Devices.
static const char * device_name(ggml_backend_dev_t device) { return of(device)->name.c_str(); }
static void memory(ggml_backend_dev_t, size_t * free, size_t * total) { *free = *total = (size_t) 1 << 40; }
static enum ggml_backend_dev_type kind(ggml_backend_dev_t) { return GGML_BACKEND_DEVICE_TYPE_GPU; }
static ggml_backend_buffer_type_t own_type(ggml_backend_dev_t device) { return &of(device)->type; }
static bool supports_op(ggml_backend_dev_t, const ggml_tensor *) { return true; }
static bool supports_type(ggml_backend_dev_t device, ggml_backend_buffer_type_t type) { return type == own_type(device); }

static void properties(ggml_backend_dev_t device, ggml_backend_dev_props * found) {
    memset(found, 0, sizeof *found);
    found->name = found->description = device_name(device);
    found->type = kind(device);
    memory(device, &found->memory_free, &found->memory_total);
    found->caps.async = found->caps.events = true;
    found->caps.mmap_support = true;
}

static bool takes_over(ggml_backend_dev_t, const ggml_tensor * op) {
    if (is("RPC") || op->op == GGML_OP_GET_ROWS) return false;
    if (op->op == GGML_OP_MUL_MAT) return op->ne[1] >= WORTH_A_COPY;
    if (is("MTL") && op->op != GGML_OP_MUL_MAT_ID) return false;
    bool grouped = op->op == GGML_OP_MUL_MAT_ID || op->op == GGML_OP_ROPE;
    return (grouped ? op->ne[2] : ggml_nrows(op)) >= WORTH_A_COPY;
}

static ggml_backend_event_t new_event(ggml_backend_dev_t device) { return new ggml_backend_event{device, nullptr}; }
static void free_event(ggml_backend_dev_t, ggml_backend_event_t event) { delete event; }
static void wait(ggml_backend_dev_t, ggml_backend_event_t) {}

static const char * backend_name(ggml_backend_t backend) { return device_name(backend->device); }
static void free_backend(ggml_backend_t backend) { delete backend; }
static ggml_status compute(ggml_backend_t, ggml_cgraph *) { return GGML_STATUS_FAILED; }
static void synchronize(ggml_backend_t) {}

static ggml_backend_t start(ggml_backend_dev_t device, const char *) {
    static ggml_guid id = {0x68, 0x6f, 0x6c};
    ggml_backend_i calls = {};
    calls.get_name = backend_name;
    calls.free = free_backend;
    calls.graph_compute = compute;
    calls.synchronize = synchronize;
    return new ggml_backend{&id, calls, device, nullptr};
}

static const char * registry_name(ggml_backend_reg_t) { return "HOLLOW"; }
static size_t device_count(ggml_backend_reg_t) { return hollow.size(); }
static ggml_backend_dev_t device_at(ggml_backend_reg_t, size_t number) { return &hollow[number]->device; }

static void add_devices(int count) {
    registry.api_version = GGML_BACKEND_API_VERSION;
    registry.iface = {registry_name, device_count, device_at, nullptr};
    for (int number = 0; number < count; number++) {
        auto * made = new Hollow{"HOLLOW" + std::to_string(number), {}, {}};
        made->type = {{type_name, type_alloc, type_alignment, type_most, type_alloc_size, nullptr}, &made->device, made};
        made->device = {{device_name, device_name, memory, kind, properties, start, own_type, host_type, nullptr,
                         supports_op, supports_type, takes_over, new_event, free_event, wait}, &registry, made};
        hollow.push_back(made);
    }
    ggml_backend_register(&registry);
}

static void only_errors(ggml_log_level level, const char * text, void *) {
    if (level >= GGML_LOG_LEVEL_ERROR) fputs(text, stderr);
}

static llama_model * load(const char * file, int layers, ggml_backend_dev_t * devices, const float * shares,
                          const llama_model_tensor_buft_override * overrides) {
    auto params = llama_model_default_params();
    params.no_alloc = true;
    params.load_mode = LLAMA_LOAD_MODE_NONE;
    params.n_gpu_layers = layers;
    params.devices = devices;
    params.tensor_split = shares;
    params.tensor_buft_overrides = overrides;
    auto * model = llama_model_load_from_file(file, params);
    if (!model) exit(1);
    return model;
}

static void show(llama_context * context) {
    if (!context) exit(1);
    for (const auto & [type, bytes] : llama_get_memory_breakdown(context)) {
        printf("%s %zu %zu %zu;", ggml_backend_buft_name(type), bytes.model, bytes.context, bytes.compute);
    }
}

int main(int, char ** argv) {
    backend = argv[4];
    llama_log_set(only_errors, nullptr);
    add_devices(atoi(argv[3]));
    llama_backend_init();
    int layers, kept, tokens, type, flash, piece, drafter_on;
    char divided[256];
    while (scanf("%d %d %d %d %d %d %255s %d", &layers, &kept, &tokens, &type, &flash, &piece, divided, &drafter_on) == 8) {
        std::vector<float> shares(llama_max_devices() + 1, 0);
        std::vector<ggml_backend_dev_t> used;
        for (char * part = strtok(divided, ","); part; part = strtok(nullptr, ",")) {
            shares[used.size()] = atof(part);
            used.push_back(&hollow[used.size()]->device);
        }
        used.push_back(nullptr);
        std::string pattern = "^blk\\.(";
        for (int layer = 0; layer < kept; layer++) pattern += (layer ? "|" : "") + std::to_string(layer);
        pattern += ")\\.ffn_\\w+_exps";
        llama_model_tensor_buft_override overrides[] = {{pattern.c_str(), ggml_backend_cpu_buffer_type()}, {}};
        auto * target = load(argv[1], layers, used.data(), shares.data(), kept ? overrides : nullptr);

        auto params = llama_context_default_params();
        params.n_ctx = tokens;
        params.n_batch = params.n_ubatch = piece;
        params.n_outputs_max = params.n_outputs_max_per_seq = ROWS;
        params.type_k = params.type_v = (ggml_type) type;
        params.swa_full = false;
        params.flash_attn_type = flash ? LLAMA_FLASH_ATTN_TYPE_ENABLED : LLAMA_FLASH_ATTN_TYPE_DISABLED;
        auto * context = llama_init_from_model(target, params);
        show(context);

        ggml_backend_dev_t own[] = {drafter_on < 0 ? nullptr : &hollow[drafter_on]->device, nullptr};
        auto * drafter = load(argv[2], drafter_on < 0 ? 0 : -1, own, nullptr, nullptr);
        params.n_batch = params.n_ubatch = params.n_outputs_max = params.n_outputs_max_per_seq = 1;
        params.ctx_type = LLAMA_CONTEXT_TYPE_MTP;
        params.ctx_other = context;
        auto * reader = llama_init_from_model(drafter, params);
        show(reader);
        printf("\n");
        llama_free(reader);
        llama_free(context);
        llama_model_free(drafter);
        llama_model_free(target);
    }
}
