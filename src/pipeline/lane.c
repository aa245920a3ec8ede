// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// A stream's thread: opens the source, reads frames, paces them where asked, makes them better where asked,
// lets the motion detector see them in order, and pushes them into the executor. Items come from a fixed
// stock: as many as ring and flight can hold, so that the steady state allocates nothing and a slow consumer
// is felt here, by waiting.

#include "pipeline/private.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/pool.h"
#include "base/thread.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#define AHEAD_MIN 4 // frames a file's decoder runs ahead at least

static bool skips(const fm_pipeline *p)
{
    return p->o.detect_every != 0 || p->o.motion_gate;
}

static size_t work_count(const fm_pipeline *p)
{
    size_t held = skips(p) ? FM__MAX_HELD + 1 : 0;
    return (size_t)p->o.buffer_size + (size_t)p->max_in_flight + held + 2;
}

fm_status fm__lane_init(lane *l, fm_error *err)
{
    size_t n = work_count(l->p);
    l->works = fm__calloc_array(FM_TAG_PIPELINE, n, sizeof(*l->works));
    l->order = fm__calloc_array(FM_TAG_PIPELINE, n, sizeof(*l->order));
    l->order_cap = n;
    if (!l->works || !l->order) {
        return fm__fail_nomem(err, "a stream's buffers");
    }
    for (size_t i = 0; i < n; i++) {
        work *w = &l->works[i];
        w->lane = l;
        if (!fm__work_init(w)) {
            return fm__fail_nomem(err, "a stream's buffers");
        }
        w->next_free = l->free_works;
        l->free_works = w;
    }
    return FM_OK;
}

void fm__lane_clear(lane *l)
{
    for (size_t i = 0; i < l->order_cap && l->works; i++) {
        fm__work_done(&l->works[i]);
    }
    fm__free(l->works);
    fm__free(l->order);
    for (int i = 0; i < MAX_FRAME_STAGES; i++) {
        fm__plan_unref(&l->plans[i]);
    }
    fm__motion_free(&l->motion);
    fm__enhancer_free(&l->enhancer);
    fm__gate_free(&l->gate);
    fm__hold_free(&l->hold);
    fm__tracker_free(&l->tracker);
    fm__resume_clear(l);
    pthread_mutex_lock(&l->lock); // its state may be asked for now
    memset(&l->thread, 0, sizeof(*l) - offsetof(lane, thread));
    pthread_mutex_unlock(&l->lock);
}

void fm__lane_fail(lane *l, const fm_error *err)
{
    pthread_mutex_lock(&l->lock);
    bool first = l->error.status == FM_OK;
    if (first) {
        l->error = *err;
    }
    pthread_mutex_unlock(&l->lock);
    if (first) {
        fm__log(l->p->o.log, FM_LOG_DEBUG, "stream", "%s: %s", l->p->o.streams[l->index].name, err->msg);
    }
}

void fm__plan_unref(plan_ref **plan)
{
    if (!*plan) {
        return;
    }
    if (atomic_fetch_sub_explicit(&(*plan)->refs, 1, memory_order_acq_rel) == 1) {
        fm__letterbox_plan_free(&(*plan)->plan);
        fm__free(*plan);
    }
    *plan = NULL;
}

static work *take_work(lane *l)
{
    pthread_mutex_lock(&l->lock);
    while (!l->free_works) {
        fm__profile_wait(l->p->profile, FM_ACT_NO_ROOM);
        pthread_cond_wait(&l->returned, &l->lock);
        fm__profile_woke(l->p->profile);
    }
    work *w = l->free_works;
    l->free_works = w->next_free;
    pthread_mutex_unlock(&l->lock);
    fm__pool_used(FM_POOL_WORKS);
    return w;
}

void fm__work_recycle(work *w)
{
    lane *l = w->lane;
    fm_frame_unref(&w->frame);
    fm__free(w->noted);
    w->noted = NULL;
    for (int i = 0; i < MAX_FRAME_STAGES; i++) {
        fm__plan_unref(&w->parts[i].plan);
    }
    fm__work_count(w);
    fm__pool_rests(FM_POOL_WORKS);
    pthread_mutex_lock(&l->lock);
    w->next_free = l->free_works;
    l->free_works = w;
    pthread_cond_signal(&l->returned);
    pthread_mutex_unlock(&l->lock);
}

