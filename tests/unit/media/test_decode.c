// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// The decoder on clips written by libav: formats, times, sizes, damage.

#include "clip.h"

#include "base/alloc.h"
#include "media/internal.h"

#include <pthread.h>

static fm_decoder *open_clip(const char *path, int threads)
{
    fm_error err;
    fm_decoder *d = NULL;
    fm_decoder_opts opts = {.url = path, .kind = FM_INPUT_FILE, .threads = threads};
    assert_status(FM_OK, fm__decoder_open(&opts, &d, &err), &err);
    return d;
}

// Reads to the end; returns its status.
static fm_status drain(fm_decoder *d, int *frames, fm_error *err)
{
    fm_frame *f = NULL;
    fm_status st;
    *frames = 0;
    while ((st = fm__decoder_read(d, &f, err)) == FM_OK) {
        ++*frames;
        fm_frame_unref(&f);
    }
    return st;
}

typedef struct format_case {
    clip clip;
    fm_pixfmt format;
    bool converted;
    int tolerance; // of luma, or of grey in RGB
} format_case;

static const format_case formats[] = {
    {CLIP("nut", "rawvideo", AV_PIX_FMT_YUV420P, 33, 17, 5), FM_PIXFMT_YUV420P, false, 0},
    {CLIP("matroska", "ffv1", AV_PIX_FMT_YUV420P, 64, 48, 5), FM_PIXFMT_YUV420P, false, 0},
    {CLIP("matroska", "ffv1", AV_PIX_FMT_YUV422P, 35, 21, 5), FM_PIXFMT_YUV422P, false, 0},
    {CLIP("matroska", "ffv1", AV_PIX_FMT_YUV444P, 35, 21, 5), FM_PIXFMT_YUV444P, false, 0},
    {CLIP("matroska", "ffv1", AV_PIX_FMT_GRAY8, 35, 21, 5), FM_PIXFMT_GRAY8, false, 0},
    {CLIP("nut", "rawvideo", AV_PIX_FMT_NV12, 64, 48, 5), FM_PIXFMT_NV12, false, 0},
    {CLIP("nut", "rawvideo", AV_PIX_FMT_RGB24, 33, 17, 5), FM_PIXFMT_RGB24, false, 1},
    {CLIP("avi", "mjpeg", AV_PIX_FMT_YUVJ420P, 64, 48, 5), FM_PIXFMT_YUV420P, false, 12},
    {CLIP("mp4", "mpeg4", AV_PIX_FMT_YUV420P, 64, 48, 5), FM_PIXFMT_YUV420P, false, 12},
    {CLIP("avi", "png", AV_PIX_FMT_RGB24, 1, 1, 2), FM_PIXFMT_RGB24, false, 1},
    {CLIP("matroska", "ffv1", AV_PIX_FMT_YUV420P10, 64, 48, 5), FM_PIXFMT_YUV420P, true, 1},
    {CLIP("matroska", "ffv1", AV_PIX_FMT_YUV444P10, 33, 17, 5), FM_PIXFMT_YUV444P, true, 1},
    {CLIP("matroska", "ffv1", AV_PIX_FMT_GRAY16, 33, 17, 5), FM_PIXFMT_GRAY8, true, 1},
    {CLIP("nut", "rawvideo", AV_PIX_FMT_YUYV422, 64, 48, 5), FM_PIXFMT_YUV422P, true, 1},
    {CLIP("nut", "rawvideo", AV_PIX_FMT_BGR24, 33, 17, 5), FM_PIXFMT_RGB24, true, 1},
    {CLIP("nut", "rawvideo", AV_PIX_FMT_GBRP, 33, 17, 5), FM_PIXFMT_RGB24, true, 1},
    {CLIP("nut", "rawvideo", AV_PIX_FMT_BGRA, 33, 17, 5), FM_PIXFMT_RGB24, true, 1},
    {CLIP("gif", "gif", AV_PIX_FMT_RGB8, 32, 32, 3), FM_PIXFMT_RGB24, true, 40},
};

