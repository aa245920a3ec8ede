// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// The ref backend against pictures drawn here: what it finds is what was drawn, whatever the batch, the
// layout and the request; injected failures come when asked for and leave requests usable; nothing completes
// twice.

#include "infer/infer.h"
#include "waiter.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define SIDE 96
#define CELLS ((SIDE / 8) * (SIDE / 8))

typedef struct rect {
    int cls, x, y, w, h;
} rect;

static const uint8_t colors[6][3] = {
    {255, 0, 0}, {0, 255, 0}, {0, 0, 255}, {255, 255, 0}, {255, 0, 255}, {0, 255, 255}};

static void draw(uint8_t *row, bool nchw, const rect *r)
{
    for (int y = r->y; y < r->y + r->h; y++) {
        for (int x = r->x; x < r->x + r->w; x++) {
            for (int c = 0; c < 3; c++) {
                row[nchw ? (c * SIDE + y) * SIDE + x : (y * SIDE + x) * 3 + c] = colors[r->cls][c];
            }
        }
    }
}

static fm_net *open_net(const char *name, int batch, int slots, fm_layout layout)
{
    fm_net_desc desc = {.backend = "ref",
        .path = name,
        .batch = batch,
        .slots = slots,
        .layout = layout,
        .input_w = SIDE,
        .input_h = SIDE};
    fm_error err = {0};
    fm_net *net = NULL;
    if (fm__net_open(&desc, &net, &err) != FM_OK) {
        fail_msg("%s", err.msg);
    }
    return net;
}

static fm_tensor run(fm_request *req, waiter *w, int index, int rows)
{
    fm_tensor out = {0};
    assert_int_equal(fm__request_start(req, rows, NULL), FM_OK);
    assert_int_equal(waiter_take(w, index), index);
    assert_int_equal(fm__request_finish(req, &out, NULL), FM_OK);
    return out;
}

// Every drawn rectangle is the answer of some cell, exactly, and no cell says anything else.
static void check_row(const float *cells, const rect *rects, size_t n)
{
    size_t hits[8] = {0};
    for (size_t i = 0; i < CELLS; i++) {
        const float *v = cells + i * 11;
        if (v[4] <= 0) {
            continue;
        }
        size_t k = 0;
        for (; k < n; k++) {
            const rect *r = &rects[k];
            if (v[5 + r->cls] == 1.0F && v[0] == (float)r->x + (float)r->w / 2 &&
                v[1] == (float)r->y + (float)r->h / 2 && v[2] == (float)r->w && v[3] == (float)r->h) {
                hits[k]++;
                break;
            }
        }
        if (k == n) {
            fail_msg("cell %zu found %g,%g %gx%g which was not drawn", i, v[0], v[1], v[2], v[3]);
        }
    }
    for (size_t k = 0; k < n; k++) {
        assert_true(hits[k] > 0);
    }
}

static const rect scene[] = {{0, 8, 8, 24, 16}, {1, 50, 5, 21, 30}, {2, 10, 40, 17, 17}, {3, 40, 50, 30, 9},
    {4, 75, 40, 16, 40}, {5, 5, 70, 40, 20}};

static void finds_what_was_drawn(void **state)
{
    (void)state;
    for (int layout = 0; layout < 2; layout++) {
        fm_net *net = open_net("shapes", 1, 1, layout ? FM_LAYOUT_NHWC : FM_LAYOUT_NCHW);
        waiter w;
        waiter_init(&w);
        waiter_slot slot = {&w, 0};
        fm_request *req = NULL;
        assert_int_equal(fm__request_new(net, waiter_post, &slot, &req, NULL), FM_OK);
        fm_tensor in = fm__request_input(req);
        memset(in.data, 90, (size_t)fm__tensor_count(&in));
        for (size_t i = 0; i < 6; i++) {
            draw(in.data, layout == 0, &scene[i]);
        }
        fm_tensor out = run(req, &w, 0, 1);
        assert_int_equal(out.dims[1], CELLS);
        check_row(out.data, scene, 6);
        fm__request_free(&req);
        fm__net_close(&net);
        waiter_done(&w);
    }
}

