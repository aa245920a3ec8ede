// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// base/json_read.h, app/ap_private.h and track/ap.h: any bytes as ground truth and detections. The first byte
// chooses: COCO's JSON or one XML file before a line "#", and after it lines of a run, a list of results, or
// before the lines a map of labels up to the next "#". What is accepted is evaluated.

#include "app/ap_private.h"
#include "base/alloc.h"
#include "base/json_read.h"
#include "fuzz.h"

#include <math.h>
#include <string.h>

// Where the part after a line "#" begins; *part is how long the part before is.
static size_t split(const char *text, size_t len, size_t *part)
{
    const char *mark = memmem(text, len, "\n#\n", 3);
    *part = mark ? (size_t)(mark - text) + 1 : len;
    return mark ? *part + 2 : len;
}

static bool said(fm_status st, const fm_error *err)
{
    FUZZ_CHECK(st == FM_OK || (err->msg[0] != 0 && strchr(err->msg, '\n') == NULL));
    return st == FM_OK;
}

static bool read_result(int how, const char *text, size_t len, ap_data *d)
{
    fm_error err = {0};
    if (how & 2) {
        return said(fm__ap_read_list(text, len, "list", d, &err), &err);
    }
    if (how & 4) {
        size_t map, next = split(text, len, &map);
        if (!said(fm__ap_read_map(text, map, "map", d, &err), &err)) {
            return false;
        }
        text += next;
        len -= next;
    }
    return said(fm__ap_read_lines(text, len, "lines", d, &err), &err);
}

static void check_boxes(const ap_data *d)
{
    for (size_t i = 0; i < d->gt_count; i++) {
        const fm_ap_gt *g = &d->gts[i];
        FUZZ_CHECK(g->image < d->picture_count && g->category < d->class_count && isfinite(g->area));
        FUZZ_CHECK(isfinite(g->box[0] + g->box[1]) && g->box[2] >= 0 && g->box[3] >= 0);
    }
    for (size_t i = 0; i < d->det_count; i++) {
        const fm_ap_det *g = &d->dets[i];
        FUZZ_CHECK(g->image < d->picture_count && g->category < d->class_count && isfinite(g->score));
        FUZZ_CHECK(isfinite(g->box[0] + g->box[1]) && g->box[2] >= 0 && g->box[3] >= 0);
    }
}

static void check_class(const fm_ap_class *c)
{
    const double figures[] = {c->coco.ap, c->coco.ap50, c->coco.ap75, c->coco.ap_small, c->coco.ar1,
        c->coco.ar10, c->coco.ar100, c->coco.ar_large, c->voc_ap, c->curve[0], c->curve[100]};
    for (size_t i = 0; i < sizeof figures / sizeof figures[0]; i++)
        FUZZ_CHECK(figures[i] == -1 || (figures[i] >= 0 && figures[i] <= 1 + 1e-9));
    FUZZ_CHECK(c->coco.ar1 <= c->coco.ar10 + 1e-9 && c->coco.ar10 <= c->coco.ar100 + 1e-9);
    FUZZ_CHECK(c->point.tp >= 0 && c->point.fp >= 0 && c->point.tp + c->point.fn == c->objects);
    FUZZ_CHECK(c->point.tp + c->point.fp <= c->detections);
}

static void evaluate(const ap_data *d, bool voc)
{
    fm_ap_class *classes = fm__calloc_array(FM_TAG_APP, d->class_count + 1, sizeof(*classes));
    fm_ap_class all = {0}, large = {0};
    size_t count = 0;
    fm_error err = {0};
    const fm_ap_input in = {.gts = d->gts,
        .gt_count = d->gt_count,
        .dets = d->dets,
        .det_count = d->det_count,
        .categories = (uint32_t)d->class_count,
        .voc = voc,
        .min_objects = 2,
        .at = -1};
    FUZZ_CHECK(classes != NULL);
    if (said(fm__ap_evaluate(&in, classes, &all, &large, &count, &err), &err)) {
        for (size_t i = 0; i < d->class_count; i++)
            check_class(&classes[i]);
        check_class(&all);
        check_class(&large);
        FUZZ_CHECK(count <= d->class_count);
    }
    fm__free(classes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    const char *text = (const char *)data + 1;
    size_t len = size - 1, gt, after = split(text, len, &gt);
    ap_data d = {0};
    fm_error err = {0};
    bool voc = data[0] & 1;
    fm_status st = voc ? fm__ap_read_voc(text, gt, "fuzz.xml", "fuzz", &d, &err)
                       : fm__ap_read_coco(text, gt, "fuzz.json", &d, &err);
    if (said(st, &err)) {
        FUZZ_CHECK(!voc || fm__ap_sort_classes(&d, &err) == FM_OK);
        FUZZ_CHECK(fm__ap_begin_result(&d, &err) == FM_OK);
        if (read_result(data[0], text + after, len - after, &d)) {
            check_boxes(&d);
            evaluate(&d, voc);
        }
    }
    fm__ap_data_done(&d);
    return 0;
}