static void check_pattern(const format_case *k, const fm_frame *f, int i)
{
    const fm_frame_view *v = fm_frame_get_view(f);
    int step = v->format == FM_PIXFMT_RGB24 ? 3 : 1;
    for (int y = 0; y < v->height; y++) {
        for (int x = 0; x < v->width; x++) {
            int got = v->plane[0][y * v->stride[0] + x * step], want = clip_luma(x, y, i);
            if (abs(got - want) > k->tolerance) {
                fail_msg("%s %s: frame %d at %d,%d: expected %d, got %d", k->clip.format,
                    av_get_pix_fmt_name(k->clip.pix), i, x, y, want, got);
            }
        }
    }
}

static void yields_every_frame_in_a_format_that_kernels_read(void **state)
{
    const char *folder = *state;
    char path[600];
    fm_error err;
    for (size_t c = 0; c < sizeof(formats) / sizeof(*formats); c++) {
        const format_case *k = &formats[c];
        clip_write(&k->clip, in_folder(folder, "format.bin", path, sizeof(path)));
        fm_decoder *d = open_clip(path, 2);
        fm_frame *f = NULL;
        for (int i = 0; i < k->clip.frames; i++) {
            assert_status(FM_OK, fm__decoder_read(d, &f, &err), &err);
            const fm_frame_view *v = fm_frame_get_view(f);
            assert_int_equal(v->format, k->format);
            assert_int_equal(v->width, k->clip.width);
            assert_int_equal(v->height, k->clip.height);
            assert_int_equal(fm_frame_index(f), i);
            assert_true(f->bytes > 0);
            check_pattern(k, f, i);
            fm_frame_unref(&f);
        }
        assert_status(FM_EOF, fm__decoder_read(d, &f, &err), &err);
        fm_decoder_stats stats;
        fm__decoder_stats(d, &stats);
        assert_int_equal(stats.frames, k->clip.frames);
        assert_int_equal(stats.converted, k->converted ? k->clip.frames : 0);
        assert_int_equal(stats.decode_errors, 0);
        assert_int_equal(stats.format_changes, 0);
        fm__decoder_close(&d);
    }
}

static void knows_what_the_container_says(void **state)
{
    char path[600];
    fm_error err;
    const clip c = CLIP("mp4", "mpeg4", AV_PIX_FMT_YUV420P, 64, 48, 30, .fps = 10,
        .creation_time = "2026-11-22T21:00:00Z", .with_audio = 0);
    clip_write(&c, in_folder(*state, "info.mp4", path, sizeof(path)));
    fm_decoder *d = open_clip(path, 1);
    const fm_decoder_info *info = fm__decoder_info(d);
    assert_int_equal(info->width, 64);
    assert_int_equal(info->height, 48);
    assert_true(info->fps > 9.99 && info->fps < 10.01);
    assert_int_equal(info->frame_count, 30);
    assert_int_equal(info->duration_ns, 3000000000);
    assert_string_equal(info->codec, "mpeg4");
    assert_false(info->live);
    fm_frame *f = NULL;
    for (int i = 0; i < 3; i++) {
        assert_status(FM_OK, fm__decoder_read(d, &f, &err), &err);
        assert_int_equal(fm_frame_pts_ns(f), i * 100000000LL);
        // 2026-11-22T21:00:00Z
        assert_int_equal(fm_frame_wall_ns(f), 1795381200LL * 1000000000 + i * 100000000LL);
        fm_frame_unref(&f);
    }
    fm__decoder_close(&d);
}

static int64_t with_a_long_gap(int i)
{
    return i < 5 ? i : i + 1500; // a minute at 25 a second
}

