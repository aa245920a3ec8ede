// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// COCO's JSON (cocodataset.org, "Data format"): ground truth with images, annotations and categories in any
// order, and lists of results; and the lines of `framemill run`. What is not needed (segmentations, licences)
// is read over. `area` of an object is what the file says, as for COCOeval, or that of its box where it says
// nothing; `ignore` plays no part, as COCOeval overwrites it with `iscrowd`.

#include "app/ap_private.h"

#include "base/alloc.h"
#include "base/error.h"
#include "base/json_read.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// Keys that an object has, as bits.
enum {
    HAS_ID = 1,
    HAS_NAME = 2,
    HAS_IMAGE = 4,
    HAS_CATEGORY = 8,
    HAS_BOX = 16,
    HAS_SCORE = 32,
    HAS_AREA = 64
};

static const char *const key_names[] = {"id", "name", "image_id", "category_id", "bbox", "score", "area"};

typedef struct entry {
    int64_t id, image, category;
    double box[4], score, area;
    bool crowd;
    int has;
} entry;

// An annotation before its image and category are known to exist.
typedef struct raw_gt {
    entry e;
    const char *at; // in the text
} raw_gt;

typedef struct reader {
    fm_jread r;
    ap_data *d;
    raw_gt *raw;
    size_t raw_count, raw_cap;
    bool has_images, has_annotations, has_categories;
} reader;

/* ---- pieces ---- */

static bool read_box(fm_jread *r, double box[4])
{
    int n = 0;
    if (!fm__jread_array(r)) {
        return false;
    }
    while (fm__jread_item(r)) {
        double v = 0;
        if (!fm__jread_number(r, &v)) {
            return false;
        }
        if (n == 4) {
            return fm__jread_fail(r, "a box of more than 4 numbers; expected x, y, width, height");
        }
        if (fabs(v) > AP_MAX_VALUE || (n >= 2 && v < 0)) {
            return fm__jread_fail(
                r, n >= 2 && v < 0 ? "a box of negative size: %g" : "a box at %g: too large", v);
        }
        box[n++] = v;
    }
    if (r->status == FM_OK && n != 4) {
        return fm__jread_fail(r, "a box of %d numbers; expected x, y, width, height", n);
    }
    return r->status == FM_OK;
}

static bool read_field(fm_jread *r, const char *key, entry *e)
{
    int64_t *const ints[] = {&e->id, NULL, &e->image, &e->category};
    int k = 0;
    while (k < 7 && strcmp(key, key_names[k]) != 0) {
        k++;
    }
    if (k == 1 || k == 7) {
        return strcmp(key, "iscrowd") == 0 ? fm__jread_flag(r, &e->crowd) : fm__jread_skip(r);
    }
    e->has |= 1 << k;
    if (k < 4) {
        return fm__jread_int(r, ints[k]);
    }
    return k == 4 ? read_box(r, e->box) : fm__jread_number(r, k == 5 ? &e->score : &e->area);
}

static bool need(fm_jread *r, const char *start, int has, int wanted)
{
    for (int k = 0; k < 7; k++) {
        if (wanted >> k & 1 && !(has >> k & 1)) {
            r->value = start;
            return fm__jread_fail(r, "'%s' is missing", key_names[k]);
        }
    }
    return true;
}

/* ---- ground truth ---- */

// {"id": 7, NAME: "..."}, of an image or a category.
static bool read_named(
    reader *g, const char *name_key, ap_named **items, size_t *count, size_t *cap, size_t most)
{
    fm_jread *r = &g->r;
    if (!fm__jread_array(r)) {
        return false;
    }
    while (fm__jread_item(r)) {
        const char *key, *name;
        char *copy = NULL;
        int64_t id = 0;
        int has = 0;
        bool ok = fm__jread_object(r);
        const char *start = r->value;
        while (ok && fm__jread_key(r, &key)) {
            if (strcmp(key, "id") == 0) {
                has |= HAS_ID;
                ok = fm__jread_int(r, &id);
            } else if (strcmp(key, name_key) == 0) {
                ok = fm__jread_string(r, &name);
                fm__free(copy);
                copy = ok ? fm__strdup(FM_TAG_APP, name) : NULL;
                ok = ok && (copy || fm__jread_nomem(r));
            } else {
                ok = fm__jread_skip(r);
            }
        }
        ok = r->status == FM_OK && need(r, start, has, HAS_ID);
        r->value = ok ? start : r->value;
        ok = ok && (copy || fm__jread_fail(r, "'%s' is missing", name_key));
        ok = ok && (*count < most || fm__jread_fail(r, "more than %zu of these", most));
        ok = ok && (fm__ap_add_named(items, count, cap, copy, id) || fm__jread_nomem(r));
        fm__free(copy);
        if (!ok) {
            return false;
        }
    }
    return r->status == FM_OK;
}

