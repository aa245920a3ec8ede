// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Tiles of a picture through a network. The picture is cut into rectangles of a tile less its context on all
// sides; each one goes in with that context around it, taken from the picture, or from its mirror image (edge
// pixels repeated) where it ends. A network pads every layer with zeros; mirrored, its numbers at the edge
// differ from that by less than 0.01 dB on Set5, and tiles of any size give the same picture, which zeros
// would not. Requests are filled in turn: while one is filled or emptied, the others run. A failure waits for
// those under way, because they own memory of ours.

#include "enhance/superres.h"

#include "base/alloc.h"
#include "base/error.h"

#include <pthread.h>
#include <string.h>

typedef struct flight {
    fm__superres *owner;
    fm_request *request;
    int first, count; // tiles in it
    bool running;
    bool done; // protected by lock
} flight;

struct fm__superres {
    // immutable after new
    fm_net *net;
    const fm_head *head;
    flight *slots;
    int slot_count;
    int inner_w, inner_h; // of a tile, without its context
    pthread_mutex_t lock;
    pthread_cond_t is_done;
};

// One picture on its way.
typedef struct job {
    const uint8_t *src;
    ptrdiff_t src_stride;
    int width, height;
    uint8_t *dst;
    ptrdiff_t dst_stride;
    int columns, tiles;
} job;

/* ---- tiles ---- */

// ... 1 0 | 0 1 .. n-1 | n-1 n-2 ...
static int mirror(int i, int n)
{
    int at = i % (2 * n);
    at = at < 0 ? at + 2 * n : at;
    return at < n ? at : 2 * n - 1 - at;
}

static int at_most(int v, int limit)
{
    return v < limit ? v : limit;
}

// Pixels x0 to x0 + n - 1 of a row, some of them outside, channels beside one another.
static void copy_row(uint8_t *dst, const uint8_t *row, int x0, int n, int width, int channels)
{
    size_t pixel = (size_t)channels;
    int before = x0 < 0 ? at_most(-x0, n) : 0, end = at_most(n, width - x0);
    for (int x = 0; x < before; x++) {
        memcpy(dst + (size_t)x * pixel, row + (size_t)mirror(x0 + x, width) * pixel, pixel);
    }
    if (end > before) {
        memcpy(dst + (size_t)before * pixel, row + (size_t)(x0 + before) * pixel,
            (size_t)(end - before) * pixel);
    }
    for (int x = end > before ? end : before; x < n; x++) {
        memcpy(dst + (size_t)x * pixel, row + (size_t)mirror(x0 + x, width) * pixel, pixel);
    }
}

static void copy_planes(
    uint8_t *dst, size_t plane, const uint8_t *row, int x0, int n, int width, int channels)
{
    for (int x = 0; x < n; x++) {
        bool inside = x0 + x >= 0 && x0 + x < width;
        const uint8_t *from = row + (ptrdiff_t)(inside ? x0 + x : mirror(x0 + x, width)) * channels;
        for (int c = 0; c < channels; c++) {
            dst[(size_t)c * plane + (size_t)x] = from[c];
        }
    }
}

static void fill(const fm__superres *s, const job *j, int tile, uint8_t *dst)
{
    const fm_net_info *info = fm__net_info(s->net);
    int context = s->head->opts.context, channels = info->channels;
    int x0 = tile % j->columns * s->inner_w - context, y0 = tile / j->columns * s->inner_h - context;
    size_t width = (size_t)info->input_w, plane = width * (size_t)info->input_h;
    for (int y = 0; y < info->input_h; y++) {
        const uint8_t *row = j->src + (ptrdiff_t)mirror(y0 + y, j->height) * j->src_stride;
        if (channels == 1 || info->layout == FM_LAYOUT_NHWC) {
            copy_row(dst + (size_t)y * width * (size_t)channels, row, x0, info->input_w, j->width, channels);
        } else {
            copy_planes(dst + (size_t)y * width, plane, row, x0, info->input_w, j->width, channels);
        }
    }
}

static void take(const fm__superres *s, const job *j, int tile, const fm_tensor *outs, int row)
{
    int scale = s->head->scale, context = s->head->opts.context;
    int x = tile % j->columns * s->inner_w, y = tile / j->columns * s->inner_h;
    fm_head_rect rect = {context * scale, context * scale, at_most(s->inner_w, j->width - x) * scale,
        at_most(s->inner_h, j->height - y) * scale};
    uint8_t *dst = j->dst + (ptrdiff_t)y * scale * j->dst_stride + (ptrdiff_t)x * scale * s->head->channels;
    fm__head_pixels(s->head, outs, row, &rect, dst, j->dst_stride);
}

/* ---- requests ---- */

// From a thread of the backend's.
static void post_done(void *opaque)
{
    flight *slot = opaque;
    fm__superres *s = slot->owner;
    pthread_mutex_lock(&s->lock);
    slot->done = true;
    pthread_cond_signal(&s->is_done); // under the lock: once it is given back, s may be gone
    pthread_mutex_unlock(&s->lock);
}

