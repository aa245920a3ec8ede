// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// One model for people to read, or as JSON: the facts of its YAML file and what lies on disk of it.

#include "models/store.h"

#include "base/alloc.h"
#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "base/str.h"

static const char *state_name(fm_model_state state)
{
    static const char *const names[] = {"missing", "installed", "damaged"};
    return names[state];
}

static const char *color_name(fm_color color)
{
    static const char *const names[] = {"rgb", "bgr", "gray"};
    return names[color];
}

static const char *fit_name(fm_fit fit)
{
    static const char *const names[] = {"letterbox", "stretch", "crop"};
    return names[fit];
}

static const char *layout_name(fm_layout layout)
{
    return layout == FM_LAYOUT_NCHW ? "nchw" : "nhwc";
}

static const char *anchor_name(fm_anchor anchor)
{
    return anchor == FM_ANCHOR_TOPLEFT ? "topleft" : "center";
}

static const char *activation_name(fm_head_activation activation)
{
    static const char *const names[] = {"none", "sigmoid", "softmax", "auto"};
    return names[activation];
}

static void text_file(const fm_spec *spec, const fm_spec_file *file, fm_str *out)
{
    const char *url = NULL;
    char *path = fm__spec_path(spec, file->path);
    fm__str_printf(
        out, "    %s  %s\n", path && fm__is_file(path) ? "have   " : "missing", path ? path : file->path);
    if (file->size) {
        fm__str_printf(out, "             %llu bytes", (unsigned long long)file->size);
        fm__str_printf(out, ", sha256 %s\n", file->sha256 ? file->sha256 : "recorded on first use");
    }
    for (const fm_yaml_node *n = file->urls ? file->urls->child : NULL; n; n = n->next) {
        if (fm__yaml_string(spec->doc, n, &url, NULL) == FM_OK) {
            fm__str_printf(out, "             %s\n", url);
        }
    }
    fm__free(path);
}

static void text_input(const fm_model_input *in, fm_str *out)
{
    fm__str_printf(out, "    input    %dx%d %s %s, %s", in->width, in->height, color_name(in->color),
        layout_name(in->layout), fit_name(in->fit));
    if (in->fit == FM_FIT_CROP) {
        fm__str_printf(out, " %g", (double)in->crop_ratio);
    } else if (in->fit == FM_FIT_LETTERBOX) {
        fm__str_printf(out, " %s, pad %d", anchor_name(in->anchor), in->pad);
    }
    fm__str_printf(out, ", mean %g %g %g, scale %g %g %g\n", (double)in->mean[0], (double)in->mean[1],
        (double)in->mean[2], (double)in->scale[0], (double)in->scale[1], (double)in->scale[2]);
}

static void text_head(const fm_head_opts *head, int dim, fm_str *out)
{
    const fm_head_class *cls = fm__head_find(head->type);
    fm__str_printf(out, "    head     %s", head->type);
    if (dim) {
        fm__str_printf(out, ", dim %d", dim);
    } else if (cls && cls->decode) {
        fm__str_printf(out, ", boxes in %s, grid %s", head->boxes == FM_HEAD_BOXES_UNIT ? "unit" : "pixels",
            head->grid == FM_HEAD_GRID_RAW ? "raw" : "decoded");
    } else if (cls && cls->classify) {
        fm__str_printf(out, ", activation %s", activation_name(head->activation));
    }
    fm__str_add_char(out, '\n');
}

static void text_variant(const fm_spec *spec, const fm_spec_variant *v, fm_str *out)
{
    char *derived = fm__derived_path(spec, v);
    fm__str_printf(out, "  variant for %s: %s\n", v->backend, state_name(fm__variant_state(spec, v)));
    text_input(&v->input, out);
    text_head(&v->head, spec->dim, out);
    for (size_t i = 0; i < v->file_count; i++) {
        text_file(spec, &v->files[i], out);
    }
    if (derived && fm__is_file(derived)) {
        fm__str_printf(
            out, "    have     %s (%s)\n", derived, v->cut_classifier ? "classifier cut off" : "batch freed");
    }
    fm__free(derived);
}

static void show_text(const fm_spec *spec, fm_str *out)
{
    fm__str_printf(out, "%s: %s\n", spec->name, spec->about);
    fm__str_printf(out, "  task %s, version %s, licence %s, ", spec->task, spec->version, spec->licence);
    if (spec->label_count) {
        fm__str_printf(out, "%zu labels, ", spec->label_count);
    }
    fm__str_printf(out, "%s\n", state_name(fm__spec_state(spec)));
    for (size_t i = 0; i < spec->variant_count; i++) {
        text_variant(spec, &spec->variants[i], out);
    }
    if (spec->export_command) {
        fm__str_printf(out, "  %s\n", spec->export_command);
    }
}

static void pair(fm_json *j, const char *key, const char *value)
{
    fm__json_put_string(j, key, value);
}

