// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// One model on pictures, without a pipeline: for each picture the line that the JSONL sink would write, and
// in OUT the network's input and raw outputs (<picture>.input.raw, <picture>.<output>.raw) and the class map
// (<picture>.map.raw).
//
//     run_model SHARE MODELS OUT MODEL CONF PICTURE...
//
// MODEL is a name or a path, as for framemill run; its task is what its head makes of it.

#include "base/alloc.h"
#include "base/file.h"
#include "base/str.h"
#include "image/image.h"
#include "media/decode.h"
#include "models/model.h"
#include "sinks/sinks.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_DETS = 300, TOP = 5 };

/** What a run needs; lives for all pictures. */
typedef struct runner {
    const char *out_dir;
    float conf;
    fm_cpu_level level;
    fm_model *model;
    fm_request *request;
    fm_frame_pool *pool;
    void *scratch;
    pthread_mutex_t lock;
    pthread_cond_t cond;
    bool is_done;
} runner;

/** Everything that a head may say of one picture. */
typedef struct findings {
    fm_det dets[MAX_DETS];
    fm_mask masks[MAX_DETS];
    uint32_t places[MAX_DETS];
    uint8_t *bits, *ids;
    fm_class_score top[TOP];
    int64_t area[FM_CLASS_UNSEEN];
    fm_class_map map;
} findings;

static void on_done(void *opaque)
{
    runner *r = opaque;
    pthread_mutex_lock(&r->lock);
    r->is_done = true;
    pthread_cond_signal(&r->cond);
    pthread_mutex_unlock(&r->lock);
}

static fm_status open_runner(runner *r, char **argv, fm_error *err)
{
    fm_model_store *store = NULL;
    fm_model_store_opts opts = FM_MODEL_STORE_OPTS_INIT;
    opts.share_dir = argv[1];
    opts.models_dir = argv[2];
    r->out_dir = argv[3];
    r->conf = strtof(argv[5], NULL);
    r->level = fm__cpu_level();
    pthread_mutex_init(&r->lock, NULL);
    pthread_cond_init(&r->cond, NULL);
    fm_status st = fm_model_store_open(&opts, &store, err);
    if (st == FM_OK)
        st = fm__model_load(
            store, &(fm_model_load_opts){.name = argv[4], .batch = 1, .slots = 1}, &r->model, err);
    fm_model_store_close(&store);
    if (st == FM_OK)
        st = fm__request_new(r->model->net, on_done, r, &r->request, err);
    if (st == FM_OK)
        st = fm__frame_pool_new(&r->pool, err);
    if (st == FM_OK)
        r->scratch = fm__calloc_aligned(FM_TAG_APP, fm__head_scratch_size(&r->model->head), 64);
    return st;
}

static fm_status load_picture(const runner *r, const char *path, fm_frame **out, fm_error *err)
{
    return fm__str_ends(path, ".bmp") ? fm__media_picture(path, 0, r->pool, out, err)
                                      : fm__image_load(path, 0, r->pool, out, err);
}

static fm_status preprocess(const runner *r, const fm_frame_view *view, fm_fit_map *map, fm_error *err)
{
    const fm_model_input *in = &r->model->input;
    const fm_net_info *info = fm__net_info(r->model->net);
    fm_letterbox_plan *plan = NULL;
    fm_letterbox_desc desc = {.format = view->format,
        .matrix = view->matrix,
        .range = view->range,
        .chroma_site = FM_CHROMA_REPEAT,
        .map = fm__fit(
            in->fit, in->anchor, in->crop_ratio, view->width, view->height, info->input_w, info->input_h),
        .layout = info->layout,
        .color = in->color,
        .dtype = info->input.dtype,
        .pad = in->pad};
    fm_status st = fm__letterbox_plan_new(&desc, r->level, &plan, err);
    if (st != FM_OK)
        return st;
    void *scratch = fm__calloc_aligned(FM_TAG_APP, fm__letterbox_scratch_size(plan), 64);
    fm__letterbox_run(plan, view, fm__request_input(r->request).data, scratch);
    fm__free(scratch);
    fm__letterbox_plan_free(&plan);
    *map = desc.map;
    return FM_OK;
}

static fm_status infer(runner *r, fm_tensor *outs, fm_error *err)
{
    r->is_done = false;
    fm_status st = fm__request_start(r->request, 1, err);
    if (st != FM_OK)
        return st;
    pthread_mutex_lock(&r->lock);
    while (!r->is_done)
        pthread_cond_wait(&r->cond, &r->lock);
    pthread_mutex_unlock(&r->lock);
    return fm__request_finish(r->request, outs, err);
}

static fm_status dump(
    const runner *r, const char *path, const char *what, const void *data, size_t size, fm_error *err)
{
    char *name = fm__asprintf(FM_TAG_APP, "%s/%s.%s.raw", r->out_dir, fm__path_base(path), what);
    fm_status st = fm__file_replace(name, data, size, err);
    fm__free(name);
    return st;
}

