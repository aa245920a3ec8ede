// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Colour correction and 3D tables over bands of rows. What a frame looks like is measured first, by one
// thread: it is a sample of the pixels; so are the tables of local contrast made, of counts that do not
// depend on who counted. What threads do is the same for each row, however many there are.

#include "enhance/steps.h"

#include "base/error.h"

// Even, for chroma's sake.
enum { BAND = 64 };

static void map_rows(int y0, int y1, void *scratch, void *opaque)
{
    fm__color_map_rows(opaque, y0, y1, scratch);
}

static void count_tiles(int ty0, int ty1, void *scratch, void *opaque)
{
    (void)scratch;
    fm__color_count_tiles(opaque, ty0, ty1);
}

static void curve_rows(int y0, int y1, void *scratch, void *opaque)
{
    fm__color_curve_rows(opaque, y0, y1, scratch);
}

static void planes_of(fm_frame *f, uint8_t *planes[FM_MAX_PLANES])
{
    for (int i = 0; i < fm_pixfmt_planes(f->view.format); i++) {
        planes[i] = fm__frame_plane(f, i);
    }
}

static fm_status run_pass(
    fm__step *s, fm__color_pass *pass, fm__color_state *state, float share, fm_error *err)
{
    size_t scratch = fm__color_band_size(pass->plan);
    int height = pass->view->height, tiles = fm__color_tile_rows(pass);
    fm_status st = fm__bands_run(&s->bands, height, BAND, scratch, map_rows, pass, err);
    if (st == FM_OK && tiles > 0) {
        st = fm__bands_run(&s->bands, tiles, 1, scratch, count_tiles, pass, err);
    }
    if (st == FM_OK) {
        fm__color_finish_tables(pass, state, share);
        st = fm__bands_run(&s->bands, height, BAND, scratch, curve_rows, pass, err);
    }
    return st;
}

fm_status fm__step_correct(fm__step *s, const fm__color_opts *opts, fm__color_state *state, float share,
    const fm_frame *in, fm_frame **out, fm_error *err)
{
    const fm_frame_view *v = &in->view;
    const fm__color_desc desc = {v->width, v->height, v->format, v->matrix, v->range};
    const fm__color_plan *plan = NULL;
    bool is_yuv = v->format != FM_PIXFMT_RGB24 && v->format != FM_PIXFMT_GRAY8;
    void *shared = NULL;
    fm_frame *f = NULL;
    fm__color_stats now;
    fm__color_params params;
    fm__color_pass pass;
    uint8_t *planes[FM_MAX_PLANES] = {NULL};
    fm_status st = fm__kept_color(&s->kept, &desc, &plan, &shared, err);
    st = st == FM_OK ? fm__step_frame(s, in, v->format, v->width, v->height, &f, err) : st;
    if (st == FM_OK) {
        fm__color_stats_of(v, &now);
        if (state) {
            fm__color_smooth(state, &now, share);
        }
        fm__color_params_of(
            opts, state ? &state->stats : &now, is_yuv ? v->matrix : FM_MATRIX_BT601, &params);
        planes_of(f, planes);
        fm__color_begin(&pass, plan, &params, v, planes, f->view.stride, shared);
        st = run_pass(s, &pass, state, share, err);
    }
    if (st != FM_OK) {
        fm_frame_unref(&f);
        return st;
    }
    *out = f;
    return FM_OK;
}

typedef struct lut_job {
    const fm__lut3d *lut;
    const fm_frame_view *view;
    uint8_t *planes[FM_MAX_PLANES];
    const int *stride;
    fm_cpu_level level;
} lut_job;

static void look_up_rows(int y0, int y1, void *scratch, void *opaque)
{
    const lut_job *j = opaque;
    fm__lut3d_frame_rows(j->lut, j->view, j->planes, j->stride, y0, y1, scratch, j->level);
}

fm_status fm__step_look_up(
    fm__step *s, const fm__lut3d *lut, const fm_frame *in, fm_frame **out, fm_error *err)
{
    const fm_frame_view *v = &in->view;
    fm_frame *f = NULL;
    fm_status st = fm__step_frame(s, in, v->format, v->width, v->height, &f, err);
    if (st == FM_OK) {
        lut_job j = {.lut = lut, .view = v, .stride = f->view.stride, .level = s->level};
        planes_of(f, j.planes);
        st = fm__bands_run(
            &s->bands, v->height, BAND, fm__lut3d_scratch_size(v->width), look_up_rows, &j, err);
    }
    if (st != FM_OK) {
        fm_frame_unref(&f);
        return st;
    }
    *out = f;
    return FM_OK;
}
