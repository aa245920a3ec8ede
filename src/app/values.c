// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Values of options from text, one parser for flags, environment and configuration files. What was wrong is
// quoted with credentials hidden: an address put where a number belongs must not reach a log with its
// password.

#include "app/keys.h"

#include "base/error.h"
#include "base/str.h"

#include <stdlib.h>
#include <string.h>

void fm__value_done(fm_value *v)
{
    for (size_t i = 0; i < v->count; i++) {
        fm__free(v->items[i]);
    }
    fm__free(v->items);
    fm__free(v->text);
    memset(v, 0, sizeof(*v));
}

static fm_status wrong(const fm_option *o, const char *text, fm_error *err)
{
    char expected[256];
    fm_option_expected(o, expected, sizeof(expected));
    char *shown = fm__redact_url(FM_TAG_APP, text);
    fm_status st = fm__fail(err, FM_INVAL, "expected %s, got '%.80s'", expected, shown ? shown : "?");
    fm__free(shown);
    return st;
}

static bool is_word(const char *words, const char *text)
{
    size_t len = strlen(text);
    for (const char *w = words ? words : ""; *w;) {
        size_t n = strcspn(w, " ");
        if (n == len && memcmp(w, text, n) == 0) {
            return true;
        }
        w += n + strspn(w + n, " ");
    }
    return false;
}

static bool parse_number(const fm_option *o, const char *text, double *out)
{
    int64_t whole;
    if (o->type == FM_OPTION_INT) {
        // Ranges stay below 2^53, so that a double holds every value.
        if (!fm__parse_int(text, &whole) || whole < (int64_t)o->min || whole > (int64_t)o->max) {
            return false;
        }
        *out = (double)whole;
        return true;
    }
    return fm__parse_double(text, out) && *out >= o->min && *out <= o->max;
}

static bool parse_bool(const char *text, bool *out)
{
    *out = fm__str_ieq(text, "true");
    return *out || fm__str_ieq(text, "false");
}

static bool is_size(const char *text)
{
    const char *x = strchr(text, 'x');
    if (!x || x - text > 6 || strlen(x + 1) > 6) {
        return false;
    }
    char w[8] = "";
    memcpy(w, text, (size_t)(x - text));
    int64_t width, height;
    return fm__parse_int(w, &width) && fm__parse_int(x + 1, &height) && width >= 1 && height >= 1;
}

// Is text a value; fills what belongs to the type.
static bool accept(const fm_option *o, const char *text, fm_value *v)
{
    switch (o->type) {
    case FM_OPTION_BOOL:
        return parse_bool(text, &v->truth);
    case FM_OPTION_INT:
    case FM_OPTION_NUMBER:
        return is_word(o->values, text) || parse_number(o, text, &v->number);
    case FM_OPTION_CHOICE:
        return is_word(o->values, text);
    case FM_OPTION_SIZE:
        return is_size(text);
    case FM_OPTION_TEXT:
    case FM_OPTION_FILE:
    case FM_OPTION_DIR:
    case FM_OPTION_MODEL:
    case FM_OPTION_LIST:
        return text[0] != 0;
    }
    return false;
}

fm_status fm__value_from_items(const char *const *items, size_t count, fm_value *out, fm_error *err)
{
    fm_value v = {0};
    fm_str joined;
    fm__str_init(&joined, FM_TAG_APP);
    fm_status st = FM_OK;
    v.items = fm__calloc_array(FM_TAG_APP, count ? count : 1, sizeof(char *));
    for (size_t i = 0; st == FM_OK && v.items && i < count; i++) {
        if (items[i][0] == 0) {
            st = fm__fail(err, FM_INVAL, "expected a list of texts, got an empty one");
            break;
        }
        v.items[i] = fm__strdup(FM_TAG_APP, items[i]);
        v.count = i + 1;
        st = v.items[i] ? FM_OK : fm__fail_nomem(err, "a list");
        fm__str_add(&joined, i ? "," : "");
        fm__str_add(&joined, items[i]);
    }
    fm__str_add(&joined, "");
    v.text = fm__str_take(&joined);
    if (st == FM_OK && (!v.items || !v.text)) {
        st = fm__fail_nomem(err, "a list");
    }
    if (st != FM_OK) {
        fm__value_done(&v);
        return st;
    }
    *out = v;
    return FM_OK;
}

// "person, traffic light" -> two items; spaces around commas are not part of a label.
static fm_status parse_list(const char *text, fm_value *out, fm_error *err)
{
    char *copy = fm__strdup(FM_TAG_APP, text);
    size_t commas = 0;
    for (const char *p = text; *p; p++) {
        commas += *p == ',';
    }
    const char **items = fm__calloc_array(FM_TAG_APP, commas + 1, sizeof(*items));
    fm_status st = copy && items ? FM_OK : fm__fail_nomem(err, "a list");
    size_t n = 0;
    for (char *p = copy; st == FM_OK && p; n++) {
        char *next = strchr(p, ',');
        if (next) {
            *next++ = 0;
        }
        p += strspn(p, " ");
        for (size_t len = strlen(p); len > 0 && p[len - 1] == ' '; len--) {
            p[len - 1] = 0;
        }
        items[n] = p;
        p = next;
    }
    if (st == FM_OK) {
        st = fm__value_from_items(items, n, out, err);
    }
    fm__free(items);
    fm__free(copy);
    return st;
}

fm_status fm__value_parse(const fm_option *o, const char *text, fm_value *out, fm_error *err)
{
    fm_value v = {0};
    if (!text || !accept(o, text, &v)) {
        return wrong(o, text ? text : "", err);
    }
    if (o->type == FM_OPTION_LIST) {
        return parse_list(text, out, err);
    }
    v.text = o->type == FM_OPTION_BOOL ? fm__strdup(FM_TAG_APP, v.truth ? "true" : "false")
                                       : fm__strdup(FM_TAG_APP, text);
    if (!v.text) {
        return fm__fail_nomem(err, "a setting");
    }
    *out = v;
    return FM_OK;
}
