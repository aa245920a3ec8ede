// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// The model step of the OpenVINO backend: read a file (ONNX, IR, TFLite, TensorFlow .pb), look at its input,
// put preprocessing in front of it, give it a static batch. The input becomes u8 in the model's own layout;
// conversion, mean and scale are compiled in, where the CPU plug-in fuses them into the first layers. Outputs
// of f32, i32, i64 and u8 stay, all else (half floats of fp16 exports) is converted to f32. A reshape can
// fail, or succeed and be silently wrong: a literal 1 in a Reshape turns [N,3549,85] into [1,N*3549,85]
// (yolox_nano.onnx). So after a reshape the first dimension of every output must be the batch.

#include "infer/openvino.h"

#include "base/error.h"
#include "base/file.h"
#include "base/str.h"

#include <stdio.h>
#include <string.h>

// OpenVINO stacks "Exception from file:line:" and "Check '...' failed at file:line:" lines over the cause.
static bool is_stack_line(const char *line, size_t len)
{
    static const char *const openings[] = {"Exception from ", "Check '", "While validating"};
    for (size_t i = 0; i < sizeof(openings) / sizeof(*openings); i++) {
        size_t n = strlen(openings[i]);
        if (len >= n && memcmp(line, openings[i], n) == 0) {
            return true;
        }
    }
    return len == 0;
}

static void copy_cause(const char *text, char *buf, size_t size)
{
    size_t used = 0;
    buf[0] = '\0';
    while (text && *text && used + 2 < size) {
        size_t len = strcspn(text, "\n");
        if (!is_stack_line(text, len)) {
            int n = snprintf(buf + used, size - used, "%s%.*s", used ? " " : "", (int)len, text);
            used += n > 0 ? (size_t)n : 0;
        }
        text += len + (text[len] == '\n');
    }
}

fm_status fm__ov_fail(
    fm_error *err, fm_status status, ov_status_e native, const char *what, const char *which)
{
    char cause[320];
    const char *message = ov_get_last_err_msg(); // a copy of the process's last one: a hint, no more
    copy_cause(message, cause, sizeof(cause));
    ov_free(message);
    const char *text = cause[0] ? cause : ov_get_error_info(native);
    return fm__fail_native(err, status, native, "%s '%s': %s", what, which, text);
}

// OpenVINO shows a file that no reader knows to all of them, and some complain on stderr. So the first bytes
// are looked at here: XML, a FlatBuffer with TFLite's mark, protobuf whose first field is ONNX's version or
// TensorFlow's node.
static bool looks_right(const char *path)
{
    unsigned char head[8] = {0};
    FILE *f = fopen(path, "rbe");
    size_t n = f ? fread(head, 1, sizeof(head), f) : 0;
    if (f) {
        fclose(f);
    }
    if (fm__str_ends(path, ".xml")) {
        return head[0] == '<' || (head[0] == 0xef && head[3] == '<'); // with or without byte order mark
    }
    if (fm__str_ends(path, ".tflite")) {
        return n == sizeof(head) && memcmp(head + 4, "TFL3", 4) == 0;
    }
    return n > 0 && head[0] == (fm__str_ends(path, ".onnx") ? 0x08 : 0x0a);
}

fm_status fm__ov_read(ov_core_t *core, const char *path, ov_model_t **out, fm_error *err)
{
    if (!path || !fm__is_file(path)) {
        return fm__fail(err, FM_NOTFOUND, "model file '%s' is not there", path ? path : "");
    }
    if (!looks_right(path)) {
        return fm__fail(err, FM_FORMAT, "'%s' is not a model file of the kind its name says", path);
    }
    ov_status_e rc = ov_core_read_model(core, path, NULL, out);
    if (rc != OK) {
        return fm__ov_fail(err, FM_FORMAT, rc, "cannot read the model file", path);
    }
    return FM_OK;
}

fm_tensor fm__ov_input_tensor(const fm_net_info *info, int n)
{
    fm_tensor t = {.dtype = FM_DTYPE_U8, .rank = 4};
    int64_t w = info->input_w, h = info->input_h, c = info->channels;
    const int64_t nchw[4] = {n, c, h, w}, nhwc[4] = {n, h, w, c};
    memcpy(t.dims, info->layout == FM_LAYOUT_NCHW ? nchw : nhwc, sizeof(nchw));
    return t;
}

