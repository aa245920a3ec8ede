// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** A bounded queue of frames between two threads. */
#ifndef FM_APP_FRAME_QUEUE_H
#define FM_APP_FRAME_QUEUE_H

#include "frame/frame.h"

#include <pthread.h>
#include <stdbool.h>

enum { FM__QUEUE_FRAMES = 4 };

typedef struct fm__frame_queue {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    // protected by lock
    fm_frame *frames[FM__QUEUE_FRAMES];
    int head, count;
    bool ended;  // nothing will be put any more
    bool closed; // nothing will be taken any more
} fm__frame_queue;

void fm__frame_queue_init(fm__frame_queue *q);
/** Frees what is left in it. */
void fm__frame_queue_done(fm__frame_queue *q);
/** Takes the reference over; waits for room. False: nobody takes any more, and the frame is gone. */
bool fm__frame_queue_put(fm__frame_queue *q, fm_frame *frame);
void fm__frame_queue_end(fm__frame_queue *q);
/** Waits for a frame; NULL: there will be none. */
fm_frame *fm__frame_queue_take(fm__frame_queue *q) FM_MUST_USE;
void fm__frame_queue_close(fm__frame_queue *q);

#endif
