// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

#include "nlm_cases.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static int first_plane(const fm__nlm_desc *desc)
{
    return desc->planes == 2 ? 1 : 0;
}

void nlm_make(picture p[NLM_FRAMES], const fm__nlm_desc *desc, content kind, placement place)
{
    memset(p, 0, NLM_FRAMES * sizeof(*p));
    for (int f = 0; f < desc->frames; f++) {
        picture_make(&p[f], desc->planes == 2 ? FM_PIXFMT_YUV444P : FM_PIXFMT_GRAY8, desc->width,
            desc->height, kind, place, (uint32_t)(f + 1));
    }
}

void nlm_free(picture p[NLM_FRAMES])
{
    for (int f = 0; f < NLM_FRAMES; f++) {
        picture_free(&p[f]);
    }
}

void nlm_run(
    const picture p[NLM_FRAMES], const fm__nlm_desc *desc, fm_cpu_level level, int band, nlm_result *out)
{
    fm__nlm_plan *plan = NULL;
    fm_error err = {0};
    if (fm__nlm_plan_new(desc, level, &plan, &err) != FM_OK) {
        fail_msg("%s", err.msg);
    }
    fm__nlm_frame frames[NLM_FRAMES] = {0};
    uint8_t *dst[FM__NLM_MAX_PLANES] = {NULL};
    ptrdiff_t stride[FM__NLM_MAX_PLANES] = {desc->width, desc->width};
    memset(out, 0, sizeof(*out));
    for (int i = 0; i < desc->planes; i++) {
        for (int f = 0; f < desc->frames; f++) {
            frames[f].plane[i] = p[f].view.plane[first_plane(desc) + i];
            frames[f].stride[i] = p[f].view.stride[first_plane(desc) + i];
        }
        out->plane[i] = tensor_make((size_t)desc->width * (size_t)desc->height);
        dst[i] = out->plane[i].data;
    }
    tensor_buffer scratch = tensor_make(fm__nlm_scratch_size(plan));
    for (int y = 0; y < desc->height; y += band) {
        fm__nlm_rows(
            plan, frames, dst, stride, y, y + band < desc->height ? y + band : desc->height, scratch.data);
    }
    tensor_check_and_free(&scratch);
    fm__nlm_plan_free(&plan);
    assert_null(plan);
}

void nlm_result_free(nlm_result *r)
{
    for (int i = 0; i < FM__NLM_MAX_PLANES; i++) {
        if (r->plane[i].data) {
            tensor_check_and_free(&r->plane[i]);
        }
    }
}

void nlm_expect_same(const nlm_result *a, const nlm_result *b, const fm__nlm_desc *desc, const char *what)
{
    for (int i = 0; i < desc->planes; i++) {
        for (size_t at = 0; at < a->plane[i].size; at++) {
            if (a->plane[i].data[at] != b->plane[i].data[at]) {
                fail_msg("%s: %dx%d, %d planes, h %g, radius %d, %d frames: plane %d (%zu,%zu) is %d, should "
                         "be %d",
                    what, desc->width, desc->height, desc->planes, (double)desc->h, desc->radius,
                    desc->frames, i, at % (size_t)desc->width, at / (size_t)desc->width, b->plane[i].data[at],
                    a->plane[i].data[at]);
            }
        }
    }
}
