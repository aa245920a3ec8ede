// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Model YAML files: what is written is what comes out, a variant overrides single keys, and every kind of
// mistake is an error that names line and key.

#include "models/spec.h"
#include "scratch.h"

#define HEAD "name: m\ntask: detection\nversion: 1\nlicence: MIT\n"
#define INPUT "input: {size: [64, 32]}\n"
#define TYPE "head: {type: yolov8}\n"
#define FILES "variants:\n  - files: [{path: a.onnx}]\n"

static fm_status parse(const char *text, fm_spec **out, fm_error *err)
{
    return fm__spec_parse(text, strlen(text), "m.yaml", NULL, out, err);
}

static void all_keys_are_read(void **state)
{
    (void)state;
    static const char text[] =
        "name: my-net_1.0\ntask: detection\nversion: '2'\nlicence: AGPL-3.0\nabout: a net\nexport: do this\n"
        "weights: shipped\n"
        "input: {layout: nhwc, size: [64, 32], color: bgr, mean: [1, 2, 3], scale: 255, fit: stretch,\n"
        "        anchor: topleft, pad: 7, interpolation: bilinear, crop_ratio: 0.875}\n"
        "head: {type: yolov5, boxes: unit, grid: raw, activation: sigmoid, range: bytes, context: 9}\n"
        "labels: [cat, 'dog, big', \"x\"]\n"
        "dim: 512\n"
        "variants:\n"
        "  - files:\n"
        "      - {path: a.xml, size: 12, urls: [\"https://example.org/a.xml\", "
        "\"https://example.com/a.xml\"]}\n"
        "      - path: a.bin\n"
        "        sha256: 00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff\n"
        "  - files: [{path: a.pt}]\n"
        "    backend: torch\n"
        "    cut: classifier\n"
        "    input: {size: [128, 96], color: rgb}\n"
        "    head: {boxes: pixels}\n";
    fm_spec *s = NULL;
    fm_error err = {0};
    if (parse(text, &s, &err) != FM_OK) {
        fail_msg("%s", err.msg);
    }
    assert_string_equal(s->name, "my-net_1.0");
    assert_string_equal(s->version, "2");
    assert_string_equal(s->export_command, "do this");
    assert_int_equal(s->dim, 512);
    assert_int_equal(s->label_count, 3);
    assert_string_equal(s->labels[1], "dog, big");
    assert_int_equal(s->variant_count, 2);
    const fm_spec_variant *a = &s->variants[0], *b = &s->variants[1];
    assert_int_equal(a->file_count, 2);
    assert_int_equal(a->files[0].size, 12);
    assert_int_equal(a->files[0].urls->count, 2);
    assert_null(a->files[0].sha256);
    assert_memory_equal(a->files[1].sha256, "0011", 4);
    assert_null(a->files[1].urls);
    assert_string_equal(a->backend, "openvino");
    assert_int_equal(a->input.layout, FM_LAYOUT_NHWC);
    assert_int_equal(a->input.width, 64);
    assert_int_equal(a->input.height, 32);
    assert_int_equal(a->input.color, FM_COLOR_BGR);
    assert_true(a->input.mean[2] == 3.0F && a->input.scale[0] == 255.0F && a->input.scale[2] == 255.0F);
    assert_int_equal(a->input.fit, FM_FIT_STRETCH);
    assert_int_equal(a->input.anchor, FM_ANCHOR_TOPLEFT);
    assert_int_equal(a->input.pad, 7);
    assert_true(a->input.crop_ratio == 0.875F);
    assert_int_equal(a->head.boxes, FM_HEAD_BOXES_UNIT);
    assert_int_equal(a->head.grid, FM_HEAD_GRID_RAW);
    assert_int_equal(a->head.activation, FM_HEAD_ACT_SIGMOID);
    assert_int_equal(a->head.range, FM_HEAD_RANGE_BYTES);
    assert_int_equal(a->head.context, 9);
    assert_true(s->is_shipped);
    assert_string_equal(b->backend, "torch");
    assert_true(b->cut_classifier && !a->cut_classifier);
    assert_int_equal(b->input.width, 128);
    assert_int_equal(b->input.color, FM_COLOR_RGB);
    assert_int_equal(b->input.pad, 7); // kept from the model
    assert_int_equal(b->head.boxes, FM_HEAD_BOXES_PIXELS);
    assert_int_equal(b->head.grid, FM_HEAD_GRID_RAW);
    fm__spec_free(&s);
}

