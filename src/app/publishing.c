// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// A run's bus: opened before the first frame, shared by all streams, ended after the last. Commands that come
// over it are checked here: what they may add is listed, and they say no more than a caller of the library
// could.

#include "app/run_private.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/str.h"

#include <string.h>
#include <unistd.h>

#define DEFAULT_SPOOL ((int64_t)256 << 20)
#define MIN_SPOOL ((int64_t)1 << 20)
#define COUNT_OF(a) (sizeof(a) / sizeof((a)[0]))
#define LONG_NS (3600 * FM_NS_PER_S)

static int64_t seconds(double s, double fallback)
{
    return (int64_t)((s > 0 ? s : s < 0 ? 0 : fallback) * 1e9);
}

static int64_t number(int64_t n, int64_t fallback)
{
    return n > 0 ? n : fallback;
}

static char *producer_of(const fm_redis_settings *r)
{
    char host[256] = "";
    if (!r->producer && gethostname(host, sizeof(host) - 1) != 0) {
        host[0] = 0; // a safe name is made of nothing, too
    }
    return fm__safe_name(FM_TAG_APP, r->producer ? r->producer : host);
}

static fm_status check(const fm_run_opts *o, fm_error *err)
{
    const fm_redis_settings *r = &o->redis;
    if (!r->url) {
        return r->commands
                   ? fm__fail(err, FM_INVAL, "commands come over Redis: give its address, --redis URL")
                   : FM_OK;
    }
    if (!r->spool_dir) {
        return fm__fail(err, FM_INVAL, "Redis needs a folder for what waits: give redis_spool");
    }
    if (r->spool_bytes != 0 && r->spool_bytes < MIN_SPOOL) {
        return fm__fail(err, FM_INVAL, "redis_spool_bytes is %lld; at least 1048576 is allowed",
            (long long)r->spool_bytes);
    }
    return FM_OK;
}

// "rtsp" of "rtsp://...", "file" of a path.
static bool kind_is(const char *url, const char *kind)
{
    size_t len = strcspn(url, ":");
    bool path = url[len] == 0 || len == 1 || memchr(url, '/', len);
    return path ? strcmp(kind, "file") == 0 : len == strlen(kind) && strncasecmp(url, kind, len) == 0;
}

static fm_status check_allowed(const fm_run *run, const char *url, fm_error *err)
{
    for (size_t i = 0; i < run->allow_count; i++) {
        if (kind_is(url, run->allow[i])) {
            return FM_OK;
        }
    }
    char *shown = fm__redact_url(FM_TAG_APP, url);
    fm_status st = fm__fail(err, FM_DENIED,
        "'%.100s': a command may not add such an input; redis_allow lists what it may", shown ? shown : "?");
    fm__free(shown);
    return st;
}

static fm_status add_stream(fm_run *run, const fm_bus_command *c, fm_error *err)
{
    fm_stream_opts so = {.url = c->url, .name = c->stream};
    if (!c->url || !c->stream) {
        return fm__fail(err, FM_INVAL, "add needs the fields stream and url");
    }
    fm_status st = check_allowed(run, c->url, err);
    return st == FM_OK ? fm_run_stream_add(run, &so, err) : st;
}

static fm_status on_command(const fm_bus_command *c, void *opaque, fm_error *err)
{
    fm_run *run = opaque;
    const char *what = c->command ? c->command : "";
    if (strcmp(what, "add") == 0) {
        return add_stream(run, c, err);
    }
    if (strcmp(what, "remove") == 0) {
        return fm_run_stream_remove(run, c->stream, err);
    }
    if (strcmp(what, "pause") == 0 || strcmp(what, "resume") == 0) {
        return fm_run_stream_pause(run, c->stream, what[0] == 'p', err);
    }
    return fm__fail(err, FM_INVAL, "unknown command '%.40s'; there are add, remove, pause and resume", what);
}

static fm_status copy_allowed(fm_run *run, const fm_redis_settings *r, fm_error *err)
{
    static const char *const kinds[] = {"rtsp", "rtsps", "http", "https", "v4l2", "testsrc", "file"};
    const char *const *allow = r->allow_count ? r->allow : kinds;
    size_t n = r->allow_count ? r->allow_count : 4;
    for (size_t i = 0; i < n && run->allow_count < COUNT_OF(run->allow); i++) {
        size_t k = 0;
        while (k < COUNT_OF(kinds) && strcmp(kinds[k], allow[i]) != 0) {
            k++;
        }
        if (k == COUNT_OF(kinds)) {
            return fm__fail(err, FM_INVAL,
                "redis_allow has '%.40s'; it lists rtsp, rtsps, http, https, v4l2, testsrc, file", allow[i]);
        }
        run->allow[run->allow_count++] = kinds[k];
    }
    return FM_OK;
}

fm_status fm__run_init_bus(fm_run *run, const fm_run_opts *o, fm_error *err)
{
    const fm_redis_settings *r = &o->redis;
    fm_status st = check(o, err);
    st = st == FM_OK ? copy_allowed(run, r, err) : st;
    if (st != FM_OK || !r->url) {
        return st;
    }
    char *producer = producer_of(r);
    char *spool = producer ? fm__path_join(FM_TAG_APP, r->spool_dir, producer) : NULL;
    fm_bus_opts bo = {
        .url = r->url,
        .password_file = r->password_file,
        .ca = r->ca,
        .producer = producer,
        .spool_dir = spool,
        .spool_bytes = number(r->spool_bytes, DEFAULT_SPOOL),
        .window_s = seconds(r->window_s, 604800) / FM_NS_PER_S,
        .max_results = number(r->max_results, 10000),
        .max_events = number(r->max_events, 100000),
        .timeout_ns = seconds(r->timeout_s, 5),
        .flush_ns = seconds(r->flush_s, 5),
        .on_command = r->commands ? on_command : NULL,
        .opaque = run,
        .log = &run->o.log,
    };
    st = spool ? fm__bus_open(&bo, &run->bus, err) : fm__fail_nomem(err, "the bus");
    fm__free(producer);
    fm__free(spool);
    return st;
}

fm_status fm__run_bus_sink(fm_run *run, size_t stream, fm_sink **out, fm_error *err)
{
    return fm__sink_redis(
        run->bus, run->streams[stream].name, run->o.redis.results >= 0, run->o.track.max_age, out, err);
}

bool fm__run_end_bus(fm_run *run, int timeout_ms)
{
    if (!run->bus) {
        return true;
    }
    fm__bus_end(run->bus, false);
    int64_t wait_ns = timeout_ms < 0 ? LONG_NS : timeout_ms * FM_NS_PER_MS;
    while (!fm__bus_wait(run->bus, fm__now_ns() + wait_ns)) {
        if (timeout_ms >= 0) {
            return false;
        }
    }
    return true;
}

void fm__run_report_bus(fm_run *run, fm_json *j)
{
    fm_bus_stats s;
    if (!run->bus) {
        return;
    }
    fm__bus_stats(run->bus, &s);
    fm__json_key(j, "redis");
    fm__json_open_object(j);
    fm__json_put_uint(j, "put", s.put);
    fm__json_put_uint(j, "sent", s.sent);
    fm__json_put_uint(j, "repeated", s.repeated);
    fm__json_put_uint(j, "dropped", s.dropped);
    fm__json_put_uint(j, "waiting", s.waiting);
    fm__json_put_uint(j, "reconnects", s.reconnects);
    fm__json_put_uint(j, "spool_peak_bytes", (uint64_t)s.spool_peak_bytes);
    fm__json_put_uint(j, "spool_damaged_bytes", s.damaged_bytes);
    fm__json_close_object(j);
}
