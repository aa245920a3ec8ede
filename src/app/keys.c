// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// The table of options and the questions one may ask of it. To add a setting: one row here (and its field in
// fm_run_opts). Flags, configuration keys, range checks, help, completion, the man page, the JSON schema and
// the tables in docs/ follow; a test compares docs/config.md with what the table says.

#include "app/keys.h"

#include "base/error.h"
#include "base/str.h"

#include <stdio.h>
#include <string.h>

#define FIELD(kind, member) .field = FM_FIELD_##kind, .offset = offsetof(fm_run_opts, member)

#define GROUP_MODEL "Model"
#define GROUP_REPORT "What is reported"
#define GROUP_SPEED "Batches and cores"
#define GROUP_INPUT "Input"
#define GROUP_OUTPUT "Output"

const fm_key fm__keys[] = {
    {.option = {.flag = "detector",
         .key = "detector",
         .also = "model_paths.detection",
         .type = FM_OPTION_MODEL,
         .values = "motion none",
         .fallback = "yolox-nano",
         .group = GROUP_MODEL,
         .metavar = "NAME|PATH",
         .help = "model that finds objects: a name of 'framemill models list', a path, motion or none"},
        FIELD(STRING, detector)},
    {.option = {.flag = "head",
         .key = "head",
         .type = FM_OPTION_CHOICE,
         .values = "yolox yolov5 yolov8",
         .group = GROUP_MODEL,
         .metavar = "TYPE",
         .help = "how to read the outputs of a bare model file; else guessed from their shapes"},
        FIELD(STRING, head)},
    {.option = {.flag = "labels",
         .key = "labels",
         .type = FM_OPTION_FILE,
         .group = GROUP_MODEL,
         .metavar = "FILE",
         .help = "class names of a bare model file, one a line"},
        FIELD(STRING, labels)},
    {.option = {.flag = "device",
         .key = "device",
         .type = FM_OPTION_CHOICE,
         .values = "cpu",
         .fallback = "cpu",
         .group = GROUP_MODEL,
         .metavar = "DEVICE",
         .help = "where the network runs; this version has no other place"},
        FIELD(STRING, device)},
    {.option = {.flag = "precision",
         .key = "precision",
         .type = FM_OPTION_CHOICE,
         .values = "fp32 bf16 fp16",
         .fallback = "fp32",
         .group = GROUP_MODEL,
         .metavar = "TYPE",
         .help = "arithmetic of the network; bf16 and fp16 may be faster or slower: try it"},
        FIELD(STRING, precision)},
    {.option = {.flag = "backend",
         .key = "backend",
         .type = FM_OPTION_TEXT,
         .values = "openvino ref",
         .group = GROUP_MODEL,
         .metavar = "NAME",
         .help = "inference backend, in place of the model's own",
         .hidden = true},
        FIELD(STRING, backend)},
    {.option = {.flag = NULL,
         .key = "input_size",
         .type = FM_OPTION_SIZE,
         .group = GROUP_MODEL,
         .metavar = "WxH",
         .help = "input size that the model is expected to have; another one is an error"}},

    {.option = {.flag = "conf",
         .key = "conf_threshold",
         .type = FM_OPTION_NUMBER,
         .min = 0,
         .max = 1,
         .fallback = "0.5",
         .group = GROUP_REPORT,
         .metavar = "SCORE",
         .help = "least score that is reported; motion reports all unless it is given"},
        FIELD(FLOAT, conf),
        .zero_is_negative = true},
    {.option = {.flag = "iou",
         .key = "iou_threshold",
         .type = FM_OPTION_NUMBER,
         .min = 0.01,
         .max = 1,
         .fallback = "0.45",
         .group = GROUP_REPORT,
         .metavar = "OVERLAP",
         .help = "overlap from which the weaker of two boxes of a class is dropped"},
        FIELD(FLOAT, iou)},
    {.option = {.flag = "classes",
         .key = "classes",
         .type = FM_OPTION_LIST,
         .group = GROUP_REPORT,
         .metavar = "LABEL,...",
         .help = "classes that are reported; else all"},
        FIELD(LIST, classes),
        .count_offset = offsetof(fm_run_opts, class_count)},

    {.option = {.flag = "batch",
         .key = "batch_size",
         .type = FM_OPTION_INT,
         .min = 1,
         .max = 256,
         .values = "auto",
         .fallback = "auto",
         .group = GROUP_SPEED,
         .metavar = "N",
         .help = "most frames in one inference"},
        FIELD(INT, batch)},
    {.option = {.flag = "batch-timeout-ms",
         .key = "batch_timeout_ms",
         .type = FM_OPTION_NUMBER,
         .min = 0,
         .max = 60000,
         .fallback = "20",
         .group = GROUP_SPEED,
         .metavar = "MS",
         .help = "longest wait of a batch's first frame for others"},
        FIELD(DOUBLE, batch_timeout_ms),
        .zero_is_negative = true},
    {.option = {.flag = "workers",
         .key = "num_workers",
         .type = FM_OPTION_INT,
         .min = 0,
         .max = 256,
         .values = "auto",
         .fallback = "auto",
         .group = GROUP_SPEED,
         .metavar = "N",
         .help = "inferences in flight (slots); 0 is auto"},
        FIELD(INT, workers)},
    {.option = {.flag = "threads",
         .key = "threads",
         .type = FM_OPTION_INT,
         .min = 0,
         .max = 1024,
         .values = "auto",
         .fallback = "auto",
         .group = GROUP_SPEED,
         .metavar = "N",
         .help = "cores to use; 0 is all"},
        FIELD(INT, threads)},
    {.option = {.flag = "buffer",
         .key = "buffer_size",
         .type = FM_OPTION_INT,
         .min = 1,
         .max = 10000,
         .fallback = "30",
         .group = GROUP_SPEED,
         .metavar = "N",
         .help = "most frames that wait, a stream"},
        FIELD(INT, buffer_size)},
    {.option = {.flag = "buffer-bytes",
         .key = "buffer_bytes",
         .type = FM_OPTION_INT,
         .min = 1048576,
         .max = 1099511627776,
         .fallback = "67108864",
         .group = GROUP_SPEED,
         .metavar = "N",
         .help = "most bytes of frames that wait, a stream"},
        FIELD(SIZE, buffer_bytes)},
    {.option = {.flag = "cache",
         .key = "cache",
         .type = FM_OPTION_BOOL,
         .fallback = "true",
         .group = GROUP_SPEED,
         .help = "keep compiled models for a faster start"}},

    {.option = {.flag = "frames",
         .key = "frames",
         .type = FM_OPTION_INT,
         .min = 0,
         .max = 1e15,
         .fallback = "0",
         .group = GROUP_INPUT,
         .metavar = "N",
         .help = "end each stream after N frames; 0 is all"},
        FIELD(UINT64, max_frames)},
    {.option = {.flag = "realtime",
         .key = "realtime",
         .type = FM_OPTION_BOOL,
         .fallback = "false",
         .group = GROUP_INPUT,
         .help = "read files at the speed of their clock, and drop frames when behind"},
        FIELD(BOOL, realtime)},
    {.option = {.flag = "timeout",
         .key = "timeout",
         .type = FM_OPTION_NUMBER,
         .min = 0.1,
         .max = 86400,
         .fallback = "10",
         .group = GROUP_INPUT,
         .metavar = "S",
         .help = "seconds without data after which a source has failed"},
        FIELD(DOUBLE, timeout_s)},
    {.option = {.flag = "max-pixels",
         .key = "max_pixels",
         .type = FM_OPTION_INT,
         .min = 1,
         .max = 4294967296,
         .fallback = "134217728",
         .group = GROUP_INPUT,
         .metavar = "N",
         .help = "refuse pictures and video with more pixels a frame"},
        FIELD(INT64, max_pixels)},

    {.option = {.flag = "out",
         .key = "out",
         .type = FM_OPTION_DIR,
         .group = GROUP_OUTPUT,
         .metavar = "DIR",
         .help = "write DIR/<stream>.jsonl; without it results go to standard output"},
        FIELD(STRING, out_dir)},
    {.option = {.flag = "annotate",
         .key = "annotate",
         .type = FM_OPTION_BOOL,
         .fallback = "false",
         .group = GROUP_OUTPUT,
         .help = "also write DIR/<stream>.mp4 with boxes drawn; needs --out"},
        FIELD(BOOL, annotate)},
    {.option = {.flag = "report",
         .key = "report",
         .type = FM_OPTION_FILE,
         .group = GROUP_OUTPUT,
         .metavar = "FILE",
         .help = "write counts, times and memory of the run as JSON"}},
    {.option = {.flag = "log-level",
         .key = "log_level",
         .type = FM_OPTION_CHOICE,
         .values = "error warn info debug trace",
         .fallback = "info",
         .group = GROUP_OUTPUT,
         .metavar = "LEVEL",
         .help = "how much is said on standard error"}},
};
const size_t fm__key_count = sizeof(fm__keys) / sizeof(fm__keys[0]);

