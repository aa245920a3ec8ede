// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** CRC32C (Castagnoli; RFC 3720, appendix B.4): the check sum of files' parts. */
#ifndef FM_BASE_CRC32C_H
#define FM_BASE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/** Goes on from `crc`, 0 at the start: fm__crc32c(fm__crc32c(0, a), b) is that of a and b in one. */
uint32_t fm__crc32c(uint32_t crc, const void *data, size_t len);

#endif
