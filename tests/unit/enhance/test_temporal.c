// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Non-local means over neighbouring frames: what comes out of push and flush against the definition written
// out in double, with the neighbours that each frame should have; what it is worth on noise; cuts, changes of
// size, ends; any number of threads; memory.

#include "../testing.h"

#include "base/alloc.h"
#include "enhance/enhance.h"
#include "ops/color_rgb.h"

#include <math.h>

enum { W = 36, H = 28, MOST = 12 };

typedef struct video {
    fm_frame *frames[MOST];
    int count;
} video;

static void video_free(video *v)
{
    for (int i = 0; i < v->count; i++) {
        fm_frame_unref(&v->frames[i]);
    }
    v->count = 0;
}

static double gauss(uint64_t *seed)
{
    double sum = 0;
    for (int i = 0; i < 12; i++) {
        sum += rnd_below(seed, 10001) / 10000.0;
    }
    return sum - 6;
}

static fm_frame *blank(fm_pixfmt format, int w, int h)
{
    fm_frame_pool *pool = NULL;
    fm_frame *f = NULL;
    assert_int_equal(fm__frame_pool_new(&pool, NULL), FM_OK);
    assert_int_equal(fm__frame_pool_take_pixels(pool, format, w, h, &f, NULL), FM_OK);
    fm__frame_pool_free(&pool);
    return f;
}

// A pattern that has moved by `shift` pixels, about `base`, with noise.
static fm_frame *scene(fm_pixfmt format, int w, int h, int base, int shift, double noise, uint64_t seed)
{
    fm_frame *f = blank(format, w, h);
    for (int i = 0; i < fm_pixfmt_planes(format); i++) {
        int pw, ph;
        fm__pixfmt_plane_size(format, w, h, i, &pw, &ph);
        size_t bytes = fm__pixfmt_row_bytes(format, w, i), step = bytes / (size_t)pw;
        for (int y = 0; y < ph; y++) {
            uint8_t *row = fm__frame_plane(f, i) + (ptrdiff_t)y * f->view.stride[i];
            for (size_t x = 0; x < bytes; x++) {
                int at = (int)(x / step) - shift, part = (int)(x % step);
                double v =
                    base + 12 * part + 30 * sin(at * 0.55 + i) + 25 * cos((y - shift) * 0.4 + at * 0.13);
                v += noise * gauss(&seed);
                row[x] = (uint8_t)fmax(0, fmin(255, floor(v + 0.5)));
            }
        }
    }
    return f;
}

static void add(video *v, fm_frame *f)
{
    f->index = (uint64_t)v->count;
    f->pts_ns = 1000 * v->count;
    v->frames[v->count++] = f;
}

static fm__enhance_opts temporal(float h, int frames)
{
    return (fm__enhance_opts){
        .spec = {.denoise = FM__DENOISE_NLM_T, .h = h, .h_color = h, .frames = frames, .scale = 1},
        .is_video = true};
}

// All frames through one enhancer: in order, each one once, `wait` of them later than they went in.
static void run_all(const fm__enhance_opts *opts, const video *in, int wait, video *out)
{
    fm__enhancer *e = NULL;
    fm_frame *f = NULL;
    fm_error err = {0};
    out->count = 0;
    assert_int_equal(fm__enhancer_new(opts, &e, &err), FM_OK);
    for (int i = 0; i < in->count; i++) {
        assert_int_equal(fm__enhancer_push(e, in->frames[i], &f, &err), i < wait ? FM_AGAIN : FM_OK);
        if (i >= wait) {
            out->frames[out->count++] = f;
            f = NULL;
        }
    }
    while (fm__enhancer_flush(e, &f, &err) == FM_OK) {
        out->frames[out->count++] = f;
        f = NULL;
    }
    assert_int_equal(fm__enhancer_flush(e, &f, &err), FM_EOF);
    assert_null(f);
    fm__enhancer_free(&e);
    assert_int_equal(out->count, in->count);
    for (int i = 0; i < out->count; i++) {
        assert_int_equal(out->frames[i]->index, (uint64_t)i);
        assert_int_equal(out->frames[i]->pts_ns, 1000 * i);
    }
}

