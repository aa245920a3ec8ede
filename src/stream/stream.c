// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Streams: what an INPUT is, what it is called, and the table that leads to its source. An INPUT is either a
// name of this machine's file system or has one of few schemes. Anything else that looks like a scheme is
// refused, even if a file of that name exists: what a name means must not depend on what lies in the current
// folder.

#include "stream/source.h"

#include "base/alloc.h"
#include "base/error.h"
#include "base/str.h"
#include "image/image.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define DEVICE_SCHEME "v4l2://"
#define TEST_SCHEME "testsrc:"

struct fm_stream {
    const fm_source_ops *ops;
    fm_source *source;
    fm_stream_info info;
    uint64_t next_index;
};

static const fm_source_ops *const sources[] = {
    [FM_STREAM_VIDEO] = &fm__video_source,
    [FM_STREAM_URL] = &fm__video_source,
    [FM_STREAM_DEVICE] = &fm__video_source,
    [FM_STREAM_PICTURE] = &fm__picture_source,
    [FM_STREAM_FOLDER] = &fm__picture_source,
    [FM_STREAM_TEST] = &fm__test_source,
};

// Length of "scheme:" at the start (RFC 3986, 3.1), 0 when there is none.
static size_t scheme_len(const char *url)
{
    size_t n = 0;
    while (isalnum((unsigned char)url[n]) || (n > 0 && url[n] && strchr("+-.", url[n]))) {
        n++;
    }
    return n > 0 && isalpha((unsigned char)url[0]) && url[n] == ':' ? n + 1 : 0;
}

static bool scheme_is(const char *url, const char *scheme)
{
    return strncasecmp(url, scheme, strlen(scheme)) == 0;
}

static bool is_net_url(const char *url)
{
    return scheme_is(url, "http://") || scheme_is(url, "https://") || scheme_is(url, "rtsp://") ||
           scheme_is(url, "rtsps://");
}

const char *fm__device_path(const char *url)
{
    return url + strlen(DEVICE_SCHEME);
}

static fm_status classify_path(const char *path, fm_stream_kind *kind, fm_error *err)
{
    struct stat st;
    if (stat(path, &st) != 0) {
        return fm__fail_errno(err, errno, "cannot open", path);
    }
    if (S_ISDIR(st.st_mode)) {
        *kind = FM_STREAM_FOLDER;
        return FM_OK;
    }
    if (S_ISCHR(st.st_mode) && fm__str_starts(path, "/dev/video")) {
        return fm__fail(err, FM_INVAL, "'%s' is a camera; write " DEVICE_SCHEME "%s", path, path);
    }
    if (!S_ISREG(st.st_mode)) {
        return fm__fail(err, FM_INVAL, "'%s' is not a file or folder; give a video, picture or folder", path);
    }
    *kind = fm__image_is_picture_name(path) ? FM_STREAM_PICTURE : FM_STREAM_VIDEO;
    return FM_OK;
}

static fm_status refuse_scheme(const char *url, size_t len, fm_error *err)
{
    return fm__fail(err, FM_DENIED,
        "'%.*s' is not an allowed input scheme; allowed: rtsp://, rtsps://, http://, https://, " DEVICE_SCHEME
        ", " TEST_SCHEME " (a file of this name: put ./ in front)",
        len < 40 ? (int)len : 40, url);
}

static fm_status check_host(const char *url, fm_error *err)
{
    const char *host = strstr(url, "://") + 3;
    size_t len = strcspn(host, "/?#");
    const char *at = memrchr(host, '@', len);
    if (len == 0 || (at && at + 1 == host + len)) {
        return fm__fail(err, FM_INVAL, "the URL has no host; write scheme://host/path");
    }
    return FM_OK;
}

