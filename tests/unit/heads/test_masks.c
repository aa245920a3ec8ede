// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Objects with masks: yolov8-seg and yolov5-seg in every layout against a plain computation in double over
// the whole frame, mask-rcnn against torchvision's pasting written out, what shapes fit, and what becomes of
// objects at borders and of numbers that are none.

#include "base/alloc.h"
#include "heads/head.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { SIDE = 64, CELLS = SIDE / 4, COEFS = 5, CLASSES = 3, MAX_DETS = 8, LEVELS = FM_CPU_LEVEL_COUNT };
enum { ANCHORS8 = 84, ANCHORS5 = 3 * ANCHORS8 };

static uint32_t next(uint32_t *rng)
{
    *rng = *rng * 1664525u + 1013904223u;
    return *rng >> 8;
}

static float uniform(uint32_t *rng)
{
    return (float)next(rng) / 8388608.0f - 1.0f;
}

/** What a network might have said, in one layout: one object a candidate that is listed. */
typedef struct scene {
    float coef[2][COEFS];
    float proto[COEFS][CELLS][CELLS];
    fm_box box[2]; // input pixels
    int class_id[2];
    float score[2];
    int place[2];
} scene;

static scene make_scene(uint32_t seed)
{
    scene s = {.box = {{10, 6, 50, 58}, {30.5f, 20.25f, 63, 40}},
        .class_id = {2, 0},
        .score = {0.9f, 0.7f},
        .place = {77, 3}};
    for (int k = 0; k < COEFS; k++) {
        s.coef[0][k] = uniform(&seed);
        s.coef[1][k] = uniform(&seed);
        for (int i = 0; i < CELLS * CELLS; i++)
            s.proto[k][i / CELLS][i % CELLS] = uniform(&seed);
    }
    return s;
}

typedef struct layout {
    const char *type;
    bool rows, channels_last, unit, protos_first;
} layout;

typedef struct net {
    fm_tensor outs[2];
    float *data[2];
} net;

static void put_candidate(float *v, int64_t step, const scene *s, int o, const layout *l)
{
    float by = l->unit ? 1.0f / SIDE : 1.0f;
    fm_box b = s->box[o];
    int i = 0;
    v[step * i++] = (b.x0 + b.x1) / 2 * by;
    v[step * i++] = (b.y0 + b.y1) / 2 * by;
    v[step * i++] = (b.x1 - b.x0) * by;
    v[step * i++] = (b.y1 - b.y0) * by;
    if (strcmp(l->type, "yolov5-seg") == 0)
        v[step * i++] = 1;
    v[step * (i + s->class_id[o])] = s->score[o];
    for (int k = 0; k < COEFS; k++)
        v[step * (i + CLASSES + k)] = s->coef[o][k];
}

static net make_net(const scene *s, const layout *l)
{
    net n = {0};
    bool is_v5 = strcmp(l->type, "yolov5-seg") == 0;
    int64_t channels = (is_v5 ? 5 : 4) + CLASSES + COEFS, anchors = is_v5 ? ANCHORS5 : ANCHORS8;
    int boxes = l->protos_first, protos = !l->protos_first;
    bool rows = is_v5 || l->rows;
    for (int i = 0; i < 2; i++) // two rows of a batch: the second one holds the scene
        n.data[i] =
            calloc(2 * (size_t)(i == boxes ? channels * anchors : COEFS * CELLS * CELLS), sizeof(float));
    n.outs[boxes] = (fm_tensor){.data = n.data[boxes],
        .dtype = FM_DTYPE_F32,
        .rank = 3,
        .dims = {2, rows ? anchors : channels, rows ? channels : anchors}};
    n.outs[protos] = (fm_tensor){
        .data = n.data[protos], .dtype = FM_DTYPE_F32, .rank = 4, .dims = {2, COEFS, CELLS, CELLS}};
    if (l->channels_last)
        memcpy(n.outs[protos].dims, (int64_t[]){2, CELLS, CELLS, COEFS}, 4 * sizeof(int64_t));
    for (int o = 0; o < 2; o++)
        put_candidate(n.data[boxes] + channels * anchors + s->place[o] * (rows ? channels : 1),
            rows ? 1 : anchors, s, o, l);
    float *v = n.data[protos] + COEFS * CELLS * CELLS;
    for (int k = 0; k < COEFS; k++) {
        for (int i = 0; i < CELLS * CELLS; i++)
            v[l->channels_last ? i * COEFS + k : k * CELLS * CELLS + i] = s->proto[k][i / CELLS][i % CELLS];
    }
    return n;
}

