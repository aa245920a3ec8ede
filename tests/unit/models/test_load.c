// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Loading by name, by path and the ref network; what is wrong with files is said with the command that mends
// it. The models come from the data folder; what needs them is skipped (77) where it is missing, the ref part
// runs in any case.

#include "models/model.h"
#include "models/store.h"
#include "scratch.h"

#include <math.h>

#define SKIPPED 77

#if defined(__SANITIZE_ADDRESS__)
// OpenVINO's graph passes make millions of small blocks and keep no frame pointers: the sanitizer's records
// of where each was made are mostly invented, no two alike, and took half of this test's time. Three frames
// tell which call of ours a block is of; nothing is checked less.
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "malloc_context_size=3:quarantine_size_mb=16";
}
#endif

static fm_model *must_load(const fm_model_store *store, const fm_model_load_opts *opts)
{
    fm_model *model = NULL;
    fm_error err = {0};
    if (fm__model_load(store, opts, &model, &err) != FM_OK) {
        fail_msg("%s", err.msg);
    }
    return model;
}

static void expect_failure(
    const fm_model_store *store, const fm_model_load_opts *opts, fm_status want, const char *part)
{
    fm_model *model = NULL;
    fm_error err = {0};
    fm_status st = fm__model_load(store, opts, &model, &err);
    if (st != want) {
        fail_msg("status %d, expected %d: %s", st, want, err.msg);
    }
    assert_null(model);
    expect_text(err.msg, part);
}

// Two numbers in one message.
static void expect_both(const fm_model_store *store, const fm_model_load_opts *opts, fm_status want,
    const char *part, const char *other)
{
    fm_model *model = NULL;
    fm_error err = {0};
    assert_int_equal(fm__model_load(store, opts, &model, &err), want);
    assert_null(model);
    expect_text(err.msg, part);
    expect_text(err.msg, other);
}

static void the_ref_network_needs_no_files(void **state)
{
    (void)state;
    fm_model *model =
        must_load(NULL, &(fm_model_load_opts){.name = "shapes:size=96x64", .batch = 3, .slots = 2});
    assert_string_equal(model->name, "shapes");
    assert_int_equal(model->input.width, 96);
    assert_int_equal(model->input.height, 64);
    assert_int_equal(fm__net_info(model->net)->batch, 3);
    assert_int_equal(model->label_count, 6);
    assert_string_equal(model->labels[4], "magenta");
    assert_int_equal(model->head.class_count, 6);
    fm__model_free(&model);
    assert_null(model);
    model = must_load(NULL, &(fm_model_load_opts){.task = FM_TASK_FEATURES, .name = "colors", .batch = 2});
    assert_string_equal(model->name, "colors");
    assert_int_equal(fm__head_dim(&model->head), 96);
    assert_int_equal(model->input.width, 64);
    assert_int_equal(model->input.height, 128);
    assert_int_equal(model->input.fit, FM_FIT_STRETCH);
    fm__model_free(&model);
    expect_failure(NULL, &(fm_model_load_opts){.task = FM_TASK_DETECTION, .name = "colors:size=8x8"},
        FM_INVAL, "'colors' is an embedder");
    expect_failure(NULL, &(fm_model_load_opts){.name = "shapes:x=1"}, FM_INVAL, "x=1");
    expect_failure(NULL, &(fm_model_load_opts){.name = ""}, FM_INVAL, "no model");
}

static fm_model_store *data_store(scratch *s, char **share, char **mirror)
{
    *share = source_share();
    *mirror = data_model("");
    snprintf(s->mirror, sizeof(s->mirror), "%s", *mirror);
    return scratch_open(s, *share, NULL);
}

