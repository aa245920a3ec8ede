// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// The TorchScript backend's C side: it opens the plug-in (torch.cpp, which alone knows libtorch) and gives it
// threads, batches and requests. The plug-in lies in framemill/ beside the library, wherever that was
// installed, or where the build put it; without it the backend is there and says what is missing. libtorch
// computes in the caller's thread. On a CPU one picture a core at a time was fastest, as with OpenVINO
// (openvino.c), so a net has a thread for each core with one core each, up to 8, beyond which the cores are
// shared out; there is one request more than threads, so that one is filled while the others run. On a GPU
// each request has its thread and its stream: one copies while another computes. Sizes: a CPU gains nothing
// from a batch, so 1 and N; on a GPU powers of two. Shapes are learned by running zeros, which warms up too.

#include "base/alloc.h"
#include "base/error.h"
#include "base/log.h"
#include "base/str.h"
#include "fm_config.h"
#include "infer/backends.h"
#include "infer/crew.h"
#include "infer/torch_file.h"
#include "infer/torch_plugin.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define DOMAIN "infer"
#define PLUGIN "framemill-torch.so"
#define AUTO_BATCH_CPU 1
#define AUTO_BATCH_CUDA 8
// One request copies in, one computes, one copies out.
#define AUTO_SLOTS_CUDA 3
#define MANY_CORES 8
#define MAX_BATCH 1024
#define MAX_SLOTS FM_CREW_MAX

typedef struct torch_net {
    fm_net base;
    // immutable after open
    const fm_torch_plugin *plugin;
    fm_torch_net *net;
    const char *path; // borrowed from the description, while opening
    int cores;        // of one run
    bool has_crew;
    fm__crew crew;
} torch_net;

typedef struct torch_request {
    fm_request base;
    fm__job job;
    fm_torch_slot *slot;
    // owner's, but while it runs the net's thread's
    int rows;
    bool was_started;
    fm_status status;
    fm_error error;
    fm_tensor outputs[FM_NET_MAX_OUTPUTS];
} torch_request;

// The folder of the object this code is in, with its slash, or an empty string: the library's, or the
// program's where the library is linked into it.
static void own_folder(char *buf, size_t size)
{
    Dl_info info;
    buf[0] = '\0';
    if (dladdr(&fm__backend_torch, &info) && info.dli_fname && info.dli_fname[0] == '/') {
        snprintf(buf, size, "%s", info.dli_fname);
    } else { // a program is named as it was called; relative paths are nobody's
        ssize_t n = readlink("/proc/self/exe", buf, size - 1);
        buf[n > 0 ? n : 0] = '\0';
    }
    char *slash = strrchr(buf, '/');
    buf[slash ? slash + 1 - buf : 0] = '\0';
}

static void find_plugin(char *buf, size_t size)
{
    static const char *const places[] = {"framemill/", "../lib/framemill/", "infer/"};
    char folder[3072];
    own_folder(folder, sizeof(folder));
    for (size_t i = 0; folder[0] && i < sizeof(places) / sizeof(*places); i++) {
        int n = snprintf(buf, size, "%s%s" PLUGIN, folder, places[i]);
        if (n > 0 && (size_t)n < size && access(buf, R_OK) == 0) {
            return;
        }
    }
    buf[0] = '\0';
}

// Opened once and for all: libtorch's threads and registries do not survive being unloaded.
static fm_status open_plugin(const char *path, const fm_torch_plugin **out, fm_error *err)
{
    char found[4096];
    if (!path) {
        find_plugin(found, sizeof(found));
        path = found;
    }
    if (!path[0]) {
        return fm__fail(err, FM_UNSUPPORTED, "the plug-in " PLUGIN " is not installed%s; see docs/doctor.md",
            FM_HAVE_TORCH ? "" : ": this build was made without libtorch");
    }
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (!library) {
        return fm__fail(err, FM_UNSUPPORTED, "cannot open the plug-in: %.400s", dlerror());
    }
    fm_torch_plugin_fn table = NULL;
    void *symbol = dlsym(library, FM_TORCH_SYMBOL);
    memcpy(&table, &symbol, sizeof(table)); // C has no cast from an object's pointer to a function's
    const fm_torch_plugin *plugin = table ? table() : NULL;
    dlclose(library);
    if (!plugin || plugin->abi != FM_TORCH_ABI) {
        return fm__fail(err, FM_UNSUPPORTED, "plug-in '%s' belongs to another version of framemill", path);
    }
    *out = plugin;
    return FM_OK;
}