/* ---- the definition ---- */

static int mirror(int i, int n)
{
    while (i < 0 || i >= n) {
        i = n == 1 ? 0 : i < 0 ? -i : 2 * (n - 1) - i;
    }
    return i;
}

static int at(const fm_frame *f, int plane, int x, int y)
{
    int w, h;
    fm__pixfmt_plane_size(f->view.format, f->view.width, f->view.height, plane, &w, &h);
    return f->view.plane[plane][(ptrdiff_t)mirror(y, h) * f->view.stride[plane] + mirror(x, w)];
}

static double distance(
    const fm_frame *a, const fm_frame *b, int first, int planes, int x, int y, int dx, int dy)
{
    double sum = 0;
    for (int p = first; p < first + planes; p++) {
        for (int j = -3; j <= 3; j++) {
            for (int i = -3; i <= 3; i++) {
                double d = at(a, p, x + i, y + j) - at(b, p, x + dx + i, y + dy + j);
                sum += d * d;
            }
        }
    }
    return sum / (49 * planes);
}

static double slow(const video *v, int i, int from, int to, int plane, int x, int y, double h)
{
    int first = plane == 0 ? 0 : 1, planes = plane == 0 ? 1 : 2;
    double num = 0, den = 0;
    for (int f = from; f <= to; f++) {
        for (int dy = -10; dy <= 10; dy++) {
            for (int dx = -10; dx <= 10; dx++) {
                double w = exp(-distance(v->frames[i], v->frames[f], first, planes, x, y, dx, dy) / (h * h));
                w = w < 0.001 ? 0 : w;
                den += w;
                num += w * at(v->frames[f], plane, x + dx, y + dy);
            }
        }
    }
    return num / den;
}

// Some pixels of every plane, edges among them; frame i looked at frames from to to.
static void assert_is_slow_twin(const video *in, const fm_frame *out, int i, int from, int to, double h)
{
    for (int p = 0; p < fm_pixfmt_planes(out->view.format); p++) {
        int w, rows;
        fm__pixfmt_plane_size(out->view.format, out->view.width, out->view.height, p, &w, &rows);
        for (int y = 0; y < rows; y += 9) {
            for (int x = y % 2; x < w; x += 7) {
                double want = slow(in, i, from, to, p, x, y, h);
                if (fabs(at(out, p, x, y) - want) > 1.01) {
                    fail_msg(
                        "frame %d, plane %d, %d,%d: is %d, should be %f", i, p, x, y, at(out, p, x, y), want);
                }
            }
        }
    }
}

static int at_most(int a, int b)
{
    return a < b ? a : b;
}

static void every_frame_is_what_the_definition_says(void **state)
{
    static const fm_pixfmt formats[] = {FM_PIXFMT_GRAY8, FM_PIXFMT_YUV420P, FM_PIXFMT_YUV444P};
    (void)state;
    for (int k = 0; k < 2 * (int)COUNT_OF(formats); k++) {
        int frames = k % 2 ? 5 : 3, reach = frames / 2;
        video in = {.count = 0}, out;
        for (int i = 0; i < 6; i++) {
            add(&in, scene(formats[k / 2], W, H, 110, 2 * i, 9, 3 + (uint64_t)i));
        }
        fm__enhance_opts opts = temporal(11, frames);
        run_all(&opts, &in, reach, &out);
        for (int i = 0; i < in.count; i++) {
            int from = i - reach < 0 ? 0 : i - reach;
            assert_is_slow_twin(&in, out.frames[i], i, from, at_most(i + reach, in.count - 1), 11);
        }
        video_free(&in);
        video_free(&out);
    }
}

