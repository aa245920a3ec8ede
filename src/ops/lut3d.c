// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// A 3D table over pixels, by tetrahedral interpolation (Sakamoto and Itooka, US patent 4275413, 1981, long
// expired; Kasson, Plouffe and Nin, "A tetrahedral interpolation technique for color space conversion",
// 1993): a cell is cut into six tetrahedra by the order of the three shares, and a pixel is the mean of its
// four corners. FFmpeg's lut3d does the same in float and cuts off the fraction at the end; we round, so the
// two are 1 apart at most.

#include "ops/lut3d.h"

static inline int max_int(int a, int b)
{
    return a > b ? a : b;
}

static inline int min_int(int a, int b)
{
    return a < b ? a : b;
}

static inline uint8_t to_byte(int32_t sum)
{
    int v = (sum + (1 << 18)) >> 19; // 14 bits of the shares, 5 of the table
    return (uint8_t)max_int(0, min_int(255, v));
}

void fm__lut3d_row_scalar(const fm__lut3d *lut, uint8_t *dst, const uint8_t *src, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        fm__lut3d_place r = lut->place[0][src[3 * i]], g = lut->place[1][src[3 * i + 1]];
        fm__lut3d_place b = lut->place[2][src[3 * i + 2]];
        int most = max_int(r.share, max_int(g.share, b.share)),
            least = min_int(r.share, min_int(g.share, b.share));
        int middle = r.share + g.share + b.share - most - least;
        int order = (r.share >= g.share) << 2 | (g.share >= b.share) << 1 | (r.share >= b.share);
        const fm__lut3d_corners *to = &lut->corners[order];
        const int16_t(*c)[4] = lut->table + r.at + g.at + b.at;
        for (int k = 0; k < 3; k++) {
            int32_t sum = c[0][k] * (16384 - most) + c[to->second][k] * (most - middle) +
                          c[to->third][k] * (middle - least) + c[to->last][k] * least;
            dst[3 * i + (size_t)k] = to_byte(sum);
        }
    }
}

void fm__lut3d_row(const fm__lut3d *lut, uint8_t *dst, const uint8_t *src, size_t n, fm_cpu_level level)
{
#if defined(__x86_64__)
    if (level >= FM_CPU_AVX2) {
        fm__lut3d_row_avx2(lut, dst, src, n);
        return;
    }
#endif
    (void)level;
    fm__lut3d_row_scalar(lut, dst, src, n);
}
