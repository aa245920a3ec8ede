// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// search/index.h: files of an index. A whole file is too long for a seed, so an input is a list of changes to
// a good one: byte 0 says whether check sums are put right afterwards, since they would hide all that lies
// behind them (1: the head's, 2: the block's, 4: the file is cut to half); then four bytes a change: where,
// and what. Whatever a file says, it is refused in one line or searched without harm, and hits are never more
// than asked.

#include "base/crc32c.h"
#include "base/file.h"
#include "fuzz.h"
#include "search/block.h"
#include "search/index.h"

#include <string.h>
#include <unistd.h>

enum { DIM = 4, N = 40, HEAD = 64, SLOT = 4096, BLOCKS_AT = 8192, K = 5, NQ = 3 };

static float rows[N * DIM];
static uint8_t *good;
static size_t good_size;

static void make_good(void)
{
    char dir[] = "/tmp/fm-fuzz-XXXXXX", path[64];
    int64_t ids[N];
    fm__index_opts o = {.dim = DIM, .threads = 1};
    fm__index *ix = NULL;
    char *text = NULL;
    FUZZ_CHECK(mkdtemp(dir) != NULL);
    snprintf(path, sizeof(path), "%s/a", dir);
    for (int i = 0; i < N * DIM; i++) {
        rows[i] = (float)(i * 37 % 101);
        ids[i / DIM] = i / DIM + 1;
    }
    FUZZ_CHECK(fm__index_open(path, &o, &ix, NULL) == FM_OK);
    FUZZ_CHECK(fm__index_append(ix, ids, rows, N, NULL) == FM_OK);
    FUZZ_CHECK(fm__index_save(ix, NULL) == FM_OK);
    fm__index_close(&ix);
    FUZZ_CHECK(fm__file_read(FM_TAG_SEARCH, path, 1 << 24, &text, &good_size, NULL) == FM_OK);
    good = (uint8_t *)text; // kept for the life of the process
    unlink(path);
    rmdir(dir);
}

static void put_sum(uint8_t *at, uint32_t sum)
{
    memcpy(at, &sum, sizeof(sum));
}

static void change(uint8_t *file, const uint8_t *data, size_t size)
{
    for (size_t i = 1; i + 4 <= size; i += 4) {
        size_t at = (size_t)(data[i] & 127) << 16 | (size_t)data[i + 1] << 8 | data[i + 2];
        // Half of the changes go to heads, which are small: either of the file or of the block.
        size_t head = (at & 64) ? BLOCKS_AT : (at >> 7 & 1) * SLOT;
        at = data[i] & 128 ? head + at % HEAD : at % good_size;
        file[at] = data[i + 3];
    }
    if (size > 0 && data[0] & 1) {
        for (size_t slot = 0; slot < 2; slot++) {
            put_sum(file + slot * SLOT + 60, fm__crc32c(0, file + slot * SLOT, 60));
        }
    }
    if (size > 0 && data[0] & 2) {
        fm__block_layout l = fm__block_layout_of(DIM);
        uint32_t sum = fm__crc32c(0, file + BLOCKS_AT, 12);
        put_sum(file + BLOCKS_AT + 12, fm__crc32c(sum, file + BLOCKS_AT + HEAD, l.rows - HEAD));
    }
}

static void use(fm__index *ix)
{
    fm__hit hits[NQ * K];
    size_t counts[NQ], count = 0;
    int64_t ids[N];
    float v[N * DIM];
    const int64_t allowed[] = {1, 2, 3, 30, 77};
    for (int i = 0; i < 3; i++) {
        fm_error err = {0};
        fm_status st =
            fm__index_search(ix, rows, NQ, K, i ? allowed : NULL, i == 2 ? 0 : 5, hits, counts, &err);
        FUZZ_CHECK(st == FM_OK || (st == FM_FORMAT && err.msg[0] != 0));
        for (int j = 0; st == FM_OK && j < NQ; j++) {
            FUZZ_CHECK(counts[j] <= K);
        }
    }
    // Any status is fine for what a file may say.
    fm_status st = fm__index_get(ix, 7, v, NULL);
    FUZZ_CHECK(st == FM_OK || st == FM_NOTFOUND || st == FM_FORMAT);
    st = fm__index_read(ix, 0, N, ids, v, &count, NULL);
    FUZZ_CHECK((st == FM_OK || st == FM_FORMAT) && count <= N);
    st = fm__index_verify(ix, NULL);
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
    change(file, data, size);
    size_t len = size > 0 && data[0] & 4 ? good_size / 2 : good_size;
    int fd = fuzz_file(file, len, path);
    free(file);
    fm__index_opts o = {.dim = DIM, .threads = 1, .read_only = true};
    fm__index *ix = NULL;
    if (fm__index_open(path, &o, &ix, &err) == FM_OK) {
        use(ix);
    } else {
        FUZZ_CHECK(err.msg[0] != 0 && strchr(err.msg, '\n') == NULL);
    }
    fm__index_close(&ix);
    close(fd);
    return 0;
}
