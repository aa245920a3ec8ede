// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Fits against values that Ultralytics' LetterBox and YOLOX's preproc give, and the way back for boxes.

#include "ops/fit.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void test_letterbox_sizes(void **state)
{
    (void)state;
    static const struct {
        int src_w, src_h, dst_w, dst_h;
        fm_anchor anchor;
        int x, y, w, h;
    } cases[] = {
        // YOLOX: top left
        {768, 576, 416, 416, FM_ANCHOR_TOPLEFT, 0, 0, 416, 312},
        {1920, 1080, 640, 640, FM_ANCHOR_TOPLEFT, 0, 0, 640, 360},
        {500, 375, 416, 416, FM_ANCHOR_TOPLEFT, 0, 0, 416, 312},
        // Ultralytics: new_unpad = round(side * r), left = round(dw / 2 - 0.1)
        {1920, 1080, 640, 640, FM_ANCHOR_CENTER, 0, 140, 640, 360},
        {810, 1080, 640, 640, FM_ANCHOR_CENTER, 80, 0, 480, 640},
        {1279, 721, 640, 640, FM_ANCHOR_CENTER, 0, 139, 640, 361},
        {427, 640, 640, 640, FM_ANCHOR_CENTER, 106, 0, 427, 640},
        {333, 500, 320, 640, FM_ANCHOR_CENTER, 0, 80, 320, 480},
        // growing, extremes
        {100, 50, 416, 416, FM_ANCHOR_TOPLEFT, 0, 0, 416, 208},
        {16384, 1, 640, 640, FM_ANCHOR_TOPLEFT, 0, 0, 640, 1},
        {1, 16384, 640, 640, FM_ANCHOR_CENTER, 319, 0, 1, 640},
        {1, 1, 416, 416, FM_ANCHOR_CENTER, 0, 0, 416, 416},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        fm_fit_map m = fm__fit(FM_FIT_LETTERBOX, cases[i].anchor, 0, cases[i].src_w, cases[i].src_h,
            cases[i].dst_w, cases[i].dst_h);
        if (m.dst_x != cases[i].x || m.dst_y != cases[i].y || m.dst_cw != cases[i].w ||
            m.dst_ch != cases[i].h) {
            fail_msg("case %zu: %d,%d %dx%d", i, m.dst_x, m.dst_y, m.dst_cw, m.dst_ch);
        }
        assert_true(m.src_x == 0 && m.src_y == 0 && m.src_cw == cases[i].src_w && m.src_ch == cases[i].src_h);
    }
}

static void test_stretch_uses_everything(void **state)
{
    (void)state;
    fm_fit_map m = fm__fit(FM_FIT_STRETCH, FM_ANCHOR_CENTER, 0.5F, 640, 360, 299, 300);
    assert_true(m.dst_x == 0 && m.dst_y == 0 && m.dst_cw == 299 && m.dst_ch == 300);
    assert_true(m.src_x == 0 && m.src_y == 0 && m.src_cw == 640 && m.src_ch == 360);
}

static void assert_close(float got, double want)
{
    if (!(fabs(got - want) < 1e-3)) {
        fail_msg("%f, should be %f", (double)got, want);
    }
}

// Resize the shorter side to 256, cut 224: of a 512x256 source the middle 224x224 remains, of twice that the
// middle 448x448.
static void test_crop(void **state)
{
    (void)state;
    fm_fit_map m = fm__fit(FM_FIT_CROP, FM_ANCHOR_TOPLEFT, 0.875F, 512, 256, 224, 224);
    assert_close(m.src_x, 144);
    assert_close(m.src_y, 16);
    assert_close(m.src_cw, 224);
    assert_close(m.src_ch, 224);
    m = fm__fit(FM_FIT_CROP, FM_ANCHOR_CENTER, 0.875F, 512, 1024, 224, 224);
    assert_close(m.src_x, 32);
    assert_close(m.src_y, 288);
    assert_close(m.src_cw, 448);
    m = fm__fit(FM_FIT_CROP, FM_ANCHOR_CENTER, 0, 300, 100, 50, 50);
    assert_close(m.src_x, 100);
    assert_close(m.src_cw, 100);
    assert_true(m.dst_cw == 50 && m.dst_ch == 50 && m.dst_x == 0 && m.dst_y == 0);
}

static void test_boxes_come_back(void **state)
{
    (void)state;
    fm_fit_map m = fm__fit(FM_FIT_LETTERBOX, FM_ANCHOR_CENTER, 0, 1920, 1080, 640, 640);
    fm_box b = fm__fit_to_source(&m, (fm_box){100, 240, 200, 340});
    assert_close(b.x0, 300);
    assert_close(b.y0, 300);
    assert_close(b.x1, 600);
    assert_close(b.y1, 600);
    m = fm__fit(FM_FIT_CROP, FM_ANCHOR_CENTER, 0.875F, 512, 256, 224, 224);
    b = fm__fit_to_source(&m, (fm_box){0, 0, 224, 112});
    assert_close(b.x0, 144);
    assert_close(b.y1, 128);
}

static void test_boxes_are_clipped(void **state)
{
    (void)state;
    fm_fit_map m = fm__fit(FM_FIT_LETTERBOX, FM_ANCHOR_CENTER, 0, 1920, 1080, 640, 640);
    fm_box b = fm__fit_to_source(&m, (fm_box){-5, 0, 1e9F, INFINITY});
    assert_close(b.x0, 0);
    assert_close(b.y0, 0);
    assert_close(b.x1, 1920);
    assert_close(b.y1, 1080);
    b = fm__fit_to_source(&m, (fm_box){NAN, NAN, NAN, NAN});
    assert_false(isnan(b.x0) || isnan(b.y0) || isnan(b.x1) || isnan(b.y1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_letterbox_sizes),
        cmocka_unit_test(test_stretch_uses_everything),
        cmocka_unit_test(test_crop),
        cmocka_unit_test(test_boxes_come_back),
        cmocka_unit_test(test_boxes_are_clipped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
