// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// A store's life: lock, database, what a killed writer left, the writer's thread; and the way back. A writer
// never goes on with a segment of an earlier one: its first picture begins a new file.

#include "store/private.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/str.h"
#include "base/thread.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define DEFAULT_QUALITY 85
#define DEFAULT_FLOOR (INT64_C(256) << 20)

fm_status fm__store_lock(const char *dir, int *out, fm_error *err)
{
    char *path = fm__path_join(FM_TAG_STORE, dir, FM_STORE_LOCK);
    if (!path) {
        return fm__fail_nomem(err, "a path");
    }
    fm_status st = FM_OK;
    long holder = 0;
    int fd = fm__file_lock(path, 0644, &holder);
    if (fd >= 0) {
        *out = fd;
    } else if (errno == EWOULDBLOCK) {
        st = fm__fail(err, FM_BUSY,
            "process %ld writes into the store %s already: end it, or give another folder", holder, dir);
    } else {
        st = fm__fail_errno(err, errno, "cannot write into the store: cannot lock", path);
    }
    fm__free(path);
    return st;
}

static fm_status check_opts(const fm_store_opts *o, fm_error *err)
{
    if (!o || o->struct_size != sizeof(*o)) {
        return fm__fail(err, FM_INVAL,
            "fm_store_opts has %zu bytes instead of %zu: begin with FM_STORE_OPTS_INIT",
            o ? o->struct_size : 0, sizeof(*o));
    }
    if (!o->dir || !*o->dir) {
        return fm__fail(err, FM_INVAL, "a store without a folder");
    }
    if (o->jpeg_quality < 0 || o->jpeg_quality > 100 || o->max_age_s < 0 ||
        o->max_age_s > INT64_C(1000000000) || o->max_bytes < 0 || o->segment_bytes < 0) {
        return fm__fail(err, FM_INVAL, "a bound of the store is out of range");
    }
    return FM_OK;
}

static fm_status make_folders(const char *dir, fm_error *err)
{
    static const char *const names[] = {FM_STORE_SEGMENTS, FM_STORE_INDEX};
    fm_status st = fm__mkdir_all(dir, err);
    for (size_t i = 0; i < 2 && st == FM_OK; i++) {
        char *path = fm__path_join(FM_TAG_STORE, dir, names[i]);
        st = path ? fm__mkdir_all(path, err) : fm__fail_nomem(err, "a path");
        fm__free(path);
    }
    return st;
}

// Number of NNNNNNNN.seg, or -1.
static int64_t segment_number(const char *name)
{
    char digits[24];
    size_t n = strspn(name, "0123456789");
    int64_t id = 0;
    if (n < 8 || n > 18 || strcmp(name + n, ".seg") != 0) {
        return -1;
    }
    memcpy(digits, name, n);
    digits[n] = 0;
    return fm__parse_int(digits, &id) ? id : -1;
}

typedef struct collected {
    uint64_t files, tails, bytes, short_files;
} collected;

// A file that no row names goes; one that is longer than its row is cut; a shorter one is counted.
static fm_status collect_file(fm_store *s, const char *path, int64_t id, collected *c, fm_error *err)
{
    int64_t bytes = 0, size = fm__file_size(path);
    fm_status st = fm__sql_int_of(s->db, "SELECT bytes FROM segments WHERE id = ?1", id, &bytes, NULL);
    if (st == FM_NOTFOUND) {
        c->files++;
        c->bytes += size > 0 ? (uint64_t)size : 0;
        return s->io->remove(s->io->opaque, path) == 0
                   ? FM_OK
                   : fm__fail_errno(err, errno, "cannot delete what has no row", path);
    }
    if (st != FM_OK) {
        return fm__sql_fail(s->db, "the store", err);
    }
    c->short_files += size < bytes;
    if (size <= bytes) {
        return FM_OK;
    }
    c->tails++;
    c->bytes += (uint64_t)(size - bytes);
    int fd = open(path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 || s->io->truncate(s->io->opaque, fd, bytes) != 0) {
        st = fm__fail_errno(err, errno, "cannot cut what has no row off", path);
    }
    if (fd >= 0) {
        close(fd);
    }
    return st;
}

