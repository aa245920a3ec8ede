// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Non-local means of 16-bit samples, compiled for AVX2.

#include "ops/nlm16_rows.h"

void fm__nlm16_rows_avx2(const fm__nlm16 *d, int y0, int y1, void *scratch)
{
    rows_of(d, y0, y1, scratch);
}
