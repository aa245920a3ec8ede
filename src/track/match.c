// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Overlaps are found by comparing every track with every detection: with a hundred of each that is some 30
// microseconds, and unlike a sweep it keeps the order that makes ties come out the same. A track keeps its
// FM_MATCH_MOST best partners only, so that memory and the assignment stay linear in the number of tracks
// however many boxes an unkind frame piles up.

#include "track/match.h"

#include "base/alloc.h"

#include <assert.h>
#include <string.h>

/* ---- overlaps ---- */

static float area(fm_box b)
{
    return (b.x1 - b.x0) * (b.y1 - b.y0);
}

static float smaller(float a, float b)
{
    return a < b ? a : b;
}

static float larger(float a, float b)
{
    return a > b ? a : b;
}

// 0 for boxes that are inside out, too.
static float overlap(fm_box a, fm_box b, float area_a)
{
    float w = smaller(a.x1, b.x1) - larger(a.x0, b.x0);
    if (!(w > 0))
        return 0;
    float h = smaller(a.y1, b.y1) - larger(a.y0, b.y0);
    if (!(h > 0))
        return 0;
    float both = area_a + area(b) - w * h;
    return both > 0 ? w * h / both : 0;
}

// One more pair of the row that began at `first`; if that row is full it replaces the weakest.
static void add(fm__overlaps *o, size_t first, fm__pair pair)
{
    if (o->n - first < FM_MATCH_MOST) {
        o->pairs[o->n++] = pair;
        return;
    }
    size_t weakest = first;
    for (size_t i = first + 1; i < o->n; i++)
        if (o->pairs[i].cost <= o->pairs[weakest].cost)
            weakest = i;
    if (o->pairs[weakest].cost >= pair.cost)
        return;
    memmove(&o->pairs[weakest], &o->pairs[weakest + 1], (o->n - weakest - 1) * sizeof *o->pairs);
    o->pairs[o->n - 1] = pair;
}

bool fm__overlaps_find(fm__overlaps *o, const fm_box *boxes, const int32_t *class_ids, size_t rows,
    const fm__track_det *dets, size_t cols, float least)
{
    o->n = 0;
    for (size_t row = 0; row < rows; row++) {
        size_t most = cols < FM_MATCH_MOST ? cols : FM_MATCH_MOST, first = o->n;
        if (!fm__grow(FM_TAG_TRACK, (void **)&o->pairs, &o->cap, o->n + most, sizeof *o->pairs))
            return false;
        float own = area(boxes[row]);
        for (size_t col = 0; col < cols; col++) {
            if (dets[col].class_id != class_ids[row])
                continue;
            float iou = overlap(boxes[row], dets[col].box, own);
            if (iou >= least)
                add(o, first, (fm__pair){.row = (int32_t)row, .col = (int32_t)col, .cost = iou});
        }
    }
    return true;
}

void fm__overlaps_done(fm__overlaps *o)
{
    fm__free(o->pairs);
    *o = (fm__overlaps){0};
}

/* ---- rounds ---- */

static bool grow_rows(fm__match *m, size_t rows)
{
    size_t cap = m->row_cap; // of both arrays: it is moved on when both have grown
    return fm__grow(FM_TAG_TRACK, (void **)&m->col_of_row, &cap, rows, sizeof *m->col_of_row) &&
           fm__grow(FM_TAG_TRACK, (void **)&m->det_of, &m->row_cap, rows, sizeof *m->det_of);
}

bool fm__match_begin(fm__match *m, size_t rows, size_t cols, size_t pairs)
{
    if (!grow_rows(m, rows) ||
        !fm__grow(FM_TAG_TRACK, (void **)&m->track_of, &m->col_cap, cols, sizeof *m->track_of) ||
        !fm__grow(FM_TAG_TRACK, (void **)&m->round, &m->round_cap, pairs, sizeof *m->round) ||
        !fm__assign_reserve(&m->assign, rows, cols, pairs))
        return false;
    m->rows = rows;
    m->cols = cols;
    m->room = pairs;
    m->n = 0;
    for (size_t row = 0; row < rows; row++)
        m->det_of[row] = -1;
    for (size_t col = 0; col < cols; col++)
        m->track_of[col] = -1;
    return true;
}

void fm__match_done(fm__match *m)
{
    fm__assign_done(&m->assign);
    fm__free(m->round);
    fm__free(m->col_of_row);
    fm__free(m->det_of);
    fm__free(m->track_of);
    *m = (fm__match){0};
}

void fm__match_round(fm__match *m, double limit)
{
    assert(m->n <= m->room);
    if (m->n == 0)
        return;
    fm__assign_pairs(&m->assign, m->round, m->n, m->rows, m->cols, limit, m->col_of_row);
    m->n = 0;
    for (size_t row = 0; row < m->rows; row++) {
        int32_t col = m->col_of_row[row];
        if (col < 0)
            continue;
        m->det_of[row] = col;
        m->track_of[col] = (int32_t)row;
    }
}
