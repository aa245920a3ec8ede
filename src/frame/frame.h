// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** Making frames. A frame's memory belongs to its maker: `release` is called once, from whichever thread
 * drops the last reference. Makers take frame shells from an fm_frame_pool, so that the steady state
 * allocates nothing. */
#ifndef FM_FRAME_FRAME_H
#define FM_FRAME_FRAME_H

#include <framemill/frame.h>

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

typedef struct fm_frame_pool fm_frame_pool;

#define FM_FILE_NAME_MAX 256 // longest on Linux file systems, with its end

struct fm_frame {
    fm_frame_view view;
    int64_t pts_ns;
    int64_t wall_ns;
    uint64_t index;
    char file[FM_FILE_NAME_MAX]; // of a picture: its name without folders; else empty
    size_t bytes;                // pixel memory that the frame keeps alive, for byte-bounded queues
    void *buffer;                // the maker's: an AVFrame, a block of the pool; NULL when there is none
    void (*release)(void *buffer, void *opaque); // may be NULL; gives the pixels back
    void *opaque;
    // set by the pool
    fm_frame_pool *pool; // NULL: the shell stands alone
    fm_frame *next_free;
    atomic_int refs;
};

/** Pool of shells. Freed pools live on until their last frame came back. Thread-safe. */
fm_status fm__frame_pool_new(fm_frame_pool **out, fm_error *err) FM_MUST_USE;
void fm__frame_pool_free(fm_frame_pool **pool);
/** A shell with one reference, all fields zero, pts and wall FM_PTS_NONE; NULL on no memory. */
fm_frame *fm__frame_pool_take(fm_frame_pool *pool) FM_MUST_USE;

/** A frame with pixels of its own (rows padded to 64 bytes; a new block is zero, a used one holds an older
 * picture), for sources and sinks that draw: the
 * planes may be written through fm__frame_plane() while the caller holds the only reference. Pixel blocks are
 * reused by the pool when size and format match. */
fm_status fm__frame_pool_take_pixels(
    fm_frame_pool *pool, fm_pixfmt format, int width, int height, fm_frame **out, fm_error *err) FM_MUST_USE;
/** Writable plane; only for frames from fm__frame_pool_take_pixels that have one reference. */
uint8_t *fm__frame_plane(fm_frame *frame, int plane);

/** Are these pixels that kernels can read? INVAL says what is not right. */
fm_status fm__frame_check_view(const fm_frame_view *view, fm_error *err) FM_MUST_USE;
/** CRC32C of a view's pixels, without what pads their rows. */
uint32_t fm__frame_crc(const fm_frame_view *view);
/** Pixel memory of a view. */
size_t fm__frame_view_bytes(const fm_frame_view *view);
/** Chroma width and height of a plane: ceil(width / 2^shift). For NV12 plane 1, `width` counts UV pairs. */
void fm__pixfmt_plane_size(fm_pixfmt format, int width, int height, int plane, int *w, int *h);
/** Bytes of a packed row of a plane. */
size_t fm__pixfmt_row_bytes(fm_pixfmt format, int width, int plane);
/** One plane of three interleaved colours, in either order. */
bool fm__pixfmt_is_rgb(fm_pixfmt format);
void fm__pixfmt_shift(fm_pixfmt format, int *shift_x, int *shift_y);

#endif
