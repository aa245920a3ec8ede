// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Makes a sequence ready for counting, as TrackEval's MotChallenge2DBox (1.0) does: ground truth whose flag
// is 0 is dropped; where ground truth has classes (MOT16, MOT17, MOT20), boxes of the result that lie on a
// distractor (by one assignment over all ground truth of the frame, overlap 0.5) are excused, and of ground
// truth only pedestrians stay. Overlap is intersection over union, computed in the same order of operations.
// Of a frame's boxes only those pairs that overlap are kept, and pairs of ids get numbers from a hash table,
// so that memory grows with what meets, not with ids times ids.

#include "track/eval_int.h"

#include "base/alloc.h"
#include "base/error.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

// 1 GiB of them; half an hour of a hundred people who each overlap with ten has 45 million.
#define MAX_OVERLAPS ((size_t)1 << 26)
#define EXCUSE_IOU 0.5
#define NO_NUMBER UINT32_MAX

enum { PEDESTRIAN = 1, VEHICLE = 6, LAST_CLASS = 13 };

/** Ids of one file. */
typedef struct id_table {
    int64_t *ids; // [count] sorted
    size_t count;
    int32_t *seen;    // [count] last frame with this id
    uint32_t *number; // [count] dense number among those that are kept, or NO_NUMBER
    uint32_t numbered;
} id_table;

typedef struct builder {
    fm_eval_seq *s;
    const fm_mot *gt, *result;
    const char *gt_name, *result_name;
    fm_eval_format format;
    id_table gt_ids, ids;
    uint32_t *slots; // hash of pairs: number + 1, 0 free
    size_t slot_count;
    fm_overlap *raw; // of the present frame, before anything is dropped
    size_t raw_count, raw_cap;
    uint8_t *excused;           // [FM_MOT_MAX_BOXES] of the present frame's boxes
    uint16_t *gt_place, *place; // [FM_MOT_MAX_BOXES] after dropping
    fm_matcher matcher;
    fm_error *err;
} builder;

/* ---- ids ---- */

static int by_value(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return x < y ? -1 : x > y;
}

static bool id_table_init(id_table *t, const fm_mot *mot)
{
    size_t n = mot->count;
    t->ids = fm__calloc_array(FM_TAG_TRACK, n + 1, sizeof(*t->ids));
    if (!t->ids) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        t->ids[i] = mot->rows[i].id;
    }
    qsort(t->ids, n, sizeof(*t->ids), by_value);
    for (size_t i = 0; i < n; i++) {
        if (i == 0 || t->ids[i] != t->ids[t->count - 1]) {
            t->ids[t->count++] = t->ids[i];
        }
    }
    t->seen = fm__calloc_array(FM_TAG_TRACK, t->count + 1, sizeof(*t->seen));
    t->number = fm__calloc_array(FM_TAG_TRACK, t->count + 1, sizeof(*t->number));
    if (!t->seen || !t->number) {
        return false;
    }
    memset(t->number, 0xff, t->count * sizeof(*t->number));
    return true;
}

static void id_table_done(id_table *t)
{
    fm__free(t->ids);
    fm__free(t->seen);
    fm__free(t->number);
}

static size_t id_place(const id_table *t, int64_t id)
{
    const int64_t *at = bsearch(&id, t->ids, t->count, sizeof(*t->ids), by_value);
    return (size_t)(at - t->ids); // every id of the file is there
}

static uint32_t id_number(id_table *t, int64_t id)
{
    uint32_t *number = &t->number[id_place(t, id)];
    if (*number == NO_NUMBER) {
        *number = t->numbered++;
    }
    return *number;
}

static fm_status check_ids(const builder *b, id_table *t, const fm_mot_row *rows, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++) {
        int32_t *seen = &t->seen[id_place(t, rows[i].id)];
        if (*seen == rows[i].frame) {
            return fm__fail(b->err, FM_FORMAT, "%s:%u: id %lld is in frame %d twice%s", name,
                (unsigned)rows[i].line, (long long)rows[i].id, (int)rows[i].frame,
                rows[i].id == -1 ? "; detections without ids cannot be evaluated" : "");
        }
        *seen = rows[i].frame;
    }
    return FM_OK;
}

/* ---- classes ---- */

static fm_eval_format format_of(const fm_mot *gt, fm_eval_format format)
{
    if (format != FM_EVAL_AUTO) {
        return format;
    }
    bool classes =
        gt->count > 0 && gt->min_columns == 9 && gt->max_columns == 9 && gt->rows[0].extra[0] != -1;
    return classes ? FM_EVAL_MOT17 : FM_EVAL_MOT15;
}