// A file that waits for room gains nothing from frames far ahead of the network: they cost memory, and have
// left the caches when their turn comes. Two rounds of all slots, shared by the streams, keep every slot
// busy. A live source needs the whole buffer to ride out a pause, and frames that are pushed together wait in
// it together.
static int ring_depth(const fm_pipeline *p, bool whole)
{
    int ahead = AHEAD_MIN;
    const fm_model *model = p->frame_stages[0].model;
    if (model) {
        const fm_net_info *info = fm__net_info(model->net);
        ahead += 2 * info->slots * info->batch / (p->o.stream_count > 1 ? (int)p->o.stream_count : 1);
    }
    return whole || ahead > p->o.buffer_size ? p->o.buffer_size : ahead;
}

static bool ending(const lane *l)
{
    return atomic_load(&l->p->stop) != RUN_ON || atomic_load(&l->interrupt);
}

static fm_status open_source(lane *l, fm_stream **source, fm_error *err)
{
    fm_pipeline *p = l->p;
    const fm_pipeline_stream *from = &p->o.streams[l->index];
    fm_stream_mark mark = {.frame = 0};
    fm_source_opts o = {
        .url = from->url,
        .start_frame = from->start_frame,
        .mark = from->state ? &mark : NULL,
        .decoder_threads = p->decoder_threads,
        .timeout_ns = p->o.timeout_ns,
        .max_pixels = p->o.max_pixels,
        .log = p->o.log,
        .cancel = &l->interrupt,
    };
    if (ending(l)) {
        return FM_CANCELED;
    }
    fm_status st = from->state ? fm__resume_mark(l, &mark, err) : FM_OK;
    st = st == FM_OK ? fm__stream_open(&o, source, err) : st;
    if (st != FM_OK) {
        return st;
    }
    pthread_mutex_lock(&l->lock);
    l->started = true;
    pthread_mutex_unlock(&l->lock);
    return FM_OK;
}

// Its rows go over this stream's share of the cores: the frames of one stream are enhanced one after another,
// since what is measured in a video is averaged over time.
static fm_status open_enhancer(lane *l, const fm_stream_info *info, fm_error *err)
{
    const fm_pipeline *p = l->p;
    const fm__enhance_opts *wanted = p->o.streams[l->index].enhance;
    if (!wanted) {
        return FM_OK;
    }
    fm__enhance_opts o = *wanted;
    o.threads = p->share;
    o.is_video = info->kind != FM_STREAM_PICTURE && info->kind != FM_STREAM_FOLDER;
    o.max_pixels = p->o.max_pixels;
    return fm__enhancer_new(&o, &l->enhancer, err);
}

// Pictures have nothing to do with one another: each one is looked at.
static fm_status open_gate(lane *l, const fm_stream_info *info, fm_error *err)
{
    if (info->kind == FM_STREAM_PICTURE || info->kind == FM_STREAM_FOLDER) {
        return FM_OK;
    }
    fm_status st = fm__gate_new(l->p->o.detect_every, l->p->o.motion_gate, &l->gate, err);
    return st == FM_OK ? fm__hold_new(&l->hold, err) : st;
}

fm_status fm__lane_new_motion(const fm_pipeline *p, fm_motion **out, fm_error *err)
{
    fm_motion_opts mo = {.max_dets = FM_MAX_DETS, .level = p->o.level, .seed = 1};
    return fm__motion_new(&mo, out, err);
}

// Everything behind the source.
static fm_status make_lane_ready(lane *l, const fm_stream_info *info, fm_error *err)
{
    fm_pipeline *p = l->p;
    fm_status st = FM_OK;
    uint64_t start = p->o.streams[l->index].start_frame;
    uint64_t expected = info->frame_count > start ? info->frame_count - start : 0;
    if (p->o.max_frames && (expected == 0 || expected > p->o.max_frames)) {
        expected = info->live ? 0 : p->o.max_frames;
    }
    atomic_store(&l->expected, expected);
    bool drop = info->live || p->o.realtime, whole = drop || !p->o.streams[l->index].url;
    fm__executor_source(p->frame_stages[0].exec, (int)l->index, drop ? FM_RING_DROP_OLDEST : FM_RING_BLOCK,
        ring_depth(p, whole), p->o.buffer_bytes);
    if (p->o.detector == FM_DETECTOR_MOTION) {
        st = fm__lane_new_motion(p, &l->motion, err);
    }
    st = st == FM_OK ? open_enhancer(l, info, err) : st;
    st = st == FM_OK && skips(p) ? open_gate(l, info, err) : st;
    if (st == FM_OK && p->o.tracker) {
        st = fm__tracker_new(&p->tracker, &l->tracker, err);
    }
    if (st == FM_OK && p->o.streams[l->index].state) {
        st = fm__resume_load(l, err);
    }
    if (st == FM_OK) {
        st = p->o.open_sinks(l->index, info, l->sinks, &l->sink_count, p->o.opaque, err);
    }
    for (size_t i = 0; i < l->sink_count; i++) {
        l->keep_pixels |= l->sinks[i]->cls->wants_pixels;
    }
    return st;
}

