// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// The profile: a record a thread, found through a key of thread-specific data that belongs to the profile, as
// the trace's lists are. A record has a lock that nobody but its thread takes until somebody looks, so that
// taking it costs two atomic operations, and a look sees all of it at one time. Processor time is the
// kernel's count for the thread; the time in line for a core is the second number of its schedstat in /proc.
// Both are read twice in a thread's life.

#include "base/profile.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/process.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define NOT_SAID (-1)

typedef struct record record;
struct record {
    record *next; // immutable once in the profile, as are these
    pthread_t self;
    bool drawn;
    int64_t cpu_begin_ns, delayed_begin_ns;
    pthread_mutex_t lock;
    // protected by lock
    bool ended;
    int64_t end_ns, charged_ns;
    int waiting; // an fm_act, or NOT_SAID
    int64_t wait_ns;
    fm_profile_thread t; // begin_ns is of the clock here; cpu and delay are set at the end
    int64_t width_ns;
};

struct fm_profile {
    pthread_key_t key; // this thread's record
    atomic_int_fast64_t origin_ns;
    _Atomic(record *) records;
    atomic_size_t count;
    atomic_uint_fast64_t lost;
};

static const char *const act_names[FM_ACT_COUNT] = {
#define ACT_NAME(name, text, kind) text,
    FM_ACT_LIST(ACT_NAME)
#undef ACT_NAME
};

static const fm_act_kind act_kinds[FM_ACT_COUNT] = {
#define ACT_KIND(name, text, kind) FM_ACT_##kind,
    FM_ACT_LIST(ACT_KIND)
#undef ACT_KIND
};

const char *fm__act_name(fm_act act)
{
    return act_names[act];
}

fm_act_kind fm__act_kind(fm_act act)
{
    return act_kinds[act];
}

fm_status fm__profile_new(fm_profile **out, fm_error *err)
{
    fm_profile *p = fm__calloc(FM_TAG_BASE, sizeof(*p));
    if (!p) {
        return fm__fail_nomem(err, "the profile");
    }
    int rc = pthread_key_create(&p->key, NULL);
    if (rc != 0) {
        fm__free(p);
        return fm__fail_errno(err, rc, "cannot start", "the profile");
    }
    atomic_init(&p->origin_ns, fm__now_ns());
    *out = p;
    return FM_OK;
}

void fm__profile_free(fm_profile **profile)
{
    if (!profile || !*profile) {
        return;
    }
    fm_profile *p = *profile;
    *profile = NULL;
    for (record *r = atomic_load(&p->records); r;) {
        record *next = r->next;
        for (int i = 0; i < FM_ACT_COUNT; i++) {
            fm__free(r->t.bins[i]);
        }
        pthread_mutex_destroy(&r->lock);
        fm__free(r);
        r = next;
    }
    pthread_key_delete(p->key);
    fm__free(p);
}

void fm__profile_start(fm_profile *p, int64_t at_ns)
{
    if (p) {
        atomic_store(&p->origin_ns, at_ns);
    }
}

int64_t fm__profile_origin(const fm_profile *p)
{
    return atomic_load_explicit(&p->origin_ns, memory_order_relaxed);
}

/* ---- records ---- */

static record *new_record(fm_profile *p)
{
    size_t n = atomic_fetch_add(&p->count, 1);
    record *r = n < FM_PROFILE_THREADS ? fm__calloc(FM_TAG_BASE, sizeof(*r)) : NULL;
    if (!r || pthread_setspecific(p->key, r) != 0) {
        atomic_fetch_add(&p->lost, 1);
        fm__free(r);
        return NULL;
    }
    pthread_mutex_init(&r->lock, NULL);
    r->self = pthread_self();
    r->drawn = n < FM_PROFILE_DRAWN;
    r->waiting = NOT_SAID;
    r->width_ns = FM_BIN_NS;
    pthread_getname_np(r->self, r->t.name, sizeof(r->t.name));
    r->t.tid = (int)syscall(SYS_gettid);
    r->t.begin_ns = fm__now_ns();
    r->cpu_begin_ns = fm__clock_ns(CLOCK_THREAD_CPUTIME_ID);
    r->delayed_begin_ns = fm__thread_waited_ns(r->t.tid);
    r->next = atomic_load(&p->records);
    while (!atomic_compare_exchange_weak(&p->records, &r->next, r)) {
    }
    return r;
}

