// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Streams that are taken up elsewhere. The truth is the run that nothing disturbed: the lines of a run that
// begins behind a frame with the state of that frame's result are that run's lines from there on, to the
// byte, and so are the states that it gives itself. Videos are made by ffmpeg's command.

#include "../testing.h"

#include "base/alloc.h"
#include "base/crc32c.h"
#include "base/file.h"
#include "runner.h"

#include <fm_config.h>

#include <sys/stat.h>
#include <unistd.h>

enum { MAX_STATES = 512 };

typedef struct kept {
    uint64_t frame;
    size_t size;
    void *bytes;
} kept;

typedef struct trail {
    kept states[MAX_STATES];
    size_t count;
    char *lines;
    size_t line_count;
    char error[300]; // of the stream
} trail;

typedef struct way {
    const char *detector, *tracker, *url;
    int detect_every;
    bool gate;
    int checkpoint_every, threads;
    uint64_t max_frames;
    const char *reid;
    float conf;
} way;

static void keep_state(const fm_result *r, void *opaque)
{
    trail *t = opaque;
    if (r->state && t->count < MAX_STATES) {
        kept *k = &t->states[t->count++];
        *k = (kept){.frame = r->frame, .size = r->state_bytes, .bytes = malloc(r->state_bytes)};
        memcpy(k->bytes, r->state, r->state_bytes);
    }
}

static void prepare(runner *r, const way *c, const fm_stream_opts *from)
{
    runner_init(r, c->detector, true);
    r->o.tracker = c->tracker;
    r->o.embedder = c->tracker && strcmp(c->tracker, "deepsort") == 0 ? "colors:size=16x32" : NULL;
    r->o.reid = c->reid;
    r->o.conf = c->conf;
    r->o.detect_every = c->detect_every;
    r->o.motion_gate = c->gate;
    r->o.checkpoint_every = c->checkpoint_every;
    r->o.max_frames = c->max_frames;
    r->o.threads = c->threads ? c->threads : 2;
    runner_add(r, "%s", c->url);
    r->streams[0].start_frame = from->start_frame;
    r->streams[0].state = from->state;
    r->streams[0].state_bytes = from->state_bytes;
}

static trail *follow(const way *c, fm_stream_opts from)
{
    runner r;
    trail *t = calloc(1, sizeof(*t));
    prepare(&r, c, &from);
    r.o.on_result = keep_state;
    r.o.opaque = t;
    runner_start(&r);
    runner_wait(&r);
    t->lines = runner_lines(&r, 0, false, &t->line_count);
    fm_stream_report report = runner_report(&r, 0);
    snprintf(t->error, sizeof(t->error), "%s", report.error ? report.error : "");
    runner_done(&r);
    return t;
}

static void drop(trail *t)
{
    for (size_t i = 0; i < t->count; i++) {
        free(t->states[i].bytes);
    }
    fm__free(t->lines);
    free(t);
}

static const char *line_of(const trail *t, uint64_t frame)
{
    const char *at = t->lines;
    for (uint64_t i = 0; i < frame; i++) {
        at = strchr(at, '\n') + 1;
    }
    return at;
}

// The same from this frame on: lines, and the states in between.
static void assert_goes_on(const trail *whole, const trail *rest, uint64_t first)
{
    if (rest->error[0]) {
        fail_msg("from frame %llu on: %s", (unsigned long long)first, rest->error);
    }
    const char *want = line_of(whole, first), *got = rest->lines ? rest->lines : "";
    if (strcmp(want, got) != 0) {
        size_t same = 0;
        while (want[same] == got[same]) {
            same++;
        }
        fail_msg("from frame %llu on, byte %zu: '%.120s' instead of '%.120s'", (unsigned long long)first,
            same, got + same, want + same);
    }
    size_t k = 0;
    while (k < whole->count && whole->states[k].frame < first) {
        k++;
    }
    assert_int_equal(rest->count, whole->count - k);
    for (size_t i = 0; i < rest->count; i++) {
        assert_int_equal(rest->states[i].frame, whole->states[k + i].frame);
        assert_int_equal(rest->states[i].size, whole->states[k + i].size);
        assert_memory_equal(rest->states[i].bytes, whole->states[k + i].bytes, rest->states[i].size);
    }
}