static bool has_classes(const builder *b)
{
    return b->format != FM_EVAL_MOT15;
}

static fm_status check_classes(const builder *b, const fm_mot_row *rows, size_t n)
{
    for (size_t i = 0; has_classes(b) && i < n; i++) {
        float c = rows[i].extra[0];
        if (c != floorf(c) || c < PEDESTRIAN || c > LAST_CLASS) {
            return fm__fail(b->err, FM_FORMAT,
                "%s:%u: class %g; expected 1 to 13 in column 8 (ground truth without classes is format "
                "mot15)",
                b->gt_name, (unsigned)rows[i].line, (double)c);
        }
    }
    return FM_OK;
}

// Person on a vehicle, static person, distractor, reflection.
static bool is_distractor(const builder *b, const fm_mot_row *row)
{
    int c = (int)row->extra[0];
    return c == 2 || c == 7 || c == 8 || c == 12 || (c == VEHICLE && b->format == FM_EVAL_MOT20);
}

static bool counts(const builder *b, const fm_mot_row *row)
{
    return (int)row->score != 0 && (!has_classes(b) || row->extra[0] == PEDESTRIAN);
}

/* ---- overlaps ---- */

static double least(double a, double b)
{
    return a < b ? a : b;
}

static double most(double a, double b)
{
    return a > b ? a : b;
}

// Corners are rounded before areas are taken, as TrackEval does it.
static double iou_of(const fm_mot_row *a, const fm_mot_row *b)
{
    double ax = a->x + a->w, ay = a->y + a->h, bx = b->x + b->w, by = b->y + b->h;
    double w = least(ax, bx) - most(a->x, b->x), h = least(ay, by) - most(a->y, b->y);
    if (w <= 0 || h <= 0) {
        return 0;
    }
    double area_a = (ax - a->x) * (ay - a->y), area_b = (bx - b->x) * (by - b->y), both = w * h;
    double all = area_a + area_b - both, tiny = 2.220446049250313e-16;
    return area_a > tiny && area_b > tiny && all > tiny ? both / all : 0;
}

static fm_status measure(builder *b, const fm_mot_row *gt, size_t n, const fm_mot_row *boxes, size_t m)
{
    b->raw_count = 0;
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; k < m; k++) {
            double iou = iou_of(&gt[i], &boxes[k]);
            if (iou <= 0) {
                continue;
            }
            if (!fm__grow(FM_TAG_TRACK, (void **)&b->raw, &b->raw_cap, b->raw_count + 1, sizeof(*b->raw))) {
                return fm__fail_nomem(b->err, "the overlaps of a frame");
            }
            b->raw[b->raw_count++] = (fm_overlap){.iou = iou, .gt = (uint16_t)i, .box = (uint16_t)k};
        }
    }
    return FM_OK;
}

// Which boxes lie on distractors.
static fm_status excuse(builder *b, const fm_mot_row *gt, size_t n, size_t m)
{
    memset(b->excused, 0, m);
    if (!has_classes(b)) {
        return FM_OK;
    }
    if (!fm__matcher_begin(&b->matcher, n, m, b->raw_count)) {
        return fm__fail_nomem(b->err, "an assignment");
    }
    for (size_t i = 0; i < b->raw_count; i++) {
        if (fm__iou_reaches(b->raw[i].iou, EXCUSE_IOU)) {
            fm__matcher_add(&b->matcher, b->raw[i].gt, b->raw[i].box, b->raw[i].iou);
        }
    }
    const int32_t *box_of = fm__matcher_best(&b->matcher);
    for (size_t i = 0; i < n; i++) {
        if (box_of[i] >= 0 && is_distractor(b, &gt[i])) {
            b->excused[box_of[i]] = 1;
        }
    }
    return FM_OK;
}

/* ---- pairs of ids ---- */

static size_t hash(uint32_t gt, uint32_t track)
{
    uint64_t z = ((uint64_t)gt << 32 | track) * UINT64_C(0x9e3779b97f4a7c15);
    return (size_t)(z ^ z >> 32);
}

static uint32_t *find_slot(const builder *b, uint32_t gt, uint32_t track)
{
    for (size_t i = hash(gt, track);; i++) {
        uint32_t *slot = &b->slots[i & (b->slot_count - 1)];
        if (*slot == 0) {
            return slot;
        }
        const fm_id_pair *p = &b->s->pairs[*slot - 1];
        if (p->gt == gt && p->track == track) {
            return slot;
        }
    }
}