static void free_net(net *n)
{
    free(n->data[0]);
    free(n->data[1]);
}

/** Everything that one row of a network gives. */
typedef struct objects {
    fm_det dets[MAX_DETS];
    fm_mask masks[MAX_DETS];
    uint32_t places[MAX_DETS];
    size_t count, size;
    uint8_t *bits;
} objects;

static objects run(const fm_head *head, const fm_tensor *outs, size_t n, int64_t row, const fm_fit_map *map,
    fm_cpu_level level)
{
    objects o = {0};
    void *scratch = fm__calloc_aligned(FM_TAG_HEADS, fm__head_scratch_size(head), 64);
    fm_head_query q = {.conf = 0.5f, .iou = 0.9f, .max_dets = MAX_DETS, .level = level};
    o.count = fm__head_objects(head, outs, n, row, &q, map, o.dets, o.masks, o.places, scratch);
    o.size = fm__masks_size(o.masks, o.count);
    o.bits = malloc(o.size + 64);
    memset(o.bits, 0xa5, o.size + 64);
    fm__head_masks(head, outs, n, row, map, o.places, o.masks, o.count, o.bits, scratch, level);
    for (size_t i = 0; i < 64; i++)
        assert_int_equal(o.bits[o.size + i], 0xa5);
    fm__free(scratch);
    return o;
}

// The first row of every batch here is empty.
static void expect_nothing(const fm_head *head, const fm_tensor *outs, size_t n, const fm_fit_map *map)
{
    objects o = run(head, outs, n, 0, map, FM_CPU_SCALAR);
    assert_int_equal(o.count, 0);
    free(o.bits);
}

static fm_head make_head(const char *type, fm_head_boxes boxes, const fm_tensor *outs, size_t n, int classes)
{
    fm_head head;
    fm_error err = {0};
    fm_head_opts opts = {.type = type, .boxes = boxes, .class_count = classes};
    if (fm__head_init(&head, &opts, SIDE, SIDE, outs, n, &err) != FM_OK)
        fail_msg("%s: %s", type, err.msg);
    return head;
}

static double logit(const scene *s, int o, int x, int y)
{
    double sum = 0;
    for (int k = 0; k < COEFS; k++)
        sum += (double)s->coef[o][k] * (double)s->proto[k][y][x];
    return sum;
}

static double hold(double v, double limit)
{
    return v < 0 ? 0 : v > limit ? limit : v;
}

// The logit at the centre of a source pixel.
static double sample(const scene *s, int o, const fm_fit_map *m, int px, int py)
{
    double ix = (px + 0.5 - (double)m->src_x) / (double)m->src_cw * m->dst_cw + m->dst_x;
    double iy = (py + 0.5 - (double)m->src_y) / (double)m->src_ch * m->dst_ch + m->dst_y;
    double x = hold(ix / 4 - 0.5, CELLS - 1), y = hold(iy / 4 - 0.5, CELLS - 1);
    int x0 = (int)x, y0 = (int)y, x1 = x0 + (x0 < CELLS - 1), y1 = y0 + (y0 < CELLS - 1);
    double up = logit(s, o, x0, y0) * (1 - x + x0) + logit(s, o, x1, y0) * (x - x0);
    double down = logit(s, o, x0, y1) * (1 - x + x0) + logit(s, o, x1, y1) * (x - x0);
    return up * (1 - y + y0) + down * (y - y0);
}