static void assert_same(const fm_frame *a, const fm_frame *b)
{
    assert_int_equal(a->view.format, b->view.format);
    for (int i = 0; i < fm_pixfmt_planes(a->view.format); i++) {
        int w, h;
        fm__pixfmt_plane_size(a->view.format, a->view.width, a->view.height, i, &w, &h);
        for (int y = 0; y < h; y++) {
            assert_memory_equal(a->view.plane[i] + (ptrdiff_t)y * a->view.stride[i],
                b->view.plane[i] + (ptrdiff_t)y * b->view.stride[i],
                fm__pixfmt_row_bytes(a->view.format, a->view.width, i));
        }
    }
}

// RGB as its planes in YUV, NV12 as YUV420P.
static void other_formats_as_their_planes(void **state)
{
    const fm__enhance_opts opts = temporal(10, 3);
    video rgb = {.count = 0}, ycc = {.count = 0}, nv12 = {.count = 0}, planar = {.count = 0};
    video out_rgb, out_ycc, out_nv12, out_planar;
    (void)state;
    for (int i = 0; i < 4; i++) {
        add(&rgb, scene(FM_PIXFMT_RGB24, W, H, 90, i, 8, 70 + (uint64_t)i));
        add(&ycc, blank(FM_PIXFMT_YUV444P, W, H));
        add(&nv12, scene(FM_PIXFMT_NV12, W, H, 90, i, 8, 70 + (uint64_t)i));
        add(&planar, blank(FM_PIXFMT_YUV420P, W, H));
        ycc.frames[i]->view.range = FM_RANGE_FULL;
        for (int y = 0; y < H; y++) {
            fm_frame *f = ycc.frames[i];
            ptrdiff_t row = (ptrdiff_t)y * f->view.stride[0];
            fm__rgb_to_ycc(fm__frame_plane(f, 0) + row, fm__frame_plane(f, 1) + row,
                fm__frame_plane(f, 2) + row,
                rgb.frames[i]->view.plane[0] + (ptrdiff_t)y * rgb.frames[i]->view.stride[0], W,
                fm__cpu_level());
            memcpy(fm__frame_plane(planar.frames[i], 0) + (ptrdiff_t)y * planar.frames[i]->view.stride[0],
                nv12.frames[i]->view.plane[0] + (ptrdiff_t)y * nv12.frames[i]->view.stride[0], W);
        }
        for (int at = 0; at < W / 2 * (H / 2); at++) {
            int x = at % (W / 2), y = at / (W / 2);
            for (int p = 0; p < 2; p++) {
                fm__frame_plane(planar.frames[i], 1 + p)[y * planar.frames[i]->view.stride[1] + x] =
                    nv12.frames[i]->view.plane[1][y * nv12.frames[i]->view.stride[1] + 2 * x + p];
            }
        }
    }
    run_all(&opts, &rgb, 1, &out_rgb);
    run_all(&opts, &ycc, 1, &out_ycc);
    run_all(&opts, &nv12, 1, &out_nv12);
    run_all(&opts, &planar, 1, &out_planar);
    for (int i = 0; i < 4; i++) {
        uint8_t row[3 * W];
        assert_same(out_nv12.frames[i], out_planar.frames[i]);
        assert_int_equal(out_rgb.frames[i]->view.format, FM_PIXFMT_RGB24);
        for (int y = 0; y < H; y++) {
            const fm_frame_view *v = &out_ycc.frames[i]->view, *r = &out_rgb.frames[i]->view;
            ptrdiff_t at_row = (ptrdiff_t)y * v->stride[0];
            fm__ycc_to_rgb(
                row, v->plane[0] + at_row, v->plane[1] + at_row, v->plane[2] + at_row, W, fm__cpu_level());
            assert_memory_equal(row, r->plane[0] + (ptrdiff_t)y * r->stride[0], sizeof(row));
        }
    }
    video *all[] = {&rgb, &ycc, &nv12, &planar, &out_rgb, &out_ycc, &out_nv12, &out_planar};
    for (size_t i = 0; i < COUNT_OF(all); i++) {
        video_free(all[i]);
    }
}

