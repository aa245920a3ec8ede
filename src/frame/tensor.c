// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Tensor views: sizes and names.

#include "frame/tensor.h"

#include <stdio.h>

size_t fm__dtype_size(fm_dtype dtype)
{
    static const size_t sizes[FM_DTYPE_COUNT] = {1, 2, 4, 4, 8};
    return dtype >= 0 && dtype < FM_DTYPE_COUNT ? sizes[dtype] : 0;
}

const char *fm__dtype_name(fm_dtype dtype)
{
    static const char *const names[FM_DTYPE_COUNT] = {"u8", "f16", "f32", "i32", "i64"};
    return dtype >= 0 && dtype < FM_DTYPE_COUNT ? names[dtype] : "unknown";
}

int64_t fm__tensor_count(const fm_tensor *t)
{
    int64_t n = 1;
    for (int i = 0; i < t->rank; i++) {
        if (t->dims[i] < 0 || __builtin_mul_overflow(n, t->dims[i], &n)) {
            return -1;
        }
    }
    return n;
}

fm_tensor fm__tensor_row(const fm_tensor *t, int64_t i)
{
    fm_tensor row = *t;
    row.dims[0] = 1;
    row.data = (uint8_t *)t->data + (size_t)(i * fm__tensor_count(&row)) * fm__dtype_size(t->dtype);
    return row;
}

void fm__tensor_shape_text(const fm_tensor *t, char *buf, size_t size)
{
    size_t n = 0;
    for (int i = 0; i < t->rank && n < size; i++) {
        n += (size_t)snprintf(buf + n, size - n, "%s%lld", i ? "," : "[", (long long)t->dims[i]);
    }
    if (n < size) {
        snprintf(buf + n, size - n, t->rank ? "]" : "[]");
    }
}
