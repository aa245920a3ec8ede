// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Streams that begin in the middle. A state goes with the settings that made it: those that decide what a
// stream's results are once they have gone through the tracker, as text, so that an error can say which one
// is another. Where models lie, what they run on and how frames are spread makes no difference.

#include "app/run_private.h"

#include "base/alloc.h"
#include "base/error.h"
#include "base/str.h"

#include <string.h>

// Numbers of one kind, whatever the locale.
static void add_numbers(fm_str *s, const char *key, const double *values, size_t n)
{
    fm__str_printf(s, "%s=", key);
    for (size_t i = 0; i < n; i++) {
        fm__str_add(s, i > 0 ? " " : "");
        fm__str_add_fixed(s, values[i], 6);
    }
    fm__str_add(s, "\n");
}

#define ADD_NUMBERS(s, key, ...)                                                                             \
    add_numbers(s, key, (const double[]){__VA_ARGS__}, sizeof((const double[]){__VA_ARGS__}) / sizeof(double))

static void add_tracker(fm_str *s, const fm_tracker_opts *t)
{
    fm__str_printf(s, "tracker=%s\n", t->type ? t->type : "none");
    if (!t->type) {
        return;
    }
    ADD_NUMBERS(s, "track.score", t->high, t->low, t->begin_margin, t->confirm_score);
    ADD_NUMBERS(s, "track.life", t->n_init, t->max_age, t->max_tracks);
    ADD_NUMBERS(s, "track.overlap", t->max_iou, t->max_iou_low, t->max_iou_new, t->fuse_score, t->overlap_age,
        t->scale_noise);
    ADD_NUMBERS(s, "track.motion", t->momentum, t->momentum_frames, t->gate, t->motion_weight);
    ADD_NUMBERS(s, "track.appearance", t->dim, t->reid, t->max_cosine, t->overlap_weight, t->max_cosine_near,
        t->budget, t->feature_weight);
    ADD_NUMBERS(s, "track.reentry", t->reentry_count, t->reentry_age);
    ADD_NUMBERS(s, "track.ambiguous", t->clear_iou, t->rival_iou, t->young, t->stale);
}

static const char *name_of(const fm_model *model)
{
    return model ? model->name : "none";
}

fm_status fm__run_init_settings(fm_run *run, const fm_run_opts *o, fm_error *err)
{
    fm_str s;
    fm__str_init(&s, FM_TAG_APP);
    fm__str_printf(&s, "detector=%s\nsegmenter=%s\nembedder=%s\n",
        run->given   ? "given"
        : run->model ? run->model->name
                     : run->detector,
        name_of(run->segmenter), name_of(run->embedder));
    ADD_NUMBERS(&s, "conf", o->conf);
    ADD_NUMBERS(&s, "iou", o->iou);
    fm__str_add(&s, "classes=");
    for (size_t i = 0; i < o->class_count; i++) {
        fm__str_printf(&s, "%s,", o->classes[i]);
    }
    fm__str_printf(&s, "\ndetect_every=%d\nmotion_gate=%d\n", o->detect_every, o->motion_gate);
    add_tracker(&s, &run->tracker);
    run->settings = fm__str_take(&s);
    return run->settings ? FM_OK : fm__fail_nomem(err, "settings");
}

static fm_status take_state(fm_run *run, size_t index, const fm_stream_opts *o, fm_error *err)
{
    uint64_t start = 0;
    fm_status st = fm__pipeline_check_state(run->pipeline, o->state, o->state_bytes, &start, err);
    if (st == FM_OK && o->start_frame != 0 && o->start_frame != start) {
        st = fm__fail(err, FM_INVAL,
            "start_frame is %llu, and the state goes on with frame %llu: leave one out",
            (unsigned long long)o->start_frame, (unsigned long long)start);
    }
    if (st != FM_OK) {
        return st;
    }
    void *copy = fm__calloc(FM_TAG_APP, o->state_bytes);
    if (!copy) {
        return fm__fail_nomem(err, "a stream's state");
    }
    memcpy(copy, o->state, o->state_bytes);
    run->streams[index].resume = copy;
    run->sources[index].state = copy;
    run->sources[index].state_size = o->state_bytes;
    run->sources[index].start_frame = start;
    return FM_OK;
}

fm_status fm__run_resume_stream(fm_run *run, size_t index, const fm_stream_opts *o, fm_error *err)
{
    const fm__enhance_spec *spec = &run->streams[index].enhance.spec;
    fm_status st = FM_OK;
    run->sources[index].start_frame = o->start_frame;
    if ((o->state || run->o.checkpoint_every) && (spec->denoise != FM__DENOISE_NONE || spec->has_color)) {
        st = fm__fail(err, FM_INVAL,
            "denoise and color average over time, which no state keeps: leave them out, or the checkpoints");
    } else if (o->state) {
        st = take_state(run, index, o, err);
    }
    if (st != FM_OK) {
        fm__error_prefix(err, "stream '%s'", run->streams[index].name);
    }
    return st;
}
