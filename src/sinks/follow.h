// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** What a stream's tracks do, as its results tell it: which one begins, how well it has been seen, when it
 * has ended. One owner thread. */
#ifndef FM_SINKS_FOLLOW_H
#define FM_SINKS_FOLLOW_H

#include <framemill/result.h>
#include <framemill/status.h>

#include <stdbool.h>

/** A track that lives; users put it at the start of a struct of their own. */
typedef struct fm_followed {
    int64_t track;
    uint64_t first, seen; // frames in which it was seen first and last
    uint64_t count;       // frames in which it was seen
} fm_followed;

typedef struct fm_follow {
    void *items; // [count] of item_size bytes each
    size_t count, cap, item_size;
    int gone; // frames unseen after which a track has ended
} fm_follow;

/** gone 0: 30. */
void fm__follow_init(fm_follow *f, size_t item_size, int gone);
void fm__follow_done(fm_follow *f);
/** A tracked detection of a frame; *out: its track, valid until the next call; *begins: it is a new one, zero
 * but for what is above. */
fm_status fm__follow_see(fm_follow *f, uint64_t frame, const fm_det *det, fm_followed **out, bool *begins,
    fm_error *err) FM_MUST_USE;
/** Takes one out that has ended by this frame; with `all` any one. False: there is none. */
bool fm__follow_take_ended(fm_follow *f, uint64_t frame, bool all, void *out);
/** How well an object is to be seen: large, sure, whole. */
float fm__view_quality(const fm_result *result, const fm_det *det);

#endif