static bool is_channels(ov_dimension_t d)
{
    return d.min == d.max && (d.min == 1 || d.min == 3);
}

static int fixed(ov_dimension_t d)
{
    return d.min == d.max && d.min > 0 && d.min <= 65536 ? (int)d.min : 0;
}

static bool is_free(ov_dimension_t d)
{
    return d.min < 0 || d.min != d.max; // -1..-1 where nothing is known
}

// Layout, channels and size from [N,C,H,W] or [N,H,W,C]; what the description says about the size wins.
static fm_status read_input_shape(
    const ov_dimension_t *d, const fm_net_desc *desc, fm_net_info *info, fm_error *err)
{
    bool told = desc->input_w > 0 && !desc->fills_in;
    bool all_free = is_free(d[1]) && is_free(d[2]) && is_free(d[3]);
    bool nchw = told || (desc->fills_in && all_free) ? desc->layout == FM_LAYOUT_NCHW
                                                     : is_channels(d[1]) || !is_channels(d[3]);
    ov_dimension_t c = d[nchw ? 1 : 3], h = d[nchw ? 2 : 1], w = d[nchw ? 3 : 2];
    info->layout = nchw ? FM_LAYOUT_NCHW : FM_LAYOUT_NHWC;
    info->channels = is_channels(c) ? (int)c.min : desc->channels > 0 ? desc->channels : 3;
    info->input_w = told ? desc->input_w : fixed(w);
    info->input_h = told ? desc->input_h : fixed(h);
    if (desc->fills_in && is_free(w) && is_free(h)) {
        info->input_w = desc->input_w;
        info->input_h = desc->input_h;
    }
    if (fixed(c) && !is_channels(c)) {
        return fm__fail(err, FM_FORMAT, "model '%s': its input has %d channels in %s layout, expected 3 or 1",
            desc->path, fixed(c), nchw ? "NCHW" : "NHWC");
    }
    if (info->input_w <= 0 || info->input_h <= 0) {
        return fm__fail(err, FM_FORMAT,
            "model '%s': its input has no fixed size; describe it in a model YAML", desc->path);
    }
    return FM_OK;
}

fm_status fm__ov_input_info(
    const ov_model_t *model, const fm_net_desc *desc, fm_net_info *info, fm_error *err)
{
    ov_output_const_port_t *port = NULL;
    ov_partial_shape_t shape = {0};
    size_t inputs = 0;
    ov_status_e rc = ov_model_inputs_size(model, &inputs);
    if (rc != OK || inputs != 1) {
        return fm__fail(err, FM_UNSUPPORTED, "model '%s' has %zu inputs, expected one", desc->path, inputs);
    }
    fm_status st = FM_OK;
    if ((rc = ov_model_const_input_by_index(model, 0, &port)) != OK ||
        (rc = ov_port_get_partial_shape(port, &shape)) != OK) {
        st = fm__ov_fail(err, FM_FORMAT, rc, "cannot read the input of", desc->path);
    } else if (shape.rank.min != 4 || shape.rank.max != 4) {
        st = fm__fail(err, FM_UNSUPPORTED, "model '%s': its input is not a batch of pictures", desc->path);
    } else {
        ov_element_type_e type = DYNAMIC;
        info->takes_bytes = ov_port_get_element_type(port, &type) == OK && type == U8;
        st = read_input_shape(shape.dims, desc, info, err);
    }
    ov_partial_shape_free(&shape);
    ov_output_const_port_free(port);
    return st;
}

fm_status fm__ov_reshape(
    const ov_model_t *model, const fm_net_info *info, int n, const char *path, fm_error *err)
{
    fm_tensor t = fm__ov_input_tensor(info, n);
    ov_partial_shape_t shape = {0};
    fm_net_info after = *info;
    ov_status_e rc = ov_partial_shape_create_static(t.rank, t.dims, &shape);
    if (rc == OK) {
        rc = ov_model_reshape_single_input(model, shape);
    }
    ov_partial_shape_free(&shape);
    if (rc != OK) {
        return fm__ov_fail(err, FM_UNSUPPORTED, rc, "cannot set the batch of", path);
    }
    fm_status st = fm__ov_outputs(model, &after, path, err);
    for (size_t i = 0; st == FM_OK && i < after.output_count; i++) {
        if (after.outputs[i].dims[0] != n) {
            char text[96];
            fm__tensor_shape_text(&after.outputs[i], text, sizeof(text));
            st = fm__fail(err, FM_UNSUPPORTED,
                "model '%s' has its batch baked in: at batch %d output %zu is %s", path, n, i, text);
        }
    }
    return st;
}

