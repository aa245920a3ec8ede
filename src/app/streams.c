// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// A run's streams: their names, and how they come and go while it runs. Places for them are made at the
// start; a stream that comes takes that of an earlier one of its name, else one that was never used, else
// that of the first one found that has ended. All that changes a place happens under one lock, and only where
// the pipeline says that its last stream has gone.

#include "app/run_private.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"
#include "base/str.h"

#include <string.h>

#define DEFAULT_ROOM 64
#define WAIT_GONE_NS (5 * FM_NS_PER_S) // for the frames under way of a stream whose place is taken

static run_stream *find_named(const fm_run *run, size_t before, const char *name)
{
    for (size_t i = 0; i < before; i++) {
        // Letter case too: some file systems do not tell it apart.
        if (fm__str_ieq(run->streams[i].name, name)) {
            return &run->streams[i];
        }
    }
    return NULL;
}

static char *unique_name(const fm_run *run, size_t before, const fm_stream_opts *s)
{
    char *base = s->name || !s->url ? fm__safe_name(FM_TAG_APP, s->name ? s->name : "frames")
                                    : fm__stream_name(s->url);
    char *name = base ? fm__strdup(FM_TAG_APP, base) : NULL;
    for (int n = 2; name && find_named(run, before, name); n++) {
        fm__free(name);
        name = fm__asprintf(FM_TAG_APP, "%s-%d", base, n);
    }
    fm__free(base);
    return name;
}

static void free_texts(run_stream *s)
{
    fm__free(s->name);
    fm__free(s->url);
    fm__free(s->redacted);
    fm__free(s->resume);
    s->name = s->url = s->redacted = NULL;
    s->resume = NULL;
}

// Takes name; on failure s has no texts.
static fm_status make_texts(run_stream *s, char *name, const char *url, fm_error *err)
{
    s->name = name;
    s->url = fm__strdup(FM_TAG_APP, url);
    s->redacted = fm__redact_url(FM_TAG_APP, url);
    if (!s->name || !s->url || !s->redacted) {
        free_texts(s);
        return fm__fail_nomem(err, "a stream");
    }
    return FM_OK;
}

// Frames of a run with a sink of its own are pushed: it has no urls.
static void use_source(fm_run *run, size_t index)
{
    const run_stream *s = &run->streams[index];
    run->sources[index] = (fm_pipeline_stream){.name = s->name, .url = run->own_sink.make ? NULL : s->url};
}

fm_status fm__run_init_streams(fm_run *run, const fm_run_opts *o, fm_error *err)
{
    size_t room = o->max_streams > 0 ? (size_t)o->max_streams : fm__run_stays(o) ? DEFAULT_ROOM : 0;
    run->stream_room = room > o->stream_count ? room : o->stream_count;
    run->streams = fm__calloc_array(FM_TAG_APP, run->stream_room, sizeof(*run->streams));
    run->sources = fm__calloc_array(FM_TAG_APP, run->stream_room, sizeof(*run->sources));
    if (!run->streams || !run->sources) {
        return fm__fail_nomem(err, "streams");
    }
    fm_status st = FM_OK;
    for (size_t i = 0; st == FM_OK && i < o->stream_count; i++) {
        const char *url = o->streams[i].url ? o->streams[i].url : "";
        if (!run->own_sink.make && !o->streams[i].url) {
            return fm__fail(err, FM_INVAL, "stream %zu has no url", i + 1);
        }
        st = make_texts(&run->streams[i], unique_name(run, i, &o->streams[i]), url, err);
        use_source(run, i);
        run->stream_count = i + 1;
    }
    return st;
}

void fm__run_open_streams(fm_run *run)
{
    pthread_mutex_lock(&run->streams_lock);
    run->takes_streams = true;
    pthread_mutex_unlock(&run->streams_lock);
}

void fm__run_close_streams(fm_run *run)
{
    pthread_mutex_lock(&run->streams_lock);
    run->takes_streams = false;
    pthread_mutex_unlock(&run->streams_lock);
}

void fm__run_done_streams(fm_run *run)
{
    for (size_t i = 0; i < run->stream_room && run->streams; i++) {
        free_texts(&run->streams[i]);
    }
    fm__free(run->streams);
    fm__free(run->sources);
}

static bool has_ended(const fm_run *run, size_t index)
{
    fm_pipeline_stream_state s;
    fm__pipeline_stream_state(run->pipeline, index, &s);
    return s.ended;
}

static bool is_gone(const fm_run *run, size_t index, int64_t patience_ns)
{
    return fm__pipeline_wait_gone(run->pipeline, index, fm__now_ns() + patience_ns);
}

// A place for a stream of this name, or stream_room.
static size_t find_place(const fm_run *run, const char *name)
{
    const run_stream *earlier = find_named(run, run->stream_count, name);
    if (earlier) {
        return (size_t)(earlier - run->streams);
    }
    if (run->stream_count < run->stream_room) {
        return run->stream_count;
    }
    size_t i = 0;
    while (i < run->stream_room && !is_gone(run, i, 0)) {
        i++;
    }
    return i;
}

