// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Records of a spool. A length that a flipped bit made large must not hide what stands behind it, so a record
// counts only with its CRC, and where there is none the next magic number is looked for.

#include "bus/record.h"

#include "base/bytes.h"
#include "base/crc32c.h"

#include <string.h>

#define MAGIC UINT32_C(0x31424d46) // "FMB1"
#define LENGTHS 6                  // of key, stream and type, 16 bits each

static size_t payload_size(const fm_bus_entry *e)
{
    return LENGTHS + e->key_len + e->stream_len + e->type_len + e->data_len;
}

size_t fm__record_size(const fm_bus_entry *e)
{
    bool fits = e->key_len <= UINT16_MAX && e->stream_len <= UINT16_MAX && e->type_len <= UINT16_MAX &&
                e->data_len <= FM_RECORD_MAX && payload_size(e) <= FM_RECORD_MAX;
    return fits ? FM_RECORD_HEADER + payload_size(e) : 0;
}

void fm__record_write(uint8_t *out, const fm_bus_entry *e, uint64_t epoch, uint64_t sequence)
{
    const struct {
        const char *text;
        size_t len;
    } parts[] = {
        {e->key, e->key_len}, {e->stream, e->stream_len}, {e->type, e->type_len}, {e->data, e->data_len}};
    uint8_t *at = out + FM_RECORD_HEADER;
    for (int i = 0; i < 3; i++, at += 2) {
        fm__put_le(at, parts[i].len, 2);
    }
    for (int i = 0; i < 4; i++) {
        if (parts[i].len) {
            memcpy(at, parts[i].text, parts[i].len);
        }
        at += parts[i].len;
    }
    size_t len = payload_size(e);
    fm__put_le(out, MAGIC, 4);
    fm__put_le(out + 4, len, 4);
    fm__put_le(out + 12, epoch, 8);
    fm__put_le(out + 20, sequence, 8);
    fm__put_le(out + 8, fm__crc32c(fm__crc32c(0, out + 4, 4), out + 12, FM_RECORD_HEADER - 12 + len), 4);
}

static bool read_payload(const uint8_t *at, size_t len, fm_bus_entry *e)
{
    e->key_len = fm__get_le(at, 2);
    e->stream_len = fm__get_le(at + 2, 2);
    e->type_len = fm__get_le(at + 4, 2);
    size_t texts = LENGTHS + e->key_len + e->stream_len + e->type_len;
    if (texts > len) {
        return false;
    }
    e->key = (const char *)at + LENGTHS;
    e->stream = e->key + e->key_len;
    e->type = e->stream + e->stream_len;
    e->data = e->type + e->type_len;
    e->data_len = len - texts;
    return true;
}

// *size is set when there is a record, or may be one with more bytes.
static fm_record_found look(const uint8_t *data, size_t len, fm_record *out, size_t *size)
{
    if (len < FM_RECORD_HEADER) {
        return fm__get_le(data, len < 4 ? len : 4) ==
                       (MAGIC & (len < 4 ? (UINT32_C(1) << (8 * len)) - 1 : UINT32_MAX))
                   ? FM_RECORD_MORE
                   : FM_RECORD_END;
    }
    size_t payload = fm__get_le(data + 4, 4);
    if (fm__get_le(data, 4) != MAGIC || payload < LENGTHS || payload > FM_RECORD_MAX) {
        return FM_RECORD_END;
    }
    *size = FM_RECORD_HEADER + payload;
    if (*size > len) {
        return FM_RECORD_MORE;
    }
    out->epoch = fm__get_le(data + 12, 8);
    out->sequence = fm__get_le(data + 20, 8);
    uint32_t crc = fm__crc32c(fm__crc32c(0, data + 4, 4), data + 12, *size - 12);
    return crc == fm__get_le(data + 8, 4) && read_payload(data + FM_RECORD_HEADER, payload, &out->entry)
               ? FM_RECORD_FOUND
               : FM_RECORD_END;
}

fm_record_found fm__record_next(
    const uint8_t *data, size_t len, fm_record *out, size_t *used, size_t *damaged)
{
    size_t waits = len, at = 0, size = 0;
    for (; at < len; at++) {
        const uint8_t *next = memchr(data + at, MAGIC & 0xff, len - at);
        if (!next) {
            at = len;
            break;
        }
        at = (size_t)(next - data);
        fm_record_found found = look(next, len - at, out, &size);
        if (found == FM_RECORD_FOUND) {
            *used = at + size;
            *damaged = at;
            return FM_RECORD_FOUND;
        }
        // A damaged length may promise bytes that never come: whole records behind it still count.
        if (found == FM_RECORD_MORE && waits == len) {
            waits = at;
        }
    }
    *used = *damaged = waits;
    return waits < len ? FM_RECORD_MORE : FM_RECORD_END;
}
