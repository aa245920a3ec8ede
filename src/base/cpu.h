// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** CPU features, read once by who needs them and passed down; no global state. */
#ifndef FM_BASE_CPU_H
#define FM_BASE_CPU_H

/** SIMD levels, each one holding those before it. */
typedef enum fm_cpu_level {
    FM_CPU_SCALAR = 0,
    FM_CPU_AVX2 = 1,   // AVX2, FMA, F16C, BMI2
    FM_CPU_AVX512 = 2, // AVX-512 F, BW, DQ, VL
    FM_CPU_LEVEL_COUNT
} fm_cpu_level;

fm_cpu_level fm__cpu_level(void);
const char *fm__cpu_level_name(fm_cpu_level level);

#endif
