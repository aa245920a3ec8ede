// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// From a mask of moving pixels to boxes. One pass over the rows finds runs and joins those that touch
// (8-connected) the runs of the row above, with union-find over blobs that carry their box and area ("Fast
// connected-component labeling", He, Chao, Suzuki, Wu, Pattern Recognition 2009: run-based, but one pass,
// since boxes need no label image). Then near blobs are joined, because camouflage breaks a person at the
// belt more often than two people walk one above the other: pieces that share most of their columns may be
// further apart than pieces side by side.

#include "heads/motion_int.h"

#include <stdlib.h>
#include <string.h>

#define GAP_Y 4        // work pixels, of pieces that share columns: the belt of a person 35 high
#define MIN_PIECE 4    // smaller pieces are noise and join nothing
#define MAX_PIECES 512 // the largest so many are joined, which bounds the cost

static int find_root(fm_motion_blob *blobs, int i)
{
    while (blobs[i].parent != i) {
        blobs[i].parent = blobs[blobs[i].parent].parent;
        i = blobs[i].parent;
    }
    return i;
}

static int min_int(int a, int b)
{
    return a < b ? a : b;
}

static int max_int(int a, int b)
{
    return a > b ? a : b;
}

static void absorb(fm_motion_blob *to, const fm_motion_blob *from)
{
    to->x0 = min_int(to->x0, from->x0);
    to->y0 = min_int(to->y0, from->y0);
    to->x1 = max_int(to->x1, from->x1);
    to->y1 = max_int(to->y1, from->y1);
    to->area += from->area;
}

// The smaller label wins: labels ascend with place, so the outcome does not depend on the order of joins.
static int join(fm_motion_blob *blobs, int a, int b)
{
    a = find_root(blobs, a);
    b = find_root(blobs, b);
    if (a == b)
        return a;
    int keep = min_int(a, b), gone = max_int(a, b);
    absorb(&blobs[keep], &blobs[gone]);
    blobs[gone].parent = keep;
    return keep;
}

// Runs of one row; pixels are 0 or 255.
static size_t find_segments(const uint8_t *row, int w, fm_motion_segment *seg)
{
    size_t n = 0;
    for (int x = 0; x < w;) {
        const uint8_t *start = memchr(row + x, 255, (size_t)(w - x));
        if (start == NULL)
            break;
        x = (int)(start - row);
        const uint8_t *end = memchr(start, 0, (size_t)(w - x));
        int x1 = end == NULL ? w : (int)(end - row);
        seg[n++] = (fm_motion_segment){.x0 = x, .x1 = x1, .label = -1};
        x = x1;
    }
    return n;
}

// Joins the runs of a row with those above; both lists ascend, so two cursors suffice.
static void link_segments(
    fm_motion_blob *blobs, const fm_motion_segment *up, size_t up_n, fm_motion_segment *cur, size_t cur_n)
{
    size_t u = 0;
    for (size_t c = 0; c < cur_n; c++) {
        while (u < up_n && up[u].x1 < cur[c].x0)
            u++;
        for (size_t i = u; i < up_n && up[i].x0 <= cur[c].x1; i++) {
            if (up[i].label < 0)
                continue;
            cur[c].label =
                cur[c].label < 0 ? find_root(blobs, up[i].label) : join(blobs, cur[c].label, up[i].label);
        }
    }
}

static int count_segments(fm_motion_blob *blobs, int count, fm_motion_segment *seg, size_t n, int y)
{
    for (size_t i = 0; i < n; i++) {
        fm_motion_blob piece = {
            .x0 = seg[i].x0, .y0 = y, .x1 = seg[i].x1, .y1 = y + 1, .area = seg[i].x1 - seg[i].x0};
        if (seg[i].label >= 0) {
            absorb(&blobs[find_root(blobs, seg[i].label)], &piece);
        } else if (count < FM_MOTION_MAX_BLOBS) {
            piece.parent = count;
            blobs[count] = piece;
            seg[i].label = count++;
        }
    }
    return count;
}

