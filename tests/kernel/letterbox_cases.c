// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Pictures in guarded memory, and the geometries that every letterbox test walks: odd sides, one pixel, one
// row, one column, each window size of the horizontal kernels (steps below 2, 4.7, 14 and above), growing,
// shrinking, crops between pixels.

#include "letterbox_cases.h"

#include "frame/frame.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <setjmp.h>

#include <cmocka.h>

#define GUARD 256
#define GUARD_BYTE 0xa5
#define CENTER FM_ANCHOR_CENTER
#define TOPLEFT FM_ANCHOR_TOPLEFT

const geometry letterbox_geometries[] = {
    {1, 1, 1, 1, FM_FIT_STRETCH, TOPLEFT, 0},
    {1, 1, 33, 7, FM_FIT_LETTERBOX, CENTER, 0},
    {1, 37, 24, 24, FM_FIT_LETTERBOX, CENTER, 0},
    {37, 1, 24, 24, FM_FIT_LETTERBOX, TOPLEFT, 0},
    {2, 3, 64, 48, FM_FIT_STRETCH, TOPLEFT, 0},
    {17, 9, 17, 9, FM_FIT_STRETCH, TOPLEFT, 0},
    {17, 9, 40, 40, FM_FIT_LETTERBOX, CENTER, 0},
    {64, 48, 32, 32, FM_FIT_LETTERBOX, TOPLEFT, 0},
    {63, 47, 65, 33, FM_FIT_STRETCH, TOPLEFT, 0},
    {100, 80, 31, 31, FM_FIT_CROP, CENTER, 0.875F},
    {333, 251, 224, 224, FM_FIT_CROP, CENTER, 0.875F},
    {50, 71, 224, 224, FM_FIT_CROP, CENTER, 0},
    {768, 576, 416, 416, FM_FIT_LETTERBOX, TOPLEFT, 0},
    {641, 361, 100, 100, FM_FIT_LETTERBOX, CENTER, 0},
    {1920, 1080, 640, 640, FM_FIT_LETTERBOX, TOPLEFT, 0},
    {1921, 1081, 416, 416, FM_FIT_LETTERBOX, CENTER, 0},
    {8192, 16, 640, 64, FM_FIT_LETTERBOX, TOPLEFT, 0},
    {8192, 16, 299, 5, FM_FIT_STRETCH, TOPLEFT, 0},
    {16384, 2, 97, 4, FM_FIT_STRETCH, TOPLEFT, 0},
    {3, 16384, 5, 96, FM_FIT_STRETCH, TOPLEFT, 0},
};
const size_t letterbox_geometry_count = sizeof(letterbox_geometries) / sizeof(*letterbox_geometries);

bool level_from(int argc, char **argv, fm_cpu_level *level)
{
    for (int i = 0; argc > 1 && i < FM_CPU_LEVEL_COUNT; i++) {
        if (strcmp(argv[1], fm__cpu_level_name((fm_cpu_level)i)) == 0) {
            *level = (fm_cpu_level)i;
        }
    }
    if (*level > fm__cpu_level()) {
        printf("skipped: this CPU has no %s\n", fm__cpu_level_name(*level));
        return false;
    }
    return true;
}

uint32_t next_random(uint32_t *state)
{
    uint32_t x = *state ? *state : 1;
    x ^= x << 13;
    x ^= x >> 17;
    x ^= x << 5;
    *state = x;
    return x;
}

static uint8_t pixel(content kind, size_t x, int y, uint32_t *seed)
{
    uint32_t r = next_random(seed) >> 8;
    switch (kind) {
    case CONTENT_EXTREME:
        return r & 1 ? 255 : 0;
    case CONTENT_SMOOTH:
        return (uint8_t)((x * 3 + (size_t)y * 5 + (r & 3)) & 0xff);
    default:
        return (uint8_t)r;
    }
}

// Memory of `size` bytes with a forbidden page on both sides; the block touches one of them.
static uint8_t *guarded(picture *p, int plane, size_t size, bool at_end)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t inner = (size + page - 1) / page * page;
    p->map_size[plane] = inner + 2 * page;
    p->map[plane] = mmap(NULL, p->map_size[plane], PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(p->map[plane] != MAP_FAILED);
    uint8_t *start = (uint8_t *)p->map[plane] + page;
    assert_int_equal(mprotect(start, inner, PROT_READ | PROT_WRITE), 0);
    return at_end ? start + inner - size : start;
}

