// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Non-local means over time, after Buades, Coll and Morel, "Denoising image sequences does not require motion
// estimation" (AVSS 2005): the same window is searched in the frames before and after, no motion is
// estimated, and what moves by no more than the window's radius is found. At the ends of the stream, and of a
// scene, the frames that are missing are not made up: fewer are searched. A cut is where colour correction
// sees one, when half of the luma histogram has moved.

#include "enhance/window.h"

#include "base/error.h"

#include <string.h>

static bool cleans(const fm__enhance_spec *spec)
{
    return spec->h > 0 || spec->h_color > 0;
}

static void drop(fm__window_frame *f)
{
    fm_frame_unref(&f->frame);
    fm_frame_unref(&f->planes);
}

static void drop_first(fm__window *w)
{
    drop(&w->at[0]);
    w->count--;
    w->next--;
    memmove(&w->at[0], &w->at[1], (size_t)w->count * sizeof(w->at[0]));
}

static bool is_same_kind(const fm_frame_view *a, const fm_frame_view *b)
{
    return a->width == b->width && a->height == b->height && a->format == b->format &&
           a->matrix == b->matrix && a->range == b->range;
}

static uint64_t scene_of(fm__window *w, const fm_frame *in)
{
    fm__color_stats now;
    fm__color_stats_of(&in->view, &now);
    const fm__window_frame *last = w->count ? &w->at[w->count - 1] : NULL;
    bool is_new = !last || !is_same_kind(&last->frame->view, &in->view) || fm__color_is_cut(&w->newest, &now);
    w->newest = now;
    return last ? last->scene + is_new : 0;
}

fm_status fm__window_push(
    fm__window *w, fm__step *s, const fm__enhance_spec *spec, fm_frame *in, fm_error *err)
{
    fm_frame *planes = NULL;
    fm_status st = FM_OK;
    if (cleans(spec) && in->view.format == FM_PIXFMT_RGB24) {
        st = fm__step_split(s, in, &planes, err);
    } else {
        planes = fm_frame_ref(in);
    }
    if (st != FM_OK) {
        return st;
    }
    uint64_t scene = scene_of(w, in);
    if (w->count == spec->frames) {
        drop_first(w);
    }
    w->at[w->count++] = (fm__window_frame){fm_frame_ref(in), planes, scene};
    return FM_OK;
}

// The one at `at` first, then its neighbours of the same scene, `reach` to each side at most.
static int gather(const fm__window *w, int at, int reach, const fm_frame *out[FM__NLM_MAX_FRAMES])
{
    int n = 0;
    out[n++] = w->at[at].planes;
    for (int i = at - reach; i <= at + reach; i++) {
        if (i >= 0 && i < w->count && i != at && w->at[i].scene == w->at[at].scene) {
            out[n++] = w->at[i].planes;
        }
    }
    return n;
}

static fm_status clean(
    fm__window *w, fm__step *s, const fm__enhance_spec *spec, int at, fm_frame **out, fm_error *err)
{
    const fm_frame *frames[FM__NLM_MAX_FRAMES];
    fm_frame *cleaned = NULL;
    if (!cleans(spec)) {
        *out = fm_frame_ref(w->at[at].frame);
        return FM_OK;
    }
    int n = gather(w, at, spec->frames / 2, frames);
    fm_status st = fm__step_clean(s, spec->h, spec->h_color, frames, n, &cleaned, err);
    if (st == FM_OK && w->at[at].frame->view.format == FM_PIXFMT_RGB24) {
        st = fm__step_join(s, cleaned, out, err);
        fm_frame_unref(&cleaned);
    } else if (st == FM_OK) {
        *out = cleaned;
    }
    return st;
}

fm_status fm__window_take(
    fm__window *w, fm__step *s, const fm__enhance_spec *spec, bool has_ended, fm_frame **out, fm_error *err)
{
    int later = w->count - 1 - w->next; // negative: none is left
    if (later < 0 && has_ended) {
        fm__window_clear(w);
        return FM_EOF;
    }
    if (later < (has_ended ? 0 : spec->frames / 2)) {
        return FM_AGAIN;
    }
    return clean(w, s, spec, w->next++, out, err);
}

void fm__window_clear(fm__window *w)
{
    while (w->count > 0) {
        drop(&w->at[--w->count]);
    }
    w->next = 0;
}