static fm_stream_opts behind(const kept *k)
{
    return (fm_stream_opts){.state = k->bytes, .state_bytes = k->size};
}

// The run that nothing disturbs, and runs that begin at up to `times` of its checkpoints.
static void take_up(const way *c, size_t times, size_t least_states)
{
    trail *whole = follow(c, (fm_stream_opts){.url = NULL});
    assert_string_equal(whole->error, "");
    assert_true(whole->count >= least_states);
    if (c->tracker && !c->gate) {
        assert_non_null(strstr(whole->lines, "\"track_id\""));
    }
    way plain = *c;
    plain.checkpoint_every = 0;
    trail *without = follow(&plain, (fm_stream_opts){.url = NULL});
    assert_string_equal(whole->lines, without->lines);
    assert_int_equal(without->count, 0);
    drop(without);
    size_t step = whole->count > times ? whole->count / times : 1;
    for (size_t i = 0; i < whole->count; i += step) {
        way other = *c;
        other.threads = 1 + (int)(i % 3);
        trail *rest = follow(&other, behind(&whole->states[i]));
        assert_goes_on(whole, rest, whole->states[i].frame + 1);
        drop(rest);
    }
    drop(whole);
}

static const char moving[] = "testsrc:192x128@25,frames=60,seed=3,shapes=4";
static const char *const trackers[] = {"deepsort", "bytetrack", "ocsort"};

/* ---- states ---- */

static void a_tracker_goes_on(void **state)
{
    (void)state;
    for (size_t k = 0; k < COUNT_OF(trackers); k++) {
        way c = {
            .detector = "shapes:size=192x128", .tracker = trackers[k], .url = moving, .checkpoint_every = 7};
        take_up(&c, 4, 8);
    }
    way lazy = {.detector = "shapes:size=192x128",
        .tracker = "deepsort",
        .reid = "ambiguous",
        .url = moving,
        .checkpoint_every = 5};
    take_up(&lazy, 4, 12);
}

static void motion_goes_on(void **state)
{
    (void)state;
    for (size_t k = 1; k < COUNT_OF(trackers); k++) {
        way c = {.detector = "motion", .tracker = trackers[k], .url = moving, .checkpoint_every = 9};
        take_up(&c, 3, 6);
    }
    way alone = {.detector = "motion", .url = moving, .checkpoint_every = 1};
    take_up(&alone, 3, 60);
}

static void frames_between_two_looks_go_on(void **state)
{
    (void)state;
    for (int every = 2; every <= 16; every += 7) {
        for (size_t k = 0; k < COUNT_OF(trackers); k++) {
            way c = {.detector = "shapes:size=192x128",
                .tracker = trackers[k],
                .url = moving,
                .detect_every = every,
                .checkpoint_every = 4};
            take_up(&c, 3, 2);
        }
    }
    way bare = {.detector = "shapes:size=192x128", .url = moving, .detect_every = 4, .checkpoint_every = 3};
    take_up(&bare, 20, 20);
}

static void the_gate_goes_on(void **state)
{
    (void)state;
    static const char still[] = "testsrc:192x128@25,frames=300,seed=3,shapes=0,noise=0";
    static const char *const urls[] = {moving, still};
    for (size_t k = 0; k < 2 * COUNT_OF(trackers); k++) {
        way c = {.detector = "shapes:size=192x128",
            .tracker = trackers[k / 2],
            .url = urls[k % 2],
            .gate = true,
            .detect_every = k % 3 == 0 ? -1 : 0,
            .checkpoint_every = 10};
        take_up(&c, 4, 2);
    }
}

