// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// The encoder: frames to packets, which the muxer (mux.c) puts into a file. No B frames: decoding order is
// display order, times stay those of the frames, variable rate included: in ticks of 1/90000 s, or of the
// source's own, so that nothing is rounded. Frames of the right size, format and colour go in without a copy
// (the codec makes its own); all others are scaled into one frame of ours, keeping their aspect ratio, on
// black. Odd sizes lose their last column or row: 4:2:0 has none.

#include "media/encode.h"
#include "media/codecs.h"
#include "media/internal.h"
#include "media/mux.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/str.h"

#include <libavutil/imgutils.h>
#include <libswscale/swscale.h>

#include <math.h>
#include <string.h>

#define TICKS_PER_S 90000
#define KEY_EVERY_S 2
#define DEFAULT_FPS 25.0

struct fm_encoder {
    fm_av_guard guard;
    char *path;
    const fm_codec *codec;
    fm_muxer *mux;
    AVCodecContext *avctx;
    AVPacket *packet;
    AVFrame *direct; // a borrowed frame's planes, while the codec takes them
    AVFrame *canvas; // where other frames are scaled to
    struct SwsContext *sws;
    fm_frame_view made_for; // what sws was made for
    int64_t first_ns;       // what frames' times count from
    bool begun;             // a frame was written
    int64_t last_tick, last_key_tick;
    int64_t step_ticks, key_ticks;
    fm_status failed; // first failure of the file's life
    fm_error failure;
};

static fm_status fail(fm_encoder *e, int ret, const char *what, fm_error *err)
{
    return fm__av_fail(err, ret, NULL, false, what, e->path);
}

static AVRational ticks_of(const fm_encoder_opts *opts)
{
    const AVRational own = {1, TICKS_PER_S};
    if (!opts->source) {
        return own;
    }
    AVRational base = fm__decoder_input(opts->source)->video->time_base;
    return base.num > 0 && base.den > 0 ? base : own;
}

static void set_colour(AVCodecContext *c, const fm_encoder_opts *opts)
{
    bool hd = opts->matrix == FM_MATRIX_BT709;
    c->colorspace = hd ? AVCOL_SPC_BT709 : AVCOL_SPC_SMPTE170M;
    c->color_primaries = hd ? AVCOL_PRI_BT709 : AVCOL_PRI_SMPTE170M;
    c->color_trc = hd ? AVCOL_TRC_BT709 : AVCOL_TRC_SMPTE170M;
    c->color_range = opts->range == FM_RANGE_FULL ? AVCOL_RANGE_JPEG : AVCOL_RANGE_MPEG;
    if (opts->source) { // what the source says of itself and the matrix does not tell
        const AVCodecParameters *par = fm__decoder_input(opts->source)->video->codecpar;
        bool named = par->color_primaries != AVCOL_PRI_UNSPECIFIED,
             curved = par->color_trc != AVCOL_TRC_UNSPECIFIED;
        c->color_primaries = named ? par->color_primaries : c->color_primaries;
        c->color_trc = curved ? par->color_trc : c->color_trc;
        c->sample_aspect_ratio = fm__decoder_input(opts->source)->video->sample_aspect_ratio;
        if (fm__decoder_input(opts->source)->turns % 2) {
            c->sample_aspect_ratio = av_inv_q(c->sample_aspect_ratio);
        }
    }
    c->chroma_sample_location = AVCHROMA_LOC_LEFT;
}

static fm_status configure(fm_encoder *e, const fm_encoder_opts *opts, fm_error *err)
{
    AVCodecContext *c = e->avctx = avcodec_alloc_context3(avcodec_find_encoder_by_name(e->codec->encoder));
    if (!c) {
        return fm__fail_nomem(err, "an encoder");
    }
    double fps = opts->fps > 0 ? opts->fps : DEFAULT_FPS;
    c->pix_fmt = fm__codec_format(e->codec, opts->format);
    bool whole = c->pix_fmt == AV_PIX_FMT_GRAY8 || c->pix_fmt == AV_PIX_FMT_YUV444P;
    c->width = whole ? opts->width : opts->width > 1 ? opts->width & ~1 : 2;
    c->height = whole ? opts->height : opts->height > 1 ? opts->height & ~1 : 2;
    c->time_base = ticks_of(opts);
    c->framerate = av_d2q(fps, 100000);
    c->gop_size = fps * KEY_EVERY_S < 2 ? 2 : (int)lround(fps * KEY_EVERY_S);
    c->max_b_frames = 0;
    c->thread_count = opts->threads > 0 ? opts->threads : 1;
    set_colour(c, opts);
    c->flags |= AV_CODEC_FLAG_GLOBAL_HEADER; // the file's header holds the parameter sets
    e->step_ticks = llround(1 / fps / av_q2d(c->time_base));
    e->key_ticks = llround(KEY_EVERY_S / av_q2d(c->time_base));
    return FM_OK;
}

