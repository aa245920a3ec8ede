// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** Small clips for tests, written with libav itself, so that what we read was not made by our own code. The
 * picture of frame i is a known pattern: luma clip_luma(x, y, i), chroma grey. */
#ifndef FM_TESTS_CLIP_H
#define FM_TESTS_CLIP_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include <framemill/status.h>

#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libavutil/display.h>
#include <libavutil/opt.h>
#include <libavutil/pixdesc.h>
#include <libswscale/swscale.h>

#define assert_status(want, got, err)                                                                        \
    do {                                                                                                     \
        fm_status assert_got = (got);                                                                        \
        if (assert_got != (want)) {                                                                          \
            fail_msg("expected %s, got %s: %s", fm_status_name(want), fm_status_name(assert_got),            \
                assert_got < 0 ? (err)->msg : "");                                                           \
        }                                                                                                    \
    } while (0)

typedef struct clip {
    const char *format, *encoder;
    enum AVPixelFormat pix;
    int width, height, frames;
    int fps;                   // 0: 25
    int64_t (*pts)(int i);     // in 1/fps; NULL: i
    int degrees;               // display matrix, clockwise
    const char *creation_time; // NULL: none
    const char *movflags;      // NULL: none
    int with_audio;            // a silent PCM track beside it
} clip;

/** CLIP("mp4", "mpeg4", AV_PIX_FMT_YUV420P, 64, 48, 10, .fps = 5) */
#define CLIP(f, e, p, w, h, ...)                                                                             \
    {                                                                                                        \
        .format = (f), .encoder = (e), .pix = (p), .width = (w), .height = (h), .frames = __VA_ARGS__        \
    }

static inline uint8_t clip_luma(int x, int y, int i)
{
    return (uint8_t)(32 + abs((x * 3 + y * 2 + i * 5) % 360 - 180)); // no hard edges: lossy codecs keep it
}

/** A folder of its own for the test; freed with free(). */
static inline char *temp_folder(void)
{
    const char *base = getenv("TMPDIR");
    char text[512];
    snprintf(text, sizeof(text), "%s/framemill-test-XXXXXX", base ? base : "/tmp");
    assert_non_null(mkdtemp(text));
    return strdup(text);
}

static inline void remove_folder(char *folder)
{
    char command[640];
    snprintf(command, sizeof(command), "rm -rf '%s'", folder);
    assert_int_equal(system(command), 0);
    free(folder);
}

static inline const char *in_folder(const char *folder, const char *name, char *buf, size_t size)
{
    snprintf(buf, size, "%s/%s", folder, name);
    return buf;
}

static inline void write_file(const char *path, const void *data, size_t len)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, len, f), len);
    assert_int_equal(fclose(f), 0);
}

static inline uint8_t *read_file(const char *path, size_t *len)
{
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    fseek(f, 0, SEEK_END);
    *len = (size_t)ftell(f);
    rewind(f);
    uint8_t *data = malloc(*len + 1);
    assert_int_equal(fread(data, 1, *len, f), *len);
    fclose(f);
    return data;
}

/** The first `percent` of a file. */
static inline void cut_file(const char *from, const char *to, unsigned percent)
{
    size_t len = 0;
    uint8_t *data = read_file(from, &len);
    write_file(to, data, len * percent / 100);
    free(data);
}

static inline AVFrame *clip_picture(const clip *c, int i)
{
    AVFrame *grey = av_frame_alloc(), *out = av_frame_alloc();
    grey->format = AV_PIX_FMT_GRAY8;
    out->format = c->pix;
    grey->width = out->width = c->width;
    grey->height = out->height = c->height;
    grey->color_range = out->color_range = AVCOL_RANGE_MPEG;
    assert_int_equal(av_frame_get_buffer(grey, 0), 0);
    assert_int_equal(av_frame_get_buffer(out, 0), 0);
    for (int y = 0; y < c->height; y++) {
        for (int x = 0; x < c->width; x++) {
            grey->data[0][y * grey->linesize[0] + x] = clip_luma(x, y, i);
        }
    }
    struct SwsContext *sws = sws_getContext(c->width, c->height, AV_PIX_FMT_GRAY8, c->width, c->height,
        c->pix, SWS_POINT | SWS_ACCURATE_RND, NULL, NULL, NULL);
    assert_non_null(sws);
    const int *table = sws_getCoefficients(SWS_CS_ITU601);
    sws_setColorspaceDetails(sws, table, 1, table, 1, 0, 1 << 16, 1 << 16); // bytes stay what they are
    sws_scale(
        sws, (const uint8_t *const *)grey->data, grey->linesize, 0, c->height, out->data, out->linesize);
    sws_freeContext(sws);
    av_frame_free(&grey);
    return out;
}

