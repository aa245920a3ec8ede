// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** Records of a spool: 28 bytes of header, little-endian (magic, length of the payload, CRC32C of the header
 *  behind it and the payload, epoch, sequence), then the payload: what goes to Redis as one entry. Pure. */
#ifndef FM_BUS_RECORD_H
#define FM_BUS_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FM_RECORD_HEADER 28
#define FM_RECORD_MAX ((size_t)8 << 20) // of the payload

/** One entry; texts are borrowed and not terminated in a parsed record. */
typedef struct fm_bus_entry {
    const char *key; // of the Redis stream
    const char *stream, *type;
    const char *data; // JSON
    size_t key_len, stream_len, type_len, data_len;
} fm_bus_entry;

typedef struct fm_record {
    uint64_t epoch, sequence;
    fm_bus_entry entry;
} fm_record;

/** Bytes that a record takes; 0: too large. */
size_t fm__record_size(const fm_bus_entry *entry);
/** Writes it to out, which has room for it. */
void fm__record_write(uint8_t *out, const fm_bus_entry *entry, uint64_t epoch, uint64_t sequence);

typedef enum fm_record_found {
    FM_RECORD_FOUND,
    FM_RECORD_MORE, // whole only if more bytes follow: *used bytes before it are done with
    FM_RECORD_END,  // nothing but damage up to the end
} fm_record_found;

/** The next whole record in data. Bytes that are none are skipped up to the next one. *used: bytes gone past,
 * the record's included; *damaged: of them, those that were skipped. */
fm_record_found fm__record_next(
    const uint8_t *data, size_t len, fm_record *out, size_t *used, size_t *damaged);

#endif
