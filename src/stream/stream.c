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
    if (st != FM_OK) {
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
