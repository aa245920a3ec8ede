// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// The decoder: packets of the one video stream in, frames out. A frame's planes are libav's own (an AVFrame
// handle from the stock holds them); only formats that kernels cannot read and turned pictures are copied,
// and counted. What does not decode is counted and left out: broken video is the rule, not the exception. At
// the end a file that stops before its container said it would is reported as cut short, after all of its
// frames. Frames with concealed errors are kept, as every player does.

#include "media/internal.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/str.h"

#include <libavutil/parseutils.h>

#include <stdio.h>
#include <string.h>

#define DEFAULT_TIMEOUT_NS (10 * FM_NS_PER_S)
#define DEFAULT_MAX_PIXELS ((int64_t)16384 * 16384 / 2)
#define DEFAULT_STEP_NS (40 * FM_NS_PER_MS) // 25 frames a second, where nothing tells
#define MAX_THREADS 16
// Invalid data in a row after which a demuxer is taken to be lost.
#define MAX_DEMUX_ERRORS 16
#define DEVICE_POLL_NS (2 * FM_NS_PER_MS)
// Frames that must come out between a keyframe and the one that is looked for: no codec here looks back or
// reorders further. Right behind a keyframe of an open group of pictures libavcodec's H.264 decoder can lose
// frames.
#define WARM_FRAMES 16
#define NEAR_FRAMES 64 // from the start it takes no longer

struct fm_decoder {
    fm_av_guard guard;
    fm_input_kind kind;
    char *shown; // the input for eyes, without secrets
    int64_t max_pixels;
    fm_input in;
    AVCodecContext *avctx;
    AVPacket *packet;
    fm_frame_pool *pool;
    fm_av_stock *stock;
    fm_converter converter;
    fm_pts_mender mender;
    fm_decoder_info info;
    fm_decoder_stats stats;
    int last_width, last_height, last_format;
    fm_others *others; // packets of other streams, where they are kept
    int64_t first_ns;  // the container's time of the first frame
    int64_t last_ts;   // of the last frame, in the container's units
    bool last_packet_cut;
    int demux_error;
    bool draining;
    fm_status end; // not OK once reading has ended
    fm_error end_error;
};

static const AVRational ns_base = {1, 1000000000};

// 0 where there is none or it makes no sense.
static double frame_rate(fm_input *in)
{
    AVRational r = av_guess_frame_rate(in->fmt, in->video, NULL);
    double fps = r.num > 0 && r.den > 0 ? av_q2d(r) : 0;
    return fps > 0.001 && fps <= 1000 ? fps : 0;
}

static int64_t to_ns(int64_t ts, AVRational base)
{
    if (ts == AV_NOPTS_VALUE) {
        return FM_PTS_NONE;
    }
    return av_rescale_q(ts, base, ns_base); // INT64_MIN on overflow: the same as none
}

static int64_t duration_ns(const fm_input *in)
{
    int64_t ns = in->video->duration > 0 ? to_ns(in->video->duration, in->video->time_base) : 0;
    if (ns <= 0 && in->fmt->duration > 0) {
        ns = to_ns(in->fmt->duration, AV_TIME_BASE_Q);
    }
    return ns > 0 ? ns : 0;
}

static int64_t creation_ns(const fm_input *in)
{
    const AVDictionaryEntry *e = av_dict_get(in->fmt->metadata, "creation_time", NULL, 0);
    if (!e) {
        e = av_dict_get(in->video->metadata, "creation_time", NULL, 0);
    }
    int64_t us = 0;
    if (!e || av_parse_time(&us, e->value, 0) < 0 || us <= 0 || us > INT64_MAX / 2000) {
        return FM_PTS_NONE;
    }
    return us * 1000;
}

