// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** How good detections are: average precision against a ground truth of pictures, as COCO and Pascal VOC
 * count it.
 *
 *  COCO (Lin et al. 2014, and its program COCOeval) takes precision over recall at ten overlaps from 0.50 to
 * 0.95; VOC (Everingham et al. 2010) at 0.5 alone, as the area under the whole curve. Beside them stands the
 * operating point: precision and recall of what scores at least so much. */
#ifndef FRAMEMILL_AP_H
#define FRAMEMILL_AP_H

#include <framemill/api.h>
#include <framemill/status.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

FM_BEGIN_DECLS

#define FM_AP_OVERLAPS 10 // 0.50, 0.55 .. 0.95
#define FM_AP_RECALLS 101 // 0, 0.01 .. 1

/** What the ground truth is. */
typedef enum fm_ap_format {
    FM_AP_COCO = 0, // one JSON file: images, annotations, categories
    FM_AP_VOC = 1,  // a folder of XML files, one a picture
} fm_ap_format;

typedef struct fm_ap_opts {
    size_t struct_size;
    fm_ap_format format;
    int64_t min_objects;    // of a class that counts in fm_ap_large; 0: 1
    double at;              // score of the operating point; negative: the one where F1 is best
    const char *labels_map; // file of lines `label in RESULT = class in GT`; NULL: none
} fm_ap_opts;
#define FM_AP_OPTS_INIT                                                                                      \
    {                                                                                                        \
        .struct_size = sizeof(fm_ap_opts), .at = -1                                                          \
    }

/** COCO's twelve figures, 0..1; -1 where there is no object to find. */
typedef struct fm_ap_figures {
    double ap, ap50, ap75;                // mean over the overlaps; at 0.50; at 0.75
    double ap_small, ap_medium, ap_large; // of objects up to 32 x 32 pixels, up to 96 x 96, larger
    double ar1, ar10, ar100;              // mean recall with so many detections a picture and class
    double ar_small, ar_medium, ar_large;
} fm_ap_figures;

/** What scores at least `conf`, at overlap 0.5. Rates are 0 where nothing is counted. */
typedef struct fm_ap_point {
    double conf, precision, recall, f1;
    int64_t tp, fp, fn;
} fm_ap_point;

/** One class, or several together. Borrowed from its fm_ap. */
typedef struct fm_ap_class {
    const char *name;
    int64_t objects;    // that are to be found
    int64_t ignored;    // crowds, difficult ones: neither to be found nor wrong to find
    int64_t detections; // in the result
    bool labelled;      // does any label of the result mean this class?
    fm_ap_figures coco;
    double voc_ap; // -1: no object, or the ground truth is not VOC's
    fm_ap_point point;
    double curve[FM_AP_RECALLS]; // precision by recall at overlap 0.5; -1 throughout without objects
} fm_ap_class;

/** A label of the result that is no class of the ground truth: its detections are not counted. */
typedef struct fm_ap_label {
    const char *name;
    int64_t detections;
} fm_ap_label;

typedef struct fm_ap fm_ap;

/** Compares detections with ground truth.
 *  @param gt  COCO's JSON file, or a folder of VOC's XML files.
 *  @param result  what `framemill run PICTURES --out DIR` wrote: DIR or one of its .jsonl files; or COCO's
 * JSON of results, a list of {image_id, category_id, bbox, score}, where the ground truth is COCO's.
 *  @param opts  NULL: defaults.
 *  NOTFOUND, FORMAT, IO say which file, line and column. O(n log n) for n detections, and in each picture and
 * class objects x detections. Pure but for the files that it reads: any thread. */
FM_API fm_status fm_ap_new(
    const char *gt, const char *result, const fm_ap_opts *opts, fm_ap **out, fm_error *err) FM_MUST_USE;
FM_API void fm_ap_free(fm_ap **ap);

FM_API size_t fm_ap_count(const fm_ap *ap);
/** Classes, COCO's in order of their ids, VOC's of their names; NULL past the end. */
FM_API const fm_ap_class *fm_ap_get(const fm_ap *ap, size_t index);
/** All classes together: means of the figures over the classes that have objects; counts and the operating
 * point of all their detections. */
FM_API const fm_ap_class *fm_ap_all(const fm_ap *ap);
/** The same of the classes with at least opts.min_objects objects. *classes, where not NULL, is how many. */
FM_API const fm_ap_class *fm_ap_large(const fm_ap *ap, size_t *classes);
/** Pictures of the ground truth, and those of them that the result does not know: they count as without
 * detections. In COCO's results a picture without detections is such a one. */
FM_API size_t fm_ap_pictures(const fm_ap *ap, size_t *missing);
/** Labels without a class, by name; NULL past the end. */
FM_API const fm_ap_label *fm_ap_unknown(const fm_ap *ap, size_t index);
/** Everything as JSON. Free with fm_free. */
FM_API fm_status fm_ap_json(const fm_ap *ap, char **out, fm_error *err) FM_MUST_USE;

FM_END_DECLS

#endif
