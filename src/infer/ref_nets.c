// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// What the ref backend computes. "shapes" finds blobs of the six saturated colours that the test source draws
// and answers in the form of a YOLOv5 head with decoded boxes: [N, cells, 5 + 6] of cx, cy, w, h in input
// pixels, objectness, class scores. A cell is 8 x 8 pixels; it looks at its centre pixel, names its colour,
// follows that colour left, right, up and down, and repeats this from the middle of what it found, so that
// all cells of a convex blob agree on one box. "colors" is an embedder: the mean colour of each of 4 x 8
// tiles, grey being zero, [N, 96].
// "hues" is a classifier: the share of each colour, and last of no colour, among every fourth pixel of every
// fourth row, [N, 7]. "cells" is a segmenter: which of these the centre of each 8 x 8 cell has, as
// [N, 7, rows, columns] of zeros and a one. "double" enlarges: each pixel's mean with its neighbours, twice a
// side, [N, 3, 2 h, 2 w] of 0..1.

#include "infer/ref_nets.h"

#include <string.h>

#define CELL 8
#define CLASSES 6
#define VALUES (5 + CLASSES)
#define NO_CLASS (-1)
#define HUES (CLASSES + 1)
#define HUE_STEP 4
#define TILES_X 4
#define TILES_Y 8

// Half-way marks with a dead band between: bilinear scaling blends colours at edges, and a blend is no
// colour.
#define HIGH 150
#define LOW 105

typedef struct ref_picture {
    const uint8_t *data;
    int w, h;
    size_t step, plane; // bytes between pixels of a row, and between channels
} ref_picture;

static ref_picture picture_of(const fm_net_info *info, const uint8_t *input)
{
    bool nchw = info->layout == FM_LAYOUT_NCHW;
    return (ref_picture){.data = input,
        .w = info->input_w,
        .h = info->input_h,
        .step = nchw ? 1 : 3,
        .plane = nchw ? (size_t)info->input_w * (size_t)info->input_h : 1};
}

static int classify(const ref_picture *pic, int x, int y)
{
    // bits R, G, B -> red, green, blue, yellow, magenta, cyan; grey, black, white: none
    static const signed char by_bits[8] = {NO_CLASS, 0, 1, 3, 2, 4, 5, NO_CLASS};
    const uint8_t *p = pic->data + ((size_t)y * (size_t)pic->w + (size_t)x) * pic->step;
    int bits = 0;
    for (int c = 0; c < 3; c++) {
        int v = p[(size_t)c * pic->plane];
        if (v >= HIGH) {
            bits |= 1 << c;
        } else if (v > LOW) {
            return NO_CLASS;
        }
    }
    return by_bits[bits];
}

typedef struct ref_extent {
    int x0, y0, x1, y1; // whole pixels, x1 and y1 exclusive
} ref_extent;

static ref_extent extent_at(const ref_picture *pic, int cls, int x, int y)
{
    ref_extent e = {x, y, x + 1, y + 1};
    while (e.x0 > 0 && classify(pic, e.x0 - 1, y) == cls) {
        e.x0--;
    }
    while (e.x1 < pic->w && classify(pic, e.x1, y) == cls) {
        e.x1++;
    }
    while (e.y0 > 0 && classify(pic, x, e.y0 - 1) == cls) {
        e.y0--;
    }
    while (e.y1 < pic->h && classify(pic, x, e.y1) == cls) {
        e.y1++;
    }
    return e;
}

// Larger blobs score higher, so that suppression keeps the fullest box of a blob.
static void write_cell(float *v, const ref_extent *e, int cls)
{
    float w = (float)(e->x1 - e->x0), h = (float)(e->y1 - e->y0);
    float side = w < h ? w : h;
    v[0] = (float)(e->x0 + e->x1) * 0.5F;
    v[1] = (float)(e->y0 + e->y1) * 0.5F;
    v[2] = w;
    v[3] = h;
    v[4] = side / (side + 2.0F);
    v[5 + cls] = 1.0F;
}

static void run_cell(const ref_picture *pic, int x, int y, float *v)
{
    int cls = classify(pic, x, y);
    memset(v, 0, VALUES * sizeof(*v));
    if (cls == NO_CLASS) {
        return;
    }
    ref_extent e = extent_at(pic, cls, x, y);
    for (int i = 0; i < 2; i++) {
        int mx = (e.x0 + e.x1) / 2, my = (e.y0 + e.y1) / 2;
        if (classify(pic, mx, my) != cls) {
            break;
        }
        e = extent_at(pic, cls, mx, my);
    }
    write_cell(v, &e, cls);
}

static void shapes_row(const fm_net_info *info, const uint8_t *input, float *output)
{
    ref_picture pic = picture_of(info, input);
    for (int y = CELL / 2; y < pic.h / CELL * CELL; y += CELL) {
        for (int x = CELL / 2; x < pic.w / CELL * CELL; x += CELL) {
            run_cell(&pic, x, y, output);
            output += VALUES;
        }
    }
}

static fm_tensor shapes_output(const fm_net_info *info)
{
    int64_t cells = (int64_t)(info->input_w / CELL) * (info->input_h / CELL);
    return (fm_tensor){.dtype = FM_DTYPE_F32, .rank = 3, .dims = {info->batch, cells, VALUES}};
}