static void triple(fm_json *j, const char *key, const float *v)
{
    fm__json_key(j, key);
    fm__json_open_array(j);
    for (int c = 0; c < 3; c++) {
        fm__json_fixed(j, (double)v[c], 6);
    }
    fm__json_close_array(j);
}

static void json_input(const fm_model_input *in, fm_json *j)
{
    fm__json_key(j, "input");
    fm__json_open_object(j);
    fm__json_key(j, "size");
    fm__json_open_array(j);
    fm__json_int(j, in->width);
    fm__json_int(j, in->height);
    fm__json_close_array(j);
    pair(j, "layout", layout_name(in->layout));
    pair(j, "color", color_name(in->color));
    pair(j, "fit", fit_name(in->fit));
    pair(j, "anchor", anchor_name(in->anchor));
    fm__json_put_int(j, "pad", in->pad);
    if (in->fit == FM_FIT_CROP) {
        fm__json_put_fixed(j, "crop_ratio", (double)in->crop_ratio, 6);
    }
    triple(j, "mean", in->mean);
    triple(j, "scale", in->scale);
    fm__json_close_object(j);
}

static void json_head(const fm_head_opts *head, int dim, fm_json *j)
{
    const fm_head_class *cls = fm__head_find(head->type);
    fm__json_key(j, "head");
    fm__json_open_object(j);
    pair(j, "type", head->type);
    if (dim) {
        fm__json_put_int(j, "dim", dim);
    } else if (cls && cls->classify) {
        pair(j, "activation", activation_name(head->activation));
    } else if (!cls || cls->decode) {
        pair(j, "boxes", head->boxes == FM_HEAD_BOXES_UNIT ? "unit" : "pixels");
        pair(j, "grid", head->grid == FM_HEAD_GRID_RAW ? "raw" : "decoded");
    }
    fm__json_close_object(j);
}

static void json_file(const fm_spec *spec, const fm_spec_file *file, fm_json *j)
{
    const char *url = NULL;
    char *path = fm__spec_path(spec, file->path);
    fm__json_open_object(j);
    pair(j, "path", path);
    fm__json_put_bool(j, "present", path && fm__is_file(path));
    if (file->size) {
        fm__json_put_uint(j, "size", file->size);
    }
    pair(j, "sha256", file->sha256);
    fm__json_key(j, "urls");
    fm__json_open_array(j);
    for (const fm_yaml_node *n = file->urls ? file->urls->child : NULL; n; n = n->next) {
        if (fm__yaml_string(spec->doc, n, &url, NULL) == FM_OK) {
            fm__json_string(j, url);
        }
    }
    fm__json_close_array(j);
    fm__json_close_object(j);
    fm__free(path);
}

static void json_variant(const fm_spec *spec, const fm_spec_variant *v, fm_json *j)
{
    fm__json_open_object(j);
    pair(j, "backend", v->backend);
    pair(j, "state", state_name(fm__variant_state(spec, v)));
    json_input(&v->input, j);
    json_head(&v->head, spec->dim, j);
    fm__json_key(j, "files");
    fm__json_open_array(j);
    for (size_t i = 0; i < v->file_count; i++) {
        json_file(spec, &v->files[i], j);
    }
    fm__json_close_array(j);
    fm__json_close_object(j);
}

static void json_labels(const fm_spec *spec, fm_json *j)
{
    fm__json_key(j, "labels");
    fm__json_open_array(j);
    for (size_t i = 0; i < spec->label_count; i++) {
        fm__json_string(j, spec->labels[i]);
    }
    fm__json_close_array(j);
}

static void show_json(const fm_spec *spec, fm_str *out)
{
    fm_json writer, *j = &writer;
    fm__json_init(j, out);
    fm__json_open_object(j);
    pair(j, "name", spec->name);
    pair(j, "task", spec->task);
    pair(j, "version", spec->version);
    pair(j, "licence", spec->licence);
    pair(j, "about", spec->about);
    pair(j, "state", state_name(fm__spec_state(spec)));
    pair(j, "export", spec->export_command);
    fm__json_key(j, "variants");
    fm__json_open_array(j);
    for (size_t i = 0; i < spec->variant_count; i++) {
        json_variant(spec, &spec->variants[i], j);
    }
    fm__json_close_array(j);
    json_labels(spec, j);
    fm__json_close_object(j);
    fm__str_add_char(out, '\n');
}

fm_status fm_model_show(const fm_model_store *store, const char *name, bool json, char **out, fm_error *err)
{
    const fm_spec *spec = NULL;
    fm_str text;
    if (!store || !out) {
        return fm__fail(err, FM_INVAL, "no model store, or nowhere to put the answer");
    }
    fm_status st = fm__store_find(store, name, &spec, err);
    if (st != FM_OK) {
        return st;
    }
    fm__str_init(&text, FM_TAG_MODELS);
    if (json) {
        show_json(spec, &text);
    } else {
        show_text(spec, &text);
    }
    char *taken = fm__str_take(&text);
    if (!taken) {
        return fm__fail_nomem(err, "a description");
    }
    *out = taken;
    return FM_OK;
}
