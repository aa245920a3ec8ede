// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Networks of the program that embeds the library: its functions compute in threads of the net's own, as many
// as there are slots, and whatever they say of a shape is checked before memory is made for it.

#include "infer/backends.h"

#include "base/alloc.h"
#include "base/error.h"
#include "infer/crew.h"

#include <stdio.h>
#include <string.h>

#define MIN_SIDE 8
#define MAX_SIDE 4096
#define MAX_BATCH 1024
#define MAX_VALUES ((int64_t)1 << 28) // of one row of an output

typedef struct own_net {
    fm_net base;
    // immutable after open
    const fm_own_backend *table;
    void *net; // the program's
    bool is_open, has_crew;
    fm__crew crew;
} own_net;

typedef struct own_request {
    fm_request base;
    fm__job job;
    // owner's, but while it runs the net's thread's
    uint8_t *input;
    float *outputs[FM_OWN_MAX_OUTPUTS];
    int rows;
    fm_status status;
    fm_error err;
} own_request;

static void run_job(void *owner, fm__job *job)
{
    const own_net *net = owner;
    own_request *req = (own_request *)((char *)job - offsetof(own_request, job));
    req->err = (fm_error){.status = FM_OK};
    req->status = net->table->run(net->net, req->input, req->rows, req->outputs, &req->err);
}

// What a program's function said of a failure, as an error of ours.
static fm_status tell(fm_status st, const char *what, const char *model, const fm_error *why, fm_error *err)
{
    fm_status failure = st < 0 ? st : FM_BACKEND;
    return fm__fail(err, failure, "own network '%s' cannot be %s: %.400s", model, what,
        why->msg[0] ? why->msg : fm_status_text(failure));
}

static fm_status check_table(const fm_own_backend *t, fm_error *err)
{
    if (t->struct_size != sizeof(*t) || !t->describe || !t->open || !t->run || !t->close) {
        return fm__fail(err, FM_INVAL,
            "own_backend is not complete: begin with FM_OWN_BACKEND_INIT, and set all functions");
    }
    return FM_OK;
}

static bool output_is_sane(const fm_own_shape *s, int i)
{
    int64_t values = 1;
    int rank = s->outputs[i].rank;
    if (rank < 1 || rank > FM_OWN_MAX_RANK) {
        return false;
    }
    for (int d = 0; d < rank; d++) {
        int64_t n = s->outputs[i].dims[d];
        if (n < 1 || n > MAX_VALUES / values) {
            return false;
        }
        values *= n;
    }
    return true;
}

static fm_status check_shape(const fm_own_shape *s, const char *model, fm_error *err)
{
    bool is_sane = s->width >= MIN_SIDE && s->width <= MAX_SIDE && s->height >= MIN_SIDE &&
                   s->height <= MAX_SIDE && s->output_count >= 1 && s->output_count <= FM_OWN_MAX_OUTPUTS;
    for (int i = 0; is_sane && i < s->output_count; i++) {
        is_sane = output_is_sane(s, i);
    }
    return is_sane ? FM_OK
                   : fm__fail(err, FM_INVAL,
                         "own network '%s': its shape does not hold: sides of %d to %d, 1 to %d outputs of "
                         "rank 1 to %d",
                         model, MIN_SIDE, MAX_SIDE, FM_OWN_MAX_OUTPUTS, FM_OWN_MAX_RANK);
}

static void set_info(const fm_own_shape *s, const fm_net_desc *desc, fm_net_info *info)
{
    *info = (fm_net_info){
        .slots = desc->slots > 0 ? desc->slots : 1,
        .batch = desc->batch > 0 ? desc->batch : 1,
        .layout = s->nhwc ? FM_LAYOUT_NHWC : FM_LAYOUT_NCHW,
        .input_w = s->width,
        .input_h = s->height,
        .channels = 3,
        .output_count = (size_t)s->output_count,
        .on_cpu = true,
        .takes_bytes = true,
    };
    int64_t n = info->batch, w = s->width, h = s->height;
    info->input = s->nhwc ? (fm_tensor){.dtype = FM_DTYPE_U8, .rank = 4, .dims = {n, h, w, 3}}
                          : (fm_tensor){.dtype = FM_DTYPE_U8, .rank = 4, .dims = {n, 3, h, w}};
    for (int k = 1; k < info->batch && info->size_count < FM_NET_MAX_SIZES - 1; k *= 2) {
        info->sizes[info->size_count++] = k;
    }
    info->sizes[info->size_count++] = info->batch;
    for (int i = 0; i < s->output_count; i++) {
        fm_tensor *t = &info->outputs[i];
        *t = (fm_tensor){.dtype = FM_DTYPE_F32, .rank = s->outputs[i].rank + 1, .dims = {n}};
        memcpy(t->dims + 1, s->outputs[i].dims, (size_t)s->outputs[i].rank * sizeof(*t->dims));
    }
}