fm_status fm__store_recover(fm_store *s, fm_error *err)
{
    char *folder = fm__path_join(FM_TAG_STORE, s->dir, FM_STORE_SEGMENTS);
    if (!folder) {
        return fm__fail_nomem(err, "a path");
    }
    collected c = {0};
    fm_status st = FM_OK;
    DIR *d = opendir(folder);
    if (!d) {
        st = fm__fail_errno(err, errno, "cannot read folder", folder);
    }
    for (struct dirent *e; st == FM_OK && (e = readdir(d));) {
        int64_t id = segment_number(e->d_name);
        char *path = id >= 0 ? fm__path_join(FM_TAG_STORE, folder, e->d_name) : NULL;
        if (id >= 0) {
            st = path ? collect_file(s, path, id, &c, err) : fm__fail_nomem(err, "a path");
        }
        fm__free(path);
    }
    if (d) {
        closedir(d);
    }
    if (c.files + c.tails > 0) {
        fm__log(&s->o.log, FM_LOG_INFO, "store",
            "%llu files and %llu ends of files that were never acknowledged are gone (%llu bytes)",
            (unsigned long long)c.files, (unsigned long long)c.tails, (unsigned long long)c.bytes);
    }
    if (c.short_files > 0) {
        fm__log(&s->o.log, FM_LOG_WARN, "store",
            "%llu files of pictures are shorter than they were: see 'framemill store verify'",
            (unsigned long long)c.short_files);
    }
    fm__free(folder);
    return st;
}

static fm_status load_models(fm_store *s, fm_error *err)
{
    sqlite3_stmt *q = NULL;
    bool row = true;
    fm_status st = fm__sql_prepare(s->db, "SELECT name, kind = 'frame', dim FROM models", &q, err);
    while (st == FM_OK) {
        st = fm__sql_step(q, &row, err);
        if (st != FM_OK || !row) {
            break;
        }
        char *name = fm__strdup(FM_TAG_STORE, (const char *)sqlite3_column_text(q, 0));
        if (!name || !fm__grow(FM_TAG_STORE, (void **)&s->models, &s->model_cap, s->model_count + 1,
                         sizeof(*s->models))) {
            fm__free(name);
            st = fm__fail_nomem(err, "models' names");
            break;
        }
        s->models[s->model_count++] = (model_entry){
            .name = name, .of_frames = sqlite3_column_int(q, 1), .dim = sqlite3_column_int(q, 2)};
    }
    sqlite3_finalize(q);
    return st;
}

// Bytes of the longest part of a path that is a folder; 0: none, so it begins in the present folder.
static size_t existing_part(const char *path)
{
    char *copy = fm__strdup(FM_TAG_STORE, path);
    size_t n = copy ? strlen(copy) : 0;
    while (n > 0 && !fm__is_dir(copy)) {
        char *slash = strrchr(copy, '/');
        n = slash ? (size_t)(slash - copy) : 0;
        copy[n] = 0;
    }
    fm__free(copy);
    return n;
}

// The store's folder, the one that holds its name, and so on up to the one that was there before.
static fm_status sync_folders(fm_store *s, size_t existed, fm_error *err)
{
    char *path = fm__strdup(FM_TAG_STORE, s->dir);
    fm_status st = path ? FM_OK : fm__fail_nomem(err, "a path");
    for (size_t n = path ? strlen(path) : 0, last = SIZE_MAX; st == FM_OK && last > existed;) {
        const char *at = n > 0 ? path : s->dir[0] == '/' ? "/" : ".";
        if (s->io->sync_folder(s->io->opaque, at) != 0) {
            st = fm__fail_errno(err, errno, "cannot sync folder", at);
        }
        char *slash = strrchr(path, '/');
        last = n;
        n = slash ? (size_t)(slash - path) : 0;
        path[n] = 0;
    }
    fm__free(path);
    return st;
}

static fm_status open_to_write(fm_store *s, fm_error *err)
{
    size_t existed = existing_part(s->dir);
    fm_status st = make_folders(s->dir, err);
    st = st == FM_OK ? fm__store_lock(s->dir, &s->lock_fd, err) : st;
    st = st == FM_OK ? fm__sql_open_writer(s->dir, s->vfs, s->o.sync == FM_STORE_SYNC_FULL, &s->db, err) : st;
    st = st == FM_OK ? fm__schema_upgrade(s->db, FM_SCHEMA_VERSION, &s->o.log, err) : st;
    st = st == FM_OK ? fm__store_recover(s, err) : st;
    st = st == FM_OK ? load_models(s, err) : st;
    st = st == FM_OK ? fm__rows_prepare(s, err) : st;
    st = st == FM_OK && s->o.sync == FM_STORE_SYNC_FULL ? sync_folders(s, existed, err) : st;
    if (st == FM_OK) {
        st = fm__thread_start(&s->thread, "fm-store", fm__store_writer, s, err);
        s->running = st == FM_OK;
    }
    return st;
}

