// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// The words of --denoise, --color and --sr. Parts are separated by ':' or ',', each one a word or key=number;
// a word or key that is not known is an error that lists those that are.

#include "base/error.h"
#include "base/str.h"
#include "enhance/enhance.h"
#include "ops/nlm.h"

#include <stdio.h>
#include <string.h>

#define DEFAULT_H 3 // OpenCV's

// The next part of a list: key and, after '=', value (else empty). false at the end.
typedef struct part {
    char key[32], value[32];
} part;

static bool next_part(const char **at, part *out)
{
    size_t len = strcspn(*at, ":,"), key = strcspn(*at, ":,=");
    if (**at == 0) {
        return false;
    }
    snprintf(out->key, sizeof(out->key), "%.*s", (int)key, *at);
    snprintf(out->value, sizeof(out->value), "%.*s", key < len ? (int)(len - key - 1) : 0,
        *at + (key < len ? key + 1 : key));
    *at += len;
    *at += **at != 0;
    return true;
}

static fm_status read_number(
    const char *what, const part *p, double min, double max, float *out, fm_error *err)
{
    double v = 0;
    if (!fm__parse_double(p->value, &v) || v < min || v > max) {
        return fm__fail(
            err, FM_INVAL, "%s: %s=%s; a number from %g to %g is expected", what, p->key, p->value, min, max);
    }
    *out = (float)v;
    return FM_OK;
}

fm_status fm__enhance_parse_denoise(const char *text, fm__enhance_spec *spec, fm_error *err)
{
    fm_status st = FM_OK;
    part p;
    float h = DEFAULT_H, h_color = -1;
    const char *at = text ? text : "none";
    bool is_auto = strcmp(at, "auto") == 0, is_none = strcmp(at, "none") == 0;
    if (is_auto || is_none) {
        spec->denoise = is_auto ? FM__DENOISE_AUTO : FM__DENOISE_NONE;
        return FM_OK;
    }
    if (!next_part(&at, &p) || strcmp(p.key, "nlm") != 0 || p.value[0]) {
        return fm__fail(
            err, FM_INVAL, "denoise: expected auto, none or nlm[:h=H][:hcolor=H], got '%s'", text);
    }
    while (st == FM_OK && next_part(&at, &p)) {
        if (strcmp(p.key, "h") == 0) {
            st = read_number("denoise", &p, 0, FM__NLM_MAX_H, &h, err);
        } else if (strcmp(p.key, "hcolor") == 0) {
            st = read_number("denoise", &p, 0, FM__NLM_MAX_H, &h_color, err);
        } else {
            st = fm__fail(err, FM_INVAL, "denoise: expected h or hcolor, got '%s'", p.key);
        }
    }
    if (st == FM_OK) {
        spec->denoise = FM__DENOISE_NLM;
        spec->h = h;
        spec->h_color = h_color < 0 ? h : h_color;
    }
    return st;
}

static fm_status read_white(const part *p, fm__color_opts *c, fm_error *err)
{
    if (strcmp(p->value, "shades") == 0) {
        c->white = FM__WHITE_SHADES;
    } else if (strcmp(p->value, "grey") == 0) {
        c->white = FM__WHITE_GREY_WORLD;
    } else if (strcmp(p->value, "none") == 0) {
        c->white = FM__WHITE_NONE;
    } else {
        return fm__fail(err, FM_INVAL, "color: expected wb=shades, wb=grey or wb=none, got '%s'", p->value);
    }
    return FM_OK;
}

static fm_status read_color_part(const part *p, fm__color_opts *c, fm_error *err)
{
    if (strcmp(p->key, "wb") == 0) {
        return read_white(p, c, err);
    }
    if (strcmp(p->key, "gamma") == 0 && strcmp(p->value, "auto") == 0) {
        c->gamma = 0;
        return FM_OK;
    }
    if (strcmp(p->key, "gamma") == 0) {
        return read_number("color", p, 0.1, 10, &c->gamma, err);
    }
    if (strcmp(p->key, "levels") == 0) {
        return read_number("color", p, 0, 0.4, &c->clip, err);
    }
    if (strcmp(p->key, "clahe") == 0) {
        return read_number("color", p, 0, 256, &c->contrast, err);
    }
    if (strcmp(p->key, "saturation") == 0) {
        return read_number("color", p, 0, 3, &c->saturation, err);
    }
    return fm__fail(err, FM_INVAL,
        "color: expected auto, none, wb=, levels=, gamma=, clahe= or saturation=, got '%s'", p->key);
}

fm_status fm__enhance_parse_color(const char *text, fm__enhance_spec *spec, fm_error *err)
{
    static const fm__color_opts none = FM__COLOR_NONE, all = FM__COLOR_AUTO;
    fm__color_opts c = none;
    fm_status st = FM_OK;
    part p;
    const char *at = text ? text : "none";
    if (strcmp(at, "none") == 0) {
        spec->has_color = false;
        return FM_OK;
    }
    if (*at == 0) {
        return fm__fail(err, FM_INVAL, "color: expected auto, none or steps, got ''");
    }
    for (bool first = true; st == FM_OK && next_part(&at, &p); first = false) {
        if (first && strcmp(p.key, "auto") == 0 && !p.value[0]) {
            c = all;
        } else {
            st = read_color_part(&p, &c, err);
        }
    }
    st = st == FM_OK ? fm__color_check(&c, err) : st;
    if (st == FM_OK) {
        spec->has_color = true;
        spec->color = c;
    }
    return st;
}

static bool is_scale(const char *text)
{
    return text[0] >= '2' && text[0] <= '0' + FM__ENHANCE_MAX_SCALE && !text[1];
}

fm_status fm__enhance_parse_sr(const char *text, fm__enhance_spec *spec, fm_error *err)
{
    static const char lanczos[] = "lanczos:";
    spec->model = NULL;
    spec->scale = 1;
    if (!text || strcmp(text, "none") == 0) {
        return FM_OK;
    }
    size_t head = fm__str_starts(text, lanczos) ? strlen(lanczos) : 0;
    if (head > 0 || strcmp(text, "lanczos") == 0 || !*text) {
        if (!head || !is_scale(text + head)) {
            return fm__fail(err, FM_INVAL,
                "sr: expected none, x2, x3, x4, a model, lanczos:2, lanczos:3 or lanczos:4, got '%s'", text);
        }
        spec->scale = text[head] - '0';
        return FM_OK;
    }
    bool is_own = text[0] == 'x' && is_scale(text + 1);
    spec->model = is_own ? FM__ENHANCE_OWN_MODEL : text;
    spec->scale = is_own ? text[1] - '0' : 0;
    return FM_OK;
}
