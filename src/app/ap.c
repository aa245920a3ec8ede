// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Evaluation of detections: reads the ground truth and the result whole, has src/track count, keeps the
// figures of each class. Anything that cannot be read ends it: a figure over part of a result says nothing.

#include <framemill/ap.h>

#include "app/ap_private.h"
#include "base/alloc.h"
#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "base/str.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DECIMALS 9 // of figures in JSON

struct fm_ap {
    fm_ap_opts opts;      // defaults filled in; labels_map is the caller's no more
    fm_ap_class *classes; // [count]; names are owned
    size_t count;
    fm_ap_class all, large;
    size_t large_count;
    fm_ap_label *unknown; // [unknown_count]; names are owned
    size_t unknown_count;
    size_t pictures, missing;
};

/* ---- files ---- */

typedef fm_status read_fn(const char *text, size_t len, const char *name, ap_data *d, fm_error *err);

static fm_status read_with(read_fn *read, const char *path, ap_data *d, fm_error *err)
{
    char *text = NULL;
    size_t len = 0;
    fm_status st = fm__file_read(FM_TAG_APP, path, AP_MAX_FILE_BYTES, &text, &len, err);
    st = st == FM_OK ? read(text, len, path, d, err) : st;
    fm__free(text);
    return st;
}

static fm_status read_annotation(const char *text, size_t len, const char *name, ap_data *d, fm_error *err)
{
    const char *base = fm__path_base(name);
    char *picture = fm__asprintf(FM_TAG_APP, "%.*s", (int)(strlen(base) - strlen(".xml")), base);
    fm_status st = picture ? fm__ap_read_voc(text, len, name, picture, d, err) : fm__fail_nomem(err, name);
    fm__free(picture);
    return st;
}

// A list begins with "[", a line of a run with "{".
static bool is_list(const char *text, size_t len)
{
    size_t i = len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
    return text[i + strspn(text + i, " \t\r\n")] == '[';
}

static fm_status read_any(const char *text, size_t len, const char *name, ap_data *d, fm_error *err)
{
    return is_list(text, len) ? fm__ap_read_list(text, len, name, d, err)
                              : fm__ap_read_lines(text, len, name, d, err);
}

