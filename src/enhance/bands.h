// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** Rows of a picture over threads. */
#ifndef FM_ENHANCE_BANDS_H
#define FM_ENHANCE_BANDS_H

#include <framemill/status.h>

#include <stddef.h>
#include <stdint.h>

/** Threads, and their scratch, which is kept and only ever grows. All fields but `threads` begin as zeros. */
typedef struct fm__bands {
    int threads;
    uint8_t *scratch;
    size_t size;
} fm__bands;

/** Rows y0 to y1 - 1; scratch is the thread's own, 64-byte aligned, with whatever was in it. */
typedef void (*fm__band_fn)(int y0, int y1, void *scratch, void *opaque);

/** Calls fn for bands of `band` rows of a picture of `rows`, on up to b->threads threads, the caller's among
 * them; each band once, in any order. NOMEM when there is no memory for scratch: nothing was called then. */
fm_status fm__bands_run(fm__bands *b, int rows, int band, size_t scratch_bytes, fm__band_fn fn, void *opaque,
    fm_error *err) FM_MUST_USE;
void fm__bands_done(fm__bands *b);

#endif
