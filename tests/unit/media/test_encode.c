// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// The encoder, read back with the decoder: pictures, times, sizes, and files that were never finished.

#include "clip.h"

#include "media/encode.h"
#include "media/internal.h"

static fm_frame_pool *new_pool(void)
{
    fm_error err;
    fm_frame_pool *pool = NULL;
    assert_status(FM_OK, fm__frame_pool_new(&pool, &err), &err);
    return pool;
}

// A frame of one colour: luma and chroma, or R, G, B.
static fm_frame *plain_frame(fm_frame_pool *pool, fm_pixfmt format, int w, int h, const uint8_t c[3])
{
    fm_error err;
    fm_frame *f = NULL;
    assert_status(FM_OK, fm__frame_pool_take_pixels(pool, format, w, h, &f, &err), &err);
    for (int p = 0; p < fm_pixfmt_planes(format); p++) {
        int pw, ph;
        fm__pixfmt_plane_size(format, w, h, p, &pw, &ph);
        size_t row = fm__pixfmt_row_bytes(format, w, p);
        for (int y = 0; y < ph; y++) {
            uint8_t *at = fm__frame_plane(f, p) + (ptrdiff_t)y * f->view.stride[p];
            for (size_t x = 0; x < row; x++) {
                at[x] = format == FM_PIXFMT_RGB24            ? c[x % 3]
                        : format == FM_PIXFMT_NV12 && p == 1 ? c[1 + x % 2]
                                                             : c[p];
            }
        }
    }
    f->view.range = format == FM_PIXFMT_RGB24 ? FM_RANGE_FULL : FM_RANGE_LIMITED;
    return f;
}

// The pattern of clips, moved by i.
static void draw_pattern(fm_frame *f, int i)
{
    for (int y = 0; y < f->view.height; y++) {
        for (int x = 0; x < f->view.width; x++) {
            fm__frame_plane(f, 0)[y * f->view.stride[0] + x] = clip_luma(x, y, i);
        }
    }
}

static fm_encoder *open_encoder(const char *path, int w, int h)
{
    fm_error err;
    fm_encoder *e = NULL;
    fm_encoder_opts opts = {.path = path, .width = w, .height = h, .fps = 25, .crf = 10};
    assert_status(FM_OK, fm__encoder_open(&opts, &e, &err), &err);
    return e;
}

static fm_decoder *open_file(const char *path)
{
    fm_error err;
    fm_decoder *d = NULL;
    fm_decoder_opts opts = {.url = path, .threads = 1};
    assert_status(FM_OK, fm__decoder_open(&opts, &d, &err), &err);
    return d;
}

static const uint8_t grey[3] = {100, 128, 128};

static int64_t uneven_ns(int i)
{
    return i * 40000000LL + (i % 3) * 7000000LL + (i > 20 ? 5000000000LL : 0);
}

static void gives_pictures_and_uneven_times_back(void **state)
{
    char path[600];
    fm_error err;
    fm_frame_pool *pool = new_pool();
    fm_encoder *e = open_encoder(in_folder(*state, "round.mp4", path, sizeof(path)), 96, 64);
    for (int i = 0; i < 40; i++) {
        fm_frame *f = plain_frame(pool, FM_PIXFMT_YUV420P, 96, 64, grey);
        draw_pattern(f, i);
        f->pts_ns = uneven_ns(i);
        assert_status(FM_OK, fm__encoder_write(e, f, &err), &err);
        assert_int_equal(atomic_load(&f->refs), 1); // only borrowed
        fm_frame_unref(&f);
    }
    assert_status(FM_OK, fm__encoder_close(&e, &err), &err);
    assert_null(e);
    fm_decoder *d = open_file(path);
    assert_string_equal(fm__decoder_info(d)->codec, "h264");
    for (int i = 0; i < 40; i++) {
        fm_frame *f = NULL;
        assert_status(FM_OK, fm__decoder_read(d, &f, &err), &err);
        const fm_frame_view *v = fm_frame_get_view(f);
        assert_true(llabs(fm_frame_pts_ns(f) - uneven_ns(i)) < 12000); // a tick is 11.1 us
        assert_int_equal(v->matrix, FM_MATRIX_BT601);
        double error = 0;
        for (int y = 0; y < 64; y++) {
            for (int x = 0; x < 96; x++) {
                error += abs(v->plane[0][y * v->stride[0] + x] - clip_luma(x, y, i));
            }
        }
        assert_true(error / (96 * 64) < 2);
        fm_frame_unref(&f);
    }
    fm_frame *f = NULL;
    assert_status(FM_EOF, fm__decoder_read(d, &f, &err), &err);
    fm_decoder_stats stats;
    fm__decoder_stats(d, &stats);
    assert_int_equal(stats.pts_mended, 0);
    fm__decoder_close(&d);
    fm__frame_pool_free(&pool);
}

typedef struct size_case {
    fm_pixfmt format;
    int width, height, want_width, want_height;
} size_case;