static fm_status check_files(const fm_run *run, const char *name, fm_error *err)
{
    char *path = run->out_dir ? fm__asprintf(FM_TAG_APP, "%s/%s.jsonl", run->out_dir, name) : NULL;
    bool there = path && fm__file_size(path) >= 0;
    fm_status st = run->out_dir && !path ? fm__fail_nomem(err, "a path") : FM_OK;
    if (there) {
        st = fm__fail(
            err, FM_INVAL, "'%s' is there already and would be lost: give the stream another name", path);
    }
    fm__free(path);
    return st;
}

// What a place's last stream had is counted on.
static void keep_counts(fm_run *run, const fm_pipeline_stream_state *s)
{
    run->past.frames += s->frames;
    run->past.dropped += s->dropped;
    run->past.objects += s->objects;
}

// Takes name. Where nothing comes of it, the place's last stream stands there as before. Lock held.
static fm_status fill_place(fm_run *run, size_t index, char *name, const fm_stream_opts *o, fm_error *err)
{
    run_stream *s = &run->streams[index], old = *s;
    fm_pipeline_stream_state last;
    fm__pipeline_stream_state(run->pipeline, index, &last);
    *s = (run_stream){.name = NULL};
    fm_status st = make_texts(s, name, o->url, err);
    if (st == FM_OK) {
        use_source(run, index);
        st = fm__run_enhance_stream(run, index, &o->enhance, err);
    }
    st = st == FM_OK ? fm__run_resume_stream(run, index, o, err) : st;
    st = st == FM_OK ? fm__pipeline_add(run->pipeline, index, err) : st;
    if (st != FM_OK) {
        free_texts(s);
        *s = old;
        use_source(run, index);
        return st;
    }
    keep_counts(run, &last);
    free_texts(&old);
    run->stream_count += index == run->stream_count;
    return FM_OK;
}

// Lock held.
static fm_status add(fm_run *run, char *name, const fm_stream_opts *o, fm_error *err)
{
    size_t place = find_place(run, name);
    fm_status st = FM_OK;
    if (place == run->stream_room) {
        st = fm__fail(err, FM_BUSY, "%zu streams are there, as many as max_streams: remove one first",
            run->stream_room);
    } else if (!is_gone(run, place, WAIT_GONE_NS)) {
        st = fm__fail(err, FM_BUSY, "stream '%s' has not ended yet: remove it, and try again", name);
    } else {
        st = check_files(run, name, err);
    }
    if (st != FM_OK) {
        fm__free(name);
        return st;
    }
    return fill_place(run, place, name, o, err);
}

static fm_status check_add(const fm_run *run, const fm_stream_opts *o, fm_error *err)
{
    fm_stream_kind kind;
    if (run->given || run->own_sink.make) {
        return fm__fail(err, FM_INVAL, "a run of given detections takes no further streams");
    }
    return fm__stream_classify(o->url, &kind, err);
}

// A stream of this name and url is there.
static bool is_there(const fm_run *run, const char *name, const char *url)
{
    const run_stream *s = find_named(run, run->stream_count, name);
    size_t index = s ? (size_t)(s - run->streams) : 0;
    return s && strcmp(s->url, url) == 0 && !has_ended(run, index) && !s->removed;
}

fm_status fm_run_stream_add(fm_run *run, const fm_stream_opts *o, fm_error *err)
{
    if (!run || !o || !o->url) {
        return fm__fail(err, FM_INVAL, "a stream without url");
    }
    pthread_mutex_lock(&run->streams_lock);
    fm_status st = run->takes_streams
                       ? check_add(run, o, err)
                       : fm__fail(err, FM_INVAL, "the run does not run: start it, and then add streams");
    char *name = NULL;
    if (st == FM_OK) {
        name = o->name ? fm__safe_name(FM_TAG_APP, o->name) : unique_name(run, run->stream_count, o);
        st = name ? FM_OK : fm__fail_nomem(err, "a stream");
    }
    if (st == FM_OK && is_there(run, name, o->url)) {
        fm__free(name);
    } else if (st == FM_OK) {
        st = add(run, name, o, err);
    }
    pthread_mutex_unlock(&run->streams_lock);
    return st;
}

// Lock held.
static fm_status find(const fm_run *run, const char *name, size_t *index, fm_error *err)
{
    const run_stream *s = name && run->takes_streams ? find_named(run, run->stream_count, name) : NULL;
    if (!s) {
        return fm__fail(err, FM_NOTFOUND, "there is no stream '%.100s'", name ? name : "");
    }
    *index = (size_t)(s - run->streams);
    return FM_OK;
}

fm_status fm_run_stream_remove(fm_run *run, const char *name, fm_error *err)
{
    size_t index = 0;
    pthread_mutex_lock(&run->streams_lock);
    fm_status st = find(run, name, &index, err);
    if (st == FM_OK) {
        run->streams[index].removed = true;
        fm__pipeline_remove(run->pipeline, index);
    }
    pthread_mutex_unlock(&run->streams_lock);
    return st;
}

fm_status fm_run_stream_pause(fm_run *run, const char *name, bool paused, fm_error *err)
{
    size_t index = 0;
    pthread_mutex_lock(&run->streams_lock);
    fm_status st = find(run, name, &index, err);
    if (st == FM_OK && has_ended(run, index)) {
        st = fm__fail(err, FM_NOTFOUND, "stream '%.100s' has ended", name);
    }
    if (st == FM_OK) {
        fm__pipeline_pause(run->pipeline, index, paused);
    }
    pthread_mutex_unlock(&run->streams_lock);
    return st;
}
