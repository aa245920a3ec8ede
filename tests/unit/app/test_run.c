// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// fm_run as its callers see it: options that are refused, names, results to a descriptor, what the report
// says (and never says), classes and progress.

#include "models.h"

#include "base/alloc.h"
#include "base/file.h"
#include "base/str.h"
#include "base/thread.h"

#include <framemill/config.h>
#include <framemill/memory.h>
#include <framemill/run.h>

#include <ctype.h>
#include <math.h>
#include <pthread.h>
#include <unistd.h>

static const fm_stream_opts one_stream[] = {{.url = "testsrc:64x48@25,frames=9"}};

static fm_run_opts base_opts(const char *detector)
{
    fm_run_opts o = FM_RUN_OPTS_INIT;
    o.streams = one_stream;
    o.stream_count = 1;
    o.detector = detector;
    o.store = &store;
    o.threads = 2;
    return o;
}

static fm_run *new_run(const fm_run_opts *o)
{
    fm_run *run = NULL;
    fm_error err = {0};
    if (fm_run_new(o, &run, &err) != FM_OK) {
        fail_msg("%s", err.msg);
    }
    return run;
}

static fm_run *run_to_end(const fm_run_opts *o)
{
    fm_run *run = new_run(o);
    assert_int_equal(fm_run_start(run, NULL), FM_OK);
    assert_int_equal(fm_run_wait(run, 60000), FM_OK);
    return run;
}

static void check_refused(const fm_run_opts *o, fm_status want, const char *part)
{
    fm_run *run = NULL;
    fm_error err = {0};
    fm_status st = fm_run_new(o, &run, &err);
    if (st != want || !strstr(err.msg, part)) {
        fail_msg("%s '%s' instead of %s '...%s...'", fm_status_name(st), err.msg, fm_status_name(want), part);
    }
    assert_null(run);
    assert_int_equal(err.status, st);
}

static void wrong_options_are_refused(void **state)
{
    (void)state;
    static const char *const no_such[] = {"person", "unicorn"};
    static const fm_stream_opts no_url[] = {{.url = "testsrc:64x48@25"}, {.name = "gate"}};
    fm_run_opts o;
#define REFUSED(detector, change, status, part)                                                              \
    o = base_opts(detector);                                                                                 \
    change;                                                                                                  \
    check_refused(&o, status, part);
    REFUSED("none", o.struct_size = 8, FM_INVAL, "FM_RUN_OPTS_INIT")
    REFUSED("none", o.stream_count = 0, FM_INVAL, "no input")
    REFUSED("none", o.streams = NULL, FM_INVAL, "no input")
    REFUSED("none", (o.streams = no_url, o.stream_count = 2), FM_INVAL, "stream 2 has no url")
    REFUSED("none", o.conf = 1.5f, FM_INVAL, "conf is 1.5")
    REFUSED("none", o.conf = NAN, FM_INVAL, "conf")
    REFUSED("none", o.iou = -1, FM_INVAL, "iou")
    REFUSED("none", o.batch = -1, FM_INVAL, "batch is -1")
    REFUSED("none", o.batch = 100000, FM_INVAL, "batch")
    REFUSED("none", o.workers = 1000, FM_INVAL, "workers")
    REFUSED("none", o.threads = -2, FM_INVAL, "threads")
    REFUSED("none", o.buffer_size = 1 << 30, FM_INVAL, "buffer_size")
    REFUSED("none", o.batch_timeout_ms = NAN, FM_INVAL, "batch_timeout_ms")
    REFUSED("none", o.batch_timeout_ms = 1e300, FM_INVAL, "batch_timeout_ms")
    REFUSED("none", o.timeout_s = INFINITY, FM_INVAL, "timeout_s")
    REFUSED("none", o.timeout_s = -1, FM_INVAL, "timeout_s")
    REFUSED("none", o.annotate = true, FM_INVAL, "--out")
    REFUSED("shapes", o.store = NULL, FM_INVAL, "model store")
    REFUSED("shapes", (o.classes = no_such, o.class_count = 2), FM_INVAL, "no class 'person'")
    REFUSED("motion", (o.classes = no_such + 1, o.class_count = 1), FM_INVAL, "no class 'unicorn'")
    REFUSED("no-such-model", (void)0, FM_NOTFOUND, "no-such-model")
    REFUSED("shapes:colour=7", (void)0, FM_INVAL, "colour")
    REFUSED("none", o.out_dir = "/dev/null/x", FM_IO, "/dev/null")
#undef REFUSED
    fm_run *run = NULL;
    assert_int_equal(fm_run_new(NULL, &run, NULL), FM_INVAL);
    o = base_opts("none");
    assert_int_equal(fm_run_new(&o, NULL, NULL), FM_INVAL);
}

