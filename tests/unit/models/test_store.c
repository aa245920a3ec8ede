// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// The store: listing, finding, suggestions, states, showing; fetching from a mirror folder with every way in
// which the file there can be wrong; verifying. No network: the addresses in these tests do not resolve.

#include "scratch.h"

#define YAML(name, licence, files)                                                                           \
    "name: " name "\ntask: detection\nversion: 1\nlicence: " licence                                         \
    "\nabout: \"say \\\"hi\\\"\"\ninput: {size: [64, 32]}\n"                                                 \
    "head: {type: yolov8}\nlabels: two\nvariants:\n" files
// of the five bytes "hello"
#define HELLO "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"

static void fill(const scratch *s)
{
    scratch_yaml(s, "alpha.yaml",
        YAML("alpha", "Apache-2.0", "  - files: [{path: a.onnx, size: 5, sha256: " HELLO "}]\n"));
    scratch_yaml(s, "beta-small.yaml",
        YAML("beta-small", "AGPL-3.0",
            "  - files: [{path: b.xml}, {path: b.bin}]\n  - files: [{path: b.onnx}]\n"));
    scratch_yaml(s, "gamma.yaml", YAML("gamma", "MIT", "  - files: [{path: g.onnx, size: 5}]\n"));
    scratch_yaml(s, "delta.yaml",
        YAML("delta", "MIT",
            "  - files: [{path: d.onnx, sha256: " HELLO ", urls: [\"https://models.invalid/d.onnx\"]}]\n"));
}

static void lists_sorted_and_finds(void **state)
{
    (void)state;
    scratch s;
    scratch_init(&s);
    fill(&s);
    fm_model_store *store = scratch_open(&s, NULL, NULL);
    static const char *const names[] = {"alpha", "beta-small", "delta", "gamma"};
    assert_int_equal(fm_model_store_count(store), 4);
    fm_model_info info;
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(fm_model_store_get(store, i, &info), FM_OK);
        assert_string_equal(info.name, names[i]);
        assert_int_equal(info.state, FM_MODEL_MISSING);
        assert_int_equal(info.agpl, i == 1);
        assert_int_equal(info.label_count, 2);
        assert_int_equal(info.width, 64);
    }
    assert_int_equal(fm_model_store_get(store, 4, &info), FM_INVAL);
    static const struct {
        const char *name, *hint;
    } wrong[] = {{"alpa", "'alpha'"}, {"alphabet", "'alpha'"}, {"beta", "'beta-small'"}, {"gama", "'gamma'"},
        {"something-else", "models list"}, {"", "models list"}};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
        fm_error err = {0};
        assert_int_equal(fm_model_store_find(store, wrong[i].name, &info, &err), FM_NOTFOUND);
        expect_text(err.msg, wrong[i].hint);
    }
    assert_int_equal(fm_model_store_find(store, "gamma", &info, NULL), FM_OK);
    fm_model_store_close(&store);
    scratch_done(&s);
}

#define SHIPPED(files) "weights: shipped\n" YAML("own", "MIT", "  - files: [" files "]\n")

// Weights that come with framemill lie in its share folder: there is nothing to fetch, and no copy is made.
static void shipped_weights(void **state)
{
    (void)state;
    scratch s;
    fm_model_info info;
    fm_error err = {0};
    char weights[400];
    scratch_init(&s);
    snprintf(weights, sizeof(weights), "%s/weights", s.share);
    assert_int_equal(fm__mkdir_all(weights, NULL), FM_OK);
    scratch_yaml(&s, "own.yaml", SHIPPED("{path: own.onnx, size: 5, sha256: " HELLO "}"));
    put_text(s.mirror, "own.onnx", "hello");
    fm_model_store *store = scratch_open(&s, NULL, NULL);
    assert_int_equal(fm_model_fetch(store, "own", NULL, &err), FM_NOTFOUND); // not even from a mirror
    expect_text(err.msg, "install framemill again");
    put_text(weights, "own.onnx", "hello");
    assert_int_equal(fm_model_store_find(store, "own", &info, NULL), FM_OK);
    assert_int_equal(info.state, FM_MODEL_INSTALLED);
    assert_int_equal(fm_model_fetch(store, "own", NULL, NULL), FM_OK);
    assert_int_equal(fm_model_verify(store, "own", NULL), FM_OK);
    assert_false(fm__is_dir(s.models));
    put_text(weights, "own.onnx", "hallo");
    assert_int_equal(fm_model_verify(store, "own", &err), FM_FORMAT);
    expect_text(err.msg, "SHA-256");
    fm_model_store_close(&store);
    scratch_done(&s);
}

