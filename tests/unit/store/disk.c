// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Records at two places: SQLite's files through a VFS that stands before the system's, segment files through
// the store's own table of calls. SQLite's unix VFS syncs the folder together with the first sync of a log
// that it made (UNIXFILE_DIRSYNC in its os_unix.c); the recording does so, too.

#include "disk.h"

#include "../testing.h"

#include <fcntl.h>
#include <pthread.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SECTOR = 512, MAX_FILES = 512 };

typedef enum event_kind { CREATE, WRITE, CUT, SYNC, SYNC_FOLDER, REMOVE, ACK } event_kind;

typedef struct event {
    event_kind kind;
    int file; // its number; of SYNC_FOLDER: of any file in it
    int64_t at, len;
    uint8_t *data;
    int64_t run;    // of ACK
    size_t certain; // events after which it is on the disk for certain
} event;

/** One life of a name: made anew after a removal, it is another file. */
typedef struct known {
    char name[64]; // below the store's folder
    bool gone, new_log;
} known;

struct disk {
    char dir[512];
    fm__store_hooks hooks;
    fm_store_io io;
    sqlite3_vfs vfs;
    pthread_mutex_t lock;
    bool ended;
    event *events;
    size_t count, cap;
    known files[MAX_FILES];
    int file_count;
};

typedef struct seen_file {
    sqlite3_file base;
    int file; // -1: not recorded
    disk *d;
    sqlite3_file *real;
} seen_file;

static void add(disk *d, event e, const void *data)
{
    if (d->ended) {
        return;
    }
    if (data) {
        e.data = malloc((size_t)e.len + 1);
        assert_non_null(e.data);
        memcpy(e.data, data, (size_t)e.len);
    }
    pthread_mutex_lock(&d->lock);
    if (d->count == d->cap) {
        d->cap = d->cap ? d->cap * 2 : 1024;
        d->events = realloc(d->events, d->cap * sizeof(event));
        assert_non_null(d->events);
    }
    d->events[d->count++] = e;
    pthread_mutex_unlock(&d->lock);
}

// The number of a living name; -1 for one that is not below the folder or not to be recorded.
static int find(disk *d, const char *path, bool make)
{
    size_t n = strlen(d->dir);
    if (d->ended || !path || strncmp(path, d->dir, n) != 0 || path[n] != '/' || strstr(path, "-shm")) {
        return -1;
    }
    int found = -1;
    pthread_mutex_lock(&d->lock);
    for (int i = 0; i < d->file_count; i++) {
        found = !d->files[i].gone && strcmp(d->files[i].name, path + n + 1) == 0 ? i : found;
    }
    if (found < 0 && make) {
        assert_true(d->file_count < MAX_FILES);
        found = d->file_count++;
        snprintf(d->files[found].name, sizeof(d->files[found].name), "%s", path + n + 1);
    }
    pthread_mutex_unlock(&d->lock);
    return found;
}

static int of_fd(disk *d, int fd)
{
    char link[64], path[1024];
    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof(path) - 1);
    assert_true(n > 0);
    path[n] = 0;
    int f = find(d, path, false);
    assert_true(f >= 0 || d->ended);
    return f;
}

// ---- the store's own calls

static int io_create(void *opaque, const char *path)
{
    disk *d = opaque;
    int fd = fm__store_system_io.create(NULL, path);
    if (fd >= 0) {
        add(d, (event){.kind = CREATE, .file = find(d, path, true)}, NULL);
    }
    return fd;
}

static ssize_t io_write(void *opaque, int fd, const struct iovec *v, int n, off_t at)
{
    disk *d = opaque;
    ssize_t w = fm__store_system_io.write(NULL, fd, v, n, at);
    int64_t to = at, left = w;
    for (int i = 0; i < n && left > 0; i++) {
        int64_t part = (int64_t)v[i].iov_len < left ? (int64_t)v[i].iov_len : left;
        add(d, (event){.kind = WRITE, .file = of_fd(d, fd), .at = to, .len = part}, v[i].iov_base);
        to += part;
        left -= part;
    }
    return w;
}

