// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// The trace: a list of chunks a thread, found through a key of thread-specific data that belongs to the
// trace, so that there is no global. The only writer of a list is its thread; it publishes an event by
// raising the list's count (release), and a reader that has seen the count (acquire) may read all before it.
// Nothing is ever overwritten, so reading needs no lock either. Written after "Trace Event Format" (Chromium
// project, 2016): complete events (X) for spans, nestable asynchronous ones (b, e), flows (s, t, f) bound to
// the span that encloses them, counters (C), metadata (M). Ids are numbers, since Perfetto reads a string as
// hexadecimal.

#include "base/trace.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"
#include "base/json.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define CHUNK 1024        // events: 48 KiB, so that an idle thread holds little
#define FLUSH (64 * 1024) // bytes of text written at once

typedef struct chunk chunk;
struct chunk {
    chunk *next;
    fm_trace_event events[CHUNK];
};

typedef struct list list;
struct list {
    list *next; // immutable once the list is in the trace
    char name[16];
    chunk *first;
    chunk *last;         // its thread only
    atomic_size_t count; // published events
};

struct fm_trace {
    pthread_key_t key; // this thread's list
    int64_t start_ns;
    size_t max_chunks;
    _Atomic(list *) lists;
    atomic_size_t chunks;
    atomic_uint_fast64_t lost;
    atomic_int_fast64_t end_ns; // of the first event that was lost
};

fm_status fm__trace_new(size_t max_events, fm_trace **out, fm_error *err)
{
    fm_trace *t = fm__calloc(FM_TAG_BASE, sizeof(*t));
    if (!t) {
        return fm__fail_nomem(err, "the trace");
    }
    int rc = pthread_key_create(&t->key, NULL);
    if (rc != 0) {
        fm__free(t);
        return fm__fail_errno(err, rc, "cannot start", "the trace");
    }
    t->start_ns = fm__now_ns();
    t->max_chunks = (max_events + CHUNK - 1) / CHUNK;
    atomic_init(&t->end_ns, INT64_MAX);
    *out = t;
    return FM_OK;
}

void fm__trace_free(fm_trace **trace)
{
    if (!trace || !*trace) {
        return;
    }
    fm_trace *t = *trace;
    *trace = NULL;
    for (list *l = atomic_load(&t->lists); l;) {
        list *next_list = l->next;
        for (chunk *c = l->first; c;) {
            chunk *next = c->next;
            fm__free(c);
            c = next;
        }
        fm__free(l);
        l = next_list;
    }
    pthread_key_delete(t->key);
    fm__free(t);
}

static list *new_list(fm_trace *t)
{
    list *l = fm__calloc(FM_TAG_BASE, sizeof(*l));
    if (!l) {
        return NULL;
    }
    pthread_getname_np(pthread_self(), l->name, sizeof(l->name));
    if (pthread_setspecific(t->key, l) != 0) {
        fm__free(l);
        return NULL;
    }
    l->next = atomic_load(&t->lists);
    while (!atomic_compare_exchange_weak(&t->lists, &l->next, l)) {
    }
    return l;
}

static bool add_chunk(fm_trace *t, list *l)
{
    if (atomic_fetch_add_explicit(&t->chunks, 1, memory_order_relaxed) >= t->max_chunks) {
        return false;
    }
    chunk *c = fm__calloc(FM_TAG_BASE, sizeof(*c));
    if (!c) {
        return false;
    }
    if (l->last) {
        l->last->next = c;
    } else {
        l->first = c;
    }
    l->last = c;
    return true;
}

static void lose(fm_trace *t, const fm_trace_event *event)
{
    atomic_fetch_add_explicit(&t->lost, 1, memory_order_relaxed);
    int_fast64_t end = atomic_load(&t->end_ns);
    while (event->end_ns < end && !atomic_compare_exchange_weak(&t->end_ns, &end, event->end_ns)) {
    }
}

void fm__trace_add(fm_trace *t, const fm_trace_event *event)
{
    // Nothing after a loss would be written, so nothing more is kept.
    if (event->end_ns >= atomic_load_explicit(&t->end_ns, memory_order_relaxed)) {
        lose(t, event);
        return;
    }
    list *l = pthread_getspecific(t->key);
    l = l ? l : new_list(t);
    size_t n = l ? atomic_load_explicit(&l->count, memory_order_relaxed) : 0;
    if (!l || (n % CHUNK == 0 && !add_chunk(t, l))) {
        lose(t, event);
        return;
    }
    l->last->events[n % CHUNK] = *event;
    atomic_store_explicit(&l->count, n + 1, memory_order_release);
}

