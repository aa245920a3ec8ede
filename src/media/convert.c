// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// From libav's pixel formats to ours. Formats that kernels read pass as they are; all others (10 bit, packed
// YUV, palettes, planar RGB, ...) go through swscale into the nearest of ours: RGB stays RGB, YUV keeps its
// matrix, range and, where we have it, its chroma subsampling, so that no colour is converted twice. Pictures
// that a display matrix turns by a quarter are turned here, tile by tile.

#include "media/internal.h"

#include "base/error.h"

#include <libavutil/imgutils.h>
#include <libavutil/pixdesc.h>
#include <libswscale/swscale.h>

#include <string.h>

typedef struct format_pair {
    enum AVPixelFormat av;
    fm_pixfmt ours;
} format_pair;

// The first entry of each of ours is the way back.
static const format_pair pairs[] = {
    {AV_PIX_FMT_YUV420P, FM_PIXFMT_YUV420P},
    {AV_PIX_FMT_NV12, FM_PIXFMT_NV12},
    {AV_PIX_FMT_YUV422P, FM_PIXFMT_YUV422P},
    {AV_PIX_FMT_YUV444P, FM_PIXFMT_YUV444P},
    {AV_PIX_FMT_GRAY8, FM_PIXFMT_GRAY8},
    {AV_PIX_FMT_RGB24, FM_PIXFMT_RGB24},
    {AV_PIX_FMT_YUVJ420P, FM_PIXFMT_YUV420P},
    {AV_PIX_FMT_YUVJ422P, FM_PIXFMT_YUV422P},
    {AV_PIX_FMT_YUVJ444P, FM_PIXFMT_YUV444P},
};
#define PAIR_COUNT (sizeof(pairs) / sizeof(*pairs))

// Below this height video without a tag is taken as standard definition, BT.601; the rule of players.
#define HD_HEIGHT 720

fm_pixfmt fm__pixfmt_of_av(enum AVPixelFormat format)
{
    for (size_t i = 0; i < PAIR_COUNT; i++) {
        if (pairs[i].av == format) {
            return pairs[i].ours;
        }
    }
    return FM_PIXFMT_NONE;
}

enum AVPixelFormat fm__pixfmt_to_av(fm_pixfmt format)
{
    for (size_t i = 0; i < PAIR_COUNT; i++) {
        if (pairs[i].ours == format) {
            return pairs[i].av;
        }
    }
    return AV_PIX_FMT_NONE;
}

static bool is_yuvj(enum AVPixelFormat format)
{
    return format == AV_PIX_FMT_YUVJ420P || format == AV_PIX_FMT_YUVJ422P || format == AV_PIX_FMT_YUVJ444P ||
           format == AV_PIX_FMT_YUVJ440P || format == AV_PIX_FMT_YUVJ411P;
}

// BT.2020 and SMPTE 240M have no matrix of ours; BT.709 is the nearer one of the two.
static fm_matrix matrix_of(const AVFrame *f, enum AVCodecID codec)
{
    switch (f->colorspace) {
    case AVCOL_SPC_BT470BG:
    case AVCOL_SPC_SMPTE170M:
    case AVCOL_SPC_FCC:
        return FM_MATRIX_BT601;
    case AVCOL_SPC_BT709:
    case AVCOL_SPC_SMPTE240M:
    case AVCOL_SPC_BT2020_NCL:
    case AVCOL_SPC_BT2020_CL:
        return FM_MATRIX_BT709;
    default:
        return f->height >= HD_HEIGHT && codec != AV_CODEC_ID_MJPEG ? FM_MATRIX_BT709 : FM_MATRIX_BT601;
    }
}

void fm__colour_of_av(const AVFrame *f, enum AVCodecID codec, fm_frame_view *view)
{
    bool full = f->color_range == AVCOL_RANGE_JPEG || is_yuvj(f->format);
    bool jpeg_like = codec == AV_CODEC_ID_MJPEG || codec == AV_CODEC_ID_MPEG1VIDEO;
    view->matrix = matrix_of(f, codec);
    view->range = full ? FM_RANGE_FULL : FM_RANGE_LIMITED;
    switch (f->chroma_location) {
    case AVCHROMA_LOC_CENTER:
    case AVCHROMA_LOC_TOP:
    case AVCHROMA_LOC_BOTTOM:
        view->chroma_site = FM_CHROMA_CENTER;
        break;
    case AVCHROMA_LOC_UNSPECIFIED:
        view->chroma_site = jpeg_like ? FM_CHROMA_CENTER : FM_CHROMA_LEFT;
        break;
    default:
        view->chroma_site = FM_CHROMA_LEFT;
        break;
    }
}