static void by_name_from_the_mirror(void **state)
{
    (void)state;
    static const struct {
        const char *name, *head;
        int side;
        fm_layout layout;
        int64_t anchors;
    } cases[] = {{"yolox-nano", "yolox", 416, FM_LAYOUT_NCHW, 3549},
        {"yolov5n", "yolov5", 416, FM_LAYOUT_NCHW, 10647}, {"yolov8n", "yolov8", 640, FM_LAYOUT_NCHW, 8400},
        {"yolov8n-int8", "yolov8", 640, FM_LAYOUT_NCHW, 8400}};
    scratch s;
    scratch_init(&s);
    char *share, *mirror;
    fm_model_store *store = data_store(&s, &share, &mirror);
    expect_failure(store, &(fm_model_load_opts){.name = "yolox-nano"}, FM_NOTFOUND,
        "run: framemill models fetch yolox-nano");
    expect_failure(store, &(fm_model_load_opts){.name = "yolox-nan"}, FM_NOTFOUND, "'yolox-nano'");
    expect_failure(
        store, &(fm_model_load_opts){.name = "yolox-nano", .device = "cuda:0"}, FM_NOTFOUND, "cuda:0");
    fm_model_fetch_opts opts = FM_MODEL_FETCH_OPTS_INIT;
    opts.accept_licence = true;
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        fm_error err = {0};
        if (fm_model_fetch(store, cases[i].name, &opts, &err) != FM_OK) {
            fail_msg("%s", err.msg);
        }
        assert_int_equal(fm_model_verify(store, cases[i].name, NULL), FM_OK);
        fm_model *model =
            must_load(store, &(fm_model_load_opts){.name = cases[i].name, .batch = 2, .slots = 1});
        assert_string_equal(model->name, cases[i].name);
        assert_string_equal(model->head.cls->name, cases[i].head);
        assert_int_equal(model->input.width, cases[i].side);
        assert_int_equal(model->input.layout, cases[i].layout);
        assert_int_equal(model->head.anchors, cases[i].anchors);
        assert_int_equal(model->label_count, 80);
        assert_string_equal(model->labels[79], "toothbrush");
        assert_int_equal(fm__net_info(model->net)->batch, 2);
        fm__model_free(&model);
    }
    fm_model_store_close(&store);
    fm__free(share);
    fm__free(mirror);
    scratch_done(&s);
}

static void cut_file(const char *path, size_t keep)
{
    char *data = NULL;
    size_t len = 0;
    assert_int_equal(fm__file_read(FM_TAG_MODELS, path, 64U << 20, &data, &len, NULL), FM_OK);
    assert_int_equal(fm__file_replace(path, data, keep < len ? keep : len, NULL), FM_OK);
    fm__free(data);
}

static void damage_names_the_command_that_mends_it(void **state)
{
    (void)state;
    scratch s;
    scratch_init(&s);
    char *share, *mirror, path[512];
    fm_model_store *store = data_store(&s, &share, &mirror);
    assert_int_equal(fm_model_fetch(store, "yolox-nano", NULL, NULL), FM_OK);
    snprintf(path, sizeof(path), "%s/yolox-nano/yolox_nano_dyn.bin", s.models);
    cut_file(path, 1000);
    expect_failure(store, &(fm_model_load_opts){.name = "yolox-nano"}, FM_FORMAT,
        "run: framemill models fetch --force yolox-nano");
    fm_model_store_close(&store);
    fm__free(share);
    fm__free(mirror);
    scratch_done(&s);
}

static void bare_files_are_looked_into(void **state)
{
    (void)state;
    static const struct {
        const char *file, *head;
        fm_color color;
        fm_anchor anchor;
        float scale;
    } cases[] = {{"yolox_nano.onnx", "yolox", FM_COLOR_BGR, FM_ANCHOR_TOPLEFT, 1},
        {"yolov5n_fp16_ir.xml", "yolov5", FM_COLOR_RGB, FM_ANCHOR_CENTER, 255},
        {"yolov8n_int8_dyn.xml", "yolov8", FM_COLOR_RGB, FM_ANCHOR_CENTER, 255}};
    scratch s;
    scratch_init(&s);
    char *share, *mirror;
    fm_model_store *store = data_store(&s, &share, &mirror);
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        char *path = data_model(cases[i].file);
        fm_model *model = must_load(store, &(fm_model_load_opts){.name = path, .slots = 1});
        assert_string_equal(model->name, cases[i].file);
        assert_string_equal(model->head.cls->name, cases[i].head);
        assert_int_equal(model->input.color, cases[i].color);
        assert_int_equal(model->input.anchor, cases[i].anchor);
        assert_true(model->input.scale[0] == cases[i].scale);
        assert_int_equal(model->label_count, 80);
        assert_string_equal(model->labels[0], "person");
        expect_text(s.log, cases[i].head);
        fm__model_free(&model);
        fm__free(path);
    }
    char *path = data_model("yolox_nano.onnx"), labels[512];
    snprintf(labels, sizeof(labels), "%s/models/labels/two.txt", s.share);
    expect_both(store, &(fm_model_load_opts){.name = path, .labels = labels}, FM_FORMAT, "80", "2 labels");
    expect_failure(store, &(fm_model_load_opts){.name = path, .head = "nosuch"}, FM_UNSUPPORTED, "nosuch");
    expect_failure(store, &(fm_model_load_opts){.name = "/nosuch/a.onnx"}, FM_NOTFOUND, "/nosuch/a.onnx");
    fm__free(path);
    put_text(s.root, "text.onnx", "hello\n");
    snprintf(labels, sizeof(labels), "%s/text.onnx", s.root);
    expect_failure(store, &(fm_model_load_opts){.name = labels}, FM_FORMAT, "text.onnx");
    fm_model_store_close(&store);
    fm__free(share);
    fm__free(mirror);
    scratch_done(&s);
}

