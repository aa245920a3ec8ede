// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// A benchmark's rows: kept, written as JSON, read again (JSON is read as the YAML that it is) to be compared.

#include "app/bench_private.h"

#include "base/alloc.h"
#include "base/error.h"
#include "base/json.h"
#include "base/str.h"
#include "base/yaml.h"
#include "tune/file.h"

#include <stdio.h>
#include <string.h>

enum { VERSION = 1, MOST_ROWS = 4096 };

fm_status fm__bench_add(fm_bench_report *r, const fm_bench_row *row, fm_error *err)
{
    if (!fm__grow(FM_TAG_APP, (void **)&r->rows, &r->cap, r->count + 1, sizeof(*r->rows))) {
        return fm__fail_nomem(err, "rows");
    }
    fm_bench_row *to = &r->rows[r->count++];
    *to = *row;
    to->input = fm__strdup(FM_TAG_APP, row->input);
    to->what = fm__strdup(FM_TAG_APP, row->what);
    to->unit = fm__strdup(FM_TAG_APP, row->unit);
    return to->input && to->what && to->unit ? FM_OK : fm__fail_nomem(err, "rows");
}

fm_status fm__bench_load(const fm_model_store *store, const fm_bench_opts *o, fm_model **out, fm_error *err)
{
    fm_model_load_opts lo = {
        .task = FM_TASK_DETECTION,
        .name = o->detector ? o->detector : "yolox-nano",
        .device = o->device ? o->device : "cpu",
        .precision = o->precision,
        .backend = o->backend,
        .batch = o->batch,
        .slots = o->workers,
        .threads = o->threads,
        .cache_dir = o->cache_dir,
    };
    fm__tune_key key;
    fm__tune_entry e;
    char *file = NULL;
    const char *backend = NULL;
    // as a run does, which says it
    if (o->tuning && !lo.batch && !lo.slots && !lo.threads &&
        fm__model_file(store, &lo, &file, &backend, NULL) == FM_OK &&
        fm__tune_key_fill(&key, lo.name, file, backend, lo.device, lo.precision, NULL) == FM_OK &&
        fm__tune_file_find(o->tuning, &key, &e, NULL) == FM_OK) {
        lo.batch = e.batch;
        lo.slots = e.slots;
        lo.threads = e.threads;
    }
    fm__free(file);
    return fm__model_load(store, &lo, out, err);
}

void fm__bench_describe(fm_bench_report *r, const fm_model *model, const fm_bench_opts *o)
{
    fm__tune_key k;
    const fm_net_info *info = fm__net_info(model->net);
    if (r->machine[0] || fm__tune_key_fill(&k, model->name, model->file, model->net->backend->name, o->device,
                             o->precision, NULL) != FM_OK) {
        return;
    }
    snprintf(r->machine, sizeof(r->machine),
        "%s, %d cores, %s; framemill %s, %s, %s %s on %s, batch %d, %d slots", k.cpu, k.cores, k.level,
        k.framemill, k.backend, k.model, k.precision, k.device, info->batch, info->slots);
}

void fm_bench_free(fm_bench_report **report)
{
    fm_bench_report *r = report ? *report : NULL;
    if (!r) {
        return;
    }
    for (size_t i = 0; i < r->count; i++) {
        fm__free((char *)r->rows[i].input);
        fm__free((char *)r->rows[i].what);
        fm__free((char *)r->rows[i].unit);
    }
    fm__free(r->rows);
    fm__free(r);
    *report = NULL;
}

bool fm_bench_was_stopped(const fm_bench_report *r)
{
    return r->stopped;
}

const char *fm_bench_machine(const fm_bench_report *r)
{
    return r->machine;
}

double fm_bench_disturbance(const fm_bench_report *r)
{
    return r->disturbance;
}

const fm_bench_row *fm_bench_get(const fm_bench_report *r, size_t index)
{
    return index < r->count ? &r->rows[index] : NULL;
}

const fm_bench_row *fm_bench_find(const fm_bench_report *r, const fm_bench_row *like)
{
    for (size_t i = 0; i < r->count; i++) {
        const fm_bench_row *row = &r->rows[i];
        if (strcmp(row->input, like->input) == 0 && strcmp(row->what, like->what) == 0 &&
            strcmp(row->unit, like->unit) == 0) {
            return row;
        }
    }
    return NULL;
}

/* ---- writing */

