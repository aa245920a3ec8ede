// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// search/graph.h: files of a graph. A whole file is too long for a seed, so an input is a list of changes to
// a good one: byte 0 says which check sums are put right afterwards, since they would hide all that lies
// behind them (1: the head's, 2: the nodes', 4: the lists' of upper levels, 8: the file is cut to half); then
// four bytes a change: where, and what. Whatever a file says, it is refused in one line or searched without
// harm, and every hit is alive, allowed, and as far as it says.

#include "base/crc32c.h"
#include "base/file.h"
#include "fuzz.h"
#include "search/near.h"

#include <string.h>
#include <unistd.h>

enum { DIM = 4, N = FM_BLOCK_SLOTS, LINKS = 4, K = 5, NQ = 3, PAGE = 4096, HEAD = 64, CODES = 64, NODE = 32 };
enum { RECORD = 192, LISTS_AT = PAGE + N * RECORD };

static float rows[N * DIM];
static uint8_t *good;
static size_t good_size;
static fm__index *ix;

static void make_good(void)
{
    char dir[] = "/tmp/fm-fuzz-XXXXXX", path[64];
    static int64_t ids[N];
    fm__index_opts o = {.dim = DIM, .threads = 1};
    fm__near_opts no = {.links = LINKS, .build_effort = 20};
    fm__near *near = NULL;
    char *text = NULL;
    FUZZ_CHECK(mkdtemp(dir) != NULL);
    snprintf(path, sizeof(path), "%s/a", dir);
    for (int i = 0; i < N * DIM; i++) {
        rows[i] = (float)(i * 37 % 1009);
        ids[i / DIM] = i / DIM + 1;
    }
    FUZZ_CHECK(fm__index_open(NULL, &o, &ix, NULL) == FM_OK); // kept for the life of the process, as is good
    FUZZ_CHECK(fm__index_append(ix, ids, rows, N, NULL) == FM_OK);
    FUZZ_CHECK(fm__index_remove(ix, ids, 100, NULL, NULL) == FM_OK);
    FUZZ_CHECK(fm__near_new(ix, &no, &near, NULL) == FM_OK);
    FUZZ_CHECK(fm__near_update(near, NULL, NULL, NULL, NULL) == FM_OK);
    FUZZ_CHECK(fm__near_save(near, path, NULL) == FM_OK);
    fm__near_free(&near);
    FUZZ_CHECK(fm__file_read(FM_TAG_SEARCH, path, 1 << 24, &text, &good_size, NULL) == FM_OK);
    good = (uint8_t *)text;
    FUZZ_CHECK(good_size > LISTS_AT);
    unlink(path);
    rmdir(dir);
}

static void put_sum(uint8_t *at, uint32_t sum)
{
    memcpy(at, &sum, sizeof(sum));
}

static void mend(uint8_t *file, unsigned what)
{
    for (size_t v = 0; what & 2 && v < N; v++) {
        uint8_t *r = file + PAGE + v * RECORD, *check = r + CODES + 20;
        uint32_t sum = fm__crc32c(0, r, CODES + 20);
        put_sum(check, fm__crc32c(sum, check + 4, RECORD - CODES - 24));
    }
    if (what & 4) {
        put_sum(file + 56, fm__crc32c(0, file + LISTS_AT, good_size - LISTS_AT));
    }
    if (what & 1) {
        put_sum(file + 60, fm__crc32c(0, file, 60));
    }
}

// Where a change goes: the head; what stands behind the codes of a node; the lists at the end; anywhere.
static size_t where(const uint8_t *at)
{
    size_t v = (size_t)at[0] << 16 | (size_t)at[1] << 8 | at[2];
    switch (at[0] >> 6) {
    case 0:
        return v % HEAD;
    case 1:
        return PAGE + v / 128 % N * RECORD + CODES + v % (RECORD - CODES);
    case 2:
        return LISTS_AT + v % (good_size - LISTS_AT);
    default:
        return v % good_size;
    }
}

static void check_hits(
    const float *query, const fm__hit *hits, size_t count, const int64_t *allowed, size_t n)
{
    FUZZ_CHECK(count <= K);
    for (size_t i = 0; i < count; i++) {
        fm__hit own;
        size_t one = 0, listed = 0;
        FUZZ_CHECK(fm__index_search(ix, query, 1, 1, &hits[i].id, 1, &own, &one, NULL) == FM_OK);
        FUZZ_CHECK(one == 1 && own.distance == hits[i].distance);
        for (size_t a = 0; a < n; a++) {
            listed += allowed[a] == hits[i].id;
        }
        FUZZ_CHECK(!allowed || listed == 1);
    }
}

static void use(fm__near *near)
{
    fm__hit hits[NQ * K];
    size_t counts[NQ];
    static int64_t most[N];
    for (int i = 0; i < N; i++) {
        most[i] = i + 1;
    }
    for (int i = 0; i < 2; i++) {
        const int64_t *allowed = i ? most : NULL;
        size_t n = i ? N / 2 : 0;
        FUZZ_CHECK(fm__near_search(near, rows, NQ, K, allowed, n, hits, counts, NULL, NULL) == FM_OK);
        for (size_t j = 0; j < NQ; j++) {
            check_hits(rows + j * DIM, hits + j * K, counts[j], allowed, n);
        }
    }
    fm_status st = fm__near_verify(near, NULL);
    FUZZ_CHECK(st == FM_OK || st == FM_FORMAT);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char path[64];
    fm_error err = {0};
    if (!good) {
        make_good();
    }
    uint8_t *file = malloc(good_size);
    FUZZ_CHECK(file != NULL);
    memcpy(file, good, good_size);
    for (size_t i = 1; i + 4 <= size; i += 4) {
        file[where(data + i)] = data[i + 3];
    }
    mend(file, size > 0 ? data[0] : 0);
    size_t len = size > 0 && data[0] & 8 ? good_size / 2 : good_size;
    int fd = fuzz_file(file, len, path);
    free(file);
    fm__near_opts o = {.effort = 20};
    fm__near *near = NULL;
    if (fm__near_open(ix, path, &o, &near, &err) == FM_OK) {
        use(near);
    } else {
        FUZZ_CHECK(err.msg[0] != 0 && strchr(err.msg, '\n') == NULL);
    }
    fm__near_free(&near);
    close(fd);
    return 0;
}