static void imports(void **state)
{
    (void)state;
    scratch s;
    scratch_init(&s);
    char *share, *mirror, labels[512], *onnx = data_model("yolox_nano.onnx"),
                                       *ir = data_model("yolov8n_int8_dyn.xml");
    fm_model_store *store = data_store(&s, &share, &mirror);
    fm_error err = {0};
    snprintf(labels, sizeof(labels), "%s/models/labels/two.txt", s.share);
    assert_int_equal(fm_model_import(store, onnx, "yolox-nano", NULL, NULL, NULL), FM_INVAL);
    assert_int_equal(fm_model_import(store, onnx, "../x", NULL, NULL, NULL), FM_INVAL);
    assert_int_equal(fm_model_import(store, "/nosuch.onnx", "x", NULL, NULL, NULL), FM_NOTFOUND);
    assert_int_equal(fm_model_import(store, onnx, "mine", NULL, labels, &err), FM_FORMAT);
    expect_text(err.msg, "80");
    assert_false(fm__is_dir(s.models));
    if (fm_model_import(store, onnx, "mine", NULL, NULL, &err) != FM_OK ||
        fm_model_import(store, ir, "int8", "yolov8", NULL, &err) != FM_OK) {
        fail_msg("%s", err.msg);
    }
    expect_text(s.log, "runs with batch 1"); // no Python was given to free it
    assert_int_equal(fm_model_verify(store, "mine", NULL), FM_OK);
    fm_model *model = must_load(store, &(fm_model_load_opts){.name = "int8", .batch = 2, .slots = 1});
    assert_int_equal(fm__net_info(model->net)->batch, 2);
    fm__model_free(&model);
    fm_model_store_close(&store);
    store = scratch_open(&s, share, NULL); // they are there for the next one too
    model = must_load(store, &(fm_model_load_opts){.name = "mine", .batch = 2, .slots = 1});
    assert_int_equal(fm__net_info(model->net)->batch, 1);
    assert_int_equal(model->input.color, FM_COLOR_BGR);
    assert_int_equal(model->label_count, 80);
    fm__model_free(&model);
    fm_model_store_close(&store);
    fm__free(onnx);
    fm__free(ir);
    fm__free(share);
    fm__free(mirror);
    scratch_done(&s);
}