static fm_status open_codec(fm_encoder *e, const fm_encoder_opts *opts, fm_error *err)
{
    fm_status st = fm__codec_find(opts->codec, opts->path, &e->codec, err);
    st = st == FM_OK ? fm__codec_check(e->codec, opts->crf, opts->preset, err) : st;
    st = st == FM_OK ? configure(e, opts, err) : st;
    if (st != FM_OK) {
        return st;
    }
    AVDictionary *dict = NULL;
    fm__codec_options(e->codec, opts->crf, opts->preset, e->avctx, &dict);
    int ret = avcodec_open2(e->avctx, e->avctx->codec, &dict);
    av_dict_free(&dict);
    if (ret < 0) {
        return fm__fail_native(err, ret == AVERROR(ENOMEM) ? FM_NOMEM : FM_UNSUPPORTED, ret,
            "cannot write '%s': the encoder of %s does not take %dx%d", e->path, e->codec->name,
            e->avctx->width, e->avctx->height);
    }
    return FM_OK;
}

static fm_status open_all(fm_encoder *e, const fm_encoder_opts *opts, fm_error *err)
{
    e->path = fm__strdup(FM_TAG_MEDIA, opts->path);
    e->packet = av_packet_alloc();
    e->direct = av_frame_alloc();
    if (!e->path || !e->packet || !e->direct) {
        return fm__fail_nomem(err, "an encoder");
    }
    fm_status st = open_codec(e, opts, err);
    if (st != FM_OK) {
        return st;
    }
    e->first_ns = opts->source ? fm__decoder_first_ns(opts->source) : 0;
    fm_muxer_opts mo = {
        .path = opts->path, .part = opts->part, .source = opts->source, .avctx = e->avctx, .log = opts->log};
    return fm__muxer_open(&mo, &e->mux, err);
}

static void free_all(fm_encoder *e)
{
    avcodec_free_context(&e->avctx);
    av_packet_free(&e->packet);
    av_frame_free(&e->direct);
    av_frame_free(&e->canvas);
    sws_freeContext(e->sws);
    fm__free(e->path);
    fm__free(e);
}

fm_status fm__encoder_open(const fm_encoder_opts *opts, fm_encoder **out, fm_error *err)
{
    fm__av_setup();
    if (opts->width < 1 || opts->height < 1) {
        return fm__fail(
            err, FM_INVAL, "cannot write '%s': size %dx%d", opts->path, opts->width, opts->height);
    }
    fm_encoder *e = fm__calloc(FM_TAG_MEDIA, sizeof(*e));
    if (!e) {
        return fm__fail_nomem(err, "an encoder");
    }
    fm__av_guard_init(&e->guard, opts->log, NULL, 0);
    fm_status st = open_all(e, opts, err);
    if (st != FM_OK) {
        free_all(e);
        return st;
    }
    *out = e;
    return FM_OK;
}

static bool same_colour(const fm_encoder *e, const fm_frame_view *v)
{
    bool hd = e->avctx->colorspace == AVCOL_SPC_BT709, full = e->avctx->color_range == AVCOL_RANGE_JPEG;
    return hd == (v->matrix == FM_MATRIX_BT709) && full == (v->range == FM_RANGE_FULL);
}

static bool goes_directly(const fm_encoder *e, const fm_frame_view *v)
{
    bool halves = v->format == FM_PIXFMT_YUV420P || v->format == FM_PIXFMT_YUV422P;
    int mask = halves ? ~1 : ~0;
    bool crops_to_it = (v->width & mask) == e->avctx->width && (v->height & mask) == e->avctx->height;
    return fm__pixfmt_to_av(v->format) == e->avctx->pix_fmt && crops_to_it && same_colour(e, v) &&
           v->stride[0] > 0;
}

static void unref_frame(void *opaque, uint8_t *data)
{
    (void)data;
    fm_frame *frame = opaque;
    fm_frame_unref(&frame);
}

