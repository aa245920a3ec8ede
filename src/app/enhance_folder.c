// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// The pictures of a folder over threads: one picture a thread, so that one is decoded while another is
// enhanced or packed; where there are fewer pictures than threads, rows of each go over the rest. Every
// picture is the same whoever does it. Pictures under way together hold no more pixels than the largest
// single one may have: a thread waits with its picture until it fits, or until it is alone. One picture that
// fails holds up no other; only when memory runs out, or nothing can be written, is there no point in going
// on.

#include "app/enhance_private.h"

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/str.h"
#include "base/thread.h"
#include "image/image.h"
#include "image/picture.h"
#include "stream/source.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { MAX_WORKERS = 64 };

#define DEFAULT_BUDGET ((int64_t)16384 * 16384 / 2)

typedef struct folder {
    fm__enhance_job *job;   // its progress belongs to the caller's thread
    struct dirent **list;   // immutable
    int count;              // immutable
    int64_t budget;         // pixels of results, immutable
    pthread_mutex_t lock;   // of all below
    pthread_cond_t moved;   // something below changed
    int next, done, failed; // pictures
    int running;            // threads
    int64_t pixels;         // of pictures under way
    bool stop;              // no further picture is begun
    fm_status fatal;        // FM_OK: none
    fm_error why;           // of fatal
    int first;              // picture whose error is kept; count: none
    fm_error first_error;
} folder;

typedef struct thread {
    pthread_t id;
    folder *f;
    fm__enhance_worker worker;
} thread;

/* ---- names ---- */

static int is_picture(const struct dirent *e)
{
    return e->d_name[0] != '.' && e->d_type != DT_DIR && fm__image_is_picture_name(e->d_name);
}

static int compare_names(const struct dirent **a, const struct dirent **b)
{
    return fm__natural_compare((*a)->d_name, (*b)->d_name);
}

static bool is_listed(const folder *f, const char *name)
{
    for (int i = 0; i < f->count; i++) {
        if (strcmp(f->list[i]->d_name, name) == 0) {
            return true;
        }
    }
    return false;
}

// The same name. Where there is no writer for its kind (BMP), .png after it, or -2.png and so on where a
// picture of that name stands in the folder already.
static char *output_name(const folder *f, const char *name)
{
    if (fm__image_can_save(name)) {
        return fm__strdup(FM_TAG_APP, name);
    }
    char *out = fm__asprintf(FM_TAG_APP, "%s.png", name);
    for (int n = 2; out && is_listed(f, out); n++) {
        fm__free(out);
        out = fm__asprintf(FM_TAG_APP, "%s-%d.png", name, n);
    }
    return out;
}

/* ---- a thread ---- */

// Pixels of the result, for the budget. What says no size here is done alone.
static int64_t pixels_of(const folder *f, const char *path)
{
    int w = 0, h = 0, scale = f->job->spec.scale > 1 ? f->job->spec.scale : 1;
    fm_error why = {0};
    return fm__picture_size(path, &w, &h, &why) == FM_OK ? (int64_t)w * h * scale * scale : f->budget;
}

static fm_status one(thread *t, const char *from, const char *name, bool *is_writing, fm_error *err)
{
    char *to_name = output_name(t->f, name);
    char *to = to_name ? fm__path_join(FM_TAG_APP, t->f->job->opts->output, to_name) : NULL;
    fm_status st = to ? fm__enhance_one(&t->worker, from, to, is_writing, err)
                      : fm__fail_nomem(err, "the path of a picture");
    fm__free(to_name);
    fm__free(to);
    return st;
}

// Memory is out, or nothing can be written: no other picture would fare better. What its kind of file cannot
// hold is this picture's own trouble.
static bool ends_all(fm_status st, bool is_writing)
{
    return st == FM_NOMEM || (is_writing && st != FM_OK && st != FM_UNSUPPORTED && st != FM_INTERNAL);
}

// With the lock held.
static void note(folder *f, int i, fm_status st, bool is_fatal, const fm_error *why)
{
    f->done++;
    f->failed += st != FM_OK;
    if (st != FM_OK && i < f->first) {
        f->first = i;
        f->first_error = *why;
    }
    if (is_fatal && f->fatal == FM_OK) {
        f->fatal = st;
        f->why = *why;
    }
    f->stop = f->stop || is_fatal;
}

// The lock is held before and after, not between.
static void do_picture(thread *t, int i)
{
    folder *f = t->f;
    bool is_writing = false;
    fm_error why = {.status = FM_OK};
    pthread_mutex_unlock(&f->lock);
    char *from = fm__path_join(FM_TAG_APP, f->job->opts->input, f->list[i]->d_name);
    int64_t pixels = from ? pixels_of(f, from) : 0;
    pthread_mutex_lock(&f->lock);
    while (!f->stop && f->pixels > 0 && f->pixels + pixels > f->budget) {
        pthread_cond_wait(&f->moved, &f->lock);
    }
    if (!f->stop) {
        f->pixels += pixels;
        pthread_mutex_unlock(&f->lock);
        fm_status st = from ? one(t, from, f->list[i]->d_name, &is_writing, &why)
                            : fm__fail_nomem(&why, "the path of a picture");
        bool is_fatal = ends_all(st, is_writing);
        if (st != FM_OK && !is_fatal) {
            fm__log(&f->job->opts->log, FM_LOG_WARN, "enhance", "left out: %s", why.msg);
        }
        pthread_mutex_lock(&f->lock);
        f->pixels -= pixels;
        note(f, i, st, is_fatal, &why);
        pthread_cond_broadcast(&f->moved);
    }
    fm__free(from);
}

