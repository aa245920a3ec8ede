// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// heads/motion.h: any bytes as a saved background model, as they are and with their check sum put right,
// since it would hide all that lies behind it. What is accepted must save as the same bytes and run on.

#include "fuzz.h"
#include "heads/motion.h"

#include <string.h>

enum { AT_SRC_W = 16, AT_SRC_H = 20, AT_FORMAT = 24, HEADER = 44, SUM = 8, MAX_PIXELS = 1 << 20 };

static int field(const uint8_t *data, int at)
{
    return (int)((uint32_t)data[at] | (uint32_t)data[at + 1] << 8 | (uint32_t)data[at + 2] << 16 |
                 (uint32_t)data[at + 3] << 24);
}

// All planes of the frame are one grey block; NV12 and planar formats are read for their luma only.
static void run_on(fm_motion *m, const uint8_t *state)
{
    int w = field(state, AT_SRC_W), h = field(state, AT_SRC_H), format = field(state, AT_FORMAT);
    if (w == 0 || (int64_t)w * h > MAX_PIXELS)
        return;
    size_t bytes = (size_t)w * (size_t)h * 3;
    uint8_t *pixels = malloc(bytes);
    FUZZ_CHECK(pixels != NULL);
    memset(pixels, 99, bytes);
    fm_frame_view v = {.plane = {pixels, pixels, pixels},
        .stride = {w, w, w},
        .width = w,
        .height = h,
        .format = (fm_pixfmt)format};
    if (format == FM_PIXFMT_RGB24)
        v.stride[0] = 3 * w;
    for (int i = 0; i < 3; i++) {
        fm_det dets[8];
        size_t count = 0;
        FUZZ_CHECK(fm__motion_run(m, &v, dets, 8, &count, NULL) == FM_OK && count <= 8);
    }
    free(pixels);
}

static void load(const uint8_t *data, size_t size)
{
    fm_motion *m = NULL;
    fm_error err = {0};
    FUZZ_CHECK(fm__motion_new(&(fm_motion_opts){.seed = 1}, &m, &err) == FM_OK);
    if (fm__motion_load(m, data, size, &err) == FM_OK) {
        uint8_t *again = malloc(size);
        FUZZ_CHECK(again != NULL && fm__motion_save(m, again, size) == size);
        if (field(data, AT_SRC_W) != 0)
            FUZZ_CHECK(memcmp(again, data, size) == 0);
        free(again);
        run_on(m, data);
    } else {
        FUZZ_CHECK(
            err.msg[0] != '\0' && fm__motion_save(m, NULL, 0) == HEADER + SUM); // as before its first frame
    }
    fm__motion_free(&m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    load(data, size);
    if (size < HEADER + SUM)
        return 0;
    uint8_t *mended = malloc(size);
    FUZZ_CHECK(mended != NULL);
    memcpy(mended, data, size);
    uint64_t sum = 14695981039346656037u;
    for (size_t i = 0; i < size - SUM; i++)
        sum = (sum ^ data[i]) * 1099511628211u;
    for (int i = 0; i < SUM; i++)
        mended[size - SUM + (size_t)i] = (uint8_t)(sum >> (8 * i));
    load(mended, size);
    free(mended);
    return 0;
}