static fm_status read_run(const char *text, size_t len, const char *name, ap_data *d, fm_error *err)
{
    if (is_list(text, len)) {
        return fm__fail(err, FM_FORMAT,
            "'%s' is a list of COCO's results, which names pictures by ids that VOC does not have", name);
    }
    return fm__ap_read_lines(text, len, name, d, err);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

typedef struct files {
    char **paths;
    size_t count, cap;
} files;

static void files_done(files *f)
{
    for (size_t i = 0; i < f->count; i++) {
        fm__free(f->paths[i]);
    }
    fm__free(f->paths);
}

static fm_status list_files(files *f, const char *dir, const char *ending, fm_error *err)
{
    DIR *d = opendir(dir);
    if (!d) {
        return fm__fail_errno(err, errno, "cannot read", dir);
    }
    bool ok = true;
    for (const struct dirent *e; ok && (e = readdir(d));) {
        if (e->d_name[0] == '.' || !fm__str_ends(e->d_name, ending)) {
            continue;
        }
        char *path = fm__path_join(FM_TAG_APP, dir, e->d_name);
        ok = path && fm__grow(FM_TAG_APP, (void **)&f->paths, &f->cap, f->count + 1, sizeof(*f->paths));
        if (ok) {
            f->paths[f->count++] = path;
        } else {
            fm__free(path);
        }
    }
    closedir(d);
    if (!ok) {
        return fm__fail_nomem(err, dir);
    }
    if (f->count == 0) {
        return fm__fail(err, FM_NOTFOUND, "no %s file in '%s'", ending, dir);
    }
    qsort(f->paths, f->count, sizeof(*f->paths), by_name);
    return FM_OK;
}

static fm_status read_folder(read_fn *read, const char *dir, const char *ending, ap_data *d, fm_error *err)
{
    files f = {0};
    fm_status st = list_files(&f, dir, ending, err);
    for (size_t i = 0; st == FM_OK && i < f.count; i++) {
        st = read_with(read, f.paths[i], d, err);
    }
    files_done(&f);
    return st;
}

static fm_status read_truth(const char *gt, fm_ap_format format, ap_data *d, fm_error *err)
{
    if (format == FM_AP_COCO) {
        return read_with(fm__ap_read_coco, gt, d, err);
    }
    if (!fm__is_dir(gt)) {
        return access(gt, F_OK) != 0
                   ? fm__fail_errno(err, errno, "cannot open", gt)
                   : fm__fail(err, FM_INVAL,
                         "'%s' is no folder; VOC's ground truth is a folder of .xml files", gt);
    }
    fm_status st = read_folder(read_annotation, gt, ".xml", d, err);
    return st == FM_OK ? fm__ap_sort_classes(d, err) : st;
}

static fm_status read_all(const char *gt, const char *result, const fm_ap_opts *o, ap_data *d, fm_error *err)
{
    fm_status st = read_truth(gt, o->format, d, err);
    st = st == FM_OK ? fm__ap_begin_result(d, err) : st;
    if (st == FM_OK && o->labels_map) {
        st = read_with(fm__ap_read_map, o->labels_map, d, err);
    }
    if (st != FM_OK) {
        return st;
    }
    read_fn *read = o->format == FM_AP_VOC ? read_run : read_any;
    return fm__is_dir(result) ? read_folder(read, result, ".jsonl", d, err) : read_with(read, result, d, err);
}

/* ---- counting ---- */

static bool take_labels(fm_ap *ap, const ap_data *d)
{
    for (size_t i = 0; i < d->label_count; i++) {
        const ap_label *l = &d->labels[i];
        if (l->category != AP_NO_CLASS) {
            ap->classes[l->category].labelled = true;
            continue;
        }
        char *name = fm__strdup(FM_TAG_APP, l->name);
        if (!name) {
            return false;
        }
        ap->unknown[ap->unknown_count++] = (fm_ap_label){.name = name, .detections = l->count};
    }
    return true;
}

static bool take_names(fm_ap *ap, const ap_data *d)
{
    ap->classes = fm__calloc_array(FM_TAG_APP, d->class_count + 1, sizeof(*ap->classes));
    ap->unknown = fm__calloc_array(FM_TAG_APP, d->label_count + 1, sizeof(*ap->unknown));
    if (!ap->classes || !ap->unknown) {
        return false;
    }
    for (; ap->count < d->class_count; ap->count++) {
        ap->classes[ap->count].name = fm__strdup(FM_TAG_APP, d->classes[ap->count].name);
        if (!ap->classes[ap->count].name) {
            return false;
        }
    }
    ap->pictures = d->picture_count;
    for (size_t i = 0; i < d->picture_count; i++) {
        ap->missing += !d->seen[i];
    }
    return take_labels(ap, d);
}

static fm_status evaluate(fm_ap *ap, const ap_data *d, fm_error *err)
{
    if (!take_names(ap, d)) {
        return fm__fail_nomem(err, "an evaluation");
    }
    const fm_ap_input in = {.gts = d->gts,
        .dets = d->dets,
        .gt_count = d->gt_count,
        .det_count = d->det_count,
        .categories = (uint32_t)d->class_count,
        .voc = ap->opts.format == FM_AP_VOC,
        .min_objects = ap->opts.min_objects,
        .at = ap->opts.at};
    ap->all.name = ap->large.name = "all";
    return fm__ap_evaluate(&in, ap->classes, &ap->all, &ap->large, &ap->large_count, err);
}

static fm_status check_opts(fm_ap_opts *o, fm_error *err)
{
    if (o->struct_size != sizeof(*o)) {
        return fm__fail(err, FM_INVAL, "fm_ap_opts has %zu bytes instead of %zu: begin with FM_AP_OPTS_INIT",
            o->struct_size, sizeof(*o));
    }
    o->min_objects = o->min_objects == 0 ? 1 : o->min_objects;
    if ((unsigned)o->format > FM_AP_VOC || o->min_objects < 1 || !(o->at < 0 || o->at >= 0)) {
        return fm__fail(err, FM_INVAL, "fm_ap_new: no such format, or min_objects or at is out of range");
    }
    return FM_OK;
}

fm_status fm_ap_new(const char *gt, const char *result, const fm_ap_opts *opts, fm_ap **out, fm_error *err)
{
    if (!gt || !result || !out) {
        return fm__fail(err, FM_INVAL, "fm_ap_new: gt, result and out are required");
    }
    fm_ap *ap = fm__calloc(FM_TAG_APP, sizeof(*ap));
    if (!ap) {
        return fm__fail_nomem(err, "an evaluation");
    }
    ap_data d = {0};
    ap->opts = opts ? *opts : (fm_ap_opts)FM_AP_OPTS_INIT;
    fm_status st = check_opts(&ap->opts, err);
    st = st == FM_OK ? read_all(gt, result, &ap->opts, &d, err) : st;
    st = st == FM_OK ? evaluate(ap, &d, err) : st;
    fm__ap_data_done(&d);
    ap->opts.labels_map = NULL;
    if (st != FM_OK) {
        fm_ap_free(&ap);
        return st;
    }
    *out = ap;
    return FM_OK;
}

void fm_ap_free(fm_ap **ap)
{
    fm_ap *a = ap ? *ap : NULL;
    if (!a) {
        return;
    }
    for (size_t i = 0; i < a->count; i++) {
        fm__free((char *)a->classes[i].name);
    }
    for (size_t i = 0; i < a->unknown_count; i++) {
        fm__free((char *)a->unknown[i].name);
    }
    fm__free(a->classes);
    fm__free(a->unknown);
    fm__free(a);
    *ap = NULL;
}

/* ---- answers ---- */

size_t fm_ap_count(const fm_ap *ap)
{
    return ap->count;
}

const fm_ap_class *fm_ap_get(const fm_ap *ap, size_t index)
{
    return index < ap->count ? &ap->classes[index] : NULL;
}

const fm_ap_class *fm_ap_all(const fm_ap *ap)
{
    return &ap->all;
}

const fm_ap_class *fm_ap_large(const fm_ap *ap, size_t *classes)
{
    if (classes) {
        *classes = ap->large_count;
    }
    return &ap->large;
}

size_t fm_ap_pictures(const fm_ap *ap, size_t *missing)
{
    if (missing) {
        *missing = ap->missing;
    }
    return ap->pictures;
}

const fm_ap_label *fm_ap_unknown(const fm_ap *ap, size_t index)
{
    return index < ap->unknown_count ? &ap->unknown[index] : NULL;
}

/* ---- JSON ---- */

// -1, nothing to find, is null.
static void put_figure(fm_json *j, const char *key, double v)
{
    fm__json_key(j, key);
    if (v < 0) {
        fm__json_null(j);
    } else {
        fm__json_fixed(j, v, DECIMALS);
    }
}

static void put_figures(fm_json *j, const fm_ap_figures *f)
{
    const struct {
        const char *key;
        double value;
    } rows[] = {{"ap", f->ap}, {"ap50", f->ap50}, {"ap75", f->ap75}, {"ap_small", f->ap_small},
        {"ap_medium", f->ap_medium}, {"ap_large", f->ap_large}, {"ar1", f->ar1}, {"ar10", f->ar10},
        {"ar100", f->ar100}, {"ar_small", f->ar_small}, {"ar_medium", f->ar_medium},
        {"ar_large", f->ar_large}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        put_figure(j, rows[i].key, rows[i].value);
    }
}

static void put_point(fm_json *j, const fm_ap_point *p)
{
    fm__json_key(j, "point");
    fm__json_open_object(j);
    fm__json_put_fixed(j, "conf", p->conf, DECIMALS);
    fm__json_put_fixed(j, "precision", p->precision, DECIMALS);
    fm__json_put_fixed(j, "recall", p->recall, DECIMALS);
    fm__json_put_fixed(j, "f1", p->f1, DECIMALS);
    fm__json_put_int(j, "tp", p->tp);
    fm__json_put_int(j, "fp", p->fp);
    fm__json_put_int(j, "fn", p->fn);
    fm__json_close_object(j);
}

static void put_curve(fm_json *j, const double *curve)
{
    fm__json_key(j, "precision_at");
    if (curve[0] < 0) {
        fm__json_null(j);
        return;
    }
    fm__json_open_array(j);
    for (int r = 0; r < FM_AP_RECALLS; r++) {
        fm__json_fixed(j, curve[r], DECIMALS);
    }
    fm__json_close_array(j);
}

static void put_class(fm_json *j, const fm_ap *ap, const fm_ap_class *c)
{
    fm__json_put_int(j, "objects", c->objects);
    fm__json_put_int(j, "ignored", c->ignored);
    fm__json_put_int(j, "detections", c->detections);
    put_figures(j, &c->coco);
    if (ap->opts.format == FM_AP_VOC) {
        put_figure(j, "voc_ap", c->voc_ap);
    }
    put_point(j, &c->point);
    put_curve(j, c->curve);
}

static void put_classes(fm_json *j, const fm_ap *ap)
{
    fm__json_key(j, "classes");
    fm__json_open_array(j);
    for (size_t i = 0; i < ap->count; i++) {
        fm__json_open_object(j);
        fm__json_put_string(j, "name", ap->classes[i].name);
        fm__json_put_bool(j, "labelled", ap->classes[i].labelled);
        put_class(j, ap, &ap->classes[i]);
        fm__json_close_object(j);
    }
    fm__json_close_array(j);
    fm__json_key(j, "unknown_labels");
    fm__json_open_object(j);
    for (size_t i = 0; i < ap->unknown_count; i++) {
        fm__json_put_int(j, ap->unknown[i].name, ap->unknown[i].detections);
    }
    fm__json_close_object(j);
}

fm_status fm_ap_json(const fm_ap *ap, char **out, fm_error *err)
{
    fm_str text;
    fm_json j;
    fm__str_init(&text, FM_TAG_APP);
    fm__json_init(&j, &text);
    fm__json_open_object(&j);
    fm__json_put_string(&j, "ground_truth", ap->opts.format == FM_AP_VOC ? "voc" : "coco");
    fm__json_put_uint(&j, "pictures", ap->pictures);
    fm__json_put_uint(&j, "missing", ap->missing);
    fm__json_key(&j, "all");
    fm__json_open_object(&j);
    put_class(&j, ap, &ap->all);
    fm__json_close_object(&j);
    fm__json_key(&j, "large");
    fm__json_open_object(&j);
    fm__json_put_int(&j, "min_objects", ap->opts.min_objects);
    fm__json_put_uint(&j, "classes", ap->large_count);
    put_class(&j, ap, &ap->large);
    fm__json_close_object(&j);
    put_classes(&j, ap);
    fm__json_close_object(&j);
    fm__str_add_char(&text, '\n');
    char *json = fm__str_take(&text);
    if (!json) {
        return fm__fail_nomem(err, "an evaluation's JSON");
    }
    *out = json;
    return FM_OK;
}
