// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// The tuning file is read and written whole: it has an entry a model, device and precision, some hundred
// bytes each. An entry is found by those three, and used only when all else of its key is the same: a setting
// that was measured elsewhere, or with another build of the backend, is no better than a guess.

#include "tune/file.h"

#include "base/alloc.h"
#include "base/cpu.h"
#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "base/str.h"
#include "base/thread.h"
#include "base/yaml.h"
#include "infer/infer.h"
#include "models/digest.h"

#include <framemill/version.h>

#include <stddef.h>
#include <stdio.h>
#include <string.h>

enum { VERSION = 1, MOST_ENTRIES = 256 };

typedef struct text_field {
    const char *name, *what; // as in the file, as in messages
    size_t offset, size;
} text_field;
#define TEXT(field, text)                                                                                    \
    {                                                                                                        \
#field, text, offsetof(fm__tune_key, field), sizeof(((fm__tune_key *)0)->field)                      \
    }
// The first three name an entry, the others must be the same.
enum { NAMING = 3 };
static const text_field texts[] = {
    TEXT(model, "model"),
    TEXT(device, "device"),
    TEXT(precision, "precision"),
    TEXT(cpu, "processor"),
    TEXT(level, "SIMD level"),
    TEXT(digest, "model file"),
    TEXT(framemill, "framemill"),
    TEXT(backend, "backend"),
};
enum { TEXT_COUNT = sizeof(texts) / sizeof(texts[0]) };

static char *text_in(fm__tune_key *key, const text_field *f)
{
    return (char *)key + f->offset;
}

static const char *text_of(const fm__tune_key *key, const text_field *f)
{
    return (const char *)key + f->offset;
}

static void copy_text(char *to, size_t size, const char *from)
{
    snprintf(to, size, "%s", from ? from : "");
}

static void cpu_name(char *buf, size_t size)
{
    char *text = NULL;
    snprintf(buf, size, "unnamed");
    if (fm__file_read(FM_TAG_TUNE, "/proc/cpuinfo", 4 << 20, &text, NULL, NULL) != FM_OK) {
        return;
    }
    const char *at = strstr(text, "model name");
    at = at ? strchr(at, ':') : NULL;
    if (at) {
        at += 1 + strspn(at + 1, " \t");
        snprintf(buf, size, "%.*s", (int)strcspn(at, "\n"), at);
    }
    fm__free(text);
}

fm_status fm__tune_key_fill(fm__tune_key *key, const char *model, const char *file, const char *backend,
    const char *device, const char *precision, fm_error *err)
{
    fm__tune_key k = {.cores = fm__cpu_count()};
    char version[64] = "", devices[256] = "";
    const fm_backend *b = fm__backend_find(backend);
    cpu_name(k.cpu, sizeof(k.cpu));
    copy_text(k.level, sizeof(k.level), fm__cpu_level_name(fm__cpu_level()));
    copy_text(k.device, sizeof(k.device), device ? device : "cpu");
    copy_text(k.model, sizeof(k.model), model);
    copy_text(k.precision, sizeof(k.precision), precision ? precision : "fp32");
    copy_text(k.framemill, sizeof(k.framemill), fm_version());
    if (b && b->probe) {
        (void)b->probe(version, sizeof(version), devices, sizeof(devices), NULL); // "" then
    }
    snprintf(k.backend, sizeof(k.backend), "%.20s %.40s", backend, version);
    // a backend's built-in functions have no file
    fm_status st = fm__is_file(file) ? fm__digest_file(file, k.digest, err) : FM_OK;
    if (st == FM_OK) {
        *key = k;
    }
    return st;
}

/* ---- reading */

static fm_status read_text(
    const fm_yaml *doc, const fm_yaml_node *map, const char *name, char *buf, size_t size, fm_error *err)
{
    const char *text = NULL;
    fm_status st = fm__yaml_string(doc, fm__yaml_get(map, name), &text, err);
    if (st == FM_OK) {
        copy_text(buf, size, text);
    }
    return st;
}

static fm_status read_int(
    const fm_yaml *doc, const fm_yaml_node *map, const char *name, int max, int *out, fm_error *err)
{
    int64_t v = 0;
    fm_status st = fm__yaml_int(doc, fm__yaml_get(map, name), 1, max, &v, err);
    *out = (int)v;
    return st;
}