// An annotation or a result; *start is where it begins.
static bool read_entry(fm_jread *r, entry *e, int wanted, const char **start)
{
    const char *key;
    *e = (entry){0};
    if (!fm__jread_object(r)) {
        return false;
    }
    *start = r->value;
    while (fm__jread_key(r, &key)) {
        if (!read_field(r, key, e)) {
            return false;
        }
    }
    return r->status == FM_OK && need(r, *start, e->has, wanted);
}

static bool read_annotations(reader *g)
{
    fm_jread *r = &g->r;
    if (!fm__jread_array(r)) {
        return false;
    }
    while (fm__jread_item(r)) {
        raw_gt raw;
        if (!read_entry(r, &raw.e, HAS_ID | HAS_IMAGE | HAS_CATEGORY | HAS_BOX, &raw.at)) {
            return false;
        }
        if (g->raw_count == FM_AP_MAX_ITEMS) {
            return fm__jread_fail(r, "more than %d annotations", (int)FM_AP_MAX_ITEMS);
        }
        if (!fm__grow(FM_TAG_APP, (void **)&g->raw, &g->raw_cap, g->raw_count + 1, sizeof(*g->raw))) {
            return fm__jread_nomem(r);
        }
        g->raw[g->raw_count++] = raw;
    }
    return r->status == FM_OK;
}

static bool once(fm_jread *r, bool *has, const char *key)
{
    if (*has) {
        return fm__jread_fail(r, "'%s' is there twice", key);
    }
    *has = true;
    return true;
}

static bool read_truth(reader *g)
{
    const char *key;
    ap_data *d = g->d;
    bool ok = fm__jread_object(&g->r);
    while (ok && fm__jread_key(&g->r, &key)) {
        if (strcmp(key, "images") == 0) {
            ok =
                once(&g->r, &g->has_images, "images") &&
                read_named(g, "file_name", &d->pictures, &d->picture_count, &d->picture_cap, AP_MAX_PICTURES);
        } else if (strcmp(key, "categories") == 0) {
            ok = once(&g->r, &g->has_categories, "categories") &&
                 read_named(g, "name", &d->classes, &d->class_count, &d->class_cap, AP_MAX_CLASSES);
        } else if (strcmp(key, "annotations") == 0) {
            ok = once(&g->r, &g->has_annotations, "annotations") && read_annotations(g);
        } else {
            ok = fm__jread_skip(&g->r);
        }
    }
    return fm__jread_end(&g->r) == FM_OK;
}

static int by_id(const void *a, const void *b)
{
    int64_t x = ((const ap_named *)a)->id, y = ((const ap_named *)b)->id;
    return x < y ? -1 : x > y;
}

static void sort_by_id(ap_named *items, size_t count)
{
    if (count > 0) {
        qsort(items, count, sizeof(*items), by_id);
    }
}

static int by_entry_id(const void *a, const void *b)
{
    const int64_t *x = a, *y = b;
    return *x < *y ? -1 : *x > *y;
}

static fm_status check_ids(const ap_named *items, size_t n, const char *name, const char *what, fm_error *err)
{
    for (size_t i = 1; i < n; i++) {
        if (items[i].id == items[i - 1].id) {
            return fm__fail(
                err, FM_FORMAT, "%s: id %lld is there twice in '%s'", name, (long long)items[i].id, what);
        }
    }
    return FM_OK;
}

static fm_status check_annotation_ids(const reader *g, fm_error *err)
{
    int64_t *ids = fm__calloc_array(FM_TAG_APP, g->raw_count + 1, sizeof(*ids));
    if (!ids) {
        return fm__fail_nomem(err, g->r.name);
    }
    for (size_t i = 0; i < g->raw_count; i++) {
        ids[i] = g->raw[i].e.id;
    }
    qsort(ids, g->raw_count, sizeof(*ids), by_entry_id);
    fm_status st = FM_OK;
    for (size_t i = 1; st == FM_OK && i < g->raw_count; i++) {
        if (ids[i] == ids[i - 1]) {
            st = fm__fail(
                err, FM_FORMAT, "%s: id %lld is there twice in 'annotations'", g->r.name, (long long)ids[i]);
        }
    }
    fm__free(ids);
    return st;
}

