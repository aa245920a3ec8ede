// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Configuration files: every key of the table lands where it belongs, and what is wrong is refused at its
// line.

#include "base/alloc.h"

#include <framemill/config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char dir[256], path[300];

static int setup(void **state)
{
    (void)state;
    const char *tmp = getenv("TMPDIR");
    snprintf(dir, sizeof(dir), "%s/fm-config-XXXXXX", tmp ? tmp : "/tmp");
    if (!mkdtemp(dir)) {
        return -1;
    }
    snprintf(path, sizeof(path), "%s/c.yaml", dir);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    unlink(path);
    return rmdir(dir);
}

static void write_file(const char *text)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, strlen(text), f), strlen(text));
    assert_int_equal(fclose(f), 0);
}

static fm_config *load(const char *text)
{
    fm_config *c = NULL;
    fm_error err = {0};
    write_file(text);
    if (fm_config_load(path, &c, &err) != FM_OK) {
        fail_msg("%s: %s", text, err.msg);
    }
    return c;
}

static void sets_every_field(void **state)
{
    (void)state;
    fm_config *c = load(
        "detector: net.onnx\nsegmenter: s.onnx\nclassifier: c.onnx\nclassify: objects\ntop_k: 3\n"
        "embed: frames\nhead: yolov8\nlabels: l.txt\ndevice: cpu\nprecision: bf16\nbackend: ref\ntorch_ops: "
        "ops.so\n"
        "conf_threshold: 0.25\niou_threshold: 0.5\nclasses: [person, 'traffic light']\n"
        "batch_size: 16\nbatch_timeout_ms: 7.5\nlatency_goal_ms: 33.5\nnum_workers: 3\nthreads: "
        "5\nbuffer_size: 12\n"
        "buffer_bytes: 2097152\ncache: false\nframes: 100\nrealtime: true\ntimeout: 2.5\n"
        "max_pixels: 1000\nout: results\nannotate: true\nmaps: true\nreport: r.json\ntrace: "
        "t.json\nprofile: p.html\nlog_level: debug\n"
        "tracker: ocsort\nembedder: e.onnx\nreid: ambiguous\ndetections: det.txt\nmax_age: 31\n"
        "track_high_threshold: 0.61\ntrack_low_threshold: 0.12\nn_init: 4\nmax_cosine_distance: 0.3\n"
        "max_iou_distance: 0.8\nmax_iou_distance_low: 0.4\noverlap_age: 6\nmax_tracks: 70\n"
        "nn_budget: 50\nconfirm_score: 0.95\nfeature_weight: 0.85\nscale_noise: false\n"
        "begin_margin: 0.05\nmax_iou_distance_new: 0.65\ngate: 12\noverlap_weight: 0.5\n"
        "max_cosine_distance_near: 0.45\nmotion_weight: 0.02\nmomentum: 0.4\nmomentum_frames: 5\n"
        "fuse_score: true\n"
        "reid_clear_iou: 0.55\nreid_rival_iou: 0.15\nreid_young: 7\nreid_stale: 17\n"
        "reentry_count: 9\nreentry_age: 400\nmot_box: filtered\nfeatures: true\n"
        "detect_every: auto\nmotion_gate: true\nenhance: {denoise: 'nlm:h=5', color: auto, lut: a.cube}\n"
        "store: {dir: seen, keep: events, every: 5, crops: false, sync: full, max_age: 3600, max_bytes: "
        "1000000,"
        " free_floor: 0, jpeg_quality: 70}\n"
        "redis: {url: 'redis://h', producer: p, commands: true, spool: wait, spool_bytes: 2000000, results: "
        "false,"
        " max_results: 50, max_events: 60, window: 3600, timeout: 1.5, flush: 0, ca: ca.pem,"
        " password_file: pw, allow: [rtsp, file]}\nmax_streams: 12\n"
        "input_size: [640, 480]\nstreams:\n  - {name: gate, url: 'rtsp://h/x', start_frame: 250}\n"
        "  - {url: b.mp4, enhance: {denoise: none, color: 'gamma=2', lut: b.cube}}\n");
    fm_run_opts o = FM_RUN_OPTS_INIT;
    fm_config_apply(c, &o);
    assert_string_equal(o.detector, "net.onnx");
    assert_string_equal(o.segmenter, "s.onnx");
    assert_string_equal(o.classifier, "c.onnx");
    assert_string_equal(o.classify, "objects");
    assert_int_equal(o.top_k, 3);
    assert_string_equal(o.embed, "frames");
    assert_string_equal(o.head, "yolov8");
    assert_string_equal(o.labels, "l.txt");
    assert_string_equal(o.device, "cpu");
    assert_string_equal(o.precision, "bf16");
    assert_string_equal(o.backend, "ref");
    assert_string_equal(o.torch_ops, "ops.so");
    assert_true(o.conf == 0.25f && o.iou == 0.5f);
    assert_int_equal(o.class_count, 2);
    assert_string_equal(o.classes[0], "person");
    assert_string_equal(o.classes[1], "traffic light");
    assert_int_equal(o.batch, 16);
    assert_true(o.batch_timeout_ms == 7.5 && o.latency_goal_ms == 33.5 && o.timeout_s == 2.5);
    assert_int_equal(o.workers, 3);
    assert_int_equal(o.threads, 5);
    assert_int_equal(o.buffer_size, 12);
    assert_int_equal(o.buffer_bytes, 2097152);
    assert_int_equal(o.max_frames, 100);
    assert_int_equal(o.max_pixels, 1000);
    assert_true(o.realtime && o.annotate && o.maps);
    assert_string_equal(o.out_dir, "results");
    assert_string_equal(o.tracker, "ocsort");
    assert_string_equal(o.embedder, "e.onnx");
    assert_string_equal(o.reid, "ambiguous");
    assert_string_equal(o.detections, "det.txt");
    assert_string_equal(o.mot_box, "filtered");
    assert_true(o.features);
    const fm_track_settings *t = &o.track;
    assert_true(t->high == 0.61f && t->low == 0.12f && t->max_cosine == 0.3f && t->max_iou == 0.8f);
    assert_true(t->max_iou_low == 0.4f && t->confirm_score == 0.95f && t->feature_weight == 0.85f);
    assert_true(t->begin_margin == 0.05f && t->max_iou_new == 0.65f && t->gate == 12);
    assert_true(t->overlap_weight == 0.5f && t->max_cosine_near == 0.45f && t->motion_weight == 0.02f);
    assert_true(t->momentum == 0.4f && t->momentum_frames == 5 && t->fuse_score == 1);
    assert_true(t->clear_iou == 0.55f && t->rival_iou == 0.15f);
    assert_true(t->max_age == 31 && t->n_init == 4 && t->overlap_age == 6 && t->max_tracks == 70);
    assert_true(t->budget == 50 && t->scale_noise == -1 && t->young == 7 && t->stale == 17);
    assert_true(t->reentry_count == 9 && t->reentry_age == 400);
    assert_true(o.detect_every == -1 && o.motion_gate);
    assert_string_equal(o.enhance.denoise, "nlm:h=5");
    assert_string_equal(o.enhance.color, "auto");
    assert_string_equal(o.enhance.lut, "a.cube");
    assert_string_equal(o.keeping.dir, "seen");
    assert_string_equal(o.keeping.keep, "events");
    assert_string_equal(o.keeping.sync, "full");
    assert_true(o.keeping.every == 5 && o.keeping.crops == -1 && o.keeping.max_age_s == 3600);
    assert_true(o.keeping.max_bytes == 1000000 && o.keeping.free_floor == -1 && o.keeping.jpeg_quality == 70);
    assert_int_equal(o.max_streams, 12);
    assert_string_equal(o.redis.url, "redis://h");
    assert_string_equal(o.redis.producer, "p");
    assert_string_equal(o.redis.spool_dir, "wait");
    assert_string_equal(o.redis.ca, "ca.pem");
    assert_string_equal(o.redis.password_file, "pw");
    assert_true(o.redis.commands && o.redis.spool_bytes == 2000000 && o.redis.results == -1);
    assert_true(o.redis.max_results == 50 && o.redis.max_events == 60 && o.redis.window_s == 3600);
    assert_true(o.redis.timeout_s == 1.5 && o.redis.flush_s == -1 && o.redis.allow_count == 2);
    assert_string_equal(o.redis.allow[1], "file");
    assert_int_equal(o.stream_count, 2);
    assert_null(o.streams[0].enhance.denoise);
    assert_string_equal(o.streams[1].enhance.denoise, "none");
    assert_string_equal(o.streams[1].enhance.color, "gamma=2");
    assert_string_equal(o.streams[1].enhance.lut, "b.cube");
    assert_string_equal(o.streams[0].name, "gate");
    assert_string_equal(o.streams[0].url, "rtsp://h/x");
    assert_true(o.streams[0].start_frame == 250 && o.streams[1].start_frame == 0);
    assert_null(o.streams[1].name);
    assert_string_equal(o.streams[1].url, "b.mp4");
    assert_string_equal(fm_config_get(c, "report"), "r.json");
    assert_string_equal(fm_config_get(c, "trace"), "t.json");
    assert_string_equal(fm_config_get(c, "profile"), "p.html");
    assert_string_equal(fm_config_get(c, "log-level"), "debug");
    assert_string_equal(fm_config_get(c, "cache"), "false");
    assert_string_equal(fm_config_get(c, "input_size"), "640x480");
    // Every row of the table was set above: a new one has to be added here.
    for (size_t i = 0; i < fm_option_count(); i++) {
        if (!fm_config_get(c, fm_option_get(i)->key)) {
            fail_msg("key '%s' is not covered by this test", fm_option_get(i)->key);
        }
    }
    fm_config_free(&c);
    assert_null(c);
}