static bool dtype_of(ov_element_type_e type, fm_dtype *out)
{
    switch (type) {
    case F32:
        *out = FM_DTYPE_F32;
        return true;
    case I32:
        *out = FM_DTYPE_I32;
        return true;
    case I64:
        *out = FM_DTYPE_I64;
        return true;
    case U8:
        *out = FM_DTYPE_U8;
        return true;
    default:
        return false;
    }
}

static fm_status output_type(
    const ov_model_t *model, size_t i, ov_element_type_e *type, const char *path, fm_error *err)
{
    ov_output_const_port_t *port = NULL;
    ov_status_e rc = ov_model_const_output_by_index(model, i, &port);
    if (rc == OK) {
        rc = ov_port_get_element_type(port, type);
    }
    ov_output_const_port_free(port);
    return rc == OK ? FM_OK : fm__ov_fail(err, FM_FORMAT, rc, "cannot read an output of", path);
}

static fm_status read_output(
    const ov_model_t *model, size_t i, fm_tensor *out, const char *path, fm_error *err)
{
    ov_output_const_port_t *port = NULL;
    ov_shape_t shape = {0};
    ov_element_type_e type = DYNAMIC;
    fm_tensor t = {0};
    fm_status st = output_type(model, i, &type, path, err);
    if (st != FM_OK) {
        return st;
    }
    ov_status_e rc = ov_model_const_output_by_index(model, i, &port);
    if (rc == OK) {
        rc = ov_const_port_get_shape(port, &shape);
    }
    if (rc != OK) {
        st = fm__ov_fail(err, FM_UNSUPPORTED, rc, "an output has no fixed shape in", path);
    } else if (shape.rank < 1 || shape.rank > FM_TENSOR_MAX_RANK) {
        st = fm__fail(
            err, FM_UNSUPPORTED, "model '%s': output %zu has %d dimensions", path, i, (int)shape.rank);
    } else {
        // before preprocessing is in place half floats still stand here; they become f32
        t.dtype = FM_DTYPE_F32;
        (void)dtype_of(type, &t.dtype);
        t.rank = (int)shape.rank;
        memcpy(t.dims, shape.dims, (size_t)shape.rank * sizeof(*t.dims));
        *out = t;
    }
    ov_shape_free(&shape);
    ov_output_const_port_free(port);
    return st;
}

fm_status fm__ov_outputs(const ov_model_t *model, fm_net_info *info, const char *path, fm_error *err)
{
    size_t n = 0;
    ov_status_e rc = ov_model_outputs_size(model, &n);
    if (rc != OK || n == 0 || n > FM_NET_MAX_OUTPUTS) {
        return fm__fail(
            err, FM_UNSUPPORTED, "model '%s' has %zu outputs, expected 1 to %d", path, n, FM_NET_MAX_OUTPUTS);
    }
    fm_status st = FM_OK;
    for (size_t i = 0; st == FM_OK && i < n; i++) {
        st = read_output(model, i, &info->outputs[i], path, err);
    }
    info->output_count = n;
    return st;
}

static bool wants_scaling(const fm_net_desc *desc, bool *mean, bool *scale)
{
    *mean = *scale = false;
    for (int c = 0; c < 3; c++) {
        *mean = *mean || desc->mean[c] != 0.0F;
        *scale = *scale || (desc->scale[c] != 0.0F && desc->scale[c] != 1.0F);
    }
    return *mean || *scale;
}