static void fill_info(fm_decoder *d)
{
    fm_decoder_info *info = &d->info;
    const AVCodecParameters *par = d->in.video->codecpar;
    snprintf(info->container, sizeof(info->container), "%s", d->in.fmt->iformat->name);
    snprintf(info->codec, sizeof(info->codec), "%s", avcodec_get_name(par->codec_id));
    bool sideways = d->in.turns % 2;
    info->width = sideways ? par->height : par->width;
    info->height = sideways ? par->width : par->height;
    info->fps = frame_rate(&d->in);
    info->live = d->in.live;
    info->duration_ns = info->live ? 0 : duration_ns(&d->in);
    info->creation_wall_ns = creation_ns(&d->in);
    if (!info->live) {
        double guess = (double)info->duration_ns / (double)FM_NS_PER_S * info->fps;
        info->frame_count = d->in.video->nb_frames > 0 ? d->in.video->nb_frames
                            : guess < 1e12             ? (int64_t)(guess + 0.5)
                                                       : 0;
    }
}

static void start_mender(fm_decoder *d)
{
    d->mender.step_ns = d->info.fps > 0 ? (int64_t)((double)FM_NS_PER_S / d->info.fps) : DEFAULT_STEP_NS;
    bool from_header = d->in.fmt->duration_estimation_method == AVFMT_DURATION_FROM_STREAM;
    d->mender.end_ns = from_header ? d->info.duration_ns : 0;
}

static fm_status open_codec(fm_decoder *d, int threads, fm_error *err)
{
    const AVCodecParameters *par = d->in.video->codecpar;
    const AVCodec *codec = avcodec_find_decoder(par->codec_id);
    if (!codec) {
        return fm__fail(err, FM_UNSUPPORTED, "'%s': libavcodec here has no decoder for its codec (%s)",
            d->shown, avcodec_get_name(par->codec_id));
    }
    d->avctx = avcodec_alloc_context3(codec);
    if (!d->avctx || avcodec_parameters_to_context(d->avctx, par) < 0) {
        return fm__fail_nomem(err, "a decoder");
    }
    fm__av_guard_codec(&d->guard, d->avctx);
    d->avctx->pkt_timebase = d->in.video->time_base;
    d->avctx->max_pixels = d->max_pixels;
    d->avctx->thread_count = threads < 1 ? 1 : threads > MAX_THREADS ? MAX_THREADS : threads;
    // Frame threads hold back a frame each: latency that a live source must not have.
    d->avctx->thread_type = d->in.live ? FF_THREAD_SLICE : FF_THREAD_FRAME | FF_THREAD_SLICE;
    d->avctx->flags |= AV_CODEC_FLAG_UNALIGNED; // crop to the pixel; kernels take any alignment
    int ret = avcodec_open2(d->avctx, codec, NULL);
    if (ret < 0) {
        return fm__av_fail(err, ret, NULL, false, "cannot decode", d->shown);
    }
    return FM_OK;
}

static fm_status open_rest(fm_decoder *d, const fm_decoder_opts *opts, fm_error *err)
{
    fm_decoder_opts limited = *opts;
    limited.max_pixels = d->max_pixels;
    fm_status st = fm__input_open(&limited, d->shown, &d->guard, &d->in, err);
    if (st == FM_OK) {
        st = open_codec(d, opts->threads, err);
    }
    if (st == FM_OK) {
        st = fm__frame_pool_new(&d->pool, err);
    }
    if (st != FM_OK) {
        return st;
    }
    d->packet = av_packet_alloc();
    d->stock = fm__av_stock_new();
    d->others = opts->keep_others ? fm__others_new() : NULL;
    if (!d->packet || !d->stock || (opts->keep_others && !d->others)) {
        return fm__fail_nomem(err, "a decoder");
    }
    fill_info(d);
    start_mender(d);
    return FM_OK;
}