static void an_output_folder_that_is_a_file_is_refused(void **state)
{
    (void)state;
    char path[600];
    snprintf(path, sizeof(path), "%s/taken", models);
    assert_int_equal(fm__file_replace(path, "x", 1, NULL), FM_OK);
    fm_run_opts o = base_opts("none");
    o.out_dir = path;
    check_refused(&o, FM_IO, path);
}

static void streams_get_safe_and_unique_names(void **state)
{
    (void)state;
    static const fm_stream_opts streams[] = {
        {.url = "a/vtest.avi"},
        {.url = "b/vtest.avi"},
        {.url = "c/VTEST.mkv"},
        {.url = "d/x.mp4", .name = "vtest-2"},
        {.url = "e/x.mp4", .name = "../../etc/passwd"},
        {.url = "f/x.mp4", .name = ".."},
        {.url = "g/x.mp4", .name = "a\nb"},
        {.url = "h/x.mp4", .name = ""},
    };
    static const char *const want[] = {
        "vtest", "vtest-2", "VTEST-3", "vtest-2-2", "etc_passwd", "stream", "a_b", "stream-2"};
    fm_run_opts o = base_opts("none");
    o.streams = streams;
    o.stream_count = COUNT_OF(streams);
    fm_run *run = new_run(&o);
    assert_int_equal(fm_run_stream_count(run), COUNT_OF(want));
    for (size_t i = 0; i < COUNT_OF(want); i++) {
        fm_stream_report r;
        assert_int_equal(fm_run_stream_report(run, i, &r), FM_OK);
        assert_string_equal(r.name, want[i]);
        assert_string_equal(r.url, streams[i].url);
    }
    assert_int_equal(fm_run_stream_report(run, COUNT_OF(want), &(fm_stream_report){0}), FM_NOTFOUND);
    fm_run_free(&run);
}

// Reads one JSON value; NULL where it is none.
static const char *skip_json(const char *p);

static const char *skip_string(const char *p)
{
    if (*p++ != '"') {
        return NULL;
    }
    while (*p && *p != '"') {
        if ((unsigned char)*p < 0x20) {
            return NULL;
        }
        p += *p == '\\' ? 2 : 1;
    }
    return *p ? p + 1 : NULL;
}

static const char *skip_members(const char *p, char close)
{
    for (bool first = true; *p != close; first = false) {
        if (!first && *p++ != ',') {
            return NULL;
        }
        if (close == '}') {
            p = skip_string(p);
            if (!p || *p++ != ':') {
                return NULL;
            }
        }
        p = skip_json(p);
        if (!p) {
            return NULL;
        }
    }
    return p + 1;
}

