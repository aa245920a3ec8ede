// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// A picture's annotation as Pascal VOC writes it (development kit of VOC2012, section 4): <annotation> with
// an <object> for each thing, in it <name>, <difficult> and <bndbox> with xmin, ymin, xmax, ymax; what else
// there is is read over, an object's parts with boxes of their own too. The XML is what such files are made
// of: elements, attributes (not looked at), comments, CDATA, the five named entities and numbers of ASCII.
// Document types are refused. Corners are whole pixels counted from 1 that belong to the box; edges of it are
// xmin - 1 and xmax.

#include "app/ap_private.h"

#include "base/alloc.h"
#include "base/error.h"
#include "base/str.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_DEPTH = 16, NAME = 32, TEXT = 256 };

typedef struct xml {
    const char *text, *at, *end, *name;
    fm_error *err;
    fm_status status;
    char path[MAX_DEPTH][NAME]; // names of the elements that are open; longer ones are cut
    int depth;
    char value[TEXT]; // text of the innermost element so far
    size_t value_len;
    // the object that is open
    char label[TEXT];
    double corners[4];
    int has; // bits: corners, 16: label
    bool difficult;
    size_t roots;
    ap_data *d;
    uint32_t picture;
} xml;

static const char *const corner_names[] = {"xmin", "ymin", "xmax", "ymax"};

static bool fail(xml *x, const char *what)
{
    size_t line = 1;
    for (const char *p = x->text; (p = memchr(p, '\n', (size_t)(x->at - p))); p++) {
        line++;
    }
    x->status = fm__fail(x->err, FM_FORMAT, "%s:%zu: %s", x->name, line, what);
    return false;
}

/* ---- what elements mean ---- */

static bool is_at(const xml *x, const char *a, const char *b, const char *c)
{
    const char *want[] = {"annotation", a, b, c};
    int n = 1;
    for (; n < 4 && want[n]; n++) {
    }
    for (int i = 0; i < n; i++) {
        if (x->depth != n || strcmp(x->path[i], want[i]) != 0) {
            return false;
        }
    }
    return true;
}

static uint32_t class_of(ap_data *d, const char *name)
{
    for (uint32_t i = 0; i < d->class_count; i++) {
        if (strcmp(d->classes[i].name, name) == 0) {
            return i;
        }
    }
    bool added = d->class_count < AP_MAX_CLASSES &&
                 fm__ap_add_named(&d->classes, &d->class_count, &d->class_cap, name, (int64_t)d->class_count);
    return added ? (uint32_t)d->class_count - 1 : AP_NO_CLASS;
}

static bool end_object(xml *x)
{
    ap_data *d = x->d;
    const double *c = x->corners;
    if (x->has != 31) {
        return fail(x, x->has & 16 ? "an object without xmin, ymin, xmax or ymax" : "an object without name");
    }
    if (c[2] < c[0] || c[3] < c[1]) {
        return fail(x, "a box whose xmax or ymax is below its xmin or ymin");
    }
    uint32_t class = class_of(d, x->label);
    if (class == AP_NO_CLASS && d->class_count == AP_MAX_CLASSES) {
        return fail(x, "more than 4096 different classes");
    }
    if (d->gt_count == FM_AP_MAX_ITEMS) {
        return fail(x, "more than 10000000 objects");
    }
    if (class == AP_NO_CLASS ||
        !fm__grow(FM_TAG_APP, (void **)&d->gts, &d->gt_cap, d->gt_count + 1, sizeof(*d->gts))) {
        x->status = fm__fail_nomem(x->err, x->name);
        return false;
    }
    double w = c[2] - c[0] + 1, h = c[3] - c[1] + 1;
    d->gts[d->gt_count++] = (fm_ap_gt){.box = {c[0] - 1, c[1] - 1, w, h},
        .area = w * h,
        .image = x->picture,
        .category = class,
        .ignore = x->difficult};
    return true;
}

