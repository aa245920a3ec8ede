// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** Heads: a network's raw output tensors -> detections, masks, class maps, classes, features, pictures. Pure:
 * memory in, memory out; no threads, files, clock, globals.
 *
 *  A head type is one file with one table (fm_head_class). It is configured once by fm__head_init against the
 * network's output shapes, which it checks, and decodes one row of a batch at a time, from any thread. What
 * it makes of a row is its task:
 *
 *  detection       fm__head_run
 *  segmentation    objects (fm__head_has_objects): fm__head_objects, then fm__head_masks into memory of the
 *                  size that fm__masks_size says; else a class for every pixel: fm__head_class_map
 *  classification  fm__head_classify
 *  features        fm__head_feature
 *  enhancement     fm__head_pixels */
#ifndef FM_HEADS_HEAD_H
#define FM_HEADS_HEAD_H

#include "base/cpu.h"
#include "frame/tensor.h"
#include "ops/fit.h"

#include <framemill/result.h>
#include <framemill/status.h>

#include <stdbool.h>

/** What a model is for, and so what its head makes. */
typedef enum fm_task {
    FM_TASK_ANY, // for questions only: no head is of this task
    FM_TASK_DETECTION,
    FM_TASK_SEGMENTATION,
    FM_TASK_CLASSIFICATION,
    FM_TASK_FEATURES,
    FM_TASK_ENHANCEMENT,
    FM_TASK_COUNT
} fm_task;

typedef enum fm_head_boxes {
    FM_HEAD_BOXES_PIXELS,
    FM_HEAD_BOXES_UNIT
} fm_head_boxes; // unit: 0..1 of the input
typedef enum fm_head_grid {
    FM_HEAD_GRID_DECODED,
    FM_HEAD_GRID_RAW
} fm_head_grid; // raw: offsets to cells, log sizes
typedef enum fm_head_activation {
    FM_HEAD_ACT_NONE,
    FM_HEAD_ACT_SIGMOID,
    FM_HEAD_ACT_SOFTMAX, // head softmax only
    FM_HEAD_ACT_AUTO     // head softmax only: softmax, unless the numbers are a distribution already
} fm_head_activation;    // of scores, as still to be done

typedef enum fm_head_range {
    FM_HEAD_RANGE_UNIT,
    FM_HEAD_RANGE_BYTES
} fm_head_range; // of a picture's values: 0..1, 0..255

/** As written in a model's YAML. */
typedef struct fm_head_opts {
    const char *type; // "yolox", "yolov8-seg", "softmax", ...
    fm_head_boxes boxes;
    fm_head_grid grid;
    fm_head_activation activation;
    int class_count; // from the labels; 0: whatever the shape says
    int dim;         // of a feature; 0: whatever the shape says
    fm_head_range range;
    int context; // pictures: input pixels around one that bear on it; 0: FM_HEAD_USUAL_CONTEXT
} fm_head_opts;

enum {
    FM_HEAD_MAX_SCALE = 4,
    FM_HEAD_USUAL_CONTEXT = 16, // more than the small networks have
    FM_HEAD_MAX_CONTEXT = 512
};

typedef struct fm_head_query {
    float conf;                // report scores >= conf
    float iou;                 // of NMS
    size_t max_dets;           // at most so many
    const uint8_t *class_mask; // [class_count], 0 = not wanted; NULL = all
    fm_cpu_level level;
} fm_head_query;

/** Part of a picture that a network made, in its pixels. */
typedef struct fm_head_rect {
    int x, y, width, height;
} fm_head_rect;

typedef struct fm_head_class fm_head_class;

#define FM_HEAD_MAX_ROLES 5

typedef struct fm_head {
    const fm_head_class *cls;
    fm_head_opts opts;
    int input_w, input_h;
    int class_count;
    int64_t anchors;                 // detection, objects: candidates in a row
    size_t dim;                      // features: numbers in a row
    int coefs;                       // objects from prototypes: mask coefficients behind the classes, else 0
    int grid_w, grid_h;              // prototypes, pasted masks or class map: their size
    int scale, channels;             // pictures: output pixels a side to one of input; 1 or 3
    bool channels_last;              // prototypes, class map or picture
    uint8_t outs[FM_HEAD_MAX_ROLES]; // which output is which, by the head's own numbering
} fm_head;

