// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** Tensors: a view that owns nothing. Who made the memory says how long it lives. */
#ifndef FM_FRAME_TENSOR_H
#define FM_FRAME_TENSOR_H

#include <framemill/status.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum fm_dtype {
    FM_DTYPE_U8,
    FM_DTYPE_F16,
    FM_DTYPE_F32,
    FM_DTYPE_I32,
    FM_DTYPE_I64,
    FM_DTYPE_COUNT
} fm_dtype;

#define FM_TENSOR_MAX_RANK 6

typedef struct fm_tensor {
    void *data;
    fm_dtype dtype;
    int rank;
    int64_t dims[FM_TENSOR_MAX_RANK]; // dense, row-major
} fm_tensor;

size_t fm__dtype_size(fm_dtype dtype);
const char *fm__dtype_name(fm_dtype dtype);
/** Elements in all; -1 on overflow or a negative dimension. */
int64_t fm__tensor_count(const fm_tensor *t);
/** View of row `i` along the first dimension, that dimension kept as 1. */
fm_tensor fm__tensor_row(const fm_tensor *t, int64_t i);
/** "[1,3,416,416]" into buf. */
void fm__tensor_shape_text(const fm_tensor *t, char *buf, size_t size);

#endif
