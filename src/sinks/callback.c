// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Results handed to a function of the program that embeds framemill.

#include "base/alloc.h"
#include "base/error.h"
#include "sinks/sinks.h"

typedef struct callback {
    fm_sink sink;
    fm_result_fn fn;
    void *opaque;
} callback;

static fm_status callback_write(fm_sink *sink, const fm_result *result, const fm_frame *frame, fm_error *err)
{
    callback *s = (callback *)sink;
    (void)err;
    fm_result with = *result;
    with.picture = frame;
    s->fn(&with, s->opaque);
    return FM_OK;
}

static fm_status callback_close(fm_sink *sink, fm_error *err)
{
    (void)err;
    fm__free(sink);
    return FM_OK;
}

static const fm_sink_class callback_class = {
    .name = "callback",
    .write = callback_write,
    .close = callback_close,
};

static const fm_sink_class picture_class = {
    .name = "callback",
    .wants_pixels = true,
    .write = callback_write,
    .close = callback_close,
};

fm_status fm__sink_callback(fm_result_fn fn, void *opaque, bool pictures, fm_sink **out, fm_error *err)
{
    callback *s = fm__calloc(FM_TAG_SINKS, sizeof *s);
    if (!s)
        return fm__fail_nomem(err, "a callback sink");
    *s = (callback){.sink.cls = pictures ? &picture_class : &callback_class, .fn = fn, .opaque = opaque};
    *out = &s->sink;
    return FM_OK;
}
