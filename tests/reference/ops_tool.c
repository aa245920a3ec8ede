// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// The kernels of enhancement over raw pixels, for the scripts beside this file: reads W x H pixels from
// standard input, writes what comes out to standard output.
//
//   ops_tool nlm W H H_LUMA             grey         ops_tool clahe W H LIMIT       grey
//   ops_tool nlm-color W H H_LUMA H_COLOR  RGB       ops_tool lut W H FILE.cube     RGB
//   ops_tool resample W H W2 H2 lanczos|bicubic   grey
//   ops_tool noise W H                  grey: the estimated deviation, as text
//   ops_tool jpeg W H FORMAT QUALITY   planes, full range: a JPEG
//   ops_tool quality W H                two RGB pictures: the measures, as text

#include "frame/frame.h"
#include "ops/clahe.h"
#include "ops/color.h"
#include "ops/jpeg.h"
#include "ops/lut3d.h"
#include "ops/nlm.h"
#include "ops/noise.h"
#include "ops/quality.h"
#include "ops/resample.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// All memory of a call, given back at its end.
static void *blocks[32];
static size_t block_count;

static void *need(size_t size)
{
    void *p =
        block_count < sizeof(blocks) / sizeof(blocks[0]) ? aligned_alloc(64, (size + 63) / 64 * 64) : NULL;
    if (!p) {
        fprintf(stderr, "no memory\n");
        exit(1);
    }
    blocks[block_count++] = p;
    return p;
}

static void give_back_all(void)
{
    while (block_count > 0) {
        free(blocks[--block_count]);
    }
}

static uint8_t *read_bytes(size_t size)
{
    uint8_t *p = need(size);
    if (fread(p, 1, size, stdin) != size) {
        fprintf(stderr, "input ends early\n");
        exit(1);
    }
    return p;
}

static void stop(const fm_error *err)
{
    fprintf(stderr, "%s\n", err->msg);
    exit(1);
}

static void denoise(uint8_t *const planes[], int count, int w, int h, float strength)
{
    const fm__nlm_desc desc = {.width = w, .height = h, .planes = count, .h = strength};
    fm__nlm_plan *plan = NULL;
    fm_error err = {0};
    if (fm__nlm_plan_new(&desc, fm__cpu_level(), &plan, &err) != FM_OK) {
        stop(&err);
    }
    fm__nlm_frame frame = {.stride = {w, w}};
    uint8_t *dst[FM__NLM_MAX_PLANES];
    const ptrdiff_t stride[] = {w, w};
    for (int i = 0; i < count; i++) {
        dst[i] = need((size_t)w * (size_t)h);
        frame.plane[i] = planes[i];
    }
    void *scratch = need(fm__nlm_scratch_size(plan));
    fm__nlm_rows(plan, &frame, dst, stride, 0, h, scratch);
    for (int i = 0; i < count; i++) {
        memcpy(planes[i], dst[i], (size_t)w * (size_t)h);
    }
    fm__nlm_plan_free(&plan);
}

static void run_nlm(int w, int h, char **argv)
{
    size_t n = (size_t)w * (size_t)h;
    uint8_t *pixels = read_bytes(n);
    denoise(&pixels, 1, w, h, strtof(argv[0], NULL));
    fwrite(pixels, 1, n, stdout);
}

static void run_nlm_color(int w, int h, char **argv)
{
    size_t n = (size_t)w * (size_t)h;
    uint8_t *rgb = read_bytes(3 * n), *y = need(n), *chroma[] = {need(n), need(n)};
    fm__rgb_to_ycc(y, chroma[0], chroma[1], rgb, n, fm__cpu_level());
    denoise(&y, 1, w, h, strtof(argv[0], NULL));
    denoise(chroma, 2, w, h, strtof(argv[1], NULL));
    fm__ycc_to_rgb(rgb, y, chroma[0], chroma[1], n, fm__cpu_level());
    fwrite(rgb, 1, 3 * n, stdout);
}

static void run_clahe(int w, int h, char **argv)
{
    size_t n = (size_t)w * (size_t)h, bins = FM__CLAHE_TILES * FM__CLAHE_TILES * 256;
    uint8_t *pixels = read_bytes(n), *tables = need(bins);
    uint32_t *hist = need(bins * sizeof(*hist));
    fm__clahe c;
    fm__clahe_init(&c, w, h, FM__CLAHE_TILES);
    fm__clahe_count(&c, pixels, w, hist);
    fm__clahe_tables(&c, hist, strtod(argv[0], NULL), NULL, tables);
    fm__clahe_apply(&c, tables, pixels, w, pixels, w, need(fm__clahe_scratch_size(&c)), fm__cpu_level());
    fwrite(pixels, 1, n, stdout);
}