static char *trim(char *text)
{
    static const char blanks[] = " \t\r\n";
    text += strspn(text, blanks);
    size_t n = strlen(text);
    while (n > 0 && strchr(blanks, text[n - 1])) {
        text[--n] = 0;
    }
    return text;
}

static bool take_corner(xml *x, int i, const char *text)
{
    double v = 0;
    if (!fm__parse_double(text, &v) || fabs(v) > AP_MAX_VALUE) {
        return fail(x, "a corner that is no number");
    }
    x->corners[i] = v;
    x->has |= 1 << i;
    return true;
}

static bool leave(xml *x)
{
    char *text = trim(x->value);
    bool ok = true;
    if (is_at(x, "object", "name", NULL)) {
        strcpy(x->label, text);
        x->has |= text[0] ? 16 : 0;
    } else if (is_at(x, "object", "difficult", NULL)) {
        x->difficult = strcmp(text, "1") == 0;
        ok = x->difficult || strcmp(text, "0") == 0 || fail(x, "difficult is neither 0 nor 1");
    } else if (is_at(x, "object", NULL, NULL)) {
        ok = end_object(x);
    }
    for (int i = 0; ok && i < 4; i++) {
        ok = !is_at(x, "object", "bndbox", corner_names[i]) || take_corner(x, i, text);
    }
    x->depth--;
    x->value_len = 0;
    x->value[0] = 0;
    return ok;
}

static bool enter(xml *x, const char *name, size_t len)
{
    if (x->depth == MAX_DEPTH) {
        return fail(x, "nested deeper than 16");
    }
    len = len < NAME ? len : NAME - 1;
    memcpy(x->path[x->depth], name, len);
    x->path[x->depth++][len] = 0;
    if (x->depth == 1 && strcmp(x->path[0], "annotation") != 0) {
        return fail(x, "no annotation of Pascal VOC: the outer element is another");
    }
    x->value_len = 0;
    x->value[0] = 0;
    if (is_at(x, "object", NULL, NULL)) {
        x->has = 0;
        x->difficult = false;
    }
    return true;
}

/* ---- XML ---- */

static bool add_text(xml *x, char c)
{
    if (x->depth == 0) {
        return strchr(" \t\r\n", c) && c ? true : fail(x, "text outside of the annotation");
    }
    if (c == 0 || x->value_len + 1 == TEXT) {
        return fail(x, c ? "a text of more than 255 bytes" : "a NUL byte");
    }
    x->value[x->value_len++] = c;
    x->value[x->value_len] = 0;
    return true;
}

static bool read_entity(xml *x)
{
    static const struct {
        const char *text;
        char c;
    } entities[] = {{"&lt;", '<'}, {"&gt;", '>'}, {"&amp;", '&'}, {"&quot;", '"'}, {"&apos;", '\''}};
    size_t left = (size_t)(x->end - x->at);
    for (size_t i = 0; i < sizeof(entities) / sizeof(entities[0]); i++) {
        size_t len = strlen(entities[i].text);
        if (left >= len && memcmp(x->at, entities[i].text, len) == 0) {
            x->at += len;
            return add_text(x, entities[i].c);
        }
    }
    return fail(x, "an entity other than &lt; &gt; &amp; &quot; &apos;");
}

// After `mark`; false and an error where it does not come.
static bool go_behind(xml *x, const char *mark)
{
    const char *found = memmem(x->at, (size_t)(x->end - x->at), mark, strlen(mark));
    if (!found) {
        return fail(x, "the file ends inside of a tag");
    }
    x->at = found + strlen(mark);
    return true;
}

static bool starts(const xml *x, const char *with)
{
    size_t len = strlen(with);
    return (size_t)(x->end - x->at) >= len && memcmp(x->at, with, len) == 0;
}

static bool read_cdata(xml *x)
{
    const char *from = x->at + strlen("<![CDATA[");
    if (!go_behind(x, "]]>")) {
        return false;
    }
    for (const char *p = from; p < x->at - 3; p++) {
        if (!add_text(x, *p)) {
            return false;
        }
    }
    return true;
}

