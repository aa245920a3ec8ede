// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// .cube files, right and wrong, and tables whose answer is known: the identity, one that swaps channels, one
// with a domain.

#include "frame/frame.h"
#include "ops/lut3d.h"

#include <locale.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define TWO "0 0 0\n1 0 0\n0 1 0\n1 1 0\n0 0 1\n1 0 1\n0 1 1\n1 1 1\n"

static fm__lut3d *parse(const char *text)
{
    fm__lut3d *lut = NULL;
    fm_error err = {0};
    if (fm__lut3d_parse(text, strlen(text), "test.cube", &lut, &err) != FM_OK) {
        fail_msg("%s", err.msg);
    }
    return lut;
}

static void test_identity(void **state)
{
    (void)state;
    fm__lut3d *lut = parse("# a comment\r\nTITLE \"same\"\r\n\r\nLUT_3D_SIZE 2\r\n" TWO);
    assert_int_equal(lut->size, 2);
    for (int v = 0; v < 256; v++) {
        uint8_t in[] = {(uint8_t)v, (uint8_t)(255 - v), (uint8_t)(v * 7)}, out[3];
        fm__lut3d_row(lut, out, in, 1, FM_CPU_SCALAR);
        assert_memory_equal(in, out, 3);
    }
    fm__lut3d_free(&lut);
    assert_null(lut);
    fm__lut3d_free(&lut);
}

static void test_red_runs_fastest(void **state)
{
    (void)state;
    fm__lut3d *lut =
        parse("LUT_3D_SIZE 2\n0 0 0\n0 0 1\n0 1 0\n0 1 1\n1 0 0\n1 0 1\n1 1 0\n1 1 1\n"); // R and B swapped
    uint8_t in[] = {10, 120, 250}, out[3];
    const uint8_t want[] = {250, 120, 10};
    fm__lut3d_row(lut, out, in, 1, FM_CPU_SCALAR);
    assert_memory_equal(out, want, 3);
    fm__lut3d_free(&lut);
}

static void test_domain(void **state)
{
    (void)state;
    static const char *const texts[] = {"DOMAIN_MIN 0.2 0.2 0.2\nDOMAIN_MAX 0.8 0.8 0.8\nLUT_3D_SIZE 2\n" TWO,
        "LUT_3D_SIZE 2\nLUT_3D_INPUT_RANGE 0.2 0.8\n" TWO};
    for (size_t i = 0; i < 2; i++) {
        fm__lut3d *lut = parse(texts[i]);
        uint8_t in[] = {51, 204, 0, 255, 102, 153}, out[6];
        const uint8_t want[] = {0, 255, 0, 255, 85, 170};
        fm__lut3d_row(lut, out, in, 2, FM_CPU_SCALAR);
        assert_memory_equal(out, want, 6);
        fm__lut3d_free(&lut);
    }
}

static void test_values_past_the_ends_are_clamped(void **state)
{
    (void)state;
    fm__lut3d *lut =
        parse("LUT_3D_SIZE 2\n-1 -1 -1\n2e0 -1 -1\n-1 +2 -1\n2 2 -1\n-1 -1 2.0\n2 -1 2\n-1 2 2\n2 2 2E+0\n");
    uint8_t in[] = {0, 128, 255}, out[3];
    fm__lut3d_row(lut, out, in, 1, FM_CPU_SCALAR);
    assert_int_equal(out[0], 0);
    assert_int_equal(out[1], 129); // -1 + 3 * 128 / 255
    assert_int_equal(out[2], 255);
    fm__lut3d_free(&lut);
}

static void test_errors_tell_the_line(void **state)
{
    (void)state;
    static const struct {
        const char *text, *says;
        fm_status status;
    } cases[] = {
        {"", "no LUT_3D_SIZE", FM_FORMAT},
        {"LUT_3D_SIZE 2\n0 0 0\n", "ends after 1 of 8 entries", FM_FORMAT},
        {"LUT_3D_SIZE 2\n" TWO "\n0 0 0\n", "line 11: more than the 8 entries", FM_FORMAT},
        {"\n\n0 0 0\n", "line 3: numbers before LUT_3D_SIZE", FM_FORMAT},
        {"LUT_3D_SIZE 2\n0 0\n", "line 2: neither a keyword nor three numbers", FM_FORMAT},
        {"LUT_3D_SIZE 2\n0 0 0 0\n", "line 2: neither", FM_FORMAT},
        {"LUT_3D_SIZE 2\n0 0 nan\n", "line 2: neither", FM_FORMAT},
        {"LUT_3D_SIZE 2\n0 0 1,5\n", "line 2: neither", FM_FORMAT},
        {"LUT_3D_SIZE 2\n0 0 1e999\n", "line 2: neither", FM_FORMAT},
        {"LUT_3D_SIZE 2\n0 0 .\n", "line 2: neither", FM_FORMAT},
        {"LUT_3D_SIZE 2\n0 0 1e\n", "line 2: neither", FM_FORMAT},
        {"LUT_3D_SIZE 2.5\n", "line 1: LUT_3D_SIZE needs a whole number", FM_FORMAT},
        {"LUT_3D_SIZE 1\n", "line 1: LUT_3D_SIZE needs", FM_FORMAT},
        {"LUT_3D_SIZE\n", "line 1: LUT_3D_SIZE needs", FM_FORMAT},
        {"LUT_3D_SIZE 200\n", "line 1: size 200, the most is 129", FM_UNSUPPORTED},
        {"LUT_3D_SIZE 2\nLUT_3D_SIZE 2\n", "line 2: the size is given a second time", FM_FORMAT},
        {"LUT_1D_SIZE 16\n", "line 1: a 1D table", FM_UNSUPPORTED},
        {"DOMAIN_MIN 0 0\n", "line 1: the domain needs", FM_FORMAT},
        {"LUT_3D_INPUT_RANGE 0\n", "line 1: LUT_3D_INPUT_RANGE needs", FM_FORMAT},
        {"DOMAIN_MAX 0 1 1\nLUT_3D_SIZE 2\n" TWO, "domain ends at 0 before it begins at 0", FM_FORMAT},
        {"LUT_3D_SIZES 2\n", "line 1: neither", FM_FORMAT},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        fm__lut3d *lut = NULL;
        fm_error err = {0};
        fm_status status = fm__lut3d_parse(cases[i].text, strlen(cases[i].text), "bad.cube", &lut, &err);
        if (status != cases[i].status || !strstr(err.msg, cases[i].says) || lut ||
            !strstr(err.msg, "'bad.cube'")) {
            fail_msg("case %zu: status %d, '%s', should say '%s'", i, (int)status, err.msg, cases[i].says);
        }
    }
}