static int io_sync(void *opaque, int fd)
{
    add(opaque, (event){.kind = SYNC, .file = of_fd(opaque, fd)}, NULL);
    return 0; // the real disk plays no part
}

static bool same_folder(const disk *d, int a, int b)
{
    return (strchr(d->files[a].name, '/') != NULL) == (strchr(d->files[b].name, '/') != NULL);
}

static int io_sync_folder(void *opaque, const char *path)
{
    disk *d = opaque;
    size_t n = strlen(d->dir);
    bool below = strncmp(path, d->dir, n) == 0 && path[n] == '/';
    for (int i = d->file_count - 1; i >= 0; i--) {
        if (below == (strchr(d->files[i].name, '/') != NULL)) {
            add(d, (event){.kind = SYNC_FOLDER, .file = i}, NULL);
            break;
        }
    }
    return 0;
}

static int io_truncate(void *opaque, int fd, off_t size)
{
    add(opaque, (event){.kind = CUT, .file = of_fd(opaque, fd), .at = size}, NULL);
    return fm__store_system_io.truncate(NULL, fd, size);
}

static int remove_known(disk *d, int f)
{
    add(d, (event){.kind = REMOVE, .file = f}, NULL);
    d->files[f].gone = true;
    return f;
}

static int io_remove(void *opaque, const char *path)
{
    int f = find(opaque, path, false);
    int rc = fm__store_system_io.remove(NULL, path);
    if (rc == 0 && f >= 0) {
        remove_known(opaque, f);
    }
    return rc;
}

// ---- SQLite's

#define REAL(f) (((seen_file *)(f))->real)
#define FORWARD(call, ...) REAL(f)->pMethods->call(REAL(f), ##__VA_ARGS__)

static int seen_close(sqlite3_file *f)
{
    return FORWARD(xClose);
}

static int seen_read(sqlite3_file *f, void *out, int n, sqlite3_int64 at)
{
    return FORWARD(xRead, out, n, at);
}

static int seen_write(sqlite3_file *f, const void *data, int n, sqlite3_int64 at)
{
    seen_file *s = (seen_file *)f;
    if (s->file >= 0) {
        add(s->d, (event){.kind = WRITE, .file = s->file, .at = at, .len = n}, data);
    }
    return FORWARD(xWrite, data, n, at);
}

static int seen_truncate(sqlite3_file *f, sqlite3_int64 size)
{
    seen_file *s = (seen_file *)f;
    if (s->file >= 0) {
        add(s->d, (event){.kind = CUT, .file = s->file, .at = size}, NULL);
    }
    return FORWARD(xTruncate, size);
}

static int seen_sync(sqlite3_file *f, int flags)
{
    seen_file *s = (seen_file *)f;
    (void)flags;
    if (s->file >= 0) {
        add(s->d, (event){.kind = SYNC, .file = s->file}, NULL);
        if (s->d->files[s->file].new_log) {
            s->d->files[s->file].new_log = false;
            add(s->d, (event){.kind = SYNC_FOLDER, .file = s->file}, NULL);
        }
    }
    return SQLITE_OK;
}

static int seen_size(sqlite3_file *f, sqlite3_int64 *size)
{
    return FORWARD(xFileSize, size);
}

static int seen_lock(sqlite3_file *f, int level)
{
    return FORWARD(xLock, level);
}

static int seen_unlock(sqlite3_file *f, int level)
{
    return FORWARD(xUnlock, level);
}

static int seen_reserved(sqlite3_file *f, int *out)
{
    return FORWARD(xCheckReservedLock, out);
}

static int seen_control(sqlite3_file *f, int op, void *arg)
{
    return FORWARD(xFileControl, op, arg);
}

static int seen_sector(sqlite3_file *f)
{
    return FORWARD(xSectorSize);
}

static int seen_traits(sqlite3_file *f)
{
    return FORWARD(xDeviceCharacteristics);
}

static int seen_shm_map(sqlite3_file *f, int page, int size, int extend, void volatile **out)
{
    return FORWARD(xShmMap, page, size, extend, out);
}

static int seen_shm_lock(sqlite3_file *f, int at, int n, int flags)
{
    return FORWARD(xShmLock, at, n, flags);
}

