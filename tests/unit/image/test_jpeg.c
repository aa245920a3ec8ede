// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// JPEG straight from planes: what a decoder shows is what the frame's own matrix and range say, for every
// format and for odd sizes; and a damaged one is told.

#include "../testing.h"

#include "base/file.h"
#include "frame/frame.h"
#include "image/image.h"
#include "image/jpeg.h"

#include <fm_config.h>

#include <math.h>
#include <unistd.h>

enum { W = 67, H = 45, STRIDE = 256 };

static uint8_t to_byte(double v)
{
    return (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : lrint(v));
}

// One colour as Y, U, V by the formulas of BT.601 and BT.709.
static void yuv_of(const double rgb[3], fm_matrix m, fm_range range, uint8_t yuv[3])
{
    double kr = m == FM_MATRIX_BT709 ? 0.2126 : 0.299, kb = m == FM_MATRIX_BT709 ? 0.0722 : 0.114;
    double y = kr * rgb[0] + (1 - kr - kb) * rgb[1] + kb * rgb[2];
    double u = (rgb[2] - y) / (2 * (1 - kb)), v = (rgb[0] - y) / (2 * (1 - kr));
    bool full = range == FM_RANGE_FULL;
    yuv[0] = to_byte(full ? y : 16 + y * 219 / 255);
    yuv[1] = to_byte(128 + u * (full ? 1 : 224.0 / 255));
    yuv[2] = to_byte(128 + v * (full ? 1 : 224.0 / 255));
}

// A frame whose left half is one colour and whose right half another, without a byte to spare behind its
// rows.
static fm_frame_view paint(
    uint8_t *mem, fm_pixfmt format, fm_matrix m, fm_range range, const double colors[2][3])
{
    fm_frame_view v = {.width = W, .height = H, .format = format, .matrix = m, .range = range};
    for (int p = 0; p < fm_pixfmt_planes(format); p++) {
        int w = 0, h = 0;
        fm__pixfmt_plane_size(format, W, H, p, &w, &h);
        v.plane[p] = mem;
        v.stride[p] = (int)fm__pixfmt_row_bytes(format, W, p);
        for (int y = 0; y < h; y++) {
            for (int x = 0; x < w; x++) {
                const double *c = colors[x * W / w >= 32];
                uint8_t yuv[3], *at = mem + (size_t)y * (size_t)v.stride[p];
                yuv_of(c, m, range, yuv);
                if (fm__pixfmt_is_rgb(format)) {
                    for (int i = 0; i < 3; i++) {
                        at[3 * x + i] = to_byte(c[format == FM_PIXFMT_BGR24 ? 2 - i : i]);
                    }
                } else if (format == FM_PIXFMT_NV12 && p == 1) {
                    at[2 * x] = yuv[1];
                    at[2 * x + 1] = yuv[2];
                } else {
                    at[x] = yuv[p];
                }
            }
        }
        mem += (size_t)h * (size_t)v.stride[p];
    }
    return v;
}

static void colours_come_out_right(void **state)
{
    (void)state;
    if (!FM_HAVE_VIPS) {
        print_message("built without libvips\n");
        skip();
    }
    const double colors[][2][3] = {
        {{200, 40, 60}, {30, 120, 220}}, {{255, 255, 255}, {0, 0, 0}}, {{20, 200, 40}, {128, 128, 128}}};
    char *dir = make_dir(), path[512];
    fm_jpeg *j = NULL;
    fm_frame_pool *pool = NULL;
    fm_error err = {0};
    assert_int_equal(fm__jpeg_new(100, &j, &err), FM_OK);
    assert_int_equal(fm__frame_pool_new(&pool, &err), FM_OK);
    assert_int_equal(fm__image_init(&err), FM_OK);
    snprintf(path, sizeof(path), "%s/a.jpg", dir);
    for (int k = 0; k < 3 * 7 * 4; k++) {
        fm_pixfmt format = (fm_pixfmt)(k / 4 % 7 + 1);
        const double(*c)[3] = colors[k / 28];
        size_t need = (size_t)W * H * 3 + 64, size = 0;
        uint8_t *mem = malloc(need); // its end is guarded under AddressSanitizer
        assert_non_null(mem);
        fm_frame_view v = paint(mem, format, (fm_matrix)(k & 1), (fm_range)(k >> 1 & 1), c);
        const uint8_t *bytes = NULL;
        fm_frame *back = NULL;
        if (fm__jpeg_encode(j, &v, &bytes, &size, &err) != FM_OK) {
            fail_msg("%s", err.msg);
        }
        int w = 0, h = 0;
        fm_status whole = fm__jpeg_check(bytes, size, &w, &h, &err);
        assert_int_equal(whole, FM_HAVE_TURBOJPEG ? FM_OK : FM_UNSUPPORTED);
        assert_true(whole != FM_OK || (w == W && h == H));
        whole = fm__jpeg_check(bytes, size / 2, &w, &h, &err);
        assert_int_equal(whole, FM_HAVE_TURBOJPEG ? FM_FORMAT : FM_UNSUPPORTED);
        assert_int_equal(fm__file_replace(path, bytes, size, &err), FM_OK);
        if (fm__image_load(path, 0, pool, &back, &err) != FM_OK) {
            fail_msg("%s", err.msg);
        }
        const fm_frame_view *b = fm_frame_get_view(back);
        for (int side = 0; side < 2; side++) {
            // Away from the edge between the halves, where chroma is shared; the last column and row too.
            const int xs[] = {side ? W - 1 : 0, side ? 48 : 12};
            const int ys[] = {H - 1, 10};
            for (int at = 0; at < 2; at++) {
                const uint8_t *p =
                    b->plane[0] + ys[at] * b->stride[0] + xs[at] * (b->format == FM_PIXFMT_RGB24 ? 3 : 1);
                double luma = 0.299 * c[side][0] + 0.587 * c[side][1] + 0.114 * c[side][2];
                double luma709 = 0.2126 * c[side][0] + 0.7152 * c[side][1] + 0.0722 * c[side][2];
                for (int i = 0; i < 3; i++) {
                    bool grey = format == FM_PIXFMT_GRAY8;
                    double want = grey ? (k & 1 ? luma709 : luma) : c[side][i];
                    int got = b->format == FM_PIXFMT_RGB24 ? p[i] : p[0];
                    if (fabs(got - want) > 6) { // 8 bits through three roundings, times 1.8 of the matrix
                        fail_msg("%s, matrix %d, range %d, at %d,%d, channel %d: %d instead of %.1f",
                            fm_pixfmt_name(format), k & 1, k >> 1 & 1, xs[at], ys[at], i, got, want);
                    }
                }
            }
        }
        fm_frame_unref(&back);
        free(mem);
    }
    fm__jpeg_free(&j);
    fm__frame_pool_free(&pool);
    fm__image_shutdown();
    drop_dir(dir);
}

