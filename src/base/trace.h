// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** What every thread did when, as a trace that Chrome's and Perfetto's viewers open.
 *
 *  Each thread appends to a buffer of its own, without a lock; one that was not seen before gets its buffer
 * with its first event. Memory has one bound for all threads: what comes after it was reached is lost, and
 * counted. A trace that lost something ends, for all threads, where the first event was lost: what is in it
 * is complete. May be written while threads still append. */
#ifndef FM_BASE_TRACE_H
#define FM_BASE_TRACE_H

#include <framemill/status.h>

#include <stddef.h>
#include <stdint.h>

typedef struct fm_trace fm_trace;

typedef enum fm_trace_kind {
    FM_TRACE_SPAN,      // this thread was at it; spans of a thread nest
    FM_TRACE_FLOW_HEAD, // a span in which a frame's way begins
    FM_TRACE_FLOW,      // a span on a frame's way
    FM_TRACE_FLOW_TAIL, // a span in which it ends
    FM_TRACE_ASYNC,     // something that no thread is at; those with one name and slot never overlap
    FM_TRACE_COUNTER,   // a value from begin_ns on
} fm_trace_kind;

typedef struct fm_trace_event {
    int64_t begin_ns, end_ns; // fm__now_ns
    const char *name;         // outlives the trace
    uint64_t frame;           // below 2^40
    int64_t value;            // COUNTER: of it; others: items it was for, 0: not said
    uint32_t stream;          // below 4096, or FM_TRACE_NO_STREAM
    uint16_t slot;            // of ASYNC, or FM_TRACE_NO_SLOT: told apart by stream and frame
    uint16_t kind;
} fm_trace_event;

#define FM_TRACE_NO_STREAM UINT32_MAX
#define FM_TRACE_NO_SLOT UINT16_MAX

/** max_events: of all threads together, rounded up to whole chunks; one takes 48 bytes. */
fm_status fm__trace_new(size_t max_events, fm_trace **out, fm_error *err) FM_MUST_USE;
/** No thread may add any more. */
void fm__trace_free(fm_trace **trace);
/** Any thread. */
void fm__trace_add(fm_trace *t, const fm_trace_event *event);
/** Events that came after the bound was reached. */
uint64_t fm__trace_lost(const fm_trace *t);
/** Writes the trace event format's JSON object form; what is no regular file (a pipe) is written as it is,
 * others whole or not at all. stream_names: [stream_count] */
fm_status fm__trace_write(fm_trace *t, const char *path, const char *const *stream_names, size_t stream_count,
    fm_error *err) FM_MUST_USE;

#endif
