// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Milliseconds a frame of 1920x1080 of the enhancement kernels at every level of this CPU: non-local means
// (grey, YUV 4:4:4 as OpenCV's colour form, YUV 4:2:0 as video is), on one thread and on two; CLAHE; colour
// correction complete, statistics included; a 3D table. Reads one grey picture of that size from the file
// given, made by enhance_opencv.py so that both sides work on the same pixels. Then the same as `enhance`
// does them with a video, through an enhancer. Prints a line a case: name, h, threads, level, best
// milliseconds. bench/kernels/run_enhance.py puts the peers beside it.

#include "base/thread.h"
#include "enhance/enhance.h"
#include "ops/color.h"
#include "ops/lut3d.h"
#include "ops/nlm.h"
#include "ops/resample.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { W = 1920, H = 1080, PIXELS = W * H, MAX_THREADS = 2, TABLE = 33 };

typedef struct band {
    const fm__nlm_plan *plan;
    const fm__nlm_frame *frame;
    uint8_t *const *dst;
    const ptrdiff_t *stride;
    int y0, y1;
    void *scratch;
} band;

static uint8_t *pixels; // the picture
static int rounds;

static void *need(size_t size)
{
    void *p = aligned_alloc(64, (size + 63) / 64 * 64);
    if (!p) {
        fprintf(stderr, "no memory\n");
        exit(1);
    }
    memset(p, 0, size);
    return p;
}

static void report(const char *name, double h, int threads, fm_cpu_level level, double best)
{
    printf("%s %g %d %s %.3f\n", name, h, threads, fm__cpu_level_name(level), best);
    fflush(stdout);
}