uint64_t fm__trace_lost(const fm_trace *t)
{
    return atomic_load(&t->lost);
}

typedef struct writer {
    const fm_trace *t;
    const char *const *stream_names;
    size_t stream_count;
    int fd;
    const char *path;
    int64_t end_ns; // what ends later is left out
    fm_str text;
    fm_json json;
    int pid;
} writer;

static fm_status flush(writer *w, size_t least, fm_error *err)
{
    if (w->text.failed) {
        return fm__fail_nomem(err, "the trace");
    }
    if (w->text.len < least || w->text.len == 0) {
        return FM_OK;
    }
    fm_status st = fm__fd_write_all(w->fd, w->text.data, w->text.len, w->path, err);
    fm__str_reset(&w->text);
    return st;
}

// Microseconds, as the format counts.
static void put_us(writer *w, const char *key, int64_t ns)
{
    fm__json_key(&w->json, key);
    fm_str *s = fm__json_by_hand(&w->json);
    ns = ns > 0 ? ns : 0;
    fm__str_printf(s, "%" PRId64 ".%03d", ns / 1000, (int)(ns % 1000));
}

static void open_event(writer *w, const char *phase, const char *name, int tid)
{
    fm_json *j = &w->json;
    fm__str_add_char(&w->text, '\n');
    fm__json_open_object(j);
    fm__json_put_string(j, "ph", phase);
    fm__json_put_string(j, "name", name);
    fm__json_put_int(j, "pid", w->pid);
    fm__json_put_int(j, "tid", tid);
}

static void put_name(writer *w, const char *what, int tid, const char *name)
{
    fm_json *j = &w->json;
    open_event(w, "M", what, tid);
    fm__json_key(j, "args");
    fm__json_open_object(j);
    fm__json_put_string(j, "name", name);
    fm__json_close_object(j);
    fm__json_close_object(j);
}

static const char *stream_name(const writer *w, const fm_trace_event *e)
{
    return e->stream < w->stream_count ? w->stream_names[e->stream] : NULL;
}

static void put_args(writer *w, const fm_trace_event *e)
{
    fm_json *j = &w->json;
    const char *name = stream_name(w, e);
    fm__json_key(j, "args");
    fm__json_open_object(j);
    if (name) {
        fm__json_put_string(j, "stream", name);
        fm__json_put_uint(j, "frame", e->frame);
    }
    if (e->value) {
        fm__json_put_int(j, "batch", e->value);
    }
    fm__json_close_object(j);
}

// 52 bits: exact in the doubles that most readers make of JSON's numbers.
static uint64_t frame_id(const fm_trace_event *e)
{
    return ((uint64_t)e->stream << 40) | e->frame;
}

static void put_flow(writer *w, const fm_trace_event *e, int tid)
{
    static const char *const phases[] = {
        [FM_TRACE_FLOW_HEAD] = "s", [FM_TRACE_FLOW] = "t", [FM_TRACE_FLOW_TAIL] = "f"};
    fm_json *j = &w->json;
    open_event(w, phases[e->kind], "frame", tid);
    fm__json_put_string(j, "cat", "frame");
    fm__json_put_uint(j, "id", frame_id(e));
    if (e->kind == FM_TRACE_FLOW_TAIL) {
        fm__json_key(j, "bp"); // bound to the span around it, not to the next one
        fm__json_string(j, "e");
    }
    put_us(w, "ts", e->begin_ns - w->t->start_ns);
    fm__json_close_object(j);
}

static void put_span(writer *w, const fm_trace_event *e, int tid)
{
    open_event(w, "X", e->name, tid);
    put_us(w, "ts", e->begin_ns - w->t->start_ns);
    put_us(w, "dur", e->end_ns - e->begin_ns);
    put_args(w, e);
    fm__json_close_object(&w->json);
    if (e->kind != FM_TRACE_SPAN) {
        put_flow(w, e, tid);
    }
}