// Features: by name with the dimension checked, from a bare file, imported; and never in a detector's place.
static void embedders(void **state)
{
    (void)state;
    scratch s;
    scratch_init(&s);
    char *share, *mirror, *onnx = data_model("osnet_x0_25_msmt17.onnx"), *det = data_model("yolox_nano.onnx");
    fm_model_store *store = data_store(&s, &share, &mirror);
    fm_model_load_opts opts = {.task = FM_TASK_FEATURES, .name = "osnet-x0.25", .batch = 4, .slots = 1};
    fm_error err = {0};
    expect_failure(store, &opts, FM_NOTFOUND, "run: framemill models fetch osnet-x0.25");
    if (fm_model_fetch(store, "osnet-x0.25", NULL, &err) != FM_OK ||
        fm_model_import(store, onnx, "mine", "feature", NULL, &err) != FM_OK) {
        fail_msg("%s", err.msg);
    }
    const char *const names[] = {"osnet-x0.25", "mine", onnx};
    for (size_t i = 0; i < 3; i++) {
        opts.name = names[i];
        opts.batch = i == 0 ? 4 : 1;
        fm_model *model = must_load(store, &opts);
        assert_string_equal(model->head.cls->name, "feature");
        assert_int_equal(fm__head_dim(&model->head), 512);
        assert_int_equal(model->label_count, 0);
        assert_int_equal(model->input.width, 128);
        assert_int_equal(model->input.height, 256);
        assert_int_equal(model->input.fit, FM_FIT_STRETCH);
        assert_int_equal(model->input.color, FM_COLOR_RGB);
        assert_true(fabsf(model->input.mean[1] - 116.28F) < 1e-3F);
        assert_true(fabsf(model->input.scale[2] - 57.375F) < 1e-3F);
        assert_int_equal(fm__net_info(model->net)->batch, opts.batch);
        fm__model_free(&model);
        opts.task = FM_TASK_DETECTION;
        expect_failure(store, &opts, i < 2 ? FM_INVAL : FM_NOTFOUND,
            i < 2 ? "is an embedder (task features); --detector needs task detection"
                  : "no head for detection");
        opts.task = FM_TASK_FEATURES;
    }
    assert_int_equal(fm_model_import(store, onnx, "other", NULL, NULL, &err), FM_NOTFOUND);
    expect_text(err.msg, "feature"); // a classifier looks the same: the head must be named
    opts.name = "yolox-nano";
    expect_failure(store, &opts, FM_INVAL,
        "model 'yolox-nano' is a detector (task detection); --embedder needs task features");
    opts.name = "shapes";
    expect_failure(store, &opts, FM_INVAL, "'shapes' is a detector");
    opts.name = det;
    expect_failure(store, &opts, FM_NOTFOUND, "no head for features");
    fm_model_store_close(&store);
    fm__free(onnx);
    fm__free(det);
    fm__free(share);
    fm__free(mirror);
    scratch_done(&s);
}

// Segmenters and classifiers: by name, with the input that their networks were trained with.
static void segmenters_and_classifiers(void **state)
{
    (void)state;
    static const struct {
        const char *name, *head;
        fm_task task;
        int side;
        fm_fit fit;
        float mean, scale;
        size_t labels;
        const char *label; // of class 3
    } cases[] = {
        {"yolov8n-seg", "yolov8-seg", FM_TASK_SEGMENTATION, 640, FM_FIT_LETTERBOX, 0, 255, 80, "motorcycle"},
        {"deeplabv3-mnv2", "semantic", FM_TASK_SEGMENTATION, 513, FM_FIT_LETTERBOX, 0, 1, 21, "bird"},
        {"efficientnet-lite0", "softmax", FM_TASK_CLASSIFICATION, 224, FM_FIT_CROP, 127.5F, 127.5F, 1000,
            "tiger shark"},
        {"mobilenetv2", "softmax", FM_TASK_CLASSIFICATION, 224, FM_FIT_CROP, 0, 1, 1001,
            "great white shark"}};
    scratch s;
    scratch_init(&s);
    char *share, *mirror;
    fm_model_store *store = data_store(&s, &share, &mirror);
    fm_model_fetch_opts fetch = FM_MODEL_FETCH_OPTS_INIT;
    fetch.accept_licence = true;
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        fm_error err = {0};
        if (fm_model_fetch(store, cases[i].name, &fetch, &err) != FM_OK) {
            fail_msg("%s", err.msg);
        }
        fm_model_load_opts opts = {.task = cases[i].task, .name = cases[i].name, .batch = 2, .slots = 1};
        fm_model *model = must_load(store, &opts);
        assert_string_equal(model->head.cls->name, cases[i].head);
        assert_int_equal(model->input.width, cases[i].side);
        assert_int_equal(model->input.fit, cases[i].fit);
        assert_true(model->input.mean[1] == cases[i].mean && model->input.scale[1] == cases[i].scale);
        assert_int_equal(model->label_count, cases[i].labels);
        assert_string_equal(model->labels[3], cases[i].label);
        assert_int_equal(fm__net_info(model->net)->batch, 2);
        fm__model_free(&model);
        opts.task = FM_TASK_DETECTION;
        expect_failure(store, &opts, FM_INVAL,
            cases[i].task == FM_TASK_SEGMENTATION
                ? "is a segmenter (task segmentation); --detector needs task detection"
                : "is a classifier (task classification); --detector needs task detection");
    }
    fm_model_load_opts opts = {.task = FM_TASK_CLASSIFICATION, .name = "yolov8n-seg"};
    expect_failure(store, &opts, FM_INVAL, "--classifier needs task classification");
    fm_model_store_close(&store);
    fm__free(share);
    fm__free(mirror);
    scratch_done(&s);
}

