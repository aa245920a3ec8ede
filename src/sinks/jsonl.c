// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// JSON Lines: one object a frame. What a line holds is in format.c, how lines get out whole in lines.c.

#include "base/error.h"
#include "sinks/lines.h"
#include "sinks/sinks.h"

// Enough for the 300 objects that a frame may have at most, so that no line makes it grow.
#define LINE_RESERVE 40960

typedef struct jsonl {
    fm_sink sink;
    fm_lines lines;
} jsonl;

static fm_status jsonl_write(fm_sink *sink, const fm_result *result, const fm_frame *frame, fm_error *err)
{
    jsonl *s = (jsonl *)sink;
    (void)frame;
    fm__jsonl_format(&s->lines.text, result);
    return fm__lines_write(&s->lines, err);
}

static fm_status jsonl_close(fm_sink *sink, fm_error *err)
{
    jsonl *s = (jsonl *)sink;
    fm_status status = fm__lines_close(&s->lines, err);
    fm__free(s);
    return status;
}

static const fm_sink_class jsonl_class = {
    .name = "jsonl",
    .wants_pixels = false,
    .write = jsonl_write,
    .close = jsonl_close,
};

fm_status fm__sink_jsonl_file(const char *path, fm_sink **out, fm_error *err)
{
    jsonl *s = fm__calloc(FM_TAG_SINKS, sizeof *s);
    if (!s)
        return fm__fail_nomem(err, "a JSONL sink");
    s->sink.cls = &jsonl_class;
    fm_status status = fm__lines_open(&s->lines, path, LINE_RESERVE, err);
    if (status != FM_OK) {
        fm__free(s);
        return status;
    }
    *out = &s->sink;
    return FM_OK;
}

fm_status fm__sink_jsonl_fd(int fd, pthread_mutex_t *lock, const char *name, fm_sink **out, fm_error *err)
{
    jsonl *s = fm__calloc(FM_TAG_SINKS, sizeof *s);
    if (!s)
        return fm__fail_nomem(err, "a JSONL sink");
    s->sink.cls = &jsonl_class;
    fm_status status = fm__lines_attach(&s->lines, fd, lock, name, LINE_RESERVE, err);
    if (status != FM_OK) {
        fm__free(s);
        return status;
    }
    *out = &s->sink;
    return FM_OK;
}
