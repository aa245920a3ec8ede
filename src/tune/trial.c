// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// A trial pushes frames without end into an executor over the model, so that its ring is never empty, and
// counts what completes. Samples begin and end with batches: a count over a fixed stretch of time would be
// off by up to a batch at either end, and with a batch of 64 that is all there is. Latency is taken from a
// frame's being taken into a batch to its result: what queues before that depends on the streams, and not on
// the setting. Both are corrected for the time that other work on the machine took (load.h).

#include "tune/trial.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/thread.h"
#include "exec/executor.h"
#include "tune/load.h"

#include <limits.h>
#include <stdlib.h>

enum { MOST_LATENCIES = 4096, MOST_DETS = 1000, TOP_K = 5 };
static const float CONF = 0.5f, IOU = 0.45f; // a run's
static const double MOST_STRETCH = 8;        // of a sample, where other work takes the cores
static const int64_t ASK_EVERY_NS = 50 * FM_NS_PER_MS;

typedef struct trial_item {
    fm_item item; // first, so that an item is one of these
    struct trial_item *next_free;
    size_t frame; // in frames
    bool ends_batch;
} trial_item;

typedef struct scratch {
    void *pixels, *head;
    fm_det *dets;
    fm_mask *masks;
    uint32_t *places;
    uint8_t *bits;
    size_t bits_size;
    int64_t *area;
    float *feature;
} scratch;

struct fm__trial {
    // immutable after new
    fm__trial_opts o;
    fm_letterbox_plan **plans; // [plan_count]
    size_t plan_count;
    size_t *plan_of; // [frames]
    size_t pixels_size;
    scratch *scratch; // [worker_count]
    int worker_count;
    trial_item *items; // [item_count]
    size_t item_count;
    fm_cpu_level level;

    pthread_mutex_t lock;
    pthread_cond_t changed;
    // protected by lock
    trial_item *free_items;
    int rows_prepared; // network_only
    bool done;
    fm_error error; // status OK: none
    int full_batches, batches;
    bool warm;
    int64_t began_ns, look_ns; // of the sample; when it may be long enough
    fm__tune_load began;
    int64_t rows;
    double *latency; // [MOST_LATENCIES] ms, of this sample
    size_t latency_count;
    double sample_s;
    fm__tune_sample *out; // of the run
    int out_count, wanted;
};

static trial_item *item_of(fm_item *item)
{
    return (trial_item *)item;
}

/* ---- what the executor calls */

static fm_status prepare(fm_item *item, fm_tensor row, int worker, void *opaque, fm_error *err)
{
    fm__trial *t = opaque;
    const trial_item *it = item_of(item);
    (void)err;
    if (t->o.network_only) { // every slot's rows hold pictures after the first few batches
        pthread_mutex_lock(&t->lock);
        bool enough = t->warm;
        pthread_mutex_unlock(&t->lock);
        if (enough) {
            return FM_OK;
        }
    }
    const fm_frame *frame = t->o.frames->frames[it->frame];
    fm__letterbox_run(
        t->plans[t->plan_of[it->frame]], fm_frame_get_view(frame), row.data, t->scratch[worker].pixels);
    return FM_OK;
}

static bool fits_bits(scratch *s, size_t size)
{
    if (size <= s->bits_size) {
        return true;
    }
    fm__free(s->bits);
    s->bits = fm__calloc_aligned(FM_TAG_TUNE, size, 64);
    s->bits_size = s->bits ? size : 0;
    return s->bits != NULL;
}

static bool decode_objects(
    fm__trial *t, scratch *s, const fm_fit_map *map, const fm_tensor *outs, size_t n_outs, int64_t row)
{
    const fm_head *head = &t->o.model->head;
    fm_head_query q = {.conf = CONF, .iou = IOU, .max_dets = MOST_DETS, .level = t->level};
    size_t n = fm__head_objects(head, outs, n_outs, row, &q, map, s->dets, s->masks, s->places, s->head);
    if (!fits_bits(s, fm__masks_size(s->masks, n))) {
        return false;
    }
    fm__head_masks(head, outs, n_outs, row, map, s->places, s->masks, n, s->bits, s->head, t->level);
    return true;
}

