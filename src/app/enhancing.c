// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// How a run's frames are made better before any model sees them: each stream's own words, else the run's. A
// .cube file that several streams name is read once. Enlarging is not among them: models scale frames to
// their own input, and boxes are in pixels of the source.

#include "app/enhance_private.h"
#include "app/run_private.h"
#include "base/alloc.h"
#include "base/error.h"
#include "base/str.h"

#include <string.h>

static bool is_none(const char *word)
{
    return !word || strcmp(word, "none") == 0;
}

static fm_status find_lut(fm_run *run, const char *path, const fm__lut3d **out, fm_error *err)
{
    if (is_none(path)) {
        return FM_OK;
    }
    for (size_t i = 0; i < run->lut_count; i++) {
        if (strcmp(run->luts[i].path, path) == 0) {
            *out = run->luts[i].lut;
            return FM_OK;
        }
    }
    if (run->lut_count == run->stream_room) {
        return fm__fail(err, FM_INVAL, "lut: this run has read as many tables as it has room for");
    }
    run_lut *l = &run->luts[run->lut_count];
    fm_status st = fm__enhance_read_lut(path, &l->lut, err);
    if (st != FM_OK) {
        return st;
    }
    run->lut_count++;
    l->path = fm__strdup(FM_TAG_APP, path);
    *out = l->lut;
    return l->path ? FM_OK : fm__fail_nomem(err, "a colour table's name");
}

static fm_status init_stream(
    fm_run *run, size_t index, const fm_frame_enhance *own, const fm_frame_enhance *all, fm_error *err)
{
    run_stream *s = &run->streams[index];
    fm__enhance_spec *spec = &s->enhance.spec;
    spec->scale = 1;
    fm_status st = fm__enhance_parse_denoise(own->denoise ? own->denoise : all->denoise, spec, err);
    if (st == FM_OK && spec->denoise == FM__DENOISE_NLM_T) {
        // A run hands frames on one by one, live ones without delay.
        st = fm__fail(err, FM_INVAL,
            "denoise: nlm-t waits for later frames, which only `enhance` does; take nlm or auto");
    }
    st = st == FM_OK ? fm__enhance_parse_color(own->color ? own->color : all->color, spec, err) : st;
    st = st == FM_OK ? find_lut(run, own->lut ? own->lut : all->lut, &s->enhance.lut, err) : st;
    if (st < 0) {
        fm__error_prefix(err, "stream '%s'", s->name);
        return st;
    }
    if (spec->denoise != FM__DENOISE_NONE || spec->has_color || s->enhance.lut) {
        run->sources[index].enhance = &s->enhance;
    }
    return FM_OK;
}

fm_status fm__run_init_enhance(fm_run *run, const fm_run_opts *o, fm_error *err)
{
    run->luts = fm__calloc_array(FM_TAG_APP, run->stream_room, sizeof(*run->luts));
    run->denoise = fm__strdup(FM_TAG_APP, o->enhance.denoise);
    run->color = fm__strdup(FM_TAG_APP, o->enhance.color);
    run->lut = fm__strdup(FM_TAG_APP, o->enhance.lut);
    bool copied = (!o->enhance.denoise || run->denoise) && (!o->enhance.color || run->color) &&
                  (!o->enhance.lut || run->lut);
    fm_status st = run->luts && copied ? FM_OK : fm__fail_nomem(err, "settings of enhancement");
    for (size_t i = 0; st == FM_OK && i < run->stream_count; i++) {
        st = init_stream(run, i, &o->streams[i].enhance, &o->enhance, err);
    }
    return st;
}

fm_status fm__run_enhance_stream(fm_run *run, size_t index, const fm_frame_enhance *own, fm_error *err)
{
    fm_frame_enhance all = {.denoise = run->denoise, .color = run->color, .lut = run->lut};
    run->streams[index].enhance = (fm__enhance_opts){.max_pixels = 0};
    return init_stream(run, index, own, &all, err);
}

void fm__run_done_enhance(fm_run *run)
{
    fm__free(run->denoise);
    fm__free(run->color);
    fm__free(run->lut);
    for (size_t i = 0; i < run->lut_count; i++) {
        fm__free(run->luts[i].path);
        fm__lut3d_free(&run->luts[i].lut);
    }
    fm__free(run->luts);
}
