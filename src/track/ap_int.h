// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** What matching hands to counting. */
#ifndef FM_TRACK_AP_INT_H
#define FM_TRACK_AP_INT_H

#include "track/ap.h"

/** A detection among the best of its picture and class. Bits are overlaps: 0 is 0.50. */
typedef struct fm_ap_scored {
    double score;
    uint32_t order;                // by picture, and there by score: breaks ties of scores
    uint8_t rank;                  // in its picture, from 0
    uint16_t hit[FM_AP_AREAS];     // found an object
    uint16_t ignored[FM_AP_AREAS]; // neither right nor wrong
} fm_ap_scored;

/** Counts that VOC makes a curve of. */
typedef struct fm_ap_mark {
    double score;
    uint32_t order;
    int8_t kind; // 1 right, 0 wrong, -1 neither
} fm_ap_mark;

/** One class: boxes by picture; detections there by score, best first, ties in the order given. */
typedef struct fm_ap_group {
    const fm_ap_gt *const *gts;
    const fm_ap_det *const *dets;
    size_t gt_count, det_count;
} fm_ap_group;

/** Overlaps and recalls, as COCOeval has them to the last bit. */
double fm__ap_overlap(int t);
double fm__ap_recall(int r);
/** Bounds of an area range, both inside. */
bool fm__ap_in_area(int a, double area);

/** COCO's assignment of one class.
 *  @param out  [det_count] has room; *count are filled, in order of pictures. objects: [FM_AP_AREAS]. */
fm_status fm__ap_match(const fm_ap_group *g, fm_ap_scored *out, size_t *count, int64_t objects[FM_AP_AREAS],
    fm_error *err) FM_MUST_USE;
/** VOC's average precision of one class, -1 without objects. marks: [det_count] for its use. */
fm_status fm__ap_voc(const fm_ap_group *g, fm_ap_mark *marks, double *out, fm_error *err) FM_MUST_USE;

#endif