static inline void clip_packets(AVFormatContext *fmt, AVCodecContext *enc, AVFrame *frame)
{
    AVPacket *p = av_packet_alloc();
    assert_true(avcodec_send_frame(enc, frame) >= 0);
    while (avcodec_receive_packet(enc, p) >= 0) {
        av_packet_rescale_ts(p, enc->time_base, fmt->streams[0]->time_base);
        p->stream_index = 0;
        assert_true(av_interleaved_write_frame(fmt, p) >= 0);
    }
    av_packet_free(&p);
}

static inline AVCodecContext *clip_encoder(const clip *c, AVFormatContext *fmt)
{
    const AVCodec *codec = avcodec_find_encoder_by_name(c->encoder);
    assert_non_null(codec);
    AVCodecContext *enc = avcodec_alloc_context3(codec);
    enc->width = c->width;
    enc->height = c->height;
    enc->pix_fmt = c->pix;
    enc->time_base = (AVRational){1, c->fps ? c->fps : 25};
    enc->framerate = (AVRational){c->fps ? c->fps : 25, 1};
    enc->gop_size = 10;
    enc->max_b_frames = 0;
    enc->global_quality = FF_QP2LAMBDA * 2;
    enc->flags |= AV_CODEC_FLAG_QSCALE;
    enc->strict_std_compliance = FF_COMPLIANCE_EXPERIMENTAL;
    if (fmt->oformat->flags & AVFMT_GLOBALHEADER) {
        enc->flags |= AV_CODEC_FLAG_GLOBAL_HEADER;
    }
    assert_int_equal(avcodec_open2(enc, codec, NULL), 0);
    return enc;
}

static inline void clip_add_audio(AVFormatContext *fmt)
{
    AVStream *st = avformat_new_stream(fmt, NULL);
    st->codecpar->codec_type = AVMEDIA_TYPE_AUDIO;
    st->codecpar->codec_id = AV_CODEC_ID_PCM_S16LE;
    st->codecpar->sample_rate = 8000;
    st->codecpar->bits_per_coded_sample = 16;
    st->codecpar->block_align = 2;
    st->codecpar->format = AV_SAMPLE_FMT_S16;
    av_channel_layout_default(&st->codecpar->ch_layout, 1);
    st->time_base = (AVRational){1, 8000};
}

static inline void clip_audio_second(AVFormatContext *fmt, int index, int second)
{
    AVPacket *p = av_packet_alloc();
    assert_int_equal(av_new_packet(p, 16000), 0);
    memset(p->data, 0, 16000);
    p->stream_index = index;
    p->pts = p->dts = second * 8000;
    p->duration = 8000;
    av_packet_rescale_ts(p, (AVRational){1, 8000}, fmt->streams[index]->time_base);
    assert_true(av_interleaved_write_frame(fmt, p) >= 0);
    av_packet_free(&p);
}

static inline void clip_write(const clip *c, const char *path)
{
    AVFormatContext *fmt = NULL;
    assert_true(avformat_alloc_output_context2(&fmt, NULL, c->format, path) >= 0);
    AVCodecContext *enc = clip_encoder(c, fmt);
    AVStream *st = avformat_new_stream(fmt, NULL);
    avcodec_parameters_from_context(st->codecpar, enc);
    st->time_base = enc->time_base;
    st->avg_frame_rate = enc->framerate;
    if (c->degrees) {
        int32_t *m =
            (int32_t *)(void *)av_stream_new_side_data(st, AV_PKT_DATA_DISPLAYMATRIX, 9 * sizeof(*m));
        av_display_rotation_set(m, c->degrees);
    }
    if (c->creation_time) {
        av_dict_set(&fmt->metadata, "creation_time", c->creation_time, 0);
    }
    if (c->with_audio) {
        clip_add_audio(fmt);
    }
    char url[600];
    snprintf(url, sizeof(url), "file:%s", path);
    assert_true(avio_open(&fmt->pb, url, AVIO_FLAG_WRITE) >= 0);
    AVDictionary *options = NULL;
    if (c->movflags) {
        av_dict_set(&options, "movflags", c->movflags, 0);
    }
    assert_true(avformat_write_header(fmt, &options) >= 0);
    av_dict_free(&options);
    for (int i = 0; i < c->frames; i++) {
        if (c->with_audio && i % 25 == 0) {
            clip_audio_second(fmt, 1, i / 25);
        }
        AVFrame *f = clip_picture(c, i);
        f->pts = c->pts ? c->pts(i) : i;
        clip_packets(fmt, enc, f);
        av_frame_free(&f);
    }
    clip_packets(fmt, enc, NULL);
    assert_true(av_write_trailer(fmt) >= 0);
    avio_closep(&fmt->pb);
    avcodec_free_context(&enc);
    avformat_free_context(fmt);
}

#endif