fm_status fm__stream_classify(const char *url, fm_stream_kind *kind, fm_error *err)
{
    if (!url || !*url) {
        return fm__fail(err, FM_INVAL, "the input is empty; give a video, picture, folder or URL");
    }
    if (strcmp(url, "-") == 0) {
        return fm__fail(err, FM_INVAL, "'-' (standard input) cannot be an input; give a file or URL");
    }
    size_t scheme = scheme_len(url);
    if (scheme == 0) {
        return classify_path(url, kind, err);
    }
    if (is_net_url(url)) {
        *kind = FM_STREAM_URL;
        return check_host(url, err);
    }
    if (scheme_is(url, DEVICE_SCHEME)) {
        *kind = FM_STREAM_DEVICE;
        return fm__str_starts(fm__device_path(url), "/dev/") && !strstr(url, "/../")
                   ? FM_OK
                   : fm__fail(err, FM_INVAL, "write cameras as " DEVICE_SCHEME "/dev/video0");
    }
    if (scheme_is(url, TEST_SCHEME)) {
        *kind = FM_STREAM_TEST;
        return FM_OK;
    }
    return refuse_scheme(url, scheme, err);
}

// Host and path of a URL without its secrets; port, query and fragment stay out.
static void add_net_name(fm_str *s, const char *shown)
{
    const char *host = strstr(shown, "://") + 3;
    host += fm__str_starts(host, "***@") ? strlen("***@") : 0;
    size_t len = strcspn(host, "/?#"), name = *host == '[' ? strcspn(host, "]") : strcspn(host, ":/?#");
    const char *path = host + len;
    fm__str_add_n(s, host + (*host == '['), (name < len ? name : len) - (*host == '['));
    fm__str_add_n(s, path, strcspn(path, "?#"));
}

static void add_path_name(fm_str *s, const char *path)
{
    struct stat st;
    bool is_dir = stat(path, &st) == 0 && S_ISDIR(st.st_mode);
    // "." and ".." have no name of their own.
    char *real = is_dir ? realpath(path, NULL) : NULL;
    const char *base = fm__path_base(real ? real : path);
    const char *dot = is_dir ? NULL : strrchr(base, '.');
    fm__str_add_n(s, base, dot && dot > base ? (size_t)(dot - base) : strlen(base));
    free(real);
}

char *fm__stream_name(const char *url)
{
    char *shown = fm__redact_url(FM_TAG_STREAM, url);
    if (!shown) {
        return NULL;
    }
    fm_str s;
    fm__str_init(&s, FM_TAG_STREAM);
    fm__str_add(&s, "");
    if (is_net_url(url)) {
        add_net_name(&s, shown);
    } else if (scheme_is(url, TEST_SCHEME)) {
        fm__str_add(&s, "testsrc");
    } else if (scheme_is(url, DEVICE_SCHEME)) {
        fm__str_add(&s, fm__path_base(fm__device_path(url)));
    } else {
        // A URL whose slashes were forgotten looks like a path.
        add_path_name(&s, strstr(shown, "***") ? shown : url);
    }
    fm__free(shown);
    char *safe = s.failed ? NULL : fm__safe_name(FM_TAG_STREAM, s.data ? s.data : "");
    fm__str_done(&s);
    return safe;
}

const char *fm__stream_kind_name(fm_stream_kind kind)
{
    static const char *const names[] = {
        [FM_STREAM_VIDEO] = "a video file",
        [FM_STREAM_URL] = "a URL",
        [FM_STREAM_DEVICE] = "a camera",
        [FM_STREAM_PICTURE] = "a picture",
        [FM_STREAM_FOLDER] = "a folder of pictures",
        [FM_STREAM_TEST] = "testsrc:",
    };
    return names[kind];
}

void fm__stream_get_mark(const fm_stream *s, const fm_frame *frame, fm_stream_mark *out)
{
    *out = (fm_stream_mark){
        .kind = s->info.kind,
        .frame = frame->index,
        .pts_ns = frame->pts_ns,
        .wall_ns = frame->wall_ns,
        .crc = fm__frame_crc(&frame->view),
    };
    if (s->ops->mark) {
        s->ops->mark(s->source, out);
    }
}

