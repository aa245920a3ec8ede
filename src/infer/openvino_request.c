// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Requests of the OpenVINO backend. A request owns one input and one set of output buffers of the largest
// batch and, over the same memory, an OpenVINO request of each compiled size (1 and the full batch): one of
// them runs at a time. OpenVINO calls back from a thread of its own, without a status; the callback only
// passes that on, and finish() waits for the request, which by then is at its end, to learn how it went.
// Waiting inside the callback would never end. The wait matters after a failure too: it is what makes a
// request startable again.

#include "base/alloc.h"
#include "base/error.h"
#include "base/pool.h"
#include "infer/openvino.h"

typedef struct ov_half {
    ov_infer_request_t *request;
    ov_callback_t callback; // OpenVINO keeps its address
    int rows;
} ov_half;

typedef struct ov_request {
    fm_request base;
    // immutable after new
    fm_request_done_fn done;
    void *opaque;
    void *input;
    void *outputs[FM_NET_MAX_OUTPUTS];
    size_t tensor_bytes; // of both; 0 until they are there
    ov_half one, full;   // full.request is NULL when the net has one size
    // owner's
    ov_half *running;
} ov_request;

static void on_done(void *opaque)
{
    ov_request *req = opaque;
    req->done(req->opaque);
}

static ov_element_type_e element_type(fm_dtype dtype)
{
    switch (dtype) {
    case FM_DTYPE_U8:
        return U8;
    case FM_DTYPE_I32:
        return I32;
    case FM_DTYPE_I64:
        return I64;
    default:
        return F32;
    }
}

// A tensor over our memory, handed to OpenVINO; it keeps a reference of its own.
static ov_status_e bind(
    ov_infer_request_t *request, const fm_tensor *t, void *data, bool is_input, size_t index)
{
    ov_shape_t shape = {0};
    ov_tensor_t *tensor = NULL;
    ov_status_e rc = ov_shape_create(t->rank, t->dims, &shape);
    if (rc == OK) {
        rc = ov_tensor_create_from_host_ptr(element_type(t->dtype), shape, data, &tensor);
    }
    if (rc == OK && is_input) {
        rc = ov_infer_request_set_input_tensor_by_index(request, index, tensor);
    } else if (rc == OK) {
        rc = ov_infer_request_set_output_tensor_by_index(request, index, tensor);
    }
    ov_tensor_free(tensor);
    ov_shape_free(&shape);
    return rc;
}

static fm_tensor with_rows(const fm_tensor *t, int rows)
{
    fm_tensor r = *t;
    r.dims[0] = rows;
    return r;
}

static fm_status half_init(
    ov_half *half, ov_request *req, const ov_compiled_model_t *compiled, int rows, fm_error *err)
{
    const fm_net_info *info = &req->base.net->info;
    fm_tensor t = with_rows(&info->input, rows);
    half->rows = rows;
    half->callback = (ov_callback_t){.callback_func = on_done, .args = req};
    ov_status_e rc = ov_compiled_model_create_infer_request(compiled, &half->request);
    if (rc == OK) {
        rc = bind(half->request, &t, req->input, true, 0);
    }
    for (size_t i = 0; rc == OK && i < info->output_count; i++) {
        t = with_rows(&info->outputs[i], rows);
        rc = bind(half->request, &t, req->outputs[i], false, i);
    }
    if (rc == OK) {
        rc = ov_infer_request_set_callback(half->request, &half->callback);
    }
    return rc == OK ? FM_OK : fm__ov_fail(err, FM_BACKEND, rc, "cannot make a request for", "openvino");
}

static size_t tensor_bytes(const ov_request *req)
{
    size_t sum = fm__alloc_size(req->input);
    for (size_t i = 0; i < FM_NET_MAX_OUTPUTS; i++) {
        sum += fm__alloc_size(req->outputs[i]);
    }
    return sum;
}

static fm_status allocate(ov_request *req, fm_error *err)
{
    const fm_net_info *info = &req->base.net->info;
    req->input = fm__calloc_aligned(FM_TAG_INFER, (size_t)fm__tensor_count(&info->input), 64);
    bool ok = req->input != NULL;
    for (size_t i = 0; ok && i < info->output_count; i++) {
        const fm_tensor *t = &info->outputs[i];
        size_t size = 0;
        ok = fm__mul_size((size_t)fm__tensor_count(t), fm__dtype_size(t->dtype), &size);
        req->outputs[i] = ok ? fm__calloc_aligned(FM_TAG_INFER, size, 64) : NULL;
        ok = req->outputs[i] != NULL;
    }
    if (!ok) {
        return fm__fail_nomem(err, "the tensors of an inference request");
    }
    req->tensor_bytes = tensor_bytes(req);
    fm__pool_made(FM_POOL_TENSORS, req->tensor_bytes);
    return FM_OK;
}

