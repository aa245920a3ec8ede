// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// The TorchScript backend: outputs of all kinds come out flat, a batch says what its pictures say alone, mean
// and scale are applied, memory that does not reach and shapes that move are errors that say so, and files
// that are damaged or no TorchScript are refused before libtorch sees them. Skipped (77) where the plug-in
// was not built (FM_TORCH_PLUGIN) or there is no PyTorch to make the networks with.

#include "base/file.h"
#include "base/str.h"
#include "infer/infer.h"
#include "infer/torch_file.h"
#include "waiter.h"

#include "../testing.h"

#include <framemill/memory.h>

#include <math.h>

#define SKIPPED 77
#define W 24
#define H 16

static char *folder; // of the networks

static char *net_path(const char *name)
{
    return fm__asprintf(FM_TAG_INFER, "%s/%s.pt", folder, name);
}

static fm_net_desc describe(const char *path, int batch)
{
    return (fm_net_desc){.backend = "torch",
        .path = path,
        .batch = batch,
        .slots = 2,
        .threads = 2,
        .plugin = getenv("FM_TORCH_PLUGIN")};
}

static fm_net *must_open(const fm_net_desc *desc)
{
    fm_net *net = NULL;
    fm_error err = {0};
    if (fm__net_open(desc, &net, &err) != FM_OK) {
        fail_msg("%s", err.msg);
    }
    return net;
}

// One net with one request.
typedef struct runner {
    fm_net *net;
    fm_request *req;
    waiter w;
    waiter_slot slot;
    uint8_t *in;
    size_t row; // bytes
    fm_tensor out[FM_NET_MAX_OUTPUTS];
} runner;

static void runner_init(runner *r, const fm_net_desc *desc)
{
    *r = (runner){.net = must_open(desc)};
    waiter_init(&r->w);
    r->slot = (waiter_slot){&r->w, 0};
    assert_int_equal(fm__request_new(r->net, waiter_post, &r->slot, &r->req, NULL), FM_OK);
    fm_tensor in = fm__request_input(r->req);
    r->in = in.data;
    r->row = (size_t)(fm__tensor_count(&in) / in.dims[0]);
}

static void runner_open(runner *r, const char *name, int batch)
{
    char *path = net_path(name);
    fm_net_desc desc = describe(path, batch);
    runner_init(r, &desc);
    fm__free(path);
}

static void runner_close(runner *r)
{
    fm__request_free(&r->req);
    fm__net_close(&r->net);
    waiter_done(&r->w);
}

static fm_status runner_run(runner *r, int rows, fm_error *err)
{
    assert_int_equal(fm__request_start(r->req, rows, NULL), FM_OK);
    assert_int_equal(waiter_take(&r->w, 0), 0);
    return fm__request_finish(r->req, r->out, err);
}

static void must_run(runner *r, int rows)
{
    fm_error err = {0};
    if (runner_run(r, rows, &err) != FM_OK) {
        fail_msg("%s", err.msg);
    }
}

static void fill(uint8_t *data, size_t n, uint64_t seed)
{
    for (size_t i = 0; i < n; i++) {
        data[i] = (uint8_t)rnd(&seed);
    }
}

static void near(double got, double want, double tolerance)
{
    if (!(fabs(got - want) <= tolerance)) {
        fail_msg("%g, expected %g", got, want);
    }
}

