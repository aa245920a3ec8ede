// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** How good tracks are: MOT text files of results against ground truth, by the field's own metrics.
 *
 *  CLEAR MOT (Bernardin, Stiefelhagen 2008) counts what was found, what was not and how often an object's id
 * changed; Identity (Ristani et al. 2016) says how long an object keeps one id; HOTA (Luiten et al. 2021)
 * balances finding, keeping and placing. Several sequences are taken together by adding up their counts. */
#ifndef FRAMEMILL_EVAL_H
#define FRAMEMILL_EVAL_H

#include <framemill/api.h>
#include <framemill/status.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

FM_BEGIN_DECLS

#define FM_EVAL_ALPHAS 19 // overlaps 0.05, 0.10 .. 0.95 that HOTA is taken over

/** Which published rules CLEAR follows; they differ in details (docs/eval.md). Identity and HOTA have one. */
typedef enum fm_eval_rules {
    FM_EVAL_TRACKEVAL = 0,  // TrackEval, MOTChallenge's own evaluation
    FM_EVAL_MOTMETRICS = 1, // py-motmetrics, after the paper of 2008
} fm_eval_rules;

/** What the last columns of ground truth mean. */
typedef enum fm_eval_format {
    FM_EVAL_AUTO = 0,  // nine columns in every line: MOT17, else MOT15
    FM_EVAL_MOT15 = 1, // world coordinates, not looked at
    FM_EVAL_MOT17 = 2, // class and visibility, also MOT16: pedestrians count, distractors excuse
    FM_EVAL_MOT20 = 3, // the same; vehicles are distractors too
} fm_eval_format;

typedef struct fm_eval_opts {
    size_t struct_size;
    double iou; // overlap from which a box counts as found, 0.01..1; 0: 0.5. HOTA takes all overlaps.
    fm_eval_rules rules;
    fm_eval_format format;
} fm_eval_opts;
#define FM_EVAL_OPTS_INIT                                                                                    \
    {                                                                                                        \
        .struct_size = sizeof(fm_eval_opts)                                                                  \
    }

/** Metrics of one sequence, or of all together. Rates are 0..1, MOTA at most 1. */
typedef struct fm_eval_metrics {
    int64_t gt_boxes, gt_tracks; // of the ground truth that is evaluated
    int64_t boxes, tracks;       // of the result
    int64_t frames;              // with boxes on either side
    // CLEAR
    double mota, motp; // motp: mean overlap of the boxes found
    double recall, precision;
    int64_t tp, fp, fn, switches, frag;
    int64_t mt, pt, ml; // tracks mostly tracked (80 %), partly, mostly lost (20 %)
    // Identity
    double idf1, idp, idr;
    int64_t idtp, idfp, idfn;
    // HOTA: means over the alphas, and by alpha
    double hota, deta, assa, loca;
    double detre, detpr, assre, asspr; // recall and precision of both halves
    double hota_at[FM_EVAL_ALPHAS], deta_at[FM_EVAL_ALPHAS], assa_at[FM_EVAL_ALPHAS], loca_at[FM_EVAL_ALPHAS];
} fm_eval_metrics;

/** One sequence. Borrowed from its fm_eval. */
typedef struct fm_eval_sequence {
    const char *name;
    const char *error; // NULL, or why it could not be evaluated: metrics are all zero
    fm_eval_metrics metrics;
} fm_eval_sequence;

typedef struct fm_eval fm_eval;

/** Evaluates results against ground truth.
 *  @param gt  a MOT text file, a sequence's folder (gt/gt.txt or gt.txt in it), or a folder of sequences:
 * SEQ/gt/gt.txt or SEQ/gt.txt, or SEQ.txt where there is no such folder.
 *  @param result  a MOT text file, or a folder with SEQ.mot.txt or SEQ.txt of each sequence.
 *  @param opts  NULL: defaults.
 *  NOTFOUND, FORMAT, IO say which file and line. Of several sequences those that fail carry their error and
 * take no part in what is combined; when all do, the first one's is returned. */
FM_API fm_status fm_eval_new(
    const char *gt, const char *result, const fm_eval_opts *opts, fm_eval **out, fm_error *err) FM_MUST_USE;
FM_API void fm_eval_free(fm_eval **eval);

FM_API size_t fm_eval_count(const fm_eval *eval);
/** In order of names; NULL past the end. */
FM_API const fm_eval_sequence *fm_eval_get(const fm_eval *eval, size_t index);
/** Sequences that carry an error. */
FM_API size_t fm_eval_failed(const fm_eval *eval);
/** All sequences without an error together. */
FM_API const fm_eval_metrics *fm_eval_combined(const fm_eval *eval);
/** Everything as JSON. Free with fm_free. */
FM_API fm_status fm_eval_json(const fm_eval *eval, char **out, fm_error *err) FM_MUST_USE;

FM_END_DECLS

#endif