static void seen_shm_barrier(sqlite3_file *f)
{
    FORWARD(xShmBarrier);
}

static int seen_shm_unmap(sqlite3_file *f, int del)
{
    return FORWARD(xShmUnmap, del);
}

static const sqlite3_io_methods seen_methods = {
    .iVersion = 2, // no mapping of the database: what is written goes through xWrite
    .xClose = seen_close,
    .xRead = seen_read,
    .xWrite = seen_write,
    .xTruncate = seen_truncate,
    .xSync = seen_sync,
    .xFileSize = seen_size,
    .xLock = seen_lock,
    .xUnlock = seen_unlock,
    .xCheckReservedLock = seen_reserved,
    .xFileControl = seen_control,
    .xSectorSize = seen_sector,
    .xDeviceCharacteristics = seen_traits,
    .xShmMap = seen_shm_map,
    .xShmLock = seen_shm_lock,
    .xShmBarrier = seen_shm_barrier,
    .xShmUnmap = seen_shm_unmap,
};

static sqlite3_vfs *system_vfs(void)
{
    return sqlite3_vfs_find("unix");
}

static int vfs_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *f, int flags, int *out)
{
    disk *d = vfs->pAppData;
    seen_file *s = (seen_file *)f;
    bool is_new = name && access(name, F_OK) != 0;
    *s = (seen_file){.d = d, .real = (sqlite3_file *)(s + 1)};
    int rc = system_vfs()->xOpen(system_vfs(), name, s->real, flags, out);
    s->base.pMethods = s->real->pMethods ? &seen_methods : NULL;
    s->file = find(d, name, rc == SQLITE_OK);
    if (rc == SQLITE_OK && is_new && s->file >= 0) {
        add(d, (event){.kind = CREATE, .file = s->file}, NULL);
        d->files[s->file].new_log = (flags & (SQLITE_OPEN_WAL | SQLITE_OPEN_MAIN_JOURNAL)) != 0;
    }
    return rc;
}

static int vfs_delete(sqlite3_vfs *vfs, const char *name, int sync_folder)
{
    disk *d = vfs->pAppData;
    int f = find(d, name, false);
    int rc = system_vfs()->xDelete(system_vfs(), name, 0);
    if (rc == SQLITE_OK && f >= 0) {
        remove_known(d, f);
        if (sync_folder) {
            add(d, (event){.kind = SYNC_FOLDER, .file = f}, NULL);
        }
    }
    return rc;
}

disk *disk_new(const char *dir)
{
    disk *d = calloc(1, sizeof(*d));
    assert_non_null(d);
    snprintf(d->dir, sizeof(d->dir), "%s", dir);
    pthread_mutex_init(&d->lock, NULL);
    d->io = (fm_store_io){.create = io_create,
        .write = io_write,
        .sync = io_sync,
        .sync_folder = io_sync_folder,
        .truncate = io_truncate,
        .remove = io_remove,
        .free_bytes = fm__store_system_io.free_bytes,
        .opaque = d};
    d->vfs = *system_vfs();
    d->vfs.pNext = NULL;
    d->vfs.zName = "remembers";
    d->vfs.pAppData = d;
    d->vfs.szOsFile = (int)sizeof(seen_file) + system_vfs()->szOsFile;
    d->vfs.xOpen = vfs_open;
    d->vfs.xDelete = vfs_delete;
    assert_int_equal(sqlite3_vfs_register(&d->vfs, 0), SQLITE_OK);
    d->hooks = (fm__store_hooks){.io = &d->io, .vfs = d->vfs.zName};
    return d;
}

void disk_free(disk *d)
{
    assert_int_equal(sqlite3_vfs_unregister(&d->vfs), SQLITE_OK);
    for (size_t i = 0; i < d->count; i++) {
        free(d->events[i].data);
    }
    free(d->events);
    pthread_mutex_destroy(&d->lock);
    free(d);
}

const fm__store_hooks *disk_hooks(disk *d)
{
    return &d->hooks;
}

void disk_acknowledged(disk *d, int64_t run, uint64_t number)
{
    add(d, (event){.kind = ACK, .at = (int64_t)number, .run = run}, NULL);
}

size_t disk_len(const disk *d)
{
    return d->count;
}

