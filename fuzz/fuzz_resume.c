// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// pipeline/resume.c: any bytes as the state that a stream goes on from, as they are and with the check sum
// put right, since it would hide all that lies behind it. What is accepted must be saved as the same bytes
// again, and the gate must run on from it.

#include "base/alloc.h"
#include "base/crc32c.h"
#include "fuzz.h"
#include "pipeline/private.h"

#include <string.h>

enum { AT_SUM = 12, HEADER = 16, MAX_SIDE = 512 };

static uint32_t field(const uint8_t *data, size_t at)
{
    return (uint32_t)data[at] | (uint32_t)data[at + 1] << 8 | (uint32_t)data[at + 2] << 16 |
           (uint32_t)data[at + 3] << 24;
}

static void run_gate(fm__gate *g)
{
    FUZZ_CHECK(fm__gate_save(g, NULL, 0) >= 24);
    uint8_t *saved = malloc(fm__gate_save(g, NULL, 0));
    FUZZ_CHECK(saved != NULL);
    (void)fm__gate_save(g, saved, fm__gate_save(g, NULL, 0));
    int w = (int)field(saved, 0), h = (int)field(saved, 4);
    free(saved);
    if (w > MAX_SIDE || h > MAX_SIDE)
        return;
    uint8_t *pixels = malloc((size_t)w * (size_t)h);
    FUZZ_CHECK(pixels != NULL);
    memset(pixels, 99, (size_t)w * (size_t)h);
    fm_frame_view v = {.plane = {pixels, pixels, pixels},
        .stride = {w, w, w},
        .width = w,
        .height = h,
        .format = FM_PIXFMT_YUV420P};
    fm__look look;
    FUZZ_CHECK(fm__gate_decide(g, &v, INT64_MAX / 2, &look, NULL) == FM_OK);
    free(pixels);
}

static void load(const uint8_t *data, size_t size)
{
    fm_pipeline_stream stream = {.name = "s", .state = data, .state_size = size};
    fm_pipeline p = {.o = {.streams = &stream, .settings = "s=1\n", .checkpoint_every = 1}};
    lane l = {.p = &p};
    fm_stream_mark mark;
    fm_error err = {0};
    uint64_t start = 0;
    FUZZ_CHECK(fm__gate_new(0, true, &l.gate, NULL) == FM_OK && fm__hold_new(&l.hold, NULL) == FM_OK);
    fm_status st = fm__pipeline_check_state(&p, data, size, &start, &err);
    FUZZ_CHECK(st == fm__resume_mark(&l, &mark, &err));
    FUZZ_CHECK(st == FM_OK ? start == mark.frame + 1 && mark.pts_ns >= 0 : err.msg[0] != '\0');
    if (st == FM_OK && fm__resume_load(&l, &err) == FM_OK) {
        work w = {.noted = NULL};
        size_t again = 0;
        FUZZ_CHECK(fm__resume_note(&l, &mark, &w, NULL) == FM_OK);
        fm__resume_carry(&l, &w);
        const void *bytes = fm__resume_take(&l, &w, &again);
        FUZZ_CHECK(bytes && again == size && memcmp(bytes, data, size) == 0);
        run_gate(l.gate);
        fm__free(w.noted);
        fm__resume_clear(&l);
    }
    fm__gate_free(&l.gate);
    fm__hold_free(&l.hold);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    load(data, size);
    if (size < HEADER)
        return 0;
    uint8_t *mended = malloc(size);
    FUZZ_CHECK(mended != NULL);
    memcpy(mended, data, size);
    uint32_t sum = fm__crc32c(0, data + HEADER, size - HEADER);
    for (int i = 0; i < 4; i++)
        mended[AT_SUM + i] = (uint8_t)(sum >> (8 * i));
    load(mended, size);
    free(mended);
    return 0;
}