fm_status fm__decoder_open(const fm_decoder_opts *opts, fm_decoder **out, fm_error *err)
{
    fm__av_setup();
    fm_decoder *d = fm__calloc(FM_TAG_MEDIA, sizeof(*d));
    if (!d) {
        return fm__fail_nomem(err, "a decoder");
    }
    // A local disk answers or fails; only the network falls silent.
    int64_t timeout = opts->timeout_ns > 0 ? opts->timeout_ns : DEFAULT_TIMEOUT_NS;
    fm__av_guard_init(&d->guard, opts->log, opts->cancel, opts->kind == FM_INPUT_FILE ? 0 : timeout);
    d->kind = opts->kind;
    d->max_pixels = opts->max_pixels > 0 ? opts->max_pixels : DEFAULT_MAX_PIXELS;
    d->last_format = AV_PIX_FMT_NONE;
    d->shown = fm__redact_url(FM_TAG_MEDIA, opts->url);
    fm_status st = d->shown ? open_rest(d, opts, err) : fm__fail_nomem(err, "a decoder");
    if (st != FM_OK) {
        fm__decoder_close(&d);
        return st;
    }
    fm__log(opts->log, FM_LOG_DEBUG, "media", "'%s': %s, %s, %dx%d, %.3f fps", d->shown, d->info.container,
        d->info.codec, d->info.width, d->info.height, d->info.fps);
    *out = d;
    return FM_OK;
}

static bool is_net(const fm_decoder *d)
{
    return d->kind == FM_INPUT_HTTP || d->kind == FM_INPUT_RTSP;
}

// Waits a little for a device that has no frame yet; false when it is time to give up.
static bool wait_for_device(fm_decoder *d)
{
    struct timespec nap = fm__timespec(DEVICE_POLL_NS);
    nanosleep(&nap, NULL);
    AVIOInterruptCB cb = fm__av_guard_callback(&d->guard);
    return !cb.callback(cb.opaque);
}

// The next packet of the video; a libav error at the end of all packets. Invalid data is stepped over.
static int read_packet(fm_decoder *d)
{
    for (int errors = 0;;) {
        fm__av_guard_arm(&d->guard);
        int ret = av_read_frame(d->in.fmt, d->packet);
        while (ret == AVERROR(EAGAIN)) {
            if (!wait_for_device(d)) {
                return AVERROR_EXIT;
            }
            ret = av_read_frame(d->in.fmt, d->packet);
        }
        if (ret >= 0) {
            if (d->packet->stream_index == d->in.video->index) {
                return 0;
            }
            if (d->others) {
                fm__others_put(d->others, d->in.fmt, d->packet);
            }
            av_packet_unref(d->packet); // a stream that appeared later
            continue;
        }
        bool go_on =
            ret == AVERROR_INVALIDDATA && d->in.pb && !avio_feof(d->in.pb) && ++errors < MAX_DEMUX_ERRORS;
        if (!go_on) {
            return ret;
        }
        d->stats.decode_errors++;
    }
}

// Gives the codec its next packet, or tells it that there are no more.
static fm_status feed(fm_decoder *d, fm_error *err)
{
    int ret = read_packet(d);
    if (ret < 0) {
        if (fm__av_guard_stopped(&d->guard) || d->guard.timed_out) {
            return fm__av_fail(err, ret, &d->guard, is_net(d), "reading", d->shown);
        }
        d->demux_error = ret == AVERROR_EOF ? 0 : ret;
        d->draining = true;
        ret = avcodec_send_packet(d->avctx, NULL);
    } else {
        d->last_packet_cut = d->packet->flags & AV_PKT_FLAG_CORRUPT;
        ret = avcodec_send_packet(d->avctx, d->packet);
        av_packet_unref(d->packet);
    }
    if (ret == AVERROR(ENOMEM)) {
        return fm__fail_nomem(err, "a packet");
    }
    d->stats.decode_errors += ret < 0 && !d->draining;
    return FM_OK;
}