static record *mine(fm_profile *p)
{
    record *r = p ? pthread_getspecific(p->key) : NULL;
    return r || !p ? r : new_record(p);
}

// Lock held.
static void widen(record *r, int64_t width_ns)
{
    for (int i = 0; i < FM_ACT_COUNT; i++) {
        if (r->t.bins[i]) {
            fm__bins_widen(r->t.bins[i], r->width_ns, width_ns);
        }
    }
    r->width_ns = width_ns;
}

// Lock held. `ns` of the time from begin to end, which is cut off at the origin.
static void charge(const fm_profile *p, record *r, fm_act act, int64_t begin_ns, int64_t end_ns, int64_t ns)
{
    int64_t origin = fm__profile_origin(p);
    r->charged_ns += act_kinds[act] == FM_ACT_APART ? 0 : ns;
    if (end_ns <= origin) {
        return;
    }
    int64_t begin = begin_ns > origin ? begin_ns - origin : 0, end = end_ns - origin;
    ns = ns < end - begin ? ns : end - begin;
    r->t.total_ns[act] += ns;
    r->t.count[act]++;
    if (!r->drawn || ns <= 0) {
        return;
    }
    if (!r->t.bins[act]) {
        r->t.bins[act] = fm__calloc_array(FM_TAG_BASE, FM_BINS, sizeof(uint64_t));
    }
    int64_t width = fm__bins_width(r->width_ns, end);
    if (width != r->width_ns) {
        widen(r, width);
    }
    if (r->t.bins[act]) { // without memory only the picture over time lacks it
        fm__bins_spread(r->t.bins[act], width, begin, end, ns);
    }
}

void fm__profile_begin(fm_profile *p)
{
    (void)mine(p);
}

void fm__profile_end(fm_profile *p)
{
    record *r = mine(p);
    if (!r) {
        return;
    }
    int64_t cpu = fm__clock_ns(CLOCK_THREAD_CPUTIME_ID), delayed = fm__thread_waited_ns(r->t.tid);
    pthread_mutex_lock(&r->lock);
    r->ended = true;
    r->end_ns = fm__now_ns();
    r->t.cpu_ns = cpu;
    r->t.delayed_ns = delayed;
    pthread_mutex_unlock(&r->lock);
}

void fm__profile_add(fm_profile *p, fm_act act, int64_t begin_ns, int64_t end_ns)
{
    record *r = mine(p);
    if (r && end_ns >= begin_ns) {
        pthread_mutex_lock(&r->lock);
        charge(p, r, act, begin_ns, end_ns, end_ns - begin_ns);
        pthread_mutex_unlock(&r->lock);
    }
}

void fm__profile_wait(fm_profile *p, fm_act act)
{
    record *r = mine(p);
    if (r) {
        int64_t now = fm__now_ns();
        pthread_mutex_lock(&r->lock);
        r->waiting = (int)act;
        r->wait_ns = now;
        pthread_mutex_unlock(&r->lock);
    }
}

void fm__profile_woke(fm_profile *p)
{
    record *r = mine(p);
    if (r) {
        int64_t now = fm__now_ns();
        pthread_mutex_lock(&r->lock);
        if (r->waiting != NOT_SAID) {
            charge(p, r, (fm_act)r->waiting, r->wait_ns, now, now - r->wait_ns);
            r->waiting = NOT_SAID;
        }
        pthread_mutex_unlock(&r->lock);
    }
}

fm_profile_mark fm__profile_open(fm_profile *p)
{
    record *r = mine(p);
    fm_profile_mark mark = {.begin_ns = 0};
    if (r) {
        mark.begin_ns = fm__now_ns();
        pthread_mutex_lock(&r->lock);
        mark.charged_ns = r->charged_ns;
        pthread_mutex_unlock(&r->lock);
    }
    return mark;
}

void fm__profile_close(fm_profile *p, fm_act act, fm_profile_mark mark)
{
    record *r = mine(p);
    if (!r || mark.begin_ns == 0) {
        return;
    }
    int64_t now = fm__now_ns();
    pthread_mutex_lock(&r->lock);
    int64_t own = now - mark.begin_ns - (r->charged_ns - mark.charged_ns);
    charge(p, r, act, mark.begin_ns, now, own > 0 ? own : 0);
    pthread_mutex_unlock(&r->lock);
}

/* ---- looking ---- */

