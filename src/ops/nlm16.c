// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Non-local means of 16-bit samples: patch 7, window 21, border and weights of nlm.c (Buades, Coll, Morel
// 2005; OpenCV's fastNlMeansDenoising), one displacement at a time so that neighbouring patches share their
// sums. Distances come from samples rounded to 12 bits: 2 * 49 * 4096^2 is below 2^31, so they are exact, and
// finer than any noise that is worth removing. Means are of the full samples, in float: 441 * 65535 keeps a
// relative error below 1e-5, half a count at most.
//
// exp(-u) = (exp(-u / 16))^16 with five terms of the series: 1.5e-4 off at u = 7, and no table to gather
// from.

#include "ops/nlm16_rows.h"

size_t fm__nlm16_scratch_size(const fm__nlm16 *d, int rows)
{
    size_t pitch = pitch_of(d), padded = (size_t)rows + 2 * EDGE;
    return 2 * padded * pitch * (sizeof(uint16_t) + sizeof(float)) +
           3 * (size_t)rows * pitch * sizeof(float) + 2 * pitch * sizeof(int32_t);
}

void fm__nlm16_rows(const fm__nlm16 *d, int y0, int y1, void *scratch, fm_cpu_level level)
{
#if defined(__x86_64__)
    if (level >= FM_CPU_AVX2) {
        fm__nlm16_rows_avx2(d, y0, y1, scratch);
        return;
    }
#endif
    (void)level;
    rows_of(d, y0, y1, scratch);
}
