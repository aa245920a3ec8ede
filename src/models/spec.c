// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Model YAML files -> fm_spec. The reading is strict: an unknown key, a wrong type, a value out of range or a
// missing key is an error that names file, line and key, because a model that is silently preprocessed in
// another way gives boxes that are almost right. A variant starts from the model's `input` and `head` and
// overrides single keys of them. File names are plain names and addresses are https, here, before anything is
// opened.

#include "models/spec.h"

#include "base/alloc.h"
#include "base/error.h"
#include "base/file.h"
#include "base/str.h"

#include <string.h>

typedef struct choice {
    const char *name;
    int value;
} choice;

static const choice layouts[] = {{"nchw", FM_LAYOUT_NCHW}, {"nhwc", FM_LAYOUT_NHWC}, {NULL, 0}};
static const choice colors[] = {
    {"rgb", FM_COLOR_RGB}, {"bgr", FM_COLOR_BGR}, {"gray", FM_COLOR_GRAY}, {NULL, 0}};
static const choice fits[] = {
    {"letterbox", FM_FIT_LETTERBOX}, {"stretch", FM_FIT_STRETCH}, {"crop", FM_FIT_CROP}, {NULL, 0}};
static const choice anchors[] = {{"topleft", FM_ANCHOR_TOPLEFT}, {"center", FM_ANCHOR_CENTER}, {NULL, 0}};
static const choice interpolations[] = {{"bilinear", 0}, {NULL, 0}};
static const choice boxes[] = {{"pixels", FM_HEAD_BOXES_PIXELS}, {"unit", FM_HEAD_BOXES_UNIT}, {NULL, 0}};
static const choice grids[] = {{"decoded", FM_HEAD_GRID_DECODED}, {"raw", FM_HEAD_GRID_RAW}, {NULL, 0}};
static const choice activations[] = {{"none", FM_HEAD_ACT_NONE}, {"sigmoid", FM_HEAD_ACT_SIGMOID},
    {"softmax", FM_HEAD_ACT_SOFTMAX}, {"auto", FM_HEAD_ACT_AUTO}, {NULL, 0}};
static const choice ranges[] = {{"unit", FM_HEAD_RANGE_UNIT}, {"bytes", FM_HEAD_RANGE_BYTES}, {NULL, 0}};
static const choice tasks[] = {{"detection", 0}, {"segmentation", 0}, {"classification", 0}, {"features", 0},
    {"enhancement", 0}, {NULL, 0}};
static const choice weights[] = {{"fetched", 0}, {"shipped", 1}, {NULL, 0}};
static const choice cuts[] = {{"none", 0}, {"classifier", 1}, {NULL, 0}};
static const choice backends[] = {{"openvino", 0}, {"torch", 0}, {"ref", 0}, {NULL, 0}};

static const char *const model_keys[] = {"name", "task", "version", "licence", "about", "variants", "input",
    "head", "labels", "dim", "export", "weights", NULL};
static const char *const variant_keys[] = {
    "files", "backend", "input", "head", "cut", "export", "recipe", NULL};
static const char *const file_keys[] = {"path", "size", "sha256", "urls", NULL};
static const char *const input_keys[] = {
    "layout", "size", "color", "mean", "scale", "fit", "anchor", "pad", "interpolation", "crop_ratio", NULL};
static const char *const head_keys[] = {"type", "boxes", "grid", "activation", "range", "context", NULL};

static bool contains(const char *const *names, const char *name)
{
    for (; *names; names++) {
        if (strcmp(*names, name) == 0) {
            return true;
        }
    }
    return false;
}

static fm_status check_map(
    const fm_yaml *doc, const fm_yaml_node *map, const char *what, const char *const *keys, fm_error *err)
{
    if (map->kind != FM_YAML_MAP) {
        return fm__yaml_fail(doc, map, err, "%s must be a map of keys and values", what);
    }
    for (const fm_yaml_node *n = map->child; n; n = n->next) {
        if (!contains(keys, n->key)) {
            fm_str known;
            fm__str_init(&known, FM_TAG_MODELS);
            for (size_t i = 0; keys[i]; i++) {
                fm__str_printf(&known, "%s%s", i ? ", " : "", keys[i]);
            }
            fm_status st = fm__yaml_fail(
                doc, n, err, "unknown key '%s' in %s; known: %s", n->key, what, known.data ? known.data : "");
            fm__str_done(&known);
            return st;
        }
    }
    return FM_OK;
}

