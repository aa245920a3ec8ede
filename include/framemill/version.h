// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** Version of the headers (macros) and of the library that is loaded (function). */
#ifndef FRAMEMILL_VERSION_H
#define FRAMEMILL_VERSION_H

#include <framemill/api.h>

FM_BEGIN_DECLS

#define FM_VERSION_MAJOR 0
#define FM_VERSION_MINOR 1
#define FM_VERSION_PATCH 0
#define FM_VERSION_STRING "0.1.0"

/** Version of the loaded library, "major.minor.patch". Static storage. Safe from any thread. */
FM_API const char *fm_version(void);

FM_END_DECLS

#endif
