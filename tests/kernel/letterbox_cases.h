// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** Pictures and geometries for the letterbox tests. Planes lie between pages that may not be touched, so that
 * a kernel that reads past a plane dies; what it writes past a tensor is found by guard bytes. */
#ifndef TESTS_KERNEL_LETTERBOX_CASES_H
#define TESTS_KERNEL_LETTERBOX_CASES_H

#include "ops/letterbox.h"

typedef enum content { CONTENT_NOISE, CONTENT_EXTREME, CONTENT_SMOOTH, CONTENT_COUNT } content;

/** How planes lie in memory. */
typedef enum placement {
    PLACE_END,   // rows tight, the last byte before a forbidden page
    PLACE_START, // rows tight, the first byte behind a forbidden page
    PLACE_FLIP,  // as END, bottom row first: negative stride
    PLACE_WIDE,  // as END, with noise between the rows
    PLACE_COUNT
} placement;

typedef struct picture {
    fm_frame_view view;
    void *map[FM_MAX_PLANES];
    size_t map_size[FM_MAX_PLANES];
} picture;

typedef struct geometry {
    int src_w, src_h, dst_w, dst_h;
    fm_fit fit;
    fm_anchor anchor;
    float crop_ratio;
} geometry;

extern const geometry letterbox_geometries[];
extern const size_t letterbox_geometry_count;

/** The level that the command line names; false, and a word on why, when this CPU lacks it: exit SKIPPED. */
bool level_from(int argc, char **argv, fm_cpu_level *level);
#define SKIPPED 77

/** Deterministic numbers (xorshift). */
uint32_t next_random(uint32_t *state);

void picture_make(
    picture *p, fm_pixfmt format, int width, int height, content kind, placement place, uint32_t seed);
void picture_free(picture *p);

/** Output of a plan with guard bytes all around; aborts the test when they are hurt. */
typedef struct tensor_buffer {
    uint8_t *block;
    uint8_t *data;
    size_t size;
} tensor_buffer;

size_t desc_tensor_size(const fm_letterbox_desc *desc);
tensor_buffer tensor_make(size_t size);
void tensor_check_and_free(tensor_buffer *t);

/** Makes a plan, runs it, checks the guards of dst and scratch. */
void run_letterbox(
    const fm_letterbox_desc *desc, fm_cpu_level level, const fm_frame_view *view, tensor_buffer *out);

/** The n-th of all combinations of layout, colour order and type: n from 0 to 11. */
void set_output(fm_letterbox_desc *desc, int n);
/** Description of a picture drawn with a geometry; `variant` walks through matrix, range and chroma site. */
fm_letterbox_desc make_desc(const picture *p, const geometry *g, int variant);
/** One line that names a case, for messages. */
const char *describe(const fm_letterbox_desc *desc);

#endif
