// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Evaluation of files: reads both sides of each sequence, has src/track count, and keeps metrics by sequence
// and of all together. A sequence that cannot be read does not end the others; it carries its error.

#include <framemill/eval.h>

#include "app/eval_private.h"
#include "base/alloc.h"
#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "base/str.h"
#include "track/eval.h"

#include <string.h>

#define MAX_FILE_BYTES ((size_t)512 << 20) // some ten million lines
#define DEFAULT_IOU 0.5
#define DECIMALS 9 // of rates in JSON

struct fm_eval {
    fm_eval_opts opts;           // defaults filled in
    fm_eval_sequence *sequences; // [count]; names and errors are owned
    size_t count, failed;
    fm_eval_metrics combined;
};

/* ---- counting ---- */

static fm_status read_mot(const char *path, fm_mot *out, fm_error *err)
{
    char *text = NULL;
    size_t len = 0;
    fm_status st = fm__file_read(FM_TAG_APP, path, MAX_FILE_BYTES, &text, &len, err);
    if (st == FM_OK) {
        st = fm__mot_parse(text, len, path, out, err);
    }
    fm__free(text);
    return st;
}

static fm_status evaluate(
    const eval_pair *p, const char *result_dir, const fm_eval_opts *opts, fm_eval_sums *out, fm_error *err)
{
    fm_mot gt = {0}, result = {0};
    if (!p->result) {
        return fm__fail(err, FM_NOTFOUND,
            "no result for sequence '%s': expected %s.mot.txt or %s.txt in '%s'", p->name, p->name, p->name,
            result_dir);
    }
    const fm_track_eval_opts o = {.iou = opts->iou, .rules = opts->rules, .format = opts->format};
    fm_status st = read_mot(p->gt, &gt, err);
    st = st == FM_OK ? read_mot(p->result, &result, err) : st;
    st = st == FM_OK ? fm__eval_sequence(&gt, p->gt, &result, p->result, &o, out, err) : st;
    fm__mot_done(&gt);
    fm__mot_done(&result);
    return st;
}

static fm_status evaluate_all(fm_eval *e, const eval_pairs *pairs, const char *result_dir, fm_error *err)
{
    fm_eval_sums all = {0};
    fm_error first = {0};
    for (size_t i = 0; i < pairs->count; i++) {
        fm_eval_sums sums = {0};
        fm_error own = {0};
        fm_eval_sequence *s = &e->sequences[e->count++];
        fm_status st = evaluate(&pairs->items[i], result_dir, &e->opts, &sums, &own);
        s->name = fm__strdup(FM_TAG_APP, pairs->items[i].name);
        s->error = st == FM_OK ? NULL : fm__strdup(FM_TAG_APP, own.msg);
        if (st == FM_NOMEM || !s->name || (st != FM_OK && !s->error)) {
            return fm__fail_nomem(err, "an evaluation");
        }
        if (st != FM_OK) {
            first = e->failed++ == 0 ? own : first;
            continue;
        }
        fm__eval_metrics(&sums, &s->metrics);
        fm__eval_add(&all, &sums);
    }
    if (e->failed == e->count) {
        if (err) {
            *err = first;
        }
        return first.status;
    }
    fm__eval_metrics(&all, &e->combined);
    return FM_OK;
}

static fm_status check_opts(fm_eval_opts *o, fm_error *err)
{
    if (o->struct_size != sizeof(*o)) {
        return fm__fail(err, FM_INVAL,
            "fm_eval_opts has %zu bytes instead of %zu: begin with FM_EVAL_OPTS_INIT", o->struct_size,
            sizeof(*o));
    }
    o->iou = o->iou == 0 ? DEFAULT_IOU : o->iou;
    if (!(o->iou >= 0.01 && o->iou <= 1)) {
        return fm__fail(err, FM_INVAL, "fm_eval_new: iou is %g; expected 0.01 to 1", o->iou);
    }
    if ((unsigned)o->rules > FM_EVAL_MOTMETRICS || (unsigned)o->format > FM_EVAL_MOT20) {
        return fm__fail(err, FM_INVAL, "fm_eval_new: no such rules or format");
    }
    return FM_OK;
}

fm_status fm_eval_new(
    const char *gt, const char *result, const fm_eval_opts *opts, fm_eval **out, fm_error *err)
{
    if (!gt || !result || !out) {
        return fm__fail(err, FM_INVAL, "fm_eval_new: gt, result and out are required");
    }
    fm_eval *e = fm__calloc(FM_TAG_APP, sizeof(*e));
    if (!e) {
        return fm__fail_nomem(err, "an evaluation");
    }
    eval_pairs pairs = {0};
    e->opts = opts ? *opts : (fm_eval_opts)FM_EVAL_OPTS_INIT;
    fm_status st = check_opts(&e->opts, err);
    st = st == FM_OK ? fm__eval_pairs_find(&pairs, gt, result, err) : st;
    if (st == FM_OK) {
        e->sequences = fm__calloc_array(FM_TAG_APP, pairs.count, sizeof(*e->sequences));
        st = e->sequences ? evaluate_all(e, &pairs, result, err) : fm__fail_nomem(err, "an evaluation");
    }
    fm__eval_pairs_done(&pairs);
    if (st != FM_OK) {
        fm_eval_free(&e);
        return st;
    }
    *out = e;
    return FM_OK;
}

