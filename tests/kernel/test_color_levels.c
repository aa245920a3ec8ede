// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Row kernels of colour correction, CLAHE and the 3D table at one CPU level against the scalar ones: every
// bit the same, every length, rows that end where memory ends.

#include "letterbox_cases.h"

#include "ops/clahe.h"
#include "ops/color_kernels.h"
#include "ops/color_rgb.h"
#include "ops/lut3d.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { MAX_LEN = 140 };

static fm_cpu_level level;

// n random bytes whose last one lies before a page that may not be touched.
static picture row_of(int n, content kind, uint32_t seed)
{
    picture p;
    picture_make(&p, FM_PIXFMT_GRAY8, n, 1, kind, PLACE_END, seed);
    return p;
}

static fm__color_row random_row(uint32_t *seed)
{
    return (fm__color_row){.y = (int16_t)(next_random(seed) >> 16),
        .u = (int16_t)(next_random(seed) >> 16),
        .v = (int16_t)(next_random(seed) >> 16),
        .bias = (int16_t)(next_random(seed) >> 16)};
}

static void expect_same(const tensor_buffer *want, const tensor_buffer *got, const char *what, int n)
{
    for (size_t i = 0; i < want->size; i++) {
        if (want->data[i] != got->data[i]) {
            fail_msg("%s, %d long: %zu is %d, should be %d", what, n, i, got->data[i], want->data[i]);
        }
    }
}

static void luma_of(const fm__color_kernels *k, int n, int shift, uint32_t seed, tensor_buffer *out)
{
    int chroma_n = (n + shift) >> shift;
    picture y = row_of(n, CONTENT_NOISE, seed), u = row_of(chroma_n, CONTENT_EXTREME, seed + 1);
    picture v = row_of(chroma_n, CONTENT_NOISE, seed + 2);
    fm__color_row row = random_row(&seed);
    *out = tensor_make((size_t)n);
    k->luma(out->data, y.view.plane[0], u.view.plane[0], v.view.plane[0], (size_t)n, shift, &row);
    picture_free(&y);
    picture_free(&u);
    picture_free(&v);
}

static void chroma_of(const fm__color_kernels *k, int n, int shift, uint32_t seed, tensor_buffer out[2])
{
    int chroma_n = (n + shift) >> shift;
    picture y0 = row_of(n, CONTENT_NOISE, seed), y1 = row_of(n, CONTENT_EXTREME, seed + 1);
    picture u = row_of(chroma_n, CONTENT_NOISE, seed + 2), v = row_of(chroma_n, CONTENT_NOISE, seed + 3);
    fm__color_row row[2] = {random_row(&seed), random_row(&seed)};
    out[0] = tensor_make((size_t)chroma_n);
    out[1] = tensor_make((size_t)chroma_n);
    k->chroma(out[0].data, out[1].data, y0.view.plane[0], y1.view.plane[0], u.view.plane[0], v.view.plane[0],
        (size_t)chroma_n, (size_t)n, shift, row);
    picture_free(&y0);
    picture_free(&y1);
    picture_free(&u);
    picture_free(&v);
}

static void test_affine_rows(void **state)
{
    (void)state;
    const fm__color_kernels *k = fm__color_kernels_of((int)level);
    for (int n = 1; n <= MAX_LEN; n++) {
        for (int shift = 0; shift < 2; shift++) {
            tensor_buffer want[3], got[3];
            luma_of(&fm__color_scalar, n, shift, (uint32_t)n, &want[0]);
            luma_of(k, n, shift, (uint32_t)n, &got[0]);
            chroma_of(&fm__color_scalar, n, shift, (uint32_t)n, want + 1);
            chroma_of(k, n, shift, (uint32_t)n, got + 1);
            for (int i = 0; i < 3; i++) {
                expect_same(&want[i], &got[i], i == 0 ? "luma" : "chroma", n);
                tensor_check_and_free(&want[i]);
                tensor_check_and_free(&got[i]);
            }
        }
    }
}

