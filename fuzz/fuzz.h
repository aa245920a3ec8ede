// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** What every target has: libFuzzer's entry, and a check that ends the process where an invariant does not
 * hold, in every build type. */
#ifndef FM_FUZZ_H
#define FM_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FUZZ_CHECK(condition)                                                                                \
    do {                                                                                                     \
        if (!(condition)) {                                                                                  \
            fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #condition);                   \
            abort();                                                                                         \
        }                                                                                                    \
    } while (0)

/** A file in memory with these bytes: a descriptor to close, and the path that opens it again. */
static inline int fuzz_file(const void *data, size_t len, char path[64])
{
    int fd = memfd_create("fuzz", MFD_CLOEXEC);
    FUZZ_CHECK(fd >= 0 && (len == 0 || write(fd, data, len) == (ssize_t)len));
    snprintf(path, 64, "/proc/self/fd/%d", fd);
    return fd;
}

#endif
