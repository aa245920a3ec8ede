// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Which picture and which class a result means. Labels are compared as they are, then without letter case,
// blanks, '_' and '-', then by the four names that VOC and COCO have for the same thing; a form that two
// classes share means neither.

#include "app/ap_private.h"

#include "base/alloc.h"
#include "base/error.h"
#include "base/str.h"

#include <stdlib.h>
#include <string.h>

enum { FORM = 128 };

// VOC's word, COCO's, without blanks.
static const char *const synonyms[][2] = {
    {"aeroplane", "airplane"}, {"motorbike", "motorcycle"}, {"sofa", "couch"}, {"tvmonitor", "tv"}};

void fm__ap_data_done(ap_data *d)
{
    for (size_t i = 0; i < d->picture_count; i++) {
        fm__free(d->pictures[i].name);
    }
    for (size_t i = 0; i < d->class_count; i++) {
        fm__free(d->classes[i].name);
    }
    for (size_t i = 0; i < d->label_count; i++) {
        fm__free(d->labels[i].name);
    }
    for (size_t i = 0; i < d->map_count; i++) {
        fm__free(d->map[i].name);
    }
    for (int i = 0; i < 3; i++) {
        fm__free(d->keys[i]);
    }
    fm__free(d->pictures);
    fm__free(d->classes);
    fm__free(d->gts);
    fm__free(d->dets);
    fm__free(d->seen);
    fm__free(d->labels);
    fm__free(d->map);
    *d = (ap_data){0};
}

size_t fm__ap_find_id(const ap_named *items, size_t count, int64_t id)
{
    size_t low = 0, high = count;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (items[mid].id < id) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low < count && items[low].id == id ? low : count;
}

bool fm__ap_add_named(ap_named **items, size_t *count, size_t *cap, const char *name, int64_t id)
{
    char *copy = fm__strdup(FM_TAG_APP, name);
    if (!copy || !fm__grow(FM_TAG_APP, (void **)items, cap, *count + 1, sizeof(**items))) {
        fm__free(copy);
        return false;
    }
    (*items)[(*count)++] = (ap_named){.name = copy, .id = id};
    return true;
}

/* ---- pictures ---- */

// A name's part that is compared: all of it, what follows the last slash, that without its ending.
static ap_key key_of(const char *name, int form)
{
    const char *from = form == 0 ? name : fm__path_base(name);
    const char *dot = form == 2 ? strrchr(from, '.') : NULL;
    return (ap_key){.text = from, .len = dot && dot > from ? (size_t)(dot - from) : strlen(from)};
}

static int by_text(const void *a, const void *b)
{
    const ap_key *x = a, *y = b;
    size_t n = x->len < y->len ? x->len : y->len;
    int order = memcmp(x->text, y->text, n);
    return order != 0 ? order : x->len < y->len ? -1 : x->len > y->len;
}

fm_status fm__ap_begin_result(ap_data *d, fm_error *err)
{
    d->seen = fm__calloc_array(FM_TAG_APP, d->picture_count + 1, sizeof(*d->seen));
    if (!d->seen) {
        return fm__fail_nomem(err, "pictures");
    }
    for (int form = 0; form < 3; form++) {
        d->keys[form] = fm__calloc_array(FM_TAG_APP, d->picture_count + 1, sizeof(**d->keys));
        if (!d->keys[form]) {
            return fm__fail_nomem(err, "pictures");
        }
        for (size_t i = 0; i < d->picture_count; i++) {
            d->keys[form][i] = key_of(d->pictures[i].name, form);
            d->keys[form][i].picture = (uint32_t)i;
        }
        qsort(d->keys[form], d->picture_count, sizeof(**d->keys), by_text);
    }
    return FM_OK;
}

size_t fm__ap_find_picture(const ap_data *d, const char *file)
{
    for (int form = 0; form < 3; form++) {
        ap_key key = key_of(file, form);
        const ap_key *keys = d->keys[form];
        const ap_key *found = bsearch(&key, keys, d->picture_count, sizeof(*keys), by_text);
        if (!found) {
            continue;
        }
        size_t at = (size_t)(found - keys);
        bool shared = (at > 0 && by_text(&keys[at - 1], &key) == 0) ||
                      (at + 1 < d->picture_count && by_text(&keys[at + 1], &key) == 0);
        return shared ? d->picture_count : found->picture;
    }
    return d->picture_count;
}

/* ---- labels ---- */

