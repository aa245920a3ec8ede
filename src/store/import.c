// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Bringing in what lies in a folder: CSV files of fm_store_export with their pictures, one stream each; or,
// where there are none, the folder's own pictures as one stream in the order of their names. JPEGs are kept
// byte for byte, other pictures through image/.

#include "store/private.h"

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/str.h"
#include "image/image.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_FILE ((size_t)1 << 31)
#define FIELDS 15

typedef struct importing {
    fm_store *s;
    const char *folder;
    fm_store_imported *n;
    int64_t run;
    fm_frame_pool *pool;
    fm_store_object *objects; // of the frame that is being read
    size_t object_count, object_cap;
} importing;

// A picture of the folder into the record: its bytes where it is a JPEG, else a frame. False: it cannot be
// read.
static bool load_picture(importing *im, const char *name, fm_store_record *r, char **bytes, fm_frame **frame)
{
    fm_error err = {0};
    char *path = fm__path_join(FM_TAG_STORE, im->folder, name);
    fm_status st = path ? FM_OK : FM_NOMEM;
    if (st == FM_OK && (fm__str_ends(name, ".jpg") || fm__str_ends(name, ".jpeg"))) {
        size_t len = 0;
        int w = 0, h = 0;
        st = fm__file_read(FM_TAG_STORE, path, MAX_FILE, bytes, &len, &err);
        st = st == FM_OK ? fm__jpeg_check(*bytes, len, &w, &h, &err) : st;
        r->jpeg = *bytes;
        r->jpeg_bytes = len;
        r->width = w;
        r->height = h;
    } else if (st == FM_OK) {
        st = fm__image_load(path, 0, im->pool, frame, &err);
        if (st == FM_OK) {
            r->picture = *frame;
            r->width = fm_frame_get_view(*frame)->width;
            r->height = fm_frame_get_view(*frame)->height;
        }
    }
    if (st != FM_OK) {
        fm__log(&im->s->o.log, FM_LOG_WARN, "store", "'%s' is left out: %s", name, err.msg);
        im->n->failed++;
        r->jpeg = NULL;
        r->jpeg_bytes = 0;
    }
    fm__free(path);
    return st == FM_OK;
}

static fm_status put(importing *im, const fm_store_record *r, fm_error *err)
{
    fm_status st = fm_store_put(im->s, r, NULL, NULL, err);
    if (st == FM_OK) {
        im->n->frames++;
        im->n->objects += r->object_count;
        im->n->pictures += r->jpeg || r->picture;
    }
    return st;
}

static fm_status import_picture(importing *im, const char *name, uint64_t number, fm_error *err)
{
    fm_store_record r = FM_STORE_RECORD_INIT;
    char *bytes = NULL;
    fm_frame *frame = NULL;
    r.run = im->run;
    r.frame = number;
    r.file = name;
    fm_status st = load_picture(im, name, &r, &bytes, &frame) ? put(im, &r, err) : FM_OK;
    fm__free(bytes);
    fm_frame_unref(&frame);
    return st;
}

// The next field of a line, unquoted in place; *at moves on. NULL when there is none.
static char *next_field(char **at)
{
    char *p = *at, *start = p, *to = p;
    if (!p) {
        return NULL;
    }
    if (*p == '"') {
        for (p++; *p && !(*p == '"' && p[1] != '"'); p++) {
            p += *p == '"';
            *to++ = *p;
        }
        p += *p == '"';
    } else {
        for (; *p && *p != ','; p++) {
            *to++ = *p;
        }
    }
    *at = *p == ',' ? p + 1 : NULL;
    *to = 0;
    return start;
}

static bool split(char *line, char *fields[FIELDS])
{
    char *at = line;
    for (int i = 0; i < FIELDS; i++) {
        if (!(fields[i] = next_field(&at))) {
            return false;
        }
    }
    return at == NULL;
}

static bool read_object(char *const f[FIELDS], fm_store_object *o)
{
    double v[5] = {0};
    int64_t class_id = 0, track = 0;
    bool ok = fm__parse_int(f[8], &class_id) && (!*f[14] || fm__parse_int(f[14], &track));
    for (int i = 0; i < 5 && ok; i++) {
        ok = fm__parse_double(f[9 + i], &v[i]);
    }
    *o = (fm_store_object){.box = {(float)v[1], (float)v[2], (float)(v[1] + v[3]), (float)(v[2] + v[4])},
        .score = (float)v[0],
        .class_id = (int32_t)class_id,
        .label = f[7],
        .track = track};
    return ok;
}

static bool read_frame(char *const f[FIELDS], fm_store_record *r)
{
    int64_t n[5] = {0, FM_PTS_NONE, FM_PTS_NONE, 0, 0};
    for (int i = 0; i < 5; i++) {
        if ((*f[i] || i == 0 || i > 2) && !fm__parse_int(f[i], &n[i])) {
            return false;
        }
    }
    r->frame = (uint64_t)n[0];
    r->pts_ns = n[1];
    r->wall_ns = n[2];
    r->width = (int)n[3];
    r->height = (int)n[4];
    r->file = *f[5] ? f[5] : NULL;
    return n[0] >= 0 && n[3] >= 0 && n[3] <= INT32_MAX && n[4] >= 0 && n[4] <= INT32_MAX;
}

// A picture's name stays inside the folder.
static bool is_inside(const char *name)
{
    return name[0] != '/' && !strstr(name, "..");
}

