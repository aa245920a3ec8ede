// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Pictures through a network in tiles, with the ref backend's network "double" (the mean of nine pixels,
// twice a side), whose answer a slow loop over the whole picture gives too: any size, tile, batch and number
// of slots. Frames of every format; scales past the network's own; failures of the network and of memory.

#include "../testing.h"

#include "base/alloc.h"
#include "enhance/enhance.h"

#include <math.h>

typedef struct net {
    fm_net *net;
    fm_head head;
    fm__upscaler up;
} net;

static void open_net(net *n, const char *name, int tile, int batch, int slots, fm_layout layout)
{
    fm_net_desc desc = {.backend = "ref",
        .path = name,
        .batch = batch,
        .slots = slots,
        .layout = layout,
        .input_w = tile,
        .input_h = tile > 8 ? tile - 1 : tile}; // not square, so that sides are not mixed up
    fm_head_opts opts = {.type = "pixels", .context = 1};
    fm_error err = {0};
    assert_int_equal(fm__net_open(&desc, &n->net, &err), FM_OK);
    const fm_net_info *info = fm__net_info(n->net);
    if (fm__head_init(&n->head, &opts, info->input_w, info->input_h, info->outputs, info->output_count,
            &err) != FM_OK) {
        fail_msg("%s", err.msg);
    }
    n->up = (fm__upscaler){.net = n->net, .head = &n->head};
}

static uint8_t *picture(int w, int h)
{
    uint64_t seed = 11;
    uint8_t *p = fm__calloc(FM_TAG_APP, (size_t)w * (size_t)h * 3);
    assert_non_null(p);
    for (int i = 0; i < w * h * 3; i++) {
        p[i] = (uint8_t)rnd_below(&seed, 256);
    }
    return p;
}

// Edge pixels repeated: -1 is 0, n is n - 1; for one step outside that is all there is to mirroring.
static int inside(int i, int n)
{
    return i < 0 ? 0 : i >= n ? n - 1 : i;
}

static int want(const uint8_t *p, int w, int h, int x, int y, int c)
{
    int sum = 0;
    for (int dy = -1; dy <= 1; dy++) {
        for (int dx = -1; dx <= 1; dx++) {
            sum += p[(inside(y + dy, h) * w + inside(x + dx, w)) * 3 + c];
        }
    }
    return (int)floor(sum / 9.0 + 0.5);
}

static void tiles_of_any_size_give_the_whole_picture(void **state)
{
    static const struct {
        int tile, batch, slots;
    } nets[] = {{8, 1, 1}, {9, 1, 3}, {16, 4, 2}, {64, 3, 2}};
    static const int sizes[][2] = {{1, 1}, {2, 1}, {6, 6}, {7, 5}, {1, 40}, {61, 3}, {50, 37}};
    (void)state;
    for (size_t k = 0; k < COUNT_OF(nets) * 2; k++) {
        net n;
        fm__superres *s = NULL;
        open_net(&n, "double", nets[k / 2].tile, nets[k / 2].batch, nets[k / 2].slots,
            k % 2 ? FM_LAYOUT_NHWC : FM_LAYOUT_NCHW);
        assert_int_equal(fm__superres_new(&n.up, &s, NULL), FM_OK);
        assert_int_equal(fm__superres_scale(s), 2);
        for (size_t i = 0; i < COUNT_OF(sizes); i++) {
            int w = sizes[i][0], h = sizes[i][1], stride = 6 * w + 7;
            uint8_t *src = picture(w, h), *dst = fm__calloc(FM_TAG_APP, (size_t)(2 * h * stride));
            assert_int_equal(fm__superres_run(s, src, 3 * w, w, h, dst, stride, NULL), FM_OK);
            for (int at = 0; at < 2 * h * 6 * w; at++) {
                int y = at / (6 * w), x = at % (6 * w) / 3, c = at % 3;
                if (dst[y * stride + x * 3 + c] != want(src, w, h, x / 2, y / 2, c)) {
                    fail_msg("net %zu, %dx%d: at %d,%d is %d, not %d", k, w, h, x, y,
                        dst[y * stride + x * 3 + c], want(src, w, h, x / 2, y / 2, c));
                }
            }
            for (int y = 0; y < 2 * h; y++) { // nothing beside the rows
                assert_int_equal(dst[y * stride + 6 * w], 0);
            }
            fm__free(src);
            fm__free(dst);
        }
        fm__superres_free(&s);
        fm__net_close(&n.net);
    }
}