static fm_status check_names(const ap_data *d, const char *name, fm_error *err)
{
    for (size_t i = 1; i < d->class_count; i++) {
        for (size_t j = 0; j < i; j++) {
            if (strcmp(d->classes[i].name, d->classes[j].name) == 0) {
                return fm__fail(err, FM_FORMAT, "%s: class '%.80s' is there twice", name, d->classes[i].name);
            }
        }
    }
    return FM_OK;
}

static fm_status resolve(reader *g)
{
    ap_data *d = g->d;
    d->gts = fm__calloc_array(FM_TAG_APP, g->raw_count + 1, sizeof(*d->gts));
    if (!d->gts) {
        return fm__fail_nomem(g->r.err, g->r.name);
    }
    for (size_t i = 0; i < g->raw_count; i++) {
        const entry *e = &g->raw[i].e;
        size_t picture = fm__ap_find_id(d->pictures, d->picture_count, e->image);
        size_t class = fm__ap_find_id(d->classes, d->class_count, e->category);
        if (picture == d->picture_count || class == d->class_count) {
            bool is_picture = picture == d->picture_count;
            g->r.value = g->raw[i].at;
            (void)fm__jread_fail(&g->r, "%s %lld is not in '%s'", is_picture ? "image_id" : "category_id",
                (long long)(is_picture ? e->image : e->category), is_picture ? "images" : "categories");
            return g->r.status;
        }
        fm_ap_gt *o = &d->gts[d->gt_count++];
        *o = (fm_ap_gt){.area = e->has & HAS_AREA ? e->area : e->box[2] * e->box[3],
            .image = (uint32_t)picture,
            .category = (uint32_t) class,
            .crowd = e->crowd};
        memcpy(o->box, e->box, sizeof(o->box));
    }
    return FM_OK;
}

fm_status fm__ap_read_coco(const char *text, size_t len, const char *name, ap_data *d, fm_error *err)
{
    reader g = {.d = d};
    fm__jread_init(&g.r, text, len, name, err);
    fm_status st = read_truth(&g) ? FM_OK : g.r.status;
    if (st == FM_OK && !(g.has_images && g.has_annotations && g.has_categories)) {
        st = fm__fail(err, FM_FORMAT, "%s: '%s' is missing; expected COCO's images, annotations, categories",
            name,
            !g.has_images        ? "images"
            : !g.has_annotations ? "annotations"
                                 : "categories");
    }
    if (st == FM_OK) {
        sort_by_id(d->pictures, d->picture_count);
        sort_by_id(d->classes, d->class_count);
        st = check_ids(d->pictures, d->picture_count, name, "images", err);
    }
    st = st == FM_OK ? check_ids(d->classes, d->class_count, name, "categories", err) : st;
    st = st == FM_OK ? check_annotation_ids(&g, err) : st;
    st = st == FM_OK ? check_names(d, name, err) : st;
    st = st == FM_OK ? resolve(&g) : st;
    fm__free(g.raw);
    fm__jread_done(&g.r);
    return st;
}

/* ---- results ---- */

static bool add_detection(fm_jread *r, ap_data *d, const fm_ap_det *det)
{
    if (d->det_count == FM_AP_MAX_ITEMS) {
        return fm__jread_fail(r, "more than %d detections", (int)FM_AP_MAX_ITEMS);
    }
    if (!fm__grow(FM_TAG_APP, (void **)&d->dets, &d->det_cap, d->det_count + 1, sizeof(*d->dets))) {
        return fm__jread_nomem(r);
    }
    d->dets[d->det_count++] = *det;
    return true;
}

static bool count_label(fm_jread *r, ap_data *d, const char *name, uint32_t *category)
{
    ap_label *label = fm__ap_label_of(d, name);
    if (!label) {
        return d->label_count == AP_MAX_LABELS
                   ? fm__jread_fail(r, "more than %d different labels", (int)AP_MAX_LABELS)
                   : fm__jread_nomem(r);
    }
    label->count++;
    *category = label->category;
    return true;
}

// A category_id is the ground truth's own, so its label is the name there.
static bool take_result(fm_jread *r, ap_data *d, const entry *e, const char *start)
{
    size_t picture = fm__ap_find_id(d->pictures, d->picture_count, e->image);
    size_t class = fm__ap_find_id(d->classes, d->class_count, e->category);
    r->value = start;
    if (picture == d->picture_count) {
        return fm__jread_fail(r, "image_id %lld is not in the ground truth", (long long)e->image);
    }
    char unknown[48];
    snprintf(unknown, sizeof(unknown), "category_id %lld", (long long)e->category);
    fm_ap_det det = {.score = e->score, .image = (uint32_t)picture};
    memcpy(det.box, e->box, sizeof(det.box));
    d->seen[picture] = true;
    return count_label(r, d, class < d->class_count ? d->classes[class].name : unknown, &det.category) &&
           (det.category == AP_NO_CLASS || add_detection(r, d, &det));
}

