// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// The OpenVINO backend on the models of the data folder: a batch says what its pictures say alone, a baked
// batch is seen, bad files are errors, requests survive misuse. Skipped (77) where the data folder is
// missing.

#include "base/file.h"
#include "base/str.h"
#include "infer/infer.h"
#include "waiter.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define SKIPPED 77

static char *model_path(const char *name)
{
    const char *data = getenv("FM_DATA");
    return fm__asprintf(FM_TAG_INFER, "%s/models/%s", data ? data : "../shared/data", name);
}

static fm_status open_model(const char *name, int batch, int slots, fm_net **out, fm_error *err)
{
    char *path = name[0] == '/' ? fm__strdup(FM_TAG_INFER, name) : model_path(name);
    fm_net_desc desc = {.backend = "openvino", .path = path, .batch = batch, .slots = slots, .threads = 2};
    fm_status st = fm__net_open(&desc, out, err);
    fm__free(path);
    return st;
}

static fm_net *must_open(const char *name, int batch, int slots)
{
    fm_net *net = NULL;
    fm_error err = {0};
    if (open_model(name, batch, slots, &net, &err) != FM_OK) {
        fail_msg("%s", err.msg);
    }
    return net;
}

static void fill(uint8_t *data, size_t n, uint32_t seed)
{
    for (size_t i = 0; i < n; i++) {
        seed = seed * 1664525U + 1013904223U;
        data[i] = (uint8_t)(seed >> 24);
    }
}

static float *run_copy(fm_request *req, waiter *w, int rows, size_t *count)
{
    fm_tensor out[FM_NET_MAX_OUTPUTS];
    fm_error err = {0};
    if (fm__request_start(req, rows, &err) != FM_OK) {
        fail_msg("%s", err.msg);
    }
    assert_int_equal(waiter_take(w, 0), 0);
    if (fm__request_finish(req, out, &err) != FM_OK) {
        fail_msg("%s", err.msg);
    }
    assert_int_equal(out[0].dims[0], rows);
    *count = (size_t)fm__tensor_count(&out[0]);
    float *copy = fm__calloc_array(FM_TAG_INFER, *count, sizeof(float));
    assert_non_null(copy);
    memcpy(copy, out[0].data, *count * sizeof(float));
    return copy;
}

static void a_batch_equals_its_singles(void **state)
{
    (void)state;
    enum { N = 3 };
    fm_net *net = must_open("yolox_nano_dyn.xml", N, 1);
    const fm_net_info *info = fm__net_info(net);
    assert_int_equal(info->batch, N);
    assert_false(info->batch_baked);
    assert_int_equal(info->size_count, 2);
    assert_int_equal(info->outputs[0].dims[0], N);
    assert_int_equal(info->outputs[0].dims[1], 3549);
    waiter w;
    waiter_init(&w);
    waiter_slot slot = {&w, 0};
    fm_request *req = NULL;
    assert_int_equal(fm__request_new(net, waiter_post, &slot, &req, NULL), FM_OK);
    fm_tensor in = fm__request_input(req);
    size_t row = (size_t)fm__tensor_count(&in) / N, count = 0, single = 0;
    fill(in.data, row * N, 1);
    float *batch = run_copy(req, &w, N, &count);
    for (size_t i = 0; i < N; i++) {
        memmove(in.data, (uint8_t *)in.data + (i > 0 ? row : 0), row * (N - (i > 0)));
        float *alone = run_copy(req, &w, 1, &single);
        assert_int_equal(single * N, count);
        double worst = 0;
        for (size_t k = 0; k < single; k++) {
            worst = fmax(worst, fabs((double)alone[k] - (double)batch[i * single + k]));
        }
        if (worst > 1e-4) {
            fail_msg("row %zu differs by %g", i, worst);
        }
        fm__free(alone);
    }
    fm__free(batch);
    fm__request_free(&req);
    fm__net_close(&net);
    waiter_done(&w);
}