static fm_status read_choice(
    const fm_yaml *doc, const fm_yaml_node *n, const choice *choices, int *out, fm_error *err)
{
    const char *text = NULL;
    fm_status st = fm__yaml_string(doc, n, &text, err);
    if (st != FM_OK) {
        return st;
    }
    fm_str known;
    fm__str_init(&known, FM_TAG_MODELS);
    for (const choice *c = choices; c->name; c++) {
        if (strcmp(c->name, text) == 0) {
            *out = c->value;
            fm__str_done(&known);
            return FM_OK;
        }
        fm__str_printf(&known, "%s%s", c == choices ? "" : ", ", c->name);
    }
    st = fm__yaml_fail(doc, n, err, "key '%s': '%s' is not one of: %s", n->key ? n->key : "", text,
        known.data ? known.data : "");
    fm__str_done(&known);
    return st;
}

// An optional key with a fixed set of values; *out stays as it is when the key is not there.
static fm_status opt_choice(const fm_yaml *doc, const fm_yaml_node *map, const char *key,
    const choice *choices, int *out, fm_error *err)
{
    const fm_yaml_node *n = fm__yaml_get(map, key);
    return n ? read_choice(doc, n, choices, out, err) : FM_OK;
}

static fm_status need_string(
    const fm_yaml *doc, const fm_yaml_node *map, const char *key, const char **out, fm_error *err)
{
    const fm_yaml_node *n = fm__yaml_get(map, key);
    if (!n) {
        return fm__yaml_fail(doc, map, err, "key '%s' is missing", key);
    }
    fm_status st = fm__yaml_string(doc, n, out, err);
    if (st == FM_OK && !**out) {
        return fm__yaml_fail(doc, n, err, "key '%s' is empty", key);
    }
    return st;
}

static fm_status opt_string(
    const fm_yaml *doc, const fm_yaml_node *map, const char *key, const char **out, fm_error *err)
{
    const fm_yaml_node *n = fm__yaml_get(map, key);
    return n ? fm__yaml_string(doc, n, out, err) : FM_OK;
}

// One number for all channels, or one for each of three.
static fm_status opt_triple(
    const fm_yaml *doc, const fm_yaml_node *map, const char *key, float *out, fm_error *err)
{
    const fm_yaml_node *n = fm__yaml_get(map, key);
    double v = 0;
    if (!n) {
        return FM_OK;
    }
    if (n->kind == FM_YAML_SEQ && n->count != 3) {
        return fm__yaml_fail(doc, n, err, "key '%s': expected one number or three", key);
    }
    const fm_yaml_node *item = n->kind == FM_YAML_SEQ ? n->child : n;
    for (int c = 0; c < 3; c++) {
        fm_status st = fm__yaml_double(doc, item, -1e6, 1e6, &v, err);
        if (st != FM_OK) {
            return st;
        }
        out[c] = (float)v;
        item = n->kind == FM_YAML_SEQ ? item->next : item;
    }
    return FM_OK;
}

static fm_status read_size(const fm_yaml *doc, const fm_yaml_node *map, fm_model_input *in, fm_error *err)
{
    const fm_yaml_node *n = fm__yaml_get(map, "size");
    int64_t w = 0, h = 0;
    if (!n) {
        return FM_OK;
    }
    if (n->kind != FM_YAML_SEQ || n->count != 2) {
        return fm__yaml_fail(doc, n, err, "key 'size': expected [width, height]");
    }
    fm_status st = fm__yaml_int(doc, n->child, 1, 16384, &w, err);
    if (st == FM_OK) {
        st = fm__yaml_int(doc, n->child->next, 1, 16384, &h, err);
    }
    in->width = (int)w;
    in->height = (int)h;
    return st;
}