// On one thread the processor's time, which other work on the machine adds little to.
static double now_ms(int threads)
{
    struct timespec t;
    clock_gettime(threads > 1 ? CLOCK_MONOTONIC : CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}

/* ---- non-local means ---- */

static void *run_band(void *arg)
{
    const band *b = arg;
    fm__nlm_rows(b->plan, b->frame, b->dst, b->stride, b->y0, b->y1, b->scratch);
    return NULL;
}

// Planes of one frame through one plan, by rows over threads.
static void denoise(const fm__nlm_desc *desc, fm_cpu_level level, int threads)
{
    fm__nlm_plan *plan = NULL;
    if (fm__nlm_plan_new(desc, level, &plan, NULL) != FM_OK) {
        exit(1);
    }
    static uint8_t out[2][PIXELS];
    uint8_t *dst[] = {out[0], out[1]};
    const ptrdiff_t stride[] = {desc->width, desc->width};
    const fm__nlm_frame frame = {{pixels, pixels + PIXELS / 2}, {desc->width, desc->width}};
    pthread_t thread[MAX_THREADS];
    band bands[MAX_THREADS];
    for (int t = 0; t < threads; t++) {
        bands[t] = (band){plan, &frame, dst, stride, desc->height * t / threads,
            desc->height * (t + 1) / threads, need(fm__nlm_scratch_size(plan))};
        if (t > 0 && fm__thread_start(&thread[t], "nlm", run_band, &bands[t], NULL) != FM_OK) {
            exit(1);
        }
    }
    run_band(&bands[0]);
    for (int t = 0; t < threads; t++) {
        if (t > 0) {
            pthread_join(thread[t], NULL);
        }
        free(bands[t].scratch);
    }
    fm__nlm_plan_free(&plan);
}

// What a picture of colours costs besides: to YCbCr and back. The result is not used; times do not depend on
// it.
static void convert_both_ways(fm_cpu_level level)
{
    static uint8_t planes[3][W], rgb[3 * W];
    for (int y = 0; y < H; y++) {
        fm__rgb_to_ycc(planes[0], planes[1], planes[2], pixels + (size_t)y * 3 * W, W, level);
        fm__ycc_to_rgb(rgb, planes[0], planes[1], planes[2], W, level);
    }
}

// chroma_shift: -1 grey, 0 4:4:4 from RGB and back, 1 4:2:0. Plans and scratch are made anew, as OpenCV does.
static void measure_nlm(const char *name, int chroma_shift, float h, int threads, fm_cpu_level level)
{
    double best = 1e30;
    const fm__nlm_desc luma = {
        .width = W, .height = H, .planes = 1, .h = h, .band = (H + threads - 1) / threads};
    fm__nlm_desc chroma = luma;
    if (chroma_shift > 0) {
        chroma.width /= 2;
        chroma.height /= 2;
        chroma.band = (chroma.height + threads - 1) / threads;
    }
    chroma.planes = 2;
    for (int i = 0; i < rounds; i++) {
        double start = now_ms(threads);
        denoise(&luma, level, threads);
        if (chroma_shift == 0) {
            convert_both_ways(level);
        }
        if (chroma_shift >= 0) {
            denoise(&chroma, level, threads);
        }
        best = fmin(best, now_ms(threads) - start);
    }
    report(name, (double)h, threads, level, best);
}

/* ---- colour ---- */

static void measure_clahe(fm_cpu_level level)
{
    static uint32_t hist[64 * 256];
    static uint8_t tables[64 * 256], out[PIXELS];
    fm__clahe c;
    fm__clahe_init(&c, W, H, FM__CLAHE_TILES);
    void *scratch = need(fm__clahe_scratch_size(&c));
    double best = 1e30;
    for (int i = 0; i < 4 * rounds; i++) {
        double start = now_ms(1);
        fm__clahe_count(&c, pixels, W, hist);
        fm__clahe_tables(&c, hist, 2, NULL, tables);
        fm__clahe_apply(&c, tables, pixels, W, out, W, scratch, level);
        best = fmin(best, now_ms(1) - start);
    }
    free(scratch);
    report("clahe", 0, 1, level, best);
}

// Everything that a frame of a video costs: statistics, their average, parameters, correction.
static void measure_color(const char *name, fm_pixfmt format, fm_cpu_level level)
{
    static uint8_t out[3 * PIXELS];
    static fm__color_state state;
    bool is_rgb = format == FM_PIXFMT_RGB24;
    const fm_frame_view view = {.plane = {pixels, pixels + PIXELS / 3, pixels + PIXELS / 2},
        .stride = {is_rgb ? 3 * W : W, W / 2, W / 2},
        .width = W,
        .height = H,
        .format = format,
        .range = is_rgb ? FM_RANGE_FULL : FM_RANGE_LIMITED};
    const fm__color_desc desc = {W, H, format, view.matrix, view.range};
    const fm__color_opts opts = FM__COLOR_AUTO;
    uint8_t *dst[] = {out, out + PIXELS, out + 2 * PIXELS};
    const int stride[] = {is_rgb ? 3 * W : W, W / 2, W / 2};
    fm__color_plan *plan = NULL;
    if (fm__color_plan_new(&desc, level, &plan, NULL) != FM_OK) {
        exit(1);
    }
    void *scratch = need(fm__color_scratch_size(plan));
    double best = 1e30;
    for (int i = 0; i < 4 * rounds; i++) {
        fm__color_stats stats;
        fm__color_params params;
        double start = now_ms(1);
        fm__color_stats_of(&view, &stats);
        fm__color_smooth(&state, &stats, 0.1F);
        fm__color_params_of(&opts, &state.stats, view.matrix, &params);
        params.gain[0] *= 1.01F; // grey pixels need no gain; the work is to be done all the same
        fm__color_apply(plan, &params, &view, dst, stride, &state, 0.1F, scratch);
        best = fmin(best, now_ms(1) - start);
    }
    free(scratch);
    fm__color_plan_free(&plan);
    report(name, 0, 1, level, best);
}

// The same through an enhancer, as a video goes: frames out of pools, bands, threads.
static void measure_enhancer(
    const char *name, const fm__enhance_spec *spec, const fm__lut3d *lut, int threads)
{
    const fm__enhance_opts opts = {.spec = *spec, .lut = lut, .threads = threads, .is_video = true};
    fm__enhancer *e = NULL;
    fm_frame_pool *pool = NULL;
    fm_frame *in = NULL, *out = NULL;
    double best = 1e30;
    if (fm__enhancer_new(&opts, &e, NULL) != FM_OK || fm__frame_pool_new(&pool, NULL) != FM_OK ||
        fm__frame_pool_take_pixels(pool, FM_PIXFMT_YUV420P, W, H, &in, NULL) != FM_OK) {
        exit(1);
    }
    for (int p = 0; p < 3; p++) {
        int rows = p ? H / 2 : H, w = p ? W / 2 : W;
        for (int y = 0; y < rows; y++) {
            memcpy(fm__frame_plane(in, p) + (ptrdiff_t)y * in->view.stride[p],
                p ? pixels + (p - 1) * PIXELS / 2 + (ptrdiff_t)y * w : pixels + (ptrdiff_t)y * w, (size_t)w);
        }
    }
    for (int i = 0; i < 4 * rounds; i++) {
        double start = now_ms(threads);
        if (fm__enhancer_push(e, in, &out, NULL) < 0) {
            exit(1);
        }
        best = out ? fmin(best, now_ms(threads) - start) : best;
        fm_frame_unref(&out);
    }
    fm_frame_unref(&in);
    fm__frame_pool_free(&pool);
    fm__enhancer_free(&e);
    report(name, spec->h, threads, fm__cpu_level(), best);
}

static fm__lut3d *make_table(void)
{
    size_t size = 64 + (size_t)TABLE * TABLE * TABLE * 32, at;
    char *text = need(size);
    at = (size_t)sprintf(text, "LUT_3D_SIZE %d\n", TABLE);
    for (int i = 0; i < TABLE * TABLE * TABLE; i++) {
        double r = i % TABLE, g = i / TABLE % TABLE, b = i / (TABLE * TABLE), top = TABLE - 1;
        at +=
            (size_t)sprintf(text + at, "%.6f %.6f %.6f\n", r * r / (top * top), (r + g) / (2 * top), b / top);
    }
    fm__lut3d *lut = NULL;
    if (fm__lut3d_parse(text, at, "bench", &lut, NULL) != FM_OK) {
        exit(1);
    }
    free(text);
    return lut;
}

static void measure_table(fm_cpu_level level)
{
    static uint8_t out[3 * PIXELS];
    fm__lut3d *lut = make_table();
    double best = 1e30;
    for (int i = 0; i < 4 * rounds; i++) {
        double start = now_ms(1);
        fm__lut3d_row(lut, out, pixels, PIXELS, level);
        best = fmin(best, now_ms(1) - start);
    }
    report("lut3d", 0, 1, level, best);
    const fm_frame_view view = {.plane = {pixels, pixels + PIXELS / 3, pixels + PIXELS / 2},
        .stride = {W, W / 2, W / 2},
        .width = W,
        .height = H,
        .format = FM_PIXFMT_YUV420P};
    uint8_t *const dst[] = {out, out + PIXELS, out + 2 * PIXELS};
    void *scratch = need(fm__lut3d_scratch_size(W));
    best = 1e30;
    for (int i = 0; i < 4 * rounds; i++) {
        double start = now_ms(1);
        fm__lut3d_frame(lut, &view, dst, view.stride, scratch, level);
        best = fmin(best, now_ms(1) - start);
    }
    report("lut3d-video", 0, 1, level, best);
    free(scratch);
    fm__lut3d_free(&lut);
}

static void measure_resample(const char *name, int w, int h, fm_cpu_level level)
{
    static uint8_t out[4 * PIXELS];
    const fm__resample_desc desc = {.src_w = W, .src_h = H, .dst_w = w, .dst_h = h};
    double best = 1e30;
    for (int i = 0; i < 4 * rounds; i++) {
        fm__resample_plan *plan = NULL;
        double start = now_ms(1);
        if (fm__resample_plan_new(&desc, level, &plan, NULL) != FM_OK) {
            exit(1);
        }
        void *scratch = need(fm__resample_scratch_size(plan));
        fm__resample_rows(plan, pixels, W, out, w, 0, h, scratch);
        best = fmin(best, now_ms(1) - start);
        free(scratch);
        fm__resample_plan_free(&plan);
    }
    report(name, 0, 1, level, best);
}

static void measure_video(int threads)
{
    fm__enhance_spec color = {.has_color = true, .color = FM__COLOR_AUTO, .scale = 1}, none = {.scale = 1};
    fm__enhance_spec nlm = {.denoise = FM__DENOISE_NLM, .h = 10, .h_color = 10, .scale = 1}, over_time = nlm;
    fm__lut3d *lut = make_table();
    over_time.denoise = FM__DENOISE_NLM_T;
    over_time.frames = 3;
    measure_enhancer("video-color", &color, NULL, threads);
    measure_enhancer("video-lut3d", &none, lut, threads);
    measure_enhancer("video-nlm", &nlm, NULL, threads);
    measure_enhancer("video-nlm-t", &over_time, NULL, threads);
    fm__lut3d_free(&lut);
}

static void read_picture(const char *path)
{
    FILE *f = fopen(path, "rb");
    pixels = need(3 * PIXELS);
    if (!f || fread(pixels, 1, PIXELS, f) != PIXELS) {
        fprintf(stderr, "cannot read %d bytes of '%s'\n", PIXELS, path);
        exit(1);
    }
    fclose(f);
    memcpy(pixels + PIXELS, pixels, PIXELS); // RGB reads three times as much
    memcpy(pixels + 2 * PIXELS, pixels, PIXELS);
}

int main(int argc, char **argv)
{
    static const float strengths[] = {3, 10, 25};
    if (argc < 2) {
        fprintf(stderr, "enhance_bench PICTURE.gray [ROUNDS [video]]\n");
        return 2;
    }
    read_picture(argv[1]);
    rounds = argc > 2 ? atoi(argv[2]) : 3;
    rounds = rounds < 1 ? 1 : rounds;
    bool is_whole = argc < 4 || strcmp(argv[3], "video") != 0;
    for (fm_cpu_level level = fm__cpu_level(); is_whole && level > FM_CPU_SCALAR; level--) {
        for (int i = 0; i < 6; i++) {
            measure_nlm("nlm-grey", -1, strengths[i / 2], 1 + i % 2, level);
            measure_nlm("nlm-color", 0, strengths[i / 2], 1 + i % 2, level);
            measure_nlm("nlm-video", 1, strengths[i / 2], 1 + i % 2, level);
        }
        measure_clahe(level);
        measure_color("color-video", FM_PIXFMT_YUV420P, level);
        measure_color("color-rgb", FM_PIXFMT_RGB24, level);
        measure_table(level);
        measure_resample("lanczos-x2", 2 * W, 2 * H, level);
        measure_resample("lanczos-/3", W / 3, H / 3, level);
    }
    measure_video(1);
    measure_video(MAX_THREADS);
    free(pixels);
    return 0;
}