static void *work(void *opaque)
{
    thread *t = opaque;
    folder *f = t->f;
    pthread_mutex_lock(&f->lock);
    while (!f->stop && f->next < f->count) {
        do_picture(t, f->next++);
    }
    f->running--;
    pthread_cond_broadcast(&f->moved);
    pthread_mutex_unlock(&f->lock);
    return NULL;
}

/* ---- the caller's thread ---- */

// Until all threads have ended; the caller hears of every picture.
static bool watch(folder *f)
{
    int told = 0;
    bool goes_on = true;
    pthread_mutex_lock(&f->lock);
    while (f->running > 0) {
        pthread_cond_wait(&f->moved, &f->lock);
        if (f->done > told) {
            told = f->done;
            f->job->progress.done = (uint64_t)f->done;
            f->job->progress.failed = (uint64_t)f->failed;
            pthread_mutex_unlock(&f->lock);
            goes_on = fm__enhance_tell(f->job) && goes_on;
            pthread_mutex_lock(&f->lock);
            f->stop = f->stop || !goes_on;
            pthread_cond_broadcast(&f->moved);
        }
    }
    pthread_mutex_unlock(&f->lock);
    return goes_on;
}

static fm_status outcome(const folder *f, bool goes_on, fm_error *err)
{
    if (f->fatal != FM_OK) {
        return fm__fail(err, f->fatal, "%s", f->why.msg);
    }
    if (!goes_on && f->done < f->count) {
        return fm__fail(err, FM_CANCELED, "stopped");
    }
    if (f->failed == f->count) {
        return fm__fail(err, f->first_error.status, "none of the %d pictures in '%s' could be enhanced: %s",
            f->count, f->job->opts->input, f->first_error.msg);
    }
    return FM_OK;
}

// A network takes all cores by itself, and its slots serve one.
static int worker_count(const folder *f, int threads)
{
    int n = f->job->model ? 1 : threads;
    n = n < f->count ? n : f->count;
    return n > MAX_WORKERS ? MAX_WORKERS : n;
}

static fm_status run_threads(folder *f, fm_error *err)
{
    static const char name[] = "fm-pictures";
    thread threads[MAX_WORKERS];
    int all = fm__enhance_threads(f->job), n = worker_count(f, all), ready = 0, started = 0;
    bool goes_on = true;
    fm_status st = FM_OK;
    for (; ready < n && st == FM_OK; ready++) {
        threads[ready].f = f;
        st = fm__enhance_worker_init(&threads[ready].worker, f->job, all / n, err);
    }
    for (; started < n && st == FM_OK; started += st == FM_OK) {
        pthread_mutex_lock(&f->lock);
        f->running++;
        pthread_mutex_unlock(&f->lock);
        st = fm__thread_start(&threads[started].id, name, work, &threads[started], err);
        if (st != FM_OK) {
            pthread_mutex_lock(&f->lock);
            f->running--;
            pthread_mutex_unlock(&f->lock);
        }
    }
    if (started > 0) { // with fewer threads than hoped for it takes longer
        goes_on = watch(f);
        st = FM_OK;
    }
    for (int i = 0; i < started; i++) {
        pthread_join(threads[i].id, NULL);
    }
    for (int i = 0; i < ready; i++) {
        fm__enhance_worker_done(&threads[i].worker);
    }
    return st == FM_OK ? outcome(f, goes_on, err) : st;
}

static fm_status do_all(fm__enhance_job *j, struct dirent **list, int count, fm_error *err)
{
    folder f = {.job = j, .list = list, .count = count, .first = count};
    f.budget = j->opts->max_pixels > 0 ? j->opts->max_pixels : DEFAULT_BUDGET;
    j->progress.expected = (uint64_t)count;
    if (!fm__enhance_tell(j)) {
        return fm__fail(err, FM_CANCELED, "stopped");
    }
    pthread_mutex_init(&f.lock, NULL);
    fm__cond_init(&f.moved);
    fm_status st = run_threads(&f, err);
    pthread_cond_destroy(&f.moved);
    pthread_mutex_destroy(&f.lock);
    return st;
}

/* ---- the folder ---- */

// Folders in the folder are not entered; but for the output's own, that is said.
static void tell_of_folders(const fm__enhance_job *j)
{
    struct stat own, st;
    int count = 0;
    DIR *dir = opendir(j->opts->input);
    bool has_own = stat(j->opts->output, &own) == 0;
    for (const struct dirent *e = dir ? readdir(dir) : NULL; e; e = readdir(dir)) {
        if (e->d_name[0] != '.' && fstatat(dirfd(dir), e->d_name, &st, 0) == 0 && S_ISDIR(st.st_mode)) {
            count += !(has_own && st.st_dev == own.st_dev && st.st_ino == own.st_ino);
        }
    }
    if (dir) {
        closedir(dir);
    }
    if (count > 0) {
        fm__log(&j->opts->log, FM_LOG_WARN, "enhance",
            "left out: %d folder%s in '%s'; give each one by itself", count, count == 1 ? "" : "s",
            j->opts->input);
    }
}

fm_status fm__enhance_folder(fm__enhance_job *j, fm_error *err)
{
    struct dirent **list = NULL;
    fm_status st = fm__mkdir_all(j->opts->output, err);
    if (st != FM_OK) {
        return st;
    }
    int count = scandir(j->opts->input, &list, is_picture, compare_names);
    if (count < 0) {
        return fm__fail_errno(err, errno, "cannot open folder", j->opts->input);
    }
    tell_of_folders(j);
    st = count > 0 ? do_all(j, list, count, err)
                   : fm__fail(err, FM_NOTFOUND,
                         "no pictures in folder '%s'; it needs .jpg, .png, .webp, .tif or .bmp files",
                         j->opts->input);
    for (int i = 0; i < count; i++) {
        free(list[i]);
    }
    free(list);
    return st;
}