/* ---- scenes and sizes ---- */

static void nothing_is_searched_beyond_a_cut_or_another_size(void **state)
{
    const fm__enhance_opts opts = temporal(12, 5);
    video whole = {.count = 0}, part = {.count = 0}, out, out_part;
    // First of each scene: a cut, then another size, then another range.
    static const int starts[] = {0, 3, 6, 8, 10};
    (void)state;
    for (int i = 0; i < 10; i++) {
        bool is_dark = i < 3, is_small = i >= 6 && i < 8;
        fm_frame *f =
            scene(FM_PIXFMT_YUV420P, is_small ? 25 : W, H, is_dark ? 60 : 170, i, 9, 90 + (uint64_t)i);
        add(&whole, f);
    }
    run_all(&opts, &whole, 2, &out);
    for (int s = 0; s < 4; s++) {
        part.count = 0;
        for (int i = starts[s]; i < starts[s + 1]; i++) {
            fm_frame *copy = scene(
                FM_PIXFMT_YUV420P, whole.frames[i]->view.width, H, i < 3 ? 60 : 170, i, 9, 90 + (uint64_t)i);
            add(&part, copy);
        }
        int n = part.count;
        run_all(&opts, &part, 2, &out_part);
        for (int i = 0; i < n; i++) {
            assert_same(out.frames[starts[s] + i], out_part.frames[i]);
        }
        video_free(&part);
        video_free(&out_part);
    }
    video_free(&whole);
    video_free(&out);
}

/* ---- what it is worth ---- */

static double psnr(const fm_frame *a, const fm_frame *b)
{
    double sum = 0;
    for (int y = 0; y < a->view.height; y++) {
        for (int x = 0; x < a->view.width; x++) {
            double d = at(a, 0, x, y) - at(b, 0, x, y);
            sum += d * d;
        }
    }
    return 10 * log10(255 * 255 / (sum / a->view.width / a->view.height));
}

static double mean_psnr(const fm__enhance_opts *opts, int step, int reach)
{
    video noisy = {.count = 0}, out;
    double sum = 0;
    for (int i = 0; i < 6; i++) {
        add(&noisy, scene(FM_PIXFMT_GRAY8, 96, 72, 120, step * i, 20, 500 + (uint64_t)i));
    }
    run_all(opts, &noisy, reach, &out);
    for (int i = 0; i < 6; i++) {
        fm_frame *clean = scene(FM_PIXFMT_GRAY8, 96, 72, 120, step * i, 0, 1);
        sum += psnr(clean, out.frames[i]);
        fm_frame_unref(&clean);
    }
    video_free(&noisy);
    video_free(&out);
    return sum / 6;
}

// Each at its own best strength, so that neither is favoured.
static void neighbours_help_whether_it_moves_or_not(void **state)
{
    (void)state;
    for (int step = 0; step <= 4; step += 2) {
        double best[3] = {0};
        for (int h = 10; h <= 28; h += 3) {
            fm__enhance_opts alone = temporal((float)h, 3), three = alone, five = temporal((float)h, 5);
            alone.spec.denoise = FM__DENOISE_NLM;
            best[0] = fmax(best[0], mean_psnr(&alone, step, 0));
            best[1] = fmax(best[1], mean_psnr(&three, step, 1));
            best[2] = fmax(best[2], mean_psnr(&five, step, 2));
        }
        print_message(
            "moves by %d: nlm %.2f dB, nlm-t of 3 %.2f, of 5 %.2f\n", step, best[0], best[1], best[2]);
        assert_true(best[1] > best[0] + 0.5);
        assert_true(best[2] > best[1] + 0.1);
    }
}

/* ---- the rest ---- */