static fm_status put_frame(importing *im, fm_store_record *r, const char *picture, fm_error *err)
{
    char *bytes = NULL;
    fm_frame *frame = NULL;
    r->run = im->run;
    r->objects = im->objects;
    r->object_count = im->object_count;
    if (picture && *picture && is_inside(picture)) {
        (void)load_picture(im, picture, r, &bytes, &frame); // said and counted: the frame comes without it
    }
    fm_status st = put(im, r, err);
    im->object_count = 0;
    fm__free(bytes);
    fm_frame_unref(&frame);
    return st;
}

static fm_status import_lines(importing *im, const char *name, char *text, fm_error *err)
{
    fm_store_record r = FM_STORE_RECORD_INIT;
    const char *picture = NULL, *now = NULL;
    fm_status st = FM_OK;
    char *next = NULL;
    long number = 1;
    for (char *line = text; st == FM_OK && line && *line; line = next, number++) {
        char *f[FIELDS], *end = strchr(line, '\n');
        next = end ? end + 1 : NULL;
        line[end ? (size_t)(end - line) : strlen(line)] = 0;
        line[strcspn(line, "\r")] = 0;
        if (number == 1) {
            if (strcmp(line, FM_STORE_CSV_HEAD) != 0) {
                return fm__fail(
                    err, FM_FORMAT, "%s does not begin with '%s': it is no export", name, FM_STORE_CSV_HEAD);
            }
            continue;
        }
        if (!split(line, f)) {
            return fm__fail(err, FM_FORMAT, "%s, line %ld: expected %d fields", name, number, FIELDS);
        }
        if (now && strcmp(now, f[0]) != 0) {
            st = put_frame(im, &r, picture, err);
        }
        fm_store_record fresh = FM_STORE_RECORD_INIT;
        r = fresh;
        now = f[0];
        picture = f[6];
        if (st == FM_OK && !fm__grow(FM_TAG_STORE, (void **)&im->objects, &im->object_cap,
                               im->object_count + 1, sizeof(*im->objects))) {
            st = fm__fail_nomem(err, "the objects of a frame");
        }
        if (st == FM_OK &&
            (!read_frame(f, &r) || (*f[8] && !read_object(f, &im->objects[im->object_count])))) {
            return fm__fail(err, FM_FORMAT, "%s, line %ld: a field is no number", name, number);
        }
        im->object_count += st == FM_OK && *f[8];
    }
    return st == FM_OK && now ? put_frame(im, &r, picture, err) : st;
}

static fm_status begin(importing *im, const char *stream, fm_error *err)
{
    char *name = fm__safe_name(FM_TAG_STORE, stream);
    fm_status st =
        name ? fm_store_begin_run(im->s, name, NULL, &im->run, err) : fm__fail_nomem(err, "a name");
    im->n->streams += st == FM_OK;
    fm__free(name);
    return st;
}

static fm_status import_csv(importing *im, const char *name, fm_error *err)
{
    char *path = fm__path_join(FM_TAG_STORE, im->folder, name), *text = NULL,
         *stream = fm__strdup(FM_TAG_STORE, name);
    fm_status st = path && stream ? fm__file_read(FM_TAG_STORE, path, MAX_FILE, &text, NULL, err)
                                  : fm__fail_nomem(err, "a path");
    if (st == FM_OK) {
        stream[strlen(stream) - strlen(".csv")] = 0;
        st = begin(im, stream, err);
    }
    im->object_count = 0;
    st = st == FM_OK ? import_lines(im, name, text, err) : st;
    fm__free(stream);
    fm__free(text);
    fm__free(path);
    return st;
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static fm_status import_all(importing *im, struct dirent **names, int n, bool csv, fm_error *err)
{
    fm_status st = FM_OK;
    uint64_t number = 0;
    if (!csv) {
        char real[4096];
        if (!realpath(im->folder, real)) {
            return fm__fail_errno(err, errno, "cannot read folder", im->folder);
        }
        st = begin(im, fm__path_base(real), err);
    }
    for (int i = 0; i < n && st == FM_OK; i++) {
        const char *name = names[i]->d_name;
        if (csv && fm__str_ends(name, ".csv")) {
            st = import_csv(im, name, err);
        } else if (!csv && fm__image_is_picture_name(name)) {
            st = import_picture(im, name, number++, err);
        }
    }
    return st;
}

fm_status fm_store_import(fm_store *s, const char *folder, fm_store_imported *out, fm_error *err)
{
    fm_status st;
    fm_store_imported count = {0};
    importing im = {.s = s, .folder = folder, .n = &count};
    struct dirent **names = NULL;
    bool csv = false;
    if (!fm__store_writes(s, "cannot import", err, &st)) {
        return st;
    }
    int n = scandir(folder, &names, NULL, by_name);
    if (n < 0) {
        return fm__fail_errno(err, errno, "cannot read folder", folder);
    }
    for (int i = 0; i < n; i++) {
        csv = csv || fm__str_ends(names[i]->d_name, ".csv");
    }
    st = fm__image_init(err);
    bool ready = st == FM_OK;
    st = st == FM_OK ? fm__frame_pool_new(&im.pool, err) : st;
    st = st == FM_OK ? import_all(&im, names, n, csv, err) : st;
    fm_error later;
    fm_status flushed = fm_store_flush(s, &later);
    if (st == FM_OK && flushed != FM_OK) {
        st = fm__fail_native(err, flushed, later.native, "%s", later.msg);
    }
    for (int i = 0; i < n; i++) {
        free(names[i]);
    }
    free(names);
    fm__free(im.objects);
    fm__frame_pool_free(&im.pool);
    if (ready) {
        fm__image_shutdown();
    }
    if (st == FM_OK && out) {
        *out = count;
    }
    return st;
}
