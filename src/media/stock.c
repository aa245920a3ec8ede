// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// A stock of AVFrames. An AVFrame is only a handle; the pixels behind it are counted by libav and come from
// the decoder's own buffer pool. Handles that come back are emptied and kept in a list linked through their
// `opaque`, which libav leaves to its user. The stock is counted like fm_frame_pool: once for its owner, once
// for each frame that is out.

#include "base/alloc.h"
#include "media/internal.h"

#include <pthread.h>

struct fm_av_stock {
    pthread_mutex_t lock;
    // protected by lock
    AVFrame *free_frames;
    size_t users;
};

fm_av_stock *fm__av_stock_new(void)
{
    fm_av_stock *s = fm__calloc(FM_TAG_MEDIA, sizeof(*s));
    if (s) {
        pthread_mutex_init(&s->lock, NULL);
        s->users = 1;
    }
    return s;
}

static void drop_user(fm_av_stock *s, AVFrame *returned)
{
    pthread_mutex_lock(&s->lock);
    if (returned) {
        returned->opaque = s->free_frames;
        s->free_frames = returned;
    }
    bool last = --s->users == 0;
    pthread_mutex_unlock(&s->lock);
    if (!last) {
        return;
    }
    while (s->free_frames) {
        AVFrame *f = s->free_frames;
        s->free_frames = f->opaque;
        av_frame_free(&f);
    }
    pthread_mutex_destroy(&s->lock);
    fm__free(s);
}

void fm__av_stock_free(fm_av_stock **stock)
{
    if (*stock) {
        drop_user(*stock, NULL);
        *stock = NULL;
    }
}

AVFrame *fm__av_stock_take(fm_av_stock *s)
{
    pthread_mutex_lock(&s->lock);
    AVFrame *f = s->free_frames;
    if (f) {
        s->free_frames = f->opaque;
        f->opaque = NULL;
    }
    s->users++;
    pthread_mutex_unlock(&s->lock);
    if (!f) {
        f = av_frame_alloc();
    }
    if (!f) {
        drop_user(s, NULL);
    }
    return f;
}

void fm__av_stock_give(void *frame, void *stock)
{
    av_frame_unref(frame); // outside the lock: it may free the pixels
    drop_user(stock, frame);
}
