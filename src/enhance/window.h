// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** The frames of a video around the one that is cleaned. */
#ifndef FM_ENHANCE_WINDOW_H
#define FM_ENHANCE_WINDOW_H

#include "enhance/steps.h"

typedef struct fm__window_frame {
    fm_frame *frame;  // as it came
    fm_frame *planes; // what is searched: the same, or RGB as YUV
    uint64_t scene;   // frames of one scene may be searched for one another
} fm__window_frame;

/** All zeros to begin with. */
typedef struct fm__window {
    fm__window_frame at[FM__NLM_MAX_FRAMES]; // oldest first
    int count;
    int next;               // the first that did not come out yet
    fm__color_stats newest; // of the last one; to see a cut
} fm__window;

/** Takes a reference. Not for NV12. */
fm_status fm__window_push(
    fm__window *w, fm__step *s, const fm__enhance_spec *spec, fm_frame *in, fm_error *err) FM_MUST_USE;
/** The next frame, cleaned: AGAIN where those after it are not all there, unless the stream has ended; EOF
 * where it has and no frame is left. The frame has left when this failed, too. */
fm_status fm__window_take(fm__window *w, fm__step *s, const fm__enhance_spec *spec, bool has_ended,
    fm_frame **out, fm_error *err) FM_MUST_USE;
void fm__window_clear(fm__window *w);

#endif