static ov_status_e add_steps(
    ov_preprocess_preprocess_steps_t *steps, const fm_net_desc *desc, const fm_net_info *info)
{
    bool mean = false, scale = false;
    float by[3];
    if (!wants_scaling(desc, &mean, &scale)) {
        return OK; // the type conversion is implied
    }
    for (int c = 0; c < 3; c++) {
        by[c] = desc->scale[c] != 0.0F ? desc->scale[c] : 1.0F;
    }
    ov_status_e rc = ov_preprocess_preprocess_steps_convert_element_type(steps, F32);
    if (rc == OK && mean) {
        rc = ov_preprocess_preprocess_steps_mean_multi_channels(steps, desc->mean, info->channels);
    }
    if (rc == OK && scale) {
        rc = ov_preprocess_preprocess_steps_scale_multi_channels(steps, by, info->channels);
    }
    return rc;
}

static ov_status_e set_input(
    const ov_preprocess_prepostprocessor_t *ppp, const fm_net_desc *desc, const fm_net_info *info)
{
    ov_preprocess_input_info_t *input = NULL;
    ov_preprocess_input_tensor_info_t *tensor = NULL;
    ov_preprocess_input_model_info_t *model = NULL;
    ov_preprocess_preprocess_steps_t *steps = NULL;
    ov_layout_t *layout = NULL;
    ov_status_e rc = OK;
    if ((rc = ov_layout_create(info->layout == FM_LAYOUT_NCHW ? "NCHW" : "NHWC", &layout)) == OK &&
        (rc = ov_preprocess_prepostprocessor_get_input_info_by_index(ppp, 0, &input)) == OK &&
        (rc = ov_preprocess_input_info_get_tensor_info(input, &tensor)) == OK &&
        (rc = ov_preprocess_input_tensor_info_set_element_type(tensor, U8)) == OK &&
        (rc = ov_preprocess_input_tensor_info_set_layout(tensor, layout)) == OK &&
        (rc = ov_preprocess_input_info_get_model_info(input, &model)) == OK &&
        (rc = ov_preprocess_input_model_info_set_layout(model, layout)) == OK &&
        (rc = ov_preprocess_input_info_get_preprocess_steps(input, &steps)) == OK) {
        rc = add_steps(steps, desc, info);
    }
    ov_preprocess_preprocess_steps_free(steps);
    ov_preprocess_input_model_info_free(model);
    ov_preprocess_input_tensor_info_free(tensor);
    ov_preprocess_input_info_free(input);
    ov_layout_free(layout);
    return rc;
}

static ov_status_e set_output_f32(const ov_preprocess_prepostprocessor_t *ppp, size_t i)
{
    ov_preprocess_output_info_t *output = NULL;
    ov_preprocess_output_tensor_info_t *tensor = NULL;
    ov_status_e rc = OK;
    if ((rc = ov_preprocess_prepostprocessor_get_output_info_by_index(ppp, i, &output)) == OK &&
        (rc = ov_preprocess_output_info_get_tensor_info(output, &tensor)) == OK) {
        rc = ov_preprocess_output_set_element_type(tensor, F32);
    }
    ov_preprocess_output_tensor_info_free(tensor);
    ov_preprocess_output_info_free(output);
    return rc;
}

fm_status fm__ov_preprocess(
    ov_model_t **model, const fm_net_desc *desc, const fm_net_info *info, fm_error *err)
{
    ov_preprocess_prepostprocessor_t *ppp = NULL;
    ov_model_t *built = NULL;
    size_t outputs = 0;
    fm_status st = FM_OK;
    ov_status_e rc = ov_preprocess_prepostprocessor_create(*model, &ppp);
    if (rc == OK) {
        rc = set_input(ppp, desc, info);
    }
    if (rc == OK) {
        rc = ov_model_outputs_size(*model, &outputs);
    }
    for (size_t i = 0; st == FM_OK && rc == OK && i < outputs; i++) {
        ov_element_type_e type = DYNAMIC;
        fm_dtype known;
        st = output_type(*model, i, &type, desc->path, err);
        if (st == FM_OK && !dtype_of(type, &known)) {
            rc = set_output_f32(ppp, i);
        }
    }
    if (st == FM_OK && rc == OK) {
        rc = ov_preprocess_prepostprocessor_build(ppp, &built);
    }
    if (st == FM_OK && rc != OK) {
        st = fm__ov_fail(err, FM_BACKEND, rc, "cannot put preprocessing into", desc->path);
    }
    ov_preprocess_prepostprocessor_free(ppp);
    if (st == FM_OK) {
        ov_model_free(*model);
        *model = built;
    }
    return st;
}
