// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// The spool. Records go to the end of the last segment, one write(2) for as many as fit; a segment that has
// its size is followed by a new one. One cursor reads; what it read is acknowledged by a position in a small
// file, overwritten in place (24 bytes in one page: a kill leaves the old one or the new one; what else
// befalls it shows in its CRC, and then everything that is there is sent again, and Redis drops the repeats).
// A segment behind the position is deleted. The epoch is the wall clock at opening, but never less than one
// more than the last: a folder that was deleted does not bring old identities back.

#include "bus/spool.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/crc32c.h"
#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/str.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SEGMENT_MAX ((int64_t)4 << 20)
#define SEGMENTS 8                      // that max_bytes is cut into, where that makes smaller ones
#define READ_CHUNK ((size_t)256 * 1024) // at a time; more only for a record that is larger
#define FILE_MAX ((size_t)64 << 20)     // of a segment that is opened: what is larger, nobody here wrote
#define ENDING ".spool"

typedef struct segment {
    uint64_t number; // from 1
    int64_t size;
    uint64_t records, read;
} segment;

/** As in the file "position". */
typedef struct position {
    uint64_t segment, offset;
    uint32_t crc, unused;
} position;

struct fm_spool {
    char *dir;
    const fm_log *log;
    int64_t max_bytes, segment_bytes;
    int dir_fd, lock_fd, position_fd, write_fd, read_fd;
    uint64_t epoch, next_number;
    segment *segments; // by number; the last one is written to
    size_t count, cap;
    size_t at;      // segment that the cursor is in
    int64_t offset; // of the cursor in it
    uint8_t *chunk; // scratch: what is read
    size_t chunk_cap;
    fm_spool_stats stats;
};

static void segment_name(uint64_t number, char name[40])
{
    snprintf(name, 40, "%020" PRIu64 ENDING, number);
}

static void close_fd(int *fd)
{
    if (*fd >= 0) {
        close(*fd);
    }
    *fd = -1;
}

static void remove_first(fm_spool *s)
{
    char name[40];
    segment_name(s->segments[0].number, name);
    unlinkat(s->dir_fd, name, 0);
    s->stats.bytes -= s->segments[0].size;
    if (s->at == 0) {
        s->offset = 0;
        close_fd(&s->read_fd);
    } else {
        s->at--;
    }
    s->count--;
    memmove(s->segments, s->segments + 1, s->count * sizeof(*s->segments));
    if (s->count == 0) {
        close_fd(&s->write_fd);
    }
}

static void drop_oldest(fm_spool *s)
{
    const segment *first = &s->segments[0];
    uint64_t lost = first->records - first->read;
    s->stats.unread -= lost;
    s->stats.dropped += lost;
    remove_first(s);
}

static void save_position(fm_spool *s, uint64_t number, int64_t offset)
{
    position p = {.segment = number, .offset = (uint64_t)offset};
    p.crc = fm__crc32c(0, &p, offsetof(position, crc));
    if (pwrite(s->position_fd, &p, sizeof(p), 0) != (ssize_t)sizeof(p)) {
        fm__log(s->log, FM_LOG_DEBUG, "redis", "the spool's position cannot be written: %s", strerror(errno));
    }
}

static position load_position(const fm_spool *s)
{
    position p;
    bool whole = pread(s->position_fd, &p, sizeof(p), 0) == (ssize_t)sizeof(p) &&
                 p.crc == fm__crc32c(0, &p, offsetof(position, crc));
    return whole ? p : (position){0};
}

static fm_status add_segment(fm_spool *s, segment seg, fm_error *err)
{
    if (!fm__grow(FM_TAG_BUS, (void **)&s->segments, &s->cap, s->count + 1, sizeof(*s->segments))) {
        return fm__fail_nomem(err, "a spool");
    }
    s->segments[s->count++] = seg;
    s->stats.bytes += seg.size;
    s->stats.unread += seg.records;
    return FM_OK;
}

// Counts the whole records from `from` on, and the highest epoch of all.
static void count_records(fm_spool *s, const char *data, size_t len, size_t from, segment *seg)
{
    fm_record r;
    size_t used = 0, damaged = 0;
    for (size_t at = 0; at < len; at += used) {
        fm_record_found found = fm__record_next((const uint8_t *)data + at, len - at, &r, &used, &damaged);
        if (found != FM_RECORD_FOUND) {
            break;
        }
        seg->records += at >= from;
        s->epoch = r.epoch > s->epoch ? r.epoch : s->epoch;
    }
}

