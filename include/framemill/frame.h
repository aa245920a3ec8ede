// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** Frames: one picture of a stream, reference counted and immutable.
 *
 *  A frame is a light handle: plane pointers into memory that its maker owns (a decoder's buffer, a pool),
 * format, colour, time, place in its stream. It is shared by reference and never copied; who wants to write
 * asks for a copy of its own. Rows hold `stride` bytes; nothing may be read outside a row's pixels or outside
 * the planes' rows. */
#ifndef FRAMEMILL_FRAME_H
#define FRAMEMILL_FRAME_H

#include <framemill/api.h>
#include <framemill/status.h>
#include <stddef.h>
#include <stdint.h>

FM_BEGIN_DECLS

/** Pixel formats that kernels read. All 8 bit. X(NAME, "name", planes, chroma shift x, chroma shift y) */
#define FM_PIXFMT_LIST(X)                                                                                    \
    X(GRAY8, "gray8", 1, 0, 0)     /* Y */                                                                   \
    X(YUV420P, "yuv420p", 3, 1, 1) /* Y, U, V */                                                             \
    X(YUV422P, "yuv422p", 3, 1, 0) /* Y, U, V */                                                             \
    X(YUV444P, "yuv444p", 3, 0, 0) /* Y, U, V */                                                             \
    X(NV12, "nv12", 2, 1, 1)       /* Y, interleaved UV */                                                   \
    X(RGB24, "rgb24", 1, 0, 0)     /* interleaved R, G, B */                                                 \
    X(BGR24, "bgr24", 1, 0, 0)     /* interleaved B, G, R: frames of the caller's own, no decoder's */

typedef enum fm_pixfmt {
    FM_PIXFMT_NONE = 0,
#define FM_PIXFMT_ENUM(name, text, planes, sx, sy) FM_PIXFMT_##name,
    FM_PIXFMT_LIST(FM_PIXFMT_ENUM)
#undef FM_PIXFMT_ENUM
        FM_PIXFMT_COUNT
} fm_pixfmt;

typedef enum fm_matrix { // YUV to RGB matrix
    FM_MATRIX_BT601 = 0,
    FM_MATRIX_BT709 = 1,
} fm_matrix;

typedef enum fm_range { // of YUV samples: 16..235/240 or 0..255
    FM_RANGE_LIMITED = 0,
    FM_RANGE_FULL = 1,
} fm_range;

typedef enum fm_chroma_site { // where a subsampled chroma sample sits, horizontally
    FM_CHROMA_LEFT = 0,       // on the left luma sample (MPEG-2, H.264 default)
    FM_CHROMA_CENTER = 1,     // between the two luma samples (JPEG, MPEG-1)
    FM_CHROMA_REPEAT = 2,     // nowhere: it holds for its whole block of pixels, as in most converters to RGB
} fm_chroma_site;

#define FM_MAX_PLANES 3
#define FM_PTS_NONE INT64_MIN

typedef struct fm_frame fm_frame;

/** What a frame looks like; plain data, borrowed from the frame that it was asked of. */
typedef struct fm_frame_view {
    const uint8_t *plane[FM_MAX_PLANES];
    int stride[FM_MAX_PLANES]; // bytes; may be negative
    int width, height;         // luma pixels
    fm_pixfmt format;
    fm_matrix matrix;
    fm_range range;
    fm_chroma_site chroma_site;
} fm_frame_view;

/** A frame over pixels of the caller's own, which are not copied and must stay as they are until `release`
 * was called, once, from whichever thread drops the last reference.
 *  @param view  sides 1..16384; rows of |stride| bytes at least as long as their pixels
 *  @param pts_ns  from the start of the stream, or FM_PTS_NONE
 *  @param release  may be NULL: the pixels outlive the frame in any case
 *  @return INVAL says what of view is not right; then release is not called. */
FM_API fm_status fm_frame_new(const fm_frame_view *view, int64_t pts_ns, void (*release)(void *opaque),
    void *opaque, fm_frame **out, fm_error *err) FM_MUST_USE;
/** One more reference; never fails, returns its argument. */
FM_API fm_frame *fm_frame_ref(fm_frame *frame);
/** Gives a reference back and sets *frame NULL; accepts NULL and a pointer to NULL. Any thread. */
FM_API void fm_frame_unref(fm_frame **frame);

/** Pixels and format; valid while a reference is held. */
FM_API const fm_frame_view *fm_frame_get_view(const fm_frame *frame);
/** Presentation time from the start of the stream, in nanoseconds; FM_PTS_NONE only before mending. */
FM_API int64_t fm_frame_pts_ns(const fm_frame *frame);
/** Wall-clock time of the frame in nanoseconds since 1970 (UTC), or FM_PTS_NONE where it is not known. */
FM_API int64_t fm_frame_wall_ns(const fm_frame *frame);
/** The pixels as RGB24 or BGR24, rows without padding.
 *  @param dst  [height][width][3], `size` bytes at least; INVAL where that is too small */
FM_API fm_status fm_frame_read(
    const fm_frame *frame, fm_pixfmt format, uint8_t *dst, size_t size, fm_error *err) FM_MUST_USE;
/** Number of the frame in its stream, from 0. */
FM_API uint64_t fm_frame_index(const fm_frame *frame);

/** Name of a format ("yuv420p"); "none" for values out of range. Number of planes; chroma shifts. */
FM_API const char *fm_pixfmt_name(fm_pixfmt format);
FM_API int fm_pixfmt_planes(fm_pixfmt format);

FM_END_DECLS

#endif
