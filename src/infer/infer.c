// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// The list of compiled-in backends and the calls that go through a net's table. Nothing here knows what a
// backend does; a new one is one line in the list.

#include "infer/infer.h"

#include "base/error.h"
#include "fm_config.h"
#include "infer/backends.h"

#include <string.h>

static const fm_backend *const backends[] = {
#if FM_HAVE_OPENVINO
    &fm__backend_openvino,
#endif
    &fm__backend_torch, // whose plug-in may be missing: it says so when it is asked
    &fm__backend_ref,
    NULL,
};

const fm_backend *const *fm__backends(void)
{
    return backends;
}

const fm_backend *fm__backend_find(const char *name)
{
    for (size_t i = 0; name && backends[i]; i++) {
        if (strcmp(backends[i]->name, name) == 0) {
            return backends[i];
        }
    }
    return NULL;
}

static fm_status find(const fm_net_desc *desc, const fm_backend **out, fm_error *err)
{
    *out = desc->own ? &fm__backend_own : fm__backend_find(desc->backend);
    if (!*out) {
        return fm__fail(err, FM_UNSUPPORTED, "backend '%s' is not in this build; see: framemill doctor",
            desc->backend ? desc->backend : "");
    }
    return FM_OK;
}

fm_status fm__net_describe(const fm_net_desc *desc, fm_net_info *out, fm_error *err)
{
    const fm_backend *backend = NULL;
    fm_status st = find(desc, &backend, err);
    return st == FM_OK ? backend->describe(desc, out, err) : st;
}

fm_status fm__net_open(const fm_net_desc *desc, fm_net **out, fm_error *err)
{
    const fm_backend *backend = NULL;
    fm_status st = find(desc, &backend, err);
    return st == FM_OK ? backend->open(desc, out, err) : st;
}

void fm__net_close(fm_net **net)
{
    if (net && *net) {
        (*net)->backend->close(*net);
        *net = NULL;
    }
}

fm_status fm__request_new(fm_net *net, fm_request_done_fn done, void *opaque, fm_request **out, fm_error *err)
{
    return net->backend->request_new(net, done, opaque, out, err);
}

void fm__request_free(fm_request **req)
{
    if (req && *req) {
        (*req)->net->backend->request_free(*req);
        *req = NULL;
    }
}

fm_tensor fm__request_input(fm_request *req)
{
    return req->net->backend->request_input(req);
}

static bool runs_rows(const fm_net_info *info, int rows)
{
    for (int i = 0; i < info->size_count; i++) {
        if (info->sizes[i] == rows) {
            return true;
        }
    }
    return false;
}

fm_status fm__request_start(fm_request *req, int rows, fm_error *err)
{
    if (!runs_rows(&req->net->info, rows)) {
        return fm__fail(
            err, FM_INVAL, "a batch of %d rows was started, which this network was not made for", rows);
    }
    return req->net->backend->request_start(req, rows, err);
}

fm_status fm__request_finish(fm_request *req, fm_tensor *outs, fm_error *err)
{
    return req->net->backend->request_finish(req, outs, err);
}

bool fm__net_memory(const fm_net *net, fm_device_memory *out)
{
    return net->backend->memory && net->backend->memory(net, out);
}

fm_status fm__request_layers(fm_request *req, fm_layer_fn fn, void *opaque, fm_error *err)
{
    const fm_backend *b = req->net->backend;
    return b->request_layers
               ? b->request_layers(req, fn, opaque, err)
               : fm__fail(err, FM_UNSUPPORTED, "backend '%s' does not tell the times of layers", b->name);
}
