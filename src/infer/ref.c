// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// The `ref` backend: a deterministic stand-in for a network, for tests of everything around one. What it
// computes stands in ref_nets.c; here is how: requests run on threads of the net's own, as many as it has
// slots, so that completions are asynchronous and out of order as with a real device. A row's answer depends
// on its pixels alone: never on batch, request, thread or time. The name carries options:
// "shapes:size=416x416:delay_us=500:fail_every=7" (every 7th start fails, by turns at start and at finish).

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/pool.h"
#include "base/str.h"
#include "infer/backends.h"
#include "infer/crew.h"
#include "infer/ref_nets.h"

#include <framemill/version.h>

#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#define MAX_SLOTS FM_CREW_MAX
#define MIN_SIDE 8
#define MAX_SIDE 4096

typedef struct ref_net {
    fm_net base;
    // immutable after open
    const fm__ref_fn *fn;
    int delay_us, fail_every;
    bool has_crew;
    fm__crew crew;
    // who starts requests, from any thread
    atomic_ullong starts, failures;
} ref_net;

typedef struct ref_request {
    fm_request base;
    fm__job job;
    // owner's, but while it runs the net's thread's
    uint8_t *input;
    float *output;
    size_t tensor_bytes;
    int rows;
    bool will_fail;
} ref_request;

static void run_job(void *owner, fm__job *job)
{
    const ref_net *net = owner;
    ref_request *req = (ref_request *)((char *)job - offsetof(ref_request, job));
    const fm_net_info *info = &net->base.info;
    size_t in_row = (size_t)info->input_w * (size_t)info->input_h * 3;
    size_t out_row = (size_t)(fm__tensor_count(&info->outputs[0]) / info->batch);
    for (size_t i = 0; i < (size_t)req->rows; i++) {
        net->fn->row(info, req->input + i * in_row, req->output + i * out_row);
    }
    if (net->delay_us > 0) { // the cost of a device; tests choose it
        struct timespec ts = fm__timespec((int64_t)net->delay_us * 1000);
        nanosleep(&ts, NULL);
    }
}

static fm_status parse_size(const char *text, fm_net_info *info, fm_error *err)
{
    int w = 0, h = 0, end = 0;
    if (sscanf(text, "%5dx%5d%n", &w, &h, &end) != 2 || text[end] || w < MIN_SIDE || h < MIN_SIDE ||
        w > MAX_SIDE || h > MAX_SIDE) {
        return fm__fail(err, FM_INVAL, "ref: size '%s' is not WxH within %d..%d", text, MIN_SIDE, MAX_SIDE);
    }
    info->input_w = w;
    info->input_h = h;
    return FM_OK;
}

static fm_status parse_option(ref_net *net, const char *option, fm_error *err)
{
    int64_t value = 0;
    if (fm__str_starts(option, "size=")) {
        return parse_size(option + strlen("size="), &net->base.info, err);
    }
    const char *eq = strchr(option, '=');
    if (!eq || !fm__parse_int(eq + 1, &value) || value < 0 || value > 60000000) {
        return fm__fail(err, FM_INVAL, "ref: bad option '%s'", option);
    }
    if (fm__str_starts(option, "delay_us=")) {
        net->delay_us = (int)value;
    } else if (fm__str_starts(option, "fail_every=")) {
        net->fail_every = (int)value;
    } else {
        return fm__fail(err, FM_INVAL, "ref: unknown option '%s'; known: size, delay_us, fail_every", option);
    }
    return FM_OK;
}