static const char *skip_json(const char *p)
{
    static const char *const words[] = {"true", "false", "null"};
    if (*p == '{' || *p == '[') {
        return skip_members(p + 1, *p == '{' ? '}' : ']');
    }
    if (*p == '"') {
        return skip_string(p);
    }
    for (size_t i = 0; i < COUNT_OF(words); i++) {
        if (strncmp(p, words[i], strlen(words[i])) == 0) {
            return p + strlen(words[i]);
        }
    }
    const char *start = p;
    p += *p == '-';
    p += strspn(p, "0123456789");
    if (*p == '.') {
        p += 1 + strspn(p + 1, "0123456789");
    }
    return p > start && isdigit((unsigned char)p[-1]) ? p : NULL;
}

static void check_json_lines(const char *text, size_t *lines)
{
    for (*lines = 0; *text; ++*lines) {
        text = skip_json(text);
        assert_non_null(text);
        assert_int_equal(*text, '\n');
        text++;
    }
}

static void the_report_is_json_and_whole(void **state)
{
    (void)state;
    static const fm_stream_opts streams[] = {
        {.url = "testsrc:64x48@25,frames=9", .name = "a"}, {.url = "/nonexistent/\"\n\x80.mp4", .name = "b"}};
    fm_run_opts o = base_opts("shapes:size=64x48");
    o.streams = streams;
    o.stream_count = 2;
    fm_run *run = run_to_end(&o);
    char *text = NULL;
    size_t lines = 0;
    assert_int_equal(fm_run_report_json(run, &text, NULL), FM_OK);
    check_json_lines(text, &lines);
    assert_int_equal(lines, 1);
    static const char *const parts[] = {"{\"frames\":9,\"seconds\":", "\"fps\":",
        "\"streams\":{\"a\":{\"url\":", "\"frames\":9,\"dropped\":0,", "\"error\":null",
        "\"b\":{\"url\":\"/nonexistent/\\\"?\xef\xbf\xbd.mp4\"",
        "\"batches\":{\"detection\":{\"count\":", "\"mean_size\":", "\"stages\":{\"decode\":{\"count\":9,",
        "\"queue\":{\"count\":9", "\"preprocess\":{\"count\":9", "\"infer\":", "\"head\":{\"count\":9",
        "\"sink\":{\"count\":9", "\"total_ms\":", "\"p50_ms\":", "\"p95_ms\":", "\"p99_ms\":",
        "\"latency_ms\":{\"p50\":", "\"peak_rss_bytes\":", "\"memory\":{",
        "\"current_bytes\":", "\"peak_bytes\":", "\"pools\":{", "\"works\":{\"module\":\"pipeline\","};
    for (size_t i = 0; i < COUNT_OF(parts); i++) {
        if (!strstr(text, parts[i])) {
            fail_msg("no '%s' in %s", parts[i], text);
        }
    }
    fm_free(text);
    fm_run_free(&run);
}

static uint64_t blocks_of(const char *module)
{
    fm_memory_stat stats[64];
    size_t n = fm_memory_stats(stats, COUNT_OF(stats));
    for (size_t i = 0; i < n; i++) {
        if (strcmp(stats[i].module, module) == 0) {
            return stats[i].blocks;
        }
    }
    return 0;
}

static fm_memory_pool pool_of(const char *name)
{
    fm_memory_pool pools[32];
    size_t n = fm_memory_pools(pools, COUNT_OF(pools));
    for (size_t i = 0; i < n; i++) {
        if (strcmp(pools[i].name, name) == 0) {
            return pools[i];
        }
    }
    return (fm_memory_pool){.name = NULL};
}

