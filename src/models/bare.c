// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// What a bare model file tells about itself: the shape of its input, and by the shapes of its outputs its
// head, which in turn says how networks of that family want their pictures (usual.c). A network that takes
// bytes has its own idea of mean and deviation inside. Shapes do not tell boxes in pixels from boxes in 0..1:
// files from TFLite are taken to hold the latter.

#include "models/bare.h"

#include "base/error.h"
#include "base/log.h"
#include "base/str.h"
#include "models/spec.h"

#include <string.h>

bool fm__bare_is_file_name(const char *name)
{
    static const char *const endings[] = {".onnx", ".xml", ".tflite", ".pb", ".pt", ".torchscript"};
    for (size_t i = 0; i < sizeof(endings) / sizeof(*endings); i++) {
        if (fm__str_ends(name, endings[i])) {
            return true;
        }
    }
    return false;
}

const char *fm__bare_backend(const char *name)
{
    return fm__str_ends(name, ".pt") || fm__str_ends(name, ".torchscript") ? "torch" : "openvino";
}

// The options that go with a head that the user named: those its own guess makes, where the shapes fit.
static fm_status named_head(const char *name, const fm_net_info *info, fm_head_opts *out, fm_error *err)
{
    const fm_head_class *cls = fm__head_find(name);
    if (!cls) {
        return fm__fail(err, FM_UNSUPPORTED, "there is no head '%s'", name);
    }
    *out = (fm_head_opts){.type = cls->name};
    if (!cls->guess(info->outputs, info->output_count, info->input_w, info->input_h, out)) {
        *out = (fm_head_opts){.type = cls->name};
    }
    return FM_OK;
}

static fm_status find_head(const char *path, fm_task task, const char *name, const fm_net_info *info,
    const fm_log *log, fm_head_opts *out, fm_error *err)
{
    char shape[96];
    if (name) {
        fm_head_opts guess;
        if (fm__head_guess(info->outputs, info->output_count, info->input_w, info->input_h, task, &guess,
                NULL) == FM_OK &&
            strcmp(guess.type, name) != 0) {
            fm__tensor_shape_text(&info->outputs[0], shape, sizeof(shape));
            fm__log(log, FM_LOG_WARN, "models",
                "'%s': output %s looks like head '%s', but head '%s' is asked for", path, shape, guess.type,
                name);
        }
        return named_head(name, info, out, err);
    }
    fm_status st =
        fm__head_guess(info->outputs, info->output_count, info->input_w, info->input_h, task, out, err);
    if (st != FM_OK) {
        fm__error_prefix(err, "model '%s'", path);
        return st;
    }
    fm__tensor_shape_text(&info->outputs[0], shape, sizeof(shape));
    fm__log(log, FM_LOG_INFO, "models", "'%s': output %s looks like head '%s'; name another with --head",
        path, shape, out->type);
    return FM_OK;
}

fm_status fm__bare_look(
    const fm_net_desc *desc, fm_task task, const char *head, size_t label_count, fm_bare *out, fm_error *err)
{
    const char *path = desc->path;
    fm_bare bare = {0};
    fm_head probe;
    fm_status st = fm__net_describe(desc, &bare.info, err);
    if (st == FM_OK) {
        st = find_head(path, task, head, &bare.info, desc->log, &bare.head, err);
    }
    if (st != FM_OK) {
        return st;
    }
    if (fm__str_ends(path, ".tflite")) {
        bare.head.boxes = FM_HEAD_BOXES_UNIT;
    }
    bare.head.class_count = (int)label_count;
    st = fm__head_init(&probe, &bare.head, bare.info.input_w, bare.info.input_h, bare.info.outputs,
        bare.info.output_count, err);
    if (st != FM_OK) {
        fm__error_prefix(err, "model '%s'", path);
        return st;
    }
    bare.class_count = probe.class_count;
    bare.dim = (int)probe.dim;
    bare.head = probe.opts;
    bare.input = fm__spec_usual_input(bare.head.type);
    if (bare.info.takes_bytes) {
        memset(bare.input.mean, 0, sizeof(bare.input.mean));
        bare.input.scale[0] = bare.input.scale[1] = bare.input.scale[2] = 1;
    }
    if (bare.info.channels == 1) {
        bare.input.color = FM_COLOR_GRAY;
    }
    bare.input.layout = bare.info.layout;
    bare.input.width = bare.info.input_w;
    bare.input.height = bare.info.input_h;
    *out = bare;
    return FM_OK;
}