static fm_status decode(
    fm_item *item, const fm_tensor *outs, size_t n, int64_t row, int worker, void *opaque, fm_error *err)
{
    fm__trial *t = opaque;
    trial_item *it = item_of(item);
    scratch *s = &t->scratch[worker];
    const fm_head *head = &t->o.model->head;
    const fm_fit_map *map = &fm__letterbox_plan_desc(t->plans[t->plan_of[it->frame]])->map;
    fm_head_query q = {.conf = CONF, .iou = IOU, .max_dets = MOST_DETS, .level = t->level};
    fm_class_score top[TOP_K];
    bool ok = true;
    it->ends_batch = row == item->batch_rows - 1;
    if (t->o.network_only) {
        return FM_OK;
    }
    switch (head->cls->task) {
    case FM_TASK_DETECTION:
        (void)fm__head_run(head, outs, n, row, &q, s->dets, s->head);
        break;
    case FM_TASK_SEGMENTATION:
        if (fm__head_has_objects(head)) {
            ok = decode_objects(t, s, map, outs, n, row);
        } else {
            fm__head_class_map(head, outs, n, row, map, NULL, 0, s->area, s->head, t->level);
        }
        break;
    case FM_TASK_CLASSIFICATION:
        (void)fm__head_classify(head, outs, n, row, top, TOP_K);
        break;
    default:
        (void)fm__head_feature(head, outs, n, row, s->feature);
        break;
    }
    return ok ? FM_OK : fm__fail_nomem(err, "masks");
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

// Nearest rank.
static double percentile(const double *sorted, size_t n, double p)
{
    size_t at = (size_t)(p * (double)n);
    return n ? sorted[at < n ? at : n - 1] : 0;
}

static void begin_sample(fm__trial *t, int64_t now_ns)
{
    t->began_ns = now_ns;
    t->look_ns = now_ns + (int64_t)(t->sample_s * (double)FM_NS_PER_S);
    t->began = fm__tune_load_now();
    t->rows = 0;
    t->batches = 0;
    t->latency_count = 0;
}

// When enough was done: a sample is as long as if the machine did nothing else, so that it holds as much work
// whatever else runs, up to a bound. False: not yet.
static bool end_sample(fm__trial *t, int64_t now_ns)
{
    fm__tune_load now = fm__tune_load_now();
    double share = fm__tune_load_share(&t->began, &now);
    double wall = (double)(now_ns - t->began_ns) / (double)FM_NS_PER_S;
    double seconds = share * wall;
    if (seconds < t->sample_s && wall < MOST_STRETCH * t->sample_s) {
        t->look_ns = now_ns + (int64_t)((t->sample_s - seconds) / share * (double)FM_NS_PER_S);
        return false;
    }
    qsort(t->latency, t->latency_count, sizeof(*t->latency), by_value);
    t->out[t->out_count++] = (fm__tune_sample){
        .fps = (double)t->rows / seconds,
        .p50_ms = share * percentile(t->latency, t->latency_count, 0.5),
        .p99_ms = share * percentile(t->latency, t->latency_count, 0.99),
        .cpu_ms = 1000 * (now.cpu_s - t->began.cpu_s) / (double)t->rows,
        .share = share,
    };
    if (t->out_count == t->wanted) {
        t->done = true;
        pthread_cond_broadcast(&t->changed);
    }
    return true;
}

// Lock held.
static void batch_ended(fm__trial *t, int rows, int64_t now_ns)
{
    int batch = fm__net_info(t->o.model->net)->batch;
    if (!t->warm) {
        t->full_batches += rows == batch;
        t->warm = t->full_batches >= t->o.lanes;
        if (t->warm) {
            begin_sample(t, now_ns);
        }
        return;
    }
    t->rows += rows;
    t->batches++;
    if (!t->done && t->batches % t->o.lanes == 0 && now_ns >= t->look_ns && end_sample(t, now_ns)) {
        begin_sample(t, now_ns);
    }
}

static void complete(fm_item *item, fm_status status, const fm_error *err, void *opaque)
{
    fm__trial *t = opaque;
    trial_item *it = item_of(item);
    int64_t now = fm__now_ns();
    pthread_mutex_lock(&t->lock);
    if (status == FM_OK) {
        if (t->warm && t->latency_count < MOST_LATENCIES) {
            t->latency[t->latency_count++] = (double)(now - item->taken_ns) / (double)FM_NS_PER_MS;
        }
        if (it->ends_batch) {
            batch_ended(t, item->batch_rows, now);
        }
    } else if (status != FM_CANCELED && t->error.status == FM_OK) {
        t->error = *err;
        t->error.status = status;
        t->done = true;
    }
    it->next_free = t->free_items;
    t->free_items = it;
    pthread_cond_broadcast(&t->changed);
    pthread_mutex_unlock(&t->lock);
}

/* ---- making one */

static fm_status make_plan(const fm__trial *t, const fm_frame_view *v, fm_letterbox_plan **out, fm_error *err)
{
    const fm_model_input *in = &t->o.model->input;
    const fm_net_info *info = fm__net_info(t->o.model->net);
    fm_letterbox_desc desc = {
        .format = v->format,
        .matrix = v->matrix,
        .range = v->range,
        .chroma_site = FM_CHROMA_REPEAT, // as a run
        .map =
            fm__fit(in->fit, in->anchor, in->crop_ratio, v->width, v->height, info->input_w, info->input_h),
        .layout = info->layout,
        .color = in->color,
        .dtype = info->input.dtype,
        .pad = in->pad,
    };
    return fm__letterbox_plan_new(&desc, t->level, out, err);
}

static fm_status make_plans(fm__trial *t, fm_error *err)
{
    size_t n = t->o.frames->count;
    t->plans = fm__calloc_array(FM_TAG_TUNE, n, sizeof(*t->plans));
    t->plan_of = fm__calloc_array(FM_TAG_TUNE, n, sizeof(*t->plan_of));
    fm_status st = t->plans && t->plan_of ? FM_OK : fm__fail_nomem(err, "preprocessing plans");
    for (size_t i = 0; st == FM_OK && i < n; i++) {
        const fm_frame_view *v = fm_frame_get_view(t->o.frames->frames[i]);
        size_t k = 0;
        while (k < t->plan_count && !fm__letterbox_plan_matches(t->plans[k], v)) {
            k++;
        }
        t->plan_of[i] = k;
        if (k == t->plan_count) {
            st = make_plan(t, v, &t->plans[k], err);
            if (st == FM_OK) {
                size_t size = fm__letterbox_scratch_size(t->plans[k]);
                t->pixels_size = size > t->pixels_size ? size : t->pixels_size;
                t->plan_count++;
            }
        }
    }
    return st;
}

static bool make_scratch(fm__trial *t)
{
    const fm_head *head = &t->o.model->head;
    t->scratch = fm__calloc_array(FM_TAG_TUNE, (size_t)t->worker_count, sizeof(*t->scratch));
    bool ok = t->scratch != NULL;
    for (int i = 0; ok && i < t->worker_count; i++) {
        scratch *s = &t->scratch[i];
        s->pixels = fm__calloc_aligned(FM_TAG_TUNE, t->pixels_size + 64, 64);
        s->head = fm__calloc_aligned(FM_TAG_TUNE, fm__head_scratch_size(head) + 64, 64);
        s->dets = fm__calloc_array(FM_TAG_TUNE, MOST_DETS, sizeof(*s->dets));
        s->masks = fm__calloc_array(FM_TAG_TUNE, MOST_DETS, sizeof(*s->masks));
        s->places = fm__calloc_array(FM_TAG_TUNE, MOST_DETS, sizeof(*s->places));
        s->area = fm__calloc_array(FM_TAG_TUNE, (size_t)head->class_count + 1, sizeof(*s->area));
        s->feature = fm__calloc_array(FM_TAG_TUNE, fm__head_dim(head) + 1, sizeof(*s->feature));
        ok = s->pixels && s->head && s->dets && s->masks && s->places && s->area && s->feature;
    }
    return ok;
}

// Enough that the next batch of every slot is queued while this one runs.
static bool make_items(fm__trial *t)
{
    const fm_net_info *info = fm__net_info(t->o.model->net);
    t->item_count = (size_t)(2 * info->slots * info->batch + info->batch);
    t->items = fm__calloc_array(FM_TAG_TUNE, t->item_count, sizeof(*t->items));
    t->latency = fm__calloc_array(FM_TAG_TUNE, MOST_LATENCIES, sizeof(*t->latency));
    for (size_t i = 0; t->items && i < t->item_count; i++) {
        t->items[i].next_free = t->free_items;
        t->free_items = &t->items[i];
    }
    return t->items && t->latency;
}

fm_status fm__trial_new(const fm__trial_opts *opts, fm__trial **out, fm_error *err)
{
    fm__trial *t = fm__calloc(FM_TAG_TUNE, sizeof(*t));
    if (!t) {
        return fm__fail_nomem(err, "a trial");
    }
    t->o = *opts;
    t->o.lanes = opts->lanes > 0 ? opts->lanes : 1;
    t->level = fm__cpu_level();
    pthread_mutex_init(&t->lock, NULL);
    fm__cond_init(&t->changed);
    fm_executor_opts xo = {.net = opts->model->net, .sources = 1};
    t->worker_count = fm__executor_workers(&xo);
    fm_status st = make_plans(t, err);
    if (st == FM_OK && !(make_scratch(t) && make_items(t))) {
        st = fm__fail_nomem(err, "a trial");
    }
    if (st != FM_OK) {
        fm__trial_free(&t);
        return st;
    }
    *out = t;
    return FM_OK;
}

void fm__trial_free(fm__trial **trial)
{
    fm__trial *t = *trial;
    if (!t) {
        return;
    }
    for (int i = 0; t->scratch && i < t->worker_count; i++) {
        scratch *s = &t->scratch[i];
        fm__free(s->pixels);
        fm__free(s->head);
        fm__free(s->dets);
        fm__free(s->masks);
        fm__free(s->places);
        fm__free(s->bits);
        fm__free(s->area);
        fm__free(s->feature);
    }
    for (size_t i = 0; i < t->plan_count; i++) {
        fm__letterbox_plan_free(&t->plans[i]);
    }
    fm__free(t->scratch);
    fm__free(t->plans);
    fm__free(t->plan_of);
    fm__free(t->items);
    fm__free(t->latency);
    pthread_cond_destroy(&t->changed);
    pthread_mutex_destroy(&t->lock);
    fm__free(t);
    *trial = NULL;
}

/* ---- running it */

// A free item, or NULL at the end. Asks on its way whether to go on.
static trial_item *take_item(
    fm__trial *t, bool (*go_on)(void *), void *opaque, int64_t *ask_ns, bool *stopped)
{
    trial_item *it = NULL;
    pthread_mutex_lock(&t->lock);
    while (!t->done && !it && !*stopped) {
        int64_t now = fm__now_ns();
        if (go_on && now >= *ask_ns) {
            *ask_ns = now + ASK_EVERY_NS;
            pthread_mutex_unlock(&t->lock);
            *stopped = !go_on(opaque);
            pthread_mutex_lock(&t->lock);
        } else if (t->free_items) {
            it = t->free_items;
            t->free_items = it->next_free;
        } else {
            (void)fm__cond_wait_until(&t->changed, &t->lock, now + ASK_EVERY_NS);
        }
    }
    pthread_mutex_unlock(&t->lock);
    return it;
}

static void give_back(fm__trial *t, trial_item *it)
{
    pthread_mutex_lock(&t->lock);
    it->next_free = t->free_items;
    t->free_items = it;
    pthread_mutex_unlock(&t->lock);
}

fm_status fm__trial_run(fm__trial *t, double sample_s, int count, bool (*go_on)(void *), void *opaque,
    fm__tune_sample *out, fm_error *err)
{
    fm_executor_opts xo = {.net = t->o.model->net, .sources = 1, .max_in_flight = INT_MAX, .log = t->o.log};
    fm_executor_ops ops = {.prepare = prepare, .decode = decode, .complete = complete, .opaque = t};
    fm_executor *x = NULL;
    int64_t ask_ns = 0;
    bool stopped = false;
    t->done = t->warm = false;
    t->error = (fm_error){0};
    t->full_batches = t->out_count = 0;
    t->sample_s = sample_s;
    t->out = out;
    t->wanted = count;
    fm_status st = fm__executor_new(&xo, &ops, &x, err);
    if (st != FM_OK) {
        return st;
    }
    fm__executor_source(x, 0, FM_RING_BLOCK, INT_MAX, SIZE_MAX);
    size_t next = 0;
    for (trial_item *it; (it = take_item(t, go_on, opaque, &ask_ns, &stopped));) {
        it->frame = next++ % t->o.frames->count;
        it->item = (fm_item){.source = 0, .bytes = 1};
        it->ends_batch = false;
        if (fm__executor_push(x, &it->item) != FM_OK) {
            give_back(t, it);
            break;
        }
    }
    fm__executor_stop(x, false);
    fm__executor_free(&x);
    if (t->error.status != FM_OK) {
        fm_status failed = t->error.status;
        if (err) {
            *err = t->error;
        }
        return failed;
    }
    return stopped ? fm__fail(err, FM_CANCELED, "stopped") : FM_OK;
}