// A power of two, at least twice as many as there are pairs.
static bool grow_slots(builder *b)
{
    fm_eval_seq *s = b->s;
    if (b->slot_count >= 2 * (s->pair_count + 1)) {
        return true;
    }
    size_t n = b->slot_count ? 2 * b->slot_count : 1024;
    uint32_t *slots = fm__calloc_array(FM_TAG_TRACK, n, sizeof(*slots));
    if (!slots) {
        return false;
    }
    fm__free(b->slots);
    b->slots = slots;
    b->slot_count = n;
    for (size_t i = 0; i < s->pair_count; i++) {
        *find_slot(b, s->pairs[i].gt, s->pairs[i].track) = (uint32_t)i + 1;
    }
    return true;
}

static bool pair_number(builder *b, uint32_t gt, uint32_t track, uint32_t *out)
{
    fm_eval_seq *s = b->s;
    if (!grow_slots(b) ||
        !fm__grow(FM_TAG_TRACK, (void **)&s->pairs, &s->pair_cap, s->pair_count + 1, sizeof(*s->pairs))) {
        return false;
    }
    uint32_t *slot = find_slot(b, gt, track);
    if (*slot == 0) {
        s->pairs[s->pair_count++] = (fm_id_pair){gt, track};
        *slot = (uint32_t)s->pair_count;
    }
    *out = *slot - 1;
    return true;
}

/* ---- frames ---- */

static bool add_id(uint32_t **ids, size_t *count, size_t *cap, uint32_t number)
{
    if (!fm__grow(FM_TAG_TRACK, (void **)ids, cap, *count + 1, sizeof(**ids))) {
        return false;
    }
    (*ids)[(*count)++] = number;
    return true;
}

// Boxes that count get their places; others get none.
static bool add_boxes(
    builder *b, fm_eval_frame *f, const fm_mot_row *gt, size_t n, const fm_mot_row *boxes, size_t m)
{
    fm_eval_seq *s = b->s;
    for (size_t i = 0; i < n; i++) {
        b->gt_place[i] = UINT16_MAX;
        if (counts(b, &gt[i])) {
            b->gt_place[i] = (uint16_t)f->gt_count++;
            if (!add_id(&s->gt_ids, &s->gt_count, &s->gt_cap, id_number(&b->gt_ids, gt[i].id))) {
                return false;
            }
        }
    }
    for (size_t i = 0; i < m; i++) {
        b->place[i] = UINT16_MAX;
        if (!b->excused[i]) {
            b->place[i] = (uint16_t)f->box_count++;
            if (!add_id(&s->box_ids, &s->box_count, &s->box_cap, id_number(&b->ids, boxes[i].id))) {
                return false;
            }
        }
    }
    return true;
}

static fm_status add_overlaps(builder *b, fm_eval_frame *f)
{
    fm_eval_seq *s = b->s;
    for (size_t i = 0; i < b->raw_count; i++) {
        fm_overlap v = b->raw[i];
        v.gt = b->gt_place[v.gt];
        v.box = b->place[v.box];
        if (v.gt == UINT16_MAX || v.box == UINT16_MAX) {
            continue;
        }
        if (s->overlap_count == MAX_OVERLAPS) {
            return fm__fail(b->err, FM_UNSUPPORTED,
                "%s: more than %zu boxes overlap the ground truth; split the sequence", b->result_name,
                MAX_OVERLAPS);
        }
        uint32_t gt = s->gt_ids[f->gt_first + v.gt], track = s->box_ids[f->box_first + v.box];
        if (!pair_number(b, gt, track, &v.pair) ||
            !fm__grow(FM_TAG_TRACK, (void **)&s->overlaps, &s->overlap_cap, s->overlap_count + 1,
                sizeof(*s->overlaps))) {
            return fm__fail_nomem(b->err, "an evaluation");
        }
        s->overlaps[s->overlap_count++] = v;
        f->overlap_count++;
    }
    return FM_OK;
}

static fm_status add_frame(builder *b, const fm_mot_row *gt, size_t n, const fm_mot_row *boxes, size_t m)
{
    fm_eval_seq *s = b->s;
    fm_eval_frame f = {.gt_first = s->gt_count, .box_first = s->box_count, .overlap_first = s->overlap_count};
    fm_status st = check_ids(b, &b->gt_ids, gt, n, b->gt_name);
    st = st == FM_OK ? check_ids(b, &b->ids, boxes, m, b->result_name) : st;
    st = st == FM_OK ? check_classes(b, gt, n) : st;
    st = st == FM_OK ? measure(b, gt, n, boxes, m) : st;
    st = st == FM_OK ? excuse(b, gt, n, m) : st;
    if (st == FM_OK && !add_boxes(b, &f, gt, n, boxes, m)) {
        st = fm__fail_nomem(b->err, "an evaluation");
    }
    st = st == FM_OK ? add_overlaps(b, &f) : st;
    if (st != FM_OK || (f.gt_count == 0 && f.box_count == 0)) {
        return st;
    }
    if (!fm__grow(FM_TAG_TRACK, (void **)&s->frames, &s->frame_cap, s->frame_count + 1, sizeof(*s->frames))) {
        return fm__fail_nomem(b->err, "an evaluation");
    }
    s->frames[s->frame_count++] = f;
    s->max_gt = f.gt_count > s->max_gt ? f.gt_count : s->max_gt;
    s->max_boxes = f.box_count > s->max_boxes ? f.box_count : s->max_boxes;
    return FM_OK;
}

