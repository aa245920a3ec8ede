// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** A network of the program's own in place of a model: an accelerator's library, hand-written code, a stub.
 *
 *  Options that have own_backend (fm_run_opts) take "own:TEXT" wherever they take a model's name. Batches,
 * slots, preprocessing and heads are framemill's; the table below computes. TEXT is the program's, so that
 * one table may serve several networks. */
#ifndef FRAMEMILL_BACKEND_H
#define FRAMEMILL_BACKEND_H

#include <framemill/api.h>
#include <framemill/status.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

FM_BEGIN_DECLS

#define FM_OWN_MAX_OUTPUTS 8
#define FM_OWN_MAX_RANK 5

/** What a network takes and gives. */
typedef struct fm_own_shape {
    int width, height; // of the input, pixels, 8..4096; colours are R, G, B, levels 0..255
    bool nhwc;         // input [rows][height][width][3], else [rows][3][height][width]
    int output_count;  // 1..FM_OWN_MAX_OUTPUTS
    struct {
        int rank;                      // without the rows: 1..FM_OWN_MAX_RANK
        int64_t dims[FM_OWN_MAX_RANK]; // without the rows: [8400][85] of a detector, [1000] of a classifier
    } outputs[FM_OWN_MAX_OUTPUTS];     // float32; the head is guessed from them, or named (fm_run_opts.head)
} fm_own_shape;

/** The program's table; it and what it points to outlive the run. Failures fill err in or leave it: then it
 * says the status alone. */
typedef struct fm_own_backend {
    size_t struct_size;
    /** Shape of a network. May be called before each open. */
    fm_status (*describe)(void *opaque, const char *model, fm_own_shape *shape, fm_error *err);
    /** Makes it ready for as many calls of run at a time as `slots`. */
    fm_status (*open)(void *opaque, const char *model, int slots, void **net, fm_error *err);
    /** @param input  [rows] as described
     *  @param outputs  [output_count] to be filled, [rows] each. Several threads at a time. A failure is that
     *  of the rows' frames alone. */
    fm_status (*run)(void *net, const uint8_t *input, int rows, float *const *outputs, fm_error *err);
    void (*close)(void *net); // when no run is under way
    void *opaque;             // of describe and open
} fm_own_backend;
#define FM_OWN_BACKEND_INIT                                                                                  \
    {                                                                                                        \
        .struct_size = sizeof(fm_own_backend)                                                                \
    }

FM_END_DECLS

#endif
