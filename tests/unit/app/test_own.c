// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// A network of the program's own: it sees the frames' pixels in batches no larger than asked for, in no more
// threads than there are slots, what it says comes out, and what it fails at is told.

#include "../testing.h"

#include <framemill/framemill.h>

#include <pthread.h>

enum { W = 32, H = 16, VALUES = 5, FRAMES = 24 };

typedef struct probe {
    fm_own_shape shape;
    fm_status describe, open, run; // what the functions say
    bool silent;                   // without a message
    pthread_mutex_t lock;
    // protected by lock
    int opened, closed, slots, runs, rows, most_rows, at_once, most_at_once;
    char model[32];
} probe;

static fm_status say(const probe *p, fm_status st, fm_error *err)
{
    if (st != FM_OK && !p->silent) {
        err->status = st;
        snprintf(err->msg, sizeof(err->msg), "the accelerator is on fire");
    }
    return st;
}

static fm_status describe(void *opaque, const char *model, fm_own_shape *shape, fm_error *err)
{
    probe *p = opaque;
    snprintf(p->model, sizeof(p->model), "%s", model);
    *shape = p->shape;
    return say(p, p->describe, err);
}

static fm_status open_net(void *opaque, const char *model, int slots, void **net, fm_error *err)
{
    probe *p = opaque;
    (void)model;
    p->slots = slots;
    p->opened += p->open == FM_OK;
    *net = p;
    return say(p, p->open, err);
}

// The mean levels of R, G, B, spread so that a softmax tells them apart, and two more classes that never win.
static void look(const probe *p, const uint8_t *row, float *out)
{
    size_t pixels = (size_t)W * H;
    for (size_t c = 0; c < 3; c++) {
        uint64_t sum = 0;
        for (size_t i = 0; i < pixels; i++) {
            sum += row[p->shape.nhwc ? 3 * i + c : c * pixels + i];
        }
        out[c] = (float)sum / (float)pixels / 10;
    }
    out[3] = out[4] = -50;
}

static fm_status run_net(void *net, const uint8_t *input, int rows, float *const *outputs, fm_error *err)
{
    probe *p = net;
    pthread_mutex_lock(&p->lock);
    p->runs++;
    p->rows += rows;
    p->most_rows = rows > p->most_rows ? rows : p->most_rows;
    p->at_once++;
    p->most_at_once = p->at_once > p->most_at_once ? p->at_once : p->most_at_once;
    pthread_mutex_unlock(&p->lock);
    for (int r = 0; r < rows; r++) {
        look(p, input + (size_t)r * W * H * 3, outputs[0] + r * VALUES);
    }
    pthread_mutex_lock(&p->lock);
    p->at_once--;
    pthread_mutex_unlock(&p->lock);
    return say(p, p->run, err);
}

static void close_net(void *net)
{
    ((probe *)net)->closed++;
}

static void init(probe *p, fm_own_backend *table, fm_run_opts *o)
{
    *p = (probe){.shape = {.width = W, .height = H, .output_count = 1}};
    p->shape.outputs[0].rank = 1;
    p->shape.outputs[0].dims[0] = VALUES;
    pthread_mutex_init(&p->lock, NULL);
    *table = (fm_own_backend)FM_OWN_BACKEND_INIT;
    table->describe = describe;
    table->open = open_net;
    table->run = run_net;
    table->close = close_net;
    table->opaque = p;
    *o = (fm_run_opts)FM_RUN_OPTS_INIT;
    o->detector = "none";
    o->classifier = "own:anything at all";
    o->own_backend = table;
    o->batch = 4;
    o->workers = 2;
    o->threads = 2;
}

