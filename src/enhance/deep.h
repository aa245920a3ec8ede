// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** The steps of enhance.h for pictures of 16 bits a sample. */
#ifndef FM_ENHANCE_DEEP_H
#define FM_ENHANCE_DEEP_H

#include "enhance/enhance.h"
#include "frame/deep.h"

/** A new picture; `in` stays the caller's and is not written. A colour table needs RGB. opts as of an
 * enhancer, its scale resolved; sizes are the caller's to check (fm__enhancer_check). */
fm_status fm__enhance_deep(const fm__enhance_opts *opts, fm__deep *in, fm_frame_pool *pool, fm__deep **out,
    fm_error *err) FM_MUST_USE;

#endif
