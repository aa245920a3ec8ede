// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// One line of JSON a frame: keys in a fixed order, those that do not apply left out, numbers with a fixed
// count of decimals (times 3, that is microseconds; boxes 2; scores 4; areas, as a share of the frame, 6)
// whatever the locale. Masks are COCO's compressed run lengths, as json.dump writes pycocotools' results;
// features are base64 (RFC 4648) of little-endian float32. Everything is written straight into the line: no
// copies, and nothing allocated once the line has grown to its size.

#include "sinks/format.h"
#include "base/clock.h"
#include "base/json.h"
#include "ops/rle.h"
#include "sinks/sinks.h"

void fm__json_box(fm_json *j, fm_box box)
{
    fm__json_key(j, "box");
    fm__json_open_array(j);
    fm__json_fixed(j, box.x0, 2);
    fm__json_fixed(j, box.y0, 2);
    fm__json_fixed(j, (double)box.x1 - box.x0, 2);
    fm__json_fixed(j, (double)box.y1 - box.y0, 2);
    fm__json_close_array(j);
}

void fm__json_class(fm_json *j, int32_t class_id, const char *const *labels, size_t label_count)
{
    if (class_id >= 0 && (size_t)class_id < label_count) {
        fm__json_put_string(j, "label", labels[class_id]);
    }
    fm__json_put_int(j, "class_id", class_id);
}

static void add_classes(fm_json *j, const fm_result *result, const fm_class_score *classes, size_t count)
{
    fm__json_key(j, "classes");
    fm__json_open_array(j);
    for (size_t i = 0; i < count && classes[i].class_id >= 0; i++) {
        fm__json_open_object(j);
        fm__json_class(j, classes[i].class_id, result->class_labels, result->class_label_count);
        fm__json_put_fixed(j, "score", classes[i].score, 4);
        fm__json_close_object(j);
    }
    fm__json_close_array(j);
}

/** Of the characters of run lengths, '0' to 'o', the backslash alone needs an escape: it is doubled in place,
 * from the end of the text, which begins at `start`. */
static void double_backslashes(fm_str *s, size_t start)
{
    size_t extra = 0;
    for (size_t i = start; i < s->len && !s->failed; i++)
        extra += s->data[i] == '\\';
    size_t from = s->len;
    for (size_t i = 0; i < extra; i++)
        fm__str_add_char(s, ' ');
    if (s->failed)
        return;
    for (size_t to = s->len; to > from;) {
        s->data[--to] = s->data[--from];
        if (s->data[to] == '\\')
            s->data[--to] = '\\';
    }
}

static void add_mask(fm_json *j, const fm_result *result, const fm_mask *mask)
{
    fm__json_key(j, "mask");
    fm__json_open_object(j);
    fm__json_key(j, "size");
    fm__json_open_array(j);
    fm__json_int(j, result->height);
    fm__json_int(j, result->width);
    fm__json_close_array(j);
    fm__json_key(j, "counts");
    fm_str *s = fm__json_by_hand(j);
    fm__str_add_char(s, '"');
    size_t start = s->len;
    fm__rle_add(s, mask, result->width, result->height);
    double_backslashes(s, start);
    fm__str_add_char(s, '"');
    fm__json_close_object(j);
}

static void add_feature(fm_json *j, const float *feature, int dim)
{
    fm__json_key(j, "feature");
    fm_str *s = fm__json_by_hand(j);
    fm__str_add_char(s, '"');
    fm__str_add_base64(s, feature, (size_t)dim * sizeof *feature); // little-endian, as the machines we run on
    fm__str_add_char(s, '"');
}

static void add_object(fm_json *j, const fm_result *result, size_t i)
{
    const fm_det *det = &result->dets[i];
    fm__json_open_object(j);
    fm__json_class(j, det->class_id, result->labels, result->label_count);
    fm__json_put_fixed(j, "score", det->score, 4);
    fm__json_box(j, det->box);
    if (det->track_id > 0) {
        fm__json_put_int(j, "track_id", det->track_id);
    }
    if (result->masks && result->masks[i].width > 0)
        add_mask(j, result, &result->masks[i]);
    if (result->object_classes && result->object_class_count > 0 &&
        result->object_classes[i * result->object_class_count].class_id >= 0)
        add_classes(
            j, result, &result->object_classes[i * result->object_class_count], result->object_class_count);
    if (result->features && result->features[i])
        add_feature(j, result->features[i], result->feature_dim);
    fm__json_close_object(j);
}

/** A run with a detector always has "objects"; labels are what tells it from one without. */
static void add_objects(fm_json *j, const fm_result *result)
{
    if (result->label_count == 0 && result->det_count == 0)
        return;
    fm__json_key(j, "objects");
    fm__json_open_array(j);
    for (size_t i = 0; i < result->det_count; i++)
        add_object(j, result, i);
    fm__json_close_array(j);
}

/** Classes that the frame has, by descending area, of equals the first. */
static void add_areas(fm_json *j, const fm_class_map *map)
{
    double pixels = (double)map->width * map->height;
    int64_t below = INT64_MAX;
    fm__json_key(j, "semantic");
    fm__json_open_array(j);
    for (;;) { // few of many classes are there: each pass finds the next area
        int64_t area = 0;
        for (size_t c = 0; c < map->class_count; c++)
            area = map->area[c] < below && map->area[c] > area ? map->area[c] : area;
        if (area == 0)
            break;
        for (size_t c = 0; c < map->class_count; c++) {
            if (map->area[c] != area)
                continue;
            fm__json_open_object(j);
            fm__json_class(j, (int32_t)c, map->labels, map->class_count);
            fm__json_put_fixed(j, "area", (double)area / pixels, 6);
            fm__json_close_object(j);
        }
        below = area;
    }
    fm__json_close_array(j);
}

void fm__json_times(fm_json *j, int64_t pts_ns, int64_t wall_ns)
{
    if (pts_ns != FM_PTS_NONE) {
        fm__json_put_fixed(j, "pts_ms", (double)pts_ns / FM_NS_PER_MS, 3);
    }
    if (wall_ns == FM_PTS_NONE)
        return;
    char utc[32];
    fm__format_utc(wall_ns, utc);
    if (utc[0]) {
        fm__json_put_string(j, "time", utc);
    }
}

void fm__jsonl_format(fm_str *out, const fm_result *result)
{
    fm_json j;
    fm__json_init(&j, out);
    fm__json_open_object(&j);
    fm__json_put_string(&j, "stream", result->stream);
    fm__json_put_uint(&j, "frame", result->frame);
    if (result->file) {
        fm__json_put_string(&j, "file", result->file);
    }
    fm__json_times(&j, result->pts_ns, result->wall_ns);
    fm__json_put_int(&j, "width", result->width);
    fm__json_put_int(&j, "height", result->height);
    if (result->carried) {
        fm__json_put_bool(&j, "carried", true);
    }
    add_objects(&j, result);
    if (result->classes)
        add_classes(&j, result, result->classes, result->class_count);
    if (result->class_map)
        add_areas(&j, result->class_map);
    if (result->frame_feature)
        add_feature(&j, result->frame_feature, result->frame_feature_dim);
    if (result->error) {
        fm__json_put_string(&j, "error", result->error);
    }
    fm__json_close_object(&j);
    fm__str_add_char(out, '\n');
}