static void keeps_the_gaps_of_variable_frame_rate(void **state)
{
    static const char *const containers[] = {"mp4", "matroska"};
    char path[600];
    fm_error err;
    for (size_t c = 0; c < 2; c++) {
        const clip k = CLIP(containers[c], "mpeg4", AV_PIX_FMT_YUV420P, 64, 48, 10, .pts = with_a_long_gap);
        clip_write(&k, in_folder(*state, "gap.bin", path, sizeof(path)));
        fm_decoder *d = open_clip(path, 1);
        fm_frame *f = NULL;
        for (int i = 0; i < 10; i++) {
            assert_status(FM_OK, fm__decoder_read(d, &f, &err), &err);
            assert_int_equal(fm_frame_pts_ns(f), with_a_long_gap(i) * 40000000LL);
            fm_frame_unref(&f);
        }
        fm_decoder_stats stats;
        fm__decoder_stats(d, &stats);
        assert_int_equal(stats.pts_mended, 0);
        fm__decoder_close(&d);
    }
}

static void turns_pictures_upright(void **state)
{
    static const struct {
        int degrees;
        enum AVPixelFormat pix;
        const char *encoder;
    } cases[] = {{90, AV_PIX_FMT_YUV420P, "mpeg4"}, {180, AV_PIX_FMT_YUV420P, "mpeg4"},
        {270, AV_PIX_FMT_YUV420P, "mpeg4"}, {90, AV_PIX_FMT_YUVJ422P, "mjpeg"},
        {180, AV_PIX_FMT_RGB24, "png"}};
    char path[600];
    fm_error err;
    for (size_t c = 0; c < sizeof(cases) / sizeof(*cases); c++) {
        int degrees = cases[c].degrees;
        const clip k = CLIP("mov", cases[c].encoder, cases[c].pix, 64, 48, 2, .degrees = degrees);
        clip_write(&k, in_folder(*state, "turned.mov", path, sizeof(path)));
        fm_decoder *d = open_clip(path, 1);
        fm_frame *f = NULL;
        assert_status(FM_OK, fm__decoder_read(d, &f, &err), &err);
        const fm_frame_view *v = fm_frame_get_view(f);
        assert_int_equal(v->width, degrees == 180 ? 64 : 48);
        assert_int_equal(fm__decoder_info(d)->width, v->width);
        int step = v->format == FM_PIXFMT_RGB24 ? 3 : 1;
        for (int y = 0; y < v->height; y++) {
            for (int x = 0; x < v->width; x++) {
                // Where this pixel was before the turn.
                int sx = degrees == 90 ? y : degrees == 180 ? 63 - x : 63 - y;
                int sy = degrees == 90 ? 47 - x : degrees == 180 ? 47 - y : x;
                int got = v->plane[0][y * v->stride[0] + x * step], want = clip_luma(sx, sy, 0);
                if (abs(got - want) > 14) {
                    fail_msg("%d degrees at %d,%d: expected %d, got %d", degrees, x, y, want, got);
                }
            }
        }
        fm_frame_unref(&f);
        fm_decoder_stats stats;
        fm__decoder_stats(d, &stats);
        assert_int_equal(stats.converted, 1);
        fm__decoder_close(&d);
    }
}

static void append(const char *from, const char *to)
{
    size_t len = 0;
    uint8_t *data = read_file(from, &len);
    FILE *f = fopen(to, "ab");
    assert_int_equal(fwrite(data, 1, len, f), len);
    fclose(f);
    free(data);
}