// Checkpoints are no further apart than asked for and what is held.
static void checkpoints_come_as_often_as_they_can(void **state)
{
    (void)state;
    way c = {.detector = "shapes:size=192x128", .url = moving, .checkpoint_every = 10};
    trail *t = follow(&c, (fm_stream_opts){.url = NULL});
    assert_int_equal(t->count, 6);
    for (size_t i = 0; i < t->count; i++) {
        assert_int_equal(t->states[i].frame, 10 * i + 9);
    }
    drop(t);
    c.tracker = "bytetrack";
    c.detect_every = 4; // looks at 0, 4, 8, ...: the last before one are 3, 7, 11, ...
    t = follow(&c, (fm_stream_opts){.url = NULL});
    static const uint64_t frames[] = {11, 19, 31, 39, 51}; // behind the last look no other one comes
    assert_int_equal(t->count, COUNT_OF(frames));
    for (size_t i = 0; i < t->count; i++) {
        assert_int_equal(t->states[i].frame, frames[i]);
    }
    drop(t);
}

/* ---- sources ---- */

static void run_ffmpeg(const char *dir, const char *args, const char *name)
{
    char command[1200];
    snprintf(command, sizeof(command), "cd '%s' && ffmpeg -v error -y -bitexact %s %s", dir, args, name);
    if (system(command) != 0) {
        fail_msg("ffmpeg made no %s", name);
    }
}

static bool has_ffmpeg(void)
{
    return system("ffmpeg -v error -f lavfi -i testsrc2=size=32x32:rate=5:duration=1 -c:v libx264 -f null - "
                  ">/dev/null 2>&1") == 0;
}

#define PICTURES "-f lavfi -i testsrc2=size=160x120:rate=25:duration=4 -pix_fmt yuv420p "
#define X264 "-c:v libx264 -preset veryfast -threads 1 "

static const struct {
    const char *args, *name;
} videos[] = {
    {PICTURES X264 "-bf 3 -g 12 -x264-params scenecut=0", "closed.mp4"},
    {PICTURES X264 "-bf 3 -g 17 -x264-params open-gop=1:scenecut=0:b-pyramid=normal", "open.mp4"},
    {PICTURES X264 "-bf 3 -g 17 -x264-params open-gop=1:scenecut=0", "open.mkv"},
    {PICTURES X264 "-bf 2 -g 250", "onekey.mp4"},
    {PICTURES X264 "-bf 2 -g 11", "frames.ts"}, // no index: from the start
    {PICTURES X264 "-bf 2 -g 9 -vf select='not(mod(n\\,3))+lt(mod(n\\,20)\\,5)' -vsync vfr", "vfr.mp4"},
    {PICTURES X264 "-bf 2 -g 9 -vf select='not(mod(n\\,3))+lt(mod(n\\,20)\\,5)' -vsync vfr", "vfr.mkv"},
    {PICTURES "-c:v mpeg4 -bf 2 -g 14 -threads 1", "mpeg4.avi"},
    {PICTURES "-c:v mjpeg -threads 1 -pix_fmt yuvj422p", "mjpeg.avi"},
    {PICTURES "-c:v mpeg2video -bf 2 -g 15 -threads 1", "mpeg2.mkv"},
    {PICTURES X264 "-bf 2 -g 10", "raw.h264"}, // no times at all
};

static void videos_go_on(void **state)
{
    (void)state;
    if (!has_ffmpeg()) {
        skip();
    }
    char *dir = make_dir(), path[700];
    for (size_t i = 0; i < COUNT_OF(videos); i++) {
        run_ffmpeg(dir, videos[i].args, videos[i].name);
        snprintf(path, sizeof(path), "%s/%s", dir, videos[i].name);
        way c = {
            .detector = "motion", .tracker = "bytetrack", .url = path, .checkpoint_every = 1, .conf = 0.2F};
        take_up(&c, 12, 40);
    }
    drop_dir(dir);
}

