// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Packets of sound and subtitles, from the thread that demuxes to the one that muxes. A muxer that follows
// the frames leaves little here; the bound is for sound without pictures that goes on for hours.

#include "media/internal.h"

#include "base/alloc.h"

#include <pthread.h>

#define MOST_BYTES ((size_t)256 * 1024 * 1024)

typedef struct node {
    struct node *next;
    AVPacket *packet;
} node;

struct fm_others {
    pthread_mutex_t lock;
    // protected by lock
    node *head, *tail;
    size_t bytes;
    uint64_t lost;
};

fm_others *fm__others_new(void)
{
    fm_others *o = fm__calloc(FM_TAG_MEDIA, sizeof(*o));
    if (o) {
        pthread_mutex_init(&o->lock, NULL);
    }
    return o;
}

// Lock held.
static AVPacket *pop(fm_others *o)
{
    node *n = o->head;
    if (!n) {
        return NULL;
    }
    AVPacket *packet = n->packet;
    o->head = n->next;
    o->tail = o->head ? o->tail : NULL;
    o->bytes -= (size_t)packet->size;
    fm__free(n);
    return packet;
}

void fm__others_free(fm_others **others)
{
    fm_others *o = *others;
    if (!o) {
        return;
    }
    *others = NULL;
    for (AVPacket *p = pop(o); p; p = pop(o)) {
        av_packet_free(&p);
    }
    pthread_mutex_destroy(&o->lock);
    fm__free(o);
}

static node *make_node(AVPacket *packet)
{
    node *n = fm__calloc(FM_TAG_MEDIA, sizeof(*n));
    if (n) {
        n->packet = av_packet_alloc();
    }
    if (n && !n->packet) {
        fm__free(n);
        return NULL;
    }
    if (n && av_packet_make_refcounted(packet) < 0) {
        av_packet_free(&n->packet);
        fm__free(n);
        return NULL;
    }
    if (n) {
        av_packet_move_ref(n->packet, packet);
    }
    return n;
}

void fm__others_put(fm_others *o, const AVFormatContext *fmt, AVPacket *packet)
{
    unsigned index = (unsigned)packet->stream_index;
    if (index >= fmt->nb_streams || fmt->streams[index]->discard == AVDISCARD_ALL) {
        return;
    }
    node *n = make_node(packet);
    pthread_mutex_lock(&o->lock);
    if (n) {
        n->next = NULL;
        if (o->tail) {
            o->tail->next = n;
        } else {
            o->head = n;
        }
        o->tail = n;
        o->bytes += (size_t)n->packet->size;
    } else {
        o->lost++;
    }
    while (o->bytes > MOST_BYTES) {
        AVPacket *old = pop(o);
        av_packet_free(&old);
        o->lost++;
    }
    pthread_mutex_unlock(&o->lock);
}

AVPacket *fm__others_take(fm_others *o)
{
    pthread_mutex_lock(&o->lock);
    AVPacket *packet = pop(o);
    pthread_mutex_unlock(&o->lock);
    return packet;
}

uint64_t fm__others_lost(fm_others *o)
{
    pthread_mutex_lock(&o->lock);
    uint64_t lost = o->lost;
    pthread_mutex_unlock(&o->lock);
    return lost;
}