static void takes_changes_of_size_and_format_in_mid_stream(void **state)
{
    const clip parts[] = {CLIP("mjpeg", "mjpeg", AV_PIX_FMT_YUVJ420P, 64, 48, 4),
        CLIP("mjpeg", "mjpeg", AV_PIX_FMT_YUVJ420P, 96, 80, 3),
        CLIP("mjpeg", "mjpeg", AV_PIX_FMT_YUVJ422P, 96, 80, 2)};
    char part[600], whole[600];
    fm_error err;
    in_folder(*state, "whole.mjpeg", whole, sizeof(whole));
    for (int i = 0; i < 3; i++) {
        clip_write(&parts[i], in_folder(*state, "part.mjpeg", part, sizeof(part)));
        append(part, whole);
    }
    fm_decoder *d = open_clip(whole, 2);
    fm_frame *f = NULL;
    for (int i = 0; i < 9; i++) {
        assert_status(FM_OK, fm__decoder_read(d, &f, &err), &err);
        const fm_frame_view *v = fm_frame_get_view(f);
        assert_int_equal(v->width, i < 4 ? 64 : 96);
        assert_int_equal(v->height, i < 4 ? 48 : 80);
        assert_int_equal(v->format, i < 7 ? FM_PIXFMT_YUV420P : FM_PIXFMT_YUV422P);
        assert_int_equal(v->range, FM_RANGE_FULL);
        fm_frame_unref(&f);
    }
    assert_status(FM_EOF, fm__decoder_read(d, &f, &err), &err);
    fm_decoder_stats stats;
    fm__decoder_stats(d, &stats);
    assert_int_equal(stats.format_changes, 2);
    fm__decoder_close(&d);
}

static void reports_a_video_cut_in_the_middle_after_its_frames(void **state)
{
    static const struct {
        clip clip;
    } cases[] = {
        {CLIP("mp4", "mpeg4", AV_PIX_FMT_YUV420P, 160, 120, 60, .movflags = "faststart")},
        {CLIP("mp4", "libx264", AV_PIX_FMT_YUV420P, 160, 120, 60, .movflags = "faststart", .with_audio = 0)},
        {CLIP("mp4", "mpeg4", AV_PIX_FMT_YUV420P, 160, 120, 60, .movflags = "frag_keyframe+empty_moov")},
        {CLIP("mov", "mpeg4", AV_PIX_FMT_YUV420P, 160, 120, 60, .movflags = "faststart", .with_audio = 1)},
        {CLIP("avi", "mpeg4", AV_PIX_FMT_YUV420P, 160, 120, 60)},
        {CLIP("avi", "mjpeg", AV_PIX_FMT_YUVJ420P, 160, 120, 60, .with_audio = 1)},
        {CLIP("matroska", "mpeg4", AV_PIX_FMT_YUV420P, 160, 120, 60)},
    };
    char path[600], cut[600];
    fm_error err;
    for (size_t c = 0; c < sizeof(cases) / sizeof(*cases); c++) {
        int frames = 0;
        clip_write(&cases[c].clip, in_folder(*state, "whole.bin", path, sizeof(path)));
        fm_decoder *d = open_clip(path, 1);
        assert_status(FM_EOF, drain(d, &frames, &err), &err);
        assert_int_equal(frames, 60);
        fm__decoder_close(&d);

        cut_file(path, in_folder(*state, "cut.bin", cut, sizeof(cut)), 60);
        d = open_clip(cut, 1);
        fm_status st = drain(d, &frames, &err);
        if (st != FM_FORMAT || frames < 15 || frames >= 60 || !strstr(err.msg, "cut short")) {
            fail_msg("case %d: status %s after %d frames", (int)c, fm_status_name(st), frames);
        }
        fm_error again;
        fm_frame *f = NULL;
        assert_status(FM_FORMAT, fm__decoder_read(d, &f, &again), &again); // and stays so
        assert_string_equal(again.msg, err.msg);
        fm__decoder_close(&d);
    }
}

static void leaves_out_what_does_not_decode_and_goes_on(void **state)
{
    char path[600];
    fm_error err;
    const clip c = CLIP("mov", "png", AV_PIX_FMT_RGB24, 64, 64, 20);
    clip_write(&c, in_folder(*state, "png.mov", path, sizeof(path)));
    size_t len = 0;
    uint8_t *data = read_file(path, &len);
    int hit = 0;
    for (size_t i = 0; i + 8 < len; i++) { // the signature of pictures 5, 6 and 12
        if (memcmp(data + i, "\x89PNG\r\n\x1a\n", 8) == 0 && (++hit == 6 || hit == 7 || hit == 13)) {
            memset(data + i, 0x55, 40);
        }
    }
    assert_int_equal(hit, 20);
    write_file(path, data, len);
    free(data);
    for (int threads = 1; threads <= 3; threads += 2) {
        fm_decoder *d = open_clip(path, threads);
        int frames = 0;
        assert_status(FM_EOF, drain(d, &frames, &err), &err);
        fm_decoder_stats stats;
        fm__decoder_stats(d, &stats);
        assert_int_equal(frames, 17);
        assert_int_equal(stats.decode_errors, 3);
        assert_int_equal(stats.frames, 17);
        fm__decoder_close(&d);
    }
}