static float tile_mean(const ref_picture *pic, int tile_x, int tile_y, int channel)
{
    int x0 = pic->w * tile_x / TILES_X, x1 = pic->w * (tile_x + 1) / TILES_X;
    int y0 = pic->h * tile_y / TILES_Y, y1 = pic->h * (tile_y + 1) / TILES_Y;
    int64_t sum = 0;
    for (int y = y0; y < y1; y++) {
        for (int x = x0; x < x1; x++) {
            size_t at = (size_t)y * (size_t)pic->w + (size_t)x;
            sum += pic->data[at * pic->step + (size_t)channel * pic->plane];
        }
    }
    return (float)sum / (float)((x1 - x0) * (y1 - y0)) - 127.5F;
}

static void colors_row(const fm_net_info *info, const uint8_t *input, float *output)
{
    ref_picture pic = picture_of(info, input);
    for (int y = 0; y < TILES_Y; y++) {
        for (int x = 0; x < TILES_X; x++) {
            for (int c = 0; c < 3; c++) {
                *output++ = tile_mean(&pic, x, y, c);
            }
        }
    }
}

static fm_tensor colors_output(const fm_net_info *info)
{
    return (fm_tensor){.dtype = FM_DTYPE_F32, .rank = 2, .dims = {info->batch, TILES_X * TILES_Y * 3}};
}

static int hue_at(const ref_picture *pic, int x, int y)
{
    int cls = classify(pic, x, y);
    return cls == NO_CLASS ? CLASSES : cls;
}

static void hues_row(const fm_net_info *info, const uint8_t *input, float *output)
{
    ref_picture pic = picture_of(info, input);
    int count[HUES] = {0}, all = 0;
    for (int y = 0; y < pic.h; y += HUE_STEP) {
        for (int x = 0; x < pic.w; x += HUE_STEP, all++) {
            count[hue_at(&pic, x, y)]++;
        }
    }
    for (int i = 0; i < HUES; i++) {
        output[i] = (float)count[i] / (float)all;
    }
}

static fm_tensor hues_output(const fm_net_info *info)
{
    return (fm_tensor){.dtype = FM_DTYPE_F32, .rank = 2, .dims = {info->batch, HUES}};
}

static void cells_row(const fm_net_info *info, const uint8_t *input, float *output)
{
    ref_picture pic = picture_of(info, input);
    int rows = pic.h / CELL, columns = pic.w / CELL;
    memset(output, 0, (size_t)(HUES * rows * columns) * sizeof(*output));
    for (int y = 0; y < rows; y++) {
        for (int x = 0; x < columns; x++) {
            int hue = hue_at(&pic, x * CELL + CELL / 2, y * CELL + CELL / 2);
            output[(hue * rows + y) * columns + x] = 1;
        }
    }
}

static fm_tensor cells_output(const fm_net_info *info)
{
    int64_t h = info->input_h / CELL, w = info->input_w / CELL;
    return (fm_tensor){.dtype = FM_DTYPE_F32, .rank = 4, .dims = {info->batch, HUES, h, w}};
}

static int value_at(const ref_picture *pic, int x, int y, int c)
{
    return pic->data[((size_t)y * (size_t)pic->w + (size_t)x) * pic->step + (size_t)c * pic->plane];
}

// The mean of a pixel and its eight neighbours, zeros around the picture: it sees as far as a 3x3
// convolution.
static float blurred(const ref_picture *pic, int x, int y, int c)
{
    int sum = 0;
    for (int dy = -1; dy <= 1; dy++) {
        for (int dx = -1; dx <= 1; dx++) {
            bool inside = x + dx >= 0 && x + dx < pic->w && y + dy >= 0 && y + dy < pic->h;
            sum += inside ? value_at(pic, x + dx, y + dy, c) : 0;
        }
    }
    return (float)sum / (9 * 255);
}

static void double_row(const fm_net_info *info, const uint8_t *input, float *output)
{
    ref_picture pic = picture_of(info, input);
    for (int c = 0; c < 3; c++) {
        for (int y = 0; y < 2 * pic.h; y++) {
            for (int x = 0; x < 2 * pic.w; x++) {
                *output++ = blurred(&pic, x / 2, y / 2, c);
            }
        }
    }
}

static fm_tensor double_output(const fm_net_info *info)
{
    int64_t h = 2 * (int64_t)info->input_h, w = 2 * (int64_t)info->input_w;
    return (fm_tensor){.dtype = FM_DTYPE_F32, .rank = 4, .dims = {info->batch, 3, h, w}};
}

static const fm__ref_fn functions[] = {
    {.name = "shapes", .width = 416, .height = 416, .output = shapes_output, .row = shapes_row},
    {.name = "hues", .width = 64, .height = 64, .output = hues_output, .row = hues_row},
    {.name = "cells", .width = 416, .height = 416, .output = cells_output, .row = cells_row},
    {.name = "colors", .width = 64, .height = 128, .output = colors_output, .row = colors_row},
    {.name = "double", .width = 64, .height = 64, .output = double_output, .row = double_row},
};

const fm__ref_fn *fm__ref_find(const char *name)
{
    for (size_t i = 0; i < sizeof(functions) / sizeof(functions[0]); i++) {
        if (strcmp(functions[i].name, name) == 0) {
            return &functions[i];
        }
    }
    return NULL;
}