static fm_status finish(fm_decoder *d, fm_error *err)
{
    unsigned long long frames = d->stats.frames;
    if (d->demux_error && is_net(d)) {
        return fm__av_fail(err, d->demux_error, NULL, true, "connection lost to", d->shown);
    }
    if (frames == 0) {
        return fm__fail(err, FM_FORMAT,
            "'%s': nothing in it decodes (%llu errors); it is damaged, or larger than the limit of %lld "
            "pixels",
            d->shown, (unsigned long long)d->stats.decode_errors, (long long)d->max_pixels);
    }
    bool cut = d->kind == FM_INPUT_FILE &&
               (d->last_packet_cut || fm__input_is_cut(&d->in, d->mender.last_end, d->mender.step_ns));
    if (d->demux_error || cut) {
        return fm__fail_native(err, FM_FORMAT, d->demux_error,
            "file is cut short: '%s' ends early, %llu frames read; copy or record it again", d->shown,
            frames);
    }
    return FM_EOF;
}

static fm_status next_av_frame(fm_decoder *d, AVFrame *f, fm_error *err)
{
    for (;;) {
        int ret = avcodec_receive_frame(d->avctx, f);
        if (ret >= 0) {
            return FM_OK;
        }
        if (ret == AVERROR_EOF) {
            return finish(d, err);
        }
        if (ret == AVERROR(ENOMEM)) {
            return fm__fail_nomem(err, "a frame");
        }
        if (ret != AVERROR(EAGAIN)) {
            d->stats.decode_errors++;
            continue;
        }
        fm_status st = feed(d, err);
        if (st != FM_OK) {
            return st;
        }
    }
}

static size_t bytes_of(const AVFrame *f)
{
    size_t bytes = 0;
    for (int i = 0; i < AV_NUM_DATA_POINTERS && f->buf[i]; i++) {
        bytes += f->buf[i]->size;
    }
    return bytes;
}

// Puts the AVFrame into a shell; *f is taken over.
static fm_status wrap(fm_decoder *d, AVFrame **f, const fm_frame_view *colour, fm_frame **out, fm_error *err)
{
    fm_frame *frame = fm__frame_pool_take(d->pool);
    if (!frame) {
        return fm__fail_nomem(err, "a frame");
    }
    frame->view = *colour;
    frame->view.width = (*f)->width;
    frame->view.height = (*f)->height;
    frame->view.format = fm__pixfmt_of_av((*f)->format);
    for (int i = 0; i < fm_pixfmt_planes(frame->view.format); i++) {
        frame->view.plane[i] = (*f)->data[i];
        frame->view.stride[i] = (*f)->linesize[i];
    }
    frame->bytes = bytes_of(*f);
    frame->buffer = *f;
    frame->release = fm__av_stock_give;
    frame->opaque = d->stock;
    *f = NULL;
    *out = frame;
    return FM_OK;
}

static void note_format(fm_decoder *d, const AVFrame *f)
{
    bool changed = f->width != d->last_width || f->height != d->last_height || f->format != d->last_format;
    if (changed && d->last_format != AV_PIX_FMT_NONE) {
        d->stats.format_changes++;
        fm__log(&d->guard.log, FM_LOG_INFO, "media", "'%s': frames change to %dx%d", d->shown, f->width,
            f->height);
    }
    d->last_width = f->width;
    d->last_height = f->height;
    d->last_format = f->format;
}

static void stamp(fm_decoder *d, int64_t ts, int64_t duration, fm_frame *frame)
{
    AVRational base = d->in.video->time_base;
    int64_t lasts = duration > 0 ? to_ns(duration, base) : 0;
    if (d->stats.frames == 0 && ts != AV_NOPTS_VALUE) {
        d->first_ns = to_ns(ts, base);
    }
    frame->pts_ns =
        fm__pts_mend(&d->mender, to_ns(ts, base), lasts, d->info.live ? fm__now_ns() : FM_PTS_NONE);
    if (d->info.live) {
        frame->wall_ns = fm__wall_ns();
    } else if (d->info.creation_wall_ns != FM_PTS_NONE &&
               __builtin_add_overflow(d->info.creation_wall_ns, frame->pts_ns, &frame->wall_ns)) {
        frame->wall_ns = FM_PTS_NONE;
    }
    d->last_ts = ts;
    frame->index = d->stats.frames++;
}

