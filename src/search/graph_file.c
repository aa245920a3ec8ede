// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// A graph's file: a page for the head, the nodes of each block, the checksums of the blocks, the lists of
// upper levels. All little-endian. It is written beside and renamed, so that a crash leaves the old one.
// Nodes are mapped, not read, and private: extending the graph changes its own copies of the pages it
// touches.

#include "base/alloc.h"
#include "base/crc32c.h"
#include "base/error.h"
#include "base/file.h"
#include "search/graph_private.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PAGE = 4096, VERSION = 1 };
static const char MAGIC[8] = "FMGRAPH";

typedef struct header {
    char magic[8];
    uint32_t version, dim, links, effort;
    uint32_t record, entry, levels, rest; // levels: top + 1
    uint64_t blocks, upper;
    uint32_t lists_sum, sum; // of what lies behind the nodes; of the head
} header;
_Static_assert(sizeof(header) == 64, "no holes");

static size_t upper_bytes(const fm__graph *g)
{
    return g->upper_count * (1 + g->opts.links) * sizeof(*g->upper);
}

static header header_of(const fm__graph *g)
{
    header h = {.version = VERSION,
        .dim = (uint32_t)g->opts.dim,
        .links = (uint32_t)g->opts.links,
        .effort = (uint32_t)g->opts.effort,
        .record = (uint32_t)g->record,
        .entry = g->entry,
        .levels = (uint32_t)(g->top + 1),
        .blocks = g->chunk_count,
        .upper = g->upper_count};
    memcpy(h.magic, MAGIC, sizeof(MAGIC));
    h.lists_sum = fm__crc32c(0, g->sums, g->chunk_count * sizeof(*g->sums));
    h.lists_sum = fm__crc32c(h.lists_sum, g->upper, upper_bytes(g));
    h.sum = fm__crc32c(0, &h, offsetof(header, sum));
    return h;
}

// Checksums of nodes that changed. Others are left alone: a page of a file that is not written is not copied.
static void seal(fm__graph *g)
{
    for (uint32_t place = 0; place < fm__graph_nodes(g); place++) {
        uint32_t check = fm__graph_check_of(g, place);
        if (fm__graph_node_of(g, place)->check != check) {
            fm__graph_node_of(g, place)->check = check;
        }
    }
}

typedef struct saving {
    fm__graph *graph;
    const char *path;
} saving;

static fm_status write_all(int fd, void *opaque, fm_error *err)
{
    const fm__graph *g = ((saving *)opaque)->graph;
    const char *name = ((saving *)opaque)->path;
    unsigned char page[PAGE] = {0};
    header h = header_of(g);
    memcpy(page, &h, sizeof(h));
    fm_status st = fm__fd_write_all(fd, page, PAGE, name, err);
    for (size_t i = 0; i < g->chunk_count && st == FM_OK; i++) {
        st = fm__fd_write_all(fd, g->chunks[i], g->chunk, name, err);
    }
    st = st == FM_OK ? fm__fd_write_all(fd, g->sums, g->chunk_count * sizeof(*g->sums), name, err) : st;
    return st == FM_OK ? fm__fd_write_all(fd, g->upper, upper_bytes(g), name, err) : st;
}

fm_status fm__graph_save(fm__graph *g, const char *path, fm_error *err)
{
    saving s = {.graph = g, .path = path};
    seal(g);
    return fm__file_replace_by(path, write_all, &s, err);
}

static fm_status bad_head(const char *path, fm_error *err)
{
    return fm__fail(
        err, FM_FORMAT, "'%s' is not a graph, is cut off, or its head is damaged; make it anew", path);
}

static fm_status read_at(int fd, void *to, size_t len, off_t at, const char *path, fm_error *err)
{
    ssize_t n = fm__fd_read_at(fd, to, len, at);
    return n == (ssize_t)len ? FM_OK
           : n < 0           ? fm__fail_errno(err, errno, "cannot read", path)
                             : bad_head(path, err);
}

// The head and the file's size must say the same.
static fm_status take_header(
    fm__graph *g, const header *h, uint64_t size, size_t dim, const char *path, fm_error *err)
{
    if (memcmp(h->magic, MAGIC, sizeof(MAGIC)) != 0 || h->sum != fm__crc32c(0, h, offsetof(header, sum))) {
        return bad_head(path, err);
    }
    if (h->version != VERSION || h->dim != dim) {
        return fm__fail(err, FM_FORMAT,
            "'%s' is a graph of version %u over %u numbers; asked for was version %d, %zu; make it anew",
            path, h->version, h->dim, VERSION, dim);
    }
    fm__graph_opts o = {.dim = h->dim, .links = h->links, .effort = h->effort};
    if (h->links == 0 || h->effort == 0 || fm__graph_lay_out(g, &o, NULL) != FM_OK ||
        h->record != g->record) {
        return bad_head(path, err);
    }
    // Each bound keeps the next product small.
    uint64_t list = (1 + g->opts.links) * sizeof(uint32_t), most = FM_GRAPH_NODES_MAX / FM_BLOCK_SLOTS;
    if (h->blocks > most || h->upper > h->blocks * FM_BLOCK_SLOTS * FM_GRAPH_TOP_MAX ||
        size != PAGE + h->blocks * (g->chunk + sizeof(uint32_t)) + h->upper * list) {
        return bad_head(path, err);
    }
    bool is_empty = h->blocks == 0;
    if (h->levels > FM_GRAPH_TOP_MAX + 1 || (h->levels == 0) != is_empty ||
        (!is_empty && h->entry >= h->blocks * FM_BLOCK_SLOTS)) {
        return bad_head(path, err);
    }
    g->entry = h->entry;
    g->top = (int)h->levels - 1;
    g->upper_count = (size_t)h->upper;
    return FM_OK;
}