// Both files' frames side by side.
static fm_status add_frames(builder *b)
{
    const fm_mot *g = b->gt, *r = b->result;
    fm_status st = FM_OK;
    for (size_t i = 0, k = 0; st == FM_OK && (i < g->frame_count || k < r->frame_count);) {
        int32_t gf = i < g->frame_count ? g->frames[i].frame : INT32_MAX;
        int32_t rf = k < r->frame_count ? r->frames[k].frame : INT32_MAX;
        const fm_mot_frame *gt = gf <= rf ? &g->frames[i++] : NULL,
                           *boxes = rf <= gf ? &r->frames[k++] : NULL;
        st = add_frame(b, gt ? &g->rows[gt->first] : NULL, gt ? gt->count : 0,
            boxes ? &r->rows[boxes->first] : NULL, boxes ? boxes->count : 0);
    }
    return st;
}

static fm_status count_lengths(builder *b)
{
    fm_eval_seq *s = b->s;
    s->gt_track_count = b->gt_ids.numbered;
    s->track_count = b->ids.numbered;
    s->gt_length = fm__calloc_array(FM_TAG_TRACK, s->gt_track_count + (size_t)1, sizeof(*s->gt_length));
    s->length = fm__calloc_array(FM_TAG_TRACK, s->track_count + (size_t)1, sizeof(*s->length));
    if (!s->gt_length || !s->length) {
        return fm__fail_nomem(b->err, "an evaluation");
    }
    for (size_t i = 0; i < s->gt_count; i++) {
        s->gt_length[s->gt_ids[i]]++;
    }
    for (size_t i = 0; i < s->box_count; i++) {
        s->length[s->box_ids[i]]++;
    }
    return FM_OK;
}

static bool builder_init(builder *b)
{
    // So that a place among no overlaps is one in an array, not an offset to NULL.
    if (!fm__grow(FM_TAG_TRACK, (void **)&b->s->overlaps, &b->s->overlap_cap, 1, sizeof(*b->s->overlaps))) {
        return false;
    }
    b->excused = fm__calloc_array(FM_TAG_TRACK, FM_MOT_MAX_BOXES, sizeof(*b->excused));
    b->gt_place = fm__calloc_array(FM_TAG_TRACK, FM_MOT_MAX_BOXES, sizeof(*b->gt_place));
    b->place = fm__calloc_array(FM_TAG_TRACK, FM_MOT_MAX_BOXES, sizeof(*b->place));
    return b->excused && b->gt_place && b->place && id_table_init(&b->gt_ids, b->gt) &&
           id_table_init(&b->ids, b->result);
}

static void builder_done(builder *b)
{
    id_table_done(&b->gt_ids);
    id_table_done(&b->ids);
    fm__matcher_done(&b->matcher);
    fm__free(b->slots);
    fm__free(b->raw);
    fm__free(b->excused);
    fm__free(b->gt_place);
    fm__free(b->place);
}

fm_status fm__eval_seq_init(fm_eval_seq *s, const fm_mot *gt, const char *gt_name, const fm_mot *result,
    const char *result_name, fm_eval_format format, fm_error *err)
{
    builder b = {.s = s,
        .gt = gt,
        .result = result,
        .gt_name = gt_name,
        .result_name = result_name,
        .format = format_of(gt, format),
        .err = err};
    fm_status st = builder_init(&b) ? FM_OK : fm__fail_nomem(err, "an evaluation");
    st = st == FM_OK ? add_frames(&b) : st;
    st = st == FM_OK ? count_lengths(&b) : st;
    builder_done(&b);
    return st;
}

void fm__eval_seq_done(fm_eval_seq *s)
{
    void *const blocks[] = {s->frames, s->gt_ids, s->box_ids, s->gt_length, s->length, s->overlaps, s->pairs};
    for (size_t i = 0; i < sizeof(blocks) / sizeof(blocks[0]); i++) {
        fm__free(blocks[i]);
    }
    *s = (fm_eval_seq){0};
}
