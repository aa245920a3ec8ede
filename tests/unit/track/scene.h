// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** People who walk about, for tests and benches of trackers: boxes that jitter, misses, hidings, looks that
 * vary, births and deaths. The same for the same seed. */
#ifndef FM_TESTS_SCENE_H
#define FM_TESTS_SCENE_H

#include "track/tracker.h"

#include <stddef.h>
#include <stdint.h>

enum { SCENE_MOST = 512 };

typedef struct walker {
    float x, y, vx, vy, height;
    int hidden; // frames to go
    int left;   // frames to live
    float *look;
} walker;

typedef struct scene {
    uint64_t rng;
    int people, dim, life; // frames of a life, 0: for ever
    int classes;           // people are of classes 0 .. classes - 1
    float miss;            // share of frames in which somebody is not detected
    float width, height;
    long births;
    walker who[SCENE_MOST];
    // of the last frame
    fm_det dets[SCENE_MOST];
    int of[SCENE_MOST]; // walker of a detection
    float *features;    // [people][dim]
    const float *feature_of[SCENE_MOST];
    size_t n;
} scene;

/** Makes "deepsort" the paper's: no improvement published since. */
void scene_paper(fm_tracker_opts *o);

/** Ends the process where there is no memory. */
scene *scene_new(uint64_t seed, int people, int dim, int life);
void scene_free(scene *s);
/** The same people on 1 / times of the area. */
void scene_crowd(scene *s, float times);
/** The next frame's detections into dets, features and n. */
void scene_next(scene *s);

/** Shows a tracker the present detections as frame `number`; marks [n]. Returns how many were asked for. */
size_t scene_show(const scene *s, fm_tracker *t, uint64_t number, fm_track_mark *marks);

#endif