// End of a tag's name.
static const char *name_end(const xml *x, const char *from)
{
    while (from < x->end && !strchr(" \t\r\n/><=\"'", *from)) {
        from++;
    }
    return from;
}

// Behind the attributes: *empty where the tag closes itself.
static bool skip_attributes(xml *x, bool *empty)
{
    char quote = 0;
    for (; x->at < x->end; x->at++) {
        char c = *x->at;
        if (quote) {
            quote = c == quote ? 0 : quote;
        } else if (c == '"' || c == '\'') {
            quote = c;
        } else if (c == '>') {
            *empty = x->at[-1] == '/';
            x->at++;
            return true;
        } else if (c == '<') {
            break;
        }
    }
    return fail(x, "a tag without its end");
}

static bool read_close(xml *x)
{
    const char *from = x->at + 2, *to = name_end(x, from);
    size_t len = (size_t)(to - from) < NAME ? (size_t)(to - from) : NAME - 1;
    if (x->depth == 0 || strlen(x->path[x->depth - 1]) != len ||
        memcmp(x->path[x->depth - 1], from, len) != 0) {
        return fail(x, "a closing tag that does not fit the one that is open");
    }
    return leave(x) && go_behind(x, ">");
}

static bool read_open(xml *x)
{
    const char *from = x->at + 1, *to = name_end(x, from);
    bool empty = false;
    if (to == from) {
        return fail(x, "a tag without a name");
    }
    if (x->depth == 0 && x->roots++ > 0) {
        return fail(x, "something follows after the annotation");
    }
    x->at = to;
    return skip_attributes(x, &empty) && enter(x, from, (size_t)(to - from)) && (!empty || leave(x));
}

static bool read_next(xml *x)
{
    if (*x->at == '&') {
        return read_entity(x);
    }
    if (*x->at != '<') {
        bool ok = add_text(x, *x->at);
        x->at += ok;
        return ok;
    }
    if (starts(x, "<!--")) {
        return go_behind(x, "-->");
    }
    if (starts(x, "<![CDATA[")) {
        return read_cdata(x);
    }
    if (starts(x, "<?")) {
        return go_behind(x, "?>");
    }
    if (starts(x, "<!")) {
        return fail(x, "a document type");
    }
    return starts(x, "</") ? read_close(x) : read_open(x);
}

fm_status fm__ap_read_voc(
    const char *text, size_t len, const char *name, const char *picture, ap_data *d, fm_error *err)
{
    xml x = {.text = text, .at = text, .end = text + len, .name = name, .err = err, .d = d};
    x.picture = (uint32_t)d->picture_count;
    if (d->picture_count == AP_MAX_PICTURES) {
        return fm__fail(err, FM_FORMAT, "%s: more than %d pictures", name, (int)AP_MAX_PICTURES);
    }
    if (!fm__ap_add_named(
            &d->pictures, &d->picture_count, &d->picture_cap, picture, (int64_t)d->picture_count)) {
        return fm__fail_nomem(err, name);
    }
    if (len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) {
        x.at += 3;
    }
    while (x.at < x.end && read_next(&x)) {
    }
    if (x.status == FM_OK && (x.depth > 0 || x.roots == 0)) {
        (void)fail(&x, x.depth > 0 ? "the file ends inside of an element" : "no annotation");
    }
    return x.status;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const ap_named *)a)->name, ((const ap_named *)b)->name);
}

fm_status fm__ap_sort_classes(ap_data *d, fm_error *err)
{
    uint32_t *place = fm__calloc_array(FM_TAG_APP, d->class_count + 1, sizeof(*place));
    if (!place) {
        return fm__fail_nomem(err, "classes");
    }
    if (d->class_count > 0) {
        qsort(d->classes, d->class_count, sizeof(*d->classes), by_name);
    }
    for (uint32_t i = 0; i < d->class_count; i++) {
        place[d->classes[i].id] = i;
        d->classes[i].id = i;
    }
    for (size_t i = 0; i < d->gt_count; i++) {
        d->gts[i].category = place[d->gts[i].category];
    }
    fm__free(place);
    return FM_OK;
}