static void broken_descriptions(void **state)
{
    (void)state;
    scratch s;
    scratch_init(&s);
    fill(&s);
    char dir[400];
    snprintf(dir, sizeof(dir), "%s/mine", s.models);
    assert_int_equal(fm__mkdir_all(dir, NULL), FM_OK);
    put_text(dir, "model.yaml", "nonsense: 1\n");
    fm_model_store *store = scratch_open(&s, NULL, NULL);
    assert_int_equal(fm_model_store_count(store), 4);
    expect_text(s.log, "nonsense");
    fm_model_store_close(&store);
    put_text(dir, "model.yaml", YAML("mine", "MIT", "  - files: [{path: a.onnx}]\n"));
    store = scratch_open(&s, NULL, NULL);
    assert_int_equal(fm_model_store_count(store), 5);
    fm_model_store_close(&store);
    scratch_yaml(&s, "bad.yaml", "nonsense: 1\n");
    fm_model_store_opts opts = FM_MODEL_STORE_OPTS_INIT;
    opts.share_dir = s.share;
    opts.models_dir = s.models;
    fm_error err = {0};
    assert_int_equal(fm_model_store_open(&opts, &store, &err), FM_FORMAT);
    expect_text(err.msg, "bad.yaml");
    assert_null(store);
    scratch_done(&s);
}

static int count_progress(const char *what, uint64_t done, uint64_t total, void *opaque)
{
    (void)what;
    *(int *)opaque += done == total;
    return 0;
}

static void fetches_from_the_mirror(void **state)
{
    (void)state;
    scratch s;
    scratch_init(&s);
    fill(&s);
    put_text(s.mirror, "a.onnx", "hello");
    fm_model_store *store = scratch_open(&s, NULL, NULL);
    fm_model_fetch_opts opts = FM_MODEL_FETCH_OPTS_INIT;
    int calls = 0;
    opts.progress = count_progress;
    opts.opaque = &calls;
    fm_error err = {0};
    assert_int_equal(fm_model_verify(store, "alpha", &err), FM_NOTFOUND);
    expect_text(err.msg, "framemill models fetch alpha");
    if (fm_model_fetch(store, "alpha", &opts, &err) != FM_OK) {
        fail_msg("%s", err.msg);
    }
    assert_int_equal(calls, 1);
    fm_model_info info;
    assert_int_equal(fm_model_store_find(store, "alpha", &info, NULL), FM_OK);
    assert_int_equal(info.state, FM_MODEL_INSTALLED);
    assert_int_equal(info.size_bytes, 5);
    assert_true(have(s.models, "alpha/a.onnx"));
    assert_true(have(s.models, "alpha/a.onnx.sha256"));
    assert_int_equal(fm_model_verify(store, "alpha", NULL), FM_OK);
    assert_int_equal(fm_model_fetch(store, "alpha", &opts, NULL), FM_OK); // there already
    assert_int_equal(calls, 1);
    opts.force = true;
    assert_int_equal(fm_model_fetch(store, "alpha", &opts, NULL), FM_OK);
    assert_int_equal(calls, 2);
    fm_model_store_close(&store);
    scratch_done(&s);
}

static void expect_empty(const scratch *s, const char *dir, const char *file)
{
    char path[600], part[700];
    snprintf(path, sizeof(path), "%s/%s", dir, file);
    snprintf(part, sizeof(part), "%s.part.%ld", path, (long)getpid());
    assert_false(fm__is_file(path));
    assert_false(fm__is_file(part));
    (void)s;
}

static void wrong_mirror_files_are_not_taken(void **state)
{
    (void)state;
    static const struct {
        const char *text, *what;
    } cases[] = {{"hell", "4 bytes"}, {"hello!", "larger"}, {"hallo", "SHA-256"}};
    scratch s;
    scratch_init(&s);
    fill(&s);
    fm_model_store *store = scratch_open(&s, NULL, NULL);
    char dir[400];
    snprintf(dir, sizeof(dir), "%s/alpha", s.models);
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        fm_error err = {0};
        put_text(s.mirror, "a.onnx", cases[i].text);
        assert_int_equal(fm_model_fetch(store, "alpha", NULL, &err), FM_FORMAT);
        expect_text(err.msg, cases[i].what);
        expect_text(s.log, "passed over");
        expect_empty(&s, dir, "a.onnx");
    }
    fm_model_store_close(&store);
    scratch_done(&s);
}

