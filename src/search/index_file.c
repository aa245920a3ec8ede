// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Files of an index. PATH: two header slots of a page, then blocks, all of one size. A save writes the blocks
// that changed, syncs, and only then writes a header into the slot of the older one and syncs again; the
// newest header that is whole counts. So blocks behind the header's count do not matter, and the one thing a
// crash can tear is the last block where it was not full: its checksum tells, and it is dropped. PATH.dead:
// the ids buried, replaced as a whole. Everything is little-endian. A file that another process shortens
// while it is mapped is beyond what can be caught here (SIGBUS).

#include "search/index_private.h"

#include "base/alloc.h"
#include "base/crc32c.h"
#include "base/error.h"
#include "base/file.h"
#include "base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SLOT = 4096, BLOCKS_AT = 2 * SLOT, VERSION = 1 };
#define DEAD_MAX ((size_t)1 << 30)

static const char MAGIC[8] = "FMINDEX";
static const char DEAD_MAGIC[8] = "FMDEAD1";

typedef struct header {
    char magic[8];
    uint32_t version, dim, metric, slots;
    uint64_t sequence, count, block_size;
    int64_t last_id;
    uint32_t rest, sum;
} header;
_Static_assert(sizeof(header) == 64, "no holes");

static bool is_whole(const header *h)
{
    return memcmp(h->magic, MAGIC, sizeof(MAGIC)) == 0 && h->sum == fm__crc32c(0, h, offsetof(header, sum));
}

void fm__index_free_block(fm__index *ix, fm__block **block)
{
    fm__block *b = *block;
    if (b && b->is_mapped) {
        munmap(b->bytes, ix->layout.size);
    }
    fm__block_free(block);
}

static off_t block_at(const fm__index *ix, size_t i)
{
    return (off_t)(BLOCKS_AT + i * ix->layout.size);
}

static fm_status read_header(fm__index *ix, header *out, fm_error *err)
{
    bool any = false;
    for (int i = 0; i < 2; i++) {
        header h;
        ssize_t n = pread(ix->fd, &h, sizeof(h), i * SLOT);
        if (n < 0) {
            return fm__fail_errno(err, errno, "cannot read", ix->path);
        }
        if (n == (ssize_t)sizeof(h) && is_whole(&h) && (!any || h.sequence > out->sequence)) {
            *out = h;
            any = true;
        }
    }
    return any ? FM_OK
               : fm__fail(
                     err, FM_FORMAT, "'%s' is not an index, or its head is damaged; make it anew", ix->path);
}

static fm_status check_header(const fm__index *ix, const header *h, fm_error *err)
{
    if (h->version != VERSION) {
        return fm__fail(err, FM_FORMAT, "'%s' is an index of version %u, this program reads %d; make it anew",
            ix->path, h->version, VERSION);
    }
    if (h->dim != (uint32_t)ix->opts.dim || h->metric != (uint32_t)ix->opts.metric) {
        return fm__fail(err, FM_INVAL, "'%s' holds vectors of dimension %u, metric %s; asked for was %d, %s",
            ix->path, h->dim, h->metric == FM_METRIC_COSINE ? "cosine" : "L2", ix->opts.dim,
            ix->opts.metric == FM_METRIC_COSINE ? "cosine" : "L2");
    }
    struct stat st;
    if (fstat(ix->fd, &st) != 0) {
        return fm__fail_errno(err, errno, "cannot look at", ix->path);
    }
    uint64_t most = st.st_size < BLOCKS_AT ? 0 : ((uint64_t)st.st_size - BLOCKS_AT) / ix->layout.size;
    if (h->slots != FM_BLOCK_SLOTS || h->block_size != ix->layout.size || h->last_id < 0 ||
        h->count > most * FM_BLOCK_SLOTS) {
        return fm__fail(err, FM_FORMAT,
            "'%s' is shorter than its head says, or its head is wrong; make it anew", ix->path);
    }
    return FM_OK;
}

static fm_status map_block(fm__index *ix, size_t i, size_t count, fm__block **out, fm_error *err)
{
    void *bytes = mmap(NULL, ix->layout.size, PROT_READ, MAP_SHARED, ix->fd, block_at(ix, i));
    if (bytes == MAP_FAILED) {
        return fm__fail_errno(err, errno, "cannot map", ix->path);
    }
    fm_status st = fm__block_over(bytes, count, out, err);
    if (st != FM_OK) {
        munmap(bytes, ix->layout.size);
    }
    return st;
}