static fm_status torch_probe(
    char *version, size_t version_size, char *devices, size_t devices_size, fm_error *err)
{
    const fm_torch_plugin *plugin = NULL;
    fm_status st = open_plugin(NULL, &plugin, err);
    return st == FM_OK ? plugin->probe(version, version_size, devices, devices_size, err) : st;
}

static fm_status check_desc(const fm_net_desc *desc, fm_error *err)
{
    if (desc->batch < 0 || desc->batch > MAX_BATCH || desc->slots < 0 || desc->slots > MAX_SLOTS) {
        return fm__fail(err, FM_INVAL, "batch %d or slots %d out of range (at most %d and %d)", desc->batch,
            desc->slots, MAX_BATCH, MAX_SLOTS);
    }
    return fm__torch_file_check(desc->path, err);
}

static void fill_info(torch_net *net, int batch)
{
    fm_net_info *info = &net->base.info;
    info->batch = batch;
    info->input = net->plugin->input_shape(net->net, batch);
    const int64_t *d = info->input.dims;
    bool is_nchw = d[1] == 3 || d[1] == 1; // heights are larger
    info->layout = is_nchw ? FM_LAYOUT_NCHW : FM_LAYOUT_NHWC;
    info->channels = (int)d[is_nchw ? 1 : 3];
    info->input_h = (int)d[is_nchw ? 2 : 1];
    info->input_w = (int)d[is_nchw ? 3 : 2];
}

// The file, on its device.
static fm_status load(torch_net *net, const fm_net_desc *desc, fm_error *err)
{
    fm_torch_desc d = {.path = desc->path,
        .device = desc->device ? desc->device : "cpu",
        .precision = desc->precision ? desc->precision : "fp32",
        .ops_library = desc->ops_library,
        .is_nchw = desc->layout == FM_LAYOUT_NCHW,
        .width = desc->input_w,
        .height = desc->input_h,
        .channels = desc->channels};
    memcpy(d.mean, desc->mean, sizeof(d.mean));
    memcpy(d.scale, desc->scale, sizeof(d.scale));
    net->path = desc->path;
    fm_status st = check_desc(desc, err);
    if (st == FM_OK) {
        st = open_plugin(desc->plugin, &net->plugin, err);
    }
    return st == FM_OK ? net->plugin->open(&d, &net->net, err) : st;
}

static fm_status check_rows(const torch_net *net, int rows, const fm_tensor *outs, size_t n, fm_error *err)
{
    for (size_t i = 0; i < n; i++) {
        if (outs[i].dims[0] != rows) {
            char text[96];
            fm__tensor_shape_text(&outs[i], text, sizeof(text));
            return fm__fail(err, FM_UNSUPPORTED,
                "model '%s': at batch %d output %zu is %s: its batch is baked in, or it is not padded to a "
                "fixed size; framemill-export makes such files",
                net->path, rows, i, text);
        }
    }
    return FM_OK;
}

// Runs zeros of one batch size; the outputs' shapes go to `info`.
static fm_status try_batch(torch_net *net, int rows, fm_net_info *info, fm_error *err)
{
    fm_torch_slot *slot = NULL;
    fm_tensor outs[FM_NET_MAX_OUTPUTS];
    size_t count = 0;
    fm_status st = net->plugin->slot_new(net->net, rows, &slot, err);
    if (st == FM_OK) {
        st = net->plugin->run(slot, rows, outs, FM_NET_MAX_OUTPUTS, &count, err);
    }
    if (st == FM_OK) {
        st = check_rows(net, rows, outs, count, err);
    }
    if (slot) {
        net->plugin->slot_free(slot);
    }
    for (size_t i = 0; st == FM_OK && i < count; i++) {
        outs[i].data = NULL;
        info->outputs[i] = outs[i];
    }
    info->output_count = st == FM_OK ? count : info->output_count;
    return st;
}

static fm_status torch_describe(const fm_net_desc *desc, fm_net_info *out, fm_error *err)
{
    torch_net net = {0};
    fm_status st = load(&net, desc, err);
    if (st == FM_OK) {
        fill_info(&net, 1);
        st = try_batch(&net, 1, &net.base.info, err);
    }
    if (st == FM_OK) {
        fm_net_info *info = &net.base.info, pair = {0};
        info->slots = info->size_count = info->sizes[0] = 1;
        info->batch_baked = try_batch(&net, 2, &pair, NULL) != FM_OK;
        *out = *info;
    }
    if (net.net) {
        net.plugin->close(net.net);
    }
    return st;
}