const fm_later_key fm__later_keys[] = {
    {"segmenter", "segmentation"},
    {"model_paths.segmentation", "segmentation"},
    {"classifier", "classification"},
    {"model_paths.classification", "classification"},
    {"embedder", "feature extraction"},
    {"model_paths.features", "feature extraction"},
    {"features", "feature extraction"},
    {"tracker", "tracking"},
    {"max_age", "tracking"},
    {"track_low_threshold", "tracking"},
    {"mot_box", "tracking"},
};
const size_t fm__later_key_count = sizeof(fm__later_keys) / sizeof(fm__later_keys[0]);

// A flag's name in a file: dashes are underscores there.
static bool same_name(const char *flag, const char *name)
{
    for (; *flag && *name; flag++, name++) {
        if (*flag != *name && !(*flag == '-' && *name == '_')) {
            return false;
        }
    }
    return *flag == *name;
}

const fm_key *fm__key_in_file(const char *name)
{
    for (size_t i = 0; i < fm__key_count; i++) {
        const fm_option *o = &fm__keys[i].option;
        if (strcmp(o->key, name) == 0 || (o->also && strcmp(o->also, name) == 0) ||
            (o->flag && !strchr(name, '-') && same_name(o->flag, name))) {
            return &fm__keys[i];
        }
    }
    return NULL;
}