static void leaves_the_rest_alone(void **state)
{
    (void)state;
    const char *const texts[] = {"", "# nothing\n", "streams: []\n"};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        fm_config *c = load(texts[i]);
        fm_run_opts o = FM_RUN_OPTS_INIT, untouched = FM_RUN_OPTS_INIT;
        fm_config_apply(c, &o);
        assert_memory_equal(&o, &untouched, sizeof(o));
        fm_config_free(&c);
    }
}

static void takes_other_spellings(void **state)
{
    (void)state;
    const struct {
        const char *text, *key, *value;
    } cases[] = {
        {"conf: 0.1\n", "conf_threshold", "0.1"},
        {"batch: auto\n", "batch_size", "auto"},
        {"workers: 2\n", "num_workers", "2"},
        {"model_paths: {detection: yolox-s}\n", "detector", "yolox-s"},
        {"model_paths: {segmentation: yolov8n-seg}\n", "segmenter", "yolov8n-seg"},
        {"model_paths: {classification: mobilenetv2}\n", "classifier", "mobilenetv2"},
        {"model_paths: {features: osnet-x0.25}\n", "embedder", "osnet-x0.25"},
        {"classes: person, car\n", "classes", "person,car"},
        {"input_size: 64x48\n", "input_size", "64x48"},
        {"realtime: True\n", "realtime", "true"},
        {"max_pixels: 134217728\n", "max-pixels", "134217728"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        fm_config *c = load(cases[i].text);
        assert_string_equal(fm_config_get(c, cases[i].key), cases[i].value);
        fm_config_free(&c);
    }
}

// fm_run_opts takes 0 for its default; a zero that was asked for has to arrive as one.
static void a_zero_stays_zero(void **state)
{
    (void)state;
    fm_config *c = load("conf: 0\nbatch_timeout_ms: 0\nworkers: auto\nbatch: auto\n");
    fm_run_opts o = FM_RUN_OPTS_INIT;
    fm_config_apply(c, &o);
    assert_true(o.conf < 0 && o.batch_timeout_ms < 0);
    assert_int_equal(o.workers, 0);
    assert_int_equal(o.batch, 0);
    fm_config_free(&c);
}

static void refuses(void **state)
{
    (void)state;
    const struct {
        const char *text, *at, *says;
    } cases[] = {
        {"conf: 0.5\nconf_thresold: 1\n", ":2:", "did you mean 'conf_threshold'"},
        {"zzzzzz: 1\n", ":1:", "unknown key 'zzzzzz'"},
        {"conf: high\n", ":1:7:", "a number from 0 to 1, got 'high'"},
        {"conf: 1.01\n", ":1:7:", "got '1.01'"},
        {"conf: nan\n", ":1:7:", "got 'nan'"},
        {"conf: '0.5'\n", ":1:7:", "in quotes is text"},
        {"conf:\n", ":1:", "got nothing"},
        {"conf: [0.5]\n", ":1:7:", "got a list"},
        {"conf: {a: 1}\n", ":1:7:", "got a map"},
        {"\nbatch_size: 0\n", ":2:13:", "from 1 to 256, or auto, got '0'"},
        {"batch_size: 1.5\n", ":1:", "whole number"},
        {"batch_size: many\n", ":1:", "or auto, got 'many'"},
        {"num_workers: -1\n", ":1:", "got '-1'"},
        {"buffer_size: 99999999999999999999\n", ":1:", "got '99999999999999999999'"},
        {"annotate: 1\n", ":1:", "true or false"},
        {"annotate: 'true'\n", ":1:", "in quotes is text"},
        {"head: yolo9\n", ":1:", "yolox, yolov5 or yolov8, got 'yolo9'"},
        {"classes: [a, [b]]\n", ":1:14:", "got a list"},
        {"classes: [a, '']\n", ":1:", "an empty one"},
        {"input_size: [640]\n", ":1:", "[width, height]"},
        {"input_size: [0, 640]\n", ":1:", "[width, height]"},
        {"input_size: 640\n", ":1:", "640x480"},
        {"conf: 0.1\nconf_threshold: 0.2\n", ":2:", "stands above already"},
        {"detector: a\nmodel_paths: {detection: b}\n", ":2:", "stands above already"},
        {"conf: 0.1\nconf: 0.2\n", ":2:", "conf"},
        {"store: s\n", ":1:", "expected a map, got text"},
        {"zones: s\n", ":1:", "no zones yet"},
        {"enhance: denoise\n", ":1:", "key 'enhance': expected a map, got text"},
        {"enhance: {sr: 2}\n", ":1:", "unknown key 'enhance.sr'"},
        {"streams: [{url: a, enhance: auto}]\n", ":1:", "{denoise: ..., color: ..., lut: ...}, got text"},
        {"streams: [{url: a, enhance: {sr: 2}}]\n", ":1:", "unknown key 'enhance.sr' of a stream"},
        {"streams: [{url: a, enhance: {lut: [a]}}]\n", ":1:", "key 'enhance.lut' of a stream: expected text"},
        {"max_age: 0\n", ":1:", "from 1"},
        {"segmenter: [a]\n", ":1:12:", "got a list"},
        {"classify: pixels\n", ":1:11:", "frames or objects, got 'pixels'"},
        {"embed: all\n", ":1:8:", "objects or frames, got 'all'"},
        {"top_k: 0\n", ":1:8:", "from 1 to 10, got '0'"},
        {"top_k: 11\n", ":1:8:", "got '11'"},
        {"model_paths: {classification: a}\nclassifier: b\n", ":2:", "stands above already"},
        {"model_paths: {detecton: a}\n", ":1:", "did you mean 'model_paths.detection'"},
        {"model_paths: a\n", ":1:", "expected a map"},
        {"model_paths.detection: a\n", ":1:", "unknown key"},
        {"streams: a.mp4\n", ":1:", "a list of {name, url}"},
        {"streams: [a.mp4]\n", ":1:", "{name: ..., url: ...}"},
        {"streams: [{name: a}]\n", ":1:", "without url"},
        {"streams: [{url: a, fps: 3}]\n", ":1:", "unknown key 'fps' of a stream"},
        {"streams: [{url: a, start_frame: -1}]\n", ":1:", "the number of a frame"},
        {"streams: [{url: a, start_frame: [1]}]\n", ":1:", "the number of a frame, from 0, got a list"},
        {"streams: [{url: ''}]\n", ":1:", "expected text"},
        {"streams: [{url: [a]}]\n", ":1:", "expected text"},
        {"- conf\n", ":1:1:", "a map of settings"},
        {"conf: [\n", ":", ""},
        {"rtsp://u:secret@h/: 1\n", ":1:", "***@h"},
        {"conf: rtsp://u:secret@h/\n", ":1:", "***@h"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        fm_config *c = NULL;
        fm_error err = {0};
        write_file(cases[i].text);
        fm_status st = fm_config_load(path, &c, &err);
        const char *at = strstr(err.msg, "c.yaml:");
        if (st != FM_FORMAT || c || !at ||
            strncmp(at + strlen("c.yaml"), cases[i].at, strlen(cases[i].at)) != 0 ||
            !strstr(err.msg, cases[i].says) || strstr(err.msg, "secret")) {
            fail_msg("%s-> %s: %s", cases[i].text, fm_status_name(st), err.msg);
        }
    }
}

static void says_when_there_is_no_file(void **state)
{
    (void)state;
    fm_config *c = NULL;
    fm_error err = {0};
    assert_int_equal(fm_config_load("/nowhere/at/all.yaml", &c, &err), FM_NOTFOUND);
    assert_non_null(strstr(err.msg, "/nowhere/at/all.yaml"));
    assert_null(c);
}

static void a_later_value_wins(void **state)
{
    (void)state;
    fm_error err = {0};
    fm_config *c = load("conf: 0.1\nclasses: [a]\n");
    assert_int_equal(fm_config_set(c, "conf", "0.9", &err), FM_OK);
    assert_int_equal(fm_config_set(c, "classes", "b , traffic light", &err), FM_OK);
    assert_int_equal(fm_config_set(c, "conf", "nine", &err), FM_INVAL);
    assert_int_equal(fm_config_set(c, "confidence", "0.9", &err), FM_NOTFOUND);
    fm_run_opts o = FM_RUN_OPTS_INIT;
    fm_config_apply(c, &o);
    assert_true(o.conf == 0.9f);
    assert_int_equal(o.class_count, 2);
    assert_string_equal(o.classes[1], "traffic light");
    fm_config_free(&c);
}

static void the_schema_names_every_key(void **state)
{
    (void)state;
    char *text = NULL, quoted[128];
    fm_error err = {0};
    assert_int_equal(fm_config_schema(&text, &err), FM_OK);
    for (size_t i = 0; i < fm_option_count(); i++) {
        snprintf(quoted, sizeof(quoted), "\"%s\":{", fm_option_get(i)->key);
        if (!strstr(text, quoted)) {
            fail_msg("the schema lacks %s", quoted);
        }
    }
    assert_non_null(strstr(text, "\"streams\":{"));
    assert_non_null(strstr(text, "\"model_paths\":{"));
    assert_non_null(strstr(
        text, "\"anyOf\":[{\"type\":\"integer\",\"minimum\":1,\"maximum\":256},{\"enum\":[\"auto\"]}]"));
    fm_free(text);
}

static void every_failed_allocation_is_survived(void **state)
{
    (void)state;
    write_file(
        "classes: [a, b]\nconf: 0.5\nout: o\nmodel_paths: {detection: x}\nstreams: [{url: a}, {url: b}]\n");
    for (uint64_t nth = 1;; nth++) {
        fm_config *c = NULL;
        fm_error err = {0};
        fm__alloc_fail_at(nth, false);
        fm_status st = fm_config_load(path, &c, &err);
        fm__alloc_fail_at(0, false);
        if (st == FM_OK) {
            assert_true(nth > 10);
            fm_config_free(&c);
            return;
        }
        assert_null(c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sets_every_field),
        cmocka_unit_test(leaves_the_rest_alone),
        cmocka_unit_test(takes_other_spellings),
        cmocka_unit_test(a_zero_stays_zero),
        cmocka_unit_test(refuses),
        cmocka_unit_test(says_when_there_is_no_file),
        cmocka_unit_test(a_later_value_wins),
        cmocka_unit_test(the_schema_names_every_key),
        cmocka_unit_test(every_failed_allocation_is_survived),
    };
    return cmocka_run_group_tests_name("config", tests, setup, teardown);
}