static void grey_black_and_white_are_nothing(void **state)
{
    (void)state;
    fm_net *net = open_net("shapes", 1, 1, FM_LAYOUT_NCHW);
    waiter w;
    waiter_init(&w);
    waiter_slot slot = {&w, 0};
    fm_request *req = NULL;
    assert_int_equal(fm__request_new(net, waiter_post, &slot, &req, NULL), FM_OK);
    fm_tensor in = fm__request_input(req);
    for (int v = 0; v < 256; v += 15) {
        memset(in.data, v, (size_t)fm__tensor_count(&in));
        fm_tensor out = run(req, &w, 0, 1);
        check_row(out.data, NULL, 0);
    }
    fm__request_free(&req);
    fm__net_close(&net);
    waiter_done(&w);
}

// Pictures 0..n-1 of a batch differ; each must come out as it does alone.
static void batch_does_not_matter(void **state)
{
    (void)state;
    enum { N = 5 };
    static float alone[N][CELLS * 11];
    fm_net *net = open_net("shapes", N, 3, FM_LAYOUT_NCHW);
    const fm_net_info *info = fm__net_info(net);
    assert_int_equal(info->batch, N);
    assert_int_equal(info->sizes[info->size_count - 1], N);
    waiter w;
    waiter_init(&w);
    waiter_slot slots[3] = {{&w, 0}, {&w, 1}, {&w, 2}};
    fm_request *req[3] = {0};
    for (int i = 0; i < 3; i++) {
        assert_int_equal(fm__request_new(net, waiter_post, &slots[i], &req[i], NULL), FM_OK);
    }
    size_t row = 3 * SIDE * SIDE;
    for (int i = 0; i < N; i++) {
        uint8_t *in = fm__request_input(req[0]).data;
        memset(in, 90, row);
        draw(in, true, &scene[i]);
        memcpy(alone[i], run(req[0], &w, 0, 1).data, sizeof(alone[i]));
    }
    for (int r = 0; r < 3; r++) {
        uint8_t *in = fm__request_input(req[r]).data;
        memset(in, 90, row * N);
        for (int i = 0; i < N; i++) {
            draw(in + (size_t)i * row, true, &scene[i]);
        }
        for (int k = info->size_count - 1; k >= 0; k--) {
            fm_tensor out = run(req[r], &w, r, info->sizes[k]);
            assert_int_equal(out.dims[0], info->sizes[k]);
            assert_memory_equal(out.data, alone, (size_t)info->sizes[k] * sizeof(alone[0]));
        }
        fm__request_free(&req[r]);
    }
    fm__net_close(&net);
    waiter_done(&w);
}

// "colors" in a batch of two: means of the fields of a 4 x 8 grid, which 96 x 96 pixels divide evenly.
static void colors_are_means_of_fields(void **state)
{
    (void)state;
    enum { FIELD_W = SIDE / 4, FIELD_H = SIDE / 8, ROW = 3 * SIDE * SIDE };
    for (int layout = 0; layout < 2; layout++) {
        fm_net *net = open_net("colors", 2, 1, layout ? FM_LAYOUT_NHWC : FM_LAYOUT_NCHW);
        waiter w;
        waiter_init(&w);
        waiter_slot slot = {&w, 0};
        fm_request *req = NULL;
        assert_int_equal(fm__request_new(net, waiter_post, &slot, &req, NULL), FM_OK);
        uint8_t *in = fm__request_input(req).data;
        memset(in, 0, ROW);
        memset(in + ROW, 255, ROW);
        const rect half = {3, FIELD_W, FIELD_H, FIELD_W / 2, FIELD_H}; // yellow, in the field (1, 1)
        draw(in, layout == 0, &half);
        fm_tensor out = run(req, &w, 0, 2);
        assert_int_equal(out.rank, 2);
        assert_int_equal(out.dims[1], 96);
        const float *v = out.data;
        for (int i = 0; i < 96; i++) {
            bool is_yellow = i / 3 == 5 && i % 3 < 2;
            assert_true(v[i] == (is_yellow ? 0.0F : -127.5F));
            assert_true(v[96 + i] == 127.5F);
        }
        fm__request_free(&req);
        fm__net_close(&net);
        waiter_done(&w);
    }
}