// The batch that was asked for; half of it where memory does not reach, once; 1 where the file stands no
// more.
static fm_status find_batch(torch_net *net, const fm_net_desc *desc, fm_error *err)
{
    fm_net_info *info = &net->base.info;
    bool is_cuda = net->plugin->is_cuda(net->net);
    int batch = desc->batch > 0 ? desc->batch : is_cuda ? AUTO_BATCH_CUDA : AUTO_BATCH_CPU;
    fm_error why = {0};
    fm_status st = try_batch(net, batch, info, &why);
    if (st == FM_NOMEM && batch > 1) {
        fm__log(
            desc->log, FM_LOG_WARN, DOMAIN, "%s; trying batch %d instead of %d", why.msg, batch / 2, batch);
        batch /= 2;
        st = try_batch(net, batch, info, &why);
    }
    if (st != FM_OK && st != FM_NOMEM && batch > 1 && try_batch(net, 1, info, NULL) == FM_OK) {
        fm__log(desc->log, FM_LOG_DEBUG, DOMAIN, "%s", why.msg);
        fm__log(desc->log, FM_LOG_WARN, DOMAIN,
            "model '%s' has its batch baked in: it runs with batch 1; export it again with framemill-export",
            desc->path);
        info->batch_baked = true;
        batch = 1;
        st = FM_OK;
    }
    if (st != FM_OK) {
        if (err) {
            *err = why;
        }
        return st;
    }
    fill_info(net, batch);
    return FM_OK;
}

static void set_sizes(fm_net_info *info, bool is_cuda)
{
    for (int n = 1; n < info->batch && info->size_count < FM_NET_MAX_SIZES - 1;
         n = is_cuda ? n * 2 : info->batch) {
        info->sizes[info->size_count++] = n;
    }
    info->sizes[info->size_count++] = info->batch;
}

static void enter_thread(void *owner)
{
    const torch_net *net = owner;
    net->plugin->set_threads(net->cores);
}

// A picture may not change the shapes that heads were set up for.
static fm_status check_outputs(const torch_request *req, size_t count, fm_error *err)
{
    const fm_net_info *info = &req->base.net->info;
    bool same = count == info->output_count;
    for (size_t i = 0; same && i < count; i++) {
        const fm_tensor *got = &req->outputs[i], *want = &info->outputs[i];
        same = got->dtype == want->dtype && got->rank == want->rank && got->dims[0] == req->rows;
        for (int d = 1; same && d < want->rank; d++) {
            same = got->dims[d] == want->dims[d];
        }
    }
    return same ? FM_OK
                : fm__fail(err, FM_BACKEND,
                      "the shapes of the network's outputs depend on the picture; export it with "
                      "framemill-export, which pads them");
}

static void run_job(void *owner, fm__job *job)
{
    const torch_net *net = owner;
    torch_request *req = (torch_request *)((char *)job - offsetof(torch_request, job));
    size_t count = 0;
    req->status =
        net->plugin->run(req->slot, req->rows, req->outputs, FM_NET_MAX_OUTPUTS, &count, &req->error);
    if (req->status == FM_OK) {
        req->status = check_outputs(req, count, &req->error);
    }
}

static fm_status start_threads(torch_net *net, const fm_net_desc *desc, fm_error *err)
{
    fm_net_info *info = &net->base.info;
    bool is_cuda = net->plugin->is_cuda(net->net);
    int cores = desc->threads > 0 ? desc->threads : fm__cpu_count(), threads;
    if (is_cuda) {
        threads = info->slots = desc->slots > 0 ? desc->slots : AUTO_SLOTS_CUDA;
    } else {
        threads = cores < MANY_CORES ? cores : MANY_CORES;
        threads = desc->slots > 0 && desc->slots < threads ? desc->slots : threads;
        info->slots = desc->slots > 0 ? desc->slots : threads + 1;
    }
    info->on_cpu = !is_cuda;
    net->cores = cores > threads ? cores / threads : 1;
    fm__crew_opts opts = {
        .name = "fm-torch", .threads = threads, .run = run_job, .enter = enter_thread, .owner = net};
    fm_status st = fm__crew_start(&net->crew, &opts, err);
    net->has_crew = st == FM_OK;
    return st;
}

