// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** Which files an evaluation reads. */
#ifndef FM_APP_EVAL_PRIVATE_H
#define FM_APP_EVAL_PRIVATE_H

#include <framemill/status.h>

#include <stddef.h>

typedef struct eval_pair {
    char *name, *gt;
    char *result; // NULL: there is none
} eval_pair;

typedef struct eval_pairs {
    eval_pair *items; // [count] by name
    size_t count, cap;
} eval_pairs;

/** Finds them; see fm_eval_new. Free with fm__eval_pairs_done, also after a failure. */
fm_status fm__eval_pairs_find(
    eval_pairs *pairs, const char *gt, const char *result, fm_error *err) FM_MUST_USE;
void fm__eval_pairs_done(eval_pairs *pairs);

#endif
