// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Surfaces in annotated video: what lies below outlines and labels. A class map is a light tint in the
// colours of its classes, the background (by that name, or what the network did not look at) left as it is;
// an object's mask is a tint in the object's colour with a line along its edge. Objects go from the weakest
// to the strongest, as their outlines do.

#include "sinks/masks.h"

#include "base/alloc.h"
#include "base/error.h"
#include "ops/draw_mask.h"

#include <string.h>

enum { MAP_ALPHA = 110, FILL_ALPHA = 90, LINE_ALPHA = 255 };

void fm__masks_done(fm_masks *m)
{
    fm__free(m->scratch);
    *m = (fm_masks){0};
}

bool fm__masks_any(const fm_result *result)
{
    return (result->masks && result->det_count > 0) || (result->class_map && result->class_map->ids);
}

static void draw_map(const fm_canvas *canvas, const fm_frame_view *view, const fm_class_map *map)
{
    fm_class_paint colors[FM_CLASS_UNSEEN + 1] = {0};
    for (size_t c = 0; c < map->class_count && c < FM_CLASS_UNSEEN; c++) {
        if (map->labels && strcmp(map->labels[c], "background") == 0)
            continue;
        colors[c].paint = true;
        colors[c].c = fm__rgb_to_yuv(fm__class_color((int32_t)c), view->matrix, view->range);
    }
    fm__draw_class_map(canvas, map, colors, MAP_ALPHA);
}

static bool grow(fm_masks *m, size_t size)
{
    return fm__grow(FM_TAG_SINKS, &m->scratch, &m->size, size, 1);
}

static fm_status draw_mask(
    fm_masks *m, const fm_canvas *canvas, const fm_mask *mask, fm_yuv c, int line, fm_error *err)
{
    if (mask->width < 1 || mask->height < 1)
        return FM_OK;
    if (!grow(m, fm__mask_edge_scratch(mask)))
        return fm__fail_nomem(err, "the masks of a frame");
    fm__draw_bits(canvas, mask, c, FILL_ALPHA);
    fm_mask edge = fm__mask_edge(mask, line, canvas->width, canvas->height, m->scratch);
    fm__draw_bits(canvas, &edge, c, LINE_ALPHA);
    return FM_OK;
}

fm_status fm__masks_draw(fm_masks *m, const fm_canvas *canvas, const fm_frame_view *view,
    const fm_result *result, fm_color_of_fn color_of, int line, fm_error *err)
{
    fm_status st = FM_OK;
    if (result->class_map && result->class_map->ids)
        draw_map(canvas, view, result->class_map);
    for (size_t i = result->masks ? result->det_count : 0; st == FM_OK && i-- > 0;) {
        fm_yuv c = fm__rgb_to_yuv(color_of(&result->dets[i]), view->matrix, view->range);
        st = draw_mask(m, canvas, &result->masks[i], c, line, err);
    }
    return st;
}