static fm_status map_blocks(fm__index *ix, const header *h, fm_error *err)
{
    for (uint64_t at = 0; at < h->count; at += FM_BLOCK_SLOTS) {
        size_t count = h->count - at < FM_BLOCK_SLOTS ? (size_t)(h->count - at) : FM_BLOCK_SLOTS;
        fm__block *b = NULL;
        fm_status st = map_block(ix, ix->block_count, count, &b, err);
        if (st != FM_OK) {
            return st;
        }
        st = fm__index_add_block(ix, b, err);
        if (st != FM_OK) {
            fm__index_free_block(ix, &b);
            return st;
        }
        ix->alive += count;
    }
    ix->last_id = h->last_id;
    return FM_OK;
}

// The last block, when it is not full, is the one that a save may have been writing; it is also the one that
// grows, so it is copied into memory.
static fm_status settle_last(fm__index *ix, fm_error *err)
{
    fm__block *last = ix->block_count ? ix->blocks[ix->block_count - 1] : NULL;
    if (!last || last->count == FM_BLOCK_SLOTS) {
        return FM_OK;
    }
    fm__block *copy = NULL;
    if (fm__block_check(last, &ix->layout)) {
        fm_status st = fm__block_new(&ix->layout, &copy, err);
        if (st != FM_OK) {
            return st;
        }
        memcpy(copy->bytes, last->bytes, ix->layout.size);
        copy->count = last->count;
        memcpy(copy->alive, last->alive, sizeof(copy->alive));
        memset((void *)copy->rows_checked, 0, FM_BLOCK_SLOTS);
        fm__index_free_block(ix, &ix->blocks[ix->block_count - 1]);
        ix->blocks[ix->block_count - 1] = copy;
        return FM_OK;
    }
    ix->alive -= last->count;
    fm__index_free_block(ix, &ix->blocks[--ix->block_count]);
    ix->last_id = 0;
    if (ix->block_count == 0) {
        return FM_OK;
    }
    fm__block *before = ix->blocks[ix->block_count - 1];
    if (!fm__block_check(before, &ix->layout)) {
        return fm__index_damaged(ix, ix->block_count - 1, err);
    }
    ix->last_id = fm__block_ids(before, &ix->layout)[FM_BLOCK_SLOTS - 1];
    return FM_OK;
}

typedef struct dead_head {
    char magic[8];
    uint64_t count;
    uint32_t dim, sum; // sum: of the ids
} dead_head;

static fm_status load_dead(fm__index *ix, fm_error *err)
{
    char *data = NULL;
    size_t len = 0;
    if (!fm__is_file(ix->dead_path)) {
        return FM_OK;
    }
    fm_status st = fm__file_read(FM_TAG_SEARCH, ix->dead_path, DEAD_MAX, &data, &len, err);
    if (st != FM_OK) {
        return st;
    }
    dead_head h = {0};
    if (len >= sizeof(h)) {
        memcpy(&h, data, sizeof(h));
    }
    if (memcmp(h.magic, DEAD_MAGIC, sizeof(h.magic)) != 0 || h.dim != (uint32_t)ix->opts.dim ||
        h.count != (len - sizeof(h)) / sizeof(int64_t) || (len - sizeof(h)) % sizeof(int64_t) != 0 ||
        h.sum != fm__crc32c(0, data + sizeof(h), len - sizeof(h))) {
        st = fm__fail(err, FM_FORMAT, "'%s' is damaged; make the index anew", ix->dead_path);
    } else {
        st = fm__index_bury(ix, (const int64_t *)(const void *)(data + sizeof(h)), h.count, NULL, err);
    }
    fm__free(data);
    return st;
}

fm_status fm__index_load(fm__index *ix, fm_error *err)
{
    ix->fd = open(ix->path, (ix->opts.read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC);
    if (ix->fd < 0) {
        return errno == ENOENT && !ix->opts.read_only ? FM_OK
                                                      : fm__fail_errno(err, errno, "cannot open", ix->path);
    }
    header h = {0};
    fm_status st = read_header(ix, &h, err);
    st = st == FM_OK ? check_header(ix, &h, err) : st;
    st = st == FM_OK ? map_blocks(ix, &h, err) : st;
    st = st == FM_OK ? settle_last(ix, err) : st;
    st = st == FM_OK ? load_dead(ix, err) : st;
    ix->sequence = h.sequence;
    ix->saved_count = (size_t)h.count;
    ix->saved_last_id = h.last_id;
    ix->dead_is_dirty = false;
    return st;
}

static fm_status write_at(int fd, const void *data, size_t len, off_t at, const char *name, fm_error *err)
{
    const char *p = data;
    while (len > 0) {
        ssize_t n = pwrite(fd, p, len, at);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return fm__fail_errno(err, errno, "cannot write", name);
        }
        p += n;
        at += n;
        len -= (size_t)n;
    }
    return FM_OK;
}

