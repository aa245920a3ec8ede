// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Milliseconds a call of the letterbox at every level of this CPU, one thread, into planes of u8 (what
// framemill's networks read) and of f32. Prints a line a case: name, fit, pictures, format, level, type,
// best, median. With one picture the source stays in the cache, with eight in turn it mostly comes from
// memory. bench/kernels/run.py puts OpenCV beside it.

#include "base/clock.h"
#include "ops/letterbox.h"
#include "pictures.h"

#include <stdio.h>
#include <stdlib.h>

typedef struct bench_case {
    const char *name;
    int src_w, src_h, dst;
    fm_pixfmt format;
} bench_case;

static const bench_case cases[] = {
    {"768x576-416", 768, 576, 416, FM_PIXFMT_YUV420P},
    {"1280x720-640", 1280, 720, 640, FM_PIXFMT_YUV420P},
    {"1920x1080-416", 1920, 1080, 416, FM_PIXFMT_YUV420P},
    {"1920x1080-640", 1920, 1080, 640, FM_PIXFMT_YUV420P},
    {"1920x1080-640", 1920, 1080, 640, FM_PIXFMT_NV12},
    {"1920x1080-640", 1920, 1080, 640, FM_PIXFMT_RGB24},
    {"3840x2160-640", 3840, 2160, 640, FM_PIXFMT_YUV420P},
};

static void measure(const fm_letterbox_plan *plan, const fm_frame_view views[PICTURES], int pictures,
    void *dst, void *scratch, int rounds, double ms[MAX_ROUNDS])
{
    for (int i = -PICTURES; i < rounds; i++) {
        const fm_frame_view *view = &views[(i + PICTURES) % pictures];
        int64_t start = fm__now_ns();
        fm__letterbox_run(plan, view, dst, scratch);
        if (i >= 0) {
            ms[i] = (double)(fm__now_ns() - start) / FM_NS_PER_MS;
        }
    }
    sort_times(ms, (size_t)rounds);
}

static int run_case(const bench_case *c, const fm_frame_view views[PICTURES], fm_fit fit, fm_cpu_level level,
    fm_dtype dtype, int rounds)
{
    static double ms[MAX_ROUNDS];
    fm_letterbox_desc desc = {.format = c->format,
        .map = fm__fit(fit, FM_ANCHOR_TOPLEFT, 0, c->src_w, c->src_h, c->dst, c->dst),
        .dtype = dtype,
        .pad = 114};
    fm_letterbox_plan *plan = NULL;
    fm_error err = {0};
    if (fm__letterbox_plan_new(&desc, level, &plan, &err) != FM_OK) {
        fprintf(stderr, "%s\n", err.msg);
        return -1;
    }
    void *dst = aligned_alloc(64, (size_t)c->dst * (size_t)c->dst * 3 * fm__dtype_size(dtype));
    void *scratch = aligned_alloc(64, fm__letterbox_scratch_size(plan));
    for (int pictures = 1; dst && scratch && pictures <= PICTURES; pictures += PICTURES - 1) {
        measure(plan, views, pictures, dst, scratch, rounds, ms);
        printf("%s %s %d %s %s %s %.4f %.4f\n", c->name, fit == FM_FIT_STRETCH ? "stretch" : "letterbox",
            pictures, fm_pixfmt_name(c->format), fm__cpu_level_name(level), fm__dtype_name(dtype), ms[0],
            ms[rounds / 2]);
    }
    free(dst);
    free(scratch);
    fm__letterbox_plan_free(&plan);
    return 0;
}

// Every fit and type, at every level from the CPU's down.
static int run_all(const bench_case *c, const fm_frame_view views[PICTURES], int rounds)
{
    int status = 0;
    for (int k = 0; k < 4 * ((int)fm__cpu_level() + 1); k++) {
        fm_cpu_level level = (fm_cpu_level)((int)fm__cpu_level() - k / 4);
        fm_fit fit = k & 2 ? FM_FIT_STRETCH : FM_FIT_LETTERBOX;
        status |= run_case(c, views, fit, level, k & 1 ? FM_DTYPE_F32 : FM_DTYPE_U8, rounds);
    }
    return status;
}

int main(int argc, char **argv)
{
    int rounds = rounds_from(argc, argv, 200), status = 0;
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases) && status == 0; i++) {
        fm_frame_view views[PICTURES];
        uint8_t *pixels[PICTURES];
        bool ok = pictures_make(cases[i].format, cases[i].src_w, cases[i].src_h, views, pixels);
        status = !ok || run_all(&cases[i], views, rounds) != 0;
        pictures_free(pixels);
    }
    return status;
}
