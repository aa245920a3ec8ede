// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// MOT text, MOTChallenge's format of results (src/track/mot_text.h reads it back): for each object that a
// confirmed track was matched to in this frame `frame,id,x,y,w,h,score,-1,-1,-1`, frames from 1, boxes with 2
// decimals and scores with 4 whatever the locale. A frame's lines leave in one write, a frame without tracks
// writes nothing. How lines get out whole is in lines.c.

#include "base/error.h"
#include "sinks/lines.h"
#include "sinks/sinks.h"

// Enough for the 300 objects that a frame may have at most.
#define RESERVE 32768

typedef struct mot {
    fm_sink sink;
    fm_lines lines;
    fm_mot_box box;
} mot;

static void add_number(fm_str *out, double v, int decimals)
{
    fm__str_add_fixed(out, v, decimals);
    fm__str_add_char(out, ',');
}

static void add_line(fm_str *out, uint64_t frame, const fm_det *det, fm_box box)
{
    fm__str_add_uint(out, frame + 1);
    fm__str_add_char(out, ',');
    fm__str_add_int(out, det->track_id);
    fm__str_add_char(out, ',');
    add_number(out, (double)box.x0, 2);
    add_number(out, (double)box.y0, 2);
    add_number(out, (double)box.x1 - box.x0, 2);
    add_number(out, (double)box.y1 - box.y0, 2);
    add_number(out, (double)det->score, 4);
    fm__str_add(out, "-1,-1,-1\n");
}

void fm__mot_format(fm_str *out, const fm_result *result, fm_mot_box box)
{
    bool filtered = box == FM_MOT_BOX_FILTERED && result->track_boxes;
    for (size_t i = 0; i < result->det_count; i++) {
        const fm_det *det = &result->dets[i];
        if (det->track_id > 0)
            add_line(out, result->frame, det, filtered ? result->track_boxes[i] : det->box);
    }
}

static fm_status mot_write(fm_sink *sink, const fm_result *result, const fm_frame *frame, fm_error *err)
{
    mot *s = (mot *)sink;
    (void)frame;
    fm__mot_format(&s->lines.text, result, s->box);
    return fm__lines_write(&s->lines, err);
}

static fm_status mot_close(fm_sink *sink, fm_error *err)
{
    mot *s = (mot *)sink;
    fm_status status = fm__lines_close(&s->lines, err);
    fm__free(s);
    return status;
}

static const fm_sink_class mot_class = {
    .name = "mot",
    .wants_pixels = false,
    .write = mot_write,
    .close = mot_close,
};

fm_status fm__sink_mot_file(const char *path, fm_mot_box box, fm_sink **out, fm_error *err)
{
    mot *s = fm__calloc(FM_TAG_SINKS, sizeof *s);
    if (!s)
        return fm__fail_nomem(err, "a MOT sink");
    s->sink.cls = &mot_class;
    s->box = box;
    fm_status status = fm__lines_open(&s->lines, path, RESERVE, err);
    if (status != FM_OK) {
        fm__free(s);
        return status;
    }
    *out = &s->sink;
    return FM_OK;
}
