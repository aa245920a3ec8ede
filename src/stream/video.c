// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Video sources: files, URLs and cameras, all through media's decoder.

#include "stream/source.h"

#include "base/clock.h"
#include "media/decode.h"

#include <strings.h>

static fm_decoder *decoder_of(fm_source *s)
{
    return (fm_decoder *)s;
}

static fm_input_kind input_kind(fm_stream_kind kind, const char *url)
{
    if (kind == FM_STREAM_DEVICE) {
        return FM_INPUT_DEVICE;
    }
    if (kind == FM_STREAM_URL) {
        return strncasecmp(url, "rtsp", 4) == 0 ? FM_INPUT_RTSP : FM_INPUT_HTTP;
    }
    return FM_INPUT_FILE;
}

static fm_status video_open(
    const fm_source_opts *opts, fm_stream_kind kind, fm_source **out, fm_stream_info *info, fm_error *err)
{
    fm_decoder_opts dec = {
        .url = kind == FM_STREAM_DEVICE ? fm__device_path(opts->url) : opts->url,
        .kind = input_kind(kind, opts->url),
        .threads = opts->decoder_threads > 0 ? opts->decoder_threads : 1,
        .timeout_ns = opts->timeout_ns,
        .max_pixels = opts->max_pixels,
        .log = opts->log,
        .cancel = opts->cancel,
    };
    fm_decoder *d = NULL;
    fm_status st = fm__decoder_open(&dec, &d, err);
    if (st != FM_OK) {
        return st;
    }
    const fm_decoder_info *from = fm__decoder_info(d);
    info->live = from->live;
    info->fps = from->fps;
    info->frame_count = from->frame_count > 0 ? (uint64_t)from->frame_count : 0;
    info->width = from->width;
    info->height = from->height;
    *out = (fm_source *)d;
    return FM_OK;
}

static fm_status video_read(fm_source *s, fm_frame **out, fm_error *err)
{
    return fm__decoder_read(decoder_of(s), out, err);
}

static fm_status video_start(fm_source *s, uint64_t frame, const fm_stream_mark *mark, fm_error *err)
{
    fm_decoder *d = decoder_of(s);
    bool live = fm__decoder_info(d)->live;
    if (!mark) {
        return live ? FM_OK : FM_AGAIN;
    }
    if (live) { // as much later as it is since
        int64_t now = fm__wall_ns();
        bool later = mark->wall_ns != FM_PTS_NONE && now > mark->wall_ns;
        fm__decoder_continue(d, mark->pts_ns + (later ? now - mark->wall_ns : 0));
        return FM_OK;
    }
    fm_status st = fm__decoder_seek(d, &mark->video, frame - 1, mark->pts_ns, mark->crc, err);
    return st == FM_NOTFOUND ? FM_AGAIN : st;
}

static void video_mark(const fm_source *s, fm_stream_mark *out)
{
    fm__decoder_get_mark((const fm_decoder *)s, &out->video);
}

static void video_stats(const fm_source *s, fm_stream_stats *out)
{
    fm_decoder_stats from;
    fm__decoder_stats((const fm_decoder *)s, &from);
    out->pts_mended = from.pts_mended;
    out->decode_errors = from.decode_errors;
    out->converted = from.converted;
    out->format_changes = from.format_changes;
}

static void video_interrupt(fm_source *s)
{
    fm__decoder_interrupt(decoder_of(s));
}

static void video_close(fm_source *s)
{
    fm_decoder *d = decoder_of(s);
    fm__decoder_close(&d);
}

const fm_source_ops fm__video_source = {
    .name = "video",
    .open = video_open,
    .read = video_read,
    .start = video_start,
    .mark = video_mark,
    .stats = video_stats,
    .interrupt = video_interrupt,
    .close = video_close,
};