static fm_status read_entry(const fm_yaml *doc, const fm_yaml_node *map, fm__tune_entry *out, fm_error *err)
{
    fm__tune_entry e = {0};
    static const struct {
        const char *name;
        size_t at;
    } numbers[] = {{"fps", offsetof(fm__tune_entry, fps)}, {"p99_ms", offsetof(fm__tune_entry, p99_ms)}};
    if (map->kind != FM_YAML_MAP) {
        return fm__yaml_fail(doc, map, err, "expected an entry: {model: ..., batch: ...}");
    }
    fm_status st = FM_OK;
    for (size_t i = 0; st == FM_OK && i < TEXT_COUNT + 2; i++) {
        const char *name = i < TEXT_COUNT ? texts[i].name : i == TEXT_COUNT ? "objective" : "time";
        if (!fm__yaml_get(map, name)) {
            return fm__yaml_fail(doc, map, err, "this entry has no '%s'", name);
        }
        st = i < TEXT_COUNT    ? read_text(doc, map, name, text_in(&e.key, &texts[i]), texts[i].size, err)
             : i == TEXT_COUNT ? read_text(doc, map, name, e.objective, sizeof(e.objective), err)
                               : read_text(doc, map, name, e.time, sizeof(e.time), err);
    }
    const struct {
        const char *name;
        int max, *to;
    } ints[] = {{"cores", 4096, &e.key.cores}, {"batch", 256, &e.batch}, {"slots", 256, &e.slots},
        {"threads", 1024, &e.threads}};
    for (size_t i = 0; st == FM_OK && i < sizeof(ints) / sizeof(ints[0]); i++) {
        st = fm__yaml_get(map, ints[i].name)
                 ? read_int(doc, map, ints[i].name, ints[i].max, ints[i].to, err)
                 : fm__yaml_fail(doc, map, err, "this entry has no '%s'", ints[i].name);
    }
    for (size_t i = 0; st == FM_OK && i < 2; i++) {
        const fm_yaml_node *n = fm__yaml_get(map, numbers[i].name);
        st = n ? fm__yaml_double(doc, n, 0, 1e12, (double *)((char *)&e + numbers[i].at), err) : FM_OK;
    }
    const fm_yaml_node *memory = fm__yaml_get(map, "memory_bytes");
    if (st == FM_OK && memory) {
        st = fm__yaml_int(doc, memory, 0, INT64_MAX, &e.memory_bytes, err);
    }
    if (st == FM_OK) {
        *out = e;
    }
    return st;
}

typedef struct entries {
    fm__tune_entry *at;
    size_t count;
} entries;

static fm_status read_all(const fm_yaml *doc, entries *out, fm_error *err)
{
    const fm_yaml_node *root = fm__yaml_root(doc);
    const fm_yaml_node *version = root ? fm__yaml_get(root, "version") : NULL;
    const fm_yaml_node *list = root ? fm__yaml_get(root, "entries") : NULL;
    int64_t v = 0;
    if (!root || !version || !list || list->kind != FM_YAML_SEQ || list->count > MOST_ENTRIES) {
        return fm__fail(
            err, FM_FORMAT, "'%s' is no tuning file: remove it, and tune again", fm__yaml_name(doc));
    }
    fm_status st = fm__yaml_int(doc, version, 1, VERSION, &v, err);
    out->at = fm__calloc_array(FM_TAG_TUNE, list->count + 1, sizeof(*out->at));
    if (st == FM_OK && !out->at) {
        st = fm__fail_nomem(err, "a tuning file");
    }
    for (const fm_yaml_node *n = list->child; st == FM_OK && n; n = n->next) {
        st = read_entry(doc, n, &out->at[out->count++], err);
    }
    return st;
}

// NOTFOUND when there is no file.
static fm_status load(const char *path, entries *out, fm_error *err)
{
    fm_yaml *doc = NULL;
    if (!fm__is_file(path)) {
        return fm__fail(err, FM_NOTFOUND, "no tuning file '%s'", path);
    }
    fm_status st = fm__yaml_load(path, &doc, err);
    if (st == FM_OK) {
        st = read_all(doc, out, err);
    }
    fm__yaml_free(&doc);
    if (st != FM_OK) {
        fm__free(out->at);
        *out = (entries){0};
    }
    return st;
}

