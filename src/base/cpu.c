// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// CPU features by the compiler's own check, which also asks whether the operating system saves the wide
// registers.

#include "base/cpu.h"

// Vector kernels load and compute whole registers, also over memory of their own behind a row's end whose
// lanes nobody looks at. MemorySanitizer takes that for a use: it looks at the scalar twins.
#if defined(__has_feature)
#if __has_feature(memory_sanitizer)
#define SCALAR_ONLY
#endif
#endif

fm_cpu_level fm__cpu_level(void)
{
#if defined(__x86_64__) && !defined(SCALAR_ONLY)
    __builtin_cpu_init();
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma") ||
        !__builtin_cpu_supports("bmi2")) {
        return FM_CPU_SCALAR;
    }
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl")) {
        return FM_CPU_AVX512;
    }
    return FM_CPU_AVX2;
#else
    return FM_CPU_SCALAR;
#endif
}

const char *fm__cpu_level_name(fm_cpu_level level)
{
    static const char *const names[FM_CPU_LEVEL_COUNT] = {"scalar", "avx2", "avx512"};
    return level >= 0 && level < FM_CPU_LEVEL_COUNT ? names[level] : "unknown";
}
