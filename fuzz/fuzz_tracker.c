// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// track/tracker.h: any bytes as a saved tracker, as they are and with length and check sum put right, since
// they would hide all that lies behind them; and any bytes as detections. What is accepted must save as the
// same bytes and run on, marks and boxes in order.

#include "fuzz.h"
#include "track/tracker.h"

#include <math.h>
#include <string.h>

enum { DIM = 4, AT_TYPE = 12, AT_LAST = 33, AT_LENGTH = 49, HEADER = 57, SUM = 8, DETS = 24, FRAMES = 6 };

static fm_tracker *make(const char *type)
{
    fm_tracker_opts o;
    fm_tracker *t = NULL;
    FUZZ_CHECK(fm__tracker_opts_init(&o, type, NULL) == FM_OK);
    o.dim = fm__tracker_wants_features(type) ? DIM : 0;
    o.budget = 9;
    o.max_tracks = 16;
    o.reentry_count = 3;
    o.reid = FM_REID_AMBIGUOUS;
    FUZZ_CHECK(fm__tracker_new(&o, &t, NULL) == FM_OK);
    return t;
}

// Floats of whatever bytes come, some made likely ones.
static float number(const uint8_t *data, size_t size, size_t *at)
{
    uint32_t bits = 0;
    for (int i = 0; i < 4; i++)
        bits |= (uint32_t)data[(*at)++ % size] << (8 * i);
    float v;
    memcpy(&v, &bits, sizeof v);
    return bits % 4 == 0 ? v : (float)(bits >> 8 & 1023);
}

static void run_on(fm_tracker *t, uint64_t frame, const uint8_t *data, size_t size)
{
    size_t at = 0;
    for (int i = 0; i < FRAMES && frame < UINT64_MAX - 300; i++) {
        fm_det dets[DETS];
        float features[DETS][DIM];
        const float *given[DETS];
        uint8_t wants[DETS];
        fm_track_mark marks[DETS];
        size_t n = data[at % size] % DETS, asked = 0, count = 0;
        frame += 1 + (data[at++ % size] == 255 ? 200 : 0);
        for (size_t k = 0; k < n; k++) {
            float x = number(data, size, &at), y = number(data, size, &at);
            dets[k] =
                (fm_det){.box = {x, y, x + number(data, size, &at) / 8, y + number(data, size, &at) / 8}};
            dets[k].score = number(data, size, &at) / 1023;
            dets[k].class_id = data[at % size] % 2;
            for (int j = 0; j < DIM; j++)
                features[k][j] = number(data, size, &at);
            given[k] = data[at % size] % 7 == 0 ? NULL : features[k];
        }
        FUZZ_CHECK(fm__tracker_begin(t, frame, 640, 480, dets, n, wants, &asked, NULL) == FM_OK);
        for (size_t k = 0; k < n; k++)
            count += wants[k];
        FUZZ_CHECK(count == asked);
        FUZZ_CHECK(fm__tracker_finish(t, given, marks, NULL) == FM_OK);
        for (size_t k = 0; k < n; k++) {
            FUZZ_CHECK(marks[k].id >= 0);
            for (size_t j = 0; j < k; j++)
                FUZZ_CHECK(marks[k].id == 0 || marks[k].id != marks[j].id);
            FUZZ_CHECK(marks[k].id == 0 || !isnan(marks[k].filtered.x0 + marks[k].filtered.y1));
        }
    }
}

// What was run must load again.
static void save_and_load(fm_tracker *t, const char *type)
{
    size_t size = fm__tracker_save(t, NULL, 0);
    uint8_t *data = malloc(size);
    fm_tracker *again = make(type);
    FUZZ_CHECK(data != NULL && fm__tracker_save(t, data, size) == size);
    fm_error err = {0};
    if (fm__tracker_load(again, data, size, &err) != FM_OK) {
        fprintf(stderr, "%s\n", err.msg);
        abort();
    }
    free(data);
    fm__tracker_free(&again);
}

static void load(const char *type, const uint8_t *data, size_t size)
{
    fm_tracker *t = make(type);
    fm_error err = {0};
    size_t empty = fm__tracker_save(t, NULL, 0);
    if (fm__tracker_load(t, data, size, &err) == FM_OK) {
        uint8_t *again = malloc(size);
        FUZZ_CHECK(again != NULL && fm__tracker_save(t, again, size) == size);
        FUZZ_CHECK(memcmp(again, data, size) == 0);
        free(again);
        uint64_t last = 0;
        for (int i = 7; i >= 0; i--)
            last = last << 8 | data[AT_LAST + i];
        run_on(t, last, data, size);
        save_and_load(t, type);
    } else {
        FUZZ_CHECK(err.msg[0] != '\0' && fm__tracker_save(t, NULL, 0) == empty);
    }
    fm__tracker_free(&t);
}

static void put_le(uint8_t *p, uint64_t v)
{
    for (int i = 0; i < 8; i++)
        p[i] = (uint8_t)(v >> (8 * i));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *const *names = fm__tracker_names();
    const char *type = names[0];
    for (size_t i = 0; names[i] != NULL; i++)
        if (size > AT_TYPE + 16 && memcmp(data + AT_TYPE, names[i], strlen(names[i]) + 1) == 0)
            type = names[i];
    load(type, data, size);
    if (size > 0) {
        fm_tracker *t = make(type);
        run_on(t, 0, data, size);
        save_and_load(t, type);
        fm__tracker_free(&t);
    }
    if (size < HEADER + SUM)
        return 0;
    uint8_t *mended = malloc(size);
    FUZZ_CHECK(mended != NULL);
    memcpy(mended, data, size);
    put_le(mended + AT_LENGTH, size - HEADER - SUM);
    uint64_t sum = 14695981039346656037u;
    for (size_t i = 0; i < size - SUM; i++)
        sum = (sum ^ mended[i]) * 1099511628211u;
    put_le(mended + size - SUM, sum);
    load(type, mended, size);
    free(mended);
    return 0;
}