static void survives_garbage_anywhere(void **state)
{
    static const clip clips[] = {
        CLIP("mp4", "libx264", AV_PIX_FMT_YUV420P, 160, 120, 50, .movflags = "faststart"),
        CLIP("mpegts", "mpeg2video", AV_PIX_FMT_YUV420P, 160, 120, 50),
        CLIP("matroska", "ffv1", AV_PIX_FMT_YUV420P, 64, 48, 50),
        CLIP("avi", "mjpeg", AV_PIX_FMT_YUVJ420P, 160, 120, 50)};
    char path[600];
    fm_error err;
    for (size_t c = 0; c < sizeof(clips) / sizeof(*clips); c++) {
        clip_write(&clips[c], in_folder(*state, "g.bin", path, sizeof(path)));
        size_t len = 0;
        uint8_t *data = read_file(path, &len);
        uint32_t r = 7;
        for (size_t i = len * 45 / 100; i < len * 55 / 100; i++) {
            r = r * 1664525u + 1013904223u;
            data[i] = (uint8_t)(r >> 24);
        }
        write_file(path, data, len);
        free(data);
        fm_decoder *d = open_clip(path, 2);
        int frames = 0;
        fm_status st = drain(d, &frames, &err);
        assert_true(st == FM_EOF || st == FM_FORMAT);
        if (frames < 30) {
            fail_msg("%s: only %d frames", clips[c].format, frames);
        }
        fm__decoder_close(&d);
    }
}

static void says_when_nothing_decodes(void **state)
{
    char path[600];
    fm_error err;
    const clip c = CLIP("mov", "png", AV_PIX_FMT_RGB24, 16, 16, 5);
    clip_write(&c, in_folder(*state, "junk.mov", path, sizeof(path)));
    size_t len = 0;
    uint8_t *data = read_file(path, &len);
    for (size_t i = 0; i + 8 < len; i++) {
        if (memcmp(data + i, "\x89PNG\r\n\x1a\n", 8) == 0) {
            memset(data + i, 0, 8);
        }
    }
    write_file(path, data, len);
    free(data);
    fm_decoder *d = open_clip(path, 1);
    int frames = 0;
    assert_status(FM_FORMAT, drain(d, &frames, &err), &err);
    assert_int_equal(frames, 0);
    assert_non_null(strstr(err.msg, "nothing in it decodes (5 errors)"));
    fm__decoder_close(&d);
}

static void allocates_nothing_in_the_steady_state(void **state)
{
    static const clip clips[] = {CLIP("mp4", "libx264", AV_PIX_FMT_YUV420P, 160, 120, 60),
        CLIP("nut", "rawvideo", AV_PIX_FMT_BGR24, 64, 48, 60),
        CLIP("mov", "mpeg4", AV_PIX_FMT_YUV420P, 64, 48, 60, .degrees = 90)};
    char path[600];
    fm_error err;
    for (size_t c = 0; c < sizeof(clips) / sizeof(*clips); c++) {
        clip_write(&clips[c], in_folder(*state, "steady.bin", path, sizeof(path)));
        fm_decoder *d = open_clip(path, 2);
        fm_frame *held[4] = {NULL}; // a ring of four
        uint64_t before = 0;
        for (int i = 0; i < 60; i++) {
            fm_frame_unref(&held[i % 4]);
            assert_status(FM_OK, fm__decoder_read(d, &held[i % 4], &err), &err);
            if (i == 10) {
                before = fm__alloc_count();
            }
        }
        assert_int_equal(fm__alloc_count(), before);
        for (int i = 0; i < 4; i++) {
            fm_frame_unref(&held[i]);
        }
        fm__decoder_close(&d);
    }
}

