// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// How fast a store is written: frames as JPEG, each with detections and their features, until all are
// acknowledged. Frames are raw I420 of a file, limited range, as a decoder gives them.
//   write FRAMES.yuv WIDTH HEIGHT COUNT DIR [full]

#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"
#include "frame/frame.h"

#include <framemill/store.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OBJECTS = 8, DIM = 512 };

static void die(const char *what)
{
    fprintf(stderr, "%s\n", what);
    exit(1);
}

static fm_frame *frame_of(fm_frame_pool *pool, const uint8_t *pixels, int w, int h)
{
    fm_frame *f = NULL;
    fm_error err;
    if (fm__frame_pool_take_pixels(pool, FM_PIXFMT_YUV420P, w, h, &f, &err) != FM_OK) {
        die(err.msg);
    }
    for (int p = 0; p < 3; p++) {
        int pw = p ? w / 2 : w, ph = p ? h / 2 : h;
        for (int y = 0; y < ph; y++, pixels += pw) {
            memcpy(fm__frame_plane(f, p) + (ptrdiff_t)y * f->view.stride[p], pixels, (size_t)pw);
        }
    }
    return f;
}

int main(int argc, char **argv)
{
    if (argc < 6) {
        die("write FRAMES.yuv WIDTH HEIGHT COUNT DIR [full]");
    }
    int w = atoi(argv[2]), h = atoi(argv[3]), count = atoi(argv[4]);
    size_t len = 0, one = (size_t)w * (size_t)h * 3 / 2;
    char *raw = NULL;
    fm_error err = {0};
    fm_frame_pool *pool = NULL;
    fm_frame *frames[256];
    if (fm__file_read(FM_TAG_APP, argv[1], (size_t)1 << 31, &raw, &len, &err) != FM_OK ||
        fm__frame_pool_new(&pool, &err) != FM_OK) {
        die(err.msg);
    }
    size_t n = len / one < 256 ? len / one : 256;
    for (size_t i = 0; i < n; i++) {
        frames[i] = frame_of(pool, (const uint8_t *)raw + i * one, w, h);
    }
    static float features[OBJECTS][DIM];
    fm_store_object objects[OBJECTS];
    for (int k = 0; k < OBJECTS; k++) {
        for (int i = 0; i < DIM; i++) {
            features[k][i] = (float)((k * 7919 + i * 104729) % 2001) / 1000.0f - 1;
        }
        objects[k] = (fm_store_object){.box = {(float)k * 50, 40, (float)k * 50 + 40, 140},
            .score = 0.8f,
            .label = "person",
            .track = k + 1,
            .feature = features[k]};
    }
    fm_store_opts o = FM_STORE_OPTS_INIT;
    fm_store *s = NULL;
    int64_t run = 0;
    o.dir = argv[5];
    o.sync = argc > 6 ? FM_STORE_SYNC_FULL : FM_STORE_SYNC_NORMAL;
    int64_t start = fm__now_ns();
    if (fm_store_open(&o, &s, &err) != FM_OK || fm_store_begin_run(s, "bench", NULL, &run, &err) != FM_OK) {
        die(err.msg);
    }
    for (int i = 0; i < count; i++) {
        fm_store_record r = FM_STORE_RECORD_INIT;
        r.run = run;
        r.frame = (uint64_t)i;
        r.width = w;
        r.height = h;
        r.picture = frames[(size_t)i % n];
        r.objects = objects;
        r.object_count = OBJECTS;
        r.feature_dim = DIM;
        r.feature_model = "bench";
        if (fm_store_put(s, &r, NULL, NULL, &err) != FM_OK) {
            die(err.msg);
        }
    }
    fm_store_counts c;
    if (fm_store_flush(s, &err) != FM_OK || fm_store_count(s, &c, &err) != FM_OK || c.lost > 0) {
        die("not all of it was written");
    }
    double seconds = (double)(fm__now_ns() - start) / 1e9;
    if (fm_store_close(&s, &err) != FM_OK) {
        die(err.msg);
    }
    printf("{\"frames\":%d,\"seconds\":%.4f,\"fps\":%.1f,\"longest_ack_ms\":%.1f,\"picture_bytes\":%llu}\n",
        count, seconds, count / seconds, c.longest_ack_ms, (unsigned long long)c.picture_bytes);
    return 0;
}