// A run that nobody frees, and then a text.
static void what_was_forgotten_is_named(void **state)
{
    (void)state;
    fm_run_opts o = base_opts("shapes:size=64x48");
    uint64_t app = blocks_of("app"), pipeline = blocks_of("pipeline");
    fm_memory_pool works = pool_of("works"), tensors = pool_of("tensors");
    fm_run *run = run_to_end(&o);
    char *text = NULL;
    assert_int_equal(fm_run_report_json(run, &text, NULL), FM_OK);
    assert_true(blocks_of("app") > app && blocks_of("pipeline") > pipeline);
    assert_string_equal(pool_of("works").module, "pipeline");
    assert_true(pool_of("works").resting > works.resting);
    assert_int_equal(pool_of("works").in_use, works.in_use);
    assert_true(pool_of("tensors").in_use > tensors.in_use);
    assert_true(pool_of("tensors").current_bytes > tensors.current_bytes);
    fm_run_free(&run);
    assert_int_equal(blocks_of("pipeline"), pipeline);
    assert_int_equal(pool_of("works").resting, works.resting);
    assert_int_equal(pool_of("works").current_bytes, works.current_bytes);
    assert_int_equal(pool_of("tensors").in_use, tensors.in_use);
    assert_int_equal(blocks_of("app"), app + 1); // the text
    fm_free(text);
    assert_int_equal(blocks_of("app"), app);
}

static void the_profile_is_a_page(void **state)
{
    (void)state;
    char *dir = make_dir(), *path = fm__path_join(FM_TAG_BASE, dir, "p.html"), *text = NULL;
    fm_error err;
    fm_run_opts o = base_opts("shapes:size=64x48");
    fm_run *run = run_to_end(&o);
    assert_int_equal(fm_run_profile_write(run, path, NULL, &err), FM_INVAL); // it was not asked for
    assert_non_null(strstr(err.msg, "fm_run_opts.profile"));
    assert_false(fm__is_file(path));
    fm_run_free(&run);
    o.profile = true;
    run = run_to_end(&o);
    fm_config *config;
    assert_int_equal(fm_config_new(&config, NULL), FM_OK);
    assert_int_equal(fm_config_set(config, "labels", "rtsp://user:SECRET@host/<b>", NULL), FM_OK);
    assert_int_equal(fm_run_profile_write(run, path, config, NULL), FM_OK);
    fm_config_free(&config);
    assert_int_equal(fm__file_read(FM_TAG_BASE, path, 1 << 24, &text, NULL, NULL), FM_OK);
    assert_true(fm__str_starts(text, "<!doctype html>") && fm__str_ends(text, "</html>\n"));
    assert_null(strstr(text, "SECRET"));
    assert_non_null(strstr(text, "rtsp://***@host/&lt;b&gt;"));
    assert_non_null(strstr(text, "{\"frames\":9,\"seconds\":"));
    assert_int_equal(fm_run_profile_write(run, "/nonexistent/p.html", NULL, &err), FM_NOTFOUND);
    assert_non_null(strstr(err.msg, "/nonexistent/p.html"));
    fm__alloc_fail_at(1, true);
    assert_int_equal(fm_run_profile_write(run, path, NULL, NULL), FM_NOMEM);
    fm__alloc_fail_at(0, false);
    fm_run_free(&run);
    fm__free(text);
    fm__free(path);
    drop_dir(dir);
}

typedef struct ear {
    pthread_mutex_t lock;
    int lines, leaks;
} ear;

static void hear(fm_log_level level, const char *domain, const char *msg, void *opaque)
{
    (void)level;
    (void)domain;
    ear *e = opaque;
    pthread_mutex_lock(&e->lock);
    e->lines++;
    e->leaks += strstr(msg, "SECRET") != NULL;
    pthread_mutex_unlock(&e->lock);
}