/** One head type. */
struct fm_head_class {
    const char *name;
    fm_task task;
    /** Does this set of output shapes (batch first) look like mine? Guesses opts it can tell from shapes.
     * Used for bare model files. */
    bool (*guess)(const fm_tensor *outs, size_t n, int input_w, int input_h, fm_head_opts *opts);
    /** Checks the shapes against head->opts, fills class_count and anchors, or dim; the message names
     * expected and actual shape. */
    fm_status (*check)(fm_head *head, const fm_tensor *outs, size_t n, fm_error *err);
    /** Task detection and objects of task segmentation. Candidates of row `row` with score >= q->conf into
     * cand (room for anchors entries), boxes in input pixels, not yet suppressed; track_id holds the
     * candidate's place in the output. */
    size_t (*decode)(const fm_head *head, const fm_tensor *outs, size_t n, int64_t row,
        const fm_head_query *q, fm_det *cand);
    bool is_suppressed; // the network does its own non-maximum suppression
    /** Objects: where the mask of the object with this box, in input pixels, goes in the frame: mask->x, y,
     * width, height. NULL: the pixels whose centre lies in the box. */
    void (*place)(const fm_head *head, const fm_fit_map *map, fm_box box, fm_mask *mask);
    /** Objects: writes the bits of the mask (stride and memory given) of the candidate at `place`. */
    void (*mask)(const fm_head *head, const fm_tensor *outs, int64_t row, const fm_fit_map *map,
        uint32_t place, const fm_mask *mask, uint8_t *bits, void *scratch, fm_cpu_level level);
    /** Objects: working memory of `mask`. */
    size_t (*mask_scratch)(const fm_head *head);
    /** Class of every cell of the row's map. See fm__head_class_map. */
    void (*cells)(const fm_head *head, const fm_tensor *outs, int64_t row, uint8_t *ids, void *scratch,
        fm_cpu_level level);
    /** Task classification. See fm__head_classify. */
    size_t (*classify)(
        const fm_head *head, const fm_tensor *outs, int64_t row, fm_class_score *top, size_t k);
    /** Task features. See fm__head_feature. */
    bool (*feature)(const fm_head *head, const fm_tensor *outs, size_t n, int64_t row, float *out);
    /** Task enhancement. See fm__head_pixels. */
    void (*pixels)(const fm_head *head, const fm_tensor *outs, int64_t row, const fm_head_rect *rect,
        uint8_t *dst, ptrdiff_t stride);
};

/** All head types, NULL-terminated; by name or NULL. */
const fm_head_class *const *fm__head_classes(void);
const fm_head_class *fm__head_find(const char *name);
/** "detection", "segmentation", "classification", "features", "enhancement": as in model files. */
const char *fm__task_name(fm_task task);

/** Configures `head` for a network with these outputs (data may be NULL, dims[0] is the batch). The head
 * copies opts (opts->type must outlive it). */
fm_status fm__head_init(fm_head *head, const fm_head_opts *opts, int input_w, int input_h,
    const fm_tensor *outs, size_t n, fm_error *err) FM_MUST_USE;
/** Guesses a head of this task from shapes. FM_TASK_ANY leaves out classification and features: their shapes
 * do not tell the two apart. NOTFOUND names the shapes. */
fm_status fm__head_guess(const fm_tensor *outs, size_t n, int input_w, int input_h, fm_task task,
    fm_head_opts *opts, fm_error *err) FM_MUST_USE;

/** Working memory of every call below that asks for some: 64-byte aligned. */
size_t fm__head_scratch_size(const fm_head *head);
/** Task detection. Decode + NMS of one row. Writes at most q->max_dets detections (boxes in input pixels,
 * descending score) to `dets` and returns how many. */
size_t fm__head_run(const fm_head *head, const fm_tensor *outs, size_t n, int64_t row, const fm_head_query *q,
    fm_det *dets, void *scratch);

/** Task segmentation: objects with masks, or else a class map. */
bool fm__head_has_objects(const fm_head *head);
/** Objects of one row: at most q->max_dets detections by descending score, boxes in pixels of the source
 * frame (`map` leads there), those without area in it left out; for each its mask's rectangle (bits still
 * NULL) and its place in the output. Returns how many. */
size_t fm__head_objects(const fm_head *head, const fm_tensor *outs, size_t n, int64_t row,
    const fm_head_query *q, const fm_fit_map *map, fm_det *dets, fm_mask *masks, uint32_t *places,
    void *scratch);
/** Bytes that the bits of these masks take together. */
size_t fm__masks_size(const fm_mask *masks, size_t count);
/** Fills the masks that fm__head_objects placed: their bits go one behind the other into `bits`, of
 * fm__masks_size bytes, and must live as long as the masks are used. */
void fm__head_masks(const fm_head *head, const fm_tensor *outs, size_t n, int64_t row, const fm_fit_map *map,
    const uint32_t *places, fm_mask *masks, size_t count, uint8_t *bits, void *scratch, fm_cpu_level level);

/** Task segmentation, no objects. The class of each pixel of the source frame, from the cell of the network's
 * map that holds the pixel's centre: ids [map->src_h][stride], or NULL where only areas are wanted. area
 * [class_count]: pixels of each class. Cells of no known class, and pixels that the fit cut off, are
 * FM_CLASS_UNSEEN. */
void fm__head_class_map(const fm_head *head, const fm_tensor *outs, size_t n, int64_t row,
    const fm_fit_map *map, uint8_t *ids, int stride, int64_t *area, void *scratch, fm_cpu_level level);

/** Task classification. The best k classes of row `row`, by descending score, ties by class. Returns how
 * many: fewer than k where fewer classes have a score above 0, and 0 when a number of the row is not finite.
 */
size_t fm__head_classify(
    const fm_head *head, const fm_tensor *outs, size_t n, int64_t row, fm_class_score *top, size_t k);

/** Length of a feature; 0 for heads of other tasks. */
size_t fm__head_dim(const fm_head *head);
/** Task features. Row `row` as a vector of length 1 into out[fm__head_dim]; a vector of zeros stays one.
 * False, and nothing written, when a number in it is not finite. */
bool fm__head_feature(const fm_head *head, const fm_tensor *outs, size_t n, int64_t row, float *out);

/** Task enhancement. Pixels of one rectangle of row `row`, rounded to bytes, channels beside one another: dst
 * [rect->height][stride]. What is not a number becomes 0. The rectangle lies within head->scale times the
 * input. */
void fm__head_pixels(const fm_head *head, const fm_tensor *outs, int64_t row, const fm_head_rect *rect,
    uint8_t *dst, ptrdiff_t stride);

#endif