// Lock held. A thread that is still there has lived up to now, and its wait, too.
static void settle(const fm_profile *p, record *r)
{
    if (r->ended) {
        return;
    }
    clockid_t clock;
    r->end_ns = fm__now_ns();
    r->t.cpu_ns = pthread_getcpuclockid(r->self, &clock) == 0 ? fm__clock_ns(clock) : 0;
    r->t.delayed_ns = fm__thread_waited_ns(r->t.tid);
    if (r->waiting != NOT_SAID) {
        uint64_t count = r->t.count[r->waiting];
        charge(p, r, (fm_act)r->waiting, r->wait_ns, r->end_ns, r->end_ns - r->wait_ns);
        r->t.count[r->waiting] = count; // it is not over, and counts when it is
        r->wait_ns = r->end_ns;
    }
}

static bool copy_bins(fm_profile_thread *t)
{
    bool ok = true;
    for (int i = 0; i < FM_ACT_COUNT; i++) {
        const uint64_t *from = t->bins[i];
        t->bins[i] = from ? fm__calloc_array(FM_TAG_BASE, FM_BINS, sizeof(*from)) : NULL;
        if (t->bins[i]) {
            memcpy(t->bins[i], from, FM_BINS * sizeof(*from));
        }
        ok = ok && (t->bins[i] || !from);
    }
    return ok;
}

static bool copy_thread(const fm_profile *p, record *r, fm_profile_thread *out, int64_t *width_ns)
{
    int64_t origin = fm__profile_origin(p);
    pthread_mutex_lock(&r->lock);
    settle(p, r);
    *out = r->t;
    int64_t begin = r->t.begin_ns > origin ? r->t.begin_ns : origin;
    out->begin_ns = begin - origin;
    out->life_ns = r->end_ns > begin ? r->end_ns - begin : 0;
    out->cpu_ns = r->t.cpu_ns - r->cpu_begin_ns;
    bool said = r->t.delayed_ns != NOT_SAID && r->delayed_begin_ns != NOT_SAID;
    out->delayed_ns = said ? r->t.delayed_ns - r->delayed_begin_ns : NOT_SAID;
    *width_ns = r->width_ns;
    bool ok = copy_bins(out);
    pthread_mutex_unlock(&r->lock);
    return ok;
}

static int by_tid(const void *a, const void *b)
{
    int x = ((const fm_profile_thread *)a)->tid, y = ((const fm_profile_thread *)b)->tid;
    return (x > y) - (x < y);
}

static void widen_all(fm_profile_view *v, const int64_t *widths)
{
    v->width_ns = FM_BIN_NS;
    for (size_t i = 0; i < v->count; i++) {
        v->width_ns = widths[i] > v->width_ns ? widths[i] : v->width_ns;
    }
    for (size_t i = 0; i < v->count; i++) {
        for (int act = 0; act < FM_ACT_COUNT; act++) {
            if (v->threads[i].bins[act]) {
                fm__bins_widen(v->threads[i].bins[act], widths[i], v->width_ns);
            }
        }
    }
}

fm_status fm__profile_view(fm_profile *p, fm_profile_view *out, fm_error *err)
{
    fm_profile_view v = {.lost = atomic_load(&p->lost)};
    size_t n = 0;
    record *first = atomic_load(&p->records);
    for (record *r = first; r; r = r->next) {
        n++;
    }
    v.threads = fm__calloc_array(FM_TAG_BASE, n + 1, sizeof(*v.threads));
    int64_t *widths = fm__calloc_array(FM_TAG_BASE, n + 1, sizeof(*widths));
    bool ok = v.threads && widths;
    for (record *r = first; ok && r; r = r->next) {
        ok = copy_thread(p, r, &v.threads[v.count], &widths[v.count]);
        v.count++;
    }
    if (ok) {
        widen_all(&v, widths);
        qsort(v.threads, v.count, sizeof(*v.threads), by_tid);
        *out = v;
    } else {
        fm__profile_view_done(&v);
    }
    fm__free(widths);
    return ok ? FM_OK : fm__fail_nomem(err, "the profile");
}

void fm__profile_view_done(fm_profile_view *view)
{
    for (size_t i = 0; i < view->count && view->threads; i++) {
        for (int act = 0; act < FM_ACT_COUNT; act++) {
            fm__free(view->threads[i].bins[act]);
        }
    }
    fm__free(view->threads);
    *view = (fm_profile_view){.threads = NULL};
}
