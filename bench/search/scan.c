// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// The index against files of vectors: builds one from DATA (float32 rows), answers QUERIES and writes ids and
// milliseconds as JSON; `bandwidth` is what plain reading of as many bytes as the scan's codes takes, by the
// same threads. bench/search/search.py calls it and the peers.
//
//      bench_scan DATA DIM QUERIES K THREADS ROUNDS

#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"
#include "search/block.h"
#include "search/index.h"
#include "search/team.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *v, size_t n)
{
    qsort(v, n, sizeof(*v), compare_doubles);
    return v[n / 2];
}

static float *load(const char *path, size_t dim, size_t *rows)
{
    char *data = NULL;
    size_t len = 0;
    fm_error err;
    if (fm__file_read(FM_TAG_SEARCH, path, (size_t)16 << 30, &data, &len, &err) != FM_OK) {
        fprintf(stderr, "%s\n", err.msg);
        exit(1);
    }
    *rows = len / sizeof(float) / dim;
    return (float *)(void *)data;
}

typedef struct reading {
    const unsigned char *bytes;
    size_t piece, count;
    uint64_t sums[FM_TEAM_MAX];
} reading;

static void read_piece(void *opaque, size_t index, int member)
{
    reading *r = opaque;
    const uint64_t *p = (const uint64_t *)(const void *)(r->bytes + index * r->piece);
    uint64_t sum[8] = {0};
    for (size_t i = 0; i < r->piece / 8; i += 8) {
        for (size_t l = 0; l < 8; l++) {
            sum[l] += p[i + l];
        }
    }
    for (size_t l = 0; l < 8; l++) {
        r->sums[member] += sum[l];
    }
}

// Milliseconds to read `size` bytes once.
static double read_ms(size_t size, int threads, int rounds)
{
    fm__team *team = NULL;
    reading r = {.piece = (size_t)512 << 10};
    r.count = size / r.piece;
    unsigned char *bytes = fm__calloc_aligned(FM_TAG_SEARCH, r.count * r.piece, 4096);
    double *ms = calloc((size_t)rounds, sizeof(*ms));
    if (!bytes || !ms || fm__team_new(threads, &team, NULL) != FM_OK) {
        exit(1);
    }
    memset(bytes, 1, r.count * r.piece);
    r.bytes = bytes;
    for (int i = 0; i < rounds; i++) {
        int64_t start = fm__now_ns();
        fm__team_run(team, r.count, read_piece, &r);
        ms[i] = (double)(fm__now_ns() - start) / 1e6;
    }
    double out = median(ms, (size_t)rounds) * (double)size / (double)(r.count * r.piece);
    fm__team_free(&team);
    fm__free(bytes);
    free(ms);
    return out;
}

static fm__index *build(const float *data, size_t n, size_t dim, int threads)
{
    fm__index *ix = NULL;
    fm_error err;
    int64_t *ids = calloc(n, sizeof(*ids));
    for (size_t i = 0; ids && i < n; i++) {
        ids[i] = (int64_t)i + 1;
    }
    fm__index_opts o = {.dim = (int)dim, .threads = threads};
    if (!ids || fm__index_open(NULL, &o, &ix, &err) != FM_OK ||
        fm__index_append(ix, ids, data, n, &err) != FM_OK) {
        fprintf(stderr, "%s\n", ids ? err.msg : "out of memory");
        exit(1);
    }
    free(ids);
    return ix;
}

int main(int argc, char **argv)
{
    if (argc != 7) {
        fprintf(stderr, "usage: bench_scan DATA DIM QUERIES K THREADS ROUNDS\n");
        return 2;
    }
    size_t dim = strtoul(argv[2], NULL, 10), k = strtoul(argv[4], NULL, 10), n, nq;
    int threads = atoi(argv[5]), rounds = atoi(argv[6]);
    float *data = load(argv[1], dim, &n), *queries = load(argv[3], dim, &nq);
    int64_t start = fm__now_ns();
    fm__index *ix = build(data, n, dim, threads);
    double build_ms = (double)(fm__now_ns() - start) / 1e6;
    fm__free(data);
    fm__hit *hits = calloc(nq * k, sizeof(*hits));
    size_t *counts = calloc(nq, sizeof(*counts));
    double *ms = calloc((size_t)rounds, sizeof(*ms));
    printf("{\"build_ms\": %.1f", build_ms);
    const size_t batches[] = {1, 16, 256};
    for (size_t b = 0; b < 3; b++) {
        size_t batch = batches[b] < nq ? batches[b] : nq;
        for (int i = 0; i < rounds; i++) {
            const float *q = queries + (size_t)i * batch % (nq - batch + 1) * dim;
            start = fm__now_ns();
            if (fm__index_search(ix, q, batch, k, NULL, 0, hits, counts, NULL) != FM_OK) {
                return 1;
            }
            ms[i] = (double)(fm__now_ns() - start) / 1e6;
        }
        printf(", \"ms_%zu\": %.4f", batches[b], median(ms, (size_t)rounds));
    }
    fm__block_layout layout = fm__block_layout_of(dim);
    size_t bytes =
        (n + FM_BLOCK_SLOTS - 1) / FM_BLOCK_SLOTS *
        (layout.codes - layout.ids + layout.rows - layout.codes); // codes and what stands beside them
    printf(", \"code_bytes\": %zu, \"read_ms\": %.4f", bytes, read_ms(bytes, threads, rounds));
    if (fm__index_search(ix, queries, nq, k, NULL, 0, hits, counts, NULL) != FM_OK) {
        return 1;
    }
    printf(", \"ids\": [");
    for (size_t j = 0; j < nq; j++) {
        for (size_t i = 0; i < counts[j]; i++) {
            printf("%s%" PRId64, i ? ", " : j ? "], [" : "[", hits[j * k + i].id - 1);
        }
    }
    printf("]]}\n");
    fm__index_close(&ix);
    free(hits);
    free(counts);
    free(ms);
    fm__free(queries);
    return 0;
}