static fm_status parse_name(ref_net *net, const char *path, fm_error *err)
{
    char name[256];
    fm_status st = FM_OK;
    char *rest = NULL;
    if (!path || strlen(path) >= sizeof(name)) {
        return fm__fail(err, FM_NOTFOUND,
            "ref: no network name, or one too long; known: shapes, hues, cells, colors, double");
    }
    memcpy(name, path, strlen(path) + 1);
    const char *word = strtok_r(name, ":", &rest);
    net->fn = word ? fm__ref_find(word) : NULL;
    if (!net->fn) {
        return fm__fail(err, FM_NOTFOUND, "ref: no network '%s'; known: shapes, hues, cells, colors, double",
            word ? word : "");
    }
    if (net->base.info.input_w <= 0) {
        net->base.info.input_w = net->fn->width;
        net->base.info.input_h = net->fn->height;
    }
    while (st == FM_OK && (word = strtok_r(NULL, ":", &rest)) != NULL) {
        st = parse_option(net, word, err);
    }
    return st;
}

static void set_sizes(fm_net_info *info)
{
    for (int n = 1; n < info->batch && info->size_count < FM_NET_MAX_SIZES - 1; n *= 2) {
        info->sizes[info->size_count++] = n;
    }
    info->sizes[info->size_count++] = info->batch;
}

static void set_shapes(fm_net_info *info)
{
    int64_t n = info->batch, w = info->input_w, h = info->input_h;
    info->input = info->layout == FM_LAYOUT_NCHW
                      ? (fm_tensor){.dtype = FM_DTYPE_U8, .rank = 4, .dims = {n, 3, h, w}}
                      : (fm_tensor){.dtype = FM_DTYPE_U8, .rank = 4, .dims = {n, h, w, 3}};
    info->output_count = 1;
    info->channels = 3;
}

static fm_status configure(ref_net *net, const fm_net_desc *desc, fm_error *err)
{
    fm_net_info *info = &net->base.info;
    if (desc->device && strcmp(desc->device, "cpu") != 0) {
        return fm__fail(err, FM_UNSUPPORTED, "device '%s': the ref backend runs on cpu only", desc->device);
    }
    info->input_w = desc->input_w;
    info->input_h = desc->input_h;
    info->layout = desc->input_w > 0 ? desc->layout : FM_LAYOUT_NCHW;
    info->batch = desc->batch > 0 ? desc->batch : 4;
    info->slots = desc->slots > 0 ? desc->slots : 2;
    info->on_cpu = true;
    fm_status st = parse_name(net, desc->path, err);
    if (st != FM_OK) {
        return st;
    }
    if (info->slots > MAX_SLOTS || info->batch > 1024 || info->input_w > MAX_SIDE ||
        info->input_h > MAX_SIDE) {
        return fm__fail(err, FM_INVAL, "ref: at most %d slots and batches of 1024", MAX_SLOTS);
    }
    set_sizes(info);
    set_shapes(info);
    info->outputs[0] = net->fn->output(info);
    return FM_OK;
}

static void ref_close(fm_net *base)
{
    ref_net *net = (ref_net *)base;
    if (net->has_crew) {
        fm__crew_stop(&net->crew);
    }
    fm__free(net);
}

static fm_status ref_open(const fm_net_desc *desc, fm_net **out, fm_error *err)
{
    ref_net *net = fm__calloc(FM_TAG_INFER, sizeof(*net));
    if (!net) {
        return fm__fail_nomem(err, "a ref network");
    }
    net->base.backend = &fm__backend_ref;
    fm_status st = configure(net, desc, err);
    if (st == FM_OK) {
        fm__crew_opts crew = {
            .name = "fm-ref", .threads = net->base.info.slots, .run = run_job, .owner = net};
        st = fm__crew_start(&net->crew, &crew, err);
        net->has_crew = st == FM_OK;
    }
    if (st != FM_OK) {
        ref_close(&net->base);
        return st;
    }
    *out = &net->base;
    return FM_OK;
}

static fm_status ref_describe(const fm_net_desc *desc, fm_net_info *out, fm_error *err)
{
    ref_net net = {0};
    fm_net_desc one = *desc;
    one.batch = 1;
    fm_status st = configure(&net, &one, err);
    if (st == FM_OK) {
        *out = net.base.info;
    }
    return st;
}