// The planes as they are; a reference keeps them until the codec has taken its copy.
static AVFrame *borrow(fm_encoder *e, const fm_frame *frame)
{
    const fm_frame_view *v = &frame->view;
    AVFrame *f = e->direct;
    fm_frame *held = fm_frame_ref((fm_frame *)frame); // the count is not part of what `const` promises
    f->buf[0] = av_buffer_create((uint8_t *)v->plane[0], (size_t)v->stride[0] * (size_t)v->height,
        unref_frame, held, AV_BUFFER_FLAG_READONLY);
    if (!f->buf[0]) {
        fm_frame_unref(&held);
        return NULL;
    }
    for (int i = 0; i < fm_pixfmt_planes(v->format); i++) {
        f->data[i] = (uint8_t *)v->plane[i];
        f->linesize[i] = v->stride[i];
    }
    return f;
}

static void fill_black(AVFrame *canvas)
{
    const ptrdiff_t strides[4] = {canvas->linesize[0], canvas->linesize[1], canvas->linesize[2]};
    av_image_fill_black(
        canvas->data, strides, canvas->format, canvas->color_range, canvas->width, canvas->height);
}

static AVFrame *new_canvas(const fm_encoder *e)
{
    AVFrame *f = av_frame_alloc();
    if (f) {
        f->format = e->avctx->pix_fmt;
        f->width = e->avctx->width;
        f->height = e->avctx->height;
        f->color_range = e->avctx->color_range;
        if (av_frame_get_buffer(f, 0) < 0) {
            av_frame_free(&f);
        }
    }
    return f;
}

// Where a picture of w x h lies on the canvas: as large as fits, in the middle, on whole chroma samples.
typedef struct placement {
    int x, y, w, h;
} placement;

static placement place(int w, int h, int canvas_w, int canvas_h)
{
    placement p = {.w = canvas_w, .h = canvas_h};
    if ((w & ~1) == canvas_w && (h & ~1) == canvas_h) {
        return p;
    }
    double scale = fmin((double)canvas_w / w, (double)canvas_h / h);
    p.w = (int)lround(w * scale / 2) * 2;
    p.h = (int)lround(h * scale / 2) * 2;
    p.w = p.w < 2 ? 2 : p.w > canvas_w ? canvas_w : p.w;
    p.h = p.h < 2 ? 2 : p.h > canvas_h ? canvas_h : p.h;
    p.x = ((canvas_w - p.w) / 2) & ~1;
    p.y = ((canvas_h - p.h) / 2) & ~1;
    return p;
}

static bool made_for(const fm_encoder *e, const fm_frame_view *v)
{
    const fm_frame_view *m = &e->made_for;
    return e->sws && m->width == v->width && m->height == v->height && m->format == v->format &&
           m->matrix == v->matrix && m->range == v->range;
}

static bool prepare_sws(fm_encoder *e, const fm_frame_view *v, placement p)
{
    if (made_for(e, v)) {
        return true;
    }
    sws_freeContext(e->sws);
    // A picture that only loses its odd column is read without it, not squeezed.
    int w = v->width - p.w == 1 ? p.w : v->width, h = v->height - p.h == 1 ? p.h : v->height;
    e->sws = sws_getContext(w, h, fm__pixfmt_to_av(v->format), p.w, p.h, e->avctx->pix_fmt,
        SWS_BILINEAR | SWS_ACCURATE_RND | SWS_FULL_CHR_H_INP, NULL, NULL, NULL);
    if (!e->sws) {
        return false;
    }
    const int *from = sws_getCoefficients(v->matrix == FM_MATRIX_BT709 ? SWS_CS_ITU709 : SWS_CS_ITU601);
    const int *to =
        sws_getCoefficients(e->avctx->colorspace == AVCOL_SPC_BT709 ? SWS_CS_ITU709 : SWS_CS_ITU601);
    (void)sws_setColorspaceDetails(e->sws, from, v->range == FM_RANGE_FULL, to,
        e->avctx->color_range == AVCOL_RANGE_JPEG, 0, 1 << 16, 1 << 16);
    e->made_for = *v;
    fill_black(e->canvas);
    return true;
}

static AVFrame *scale(fm_encoder *e, const fm_frame_view *v)
{
    e->canvas = e->canvas ? e->canvas : new_canvas(e);
    // The codec may still hold the last picture; then this one gets a buffer of its own, bars included.
    if (!e->canvas || av_frame_make_writable(e->canvas) < 0) {
        return NULL;
    }
    placement p = place(v->width, v->height, e->avctx->width, e->avctx->height);
    if (!prepare_sws(e, v, p)) {
        return NULL;
    }
    uint8_t *to[4] = {NULL};
    for (int i = 0; i < 3; i++) {
        int shift = i > 0;
        to[i] = e->canvas->data[i] + (ptrdiff_t)(p.y >> shift) * e->canvas->linesize[i] + (p.x >> shift);
    }
    const uint8_t *from[4] = {v->plane[0], v->plane[1], v->plane[2]};
    int strides[4] = {v->stride[0], v->stride[1], v->stride[2]};
    int rows = v->height - p.h == 1 ? p.h : v->height;
    return sws_scale(e->sws, from, strides, 0, rows, to, e->canvas->linesize) < 0 ? NULL : e->canvas;
}