static void outputs_of_all_kinds_come_out_flat(void **state)
{
    (void)state;
    enum { N = 4 };
    runner r;
    runner_open(&r, "many", N);
    const fm_net_info *info = fm__net_info(r.net);
    assert_int_equal(info->input_w, W);
    assert_int_equal(info->input_h, H);
    assert_int_equal(info->batch, N);
    assert_int_equal(info->size_count, 2);
    assert_int_equal(info->output_count, 4);
    static const fm_dtype types[] = {FM_DTYPE_F32, FM_DTYPE_I64, FM_DTYPE_U8, FM_DTYPE_F32};
    for (int i = 0; i < 4; i++) {
        assert_int_equal(info->outputs[i].dtype, types[i]);
        assert_int_equal(info->outputs[i].dims[0], N);
    }
    for (int i = 0; i < N; i++) {
        memset(r.in + (size_t)i * r.row, 5 * i, r.row);
    }
    must_run(&r, N);
    for (int i = 0; i < N; i++) {
        near((double)((float *)r.out[0].data)[3 * i], 5 * i, 1e-4);
        assert_int_equal(((int64_t *)r.out[1].data)[3 * i + 2], 5 * i);
        assert_int_equal(((uint8_t *)r.out[2].data)[i], 5 * i > 7);
        near((double)((float *)r.out[3].data)[3 * W * i + 1], 5 * i, 0);
    }
    runner_close(&r);
}

static void a_batch_equals_its_singles(void **state)
{
    (void)state;
    enum { N = 5, VALUES = 10 };
    runner r;
    runner_open(&r, "conv", N);
    float batch[N * VALUES];
    fill(r.in, r.row * N, 1);
    must_run(&r, N);
    assert_int_equal(fm__tensor_count(&r.out[0]), N * VALUES);
    memcpy(batch, r.out[0].data, sizeof(batch));
    for (int i = 0; i < N; i++) {
        memmove(r.in, r.in + (i > 0 ? r.row : 0), r.row * (size_t)(N - (i > 0)));
        must_run(&r, 1);
        assert_int_equal(r.out[0].dims[0], 1);
        for (int k = 0; k < VALUES; k++) {
            near((double)((float *)r.out[0].data)[k], (double)batch[i * VALUES + k], 1e-3);
        }
    }
    runner_close(&r);
}

static void mean_and_scale_are_applied_in_both_layouts(void **state)
{
    (void)state;
    static const char *const names[] = {"many", "last"};
    for (int i = 0; i < 2; i++) {
        runner r;
        char *path = net_path(names[i]);
        fm_net_desc desc = describe(path, 1);
        desc.layout = i ? FM_LAYOUT_NHWC : FM_LAYOUT_NCHW;
        desc.input_w = W;
        desc.input_h = H;
        for (int c = 0; c < 3; c++) {
            desc.mean[c] = (float)(10 * c);
            desc.scale[c] = (float)(1 << c);
        }
        runner_init(&r, &desc);
        assert_int_equal(fm__net_info(r.net)->layout, desc.layout);
        for (size_t k = 0; k < r.row; k++) {
            r.in[k] = (uint8_t)(100 + (i ? k % 3 : k / (W * H)));
        }
        must_run(&r, 1);
        for (int c = 0; c < 3; c++) {
            near((double)((float *)r.out[0].data)[c], (100 + c - 10 * c) / (double)(1 << c), 1e-3);
        }
        runner_close(&r);
        fm__free(path);
    }
}

// Luma: one channel in, one out, its mean and scale the first ones.
static void one_channel(void **state)
{
    (void)state;
    enum { N = 2 };
    runner r;
    char *path = net_path("double");
    fm_net_desc desc = describe(path, N);
    desc.input_w = W;
    desc.input_h = H;
    desc.channels = 1;
    for (int c = 0; c < 3; c++) {
        desc.mean[c] = c == 0 ? 16 : 99;
        desc.scale[c] = c == 0 ? 4 : 77;
    }
    runner_init(&r, &desc);
    const fm_net_info *info = fm__net_info(r.net);
    assert_int_equal(info->channels, 1);
    assert_int_equal(info->layout, FM_LAYOUT_NCHW);
    assert_int_equal(r.row, W * H);
    fill(r.in, N * r.row, 4);
    must_run(&r, N);
    assert_int_equal(r.out[0].dims[2], 2 * H);
    for (size_t i = 0; i < N * r.row; i++) {
        size_t n = i / r.row, y = i % r.row / W, x = i % W;
        near((double)((float *)r.out[0].data)[(n * 2 * H + 2 * y + 1) * 2 * W + 2 * x], (r.in[i] - 16) / 4.0,
            1e-4);
    }
    runner_close(&r);
    fm__free(path);
}

