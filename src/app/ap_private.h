// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** What an evaluation of detections reads: pictures, classes and boxes of the ground truth; detections of the
 * result; and which belongs to which. */
#ifndef FM_APP_AP_PRIVATE_H
#define FM_APP_AP_PRIVATE_H

#include "track/ap.h"

enum {
    AP_MAX_PICTURES = 10000000,
    AP_MAX_CLASSES = 4096,
    AP_MAX_LABELS = 4096 // that differ, in a result
};

#define AP_NO_CLASS UINT32_MAX
#define AP_MAX_FILE_BYTES ((size_t)1 << 30)
#define AP_MAX_VALUE 1e9 // of a coordinate or size, either way

typedef struct ap_named {
    char *name;
    int64_t id;
} ap_named;

/** A label of the result. */
typedef struct ap_label {
    char *name;
    uint32_t category; // AP_NO_CLASS: none
    int64_t count;
} ap_label;

typedef struct ap_key {
    const char *text; // borrowed from a picture's name
    size_t len;
    uint32_t picture;
} ap_key;

typedef struct ap_data {
    ap_named *pictures, *classes; // by id
    size_t picture_count, picture_cap, class_count, class_cap;
    fm_ap_gt *gts;
    size_t gt_count, gt_cap;
    fm_ap_det *dets;
    size_t det_count, det_cap;
    bool *seen;       // [picture_count] by the result
    ap_label *labels; // by name
    size_t label_count, label_cap;
    ap_label *map; // of --labels-map, by name
    size_t map_count, map_cap;
    ap_key *keys[3]; // [picture_count] each: whole names, without folders, without ending; made when needed
} ap_data;

void fm__ap_data_done(ap_data *d);

/** Ground truth: text of COCO's JSON. FORMAT says name, line and column. */
fm_status fm__ap_read_coco(
    const char *text, size_t len, const char *name, ap_data *d, fm_error *err) FM_MUST_USE;
/** One XML file of VOC, as picture `picture`; classes get ids in order of appearance. */
fm_status fm__ap_read_voc(const char *text, size_t len, const char *name, const char *picture, ap_data *d,
    fm_error *err) FM_MUST_USE;
/** Classes by name, and what refers to them with them. */
fm_status fm__ap_sort_classes(ap_data *d, fm_error *err) FM_MUST_USE;

/** Must come once between ground truth and result. */
fm_status fm__ap_begin_result(ap_data *d, fm_error *err) FM_MUST_USE;
/** Lines `label = class`. */
fm_status fm__ap_read_map(
    const char *text, size_t len, const char *name, ap_data *d, fm_error *err) FM_MUST_USE;
/** Detections: COCO's list, or lines of framemill run. */
fm_status fm__ap_read_list(
    const char *text, size_t len, const char *name, ap_data *d, fm_error *err) FM_MUST_USE;
fm_status fm__ap_read_lines(
    const char *text, size_t len, const char *name, ap_data *d, fm_error *err) FM_MUST_USE;

/** Place of an id, or count. By id. */
size_t fm__ap_find_id(const ap_named *items, size_t count, int64_t id);
/** Adds to an array of names. false: no memory. */
bool fm__ap_add_named(ap_named **items, size_t *count, size_t *cap, const char *name, int64_t id) FM_MUST_USE;
/** Picture that a result calls `file`: of this name, or this name without its folder, or without ending,
 * where that is one picture's alone. picture_count: none. */
size_t fm__ap_find_picture(const ap_data *d, const char *file);
/** The label, entered where it is new; NULL: no memory, or too many. */
ap_label *fm__ap_label_of(ap_data *d, const char *name);

#endif
