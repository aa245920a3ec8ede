// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Graphs against files of vectors: builds one from DATA (float32 rows), answers QUERIES one at a time and
// writes JSON: time to build, bytes, and for each effort recall against the exact scan and queries a second.
// bench/search/graphs.py calls it and faiss-cpu.
//
//      bench_graph ours|debian DATA DIM QUERIES K THREADS FOLDER LINKS BUILD_EFFORT EFFORT...
//
// `ours` keeps the index and the graph as files in FOLDER, opens them again and reports what the first search
// takes; `debian` is the HNSW of the FAISS that framemill was built with.

#include "base/alloc.h"
#include "base/clock.h"
#include "base/str.h"
#include "search/faiss.h"
#include "search/near.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { PIECE = 8192, ROUNDS = 3, SCANNED = 100 };

typedef struct bench {
    const float *data, *queries;
    size_t n, nq, dim, k, links, build_effort;
    int threads;
    const char *folder;
    fm__hit *exact; // [nq][k]
} bench;

static void need(bool good, const fm_error *err)
{
    if (!good) {
        fprintf(stderr, "bench_graph: %s\n", err && err->msg[0] ? err->msg : "failed");
        exit(1);
    }
}

// Of all threads: what a machine that others use, too, does not stretch.
static double processor_seconds(void)
{
    return (double)clock() / CLOCKS_PER_SEC;
}

static double seconds_since(int64_t start)
{
    return (double)(fm__now_ns() - start) / 1e9;
}

static const float *map_file(const char *path, size_t dim, size_t *rows)
{
    int fd = open(path, O_RDONLY);
    struct stat st;
    need(fd >= 0 && fstat(fd, &st) == 0, NULL);
    void *p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    need(p != MAP_FAILED, NULL);
    *rows = (size_t)st.st_size / sizeof(float) / dim;
    return p;
}

static void make_ids(int64_t *ids, size_t from, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        ids[i] = (int64_t)(from + i) + 1;
    }
}

static double share(const bench *b, const int64_t *ids)
{
    size_t found = 0;
    for (size_t i = 0; i < b->nq * b->k; i++) {
        for (size_t e = i / b->k * b->k; e < (i / b->k + 1) * b->k; e++) {
            found += ids[i] == b->exact[e].id;
        }
    }
    return (double)found / (double)(b->nq * b->k);
}

static fm__index *open_index(const bench *b, const char *path, bool fresh)
{
    fm__index_opts o = {.dim = (int)b->dim, .threads = b->threads, .fresh = fresh};
    fm__index *ix = NULL;
    fm_error err = {0};
    need(fm__index_open(path, &o, &ix, &err) == FM_OK, &err);
    return ix;
}

// Saves now and then, so that blocks are mapped and memory holds few.
static void fill(const bench *b, fm__index *ix)
{
    fm_error err = {0};
    int64_t ids[PIECE];
    for (size_t at = 0; at < b->n; at += PIECE) {
        size_t count = b->n - at < PIECE ? b->n - at : PIECE;
        make_ids(ids, at, count);
        need(fm__index_append(ix, ids, b->data + at * b->dim, count, &err) == FM_OK, &err);
        need(fm__index_save(ix, &err) == FM_OK, &err);
    }
}

// The exact answers, all at once; and what some take one by one.
static void scan(bench *b, fm__index *ix)
{
    size_t *counts = calloc(b->nq, sizeof(*counts)), some = b->nq < SCANNED ? b->nq : SCANNED;
    double best = 1e9;
    fm_error err = {0};
    need(fm__index_search(ix, b->queries, b->nq, b->k, NULL, 0, b->exact, counts, &err) == FM_OK, &err);
    for (int r = 0; r < ROUNDS; r++) {
        int64_t start = fm__now_ns();
        for (size_t j = 0; j < some; j++) {
            need(fm__index_search(ix, b->queries + j * b->dim, 1, b->k, NULL, 0, b->exact + j * b->k, counts,
                     &err) == FM_OK,
                &err);
        }
        double took = seconds_since(start);
        best = took < best ? took : best;
    }
    free(counts);
    printf(", \"scan_qps\": %.1f", (double)some / best);
}