static fm_frame *frame_of(fm_pixfmt format, int w, int h)
{
    fm_frame_pool *pool = NULL;
    fm_frame *f = NULL;
    assert_int_equal(fm__frame_pool_new(&pool, NULL), FM_OK);
    assert_int_equal(fm__frame_pool_take_pixels(pool, format, w, h, &f, NULL), FM_OK);
    fm__frame_pool_free(&pool);
    for (int i = 0; i < fm_pixfmt_planes(format); i++) {
        int pw, ph;
        fm__pixfmt_plane_size(format, w, h, i, &pw, &ph);
        for (int y = 0; y < ph; y++) {
            uint8_t *row = fm__frame_plane(f, i) + (ptrdiff_t)y * f->view.stride[i];
            for (size_t x = 0; x < fm__pixfmt_row_bytes(format, w, i); x++) {
                row[x] = (uint8_t)(i == 0 ? 90 + 8 * y + 2 * (int)x / 3 : 120 + 3 * i);
            }
        }
    }
    f->view.matrix = FM_MATRIX_BT709;
    f->pts_ns = 5;
    return f;
}

static fm_frame *enlarge(const net *n, int scale, fm_frame *in)
{
    fm__enhance_opts opts = {.spec = {.scale = scale}, .upscaler = &n->up, .threads = 2};
    fm__enhancer *e = NULL;
    fm_frame *out = NULL;
    fm_error err;
    assert_int_equal(fm__enhancer_new(&opts, &e, &err), FM_OK);
    if (fm__enhancer_run(e, in, &out, &err) != FM_OK) {
        fail_msg("%s", err.msg);
    }
    fm__enhancer_free(&e);
    return out;
}

// A plane that is a ramp stays one (the mean of nine is the middle one), colours stay as they are.
static void every_format(void **state)
{
    net n;
    (void)state;
    open_net(&n, "double", 24, 1, 2, FM_LAYOUT_NCHW);
    for (int format = FM_PIXFMT_NONE + 1; format <= FM_PIXFMT_RGB24; format++) {
        fm_frame *in = frame_of((fm_pixfmt)format, 19, 13), *out = enlarge(&n, 0, in);
        assert_int_equal(out->view.format, format == FM_PIXFMT_NV12 ? FM_PIXFMT_YUV420P : (fm_pixfmt)format);
        assert_int_equal(out->view.width, 38);
        assert_int_equal(out->view.height, 26);
        assert_int_equal(out->view.matrix, FM_MATRIX_BT709);
        assert_int_equal(out->pts_ns, 5);
        int step = format == FM_PIXFMT_RGB24 ? 3 : 1;
        for (int y = 4; y < 22; y++) {
            for (int x = 4; x < 34; x++) {
                int is = out->view.plane[0][y * out->view.stride[0] + x * step];
                int was = in->view.plane[0][y / 2 * in->view.stride[0] + x / 2 * step];
                assert_in_range(is, was - 2, was + 2); // conversion to RGB and back
            }
        }
        for (int i = 1; i < fm_pixfmt_planes(out->view.format); i++) {
            int was = i == 2 && format != FM_PIXFMT_NV12 ? 126 : 123;
            assert_in_range(out->view.plane[i][5 * out->view.stride[i] + 5], was - 1, was + 1);
        }
        fm_frame_unref(&in);
        fm_frame_unref(&out);
    }
    fm__net_close(&n.net);
}

static void scales_past_the_networks_own(void **state)
{
    net n;
    fm_frame *in = frame_of(FM_PIXFMT_RGB24, 21, 17);
    (void)state;
    open_net(&n, "double", 16, 2, 2, FM_LAYOUT_NHWC);
    fm_frame *twice = enlarge(&n, 2, in), *again = enlarge(&n, 2, twice), *four = enlarge(&n, 4, in);
    fm_frame *three = enlarge(&n, 3, in);
    assert_int_equal(four->view.width, 84);
    assert_int_equal(four->view.height, 68);
    for (int y = 0; y < 68; y++) {
        assert_memory_equal(four->view.plane[0] + (ptrdiff_t)y * four->view.stride[0],
            again->view.plane[0] + (ptrdiff_t)y * again->view.stride[0], 3 * 84);
    }
    assert_int_equal(three->view.width, 63);
    assert_int_equal(three->view.height, 51);
    for (int y = 9; y < 42; y++) { // of a ramp, three times as large
        int is = three->view.plane[0][y * three->view.stride[0] + 30 * 3];
        int was = in->view.plane[0][y / 3 * in->view.stride[0] + 10 * 3];
        assert_in_range(is, was - 6, was + 6);
    }
    fm_frame_unref(&in);
    fm_frame_unref(&twice);
    fm_frame_unref(&again);
    fm_frame_unref(&four);
    fm_frame_unref(&three);
    fm__net_close(&n.net);
}