// The same picture, once scaled by the network and once by hand into what the network would see: u8 in, (v -
// mean) / scale.
static void mean_and_scale_are_compiled_in(void **state)
{
    (void)state;
    char *path = model_path("yolox_nano_dyn.xml");
    waiter w;
    waiter_init(&w);
    waiter_slot slot = {&w, 0};
    float *got[2];
    size_t count = 0;
    for (int i = 0; i < 2; i++) {
        fm_net_desc desc = {.backend = "openvino", .path = path, .batch = 1, .slots = 1, .threads = 2};
        for (int c = 0; c < 3; c++) { // v = 2 k + m by hand, (2 k + m - m) / 2 by the network
            desc.mean[c] = i ? (float)(10 * (c + 1)) : 0;
            desc.scale[c] = i ? 2.0F : 0;
        }
        fm_net *net = NULL;
        fm_request *req = NULL;
        assert_int_equal(fm__net_open(&desc, &net, NULL), FM_OK);
        assert_int_equal(fm__request_new(net, waiter_post, &slot, &req, NULL), FM_OK);
        fm_tensor in = fm__request_input(req);
        uint8_t *v = in.data;
        size_t n = (size_t)fm__tensor_count(&in), plane = n / 3;
        fill(v, n, 7);
        for (size_t k = 0; k < n; k++) {
            unsigned base = v[k] % 100;
            v[k] = (uint8_t)(i ? 2 * base + 10 * (k / plane + 1) : base);
        }
        got[i] = run_copy(req, &w, 1, &count);
        fm__request_free(&req);
        fm__net_close(&net);
    }
    for (size_t k = 0; k < count; k++) {
        if (fabsf(got[0][k] - got[1][k]) > 1e-3F) {
            fail_msg("value %zu: %g and %g", k, (double)got[0][k], (double)got[1][k]);
        }
    }
    fm__free(got[0]);
    fm__free(got[1]);
    fm__free(path);
    waiter_done(&w);
}

static void collect_log(fm_log_level level, const char *domain, const char *msg, void *opaque)
{
    (void)domain;
    int *warnings = opaque;
    *warnings += level == FM_LOG_WARN && strstr(msg, "baked in") != NULL;
}

static void a_baked_batch_is_seen_and_said_once(void **state)
{
    (void)state;
    static const char *const names[] = {"yolox_nano.onnx", "yolov5n_fp16_ir.xml"};
    for (size_t i = 0; i < 2; i++) {
        int warnings = 0;
        fm_log log = {.fn = collect_log, .level = FM_LOG_WARN, .opaque = &warnings};
        char *path = model_path(names[i]);
        fm_net_desc desc = {.backend = "openvino", .path = path, .batch = 4, .slots = 1, .log = &log};
        fm_net *net = NULL;
        fm_error err = {0};
        if (fm__net_open(&desc, &net, &err) != FM_OK) {
            fail_msg("%s", err.msg);
        }
        assert_true(fm__net_info(net)->batch_baked);
        assert_int_equal(fm__net_info(net)->batch, 1);
        assert_int_equal(fm__net_info(net)->size_count, 1);
        assert_int_equal(warnings, 1);
        fm__net_close(&net);
        fm__free(path);
    }
}

static void layouts_and_shapes_are_told_from_the_file(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        fm_layout layout;
        int w, h;
        int64_t dims[3];
    } cases[] = {{"yolox_nano.onnx", FM_LAYOUT_NCHW, 416, 416, {1, 3549, 85}},
        {"yolov5n_640_dyn.xml", FM_LAYOUT_NHWC, 640, 640, {1, 25200, 85}},
        {"yolov8n_int8_dyn.xml", FM_LAYOUT_NCHW, 640, 640, {1, 84, 8400}}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        char *path = model_path(cases[i].name);
        fm_net_desc desc = {.backend = "openvino", .path = path};
        fm_net_info info = {0};
        fm_error err = {0};
        if (fm__net_describe(&desc, &info, &err) != FM_OK) {
            fail_msg("%s", err.msg);
        }
        assert_int_equal(info.layout, cases[i].layout);
        assert_int_equal(info.input_w, cases[i].w);
        assert_int_equal(info.input_h, cases[i].h);
        assert_int_equal(info.channels, 3);
        assert_memory_equal(info.outputs[0].dims, cases[i].dims, sizeof(cases[i].dims));
        fm__free(path);
    }
}

static void requests_complete_once_and_survive_misuse(void **state)
{
    (void)state;
    enum { SLOTS = 3, STARTS = 12 };
    fm_net *net = must_open("yolox_nano_dyn.xml", 1, SLOTS);
    waiter w;
    waiter_init(&w);
    waiter_slot slots[SLOTS];
    fm_request *req[SLOTS] = {0};
    fm_tensor out[FM_NET_MAX_OUTPUTS];
    int started = 0, finished = 0;
    for (int i = 0; i < SLOTS; i++) {
        slots[i] = (waiter_slot){&w, i};
        assert_int_equal(fm__request_new(net, waiter_post, &slots[i], &req[i], NULL), FM_OK);
        assert_int_equal(fm__request_finish(req[i], out, NULL), FM_INVAL);
        assert_int_equal(fm__request_start(req[i], 2, NULL), FM_INVAL);
        assert_int_equal(fm__request_start(req[i], 1, NULL), FM_OK);
        assert_int_equal(fm__request_start(req[i], 1, NULL), FM_BUSY);
        started++;
    }
    while (finished < started) {
        int i = waiter_take(&w, -1);
        assert_true(i >= 0);
        assert_int_equal(fm__request_finish(req[i], out, NULL), FM_OK);
        finished++;
        if (started < STARTS) {
            assert_int_equal(fm__request_start(req[i], 1, NULL), FM_OK);
            started++;
        }
    }
    for (int i = 0; i < SLOTS; i++) {
        assert_int_equal(w.done[i], 0);
        fm__request_free(&req[i]);
    }
    fm__net_close(&net);
    waiter_done(&w);
}

