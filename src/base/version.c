// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// The library's own version.

#include <framemill/version.h>

const char *fm_version(void)
{
    return FM_VERSION_STRING;
}