static void bare_segmenters_and_classifiers(void **state)
{
    (void)state;
    static const struct {
        const char *file, *head;
        fm_task task;
        fm_fit fit;
        float scale;
        size_t labels;
        const char *label; // of class 1
    } cases[] = {
        {"yolov8n-seg_dyn.xml", "yolov8-seg", FM_TASK_SEGMENTATION, FM_FIT_LETTERBOX, 255, 80, "bicycle"},
        {"deeplabv3_mnv2_pascal_dyn.xml", "semantic", FM_TASK_SEGMENTATION, FM_FIT_STRETCH, 1, 255,
            "class 1"},
        {"efficientnet_lite0.onnx", "softmax", FM_TASK_CLASSIFICATION, FM_FIT_CROP, 57.12F, 1000, "goldfish"},
        {"mobilenet_v2_1.0_224_quant.tflite", "softmax", FM_TASK_CLASSIFICATION, FM_FIT_CROP, 1, 1001,
            "tench"}};
    scratch s;
    scratch_init(&s);
    char *share, *mirror, *detector = data_model("yolox_nano.onnx");
    fm_model_store *store = data_store(&s, &share, &mirror);
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        char *path = data_model(cases[i].file);
        fm_model_load_opts opts = {.task = cases[i].task, .name = path, .batch = 1, .slots = 1};
        fm_model *model = must_load(store, &opts);
        assert_string_equal(model->head.cls->name, cases[i].head);
        assert_int_equal(model->input.fit, cases[i].fit);
        assert_true(model->input.scale[1] == cases[i].scale);
        assert_int_equal(model->label_count, cases[i].labels);
        assert_string_equal(model->labels[1], cases[i].label);
        fm__model_free(&model);
        opts.task = FM_TASK_DETECTION;
        expect_failure(store, &opts, FM_NOTFOUND, "no head for detection fits the output shapes [1,");
        fm__free(path);
    }
    fm_model_load_opts opts = {.task = FM_TASK_SEGMENTATION, .name = detector};
    expect_failure(store, &opts, FM_NOTFOUND, "no head for segmentation fits the output shapes [1,3549,85]");
    opts.task = FM_TASK_CLASSIFICATION;
    expect_failure(store, &opts, FM_NOTFOUND, "name one with --head (softmax)");
    opts.head = "softmax";
    expect_failure(store, &opts, FM_FORMAT, "[1,3549,85]");
    fm_model_store_close(&store);
    fm__free(detector);
    fm__free(share);
    fm__free(mirror);
    scratch_done(&s);
}

static void imported_segmenters_and_classifiers(void **state)
{
    (void)state;
    scratch s;
    scratch_init(&s);
    char *share, *mirror, *seg = data_model("yolov8n-seg_dyn.xml"),
                          *lite = data_model("efficientnet_lite0.onnx"),
                          *deeplab = data_model("deeplabv3_mnv2_pascal_dyn.xml");
    char voc[512];
    fm_model_store *store = data_store(&s, &share, &mirror);
    fm_error err = {0};
    snprintf(voc, sizeof(voc), "%s/models/labels/voc21.txt", share);
    if (fm_model_import(store, seg, "seg", NULL, NULL, &err) != FM_OK ||
        fm_model_import(store, lite, "lite", "softmax", NULL, &err) != FM_OK ||
        fm_model_import(store, deeplab, "deeplab", NULL, voc, &err) != FM_OK) {
        fail_msg("%s", err.msg);
    }
    assert_int_equal(fm_model_import(store, lite, "other", "softmax", voc, &err), FM_FORMAT);
    expect_text(err.msg, "21 labels are given");
    fm_model_store_close(&store);
    store = scratch_open(&s, share, NULL);
    fm_model_load_opts opts = {.task = FM_TASK_SEGMENTATION, .name = "seg", .batch = 1, .slots = 1};
    fm_model *model = must_load(store, &opts);
    assert_int_equal(model->label_count, 80);
    fm__model_free(&model);
    opts.name = "deeplab";
    model = must_load(store, &opts);
    assert_int_equal(model->label_count, 21);
    fm__model_free(&model);
    opts = (fm_model_load_opts){.task = FM_TASK_CLASSIFICATION, .name = "lite", .batch = 1, .slots = 1};
    model = must_load(store, &opts);
    assert_string_equal(model->labels[281], "tabby");
    assert_int_equal(model->head.opts.activation, FM_HEAD_ACT_AUTO);
    assert_int_equal(model->input.fit, FM_FIT_CROP);
    assert_true(fabsf(model->input.crop_ratio - 0.875F) < 1e-6F);
    fm__model_free(&model);
    fm_model_store_close(&store);
    fm__free(seg);
    fm__free(lite);
    fm__free(deeplab);
    fm__free(share);
    fm__free(mirror);
    scratch_done(&s);
}