// Every pixel of the frame; numbers so near to the threshold that float may fall to the other side are passed
// over.
static void check_mask(const scene *s, int o, const fm_fit_map *map, const fm_det *det, const fm_mask *mask)
{
    int set = 0;
    for (int y = 0; y < map->src_h; y++) {
        for (int x = 0; x < map->src_w; x++) {
            double v = sample(s, o, map, x, y);
            bool in_box = x + 0.5f >= det->box.x0 && x + 0.5f < det->box.x1 && y + 0.5f >= det->box.y0 &&
                          y + 0.5f < det->box.y1;
            if (fm_mask_at(mask, x, y) != (in_box && v > 0) && fabs(v) > 1e-5)
                fail_msg("object %d at %d, %d: %d, logit %g", o, x, y, fm_mask_at(mask, x, y), v);
            set += fm_mask_at(mask, x, y);
        }
    }
    assert_true(set > 0);
    for (int y = 0; y < mask->height; y++) { // nothing beyond the width
        for (int i = mask->width; i < mask->stride * 8; i++)
            assert_int_equal(mask->bits[y * mask->stride + i / 8] >> (i % 8) & 1, 0);
    }
}

static const fm_fit_map maps[] = {
    {.src_w = 64,
        .src_h = 64,
        .dst_w = 64,
        .dst_h = 64,
        .src_cw = 64,
        .src_ch = 64,
        .dst_cw = 64,
        .dst_ch = 64},
    // letterbox of 200 x 150 in the middle, of 1999 x 1499 (more than one strip) in the corner
    {.src_w = 200,
        .src_h = 150,
        .dst_w = 64,
        .dst_h = 64,
        .src_cw = 200,
        .src_ch = 150,
        .dst_y = 8,
        .dst_cw = 64,
        .dst_ch = 48},
    {.src_w = 1999,
        .src_h = 1499,
        .dst_w = 64,
        .dst_h = 64,
        .src_cw = 1999,
        .src_ch = 1499,
        .dst_cw = 64,
        .dst_ch = 48},
    // a frame smaller than the prototypes, and a crop
    {.src_w = 11,
        .src_h = 9,
        .dst_w = 64,
        .dst_h = 64,
        .src_cw = 11,
        .src_ch = 9,
        .dst_cw = 64,
        .dst_ch = 64},
    {.src_w = 160,
        .src_h = 100,
        .dst_w = 64,
        .dst_h = 64,
        .src_x = 36.5f,
        .src_y = 6.25f,
        .src_cw = 87.5f,
        .src_ch = 87.5f,
        .dst_cw = 64,
        .dst_ch = 64},
};

static void masks_of_every_layout_equal_a_plain_computation(void **state)
{
    (void)state;
    static const layout layouts[] = {
        {.type = "yolov8-seg"},
        {.type = "yolov8-seg", .rows = true, .unit = true},
        {.type = "yolov8-seg", .channels_last = true, .protos_first = true},
        {.type = "yolov5-seg"},
        {.type = "yolov5-seg", .channels_last = true, .unit = true},
        {.type = "yolov5-seg", .protos_first = true},
    };
    for (size_t i = 0; i < sizeof layouts / sizeof layouts[0]; i++) {
        const layout *l = &layouts[i];
        scene s = make_scene((uint32_t)i + 1);
        net n = make_net(&s, l);
        fm_head_opts guessed = {0};
        assert_int_equal(fm__head_guess(n.outs, 2, SIDE, SIDE, FM_TASK_SEGMENTATION, &guessed, NULL), FM_OK);
        assert_string_equal(guessed.type, l->type);
        fm_head head = make_head(l->type, l->unit ? FM_HEAD_BOXES_UNIT : FM_HEAD_BOXES_PIXELS, n.outs, 2, 0);
        assert_int_equal(head.class_count, CLASSES);
        assert_true(fm__head_has_objects(&head));
        for (size_t m = 0; m < sizeof maps / sizeof maps[0]; m++) {
            objects first = run(&head, n.outs, 2, 1, &maps[m], FM_CPU_SCALAR);
            assert_int_equal(first.count, 2);
            for (int o = 0; o < 2; o++) {
                assert_int_equal(first.dets[o].class_id, s.class_id[o]);
                assert_int_equal(first.places[o], s.place[o]);
                assert_int_equal(first.dets[o].track_id, 0);
                check_mask(&s, o, &maps[m], &first.dets[o], &first.masks[o]);
            }
            for (int level = 1; level <= (int)fm__cpu_level(); level++) {
                objects other = run(&head, n.outs, 2, 1, &maps[m], (fm_cpu_level)level);
                assert_int_equal(other.size, first.size);
                assert_memory_equal(other.bits, first.bits, first.size);
                free(other.bits);
            }
            free(first.bits);
            expect_nothing(&head, n.outs, 2, &maps[m]);
        }
        free_net(&n);
    }
}

