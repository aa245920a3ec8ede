// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** The sink interface: where results leave. pipeline declares it, sinks/ implements it, app puts the pieces
 * together.
 *
 *  One sink object serves one stream: its calls come in frame order, never two at once. A sink that fails
 * ends itself: the pipeline reports its error for that stream and calls it no more, except close. */
#ifndef FM_PIPELINE_SINK_H
#define FM_PIPELINE_SINK_H

#include <framemill/frame.h>
#include <framemill/result.h>
#include <framemill/status.h>

#include <stdbool.h>

typedef struct fm_sink fm_sink;

typedef struct fm_sink_class {
    const char *name;
    bool wants_pixels; // frames are kept until the sink saw them
    /** One frame's result; frame is NULL unless wants_pixels. Both borrowed. */
    fm_status (*write)(fm_sink *sink, const fm_result *result, const fm_frame *frame, fm_error *err);
    /** Flushes and frees, whatever happened before; the error is the close's own. */
    fm_status (*close)(fm_sink *sink, fm_error *err);
} fm_sink_class;

/** Every sink starts with this. */
struct fm_sink {
    const fm_sink_class *cls;
};

#endif
