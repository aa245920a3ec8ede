// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Pictures of noise for the kernels' measuring programs.

#include "pictures.h"

#include "frame/frame.h"

#include <stdlib.h>
#include <sys/mman.h>

enum { HUGE_PAGE = 2 << 20 };

static int compare_double(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

// Pixels on huge pages, as numpy asks for them on the peer's side.
static uint8_t *make_pixels(size_t size)
{
    size_t rounded = (size + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE;
    uint8_t *pixels = aligned_alloc(HUGE_PAGE, rounded);
    if (pixels) {
        (void)madvise(pixels, rounded, MADV_HUGEPAGE); // a wish; the kernel may have none
        for (size_t i = 0; i < size; i++) {
            pixels[i] = (uint8_t)(i * 2654435761U >> 13);
        }
    }
    return pixels;
}

bool picture_make(fm_pixfmt format, int width, int height, fm_frame_view *view, uint8_t **pixels)
{
    size_t offset[FM_MAX_PLANES] = {0}, size = 0;
    *view = (fm_frame_view){.format = format, .width = width, .height = height};
    for (int p = 0; p < fm_pixfmt_planes(format); p++) {
        int w, h;
        fm__pixfmt_plane_size(format, width, height, p, &w, &h);
        view->stride[p] = (int)fm__pixfmt_row_bytes(format, width, p);
        offset[p] = size;
        size += (size_t)view->stride[p] * (size_t)h;
    }
    *pixels = make_pixels(size);
    for (int p = 0; *pixels && p < fm_pixfmt_planes(format); p++) {
        view->plane[p] = *pixels + offset[p];
    }
    return *pixels != NULL;
}

bool pictures_make(fm_pixfmt format, int width, int height, fm_frame_view *views, uint8_t **pixels)
{
    bool ok = true;
    for (int i = 0; i < PICTURES; i++) {
        pixels[i] = NULL;
        ok = ok && picture_make(format, width, height, &views[i], &pixels[i]);
    }
    return ok;
}

void pictures_free(uint8_t **pixels)
{
    for (int i = 0; i < PICTURES; i++) {
        free(pixels[i]);
    }
}

void sort_times(double *ms, size_t n)
{
    qsort(ms, n, sizeof(*ms), compare_double);
}

int rounds_from(int argc, char **argv, int usual)
{
    int rounds = argc > 1 ? atoi(argv[1]) : usual;
    return rounds < 1 ? 1 : rounds > MAX_ROUNDS ? MAX_ROUNDS : rounds;
}