static fm_status load_segment(fm_spool *s, uint64_t number, const position *p, fm_error *err)
{
    char name[40], *data = NULL;
    size_t len = 0;
    segment_name(number, name);
    s->next_number = number >= s->next_number ? number + 1 : s->next_number;
    if (number < p->segment) {
        unlinkat(s->dir_fd, name, 0);
        return FM_OK;
    }
    char *path = fm__path_join(FM_TAG_BUS, s->dir, name);
    fm_status st =
        path ? fm__file_read(FM_TAG_BUS, path, FILE_MAX, &data, &len, err) : fm__fail_nomem(err, "a path");
    fm__free(path);
    if (st != FM_OK) {
        return st;
    }
    segment seg = {.number = number, .size = (int64_t)len};
    size_t from = number == p->segment && p->offset <= len ? p->offset : 0;
    if (number == p->segment && s->count == 0) {
        s->offset = (int64_t)from;
    }
    count_records(s, data, len, from, &seg);
    fm__free(data);
    return add_segment(s, seg, err);
}

static int only_segments(const struct dirent *d)
{
    return strlen(d->d_name) == 20 + sizeof(ENDING) - 1 && strspn(d->d_name, "0123456789") == 20 &&
           strcmp(d->d_name + 20, ENDING) == 0;
}

static fm_status load_segments(fm_spool *s, fm_error *err)
{
    struct dirent **names = NULL;
    position p = load_position(s);
    int n = scandir(s->dir, &names, only_segments, alphasort);
    fm_status st = n < 0 ? fm__fail_errno(err, errno, "cannot read", s->dir) : FM_OK;
    s->next_number = p.segment + 1;
    for (int i = 0; i < n; i++) {
        uint64_t number = strtoull(names[i]->d_name, NULL, 10);
        if (st == FM_OK && number > 0) {
            st = load_segment(s, number, &p, err);
        }
        free(names[i]);
    }
    free(names);
    return st;
}

static fm_status take_lock(fm_spool *s, fm_error *err)
{
    char *path = fm__path_join(FM_TAG_BUS, s->dir, "lock"), who[24] = "?";
    if (!path) {
        return fm__fail_nomem(err, "a path");
    }
    long holder = 0;
    s->lock_fd = fm__file_lock(path, 0600, &holder);
    int e = errno;
    fm__free(path);
    if (s->lock_fd >= 0) {
        return FM_OK;
    }
    if (e != EWOULDBLOCK) {
        return fm__fail_errno(err, e, "cannot write into folder", s->dir);
    }
    if (holder > 0) {
        snprintf(who, sizeof(who), "%ld", holder);
    }
    return fm__fail(err, FM_BUSY,
        "the spool '%s' is in use by process %s; give this one a producer's name or spool of its own", s->dir,
        who);
}

static fm_status next_epoch(fm_spool *s, fm_error *err)
{
    char *path = fm__path_join(FM_TAG_BUS, s->dir, "epoch"), *text = NULL, line[32];
    if (!path) {
        return fm__fail_nomem(err, "a path");
    }
    if (fm__file_read(FM_TAG_BUS, path, 64, &text, NULL, NULL) == FM_OK) {
        uint64_t last = strtoull(text, NULL, 10);
        s->epoch = last > s->epoch ? last : s->epoch;
        fm__free(text);
    }
    uint64_t now = (uint64_t)(fm__wall_ns() / FM_NS_PER_MS);
    s->epoch = now > s->epoch ? now : s->epoch + 1;
    int n = snprintf(line, sizeof(line), "%" PRIu64 "\n", s->epoch);
    fm_status st = fm__file_replace(path, line, (size_t)n, err);
    fm__free(path);
    return st;
}