static fm_status read_input_numbers(
    const fm_yaml *doc, const fm_yaml_node *map, fm_model_input *in, fm_error *err)
{
    const fm_yaml_node *pad = fm__yaml_get(map, "pad"), *crop = fm__yaml_get(map, "crop_ratio");
    int64_t value = in->pad;
    double ratio = in->crop_ratio;
    fm_status st = read_size(doc, map, in, err);
    if (st == FM_OK) {
        st = opt_triple(doc, map, "mean", in->mean, err);
    }
    if (st == FM_OK) {
        st = opt_triple(doc, map, "scale", in->scale, err);
    }
    if (st == FM_OK && pad) {
        st = fm__yaml_int(doc, pad, 0, 255, &value, err);
    }
    if (st == FM_OK && crop) {
        st = fm__yaml_double(doc, crop, 0.01, 1, &ratio, err);
    }
    in->pad = (uint8_t)value;
    in->crop_ratio = (float)ratio;
    return st;
}

static fm_status read_input(const fm_yaml *doc, const fm_yaml_node *map, fm_model_input *in, fm_error *err)
{
    int layout = in->layout, color = in->color, fit = in->fit, anchor = in->anchor, ignored = 0;
    fm_status st = check_map(doc, map, "'input'", input_keys, err);
    if (st == FM_OK) {
        st = opt_choice(doc, map, "layout", layouts, &layout, err);
    }
    if (st == FM_OK) {
        st = opt_choice(doc, map, "color", colors, &color, err);
    }
    if (st == FM_OK) {
        st = opt_choice(doc, map, "fit", fits, &fit, err);
    }
    if (st == FM_OK) {
        st = opt_choice(doc, map, "anchor", anchors, &anchor, err);
    }
    if (st == FM_OK) { // the kernel knows one, the key says so to the reader
        st = opt_choice(doc, map, "interpolation", interpolations, &ignored, err);
    }
    in->layout = (fm_layout)layout;
    in->color = (fm_color)color;
    in->fit = (fm_fit)fit;
    in->anchor = (fm_anchor)anchor;
    return st == FM_OK ? read_input_numbers(doc, map, in, err) : st;
}

static fm_status read_head(const fm_yaml *doc, const fm_yaml_node *map, fm_head_opts *head, fm_error *err)
{
    int box = head->boxes, grid = head->grid, activation = head->activation, range = head->range;
    const fm_yaml_node *context = fm__yaml_get(map, "context");
    int64_t around = head->context;
    fm_status st = check_map(doc, map, "'head'", head_keys, err);
    if (st == FM_OK) {
        st = opt_string(doc, map, "type", &head->type, err);
    }
    if (st == FM_OK) {
        st = opt_choice(doc, map, "boxes", boxes, &box, err);
    }
    if (st == FM_OK) {
        st = opt_choice(doc, map, "grid", grids, &grid, err);
    }
    if (st == FM_OK) {
        st = opt_choice(doc, map, "activation", activations, &activation, err);
    }
    if (st == FM_OK) {
        st = opt_choice(doc, map, "range", ranges, &range, err);
    }
    if (st == FM_OK && context) {
        st = fm__yaml_int(doc, context, 1, FM_HEAD_MAX_CONTEXT, &around, err);
    }
    head->boxes = (fm_head_boxes)box;
    head->grid = (fm_head_grid)grid;
    head->activation = (fm_head_activation)activation;
    head->range = (fm_head_range)range;
    head->context = (int)around;
    return st;
}

bool fm__url_allowed(const char *url)
{
    static const char https[] = "https://";
    if (!fm__str_starts(url, https)) {
        return false;
    }
    const char *host = url + strlen(https);
    size_t host_len = strcspn(host, "/?#");
    for (const char *p = url; *p; p++) {
        if ((unsigned char)*p <= ' ' || (unsigned char)*p >= 0x7f) {
            return false;
        }
    }
    return host_len > 0 && !memchr(host, '@', host_len);
}

bool fm__model_name_ok(const char *name)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyz0123456789._-";
    size_t len = strlen(name);
    return len > 0 && len <= 64 && strspn(name, allowed) == len && name[0] != '.' && name[0] != '-';
}

// A plain name that is no hidden file and cannot leave its folder.
static bool file_name_ok(const char *name)
{
    size_t len = strlen(name);
    for (const char *p = name; *p; p++) {
        if (*p == '/' || *p == '\\' || (unsigned char)*p < ' ') {
            return false;
        }
    }
    return len > 0 && len <= 128 && name[0] != '.' && name[0] != '-';
}

