// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Pictures: one file, or a folder of them in natural order of their names ("2.jpg" before "10.jpg"), not
// recursive, hidden files left out. A picture of a folder that cannot be read is counted, logged and left
// out; a single one is the stream's error. Pictures carry no time: a folder counts as 25 frames a second, so
// that numbered frames of a video play as one.

#include "stream/source.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/str.h"
#include "image/image.h"
#include "media/decode.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FOLDER_FPS 25

struct fm_source {
    fm_frame_pool *pool;
    char **paths; // [count]
    size_t count, cap, next;
    bool is_folder;
    int64_t max_pixels;
    const fm_log *log;
    const atomic_bool *cancel;
    atomic_bool interrupted;
    uint64_t delivered, skipped;
    char first_skipped[FM_FILE_NAME_MAX];
};

// Compares the digit runs at *a and *b by value and steps over them.
static int compare_numbers(const char **a, const char **b)
{
    while (**a == '0') {
        ++*a;
    }
    while (**b == '0') {
        ++*b;
    }
    size_t na = strspn(*a, "0123456789"), nb = strspn(*b, "0123456789");
    int order = na != nb ? (na > nb ? 1 : -1) : memcmp(*a, *b, na);
    *a += na;
    *b += nb;
    return order;
}

int fm__natural_compare(const char *a, const char *b)
{
    const char *x = a, *y = b;
    while (*x && *y) {
        if (isdigit((unsigned char)*x) && isdigit((unsigned char)*y)) {
            int order = compare_numbers(&x, &y);
            if (order != 0) {
                return order;
            }
        } else if (*x != *y) {
            break;
        } else {
            x++;
            y++;
        }
    }
    int order = (int)(unsigned char)*x - (int)(unsigned char)*y;
    return order != 0 ? order : strcmp(a, b); // "01" and "1" are two files
}

static int compare_paths(const void *a, const void *b)
{
    return fm__natural_compare(*(char *const *)a, *(char *const *)b);
}

// Takes `path` over, also when it fails.
static bool add_path(fm_source *s, char *path)
{
    if (!path || !fm__grow(FM_TAG_STREAM, (void **)&s->paths, &s->cap, s->count + 1, sizeof(*s->paths))) {
        fm__free(path);
        return false;
    }
    s->paths[s->count++] = path;
    return true;
}

static bool is_picture_entry(int dir_fd, const char *name)
{
    struct stat st;
    return name[0] != '.' && fm__image_is_picture_name(name) && fstatat(dir_fd, name, &st, 0) == 0 &&
           S_ISREG(st.st_mode);
}

static fm_status list_folder(fm_source *s, const char *folder, fm_error *err)
{
    DIR *dir = opendir(folder);
    if (!dir) {
        return fm__fail_errno(err, errno, "cannot open folder", folder);
    }
    fm_status st = FM_OK;
    const struct dirent *e;
    while (st == FM_OK && (e = readdir(dir))) {
        if (is_picture_entry(dirfd(dir), e->d_name) &&
            !add_path(s, fm__path_join(FM_TAG_STREAM, folder, e->d_name))) {
            st = fm__fail_nomem(err, "a list of pictures");
        }
    }
    closedir(dir);
    if (st == FM_OK && s->count == 0) {
        st = fm__fail(err, FM_NOTFOUND,
            "no pictures in folder '%s'; it needs .jpg, .png, .webp, .tif or .bmp files", folder);
    }
    if (st == FM_OK) {
        qsort(s->paths, s->count, sizeof(*s->paths), compare_paths);
    }
    return st;
}

static void pictures_close(fm_source *s)
{
    for (size_t i = 0; i < s->count; i++) {
        fm__free(s->paths[i]);
    }
    fm__free(s->paths);
    fm__frame_pool_free(&s->pool);
    fm__free(s);
}

static fm_status pictures_open(
    const fm_source_opts *opts, fm_stream_kind kind, fm_source **out, fm_stream_info *info, fm_error *err)
{
    fm_source *s = fm__calloc(FM_TAG_STREAM, sizeof(*s));
    if (!s) {
        return fm__fail_nomem(err, "a stream");
    }
    s->is_folder = kind == FM_STREAM_FOLDER;
    s->max_pixels = opts->max_pixels;
    s->log = opts->log;
    s->cancel = opts->cancel;
    atomic_init(&s->interrupted, false);
    fm_status st = fm__frame_pool_new(&s->pool, err);
    if (st == FM_OK && s->is_folder) {
        st = list_folder(s, opts->url, err);
    } else if (st == FM_OK && !add_path(s, fm__strdup(FM_TAG_STREAM, opts->url))) {
        st = fm__fail_nomem(err, "a stream");
    }
    if (st != FM_OK) {
        pictures_close(s);
        return st;
    }
    info->frame_count = s->count;
    info->fps = s->is_folder ? FOLDER_FPS : 0;
    *out = s;
    return FM_OK;
}

