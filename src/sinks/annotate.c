// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Annotated video: a copy of each frame in YUV420P, outlines and labels drawn on it, encoded to MP4. Sizes
// follow the frame's shorter side, so that a line is as wide and a letter as tall to the eye at 320x240 as at
// 4K; outlines and plates lie on even pixels, where 4:2:0 keeps their colour. Labels keep away from those of
// stronger objects; outlines are drawn before plates and both from the weakest object to the strongest, so
// that what matters most lies on top. An object with a track has its track's colour and a trail (trails.c),
// which lies below everything but masks and class maps (masks.c). A frame with nothing to draw goes to the
// encoder as it is. The encoder is opened with the first frame, whose size and colour it takes.

#include "base/alloc.h"
#include "base/error.h"
#include "base/str.h"
#include "frame/frame.h"
#include "media/encode.h"
#include "sinks/masks.h"
#include "sinks/sinks.h"
#include "sinks/text.h"
#include "sinks/to420.h"
#include "sinks/trails.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define LABEL_BYTES 160 // of a class name; the rest would not fit a frame anyway
#define TRAIL_WIDTH 1.5 // lines: 3 pixels on a small picture, where halved chroma takes 2 the colour
#define MAX_AVOIDED 64  // labels that a new one keeps away from, so that a crowd does not cost n^2

/** One object as it is drawn. */
typedef struct label {
    const fm_det *det;
    fm_rect outline, plate;
} label;

typedef struct annotate {
    fm_sink sink;
    char *path;
    double fps;
    int threads;
    fm_log log;
    fm_frame_pool *pool;
    fm_encoder *encoder; // NULL until the first frame
    fm_text text;
    fm_trails trails;
    fm_masks masks;
    fm_str line;   // scratch: a label's text
    label *labels; // scratch: [label_cap]
    size_t label_cap;
} annotate;

/** Sizes of what is drawn, in pixels. */
typedef struct style {
    int line;                       // even
    int cap_height;                 // of letters
    int pad_x, pad_top, pad_bottom; // from a plate's edge to its capitals
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
    l.pad_top = clamp_int(l.cap_height / 4, 2, 10);
    l.pad_bottom = l.pad_top + clamp_int(l.cap_height / 6, 1, 6); // room for descenders
    return l;
}

static int round_up_even(int v)
{
    return v + (v & 1);
}

static fm_rgb color_of(const fm_det *det)
{
    return det->track_id > 0 ? fm__track_color(det->track_id) : fm__class_color(det->class_id);
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
        const char *name = result->labels[det->class_id];
        fm__str_add_n(s, name, strnlen(name, LABEL_BYTES));
    } else {
        fm__str_add(s, "class ");
        fm__str_add_int(s, det->class_id);
    }
    fm__str_add_char(s, ' ');
    fm__str_add_fixed(s, det->score, 2);
}

/** Pixels that two rectangles share. */
static int64_t shared_area(fm_rect a, fm_rect b)
{
    int w = (a.x1 < b.x1 ? a.x1 : b.x1) - (a.x0 > b.x0 ? a.x0 : b.x0);
    int h = (a.y1 < b.y1 ? a.y1 : b.y1) - (a.y0 > b.y0 ? a.y0 : b.y0);
    return w > 0 && h > 0 ? (int64_t)w * h : 0;
}

static int64_t covered_by(fm_rect r, const label *placed, size_t n)
{
    int64_t area = 0;
    for (size_t i = 0; i < n; i++)
        area += shared_area(r, placed[i].plate);
    return area;
}

/** A plate of w x h at x, y, moved into the frame; too wide a one is cut at the right. */
static fm_rect plate_at(const fm_canvas *canvas, int x, int y, int w, int h)
{
    int max_x = (canvas->width - w) & ~1, max_y = (canvas->height - h) & ~1;
    x = x > max_x ? max_x : x;
    y = y > max_y ? max_y : y;
    x = x < 0 ? 0 : x;
    y = y < 0 ? 0 : y;
    return (fm_rect){x, y, x + w, y + h};
}

/** Where a plate goes: on top of its outline (inside it, where the frame's upper edge is too near), unless
 * stronger objects' plates lie there and the outline's right end or its lower edge is freer. */
static fm_rect place_plate(
    const fm_canvas *canvas, fm_rect outline, int w, int h, int line, const label *placed, size_t n)
{
    int above = outline.y0 - h + line, below = outline.y1 - line;
    if (above < 0)
        above = outline.y0;
    const int spots[][2] = {
        {outline.x0, above}, {outline.x1 - w, above}, {outline.x0, below}, {outline.x1 - w, below}};
    fm_rect best = {0};
    int64_t least = INT64_MAX;
    for (size_t i = 0; i < sizeof spots / sizeof spots[0] && least > 0; i++) {
        fm_rect r = plate_at(canvas, spots[i][0], spots[i][1], w, h);
        int64_t area = covered_by(r, placed, n);
        if (area < least) {
            least = area;
            best = r;
        }
    }
    return best;
}