static double ask_one(const bench *b, fm__near *near, int64_t *ids)
{
    fm__hit *hits = calloc(b->k, sizeof(*hits));
    fm_error err = {0};
    size_t count = 0;
    int64_t start = fm__now_ns();
    for (size_t j = 0; j < b->nq; j++) {
        need(fm__near_search(near, b->queries + j * b->dim, 1, b->k, NULL, 0, hits, &count, NULL, &err) ==
                 FM_OK,
            &err);
        for (size_t i = 0; i < b->k; i++) {
            ids[j * b->k + i] = i < count ? hits[i].id : -1;
        }
    }
    double took = seconds_since(start);
    free(hits);
    return took;
}

// Many at once: the threads share them.
static double ask_many(const bench *b, fm__near *near)
{
    fm__hit *hits = calloc(b->nq * b->k, sizeof(*hits));
    size_t *counts = calloc(b->nq, sizeof(*counts));
    fm_error err = {0};
    int64_t start = fm__now_ns();
    need(fm__near_search(near, b->queries, b->nq, b->k, NULL, 0, hits, counts, NULL, &err) == FM_OK, &err);
    double took = seconds_since(start);
    free(hits);
    free(counts);
    return took;
}

static void try_effort(
    const bench *b, fm__index *ix, const char *path, size_t effort, int64_t *ids, bool more)
{
    fm__near_opts o = {.effort = effort};
    fm__near *near = NULL;
    fm_error err = {0};
    double one = 1e9, many = 1e9;
    need(fm__near_open(ix, path, &o, &near, &err) == FM_OK, &err);
    for (int r = 0; r < ROUNDS; r++) {
        double a = ask_one(b, near, ids), c = ask_many(b, near);
        one = a < one ? a : one;
        many = c < many ? c : many;
    }
    printf("%s{\"effort\": %zu, \"recall\": %.4f, \"qps\": %.1f, \"qps_%d_threads\": %.1f}", more ? ", " : "",
        effort, share(b, ids), (double)b->nq / one, b->threads, (double)b->nq / many);
    fm__near_free(&near);
}

// From nothing to the first answer, files being warm.
static void first_search(const bench *b, const char *index_path, const char *path)
{
    fm__near_opts o = {0};
    fm__near *near = NULL;
    fm_error err = {0};
    fm__hit *hits = calloc(b->k, sizeof(*hits));
    size_t count;
    int64_t start = fm__now_ns();
    fm__index *ix = open_index(b, index_path, false);
    need(fm__near_open(ix, path, &o, &near, &err) == FM_OK, &err);
    need(fm__near_search(near, b->queries, 1, b->k, NULL, 0, hits, &count, NULL, &err) == FM_OK, &err);
    double graph = seconds_since(start);
    fm__near_free(&near);
    fm__index_close(&ix);
    start = fm__now_ns();
    ix = open_index(b, index_path, false);
    need(fm__index_search(ix, b->queries, 1, b->k, NULL, 0, hits, &count, &err) == FM_OK, &err);
    printf(", \"first_ms\": %.1f, \"first_scan_ms\": %.1f", graph * 1e3, seconds_since(start) * 1e3);
    fm__index_close(&ix);
    free(hits);
}

static void ours(bench *b, char **efforts, int count)
{
    char *index_path = NULL, *path = NULL;
    need(
        asprintf(&index_path, "%s/index", b->folder) > 0 && asprintf(&path, "%s/graph", b->folder) > 0, NULL);
    int64_t start = fm__now_ns();
    fm__index *ix = open_index(b, index_path, true);
    fill(b, ix);
    printf("{\"index_s\": %.1f", seconds_since(start));
    scan(b, ix);
    fm__near_opts o = {.links = b->links, .build_effort = b->build_effort};
    fm__near *near = NULL;
    fm_error err = {0};
    need(fm__near_new(ix, &o, &near, &err) == FM_OK, &err);
    double processor = processor_seconds();
    start = fm__now_ns();
    need(fm__near_update(near, NULL, NULL, NULL, &err) == FM_OK, &err);
    printf(", \"build_s\": %.1f, \"build_processor_s\": %.1f, \"graph_bytes\": %zu", seconds_since(start),
        processor_seconds() - processor, fm__near_bytes(near));
    start = fm__now_ns();
    need(fm__near_save(near, path, &err) == FM_OK, &err);
    printf(", \"save_s\": %.1f", seconds_since(start));
    fm__near_free(&near);
    first_search(b, index_path, path);
    int64_t *ids = calloc(b->nq * b->k, sizeof(*ids));
    printf(", \"efforts\": [");
    for (int i = 0; i < count; i++) {
        try_effort(b, ix, path, strtoul(efforts[i], NULL, 10), ids, i > 0);
    }
    printf("], \"exact\": [");
    for (size_t i = 0; i < b->nq * b->k; i++) {
        printf("%s%lld", i % b->k ? ", " : i ? "], [" : "[", (long long)b->exact[i].id - 1);
    }
    puts("]]}");
    free(ids);
    fm__index_close(&ix);
    free(index_path);
    free(path);
}