static fm_status ref_probe(
    char *version, size_t version_size, char *devices, size_t devices_size, fm_error *err)
{
    (void)err; // always there
    snprintf(version, version_size, "%s", FM_VERSION_STRING);
    snprintf(devices, devices_size, "cpu");
    return FM_OK;
}

static void ref_request_free(fm_request *base)
{
    ref_request *req = (ref_request *)base;
    if (req->tensor_bytes > 0) {
        fm__pool_gone(FM_POOL_TENSORS, req->tensor_bytes, false);
    }
    fm__free(req->input);
    fm__free(req->output);
    fm__free(req);
}

static fm_status ref_request_new(
    fm_net *net, fm_request_done_fn done, void *opaque, fm_request **out, fm_error *err)
{
    const fm_net_info *info = &net->info;
    ref_request *req = fm__calloc(FM_TAG_INFER, sizeof(*req));
    if (!req) {
        return fm__fail_nomem(err, "a ref request");
    }
    req->base.net = net;
    req->job.done = done;
    req->job.opaque = opaque;
    req->input = fm__calloc_aligned(FM_TAG_INFER, (size_t)fm__tensor_count(&info->input), 64);
    req->output =
        fm__calloc_aligned(FM_TAG_INFER, (size_t)fm__tensor_count(&info->outputs[0]) * sizeof(float), 64);
    if (!req->input || !req->output) {
        ref_request_free(&req->base);
        return fm__fail_nomem(err, "a ref request's tensors");
    }
    req->tensor_bytes = fm__alloc_size(req->input) + fm__alloc_size(req->output);
    fm__pool_made(FM_POOL_TENSORS, req->tensor_bytes);
    *out = &req->base;
    return FM_OK;
}

static fm_tensor ref_request_input(fm_request *base)
{
    fm_tensor t = base->net->info.input;
    t.data = ((ref_request *)base)->input;
    return t;
}

// Counts a start and says whether it fails: -1 no, 0 at start, 1 at finish.
static int failure_of_start(ref_net *net)
{
    unsigned long long nth = atomic_fetch_add(&net->starts, 1) + 1;
    if (net->fail_every <= 0 || nth % (unsigned long long)net->fail_every != 0) {
        return -1;
    }
    return (int)(atomic_fetch_add(&net->failures, 1) % 2);
}

static fm_status ref_request_start(fm_request *base, int rows, fm_error *err)
{
    ref_request *req = (ref_request *)base;
    ref_net *net = (ref_net *)base->net;
    if (fm__crew_runs(&net->crew, &req->job)) {
        return fm__fail(err, FM_BUSY, "ref: the request is still running");
    }
    int failure = failure_of_start(net);
    if (failure == 0) {
        return fm__fail(err, FM_BACKEND, "ref: a start failed, as asked for by fail_every");
    }
    req->rows = rows;
    req->will_fail = failure == 1;
    return fm__crew_put(&net->crew, &req->job)
               ? FM_OK
               : fm__fail(err, FM_BUSY, "ref: the request was started twice at once");
}

static fm_status ref_request_finish(fm_request *base, fm_tensor *outs, fm_error *err)
{
    ref_request *req = (ref_request *)base;
    if (req->will_fail) {
        return fm__fail(err, FM_BACKEND, "ref: an inference failed, as asked for by fail_every");
    }
    outs[0] = base->net->info.outputs[0];
    outs[0].data = req->output;
    outs[0].dims[0] = req->rows;
    return FM_OK;
}

const fm_backend fm__backend_ref = {
    .name = "ref",
    .probe = ref_probe,
    .describe = ref_describe,
    .open = ref_open,
    .close = ref_close,
    .request_new = ref_request_new,
    .request_free = ref_request_free,
    .request_input = ref_request_input,
    .request_start = ref_request_start,
    .request_finish = ref_request_finish,
};