static bool same_name(const fm__tune_key *a, const fm__tune_key *b)
{
    for (int i = 0; i < NAMING; i++) {
        if (strcmp(text_of(a, &texts[i]), text_of(b, &texts[i])) != 0) {
            return false;
        }
    }
    return true;
}

static fm_status check_key(const fm__tune_key *now, const fm__tune_key *then, fm_error *err)
{
    for (int i = NAMING; i < TEXT_COUNT; i++) {
        const char *a = text_of(then, &texts[i]), *b = text_of(now, &texts[i]);
        if (strcmp(a, b) != 0) {
            return fm__fail(err, FM_BUSY, "%s was '%.60s' and is '%.60s'", texts[i].what, a, b);
        }
    }
    return now->cores == then->cores
               ? FM_OK
               : fm__fail(err, FM_BUSY, "there were %d cores and are %d", then->cores, now->cores);
}

fm_status fm__tune_file_find(const char *path, const fm__tune_key *key, fm__tune_entry *out, fm_error *err)
{
    entries all = {0};
    fm_status st = load(path, &all, err);
    if (st != FM_OK) {
        return st;
    }
    const fm__tune_entry *found = NULL;
    for (size_t i = 0; i < all.count; i++) {
        found = same_name(&all.at[i].key, key) ? &all.at[i] : found;
    }
    st = found ? check_key(key, &found->key, err)
               : fm__fail(err, FM_NOTFOUND, "'%s' says nothing of model '%s' in %s on %s", path, key->model,
                     key->precision, key->device);
    if (st == FM_OK) {
        *out = *found;
    }
    fm__free(all.at);
    return st;
}

/* ---- writing */

static void write_entry(fm_json *j, const fm__tune_entry *e)
{
    fm__json_open_object(j);
    for (int i = 0; i < TEXT_COUNT; i++) {
        fm__json_put_string(j, texts[i].name, text_of(&e->key, &texts[i]));
    }
    fm__json_put_int(j, "cores", e->key.cores);
    fm__json_put_string(j, "objective", e->objective);
    fm__json_put_int(j, "batch", e->batch);
    fm__json_put_int(j, "slots", e->slots);
    fm__json_put_int(j, "threads", e->threads);
    fm__json_put_fixed(j, "fps", e->fps, 3);
    fm__json_put_fixed(j, "p99_ms", e->p99_ms, 3);
    fm__json_put_int(j, "memory_bytes", e->memory_bytes);
    fm__json_put_string(j, "time", e->time);
    fm__json_close_object(j);
}

static void add_line(fm_str *text, const fm__tune_entry *e)
{
    fm_json j;
    fm__json_init(&j, text);
    fm__str_add(text, "  - ");
    write_entry(&j, e);
    fm__str_add_char(text, '\n');
}

static fm_status make_folder(const char *path, fm_error *err)
{
    const char *base = fm__path_base(path);
    if (base == path) {
        return FM_OK;
    }
    char *dir = fm__asprintf(FM_TAG_TUNE, "%.*s", (int)(base - path), path);
    fm_status st = dir ? fm__mkdir_all(dir, err) : fm__fail_nomem(err, "a path");
    fm__free(dir);
    return st;
}

fm_status fm__tune_file_put(const char *path, const fm__tune_entry *entry, fm_error *err)
{
    entries all = {0};
    fm_str text;
    fm_status st = load(path, &all, err);
    if (st != FM_OK && st != FM_NOTFOUND) {
        return st;
    }
    fm__str_init(&text, FM_TAG_TUNE);
    fm__str_add(
        &text, "# Written by framemill tune; an entry is used by --batch auto while its key holds.\n");
    fm__str_printf(&text, "version: %d\nentries:\n", VERSION);
    size_t skip = all.count >= MOST_ENTRIES ? all.count - MOST_ENTRIES + 1 : 0; // the oldest go
    for (size_t i = skip; i < all.count; i++) {
        if (!same_name(&all.at[i].key, &entry->key)) {
            add_line(&text, &all.at[i]);
        }
    }
    add_line(&text, entry);
    st = text.failed ? fm__fail_nomem(err, "a tuning file") : make_folder(path, err);
    if (st == FM_OK) {
        st = fm__file_replace(path, text.data, text.len, err);
    }
    fm__str_done(&text);
    fm__free(all.at);
    return st;
}
