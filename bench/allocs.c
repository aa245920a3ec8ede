// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Allocations a frame in the steady state. One run of the given inputs; at two points, after `warm` results
// of all streams together and after twice as many, the counters are read: framemill's own allocator, and
// malloc of the whole process, which this program stands in front of (glibc's documented replacement of
// malloc, forwarding to the __libc_ entry points). What malloc saw beyond our own is third parties': libav,
// OpenVINO, libc. Exit code 1 when our own allocator was called at all between the points, in each of three
// runs: a queue that reaches a depth it never had takes its buffer once, and that once is allowed.

#include "base/alloc.h"

#include <framemill/memory.h>
#include <framemill/run.h>

#include <errno.h>
#include <getopt.h>
#include <malloc.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ATTEMPTS 3
#define MAX_INPUTS 64
#define MAX_MODULES 32

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t n, size_t size);
extern void *__libc_realloc(void *ptr, size_t size);
extern void *__libc_memalign(size_t align, size_t size);

FM_API void *memalign(size_t align, size_t size);

static atomic_uint_fast64_t malloc_count;

// Exported, so that the libraries' calls come here too.

static void count_one(void)
{
    atomic_fetch_add_explicit(&malloc_count, 1, memory_order_relaxed);
}

FM_API void *malloc(size_t size)
{
    count_one();
    return __libc_malloc(size);
}

FM_API void *calloc(size_t n, size_t size)
{
    count_one();
    return __libc_calloc(n, size);
}

FM_API void *realloc(void *ptr, size_t size)
{
    count_one();
    return __libc_realloc(ptr, size);
}

FM_API void *memalign(size_t align, size_t size)
{
    count_one();
    return __libc_memalign(align, size);
}

FM_API void *aligned_alloc(size_t align, size_t size)
{
    count_one();
    return __libc_memalign(align, size);
}

FM_API int posix_memalign(void **out, size_t align, size_t size)
{
    count_one();
    void *p = __libc_memalign(align, size);
    if (p)
        *out = p;
    return p ? 0 : ENOMEM;
}

/** Both counters, and ours by module, at one moment. */
typedef struct counters {
    uint64_t ours, all;
    fm_memory_stat modules[MAX_MODULES];
    size_t module_count;
} counters;

typedef struct probe {
    uint64_t warm;
    atomic_uint_fast64_t results;
    counters begin, end;
} probe;

static void read_counters(counters *c)
{
    c->all = atomic_load(&malloc_count);
    c->ours = fm__alloc_count();
    c->module_count = fm_memory_stats(c->modules, MAX_MODULES);
}

static void on_result(const fm_result *result, void *opaque)
{
    probe *p = opaque;
    (void)result;
    uint64_t n = atomic_fetch_add(&p->results, 1) + 1;
    if (n == p->warm)
        read_counters(&p->begin);
    else if (n == 2 * p->warm)
        read_counters(&p->end);
}

typedef struct settings {
    const char *detector, *backend;
    uint64_t warm;
    int batch;
    fm_model_store_opts store;
    fm_stream_opts streams[MAX_INPUTS];
    size_t stream_count;
} settings;

static void run_once(const settings *s, probe *p)
{
    fm_error err = {0};
    fm_run *run = NULL;
    fm_run_opts o = FM_RUN_OPTS_INIT;
    o.streams = s->streams;
    o.stream_count = s->stream_count;
    o.detector = s->detector;
    o.backend = s->backend;
    o.batch = s->batch;
    o.max_frames = (3 * p->warm + s->stream_count - 1) / s->stream_count;
    o.on_result = on_result;
    o.opaque = p;
    o.store = s->store.models_dir ? &s->store : NULL;
    if (fm_run_new(&o, &run, &err) != FM_OK || fm_run_start(run, &err) != FM_OK) {
        fprintf(stderr, "allocs: %s\n", err.msg);
        exit(2);
    }
    (void)fm_run_wait(run, -1); // the results tell how it went
    fm_run_free(&run);
    if (p->end.all == 0) {
        fprintf(
            stderr, "allocs: the inputs have fewer than %llu frames\n", (unsigned long long)(2 * p->warm));
        exit(2);
    }
}

static uint64_t module_allocations(const counters *c, const char *module)
{
    for (size_t i = 0; i < c->module_count; i++)
        if (strcmp(c->modules[i].module, module) == 0)
            return c->modules[i].allocations;
    return 0;
}

static void print_probe(const probe *p)
{
    uint64_t ours = p->end.ours - p->begin.ours, all = p->end.all - p->begin.all;
    double frames = (double)p->warm;
    printf(
        "{\"frames\":%llu,\"own\":%llu,\"own_per_frame\":%.4f,\"third_party_per_frame\":%.2f,\"modules\":{",
        (unsigned long long)p->warm, (unsigned long long)ours, (double)ours / frames,
        (double)(all - ours) / frames);
    const char *comma = "";
    for (size_t i = 0; i < p->end.module_count; i++) {
        const fm_memory_stat *m = &p->end.modules[i];
        uint64_t n = m->allocations - module_allocations(&p->begin, m->module);
        if (n > 0) {
            printf("%s\"%s\":%llu", comma, m->module, (unsigned long long)n);
            comma = ",";
        }
    }
    printf("}}\n");
    fflush(stdout);
}

static settings parse(int argc, char **argv)
{
    static const struct option flags[] = {{"share", 1, NULL, 's'}, {"models", 1, NULL, 'm'},
        {"detector", 1, NULL, 'd'}, {"backend", 1, NULL, 'k'}, {"batch", 1, NULL, 'b'},
        {"warm", 1, NULL, 'w'}, {0}};
    settings s = {.warm = 200, .store = FM_MODEL_STORE_OPTS_INIT};
    int c;
    while ((c = getopt_long(argc, argv, "", flags, NULL)) != -1) {
        if (c == 's')
            s.store.share_dir = optarg;
        else if (c == 'm')
            s.store.models_dir = optarg;
        else if (c == 'd')
            s.detector = optarg;
        else if (c == 'k')
            s.backend = optarg;
        else if (c == 'b')
            s.batch = atoi(optarg);
        else if (c == 'w')
            s.warm = strtoull(optarg, NULL, 10);
        else
            exit(2);
    }
    for (; optind < argc && s.stream_count < MAX_INPUTS; optind++)
        s.streams[s.stream_count++].url = argv[optind];
    if (s.stream_count == 0 || s.warm == 0) {
        fprintf(stderr, "usage: allocs [--share DIR --models DIR] [--detector NAME] [--backend NAME] "
                        "[--batch N] [--warm N] INPUT...\n");
        exit(2);
    }
    return s;
}

int main(int argc, char **argv)
{
    settings s = parse(argc, argv);
    for (int i = 0; i < ATTEMPTS; i++) {
        static probe p;
        memset(&p, 0, sizeof p);
        p.warm = s.warm;
        run_once(&s, &p);
        print_probe(&p);
        if (p.end.ours == p.begin.ours)
            return 0;
    }
    return 1;
}
