// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// The plug-in of the TorchScript backend: libtorch (1.13 and newer) behind the C table of torch_plugin.h.
// A file is loaded, set to evaluation and frozen; in fp32 it also goes through libtorch's optimisation for
// inference, which on a CPU hands convolutions to oneDNN (EfficientNet-Lite0, one core, Debian's build:
// 150 ms a picture as loaded, 25 ms then). A lower precision is autocast's, which does not see into oneDNN's
// own operators, so there the file is only frozen. The profiling executor is off: it specialises for the
// shapes of the first runs and does it again for every batch size, seconds in which a live stream would
// wait. Bytes become floats here, with mean and scale: on a CPU in one pass, on a GPU after bytes were
// copied, four times fewer than floats. TF32 is off, since fp32 is what was asked for. libtorch throws and
// warns on stderr; nothing of either leaves this file.

#include "infer/torch_plugin.h"

#include "infer/torch_device.hpp"

#include <ATen/Parallel.h>
#include <torch/cuda.h>
#include <torch/script.h>
#include <torch/version.h>

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <dlfcn.h>
#include <mutex>
#include <string>
#include <vector>

// Outputs may be nested, but not without end.
#define MAX_DEPTH 4
#define MAX_SIDE 65536

struct fm_torch_net {
    std::string path, device_name;
    c10::Device device = c10::kCPU;
    torch::jit::Module module;
    bool is_nchw = true, is_scaled = false;
    int width = 0, height = 0, channels = 3;
    float mean[3] = {0, 0, 0}, factor[3] = {1, 1, 1};
    at::Tensor mean_on_device, factor_on_device; // of a GPU
    at::ScalarType autocast = at::kFloat;        // kFloat: none
};

struct fm_torch_slot {
    explicit fm_torch_slot(fm_torch_net *n) : net(n), stream(n->device)
    {
    }
    fm_torch_net *net;
    fm::Stream stream;
    at::Tensor input;                // u8, of all rows, in pinned memory for a GPU
    std::vector<at::Tensor> outputs; // of the last run, in the host's memory
    std::vector<at::Tensor> staging; // pinned, for a GPU: outputs are rows of these
};

