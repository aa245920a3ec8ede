// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** Memory by module. Every allocation carries its module's tag, so that a report can say who holds what, the
 * bench can count allocations on the hot path and tests can fail the Nth one. The counters are the library's
 * only mutable globals. Free every block with fm__free(); blocks are NOT interchangeable with malloc's. */
#ifndef FM_BASE_ALLOC_H
#define FM_BASE_ALLOC_H

#include <framemill/api.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FM_TAG_LIST(X)                                                                                       \
    X(BASE, "base")                                                                                          \
    X(FRAME, "frame")                                                                                        \
    X(OPS, "ops")                                                                                            \
    X(MEDIA, "media")                                                                                        \
    X(IMAGE, "image")                                                                                        \
    X(HEADS, "heads")                                                                                        \
    X(TRACK, "track")                                                                                        \
    X(INFER, "infer")                                                                                        \
    X(SEARCH, "search")                                                                                      \
    X(MODELS, "models")                                                                                      \
    X(STREAM, "stream")                                                                                      \
    X(ENHANCE, "enhance")                                                                                    \
    X(STORE, "store")                                                                                        \
    X(BUS, "bus")                                                                                            \
    X(EXEC, "exec")                                                                                          \
    X(PIPELINE, "pipeline")                                                                                  \
    X(TUNE, "tune")                                                                                          \
    X(SINKS, "sinks")                                                                                        \
    X(APP, "app")

typedef enum fm_tag {
#define FM_TAG_ENUM(name, text) FM_TAG_##name,
    FM_TAG_LIST(FM_TAG_ENUM)
#undef FM_TAG_ENUM
        FM_TAG_COUNT
} fm_tag;

/** Zeroed memory, aligned to 16 (fm__calloc) or to `align` (a power of two, at most 4096). NULL when there is
 * none or size is 0. */
void *fm__calloc(fm_tag tag, size_t size) FM_MUST_USE;
void *fm__calloc_aligned(fm_tag tag, size_t size, size_t align) FM_MUST_USE;
/** n * size with an overflow check. */
void *fm__calloc_array(fm_tag tag, size_t n, size_t size) FM_MUST_USE;
/** Grows or shrinks; a grown tail is zeroed. NULL leaves the old block as it was. old may be NULL. */
void *fm__realloc_array(fm_tag tag, void *old, size_t n, size_t size) FM_MUST_USE;
/** Accepts NULL. */
void fm__free(void *ptr);
/** Bytes that were asked for; 0 for NULL. */
size_t fm__alloc_size(const void *ptr);

/** *ptr grows to hold at least `want` elements (doubling); *cap is updated. false on no memory, nothing
 * changed. */
bool fm__grow(fm_tag tag, void **ptr, size_t *cap, size_t want, size_t size) FM_MUST_USE;

/** *out = a * b; false on overflow. */
bool fm__mul_size(size_t a, size_t b, size_t *out) FM_MUST_USE;

/** Tag of a module by its name, FM_TAG_COUNT when there is none. */
fm_tag fm__tag_find(const char *module);
const char *fm__tag_name(fm_tag tag);

/** Sum of all allocations made so far, of all tags. */
uint64_t fm__alloc_count(void);

/** Tests only: the Nth allocation from now (1 = the next one) fails, and with `sticky` all after it; 0
 * switches it off. */
void fm__alloc_fail_at(uint64_t nth, bool sticky);

#endif