static void torch_close(fm_net *base)
{
    torch_net *net = (torch_net *)base;
    if (net->has_crew) {
        fm__crew_stop(&net->crew);
    }
    if (net->net) {
        net->plugin->close(net->net);
    }
    fm__free(net);
}

static fm_status torch_open(const fm_net_desc *desc, fm_net **out, fm_error *err)
{
    torch_net *net = fm__calloc(FM_TAG_INFER, sizeof(*net));
    if (!net) {
        return fm__fail_nomem(err, "a TorchScript network");
    }
    net->base.backend = &fm__backend_torch;
    fm_status st = load(net, desc, err);
    if (st == FM_OK) {
        st = find_batch(net, desc, err);
    }
    if (st == FM_OK) {
        set_sizes(&net->base.info, net->plugin->is_cuda(net->net));
        st = start_threads(net, desc, err);
    }
    if (st != FM_OK) {
        torch_close(&net->base);
        return st;
    }
    net->path = NULL;
    fm__log(desc->log, FM_LOG_DEBUG, DOMAIN, "'%s' on %s: batch %d, %d slots", desc->path,
        desc->device ? desc->device : "cpu", net->base.info.batch, net->base.info.slots);
    *out = &net->base;
    return FM_OK;
}

static void torch_request_free(fm_request *base)
{
    torch_request *req = (torch_request *)base;
    if (req->slot) {
        ((torch_net *)base->net)->plugin->slot_free(req->slot);
    }
    fm__free(req);
}

static fm_status torch_request_new(
    fm_net *base, fm_request_done_fn done, void *opaque, fm_request **out, fm_error *err)
{
    torch_net *net = (torch_net *)base;
    torch_request *req = fm__calloc(FM_TAG_INFER, sizeof(*req));
    if (!req) {
        return fm__fail_nomem(err, "an inference request");
    }
    req->base.net = base;
    req->job.done = done;
    req->job.opaque = opaque;
    fm_status st = net->plugin->slot_new(net->net, base->info.batch, &req->slot, err);
    if (st != FM_OK) {
        torch_request_free(&req->base);
        return st;
    }
    *out = &req->base;
    return FM_OK;
}

static fm_tensor torch_request_input(fm_request *base)
{
    fm_tensor t = base->net->info.input;
    t.data = ((torch_net *)base->net)->plugin->slot_input(((torch_request *)base)->slot);
    return t;
}

static fm_status torch_request_start(fm_request *base, int rows, fm_error *err)
{
    torch_request *req = (torch_request *)base;
    torch_net *net = (torch_net *)base->net;
    if (req->was_started) {
        return fm__fail(err, FM_BUSY, "the inference request is still running");
    }
    req->rows = rows;
    req->was_started = true; // before it is put: done may come before that returns
    if (!fm__crew_put(&net->crew, &req->job)) {
        return fm__fail(err, FM_BUSY, "the inference request is still running");
    }
    return FM_OK;
}

static fm_status torch_request_finish(fm_request *base, fm_tensor *outs, fm_error *err)
{
    torch_request *req = (torch_request *)base;
    if (!req->was_started) {
        return fm__fail(err, FM_INVAL, "the inference request was not started");
    }
    if (fm__crew_runs(&((torch_net *)base->net)->crew, &req->job)) {
        return fm__fail(err, FM_BUSY, "the inference request is still running");
    }
    req->was_started = false;
    if (req->status != FM_OK) {
        if (err) {
            *err = req->error;
        }
        return req->status;
    }
    memcpy(outs, req->outputs, base->net->info.output_count * sizeof(*outs));
    return FM_OK;
}

static bool torch_memory(const fm_net *base, fm_device_memory *out)
{
    const torch_net *net = (const torch_net *)base;
    *out = (fm_device_memory){0};
    return net->plugin->memory(net->net, &out->allocated_bytes, &out->reserved_bytes, &out->peak_bytes);
}

const fm_backend fm__backend_torch = {
    .name = "torch",
    .probe = torch_probe,
    .describe = torch_describe,
    .open = torch_open,
    .close = torch_close,
    .request_new = torch_request_new,
    .request_free = torch_request_free,
    .request_input = torch_request_input,
    .request_start = torch_request_start,
    .request_finish = torch_request_finish,
    .memory = torch_memory,
};