// Makes a frame of ours from *f, which is taken over when its pixels stay where they are.
static fm_status make_frame(fm_decoder *d, AVFrame **f, fm_frame **out, fm_error *err)
{
    fm_frame_view colour = {.plane = {NULL}};
    fm__colour_of_av(*f, d->avctx->codec_id, &colour);
    note_format(d, *f);
    int64_t ts = (*f)->best_effort_timestamp, duration = (*f)->pkt_duration;
    bool direct = d->in.turns == 0 && fm__pixfmt_of_av((*f)->format) != FM_PIXFMT_NONE;
    fm_frame *frame = NULL;
    fm_status st =
        direct ? wrap(d, f, &colour, &frame, err)
               : fm__convert(&d->converter, *f, FM_PIXFMT_NONE, d->in.turns, &colour, d->pool, &frame, err);
    if (st != FM_OK) {
        return st;
    }
    d->stats.converted += !direct;
    stamp(d, ts, duration, frame);
    *out = frame;
    return FM_OK;
}

// The next frame as libav has it, the caller's.
static fm_status read_av(fm_decoder *d, AVFrame **out, fm_error *err)
{
    if (fm__av_guard_stopped(&d->guard)) {
        return fm__fail(err, FM_CANCELED, "reading '%s': stopped", d->shown);
    }
    AVFrame *f = fm__av_stock_take(d->stock);
    if (!f) {
        return fm__fail_nomem(err, "a frame");
    }
    fm_status st = next_av_frame(d, f, err);
    if (st == FM_OK) {
        *out = f;
    } else {
        fm__av_stock_give(f, d->stock);
    }
    return st;
}

fm_status fm__decoder_read(fm_decoder *d, fm_frame **out, fm_error *err)
{
    if (d->end != FM_OK) {
        if (err) {
            *err = d->end_error;
        }
        return d->end;
    }
    fm_error why = {.status = FM_OK};
    AVFrame *f = NULL;
    fm_status st = read_av(d, &f, &why);
    if (st == FM_OK) {
        st = make_frame(d, &f, out, &why);
    }
    if (f) {
        fm__av_stock_give(f, d->stock);
    }
    if (st != FM_OK) {
        d->end = st;
        d->end_error = why;
        if (err) {
            *err = why;
        }
    }
    return st;
}

/* ---- going on where another decoder stood ---- */

void fm__decoder_get_mark(const fm_decoder *d, fm_decoder_mark *out)
{
    const fm_pts_mender *m = &d->mender;
    *out = (fm_decoder_mark){
        .exact = fm__input_seeks(&d->in) && d->last_ts != AV_NOPTS_VALUE && m->has_base && !m->has_alt &&
                 m->mended == 0 && d->stats.decode_errors == 0,
        .ts = d->last_ts,
        .offset_ns = m->offset,
        .end_ns = m->last_end,
    };
}

// Decodes up to the frame with this time. NOTFOUND: there is none, its pixels are not those that are known,
// or it comes too soon.
static fm_status decode_to(fm_decoder *d, int64_t ts, uint32_t crc, fm_error *err)
{
    int64_t here = INT64_MIN;
    for (int n = 0; here < ts; n++) {
        AVFrame *f = NULL;
        fm_frame *frame = NULL;
        fm_status st = read_av(d, &f, err);
        here =
            st == FM_OK && f->best_effort_timestamp != AV_NOPTS_VALUE ? f->best_effort_timestamp : INT64_MAX;
        if (st == FM_OK && here == ts && n >= WARM_FRAMES) {
            st = make_frame(d, &f, &frame, err);
        }
        if (f) {
            fm__av_stock_give(f, d->stock);
        }
        bool same = frame && fm__frame_crc(&frame->view) == crc;
        fm_frame_unref(&frame);
        if (same || st == FM_CANCELED || st == FM_NOMEM) {
            return st;
        }
    }
    return FM_NOTFOUND;
}