static fm_status check_digest(const fm_yaml *doc, const fm_yaml_node *map, const char *text, fm_error *err)
{
    if (text && (strlen(text) != 64 || strspn(text, "0123456789abcdef") != 64)) {
        return fm__yaml_fail(
            doc, fm__yaml_get(map, "sha256"), err, "key 'sha256': expected 64 lower-case hex digits");
    }
    return FM_OK;
}

static fm_status read_urls(
    const fm_yaml *doc, const fm_yaml_node *map, const fm_yaml_node **out, fm_error *err)
{
    const fm_yaml_node *urls = fm__yaml_get(map, "urls");
    const char *url = NULL;
    if (urls && urls->kind != FM_YAML_SEQ) {
        return fm__yaml_fail(doc, urls, err, "key 'urls': expected a list");
    }
    for (const fm_yaml_node *n = urls ? urls->child : NULL; n; n = n->next) {
        fm_status st = fm__yaml_string(doc, n, &url, err);
        if (st != FM_OK) {
            return st;
        }
        if (!fm__url_allowed(url)) {
            return fm__yaml_fail(doc, n, err, "address '%s' is not a plain https:// one", url);
        }
    }
    *out = urls && urls->count > 0 ? urls : NULL;
    return FM_OK;
}

static fm_status read_file(const fm_yaml *doc, const fm_yaml_node *map, fm_spec_file *file, fm_error *err)
{
    const fm_yaml_node *size = fm__yaml_get(map, "size");
    int64_t bytes = 0;
    fm_status st = check_map(doc, map, "a file", file_keys, err);
    if (st == FM_OK) {
        st = need_string(doc, map, "path", &file->path, err);
    }
    if (st == FM_OK && !file_name_ok(file->path)) {
        st = fm__yaml_fail(doc, map, err, "key 'path': '%s' is not a plain file name", file->path);
    }
    if (st == FM_OK && size) {
        st = fm__yaml_int(doc, size, 1, INT64_C(1) << 36, &bytes, err);
    }
    file->size = (uint64_t)bytes;
    if (st == FM_OK) {
        st = opt_string(doc, map, "sha256", &file->sha256, err);
    }
    if (st == FM_OK) {
        st = check_digest(doc, map, file->sha256, err);
    }
    return st == FM_OK ? read_urls(doc, map, &file->urls, err) : st;
}

static fm_status read_files(const fm_yaml *doc, const fm_yaml_node *map, fm_spec_variant *v, fm_error *err)
{
    const fm_yaml_node *files = fm__yaml_get(map, "files");
    if (!files || files->kind != FM_YAML_SEQ || files->count < 1 || files->count > FM_SPEC_MAX_FILES) {
        return fm__yaml_fail(doc, files ? files : map, err, "key 'files': expected a list of 1 to %d files",
            FM_SPEC_MAX_FILES);
    }
    for (const fm_yaml_node *n = files->child; n; n = n->next) {
        fm_status st = read_file(doc, n, &v->files[v->file_count++], err);
        if (st != FM_OK) {
            return st;
        }
    }
    return FM_OK;
}

// Checks what only the sum of model and variant can tell.
static fm_status check_variant(
    const fm_yaml *doc, const fm_yaml_node *map, const fm_spec_variant *v, const char *task, fm_error *err)
{
    if (v->input.width <= 0) {
        return fm__yaml_fail(doc, map, err, "key 'size' of 'input' is missing");
    }
    if (!v->head.type) {
        return fm__yaml_fail(doc, map, err, "key 'type' of 'head' is missing");
    }
    const fm_head_class *cls = fm__head_find(v->head.type);
    if (cls && strcmp(fm__task_name(cls->task), task) != 0) {
        return fm__yaml_fail(doc, map, err,
            "key 'type' of 'head': '%s' is for task %s, the model's task is %s", v->head.type,
            fm__task_name(cls->task), task);
    }
    return FM_OK;
}