namespace
{

__attribute__((format(printf, 3, 4))) fm_status fail(fm_error *err, fm_status status, const char *fmt, ...)
{
    if (err) {
        va_list ap;
        va_start(ap, fmt);
        err->status = status;
        err->native = 0;
        std::vsnprintf(err->msg, sizeof(err->msg), fmt, ap);
        va_end(ap);
        for (char *p = err->msg; *p; p++) {
            *p = static_cast<unsigned char>(*p) < ' ' ? ' ' : *p;
        }
    }
    return status;
}

// libtorch's messages: the last line under a TorchScript traceback, else the first line.
std::string cause_of(const std::string &text)
{
    size_t end = text.find_last_not_of(" \n");
    if (end == std::string::npos) {
        return "no reason given";
    }
    if (text.find("Traceback of TorchScript") == std::string::npos) {
        size_t first = text.find_first_not_of(" \n");
        return text.substr(first, text.find('\n', first) - first);
    }
    size_t begin = text.find_last_of('\n', end);
    return text.substr(begin == std::string::npos ? 0 : begin + 1, end - begin);
}

bool contains(const std::string &text, const char *part)
{
    return text.find(part) != std::string::npos;
}

bool means_no_memory(const std::string &text)
{
    return contains(text, "can't allocate memory") || contains(text, "not enough memory") ||
           contains(text, "out of memory") || contains(text, "std::bad_alloc");
}

fm_status fail_nomem(const fm_torch_net &net, fm_error *err)
{
    return fail(err, FM_NOMEM, "model '%s': %s is out of memory; a smaller batch or fewer slots need less",
        net.path.c_str(), net.device.is_cuda() ? net.device_name.c_str() : "the machine");
}

// Calls libtorch and turns whatever it throws into a status.
template <class Work>
fm_status guarded(
    const fm_torch_net &net, fm_status status, const char *what, fm_error *err, const Work &work)
{
    std::string text;
    bool no_memory = false;
    try {
        return work();
    } catch (const c10::OutOfMemoryError &) {
        no_memory = true;
    } catch (const c10::Error &e) {
        text = e.what_without_backtrace();
    } catch (const std::exception &e) {
        text = e.what();
    } catch (...) {
        text = "an exception of unknown type";
    }
    if (no_memory || means_no_memory(text)) {
        if (net.device.is_cuda()) {
            fm::empty_cuda_cache();
        }
        return fail_nomem(net, err);
    }
    if (contains(text, "Unknown builtin op") || contains(text, "Unknown operator")) {
        return fail(err, FM_UNSUPPORTED,
            "model '%s' uses operators that libtorch has not got (%.160s); name the library that has them, "
            "such as torchvision's: --torch-ops LIBRARY",
            net.path.c_str(), cause_of(text).c_str());
    }
    return fail(err, status, "%s '%s': %.300s", what, net.path.c_str(), cause_of(text).c_str());
}

void set_up_once()
{
    static std::once_flag once;
    std::call_once(once, [] {
        fm::silence_warnings();
        torch::jit::getExecutorMode() = false;
        torch::jit::getProfilingMode() = false;
        at::globalContext().setAllowTF32CuDNN(false);
        at::globalContext().setAllowTF32CuBLAS(false);
    });
}

int cuda_count()
{
    return FM_TORCH_CUDA ? static_cast<int>(torch::cuda::device_count()) : 0;
}

fm_status probe(char *version, size_t version_size, char *devices, size_t devices_size, fm_error *)
{
    set_up_once();
    std::snprintf(version, version_size, "%s", TORCH_VERSION);
    std::string text = "cpu";
    for (int i = 0; i < cuda_count(); i++) {
        text += " cuda:" + std::to_string(i);
    }
    std::snprintf(devices, devices_size, "%s", text.c_str());
    return FM_OK;
}

// "cuda" or "cuda:N" -> N; -1 for all else.
int cuda_index(const std::string &name)
{
    if (name == "cuda") {
        return 0;
    }
    if (name.compare(0, 5, "cuda:") != 0 || name.size() < 6 || name.size() > 8 ||
        name.find_first_not_of("0123456789", 5) != std::string::npos) {
        return -1;
    }
    return std::stoi(name.substr(5));
}

fm_status choose_device(fm_torch_net &net, const char *name, fm_error *err)
{
    net.device_name = name ? name : "cpu";
    if (net.device_name == "cpu") {
        return FM_OK;
    }
    int index = cuda_index(net.device_name), count = cuda_count();
    if (index < 0) {
        return fail(err, FM_INVAL, "device '%.64s' is neither cpu nor cuda:N", net.device_name.c_str());
    }
    if (count == 0) {
        return fail(err, FM_UNSUPPORTED, "device '%s': %s", net.device_name.c_str(),
            FM_TORCH_CUDA
                ? "no CUDA device is usable here; see: framemill doctor"
                : "this plug-in was built for CPUs; build it with a libtorch for CUDA: -Dtorch_dir=");
    }
    if (index >= count) {
        return fail(err, FM_NOTFOUND, "device '%s' does not exist: this machine has %d, cuda:0%s%s",
            net.device_name.c_str(), count, count > 1 ? " to cuda:" : "",
            count > 1 ? std::to_string(count - 1).c_str() : "");
    }
    net.device = c10::Device(c10::kCUDA, static_cast<c10::DeviceIndex>(index));
    return FM_OK;
}

fm_status choose_precision(fm_torch_net &net, const char *name, fm_error *err)
{
    std::string text = name ? name : "fp32";
    if (text == "fp32") {
        return FM_OK;
    }
    if (text == "bf16") { // on a CPU too, fast where that has the instructions
        net.autocast = at::kBFloat16;
        return FM_OK;
    }
    if (text == "fp16" && net.device.is_cuda()) {
        net.autocast = at::kHalf;
        return FM_OK;
    }
    return fail(err, FM_UNSUPPORTED,
        "precision '%.32s': the torch backend has fp32, bf16 and, on a GPU, fp16", text.c_str());
}

fm_status open_operators(const char *path, fm_error *err)
{
    if (!path || !*path) {
        return FM_OK;
    }
    if (!std::strchr(path, '/')) { // no search along the system's paths
        return fail(err, FM_INVAL, "operator library '%s': a path is needed", path);
    }
    // Its operators register themselves while it is opened; it stays. Lazily, since torchvision's names
    // functions of Python that these operators never call.
    if (!dlopen(path, RTLD_LAZY | RTLD_LOCAL | RTLD_NODELETE)) {
        return fail(err, FM_NOTFOUND, "cannot open the operator library: %s", dlerror());
    }
    return FM_OK;
}

// The input's size out of what YOLOv5, Ultralytics and framemill-export put beside the network: a JSON object
// with "shape": [1, 3, height, width].
void size_from_file(const std::string &config, fm_torch_net &net)
{
    int n = 0, c = 0, h = 0, w = 0;
    size_t at = config.find("\"shape\"");
    at = at == std::string::npos ? at : config.find('[', at);
    if (at == std::string::npos ||
        std::sscanf(config.c_str() + at, "[%9d , %9d , %9d , %9d", &n, &c, &h, &w) != 4) {
        return;
    }
    if (c == 3 && h > 0 && w > 0 && h <= MAX_SIDE && w <= MAX_SIDE) {
        net.width = w;
        net.height = h;
        net.is_nchw = true;
    }
}

fm_status load(fm_torch_net &net, fm_error *err)
{
    torch::jit::ExtraFilesMap extra{{"config.txt", ""}};
    bool is_sized = net.width > 0;
    fm_status st = guarded(net, FM_FORMAT, "cannot read the TorchScript file", err, [&] {
        net.module = torch::jit::load(net.path, net.device, extra);
        net.module.eval();
        return FM_OK;
    });
    if (st == FM_OK && !is_sized) {
        size_from_file(extra["config.txt"], net);
    }
    if (st == FM_OK && net.width <= 0) {
        return fail(err, FM_FORMAT,
            "model '%s' does not say the size of its input; describe it in a model YAML, as framemill-export "
            "does",
            net.path.c_str());
    }
    return st;
}

// What cannot be frozen, as networks that write to their own attributes, runs as it is.
void optimise(fm_torch_net &net)
{
    try {
        torch::jit::Module frozen = torch::jit::freeze(net.module);
        net.module = net.autocast == at::kFloat ? torch::jit::optimize_for_inference(frozen) : frozen;
    } catch (const std::exception &) {
        net.module.eval();
    }
}

void set_scaling(fm_torch_net &net, const fm_torch_desc *desc)
{
    for (int c = 0; c < 3; c++) {
        net.mean[c] = desc->mean[c];
        net.factor[c] = desc->scale[c] != 0.0F ? 1.0F / desc->scale[c] : 1.0F;
        net.is_scaled = net.is_scaled || net.mean[c] != 0.0F || net.factor[c] != 1.0F;
    }
    if (net.device.is_cuda() && net.is_scaled) {
        const int64_t c = net.channels;
        const size_t count = static_cast<size_t>(net.channels);
        std::vector<int64_t> shape = net.is_nchw ? std::vector<int64_t>{1, c, 1, 1} : std::vector<int64_t>{c};
        net.mean_on_device = at::tensor(at::ArrayRef<float>(net.mean, count)).reshape(shape).to(net.device);
        net.factor_on_device =
            at::tensor(at::ArrayRef<float>(net.factor, count)).reshape(shape).to(net.device);
    }
}

fm_status open_net(const fm_torch_desc *desc, fm_torch_net **out, fm_error *err)
{
    set_up_once();
    std::unique_ptr<fm_torch_net> net(new (std::nothrow) fm_torch_net);
    if (!net) {
        return fail(err, FM_NOMEM, "out of memory for a network");
    }
    net->path = desc->path;
    net->is_nchw = desc->width <= 0 || desc->is_nchw;
    net->width = desc->width;
    net->height = desc->height;
    net->channels = desc->channels == 1 ? 1 : 3;
    fm_status st = choose_device(*net, desc->device, err);
    if (st == FM_OK) {
        st = choose_precision(*net, desc->precision, err);
    }
    if (st == FM_OK) {
        st = open_operators(desc->ops_library, err);
    }
    if (st == FM_OK) {
        st = load(*net, err);
    }
    if (st == FM_OK) {
        st = guarded(*net, FM_BACKEND, "cannot prepare the model", err, [&] {
            c10::InferenceMode no_gradients;
            optimise(*net);
            set_scaling(*net, desc);
            return FM_OK;
        });
    }
    if (st == FM_OK) {
        *out = net.release();
    }
    return st;
}

void close_net(fm_torch_net *net)
{
    delete net;
}

fm_tensor input_shape(const fm_torch_net *net, int rows)
{
    const int64_t h = net->height, w = net->width, c = net->channels;
    fm_tensor t = {};
    t.dtype = FM_DTYPE_U8;
    t.rank = 4;
    const int64_t nchw[4] = {rows, c, h, w}, nhwc[4] = {rows, h, w, c};
    std::memcpy(t.dims, net->is_nchw ? nchw : nhwc, sizeof(nchw));
    return t;
}

bool is_cuda(const fm_torch_net *net)
{
    return net->device.is_cuda();
}

bool memory(const fm_torch_net *net, uint64_t *allocated, uint64_t *reserved, uint64_t *peak)
{
    try {
        return net->device.is_cuda() && fm::cuda_memory(net->device, allocated, reserved, peak);
    } catch (...) {
        return false;
    }
}

void set_threads(int count)
{
    (void)at::get_num_threads(); // the first call in a thread would undo what is set here
    at::set_num_threads(count);
}

at::TensorOptions host_options(const fm_torch_net &net, at::ScalarType type)
{
    return at::TensorOptions().dtype(type).device(c10::kCPU).pinned_memory(net.device.is_cuda());
}

fm_status slot_new(fm_torch_net *net, int rows, fm_torch_slot **out, fm_error *err)
{
    return guarded(*net, FM_BACKEND, "cannot make a slot for", err, [&] {
        std::unique_ptr<fm_torch_slot> slot(new fm_torch_slot(net));
        fm_tensor shape = input_shape(net, rows);
        slot->input = at::zeros(at::IntArrayRef(shape.dims, 4), host_options(*net, at::kByte));
        *out = slot.release();
        return FM_OK;
    });
}

void slot_free(fm_torch_slot *slot)
{
    delete slot;
}

void *slot_input(fm_torch_slot *slot)
{
    return slot->input.data_ptr();
}

// (v - mean) / scale of `rows` rows, in one pass.
at::Tensor floats_on_host(const fm_torch_net &net, const at::Tensor &bytes)
{
    at::Tensor out = at::empty(bytes.sizes(), at::kFloat);
    const uint8_t *from = bytes.data_ptr<uint8_t>();
    float *to = out.data_ptr<float>();
    const int c_count = net.channels;
    const int64_t plane = static_cast<int64_t>(net.width) * net.height, planes = bytes.size(0) * c_count;
    if (net.is_nchw) {
        for (int64_t p = 0; p < planes; p++, from += plane, to += plane) {
            const float mean = net.mean[p % c_count], factor = net.factor[p % c_count];
            for (int64_t i = 0; i < plane; i++) {
                to[i] = (static_cast<float>(from[i]) - mean) * factor;
            }
        }
        return out;
    }
    for (int64_t i = 0; i < plane * planes; i += c_count) {
        for (int c = 0; c < c_count; c++) {
            to[i + c] = (static_cast<float>(from[i + c]) - net.mean[c]) * net.factor[c];
        }
    }
    return out;
}

at::Tensor floats(const fm_torch_net &net, const at::Tensor &bytes)
{
    if (!net.device.is_cuda()) {
        return floats_on_host(net, bytes);
    }
    at::Tensor x = bytes.to(net.device, /*non_blocking=*/true).to(at::kFloat);
    return net.is_scaled ? x.sub_(net.mean_on_device).mul_(net.factor_on_device) : x;
}

bool lay_flat(const c10::IValue &value, std::vector<at::Tensor> &out, int depth)
{
    if (value.isTensor()) {
        out.push_back(value.toTensor());
        return true;
    }
    if (value.isNone()) {
        return true;
    }
    bool ok = depth < MAX_DEPTH;
    if (ok && value.isTuple()) {
        for (const c10::IValue &v : value.toTupleRef().elements()) {
            ok = ok && lay_flat(v, out, depth + 1);
        }
        return ok;
    }
    if (ok && value.isList()) {
        for (const c10::IValue &v : value.toListRef()) {
            ok = ok && lay_flat(v, out, depth + 1);
        }
        return ok;
    }
    if (ok && value.isGenericDict()) {
        for (const auto &item : value.toGenericDict()) {
            ok = ok && lay_flat(item.value(), out, depth + 1);
        }
        return ok;
    }
    return false;
}

// The type in which an output leaves, of those that heads know.
at::ScalarType leaving_type(at::ScalarType type)
{
    switch (type) {
    case at::kByte:
    case at::kBool:
        return at::kByte;
    case at::kInt:
    case at::kShort:
    case at::kChar:
        return at::kInt;
    case at::kLong:
        return at::kLong;
    default:
        return at::kFloat;
    }
}

fm_dtype dtype_of(at::ScalarType type)
{
    switch (type) {
    case at::kByte:
        return FM_DTYPE_U8;
    case at::kInt:
        return FM_DTYPE_I32;
    case at::kLong:
        return FM_DTYPE_I64;
    default:
        return FM_DTYPE_F32;
    }
}

// Into pinned memory that the slot keeps, while the stream goes on.
at::Tensor staged(fm_torch_slot &slot, size_t i, const at::Tensor &t)
{
    if (slot.staging.size() <= i) {
        slot.staging.resize(i + 1);
    }
    at::Tensor &host = slot.staging[i];
    bool fits = host.defined() && host.scalar_type() == t.scalar_type() && host.dim() == t.dim() &&
                host.size(0) >= t.size(0) && host.sizes().slice(1) == t.sizes().slice(1);
    if (!fits) {
        host = at::empty(t.sizes(), host_options(*slot.net, t.scalar_type()));
    }
    at::Tensor rows = host.narrow(0, 0, t.size(0));
    rows.copy_(t, /*non_blocking=*/true);
    return rows;
}

at::Tensor to_host(fm_torch_slot &slot, size_t i, at::Tensor t)
{
    if (t.layout() != c10::kStrided) {
        t = t.to_dense();
    }
    t = t.to(leaving_type(t.scalar_type())).contiguous();
    return t.is_cuda() && t.dim() > 0 ? staged(slot, i, t) : t.cpu();
}

void infer(fm_torch_slot &slot, int rows)
{
    fm_torch_net &net = *slot.net;
    std::vector<at::Tensor> results;
    c10::InferenceMode no_gradients;
    slot.outputs.clear();
    slot.stream.run([&] {
        at::Tensor x = floats(net, slot.input.narrow(0, 0, rows));
        {
            fm::Autocast autocast(net.device, net.autocast);
            c10::IValue result = net.module.forward({x});
            TORCH_CHECK(lay_flat(result, results, 0), "it returns ", result.tagKind(), ", not tensors");
        }
        for (size_t i = 0; i < results.size(); i++) {
            slot.outputs.push_back(to_host(slot, i, results[i]));
        }
    });
}

fm_status view_outputs(const fm_torch_slot &slot, fm_tensor *outs, size_t cap, size_t *count, fm_error *err)
{
    size_t n = slot.outputs.size();
    const char *path = slot.net->path.c_str();
    if (n == 0 || n > cap) {
        return fail(err, FM_UNSUPPORTED, "model '%s' has %zu outputs, expected 1 to %zu", path, n, cap);
    }
    for (size_t i = 0; i < n; i++) {
        const at::Tensor &t = slot.outputs[i];
        if (t.dim() < 1 || t.dim() > FM_TENSOR_MAX_RANK) {
            return fail(err, FM_UNSUPPORTED, "model '%s': output %zu has %lld dimensions", path, i,
                static_cast<long long>(t.dim()));
        }
        outs[i] = fm_tensor{};
        outs[i].data = t.data_ptr();
        outs[i].dtype = dtype_of(t.scalar_type());
        outs[i].rank = static_cast<int>(t.dim());
        std::copy(t.sizes().begin(), t.sizes().end(), outs[i].dims);
    }
    *count = n;
    return FM_OK;
}

fm_status run(fm_torch_slot *slot, int rows, fm_tensor *outs, size_t cap, size_t *count, fm_error *err)
{
    return guarded(*slot->net, FM_BACKEND, "inference failed in", err, [&] {
        infer(*slot, rows);
        return view_outputs(*slot, outs, cap, count, err);
    });
}

const fm_torch_plugin table = {
    FM_TORCH_ABI,
    probe,
    open_net,
    close_net,
    input_shape,
    is_cuda,
    memory,
    slot_new,
    slot_free,
    slot_input,
    set_threads,
    run,
};

} // namespace

extern "C" __attribute__((visibility("default"))) const fm_torch_plugin *fm_torch_plugin_table(void)
{
    return &table;
}