static void bf16_is_near_and_not_the_same(void **state)
{
    (void)state;
    char *path = net_path("conv");
    fm_net_desc desc = describe(path, 1);
    float values[2][10];
    desc.scale[0] = desc.scale[1] = desc.scale[2] = 255;
    for (int i = 0; i < 2; i++) {
        runner r;
        desc.precision = i ? "bf16" : "fp32";
        runner_init(&r, &desc);
        fill(r.in, r.row, 9);
        must_run(&r, 1);
        memcpy(values[i], r.out[0].data, sizeof(values[i]));
        runner_close(&r);
    }
    for (int k = 0; k < 10; k++) {
        near((double)values[1][k], (double)values[0][k], 0.05);
    }
    assert_memory_not_equal(values[0], values[1], sizeof(values[0]));
    fm__free(path);
}

typedef struct lines {
    int warnings;
    char last[512];
} lines;

static void collect_log(fm_log_level level, const char *domain, const char *msg, void *opaque)
{
    (void)domain;
    lines *l = opaque;
    if (level == FM_LOG_WARN) {
        l->warnings++;
        snprintf(l->last, sizeof(l->last), "%s", msg);
    }
}

static void a_baked_batch_is_seen_and_said_once(void **state)
{
    (void)state;
    lines seen = {0};
    fm_log log = {.fn = collect_log, .level = FM_LOG_WARN, .opaque = &seen};
    char *path = net_path("baked");
    fm_net_desc desc = describe(path, 4);
    fm_net_info info = {0};
    desc.log = &log;
    fm_net *net = must_open(&desc);
    assert_true(fm__net_info(net)->batch_baked);
    assert_int_equal(fm__net_info(net)->batch, 1);
    assert_int_equal(fm__net_info(net)->size_count, 1);
    assert_int_equal(seen.warnings, 1);
    assert_non_null(strstr(seen.last, "baked in"));
    fm__net_close(&net);
    assert_int_equal(fm__net_describe(&desc, &info, NULL), FM_OK);
    assert_true(info.batch_baked);
    fm__free(path);
}

static void without_memory_half_a_batch_is_tried_once(void **state)
{
    (void)state;
    lines seen = {0};
    fm_log log = {.fn = collect_log, .level = FM_LOG_WARN, .opaque = &seen};
    char *path = net_path("hungry");
    fm_net_desc desc = describe(path, 4);
    desc.log = &log;
    fm_net *net = must_open(&desc);
    assert_int_equal(fm__net_info(net)->batch, 2);
    assert_int_equal(seen.warnings, 1);
    assert_non_null(strstr(seen.last, "out of memory"));
    fm__net_close(&net);
    fm_error err = {0};
    desc.batch = 16;
    assert_int_equal(fm__net_open(&desc, &net, &err), FM_NOMEM);
    assert_null(net);
    assert_non_null(strstr(err.msg, "out of memory"));
    fm__free(path);
}

static void shapes_that_move_with_the_picture_are_an_error(void **state)
{
    (void)state;
    runner r;
    fm_error err = {0};
    runner_open(&r, "fickle", 1);
    must_run(&r, 1);
    r.in[0] = 3;
    assert_int_equal(runner_run(&r, 1, &err), FM_BACKEND);
    assert_non_null(strstr(err.msg, "framemill-export"));
    r.in[0] = 0;
    must_run(&r, 1);
    runner_close(&r);
}