static fm_status start(fm__superres *s, flight *slot, const job *j, int first, fm_error *err)
{
    fm_tensor input = fm__request_input(slot->request);
    int batch = fm__net_info(s->net)->batch;
    slot->first = first;
    slot->count = at_most(batch, j->tiles - first);
    for (int i = 0; i < slot->count; i++) {
        fill(s, j, first + i, fm__tensor_row(&input, i).data);
    }
    slot->done = false; // nobody else looks at it before the start
    // Always whole: what stands in rows past the last tile is computed and left.
    fm_status st = fm__request_start(slot->request, batch, err);
    slot->running = st == FM_OK;
    return st;
}

// Waits for what runs in the slot. j is NULL where its pixels are not wanted any more.
static fm_status collect(fm__superres *s, flight *slot, const job *j, fm_error *err)
{
    fm_tensor outs[FM_NET_MAX_OUTPUTS];
    if (!slot->running) {
        return FM_OK;
    }
    pthread_mutex_lock(&s->lock);
    while (!slot->done) {
        pthread_cond_wait(&s->is_done, &s->lock);
    }
    pthread_mutex_unlock(&s->lock);
    slot->running = false;
    fm_status st = fm__request_finish(slot->request, outs, err);
    for (int i = 0; st == FM_OK && j && i < slot->count; i++) {
        take(s, j, slot->first + i, outs, i);
    }
    return st;
}

fm_status fm__superres_run(fm__superres *s, const uint8_t *src, ptrdiff_t src_stride, int width, int height,
    uint8_t *dst, ptrdiff_t dst_stride, fm_error *err)
{
    int columns = (width - 1) / s->inner_w + 1, rows = (height - 1) / s->inner_h + 1, next = 0;
    int batch = fm__net_info(s->net)->batch;
    job j = {src, src_stride, width, height, dst, dst_stride, columns, columns * rows};
    fm_status st = FM_OK;
    for (int first = 0; st == FM_OK && first < j.tiles; first += batch) {
        flight *slot = &s->slots[next];
        st = collect(s, slot, &j, err);
        st = st == FM_OK ? start(s, slot, &j, first, err) : st;
        next = (next + 1) % s->slot_count;
    }
    for (int i = 0; i < s->slot_count; i++, next = (next + 1) % s->slot_count) {
        bool ok = st == FM_OK;
        fm_status end = collect(s, &s->slots[next], ok ? &j : NULL, ok ? err : NULL);
        st = ok ? end : st;
    }
    return st;
}

/* ---- life ---- */

int fm__superres_scale(const fm__superres *s)
{
    return s->head->scale;
}

int fm__superres_channels(const fm__superres *s)
{
    return s->head->channels;
}

static fm_status check(const fm__upscaler *up, fm_error *err)
{
    const fm_net_info *info = fm__net_info(up->net);
    int context = up->head->opts.context;
    if (info->channels != up->head->channels) {
        return fm__fail(err, FM_INVAL, "the network takes %d channels and gives %d; both must be 1, or 3",
            info->channels, up->head->channels);
    }
    if (info->input_w <= 2 * context || info->input_h <= 2 * context) {
        return fm__fail(err, FM_INVAL,
            "tiles of %dx%d are too small for a network that sees %d pixels around: at least %d a side",
            info->input_w, info->input_h, context, 2 * context + 1);
    }
    return FM_OK;
}

fm_status fm__superres_new(const fm__upscaler *up, fm__superres **out, fm_error *err)
{
    fm_status st = check(up, err);
    if (st != FM_OK) {
        return st;
    }
    const fm_net_info *info = fm__net_info(up->net);
    fm__superres *s = fm__calloc(FM_TAG_ENHANCE, sizeof(*s));
    if (!s) {
        return fm__fail_nomem(err, "super-resolution");
    }
    s->net = up->net;
    s->head = up->head;
    s->inner_w = info->input_w - 2 * up->head->opts.context;
    s->inner_h = info->input_h - 2 * up->head->opts.context;
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->is_done, NULL);
    s->slots = fm__calloc_array(FM_TAG_ENHANCE, (size_t)info->slots, sizeof(*s->slots));
    st = s->slots ? FM_OK : fm__fail_nomem(err, "super-resolution");
    for (int i = 0; st == FM_OK && i < info->slots; i++) {
        s->slots[i].owner = s;
        st = fm__request_new(s->net, post_done, &s->slots[i], &s->slots[i].request, err);
        s->slot_count++;
    }
    if (st != FM_OK) {
        fm__superres_free(&s);
        return st;
    }
    *out = s;
    return FM_OK;
}

void fm__superres_free(fm__superres **s)
{
    if (!s || !*s) {
        return;
    }
    for (int i = 0; i < (*s)->slot_count; i++) {
        fm__request_free(&(*s)->slots[i].request);
    }
    fm__free((*s)->slots);
    pthread_cond_destroy(&(*s)->is_done);
    pthread_mutex_destroy(&(*s)->lock);
    fm__free(*s);
    *s = NULL;
}