static void objects_outside_of_the_frame_are_left_out(void **state)
{
    (void)state;
    scene s = make_scene(5);
    layout l = {.type = "yolov8-seg"};
    s.box[0] = (fm_box){10, 0.5f, 50, 7};      // in the padding above a letterboxed frame
    s.box[1] = (fm_box){30.1f, 20, 30.2f, 40}; // no pixel's centre is in it
    net n = make_net(&s, &l);
    fm_head head = make_head(l.type, FM_HEAD_BOXES_PIXELS, n.outs, 2, CLASSES);
    objects o = run(&head, n.outs, 2, 1, &maps[1], fm__cpu_level());
    assert_int_equal(o.count, 1);
    assert_int_equal(o.dets[0].class_id, s.class_id[1]);
    assert_int_equal(o.masks[0].width, 0);
    assert_int_equal(o.masks[0].height, 0);
    assert_int_equal(o.size, 0);
    assert_int_equal(fm_mask_at(&o.masks[0], 94, 60), 0);
    free(o.bits);
    free_net(&n);
}

static void what_is_no_number_is_not_set(void **state)
{
    (void)state;
    scene s = make_scene(7);
    layout l = {.type = "yolov8-seg"};
    s.coef[0][0] = NAN;
    s.coef[1][0] = INFINITY;
    for (int i = 0; i < CELLS * CELLS; i++)
        s.proto[0][i / CELLS][i % CELLS] = i % CELLS < CELLS / 2 ? 1 : -1;
    net n = make_net(&s, &l);
    fm_head head = make_head(l.type, FM_HEAD_BOXES_PIXELS, n.outs, 2, CLASSES);
    for (int level = 0; level <= (int)fm__cpu_level(); level++) {
        objects o = run(&head, n.outs, 2, 1, &maps[0], (fm_cpu_level)level);
        for (int y = 0; y < SIDE; y++) {
            for (int x = 0; x < SIDE; x++)
                assert_int_equal(fm_mask_at(&o.masks[0], x, y), 0);
            assert_int_equal(fm_mask_at(&o.masks[1], 50, y), 0);
        }
        free(o.bits);
    }
    free_net(&n);
}

static void shapes_that_do_not_fit_are_named(void **state)
{
    (void)state;
    fm_tensor t[2] = {{.dtype = FM_DTYPE_F32, .rank = 3, .dims = {1, 116, 8400}},
        {.dtype = FM_DTYPE_F32, .rank = 4, .dims = {1, 32, 160, 160}}};
    fm_head head;
    fm_error err = {0};
    fm_head_opts opts = {.type = "yolov8-seg"};
    assert_int_equal(fm__head_init(&head, &opts, 640, 640, t, 2, &err), FM_OK);
    assert_int_equal(head.class_count, 80);
    assert_int_equal(head.anchors, 8400);
    assert_int_equal(head.coefs, 32);
    assert_int_equal(fm__head_init(&head, &opts, 640, 640, t, 1, &err), FM_FORMAT);
    assert_non_null(strstr(err.msg, "[1,116,8400]"));
    opts.class_count = 20;
    assert_int_equal(fm__head_init(&head, &opts, 640, 640, t, 2, &err), FM_FORMAT);
    assert_non_null(strstr(err.msg, "20 labels"));
    opts.class_count = 0;
    t[1].dtype = FM_DTYPE_I32;
    assert_int_equal(fm__head_init(&head, &opts, 640, 640, t, 2, &err), FM_FORMAT);
    assert_non_null(strstr(err.msg, "i32"));
    t[1].dtype = FM_DTYPE_F32;
    t[1].dims[1] = 300;
    assert_int_equal(fm__head_init(&head, &opts, 640, 640, t, 2, &err), FM_FORMAT);
    opts.type = "yolov8"; // a detector's head takes one output
    assert_int_equal(fm__head_init(&head, &opts, 640, 640, t, 2, &err), FM_FORMAT);
    assert_int_equal(fm__head_guess(t, 1, 640, 640, FM_TASK_SEGMENTATION, &opts, &err), FM_NOTFOUND);
    assert_non_null(strstr(err.msg, "mask-rcnn"));
}