static fm_status describe(const fm_net_desc *desc, fm_net_info *out, fm_error *err)
{
    fm_own_shape shape = {.width = 0};
    fm_error why = {.status = FM_OK};
    fm_status st = check_table(desc->own, err);
    if (st != FM_OK) {
        return st;
    }
    st = desc->own->describe(desc->own->opaque, desc->path, &shape, &why);
    if (st != FM_OK) {
        return tell(st, "described", desc->path, &why, err);
    }
    st = check_shape(&shape, desc->path, err);
    if (st == FM_OK && (desc->slots > FM_CREW_MAX || desc->batch > MAX_BATCH)) {
        st = fm__fail(err, FM_INVAL, "own network '%s': at most %d slots and batches of %d", desc->path,
            FM_CREW_MAX, MAX_BATCH);
    }
    if (st == FM_OK) {
        set_info(&shape, desc, out);
    }
    return st;
}

static fm_status own_describe(const fm_net_desc *desc, fm_net_info *out, fm_error *err)
{
    fm_net_desc one = *desc;
    one.batch = 1;
    return describe(&one, out, err);
}

static void own_close(fm_net *base)
{
    own_net *net = (own_net *)base;
    if (net->has_crew) {
        fm__crew_stop(&net->crew);
    }
    if (net->is_open) {
        net->table->close(net->net);
    }
    fm__free(net);
}

static fm_status start(own_net *net, const char *model, fm_error *err)
{
    fm_error why = {.status = FM_OK};
    int slots = net->base.info.slots;
    fm_status st = net->table->open(net->table->opaque, model, slots, &net->net, &why);
    if (st != FM_OK) {
        return tell(st, "opened", model, &why, err);
    }
    net->is_open = true;
    fm__crew_opts crew = {.name = "fm-own", .threads = slots, .run = run_job, .owner = net};
    st = fm__crew_start(&net->crew, &crew, err);
    net->has_crew = st == FM_OK;
    return st;
}

static fm_status own_open(const fm_net_desc *desc, fm_net **out, fm_error *err)
{
    own_net *net = fm__calloc(FM_TAG_INFER, sizeof(*net));
    if (!net) {
        return fm__fail_nomem(err, "an own network");
    }
    net->base.backend = &fm__backend_own;
    net->table = desc->own;
    fm_status st = describe(desc, &net->base.info, err);
    st = st == FM_OK ? start(net, desc->path, err) : st;
    if (st != FM_OK) {
        own_close(&net->base);
        return st;
    }
    *out = &net->base;
    return FM_OK;
}

static fm_status own_probe(
    char *version, size_t version_size, char *devices, size_t devices_size, fm_error *err)
{
    (void)err; // the program knows
    snprintf(version, version_size, "the program's");
    snprintf(devices, devices_size, "the program's");
    return FM_OK;
}

static void own_request_free(fm_request *base)
{
    own_request *req = (own_request *)base;
    fm__free(req->input);
    for (int i = 0; i < FM_OWN_MAX_OUTPUTS; i++) {
        fm__free(req->outputs[i]);
    }
    fm__free(req);
}

static fm_status own_request_new(
    fm_net *net, fm_request_done_fn done, void *opaque, fm_request **out, fm_error *err)
{
    const fm_net_info *info = &net->info;
    own_request *req = fm__calloc(FM_TAG_INFER, sizeof(*req));
    if (!req) {
        return fm__fail_nomem(err, "an own network's request");
    }
    req->base.net = net;
    req->job.done = done;
    req->job.opaque = opaque;
    req->input = fm__calloc_aligned(FM_TAG_INFER, (size_t)fm__tensor_count(&info->input), 64);
    bool ok = req->input != NULL;
    for (size_t i = 0; ok && i < info->output_count; i++) {
        size_t bytes = (size_t)fm__tensor_count(&info->outputs[i]) * sizeof(float);
        req->outputs[i] = fm__calloc_aligned(FM_TAG_INFER, bytes, 64);
        ok = req->outputs[i] != NULL;
    }
    if (!ok) {
        own_request_free(&req->base);
        return fm__fail_nomem(err, "an own network's tensors");
    }
    *out = &req->base;
    return FM_OK;
}

static fm_tensor own_request_input(fm_request *base)
{
    fm_tensor t = base->net->info.input;
    t.data = ((own_request *)base)->input;
    return t;
}

static fm_status own_request_start(fm_request *base, int rows, fm_error *err)
{
    own_request *req = (own_request *)base;
    own_net *net = (own_net *)base->net;
    if (fm__crew_runs(&net->crew, &req->job)) {
        return fm__fail(err, FM_BUSY, "own network: the request is still running");
    }
    req->rows = rows;
    return fm__crew_put(&net->crew, &req->job)
               ? FM_OK
               : fm__fail(err, FM_BUSY, "own network: the request was started twice at once");
}

static fm_status own_request_finish(fm_request *base, fm_tensor *outs, fm_error *err)
{
    own_request *req = (own_request *)base;
    const fm_net_info *info = &base->net->info;
    if (req->status != FM_OK) {
        return tell(req->status, "run", "own", &req->err, err);
    }
    for (size_t i = 0; i < info->output_count; i++) {
        outs[i] = info->outputs[i];
        outs[i].data = req->outputs[i];
        outs[i].dims[0] = req->rows;
    }
    return FM_OK;
}

const fm_backend fm__backend_own = {
    .name = "own",
    .probe = own_probe,
    .describe = own_describe,
    .open = own_open,
    .close = own_close,
    .request_new = own_request_new,
    .request_free = own_request_free,
    .request_input = own_request_input,
    .request_start = own_request_start,
    .request_finish = own_request_finish,
};
