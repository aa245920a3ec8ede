// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// What a profile says of the parts of a run. Threads are told apart by their names, which are the same in a
// trace: fm-in-N reads a stream, fm-exec-N works for a model, fm-out-N delivers.

#include "tune/page.h"

#include <string.h>

int64_t fm__page_busy_ns(const fm_profile_thread *t)
{
    int64_t sum = 0;
    for (int i = 0; i < FM_ACT_COUNT; i++) {
        sum += fm__act_kind((fm_act)i) == FM_ACT_BUSY ? t->total_ns[i] : 0;
    }
    return sum;
}

int64_t fm__page_idle_ns(const fm_profile_thread *t)
{
    int64_t sum = 0;
    for (int i = 0; i < FM_ACT_COUNT; i++) {
        sum += fm__act_kind((fm_act)i) == FM_ACT_IDLE ? t->total_ns[i] : 0;
    }
    return sum;
}

int64_t fm__page_total_ns(const fm__page *page, fm_act act)
{
    int64_t sum = 0;
    for (size_t i = 0; i < page->threads->count; i++) {
        sum += page->threads->threads[i].total_ns[act];
    }
    return sum;
}

double fm__page_slots_busy(const fm__page *page, const fm__page_model *m)
{
    double all = page->seconds * 1e9 * m->slots;
    double share = all > 0 ? (double)fm__page_total_ns(page, fm__task_inferences(m->task)) / all : 0;
    return share < 1 ? share : 1;
}

static const char *busiest_act(const fm_profile_thread *t)
{
    int best = -1;
    for (int i = 0; i < FM_ACT_COUNT; i++) {
        if (fm__act_kind((fm_act)i) == FM_ACT_BUSY && t->total_ns[i] > 0 &&
            (best < 0 || t->total_ns[i] > t->total_ns[best])) {
            best = i;
        }
    }
    return best < 0 ? NULL : fm__act_name((fm_act)best);
}

// The busiest thread whose name begins so: its share of its life, and what it did most.
static const char *busiest(const fm__page *page, const char *prefix, double *share)
{
    const fm_profile_thread *best = NULL;
    *share = 0;
    for (size_t i = 0; i < page->threads->count; i++) {
        const fm_profile_thread *t = &page->threads->threads[i];
        double s = t->life_ns > 0 ? (double)fm__page_busy_ns(t) / (double)t->life_ns : 0;
        // A thread that lived for a moment only held nobody up.
        if (strncmp(t->name, prefix, strlen(prefix)) == 0 && (double)t->life_ns > page->seconds * 1e8 &&
            s > *share) {
            *share = s;
            best = t;
        }
    }
    return best ? busiest_act(best) : NULL;
}

static double readers_share(const fm__page *page, fm_act act)
{
    double all = 0, part = 0;
    for (size_t i = 0; i < page->threads->count; i++) {
        const fm_profile_thread *t = &page->threads->threads[i];
        if (strncmp(t->name, "fm-in-", 6) == 0) {
            all += (double)t->life_ns;
            part += (double)t->total_ns[act];
        }
    }
    return all > 0 ? part / all : 0;
}

static double in_line(const fm__page *page)
{
    double waited = 0, ran = 0;
    for (size_t i = 0; i < page->threads->count; i++) {
        const fm_profile_thread *t = &page->threads->threads[i];
        waited += t->delayed_ns > 0 ? (double)t->delayed_ns : 0;
        ran += (double)t->cpu_ns;
    }
    return waited + ran > 0 ? waited / (waited + ran) : 0;
}

void fm__page_load(const fm__page *page, fm__load *out)
{
    fm__load l = {.frames = page->frames, .cores = page->cores};
    l.cores_busy = page->seconds > 0 ? (double)page->samples->cpu_ns / (page->seconds * 1e9) : 0;
    l.no_room = readers_share(page, FM_ACT_NO_ROOM);
    l.pace = readers_share(page, FM_ACT_PACE);
    l.reads = busiest(page, "fm-in-", &l.reader);
    l.delivers = busiest(page, "fm-out-", &l.delivery);
    for (size_t i = 0; i < page->model_count; i++) {
        double busy = fm__page_slots_busy(page, &page->models[i]);
        if (!l.model || busy > l.slots) {
            l.slots = busy;
            l.model = page->models[i].name;
        }
    }
    l.in_line = in_line(page);
    for (size_t i = 0; i < page->stream_count; i++) {
        l.dropped += page->streams[i].dropped;
    }
    *out = l;
}