static fm_status read_lists(fm__graph *g, int fd, const header *h, const char *path, fm_error *err)
{
    off_t at = (off_t)(PAGE + h->blocks * g->chunk);
    size_t sums = (size_t)h->blocks * sizeof(*g->sums);
    g->sum_cap = (size_t)h->blocks;
    g->upper_cap = g->upper_count * (1 + g->opts.links);
    g->sums = fm__calloc(FM_TAG_SEARCH, sums + 1);
    g->upper = fm__calloc(FM_TAG_SEARCH, upper_bytes(g) + 1);
    if (!g->sums || !g->upper) {
        return fm__fail_nomem(err, "a graph");
    }
    fm_status st = read_at(fd, g->sums, sums, at, path, err);
    st = st == FM_OK ? read_at(fd, g->upper, upper_bytes(g), at + (off_t)sums, path, err) : st;
    uint32_t sum = st == FM_OK ? fm__crc32c(fm__crc32c(0, g->sums, sums), g->upper, upper_bytes(g)) : 0;
    return st == FM_OK && sum != h->lists_sum ? bad_head(path, err) : st;
}

static fm_status map_nodes(fm__graph *g, int fd, const header *h, const char *path, fm_error *err)
{
    size_t blocks = (size_t)h->blocks;
    g->chunks = fm__calloc_array(FM_TAG_SEARCH, blocks + 1, sizeof(*g->chunks));
    g->met = fm__calloc(FM_TAG_SEARCH, blocks * FM_BLOCK_SLOTS + 1);
    if (!g->chunks || !g->met) {
        return fm__fail_nomem(err, "a graph");
    }
    size_t size = PAGE + blocks * g->chunk;
    void *map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    if (map == MAP_FAILED) {
        return fm__fail_errno(err, errno, "cannot map", path);
    }
    g->map = map;
    g->map_size = size;
    for (size_t i = 0; i < blocks; i++) {
        g->chunks[i] = (unsigned char *)map + PAGE + i * g->chunk;
    }
    g->chunk_count = g->mapped_count = blocks;
    g->chunk_cap = blocks + 1;
    return FM_OK;
}

static fm_status load(fm__graph *g, int fd, size_t dim, const char *path, fm_error *err)
{
    struct stat info;
    header h;
    if (fstat(fd, &info) != 0) {
        return fm__fail_errno(err, errno, "cannot look at", path);
    }
    fm_status st = read_at(fd, &h, sizeof(h), 0, path, err);
    st = st == FM_OK ? take_header(g, &h, (uint64_t)info.st_size, dim, path, err) : st;
    st = st == FM_OK ? read_lists(g, fd, &h, path, err) : st;
    return st == FM_OK ? map_nodes(g, fd, &h, path, err) : st;
}

fm_status fm__graph_load(const char *path, size_t dim, fm__graph **out, fm_error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return fm__fail_errno(err, errno, "cannot open", path);
    }
    fm__graph *g = fm__calloc(FM_TAG_SEARCH, sizeof(*g));
    fm_status st = g ? load(g, fd, dim, path, err) : fm__fail_nomem(err, "a graph");
    close(fd);
    if (st != FM_OK) {
        fm__graph_free(&g);
        return st;
    }
    *out = g;
    return FM_OK;
}

// A list within its bounds, of nodes that are on its level. @param mark  [nodes] where a node was named last
static bool list_is_good(const fm__graph *g, uint32_t place, int level, uint32_t *mark)
{
    const uint32_t *list = fm__graph_list(g, place, level);
    if (!list || list[0] > fm__graph_room(g, level)) {
        return false;
    }
    for (size_t i = 1; i <= list[0]; i++) {
        uint32_t to = list[i];
        if (to >= fm__graph_nodes(g) || to == place || mark[to] == place + 1 ||
            fm__graph_node_of(g, to)->level < (uint32_t)level) {
            return false;
        }
        mark[to] = place + 1;
    }
    for (size_t i = 1; i <= list[0]; i++) {
        mark[list[i]] = 0; // levels are told apart
    }
    return true;
}

static bool node_is_good(const fm__graph *g, uint32_t place, uint32_t upper, uint32_t *mark)
{
    const fm__graph_node *n = fm__graph_node_of(g, place);
    bool is_good =
        (!g->met || n->check == fm__graph_check_of(g, place)) && (int)n->level <= g->top && n->upper == upper;
    for (int l = 0; is_good && l <= (int)n->level; l++) {
        is_good = list_is_good(g, place, l, mark);
    }
    return is_good;
}

fm_status fm__graph_validate(fm__graph *g, fm_error *err)
{
    size_t nodes = fm__graph_nodes(g);
    uint32_t upper = 0;
    uint32_t *mark = fm__calloc_array(FM_TAG_SEARCH, nodes + 1, sizeof(*mark));
    if (!mark) {
        return fm__fail_nomem(err, "checking a graph");
    }
    fm_status st = FM_OK;
    for (uint32_t place = 0; place < nodes && st == FM_OK; place++) {
        st = node_is_good(g, place, upper, mark) ? FM_OK : fm__graph_damaged(place, err);
        upper += fm__graph_node_of(g, place)->level;
    }
    fm__free(mark);
    if (st == FM_OK &&
        (upper != g->upper_count || (nodes > 0 && (int)fm__graph_node_of(g, g->entry)->level != g->top))) {
        st = fm__fail(err, FM_FORMAT, "the upper levels of the graph are damaged; make it anew");
    }
    return st;
}
