// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Writes what framemill's own path makes of boxes in a video: dump_features MODEL MODELS_DIR VIDEO BOXES OUT
// FRAMES. BOXES is MOT text. OUT.crops gets each box's row of the network's input (u8), OUT.features its
// feature (f32), in the order of frames and of lines within a frame. For compare_features.py.

#include "../unit/infer/waiter.h"
#include "base/alloc.h"
#include "media/decode.h"
#include "models/model.h"
#include "ops/crop.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BATCH = 4, MAX_LINES = 100000 };

typedef struct line {
    int frame;
    fm_box box;
} line;

typedef struct dump {
    fm_model *model;
    fm_request *request;
    waiter waiter;
    fm_crop_desc desc;
    uint8_t *rows, *scratch; // rows: the request's input
    size_t row_size, used;
    float *feature;
    FILE *crops, *features;
    size_t written;
} dump;

static int read_lines(const char *path, line *lines)
{
    FILE *f = fopen(path, "r");
    int n = 0, id;
    float x, y, w, h;
    while (f && n < MAX_LINES &&
           fscanf(f, "%d,%d,%f,%f,%f,%f%*[^\n]", &lines[n].frame, &id, &x, &y, &w, &h) == 6) {
        lines[n++].box = (fm_box){x, y, x + w, y + h};
    }
    if (f) {
        fclose(f);
    }
    return n;
}

static fm_status load(dump *d, const char *name, const char *models_dir, waiter_slot *slot, fm_error *err)
{
    char share[4096];
    const char *root = getenv("FM_SOURCE_ROOT");
    fm_model_store_opts so = FM_MODEL_STORE_OPTS_INIT;
    fm_model_store *store = NULL;
    snprintf(share, sizeof(share), "%s/share/framemill", root ? root : ".");
    so.share_dir = share;
    so.models_dir = models_dir;
    fm_model_load_opts lo = {
        .task = FM_TASK_FEATURES, .name = name, .device = "cpu", .batch = BATCH, .slots = 1};
    fm_status st = fm_model_store_open(&so, &store, err);
    if (st == FM_OK) {
        st = fm__model_load(store, &lo, &d->model, err);
    }
    if (st == FM_OK) {
        st = fm__request_new(d->model->net, waiter_post, slot, &d->request, err);
    }
    fm_model_store_close(&store);
    return st;
}

static void set_up(dump *d)
{
    const fm_net_info *info = fm__net_info(d->model->net);
    const fm_model_input *in = &d->model->input;
    d->desc = (fm_crop_desc){.dst_w = info->input_w,
        .dst_h = info->input_h,
        .layout = info->layout,
        .color = in->color,
        .dtype = info->input.dtype,
        .fit = in->fit,
        .anchor = in->anchor,
        .crop_ratio = in->crop_ratio,
        .pad = in->pad};
    d->rows = fm__request_input(d->request).data;
    d->row_size = (size_t)(fm__tensor_count(&info->input) / info->batch);
    d->feature = fm__calloc_array(FM_TAG_MODELS, fm__head_dim(&d->model->head), sizeof(float));
}

// Runs what has gathered; a batch that is not full carries old rows along.
static fm_status flush(dump *d, fm_error *err)
{
    fm_tensor outs[FM_NET_MAX_OUTPUTS];
    size_t dim = fm__head_dim(&d->model->head);
    fm_status st = d->used ? fm__request_start(d->request, BATCH, err) : FM_OK;
    if (st != FM_OK || !d->used) {
        return st;
    }
    waiter_take(&d->waiter, 0);
    st = fm__request_finish(d->request, outs, err);
    for (size_t i = 0; st == FM_OK && i < d->used; i++, d->written++) {
        if (!fm__head_feature(&d->model->head, outs, 1, (int64_t)i, d->feature)) {
            memset(d->feature, 0, dim * sizeof(float));
        }
        fwrite(d->rows + i * d->row_size, 1, d->row_size, d->crops);
        fwrite(d->feature, sizeof(float), dim, d->features);
    }
    d->used = 0;
    return st;
}

static fm_status add_box(dump *d, const fm_frame_view *view, fm_box box, fm_error *err)
{
    if (!d->scratch) { // a video's frames are all as wide
        d->scratch = fm__calloc_aligned(FM_TAG_OPS, fm__crop_scratch_size(&d->desc, view->width), 64);
    }
    if (!d->scratch ||
        !fm__crop_run(&d->desc, view, box, d->rows + d->used * d->row_size, d->scratch, fm__cpu_level())) {
        memset(d->rows + d->used * d->row_size, 0, d->row_size);
    }
    return ++d->used == BATCH ? flush(d, err) : FM_OK;
}

static fm_status run(dump *d, const char *video, const line *lines, int count, int frames, fm_error *err)
{
    fm_decoder *decoder = NULL;
    fm_decoder_opts from = {.url = video, .kind = FM_INPUT_FILE, .threads = 1};
    fm_status st = fm__decoder_open(&from, &decoder, err);
    for (int number = 1; st == FM_OK && number <= frames; number++) {
        fm_frame *frame = NULL;
        st = fm__decoder_read(decoder, &frame, err);
        for (int i = 0; st == FM_OK && i < count; i++) {
            if (lines[i].frame == number) {
                st = add_box(d, fm_frame_get_view(frame), lines[i].box, err);
            }
        }
        fm_frame_unref(&frame);
    }
    fm__decoder_close(&decoder);
    return st == FM_OK ? flush(d, err) : st;
}

static FILE *open_out(const char *out, const char *ending)
{
    char path[4096];
    snprintf(path, sizeof(path), "%s.%s", out, ending);
    return fopen(path, "wb");
}

int main(int argc, char **argv)
{
    static line lines[MAX_LINES];
    dump d = {0};
    fm_error err = {0};
    if (argc != 7) {
        fprintf(stderr, "usage: dump_features MODEL MODELS_DIR VIDEO BOXES OUT FRAMES\n");
        return 2;
    }
    int count = read_lines(argv[4], lines);
    waiter_init(&d.waiter);
    waiter_slot slot = {&d.waiter, 0};
    d.crops = open_out(argv[5], "crops");
    d.features = open_out(argv[5], "features");
    fm_status st = load(&d, argv[1], argv[2], &slot, &err);
    if (st == FM_OK && d.crops && d.features) {
        set_up(&d);
        st = run(&d, argv[3], lines, count, atoi(argv[6]), &err);
    }
    bool ok = d.crops && d.features && fclose(d.crops) == 0 && fclose(d.features) == 0 && st == FM_OK;
    fm__request_free(&d.request);
    fm__model_free(&d.model);
    fm__free(d.feature);
    fm__free(d.scratch);
    waiter_done(&d.waiter);
    if (!ok) {
        fprintf(stderr, "dump_features: %s\n", err.msg);
        return 1;
    }
    printf("%zu\n", d.written);
    return 0;
}