static void injected_failures_alternate_and_requests_recover(void **state)
{
    (void)state;
    fm_net *net = open_net("shapes:fail_every=3:delay_us=10", 2, 1, FM_LAYOUT_NCHW);
    waiter w;
    waiter_init(&w);
    waiter_slot slot = {&w, 0};
    fm_request *req = NULL;
    assert_int_equal(fm__request_new(net, waiter_post, &slot, &req, NULL), FM_OK);
    char seen[13] = {0};
    for (int i = 0; i < 12; i++) {
        fm_tensor out;
        if (fm__request_start(req, 1, NULL) != FM_OK) {
            seen[i] = 's';
            continue;
        }
        assert_int_equal(waiter_take(&w, 0), 0);
        seen[i] = fm__request_finish(req, &out, NULL) == FM_OK ? '.' : 'f';
    }
    assert_string_equal(seen, "..s..f..s..f");
    assert_int_equal(w.done[0], 0);
    fm__request_free(&req);
    fm__net_close(&net);
    waiter_done(&w);
}

// One thread keeps many requests going; each start is answered once.
static void every_start_completes_once(void **state)
{
    (void)state;
    enum { SLOTS = 8, STARTS = 400 };
    fm_net *net = open_net("shapes", 4, SLOTS, FM_LAYOUT_NCHW);
    waiter w;
    waiter_init(&w);
    waiter_slot slots[SLOTS];
    fm_request *req[SLOTS] = {0};
    int started = 0, finished = 0;
    for (int i = 0; i < SLOTS; i++) {
        slots[i] = (waiter_slot){&w, i};
        assert_int_equal(fm__request_new(net, waiter_post, &slots[i], &req[i], NULL), FM_OK);
        assert_int_equal(fm__request_start(req[i], 1 << (i % 3), NULL), FM_OK);
        started++;
    }
    while (finished < started) {
        fm_tensor out;
        int i = waiter_take(&w, -1);
        assert_true(i >= 0);
        assert_int_equal(fm__request_finish(req[i], &out, NULL), FM_OK);
        finished++;
        if (started < STARTS) {
            assert_int_equal(fm__request_start(req[i], 1 << (started % 3), NULL), FM_OK);
            started++;
        }
    }
    assert_int_equal(finished, STARTS);
    for (int i = 0; i < SLOTS; i++) {
        assert_int_equal(w.done[i], 0);
        fm__request_free(&req[i]);
    }
    fm__net_close(&net);
    waiter_done(&w);
}

static void bad_names_and_sizes_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        fm_status want;
    } cases[] = {{"nothing", FM_NOTFOUND}, {"", FM_NOTFOUND}, {"shapes:speed=1", FM_INVAL},
        {"shapes:delay_us=x", FM_INVAL}, {"shapes:delay_us=-1", FM_INVAL}, {"shapes:size=4x4", FM_INVAL},
        {"shapes:size=64", FM_INVAL}, {"shapes:size=64x64x3", FM_INVAL}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        fm_net_desc desc = {.backend = "ref", .path = cases[i].name};
        fm_net *net = NULL;
        assert_int_equal(fm__net_open(&desc, &net, NULL), cases[i].want);
        assert_null(net);
    }
    fm_net_desc desc = {.backend = "nosuch", .path = "shapes"};
    fm_net *net = NULL;
    assert_int_equal(fm__net_open(&desc, &net, NULL), FM_UNSUPPORTED);
    net = open_net("shapes", 4, 1, FM_LAYOUT_NCHW);
    waiter_slot slot = {0};
    fm_request *req = NULL;
    assert_int_equal(fm__request_new(net, waiter_post, &slot, &req, NULL), FM_OK);
    assert_int_equal(fm__request_start(req, 3, NULL), FM_INVAL);
    assert_int_equal(fm__request_start(req, 0, NULL), FM_INVAL);
    fm__request_free(&req);
    fm__net_close(&net);
}

static void describe_tells_the_shape_without_opening(void **state)
{
    (void)state;
    fm_net_desc desc = {.backend = "ref", .path = "shapes:size=64x48", .batch = 9};
    fm_net_info info;
    assert_int_equal(fm__net_describe(&desc, &info, NULL), FM_OK);
    assert_int_equal(info.input_w, 64);
    assert_int_equal(info.input_h, 48);
    assert_int_equal(info.outputs[0].dims[0], 1);
    assert_int_equal(info.outputs[0].dims[1], 8 * 6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_what_was_drawn),
        cmocka_unit_test(grey_black_and_white_are_nothing),
        cmocka_unit_test(batch_does_not_matter),
        cmocka_unit_test(colors_are_means_of_fields),
        cmocka_unit_test(injected_failures_alternate_and_requests_recover),
        cmocka_unit_test(every_start_completes_once),
        cmocka_unit_test(bad_names_and_sizes_are_refused),
        cmocka_unit_test(describe_tells_the_shape_without_opening),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