/** Decides which objects are drawn and where their labels go, strongest first. Returns how many are in
 * s->labels. */
static size_t place_labels(annotate *s, const fm_canvas *canvas, const style *look, const fm_result *result)
{
    const fm_font *font = &s->text.font;
    size_t n = 0;
    for (size_t i = 0; i < result->det_count; i++) {
        label l = {.det = &result->dets[i]};
        if (!fm__outline_of_box(l.det->box, look->line, canvas->width, canvas->height, &l.outline))
            continue;
        write_label(&s->line, result, l.det);
        const char *text = s->line.failed ? "" : s->line.data;
        int w = round_up_even(fm__text_width(&s->text, text) - font->gap + 2 * look->pad_x);
        int h = round_up_even(look->pad_top + font->cap_height + look->pad_bottom);
        size_t seen = n < MAX_AVOIDED ? n : MAX_AVOIDED;
        l.plate = place_plate(canvas, l.outline, w, h, look->line, s->labels, seen);
        s->labels[n++] = l;
    }
    return n;
}

static void draw_label(annotate *s, const fm_canvas *canvas, const fm_frame_view *view, const style *look,
    const fm_result *result, const label *l)
{
    write_label(&s->line, result, l->det);
    if (s->line.failed)
        return; // a frame without its letters is better than none
    fm_rgb plate = color_of(l->det), ink = fm__text_color(plate);
    fm__draw_fill(canvas, l->plate, fm__rgb_to_yuv(plate, view->matrix, view->range), 255);
    int x = l->plate.x0 + look->pad_x - s->text.font.gap / 2;
    int y = l->plate.y0 + look->pad_top - s->text.font.cap_top;
    fm__text_draw(&s->text, canvas, x, y, s->line.data, fm__rgb_to_yuv(ink, view->matrix, view->range));
}

/** Where tracks stand, the middle of their lower edge; the tracker's box trembles less than the detector's.
 */
static fm_status follow_tracks(annotate *s, const fm_result *result, fm_error *err)
{
    fm_status status = FM_OK;
    fm__trails_frame(&s->trails, result->frame);
    for (size_t i = 0; i < result->det_count && status == FM_OK; i++) {
        fm_box box = result->track_boxes ? result->track_boxes[i] : result->dets[i].box;
        if (result->dets[i].track_id > 0)
            status = fm__trails_add(&s->trails, result->dets[i].track_id, (box.x0 + box.x1) / 2, box.y1, err);
    }
    return status;
}

static fm_status draw_objects(annotate *s, const fm_canvas *canvas, const fm_frame_view *view,
    const style *look, const fm_result *result, fm_error *err)
{
    if (!fm__grow(FM_TAG_SINKS, (void **)&s->labels, &s->label_cap, result->det_count, sizeof *s->labels))
        return fm__fail_nomem(err, "the labels of a frame");
    fm_status status = fm__masks_draw(&s->masks, canvas, view, result, color_of, look->line, err);
    if (status != FM_OK)
        return status;
    size_t n = place_labels(s, canvas, look, result);
    fm__trails_draw(&s->trails, canvas, TRAIL_WIDTH * look->line, view->matrix, view->range);
    for (size_t i = n; i-- > 0;) {
        fm_rgb color = color_of(s->labels[i].det);
        fm__draw_outline(
            canvas, s->labels[i].outline, look->line, fm__rgb_to_yuv(color, view->matrix, view->range), 255);
    }
    for (size_t i = n; i-- > 0;)
        draw_label(s, canvas, view, look, result, &s->labels[i]);
    return FM_OK;
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
    if (status == FM_OK)
        status = draw_objects(s, &canvas, &copy->view, &look, result, err);
    if (status == FM_OK)
        status = fm__encoder_write(s->encoder, copy, err);
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
    fm_status status = follow_tracks(s, result, err);
    if (status != FM_OK)
        return status;
    // RGB always takes our own conversion, so that colours do not flicker between frames with objects and
    // those without.
    bool is_bare = result->det_count == 0 && !fm__trails_any(&s->trails) && !fm__masks_any(result);
    if (is_bare && frame->view.format != FM_PIXFMT_RGB24)
        return fm__encoder_write(s->encoder, frame, err);
    return write_annotated(s, result, frame, err);
}

static fm_status annotate_close(fm_sink *sink, fm_error *err)
{
    annotate *s = (annotate *)sink;
    fm_status status = s->encoder ? fm__encoder_close(&s->encoder, err) : FM_OK;
    fm__text_done(&s->text);
    fm__masks_done(&s->masks);
    fm__trails_done(&s->trails);
    fm__str_done(&s->line);
    fm__free(s->labels);
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
    fm__str_init(&s->line, FM_TAG_SINKS);
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
