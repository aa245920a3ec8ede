// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Label files: the customary text with one class name a line, in the order of the class ids. Blank lines at
// the end are dropped; one in between would shift every class behind it and is an error.

#include "models/spec.h"

#include "base/alloc.h"
#include "base/error.h"
#include "base/file.h"
#include "base/str.h"

#include <string.h>

void fm__labels_free(char ***labels, size_t count)
{
    for (size_t i = 0; *labels && i < count; i++) {
        fm__free((*labels)[i]);
    }
    fm__free(*labels);
    *labels = NULL;
}

static size_t count_lines(const char *text)
{
    size_t n = 0;
    for (const char *p = text; *p; p += strcspn(p, "\n"), p += *p == '\n') {
        n++;
    }
    return n;
}

static void trim_end(char *text, size_t len)
{
    while (len > 0 && strchr(" \t\r\n", text[len - 1])) {
        text[--len] = '\0';
    }
}

// Cuts the text at its line ends and copies the lines.
static fm_status split_labels(char *text, const char *path, char **labels, size_t count, fm_error *err)
{
    char *line = text;
    for (size_t i = 0; i < count; i++) {
        char *end = line + strcspn(line, "\n"), *next = *end ? end + 1 : end;
        *end = '\0';
        trim_end(line, (size_t)(end - line));
        if (!*line) {
            return fm__fail(err, FM_FORMAT, "label file '%s': line %zu is empty", path, i + 1);
        }
        labels[i] = fm__strdup(FM_TAG_MODELS, line);
        if (!labels[i]) {
            return fm__fail_nomem(err, "labels");
        }
        line = next;
    }
    return FM_OK;
}

fm_status fm__labels_read(const char *path, char ***out, size_t *count, fm_error *err)
{
    char *text = NULL, **labels = NULL;
    size_t len = 0, n = 0;
    fm_status st = fm__file_read(FM_TAG_MODELS, path, 4U << 20, &text, &len, err);
    if (st != FM_OK) {
        return st;
    }
    if (strlen(text) != len) {
        st = fm__fail(err, FM_FORMAT, "label file '%s' is not text: one label a line is expected", path);
        goto out;
    }
    trim_end(text, len);
    n = count_lines(text);
    if (n == 0 || n > FM_SPEC_MAX_LABELS) {
        st = fm__fail(
            err, FM_FORMAT, "label file '%s' has %zu lines, expected 1 to %d", path, n, FM_SPEC_MAX_LABELS);
        goto out;
    }
    labels = fm__calloc_array(FM_TAG_MODELS, n, sizeof(*labels));
    st = labels ? split_labels(text, path, labels, n, err) : fm__fail_nomem(err, "labels");
    if (st == FM_OK) {
        *out = labels;
        *count = n;
        labels = NULL;
    }
out:
    fm__labels_free(&labels, n);
    fm__free(text);
    return st;
}