static void any_number_of_threads_and_the_steps_after(void **state)
{
    fm__enhance_opts one = temporal(9, 3), many;
    video in = {.count = 0}, a, b;
    (void)state;
    for (int i = 0; i < 5; i++) {
        add(&in, scene(FM_PIXFMT_YUV420P, 51, 141, 100, i, 10, 7 + (uint64_t)i));
    }
    one.spec.has_color = true;
    one.spec.color = (fm__color_opts)FM__COLOR_AUTO;
    one.spec.scale = 2;
    many = one;
    many.threads = 5;
    run_all(&one, &in, 1, &a);
    run_all(&many, &in, 1, &b);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(a.frames[i]->view.width, 102);
        assert_same(a.frames[i], b.frames[i]);
    }
    video_free(&in);
    video_free(&a);
    video_free(&b);
}

// Nothing to clean: the frames themselves, as late as they would be. One enhancer takes one video after
// another; a frame alone does not come out of it.
static void ends_and_beginnings(void **state)
{
    fm__enhance_opts opts = temporal(0, 5);
    video in = {.count = 0}, out;
    fm__enhancer *e = NULL;
    fm_frame *f = NULL;
    fm_error err;
    (void)state;
    for (int i = 0; i < 3; i++) {
        add(&in, scene(FM_PIXFMT_RGB24, 20, 10, 90, i, 5, 1 + (uint64_t)i));
    }
    run_all(&opts, &in, 2, &out);
    for (int i = 0; i < 3; i++) {
        assert_ptr_equal(out.frames[i], in.frames[i]);
    }
    video_free(&out);
    assert_int_equal(fm__enhancer_new(&opts, &e, NULL), FM_OK);
    assert_int_equal(fm__enhancer_flush(e, &f, NULL), FM_EOF);
    for (int round = 0; round < 2; round++) {
        assert_int_equal(fm__enhancer_push(e, in.frames[0], &f, NULL), FM_AGAIN);
        assert_int_equal(fm__enhancer_flush(e, &f, NULL), FM_OK);
        assert_ptr_equal(f, in.frames[0]);
        fm_frame_unref(&f);
        assert_int_equal(fm__enhancer_flush(e, &f, NULL), FM_EOF);
    }
    assert_int_equal(fm__enhancer_run(e, in.frames[0], &f, &err), FM_INVAL);
    assert_non_null(strstr(err.msg, "nlm-t"));
    fm__enhancer_free(&e);
    video_free(&in);
}

static void every_allocation_may_fail(void **state)
{
    const fm__enhance_opts opts = temporal(10, 3);
    video in = {.count = 0};
    int failures = 0;
    (void)state;
    for (int i = 0; i < 3; i++) {
        add(&in, scene(FM_PIXFMT_RGB24, 30, 20, 90, i, 5, 1 + (uint64_t)i));
    }
    for (uint64_t nth = 1; nth < 100; nth++) {
        fm__enhancer *e = NULL;
        fm_frame *out = NULL;
        int done = 0, lost = 0;
        fm__alloc_fail_at(nth, false);
        fm_status st = fm__enhancer_new(&opts, &e, NULL);
        for (int i = 0; e && i < in.count + 3; i++) {
            st = i < in.count ? fm__enhancer_push(e, in.frames[i], &out, NULL)
                              : fm__enhancer_flush(e, &out, NULL);
            assert_true(st == FM_OK || (!out && (st == FM_AGAIN || st == FM_EOF || st == FM_NOMEM)));
            done += st == FM_OK;
            lost += st == FM_NOMEM;
            fm_frame_unref(&out);
        }
        fm__alloc_fail_at(0, false);
        assert_true(!e || done + lost == 3);
        assert_true(lost <= 1);
        failures += !e || lost;
        fm__enhancer_free(&e);
    }
    assert_in_range(failures, 10, 90);
    video_free(&in);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_frame_is_what_the_definition_says),
        cmocka_unit_test(other_formats_as_their_planes),
        cmocka_unit_test(nothing_is_searched_beyond_a_cut_or_another_size),
        cmocka_unit_test(neighbours_help_whether_it_moves_or_not),
        cmocka_unit_test(any_number_of_threads_and_the_steps_after),
        cmocka_unit_test(ends_and_beginnings),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
