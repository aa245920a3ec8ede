// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Processor milliseconds and bytes a JPEG of I420 frames, one thread, our kernels at every level of this CPU
// and libturbojpeg (accurate and fast DCT) in turns in one run. Frames are raw, full range, in turn from
// memory.
//   jpeg_bench FRAMES.yuv WIDTH HEIGHT [QUALITY] [ROUNDS] [NAME]
// Prints a line a case: name, best, median milliseconds a frame over rounds, mean bytes.

#include "base/alloc.h"
#include "base/file.h"
#include "ops/jpeg.h"
#include "pictures.h"

#include <fm_config.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#if FM_HAVE_TURBOJPEG
#include <turbojpeg.h>
#endif

enum { MOST_FRAMES = 256, MOST_CASES = 8 };

typedef struct bench {
    fm_frame_view frames[MOST_FRAMES];
    int count, quality;
    uint8_t *out, *scratch;
    fm__jpeg_tables tables;
} bench;

static size_t ours(bench *b, const fm__jpeg_kernels *kernels, const fm_frame_view *v)
{
    fm__jpeg_run run;
    fm__jpeg_begin(&run, &b->tables, kernels, v, b->scratch);
    size_t n = fm__jpeg_head(&run, b->out);
    for (int row = 0; row < run.rows; row++) {
        n += fm__jpeg_row(&run, row, b->out + n);
    }
    return n + fm__jpeg_tail(&run, b->out + n);
}

#if FM_HAVE_TURBOJPEG
static size_t theirs(bench *b, tjhandle handle, const fm_frame_view *v, int flags)
{
    unsigned char *out = b->out;
    const unsigned char *planes[3] = {v->plane[0], v->plane[1], v->plane[2]};
    unsigned long n = tjBufSize(v->width, v->height, TJSAMP_420);
    if (tjCompressFromYUVPlanes(handle, planes, v->width, v->stride, v->height, TJSAMP_420, &out, &n,
            b->quality, TJFLAG_NOREALLOC | flags) != 0) {
        fprintf(stderr, "%s\n", tjGetErrorStr2(handle));
        exit(1);
    }
    return n;
}
#endif

typedef struct one_case {
    const char *name;
    const fm__jpeg_kernels *kernels; // NULL: libturbojpeg
    int flags;
    double ms[MAX_ROUNDS];
    size_t bytes;
} one_case;

// Of this thread, so that what else the machine does counts little.
static double processor_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static void measure(bench *b, one_case *c, int round, void *handle)
{
    double start = processor_ms();
    c->bytes = 0;
    for (int i = 0; i < b->count; i++) {
        if (c->kernels) {
            c->bytes += ours(b, c->kernels, &b->frames[i]);
        }
#if FM_HAVE_TURBOJPEG
        else {
            c->bytes += theirs(b, handle, &b->frames[i], c->flags);
        }
#endif
    }
    (void)handle;
    if (round >= 0) {
        c->ms[round] = (processor_ms() - start) / b->count;
    }
}

static int make_cases(one_case *c)
{
    int n = 0;
    for (int level = 0; level <= (int)fm__cpu_level(); level++) {
        c[n].kernels = fm__jpeg_kernels_of((fm_cpu_level)level);
        c[n++].name = fm__cpu_level_name((fm_cpu_level)level);
    }
#if FM_HAVE_TURBOJPEG
    c[n].flags = TJFLAG_ACCURATEDCT;
    c[n++].name = "libturbojpeg";
    c[n].flags = TJFLAG_FASTDCT;
    c[n++].name = "libturbojpeg-fast";
#endif
    return n;
}

static bool load(bench *b, const char *path, int w, int h)
{
    char *raw = NULL;
    size_t len = 0, one = (size_t)w * (size_t)h * 3 / 2;
    fm_error err;
    if (fm__file_read(FM_TAG_APP, path, (size_t)1 << 31, &raw, &len, &err) != FM_OK) {
        fprintf(stderr, "%s\n", err.msg);
        return false;
    }
    for (; b->count < MOST_FRAMES && (size_t)(b->count + 1) * one <= len; b->count++) {
        const uint8_t *y = (const uint8_t *)raw + (size_t)b->count * one, *u = y + (size_t)w * (size_t)h;
        b->frames[b->count] = (fm_frame_view){.plane = {y, u, u + (size_t)w * (size_t)h / 4},
            .stride = {w, w / 2, w / 2},
            .width = w,
            .height = h,
            .format = FM_PIXFMT_YUV420P,
            .range = FM_RANGE_FULL};
    }
    return b->count > 0;
}

int main(int argc, char **argv)
{
    static bench b;
    static one_case cases[MOST_CASES];
    if (argc < 4 || !load(&b, argv[1], atoi(argv[2]) & ~1, atoi(argv[3]) & ~1)) {
        fprintf(stderr, "jpeg_bench FRAMES.yuv WIDTH HEIGHT [QUALITY] [ROUNDS] [NAME]; sides are even\n");
        return 1;
    }
    const fm_frame_view *v = &b.frames[0];
    b.quality = argc > 4 ? atoi(argv[4]) : 85;
    int rounds = rounds_from(argc - 4, argv + 4, 9), count = make_cases(cases);
    fm__jpeg_tables_init(&b.tables, b.quality, FM_RANGE_FULL);
    size_t room = fm__jpeg_row_bytes(v->format, v->width) * (size_t)(v->height / 16 + 1);
    b.out = malloc(room + FM__JPEG_HEAD_BYTES);
    b.scratch = aligned_alloc(64, fm__jpeg_scratch_size(v->format, v->width));
#if FM_HAVE_TURBOJPEG
    void *handle = tjInitCompress();
#else
    void *handle = NULL;
#endif
    for (int round = -1; round < rounds && b.out && b.scratch; round++) {
        for (int i = 0; i < count; i++) {
            if (argc > 6 && strcmp(argv[6], cases[i].name) != 0) {
                continue;
            }
            measure(&b, &cases[i], round, handle);
        }
    }
    for (int i = 0; i < count; i++) {
        if (cases[i].bytes == 0) {
            continue;
        }
        sort_times(cases[i].ms, (size_t)rounds);
        printf("%s %.3f %.3f %zu\n", cases[i].name, cases[i].ms[0], cases[i].ms[rounds / 2],
            cases[i].bytes / (size_t)b.count);
    }
    return 0;
}