static bool is_same_class(const char *a, const char *b)
{
    char forms[2][FORM];
    const char *texts[2] = {a, b};
    for (int i = 0; i < 2; i++) {
        size_t n = 0;
        for (const char *p = texts[i]; *p && n + 1 < FORM; p++) {
            if (*p != ' ' && *p != '_' && *p != '-') {
                forms[i][n++] = (char)(*p >= 'A' && *p <= 'Z' ? *p + ('a' - 'A') : *p);
            }
        }
        forms[i][n] = 0;
        for (size_t s = 0; s < sizeof(synonyms) / sizeof(synonyms[0]); s++) {
            if (strcmp(forms[i], synonyms[s][0]) == 0) {
                strcpy(forms[i], synonyms[s][1]);
            }
        }
    }
    return strcmp(forms[0], forms[1]) == 0;
}

static uint32_t class_by_name(const ap_data *d, const char *name)
{
    uint32_t found = AP_NO_CLASS;
    for (uint32_t i = 0; i < d->class_count; i++) {
        if (strcmp(d->classes[i].name, name) == 0) {
            return i;
        }
    }
    for (uint32_t i = 0; i < d->class_count; i++) {
        if (is_same_class(d->classes[i].name, name)) {
            if (found != AP_NO_CLASS) {
                return AP_NO_CLASS;
            }
            found = i;
        }
    }
    return found;
}

// First place whose name is not before this one.
static size_t place_of(const ap_label *labels, size_t count, const char *name)
{
    size_t low = 0, high = count;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (strcmp(labels[mid].name, name) < 0) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low;
}

// Enters a name at its place. NULL: no memory.
static ap_label *insert(
    ap_label **labels, size_t *count, size_t *cap, size_t at, const char *name, uint32_t category)
{
    char *copy = fm__strdup(FM_TAG_APP, name);
    if (!copy || !fm__grow(FM_TAG_APP, (void **)labels, cap, *count + 1, sizeof(**labels))) {
        fm__free(copy);
        return NULL;
    }
    memmove(*labels + at + 1, *labels + at, (*count - at) * sizeof(**labels));
    (*labels)[at] = (ap_label){.name = copy, .category = category};
    ++*count;
    return *labels + at;
}

ap_label *fm__ap_label_of(ap_data *d, const char *name)
{
    size_t at = place_of(d->labels, d->label_count, name);
    if (at < d->label_count && strcmp(d->labels[at].name, name) == 0) {
        return &d->labels[at];
    }
    if (d->label_count == AP_MAX_LABELS) {
        return NULL;
    }
    size_t m = place_of(d->map, d->map_count, name);
    bool mapped = m < d->map_count && strcmp(d->map[m].name, name) == 0;
    return insert(&d->labels, &d->label_count, &d->label_cap, at, name,
        mapped ? d->map[m].category : class_by_name(d, name));
}

/* ---- the file of --labels-map ---- */

static char *trimmed(char *text)
{
    while (*text == ' ' || *text == '\t') {
        text++;
    }
    size_t n = strlen(text);
    while (n > 0 && (text[n - 1] == ' ' || text[n - 1] == '\t' || text[n - 1] == '\r')) {
        text[--n] = 0;
    }
    return text;
}

static fm_status read_map_line(char *text, const char *name, size_t number, ap_data *d, fm_error *err)
{
    char *line = trimmed(text);
    if (!*line || *line == '#') {
        return FM_OK;
    }
    char *sign = strchr(line, '=');
    if (!sign) {
        return fm__fail(err, FM_FORMAT, "%s:%zu: expected label = class, got '%.60s'", name, number, line);
    }
    *sign = 0;
    const char *label = trimmed(line), *class = trimmed(sign + 1);
    uint32_t category = class_by_name(d, class);
    if (category == AP_NO_CLASS) {
        return fm__fail(
            err, FM_FORMAT, "%s:%zu: '%.60s' is no class of the ground truth", name, number, class);
    }
    size_t at = place_of(d->map, d->map_count, label);
    if (at < d->map_count && strcmp(d->map[at].name, label) == 0) {
        return fm__fail(err, FM_FORMAT, "%s:%zu: label '%.60s' is there twice", name, number, label);
    }
    if (d->map_count == AP_MAX_LABELS) {
        return fm__fail(err, FM_FORMAT, "%s:%zu: more than %d labels", name, number, (int)AP_MAX_LABELS);
    }
    return insert(&d->map, &d->map_count, &d->map_cap, at, label, category) ? FM_OK
                                                                            : fm__fail_nomem(err, name);
}

fm_status fm__ap_read_map(const char *text, size_t len, const char *name, ap_data *d, fm_error *err)
{
    fm_status st = FM_OK;
    size_t number = 0;
    for (const char *p = text, *end = text + len; st == FM_OK && p < end;) {
        const char *newline = memchr(p, '\n', (size_t)(end - p));
        const char *to = newline ? newline : end;
        char *line = fm__asprintf(FM_TAG_APP, "%.*s", (int)(to - p), p);
        st = line ? read_map_line(line, name, ++number, d, err) : fm__fail_nomem(err, name);
        fm__free(line);
        p = newline ? newline + 1 : end;
    }
    return st;
}