// Ticks never repeat or go back, or the muxer would refuse them.
static int64_t tick_of(const fm_encoder *e, int64_t pts_ns)
{
    const AVRational ns = {1, FM_NS_PER_S};
    int64_t tick = pts_ns == FM_PTS_NONE ? e->last_tick + e->step_ticks
                                         : av_rescale_q(e->first_ns + pts_ns, ns, e->avctx->time_base);
    if (!e->begun) {
        return pts_ns == FM_PTS_NONE ? 0 : tick;
    }
    return tick > e->last_tick ? tick : e->last_tick + 1;
}

static fm_status write_packets(fm_encoder *e, fm_error *err)
{
    for (;;) {
        int ret = avcodec_receive_packet(e->avctx, e->packet);
        if (ret == AVERROR(EAGAIN) || ret == AVERROR_EOF) {
            return FM_OK;
        }
        if (ret < 0) {
            return fail(e, ret, "cannot encode", err);
        }
        fm_status st = fm__muxer_write(e->mux, e->packet, err);
        if (st != FM_OK) {
            return st;
        }
    }
}

static fm_status write_frame(fm_encoder *e, const fm_frame *frame, fm_error *err)
{
    AVFrame *f = goes_directly(e, &frame->view) ? borrow(e, frame) : scale(e, &frame->view);
    if (!f) {
        return fm__fail(err, FM_NOMEM, "cannot write '%s': out of memory for a %dx%d frame", e->path,
            frame->view.width, frame->view.height);
    }
    int64_t tick = tick_of(e, frame->pts_ns);
    bool key = !e->begun || tick - e->last_key_tick >= e->key_ticks;
    f->format = e->avctx->pix_fmt;
    f->width = e->avctx->width;
    f->height = e->avctx->height;
    f->pts = tick;
    f->pict_type = key ? AV_PICTURE_TYPE_I : AV_PICTURE_TYPE_NONE;
    e->begun = true;
    e->last_tick = tick;
    e->last_key_tick = key ? tick : e->last_key_tick;
    int ret = avcodec_send_frame(e->avctx, f);
    av_frame_unref(e->direct);
    return ret < 0 ? fail(e, ret, "cannot encode", err) : write_packets(e, err);
}

static fm_status remember(fm_encoder *e, fm_status st, const fm_error *why, fm_error *err)
{
    if (st != FM_OK && e->failed == FM_OK) {
        e->failed = st;
        e->failure = *why;
    }
    if (e->failed != FM_OK && err) {
        *err = e->failure;
    }
    return e->failed;
}

fm_status fm__encoder_write(fm_encoder *e, const fm_frame *frame, fm_error *err)
{
    fm_error why = {.status = FM_OK};
    fm_status st = e->failed == FM_OK ? write_frame(e, frame, &why) : FM_OK;
    return remember(e, st, &why, err);
}

static fm_status flush(fm_encoder *e, fm_error *err)
{
    int ret = avcodec_send_frame(e->avctx, NULL);
    return ret < 0 ? fail(e, ret, "cannot encode", err) : write_packets(e, err);
}

fm_status fm__encoder_close(fm_encoder **encoder, fm_error *err)
{
    fm_encoder *e = *encoder;
    if (!e) {
        return FM_OK;
    }
    *encoder = NULL;
    fm_error why = {.status = FM_OK};
    fm_status st = e->failed == FM_OK ? flush(e, &why) : FM_OK;
    st = remember(e, st, &why, err);
    st = fm__muxer_close(&e->mux, st == FM_OK, &why);
    st = remember(e, st, &why, err);
    free_all(e);
    return st;
}

void fm__encoder_abort(fm_encoder **encoder)
{
    fm_encoder *e = *encoder;
    if (e) {
        *encoder = NULL;
        (void)fm__muxer_close(&e->mux, false, NULL);
        free_all(e);
    }
}

bool fm__encoder_knows(const char *path)
{
    return fm__muxer_knows(path);
}

fm_status fm__encoder_check(const fm_encoder_opts *opts, fm_error *err)
{
    const fm_codec *codec = NULL;
    fm_status st = fm__codec_find(opts->codec, opts->path, &codec, err);
    return st == FM_OK ? fm__codec_check(codec, opts->crf, opts->preset, err) : st;
}