// From further and further back, until enough frames come before it.
static fm_status seek_and_decode(fm_decoder *d, int64_t ts, uint32_t crc, fm_error *err)
{
    static const int64_t back_s[] = {1, 4, 16, 64};
    fm_status st = FM_NOTFOUND;
    for (size_t i = 0; st == FM_NOTFOUND && i < sizeof(back_s) / sizeof(back_s[0]); i++) {
        int64_t at = av_rescale_q(back_s[i] * FM_NS_PER_S, ns_base, d->in.video->time_base);
        fm__av_guard_arm(&d->guard);
        if (__builtin_sub_overflow(ts, at, &at) ||
            av_seek_frame(d->in.fmt, d->in.video->index, at, AVSEEK_FLAG_BACKWARD) < 0) {
            break;
        }
        avcodec_flush_buffers(d->avctx);
        d->draining = false;
        d->demux_error = 0;
        st = decode_to(d, ts, crc, err);
    }
    return st;
}

fm_status fm__decoder_seek(
    fm_decoder *d, const fm_decoder_mark *mark, uint64_t frame, int64_t pts_ns, uint32_t crc, fm_error *err)
{
    bool pays = mark->exact && fm__input_seeks(&d->in) && frame >= NEAR_FRAMES;
    fm_status st = pays ? seek_and_decode(d, mark->ts, crc, err) : FM_NOTFOUND;
    if (st == FM_NOTFOUND) {
        return fm__fail(err, st, "'%s': frame %llu is not where it was", d->shown, (unsigned long long)frame);
    }
    d->stats = (fm_decoder_stats){.frames = frame + 1};
    d->mender = (fm_pts_mender){
        .step_ns = d->mender.step_ns,
        .end_ns = d->mender.end_ns,
        .started = true,
        .has_base = true,
        .offset = mark->offset_ns,
        .last_out = pts_ns,
        .last_end = mark->end_ns,
        .last_arrival = FM_PTS_NONE,
    };
    return st;
}

void fm__decoder_continue(fm_decoder *d, int64_t pts_ns)
{
    d->mender.started = true;
    d->mender.last_out = d->mender.last_end = pts_ns;
    d->mender.last_arrival = FM_PTS_NONE;
}

const fm_decoder_info *fm__decoder_info(const fm_decoder *d)
{
    return &d->info;
}

const fm_input *fm__decoder_input(const fm_decoder *d)
{
    return &d->in;
}

fm_others *fm__decoder_others(const fm_decoder *d)
{
    return d->others;
}

int64_t fm__decoder_first_ns(const fm_decoder *d)
{
    return d->first_ns;
}

void fm__decoder_stats(const fm_decoder *d, fm_decoder_stats *out)
{
    *out = d->stats;
    out->pts_mended = d->mender.mended;
}

void fm__decoder_interrupt(fm_decoder *d)
{
    atomic_store(&d->guard.interrupted, true);
}

void fm__decoder_close(fm_decoder **decoder)
{
    fm_decoder *d = *decoder;
    if (!d) {
        return;
    }
    *decoder = NULL;
    avcodec_free_context(&d->avctx); // before the input, whose guard its threads may still log to
    fm__input_close(&d->in);
    av_packet_free(&d->packet);
    fm__converter_done(&d->converter);
    fm__frame_pool_free(&d->pool);
    fm__av_stock_free(&d->stock);
    fm__others_free(&d->others);
    fm__free(d->shown);
    fm__free(d);
}

void fm__media_version(char *buf, size_t size)
{
    unsigned v = avcodec_version();
    snprintf(buf, size, "%u.%u.%u", AV_VERSION_MAJOR(v), AV_VERSION_MINOR(v), AV_VERSION_MICRO(v));
}