// Without a state frames are the same ones; whoever looks at single frames says the same of them.
static void start_frame_alone(void **state)
{
    (void)state;
    if (!has_ffmpeg()) {
        skip();
    }
    char *dir = make_dir(), path[700];
    run_ffmpeg(dir, videos[1].args, videos[1].name);
    snprintf(path, sizeof(path), "%s/%s", dir, videos[1].name);
    const char *const urls[] = {path, moving};
    for (size_t k = 0; k < COUNT_OF(urls); k++) {
        way c = {.detector = "shapes:size=160x120", .url = urls[k]};
        trail *whole = follow(&c, (fm_stream_opts){.url = NULL});
        for (uint64_t start = 1; start <= whole->line_count; start += whole->line_count / 4) {
            trail *rest = follow(&c, (fm_stream_opts){.start_frame = start});
            assert_goes_on(whole, rest, start);
            drop(rest);
        }
        trail *beyond = follow(&c, (fm_stream_opts){.start_frame = whole->line_count + 1});
        assert_non_null(strstr(beyond->error, "there are only"));
        drop(beyond);
        drop(whole);
    }
    drop_dir(dir);
}

static void pictures_go_on(void **state)
{
    (void)state;
    if (!FM_HAVE_VIPS || !has_ffmpeg()) {
        skip();
    }
    char *dir = make_dir(), folder[600], path[700], bad[700];
    snprintf(folder, sizeof(folder), "%s/p", dir);
    assert_int_equal(mkdir(folder, 0700), 0);
    run_ffmpeg(dir, "-f lavfi -i testsrc2=size=160x120:rate=25:duration=1", "p/%d.png");
    snprintf(bad, sizeof(bad), "%s/7.png", folder);
    assert_int_equal(truncate(bad, 20), 0); // has no number
    way c = {.detector = "motion", .tracker = "ocsort", .url = folder, .checkpoint_every = 4};
    trail *whole = follow(&c, (fm_stream_opts){.url = NULL});
    assert_int_equal(whole->line_count, 24);
    assert_int_equal(whole->count, 6);
    for (size_t i = 0; i < whole->count; i++) {
        trail *rest = follow(&c, behind(&whole->states[i]));
        rest->error[0] = i >= 1 ? rest->error[0] : 0; // before it, one picture could not be read
        assert_goes_on(whole, rest, whole->states[i].frame + 1);
        drop(rest);
    }
    trail *alone = follow(&c, (fm_stream_opts){.start_frame = 10});
    assert_int_equal(alone->line_count, 14);
    assert_non_null(strstr(alone->lines, "\"frame\":10,\"file\":\"12.png\""));
    drop(alone);
    snprintf(path, sizeof(path), "%s/0.png", folder);
    snprintf(bad, sizeof(bad), "%s/1.png", folder);
    assert_int_equal(rename(bad, path), 0);
    snprintf(bad, sizeof(bad), "%s/2.png", folder);
    assert_int_equal(unlink(bad), 0);
    trail *changed = follow(&c, behind(&whole->states[2]));
    assert_non_null(strstr(changed->error, "the folder has changed"));
    drop(changed);
    drop(whole);
    drop_dir(dir);
}

#define VTEST "/usr/share/doc/opencv-doc/examples/data/vtest.avi"

static void real_footage_goes_on(void **state)
{
    (void)state;
    if (access(VTEST, R_OK) != 0) {
        skip();
    }
    way c = {.detector = "motion",
        .tracker = "bytetrack",
        .url = VTEST,
        .checkpoint_every = 25,
        .max_frames = 120,
        .conf = 0.3F};
    trail *whole = follow(&c, (fm_stream_opts){.url = NULL});
    assert_int_equal(whole->count, 4);
    for (size_t i = 0; i < whole->count; i++) {
        way rest = c;
        rest.max_frames = 120 - 1 - whole->states[i].frame;
        trail *t = follow(&rest, behind(&whole->states[i]));
        assert_goes_on(whole, t, whole->states[i].frame + 1);
        drop(t);
    }
    drop(whole);
}

/* ---- refusals ---- */

