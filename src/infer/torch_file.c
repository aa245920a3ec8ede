// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Looks at a .pt file. TorchScript and what torch.save writes are both ZIP archives of stored records; the
// former has code and constants.pkl, the latter only data.pkl, and older checkpoints are bare pickles. All
// but the first would run Python's unpickler, so they are refused here with the command that turns them into
// TorchScript. libtorch is built without the check of its records' CRC-32, and a flipped bit then ends in
// wrong weights or worse; so the sums are checked here (APPNOTE.TXT, PKWARE, 6.3: end of central directory
// 4.3.16, central header 4.3.12, local header 4.3.7). Archives of 4 GiB and more (ZIP64) are left to
// libtorch.

#include "infer/torch_file.h"

#include "base/alloc.h"
#include "base/error.h"
#include "base/file.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define END_SIZE 22
#define CENTRAL_SIZE 46
#define LOCAL_SIZE 30
#define COMMENT_MAX 65535
#define DIRECTORY_MAX (64U << 20)
#define CHUNK 65536
#define ZIP64 UINT32_MAX

typedef struct archive {
    const char *path;
    FILE *f;
    uint64_t size;
    uint8_t *directory; // owned
    size_t directory_len;
    uint32_t crc_table[256];
    bool has_code, has_constants, has_pickle, is_zip64;
} archive;

typedef struct record {
    const uint8_t *name;
    size_t name_len;
    uint32_t crc, size, packed_size, offset;
    unsigned method;
} record;

static unsigned u16(const uint8_t *p)
{
    return (unsigned)p[0] | (unsigned)p[1] << 8;
}

static uint32_t u32(const uint8_t *p)
{
    return (uint32_t)u16(p) | (uint32_t)u16(p + 2) << 16;
}

static void fill_crc_table(uint32_t table[256])
{
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t c = i;
        for (int k = 0; k < 8; k++) {
            c = c & 1 ? UINT32_C(0xedb88320) ^ c >> 1 : c >> 1;
        }
        table[i] = c;
    }
}

static fm_status damaged(const archive *a, const char *what, fm_error *err)
{
    return fm__fail(err, FM_FORMAT, "'%s' is a damaged TorchScript file: %s", a->path, what);
}

static fm_status read_at(const archive *a, uint64_t offset, void *buf, size_t len, fm_error *err)
{
    if (offset > a->size || len > a->size - offset) {
        return damaged(a, "it ends too early", err);
    }
    if (fseeko(a->f, (off_t)offset, SEEK_SET) != 0 || fread(buf, 1, len, a->f) != len) {
        return fm__fail_errno(err, errno ? errno : EIO, "cannot read", a->path);
    }
    return FM_OK;
}

// The end record is the last thing but for a comment; its place in `tail`, or NULL.
static const uint8_t *find_end(const uint8_t *tail, size_t len)
{
    for (size_t at = len >= END_SIZE ? len - END_SIZE + 1 : 0; at-- > 0;) {
        if (memcmp(tail + at, "PK\5\6", 4) == 0 && at + END_SIZE + u16(tail + at + 20) == len) {
            return tail + at;
        }
    }
    return NULL;
}

static fm_status read_directory(archive *a, fm_error *err)
{
    size_t len = a->size < END_SIZE + COMMENT_MAX ? (size_t)a->size : END_SIZE + COMMENT_MAX;
    uint8_t *tail = fm__calloc(FM_TAG_INFER, len);
    if (!tail) {
        return fm__fail_nomem(err, "a directory");
    }
    fm_status st = read_at(a, a->size - len, tail, len, err);
    const uint8_t *end = st == FM_OK ? find_end(tail, len) : NULL;
    uint32_t size = end ? u32(end + 12) : 0, offset = end ? u32(end + 16) : 0;
    a->is_zip64 = end && (offset == ZIP64 || size == ZIP64 || u16(end + 10) == UINT16_MAX);
    if (st == FM_OK && !end) {
        st = damaged(a, "it is cut short", err);
    } else if (st == FM_OK && !a->is_zip64 && (size < CENTRAL_SIZE || size > DIRECTORY_MAX)) {
        st = damaged(a, "its directory has an impossible size", err);
    }
    fm__free(tail);
    if (st != FM_OK || a->is_zip64) {
        return st;
    }
    a->directory = fm__calloc(FM_TAG_INFER, size);
    a->directory_len = size;
    return a->directory ? read_at(a, offset, a->directory, size, err) : fm__fail_nomem(err, "a directory");
}

static bool next_record(const archive *a, size_t *at, record *out)
{
    const uint8_t *p = a->directory + *at;
    size_t left = a->directory_len - *at;
    if (left < CENTRAL_SIZE || memcmp(p, "PK\1\2", 4) != 0) {
        return false;
    }
    size_t whole = CENTRAL_SIZE + (size_t)u16(p + 28) + u16(p + 30) + u16(p + 32);
    if (whole > left) {
        return false;
    }
    *out = (record){.name = p + CENTRAL_SIZE,
        .name_len = u16(p + 28),
        .method = u16(p + 10),
        .crc = u32(p + 16),
        .packed_size = u32(p + 20),
        .size = u32(p + 24),
        .offset = u32(p + 42)};
    *at += whole;
    return true;
}

