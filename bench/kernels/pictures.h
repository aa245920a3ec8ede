// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** What the kernels' measuring programs share: pictures to read, and sorted times. */
#ifndef BENCH_KERNELS_PICTURES_H
#define BENCH_KERNELS_PICTURES_H

#include <framemill/frame.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { PICTURES = 8, MAX_ROUNDS = 2000 };

/** One picture of noise; free *pixels. */
bool picture_make(fm_pixfmt format, int width, int height, fm_frame_view *view, uint8_t **pixels);
/** PICTURES of them. On failure some may be there: free all in any case. */
bool pictures_make(fm_pixfmt format, int width, int height, fm_frame_view *views, uint8_t **pixels);
void pictures_free(uint8_t **pixels);
/** Ascending. */
void sort_times(double *ms, size_t n);
/** How many rounds the command line asks for. */
int rounds_from(int argc, char **argv, int usual);

#endif