static void make_plane(picture *p, int plane, content kind, placement place, uint32_t *seed)
{
    int w, h;
    fm__pixfmt_plane_size(p->view.format, p->view.width, p->view.height, plane, &w, &h);
    size_t row = fm__pixfmt_row_bytes(p->view.format, p->view.width, plane);
    size_t stride = place == PLACE_WIDE ? row + 13 : row;
    size_t size = stride * (size_t)(h - 1) + row;
    uint8_t *data = guarded(p, plane, size, place != PLACE_START);
    for (size_t i = 0; i < size; i++) {
        data[i] = (uint8_t)~i; // between the rows
    }
    bool is_flipped = place == PLACE_FLIP;
    p->view.plane[plane] = is_flipped ? data + stride * (size_t)(h - 1) : data;
    p->view.stride[plane] = is_flipped ? -(int)stride : (int)stride;
    for (int y = 0; y < h; y++) {
        uint8_t *out = data + stride * (size_t)(is_flipped ? h - 1 - y : y);
        for (size_t x = 0; x < row; x++) {
            out[x] = pixel(kind, x, y, seed);
        }
    }
}

void picture_make(
    picture *p, fm_pixfmt format, int width, int height, content kind, placement place, uint32_t seed)
{
    memset(p, 0, sizeof(*p));
    p->view.format = format;
    p->view.width = width;
    p->view.height = height;
    for (int i = 0; i < fm_pixfmt_planes(format); i++) {
        make_plane(p, i, kind, place, &seed);
    }
}

void picture_free(picture *p)
{
    for (int i = 0; i < FM_MAX_PLANES; i++) {
        if (p->map[i]) {
            munmap(p->map[i], p->map_size[i]);
        }
    }
    memset(p, 0, sizeof(*p));
}

size_t desc_tensor_size(const fm_letterbox_desc *desc)
{
    size_t channels = desc->color == FM_COLOR_GRAY ? 1 : 3;
    return channels * (size_t)desc->map.dst_w * (size_t)desc->map.dst_h * fm__dtype_size(desc->dtype);
}

tensor_buffer tensor_make(size_t size)
{
    size_t block = (size + 2 * GUARD + 63) / 64 * 64;
    tensor_buffer t = {.block = aligned_alloc(64, block), .size = size};
    assert_non_null(t.block);
    memset(t.block, GUARD_BYTE, block);
    t.data = t.block + GUARD;
    return t;
}

static void check_guards(const tensor_buffer *t)
{
    for (size_t i = 0; i < GUARD; i++) {
        assert_int_equal(t->block[i], GUARD_BYTE);
        assert_int_equal(t->data[t->size + i], GUARD_BYTE);
    }
}

void tensor_check_and_free(tensor_buffer *t)
{
    check_guards(t);
    free(t->block);
    *t = (tensor_buffer){0};
}

void run_letterbox(
    const fm_letterbox_desc *desc, fm_cpu_level level, const fm_frame_view *view, tensor_buffer *out)
{
    fm_letterbox_plan *plan = NULL;
    fm_error err = {0};
    fm_status status = fm__letterbox_plan_new(desc, level, &plan, &err);
    if (status != FM_OK) {
        fail_msg("%s: %s", describe(desc), err.msg);
    }
    assert_true(fm__letterbox_plan_matches(plan, view));
    *out = tensor_make(desc_tensor_size(desc));
    tensor_buffer scratch = tensor_make(fm__letterbox_scratch_size(plan));
    fm__letterbox_run(plan, view, out->data, scratch.data);
    tensor_check_and_free(&scratch);
    check_guards(out);
    fm__letterbox_plan_free(&plan);
    assert_null(plan);
}

void set_output(fm_letterbox_desc *desc, int n)
{
    desc->layout = n & 1 ? FM_LAYOUT_NHWC : FM_LAYOUT_NCHW;
    desc->dtype = n & 2 ? FM_DTYPE_F32 : FM_DTYPE_U8;
    desc->color = (fm_color)(n / 4);
}

fm_letterbox_desc make_desc(const picture *p, const geometry *g, int variant)
{
    fm_letterbox_desc desc = {.format = p->view.format,
        .matrix = variant & 1 ? FM_MATRIX_BT709 : FM_MATRIX_BT601,
        .range = variant & 2 ? FM_RANGE_FULL : FM_RANGE_LIMITED,
        .chroma_site = (fm_chroma_site)(variant / 4 % 3),
        .map = fm__fit(g->fit, g->anchor, g->crop_ratio, g->src_w, g->src_h, g->dst_w, g->dst_h),
        .pad = 114,
        .mean = {123.675F, 116.28F, 103.53F},
        .scale = {58.395F, 0, 57.375F}};
    return desc;
}

const char *describe(const fm_letterbox_desc *desc)
{
    static char text[256];
    const fm_fit_map *m = &desc->map;
    snprintf(text, sizeof(text),
        "%s %dx%d -> %dx%d of %dx%d layout %d color %d dtype %s matrix %d range %d site %d",
        fm_pixfmt_name(desc->format), m->src_w, m->src_h, m->dst_cw, m->dst_ch, m->dst_w, m->dst_h,
        (int)desc->layout, (int)desc->color, fm__dtype_name(desc->dtype), (int)desc->matrix, (int)desc->range,
        (int)desc->chroma_site);
    return text;
}