static void test_the_locale_plays_no_part(void **state)
{
    (void)state;
    (void)setlocale(LC_ALL, "de_DE.UTF-8"); // where there is one
    fm__lut3d *lut = parse("LUT_3D_SIZE 2\n0.5 .5 5.e-1\n"
                           "1 0 0\n0 1 0\n1 1 0\n0 0 1\n1 0 1\n0 1 1\n1 1 1\n");
    assert_int_equal(lut->table[0][0], 4080);
    assert_int_equal(lut->table[0][1], 4080);
    assert_int_equal(lut->table[0][2], 4080);
    fm__lut3d_free(&lut);
    (void)setlocale(LC_ALL, "C");
}

/* ---- frames ---- */

enum { W = 31, H = 9 };

typedef struct planes {
    fm_pixfmt format;
    uint8_t *data[FM_MAX_PLANES];
    int stride[FM_MAX_PLANES], width[FM_MAX_PLANES], height[FM_MAX_PLANES];
} planes;

// Colours that YUV of any kind holds without clipping.
static planes planes_new(fm_pixfmt format)
{
    planes f = {.format = format};
    for (int p = 0; p < fm_pixfmt_planes(format); p++) {
        fm__pixfmt_plane_size(format, W, H, p, &f.width[p], &f.height[p]);
        f.stride[p] = (int)fm__pixfmt_row_bytes(format, W, p);
        f.data[p] = malloc((size_t)(f.height[p] * f.stride[p]));
        assert_non_null(f.data[p]);
        for (int i = 0; i < f.height[p] * f.stride[p]; i++) {
            f.data[p][i] = (uint8_t)(p ? 120 + i % 16 : 60 + i % 120);
        }
    }
    return f;
}

static void planes_free(planes *f)
{
    for (int p = 0; p < FM_MAX_PLANES; p++) {
        free(f->data[p]);
    }
}

static int sample(const planes *f, int p, int i, int width)
{
    int x = i % width, y = i / width;
    if (f->format == FM_PIXFMT_NV12 && p > 0) {
        return f->data[1][y * f->stride[1] + 2 * x + p - 1];
    }
    return f->data[p][y * f->stride[p] + x];
}

static void check_identity(const fm__lut3d *lut, fm_pixfmt format, fm_matrix matrix, fm_range range)
{
    planes in = planes_new(format), out = planes_new(format == FM_PIXFMT_NV12 ? FM_PIXFMT_YUV420P : format);
    fm_frame_view view = {.width = W, .height = H, .format = format, .matrix = matrix, .range = range};
    for (int p = 0; p < fm_pixfmt_planes(format); p++) {
        view.plane[p] = in.data[p];
        view.stride[p] = in.stride[p];
    }
    void *scratch = aligned_alloc(64, fm__lut3d_scratch_size(W));
    assert_non_null(scratch);
    fm__lut3d_frame(lut, &view, out.data, out.stride, scratch, fm__cpu_level());
    for (int p = 0; p < fm_pixfmt_planes(out.format); p++) {
        for (int i = 0; i < out.stride[p] * out.height[p]; i++) {
            int was = sample(&in, p, i, out.stride[p]), is = out.data[p][i];
            if (abs(was - is) > 1) {
                fail_msg("%s: plane %d, %d is %d, was %d", fm_pixfmt_name(format), p, i, is, was);
            }
        }
    }
    free(scratch);
    planes_free(&in);
    planes_free(&out);
}

static void test_the_identity_over_frames_of_every_format(void **state)
{
    (void)state;
    fm__lut3d *lut = parse("LUT_3D_SIZE 2\n" TWO);
    for (int format = FM_PIXFMT_NONE + 1; format <= FM_PIXFMT_RGB24; format++) {
        for (int kind = 0; kind < 4; kind++) {
            check_identity(lut, (fm_pixfmt)format, (fm_matrix)(kind & 1), (fm_range)(kind >> 1));
        }
    }
    fm__lut3d_free(&lut);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_identity),
        cmocka_unit_test(test_red_runs_fastest),
        cmocka_unit_test(test_domain),
        cmocka_unit_test(test_values_past_the_ends_are_clamped),
        cmocka_unit_test(test_errors_tell_the_line),
        cmocka_unit_test(test_the_locale_plays_no_part),
        cmocka_unit_test(test_the_identity_over_frames_of_every_format),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
