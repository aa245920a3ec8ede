// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// The OpenVINO backend, over its C API (2026.4): nets. Shapes are static, because dynamic ones cost 5 to 10
// %, and a net holds two compiled forms of its model: batch 1 and the full batch N. A frame's cost on a CPU
// hardly depends on the batch (yolox-nano at 416, two AVX2 cores, CPU time a frame: 27.6 ms at batch 1, 29.4
// at 4, 30.9 at 16; yolov5n and yolov8n alike), so that a partial batch runs as single frames without loss
// and a third size would only cost memory, of which a batch takes much (resident: 116, 253 and 647 MiB). For
// the same reason `auto` is batch 1. Throughput comes from streams: one for each core with one thread each,
// and one slot more than streams, so that a request is filled while the others run. With many cores
// OpenVINO's own throughput hint chooses the streams. Threads are not pinned: decoders share the cores, and
// pinning was not measurably better. Left alone, the plug-in computes in bf16 where the processor can (AMX,
// AVX512-BF16), and boxes then differ from one machine to the next; so fp32 is asked for unless the caller
// wants otherwise.

#include "infer/openvino.h"

#include "base/alloc.h"
#include "base/error.h"
#include "base/log.h"
#include "base/str.h"
#include "base/thread.h"
#include "infer/backends.h"

#include <stdio.h>
#include <string.h>

#define DOMAIN "infer"
#define AUTO_BATCH 1
// Up to here one stream a core was fastest; beyond, the hint knows about caches and sockets.
#define MANY_CORES 8
#define MAX_BATCH 1024
#define MAX_SLOTS 256

// Our names and OpenVINO's.
static const char *const precisions[][2] = {{"fp32", "f32"}, {"bf16", "bf16"}, {"fp16", "f16"}};

static const char *ov_precision(const char *name)
{
    for (size_t i = 0; i < sizeof(precisions) / sizeof(precisions[0]); i++) {
        if (!name || strcmp(name, precisions[i][0]) == 0) {
            return precisions[i][1];
        }
    }
    return NULL;
}

static fm_status check_desc(const fm_net_desc *desc, fm_error *err)
{
    if (desc->device && strcmp(desc->device, "cpu") != 0) {
        return fm__fail(
            err, FM_UNSUPPORTED, "device '%s': the openvino backend runs on cpu only", desc->device);
    }
    if (desc->batch < 0 || desc->batch > MAX_BATCH || desc->slots < 0 || desc->slots > MAX_SLOTS) {
        return fm__fail(err, FM_INVAL, "batch %d or slots %d out of range (at most %d and %d)", desc->batch,
            desc->slots, MAX_BATCH, MAX_SLOTS);
    }
    if (!ov_precision(desc->precision)) {
        return fm__fail(
            err, FM_UNSUPPORTED, "precision '%s' is none of fp32, bf16 and fp16", desc->precision);
    }
    return FM_OK;
}

static fm_status new_core(ov_core_t **out, fm_error *err)
{
    ov_status_e rc = ov_core_create(out);
    return rc == OK ? FM_OK : fm__ov_fail(err, FM_BACKEND, rc, "cannot start", "openvino");
}

static fm_status ov_probe(
    char *version, size_t version_size, char *devices, size_t devices_size, fm_error *err)
{
    ov_version_t v = {0};
    ov_core_t *core = NULL;
    ov_available_devices_t list = {0};
    ov_status_e rc = ov_get_openvino_version(&v);
    if (rc != OK) {
        return fm__ov_fail(err, FM_BACKEND, rc, "cannot ask for the version of", "openvino");
    }
    snprintf(version, version_size, "%.*s", (int)strcspn(v.buildNumber, "-"), v.buildNumber);
    ov_version_free(&v);
    fm_status st = new_core(&core, err);
    if (st == FM_OK && (rc = ov_core_get_available_devices(core, &list)) != OK) {
        st = fm__ov_fail(err, FM_BACKEND, rc, "cannot list the devices of", "openvino");
    }
    devices[0] = '\0';
    for (size_t i = 0, used = 0; i < list.size && used < devices_size; i++) {
        used += (size_t)snprintf(devices + used, devices_size - used, "%s%s", i ? " " : "", list.devices[i]);
    }
    if (list.devices) {
        ov_available_devices_free(&list);
    }
    ov_core_free(core);
    return st;
}