// Archives hold one folder; a record is named after what follows it.
static bool is_named(const record *r, const char *name, bool is_folder)
{
    const uint8_t *slash = memchr(r->name, '/', r->name_len);
    size_t skip = slash ? (size_t)(slash - r->name) + 1 : r->name_len, n = strlen(name);
    size_t len = r->name_len - skip;
    return (is_folder ? len > n : len == n) && memcmp(r->name + skip, name, n) == 0;
}

static fm_status check_sum(const archive *a, const record *r, fm_error *err)
{
    uint8_t local[LOCAL_SIZE], chunk[CHUNK];
    fm_status st = read_at(a, r->offset, local, sizeof(local), err);
    if (st == FM_OK && memcmp(local, "PK\3\4", 4) != 0) {
        st = damaged(a, "a record is not where the directory says", err);
    }
    if (st != FM_OK) {
        return st;
    }
    uint64_t at = (uint64_t)r->offset + LOCAL_SIZE + u16(local + 26) + u16(local + 28);
    uint32_t crc = UINT32_MAX;
    for (uint32_t left = r->size; st == FM_OK && left > 0;) {
        size_t n = left < sizeof(chunk) ? left : sizeof(chunk);
        st = read_at(a, at, chunk, n, err);
        for (size_t i = 0; st == FM_OK && i < n; i++) {
            crc = a->crc_table[(crc ^ chunk[i]) & 255] ^ crc >> 8;
        }
        at += n;
        left -= (uint32_t)n;
    }
    if (st == FM_OK && (crc ^ UINT32_MAX) != r->crc) {
        st = damaged(a, "a record's check sum is wrong", err);
    }
    return st;
}

static fm_status check_records(archive *a, fm_error *err)
{
    fm_status st = FM_OK;
    record r;
    uint64_t sum = 0;
    for (size_t at = 0; st == FM_OK && at < a->directory_len;) {
        if (!next_record(a, &at, &r)) {
            return damaged(a, "its directory is broken", err);
        }
        a->has_code = a->has_code || is_named(&r, "code/", true);
        a->has_constants = a->has_constants || is_named(&r, "constants.pkl", false);
        a->has_pickle = a->has_pickle || is_named(&r, "data.pkl", false);
        sum += r.packed_size;
        if (r.method == 0 && r.size != r.packed_size) {
            st = damaged(a, "a record has two sizes", err);
        } else if (r.size != ZIP64 &&
                   sum > a->size) { // or a small file could keep the loop below busy for long
            st = damaged(a, "its records overlap", err);
        } else if (r.method == 0 && r.offset != ZIP64 && r.size != ZIP64) {
            st = check_sum(a, &r, err);
        }
    }
    return st;
}

static fm_status not_torchscript(const char *path, bool is_pickle, fm_error *err)
{
    if (is_pickle) {
        return fm__fail(err, FM_UNSUPPORTED,
            "'%s' is a Python pickle, not TorchScript; turn it into TorchScript with: framemill-export "
            "checkpoint --format torchscript %s",
            path, path);
    }
    return fm__fail(err, FM_FORMAT, "'%s' is not a TorchScript file", path);
}

static fm_status check(archive *a, fm_error *err)
{
    uint8_t head[4] = {0};
    size_t n = fread(head, 1, sizeof(head), a->f);
    if (n < sizeof(head) || memcmp(head, "PK\3\4", 4) != 0) {
        // protocol 2 and newer; torch.save before 1.6 wrote such files
        return not_torchscript(a->path, n >= 2 && head[0] == 0x80 && head[1] >= 2 && head[1] <= 5, err);
    }
    fm_status st = read_directory(a, err);
    if (st == FM_OK && !a->is_zip64) {
        fill_crc_table(a->crc_table);
        st = check_records(a, err);
    }
    if (st == FM_OK && !a->is_zip64 && !(a->has_code && a->has_constants)) {
        st = not_torchscript(a->path, a->has_pickle, err);
    }
    return st;
}

fm_status fm__torch_file_check(const char *path, fm_error *err)
{
    int64_t size = path ? fm__file_size(path) : -1;
    if (size < 0 || !fm__is_file(path)) {
        return fm__fail(err, FM_NOTFOUND, "model file '%s' is not there", path ? path : "");
    }
    archive *a = fm__calloc(FM_TAG_INFER, sizeof(*a));
    if (!a) {
        return fm__fail_nomem(err, "a look at a model file");
    }
    *a = (archive){.path = path, .size = (uint64_t)size, .f = fopen(path, "rbe")};
    fm_status st = a->f ? check(a, err) : fm__fail_errno(err, errno, "cannot open", path);
    if (a->f) {
        fclose(a->f);
    }
    fm__free(a->directory);
    fm__free(a);
    return st;
}
