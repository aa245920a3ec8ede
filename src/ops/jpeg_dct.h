// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** The DCT's one dimension on vectors of 16-bit integers, for the files that say what V, ADD, SUB, MULR
 * ((a * c + 2^14) >> 15, as PMULHRSW) and the UNPACKs are. After Loeffler, Ligtenberg, Moschytz, "Practical
 * fast 1-D DCT algorithms with 11 multiplications" (1989), scaled by 2 * sqrt(2): eight values whose sum is
 * the first result. Its rotations are made of four products each, of constants below one, so that no
 * intermediate leaves 16 bits where no result does. */

/** In two dimensions: samples times 16; rounded to 4 between the passes; 32 times the coefficients at the
 * end. |first pass| <= 8 * 255 * 16 and, less the level shift, / 4 <= 4096; |second pass| <= 8 * 4096, which
 * the mean alone reaches, on the negative side. */
static inline __attribute__((always_inline)) void dct_8(V x[8])
{
    V t0 = ADD(x[0], x[7]), t1 = ADD(x[1], x[6]), t2 = ADD(x[2], x[5]), t3 = ADD(x[3], x[4]);
    V d0 = SUB(x[0], x[7]), d1 = SUB(x[1], x[6]), d2 = SUB(x[2], x[5]), d3 = SUB(x[3], x[4]);
    V e0 = ADD(t0, t3), e1 = ADD(t1, t2), e2 = SUB(t1, t2), e3 = SUB(t0, t3);
    // A, B: (d0, d3) turned by 3 pi / 16; C, D: (d1, d2) by pi / 16.
    V A = SUB(MULR(d0, FM__DCT_C3), MULR(d3, FM__DCT_S3)),
      B = ADD(MULR(d0, FM__DCT_S3), MULR(d3, FM__DCT_C3));
    V C = SUB(MULR(d1, FM__DCT_C1), MULR(d2, FM__DCT_S1)),
      D = ADD(MULR(d1, FM__DCT_S1), MULR(d2, FM__DCT_C1));
    V f = SUB(A, D), g = SUB(B, C);
    x[0] = ADD(e0, e1);
    x[4] = SUB(e0, e1);
    x[2] = ADD(ADD(e3, MULR(e3, FM__DCT_C2)), MULR(e2, FM__DCT_S2));
    x[6] = SUB(MULR(e3, FM__DCT_S2), ADD(e2, MULR(e2, FM__DCT_C2)));
    x[1] = ADD(ADD(A, B), ADD(C, D));
    x[7] = ADD(SUB(A, B), SUB(D, C));
    x[3] = ADD(f, MULR(f, FM__DCT_R2));
    x[5] = ADD(g, MULR(g, FM__DCT_R2));
}

#ifndef DCT_ONE_BLOCK
/** Each 128-bit lane is a block: rows to columns. */
static inline __attribute__((always_inline)) void transpose_8(V r[8])
{
    V a[8], b[8];
    for (int i = 0; i < 4; i++) {
        a[2 * i] = UNPACKLO16(r[2 * i], r[2 * i + 1]);
        a[2 * i + 1] = UNPACKHI16(r[2 * i], r[2 * i + 1]);
    }
    for (int i = 0; i < 2; i++) {
        for (int k = 0; k < 2; k++) {
            b[4 * i + 2 * k] = UNPACKLO32(a[4 * i + k], a[4 * i + 2 + k]);
            b[4 * i + 2 * k + 1] = UNPACKHI32(a[4 * i + k], a[4 * i + 2 + k]);
        }
    }
    for (int i = 0; i < 4; i++) {
        r[2 * i] = UNPACKLO64(b[i], b[i + 4]);
        r[2 * i + 1] = UNPACKHI64(b[i], b[i + 4]);
    }
}

/** x: rows of samples as 16 bits, one to a register; at the end columns of coefficients. */
static inline __attribute__((always_inline)) void dct_8x8(V x[8])
{
    for (int i = 0; i < 8; i++) {
        x[i] = SHL4(x[i]);
    }
    dct_8(x);
    x[0] = SUB(x[0], SET1(FM__DCT_LEVEL));
    for (int i = 0; i < 8; i++) {
        x[i] = MULR(x[i], FM__DCT_QUARTER);
    }
    transpose_8(x);
    dct_8(x);
}
#endif