// By content: a BMP named .jpg is a BMP.
static bool is_bmp(const char *path)
{
    char magic[2] = {0};
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        return false; // the reader will say why
    }
    bool bmp = pread(fd, magic, sizeof(magic), 0) == (ssize_t)sizeof(magic) && memcmp(magic, "BM", 2) == 0;
    close(fd);
    return bmp;
}

static fm_status load(fm_source *s, const char *path, fm_frame **out, fm_error *err)
{
    return is_bmp(path) ? fm__media_picture(path, s->max_pixels, s->pool, out, err)
                        : fm__image_load(path, s->max_pixels, s->pool, out, err);
}

static bool is_stopped(const fm_source *s)
{
    return atomic_load(&s->interrupted) || (s->cancel && atomic_load(s->cancel));
}

static fm_status at_end(const fm_source *s, fm_error *err)
{
    if (s->delivered == 0 && s->skipped > 0) {
        return fm__fail(err, FM_FORMAT,
            "none of the %llu pictures in the folder could be read; the log says why",
            (unsigned long long)s->skipped);
    }
    if (s->skipped > 0) {
        (void)fm__fail(err, FM_FORMAT, "%llu of %zu pictures could not be read, the first of them '%s'",
            (unsigned long long)s->skipped, s->count, s->first_skipped);
    }
    return FM_EOF;
}

static fm_status pictures_read(fm_source *s, fm_frame **out, fm_error *err)
{
    while (s->next < s->count) {
        if (is_stopped(s)) {
            return fm__fail(err, FM_CANCELED, "reading pictures: stopped");
        }
        fm_error why = {.status = FM_OK};
        fm_frame *frame = NULL;
        const char *path = s->paths[s->next++];
        fm_status st = load(s, path, &frame, &why);
        if (st == FM_OK) {
            snprintf(frame->file, sizeof(frame->file), "%s", fm__path_base(path));
            frame->pts_ns = (int64_t)s->delivered++ * (FM_NS_PER_S / FOLDER_FPS);
            *out = frame;
            return FM_OK;
        }
        if (!s->is_folder || st == FM_NOMEM) {
            if (err) {
                *err = why;
            }
            return st;
        }
        if (s->skipped++ == 0) {
            snprintf(s->first_skipped, sizeof(s->first_skipped), "%s", fm__path_base(path));
        }
        fm__log(s->log, FM_LOG_WARN, "stream", "left out: %s", why.msg);
    }
    return at_end(s, err);
}

// Pictures that cannot be read have no number: without a mark the place of the n-th is found by reading.
static fm_status pictures_start(fm_source *s, uint64_t frame, const fm_stream_mark *mark, fm_error *err)
{
    if (!mark) {
        return FM_AGAIN;
    }
    const char *name = mark->place < s->count ? fm__path_base(s->paths[mark->place]) : "";
    if (strcmp(name, mark->file) != 0) {
        return fm__fail(err, FM_INVAL, "the folder has changed: picture %llu was '%s', and is '%s'",
            (unsigned long long)mark->place + 1, mark->file, name);
    }
    s->next = mark->place + 1;
    s->delivered = frame;
    return FM_OK;
}

static void pictures_mark(const fm_source *s, fm_stream_mark *out)
{
    out->place = s->next - 1;
    snprintf(out->file, sizeof(out->file), "%s", fm__path_base(s->paths[out->place]));
}

static void pictures_stats(const fm_source *s, fm_stream_stats *out)
{
    out->skipped = s->skipped;
}

static void pictures_interrupt(fm_source *s)
{
    atomic_store(&s->interrupted, true);
}

const fm_source_ops fm__picture_source = {
    .name = "pictures",
    .open = pictures_open,
    .read = pictures_read,
    .start = pictures_start,
    .mark = pictures_mark,
    .stats = pictures_stats,
    .interrupt = pictures_interrupt,
    .close = pictures_close,
};
