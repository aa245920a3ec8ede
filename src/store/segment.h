// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** Segment files: pictures of one stream, one behind the other, only ever appended to. A file begins with a
 * head that names its stream, and each picture with one that says what it shows, so that pictures can be
 * found again without the database (fm_store_rebuild). All numbers little-endian. */
#ifndef FM_STORE_SEGMENT_H
#define FM_STORE_SEGMENT_H

#include "store/io.h"

#include <framemill/status.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FM_SEGMENT_HEAD 160   // bytes before the first picture
#define FM_SEGMENT_PICTURE 64 // bytes before each

typedef struct fm_segment_head {
    char magic[8]; // "FMSEGMT1"
    int64_t segment_id, stream_id, created_ns;
    char name[124];  // of the stream, NUL-terminated
    uint32_t crc32c; // of the above
} fm_segment_head;

typedef struct fm_picture_head {
    char magic[4]; // "FMPC"
    uint32_t kind; // fm_picture_kind
    int64_t run_id;
    int64_t number;  // of the frame, or of the track
    int64_t time_ns; // since 1970
    int64_t pts_ns;
    uint32_t width, height, length; // of the JPEG that follows
    uint32_t crc32c;                // of the JPEG
    uint32_t reserved;
    uint32_t head_crc32c; // of the above
} fm_picture_head;

typedef enum fm_picture_kind { FM_PICTURE_FRAME = 1, FM_PICTURE_VIEW = 2 } fm_picture_kind;

/** One that is written. */
typedef struct fm_segment {
    int64_t id, stream_id, created_ns; // monotonic clock, for its age
    int fd;
    int64_t size;      // with what is not committed
    int64_t committed; // 0: made in this transaction
    int64_t last_frame;
    bool dirty; // since the last commit
} fm_segment;

/** DIR/segments/NNNNNNNN.seg; buf holds 32 bytes more than dir. Free with fm__free. */
char *fm__segment_path(const char *dir, int64_t id);
/** Makes the file, which must be new, with its head. */
fm_status fm__segment_create(const fm_store_io *io, const char *dir, int64_t id, int64_t stream_id,
    const char *name, fm_segment *out, fm_error *err) FM_MUST_USE;
/** Appends a picture. @param head  all but magic, length and sums filled in. On failure the file is cut back.
 *  @param offset  of the JPEG itself */
fm_status fm__segment_append(const fm_store_io *io, const char *dir, fm_segment *s, fm_picture_head *head,
    const void *jpeg, size_t bytes, int64_t *offset, fm_error *err) FM_MUST_USE;
/** Back to what was committed; a file of this transaction goes. */
void fm__segment_undo(const fm_store_io *io, const char *dir, fm_segment *s);

/** Opens one to read: nobody deletes it while it is open. NOTFOUND. */
fm_status fm__segment_open(const char *dir, int64_t id, int *fd, fm_error *err) FM_MUST_USE;
/** length bytes at offset, and their sum; FORMAT when either is not there. Free with fm__free. */
fm_status fm__segment_read(int fd, int64_t id, int64_t offset, int64_t length, uint32_t crc32c, void **out,
    fm_error *err) FM_MUST_USE;
/** Head of a file; FORMAT when it is not one. */
fm_status fm__segment_read_head(int fd, const char *name, fm_segment_head *out, fm_error *err) FM_MUST_USE;
/** Writes a head anew, its magic and sum with it. */
fm_status fm__segment_write_head(const char *path, fm_segment_head *head, fm_error *err) FM_MUST_USE;
/** Head of a picture at an offset; EOF at the end, FORMAT when there is none. */
fm_status fm__picture_read_head(int fd, int64_t at, fm_picture_head *out, fm_error *err) FM_MUST_USE;

#endif
