// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** Running a denoising plan over pictures of letterbox_cases.h, everything it may not touch guarded. */
#ifndef TESTS_KERNEL_NLM_CASES_H
#define TESTS_KERNEL_NLM_CASES_H

#include "letterbox_cases.h"
#include "ops/nlm.h"

enum { NLM_FRAMES = 3 };

/** One plane after the other, rows dense. */
typedef struct nlm_result {
    tensor_buffer plane[FM__NLM_MAX_PLANES];
} nlm_result;

/** GRAY8 for one plane, YUV444P for two (U and V are taken), desc->frames of them. */
void nlm_make(picture p[NLM_FRAMES], const fm__nlm_desc *desc, content kind, placement place);
void nlm_free(picture p[NLM_FRAMES]);
/** Bands of `band` rows, each with the same scratch. */
void nlm_run(
    const picture p[NLM_FRAMES], const fm__nlm_desc *desc, fm_cpu_level level, int band, nlm_result *out);
void nlm_result_free(nlm_result *r);
void nlm_expect_same(const nlm_result *a, const nlm_result *b, const fm__nlm_desc *desc, const char *what);

#endif
