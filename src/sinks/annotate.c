// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Annotated video: a copy of each frame in YUV420P, outlines and labels drawn on it, encoded to MP4. Sizes
// follow the frame's shorter side, so that a line is as wide and a letter as tall to the eye at 320x240 as at
// 4K; outlines and plates lie on even pixels, where 4:2:0 keeps their colour. Outlines are drawn before
// plates and both from the weakest object to the strongest, so that what matters most lies on top. A frame
// without objects goes to the encoder as it is. The encoder is opened with the first frame, whose size and
// colour it takes.

#include "base/alloc.h"
#include "base/error.h"
#include "base/str.h"
#include "frame/frame.h"
#include "media/encode.h"
#include "sinks/sinks.h"
#include "sinks/text.h"
#include "sinks/to420.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define LABEL_BYTES 160
#define OUTLINE_ALPHA 255
#define PLATE_ALPHA 235 // lets a hint of the scene through where plates pile up

typedef struct annotate {
    fm_sink sink;
    char *path;
    double fps;
    int threads;
    fm_log log;
    fm_frame_pool *pool;
    fm_encoder *encoder; // NULL until the first frame
    fm_text text;
    fm_str label; // scratch
} annotate;

/** Sizes of what is drawn, in pixels. */
typedef struct style {
    int line;       // even
    int cap_height; // of letters
    int pad_x, pad_y;
} style;

static int clamp_int(int v, int low, int high)
{
    return v < low ? low : v > high ? high : v;
}

static style style_of(int width, int height)
{
    int side = width < height ? width : height;
    style l = {
        .line = 2 * clamp_int((side + 300) / 600, 1, 4), .cap_height = clamp_int((side + 27) / 54, 8, 40)};
    l.pad_x = clamp_int(l.cap_height / 3, 3, 14);
    l.pad_y = clamp_int(l.cap_height / 4, 2, 10);
    return l;
}

static int round_up_even(int v)
{
    return v + (v & 1);
}

/** "person 0.91", "#7 person 0.91"; a class without a label goes by its number. */
static void write_label(fm_str *s, const fm_result *result, const fm_det *det)
{
    fm__str_reset(s);
    if (det->track_id > 0) {
        fm__str_add_char(s, '#');
        fm__str_add_int(s, det->track_id);
        fm__str_add_char(s, ' ');
    }
    if (det->class_id >= 0 && (size_t)det->class_id < result->label_count && result->labels[det->class_id]) {
        const char *label = result->labels[det->class_id];
        fm__str_add_n(s, label, strnlen(label, LABEL_BYTES));
    } else {
        fm__str_add(s, "class ");
        fm__str_add_int(s, det->class_id);
    }
    fm__str_add_char(s, ' ');
    fm__str_add_fixed(s, det->score, 2);
}

/** Where a plate of w x h goes: on top of the outline, inside it where the frame's upper edge is too near,
 * and never outside the frame at the left or right. */
static fm_rect place_plate(fm_rect outline, int w, int h, int line, int frame_width)
{
    int x = outline.x0 + w > frame_width ? (frame_width - w) & ~1 : outline.x0;
    int y = outline.y0 - h + line;
    x = x < 0 ? 0 : x;
    if (y < 0)
        y = outline.y0 < 0 ? 0 : outline.y0;
    return (fm_rect){x, y, x + w, y + h};
}

static void draw_label(annotate *s, const fm_canvas *canvas, const fm_frame_view *view, const style *look,
    const fm_result *result, const fm_det *det, fm_rect outline)
{
    write_label(&s->label, result, det);
    if (s->label.failed)
        return; // a frame without one label is better than no frame; the next allocation that matters reports
    const fm_font *font = &s->text.font;
    int w = round_up_even(fm__text_width(&s->text, s->label.data) - font->gap + 2 * look->pad_x);
    int h = round_up_even(font->cap_height + 2 * look->pad_y);
    fm_rect plate = place_plate(outline, w, h, look->line, canvas->width);
    fm_rgb color = fm__class_color(det->class_id);
    fm__draw_fill(canvas, plate, fm__rgb_to_yuv(color, view->matrix, view->range), PLATE_ALPHA);
    int x = plate.x0 + look->pad_x - font->gap / 2, y = plate.y0 + (h - font->cap_height) / 2 - font->cap_top;
    fm__text_draw(&s->text, canvas, x, y, s->label.data,
        fm__rgb_to_yuv(fm__text_color(color), view->matrix, view->range));
}

static void draw_objects(annotate *s, const fm_canvas *canvas, const fm_frame_view *view, const style *look,
    const fm_result *result)
{
    fm_rect outline;
    for (size_t i = result->det_count; i-- > 0;) {
        const fm_det *det = &result->dets[i];
        if (!fm__outline_of_box(det->box, look->line, canvas->width, canvas->height, &outline))
            continue;
        fm_yuv color = fm__rgb_to_yuv(fm__class_color(det->class_id), view->matrix, view->range);
        fm__draw_outline(canvas, outline, look->line, color, OUTLINE_ALPHA);
    }
    for (size_t i = result->det_count; i-- > 0;) {
        const fm_det *det = &result->dets[i];
        if (fm__outline_of_box(det->box, look->line, canvas->width, canvas->height, &outline))
            draw_label(s, canvas, view, look, result, det, outline);
    }
}