static fm_status read_variant(const fm_yaml *doc, const fm_yaml_node *map, fm_spec *spec, fm_error *err)
{
    fm_spec_variant *v = &spec->variants[spec->variant_count++];
    *v = (fm_spec_variant){.backend = "openvino", .input = spec->input, .head = spec->head};
    int ignored = 0, cut = 0;
    fm_status st = check_map(doc, map, "a variant", variant_keys, err);
    if (st == FM_OK) {
        st = opt_choice(doc, map, "backend", backends, &ignored, err);
    }
    if (st == FM_OK) {
        st = opt_choice(doc, map, "cut", cuts, &cut, err);
    }
    v->cut_classifier = cut != 0;
    if (st == FM_OK) {
        st = opt_string(doc, map, "backend", &v->backend, err);
    }
    if (st == FM_OK) {
        st = opt_string(doc, map, "export", &v->export_command, err);
    }
    if (st == FM_OK) {
        st = opt_string(doc, map, "recipe", &v->recipe, err);
    }
    if (st == FM_OK && v->recipe && !fm__model_name_ok(v->recipe)) {
        st = fm__yaml_fail(doc, map, err, "key 'recipe': '%s' is no recipe of framemill-export", v->recipe);
    }
    if (st == FM_OK) {
        st = read_files(doc, map, v, err);
    }
    const fm_yaml_node *input = fm__yaml_get(map, "input"), *head = fm__yaml_get(map, "head");
    if (st == FM_OK && input) {
        st = read_input(doc, input, &v->input, err);
    }
    if (st == FM_OK && head) {
        st = read_head(doc, head, &v->head, err);
    }
    return st == FM_OK ? check_variant(doc, map, v, spec->task, err) : st;
}

static fm_status read_variants(fm_spec *spec, const fm_yaml_node *root, fm_error *err)
{
    const fm_yaml_node *list = fm__yaml_get(root, "variants");
    if (!list || list->kind != FM_YAML_SEQ || list->count < 1 || list->count > FM_SPEC_MAX_VARIANTS) {
        return fm__yaml_fail(spec->doc, list ? list : root, err,
            "key 'variants': expected a list of 1 to %d variants", FM_SPEC_MAX_VARIANTS);
    }
    for (const fm_yaml_node *n = list->child; n; n = n->next) {
        fm_status st = read_variant(spec->doc, n, spec, err);
        if (st != FM_OK) {
            return st;
        }
    }
    return FM_OK;
}

static fm_status copy_labels(fm_spec *spec, const fm_yaml_node *list, fm_error *err)
{
    if (list->count < 1 || list->count > FM_SPEC_MAX_LABELS) {
        return fm__yaml_fail(
            spec->doc, list, err, "key 'labels': expected 1 to %d labels", FM_SPEC_MAX_LABELS);
    }
    spec->labels = fm__calloc_array(FM_TAG_MODELS, list->count, sizeof(*spec->labels));
    if (!spec->labels) {
        return fm__fail_nomem(err, "labels");
    }
    for (const fm_yaml_node *n = list->child; n; n = n->next) {
        const char *text = NULL;
        fm_status st = fm__yaml_string(spec->doc, n, &text, err);
        if (st != FM_OK) {
            return st;
        }
        spec->labels[spec->label_count] = fm__strdup(FM_TAG_MODELS, text);
        if (!spec->labels[spec->label_count++]) {
            return fm__fail_nomem(err, "labels");
        }
    }
    return FM_OK;
}

static fm_status read_label_set(fm_spec *spec, const fm_yaml_node *n, const char *labels_dir, fm_error *err)
{
    const char *name = NULL;
    fm_status st = fm__yaml_string(spec->doc, n, &name, err);
    if (st != FM_OK) {
        return st;
    }
    if (!labels_dir || !fm__model_name_ok(name)) {
        return fm__yaml_fail(spec->doc, n, err, "key 'labels': '%s' is no label set", name);
    }
    char *path = fm__asprintf(FM_TAG_MODELS, "%s/%s.txt", labels_dir, name);
    if (!path) {
        return fm__fail_nomem(err, "a path");
    }
    st = fm__is_file(path)
             ? fm__labels_read(path, &spec->labels, &spec->label_count, err)
             : fm__yaml_fail(spec->doc, n, err, "key 'labels': there is no label set '%s' (%s)", name, path);
    fm__free(path);
    return st;
}