static void test_rgb_rows(void **state)
{
    (void)state;
    const fm__color_kernels *k = fm__color_kernels_of((int)level);
    for (int n = 1; n <= MAX_LEN; n++) {
        picture in[3];
        tensor_buffer want[6], got[6];
        for (int i = 0; i < 6; i++) {
            want[i] = tensor_make((size_t)n);
            got[i] = tensor_make((size_t)n);
        }
        for (int i = 0; i < 3; i++) {
            in[i] = row_of(n, (content)((n + i) % CONTENT_COUNT), (uint32_t)(3 * n + i));
        }
        const uint8_t *const from[] = {in[0].view.plane[0], in[1].view.plane[0], in[2].view.plane[0]};
        const fm__rgb_coef c = fm__rgb_coef_of(
            n & 1 ? FM_MATRIX_BT709 : FM_MATRIX_BT601, n & 2 ? FM_RANGE_FULL : FM_RANGE_LIMITED);
        fm__color_scalar.to_yuv(
            (uint8_t *const[]){want[0].data, want[1].data, want[2].data}, from, (size_t)n, &c);
        fm__color_scalar.to_rgb(
            (uint8_t *const[]){want[3].data, want[4].data, want[5].data}, from, (size_t)n, &c);
        k->to_yuv((uint8_t *const[]){got[0].data, got[1].data, got[2].data}, from, (size_t)n, &c);
        k->to_rgb((uint8_t *const[]){got[3].data, got[4].data, got[5].data}, from, (size_t)n, &c);
        for (int i = 0; i < 6; i++) {
            expect_same(&want[i], &got[i], i < 3 ? "to YUV" : "to RGB", n);
            tensor_check_and_free(&want[i]);
            tensor_check_and_free(&got[i]);
        }
        for (int i = 0; i < 3; i++) {
            picture_free(&in[i]);
        }
    }
}

static tensor_buffer equalised(const picture *p, const uint8_t *tables, fm_cpu_level at)
{
    fm__clahe c;
    fm__clahe_init(&c, p->view.width, p->view.height, FM__CLAHE_TILES);
    tensor_buffer out = tensor_make((size_t)p->view.width * (size_t)p->view.height);
    tensor_buffer scratch = tensor_make(fm__clahe_scratch_size(&c));
    fm__clahe_apply(
        &c, tables, p->view.plane[0], p->view.stride[0], out.data, p->view.width, scratch.data, at);
    tensor_check_and_free(&scratch);
    return out;
}

static void test_clahe(void **state)
{
    (void)state;
    static uint8_t tables[FM__CLAHE_TILES * FM__CLAHE_TILES * 256];
    uint32_t seed = 1;
    for (size_t i = 0; i < sizeof(tables); i++) {
        tables[i] = (uint8_t)(next_random(&seed) >> 24);
    }
    for (int w = 1; w < 300; w += 1 + w / 9) {
        picture p;
        picture_make(
            &p, FM_PIXFMT_GRAY8, w, 1 + w % 40, CONTENT_NOISE, (placement)(w % PLACE_COUNT), (uint32_t)w);
        tensor_buffer want = equalised(&p, tables, FM_CPU_SCALAR), got = equalised(&p, tables, level);
        expect_same(&want, &got, "clahe", w);
        tensor_check_and_free(&want);
        tensor_check_and_free(&got);
        picture_free(&p);
    }
}

static fm__lut3d *random_lut(int size)
{
    char *text = malloc((size_t)size * (size_t)size * (size_t)size * 40 + 100);
    assert_non_null(text);
    int at = sprintf(text, "LUT_3D_SIZE %d\n", size);
    uint32_t seed = 3;
    for (int i = 0; i < size * size * size; i++) {
        double v[3];
        for (int c = 0; c < 3; c++) {
            v[c] = (next_random(&seed) >> 8) / 16777216.0 * 1.4 - 0.2; // some clamp
        }
        at += sprintf(text + at, "%f %f %f\n", v[0], v[1], v[2]);
    }
    fm__lut3d *lut = NULL;
    assert_int_equal(fm__lut3d_parse(text, (size_t)at, "random", &lut, NULL), FM_OK);
    free(text);
    return lut;
}

static void test_lut(void **state)
{
    (void)state;
    static const int sizes[] = {2, 3, 17};
    for (size_t s = 0; s < sizeof(sizes) / sizeof(*sizes); s++) {
        fm__lut3d *lut = random_lut(sizes[s]);
        for (int n = 1; n <= MAX_LEN; n++) {
            picture rgb = row_of(3 * n, n & 1 ? CONTENT_NOISE : CONTENT_EXTREME, (uint32_t)n);
            tensor_buffer want = tensor_make((size_t)(3 * n)), got = tensor_make((size_t)(3 * n));
            fm__lut3d_row(lut, want.data, rgb.view.plane[0], (size_t)n, FM_CPU_SCALAR);
            fm__lut3d_row(lut, got.data, rgb.view.plane[0], (size_t)n, level);
            expect_same(&want, &got, "3D table", n);
            tensor_check_and_free(&want);
            tensor_check_and_free(&got);
            picture_free(&rgb);
        }
        fm__lut3d_free(&lut);
    }
}

int main(int argc, char **argv)
{
    if (!level_from(argc, argv, &level)) {
        return SKIPPED;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_affine_rows),
        cmocka_unit_test(test_rgb_rows),
        cmocka_unit_test(test_clahe),
        cmocka_unit_test(test_lut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