void fm__ov_request_free(fm_request *base)
{
    ov_request *req = (ov_request *)base;
    ov_infer_request_free(req->one.request);
    ov_infer_request_free(req->full.request);
    if (req->tensor_bytes > 0) {
        fm__pool_gone(FM_POOL_TENSORS, req->tensor_bytes, false);
    }
    fm__free(req->input);
    for (size_t i = 0; i < FM_NET_MAX_OUTPUTS; i++) {
        fm__free(req->outputs[i]);
    }
    fm__free(req);
}

fm_status fm__ov_request_new(
    fm_net *base, fm_request_done_fn done, void *opaque, fm_request **out, fm_error *err)
{
    ov_net *net = (ov_net *)base;
    ov_request *req = fm__calloc(FM_TAG_INFER, sizeof(*req));
    if (!req) {
        return fm__fail_nomem(err, "an inference request");
    }
    req->base.net = base;
    req->done = done;
    req->opaque = opaque;
    fm_status st = allocate(req, err);
    if (st == FM_OK) {
        st = half_init(&req->one, req, net->one, 1, err);
    }
    if (st == FM_OK && net->full) {
        st = half_init(&req->full, req, net->full, base->info.batch, err);
    }
    if (st != FM_OK) {
        fm__ov_request_free(&req->base);
        return st;
    }
    *out = &req->base;
    return FM_OK;
}

fm_tensor fm__ov_request_input(fm_request *base)
{
    fm_tensor t = base->net->info.input;
    t.data = ((ov_request *)base)->input;
    return t;
}

fm_status fm__ov_request_start(fm_request *base, int rows, fm_error *err)
{
    ov_request *req = (ov_request *)base;
    if (req->running) {
        return fm__fail(err, FM_BUSY, "the inference request is still running");
    }
    ov_half *half = rows == 1 ? &req->one : &req->full;
    req->running = half; // before the start: done may come before it returns
    ov_status_e rc = ov_infer_request_start_async(half->request);
    if (rc != OK) {
        req->running = NULL;
        return fm__ov_fail(err, FM_BACKEND, rc, "cannot start an inference on", "cpu");
    }
    return FM_OK;
}

fm_status fm__ov_request_finish(fm_request *base, fm_tensor *outs, fm_error *err)
{
    ov_request *req = (ov_request *)base;
    ov_half *half = req->running;
    if (!half) {
        return fm__fail(err, FM_INVAL, "the inference request was not started");
    }
    ov_status_e rc = ov_infer_request_wait(half->request);
    req->running = NULL;
    if (rc != OK) {
        return fm__ov_fail(err, FM_BACKEND, rc, "inference failed on", "cpu");
    }
    const fm_net_info *info = &base->net->info;
    for (size_t i = 0; i < info->output_count; i++) {
        outs[i] = with_rows(&info->outputs[i], half->rows);
        outs[i].data = req->outputs[i];
    }
    return FM_OK;
}

fm_status fm__ov_request_layers(fm_request *base, fm_layer_fn fn, void *opaque, fm_error *err)
{
    const ov_request *req = (const ov_request *)base;
    const ov_half *half = req->full.request ? &req->full : &req->one;
    ov_profiling_info_list_t list = {0};
    ov_status_e rc = ov_infer_request_get_profiling_info(half->request, &list);
    if (rc != OK) {
        return fm__ov_fail(err, FM_BACKEND, rc, "cannot ask for the times of layers of", "openvino");
    }
    for (size_t i = 0; i < list.size; i++) {
        const ov_profiling_info_t *p = &list.profiling_infos[i];
        if (p->status == EXECUTED) {
            fm_layer_time t = {.name = p->node_name,
                .type = p->node_type,
                .kernel = p->exec_type,
                .ns = p->real_time * 1000};
            fn(&t, opaque);
        }
    }
    ov_profiling_info_list_free(&list);
    return FM_OK;
}
