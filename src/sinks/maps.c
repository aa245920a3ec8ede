// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Class maps as pictures: one grey PNG a frame, named after the frame's number, at the source frame's size; a
// pixel's grey level is its class, 255 what the network did not see. Data sets keep their truth in this form.

#include "base/alloc.h"
#include "base/error.h"
#include "base/file.h"
#include "base/str.h"
#include "image/image.h"
#include "sinks/sinks.h"

typedef struct maps {
    fm_sink sink;
    char *dir;
    bool is_made;
    fm_str path; // keeps its memory
} maps;

static fm_status maps_write(fm_sink *sink, const fm_result *result, const fm_frame *frame, fm_error *err)
{
    maps *s = (maps *)sink;
    const fm_class_map *map = result->class_map;
    (void)frame;
    if (!map || !map->ids)
        return FM_OK;
    fm_status st = s->is_made ? FM_OK : fm__mkdir_all(s->dir, err);
    if (st != FM_OK)
        return st;
    s->is_made = true;
    fm__str_reset(&s->path);
    fm__str_printf(&s->path, "%s/%08llu.png", s->dir, (unsigned long long)result->frame);
    if (s->path.failed)
        return fm__fail_nomem(err, "a path");
    return fm__image_save_gray(s->path.data, map->ids, map->width, map->height, map->stride, err);
}

static fm_status maps_close(fm_sink *sink, fm_error *err)
{
    maps *s = (maps *)sink;
    (void)err; // every picture is whole already
    fm__str_done(&s->path);
    fm__free(s->dir);
    fm__free(s);
    return FM_OK;
}

static const fm_sink_class maps_class = {
    .name = "maps",
    .wants_pixels = false,
    .write = maps_write,
    .close = maps_close,
};

fm_status fm__sink_class_maps(const char *dir, fm_sink **out, fm_error *err)
{
    maps *s = fm__calloc(FM_TAG_SINKS, sizeof *s);
    if (!s)
        return fm__fail_nomem(err, "a sink of class maps");
    *s = (maps){.sink.cls = &maps_class, .dir = fm__strdup(FM_TAG_SINKS, dir)};
    fm__str_init(&s->path, FM_TAG_SINKS);
    if (!s->dir) {
        (void)maps_close(&s->sink, NULL); // nothing was written yet
        return fm__fail_nomem(err, "a sink of class maps");
    }
    *out = &s->sink;
    return FM_OK;
}