// Three times goes over four times, which is what must fit.
static void limits_hold_on_the_way(void **state)
{
    net n;
    fm_frame *in = frame_of(FM_PIXFMT_GRAY8, 10, 10), *out = NULL;
    fm__enhancer *e = NULL;
    fm_error err;
    (void)state;
    open_net(&n, "double", 16, 1, 2, FM_LAYOUT_NCHW);
    fm__enhance_opts opts = {.spec = {.scale = 3}, .upscaler = &n.up, .max_pixels = 40 * 40 - 1};
    assert_int_equal(fm__enhancer_new(&opts, &e, NULL), FM_OK);
    assert_int_equal(fm__enhancer_run(e, in, &out, &err), FM_DENIED);
    assert_non_null(strstr(err.msg, "40x40 on the way"));
    fm__enhancer_free(&e);
    fm_frame_unref(&in);
    fm__net_close(&n.net);
}

static void networks_that_do_not_fit_are_refused(void **state)
{
    net n;
    fm__superres *s = NULL;
    fm_error err;
    (void)state;
    open_net(&n, "double", 8, 1, 1, FM_LAYOUT_NCHW);
    n.head.opts.context = 4;
    assert_int_equal(fm__superres_new(&n.up, &s, &err), FM_INVAL);
    assert_non_null(strstr(err.msg, "at least 9 a side"));
    n.head.opts.context = 1;
    n.head.channels = 1;
    assert_int_equal(fm__superres_new(&n.up, &s, &err), FM_INVAL);
    assert_non_null(strstr(err.msg, "takes 3 channels and gives 1"));
    assert_null(s);
    fm__net_close(&n.net);
}

// Whichever start or inference fails: the call fails, and the next one works.
static void a_failed_inference_leaves_nothing_running(void **state)
{
    net n;
    fm__superres *s = NULL;
    int failed = 0, fine = 0;
    uint8_t *src = picture(30, 20), *dst = fm__calloc(FM_TAG_APP, 60 * 40 * 3);
    (void)state;
    open_net(&n, "double:fail_every=23:delay_us=50", 10, 1, 3, FM_LAYOUT_NCHW);
    assert_int_equal(fm__superres_new(&n.up, &s, NULL), FM_OK);
    for (int i = 0; i < 20; i++) {
        fm_status st = fm__superres_run(s, src, 90, 30, 20, dst, 180, NULL);
        assert_true(st == FM_OK || st == FM_BACKEND);
        failed += st != FM_OK;
        fine += st == FM_OK && dst[180 * 21 + 3 * 31] == want(src, 30, 20, 15, 10, 0);
    }
    assert_true(failed > 2 && fine > 2);
    assert_int_equal(failed + fine, 20);
    fm__superres_free(&s);
    fm__net_close(&n.net);
    fm__free(src);
    fm__free(dst);
}

static void every_allocation_may_fail(void **state)
{
    net n;
    int failures = 0;
    fm_frame *in = frame_of(FM_PIXFMT_YUV420P, 20, 16);
    (void)state;
    open_net(&n, "double", 12, 1, 2, FM_LAYOUT_NCHW);
    const fm__enhance_opts opts = {.spec = {.scale = 3}, .upscaler = &n.up};
    for (uint64_t nth = 1; nth < 200; nth++) {
        fm__enhancer *e = NULL;
        fm_frame *out = NULL;
        fm__alloc_fail_at(nth, false);
        fm_status st = fm__enhancer_new(&opts, &e, NULL);
        st = st == FM_OK ? fm__enhancer_run(e, in, &out, NULL) : st;
        fm__alloc_fail_at(0, false);
        assert_true(st == FM_OK || (st == FM_NOMEM && !out));
        failures += st != FM_OK;
        fm_frame_unref(&out);
        fm__enhancer_free(&e);
    }
    assert_in_range(failures, 20, 190);
    fm_frame_unref(&in);
    fm__net_close(&n.net);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tiles_of_any_size_give_the_whole_picture),
        cmocka_unit_test(every_format),
        cmocka_unit_test(scales_past_the_networks_own),
        cmocka_unit_test(limits_hold_on_the_way),
        cmocka_unit_test(networks_that_do_not_fit_are_refused),
        cmocka_unit_test(a_failed_inference_leaves_nothing_running),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
