// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// A ring of a few frames: enough that decoder, enhancer and encoder work at the same time, few enough that
// memory stays flat whatever the video's length.

#include "app/frame_queue.h"

void fm__frame_queue_init(fm__frame_queue *q)
{
    *q = (fm__frame_queue){.head = 0};
    pthread_mutex_init(&q->lock, NULL);
    pthread_cond_init(&q->changed, NULL);
}

void fm__frame_queue_done(fm__frame_queue *q)
{
    for (int i = 0; i < q->count; i++) {
        fm_frame_unref(&q->frames[(q->head + i) % FM__QUEUE_FRAMES]);
    }
    pthread_cond_destroy(&q->changed);
    pthread_mutex_destroy(&q->lock);
}

bool fm__frame_queue_put(fm__frame_queue *q, fm_frame *frame)
{
    pthread_mutex_lock(&q->lock);
    while (q->count == FM__QUEUE_FRAMES && !q->closed) {
        pthread_cond_wait(&q->changed, &q->lock);
    }
    bool taken = !q->closed;
    if (taken) {
        q->frames[(q->head + q->count++) % FM__QUEUE_FRAMES] = frame;
        pthread_cond_broadcast(&q->changed);
    }
    pthread_mutex_unlock(&q->lock);
    if (!taken) {
        fm_frame_unref(&frame);
    }
    return taken;
}

static void set(fm__frame_queue *q, bool *flag)
{
    pthread_mutex_lock(&q->lock);
    *flag = true;
    pthread_cond_broadcast(&q->changed);
    pthread_mutex_unlock(&q->lock);
}

void fm__frame_queue_end(fm__frame_queue *q)
{
    set(q, &q->ended);
}

void fm__frame_queue_close(fm__frame_queue *q)
{
    set(q, &q->closed);
}

fm_frame *fm__frame_queue_take(fm__frame_queue *q)
{
    fm_frame *frame = NULL;
    pthread_mutex_lock(&q->lock);
    while (q->count == 0 && !q->ended) {
        pthread_cond_wait(&q->changed, &q->lock);
    }
    if (q->count > 0) {
        frame = q->frames[q->head];
        q->head = (q->head + 1) % FM__QUEUE_FRAMES;
        q->count--;
        pthread_cond_broadcast(&q->changed);
    }
    pthread_mutex_unlock(&q->lock);
    return frame;
}