static fm_status open_with(const way *c, fm_stream_opts from, fm_error *err)
{
    runner r;
    prepare(&r, c, &from);
    fm_status st = fm_run_new(&r.o, &r.run, err);
    runner_done(&r);
    return st;
}

static void mend_sum(uint8_t *bytes, size_t size)
{
    uint32_t crc = fm__crc32c(0, bytes + 16, size - 16);
    for (int i = 0; i < 4; i++) {
        bytes[12 + i] = (uint8_t)(crc >> (8 * i));
    }
}

static void damaged_states_are_refused(void **state)
{
    (void)state;
    way c = {
        .detector = "shapes:size=192x128", .tracker = "bytetrack", .url = moving, .checkpoint_every = 30};
    trail *t = follow(&c, (fm_stream_opts){.url = NULL});
    kept *k = &t->states[0];
    uint8_t *bytes = k->bytes;
    fm_error err = {0};
    assert_int_equal(open_with(&c, behind(k), &err), FM_OK);
    for (size_t len = 0; len < k->size; len += len < 40 ? 1 : k->size / 13) {
        fm_stream_opts cut = behind(k);
        cut.state_bytes = len;
        assert_int_equal(open_with(&c, cut, &err), FM_FORMAT);
    }
    for (size_t at = 16; at < k->size; at += 1 + k->size / 40) {
        bytes[at] ^= 4;
        assert_int_equal(open_with(&c, behind(k), &err), FM_FORMAT);
        assert_non_null(strstr(err.msg, "stream 's0'"));
        bytes[at] ^= 4;
    }
    bytes[8]++;
    assert_int_equal(open_with(&c, behind(k), &err), FM_UNSUPPORTED);
    assert_non_null(strstr(err.msg, "version 2"));
    bytes[8]--;
    mend_sum(bytes, k->size);
    assert_int_equal(open_with(&c, behind(k), &err), FM_OK);
    drop(t);
}

static void other_settings_are_refused(void **state)
{
    (void)state;
    way c = {
        .detector = "shapes:size=192x128", .tracker = "bytetrack", .url = moving, .checkpoint_every = 30};
    trail *t = follow(&c, (fm_stream_opts){.url = NULL});
    fm_error err = {0};
    way other = c;
    other.tracker = "ocsort";
    assert_int_equal(open_with(&other, behind(&t->states[0]), &err), FM_INVAL);
    assert_non_null(strstr(err.msg, "'tracker=bytetrack' there, 'tracker=ocsort' here"));
    other = c;
    other.detector = "motion";
    assert_int_equal(open_with(&other, behind(&t->states[0]), &err), FM_INVAL);
    assert_non_null(strstr(err.msg, "'detector=motion' here"));
    other = c;
    other.conf = 0.7F;
    assert_int_equal(open_with(&other, behind(&t->states[0]), &err), FM_INVAL);
    fm_stream_opts from = behind(&t->states[0]);
    from.start_frame = 12;
    assert_int_equal(open_with(&c, from, &err), FM_INVAL);
    assert_non_null(strstr(err.msg, "start_frame is 12, and the state goes on with frame 30"));
    other = c;
    other.url = "testsrc:192x128@25,frames=60,seed=4,shapes=4";
    trail *wrong = follow(&other, behind(&t->states[0]));
    assert_non_null(strstr(wrong->error, "is not the one that the state is of"));
    drop(wrong);
    other.url = VTEST;
    if (access(VTEST, R_OK) == 0) {
        wrong = follow(&other, behind(&t->states[0]));
        assert_non_null(strstr(wrong->error, "the state is of testsrc:, and the stream is a video file"));
        drop(wrong);
    }
    drop(t);
}

static void what_averages_over_time_has_no_checkpoints(void **state)
{
    (void)state;
    runner r;
    fm_error err = {0};
    way c = {.detector = "motion", .url = moving, .checkpoint_every = 5};
    fm_stream_opts from = {.url = NULL};
    prepare(&r, &c, &from);
    r.o.enhance.color = "auto";
    assert_int_equal(fm_run_new(&r.o, &r.run, &err), FM_INVAL);
    assert_non_null(strstr(err.msg, "average over time"));
    runner_done(&r);
}

