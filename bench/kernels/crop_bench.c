// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Microseconds a crop at every level of this CPU, one thread, for boxes of people of a few sizes anywhere in
// eight frames in turn, into the 128 x 256 pixels that appearance networks read, planes of u8 and of f32.
// Prints a line a case: name, format, level, type, best, median of the means over a round of boxes.
// bench/kernels/run.py puts OpenCV beside it.

#include "base/clock.h"
#include "ops/crop.h"
#include "pictures.h"

#include <stdio.h>
#include <stdlib.h>

enum { BOXES = 64, DST_W = 128, DST_H = 256 };

typedef struct bench_case {
    const char *name;
    int width, height, box_w, box_h;
    fm_pixfmt format;
} bench_case;

static const bench_case cases[] = {
    {"768x576-30x75", 768, 576, 30, 75, FM_PIXFMT_YUV420P},
    {"1920x1080-70x180", 1920, 1080, 70, 180, FM_PIXFMT_YUV420P},
    {"1920x1080-250x600", 1920, 1080, 250, 600, FM_PIXFMT_YUV420P},
    {"1920x1080-70x180", 1920, 1080, 70, 180, FM_PIXFMT_NV12},
    {"1920x1080-70x180", 1920, 1080, 70, 180, FM_PIXFMT_RGB24},
};

// Box i of a round; sides vary by a quarter. The peer draws the same boxes.
static fm_box box_of(const bench_case *c, int i)
{
    int w = c->box_w + i * 7 % (c->box_w / 4), h = c->box_h + i * 11 % (c->box_h / 4);
    int x = i * 131 % (c->width - w), y = i * 89 % (c->height - h);
    return (fm_box){(float)x, (float)y, (float)(x + w), (float)(y + h)};
}

static void measure(const bench_case *c, const fm_crop_desc *desc, const fm_frame_view views[PICTURES],
    fm_cpu_level level, void *dst, void *scratch, int rounds)
{
    static double us[MAX_ROUNDS];
    for (int i = -2; i < rounds; i++) {
        int64_t start = fm__now_ns();
        for (int k = 0; k < BOXES; k++) {
            fm__crop_run(desc, &views[k % PICTURES], box_of(c, k), dst, scratch, level);
        }
        if (i >= 0) {
            us[i] = (double)(fm__now_ns() - start) / (1000.0 * BOXES);
        }
    }
    sort_times(us, (size_t)rounds);
    printf("%s %s %s %s %.2f %.2f\n", c->name, fm_pixfmt_name(c->format), fm__cpu_level_name(level),
        fm__dtype_name(desc->dtype), us[0], us[rounds / 2]);
}

static bool run_case(const bench_case *c, const fm_frame_view views[PICTURES], int rounds)
{
    fm_crop_desc desc = {.dst_w = DST_W, .dst_h = DST_H, .dtype = FM_DTYPE_F32, .fit = FM_FIT_STRETCH};
    void *dst = aligned_alloc(64, 3 * DST_W * DST_H * sizeof(float));
    void *scratch = aligned_alloc(64, fm__crop_scratch_size(&desc, c->width));
    for (int level = (int)fm__cpu_level(); dst && scratch && level >= 0; level--) {
        desc.dtype = FM_DTYPE_U8;
        measure(c, &desc, views, (fm_cpu_level)level, dst, scratch, rounds);
        desc.dtype = FM_DTYPE_F32;
        measure(c, &desc, views, (fm_cpu_level)level, dst, scratch, rounds);
    }
    bool ok = dst && scratch;
    free(dst);
    free(scratch);
    return ok;
}

int main(int argc, char **argv)
{
    int rounds = rounds_from(argc, argv, 50);
    bool ok = true;
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases) && ok; i++) {
        fm_frame_view views[PICTURES];
        uint8_t *pixels[PICTURES];
        ok = pictures_make(cases[i].format, cases[i].width, cases[i].height, views, pixels) &&
             run_case(&cases[i], views, rounds);
        pictures_free(pixels);
    }
    return !ok;
}