static fm_status sync_file(int fd, const char *name, fm_error *err)
{
    return fdatasync(fd) == 0 ? FM_OK : fm__fail_errno(err, errno, "cannot sync", name);
}

static fm_status write_header(
    fm__index *ix, int fd, uint64_t sequence, size_t count, const char *name, fm_error *err)
{
    unsigned char page[SLOT] = {0};
    header h = {.version = VERSION,
        .dim = (uint32_t)ix->opts.dim,
        .metric = (uint32_t)ix->opts.metric,
        .slots = FM_BLOCK_SLOTS,
        .sequence = sequence,
        .count = count,
        .block_size = ix->layout.size,
        .last_id = ix->last_id};
    memcpy(h.magic, MAGIC, sizeof(MAGIC));
    h.sum = fm__crc32c(0, &h, offsetof(header, sum));
    memcpy(page, &h, sizeof(h));
    return write_at(fd, page, SLOT, (off_t)(sequence % 2) * SLOT, name, err);
}

static size_t total_count(const fm__index *ix)
{
    return ix->alive + ix->buried;
}

// A full block that lies in the file need not stay in memory.
static fm_status swap_for_mapped(fm__index *ix, size_t i, fm_error *err)
{
    fm__block *mapped = NULL;
    fm_status st = map_block(ix, i, FM_BLOCK_SLOTS, &mapped, err);
    if (st != FM_OK) {
        return st;
    }
    pthread_rwlock_wrlock(&ix->state);
    memcpy(mapped->alive, ix->blocks[i]->alive, sizeof(mapped->alive));
    memset((void *)mapped->rows_checked, 1, FM_BLOCK_SLOTS); // they were summed in memory just now
    atomic_store(&mapped->is_checked, true);
    fm__block *old = ix->blocks[i];
    ix->blocks[i] = mapped;
    pthread_rwlock_unlock(&ix->state);
    fm__block_free(&old);
    return FM_OK;
}

static fm_status write_changed(fm__index *ix, fm_error *err)
{
    fm_status st = FM_OK;
    for (size_t i = 0; i < ix->block_count && st == FM_OK; i++) {
        fm__block *b = ix->blocks[i];
        if (!b->is_mapped && b->is_dirty) {
            fm__block_seal(b, &ix->layout);
            st = write_at(ix->fd, b->bytes, ix->layout.size, block_at(ix, i), ix->path, err);
        }
    }
    st = st == FM_OK ? sync_file(ix->fd, ix->path, err) : st;
    st = st == FM_OK ? write_header(ix, ix->fd, ix->sequence + 1, total_count(ix), ix->path, err) : st;
    st = st == FM_OK ? sync_file(ix->fd, ix->path, err) : st;
    if (st != FM_OK) {
        return st;
    }
    ix->sequence++;
    ix->saved_count = total_count(ix);
    ix->saved_last_id = ix->last_id;
    for (size_t i = 0; i < ix->block_count && st == FM_OK; i++) {
        ix->blocks[i]->is_dirty = false;
        if (!ix->blocks[i]->is_mapped && ix->blocks[i]->count == FM_BLOCK_SLOTS) {
            st = swap_for_mapped(ix, i, err);
        }
    }
    return st;
}

// Copies what lives of a block to the growing end of a new file.
static fm_status copy_block(
    fm__index *ix, size_t i, fm__block **end, size_t *written, int fd, const char *name, fm_error *err)
{
    fm__block *b = ix->blocks[i];
    if (!fm__block_check(b, &ix->layout)) {
        return fm__index_damaged(ix, i, err);
    }
    fm_status st = FM_OK;
    for (size_t slot = 0; slot < b->count && st == FM_OK; slot++) {
        if (!(b->alive[slot / FM_SCAN_PANEL] >> slot % FM_SCAN_PANEL & 1)) {
            continue;
        }
        if (!fm__block_check_row(b, &ix->layout, slot)) {
            return fm__index_damaged(ix, i, err);
        }
        fm__block_add(
            *end, &ix->layout, fm__block_ids(b, &ix->layout)[slot], fm__block_row(b, &ix->layout, slot));
        if ((*end)->count == FM_BLOCK_SLOTS) {
            fm__block_seal(*end, &ix->layout);
            st = write_at(fd, (*end)->bytes, ix->layout.size, block_at(ix, *written), name, err);
            ++*written;
            fm__block_free(end);
            st = st == FM_OK ? fm__block_new(&ix->layout, end, err) : st;
        }
    }
    return st;
}