static fm_status dump_input(const runner *r, const char *path, fm_error *err)
{
    fm_tensor t = fm__request_input(r->request);
    return dump(r, path, "input", t.data, (size_t)fm__tensor_count(&t), err);
}

static fm_status dump_outputs(const runner *r, const char *path, const fm_tensor *outs, fm_error *err)
{
    fm_status st = FM_OK;
    for (size_t i = 0; st == FM_OK && i < fm__net_info(r->model->net)->output_count; i++) {
        char number[8];
        snprintf(number, sizeof number, "%d", (int)i);
        size_t size = (size_t)fm__tensor_count(&outs[i]) * fm__dtype_size(outs[i].dtype);
        st = dump(r, path, number, outs[i].data, size, err);
    }
    return st;
}

static void find_objects(
    const runner *r, const fm_tensor *outs, const fm_fit_map *map, findings *f, fm_result *result)
{
    const fm_head *head = &r->model->head;
    size_t n = fm__net_info(r->model->net)->output_count;
    fm_head_query q = {.conf = r->conf, .iou = 0.45f, .max_dets = MAX_DETS, .level = r->level};
    result->det_count = fm__head_objects(head, outs, n, 0, &q, map, f->dets, f->masks, f->places, r->scratch);
    f->bits = malloc(fm__masks_size(f->masks, result->det_count) + 1);
    fm__head_masks(
        head, outs, n, 0, map, f->places, f->masks, result->det_count, f->bits, r->scratch, r->level);
    result->dets = f->dets;
    result->masks = f->masks;
    result->labels = (const char *const *)r->model->labels;
    result->label_count = r->model->label_count;
}

static fm_status find_map(const runner *r, const char *path, const fm_tensor *outs, const fm_fit_map *map,
    findings *f, fm_result *result, fm_error *err)
{
    size_t size = (size_t)map->src_w * (size_t)map->src_h;
    f->ids = malloc(size);
    fm__head_class_map(&r->model->head, outs, 1, 0, map, f->ids, map->src_w, f->area, r->scratch, r->level);
    f->map = (fm_class_map){.width = map->src_w,
        .height = map->src_h,
        .stride = map->src_w,
        .ids = f->ids,
        .area = f->area,
        .class_count = r->model->label_count,
        .labels = (const char *const *)r->model->labels};
    result->class_map = &f->map;
    return dump(r, path, "map", f->ids, size, err);
}

static fm_status decode(const runner *r, const char *path, const fm_tensor *outs, const fm_fit_map *map,
    findings *f, fm_result *result, fm_error *err)
{
    const fm_head *head = &r->model->head;
    if (head->cls->task == FM_TASK_CLASSIFICATION) {
        result->class_count = fm__head_classify(head, outs, 1, 0, f->top, TOP);
        result->classes = f->top;
        result->class_labels = (const char *const *)r->model->labels;
        result->class_label_count = r->model->label_count;
    } else if (fm__head_has_objects(head)) {
        find_objects(r, outs, map, f, result);
    } else {
        return find_map(r, path, outs, map, f, result, err);
    }
    return FM_OK;
}

static fm_status run_picture(runner *r, const char *path, fm_error *err)
{
    static findings f;
    fm_tensor outs[FM_NET_MAX_OUTPUTS];
    fm_frame *frame = NULL;
    fm_fit_map map;
    fm_str line;
    fm__str_init(&line, FM_TAG_APP);
    fm_status st = load_picture(r, path, &frame, err);
    if (st != FM_OK)
        return st;
    const fm_frame_view *view = fm_frame_get_view(frame);
    fm_result result = {.stream = "reference",
        .file = fm__path_base(path),
        .pts_ns = FM_PTS_NONE,
        .wall_ns = FM_PTS_NONE,
        .width = view->width,
        .height = view->height};
    st = preprocess(r, view, &map, err);
    if (st == FM_OK)
        st = dump_input(r, path, err);
    if (st == FM_OK)
        st = infer(r, outs, err);
    if (st == FM_OK)
        st = dump_outputs(r, path, outs, err);
    if (st == FM_OK)
        st = decode(r, path, outs, &map, &f, &result, err);
    if (st == FM_OK) {
        fm__jsonl_format(&line, &result);
        fputs(line.data, stdout);
    }
    fm__str_done(&line);
    free(f.bits);
    free(f.ids);
    f.bits = f.ids = NULL;
    fm_frame_unref(&frame);
    return st;
}

int main(int argc, char **argv)
{
    static runner r;
    fm_error err = {0};
    if (argc < 7)
        return 2;
    fm_status st = fm__image_init(&err);
    if (st == FM_OK)
        st = open_runner(&r, argv, &err);
    for (int i = 6; st == FM_OK && i < argc; i++)
        st = run_picture(&r, argv[i], &err);
    fm__free(r.scratch);
    fm__request_free(&r.request);
    fm__model_free(&r.model);
    fm__frame_pool_free(&r.pool);
    fm__image_shutdown();
    if (st != FM_OK)
        fprintf(stderr, "run_model: %s\n", err.msg);
    return st == FM_OK ? 0 : 1;
}
