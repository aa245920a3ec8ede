// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** Inside app/: what the parts of `enhance` share: a job is one call of fm_enhance. */
#ifndef FM_APP_ENHANCE_PRIVATE_H
#define FM_APP_ENHANCE_PRIVATE_H

#include <framemill/enhance.h>

#include "enhance/enhance.h"
#include "models/model.h"
#include "stream/stream.h"

typedef struct fm__enhance_job {
    const fm_enhance_opts *opts;
    fm__enhance_spec spec;
    fm__lut3d *lut;
    fm_model_store *store; // NULL: no model is needed
    fm_model *model;       // that enlarges
    fm__upscaler upscaler; // over the model
    fm__enhancer *enhancer;
    fm__enhancer *plain; // enlarges as much and does nothing else: for alpha, and what comes before
    fm_frame_pool *pool;
    fm_enhance_progress progress;
    int64_t start_ns;
} fm__enhance_job;

/** Tells the caller how far it is; false: it wants to stop. */
bool fm__enhance_tell(fm__enhance_job *j);

/** What the options' words say, into spec. INVAL where there is nothing to do. */
fm_status fm__enhance_read_spec(fm__enhance_job *j, fm_error *err) FM_MUST_USE;

/** A .cube file, of bounded size. Free with fm__lut3d_free. */
fm_status fm__enhance_read_lut(const char *path, fm__lut3d **out, fm_error *err) FM_MUST_USE;

/** Loads spec.model and fills upscaler and spec.scale in; nothing where no model enlarges. */
fm_status fm__enhance_load_model(fm__enhance_job *j, fm_error *err) FM_MUST_USE;

/** Before and after in one frame, of the same size and format. */
fm_status fm__enhance_side_by_side(fm_frame_pool *pool, const fm_frame *before, const fm_frame *after,
    fm_frame **out, fm_error *err) FM_MUST_USE;

/* enhance_video.c */
/** Can these be written? */
fm_status fm__enhance_check_video(const fm_enhance_opts *o, fm_error *err) FM_MUST_USE;
fm_status fm__enhance_video(fm__enhance_job *j, fm_stream_kind kind, fm_error *err) FM_MUST_USE;

/** Threads asked for, or one a core. */
int fm__enhance_threads(const fm__enhance_job *j);

/* enhance_pictures.c */
/** What one thread enhances pictures with. */
typedef struct fm__enhance_worker {
    fm__enhance_job *job;
    fm__enhance_opts opts, plain_opts;
    fm__enhancer *enhancer;
    fm__enhancer *plain; // only enlarges: alpha, and what comes before
} fm__enhance_worker;

/** Free it with done, also where init failed. */
fm_status fm__enhance_worker_init(
    fm__enhance_worker *w, fm__enhance_job *j, int threads, fm_error *err) FM_MUST_USE;
void fm__enhance_worker_done(fm__enhance_worker *w);
/** is_writing: how far it came before it failed. */
fm_status fm__enhance_one(
    fm__enhance_worker *w, const char *from, const char *to, bool *is_writing, fm_error *err) FM_MUST_USE;
fm_status fm__enhance_picture(fm__enhance_job *j, fm_error *err) FM_MUST_USE;
/* enhance_folder.c */
fm_status fm__enhance_folder(fm__enhance_job *j, fm_error *err) FM_MUST_USE;

#endif