static void credentials_reach_neither_log_nor_report(void **state)
{
    (void)state;
    static const fm_stream_opts streams[] = {
        {.url = "rtsp://admin:SECRET@127.0.0.1:1/cam"},
        {.url = "http://127.0.0.1:1/v.mp4?token=SECRET"},
        {.url = "rtsp:/admin:SECRET@127.0.0.1:1/cam"},
        {.url = "rtsp:admin:SECRET@127.0.0.1"},
        {.url = "rtsp://a@b.c:x/SECRET@127.0.0.1:1/cam"},
    };
    ear e = {.lock = PTHREAD_MUTEX_INITIALIZER};
    char dir[600];
    snprintf(dir, sizeof(dir), "%s/secrets", models);
    fm_run_opts o = base_opts("none");
    o.streams = streams;
    o.stream_count = COUNT_OF(streams);
    o.timeout_s = 2;
    o.out_dir = dir;
    o.log = (fm_log){.fn = hear, .level = FM_LOG_TRACE, .opaque = &e};
    fm_run *run = run_to_end(&o);
    char *text = NULL;
    assert_int_equal(fm_run_report_json(run, &text, NULL), FM_OK);
    if (strstr(text, "SECRET") || !strstr(text, "***")) {
        fail_msg("%s", text);
    }
    for (size_t i = 0; i < COUNT_OF(streams); i++) {
        fm_stream_report r;
        assert_int_equal(fm_run_stream_report(run, i, &r), FM_OK);
        assert_non_null(r.error);
        assert_null(strstr(r.error, "SECRET"));
        assert_null(strstr(r.url, "SECRET"));
        assert_null(strstr(r.name, "SECRET"));
    }
    fm_free(text);
    fm_run_free(&run);
    assert_int_equal(e.leaks, 0);
}

static void lines_on_a_shared_descriptor_are_whole(void **state)
{
    (void)state;
    static const fm_stream_opts streams[] = {{.url = "testsrc:64x48@25,frames=60", .name = "a"},
        {.url = "testsrc:64x48@25,frames=60", .name = "b"},
        {.url = "testsrc:64x48@25,frames=60", .name = "c"}};
    char path[600], *text = NULL;
    snprintf(path, sizeof(path), "%s/lines", models);
    FILE *f = fopen(path, "w");
    fm_run_opts o = base_opts("shapes:size=64x48");
    o.streams = streams;
    o.stream_count = 3;
    o.jsonl_fd = fileno(f);
    fm_run *run = run_to_end(&o);
    fm_run_free(&run);
    fclose(f);
    size_t lines = 0;
    assert_int_equal(fm__file_read(FM_TAG_BASE, path, 1 << 24, &text, NULL, NULL), FM_OK);
    check_json_lines(text, &lines);
    assert_int_equal(lines, 180);
    for (int i = 0; i < 3; i++) { // in order within each stream
        char part[64];
        const char *at = text;
        for (int frame = 0; frame < 60 && at; frame++) {
            snprintf(part, sizeof(part), "{\"stream\":\"%c\",\"frame\":%d,", 'a' + i, frame);
            at = strstr(at, part);
        }
        assert_non_null(at);
    }
    fm__free(text);
}

typedef struct tally {
    pthread_mutex_t lock;
    uint64_t by_class[6], objects, frames;
    float least, most;
} tally;

static void count_result(const fm_result *r, void *opaque)
{
    tally *t = opaque;
    pthread_mutex_lock(&t->lock);
    t->frames++;
    for (size_t i = 0; i < r->det_count; i++) {
        t->objects++;
        t->by_class[r->dets[i].class_id]++;
        t->least = r->dets[i].score < t->least ? r->dets[i].score : t->least;
    }
    pthread_mutex_unlock(&t->lock);
}

static void count_run(const fm_run_opts *opts, tally *t)
{
    *t = (tally){.lock = PTHREAD_MUTEX_INITIALIZER, .least = 1};
    fm_run_opts o = *opts;
    o.on_result = count_result;
    o.opaque = t;
    fm_run *run = run_to_end(&o);
    fm_run_progress p;
    fm_run_progress_get(run, &p);
    assert_int_equal(p.frames, t->frames);
    assert_int_equal(p.objects, t->objects);
    for (size_t c = 0; c < 6; c++) {
        uint64_t n = 99;
        assert_non_null(fm_run_class_count(run, c, &n));
        assert_int_equal(n, t->by_class[c]);
    }
    assert_null(fm_run_class_count(run, 6, &(uint64_t){0}));
    fm_run_free(&run);
}