static fm_canvas canvas_of(fm_frame *frame)
{
    fm_canvas c = {.width = frame->view.width, .height = frame->view.height};
    for (int i = 0; i < 3; i++) {
        c.plane[i] = fm__frame_plane(frame, i);
        c.stride[i] = frame->view.stride[i];
    }
    return c;
}

/** A frame of our own that looks like src, and its canvas. */
static fm_status copy_frame(
    annotate *s, const fm_frame *src, fm_frame **out, fm_canvas *canvas, fm_error *err)
{
    const fm_frame_view *view = &src->view;
    fm_frame *copy = NULL;
    fm_status status =
        fm__frame_pool_take_pixels(s->pool, FM_PIXFMT_YUV420P, view->width, view->height, &copy, err);
    if (status != FM_OK)
        return status;
    copy->pts_ns = src->pts_ns;
    copy->wall_ns = src->wall_ns;
    copy->index = src->index;
    copy->view.chroma_site = view->chroma_site;
    fm__to420_color(view, &copy->view.matrix, &copy->view.range);
    *canvas = canvas_of(copy);
    fm__to420(canvas, view);
    *out = copy;
    return FM_OK;
}

static fm_status open_encoder(annotate *s, const fm_frame *frame, fm_error *err)
{
    fm_encoder_opts opts = {
        .path = s->path,
        .width = frame->view.width,
        .height = frame->view.height,
        .fps = s->fps,
        .threads = s->threads,
        .log = &s->log,
    };
    fm__to420_color(&frame->view, &opts.matrix, &opts.range);
    return fm__encoder_open(&opts, &s->encoder, err);
}

static fm_status write_annotated(annotate *s, const fm_result *result, const fm_frame *frame, fm_error *err)
{
    style look = style_of(frame->view.width, frame->view.height);
    fm_canvas canvas;
    fm_frame *copy = NULL;
    fm_status status = fm__text_size(&s->text, look.cap_height, err);
    if (status == FM_OK)
        status = copy_frame(s, frame, &copy, &canvas, err);
    if (status == FM_OK) {
        draw_objects(s, &canvas, &copy->view, &look, result);
        status = fm__encoder_write(s->encoder, copy, err);
    }
    fm_frame_unref(&copy);
    return status;
}

static fm_status annotate_write(fm_sink *sink, const fm_result *result, const fm_frame *frame, fm_error *err)
{
    annotate *s = (annotate *)sink;
    if (!s->encoder) {
        fm_status status = open_encoder(s, frame, err);
        if (status != FM_OK)
            return status;
    }
    // RGB always takes our own conversion, so that colours do not flicker between frames with objects and
    // those without.
    if (result->det_count == 0 && frame->view.format != FM_PIXFMT_RGB24)
        return fm__encoder_write(s->encoder, frame, err);
    return write_annotated(s, result, frame, err);
}

static fm_status annotate_close(fm_sink *sink, fm_error *err)
{
    annotate *s = (annotate *)sink;
    fm_status status = s->encoder ? fm__encoder_close(&s->encoder, err) : FM_OK;
    fm__text_done(&s->text);
    fm__str_done(&s->label);
    fm__frame_pool_free(&s->pool);
    fm__free(s->path);
    fm__free(s);
    return status;
}

static const fm_sink_class annotate_class = {
    .name = "annotate",
    .wants_pixels = true,
    .write = annotate_write,
    .close = annotate_close,
};

fm_status fm__sink_annotate(const fm_annotate_opts *opts, fm_sink **out, fm_error *err)
{
    // An old video beside new results would be taken for theirs if this stream never yields a frame.
    if (unlink(opts->path) != 0 && errno != ENOENT)
        return fm__fail_errno(err, errno, "cannot replace", opts->path);
    annotate *s = fm__calloc(FM_TAG_SINKS, sizeof *s);
    if (!s)
        return fm__fail_nomem(err, "an annotated video");
    *s = (annotate){.sink.cls = &annotate_class, .fps = opts->fps, .threads = opts->threads};
    if (opts->log)
        s->log = *opts->log;
    fm__str_init(&s->label, FM_TAG_SINKS);
    s->path = fm__strdup(FM_TAG_SINKS, opts->path);
    fm_status status =
        s->path ? fm__frame_pool_new(&s->pool, err) : fm__fail_nomem(err, "an annotated video");
    if (status != FM_OK) {
        (void)annotate_close(&s->sink, NULL); // nothing was written yet
        return status;
    }
    *out = &s->sink;
    return FM_OK;
}