static void a_failed_inference_leaves_the_request_usable(void **state)
{
    (void)state;
    runner r;
    fm_error err = {0};
    runner_open(&r, "fails", 2);
    r.in[0] = 200;
    assert_int_equal(runner_run(&r, 1, &err), FM_BACKEND);
    assert_non_null(strstr(err.msg, "too bright"));
    assert_null(strchr(err.msg, '\n'));
    r.in[0] = 0;
    must_run(&r, 1);
    runner_close(&r);
}

static void requests_complete_once_and_survive_misuse(void **state)
{
    (void)state;
    enum { SLOTS = 3, STARTS = 40 };
    char *path = net_path("conv");
    fm_net_desc desc = describe(path, 2);
    desc.slots = SLOTS;
    fm_net *net = must_open(&desc);
    assert_int_equal(fm__net_info(net)->slots, SLOTS);
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
        assert_int_equal(fm__request_start(req[i], 3, NULL), FM_INVAL);
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
            assert_int_equal(fm__request_start(req[i], 1 + started % 2, NULL), FM_OK);
            started++;
        }
    }
    for (int i = 0; i < SLOTS; i++) {
        assert_int_equal(w.done[i], 0);
        fm__request_free(&req[i]);
    }
    fm__net_close(&net);
    waiter_done(&w);
    fm__free(path);
}

static void expect_refused(fm_net_desc desc, fm_status status, const char *says)
{
    fm_net *net = NULL;
    fm_error err = {0};
    fm_status st = fm__net_open(&desc, &net, &err);
    if (st != status || !strstr(err.msg, says)) {
        fail_msg("'%s' wanted; status %d, %s", says, st, err.msg);
    }
    assert_null(net);
    assert_null(strchr(err.msg, '\n'));
}