static fm_status open_to_read(fm_store *s, fm_error *err)
{
    int version = 0;
    if (!fm__is_dir(s->dir)) {
        return fm__fail(err, FM_NOTFOUND, "there is no store %s", s->dir);
    }
    fm_status st = fm__sql_open_reader(s->dir, s->vfs, &s->reader, err);
    st = st == FM_OK ? fm__schema_version(s->reader, &version, err) : st;
    if (st == FM_OK && version != FM_SCHEMA_VERSION) {
        st = fm__fail(err, version == 0 ? FM_NOTFOUND : FM_UNSUPPORTED,
            version == 0 ? "there is no store in %s (version %d, not %d)"
            : version < FM_SCHEMA_VERSION
                ? "the store %s is of version %d, and %d is read: run 'framemill store prune' "
                  "once to bring it up to date"
                : "the store %s is of version %d and this framemill knows up to %d: use a newer "
                  "framemill",
            s->dir, version, FM_SCHEMA_VERSION);
    }
    return st;
}

// Frees; the thread has ended, or never began.
static void free_store(fm_store *s)
{
    fm__rows_done(s);
    sqlite3_close(s->reader);
    sqlite3_close(s->db); // puts the log back into the database
    if (s->lock_fd >= 0) {
        close(s->lock_fd);
    }
    for (size_t i = 0; i < s->encoder_count; i++) {
        fm__jpeg_free(&s->encoders[i]);
    }
    for (size_t i = 0; i < s->model_count; i++) {
        fm__free(s->models[i].name);
    }
    fm__free(s->models);
    fm__free(s->runs);
    fm__free(s->vfs);
    fm__free(s->dir);
    pthread_mutex_destroy(&s->lock);
    pthread_mutex_destroy(&s->read_lock);
    pthread_cond_destroy(&s->work);
    pthread_cond_destroy(&s->room);
    pthread_cond_destroy(&s->done);
    fm__free(s);
}

fm_status fm__store_open(const fm_store_opts *o, const fm__store_hooks *hooks, fm_store **out, fm_error *err)
{
    fm_status st = check_opts(o, err);
    if (st != FM_OK) {
        return st;
    }
    fm_store *s = fm__calloc(FM_TAG_STORE, sizeof(*s));
    if (!s) {
        return fm__fail_nomem(err, "a store");
    }
    s->o = *o;
    s->o.dir = NULL;
    s->o.jpeg_quality = o->jpeg_quality > 0 ? o->jpeg_quality : DEFAULT_QUALITY;
    s->o.free_floor = o->free_floor == 0 ? DEFAULT_FLOOR : o->free_floor < 0 ? 0 : o->free_floor;
    s->lock_fd = -1;
    s->io = hooks && hooks->io ? hooks->io : &fm__store_system_io;
    pthread_mutex_init(&s->lock, NULL);
    pthread_mutex_init(&s->read_lock, NULL);
    fm__cond_init(&s->work);
    fm__cond_init(&s->room);
    fm__cond_init(&s->done);
    s->dir = fm__strdup(FM_TAG_STORE, o->dir);
    s->vfs = hooks ? fm__strdup(FM_TAG_STORE, hooks->vfs) : NULL;
    if (!s->dir || (hooks && hooks->vfs && !s->vfs)) {
        st = fm__fail_nomem(err, "a store");
    } else {
        st = o->read_only ? open_to_read(s, err) : open_to_write(s, err);
    }
    if (st != FM_OK) {
        free_store(s);
        return st;
    }
    *out = s;
    return FM_OK;
}

fm_status fm_store_open(const fm_store_opts *opts, fm_store **out, fm_error *err)
{
    return fm__store_open(opts, NULL, out, err);
}

fm_status fm_store_close(fm_store **store, fm_error *err)
{
    if (!store || !*store) {
        return FM_OK;
    }
    fm_store *s = *store;
    *store = NULL;
    if (s->running) {
        pthread_mutex_lock(&s->lock);
        s->closing = true;
        pthread_cond_broadcast(&s->work);
        pthread_cond_broadcast(&s->room);
        pthread_mutex_unlock(&s->lock);
        pthread_join(s->thread, NULL);
    }
    fm_status st = s->last_loss;
    if (st != FM_OK) {
        (void)fm__fail_native(err, st, s->last_err.native, "the store %s lost %llu records, the last: %s",
            s->dir, (unsigned long long)s->lost, s->last_err.msg);
    }
    free_store(s);
    return st;
}