static void it_sees_pixels_and_its_answers_come_out(void **state)
{
    (void)state;
    for (int nhwc = 0; nhwc < 2; nhwc++) {
        probe p;
        fm_own_backend table;
        fm_run_opts o;
        init(&p, &table, &o);
        p.shape.nhwc = nhwc;
        fm_processor *processor = NULL;
        fm_error err = {0};
        if (fm_processor_new(&o, &processor, &err) != FM_OK) {
            fail_msg("%s", err.msg);
        }
        static uint8_t pixels[FRAMES][50 * 40 * 3];
        fm_frame_view views[FRAMES];
        fm_result *results[FRAMES];
        for (int i = 0; i < FRAMES; i++) { // frame i is of colour i % 3; B, G, R every other time
            bool bgr = i % 2;
            for (size_t k = 0; k < sizeof(pixels[i]); k++) {
                pixels[i][k] = k % 3 == (size_t)(bgr ? 2 - i % 3 : i % 3) ? 200 : 20;
            }
            views[i] = (fm_frame_view){.plane = {pixels[i]},
                .stride = {150},
                .width = 50,
                .height = 40,
                .format = bgr ? FM_PIXFMT_BGR24 : FM_PIXFMT_RGB24};
        }
        assert_int_equal(fm_processor_run(processor, 0, views, FRAMES, results, &err), FM_OK);
        for (int i = 0; i < FRAMES; i++) {
            assert_null(results[i]->error);
            assert_int_equal(results[i]->classes[0].class_id, i % 3);
            assert_true(results[i]->classes[0].score > 0.99F); // 18 apart before the softmax
            fm_result_free(&results[i]);
        }
        fm_processor_free(&processor);
        assert_string_equal(p.model, "anything at all");
        assert_int_equal(p.slots, 2);
        assert_int_equal(p.rows, FRAMES);
        assert_int_equal(p.most_rows, 4);
        assert_in_range(p.most_at_once, 1, 2);
        assert_int_equal(p.opened, 1);
        assert_int_equal(p.closed, 1);
    }
}

static void a_failure_is_that_of_its_frames(void **state)
{
    (void)state;
    probe p;
    fm_own_backend table;
    fm_run_opts o;
    init(&p, &table, &o);
    p.run = FM_BACKEND;
    fm_processor *processor = NULL;
    fm_error err = {0};
    static const uint8_t grey[64 * 48];
    fm_frame_view view = {
        .plane = {grey}, .stride = {64}, .width = 64, .height = 48, .format = FM_PIXFMT_GRAY8};
    assert_int_equal(fm_processor_new(&o, &processor, &err), FM_OK);
    for (int i = 0; i < 2; i++) {
        fm_result *r = NULL;
        assert_int_equal(fm_processor_run(processor, 0, &view, 1, &r, &err), FM_OK);
        assert_non_null(strstr(r->error, p.silent ? "inference backend error" : "on fire"));
        fm_result_free(&r);
        p.silent = true;
    }
    fm_processor_free(&processor);
}

static void check_refused(const fm_run_opts *o, fm_status want, const char *part)
{
    fm_processor *processor = NULL;
    fm_error err = {0};
    fm_status st = fm_processor_new(o, &processor, &err);
    if (st != want || !strstr(err.msg, part)) {
        fail_msg("%s '%s' instead of %s '...%s...'", fm_status_name(st), err.msg, fm_status_name(want), part);
    }
}

static void what_does_not_hold_is_refused(void **state)
{
    (void)state;
    probe p;
    fm_own_backend table;
    fm_run_opts o;
    init(&p, &table, &o);
    p.describe = FM_IO;
    check_refused(&o, FM_IO, "cannot be described: the accelerator");
    init(&p, &table, &o);
    p.open = FM_NOTFOUND;
    check_refused(&o, FM_NOTFOUND, "cannot be opened");
    assert_int_equal(p.closed, 0);
    init(&p, &table, &o);
    p.shape.width = 4;
    check_refused(&o, FM_INVAL, "shape");
    init(&p, &table, &o);
    p.shape.output_count = 9;
    check_refused(&o, FM_INVAL, "shape");
    init(&p, &table, &o);
    p.shape.outputs[0].rank = 2;
    p.shape.outputs[0].dims[0] = p.shape.outputs[0].dims[1] = INT64_C(1) << 40;
    check_refused(&o, FM_INVAL, "shape");
    init(&p, &table, &o);
    table.run = NULL;
    check_refused(&o, FM_INVAL, "FM_OWN_BACKEND_INIT");
    init(&p, &table, &o);
    table.struct_size = 1;
    check_refused(&o, FM_INVAL, "FM_OWN_BACKEND_INIT");
    init(&p, &table, &o);
    o.workers = 200;
    check_refused(&o, FM_INVAL, "slots");
    init(&p, &table, &o);
    o.own_backend = NULL;
    check_refused(&o, FM_INVAL, "model store");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_sees_pixels_and_its_answers_come_out),
        cmocka_unit_test(a_failure_is_that_of_its_frames),
        cmocka_unit_test(what_does_not_hold_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