static void *unref_all(void *arg)
{
    fm_frame **frames = arg;
    for (int i = 0; i < 8; i++) {
        fm_frame_unref(&frames[i]);
    }
    return NULL;
}

static void frames_outlive_their_decoder(void **state)
{
    char path[600];
    fm_error err;
    const clip c = CLIP("mp4", "mpeg4", AV_PIX_FMT_YUV420P, 64, 48, 8);
    clip_write(&c, in_folder(*state, "alive.mp4", path, sizeof(path)));
    fm_decoder *d = open_clip(path, 2);
    fm_frame *frames[8];
    for (int i = 0; i < 8; i++) {
        assert_status(FM_OK, fm__decoder_read(d, &frames[i], &err), &err);
    }
    fm__decoder_close(&d);
    for (int i = 0; i < 8; i++) {
        const fm_frame_view *v = fm_frame_get_view(frames[i]);
        assert_true(abs(v->plane[0][10 * v->stride[0] + 10] - clip_luma(10, 10, i)) <= 12);
    }
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, unref_all, frames), 0);
    pthread_join(thread, NULL);
}

static void refuses_more_pixels_than_allowed(void **state)
{
    char path[600];
    fm_error err;
    fm_decoder *d = NULL;
    const clip c = CLIP("mp4", "libx264", AV_PIX_FMT_YUV420P, 640, 480, 2);
    clip_write(&c, in_folder(*state, "large.mp4", path, sizeof(path)));
    fm_decoder_opts opts = {.url = path, .threads = 1, .max_pixels = 640 * 480 - 1};
    assert_status(FM_DENIED, fm__decoder_open(&opts, &d, &err), &err);
    assert_non_null(strstr(err.msg, "640x480"));
    opts.max_pixels++;
    assert_status(FM_OK, fm__decoder_open(&opts, &d, &err), &err);
    fm__decoder_close(&d);
}

static void stops_when_told(void **state)
{
    char path[600];
    fm_error err;
    fm_frame *f = NULL;
    const clip c = CLIP("mp4", "mpeg4", AV_PIX_FMT_YUV420P, 64, 48, 8);
    clip_write(&c, in_folder(*state, "stop.mp4", path, sizeof(path)));
    fm_decoder *d = open_clip(path, 1);
    assert_status(FM_OK, fm__decoder_read(d, &f, &err), &err);
    fm_frame_unref(&f);
    fm__decoder_interrupt(d);
    assert_status(FM_CANCELED, fm__decoder_read(d, &f, &err), &err);
    assert_status(FM_CANCELED, fm__decoder_read(d, &f, &err), &err);
    fm__decoder_close(&d);

    atomic_bool cancel;
    atomic_init(&cancel, true);
    fm_decoder_opts opts = {.url = path, .threads = 1, .cancel = &cancel};
    assert_status(FM_CANCELED, fm__decoder_open(&opts, &d, &err), &err);
}

