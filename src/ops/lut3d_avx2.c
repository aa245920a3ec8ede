// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// The 3D table with AVX2's instructions, a pixel's three channels side by side: two PMADDWD weigh four
// corners. lut3d.c says what is computed. Which corners is found in scalar registers: it takes no longer than
// the loads.

#include "ops/lut3d.h"

#include <immintrin.h>
#include <string.h>

static inline int max_int(int a, int b)
{
    return a > b ? a : b;
}

static inline int min_int(int a, int b)
{
    return a < b ? a : b;
}

static inline __m128i corner(const int16_t (*table)[4], int at)
{
    return _mm_loadl_epi64((const __m128i *)(table + at));
}

static inline __m128i two(int low, int high)
{
    return _mm_set1_epi32((int)((uint32_t)high << 16 | (uint32_t)low));
}

// R, G, B, 0 in 32 bits, not yet clamped. The order of shares picks the corners from a table: comparing and
// branching goes wrong on every other pixel of a noisy picture.
static inline __m128i pixel(const fm__lut3d *lut, const uint8_t *rgb)
{
    const fm__lut3d_place r = lut->place[0][rgb[0]], g = lut->place[1][rgb[1]], b = lut->place[2][rgb[2]];
    const int most = max_int(r.share, max_int(g.share, b.share)),
              least = min_int(r.share, min_int(g.share, b.share));
    const int middle = r.share + g.share + b.share - most - least;
    const int order = (r.share >= g.share) << 2 | (g.share >= b.share) << 1 | (r.share >= b.share);
    const fm__lut3d_corners *to = &lut->corners[order];
    const int16_t(*c)[4] = lut->table + r.at + g.at + b.at;
    __m128i near = _mm_unpacklo_epi16(corner(c, 0), corner(c, to->second));
    __m128i far = _mm_unpacklo_epi16(corner(c, to->third), corner(c, to->last));
    __m128i sum = _mm_add_epi32(_mm_madd_epi16(near, two(16384 - most, most - middle)),
        _mm_madd_epi16(far, two(middle - least, least)));
    return _mm_srai_epi32(_mm_add_epi32(sum, _mm_set1_epi32(1 << 18)), 19);
}

void fm__lut3d_row_avx2(const fm__lut3d *lut, uint8_t *dst, const uint8_t *src, size_t n)
{
    const __m128i order = _mm_setr_epi8(0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, -1, -1, -1, -1);
    size_t i = 0;
    for (; i + 4 <= n; i += 4) {
        const uint8_t *p = src + 3 * i;
        __m128i low = _mm_packs_epi32(pixel(lut, p), pixel(lut, p + 3));
        __m128i high = _mm_packs_epi32(pixel(lut, p + 6), pixel(lut, p + 9));
        __m128i rgb = _mm_shuffle_epi8(_mm_packus_epi16(low, high), order);
        int last = _mm_extract_epi32(rgb, 2);
        _mm_storel_epi64((__m128i *)(dst + 3 * i), rgb);
        memcpy(dst + 3 * i + 8, &last, sizeof(last));
    }
    fm__lut3d_row_scalar(lut, dst + 3 * i, src + 3 * i, n - i);
}
