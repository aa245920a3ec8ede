// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// An enhancer for frames of the program's own: the steps of `enhance` without its files. The steps know R, G,
// B; of a frame in B, G, R they work on a turned copy, and what comes out is turned back where it lies.

#include "app/enhance_private.h"
#include "base/alloc.h"
#include "base/error.h"
#include "ops/color_rgb.h"

struct fm_enhancer {
    fm__enhance_job job; // its opts are gone after new
    fm__enhancer *steps;
};

static fm_status make(fm_enhancer *e, bool is_video, fm_error *err)
{
    fm__enhance_job *j = &e->job;
    fm_status st = fm__enhance_read_spec(j, err);
    if (st == FM_OK && j->spec.denoise == FM__DENOISE_NLM_T) {
        st = fm__fail(err, FM_INVAL,
            "denoise: nlm-t waits for later frames, and these come one by one; take nlm or auto");
    }
    st = st == FM_OK && j->opts->lut ? fm__enhance_read_lut(j->opts->lut, &j->lut, err) : st;
    st = st == FM_OK ? fm__enhance_load_model(j, err) : st;
    if (st != FM_OK) {
        return st;
    }
    j->spec.model = NULL; // the caller's text
    fm__enhance_opts opts = {.spec = j->spec,
        .lut = j->lut,
        .upscaler = j->model ? &j->upscaler : NULL,
        .threads = fm__enhance_threads(j),
        .max_pixels = j->opts->max_pixels,
        .is_video = is_video};
    return fm__enhancer_new(&opts, &e->steps, err);
}

fm_status fm_enhancer_new(const fm_enhance_opts *opts, bool is_video, fm_enhancer **out, fm_error *err)
{
    if (!opts || !out || opts->struct_size != sizeof(*opts)) {
        return fm__fail(
            err, FM_INVAL, "fm_enhancer_new without output or options: begin with FM_ENHANCE_OPTS_INIT");
    }
    fm_enhancer *e = fm__calloc(FM_TAG_APP, sizeof(*e));
    if (!e) {
        return fm__fail_nomem(err, "an enhancer");
    }
    e->job.opts = opts;
    fm_status st = make(e, is_video, err);
    e->job.opts = NULL;
    if (st != FM_OK) {
        fm_enhancer_free(&e);
        return st;
    }
    *out = e;
    return FM_OK;
}

static void turn_back(fm_frame *rgb)
{
    uint8_t *pixels = fm__frame_plane(rgb, 0);
    for (int y = 0; y < rgb->view.height; y++) {
        uint8_t *row = pixels + (ptrdiff_t)y * rgb->view.stride[0];
        fm__rgb_row_turn(row, row, (size_t)rgb->view.width);
    }
    rgb->view.format = FM_PIXFMT_BGR24;
}

fm_status fm_enhancer_run(fm_enhancer *e, fm_frame *in, fm_frame **out, fm_error *err)
{
    if (!e || !in || !out) {
        return fm__fail(err, FM_INVAL, "fm_enhancer_run without an enhancer, frame or output");
    }
    fm_frame *better = NULL;
    fm_status st = fm__enhancer_run(e->steps, in, &better, err);
    if (st != FM_OK) {
        return st;
    }
    if (in->view.format == FM_PIXFMT_BGR24) {
        turn_back(better);
    }
    *out = better;
    return FM_OK;
}

void fm_enhancer_free(fm_enhancer **enhancer)
{
    if (!enhancer || !*enhancer) {
        return;
    }
    fm_enhancer *e = *enhancer;
    *enhancer = NULL;
    fm__enhancer_free(&e->steps);
    fm__model_free(&e->job.model);
    fm_model_store_close(&e->job.store);
    fm__lut3d_free(&e->job.lut);
    fm__free(e);
}
