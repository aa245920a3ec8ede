// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** Heads: a network's raw output tensors -> detections, features. Pure: memory in, memory out; no threads,
 * files, clock, globals.
 *
 *  A head type is one file with one table (fm_head_class). It is configured once by fm__head_init against the
 * network's output shapes, which it checks, and decodes one row of a batch at a time, from any thread. What
 * it makes of a row is its task: a head of task detection is run by fm__head_run, one of task features by
 * fm__head_feature. */
#ifndef FM_HEADS_HEAD_H
#define FM_HEADS_HEAD_H

#include "base/cpu.h"
#include "frame/tensor.h"

#include <framemill/result.h>
#include <framemill/status.h>

#include <stdbool.h>

/** What a model is for, and so what its head makes. */
typedef enum fm_task {
    FM_TASK_ANY, // for questions only: no head is of this task
    FM_TASK_DETECTION,
    FM_TASK_FEATURES,
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
    FM_HEAD_ACT_SIGMOID
} fm_head_activation; // of scores, as still to be done

/** As written in a model's YAML. */
typedef struct fm_head_opts {
    const char *type; // "yolox", "yolov5", "yolov8", "feature"
    fm_head_boxes boxes;
    fm_head_grid grid;
    fm_head_activation activation;
    int class_count; // from the labels; 0: whatever the shape says
    int dim;         // of a feature; 0: whatever the shape says
} fm_head_opts;

typedef struct fm_head_query {
    float conf;                // report scores >= conf
    float iou;                 // of NMS
    size_t max_dets;           // at most so many
    const uint8_t *class_mask; // [class_count], 0 = not wanted; NULL = all
    fm_cpu_level level;
} fm_head_query;

typedef struct fm_head_class fm_head_class;

typedef struct fm_head {
    const fm_head_class *cls;
    fm_head_opts opts;
    int input_w, input_h;
    int class_count;
    int64_t anchors; // detection: candidates in a row
    size_t dim;      // features: numbers in a row
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
    /** Task detection. Candidates of row `row` with score >= q->conf into cand (room for anchors entries),
     * boxes in input pixels, not yet suppressed. */
    size_t (*decode)(const fm_head *head, const fm_tensor *outs, size_t n, int64_t row,
        const fm_head_query *q, fm_det *cand);
    /** Task features. See fm__head_feature. */
    bool (*feature)(const fm_head *head, const fm_tensor *outs, size_t n, int64_t row, float *out);
};

/** All head types, NULL-terminated; by name or NULL. */
const fm_head_class *const *fm__head_classes(void);
const fm_head_class *fm__head_find(const char *name);
/** "detection", "features": as in model files. */
const char *fm__task_name(fm_task task);

/** Configures `head` for a network with these outputs (data may be NULL, dims[0] is the batch). The head
 * copies opts (opts->type must outlive it). */
fm_status fm__head_init(fm_head *head, const fm_head_opts *opts, int input_w, int input_h,
    const fm_tensor *outs, size_t n, fm_error *err) FM_MUST_USE;
/** Guesses a head of this task from shapes; FM_TASK_ANY leaves out features, whose shape is a classifier's
 * too. NOTFOUND names the shapes. */
fm_status fm__head_guess(const fm_tensor *outs, size_t n, int input_w, int input_h, fm_task task,
    fm_head_opts *opts, fm_error *err) FM_MUST_USE;

/** Working memory of fm__head_run. */
size_t fm__head_scratch_size(const fm_head *head);
/** Task detection. Decode + NMS of one row. Writes at most q->max_dets detections (boxes in input pixels,
 * descending score) to `dets` and returns how many. */
size_t fm__head_run(const fm_head *head, const fm_tensor *outs, size_t n, int64_t row, const fm_head_query *q,
    fm_det *dets, void *scratch);

/** Length of a feature; 0 for heads of other tasks. */
size_t fm__head_dim(const fm_head *head);
/** Task features. Row `row` as a vector of length 1 into out[fm__head_dim]; a vector of zeros stays one.
 * False, and nothing written, when a number in it is not finite. */
bool fm__head_feature(const fm_head *head, const fm_tensor *outs, size_t n, int64_t row, float *out);

#endif
