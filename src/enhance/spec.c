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
#define DEFAULT_FRAMES 3

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

static fm_status read_frames(const part *p, int *out, fm_error *err)
{
    if (strcmp(p->value, "3") != 0 && strcmp(p->value, "5") != 0) {
        return fm__fail(err, FM_INVAL, "denoise: frames=%s; 3 or 5 is expected", p->value);
    }
    *out = p->value[0] - '0';
    return FM_OK;
}

static fm_status read_denoise_part(const part *p, fm__enhance_spec *s, fm_error *err)
{
    bool has_frames = s->denoise == FM__DENOISE_NLM_T;
    if (strcmp(p->key, "h") == 0) {
        return read_number("denoise", p, 0, FM__NLM_MAX_H, &s->h, err);
    }
    if (strcmp(p->key, "hcolor") == 0) {
        return read_number("denoise", p, 0, FM__NLM_MAX_H, &s->h_color, err);
    }
    if (has_frames && strcmp(p->key, "frames") == 0) {
        return read_frames(p, &s->frames, err);
    }
    return fm__fail(err, FM_INVAL, "denoise: expected h%s hcolor%s, got '%s'", has_frames ? "," : " or",
        has_frames ? " or frames" : "", p->key);
}

static bool is_denoise_kind(const part *p, fm__denoise_kind *kind)
{
    *kind = strcmp(p->key, "nlm") == 0     ? FM__DENOISE_NLM
            : strcmp(p->key, "nlm-t") == 0 ? FM__DENOISE_NLM_T
                                           : FM__DENOISE_NONE;
    return *kind != FM__DENOISE_NONE && !p->value[0];
}

fm_status fm__enhance_parse_denoise(const char *text, fm__enhance_spec *spec, fm_error *err)
{
    fm_status st = FM_OK;
    part p;
    fm__enhance_spec found = *spec;
    const char *at = text ? text : "none";
    bool is_auto = strcmp(at, "auto") == 0, is_none = strcmp(at, "none") == 0;
    if (is_auto || is_none) {
        spec->denoise = is_auto ? FM__DENOISE_AUTO : FM__DENOISE_NONE;
        return FM_OK;
    }
    if (!next_part(&at, &p) || !is_denoise_kind(&p, &found.denoise)) {
        return fm__fail(err, FM_INVAL,
            "denoise: expected auto, none, nlm[:h=H][:hcolor=H] or nlm-t[:h=H][:hcolor=H][:frames=N], got "
            "'%s'",
            text);
    }
    found.h = DEFAULT_H;
    found.h_color = -1;
    found.frames = found.denoise == FM__DENOISE_NLM_T ? DEFAULT_FRAMES : 1;
    while (st == FM_OK && next_part(&at, &p)) {
        st = read_denoise_part(&p, &found, err);
    }
    if (st == FM_OK) {
        found.h_color = found.h_color < 0 ? found.h : found.h_color;
        *spec = found;
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
    bool is_none = !text || strcmp(text, "none") == 0, is_own = text && text[0] == 'x' && is_scale(text + 1);
    size_t head = text && fm__str_starts(text, lanczos) ? strlen(lanczos) : 0;
    bool is_bad = text && (!*text || strcmp(text, "lanczos") == 0 || (head > 0 && !is_scale(text + head)));
    if (is_bad) {
        return fm__fail(err, FM_INVAL,
            "sr: expected none, x2, x3, x4, a model, lanczos:2, lanczos:3 or lanczos:4, got '%s'", text);
    }
    spec->model = is_own ? FM__ENHANCE_OWN_MODEL : is_none || head > 0 ? NULL : text;
    spec->scale = is_none ? 1 : is_own ? text[1] - '0' : head > 0 ? text[head] - '0' : 0;
    return FM_OK;
}
