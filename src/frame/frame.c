// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Frame shells and their pool. A shell is a small struct with an atomic count; dropping the last reference
// gives the pixels back to their maker and the shell to its pool. The pool is itself counted: one reference
// for its owner, one for every frame that is out, so that frames may outlive the stream that made them. Pixel
// blocks made here go back to a short free list and are used again; once another size or format is asked for,
// those of the old one are freed as they come back.

#include "frame/frame.h"

#include "base/alloc.h"
#include "base/error.h"
#include "base/pool.h"

#include <assert.h>
#include <pthread.h>
#include <string.h>

#define ROW_ALIGN                                                                                            \
    64 // rows start on cache lines; kernels may load whole vectors inside a row's padding of blocks we own
#define MAX_FREE_BLOCKS 64

typedef struct pixels {
    struct pixels *next_free;
    fm_pixfmt format;
    int width, height;
    size_t bytes;
    uint8_t *data; // points behind this struct, aligned
} pixels;

// Shells come in slabs: a queue that reaches a depth it never had finds its shell there already.
#define SLAB_FRAMES 64

typedef struct slab {
    struct slab *next;
    fm_frame frames[SLAB_FRAMES];
} slab;

struct fm_frame_pool {
    pthread_mutex_t lock;
    // protected by lock
    slab *slabs;
    fm_frame *free_frames;
    pixels *free_pixels; // all of the size below
    int free_pixel_count;
    fm_pixfmt format; // what was asked for last
    int width, height;
    size_t users; // owner + frames that are out
};

typedef struct pixfmt_info {
    const char *name;
    int planes, shift_x, shift_y;
} pixfmt_info;

static const pixfmt_info pixfmts[FM_PIXFMT_COUNT] = {[FM_PIXFMT_NONE] = {"none", 0, 0, 0},
#define PIXFMT_INFO(name, text, planes, sx, sy) [FM_PIXFMT_##name] = {text, planes, sx, sy},
    FM_PIXFMT_LIST(PIXFMT_INFO)
#undef PIXFMT_INFO
};

static const pixfmt_info *info(fm_pixfmt format)
{
    return &pixfmts[format > FM_PIXFMT_NONE && format < FM_PIXFMT_COUNT ? format : FM_PIXFMT_NONE];
}

const char *fm_pixfmt_name(fm_pixfmt format)
{
    return info(format)->name;
}

int fm_pixfmt_planes(fm_pixfmt format)
{
    return info(format)->planes;
}

bool fm__pixfmt_is_rgb(fm_pixfmt format)
{
    return format == FM_PIXFMT_RGB24 || format == FM_PIXFMT_BGR24;
}

void fm__pixfmt_shift(fm_pixfmt format, int *shift_x, int *shift_y)
{
    *shift_x = info(format)->shift_x;
    *shift_y = info(format)->shift_y;
}

void fm__pixfmt_plane_size(fm_pixfmt format, int width, int height, int plane, int *w, int *h)
{
    const pixfmt_info *f = info(format);
    int sx = plane > 0 ? f->shift_x : 0, sy = plane > 0 ? f->shift_y : 0;
    *w = (width + (1 << sx) - 1) >> sx;
    *h = (height + (1 << sy) - 1) >> sy;
}

size_t fm__pixfmt_row_bytes(fm_pixfmt format, int width, int plane)
{
    int w, h;
    fm__pixfmt_plane_size(format, width, 1, plane, &w, &h);
    size_t per_sample = fm__pixfmt_is_rgb(format) ? 3 : format == FM_PIXFMT_NV12 && plane == 1 ? 2 : 1;
    return (size_t)w * per_sample;
}

static void free_pixels(pixels *list)
{
    while (list) {
        pixels *next = list->next_free;
        fm__pool_gone(FM_POOL_FRAMES, list->bytes, true);
        fm__free(list);
        list = next;
    }
}

