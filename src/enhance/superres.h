// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** Super-resolution: a picture of any size through a network of a fixed one, in tiles.
 *
 *  Tiles overlap by the network's context (see head `pixels`), and only what lies further inside than that is
 * taken, so that a picture comes out as if it had gone through in one piece. Around the picture stands its
 * mirror image. Memory is that of the tiles in flight, whatever the picture's size. */
#ifndef FM_ENHANCE_SUPERRES_H
#define FM_ENHANCE_SUPERRES_H

#include "heads/head.h"
#include "infer/infer.h"

/** A network that enlarges; who loads models fills it in. Both are borrowed. Any number of enhancers may
 * share one. */
typedef struct fm__upscaler {
    fm_net *net;
    const fm_head *head; // of task enhancement
} fm__upscaler;

typedef struct fm__superres fm__superres;

/** Makes the requests. INVAL where network and head do not fit together, or the context leaves nothing of a
 * tile. */
fm_status fm__superres_new(const fm__upscaler *up, fm__superres **out, fm_error *err) FM_MUST_USE;
void fm__superres_free(fm__superres **s);
int fm__superres_scale(const fm__superres *s);
int fm__superres_channels(const fm__superres *s); // 1: luma, 3: RGB

/** src [height][src_stride], the head's channels beside one another, into head->scale times its size. As many
 * tiles are in flight as the network has slots. For one thread at a time. */
fm_status fm__superres_run(fm__superres *s, const uint8_t *src, ptrdiff_t src_stride, int width, int height,
    uint8_t *dst, ptrdiff_t dst_stride, fm_error *err) FM_MUST_USE;

#endif