void fm_eval_free(fm_eval **eval)
{
    fm_eval *e = eval ? *eval : NULL;
    if (!e) {
        return;
    }
    for (size_t i = 0; i < e->count; i++) {
        fm__free((char *)e->sequences[i].name);
        fm__free((char *)e->sequences[i].error);
    }
    fm__free(e->sequences);
    fm__free(e);
    *eval = NULL;
}

/* ---- answers ---- */

size_t fm_eval_count(const fm_eval *e)
{
    return e->count;
}

const fm_eval_sequence *fm_eval_get(const fm_eval *e, size_t index)
{
    return index < e->count ? &e->sequences[index] : NULL;
}

size_t fm_eval_failed(const fm_eval *e)
{
    return e->failed;
}

const fm_eval_metrics *fm_eval_combined(const fm_eval *e)
{
    return &e->combined;
}

static void add_rates(fm_json *j, const fm_eval_metrics *m)
{
    const struct {
        const char *key;
        double value;
    } rates[] = {{"hota", m->hota}, {"deta", m->deta}, {"assa", m->assa}, {"loca", m->loca},
        {"detre", m->detre}, {"detpr", m->detpr}, {"assre", m->assre}, {"asspr", m->asspr}, {"mota", m->mota},
        {"motp", m->motp}, {"recall", m->recall}, {"precision", m->precision}, {"idf1", m->idf1},
        {"idp", m->idp}, {"idr", m->idr}};
    for (size_t i = 0; i < sizeof(rates) / sizeof(rates[0]); i++) {
        fm__json_put_fixed(j, rates[i].key, rates[i].value, DECIMALS);
    }
}

static void add_counts(fm_json *j, const fm_eval_metrics *m)
{
    const struct {
        const char *key;
        int64_t value;
    } counts[] = {{"tp", m->tp}, {"fp", m->fp}, {"fn", m->fn}, {"switches", m->switches}, {"frag", m->frag},
        {"mt", m->mt}, {"pt", m->pt}, {"ml", m->ml}, {"idtp", m->idtp}, {"idfp", m->idfp}, {"idfn", m->idfn},
        {"gt_boxes", m->gt_boxes}, {"gt_tracks", m->gt_tracks}, {"boxes", m->boxes}, {"tracks", m->tracks},
        {"frames", m->frames}};
    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        fm__json_put_int(j, counts[i].key, counts[i].value);
    }
}

static void add_alphas(fm_json *j, const fm_eval_metrics *m)
{
    const struct {
        const char *key;
        const double *values;
    } rows[] = {
        {"hota_at", m->hota_at}, {"deta_at", m->deta_at}, {"assa_at", m->assa_at}, {"loca_at", m->loca_at}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        fm__json_key(j, rows[i].key);
        fm__json_open_array(j);
        for (int a = 0; a < FM_EVAL_ALPHAS; a++) {
            fm__json_fixed(j, rows[i].values[a], DECIMALS);
        }
        fm__json_close_array(j);
    }
}

// {"error":null, ...} as a report has its streams.
static void add_metrics(fm_json *j, const fm_eval_metrics *m, const char *error)
{
    fm__json_open_object(j);
    fm__json_put_string(j, "error", error);
    if (!error) {
        add_rates(j, m);
        add_counts(j, m);
        add_alphas(j, m);
    }
    fm__json_close_object(j);
}

static const char *const rules_names[] = {"trackeval", "motmetrics"};

fm_status fm_eval_json(const fm_eval *e, char **out, fm_error *err)
{
    fm_str text;
    fm_json j;
    fm__str_init(&text, FM_TAG_APP);
    fm__json_init(&j, &text);
    fm__json_open_object(&j);
    fm__json_put_fixed(&j, "iou", e->opts.iou, 4);
    fm__json_put_string(&j, "rules", rules_names[e->opts.rules]);
    fm__json_key(&j, "sequences");
    fm__json_open_object(&j);
    for (size_t i = 0; i < e->count; i++) {
        fm__json_key(&j, e->sequences[i].name);
        add_metrics(&j, &e->sequences[i].metrics, e->sequences[i].error);
    }
    fm__json_close_object(&j);
    fm__json_key(&j, "combined");
    add_metrics(&j, &e->combined, NULL);
    fm__json_close_object(&j);
    fm__str_add_char(&text, '\n');
    char *json = fm__str_take(&text);
    if (!json) {
        return fm__fail_nomem(err, "an evaluation's JSON");
    }
    *out = json;
    return FM_OK;
}