fm_status fm__ap_read_list(const char *text, size_t len, const char *name, ap_data *d, fm_error *err)
{
    fm_jread r;
    fm__jread_init(&r, text, len, name, err);
    bool ok = fm__jread_array(&r);
    while (ok && fm__jread_item(&r)) {
        entry e;
        const char *start;
        ok = read_entry(&r, &e, HAS_IMAGE | HAS_CATEGORY | HAS_BOX | HAS_SCORE, &start) &&
             take_result(&r, d, &e, start);
    }
    fm_status st = fm__jread_end(&r);
    fm__jread_done(&r);
    return st;
}

/* ---- lines of framemill run ---- */

static bool read_object(fm_jread *r, ap_data *d)
{
    const char *key, *text;
    fm_ap_det det = {0};
    bool has_label = false, has_score = false, has_box = false, ok = fm__jread_object(r);
    const char *start = r->value;
    while (ok && fm__jread_key(r, &key)) {
        if (strcmp(key, "label") == 0 && !has_label) {
            has_label = true;
            ok = fm__jread_string(r, &text) && count_label(r, d, text, &det.category);
        } else if (strcmp(key, "score") == 0) {
            has_score = true;
            ok = fm__jread_number(r, &det.score);
        } else if (strcmp(key, "box") == 0) {
            has_box = true;
            ok = read_box(r, det.box);
        } else {
            ok = fm__jread_skip(r);
        }
    }
    if (r->status == FM_OK && !(has_label && has_score && has_box)) {
        r->value = start;
        return fm__jread_fail(r, "'%s' is missing in an object",
            !has_label   ? "label"
            : !has_score ? "score"
                         : "box");
    }
    return r->status == FM_OK && (det.category == AP_NO_CLASS || add_detection(r, d, &det));
}

static bool read_objects(fm_jread *r, ap_data *d)
{
    bool ok = fm__jread_array(r);
    while (ok && fm__jread_item(r)) {
        ok = read_object(r, d);
    }
    return r->status == FM_OK;
}

// The picture of a line; its objects may come before its name.
static bool take_picture(fm_jread *r, ap_data *d, size_t first, size_t picture, const char *file)
{
    if (picture == d->picture_count) {
        return fm__jread_fail(r, "picture '%.100s' is not in the ground truth", file);
    }
    if (d->seen[picture]) {
        return fm__jread_fail(r, "picture '%.100s' is there a second time", file);
    }
    d->seen[picture] = true;
    for (size_t i = first; i < d->det_count; i++) {
        d->dets[i].image = (uint32_t)picture;
    }
    return true;
}

static bool read_line(fm_jread *r, ap_data *d)
{
    const char *key, *file;
    char *name = NULL;
    size_t first = d->det_count;
    bool ok = fm__jread_object(r);
    const char *start = r->value;
    while (ok && fm__jread_key(r, &key)) {
        if (strcmp(key, "file") == 0) {
            ok = fm__jread_string(r, &file);
            fm__free(name);
            name = ok ? fm__strdup(FM_TAG_APP, file) : NULL;
            ok = ok && (name || fm__jread_nomem(r));
        } else {
            ok = strcmp(key, "objects") == 0 ? read_objects(r, d) : fm__jread_skip(r);
        }
    }
    r->value = r->status == FM_OK ? start : r->value;
    ok = r->status == FM_OK &&
         (name || fm__jread_fail(r, "no 'file': only lines of pictures can be compared, not of a video")) &&
         take_picture(r, d, first, fm__ap_find_picture(d, name), name);
    fm__free(name);
    return ok;
}

fm_status fm__ap_read_lines(const char *text, size_t len, const char *name, ap_data *d, fm_error *err)
{
    fm_status st = FM_OK;
    fm_jread r;
    size_t number = 0;
    for (const char *p = text, *end = text + len; st == FM_OK && p < end;) {
        const char *newline = memchr(p, '\n', (size_t)(end - p));
        const char *to = newline ? newline : end;
        fm__jread_init(&r, p, (size_t)(to - p), name, err);
        r.line = ++number;
        if (fm__jread_peek(&r) != FM_JSON_NONE || r.at < r.end) {
            (void)read_line(&r, d);
        }
        st = fm__jread_end(&r);
        fm__jread_done(&r);
        p = newline ? newline + 1 : end;
    }
    return st;
}
