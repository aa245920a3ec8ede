// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** Saved state, little-endian whatever the machine. A writer counts what does not fit, so that one function
 * both measures and writes; a reader that ran past the end or met a bad value says so once, at the end. */
#ifndef FM_BASE_BYTES_H
#define FM_BASE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef struct fm__writer {
    uint8_t *data; // NULL: only count
    size_t cap, at;
} fm__writer;

typedef struct fm__reader {
    const uint8_t *data;
    size_t len, at;
    bool bad;
} fm__reader;

/** A part of what is read, borrowed. */
typedef struct fm__section {
    const uint8_t *data;
    size_t len;
} fm__section;

/** The lowest bytes of v, at a place that has room for them. */
static inline void fm__put_le(uint8_t *at, uint64_t v, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        at[i] = (uint8_t)(v >> (8 * i));
}

static inline uint64_t fm__get_le(const uint8_t *at, size_t bytes)
{
    uint64_t v = 0;
    for (size_t i = 0; i < bytes; i++)
        v |= (uint64_t)at[i] << (8 * i);
    return v;
}

/** Where the next `len` bytes go, for the caller to fill; NULL when they do not fit, or are only counted. */
static inline uint8_t *fm__put_room(fm__writer *w, size_t len)
{
    bool fits = w->data != NULL && w->at <= w->cap && len <= w->cap - w->at;
    uint8_t *at = fits ? w->data + w->at : NULL;
    w->at += len;
    return at;
}

static inline void fm__put(fm__writer *w, uint64_t v, size_t bytes)
{
    uint8_t *at = fm__put_room(w, bytes);
    if (at)
        fm__put_le(at, v, bytes);
}

static inline void fm__put_raw(fm__writer *w, const void *data, size_t len)
{
    uint8_t *at = fm__put_room(w, len);
    if (at && len > 0)
        memcpy(at, data, len);
}

/** Room for a part whose length, a u32, stands before it. */
static inline uint8_t *fm__put_section(fm__writer *w, size_t len)
{
    fm__put(w, len, 4);
    return fm__put_room(w, len);
}

static inline void fm__put_f32(fm__writer *w, float v)
{
    uint32_t bits;
    memcpy(&bits, &v, sizeof bits);
    fm__put(w, bits, sizeof bits);
}

static inline void fm__put_f64(fm__writer *w, double v)
{
    uint64_t bits;
    memcpy(&bits, &v, sizeof bits);
    fm__put(w, bits, sizeof bits);
}

static inline uint64_t fm__get(fm__reader *r, size_t bytes)
{
    if (r->bad || bytes > r->len - r->at) {
        r->bad = true;
        return 0;
    }
    r->at += bytes;
    return fm__get_le(r->data + r->at - bytes, bytes);
}

static inline fm__section fm__get_section(fm__reader *r)
{
    size_t len = (size_t)fm__get(r, 4);
    if (r->bad || len > r->len - r->at) {
        r->bad = true;
        return (fm__section){.len = 0};
    }
    r->at += len;
    return (fm__section){.data = r->data + r->at - len, .len = len};
}

/** A whole number in lo..hi; others make the reader bad and read as lo. */
static inline uint64_t fm__get_in(fm__reader *r, size_t bytes, uint64_t lo, uint64_t hi)
{
    uint64_t v = fm__get(r, bytes);
    if (v >= lo && v <= hi)
        return v;
    r->bad = true;
    return lo;
}

/** A number in lo..hi, never NaN. */
static inline float fm__get_f32(fm__reader *r, float lo, float hi)
{
    uint32_t bits = (uint32_t)fm__get(r, sizeof bits);
    float v;
    memcpy(&v, &bits, sizeof v);
    if (v >= lo && v <= hi)
        return v;
    r->bad = true;
    return lo;
}

static inline double fm__get_f64(fm__reader *r, double lo, double hi)
{
    uint64_t bits = fm__get(r, sizeof bits);
    double v;
    memcpy(&v, &bits, sizeof v);
    if (v >= lo && v <= hi)
        return v;
    r->bad = true;
    return lo;
}

#endif
