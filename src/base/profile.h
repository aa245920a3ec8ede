// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** Where each thread's time went, kept while a run goes on: for every thread how long it was at what, in all
 * and over time (base/bins.h), its processor time, and how long it stood in line for a core.
 *
 *  A thread's time is told in spans, each one after it ended. Spans may lie in one another if the inner one
 * is told first: the outer one is opened before and counts what the inner ones leave of it. So the times of a
 * thread never count twice, and what they leave of its life is time that nothing here names. All calls accept
 * NULL and do nothing then. Each thread writes a record of its own; memory is bounded: records, and the first
 * FM_PROFILE_DRAWN of them also over time. */
#ifndef FM_BASE_PROFILE_H
#define FM_BASE_PROFILE_H

#include "base/bins.h"

#include <framemill/status.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct fm_profile fm_profile;

#define FM_PROFILE_DRAWN 96
#define FM_PROFILE_THREADS 8192

/** BUSY and IDLE are a thread's; APART is what no thread is at, such as an inference in its slot. The first
 * ones are the stages of a run in their order. */
typedef enum fm_act_kind { FM_ACT_BUSY, FM_ACT_IDLE, FM_ACT_APART } fm_act_kind;
#define FM_ACT_LIST(X)                                                                                       \
    X(DECODE, "decode", BUSY)                                                                                \
    X(ENHANCE, "enhance", BUSY)                                                                              \
    X(QUEUE, "queue", APART)                                                                                 \
    X(PREPROCESS, "preprocess", BUSY)                                                                        \
    X(INFER, "infer", BUSY)                                                                                  \
    X(HEAD, "head", BUSY)                                                                                    \
    X(SEGMENT, "segment", BUSY)                                                                              \
    X(CLASSIFY, "classify", BUSY)                                                                            \
    X(EMBED, "embed", BUSY)                                                                                  \
    X(TRACK, "track", BUSY)                                                                                  \
    X(SINK, "sink", BUSY)                                                                                    \
    X(OPEN, "open", BUSY)       /* a source and its sinks */                                                 \
    X(GATE, "gate", BUSY)       /* is a frame for the models? */                                             \
    X(HAND_ON, "hand on", BUSY) /* a frame's way from its stream's thread into the ring */                   \
    X(BATCH, "batch", BUSY)     /* batches are formed, started, taken apart */                               \
    X(ORDER, "order", BUSY)     /* frames are put back in order */                                           \
    X(CLOSE, "close", BUSY)     /* a source, its decoder, and its sinks with what they still hold */         \
    X(SAMPLE, "sample", BUSY)   /* the profile itself */                                                     \
    X(NO_ROOM, "no room", IDLE) /* waits until a frame has left */                                           \
    X(NO_WORK, "no work", IDLE) /* waits for something to do */                                              \
    X(PACE, "pace", IDLE)       /* waits for the clock */                                                    \
    X(INFERS, "infer", APART)   /* inferences in their slots, of each model */                               \
    X(SEGMENTS, "segment", APART)                                                                            \
    X(CLASSIFIES, "classify", APART)                                                                         \
    X(EMBEDS, "embed", APART)

typedef enum fm_act {
#define FM_ACT_ENUM(name, text, kind) FM_ACT_##name,
    FM_ACT_LIST(FM_ACT_ENUM)
#undef FM_ACT_ENUM
        FM_ACT_COUNT
} fm_act;

const char *fm__act_name(fm_act act);
fm_act_kind fm__act_kind(fm_act act);

fm_status fm__profile_new(fm_profile **out, fm_error *err) FM_MUST_USE;
/** No thread may add any more. */
void fm__profile_free(fm_profile **profile);
/** Time counts from here on: what was before is cut off. */
void fm__profile_start(fm_profile *p, int64_t at_ns);
int64_t fm__profile_origin(const fm_profile *p);

/** This thread's life begins and ends; one that was not begun begins with its first span. */
void fm__profile_begin(fm_profile *p);
void fm__profile_end(fm_profile *p);
/** This thread was at it (or nobody was, APART) from begin_ns to end_ns, of fm__now_ns. */
void fm__profile_add(fm_profile *p, fm_act act, int64_t begin_ns, int64_t end_ns);
/** Around what waits. Until it woke the wait counts as far as it has come. */
void fm__profile_wait(fm_profile *p, fm_act act);
void fm__profile_woke(fm_profile *p);

/** Around spans: what they leave of it. */
typedef struct fm_profile_mark {
    int64_t begin_ns, charged_ns;
} fm_profile_mark;
fm_profile_mark fm__profile_open(fm_profile *p);
void fm__profile_close(fm_profile *p, fm_act act, fm_profile_mark mark);

typedef struct fm_profile_thread {
    char name[16];
    int tid;
    int64_t begin_ns, life_ns; // from the origin
    int64_t cpu_ns;            // processor time
    int64_t delayed_ns;        // ready to run, and in line for a core; -1: this system does not say
    int64_t total_ns[FM_ACT_COUNT];
    uint64_t count[FM_ACT_COUNT];
    uint64_t *bins[FM_ACT_COUNT]; // [FM_BINS] nanoseconds, NULL: never, or not kept
} fm_profile_thread;

typedef struct fm_profile_view {
    int64_t width_ns; // of all bins
    size_t count;
    fm_profile_thread *threads; // by tid, so by age
    uint64_t lost;              // threads without a record
} fm_profile_view;

/** What is there up to now. */
fm_status fm__profile_view(fm_profile *p, fm_profile_view *out, fm_error *err) FM_MUST_USE;
void fm__profile_view_done(fm_profile_view *view);

#endif
