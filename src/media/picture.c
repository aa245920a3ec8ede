// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// One still picture through libav, for the one common kind that libvips does not read by itself: BMP. The
// file is recognised by its first bytes, not by its name, and handed whole to the BMP decoder alone: no
// demuxer, no probing, so that nothing else can be reached through a picture's name.

#include "media/internal.h"

#include "base/error.h"
#include "base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DEFAULT_MAX_PIXELS ((int64_t)16384 * 16384 / 2)
// A BMP of the largest allowed picture at 4 bytes a pixel, and its headers.
#define MAX_FILE_BYTES ((int64_t)768 << 20)

static fm_status read_all(int fd, uint8_t *data, size_t size, const char *shown, fm_error *err)
{
    for (size_t done = 0; done < size;) {
        ssize_t n = read(fd, data + done, size - done);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return fm__fail_errno(err, errno, "cannot read", shown);
        }
        if (n == 0) {
            return fm__fail(err, FM_FORMAT, "'%s' became shorter while it was read", shown);
        }
        done += (size_t)n;
    }
    return FM_OK;
}

static fm_status read_file(int fd, const char *shown, AVPacket *packet, fm_error *err)
{
    struct stat st;
    if (fstat(fd, &st) != 0) {
        return fm__fail_errno(err, errno, "cannot read", shown);
    }
    if (!S_ISREG(st.st_mode)) {
        return fm__fail(err, FM_INVAL, "'%s' is not a regular file; give a picture", shown);
    }
    if (st.st_size < 2) {
        return fm__fail(err, FM_FORMAT, "'%s' is empty; copy it again", shown);
    }
    if (st.st_size > MAX_FILE_BYTES) {
        return fm__fail(err, FM_DENIED, "'%s' is larger than %lld MiB, which no allowed BMP is", shown,
            (long long)(MAX_FILE_BYTES >> 20));
    }
    if (av_new_packet(packet, (int)st.st_size) < 0) { // with the padding that decoders need
        return fm__fail_nomem(err, "a picture");
    }
    return read_all(fd, packet->data, (size_t)st.st_size, shown, err);
}

static fm_status open_bmp(AVCodecContext **out, int64_t max_pixels, fm_av_guard *g, fm_error *err)
{
    const AVCodec *codec = avcodec_find_decoder(AV_CODEC_ID_BMP);
    if (!codec) {
        return fm__fail(err, FM_UNSUPPORTED, "libavcodec here has no BMP decoder");
    }
    AVCodecContext *avctx = avcodec_alloc_context3(codec);
    if (!avctx) {
        return fm__fail_nomem(err, "a decoder");
    }
    fm__av_guard_codec(g, avctx);
    avctx->max_pixels = max_pixels;
    avctx->thread_count = 1;
    if (avcodec_open2(avctx, codec, NULL) < 0) {
        avcodec_free_context(&avctx);
        return fm__fail_nomem(err, "a decoder");
    }
    *out = avctx;
    return FM_OK;
}

// Little-endian at byte `at`; the header is checked to be long enough.
static int64_t header_int(const uint8_t *p, int at)
{
    return (int32_t)((uint32_t)p[at] | (uint32_t)p[at + 1] << 8 | (uint32_t)p[at + 2] << 16 |
                     (uint32_t)p[at + 3] << 24);
}

// The size stands in the header: said here, so that "too large" is not reported as "damaged".
static fm_status check_header(const AVPacket *packet, int64_t max_pixels, const char *shown, fm_error *err)
{
    const uint8_t *p = packet->data;
    if (p[0] != 'B' || p[1] != 'M') {
        return fm__fail(err, FM_UNSUPPORTED, "'%s' is not a BMP picture", shown);
    }
    if (packet->size < 26 || header_int(p, 14) < 40) {
        return FM_OK; // OS/2 or damaged: the decoder judges, under the same limit
    }
    int64_t w = header_int(p, 18), h = header_int(p, 22);
    w = w < 0 ? -w : w;
    h = h < 0 ? -h : h;
    if (w > 0 && h > max_pixels / w) {
        return fm__fail(err, FM_DENIED, "'%s' is %lldx%lld, more than the limit of %lld pixels", shown,
            (long long)w, (long long)h, (long long)max_pixels);
    }
    return FM_OK;
}

static fm_status decode(AVCodecContext *avctx, const AVPacket *packet, const char *shown, fm_frame_pool *pool,
    fm_frame **out, fm_error *err)
{
    AVFrame *f = av_frame_alloc();
    if (!f) {
        return fm__fail_nomem(err, "a picture");
    }
    fm_status st = FM_OK;
    int ret = avcodec_send_packet(avctx, packet);
    ret = ret < 0 ? ret : avcodec_receive_frame(avctx, f);
    if (ret < 0 || f->decode_error_flags) {
        st = fm__fail_native(err, FM_FORMAT, ret, "'%s' does not decode: it is damaged or cut short", shown);
    } else {
        fm_converter c = {.sws = NULL};
        fm_frame_view colour = {.range = FM_RANGE_FULL};
        st = fm__convert(&c, f, FM_PIXFMT_RGB24, 0, &colour, pool, out, err);
        fm__converter_done(&c);
    }
    av_frame_free(&f);
    return st;
}

static fm_status read_and_decode(
    int fd, const char *shown, int64_t max_pixels, fm_frame_pool *pool, fm_frame **out, fm_error *err)
{
    fm_av_guard guard;
    fm__av_guard_init(&guard, NULL, NULL, 0);
    AVCodecContext *avctx = NULL;
    AVPacket *packet = av_packet_alloc();
    fm_status st = packet ? read_file(fd, shown, packet, err) : fm__fail_nomem(err, "a picture");
    if (st == FM_OK) {
        st = check_header(packet, max_pixels, shown, err);
    }
    if (st == FM_OK) {
        st = open_bmp(&avctx, max_pixels, &guard, err);
    }
    if (st == FM_OK) {
        st = decode(avctx, packet, shown, pool, out, err);
    }
    avcodec_free_context(&avctx);
    av_packet_free(&packet);
    return st;
}

fm_status fm__media_picture(
    const char *path, int64_t max_pixels, fm_frame_pool *pool, fm_frame **out, fm_error *err)
{
    fm__av_setup();
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); // a FIFO must not hold us up
    if (fd < 0) {
        return fm__fail_errno(err, errno, "cannot open", path);
    }
    fm_status st =
        read_and_decode(fd, path, max_pixels > 0 ? max_pixels : DEFAULT_MAX_PIXELS, pool, out, err);
    close(fd);
    return st;
}
