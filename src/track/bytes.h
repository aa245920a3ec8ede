// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** Saved state, little-endian whatever the machine. A writer counts what does not fit, so that one function
 * both measures and writes; a reader that ran past the end or met a bad value says so once, at the end. */
#ifndef FM_TRACK_BYTES_H
#define FM_TRACK_BYTES_H

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

static inline void fm__put(fm__writer *w, uint64_t v, size_t bytes)
{
    if (w->data != NULL && w->at <= w->cap && bytes <= w->cap - w->at)
        for (size_t i = 0; i < bytes; i++)
            w->data[w->at + i] = (uint8_t)(v >> (8 * i));
    w->at += bytes;
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
    uint64_t v = 0;
    if (r->bad || bytes > r->len - r->at) {
        r->bad = true;
        return 0;
    }
    for (size_t i = 0; i < bytes; i++)
        v |= (uint64_t)r->data[r->at + i] << (8 * i);
    r->at += bytes;
    return v;
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
