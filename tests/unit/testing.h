// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** What several unit tests need: cmocka with what it wants included before it, seeded random numbers, a
 * folder of one's own. */
#ifndef FM_TESTS_UNIT_TESTING_H
#define FM_TESTS_UNIT_TESTING_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define COUNT_OF(a) (sizeof(a) / sizeof((a)[0]))

/** splitmix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014). */
static inline uint64_t rnd(uint64_t *state)
{
    uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

/** 0..n-1 */
static inline int rnd_below(uint64_t *state, int n)
{
    return (int)(rnd(state) % (uint64_t)n);
}

/** A new folder under TMPDIR; free the string. */
static inline char *make_dir(void)
{
    const char *base = getenv("TMPDIR");
    char *path = NULL;
    assert_true(asprintf(&path, "%s/fm-test-XXXXXX", base && *base ? base : P_tmpdir) > 0);
    assert_non_null(mkdtemp(path));
    return path;
}

/** Removes a folder of make_dir with the files in it, and frees its name. */
static inline void drop_dir(char *path)
{
    char *command = NULL;
    assert_true(asprintf(&command, "chmod -R u+rwX '%s' && rm -rf '%s'", path, path) > 0);
    assert_int_equal(system(command), 0);
    free(command);
    free(path);
}

#endif