static void put_row(fm_json *j, const fm_bench_row *row)
{
    fm__json_open_object(j);
    fm__json_put_string(j, "input", row->input);
    fm__json_put_string(j, "what", row->what);
    fm__json_put_string(j, "unit", row->unit);
    fm__json_put_fixed(j, "value", row->value, 4);
    fm__json_put_fixed(j, "least", row->least, 4);
    fm__json_put_fixed(j, "most", row->most, 4);
    fm__json_put_bool(j, "less_is_better", row->less_is_better);
    fm__json_close_object(j);
}

fm_status fm_bench_json(const fm_bench_report *r, char **out, fm_error *err)
{
    fm_str text;
    fm_json j;
    fm__str_init(&text, FM_TAG_APP);
    fm__json_init(&j, &text);
    fm__json_open_object(&j);
    fm__json_put_int(&j, "framemill_bench", VERSION);
    fm__json_put_string(&j, "machine", r->machine);
    fm__json_put_fixed(&j, "disturbance", r->disturbance, 4);
    fm__json_put_bool(&j, "stopped", r->stopped);
    fm__json_key(&j, "rows");
    fm__json_open_array(&j);
    for (size_t i = 0; i < r->count; i++) {
        put_row(&j, &r->rows[i]);
    }
    fm__json_close_array(&j);
    fm__json_close_object(&j);
    *out = fm__str_take(&text);
    return *out ? FM_OK : fm__fail_nomem(err, "a report");
}

/* ---- reading */

static fm_status read_row(const fm_yaml *doc, const fm_yaml_node *map, fm_bench_report *r, fm_error *err)
{
    fm_bench_row row = {0};
    const struct {
        const char *key, **text;
        double *number;
    } fields[] = {{"input", &row.input, NULL}, {"what", &row.what, NULL}, {"unit", &row.unit, NULL},
        {"value", NULL, &row.value}, {"least", NULL, &row.least}, {"most", NULL, &row.most}};
    if (map->kind != FM_YAML_MAP) {
        return fm__yaml_fail(doc, map, err, "expected a row: an object");
    }
    fm_status st = FM_OK;
    for (size_t i = 0; st == FM_OK && i < sizeof(fields) / sizeof(fields[0]); i++) {
        const fm_yaml_node *n = fm__yaml_get(map, fields[i].key);
        st = !n               ? fm__yaml_fail(doc, map, err, "this row has no '%s'", fields[i].key)
             : fields[i].text ? fm__yaml_string(doc, n, fields[i].text, err)
                              : fm__yaml_double(doc, n, 0, 1e15, fields[i].number, err);
    }
    const fm_yaml_node *less = fm__yaml_get(map, "less_is_better");
    st = st == FM_OK && less ? fm__yaml_bool(doc, less, &row.less_is_better, err) : st;
    return st == FM_OK ? fm__bench_add(r, &row, err) : st;
}

static fm_status read_report(const fm_yaml *doc, fm_bench_report *r, fm_error *err)
{
    const fm_yaml_node *root = fm__yaml_root(doc);
    const fm_yaml_node *version = root ? fm__yaml_get(root, "framemill_bench") : NULL;
    const fm_yaml_node *rows = root ? fm__yaml_get(root, "rows") : NULL;
    const fm_yaml_node *machine = root ? fm__yaml_get(root, "machine") : NULL;
    const char *text = "";
    int64_t v = 0;
    if (!version || !rows || rows->kind != FM_YAML_SEQ || rows->count > MOST_ROWS) {
        return fm__fail(err, FM_FORMAT, "'%s' is no report of framemill bench --json", fm__yaml_name(doc));
    }
    fm_status st = fm__yaml_int(doc, version, 1, VERSION, &v, err);
    st = st == FM_OK && machine ? fm__yaml_string(doc, machine, &text, err) : st;
    snprintf(r->machine, sizeof(r->machine), "%s", text);
    for (const fm_yaml_node *n = rows->child; st == FM_OK && n; n = n->next) {
        st = read_row(doc, n, r, err);
    }
    return st;
}

fm_status fm_bench_read(const char *path, fm_bench_report **out, fm_error *err)
{
    fm_yaml *doc = NULL;
    fm_bench_report *r = fm__calloc(FM_TAG_APP, sizeof(*r));
    fm_status st = r ? fm__yaml_load(path, &doc, err) : fm__fail_nomem(err, "a report");
    st = st == FM_OK ? read_report(doc, r, err) : st;
    fm__yaml_free(&doc);
    if (st != FM_OK) {
        fm_bench_free(&r);
        return st;
    }
    *out = r;
    return FM_OK;
}