static void a_wrong_dim_names_both(void **state)
{
    (void)state;
    scratch s;
    scratch_init(&s);
    char *share = source_share(), *mirror = data_model("");
    snprintf(s.mirror, sizeof(s.mirror), "%s", mirror);
    scratch_yaml(&s, "net.yaml",
        "name: net\ntask: features\nversion: 1\nlicence: MIT\ninput: {size: [128, 256]}\n"
        "head: {type: feature}\ndim: 256\nvariants:\n  - files: [{path: osnet_x0_25_msmt17.onnx}]\n");
    fm_model_store *store = scratch_open(&s, NULL, NULL);
    assert_int_equal(fm_model_fetch(store, "net", NULL, NULL), FM_OK);
    fm_model_load_opts opts = {.task = FM_TASK_FEATURES, .name = "net", .batch = 1, .slots = 1};
    expect_both(store, &opts, FM_FORMAT, "dim 256", "[1,512] has 512");
    fm_model_store_close(&store);
    fm__free(share);
    fm__free(mirror);
    scratch_done(&s);
}

// The device chooses the form of the weights; without one the error says how to get it.
static void a_gpu_takes_torchscript_or_says_how_to_make_it(void **state)
{
    (void)state;
    scratch s;
    scratch_init(&s);
    char *share, *mirror, *onnx = data_model("yolox_nano.onnx");
    fm_model_store *store = data_store(&s, &share, &mirror);
    fm_model_fetch_opts torch = FM_MODEL_FETCH_OPTS_INIT;
    fm_model_load_opts opts = {
        .task = FM_TASK_DETECTION, .name = "yolox-nano", .device = "cuda:0", .batch = 1, .slots = 1};
    fm_error err = {0};
    torch.backend = "torch";
    expect_failure(store, &opts, FM_NOTFOUND, "models fetch --backend torch yolox-nano");
    assert_int_equal(fm_model_fetch(store, "yolox-nano", NULL, NULL), FM_OK);
    expect_failure(store, &opts, FM_NOTFOUND, "models fetch --backend torch yolox-nano");
    assert_int_equal(fm_model_fetch(store, "yolox-nano", &torch, &err), FM_NOTFOUND);
    assert_non_null(strstr(err.msg, "framemill-export onnx yolox_nano.onnx"));
    assert_int_equal(fm_model_fetch(store, "deepsort-mars", &torch, &err), FM_UNSUPPORTED);
    opts.name = onnx;
    expect_failure(store, &opts, FM_UNSUPPORTED, "framemill-export");
    // an installed TorchScript form is what the backend is given; this program has no plug-in beside it
    opts.name = "efficientnet-lite0";
    opts.task = FM_TASK_CLASSIFICATION;
    opts.device = "cpu";
    assert_int_equal(fm_model_fetch(store, "efficientnet-lite0", &torch, NULL), FM_OK);
    expect_failure(store, &opts, FM_UNSUPPORTED, "framemill-torch.so");
    fm_model_store_close(&store);
    fm__free(onnx);
    fm__free(share);
    fm__free(mirror);
    scratch_done(&s);
}

// A Python that can derive networks; skips the test where there is none.
static char *need_python(void)
{
    const char *told = getenv("FM_PYTHON"), *root = getenv("FM_SOURCE_ROOT");
    char *python = told ? fm__strdup(FM_TAG_MODELS, told)
                        : fm__asprintf(FM_TAG_MODELS, "%s/.deps/py/bin/python3", root ? root : ".");
    assert_non_null(python);
    if (access(python, X_OK) != 0) {
        printf("skipped: no Python with openvino (FM_PYTHON)\n");
        fm__free(python);
        skip();
    }
    return python;
}