static void expect_refused(const char *path, const char *what)
{
    fm_net *net = NULL;
    fm_error err = {0};
    fm_status st = open_model(path, 1, 1, &net, &err);
    if (st != FM_FORMAT && st != FM_BACKEND && st != FM_UNSUPPORTED) {
        fail_msg("%s: status %d (%s)", what, st, err.msg);
    }
    assert_null(net);
    assert_non_null(strstr(err.msg, path));
    assert_null(strchr(err.msg, '\n'));
}

static void write_part(const char *from, const char *to, size_t divisor)
{
    char *path = model_path(from), *data = NULL;
    size_t len = 0;
    assert_int_equal(fm__file_read(FM_TAG_INFER, path, 64U << 20, &data, &len, NULL), FM_OK);
    assert_int_equal(fm__file_replace(to, data, len / divisor, NULL), FM_OK);
    fm__free(data);
    fm__free(path);
}

static void cut_files_are_errors(void **state)
{
    (void)state;
    const char *tmp = getenv("TMPDIR");
    char *dir = fm__asprintf(FM_TAG_INFER, "%s/fm-ov-XXXXXX", tmp ? tmp : "/tmp");
    assert_non_null(mkdtemp(dir));
    static const struct {
        const char *what, *from, *name;
        size_t divisor;
        const char *weights;
        size_t weights_divisor;
    } cases[] = {{"half an ONNX", "yolox_nano.onnx", "half.onnx", 2, NULL, 0},
        {"an empty ONNX", "yolox_nano.onnx", "empty.onnx", 1 << 30, NULL, 0},
        {"half an IR", "yolox_nano_dyn.xml", "half.xml", 2, "yolox_nano_dyn.bin", 1},
        {"an IR with half its weights", "yolox_nano_dyn.xml", "weights.xml", 1, "yolox_nano_dyn.bin", 2}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        char *path = fm__path_join(FM_TAG_INFER, dir, cases[i].name);
        char *bin = fm__strdup(FM_TAG_INFER, path);
        write_part(cases[i].from, path, cases[i].divisor);
        if (cases[i].weights) {
            memcpy(strrchr(bin, '.'), ".bin", 5);
            write_part(cases[i].weights, bin, cases[i].weights_divisor);
        }
        expect_refused(path, cases[i].what);
        unlink(path);
        unlink(bin);
        fm__free(path);
        fm__free(bin);
    }
    rmdir(dir);
    fm__free(dir);
    fm_net *net = NULL;
    assert_int_equal(open_model("no_such.onnx", 1, 1, &net, NULL), FM_NOTFOUND);
}

static void other_devices_and_precisions_are_refused(void **state)
{
    (void)state;
    char *path = model_path("yolox_nano.onnx");
    fm_net_desc desc = {.backend = "openvino", .path = path, .device = "cuda:0"};
    fm_net *net = NULL;
    assert_int_equal(fm__net_open(&desc, &net, NULL), FM_UNSUPPORTED);
    desc.device = "cpu";
    desc.precision = "int4";
    fm_error err = {0};
    assert_int_equal(fm__net_open(&desc, &net, &err), FM_UNSUPPORTED);
    assert_non_null(strstr(err.msg, "int4"));
    fm__free(path);
}

static void probe_names_version_and_cpu(void **state)
{
    (void)state;
    char version[64], devices[256];
    assert_int_equal(
        fm__backend_find("openvino")->probe(version, sizeof(version), devices, sizeof(devices), NULL), FM_OK);
    assert_true(version[0] >= '1' && version[0] <= '9');
    assert_non_null(strstr(devices, "CPU"));
}

int main(void)
{
    setenv(
        "TBB_ENABLE_SANITIZERS", "1", 1); // its own way of loading libraries does not suit AddressSanitizer
    char *path = model_path("yolox_nano_dyn.xml");
    bool there = fm__is_file(path) && fm__backend_find("openvino");
    fm__free(path);
    if (!there) {
        printf("skipped: no model files (FM_DATA) or no openvino in this build\n");
        return SKIPPED;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_batch_equals_its_singles),
        cmocka_unit_test(mean_and_scale_are_compiled_in),
        cmocka_unit_test(a_baked_batch_is_seen_and_said_once),
        cmocka_unit_test(layouts_and_shapes_are_told_from_the_file),
        cmocka_unit_test(requests_complete_once_and_survive_misuse),
        cmocka_unit_test(cut_files_are_errors),
        cmocka_unit_test(other_devices_and_precisions_are_refused),
        cmocka_unit_test(probe_names_version_and_cpu),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