static void an_unknown_digest_is_recorded_and_then_binding(void **state)
{
    (void)state;
    scratch s;
    scratch_init(&s);
    fill(&s);
    fm_model_store *store = scratch_open(&s, NULL, NULL);
    fm_model_fetch_opts force = FM_MODEL_FETCH_OPTS_INIT;
    force.force = true;
    char dir[400];
    snprintf(dir, sizeof(dir), "%s/gamma", s.models);
    fm_error err = {0};
    put_text(s.mirror, "g.onnx", "hello");
    assert_int_equal(fm_model_fetch(store, "gamma", NULL, NULL), FM_OK);
    assert_int_equal(fm_model_verify(store, "gamma", NULL), FM_OK);
    put_text(dir, "g.onnx", "HELLO");
    assert_int_equal(fm_model_verify(store, "gamma", &err), FM_FORMAT);
    expect_text(err.msg, "g.onnx");
    put_text(s.mirror, "g.onnx", "Hello"); // the source changed: not taken silently
    assert_int_equal(fm_model_fetch(store, "gamma", &force, &err), FM_FORMAT);
    expect_text(err.msg, HELLO);
    put_text(s.mirror, "g.onnx", "hello");
    assert_int_equal(fm_model_fetch(store, "gamma", &force, NULL), FM_OK);
    assert_int_equal(fm_model_verify(store, "gamma", NULL), FM_OK);
    fm_model_store_close(&store);
    scratch_done(&s);
}

static void a_cut_file_is_damage_and_force_mends_it(void **state)
{
    (void)state;
    scratch s;
    scratch_init(&s);
    fill(&s);
    put_text(s.mirror, "a.onnx", "hello");
    fm_model_store *store = scratch_open(&s, NULL, NULL);
    assert_int_equal(fm_model_fetch(store, "alpha", NULL, NULL), FM_OK);
    char dir[400];
    snprintf(dir, sizeof(dir), "%s/alpha", s.models);
    put_text(dir, "a.onnx", "he");
    fm_model_info info;
    fm_error err = {0};
    assert_int_equal(fm_model_store_find(store, "alpha", &info, NULL), FM_OK);
    assert_int_equal(info.state, FM_MODEL_DAMAGED);
    assert_int_equal(fm_model_verify(store, "alpha", &err), FM_FORMAT);
    expect_text(err.msg, "a.onnx");
    assert_int_equal(
        fm_model_fetch(store, "alpha", NULL, NULL), FM_OK); // not installed, so without force too
    assert_int_equal(fm_model_verify(store, "alpha", NULL), FM_OK);
    fm_model_store_close(&store);
    scratch_done(&s);
}

static void a_variant_comes_whole_or_not(void **state)
{
    (void)state;
    scratch s;
    scratch_init(&s);
    fill(&s);
    put_text(s.mirror, "b.xml", "hello");
    fm_model_store *store = scratch_open(&s, NULL, NULL);
    fm_model_fetch_opts opts = FM_MODEL_FETCH_OPTS_INIT;
    fm_error err = {0};
    assert_int_equal(fm_model_fetch(store, "beta-small", &opts, &err), FM_DENIED);
    expect_text(err.msg, "AGPL-3.0");
    opts.accept_licence = true;
    assert_int_equal(fm_model_fetch(store, "beta-small", &opts, &err), FM_NOTFOUND);
    assert_false(have(s.models, "beta-small/b.xml"));
    put_text(s.mirror, "b.onnx", "other");
    assert_int_equal(fm_model_fetch(store, "beta-small", &opts, NULL), FM_OK); // the second variant
    assert_false(have(s.models, "beta-small/b.xml"));
    assert_true(have(s.models, "beta-small/b.onnx"));
    put_text(s.mirror, "b.bin", "world");
    opts.force = true;
    assert_int_equal(fm_model_fetch(store, "beta-small", &opts, NULL), FM_OK); // now the first
    assert_true(have(s.models, "beta-small/b.xml") && have(s.models, "beta-small/b.bin"));
    fm_model_store_close(&store);
    scratch_done(&s);
}

static int cancel(const char *what, uint64_t done, uint64_t total, void *opaque)
{
    (void)what;
    (void)done;
    (void)total;
    (void)opaque;
    return 1;
}