static fm_status read_facts(fm_spec *spec, const fm_yaml_node *root, fm_error *err)
{
    const fm_yaml *doc = spec->doc;
    int ignored = 0, shipped = 0;
    fm_status st = need_string(doc, root, "name", &spec->name, err);
    if (st == FM_OK && !fm__model_name_ok(spec->name)) {
        st = fm__yaml_fail(doc, fm__yaml_get(root, "name"), err,
            "key 'name': '%s' may hold lower-case letters, digits, '.', '_' and '-' only", spec->name);
    }
    if (st == FM_OK) {
        st = need_string(doc, root, "task", &spec->task, err);
    }
    if (st == FM_OK) {
        st = opt_choice(doc, root, "task", tasks, &ignored, err);
    }
    if (st == FM_OK) {
        st = need_string(doc, root, "version", &spec->version, err);
    }
    if (st == FM_OK) {
        st = need_string(doc, root, "licence", &spec->licence, err);
    }
    if (st == FM_OK) {
        st = opt_string(doc, root, "about", &spec->about, err);
    }
    if (st == FM_OK) {
        st = opt_choice(doc, root, "weights", weights, &shipped, err);
    }
    spec->is_shipped = shipped != 0;
    return st == FM_OK ? opt_string(doc, root, "export", &spec->export_command, err) : st;
}

static fm_status read_shape(fm_spec *spec, const fm_yaml_node *root, const char *labels_dir, fm_error *err)
{
    const fm_yaml *doc = spec->doc;
    const fm_yaml_node *input = fm__yaml_get(root, "input"), *head = fm__yaml_get(root, "head");
    const fm_yaml_node *labels = fm__yaml_get(root, "labels"), *dim = fm__yaml_get(root, "dim");
    int64_t n = 0;
    fm_status st = input ? read_input(doc, input, &spec->input, err) : FM_OK;
    if (st == FM_OK && head) {
        st = read_head(doc, head, &spec->head, err);
    }
    if (st == FM_OK && labels) {
        st = labels->kind == FM_YAML_SEQ ? copy_labels(spec, labels, err)
                                         : read_label_set(spec, labels, labels_dir, err);
    }
    if (st == FM_OK && dim) {
        st = fm__yaml_int(doc, dim, 1, 65536, &n, err);
    }
    spec->dim = (int)n;
    return st == FM_OK ? read_variants(spec, root, err) : st;
}

// Takes the document, also on failure.
static fm_status from_doc(fm_yaml *doc, const char *labels_dir, fm_spec **out, fm_error *err)
{
    fm_spec *spec = fm__calloc(FM_TAG_MODELS, sizeof(*spec));
    if (!spec) {
        fm__yaml_free(&doc);
        return fm__fail_nomem(err, "a model description");
    }
    spec->doc = doc;
    spec->about = "";
    spec->input = fm__spec_usual_input(NULL);
    const fm_yaml_node *root = fm__yaml_root(doc);
    fm_status st = check_map(doc, root, "a model file", model_keys, err);
    if (st == FM_OK) {
        st = read_facts(spec, root, err);
    }
    if (st == FM_OK) {
        st = read_shape(spec, root, labels_dir, err);
    }
    if (st != FM_OK) {
        fm__spec_free(&spec);
        return st;
    }
    *out = spec;
    return FM_OK;
}

fm_status fm__spec_parse(
    const char *text, size_t len, const char *name, const char *labels_dir, fm_spec **out, fm_error *err)
{
    fm_yaml *doc = NULL;
    fm_status st = fm__yaml_parse(text, len, name, &doc, err);
    return st == FM_OK ? from_doc(doc, labels_dir, out, err) : st;
}

fm_status fm__spec_load(const char *path, const char *labels_dir, fm_spec **out, fm_error *err)
{
    fm_yaml *doc = NULL;
    fm_status st = fm__yaml_load(path, &doc, err);
    return st == FM_OK ? from_doc(doc, labels_dir, out, err) : st;
}

void fm__spec_free(fm_spec **spec)
{
    if (spec && *spec) {
        fm__labels_free(&(*spec)->labels, (*spec)->label_count);
        fm__yaml_free(&(*spec)->doc);
        fm__free((*spec)->dir);
        fm__free(*spec);
        *spec = NULL;
    }
}