static double debian_ask(const bench *b, fm__faiss *f, int64_t *ids, float *distances)
{
    fm_error err = {0};
    int64_t start = fm__now_ns();
    for (size_t j = 0; j < b->nq; j++) {
        need(fm__faiss_search(
                 f, b->queries + j * b->dim, 1, b->k, ids + j * b->k, distances + j * b->k, &err) == FM_OK,
            &err);
    }
    return seconds_since(start);
}

static double debian_build(const bench *b, fm__faiss *f)
{
    int64_t ids[PIECE], start = fm__now_ns();
    fm_error err = {0};
    for (size_t at = 0; at < b->n; at += PIECE) {
        size_t some = b->n - at < PIECE ? b->n - at : PIECE;
        make_ids(ids, at, some);
        need(fm__faiss_add(f, ids, b->data + at * b->dim, some, &err) == FM_OK, &err);
    }
    return seconds_since(start);
}

static void debian(bench *b, char **efforts, int count)
{
    char *index_path = NULL;
    need(asprintf(&index_path, "%s/index", b->folder) > 0, NULL);
    fm__index *ix = open_index(b, index_path, false);
    printf("{\"version\": \"%s\"", fm__faiss_version());
    scan(b, ix);
    fm__index_close(&ix);
    int64_t *ids = calloc(b->nq * b->k, sizeof(*ids));
    float *distances = calloc(b->nq * b->k, sizeof(*distances));
    fm__faiss_opts o = {.kind = FM_FAISS_HNSW,
        .dim = (int)b->dim,
        .links = (int)b->links,
        .build_effort = (int)b->build_effort,
        .threads = b->threads};
    fm__faiss *f = NULL;
    fm_error err = {0};
    need(fm__faiss_new(&o, &f, &err) == FM_OK, &err);
    double processor = processor_seconds(), build = debian_build(b, f);
    printf(", \"build_s\": %.1f, \"build_processor_s\": %.1f, \"efforts\": [", build,
        processor_seconds() - processor);
    for (int i = 0; i < count; i++) {
        double best = 1e9;
        fm__faiss_set_effort(f, atoi(efforts[i]));
        for (int r = 0; r < ROUNDS; r++) {
            double took = debian_ask(b, f, ids, distances);
            best = took < best ? took : best;
        }
        printf("%s{\"effort\": %s, \"recall\": %.4f, \"qps\": %.1f}", i ? ", " : "", efforts[i],
            share(b, ids), (double)b->nq / best);
    }
    puts("]}");
    fm__faiss_free(&f);
    free(ids);
    free(distances);
    free(index_path);
}

int main(int argc, char **argv)
{
    if (argc < 11) {
        fprintf(stderr, "usage: bench_graph ours|debian DATA DIM QUERIES K THREADS FOLDER LINKS BUILD_EFFORT "
                        "EFFORT...\n");
        return 2;
    }
    bench b = {.dim = strtoul(argv[3], NULL, 10),
        .k = strtoul(argv[5], NULL, 10),
        .threads = atoi(argv[6]),
        .folder = argv[7],
        .links = strtoul(argv[8], NULL, 10),
        .build_effort = strtoul(argv[9], NULL, 10)};
    b.data = map_file(argv[2], b.dim, &b.n);
    b.queries = map_file(argv[4], b.dim, &b.nq);
    b.exact = calloc(b.nq * b.k, sizeof(*b.exact));
    need(b.exact != NULL, NULL);
    if (strcmp(argv[1], "ours") == 0) {
        ours(&b, argv + 10, argc - 10);
    } else {
        debian(&b, argv + 10, argc - 10);
    }
    free(b.exact);
    return 0;
}