// Turned by a quarter, 4:2:2 would become 4:4:0, which we do not have.
static fm_pixfmt nearest(enum AVPixelFormat format, int turns)
{
    const AVPixFmtDescriptor *d = av_pix_fmt_desc_get(format);
    fm_pixfmt best = FM_PIXFMT_YUV420P;
    if (!d) {
        best = FM_PIXFMT_NONE;
    } else if (d->flags & (AV_PIX_FMT_FLAG_RGB | AV_PIX_FMT_FLAG_PAL | AV_PIX_FMT_FLAG_BAYER)) {
        best = FM_PIXFMT_RGB24;
    } else if (d->nb_components < 3) {
        best = FM_PIXFMT_GRAY8;
    } else if (d->log2_chroma_w == 0 && d->log2_chroma_h == 0) {
        best = FM_PIXFMT_YUV444P;
    } else if (d->log2_chroma_w == 1 && d->log2_chroma_h == 0 && turns % 2 == 0) {
        best = FM_PIXFMT_YUV422P;
    }
    return best;
}

static bool prepare(fm_converter *c, const AVFrame *src, enum AVPixelFormat to, const fm_frame_view *colour)
{
    bool same = c->sws && c->width == src->width && c->height == src->height && (int)c->from == src->format &&
                c->to == to && c->range == (int)colour->range && c->matrix == (int)colour->matrix;
    if (same) {
        return true;
    }
    sws_freeContext(c->sws);
    c->sws = sws_getContext(src->width, src->height, src->format, src->width, src->height, to,
        SWS_BILINEAR | SWS_ACCURATE_RND | SWS_FULL_CHR_H_INP, NULL, NULL, NULL);
    if (!c->sws) {
        return false;
    }
    const int *table = sws_getCoefficients(colour->matrix == FM_MATRIX_BT709 ? SWS_CS_ITU709 : SWS_CS_ITU601);
    int full = colour->range == FM_RANGE_FULL;
    // It has no say in conversions without YUV, and says so by failing.
    (void)sws_setColorspaceDetails(c->sws, table, full, table, full, 0, 1 << 16, 1 << 16);
    c->width = src->width;
    c->height = src->height;
    c->from = src->format;
    c->to = to;
    c->range = full ? FM_RANGE_FULL : FM_RANGE_LIMITED;
    c->matrix = colour->matrix;
    return true;
}

static fm_status scale(fm_converter *c, const AVFrame *src, fm_pixfmt want, const fm_frame_view *colour,
    fm_frame_pool *pool, fm_frame **out, fm_error *err)
{
    if (want == FM_PIXFMT_NONE || !prepare(c, src, fm__pixfmt_to_av(want), colour)) {
        const char *name = av_get_pix_fmt_name(src->format);
        return fm__fail(err, FM_UNSUPPORTED, "pixel format %s cannot be converted", name ? name : "unknown");
    }
    fm_frame *f = NULL;
    fm_status st = fm__frame_pool_take_pixels(pool, want, src->width, src->height, &f, err);
    if (st < 0) {
        return st;
    }
    uint8_t *planes[4] = {NULL};
    int strides[4] = {0};
    for (int i = 0; i < fm_pixfmt_planes(want); i++) {
        planes[i] = fm__frame_plane(f, i);
        strides[i] = f->view.stride[i];
    }
    if (sws_scale(c->sws, (const uint8_t *const *)src->data, src->linesize, 0, src->height, planes,
            strides) != src->height) {
        fm_frame_unref(&f);
        return fm__fail(
            err, FM_UNSUPPORTED, "pixel format %s cannot be converted", av_get_pix_fmt_name(src->format));
    }
    *out = f;
    return FM_OK;
}

typedef struct plane {
    const uint8_t *data;
    ptrdiff_t stride;
    int w, h;
} plane;

