// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Geometry of a fit. Letterbox sizes follow Ultralytics' LetterBox (round to nearest, ties to even as
// Python's round; an odd remainder leaves the smaller half on the left and top); YOLOX truncates instead,
// which moves nothing here since the way back uses the size that was really drawn. Crop is torchvision's
// Resize + CenterCrop, without its rounding to whole pixels in between: the part that is used stays
// fractional.

#include "ops/fit.h"

#include <math.h>

static int clamp_size(double size, int limit)
{
    double rounded = rint(size);
    if (rounded < 1) {
        return 1;
    }
    return rounded > limit ? limit : (int)rounded;
}

static void fit_letterbox(fm_fit_map *map, fm_anchor anchor)
{
    double by_width = (double)map->dst_w / map->src_w;
    double by_height = (double)map->dst_h / map->src_h;
    double scale = by_width < by_height ? by_width : by_height;
    map->dst_cw = clamp_size(map->src_w * scale, map->dst_w);
    map->dst_ch = clamp_size(map->src_h * scale, map->dst_h);
    if (anchor == FM_ANCHOR_CENTER) {
        map->dst_x = (map->dst_w - map->dst_cw) / 2;
        map->dst_y = (map->dst_h - map->dst_ch) / 2;
    }
}

static void fit_crop(fm_fit_map *map, float crop_ratio)
{
    double by_width = (double)map->dst_w / map->src_w;
    double by_height = (double)map->dst_h / map->src_h;
    double ratio = crop_ratio > 0 && crop_ratio <= 1 ? crop_ratio : 1;
    double scale = (by_width > by_height ? by_width : by_height) / ratio;
    double w = map->dst_w / scale, h = map->dst_h / scale;
    map->src_x = (float)((map->src_w - w) / 2);
    map->src_y = (float)((map->src_h - h) / 2);
    map->src_cw = (float)w;
    map->src_ch = (float)h;
}

fm_fit_map fm__fit(fm_fit fit, fm_anchor anchor, float crop_ratio, int src_w, int src_h, int dst_w, int dst_h)
{
    fm_fit_map map = {.src_w = src_w,
        .src_h = src_h,
        .dst_w = dst_w,
        .dst_h = dst_h,
        .src_cw = (float)src_w,
        .src_ch = (float)src_h,
        .dst_cw = dst_w,
        .dst_ch = dst_h};
    if (fit == FM_FIT_LETTERBOX) {
        fit_letterbox(&map, anchor);
    } else if (fit == FM_FIT_CROP) {
        fit_crop(&map, crop_ratio);
    }
    return map;
}

// fmaxf and fminf let a number win over NaN, so that no NaN leaves this file.
static float to_source(float v, int dst_origin, int dst_len, float src_origin, float src_len, int limit)
{
    double source = ((double)v - dst_origin) * src_len / dst_len + src_origin;
    return fminf(fmaxf((float)source, 0.0F), (float)limit);
}

fm_box fm__fit_to_source(const fm_fit_map *map, fm_box box)
{
    return (fm_box){
        .x0 = to_source(box.x0, map->dst_x, map->dst_cw, map->src_x, map->src_cw, map->src_w),
        .y0 = to_source(box.y0, map->dst_y, map->dst_ch, map->src_y, map->src_ch, map->src_h),
        .x1 = to_source(box.x1, map->dst_x, map->dst_cw, map->src_x, map->src_cw, map->src_w),
        .y1 = to_source(box.y1, map->dst_y, map->dst_ch, map->src_y, map->src_ch, map->src_h),
    };
}