static void run_lut(int w, int h, char **argv)
{
    static char text[32 << 20];
    size_t n = (size_t)w * (size_t)h, len = 0;
    FILE *f = fopen(argv[0], "r");
    fm__lut3d *lut = NULL;
    fm_error err = {0};
    if (f) {
        len = fread(text, 1, sizeof(text), f);
        fclose(f);
    }
    if (fm__lut3d_parse(text, len, argv[0], &lut, &err) != FM_OK) {
        stop(&err);
    }
    uint8_t *pixels = read_bytes(3 * n);
    fm__lut3d_row(lut, pixels, pixels, n, fm__cpu_level());
    fm__lut3d_free(&lut);
    fwrite(pixels, 1, 3 * n, stdout);
}

static void run_resample(int w, int h, char **argv)
{
    const fm__resample_desc desc = {.src_w = w,
        .src_h = h,
        .dst_w = atoi(argv[0]),
        .dst_h = atoi(argv[1]),
        .filter = strcmp(argv[2], "bicubic") == 0 ? FM__FILTER_BICUBIC : FM__FILTER_LANCZOS3};
    fm__resample_plan *plan = NULL;
    fm_error err = {0};
    if (fm__resample_plan_new(&desc, fm__cpu_level(), &plan, &err) != FM_OK) {
        stop(&err);
    }
    size_t n = (size_t)desc.dst_w * (size_t)desc.dst_h;
    uint8_t *pixels = read_bytes((size_t)w * (size_t)h), *out = need(n);
    fm__resample_rows(plan, pixels, w, out, desc.dst_w, 0, desc.dst_h, need(fm__resample_scratch_size(plan)));
    fm__resample_plan_free(&plan);
    fwrite(out, 1, n, stdout);
}

static void run_noise(int w, int h, char **argv)
{
    static fm__noise_stats stats;
    (void)argv;
    fm__noise_add(&stats, read_bytes((size_t)w * (size_t)h), w, w, h, 0, h);
    printf("%f\n", fm__noise_sigma(&stats));
}

static void run_quality(int w, int h, char **argv)
{
    size_t n = 3 * (size_t)w * (size_t)h;
    uint8_t *a = read_bytes(n), *b = read_bytes(n);
    fm_quality q;
    (void)argv;
    fm__quality_rgb(a, 3 * w, b, 3 * w, w, h, need(fm__quality_scratch_size(w)), &q);
    printf("%.9f %.9f %.9f %.9f\n", q.psnr_rgb, q.psnr_y, q.ssim_rgb, q.ssim_y);
}

static void run_jpeg(int w, int h, char **argv)
{
    static fm__jpeg_tables tables;
    fm_frame_view v = {.width = w, .height = h, .range = FM_RANGE_FULL};
    for (int f = 1; f < FM_PIXFMT_COUNT; f++) {
        v.format = strcmp(fm_pixfmt_name((fm_pixfmt)f), argv[0]) == 0 ? (fm_pixfmt)f : v.format;
    }
    if (!fm__jpeg_takes(v.format)) {
        fprintf(stderr, "no JPEG of %s\n", argv[0]);
        exit(2);
    }
    for (int p = 0; p < fm_pixfmt_planes(v.format); p++) {
        int pw, ph;
        fm__pixfmt_plane_size(v.format, w, h, p, &pw, &ph);
        v.stride[p] = (int)fm__pixfmt_row_bytes(v.format, w, p);
        v.plane[p] = read_bytes((size_t)v.stride[p] * (size_t)ph);
    }
    size_t room = fm__jpeg_row_bytes(v.format, w);
    uint8_t *out = need(room > FM__JPEG_HEAD_BYTES ? room : FM__JPEG_HEAD_BYTES);
    fm__jpeg_run run;
    fm__jpeg_tables_init(&tables, atoi(argv[1]), v.range);
    fm__jpeg_begin(
        &run, &tables, fm__jpeg_kernels_of(fm__cpu_level()), &v, need(fm__jpeg_scratch_size(v.format, w)));
    fwrite(out, 1, fm__jpeg_head(&run, out), stdout);
    for (int row = 0; row < run.rows; row++) {
        fwrite(out, 1, fm__jpeg_row(&run, row, out), stdout);
    }
    fwrite(out, 1, fm__jpeg_tail(&run, out), stdout);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        int more;
        void (*run)(int w, int h, char **argv);
    } tools[] = {{"nlm", 1, run_nlm}, {"nlm-color", 2, run_nlm_color}, {"clahe", 1, run_clahe},
        {"lut", 1, run_lut}, {"resample", 3, run_resample}, {"noise", 0, run_noise},
        {"quality", 0, run_quality}, {"jpeg", 2, run_jpeg}};
    for (size_t i = 0; argc >= 4 && i < sizeof(tools) / sizeof(*tools); i++) {
        if (strcmp(argv[1], tools[i].name) == 0 && argc == 4 + tools[i].more) {
            tools[i].run(atoi(argv[2]), atoi(argv[3]), argv + 4);
            give_back_all();
            return ferror(stdout) ? 1 : 0;
        }
    }
    fprintf(stderr, "see the head of ops_tool.c\n");
    return 2;
}