static fm_status copy_all(int fd, void *opaque, fm_error *err)
{
    fm__index *ix = opaque;
    const char *name = ix->path;
    fm__block *end = NULL;
    size_t written = 0;
    fm_status st = fm__block_new(&ix->layout, &end, err);
    for (size_t i = 0; i < ix->block_count && st == FM_OK; i++) {
        st = copy_block(ix, i, &end, &written, fd, name, err);
    }
    if (st == FM_OK && end->count > 0) {
        fm__block_seal(end, &ix->layout);
        st = write_at(fd, end->bytes, ix->layout.size, block_at(ix, written), name, err);
    }
    if (st == FM_OK && ix->alive == 0 && ftruncate(fd, BLOCKS_AT) != 0) {
        st = fm__fail_errno(err, errno, "cannot write", name);
    }
    fm__block_free(&end);
    return st == FM_OK ? write_header(ix, fd, ix->sequence + 1, ix->alive, name, err) : st;
}

static fm_status sync_folder(const char *path, fm_error *err)
{
    char *dir = fm__strdup(FM_TAG_SEARCH, path);
    if (!dir) {
        return fm__fail_nomem(err, "a path");
    }
    char *slash = strrchr(dir, '/');
    if (slash) {
        slash[slash == dir] = 0;
    }
    int fd = open(slash ? dir : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    fm_status st =
        fd >= 0 && fsync(fd) == 0 ? FM_OK : fm__fail_errno(err, errno, "cannot sync the folder of", path);
    if (fd >= 0) {
        close(fd);
    }
    fm__free(dir);
    return st;
}

// Takes on the file just written in place of the blocks that were. On failure the index is empty.
static fm_status load_again(fm__index *ix, int64_t last_id, fm_error *err)
{
    pthread_rwlock_wrlock(&ix->state);
    fm__index_drop_blocks(ix);
    if (ix->fd >= 0) {
        close(ix->fd);
    }
    ix->alive = ix->buried = 0;
    ix->generation++;
    fm_status st = fm__index_load(ix, err);
    ix->last_id = last_id;
    pthread_rwlock_unlock(&ix->state);
    return st;
}

// Everything that lives into a new file, which replaces the old one.
static fm_status write_anew(fm__index *ix, fm_error *err)
{
    // Ids that were buried in the old file mean nothing in the new one, and nothing wrong: they are not in
    // it.
    fm_status st = fm__file_replace_by(ix->path, copy_all, ix, err);
    st = st == FM_OK ? sync_folder(ix->path, err) : st;
    if (st == FM_OK && unlink(ix->dead_path) != 0 && errno != ENOENT) {
        st = fm__fail_errno(err, errno, "cannot remove", ix->dead_path);
    }
    return st == FM_OK ? load_again(ix, ix->last_id, err) : st;
}

static fm_status write_dead(fm__index *ix, fm_error *err)
{
    size_t size = sizeof(dead_head) + ix->buried * sizeof(int64_t), n = 0;
    unsigned char *data = fm__calloc(FM_TAG_SEARCH, size);
    if (!data) {
        return fm__fail_nomem(err, "the list of removed ids");
    }
    int64_t *ids = (int64_t *)(void *)(data + sizeof(dead_head));
    for (size_t i = 0; i < ix->block_count; i++) {
        const fm__block *b = ix->blocks[i];
        for (size_t slot = 0; slot < b->count; slot++) {
            if (!(b->alive[slot / FM_SCAN_PANEL] >> slot % FM_SCAN_PANEL & 1)) {
                ids[n++] = fm__block_ids(b, &ix->layout)[slot];
            }
        }
    }
    dead_head h = {.count = n, .dim = (uint32_t)ix->opts.dim};
    memcpy(h.magic, DEAD_MAGIC, sizeof(h.magic));
    h.sum = fm__crc32c(0, ids, n * sizeof(*ids));
    memcpy(data, &h, sizeof(h));
    fm_status st = fm__file_replace(ix->dead_path, data, size, err);
    fm__free(data);
    if (st == FM_OK) {
        ix->dead_is_dirty = false;
    }
    return st;
}

fm_status fm__index_write(fm__index *ix, fm_error *err)
{
    bool many_buried = ix->buried > FM_BLOCK_SLOTS && ix->buried > ix->alive / 3;
    if (ix->fd < 0 || many_buried) {
        return write_anew(ix, err);
    }
    fm_status st = ix->dead_is_dirty ? write_dead(ix, err) : FM_OK;
    if (st == FM_OK && (ix->saved_count != total_count(ix) || ix->saved_last_id != ix->last_id)) {
        st = write_changed(ix, err);
    }
    return st;
}