enum { PLACES = 3, M = 28 };

typedef struct rcnn {
    float boxes[2][PLACES][4], scores[2][PLACES], masks[2][PLACES][M][M];
    int64_t labels[2][PLACES], counts[2];
    fm_tensor outs[5];
} rcnn;

static void make_rcnn(rcnn *r)
{
    uint32_t rng = 11;
    *r = (rcnn){.counts = {0, 2}};
    const float boxes[PLACES][4] = {{-3.2f, 10.4f, 20.6f, 63.5f}, {30, 20.5f, 60.25f, 33.1f}, {1, 1, 9, 9}};
    memcpy(r->boxes[1], boxes, sizeof boxes);
    for (int p = 0; p < PLACES; p++) {
        r->scores[1][p] = 0.9f - 0.1f * (float)p;
        r->labels[1][p] = 90 - 89 * p;
        for (int i = 0; i < M * M; i++)
            r->masks[1][p][i / M][i % M] = (uniform(&rng) + 1) / 2;
    }
    r->outs[0] = (fm_tensor){r->counts, FM_DTYPE_I64, 1, {2}};
    r->outs[1] = (fm_tensor){r->masks, FM_DTYPE_F32, 5, {2, PLACES, 1, M, M}};
    r->outs[2] = (fm_tensor){r->boxes, FM_DTYPE_F32, 3, {2, PLACES, 4}};
    r->outs[3] = (fm_tensor){r->labels, FM_DTYPE_I64, 2, {2, PLACES}};
    r->outs[4] = (fm_tensor){r->scores, FM_DTYPE_F32, 2, {2, PLACES}};
}

// A probability of the pasted mask at a pixel of the frame, as torchvision computes it, in its float.
static float pasted(const rcnn *r, int p, const fm_fit_map *m, int px, int py)
{
    float b[4], probability[M + 2][M + 2] = {{0}};
    for (int i = 0; i < 4; i++) {
        float cut = i % 2 ? (float)m->src_ch / (float)m->dst_ch : (float)m->src_cw / (float)m->dst_cw;
        b[i] = (r->boxes[1][p][i] - (float)(i % 2 ? m->dst_y : m->dst_x)) * cut;
    }
    for (int i = 0; i < M * M; i++)
        probability[i / M + 1][i % M + 1] = r->masks[1][p][i / M][i % M];
    float scale = (float)(M + 2) / M, hw = (b[2] - b[0]) * 0.5f * scale, hh = (b[3] - b[1]) * 0.5f * scale;
    float cx = (b[2] + b[0]) * 0.5f, cy = (b[3] + b[1]) * 0.5f;
    int x0 = (int)(cx - hw), y0 = (int)(cy - hh), x1 = (int)(cx + hw), y1 = (int)(cy + hh);
    int w = x1 - x0 + 1 > 1 ? x1 - x0 + 1 : 1, h = y1 - y0 + 1 > 1 ? y1 - y0 + 1 : 1;
    if (px < x0 || px > x1 || py < y0 || py > y1)
        return 0;
    float sx = ((float)(px - x0) + 0.5f) * (float)(M + 2) / (float)w - 0.5f;
    float sy = ((float)(py - y0) + 0.5f) * (float)(M + 2) / (float)h - 0.5f;
    sx = sx < 0 ? 0 : sx;
    sy = sy < 0 ? 0 : sy;
    int ix = (int)sx, iy = (int)sy, nx = ix + (ix < M + 1), ny = iy + (iy < M + 1);
    float fx = sx - (float)ix, fy = sy - (float)iy;
    return (1 - fy) * ((1 - fx) * probability[iy][ix] + fx * probability[iy][nx]) +
           fy * ((1 - fx) * probability[ny][ix] + fx * probability[ny][nx]);
}