// Reads what lies before the first frame, and throws it away; the last of it must be the mark's.
static fm_status read_away(fm_stream *s, const fm_source_opts *opts, fm_error *err)
{
    fm_status st = FM_OK;
    uint32_t crc = 0;
    uint64_t n = 0;
    while (n < opts->start_frame && st == FM_OK) {
        fm_frame *frame = NULL;
        st = s->ops->read(s->source, &frame, err);
        n += st == FM_OK;
        crc = st == FM_OK && opts->mark && n == opts->start_frame ? fm__frame_crc(&frame->view) : 0;
        fm_frame_unref(&frame);
    }
    if (st == FM_EOF) {
        return fm__fail(err, FM_INVAL, "start_frame is %llu, and there are only %llu frames",
            (unsigned long long)opts->start_frame, (unsigned long long)n);
    }
    if (st == FM_OK && opts->mark && crc != opts->mark->crc) {
        return fm__fail(err, FM_INVAL,
            "frame %llu is not the one that the state is of: the input has changed",
            (unsigned long long)n - 1);
    }
    return st;
}

static fm_status go_to_start(fm_stream *s, const fm_source_opts *opts, fm_error *err)
{
    const fm_stream_mark *mark = opts->mark;
    if (mark && mark->kind != s->info.kind) {
        return fm__fail(err, FM_INVAL, "the state is of %s, and the stream is %s",
            fm__stream_kind_name(mark->kind), fm__stream_kind_name(s->info.kind));
    }
    s->next_index = opts->start_frame;
    if (opts->start_frame == 0) {
        return FM_OK;
    }
    fm_error why = {.status = FM_OK};
    fm_status st = s->ops->start(s->source, opts->start_frame, mark, &why);
    if (st != FM_AGAIN) {
        if (st != FM_OK && err) {
            *err = why;
        }
        return st;
    }
    s->ops->close(s->source);
    s->source = NULL;
    st = s->ops->open(opts, s->info.kind, &s->source, &s->info, err);
    return st == FM_OK ? read_away(s, opts, err) : st;
}

fm_status fm__stream_open(const fm_source_opts *opts, fm_stream **out, fm_error *err)
{
    fm_stream_kind kind = FM_STREAM_VIDEO;
    fm_status st = fm__stream_classify(opts->url, &kind, err);
    if (st != FM_OK) {
        return st;
    }
    fm_stream *s = fm__calloc(FM_TAG_STREAM, sizeof(*s));
    if (!s) {
        return fm__fail_nomem(err, "a stream");
    }
    s->ops = sources[kind];
    s->info.kind = kind;
    st = s->ops->open(opts, kind, &s->source, &s->info, err);
    st = st == FM_OK ? go_to_start(s, opts, err) : st;
    if (st != FM_OK) {
        if (s->source) {
            s->ops->close(s->source);
        }
        fm__free(s);
        return st;
    }
    *out = s;
    return FM_OK;
}

fm_status fm__stream_read(fm_stream *s, fm_frame **out, fm_error *err)
{
    fm_frame *frame = NULL;
    fm_status st = s->ops->read(s->source, &frame, err);
    if (st != FM_OK) {
        return st;
    }
    frame->index = s->next_index++;
    *out = frame;
    return FM_OK;
}

const fm_stream_info *fm__stream_info(const fm_stream *s)
{
    return &s->info;
}

void fm__stream_stats(const fm_stream *s, fm_stream_stats *out)
{
    *out = (fm_stream_stats){.pts_mended = 0};
    s->ops->stats(s->source, out);
}

void fm__stream_interrupt(fm_stream *s)
{
    s->ops->interrupt(s->source);
}

void fm__stream_close(fm_stream **stream)
{
    fm_stream *s = *stream;
    if (s) {
        *stream = NULL;
        s->ops->close(s->source);
        fm__free(s);
    }
}
