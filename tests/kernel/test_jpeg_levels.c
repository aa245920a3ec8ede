// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// JPEG at one set of kernels (the argument: avx2, avx512, vbmi2) against the scalar twin: every byte the
// same, and nothing read or written outside of what was given.

#include "jpeg_cases.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const double PI = 3.14159265358979323846;

static const fm__jpeg_kernels *kernels;

static void compare(const fm_frame_view *v, int quality)
{
    jpeg_bytes want = jpeg_make(v, &fm__jpeg_scalar, quality), got = jpeg_make(v, kernels, quality);
    size_t same = 0;
    while (same < want.size && same < got.size && want.data[same] == got.data[same]) {
        same++;
    }
    if (same < want.size || want.size != got.size) {
        fail_msg("%dx%d %s quality %d: %zu bytes instead of %zu, the same up to %zu", v->width, v->height,
            fm_pixfmt_name(v->format), quality, got.size, want.size, same);
    }
    free(want.data);
    free(got.data);
}

static void make_and_compare(fm_pixfmt format, int w, int h, int n, int quality)
{
    picture p;
    picture_make(
        &p, format, w, h, (content)(n % CONTENT_COUNT), (placement)(n % PLACE_COUNT), (uint32_t)n + 1);
    p.view.range = n & 1 ? FM_RANGE_FULL : FM_RANGE_LIMITED;
    compare(&p.view, quality);
    picture_free(&p);
}

// Every width about the groups of four blocks; 13, so that content, placement, range walk through one
// another.
static void test_sizes(void **state)
{
    (void)state;
    for (int w = 1; w <= 150; w++) {
        for (int format = FM_PIXFMT_GRAY8; format <= FM_PIXFMT_NV12; format++) {
            make_and_compare((fm_pixfmt)format, w, 1 + w * 7 % 41, w * 13 + format, 20 + w % 81);
        }
    }
}

static void test_every_quality(void **state)
{
    (void)state;
    for (int quality = 1; quality <= 100; quality++) {
        for (int kind = 0; kind < 12; kind++) {
            make_and_compare((fm_pixfmt)(1 + (quality + kind) % 5), 133, 61, kind, quality);
        }
    }
}

// Runs of sixteen zeros and more before a coefficient, in the zigzag.
static long long_runs(const jpeg_bytes *bytes)
{
    jpeg_coefs j;
    long count = 0;
    jpeg_read(bytes, &j);
    for (int i = 0; i < j.count; i++) {
        for (int b = 0; b < j.c[i].blocks_w * j.c[i].blocks_h; b++) {
            for (int k = 1, last = 0; k < 64; k++) {
                int at = fm__jpeg_zigzag[k]; // by column
                if (j.c[i].blocks[b][at % 8 * 8 + at / 8] != 0) {
                    count += k - last > 16;
                    last = k;
                }
            }
        }
    }
    jpeg_coefs_free(&j);
    return count;
}

// Blocks of two waves, so that their coefficients lie far apart, up to the very last one.
static void test_long_runs(void **state)
{
    (void)state;
    enum { W = 256, H = 64 };
    static uint8_t pixels[W * H];
    uint32_t random = 11;
    for (int round = 0; round < 30; round++) {
        for (int block = 0; block < W * H / 64; block++) {
            int u[2], v[2];
            for (int k = 0; k < 2; k++) {
                u[k] = (int)(next_random(&random) & 7);
                v[k] = (int)(next_random(&random) & 7);
            }
            for (int i = 0; i < 64; i++) {
                double sum = 128.5;
                for (int k = 0; k < 2; k++) {
                    sum += 60 * cos((2 * (i % 8) + 1) * u[k] * PI / 16) *
                           cos((2 * (i / 8) + 1) * v[k] * PI / 16);
                }
                pixels[(block / (W / 8) * 8 + i / 8) * W + block % (W / 8) * 8 + i % 8] = (uint8_t)sum;
            }
        }
        fm_frame_view f = {.plane = {pixels, pixels, pixels},
            .stride = {W, W, W},
            .width = W,
            .height = H,
            .format = round & 1 ? FM_PIXFMT_GRAY8 : FM_PIXFMT_YUV444P,
            .range = FM_RANGE_FULL};
        jpeg_bytes b = jpeg_make(&f, kernels, 20 + round);
        assert_true(long_runs(&b) > W * H / 64 / 4);
        free(b.data);
        compare(&f, 20 + round);
    }
}

int main(int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : "";
    fm_cpu_level need = strcmp(name, "avx2") == 0 ? FM_CPU_AVX2 : FM_CPU_AVX512;
#if defined(__x86_64__)
    kernels = need == FM_CPU_AVX2           ? &fm__jpeg_avx2
              : strcmp(name, "avx512") == 0 ? &fm__jpeg_avx512
                                            : &fm__jpeg_vbmi2;
#endif
    if (need > fm__cpu_level() || (kernels != fm__jpeg_kernels_of(need) && strcmp(name, "vbmi2") == 0)) {
        printf("skipped: this CPU has no %s\n", name);
        return SKIPPED;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_every_quality),
        cmocka_unit_test(test_long_runs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