bool disk_is_barrier(const disk *d, size_t i)
{
    event_kind k = d->events[i].kind;
    return k == SYNC || k == SYNC_FOLDER || k == ACK;
}

int64_t disk_acks(const disk *d, size_t n, int64_t run)
{
    int64_t acks = 0;
    for (size_t i = 0; i < n; i++) {
        acks += d->events[i].kind == ACK && d->events[i].run == run;
    }
    return acks;
}

// ---- after the failure

// Event s makes certain what waits for it of its file (or, of names, of its folder).
static void settle(disk *d, size_t s)
{
    const event *sync = &d->events[s];
    for (size_t i = 0; i < s; i++) {
        event *e = &d->events[i];
        bool is_name = e->kind == CREATE || e->kind == REMOVE;
        bool is_data = e->kind == WRITE || e->kind == CUT;
        if (e->certain == SIZE_MAX &&
            ((is_name && sync->kind == SYNC_FOLDER && same_folder(d, sync->file, e->file)) ||
                (is_data && sync->kind == SYNC && sync->file == e->file))) {
            e->certain = s + 1;
        }
    }
}

void disk_end(disk *d)
{
    d->ended = true;
    for (size_t i = 0; i < d->count; i++) {
        d->events[i].certain = SIZE_MAX;
    }
    for (size_t i = 0; i < d->count; i++) {
        if (d->events[i].kind == SYNC || d->events[i].kind == SYNC_FOLDER) {
            settle(d, i);
        }
    }
}

/** A file as it comes out: its bytes, and whether its name is there. */
typedef struct remains {
    uint8_t *data;
    int64_t size;
    bool named;
} remains;

static void resize(remains *r, int64_t size)
{
    if (size > r->size) {
        r->data = realloc(r->data, (size_t)size);
        assert_non_null(r->data);
        memset(r->data + r->size, 0, (size_t)(size - r->size));
    }
    r->size = size;
}

static void apply_write(remains *r, const event *e, bool torn, uint64_t *random)
{
    if (e->at + e->len > r->size) {
        resize(r, e->at + e->len);
    }
    for (int64_t at = 0; at < e->len;) {
        int64_t end = (e->at + at) / SECTOR * SECTOR + SECTOR - e->at;
        end = end < e->len ? end : e->len;
        if (!torn || rnd_below(random, 2)) {
            memcpy(r->data + e->at + at, e->data + at, (size_t)(end - at));
        }
        at = end;
    }
}

static void apply(remains *r, const event *e, bool torn, uint64_t *random)
{
    if (e->kind == WRITE) {
        apply_write(r, e, torn, random);
    } else if (e->kind == CUT) {
        resize(r, e->at);
    } else if (e->kind == CREATE || e->kind == REMOVE) {
        r->named = e->kind == CREATE;
    }
}

static void put_file(const char *dir, const char *name, const remains *r)
{
    char path[1024];
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, r->data, (size_t)r->size), r->size);
    close(fd);
}

void disk_replay(const disk *d, size_t n, disk_luck luck, uint64_t seed, const char *dir)
{
    static const char *const folders[] = {"segments", "index"};
    remains *files = calloc((size_t)d->file_count, sizeof(*files));
    assert_non_null(files);
    char path[1024];
    for (size_t i = 0; i < COUNT_OF(folders); i++) {
        snprintf(path, sizeof(path), "%s/%s", dir, folders[i]);
        assert_int_equal(mkdir(path, 0755), 0);
    }
    for (size_t i = 0; i < n; i++) {
        const event *e = &d->events[i];
        if (e->kind == ACK || e->kind == SYNC || e->kind == SYNC_FOLDER) {
            continue;
        }
        bool certain = luck == DISK_ALL || e->certain <= n;
        if (certain || (luck == DISK_SOME && rnd_below(&seed, 2))) {
            apply(&files[e->file], e, !certain && luck == DISK_SOME && rnd_below(&seed, 2), &seed);
        }
    }
    for (int i = 0; i < d->file_count; i++) {
        if (files[i].named) {
            put_file(dir, d->files[i].name, &files[i]);
        }
        free(files[i].data);
    }
    free(files);
}