static void free_pool(fm_frame_pool *pool)
{
    for (slab *s = pool->slabs; s;) {
        slab *next = s->next;
        fm__free(s);
        s = next;
    }
    free_pixels(pool->free_pixels);
    pthread_mutex_destroy(&pool->lock);
    fm__free(pool);
}

static void drop_user(fm_frame_pool *pool, fm_frame *returned)
{
    pthread_mutex_lock(&pool->lock);
    if (returned) {
        returned->next_free = pool->free_frames;
        pool->free_frames = returned;
    }
    bool last = --pool->users == 0;
    pthread_mutex_unlock(&pool->lock);
    if (last) {
        free_pool(pool);
    }
}

fm_status fm__frame_pool_new(fm_frame_pool **out, fm_error *err)
{
    fm_frame_pool *pool = fm__calloc(FM_TAG_FRAME, sizeof(*pool));
    if (!pool) {
        return fm__fail_nomem(err, "a frame pool");
    }
    pthread_mutex_init(&pool->lock, NULL);
    pool->users = 1;
    *out = pool;
    return FM_OK;
}

void fm__frame_pool_free(fm_frame_pool **pool)
{
    if (pool && *pool) {
        drop_user(*pool, NULL);
        *pool = NULL;
    }
}

// Lock held.
static void add_slab(fm_frame_pool *pool)
{
    slab *s = fm__calloc(FM_TAG_FRAME, sizeof(*s));
    if (!s) {
        return;
    }
    s->next = pool->slabs;
    pool->slabs = s;
    for (int i = SLAB_FRAMES - 1; i >= 0; i--) {
        s->frames[i].next_free = pool->free_frames;
        pool->free_frames = &s->frames[i];
    }
}

fm_frame *fm__frame_pool_take(fm_frame_pool *pool)
{
    pthread_mutex_lock(&pool->lock);
    if (!pool->free_frames) {
        add_slab(pool);
    }
    fm_frame *f = pool->free_frames;
    if (f) {
        pool->free_frames = f->next_free;
        pool->users++;
    }
    pthread_mutex_unlock(&pool->lock);
    if (!f) {
        return NULL;
    }
    memset(f, 0, sizeof(*f));
    f->pool = pool;
    f->pts_ns = FM_PTS_NONE;
    f->wall_ns = FM_PTS_NONE;
    atomic_init(&f->refs, 1);
    return f;
}

fm_frame *fm_frame_ref(fm_frame *frame)
{
    atomic_fetch_add_explicit(
        &frame->refs, 1, memory_order_relaxed); // whoever calls holds a reference already
    return frame;
}

void fm_frame_unref(fm_frame **frame)
{
    if (!frame || !*frame) {
        return;
    }
    fm_frame *f = *frame;
    *frame = NULL;
    // Release: our reads of the pixels happen before the maker reuses them; acquire: the last one sees
    // everybody's.
    if (atomic_fetch_sub_explicit(&f->refs, 1, memory_order_acq_rel) != 1) {
        return;
    }
    if (f->release) {
        f->release(f->buffer, f->opaque);
    }
    if (f->pool) {
        drop_user(f->pool, f);
    } else {
        fm__free(f);
    }
}

const fm_frame_view *fm_frame_get_view(const fm_frame *frame)
{
    return &frame->view;
}

int64_t fm_frame_pts_ns(const fm_frame *frame)
{
    return frame->pts_ns;
}

int64_t fm_frame_wall_ns(const fm_frame *frame)
{
    return frame->wall_ns;
}

uint64_t fm_frame_index(const fm_frame *frame)
{
    return frame->index;
}

static bool is_wanted(const fm_frame_pool *pool, fm_pixfmt format, int width, int height)
{
    return pool->format == format && pool->width == width && pool->height == height;
}

