// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// The command. Its parts lie beside this file.

#include <framemill/framemill.h>

#include <stdio.h>

int main(void)
{
    puts(fm_version());
    return 0;
}