static void what_cannot_run_says_why(void **state)
{
    (void)state;
    static const struct {
        const char *name, *device, *precision, *ops_library;
        fm_status status;
        const char *says;
    } cases[] = {
        {"weights", NULL, NULL, NULL, FM_UNSUPPORTED, "framemill-export checkpoint"},
        {"old_weights", NULL, NULL, NULL, FM_UNSUPPORTED, "framemill-export checkpoint"},
        {"last", NULL, NULL, NULL, FM_FORMAT, "size of its input"},
        {"count", NULL, NULL, NULL, FM_BACKEND, "not tensors"},
        {"no_such", NULL, NULL, NULL, FM_NOTFOUND, "is not there"},
        {"conv", "gpu", NULL, NULL, FM_INVAL, "neither cpu nor cuda:N"},
        {"conv", "cuda:x", NULL, NULL, FM_INVAL, "neither cpu nor cuda:N"},
        {"conv", NULL, "fp16", NULL, FM_UNSUPPORTED, "fp16"},
        {"conv", NULL, "int4", NULL, FM_UNSUPPORTED, "int4"},
        {"conv", NULL, NULL, "libc.so.6", FM_INVAL, "a path is needed"},
        {"conv", NULL, NULL, "/no/such.so", FM_NOTFOUND, "/no/such.so"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char *path = net_path(cases[i].name);
        fm_net_desc desc = describe(path, 1);
        desc.device = cases[i].device;
        desc.precision = cases[i].precision;
        desc.ops_library = cases[i].ops_library;
        expect_refused(desc, cases[i].status, cases[i].says);
        fm__free(path);
    }
}

static void a_library_of_operators_is_opened_on_demand(void **state)
{
    (void)state;
    char *list = fm__path_join(FM_TAG_INFER, folder, "operators.txt"), *library = NULL,
         *path = net_path("pooled");
    if (fm__file_read(FM_TAG_INFER, list, 4096, &library, NULL, NULL) != FM_OK) {
        fm__free(list);
        fm__free(path);
        skip(); // no python3-torchvision
    }
    runner r;
    fm_net_desc desc = describe(path, 2);
    expect_refused(desc, FM_UNSUPPORTED, "--torch-ops");
    desc.ops_library = library;
    runner_init(&r, &desc);
    memset(r.in, 7, 2 * r.row);
    must_run(&r, 2);
    near((double)((float *)r.out[0].data)[5], 7, 1e-4);
    runner_close(&r);
    fm__free(list);
    fm__free(library);
    fm__free(path);
}

// With a CUDA device: one beyond the last. Without: any.
static void a_device_that_does_not_exist_is_an_error(void **state)
{
    (void)state;
    fm_net *net = NULL;
    fm_error err = {0};
    char *path = net_path("conv");
    fm_net_desc desc = describe(path, 1);
    desc.device = "cuda:99";
    fm_status st = fm__net_open(&desc, &net, &err);
    assert_true(st == FM_UNSUPPORTED || st == FM_NOTFOUND);
    assert_non_null(strstr(err.msg, "cuda:99"));
    assert_null(net);
    fm__free(path);
}

static void a_missing_plugin_is_named(void **state)
{
    (void)state;
    char *path = net_path("conv");
    fm_net_desc desc = describe(path, 1);
    desc.plugin = "/no/such/framemill-torch.so";
    expect_refused(desc, FM_UNSUPPORTED, "/no/such/framemill-torch.so");
    fm__free(path);
}

// Every damage that is tried is refused by our own look at the file, or the network still computes.
static void damaged_files_are_refused(void **state)
{
    (void)state;
    char *path = net_path("conv"), *to = net_path("damaged"), *data = NULL;
    size_t len = 0;
    uint64_t seed = 42;
    assert_int_equal(fm__file_read(FM_TAG_INFER, path, 64U << 20, &data, &len, NULL), FM_OK);
    uint8_t *copy = malloc(len);
    assert_non_null(copy);
    int refused = 0;
    for (int i = 0; i < 400; i++) {
        size_t n = len;
        memcpy(copy, data, len);
        if (i % 4 == 0) {
            n = (size_t)rnd_below(&seed, (int)len);
        }
        for (int k = 0; k < 1 + i % 8; k++) {
            copy[rnd_below(&seed, (int)len)] ^= (uint8_t)(1 + rnd_below(&seed, 255));
        }
        assert_int_equal(fm__file_replace(to, copy, n, NULL), FM_OK);
        fm_error err = {0};
        fm_status st = fm__torch_file_check(to, &err);
        refused += st != FM_OK;
        if (st != FM_OK) {
            assert_true(st == FM_FORMAT || st == FM_UNSUPPORTED);
            assert_non_null(strstr(err.msg, to));
        } else if (i < 100) { // alignment and headers may be hit without harm: then it must load
            fm_net_desc desc = describe(to, 1);
            fm_net *net = NULL;
            if (fm__net_open(&desc, &net, &err) == FM_OK) {
                fm__net_close(&net);
            }
        }
    }
    assert_true(refused > 300);
    free(copy);
    fm__free(data);
    fm__free(path);
    fm__free(to);
}

// Two libraries, one network: EfficientNet-Lite0 as ONNX through OpenVINO and as TorchScript.
static void torch_and_onnx_of_one_network_agree(void **state)
{
    (void)state;
    const char *root = getenv("FM_DATA");
    static const char *const files[] = {"onnx", "pt"}, *const backends[] = {"openvino", "torch"};
    float *got[2] = {0};
    size_t count = 0;
    if (!root || !fm__backend_find("openvino")) {
        skip();
    }
    for (int i = 0; i < 2; i++) {
        runner r;
        char *path = fm__asprintf(FM_TAG_INFER, "%s/models/efficientnet_lite0.%s", root, files[i]);
        if (!fm__is_file(path)) {
            fm__free(path);
            skip();
        }
        fm_net_desc desc = describe(path, 3);
        desc.backend = backends[i];
        desc.input_w = desc.input_h = 224;
        for (int c = 0; c < 3; c++) {
            desc.mean[c] = 127;
            desc.scale[c] = 128;
        }
        runner_init(&r, &desc);
        assert_int_equal(fm__net_info(r.net)->batch, 3);
        fill(r.in, 3 * r.row, 5);
        must_run(&r, 3);
        count = (size_t)fm__tensor_count(&r.out[0]);
        assert_int_equal(count, 3000);
        got[i] = malloc(count * sizeof(float));
        assert_non_null(got[i]);
        memcpy(got[i], r.out[0].data, count * sizeof(float));
        runner_close(&r);
        fm__free(path);
    }
    double worst = 0;
    for (size_t k = 0; k < count; k++) {
        worst = fmax(worst, fabs((double)got[0][k] - (double)got[1][k]));
    }
    printf("largest difference %g\n", worst);
    assert_true(worst < 1e-3);
    free(got[0]);
    free(got[1]);
}

static void probe_names_version_and_cpu(void **state)
{
    (void)state;
    char version[64], devices[256];
    fm_error err = {0};
    fm_status st = fm__backend_find("torch")->probe(version, sizeof(version), devices, sizeof(devices), &err);
    if (st != FM_OK) { // this program is not installed, so the plug-in is not beside it
        assert_non_null(strstr(err.msg, "framemill-torch.so"));
        return;
    }
    assert_non_null(strstr(devices, "cpu"));
}

// LeakSanitizer cannot walk the threads of libtorch and is off here (meson.build), so what is ours is
// counted.
static int leaks(void)
{
    fm_memory_stat stats[32];
    size_t n = fm_memory_stats(stats, COUNT_OF(stats));
    for (size_t i = 0; i < n && i < COUNT_OF(stats); i++) {
        if (strcmp(stats[i].module, "infer") == 0 && stats[i].current_bytes > 0) {
            printf("%llu bytes were not freed\n", (unsigned long long)stats[i].current_bytes);
            return 1;
        }
    }
    return 0;
}

int main(void)
{
    const char *plugin = getenv("FM_TORCH_PLUGIN"), *maker = getenv("FM_TORCH_NETS");
    if (!plugin || !maker || !fm__is_file(plugin)) {
        printf("skipped: the TorchScript plug-in was not built\n");
        return SKIPPED;
    }
    setenv("TBB_ENABLE_SANITIZERS", "1", 1);
    folder = make_dir();
    char *command = fm__asprintf(FM_TAG_INFER, "/usr/bin/python3 '%s' '%s'", maker, folder);
    int rc = system(command);
    fm__free(command);
    if (rc != 0) {
        drop_dir(folder);
        printf("skipped: no networks could be made; python3-torch is needed\n");
        return WEXITSTATUS(rc) == SKIPPED ? SKIPPED : 1;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(outputs_of_all_kinds_come_out_flat),
        cmocka_unit_test(a_batch_equals_its_singles),
        cmocka_unit_test(mean_and_scale_are_applied_in_both_layouts),
        cmocka_unit_test(one_channel),
        cmocka_unit_test(bf16_is_near_and_not_the_same),
        cmocka_unit_test(a_baked_batch_is_seen_and_said_once),
        cmocka_unit_test(without_memory_half_a_batch_is_tried_once),
        cmocka_unit_test(shapes_that_move_with_the_picture_are_an_error),
        cmocka_unit_test(a_failed_inference_leaves_the_request_usable),
        cmocka_unit_test(requests_complete_once_and_survive_misuse),
        cmocka_unit_test(what_cannot_run_says_why),
        cmocka_unit_test(a_library_of_operators_is_opened_on_demand),
        cmocka_unit_test(a_device_that_does_not_exist_is_an_error),
        cmocka_unit_test(a_missing_plugin_is_named),
        cmocka_unit_test(damaged_files_are_refused),
        cmocka_unit_test(torch_and_onnx_of_one_network_agree),
        cmocka_unit_test(probe_names_version_and_cpu),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    drop_dir(folder);
    failed += leaks();
    return failed;
}