static fm_status open_files(fm_spool *s, fm_error *err)
{
    fm_status st = fm__mkdir_all(s->dir, err);
    if (st != FM_OK) {
        return st;
    }
    s->dir_fd = open(s->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (s->dir_fd < 0) {
        return fm__fail_errno(err, errno, "cannot open folder", s->dir);
    }
    st = take_lock(s, err);
    if (st != FM_OK) {
        return st;
    }
    s->position_fd = openat(s->dir_fd, "position", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (s->position_fd < 0) {
        return fm__fail_errno(err, errno, "cannot write into folder", s->dir);
    }
    st = load_segments(s, err);
    return st == FM_OK ? next_epoch(s, err) : st;
}

fm_status fm__spool_open(const fm_spool_opts *o, fm_spool **out, fm_error *err)
{
    fm_spool *s = fm__calloc(FM_TAG_BUS, sizeof(*s));
    if (!s) {
        return fm__fail_nomem(err, "a spool");
    }
    s->dir_fd = s->lock_fd = s->position_fd = s->write_fd = s->read_fd = -1;
    s->log = o->log;
    s->max_bytes = o->max_bytes;
    s->segment_bytes = o->max_bytes / SEGMENTS < SEGMENT_MAX ? o->max_bytes / SEGMENTS : SEGMENT_MAX;
    s->dir = fm__strdup(FM_TAG_BUS, o->dir);
    fm_status st = s->dir ? open_files(s, err) : fm__fail_nomem(err, "a spool");
    if (st != FM_OK) {
        fm__spool_close(&s);
        return st;
    }
    while (s->stats.bytes > s->max_bytes && s->count > 0) { // the bound was lowered
        drop_oldest(s);
    }
    s->stats.peak_bytes = s->stats.bytes;
    *out = s;
    return FM_OK;
}

void fm__spool_close(fm_spool **spool)
{
    fm_spool *s = spool ? *spool : NULL;
    if (!s) {
        return;
    }
    *spool = NULL;
    bool all_read = s->count == 1 && s->offset == s->segments[0].size;
    position p = all_read ? load_position(s) : (position){0};
    if (all_read && p.segment == s->segments[0].number && p.offset == (uint64_t)s->segments[0].size) {
        remove_first(s);
    }
    close_fd(&s->read_fd);
    close_fd(&s->write_fd);
    close_fd(&s->position_fd);
    close_fd(&s->lock_fd);
    close_fd(&s->dir_fd);
    fm__free(s->segments);
    fm__free(s->chunk);
    fm__free(s->dir);
    fm__free(s);
}

uint64_t fm__spool_epoch(const fm_spool *s)
{
    return s->epoch;
}

// A segment to write to: the last one while it has room for `first` bytes, else a new one.
static fm_status have_segment(fm_spool *s, size_t first, fm_error *err)
{
    char name[40];
    bool has_room = s->write_fd >= 0 && s->segments[s->count - 1].size + (int64_t)first <= s->segment_bytes;
    if (has_room) {
        return FM_OK;
    }
    close_fd(&s->write_fd);
    segment_name(s->next_number, name);
    s->write_fd =
        openat(s->dir_fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (s->write_fd < 0) {
        return fm__fail_errno(err, errno, "cannot write", s->dir);
    }
    fm_status st = add_segment(s, (segment){.number = s->next_number}, err);
    if (st != FM_OK) {
        close_fd(&s->write_fd);
        unlinkat(s->dir_fd, name, 0);
        return st;
    }
    s->next_number++;
    return FM_OK;
}

// Bytes of whole records at data that still fit into a segment with `room`, the first one in any case.
static size_t fitting(const uint8_t *data, size_t len, int64_t room, uint64_t *count)
{
    size_t n = 0, used = 0, damaged;
    fm_record r;
    *count = 0;
    while (n < len && fm__record_next(data + n, len - n, &r, &used, &damaged) == FM_RECORD_FOUND &&
           (n == 0 || (int64_t)(n + used) <= room)) {
        n += used;
        ++*count;
    }
    return n;
}

static fm_status write_run(fm_spool *s, const uint8_t *data, size_t len, uint64_t count, fm_error *err)
{
    segment *seg = &s->segments[s->count - 1];
    fm_status st = fm__fd_write_all(s->write_fd, data, len, s->dir, err);
    if (st != FM_OK) {
        (void)!ftruncate(s->write_fd, seg->size); // else a reader skips the half record
        return st;
    }
    seg->size += (int64_t)len;
    seg->records += count;
    s->stats.unread += count;
    s->stats.bytes += (int64_t)len;
    return FM_OK;
}

fm_status fm__spool_append(fm_spool *s, const uint8_t *records, size_t len, size_t *taken, fm_error *err)
{
    *taken = 0;
    while (*taken < len) {
        uint64_t count;
        const uint8_t *at = records + *taken;
        size_t first = fitting(at, len - *taken, 0, &count);
        fm_status st = first ? have_segment(s, first, err) : fm__fail(err, FM_INTERNAL, "not a record");
        if (st != FM_OK) {
            return st;
        }
        size_t run = fitting(at, len - *taken, s->segment_bytes - s->segments[s->count - 1].size, &count);
        while (s->stats.bytes + (int64_t)run > s->max_bytes && s->count > 1) {
            drop_oldest(s);
        }
        st = write_run(s, at, run, count, err);
        if (st != FM_OK) {
            return st;
        }
        *taken += run;
        s->stats.peak_bytes = s->stats.bytes > s->stats.peak_bytes ? s->stats.bytes : s->stats.peak_bytes;
    }
    return FM_OK;
}

bool fm__spool_batch_add(fm_spool_batch *b, const uint8_t *record, size_t size)
{
    if (!fm__grow(FM_TAG_BUS, (void **)&b->data, &b->cap, b->len + size, 1) ||
        !fm__grow(FM_TAG_BUS, (void **)&b->records, &b->record_cap, b->count + 1, sizeof(*b->records))) {
        return false;
    }
    memcpy(b->data + b->len, record, size);
    b->len += size;
    b->count++;
    return true;
}

void fm__spool_batch_seal(fm_spool_batch *b)
{
    size_t used = 0, damaged;
    for (size_t i = 0, at = 0; i < b->count; i++, at += used) {
        (void)fm__record_next(
            b->data + at, b->len - at, &b->records[i], &used, &damaged); // checked when added
    }
}

void fm__spool_batch_reset(fm_spool_batch *b)
{
    b->segment = 0;
    b->len = b->count = 0;
}

void fm__spool_batch_done(fm_spool_batch *b)
{
    fm__free(b->data);
    fm__free(b->records);
    *b = (fm_spool_batch){0};
}

static fm_status open_reader(fm_spool *s, fm_error *err)
{
    char name[40];
    if (s->read_fd >= 0) {
        return FM_OK;
    }
    segment_name(s->segments[s->at].number, name);
    s->read_fd = openat(s->dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    return s->read_fd >= 0 ? FM_OK : fm__fail_errno(err, errno, "cannot read", s->dir);
}

// Bytes from the cursor on into the chunk.
static fm_status fill_chunk(fm_spool *s, size_t want, size_t *len, fm_error *err)
{
    fm_status st = open_reader(s, err);
    if (st != FM_OK) {
        return st;
    }
    if (!fm__grow(FM_TAG_BUS, (void **)&s->chunk, &s->chunk_cap, want, 1)) {
        return fm__fail_nomem(err, "a spool");
    }
    int64_t there = s->segments[s->at].size - s->offset;
    want = (int64_t)want < there ? want : (size_t)there;
    ssize_t n = fm__fd_read_at(s->read_fd, s->chunk, want, s->offset);
    if (n != (ssize_t)want) {
        return fm__fail_errno(err, n < 0 ? errno : EIO, "cannot read", s->dir);
    }
    *len = want;
    return FM_OK;
}

// Takes what the chunk holds; false when the batch is full or of another epoch.
static bool take_records(
    fm_spool *s, size_t len, size_t max_count, size_t max_bytes, fm_spool_batch *b, bool *more)
{
    size_t at = 0, used = 0, damaged = 0;
    fm_record r;
    *more = false;
    for (;;) {
        fm_record_found found = fm__record_next(s->chunk + at, len - at, &r, &used, &damaged);
        bool last = s->offset + (int64_t)(len - at) == s->segments[s->at].size;
        if (found != FM_RECORD_FOUND) {
            *more = found == FM_RECORD_MORE && !last;
            used = found == FM_RECORD_MORE && last ? len - at : used; // what never became whole
            s->stats.damaged_bytes += used;
            s->offset += (int64_t)used;
            return true;
        }
        size_t size = used - damaged;
        bool fits = b->count == 0 ||
                    (b->count < max_count && b->len + size <= max_bytes && r.epoch == b->records[0].epoch);
        if (!fits || !fm__spool_batch_add(b, s->chunk + at + damaged, size)) {
            return false;
        }
        b->records[b->count - 1].epoch = r.epoch; // the first one's is compared above
        s->stats.damaged_bytes += damaged;
        s->stats.unread -= s->stats.unread > 0;
        s->segments[s->at].read++;
        s->offset += (int64_t)used;
        at += used;
    }
}

// The cursor stands at the end of a segment that is followed by another one.
static void next_segment(fm_spool *s)
{
    s->at++;
    s->offset = 0;
    close_fd(&s->read_fd);
}

fm_status fm__spool_read(fm_spool *s, size_t max_count, size_t max_bytes, fm_spool_batch *b, fm_error *err)
{
    size_t want = READ_CHUNK;
    fm__spool_batch_reset(b);
    while (s->at < s->count) {
        segment *seg = &s->segments[s->at];
        if (s->offset >= seg->size) {
            if (b->count > 0 || s->at + 1 == s->count) {
                break;
            }
            next_segment(s);
            continue;
        }
        size_t len = 0;
        bool more = false;
        fm_status st = fill_chunk(s, want, &len, err);
        if (st != FM_OK) {
            return st;
        }
        if (!take_records(s, len, max_count, max_bytes, b, &more)) {
            if (b->count == 0) {
                return fm__fail_nomem(err, "a batch");
            }
            break;
        }
        want = more ? want * 2 : READ_CHUNK;
        if (more && b->count > 0) {
            break;
        }
    }
    if (b->count > 0) {
        b->segment = s->segments[s->at].number;
        b->end = s->offset;
        fm__spool_batch_seal(b);
    }
    return FM_OK;
}

void fm__spool_ack(fm_spool *s, const fm_spool_batch *b)
{
    if (b->segment == 0) {
        return;
    }
    while (s->count > 0 && s->segments[0].number < b->segment) {
        remove_first(s);
    }
    if (s->count > 0 && s->segments[0].number == b->segment) {
        save_position(s, b->segment, b->end);
    }
}

void fm__spool_stats(const fm_spool *s, fm_spool_stats *out)
{
    *out = s->stats;
}