static void takes_any_format_and_size(void **state)
{
    static const size_case cases[] = {
        {FM_PIXFMT_YUV420P, 33, 17, 32, 16},
        {FM_PIXFMT_YUV420P, 1, 1, 2, 2},
        {FM_PIXFMT_RGB24, 1, 1, 2, 2},
        {FM_PIXFMT_RGB24, 65, 33, 64, 32},
        {FM_PIXFMT_NV12, 66, 34, 66, 34},
        {FM_PIXFMT_YUV422P, 66, 34, 66, 34},
        {FM_PIXFMT_YUV444P, 67, 35, 66, 34},
        {FM_PIXFMT_GRAY8, 64, 36, 64, 36},
        {FM_PIXFMT_YUV420P, 1, 64, 2, 64},
    };
    char path[600];
    fm_error err;
    fm_frame_pool *pool = new_pool();
    for (size_t c = 0; c < sizeof(cases) / sizeof(*cases); c++) {
        const size_case *k = &cases[c];
        const uint8_t colour[3] = {120, 128, 128};
        fm_encoder *e = open_encoder(in_folder(*state, "any.mp4", path, sizeof(path)), k->width, k->height);
        for (int i = 0; i < 3; i++) {
            fm_frame *f = plain_frame(pool, k->format, k->width, k->height, colour);
            assert_status(FM_OK, fm__encoder_write(e, f, &err), &err); // without times: by the rate
            fm_frame_unref(&f);
        }
        assert_status(FM_OK, fm__encoder_close(&e, &err), &err);
        fm_decoder *d = open_file(path);
        for (int i = 0; i < 3; i++) {
            fm_frame *f = NULL;
            assert_status(FM_OK, fm__decoder_read(d, &f, &err), &err);
            assert_int_equal(fm_frame_get_view(f)->width, k->want_width);
            assert_int_equal(fm_frame_get_view(f)->height, k->want_height);
            assert_true(llabs(fm_frame_pts_ns(f) - i * 40000000LL) < 12000);
            fm_frame_unref(&f);
        }
        fm__decoder_close(&d);
    }
    fm__frame_pool_free(&pool);
}

// BT.709 by the book (ITU-R BT.709-6, 3.2 and 3.5), 8 bit limited range.
static void keeps_colour_when_it_converts(void **state)
{
    static const struct {
        uint8_t rgb[3], yuv[3];
    } cases[] = {{{255, 0, 0}, {63, 102, 240}}, {{0, 255, 0}, {173, 42, 26}}, {{0, 0, 255}, {32, 240, 118}},
        {{255, 255, 255}, {235, 128, 128}}, {{128, 128, 128}, {126, 128, 128}}};
    char path[600];
    fm_error err;
    fm_frame_pool *pool = new_pool();
    for (size_t c = 0; c < sizeof(cases) / sizeof(*cases); c++) {
        fm_encoder *e = NULL;
        fm_encoder_opts opts = {.path = in_folder(*state, "colour.mp4", path, sizeof(path)),
            .width = 64,
            .height = 48,
            .matrix = FM_MATRIX_BT709,
            .crf = 5};
        assert_status(FM_OK, fm__encoder_open(&opts, &e, &err), &err);
        fm_frame *f = plain_frame(pool, FM_PIXFMT_RGB24, 64, 48, cases[c].rgb);
        assert_status(FM_OK, fm__encoder_write(e, f, &err), &err);
        fm_frame_unref(&f);
        assert_status(FM_OK, fm__encoder_close(&e, &err), &err);
        fm_decoder *d = open_file(path);
        assert_status(FM_OK, fm__decoder_read(d, &f, &err), &err);
        const fm_frame_view *v = fm_frame_get_view(f);
        assert_int_equal(v->matrix, FM_MATRIX_BT709);
        assert_int_equal(v->range, FM_RANGE_LIMITED);
        for (int p = 0; p < 3; p++) {
            int got = v->plane[p][5 * v->stride[p] + 5];
            if (abs(got - cases[c].yuv[p]) > 2) {
                fail_msg("colour %d, plane %d: expected %d, got %d", (int)c, p, cases[c].yuv[p], got);
            }
        }
        fm_frame_unref(&f);
        fm__decoder_close(&d);
    }
    fm__frame_pool_free(&pool);
}

static void puts_other_sizes_on_black_with_their_shape_kept(void **state)
{
    char path[600];
    fm_error err;
    fm_frame_pool *pool = new_pool();
    const uint8_t white[3] = {235, 128, 128};
    static const int sizes[][2] = {{128, 64}, {64, 128}, {256, 128}}; // the canvas; upright; twice as large
    fm_encoder *e = open_encoder(in_folder(*state, "sizes.mp4", path, sizeof(path)), 128, 64);
    for (int i = 0; i < 3; i++) {
        fm_frame *f = plain_frame(pool, FM_PIXFMT_YUV420P, sizes[i][0], sizes[i][1], white);
        assert_status(FM_OK, fm__encoder_write(e, f, &err), &err);
        fm_frame_unref(&f);
    }
    assert_status(FM_OK, fm__encoder_close(&e, &err), &err);
    fm_decoder *d = open_file(path);
    for (int i = 0; i < 3; i++) {
        fm_frame *f = NULL;
        assert_status(FM_OK, fm__decoder_read(d, &f, &err), &err);
        const fm_frame_view *v = fm_frame_get_view(f);
        assert_true(v->plane[0][32 * v->stride[0] + 64] > 225); // the middle is white in all
        assert_true(
            i == 1 ? v->plane[0][32 * v->stride[0] + 8] < 25 : v->plane[0][32 * v->stride[0] + 8] > 225);
        fm_frame_unref(&f);
    }
    fm__decoder_close(&d);
    fm__frame_pool_free(&pool);
}

