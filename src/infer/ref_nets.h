// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** The functions of the ref backend. Pure. */
#ifndef FM_INFER_REF_NETS_H
#define FM_INFER_REF_NETS_H

#include "infer/infer.h"

typedef struct fm__ref_fn {
    const char *name;
    int width, height; // of the input, where nobody says
    /** Shape of the output, f32, for info's batch and input size. */
    fm_tensor (*output)(const fm_net_info *info);
    /** One row; input is u8, three channels, in info's layout and size, both sides at least 8. */
    void (*row)(const fm_net_info *info, const uint8_t *input, float *output);
} fm__ref_fn;

/** NULL when there is none by this name. */
const fm__ref_fn *fm__ref_find(const char *name);

#endif
