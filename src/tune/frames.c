// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Frames for trials: decoded once and kept, so that decoding takes no part in what is measured.

#include "tune/trial.h"

#include "base/alloc.h"
#include "base/error.h"
#include "stream/stream.h"

static const size_t MOST_BYTES = (size_t)256 << 20;
static const int64_t DEFAULT_MAX_PIXELS = INT64_C(134217728);

static fm_status read_some(
    fm__tune_frames *f, const fm__tune_frames_opts *o, const char *url, size_t upto, fm_error *err)
{
    fm_source_opts so = {.url = url,
        .decoder_threads = 1,
        .timeout_ns = INT64_C(10000000000),
        .max_pixels = o->max_pixels > 0 ? o->max_pixels : DEFAULT_MAX_PIXELS,
        .log = o->log};
    fm_stream *s = NULL;
    fm_status st = fm__stream_open(&so, &s, err);
    while (st == FM_OK && f->count < upto && f->bytes < MOST_BYTES) {
        fm_frame *frame = NULL;
        st = fm__stream_read(s, &frame, err);
        if (st == FM_OK) {
            f->bytes += frame->bytes;
            f->frames[f->count++] = frame;
        }
    }
    fm__stream_close(&s);
    return st == FM_EOF ? FM_OK : st;
}

fm_status fm__tune_frames_load(const fm__tune_frames_opts *o, fm__tune_frames *out, fm_error *err)
{
    fm__tune_frames f = {.frames = fm__calloc_array(FM_TAG_TUNE, (size_t)o->most, sizeof(*f.frames))};
    fm_status st = f.frames ? FM_OK : fm__fail_nomem(err, "frames");
    for (size_t i = 0; st == FM_OK && i < o->input_count; i++) {
        size_t upto = (size_t)o->most * (i + 1) / o->input_count;
        st = read_some(&f, o, o->inputs[i], upto, err);
        if (st != FM_OK) {
            fm__error_prefix(err, "input '%s'", o->inputs[i]);
        }
    }
    if (st == FM_OK && f.count == 0) {
        st = fm__fail(err, FM_INVAL, "no frames: '%s' has none; give an input with at least one",
            o->input_count ? o->inputs[0] : "");
    }
    if (st != FM_OK) {
        fm__tune_frames_done(&f);
        return st;
    }
    *out = f;
    return FM_OK;
}

void fm__tune_frames_done(fm__tune_frames *f)
{
    for (size_t i = 0; i < f->count; i++) {
        fm_frame_unref(&f->frames[i]);
    }
    fm__free(f->frames);
    *f = (fm__tune_frames){0};
}