static void release_pixels(void *buffer, void *opaque)
{
    pixels *p = buffer;
    fm_frame_pool *pool = opaque;
    pthread_mutex_lock(&pool->lock);
    bool keep = pool->free_pixel_count < MAX_FREE_BLOCKS && is_wanted(pool, p->format, p->width, p->height);
    if (keep) {
        p->next_free = pool->free_pixels;
        pool->free_pixels = p;
        pool->free_pixel_count++;
        fm__pool_rests(FM_POOL_FRAMES);
    }
    pthread_mutex_unlock(&pool->lock);
    if (!keep) {
        fm__pool_gone(FM_POOL_FRAMES, p->bytes, false);
        fm__free(p);
    }
}

// A block from the free list, or NULL; the list is given up when the stream has changed its size.
static pixels *reuse_pixels(fm_frame_pool *pool, fm_pixfmt format, int width, int height)
{
    pixels *stale = NULL;
    pthread_mutex_lock(&pool->lock);
    if (!is_wanted(pool, format, width, height)) {
        stale = pool->free_pixels;
        pool->free_pixels = NULL;
        pool->free_pixel_count = 0;
        pool->format = format;
        pool->width = width;
        pool->height = height;
    }
    pixels *found = pool->free_pixels;
    if (found) {
        pool->free_pixels = found->next_free;
        pool->free_pixel_count--;
        found->next_free = NULL;
        fm__pool_used(FM_POOL_FRAMES);
    }
    pthread_mutex_unlock(&pool->lock);
    free_pixels(stale);
    return found;
}

static size_t padded_row(fm_pixfmt format, int width, int plane)
{
    return (fm__pixfmt_row_bytes(format, width, plane) + ROW_ALIGN - 1) & ~(size_t)(ROW_ALIGN - 1);
}

static pixels *new_pixels(fm_pixfmt format, int width, int height)
{
    size_t bytes = 0;
    for (int i = 0; i < fm_pixfmt_planes(format); i++) {
        int w, h;
        fm__pixfmt_plane_size(format, width, height, i, &w, &h);
        bytes += padded_row(format, width, i) * (size_t)h;
    }
    size_t head = (sizeof(pixels) + ROW_ALIGN - 1) & ~(size_t)(ROW_ALIGN - 1);
    pixels *p = fm__calloc_aligned(FM_TAG_FRAME, head + bytes, ROW_ALIGN);
    if (p) {
        *p = (pixels){
            .format = format, .width = width, .height = height, .bytes = bytes, .data = (uint8_t *)p + head};
        fm__pool_made(FM_POOL_FRAMES, bytes);
    }
    return p;
}

fm_status fm__frame_pool_take_pixels(
    fm_frame_pool *pool, fm_pixfmt format, int width, int height, fm_frame **out, fm_error *err)
{
    if (fm_pixfmt_planes(format) == 0 || width < 1 || height < 1 || width > 65536 || height > 65536) {
        return fm__fail(
            err, FM_INVAL, "cannot make a %s frame of %dx%d", fm_pixfmt_name(format), width, height);
    }
    fm_frame *f = fm__frame_pool_take(pool);
    pixels *p = f ? reuse_pixels(pool, format, width, height) : NULL;
    if (f && !p) {
        p = new_pixels(format, width, height);
    }
    if (!p) {
        fm_frame_unref(&f);
        return fm__fail_nomem(err, "a frame");
    }
    uint8_t *data = p->data;
    for (int i = 0; i < fm_pixfmt_planes(format); i++) {
        int w, h;
        fm__pixfmt_plane_size(format, width, height, i, &w, &h);
        f->view.plane[i] = data;
        f->view.stride[i] = (int)padded_row(format, width, i);
        data += (size_t)f->view.stride[i] * (size_t)h;
    }
    f->view.width = width;
    f->view.height = height;
    f->view.format = format;
    f->bytes = p->bytes;
    f->buffer = p;
    f->release = release_pixels;
    f->opaque = pool;
    *out = f;
    return FM_OK;
}

uint8_t *fm__frame_plane(fm_frame *frame, int plane)
{
    assert(frame->release == release_pixels && atomic_load(&frame->refs) == 1);
    pixels *p = frame->buffer;
    return p->data + (frame->view.plane[plane] - p->data);
}