// Reads the file and gives it `batch`; OK with the model, or UNSUPPORTED when the file does not stand it.
static fm_status read_at(
    ov_core_t *core, const fm_net_desc *desc, int batch, fm_net_info *info, ov_model_t **out, fm_error *err)
{
    ov_model_t *model = NULL;
    fm_status st = fm__ov_read(core, desc->path, &model, err);
    if (st == FM_OK) {
        st = fm__ov_input_info(model, desc, info, err);
    }
    if (st == FM_OK) {
        st = fm__ov_reshape(model, info, batch, desc->path, err);
    }
    if (st != FM_OK) {
        ov_model_free(model);
        return st;
    }
    *out = model;
    return FM_OK;
}

static fm_status ov_describe(const fm_net_desc *desc, fm_net_info *out, fm_error *err)
{
    fm_net_info info = {.batch = 1, .size_count = 1, .sizes = {1}, .slots = 1};
    ov_core_t *core = NULL;
    ov_model_t *model = NULL;
    fm_status st = check_desc(desc, err);
    if (st == FM_OK) {
        st = new_core(&core, err);
    }
    if (st == FM_OK) {
        st = read_at(core, desc, 1, &info, &model, err);
    }
    if (st == FM_OK) {
        st = fm__ov_outputs(model, &info, desc->path, err);
    }
    if (st == FM_OK) {
        info.input = fm__ov_input_tensor(&info, 1);
        info.batch_baked = fm__ov_reshape(model, &info, 2, desc->path, NULL) != FM_OK;
        *out = info;
    }
    ov_model_free(model);
    ov_core_free(core);
    return st;
}

typedef struct ov_plan {
    int threads; // cores
    char threads_text[16], streams_text[16];
    ov_property_t props[8];
    size_t count;
} ov_plan;

static void add_prop(ov_plan *plan, const char *key, const char *value)
{
    plan->props[plan->count++] = (ov_property_t){.key = key, .value = value};
}

static void make_plan(const fm_net_desc *desc, ov_plan *plan)
{
    plan->threads = desc->threads > 0 ? desc->threads : fm__cpu_count();
    int streams = desc->slots > 0 && desc->slots < plan->threads ? desc->slots : plan->threads;
    snprintf(plan->threads_text, sizeof(plan->threads_text), "%d", plan->threads);
    snprintf(plan->streams_text, sizeof(plan->streams_text), "%d", streams);
    add_prop(plan, ov_property_key_inference_num_threads, plan->threads_text);
    add_prop(plan, ov_property_key_hint_enable_cpu_pinning, "NO");
    add_prop(plan, ov_property_key_hint_inference_precision, ov_precision(desc->precision));
    if (desc->slots == 0 && plan->threads > MANY_CORES) {
        add_prop(plan, ov_property_key_hint_performance_mode, "THROUGHPUT");
    } else {
        add_prop(plan, ov_property_key_num_streams, plan->streams_text);
    }
    if (desc->counters) {
        add_prop(plan, ov_property_key_enable_profiling, "YES");
    }
    if (desc->cache_dir) {
        add_prop(plan, ov_property_key_cache_dir, desc->cache_dir);
    }
}

static int streams_of(const ov_compiled_model_t *compiled, int fallback)
{
    char *text = NULL;
    int64_t n = 0;
    if (ov_compiled_model_get_property(compiled, ov_property_key_num_streams, &text) != OK ||
        !fm__parse_int(text, &n) || n < 1 || n > MAX_SLOTS) {
        n = fallback;
    }
    ov_free(text);
    return (int)n;
}

// A plug-in that cannot compute as asked does something else and says so only when it is asked.
static fm_status check_precision(const ov_compiled_model_t *compiled, const fm_net_desc *desc, fm_error *err)
{
    char *actual = NULL;
    fm_status st = FM_OK;
    if (ov_compiled_model_get_property(compiled, ov_property_key_hint_inference_precision, &actual) == OK &&
        strcmp(actual, ov_precision(desc->precision)) != 0) {
        st =
            fm__fail(err, FM_UNSUPPORTED, "precision %s: this processor computes in %s instead; leave it out",
                desc->precision ? desc->precision : "fp32", actual);
    }
    ov_free(actual);
    return st;
}