// A model that is a classifier without its last layer is there once that was cut off, and not before.
static void a_classifier_is_cut_off(void **state)
{
    (void)state;
    char *python = need_python(), *share = source_share(), *mirror = data_model("");
    scratch s;
    scratch_init(&s);
    snprintf(s.mirror, sizeof(s.mirror), "%s", mirror);
    fm_model_load_opts opts = {
        .task = FM_TASK_FEATURES, .name = "mobilenetv2-features", .batch = 3, .slots = 1};
    fm_error err = {0};
    fm_model_store *store = scratch_open(&s, share, NULL);
    assert_int_equal(fm_model_fetch(store, opts.name, NULL, &err), FM_UNSUPPORTED);
    expect_text(err.msg, "classifier was not cut off (that needs Python");
    expect_failure(store, &opts, FM_NOTFOUND, "run: framemill models fetch mobilenetv2-features");
    fm_model_store_close(&store);
    store = scratch_open(&s, share, python);
    if (fm_model_fetch(store, opts.name, NULL, &err) != FM_OK) {
        fail_msg("%s", err.msg);
    }
    assert_int_equal(fm_model_verify(store, opts.name, NULL), FM_OK);
    fm_model *model = must_load(store, &opts);
    assert_int_equal(fm__head_dim(&model->head), 1280);
    assert_int_equal(fm__net_info(model->net)->batch, 3);
    expect_text(model->file, "/cut/");
    fm__model_free(&model);
    fm_model_store_close(&store);
    fm__free(python);
    fm__free(share);
    fm__free(mirror);
    scratch_done(&s);
}

// A fetched file whose batch is baked in comes out with a free one, and answers a batch of 3.
static void a_baked_batch_is_freed(void **state)
{
    (void)state;
    char *python = need_python();
    static const char *const files[] = {"yolox_nano.onnx", "yolov5n_fp16_ir.xml"};
    scratch s;
    scratch_init(&s);
    char *share = source_share();
    fm_model_store *store = scratch_open(&s, share, python);
    for (size_t i = 0; i < 2; i++) {
        char name[16], *path = data_model(files[i]);
        fm_error err = {0};
        snprintf(name, sizeof(name), "freed%zu", i);
        if (fm_model_import(store, path, name, NULL, NULL, &err) != FM_OK) {
            fail_msg("%s", err.msg);
        }
        expect_text(s.log, "was freed");
        s.log[0] = '\0';
        fm_model *model = must_load(store, &(fm_model_load_opts){.name = name, .batch = 3, .slots = 1});
        assert_int_equal(fm__net_info(model->net)->batch, 3);
        expect_text(model->file, "free_batch");
        fm__model_free(&model);
        fm__free(path);
    }
    fm_model_store_close(&store);
    store = scratch_open(
        &s, share, "/nosuch/python"); // a Python that is not there costs the batch, not the import
    char *path = data_model(files[0]);
    assert_int_equal(fm_model_import(store, path, "other", NULL, NULL, NULL), FM_OK);
    expect_text(s.log, "runs with batch 1");
    fm_model_store_close(&store);
    fm__free(path);
    fm__free(share);
    fm__free(python);
    scratch_done(&s);
}

int main(void)
{
    setenv(
        "TBB_ENABLE_SANITIZERS", "1", 1); // its own way of loading libraries does not suit AddressSanitizer
    const struct CMUnitTest always[] = {cmocka_unit_test(the_ref_network_needs_no_files)};
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(by_name_from_the_mirror),
        cmocka_unit_test(damage_names_the_command_that_mends_it),
        cmocka_unit_test(bare_files_are_looked_into),
        cmocka_unit_test(imports),
        cmocka_unit_test(embedders),
        cmocka_unit_test(segmenters_and_classifiers),
        cmocka_unit_test(bare_segmenters_and_classifiers),
        cmocka_unit_test(imported_segmenters_and_classifiers),
        cmocka_unit_test(a_wrong_dim_names_both),
        cmocka_unit_test(a_gpu_takes_torchscript_or_says_how_to_make_it),
        cmocka_unit_test(a_classifier_is_cut_off),
        cmocka_unit_test(a_baked_batch_is_freed),
    };
    int failed = cmocka_run_group_tests(always, NULL, NULL);
    char *path = data_model("yolox_nano_dyn.xml");
    bool there = fm__is_file(path) && fm__backend_find("openvino");
    fm__free(path);
    if (failed || !there) {
        printf("%s", failed ? "" : "skipped: no model files (FM_DATA) or no openvino in this build\n");
        return failed ? 1 : SKIPPED;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