static void mistakes_name_line_and_key(void **state)
{
    (void)state;
    static const struct {
        const char *text, *where, *what;
    } cases[] = {
        {HEAD INPUT TYPE FILES "colour: red\n", "m.yaml:9:", "unknown key 'colour'"},
        {HEAD "input: {size: [64, 32], padding: 3}\n" TYPE FILES, "m.yaml:5:", "unknown key 'padding'"},
        {HEAD INPUT "head: {typ: yolox}\n" FILES, "m.yaml:6:", "unknown key 'typ'"},
        {HEAD INPUT TYPE "variants:\n  - files: [{path: a, md5: b}]\n", "m.yaml:8:", "unknown key 'md5'"},
        {HEAD INPUT TYPE "variants:\n  - files: [{path: a}]\n    device: cpu\n",
            "m.yaml:9:", "unknown key 'device'"},
        {"task: detection\nversion: 1\nlicence: MIT\n" INPUT TYPE FILES, "m.yaml:1:", "'name' is missing"},
        {"name: m\nversion: 1\nlicence: MIT\n" INPUT TYPE FILES, "m.yaml:", "'task' is missing"},
        {"name: m\ntask: detection\nversion: 1\n" INPUT TYPE FILES, "m.yaml:", "'licence' is missing"},
        {"name: ../m\ntask: detection\nversion: 1\nlicence: MIT\n" INPUT TYPE FILES, "m.yaml:1:", "'../m'"},
        {"name: m\ntask: cooking\nversion: 1\nlicence: MIT\n" INPUT TYPE FILES, "m.yaml:2:", "'cooking'"},
        {HEAD TYPE FILES, "m.yaml:", "'size'"},
        {HEAD INPUT FILES, "m.yaml:", "'type'"},
        {HEAD INPUT TYPE, "m.yaml:", "'variants'"},
        {HEAD INPUT TYPE "variants: []\n", "m.yaml:7:", "'variants'"},
        {HEAD INPUT TYPE "variants:\n  - {backend: openvino}\n", "m.yaml:8:", "'files'"},
        {HEAD INPUT TYPE "variants:\n  - files: [{path: a}]\n    backend: magic\n", "m.yaml:9:", "'magic'"},
        {HEAD "input: {size: 64}\n" TYPE FILES, "m.yaml:5:", "'size'"},
        {HEAD "input: {size: [64, many]}\n" TYPE FILES, "m.yaml:5:", "many"},
        {HEAD "input: {size: [64, 0]}\n" TYPE FILES, "m.yaml:5:", ""},
        {HEAD "input: {size: [64, 32], pad: 256}\n" TYPE FILES, "m.yaml:5:", "pad"},
        {HEAD "input: {size: [64, 32], mean: [1, 2]}\n" TYPE FILES, "m.yaml:5:", "'mean'"},
        {HEAD "input: {size: [64, 32], color: pink}\n" TYPE FILES, "m.yaml:5:", "'pink'"},
        {HEAD "input: [64, 32]\n" TYPE FILES, "m.yaml:5:", "'input'"},
        {HEAD INPUT TYPE "variants:\n  - files: [{path: ../a.onnx}]\n", "m.yaml:8:", "'../a.onnx'"},
        {HEAD INPUT TYPE "variants:\n  - files: [{path: /a.onnx}]\n", "m.yaml:8:", "'/a.onnx'"},
        {HEAD INPUT TYPE "variants:\n  - files: [{path: .a}]\n", "m.yaml:8:", "'.a'"},
        {HEAD INPUT TYPE "variants:\n  - files: [{path: a, sha256: abc}]\n", "m.yaml:8:", "sha256"},
        {HEAD INPUT TYPE "variants:\n  - files: [{path: a, size: -1}]\n", "m.yaml:8:", "size"},
        {HEAD INPUT TYPE "variants:\n  - files: [{path: a, urls: [\"http://x.org/a\"]}]\n",
            "m.yaml:8:", "http://"},
        {"name: m\ntask: features\nversion: 1\nlicence: MIT\n" INPUT TYPE FILES,
            "m.yaml:8:", "'yolov8' is for task detection, the model's task is features"},
        {HEAD INPUT TYPE FILES "    cut: head\n", "m.yaml:9:", "'head'"},
        {HEAD INPUT TYPE "labels: nosuch\n" FILES, "m.yaml:7:", "'nosuch'"},
        {HEAD INPUT TYPE "labels: []\n" FILES, "m.yaml:7:", "'labels'"},
        {"", "m.yaml", "'name' is missing"},
        {"- a\n", "m.yaml:1:", "map"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        fm_spec *s = NULL;
        fm_error err = {0};
        fm_status st = parse(cases[i].text, &s, &err);
        if (st != FM_FORMAT) {
            fail_msg("case %zu: status %d, message '%s'", i, st, err.msg);
        }
        assert_null(s);
        expect_text(err.msg, cases[i].where);
        expect_text(err.msg, cases[i].what);
    }
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    static const char text[] = HEAD INPUT TYPE "labels: [a, b, c]\n" FILES;
    bool done = false;
    for (uint64_t n = 1; n < 1000 && !done; n++) {
        fm_spec *s = NULL;
        fm__alloc_fail_at(n, false);
        fm_status st = parse(text, &s, NULL);
        fm__alloc_fail_at(0, false);
        assert_true(st == FM_OK || st == FM_NOMEM);
        done = st == FM_OK;
        fm__spec_free(&s);
    }
    assert_true(done);
}

static void addresses_are_https_only(void **state)
{
    (void)state;
    static const struct {
        const char *url;
        bool want;
    } cases[] = {{"https://example.org/a.onnx", true}, {"https://example.org", true},
        {"http://example.org/a", false}, {"HTTPS://example.org/a", false}, {"https:///a", false},
        {"https://user:pw@example.org/a", false}, {"https://example.org/@a", true},
        {"ftp://example.org/a", false}, {"file:///etc/passwd", false}, {"https://example.org/a b", false},
        {"https://example.org/a\n", false}, {"", false}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        if (fm__url_allowed(cases[i].url) != cases[i].want) {
            fail_msg("'%s'", cases[i].url);
        }
    }
}

static void label_files(void **state)
{
    (void)state;
    scratch s;
    scratch_init(&s);
    static const struct {
        const char *text;
        size_t len;
        fm_status want;
        size_t count;
    } cases[] = {{"a\nb c\r\nd\n\n\n", 11, FM_OK, 3}, {"a", 1, FM_OK, 1}, {"a\n\nb\n", 5, FM_FORMAT, 0},
        {"\n\n", 2, FM_FORMAT, 0}, {"a\0b\n", 4, FM_FORMAT, 0}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        char path[512], **labels = NULL;
        size_t count = 0;
        put(s.root, "l.txt", cases[i].text, cases[i].len);
        snprintf(path, sizeof(path), "%s/l.txt", s.root);
        assert_int_equal(fm__labels_read(path, &labels, &count, NULL), cases[i].want);
        assert_int_equal(count, cases[i].count);
        if (i == 0) {
            assert_string_equal(labels[1], "b c");
        }
        fm__labels_free(&labels, count);
    }
    scratch_done(&s);
}

static void named_label_sets(void **state)
{
    (void)state;
    scratch s;
    scratch_init(&s);
    char dir[400];
    snprintf(dir, sizeof(dir), "%s/models/labels", s.share);
    static const char text[] = HEAD INPUT TYPE "labels: two\n" FILES,
                      evil[] = HEAD INPUT TYPE "labels: ../two\n" FILES;
    fm_spec *spec = NULL;
    assert_int_equal(fm__spec_parse(text, sizeof(text) - 1, "m", dir, &spec, NULL), FM_OK);
    assert_int_equal(spec->label_count, 2);
    assert_string_equal(spec->labels[1], "dog");
    fm__spec_free(&spec);
    assert_int_equal(fm__spec_parse(evil, sizeof(evil) - 1, "m", dir, &spec, NULL), FM_FORMAT);
    scratch_done(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_keys_are_read),
        cmocka_unit_test(mistakes_name_line_and_key),
        cmocka_unit_test(every_allocation_may_fail),
        cmocka_unit_test(addresses_are_https_only),
        cmocka_unit_test(label_files),
        cmocka_unit_test(named_label_sets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