static int label_mask(fm_motion *m, const uint8_t *mask, size_t *moving)
{
    fm_motion_segment *cur = m->segments, *up = m->segments + (size_t)m->w / 2 + 1;
    size_t up_n = 0;
    int count = 0;
    *moving = 0;
    for (int y = 0; y < m->h; y++) {
        size_t n = find_segments(mask + (size_t)y * m->stride, m->w, cur);
        link_segments(m->blobs, up, up_n, cur, n);
        count = count_segments(m->blobs, count, cur, n, y);
        for (size_t i = 0; i < n; i++)
            *moving += (size_t)(cur[i].x1 - cur[i].x0);
        fm_motion_segment *swap = up;
        up = cur;
        cur = swap;
        up_n = n;
    }
    return count;
}

// By descending area, then by place.
static int compare_blobs(const void *a, const void *b)
{
    const fm_motion_blob *p = a, *q = b;
    if (p->area != q->area)
        return p->area < q->area ? 1 : -1;
    if (p->y0 != q->y0)
        return p->y0 < q->y0 ? -1 : 1;
    return (p->x0 > q->x0) - (p->x0 < q->x0);
}

static int keep_pieces(fm_motion_blob *blobs, int count)
{
    int n = 0;
    for (int i = 0; i < count; i++) {
        if (blobs[i].parent == i && blobs[i].area >= MIN_PIECE)
            blobs[n++] = blobs[i];
    }
    qsort(blobs, (size_t)n, sizeof *blobs, compare_blobs);
    return min_int(n, MAX_PIECES);
}

static bool belong_together(const fm_motion_blob *a, const fm_motion_blob *b)
{
    int gap_x = max_int(a->x0, b->x0) - min_int(a->x1, b->x1); // negative: so many columns shared
    int gap_y = max_int(a->y0, b->y0) - min_int(a->y1, b->y1);
    if (gap_x <= 0 && gap_y <= 0)
        return true;
    int narrower = min_int(a->x1 - a->x0, b->x1 - b->x0);
    int taller = max_int(a->y1 - a->y0, b->y1 - b->y0);
    return gap_x < 0 && -gap_x * 2 >= narrower && gap_y <= min_int(GAP_Y, taller / 2);
}

static int merge_pieces(fm_motion_blob *blobs, int n)
{
    for (int i = 0; i < n; i++) {
        for (int j = i + 1; j < n;) {
            if (!belong_together(&blobs[i], &blobs[j])) {
                j++;
                continue;
            }
            absorb(&blobs[i], &blobs[j]);
            memmove(blobs + j, blobs + j + 1, (size_t)(--n - j) * sizeof *blobs);
            j = i + 1; // the grown box may reach pieces that were passed over
        }
    }
    return n;
}

static fm_det to_source(const fm_motion *m, const fm_motion_blob *b)
{
    int x1 = b->x1 == m->w ? m->src_w : b->x1 * m->step;
    int y1 = b->y1 == m->h ? m->src_h : b->y1 * m->step;
    float box_area = (float)(b->x1 - b->x0) * (float)(b->y1 - b->y0);
    return (fm_det){
        .box = {(float)(b->x0 * m->step), (float)(b->y0 * m->step), (float)x1, (float)y1},
        .score = (float)b->area / box_area,
    };
}

size_t fm__motion_boxes(fm_motion *m, const uint8_t *mask, fm_det *dets, size_t cap, size_t *moving)
{
    int n = keep_pieces(m->blobs, label_mask(m, mask, moving));
    n = merge_pieces(m->blobs, n);
    qsort(m->blobs, (size_t)n, sizeof *m->blobs, compare_blobs);
    float least = m->opts.min_area * (float)m->plane;
    size_t count = 0;
    for (int i = 0; i < n && count < cap && (float)m->blobs[i].area >= least; i++)
        dets[count++] = to_source(m, &m->blobs[i]);
    return count;
}