static void reads_colour_tags_as_players_do(void **state)
{
    (void)state;
    static const struct {
        enum AVColorSpace space;
        enum AVColorRange range;
        enum AVPixelFormat pix;
        enum AVChromaLocation site;
        enum AVCodecID codec;
        int height;
        fm_matrix want_matrix;
        fm_range want_range;
        fm_chroma_site want_site;
    } cases[] = {
        {AVCOL_SPC_UNSPECIFIED, AVCOL_RANGE_UNSPECIFIED, AV_PIX_FMT_YUV420P, AVCHROMA_LOC_UNSPECIFIED,
            AV_CODEC_ID_H264, 576, FM_MATRIX_BT601, FM_RANGE_LIMITED, FM_CHROMA_LEFT},
        {AVCOL_SPC_UNSPECIFIED, AVCOL_RANGE_MPEG, AV_PIX_FMT_YUV420P, AVCHROMA_LOC_UNSPECIFIED,
            AV_CODEC_ID_H264, 720, FM_MATRIX_BT709, FM_RANGE_LIMITED, FM_CHROMA_LEFT},
        {AVCOL_SPC_SMPTE170M, AVCOL_RANGE_JPEG, AV_PIX_FMT_YUV420P, AVCHROMA_LOC_LEFT, AV_CODEC_ID_H264, 1080,
            FM_MATRIX_BT601, FM_RANGE_FULL, FM_CHROMA_LEFT},
        {AVCOL_SPC_BT709, AVCOL_RANGE_MPEG, AV_PIX_FMT_YUV420P, AVCHROMA_LOC_CENTER, AV_CODEC_ID_H264, 240,
            FM_MATRIX_BT709, FM_RANGE_LIMITED, FM_CHROMA_CENTER},
        {AVCOL_SPC_UNSPECIFIED, AVCOL_RANGE_UNSPECIFIED, AV_PIX_FMT_YUVJ420P, AVCHROMA_LOC_UNSPECIFIED,
            AV_CODEC_ID_MJPEG, 1080, FM_MATRIX_BT601, FM_RANGE_FULL, FM_CHROMA_CENTER},
        {AVCOL_SPC_BT2020_NCL, AVCOL_RANGE_MPEG, AV_PIX_FMT_YUV420P10, AVCHROMA_LOC_TOPLEFT, AV_CODEC_ID_HEVC,
            2160, FM_MATRIX_BT709, FM_RANGE_LIMITED, FM_CHROMA_LEFT},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        AVFrame *f = av_frame_alloc();
        f->colorspace = cases[i].space;
        f->color_range = cases[i].range;
        f->format = cases[i].pix;
        f->chroma_location = cases[i].site;
        f->height = cases[i].height;
        fm_frame_view v = {.width = 0};
        fm__colour_of_av(f, cases[i].codec, &v);
        assert_int_equal(v.matrix, cases[i].want_matrix);
        assert_int_equal(v.range, cases[i].want_range);
        assert_int_equal(v.chroma_site, cases[i].want_site);
        av_frame_free(&f);
    }
}

static void ignores_sound_beside_the_picture(void **state)
{
    char path[600];
    fm_error err;
    const clip c = CLIP("mov", "mpeg4", AV_PIX_FMT_YUV420P, 64, 48, 50, .with_audio = 1);
    clip_write(&c, in_folder(*state, "sound.mov", path, sizeof(path)));
    fm_decoder *d = open_clip(path, 1);
    int frames = 0;
    assert_status(FM_EOF, drain(d, &frames, &err), &err);
    assert_int_equal(frames, 50);
    fm__decoder_close(&d);
}

static int set_up(void **state)
{
    *state = temp_folder();
    return 0;
}

static int tear_down(void **state)
{
    remove_folder(*state);
    return 0;
}

int main(void)
{
    fm__av_setup();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(yields_every_frame_in_a_format_that_kernels_read),
        cmocka_unit_test(knows_what_the_container_says),
        cmocka_unit_test(keeps_the_gaps_of_variable_frame_rate),
        cmocka_unit_test(turns_pictures_upright),
        cmocka_unit_test(takes_changes_of_size_and_format_in_mid_stream),
        cmocka_unit_test(reports_a_video_cut_in_the_middle_after_its_frames),
        cmocka_unit_test(leaves_out_what_does_not_decode_and_goes_on),
        cmocka_unit_test(survives_garbage_anywhere),
        cmocka_unit_test(says_when_nothing_decodes),
        cmocka_unit_test(allocates_nothing_in_the_steady_state),
        cmocka_unit_test(frames_outlive_their_decoder),
        cmocka_unit_test(refuses_more_pixels_than_allowed),
        cmocka_unit_test(stops_when_told),
        cmocka_unit_test(reads_colour_tags_as_players_do),
        cmocka_unit_test(ignores_sound_beside_the_picture),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