// Walks the target in tiles so that the strided side stays in cache; `step` is bytes per sample.
static void turn_plane(plane src, uint8_t *dst, int dst_stride, int turns, int step)
{
    enum { TILE = 32 };
    int w = turns % 2 ? src.h : src.w, h = turns % 2 ? src.w : src.h;
    for (int ty = 0; ty < h; ty += TILE) {
        for (int tx = 0; tx < w; tx += TILE) {
            for (int y = ty; y < h && y < ty + TILE; y++) {
                for (int x = tx; x < w && x < tx + TILE; x++) {
                    int sx = turns == 1 ? y : turns == 2 ? w - 1 - x : h - 1 - y;
                    int sy = turns == 1 ? w - 1 - x : turns == 2 ? h - 1 - y : x;
                    const uint8_t *from = src.data + sy * src.stride + (ptrdiff_t)sx * step;
                    uint8_t *to = dst + (ptrdiff_t)y * dst_stride + (ptrdiff_t)x * step;
                    for (int b = 0; b < step; b++) {
                        to[b] = from[b];
                    }
                }
            }
        }
    }
}

static fm_status turn(const fm_frame_view *src, int turns, fm_frame_pool *pool, fm_frame **out, fm_error *err)
{
    int w = turns % 2 ? src->height : src->width, h = turns % 2 ? src->width : src->height;
    fm_frame *f = NULL;
    fm_status st = fm__frame_pool_take_pixels(pool, src->format, w, h, &f, err);
    if (st < 0) {
        return st;
    }
    for (int i = 0; i < fm_pixfmt_planes(src->format); i++) {
        plane p = {.data = src->plane[i], .stride = src->stride[i]};
        fm__pixfmt_plane_size(src->format, src->width, src->height, i, &p.w, &p.h);
        int step = src->format == FM_PIXFMT_RGB24 ? 3 : src->format == FM_PIXFMT_NV12 && i == 1 ? 2 : 1;
        turn_plane(p, fm__frame_plane(f, i), f->view.stride[i], turns, step);
    }
    *out = f;
    return FM_OK;
}

// A view of an AVFrame whose format is one of ours.
static fm_frame_view view_of(const AVFrame *src)
{
    fm_frame_view v = {.width = src->width, .height = src->height, .format = fm__pixfmt_of_av(src->format)};
    for (int i = 0; i < fm_pixfmt_planes(v.format); i++) {
        v.plane[i] = src->data[i];
        v.stride[i] = src->linesize[i];
    }
    return v;
}

static fm_status convert_and_turn(fm_converter *c, const AVFrame *src, fm_pixfmt want, int turns,
    const fm_frame_view *colour, fm_frame_pool *pool, fm_frame **out, fm_error *err)
{
    if (!c->scratch) {
        fm_status st = fm__frame_pool_new(&c->scratch, err);
        if (st < 0) {
            return st;
        }
    }
    fm_frame *flat = NULL;
    fm_status st = scale(c, src, want, colour, c->scratch, &flat, err);
    if (st == FM_OK) {
        st = turn(&flat->view, turns, pool, out, err);
    }
    fm_frame_unref(&flat);
    return st;
}

fm_status fm__convert(fm_converter *c, const AVFrame *src, fm_pixfmt want, int turns,
    const fm_frame_view *colour, fm_frame_pool *pool, fm_frame **out, fm_error *err)
{
    fm_pixfmt have = fm__pixfmt_of_av(src->format);
    if (want == FM_PIXFMT_NONE) {
        want = have != FM_PIXFMT_NONE && !(have == FM_PIXFMT_YUV422P && turns % 2)
                   ? have
                   : nearest(src->format, turns);
    }
    fm_frame *f = NULL;
    fm_status st = FM_OK;
    if (turns == 0) {
        st = scale(c, src, want, colour, pool, &f, err);
    } else if (have == want) {
        fm_frame_view v = view_of(src);
        st = turn(&v, turns, pool, &f, err);
    } else {
        st = convert_and_turn(c, src, want, turns, colour, pool, &f, err);
    }
    if (st < 0) {
        return st;
    }
    f->view.matrix = colour->matrix;
    f->view.range = colour->range;
    f->view.chroma_site = turns ? FM_CHROMA_CENTER : colour->chroma_site;
    *out = f;
    return FM_OK;
}

void fm__converter_done(fm_converter *c)
{
    sws_freeContext(c->sws);
    c->sws = NULL;
    fm__frame_pool_free(&c->scratch);
}
