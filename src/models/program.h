// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** Programs that do what the library cannot: rebuild or export a network in Python. */
#ifndef FM_MODELS_PROGRAM_H
#define FM_MODELS_PROGRAM_H

#include <stdbool.h>
#include <stddef.h>

/** Runs argv[0] (a path) to its end; its last line of output in `said`. Returns the exit code, -1 when it did
 * not run or end well. Blocks for ten minutes at most. */
int fm__run_program(char *const argv[], char *said, size_t size);

#endif