static void mask_rcnn_pastes_as_torchvision(void **state)
{
    (void)state;
    static rcnn r;
    make_rcnn(&r);
    fm_head_opts guessed = {0};
    assert_int_equal(fm__head_guess(r.outs, 5, SIDE, SIDE, FM_TASK_ANY, &guessed, NULL), FM_OK);
    assert_string_equal(guessed.type, "mask-rcnn");
    fm_head head = make_head("mask-rcnn", FM_HEAD_BOXES_PIXELS, r.outs, 5, 0);
    assert_int_equal(head.class_count, 91);
    for (size_t m = 0; m < 3; m++) {
        objects first = {0};
        for (int level = 0; level <= (int)fm__cpu_level(); level++) {
            objects o = run(&head, r.outs, 5, 1, &maps[m], (fm_cpu_level)level);
            assert_int_equal(o.count, 2); // of three places two are filled
            assert_int_equal(o.dets[0].class_id, 90);
            assert_int_equal(o.dets[1].class_id, 1);
            assert_true(level == 0 || memcmp(o.bits, first.bits, o.size) == 0);
            if (level == 0)
                first = o;
            else
                free(o.bits);
        }
        for (int i = 0; i < maps[m].src_w * maps[m].src_h; i++) {
            int x = i % maps[m].src_w, y = i / maps[m].src_w;
            for (int p = 0; p < 2; p++) {
                float v = pasted(&r, p, &maps[m], x, y);
                if (fm_mask_at(&first.masks[p], x, y) != (v > 0.5f) && fabsf(v - 0.5f) > 1e-4f)
                    fail_msg("map %zu object %d at %d, %d: probability %g", m, p, x, y, (double)v);
            }
        }
        free(first.bits);
        expect_nothing(&head, r.outs, 5, &maps[m]);
    }
}

static void mask_rcnn_survives_what_no_network_says(void **state)
{
    (void)state;
    static rcnn r;
    make_rcnn(&r);
    r.counts[1] = INT64_MAX;
    r.boxes[1][0][0] = NAN;
    r.boxes[1][1][2] = 3e38f;
    r.labels[1][2] = -1;
    fm_head head = make_head("mask-rcnn", FM_HEAD_BOXES_PIXELS, r.outs, 5, 0);
    objects o = run(&head, r.outs, 5, 1, &maps[1], fm__cpu_level());
    assert_int_equal(o.count, 1);
    assert_true(o.masks[0].x >= 0 && o.masks[0].x + o.masks[0].width <= maps[1].src_w);
    free(o.bits);
    r.outs[4].dims[1] = 2;
    fm_error err = {0};
    assert_int_equal(
        fm__head_init(&head, &(fm_head_opts){.type = "mask-rcnn"}, SIDE, SIDE, r.outs, 5, &err), FM_FORMAT);
    assert_non_null(strstr(err.msg, "[2,3,1,28,28]"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(masks_of_every_layout_equal_a_plain_computation),
        cmocka_unit_test(objects_outside_of_the_frame_are_left_out),
        cmocka_unit_test(what_is_no_number_is_not_set),
        cmocka_unit_test(shapes_that_do_not_fit_are_named),
        cmocka_unit_test(mask_rcnn_pastes_as_torchvision),
        cmocka_unit_test(mask_rcnn_survives_what_no_network_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