const fm_key *fm__key_find(const char *name)
{
    for (size_t i = 0; i < fm__key_count; i++) {
        if (fm__keys[i].option.flag && strcmp(fm__keys[i].option.flag, name) == 0) {
            return &fm__keys[i];
        }
    }
    return fm__key_in_file(name);
}

size_t fm_option_count(void)
{
    return fm__key_count;
}

const fm_option *fm_option_get(size_t index)
{
    return index < fm__key_count ? &fm__keys[index].option : NULL;
}

const fm_option *fm_option_find(const char *name)
{
    const fm_key *key = name ? fm__key_find(name) : NULL;
    return key ? &key->option : NULL;
}

// "a, b or c" from "a b c".
static void words_text(const char *words, char *buf, size_t size)
{
    size_t n = 0;
    for (const char *w = words; *w && n + 1 < size;) {
        size_t len = strcspn(w, " ");
        const char *next = w + len + strspn(w + len, " ");
        const char *join = w == words ? "" : *next ? ", " : " or ";
        n += (size_t)snprintf(buf + n, size - n, "%s%.*s", join, (int)len, w);
        w = next;
    }
}

// "from 1 to 256, or auto"; an upper end that nobody reaches is left out.
static void range_text(const fm_option *o, const char *words, char *buf, size_t size)
{
    const char *or_words = words[0] ? ", or " : "";
    if (o->max < 1e9) {
        snprintf(buf, size, "from %g to %g%s%s", o->min, o->max, or_words, words);
    } else {
        snprintf(buf, size, "from %.0f%s%s", o->min, or_words, words);
    }
}

void fm_option_expected(const fm_option *o, char *buf, size_t size)
{
    char words[128] = "", range[256] = "";
    words_text(o->values ? o->values : "", words, sizeof(words));
    const char *or_words = words[0] ? ", or " : "";
    range_text(o, words, range, sizeof(range));
    switch (o->type) {
    case FM_OPTION_BOOL:
        snprintf(buf, size, "true or false");
        break;
    case FM_OPTION_INT:
        snprintf(buf, size, "a whole number %s", range);
        break;
    case FM_OPTION_NUMBER:
        snprintf(buf, size, "a number %s", range);
        break;
    case FM_OPTION_TEXT:
        snprintf(buf, size, "text");
        break;
    case FM_OPTION_FILE:
        snprintf(buf, size, "the path of a file");
        break;
    case FM_OPTION_DIR:
        snprintf(buf, size, "the path of a folder");
        break;
    case FM_OPTION_MODEL:
        snprintf(buf, size, "the name or path of a model%s%s", or_words, words);
        break;
    case FM_OPTION_CHOICE:
        snprintf(buf, size, "%s", words);
        break;
    case FM_OPTION_LIST:
        snprintf(buf, size, "a list of texts");
        break;
    case FM_OPTION_SIZE:
        snprintf(buf, size, "a width and a height such as 640x480");
        break;
    }
}

fm_status fm_option_check(const fm_option *option, const char *text, fm_error *err)
{
    fm_value value;
    fm_status st = fm__value_parse(option, text, &value, err);
    if (st == FM_OK) {
        fm__value_done(&value);
    }
    return st;
}