static fm_status open_lane(lane *l, fm_stream **source, fm_error *err)
{
    fm_status st = open_source(l, source, err);
    return st == FM_OK ? make_lane_ready(l, fm__stream_info(*source), err) : st;
}

fm_status fm__lane_open_pushed(lane *l, fm_error *err)
{
    // Of one stream's frames, one after another, only a tracker makes a video.
    fm_stream_info info = {.kind = l->p->o.tracker ? FM_STREAM_VIDEO : FM_STREAM_PICTURE};
    fm_status st = make_lane_ready(l, &info, err);
    pthread_mutex_lock(&l->lock);
    l->started = st == FM_OK;
    pthread_mutex_unlock(&l->lock);
    return st;
}

// Waits until the frame's time has come, or a stop.
static void pace(lane *l, int64_t first_ns, int64_t pts_ns)
{
    fm_pipeline *p = l->p;
    fm__profile_wait(p->profile, FM_ACT_PACE);
    pthread_mutex_lock(&p->lock);
    while (!ending(l) && fm__cond_wait_until(&p->changed, &p->lock, first_ns + pts_ns)) {
    }
    pthread_mutex_unlock(&p->lock);
    fm__profile_woke(p->profile);
}

static fm_status run_motion(lane *l, work *w, fm_error *err)
{
    fm_det dets[FM_MAX_DETS];
    size_t n = 0;
    int64_t begin = fm__now_ns();
    fm_status st = fm__motion_run(l->motion, fm_frame_get_view(w->frame), dets, FM_MAX_DETS, &n, err);
    if (st != FM_OK) {
        return st;
    }
    size_t kept = 0;
    for (size_t i = 0; i < n; i++) {
        if (dets[i].score >= l->p->det_conf) {
            dets[kept++] = dets[i];
        }
    }
    fm__span(l, FM_STAGE_INFER, w->index, begin, fm__now_ns());
    return fm__work_set_dets(w, dets, kept) ? FM_OK : fm__fail_nomem(err, "detections");
}

static fm_status take_given(lane *l, work *w, fm_error *err)
{
    const fm_pipeline *p = l->p;
    fm_det dets[FM_MAX_DETS];
    size_t n = p->o.given(l->index, w->index, dets, FM_MAX_DETS, p->o.opaque), kept = 0;
    n = n < FM_MAX_DETS ? n : FM_MAX_DETS;
    for (size_t i = 0; i < n; i++) {
        if (dets[i].score >= p->det_conf) {
            dets[kept++] = dets[i];
        }
    }
    return fm__work_set_dets(w, dets, kept) ? FM_OK : fm__fail_nomem(err, "detections");
}

// Fills a work from a frame (takes the reference).
static void fill_work(work *w, fm_frame *frame, int64_t decoded_ns)
{
    const fm_frame_view *view = fm_frame_get_view(frame);
    w->frame = frame;
    w->index = fm_frame_index(frame);
    w->pts_ns = fm_frame_pts_ns(frame);
    w->wall_ns = fm_frame_wall_ns(frame);
    w->width = view->width;
    w->height = view->height;
    w->decoded_ns = decoded_ns;
    memcpy(w->file, frame->file, sizeof(w->file));
    w->det_count = 0;
    w->seg.count = 0;
    w->seg.has_map = false;
    w->frame_class_count = 0;
    w->has_frame_feature = false;
    w->no_objects = false;
    w->skipped = w->still = w->tracked = false;
    w->status = FM_OK;
    atomic_store(&w->failed, false);
}

// Is this a frame for the models? One that is not keeps its place in the stream's order.
static fm_status pass_gate(lane *l, work *w, fm_error *err)
{
    fm__look look = FM__LOOK;
    fm_status st = FM_OK;
    if (l->gate) {
        int64_t begin = l->p->profile ? fm__now_ns() : 0;
        st = fm__gate_decide(l->gate, &w->frame->view, w->pts_ns, &look, err);
        fm__span_other(l, FM_ACT_GATE, begin);
    }
    w->skipped = look != FM__LOOK;
    w->still = look == FM__STILL;
    return st;
}