static void only_the_classes_asked_for_are_reported(void **state)
{
    (void)state;
    static const fm_stream_opts streams[] = {{.url = "testsrc:192x128@25,frames=20,shapes=6"}};
    static const char *const classes[] = {"Red", "cyan"};
    tally all, some;
    fm_run_opts o = base_opts("shapes:size=192x128");
    o.streams = streams;
    count_run(&o, &all);
    assert_int_equal(all.frames, 20);
    for (int c = 0; c < 6; c++) {
        assert_true(all.by_class[c] > 0);
    }
    o.classes = classes;
    o.class_count = 2;
    count_run(&o, &some);
    assert_int_equal(some.by_class[0], all.by_class[0]);
    assert_int_equal(some.by_class[5], all.by_class[5]);
    assert_int_equal(some.objects, all.by_class[0] + all.by_class[5]);
}

static void the_threshold_is_kept(void **state)
{
    (void)state;
    static const fm_stream_opts streams[] = {{.url = "testsrc:192x128@25,frames=20,shapes=6"}};
    tally t;
    fm_run_opts o = base_opts("shapes:size=192x128");
    o.streams = streams;
    o.conf = 0.9f;
    count_run(&o, &t);
    assert_true(t.objects > 0 && t.least >= 0.9f);
    uint64_t strict = t.objects;
    o.conf = -1; // zero means the default, a negative number zero
    count_run(&o, &t);
    assert_true(t.objects >= strict);
}

// Everything that options point to may go once fm_run_new has returned.
static void options_are_copied(void **state)
{
    (void)state;
    char detector[] = "shapes:size=64x48", url[] = "testsrc:64x48@25,frames=9", name[] = "gate";
    char dir[600], path[700];
    snprintf(dir, sizeof(dir), "%s/copied", models);
    fm_stream_opts *streams = calloc(1, sizeof(*streams));
    streams[0] = (fm_stream_opts){.url = url, .name = name};
    char *out = strdup(dir);
    fm_model_store_opts *own = malloc(sizeof(*own));
    *own = store;
    fm_run_opts o = base_opts(detector);
    o.streams = streams;
    o.out_dir = out;
    o.store = own;
    fm_run *run = new_run(&o);
    free(streams);
    free(own);
    free(out);
    memset(detector, 'x', sizeof(detector) - 1);
    memset(url, 'x', sizeof(url) - 1);
    memset(name, 'x', sizeof(name) - 1);
    assert_int_equal(fm_run_start(run, NULL), FM_OK);
    assert_int_equal(fm_run_wait(run, -1), FM_OK);
    fm_run_free(&run);
    snprintf(path, sizeof(path), "%s/gate.jsonl", dir);
    assert_true(fm__file_size(path) > 0);
}

static void the_defaults_are_those_of_the_macro(void **state)
{
    (void)state;
    fm_run_opts a, b = FM_RUN_OPTS_INIT;
    fm_run_opts_init(&a);
    assert_int_equal(a.struct_size, sizeof(a));
    assert_int_equal(a.jsonl_fd, -1);
    assert_int_equal(b.jsonl_fd, -1);
    assert_null(a.detector);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wrong_options_are_refused),
        cmocka_unit_test(an_output_folder_that_is_a_file_is_refused),
        cmocka_unit_test(streams_get_safe_and_unique_names),
        cmocka_unit_test(the_report_is_json_and_whole),
        cmocka_unit_test(what_was_forgotten_is_named),
        cmocka_unit_test(the_profile_is_a_page),
        cmocka_unit_test(credentials_reach_neither_log_nor_report),
        cmocka_unit_test(lines_on_a_shared_descriptor_are_whole),
        cmocka_unit_test(only_the_classes_asked_for_are_reported),
        cmocka_unit_test(the_threshold_is_kept),
        cmocka_unit_test(options_are_copied),
        cmocka_unit_test(the_defaults_are_those_of_the_macro),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
