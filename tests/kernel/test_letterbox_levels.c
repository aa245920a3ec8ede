// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// One CPU level of the letterbox against the scalar one: not a bit may differ, over all geometries, formats,
// layouts and types, on noise, on bytes of 0 and 255 only and on smooth pictures, in memory whose
// neighbourhood may not be touched. Skipped where the CPU has not the level.

#include "letterbox_cases.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define OUTPUTS 12

static fm_cpu_level level;

static void compare(const fm_letterbox_desc *desc, const fm_frame_view *view)
{
    tensor_buffer want, got;
    run_letterbox(desc, FM_CPU_SCALAR, view, &want);
    run_letterbox(desc, level, view, &got);
    if (memcmp(want.data, got.data, want.size) != 0) {
        size_t i = 0;
        while (want.data[i] == got.data[i]) {
            i++;
        }
        fail_msg(
            "%s: byte %zu of %zu is %d, scalar %d", describe(desc), i, want.size, got.data[i], want.data[i]);
    }
    tensor_check_and_free(&want);
    tensor_check_and_free(&got);
}

static void test_format(fm_pixfmt format)
{
    for (size_t g = 0; g < letterbox_geometry_count; g++) {
        const geometry *geo = &letterbox_geometries[g];
        for (int n = 0; n < OUTPUTS; n++) {
            int variant = n * 5 + (int)g;
            picture p;
            picture_make(&p, format, geo->src_w, geo->src_h, (content)(variant % CONTENT_COUNT),
                (placement)(variant % PLACE_COUNT), (uint32_t)variant + 1);
            fm_letterbox_desc desc = make_desc(&p, geo, variant);
            p.view.matrix = desc.matrix;
            p.view.range = desc.range;
            p.view.chroma_site = desc.chroma_site;
            set_output(&desc, n);
            compare(&desc, &p.view);
            picture_free(&p);
        }
    }
}

static void test_all_formats(void **state)
{
    (void)state;
    for (int format = FM_PIXFMT_NONE + 1; format < FM_PIXFMT_COUNT; format++) {
        test_format((fm_pixfmt)format);
    }
}

// Every content width from 1 to 130: all ends of rows inside a vector of any level.
static void test_every_row_end(void **state)
{
    (void)state;
    for (int w = 1; w <= 130; w++) {
        geometry g = {w + w / 3, 3, w, 2, FM_FIT_STRETCH, FM_ANCHOR_TOPLEFT, 0};
        for (int format = FM_PIXFMT_NONE + 1; format < FM_PIXFMT_COUNT; format++) {
            picture p;
            picture_make(&p, (fm_pixfmt)format, g.src_w, g.src_h, CONTENT_NOISE, (placement)(w % PLACE_COUNT),
                (uint32_t)w);
            fm_letterbox_desc desc = make_desc(&p, &g, 0);
            set_output(&desc, w % OUTPUTS);
            compare(&desc, &p.view);
            picture_free(&p);
        }
    }
}

int main(int argc, char **argv)
{
    if (!level_from(argc, argv, &level)) {
        return SKIPPED;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_formats),
        cmocka_unit_test(test_every_row_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