static fm_status make_ready(lane *l, work *w, fm_error *err)
{
    fm_status st = pass_gate(l, w, err);
    if (st != FM_OK || w->skipped) {
        if (!l->keep_pixels) {
            fm_frame_unref(&w->frame);
        }
        w->parts[0].item =
            (fm_item){.source = (int)l->index, .bytes = w->frame ? w->frame->bytes : 0, .passes = true};
        return st;
    }
    st = fm__frame_plans(l->p, &w->frame->view, l->plans, err);
    if (st == FM_OK) {
        fm__frame_begin(w, l->plans);
    }
    if (st == FM_OK && l->motion) {
        st = run_motion(l, w, err);
    }
    if (st == FM_OK && l->p->o.detector == FM_DETECTOR_GIVEN) {
        st = take_given(l, w, err);
    }
    return st;
}

// Counts works that go into the executor, or come back from a push that failed.
static void count_outstanding(lane *l, size_t more, size_t fewer)
{
    pthread_mutex_lock(&l->lock);
    l->outstanding += more;
    l->outstanding -= fewer;
    pthread_mutex_unlock(&l->lock);
}

static fm_status push_frame(
    lane *l, fm_frame *frame, const fm_stream_mark *mark, int64_t decoded_ns, fm_error *err)
{
    work *w = take_work(l);
    fill_work(w, frame, decoded_ns);
    fm_status st = make_ready(l, w, err);
    st = st == FM_OK ? fm__resume_note(l, mark, w, err) : st;
    if (st == FM_OK) {
        count_outstanding(l, 1, 0);
        st = fm__executor_push(l->p->frame_stages[0].exec, &w->parts[0].item);
        if (st == FM_OK) {
            return FM_OK;
        }
        count_outstanding(l, 0, 1);
    }
    fm__work_recycle(w);
    return st;
}

// *frame becomes the better one.
static fm_status enhance(lane *l, fm_frame **frame, fm_error *err)
{
    fm_frame *better = NULL;
    if (!l->enhancer) {
        return FM_OK;
    }
    int64_t begin = fm__now_ns();
    fm_status st = fm__enhancer_run(l->enhancer, *frame, &better, err);
    if (st == FM_OK) {
        fm_frame_unref(frame);
        *frame = better;
        fm__span(l, FM_STAGE_ENHANCE, fm_frame_index(better), begin, fm__now_ns());
    }
    return st;
}

// One of several frames that are pushed together: ready to go, or failed and gone.
static fm_status take_pushed(lane *l, fm_frame *frame, work **out, fm_error *err)
{
    fm_status st = ending(l) ? FM_CANCELED : enhance(l, &frame, err);
    if (st != FM_OK) {
        fm_frame_unref(&frame);
        return st;
    }
    work *w = take_work(l);
    fill_work(w, frame, fm__now_ns());
    w->index = l->next_index;
    st = make_ready(l, w, err);
    if (st != FM_OK) {
        fm__work_recycle(w);
        return st;
    }
    l->next_index++;
    *out = w;
    return FM_OK;
}

fm_status fm__pipeline_push(
    fm_pipeline *p, size_t stream, fm_frame *const *frames, size_t n, size_t *taken, fm_error *err)
{
    lane *l = &p->lanes[stream];
    fm_item *items[FM_PUSH_MAX];
    fm_status st = FM_OK;
    size_t ready = 0;
    for (size_t i = 0; i < n; i++) {
        work *w = NULL;
        fm_frame *frame = frames[i];
        if (st != FM_OK) {
            fm_frame_unref(&frame);
            continue;
        }
        st = take_pushed(l, frame, &w, err);
        if (st == FM_OK) {
            items[ready++] = &w->parts[0].item;
        }
    }
    count_outstanding(l, ready, 0);
    *taken = fm__executor_push_all(p->frame_stages[0].exec, items, ready);
    for (size_t i = *taken; i < ready; i++) {
        fm__work_recycle(((part *)items[i])->work); // item is a part's first field
        st = FM_CANCELED;
    }
    count_outstanding(l, 0, ready - *taken);
    return st;
}

uint64_t fm__pipeline_next_index(const fm_pipeline *p, size_t stream)
{
    return p->lanes[stream].next_index;
}

void fm__pipeline_end(fm_pipeline *p, size_t stream)
{
    lane *l = &p->lanes[stream];
    if (!l->push_ended) {
        l->push_ended = true;
        fm__executor_end(p->frame_stages[0].exec, (int)l->index);
        fm__deliver_end(l);
    }
}

