// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** A tracker without appearance and the frames it is shown, box by box; for tests. */
#ifndef FM_TESTS_ROUNDS_H
#define FM_TESTS_ROUNDS_H

#include "../testing.h"
#include "track/tracker.h"

enum { ROUNDS_MOST = 4000, ROUNDS_WIDTH = 1000, ROUNDS_HEIGHT = 600 };

typedef struct rounds {
    fm_tracker *t;
    uint64_t frame;
    fm_det dets[ROUNDS_MOST];
    size_t n;
    fm_track_mark marks[ROUNDS_MOST];
} rounds;

static inline rounds *rounds_new(const char *type, void (*change)(fm_tracker_opts *o))
{
    fm_tracker_opts o;
    rounds *r = calloc(1, sizeof *r);
    assert_non_null(r);
    assert_int_equal(fm__tracker_opts_init(&o, type, NULL), FM_OK);
    o.high = 0.5F;
    if (change != NULL)
        change(&o);
    assert_int_equal(fm__tracker_new(&o, &r->t, NULL), FM_OK);
    return r;
}

static inline void rounds_free(rounds *r)
{
    fm__tracker_free(&r->t);
    free(r);
}

/** A box of 40 x 100 into the next frame. */
static inline void rounds_put(rounds *r, float x, float y, float score, int class_id)
{
    r->dets[r->n++] = (fm_det){.box = {x, y, x + 40, y + 100}, .score = score, .class_id = class_id};
}

/** Shows the frame; the next one is empty. No id is given twice. */
static inline void rounds_show(rounds *r)
{
    static uint8_t wants[ROUNDS_MOST];
    size_t asked = 0;
    assert_int_equal(
        fm__tracker_begin(r->t, r->frame++, ROUNDS_WIDTH, ROUNDS_HEIGHT, r->dets, r->n, wants, &asked, NULL),
        FM_OK);
    assert_int_equal(asked, 0);
    assert_int_equal(fm__tracker_finish(r->t, NULL, r->marks, NULL), FM_OK);
    r->n = 0;
}

/** Somebody stands in one place for some frames; the id at the end. */
static inline int64_t rounds_stand(rounds *r, float x, float y, int frames)
{
    for (int i = 0; i < frames; i++) {
        rounds_put(r, x, y, 0.9F, 0);
        rounds_show(r);
    }
    return r->marks[0].id;
}

static inline int by_id(const void *a, const void *b)
{
    int64_t x = ((const fm_track_mark *)a)->id, y = ((const fm_track_mark *)b)->id;
    return (x > y) - (x < y);
}

/** Some frames with so many boxes, half of them in one place. */
static inline void rounds_pile(rounds *r, int boxes)
{
    for (int i = 0; i < 5; i++) {
        for (int k = 0; k < boxes; k++) {
            bool apart = k % 2 == 0;
            rounds_put(r, apart ? (float)(k % 100) * 9 : 500, apart ? (float)(k / 100) * 9 : 300, 0.9F, 0);
        }
        rounds_show(r);
        qsort(r->marks, (size_t)boxes, sizeof *r->marks, by_id);
        for (int k = 1; k < boxes; k++)
            assert_true(r->marks[k].id == 0 || r->marks[k].id != r->marks[k - 1].id);
    }
    assert_true(r->marks[boxes - 1].id > 0);
}

#endif
