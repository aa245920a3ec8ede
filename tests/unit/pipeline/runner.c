// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// See runner.h.

#include "runner.h"

#include "../testing.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/thread.h"

static void note(runner *r, int stream, const fm_result *result)
{
    runner_seen *s = &r->seen[stream];
    int64_t now = fm__now_ns();
    s->first_ns = s->frames == 0 ? now : s->first_ns;
    s->last_ns = now;
    s->backwards += result->frame < s->next;
    s->gaps += result->frame > s->next;
    s->next = result->frame + 1;
    s->frames++;
    s->errors += result->error != NULL;
    s->objects += result->det_count;
    r->total++;
    pthread_cond_broadcast(&r->changed);
}

static void on_result(const fm_result *result, void *opaque)
{
    runner *r = opaque;
    int stream = -1;
    uint64_t nth = 0;
    pthread_mutex_lock(&r->lock);
    for (size_t i = 0; i < r->o.stream_count; i++) {
        if (strcmp(result->stream, r->names[i]) == 0) {
            stream = (int)i;
            nth = r->seen[i].frames;
            note(r, stream, result);
        }
    }
    r->strangers += stream < 0;
    pthread_mutex_unlock(&r->lock);
    if (stream >= 0 && r->hook) {
        r->hook(r, stream, nth);
    }
}

void runner_init(runner *r, const char *detector, bool files)
{
    *r = (runner){.o = FM_RUN_OPTS_INIT};
    pthread_mutex_init(&r->lock, NULL);
    fm__cond_init(&r->changed);
    r->dir = make_dir();
    const char *root = getenv("FM_SOURCE_ROOT");
    snprintf(r->share, sizeof(r->share), "%s/share/framemill", root ? root : ".");
    snprintf(r->detector, sizeof(r->detector), "%s", detector);
    r->store = (fm_model_store_opts)FM_MODEL_STORE_OPTS_INIT;
    r->store.share_dir = r->share;
    r->store.models_dir = r->dir;
    r->o.store = &r->store;
    r->o.streams = r->streams;
    r->o.detector = r->detector;
    r->o.threads = 2; // the same on every machine
    r->o.out_dir = files ? r->dir : NULL;
    r->o.on_result = on_result;
    r->o.opaque = r;
}

void runner_add(runner *r, const char *fmt, ...)
{
    size_t i = r->o.stream_count++;
    assert_true(i < RUNNER_STREAMS);
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(r->urls[i], sizeof(r->urls[i]), fmt, ap);
    va_end(ap);
    snprintf(r->names[i], sizeof(r->names[i]), "s%d", (int)(i & 7));
    r->streams[i] = (fm_stream_opts){.url = r->urls[i], .name = r->names[i]};
}

void runner_start(runner *r)
{
    fm_error err = {0};
    if (fm_run_new(&r->o, &r->run, &err) != FM_OK || fm_run_start(r->run, &err) != FM_OK) {
        fail_msg("%s", err.msg);
    }
}

void runner_wait(runner *r)
{
    if (fm_run_wait(r->run, 60000) != FM_OK) {
        fail_msg("the run does not end: %llu results", (unsigned long long)r->total);
    }
    assert_int_equal(r->strangers, 0);
}

void runner_wait_results(runner *r, uint64_t n)
{
    int64_t deadline = fm__now_ns() + 60 * FM_NS_PER_S;
    pthread_mutex_lock(&r->lock);
    bool in_time = true;
    while (r->total < n && in_time) {
        in_time = fm__cond_wait_until(&r->changed, &r->lock, deadline);
    }
    bool reached = r->total >= n;
    pthread_mutex_unlock(&r->lock);
    assert_true(reached);
}

char *runner_lines(const runner *r, int stream, bool contiguous, size_t *count)
{
    char path[600], *text = NULL;
    size_t len = 0, lines = 0;
    snprintf(path, sizeof(path), "%s/s%d.jsonl", r->dir, stream);
    if (fm__file_read(FM_TAG_BASE, path, 64 << 20, &text, &len, NULL) != FM_OK) {
        return NULL;
    }
    uint64_t next = 0;
    for (char *line = text, *end; *line; line = end + 1) {
        end = strchr(line, '\n');
        assert_non_null(end);
        assert_true(line[0] == '{' && end[-1] == '}');
        unsigned long long frame = 0;
        char name[16];
        assert_int_equal(sscanf(line, "{\"stream\":\"%15[^\"]\",\"frame\":%llu,", name, &frame), 2);
        assert_string_equal(name, r->names[stream]);
        assert_true(contiguous ? frame == next : frame >= next);
        next = frame + 1;
        lines++;
    }
    *count = lines;
    return text;
}

fm_stream_report runner_report(runner *r, int stream)
{
    fm_stream_report report;
    assert_int_equal(fm_run_stream_report(r->run, (size_t)stream, &report), FM_OK);
    assert_string_equal(report.name, r->names[stream]);
    return report;
}

void runner_done(runner *r)
{
    fm_run_free(&r->run);
    assert_null(r->run);
    drop_dir(r->dir);
    pthread_cond_destroy(&r->changed);
    pthread_mutex_destroy(&r->lock);
}