static void keep_stats(lane *l, const fm_stream *source)
{
    fm_stream_stats stats;
    fm__stream_stats(source, &stats);
    pthread_mutex_lock(&l->lock);
    l->source_stats = stats;
    pthread_mutex_unlock(&l->lock);
}

// While a stream that is no live one is paused. Returns by how much the clock of its frames is put off.
static int64_t wait_while_paused(lane *l, const fm_stream *source, bool has_clock)
{
    fm_pipeline *p = l->p;
    if (!atomic_load(&l->paused) || fm__stream_info(source)->live) {
        return 0;
    }
    int64_t begin = fm__now_ns();
    pthread_mutex_lock(&p->lock);
    while (atomic_load(&l->paused) && !ending(l)) {
        pthread_cond_wait(&p->changed, &p->lock);
    }
    pthread_mutex_unlock(&p->lock);
    return has_clock ? fm__now_ns() - begin : 0;
}

// One frame from the source into the ring. *first_ns is when the first one came, 0 before. AGAIN: it is
// passed over, since the stream is paused.
static fm_status pass_frame(lane *l, fm_stream *source, bool pace_it, int64_t *first_ns, fm_error *err)
{
    fm_frame *frame = NULL;
    int64_t begin = fm__now_ns();
    fm_status st = fm__stream_read(source, &frame, err);
    if (st != FM_OK) {
        fm__span_other(l, FM_ACT_CLOSE, begin); // what it takes to learn that there is no more
        return st;
    }
    int64_t now = fm__now_ns();
    fm__span(l, FM_STAGE_DECODE, fm_frame_index(frame), begin, now);
    *first_ns = *first_ns ? *first_ns : now;
    if (fm__stream_info(source)->live && atomic_load(&l->paused)) {
        fm_frame_unref(&frame);
        atomic_fetch_add(&l->passed_over, 1);
        return FM_AGAIN;
    }
    if (pace_it) {
        pace(l, *first_ns, fm_frame_pts_ns(frame));
        now = fm__now_ns();
    }
    keep_stats(l, source);
    fm_stream_mark place;
    const fm_stream_mark *mark = fm__resume_see(l, source, frame, &place);
    st = enhance(l, &frame, err);
    if (st != FM_OK) {
        fm_frame_unref(&frame);
        return st;
    }
    st = push_frame(l, frame, mark, now, err);
    if (st == FM_OK) {
        fm__span_counters(l);
    }
    return st;
}

static fm_status read_frames(lane *l, fm_stream *source, fm_error *err)
{
    fm_pipeline *p = l->p;
    bool pace_it = p->o.realtime && !fm__stream_info(source)->live;
    int64_t first_ns = 0;
    fm_status st = FM_OK;
    for (uint64_t n = 0; (st == FM_OK || st == FM_AGAIN) && (p->o.max_frames == 0 || n < p->o.max_frames);
         n += st == FM_OK) {
        first_ns += wait_while_paused(l, source, first_ns > 0);
        fm_profile_mark mark = fm__profile_open(p->profile);
        st = ending(l) ? FM_CANCELED : pass_frame(l, source, pace_it, &first_ns, err);
        fm__profile_close(p->profile, FM_ACT_HAND_ON, mark);
    }
    return st == FM_OK || st == FM_AGAIN ? FM_EOF : st;
}

static void *lane_main(void *arg)
{
    lane *l = arg;
    fm_error err = {0};
    fm_stream *source = NULL;
    fm__profile_begin(l->p->profile);
    int64_t begin = l->p->profile ? fm__now_ns() : 0;
    fm_status st = open_lane(l, &source, &err);
    fm__span_other(l, FM_ACT_OPEN, begin);
    if (st == FM_OK) {
        st = read_frames(l, source, &err);
    }
    if (st < 0 || (st == FM_EOF && err.msg[0])) {
        err.status = st < 0 ? st : FM_FORMAT;
        fm__lane_fail(l, &err);
    }
    if (source) {
        begin = l->p->profile ? fm__now_ns() : 0;
        keep_stats(l, source);
        fm__stream_close(&source);
        fm__span_other(l, FM_ACT_CLOSE, begin);
    }
    fm__executor_end(l->p->frame_stages[0].exec, (int)l->index);
    fm__deliver_end(l);
    fm__profile_end(l->p->profile);
    return NULL;
}

fm_status fm__lane_start(lane *l, fm_error *err)
{
    char name[16];
    snprintf(name, sizeof(name), "fm-in-%d", (int)(l->index & 0xfff));
    fm_status st = fm__thread_start(&l->thread, name, lane_main, l, err);
    l->thread_started = st == FM_OK;
    return st;
}