static void without_network_the_error_says_so(void **state)
{
    (void)state;
    scratch s;
    scratch_init(&s);
    fill(&s);
    fm_model_store *store = scratch_open(&s, NULL, NULL);
    fm_model_fetch_opts opts = FM_MODEL_FETCH_OPTS_INIT;
    opts.progress = cancel; // in case a resolver answers for .invalid
    fm_error err = {0};
    fm_status st = fm_model_fetch(store, "delta", &opts, &err);
    if (st != FM_NET && st != FM_CANCELED && st != FM_UNSUPPORTED) {
        fail_msg("status %d: %s", st, err.msg);
    }
    expect_text(err.msg, "d.onnx");
    assert_false(have(s.models, "delta/d.onnx"));
    fm_model_store_close(&store);
    scratch_done(&s);
}

static void shows_text_and_json(void **state)
{
    (void)state;
    scratch s;
    scratch_init(&s);
    fill(&s);
    fm_model_store *store = scratch_open(&s, NULL, NULL);
    char *text = NULL;
    assert_int_equal(fm_model_show(store, "delta", false, &text, NULL), FM_OK);
    expect_text(text, "delta: say \"hi\"");
    expect_text(text, "https://models.invalid/d.onnx");
    expect_text(text, "missing");
    fm_free(text);
    assert_int_equal(fm_model_show(store, "delta", true, &text, NULL), FM_OK);
    expect_text(text, "\"name\":\"delta\"");
    expect_text(text, "\"about\":\"say \\\"hi\\\"\"");
    expect_text(text, "\"size\":[64,32]");
    expect_text(text, "\"labels\":[\"cat\",\"dog\"]");
    fm_free(text);
    assert_int_equal(fm_model_show(store, "nosuch", true, &text, NULL), FM_NOTFOUND);
    fm_model_store_close(&store);
    scratch_done(&s);
}

// The descriptions that framemill brings are read and say what the design promises.
static void built_in_models_are_described(void **state)
{
    (void)state;
    scratch s;
    scratch_init(&s);
    char *share = source_share();
    fm_model_store *store = scratch_open(&s, share, NULL);
    static const char *const names[] = {"yolox-nano", "yolox-tiny", "yolox-s", "yolox-m", "yolox-l",
        "yolox-x", "yolov5n", "yolov5s", "yolov5m", "yolov5l", "yolov5x", "yolov8n", "yolov8s"};
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        fm_model_info info;
        fm_error err = {0};
        if (fm_model_store_find(store, names[i], &info, &err) != FM_OK) {
            fail_msg("%s", err.msg);
        }
        assert_int_equal(info.label_count, 80);
        assert_string_equal(info.task, "detection");
        assert_int_equal(info.agpl, strncmp(names[i], "yolov", 5) == 0);
        assert_memory_equal(info.head, names[i], strncmp(names[i], "yolov", 5) == 0 ? 6 : 5);
    }
    static const char *const embedders[] = {"osnet-x0.25", "deepsort-mars", "mobilenetv2-features"};
    for (size_t i = 0; i < sizeof(embedders) / sizeof(*embedders); i++) {
        fm_model_info info;
        assert_int_equal(fm_model_store_find(store, embedders[i], &info, NULL), FM_OK);
        assert_int_equal(info.label_count, 0);
        assert_string_equal(info.task, "features");
        assert_string_equal(info.head, "feature");
        char *text = NULL;
        assert_int_equal(fm_model_show(store, embedders[i], i == 0, &text, NULL), FM_OK);
        expect_text(text, i == 0 ? "\"dim\":512" : "dim 128"); // 1280 too
        fm_free(text);
    }
    fm_model_store_close(&store);
    fm__free(share);
    scratch_done(&s);
}

int main(void)
{
    setenv(
        "TBB_ENABLE_SANITIZERS", "1", 1); // its own way of loading libraries does not suit AddressSanitizer
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lists_sorted_and_finds),
        cmocka_unit_test(shipped_weights),
        cmocka_unit_test(broken_descriptions),
        cmocka_unit_test(fetches_from_the_mirror),
        cmocka_unit_test(wrong_mirror_files_are_not_taken),
        cmocka_unit_test(an_unknown_digest_is_recorded_and_then_binding),
        cmocka_unit_test(a_cut_file_is_damage_and_force_mends_it),
        cmocka_unit_test(a_variant_comes_whole_or_not),
        cmocka_unit_test(without_network_the_error_says_so),
        cmocka_unit_test(shows_text_and_json),
        cmocka_unit_test(built_in_models_are_described),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
