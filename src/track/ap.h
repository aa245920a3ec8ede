// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** Average precision of boxes, by COCO's rules and by VOC's. Pure; memory from the allocator. */
#ifndef FM_TRACK_AP_H
#define FM_TRACK_AP_H

#include <framemill/ap.h>

enum {
    FM_AP_AREAS = 4,           // all, small, medium, large
    FM_AP_MOST = 100,          // detections of a picture and class that count
    FM_AP_MAX_BOXES = 8192,    // objects of a picture and class
    FM_AP_MAX_ITEMS = 10000000 // objects, detections
};

typedef struct fm_ap_gt {
    double box[4]; // x, y, w, h in pixels, finite; w, h >= 0
    double area;   // pixels; what decides whether it is small, medium or large
    uint32_t image, category;
    bool crowd;  // many as one: any number of detections inside are excused
    bool ignore; // one that need not be found
} fm_ap_gt;

typedef struct fm_ap_det {
    double box[4];
    double score; // finite
    uint32_t image, category;
} fm_ap_det;

typedef struct fm_ap_input {
    const fm_ap_gt *gts;   // [gt_count]; among equals the order here decides
    const fm_ap_det *dets; // [det_count]; the same
    size_t gt_count, det_count;
    uint32_t categories; // every category is below
    bool voc;            // measure VOC's, too
    int64_t min_objects;
    double at; // as fm_ap_opts
} fm_ap_input;

/** Evaluates.
 *  @param classes  [categories], zeroed but for names.
 *  @param all  all classes together.
 *  @param large  those with min_objects; *large_count of them.
 *  UNSUPPORTED: more objects of one class in a picture than FM_AP_MAX_BOXES. */
fm_status fm__ap_evaluate(const fm_ap_input *in, fm_ap_class *classes, fm_ap_class *all, fm_ap_class *large,
    size_t *large_count, fm_error *err) FM_MUST_USE;

#endif