static fm_status compile(const ov_net *net, const ov_model_t *model, const ov_plan *plan,
    const fm_net_desc *desc, ov_compiled_model_t **out, fm_error *err)
{
    ov_status_e rc = ov_core_compile_model_props(net->core, model, "CPU", plan->count, plan->props, out);
    return rc == OK ? check_precision(*out, desc, err)
                    : fm__ov_fail(err, FM_BACKEND, rc, "cannot compile the model", desc->path);
}

// The model at the batch that was asked for, or, where the file stands batch 1 only, at that.
static fm_status read_model(ov_net *net, const fm_net_desc *desc, ov_model_t **out, fm_error *err)
{
    fm_net_info *info = &net->base.info;
    fm_error why = {0};
    info->batch = desc->batch > 0 ? desc->batch : AUTO_BATCH;
    fm_status st = read_at(net->core, desc, info->batch, info, out, info->batch > 1 ? &why : err);
    if (info->batch > 1 && st == FM_UNSUPPORTED) {
        fm__log(desc->log, FM_LOG_DEBUG, DOMAIN, "%s", why.msg);
        fm__log(desc->log, FM_LOG_WARN, DOMAIN,
            "model '%s' has its batch baked in: it runs with batch 1; 'framemill models import' can free it",
            desc->path);
        info->batch = 1;
        info->batch_baked = true;
        st = read_at(net->core, desc, 1, info, out, err);
    } else if (st != FM_OK && err && info->batch > 1) {
        *err = why;
    }
    return st;
}

// Both sizes come from one read: the model is reshaped once more after its full batch was compiled.
static fm_status compile_sizes(ov_net *net, const fm_net_desc *desc, ov_model_t **model, fm_error *err)
{
    fm_net_info *info = &net->base.info;
    ov_plan plan = {0};
    make_plan(desc, &plan);
    fm_status st = fm__ov_preprocess(model, desc, info, err);
    if (st == FM_OK) {
        st = fm__ov_outputs(*model, info, desc->path, err);
    }
    info->input = fm__ov_input_tensor(info, info->batch);
    if (st == FM_OK && info->batch > 1) {
        st = compile(net, *model, &plan, desc, &net->full, err);
        if (st == FM_OK) {
            st = fm__ov_reshape(*model, info, 1, desc->path, err);
        }
    }
    if (st == FM_OK) {
        st = compile(net, *model, &plan, desc, &net->one, err);
    }
    if (st == FM_OK) {
        info->on_cpu = true; // of its devices no other is taken
        info->slots = desc->slots > 0 ? desc->slots : streams_of(net->one, plan.threads) + 1;
        info->sizes[info->size_count++] = 1;
        if (info->batch > 1) {
            info->sizes[info->size_count++] = info->batch;
        }
    }
    return st;
}

static void ov_close(fm_net *base)
{
    ov_net *net = (ov_net *)base;
    ov_compiled_model_free(net->one);
    ov_compiled_model_free(net->full);
    ov_core_free(net->core);
    fm__free(net);
}

static fm_status ov_open(const fm_net_desc *desc, fm_net **out, fm_error *err)
{
    ov_model_t *model = NULL;
    fm_status st = check_desc(desc, err);
    if (st != FM_OK) {
        return st;
    }
    ov_net *net = fm__calloc(FM_TAG_INFER, sizeof(*net));
    if (!net) {
        return fm__fail_nomem(err, "an OpenVINO network");
    }
    net->base.backend = &fm__backend_openvino;
    st = new_core(&net->core, err);
    if (st == FM_OK) {
        st = read_model(net, desc, &model, err);
    }
    if (st == FM_OK) {
        st = compile_sizes(net, desc, &model, err);
    }
    ov_model_free(model);
    if (st != FM_OK) {
        ov_close(&net->base);
        return st;
    }
    const fm_net_info *info = &net->base.info;
    fm__log(desc->log, FM_LOG_DEBUG, DOMAIN, "'%s' on cpu: batch %d, %d slots", desc->path, info->batch,
        info->slots);
    *out = &net->base;
    return FM_OK;
}

const fm_backend fm__backend_openvino = {
    .name = "openvino",
    .probe = ov_probe,
    .describe = ov_describe,
    .open = ov_open,
    .close = ov_close,
    .request_new = fm__ov_request_new,
    .request_free = fm__ov_request_free,
    .request_input = fm__ov_request_input,
    .request_start = fm__ov_request_start,
    .request_finish = fm__ov_request_finish,
    .request_layers = fm__ov_request_layers,
};