/* ---- the queue, and streams that come later ---- */

static void a_queued_result_keeps_its_state(void **state)
{
    (void)state;
    way c = {.detector = "motion", .tracker = "bytetrack", .url = moving, .checkpoint_every = 20};
    trail *t = follow(&c, (fm_stream_opts){.url = NULL});
    runner r;
    fm_stream_opts from = {.url = NULL};
    prepare(&r, &c, &from);
    r.o.on_result = NULL;
    r.o.queue = 64; // all of them
    runner_start(&r);
    runner_wait(&r);
    size_t n = 0;
    fm_result *result = NULL;
    while (fm_run_next(r.run, -1, &result, NULL) == FM_OK) {
        assert_int_equal(result->state != NULL, result->frame % 20 == 19);
        if (result->state) {
            assert_int_equal(result->state_bytes, t->states[n].size);
            assert_memory_equal(result->state, t->states[n].bytes, t->states[n].size);
            n++;
        }
        fm_result_free(&result);
    }
    assert_int_equal(n, 3);
    runner_done(&r);
    drop(t);
}

static void a_stream_that_is_added_goes_on(void **state)
{
    (void)state;
    way c = {.detector = "motion", .tracker = "bytetrack", .url = moving, .checkpoint_every = 20};
    trail *whole = follow(&c, (fm_stream_opts){.url = NULL}), *t = calloc(1, sizeof(*t));
    runner r;
    fm_stream_opts from = {.url = NULL}, later = behind(&whole->states[1]);
    prepare(&r, &c, &from);
    snprintf(r.urls[0], sizeof(r.urls[0]), "testsrc:192x128@25");
    r.o.max_streams = 2;
    r.o.on_result = NULL;
    runner_start(&r);
    later.url = moving;
    later.name = r.names[0];
    fm_error err = {0};
    later.name = "s0x";
    uint8_t *bytes = whole->states[1].bytes;
    bytes[20] ^= 1;
    assert_int_equal(fm_run_stream_add(r.run, &later, &err), FM_FORMAT);
    bytes[20] ^= 1;
    assert_int_equal(fm_run_stream_add(r.run, &later, &err), FM_OK);
    assert_int_equal(fm_run_stream_remove(r.run, "s0", &err), FM_OK);
    runner_wait(&r);
    char path[600], *text = NULL;
    size_t len = 0;
    snprintf(path, sizeof(path), "%s/s0x.jsonl", r.dir);
    assert_int_equal(fm__file_read(FM_TAG_BASE, path, 64 << 20, &text, &len, NULL), FM_OK);
    const char *want = line_of(whole, whole->states[1].frame + 1);
    for (const char *at = text; *at; at = strchr(at, '\n') + 1, want = strchr(want, '\n') + 1) {
        const char *a = strstr(at, "\"frame\""), *b = strstr(want, "\"frame\"");
        assert_memory_equal(a, b, (size_t)(strchr(b, '\n') - b));
    }
    assert_int_equal(*want, 0);
    fm__free(text);
    runner_done(&r);
    drop(t);
    drop(whole);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_tracker_goes_on),
        cmocka_unit_test(motion_goes_on),
        cmocka_unit_test(frames_between_two_looks_go_on),
        cmocka_unit_test(the_gate_goes_on),
        cmocka_unit_test(checkpoints_come_as_often_as_they_can),
        cmocka_unit_test(videos_go_on),
        cmocka_unit_test(start_frame_alone),
        cmocka_unit_test(pictures_go_on),
        cmocka_unit_test(real_footage_goes_on),
        cmocka_unit_test(damaged_states_are_refused),
        cmocka_unit_test(other_settings_are_refused),
        cmocka_unit_test(what_averages_over_time_has_no_checkpoints),
        cmocka_unit_test(a_queued_result_keeps_its_state),
        cmocka_unit_test(a_stream_that_is_added_goes_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