static int frames_in(const char *path, fm_status *end)
{
    fm_error err;
    fm_decoder *d = open_file(path);
    fm_frame *f = NULL;
    int n = 0;
    while ((*end = fm__decoder_read(d, &f, &err)) == FM_OK) {
        n++;
        fm_frame_unref(&f);
    }
    fm__decoder_close(&d);
    return n;
}

static void a_file_that_was_never_finished_plays(void **state)
{
    char path[600], copy[600];
    fm_error err;
    fm_status end;
    fm_frame_pool *pool = new_pool();
    fm_encoder *e = open_encoder(in_folder(*state, "killed.mp4", path, sizeof(path)), 96, 64);
    for (int i = 0; i < 150; i++) { // six seconds
        fm_frame *f = plain_frame(pool, FM_PIXFMT_YUV420P, 96, 64, grey);
        draw_pattern(f, i);
        f->pts_ns = i * 40000000LL;
        assert_status(FM_OK, fm__encoder_write(e, f, &err), &err);
        fm_frame_unref(&f);
    }
    // What a kill would leave is what is in the file now.
    cut_file(path, in_folder(*state, "copy.mp4", copy, sizeof(copy)), 100);
    int before = frames_in(copy, &end);
    assert_int_equal(end, FM_EOF);
    assert_true(before >= 100); // all but the last fragment and the encoder's look-ahead
    assert_status(FM_OK, fm__encoder_close(&e, &err), &err);
    assert_int_equal(frames_in(path, &end), 150);
    assert_int_equal(end, FM_EOF);
    for (unsigned percent = 65; percent <= 95; percent++) { // in a fragment's header, too
        cut_file(path, copy, percent);
        int cut = frames_in(copy, &end);
        assert_true(cut >= 50 && cut < 150);
        assert_int_equal(end, FM_FORMAT); // and it is said
    }
    fm__frame_pool_free(&pool);
}

static void says_why_it_cannot_write(void **state)
{
    char path[600];
    fm_error err;
    fm_encoder *e = NULL;
    fm_encoder_opts opts = {
        .path = in_folder(*state, "no/such/folder.mp4", path, sizeof(path)), .width = 64, .height = 48};
    assert_status(FM_NOTFOUND, fm__encoder_open(&opts, &e, &err), &err);
    assert_non_null(strstr(err.msg, "folder.mp4"));
    opts.path = *state; // a folder
    assert_status(FM_IO, fm__encoder_open(&opts, &e, &err), &err);
    opts.path = "/proc/version";
    assert_true(fm__encoder_open(&opts, &e, &err) == FM_IO);
    opts.width = 0;
    assert_status(FM_INVAL, fm__encoder_open(&opts, &e, &err), &err);
    opts.path = in_folder(*state, "huge.mp4", path, sizeof(path));
    opts.width = opts.height = 40000;
    assert_status(FM_UNSUPPORTED, fm__encoder_open(&opts, &e, &err), &err);
    opts.width = opts.height = 64;
    opts.preset = "no such preset";
    assert_status(FM_INVAL, fm__encoder_open(&opts, &e, &err), &err);
    assert_null(e);
}

static void reports_a_full_disk_once_and_for_all(void **state)
{
    (void)state;
    fm_error err = {.status = FM_OK};
    fm_encoder *e = NULL;
    fm_frame_pool *pool = new_pool();
    fm_encoder_opts opts = {.path = "/dev/full", .width = 64, .height = 48};
    fm_status st = fm__encoder_open(&opts, &e, &err);
    for (int i = 0; st == FM_OK && i < 200; i++) {
        fm_frame *f = plain_frame(pool, FM_PIXFMT_YUV420P, 64, 48, grey);
        st = fm__encoder_write(e, f, &err);
        fm_frame_unref(&f);
    }
    assert_status(FM_IO, st, &err);
    assert_non_null(strstr(err.msg, "No space left"));
    if (e) {
        assert_status(FM_IO, fm__encoder_close(&e, &err), &err);
    }
    fm__frame_pool_free(&pool);
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
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gives_pictures_and_uneven_times_back),
        cmocka_unit_test(takes_any_format_and_size),
        cmocka_unit_test(keeps_colour_when_it_converts),
        cmocka_unit_test(puts_other_sizes_on_black_with_their_shape_kept),
        cmocka_unit_test(a_file_that_was_never_finished_plays),
        cmocka_unit_test(says_why_it_cannot_write),
        cmocka_unit_test(reports_a_full_disk_once_and_for_all),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