static void put_async(writer *w, const fm_trace_event *e, int tid)
{
    fm_json *j = &w->json;
    for (int end = 0; end < 2; end++) {
        open_event(w, end ? "e" : "b", e->name, tid);
        fm__json_put_string(j, "cat", e->name);
        fm__json_put_uint(j, "id", e->slot == FM_TRACE_NO_SLOT ? frame_id(e) : e->slot);
        put_us(w, "ts", (end ? e->end_ns : e->begin_ns) - w->t->start_ns);
        put_args(w, e);
        fm__json_close_object(j);
    }
}

static void put_counter(writer *w, const fm_trace_event *e, int tid)
{
    fm_json *j = &w->json;
    char name[160];
    const char *stream = stream_name(w, e);
    snprintf(name, sizeof(name), "%s%s%s", e->name, stream ? " " : "", stream ? stream : "");
    open_event(w, "C", name, tid);
    put_us(w, "ts", e->begin_ns - w->t->start_ns);
    fm__json_key(j, "args");
    fm__json_open_object(j);
    fm__json_put_int(j, e->name, e->value);
    fm__json_close_object(j);
    fm__json_close_object(j);
}

static void put_event(writer *w, const fm_trace_event *e, int tid)
{
    if (e->end_ns >= w->end_ns) {
        return;
    }
    if (e->kind == FM_TRACE_ASYNC) {
        put_async(w, e, tid);
    } else if (e->kind == FM_TRACE_COUNTER) {
        put_counter(w, e, tid);
    } else {
        put_span(w, e, tid);
    }
}

static fm_status put_list(writer *w, list *l, int tid, fm_error *err)
{
    size_t n = atomic_load_explicit(&l->count, memory_order_acquire);
    const chunk *c = n > 0 ? l->first : NULL;
    fm_status st = FM_OK;
    put_name(w, "thread_name", tid, l->name);
    for (size_t i = 0; st == FM_OK && i < n; i++) {
        if (i > 0 && i % CHUNK == 0) {
            c = c->next;
        }
        put_event(w, &c->events[i % CHUNK], tid);
        st = flush(w, FLUSH, err);
    }
    return st;
}

static fm_status put_all(writer *w, fm_error *err)
{
    fm_json *j = &w->json;
    fm_status st = FM_OK;
    int tid = 0;
    fm__json_open_object(j);
    fm__json_put_string(j, "displayTimeUnit", "ms");
    fm__json_key(j, "otherData");
    fm__json_open_object(j);
    fm__json_put_uint(j, "lost_events", fm__trace_lost(w->t));
    fm__json_close_object(j);
    fm__json_key(j, "traceEvents");
    fm__json_open_array(j);
    put_name(w, "process_name", 0, "framemill");
    for (list *l = atomic_load(&w->t->lists); st == FM_OK && l; l = l->next) {
        st = put_list(w, l, ++tid, err);
    }
    fm__json_close_array(j);
    fm__json_close_object(j);
    fm__str_add_char(&w->text, '\n');
    return st == FM_OK ? flush(w, 0, err) : st;
}

static bool is_special(const char *path)
{
    struct stat s;
    return stat(path, &s) == 0 && !S_ISREG(s.st_mode);
}

static fm_status write_to(writer *w, const char *file, fm_error *err)
{
    w->fd = open(file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (w->fd < 0) {
        return fm__fail_errno(err, errno, "cannot write", file);
    }
    fm_status st = put_all(w, err);
    if (close(w->fd) != 0 && st == FM_OK) {
        st = fm__fail_errno(err, errno, "cannot write", file);
    }
    return st;
}

fm_status fm__trace_write(
    fm_trace *t, const char *path, const char *const *stream_names, size_t stream_count, fm_error *err)
{
    writer w = {.t = t, .stream_names = stream_names, .stream_count = stream_count, .path = path};
    bool special = is_special(path);
    char *part = fm__asprintf(FM_TAG_BASE, special ? "%s" : "%s.part", path);
    if (!part) {
        return fm__fail_nomem(err, "the trace");
    }
    w.end_ns = atomic_load(&t->end_ns);
    w.pid = (int)getpid();
    fm__str_init(&w.text, FM_TAG_BASE);
    fm__json_init(&w.json, &w.text);
    fm_status st = write_to(&w, part, err);
    if (!special && st == FM_OK && rename(part, path) != 0) {
        st = fm__fail_errno(err, errno, "cannot write", path);
    }
    if (!special && st != FM_OK) {
        (void)unlink(part); // what is there of it is of no use
    }
    fm__str_done(&w.text);
    fm__free(part);
    return st;
}