// libturbojpeg has no warning for noise of any quality and format, where symbols of all kinds meet.
static void every_quality_is_whole(void **state)
{
    (void)state;
    if (!FM_HAVE_TURBOJPEG) {
        print_message("built without libturbojpeg\n");
        skip();
    }
    uint8_t *mem = malloc((size_t)W * H * 3);
    assert_non_null(mem);
    uint64_t rng = 3;
    for (int quality = 1; quality <= 100; quality++) {
        fm_jpeg *j = NULL;
        fm_error err = {0};
        assert_int_equal(fm__jpeg_new(quality, &j, &err), FM_OK);
        for (int format = FM_PIXFMT_GRAY8; format < FM_PIXFMT_COUNT; format++) {
            const double colors[2][3] = {{255, 255, 255}, {0, 0, 0}};
            fm_frame_view v =
                paint(mem, (fm_pixfmt)format, (fm_matrix)(quality & 1), (fm_range)(quality >> 1 & 1), colors);
            for (size_t i = 0; i < (size_t)W * H * 3; i++) {
                mem[i] = (uint8_t)(quality % 3 ? rnd_below(&rng, 256) : rnd_below(&rng, 2) * 255);
            }
            const uint8_t *bytes = NULL;
            size_t size = 0;
            int w = 0, h = 0;
            assert_int_equal(fm__jpeg_encode(j, &v, &bytes, &size, &err), FM_OK);
            if (fm__jpeg_check(bytes, size, &w, &h, &err) != FM_OK || w != W || h != H) {
                fail_msg(
                    "%s quality %d, %dx%d: %s", fm_pixfmt_name((fm_pixfmt)format), quality, w, h, err.msg);
            }
        }
        fm__jpeg_free(&j);
    }
    free(mem);
}

static void parts_stay_inside(void **state)
{
    (void)state;
    uint8_t mem[W * H * 3];
    const double colors[2][3] = {{1, 2, 3}, {4, 5, 6}};
    fm_frame_view v = paint(mem, FM_PIXFMT_YUV420P, FM_MATRIX_BT601, FM_RANGE_FULL, colors), p;
    const struct {
        fm_box box;
        bool any;
        int w, h;
    } cases[] = {{{-5, -5, 1000, 1000}, true, W, H}, {{3, 3, 5, 5}, true, 3, 3},
        {{W, 0, W + 5, 5}, false, 0, 0}, {{5, 5, 5, 9}, false, 0, 0}, {{NAN, 0, 5, 5}, false, 0, 0},
        {{-10, 0, -1, 5}, false, 0, 0}, {{60, 40, 66.5f, 44.5f}, true, 7, 5}};
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        assert_int_equal(fm__view_part(&v, cases[i].box, &p), cases[i].any);
        if (cases[i].any && (p.width != cases[i].w || p.height != cases[i].h)) {
            fail_msg("case %zu: %dx%d", i, p.width, p.height);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(colours_come_out_right),
        cmocka_unit_test(every_quality_is_whole),
        cmocka_unit_test(parts_stay_inside),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
