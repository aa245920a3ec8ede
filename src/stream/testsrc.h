// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** The test source: moving shapes on a textured background, a pure function of (options, frame number), so
 * that the truth is known.
 *
 *  testsrc:WxH@FPS[,frames=N][,shapes=K][,seed=S][,format=yuv420p|nv12|rgb24][,noise=N]: K opaque rectangles
 * in the saturated colours of their class (0 red, 1 green, 2 blue, 3 yellow, 4 magenta, 5 cyan) on a grey
 * background move on straight lines and bounce at the borders. Rectangles never overlap: each moves in a cell
 * of its own. */
#ifndef FM_STREAM_TESTSRC_H
#define FM_STREAM_TESTSRC_H

#include <framemill/frame.h>
#include <framemill/result.h>
#include <framemill/status.h>

typedef struct fm_testsrc {
    int width, height;
    double fps;
    uint64_t frames; // 0: endless
    int shapes;      // 0..64, default 6; 0: nothing moves
    uint32_t seed;   // default 1
    fm_pixfmt format;
    int noise; // amplitude of deterministic luma noise on the background, 0..32, default 4
} fm_testsrc;

fm_status fm__testsrc_parse(const char *url, fm_testsrc *out, fm_error *err) FM_MUST_USE;
/** Ground truth of frame `index`: shapes boxes (whole pixels), class_id = i % 6, score 1, track_id = i + 1.
 * dets has room for 64. */
size_t fm__testsrc_truth(const fm_testsrc *src, uint64_t index, fm_det *dets);

#endif
